//! Contrastive pre-training: what goes on beside the network that learns (teacher, statistics, queues), and what survives a kill.

use burn::module::Module;
use burn::tensor::Device;
use sonoseg_core::checkpoint::{State, read_state, write_state};
use sonoseg_core::inference::ModelHeader;
use sonoseg_core::losses::contrast::unit;
use sonoseg_core::models::contrast::{Contrast, project};
use sonoseg_core::models::resnet::ResnetConfig;
use sonoseg_core::optim::schedule::Schedule;
use sonoseg_core::optim::sgd::SgdConfig;
use sonoseg_core::optim::{Optimiser, OptimiserConfig};
use sonoseg_core::recipe::{Recipe, TaskRecipe};
use sonoseg_core::tasks::contrast::{ACCURACY, ContrastRecipe, ContrastivePretraining};
use sonoseg_core::tasks::{Step, Task};
use sonoseg_core::train::loader::{BatchPlan, Drawn, read_views, training_plans};
use sonoseg_core::train::parts::Here;
use sonoseg_core::train::{Event, Feed, Flow, Progress, RateChanges, Samples, TrainConfig, train};
use sonoseg_imaging::DataError;
use sonoseg_imaging::augment::AugmentConfig;
use sonoseg_imaging::dataset::sample::{Sample, Source, Target};
use sonoseg_imaging::geometry::Image;
use sonoseg_imaging::prepare::Preparation;
use sonoseg_imaging::rng::Rng;

const BATCH: usize = 2;
/// No multiple of the batch, so that an update writes across the end.
const QUEUE: usize = 5;
const WIDTH: usize = 4;
const SEED: u64 = 5;

/// Eight pictures of stripes.
struct Stripes;

impl Source for Stripes {
    fn len(&self) -> usize {
        8
    }

    fn group(&self, _: usize) -> &str {
        "stripes"
    }

    async fn load(&self, index: usize) -> Result<Sample, DataError> {
        let wave = |at: usize| ((at % 40 * (index + 1) + at / 40 * (8 - index)) as f32 * 0.05).sin() * 0.4 + 0.5;
        let frames = vec![Image::grey(40, 40, (0..1600).map(wave).collect())];
        let (id, group) = (format!("stripes {index}"), "stripes".into());
        Ok(Sample { id, group, frames, targets: vec![Target::Unknown] })
    }
}

struct Direct<'a>(&'a ContrastivePretraining, std::vec::IntoIter<BatchPlan>);

impl Feed<[Vec<f32>; 2]> for Direct<'_> {
    fn start(&mut self, plans: Vec<BatchPlan>) {
        self.1 = plans.into_iter();
    }

    async fn next(&mut self) -> Option<Result<Vec<[Vec<f32>; 2]>, DataError>> {
        let plan = self.1.next()?;
        Some(read_views(self.0, &Stripes, &plan, SEED).await)
    }
}

fn task(contrast: ContrastRecipe) -> ContrastivePretraining {
    let backbone = ResnetConfig { planes: [4, 4, 6, 8], ..ResnetConfig::resnet18() };
    ContrastivePretraining {
        network: contrast.sizes(backbone),
        preparation: Preparation { size: 64, ..Preparation::default() },
        augment: AugmentConfig::default(),
        contrast,
    }
}

fn densecl() -> ContrastivePretraining {
    task(ContrastRecipe { queue: QUEUE, width: WIDTH, hidden: Some(6), ..ContrastRecipe::default() })
}

/// Two epochs of four updates.
fn config() -> TrainConfig {
    let sgd = SgdConfig { learning_rate: 0.03, ..SgdConfig::default() };
    let optimiser = OptimiserConfig::Sgd(sgd);
    TrainConfig { epochs: 2, batch: BATCH, accumulate: 1, patience: 0, optimiser, ..TrainConfig::default() }
}

fn fresh(task: &ContrastivePretraining, seed: u64) -> Progress<Contrast> {
    let progress = Progress::begin(task.init(&Device::flex().autodiff()), &config());
    // Not from the device's generator, which tests on other threads draw from, too.
    let mut weights = state(&progress);
    let normalises = |name: &str| name.contains(".bn") || name.contains("downsample.1.");
    for (name, (shape, numbers)) in weights.iter_mut().filter(|(name, _)| !normalises(name)) {
        let (first, scale) = (7 * name.len() as u64 + 13 * seed, (shape[1..].iter().product::<usize>() as f32).sqrt());
        numbers.iter_mut().zip(first..).for_each(|(number, place)| *number = (place as f32 * 0.37).sin() / scale);
    }
    let model = write_state("fresh", weights, progress.model).unwrap();
    Progress { model, ..progress }
}

/// Learn until so many updates are done, or to the end. Gives the loss and the rate of every update, too.
fn learn(
    task: &ContrastivePretraining,
    progress: Progress<Contrast>,
    config: &TrainConfig,
    until: Option<u64>,
) -> (Progress<Contrast>, Vec<(f64, f64)>) {
    let (all, mut losses) = ([0, 1, 2, 3, 4, 5, 6, 7], Vec::new());
    let observe = async |event: Event<'_, Contrast>| {
        let Event::Step { parts, loss, rate, progress, .. } = event else { return Ok(Flow::Continue) };
        let sum = parts.iter().map(|part| part.1).sum::<f64>();
        assert!(parts.is_empty() || (sum - loss).abs() < 1e-5, "{parts:?} make {loss}");
        losses.push((loss, rate));
        Ok(if until == Some(progress.position.updates) { Flow::Stop } else { Flow::Continue })
    };
    let samples = Samples { train: &all, val: &all[..3], ..Samples::default() };
    let mut feed = Direct(task, Vec::new().into_iter());
    let (mut here, device) = (Here, Device::flex());
    let done = train(task, progress, config, SEED, samples, &mut feed, &mut here, &device, observe);
    (pollster::block_on(done).unwrap(), losses)
}

fn bytes(progress: &Progress<Contrast>) -> Vec<u8> {
    pollster::block_on(progress.to_bytes()).unwrap()
}

fn state(progress: &Progress<Contrast>) -> State {
    pollster::block_on(read_state(&progress.model)).unwrap()
}

fn near(found: &[f32], expected: &[f32], what: &str) {
    let apart = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(found.len() == expected.len() && apart < 1e-5, "{what}: {found:?} instead of {expected:?}");
}

#[test]
fn stopped_after_any_update_it_goes_on_bit_by_bit() {
    let (task, config) = (densecl(), config());
    let whole = learn(&task, fresh(&task, 1), &config, None).0;
    assert_eq!(whole.position.updates, 8);
    for until in 1..=4 {
        let stopped = bytes(&learn(&task, fresh(&task, 1), &config, Some(until)).0);
        // Into a network with other first weights: everything comes from the file.
        let again = Progress::from_bytes("contrast", &stopped, fresh(&task, 2).model, &config).unwrap();
        assert!(bytes(&again) == stopped, "what is read is what was written");
        assert!(bytes(&learn(&task, again, &config, None).0) == bytes(&whole), "stopped after update {until}");
    }
}

#[test]
fn the_teacher_moves_by_momentum_alone_and_the_queues_hold_its_last_keys_in_order() {
    let (task, config) = (densecl(), config());
    let all: Vec<Progress<Contrast>> = (0..=4)
        .map(|updates| match updates {
            0 => fresh(&task, 1),
            _ => learn(&task, fresh(&task, 1), &config, Some(updates)).0,
        })
        .collect();
    let train: Vec<usize> = (0..8).collect();
    let plans = training_plans(&Samples { train: &train, ..Samples::default() }, &config, SEED, 0);
    let device = Device::flex().autodiff();
    for (update, (before, after)) in all.iter().zip(&all[1..]).enumerate() {
        let [before_state, after_state] = [state(before), state(after)];
        for (name, (_, new)) in &after_state {
            let Some(inner) = name.strip_prefix("encoder_k.") else { continue };
            let (old, student) = (&before_state[name].1, &after_state[&format!("encoder_q.{inner}")].1);
            if name.contains("running_") {
                assert!(new != old && new != student, "{name} follows the teacher's own batches");
                continue;
            }
            let expected: Vec<f32> = old.iter().zip(student).map(|(old, new)| old * 0.999 + new * 0.001).collect();
            near(new, &expected, name);
        }
        // What the teacher, as it was, makes of the second views, normalised by their own batch.
        let views = pollster::block_on(read_views(&task, &Stripes, &plans[update], SEED)).unwrap();
        let [_, second] = task.collate(&views, &device);
        let keys = project(before.model.encoder_k.as_ref().unwrap(), second, 1);
        let pooled = unit(keys.dense.unwrap().mean_dim(2).reshape([BATCH, WIDTH]), 1);
        for (name, keys) in [("queue", unit(keys.global, 1)), ("queue2", pooled)] {
            let keys: Vec<f32> = keys.inner().into_data().try_into_vec().unwrap();
            let column = |state: &State, at: usize| -> Vec<f32> {
                (0..WIDTH).map(|row| state[name].1[row * QUEUE + at]).collect()
            };
            let written: Vec<usize> = (0..BATCH).map(|key| (update * BATCH + key) % QUEUE).collect();
            for (key, &place) in keys.chunks_exact(WIDTH).zip(&written) {
                near(&column(&after_state, place), key, &format!("{name} at {place} after update {update}"));
            }
            for place in (0..QUEUE).filter(|place| !written.contains(place)) {
                assert_eq!(column(&after_state, place), column(&before_state, place), "{name} at {place}");
            }
        }
    }
}

#[test]
fn a_model_file_holds_the_backbone_that_learned_and_nothing_else() {
    let task = densecl();
    let done = learn(&task, fresh(&task, 1), &config(), Some(1)).0;
    let exported = pollster::block_on(read_state(task.exported(&done.model))).unwrap();
    let all = state(&done);
    let learned = all.iter().filter_map(|(name, tensor)| Some((name.strip_prefix("encoder_q.0.")?.to_owned(), tensor)));
    assert!(learned.eq(exported.iter().map(|(name, tensor)| (name.clone(), tensor))));
    assert!(exported.contains_key("layer4.1.bn2.running_var"), "{:?}", exported.keys());
}

#[test]
fn each_of_the_three_methods_learns_to_tell_pictures_apart() {
    let wide = ContrastRecipe { width: 16, hidden: Some(16), momentum: 0.9, ..ContrastRecipe::default() };
    let moco = ContrastRecipe { queue: 8, dense_weight: 0.0, ..wide };
    let simclr = ContrastRecipe { queue: 0, ..moco };
    let dense = ContrastRecipe { queue: 8, dense_after: 4, ..wide };
    for (contrast, fields) in [(dense, [true; 3]), (moco, [true, true, false]), (simclr, [false; 3])] {
        let mut task = task(contrast.clone());
        task.augment = AugmentConfig { crop_scale: [0.8, 1.0], flip: 0.0, ..AugmentConfig::default() };
        let sgd = SgdConfig { learning_rate: 0.1, ..SgdConfig::default() };
        let schedule = Schedule::Constant;
        let optimiser = OptimiserConfig::Sgd(sgd);
        let config = TrainConfig { batch: 8, epochs: 60, schedule, optimiser, ..config() };
        let begun = Progress { optimiser: Optimiser::new(config.optimiser.clone()), ..fresh(&task, 1) };
        let Contrast { encoder_k, queue, queue2, encoder_q } = &begun.model;
        assert_eq!([encoder_k.is_some(), queue.is_some(), queue2.is_some()], fields, "{contrast:?}");
        assert_eq!(encoder_q.1.mlp2.is_some(), fields[2]);
        let (done, losses) = learn(&task, begun, &config, None);
        // What it costs to tell nothing apart: of nine keys, or of fifteen other views, each may be the right one.
        let chance = if contrast.queue > 0 { 9.0_f64.ln() } else { 15.0_f64.ln() };
        let last = losses[52..].iter().map(|one| one.0).sum::<f64>() / 8.0;
        println!("{last:.3} of {chance:.3}, accuracy {:.3}: {contrast:?}", done.position.best[ACCURACY]);
        assert!(last < 0.85 * chance, "{contrast:?}: {last} of {chance}");
    }
}

#[test]
fn keys_of_a_shuffled_batch_come_back_to_their_pictures() {
    let measured = |groups: usize| {
        let task = task(ContrastRecipe { groups, queue: QUEUE, width: WIDTH, ..ContrastRecipe::default() });
        let plan = [0, 1, 2, 3].map(|sample| Drawn { sample, changes: None });
        let views = pollster::block_on(read_views(&task, &Stripes, &plan, SEED)).unwrap();
        let batch = task.collate(&views, &Device::flex());
        let mut step = Step::alone(Rng::stream(1, "measure", [0, 0]), 0, 1);
        let model = fresh(&task, 1).model.valid();
        pollster::block_on(task.measure(&model, &batch, &mut step)).unwrap().value("loss").unwrap()
    };
    // Nothing is normalised by the batch while it is measured, so that groups change nothing but the order.
    assert!((measured(1) - measured(2)).abs() < 1e-6, "{} and {}", measured(1), measured(2));
}

#[test]
fn measured_views_are_two_and_always_the_same() {
    let task = densecl();
    let views = |index: usize, rng: Option<&mut Rng>| {
        let sample = pollster::block_on(Stripes.load(index)).unwrap();
        task.views(&sample, rng).unwrap().remove(0)
    };
    let [first, second] = views(0, None);
    assert_eq!(first.len(), 3 * 64 * 64);
    assert!(first != second && views(1, None)[0] != first);
    assert_eq!(views(0, None), [first.clone(), second]);
    assert_ne!(views(0, Some(&mut Rng::stream(1, "augment", [0, 0])))[0], first);
}

#[test]
fn the_rate_stays_within_an_epoch_where_the_recipe_says_so() {
    let task = densecl();
    let schedule = Schedule::Cosine { warmup: 0.0, min_share: 0.0 };
    let config = TrainConfig { schedule, rate_changes: RateChanges::Epoch, ..config() };
    let half = learn(&task, fresh(&task, 1), &config, Some(2)).0;
    let rates = learn(&task, half, &config, None).1.into_iter().map(|one| one.1);
    // 0.03 (1 + cos(pi e / 2)) / 2 in epoch e, of which two updates were done before.
    assert!(
        rates.zip([0.03, 0.03, 0.015, 0.015, 0.015, 0.015]).all(|(rate, expected)| (rate - expected).abs() < 1e-12)
    );
}

#[test]
fn recipes_say_which_of_the_three_methods_it_is() {
    for (text, queue, dense_weight) in [
        (include_str!("../../recipes/knee-densecl.toml"), 65_536, 0.5),
        (include_str!("../../recipes/knee-moco.toml"), 65_536, 0.0),
        (include_str!("../../recipes/knee-simclr.toml"), 0, 0.0),
    ] {
        let parse = |settings: &[&str]| {
            let settings: Vec<String> = settings.iter().map(|&setting| setting.to_owned()).collect();
            Recipe::parse("knee", text, &settings)
        };
        let recipe = parse(&[]).unwrap();
        let TaskRecipe::Contrast { contrast } = &recipe.task else { panic!("{recipe:?}") };
        assert_eq!((contrast.queue, contrast.dense_weight, recipe.task.pretrains()), (queue, dense_weight, true));
        assert_eq!(Recipe::parse("again", &recipe.to_toml(), &[]).unwrap(), recipe);
        assert_eq!(ModelHeader::of(&recipe).network.sizes().architecture(), "resnet");
        for (settings, said) in [
            (&["task=segment"][..], "marks"),
            (&["network.architecture=unetr", "network.preset=tiny"], "architecture = \"resnet\""),
            (&["contrast.queue=some"], "contrast.queue is a number of keys"),
            (&["train.batch=1"], "train.batch must be at least 2"),
        ] {
            let message = parse(settings).unwrap_err().to_string();
            assert!(message.contains(said), "{settings:?}: {message}");
        }
    }
}

#[test]
fn impossible_settings_are_named() {
    let problem = |change: fn(&mut ContrastRecipe), batch: usize| {
        let mut recipe = ContrastRecipe::default();
        change(&mut recipe);
        let sizes = recipe.sizes(ResnetConfig::resnet18());
        recipe.problem(batch).or_else(|| sizes.problem()).unwrap_or_default()
    };
    assert_eq!(problem(|_| (), 32), "");
    for (change, batch, said) in [
        ((|recipe| recipe.queue = 0) as fn(&mut ContrastRecipe), 32, "queue = 0 means none"),
        (|recipe| recipe.queue = 16, 32, "less than the keys of an update, which are 32"),
        (|_| (), 1, "at least 2"),
        (|recipe| recipe.temperature = 0.0, 32, "temperature"),
        (|recipe| recipe.momentum = 1.5, 32, "momentum"),
        (|recipe| recipe.groups = 3, 32, "groups = 3 must divide"),
        (|recipe| recipe.width = 0, 32, "at least 1"),
    ] {
        let found = problem(change, batch);
        assert!(found.contains(said), "{said}: {found}");
    }
    for (text, expected) in [("\"paper\"", 65_536), ("\"small\"", 16_384), ("100", 100)] {
        let recipe: ContrastRecipe = serde_json::from_str(&format!("{{\"queue\": {text}}}")).unwrap();
        assert_eq!(recipe.queue, expected);
    }
}
