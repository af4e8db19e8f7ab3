//! A task with all that a task may have: a teacher that follows by momentum, a queue of its keys, batch normalisation, and a
//! loss of two named parts. Stopped after any update it goes on as if it had not.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor, TensorData, activation};
use sonoseg_core::blocks::batch_norm::BatchNorm;
use sonoseg_core::checkpoint::{State, read_state, write_state};
use sonoseg_core::optim::OptimiserConfig;
use sonoseg_core::optim::rules::{Rule, Rules};
use sonoseg_core::optim::sgd::SgdConfig;
use sonoseg_core::tasks::{LOSS, Loss, Reads, Step, Task};
use sonoseg_core::train::loader::{BatchPlan, read_views};
use sonoseg_core::train::parts::Here;
use sonoseg_core::train::{Event, Feed, Flow, Progress, Samples, TrainConfig, TrainError, train, trial};
use sonoseg_imaging::DataError;
use sonoseg_imaging::dataset::sample::{Sample, Source, Target};
use sonoseg_imaging::geometry::Image;
use sonoseg_imaging::metrics::known;
use sonoseg_imaging::metrics::measure::{Measure, Measures};
use sonoseg_imaging::rng::Rng;

/// Numbers of a view.
const INPUT: usize = 6;
/// Features.
const WIDTH: usize = 4;
/// Keys in the queue.
const QUEUE: usize = 6;
/// Views of a batch.
const BATCH: usize = 2;
const MOMENTUM: f64 = 0.9;

#[derive(Module, Debug)]
struct Net {
    input: Linear,
    norm: BatchNorm,
    output: Linear,
}

impl Net {
    fn new(device: &Device) -> Self {
        Self {
            input: LinearConfig::new(INPUT, WIDTH).init(device),
            norm: BatchNorm::new(WIDTH, device),
            output: LinearConfig::new(WIDTH, WIDTH).init(device),
        }
    }

    /// `[batch, INPUT]` to `[batch, WIDTH]`
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.output.forward(activation::relu(self.norm.forward(self.input.forward(x))))
    }
}

#[derive(Module, Debug)]
struct Model {
    student: Net,
    teacher: Net,
    /// The last keys, oldest overwritten first, `[QUEUE, WIDTH]`.
    queue: Param<Tensor<2>>,
}

struct Toy {
    /// The student's batch normalisation stays as it is.
    frozen: bool,
}

impl Task for Toy {
    type Model = Model;
    type View = Vec<f32>;
    type Batch = Tensor<2>;
    type Kept = Vec<Tensor<2>>;

    fn init(&self, device: &Device) -> Model {
        let numbers: Vec<f32> = (0..QUEUE * WIDTH).map(|i| (i as f32).sin()).collect();
        let queue = Tensor::from_data(TensorData::new(numbers, [QUEUE, WIDTH]), device);
        Model { student: Net::new(device), teacher: Net::new(device), queue: Param::from_tensor(queue) }
    }

    fn reads(&self) -> Reads {
        Reads { frames: 1, labels: false }
    }

    fn views(&self, sample: &Sample, rng: Option<&mut Rng>) -> Result<Vec<Vec<f32>>, DataError> {
        let shift = rng.map_or(0.0, |rng| rng.below(100) as f32 / 100.0);
        Ok(vec![sample.frames[0].pixels.iter().map(|pixel| pixel + shift).collect()])
    }

    fn collate(&self, views: &[Vec<f32>], device: &Device) -> Tensor<2> {
        Tensor::from_data(TensorData::new(views.concat(), [views.len(), INPUT]), device)
    }

    fn loss(&self, model: &Model, batch: &Tensor<2>, step: &mut Step) -> Loss<Vec<Tensor<2>>> {
        let query = model.student.forward(batch.clone());
        let noise = step.rng.below(10) as f64 / 100.0;
        let key = model.teacher.forward(batch.clone() + noise).detach();
        let near = (query.clone() - key.clone()).square().mean();
        let apart = query.matmul(model.queue.val().detach().transpose()).square().mean() * 0.1;
        Loss { total: near.clone() + apart.clone(), parts: vec![("near", near), ("apart", apart)], kept: vec![key] }
    }

    fn after_update(&self, model: Model, kept: Vec<Vec<Tensor<2>>>, step: &mut Step) -> Model {
        let teacher = followed(model.teacher, &model.student);
        let mut at = step.updates as usize * BATCH;
        let mut queue = model.queue;
        for key in kept.into_iter().flatten() {
            let (first, count) = (at % QUEUE, key.dims()[0]);
            queue = queue.map(|old| old.slice_assign([first..first + count, 0..WIDTH], key).detach());
            at += count;
        }
        Model { student: model.student, teacher, queue }
    }

    async fn measure(&self, model: &Model, batch: &Tensor<2>, step: &mut Step) -> Result<Measures, String> {
        let views = batch.dims()[0] as f64;
        let loss = self.loss(model, batch, step).total.into_scalar_async().await;
        let loss: f32 = loss.map_err(|error| format!("{error:?}"))?;
        Ok(Measures(vec![Measure::new(known(LOSS), f64::from(loss) * views, views)]))
    }

    fn exported<'m>(&self, model: &'m Model) -> &'m impl Module {
        &model.student
    }

    fn rules(&self) -> Rules {
        let frozen = self.frozen;
        Box::new(move |name, axes| {
            let still = !name.starts_with("student.") || (frozen && name.starts_with("student.norm."));
            Rule { trained: !still, ..Rule::plain(axes) }
        })
    }

    fn batch_may_be_cut(&self) -> bool {
        false
    }
}

/// The teacher a little nearer to the student, statistics included.
fn followed(teacher: Net, student: &Net) -> Net {
    struct Collect(Vec<Tensor<1>>);
    impl ModuleVisitor for Collect {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let value = param.val().detach();
            let count = value.dims().iter().product::<usize>();
            self.0.push(value.reshape([count]));
        }
    }
    struct Follow(std::vec::IntoIter<Tensor<1>>);
    impl ModuleMapper for Follow {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let other = self.0.next().unwrap();
            param.map(|old| {
                let other = other.reshape(old.dims());
                (old * MOMENTUM + other * (1.0 - MOMENTUM)).detach()
            })
        }
    }
    let mut collect = Collect(Vec::new());
    student.visit(&mut collect);
    teacher.map(&mut Follow(collect.0.into_iter()))
}

struct Numbers;

impl Source for Numbers {
    fn len(&self) -> usize {
        8
    }

    fn group(&self, _: usize) -> &str {
        "numbers"
    }

    async fn load(&self, index: usize) -> Result<Sample, DataError> {
        let pixels = (0..INPUT).map(|i| ((index * INPUT + i) as f32 * 0.7).cos()).collect();
        let (id, frames) = (index.to_string(), vec![Image::grey(1, INPUT, pixels)]);
        Ok(Sample { id, group: "numbers".into(), frames, targets: vec![Target::Unknown] })
    }
}

struct Direct<'a>(&'a Toy, std::vec::IntoIter<BatchPlan>);

impl Feed<Vec<f32>> for Direct<'_> {
    fn start(&mut self, plans: Vec<BatchPlan>) {
        self.1 = plans.into_iter();
    }

    async fn next(&mut self) -> Option<Result<Vec<Vec<f32>>, DataError>> {
        let plan = self.1.next()?;
        Some(read_views(self.0, &Numbers, &plan, 5).await)
    }
}

/// Two epochs of four updates.
fn config(optimiser: OptimiserConfig) -> TrainConfig {
    TrainConfig { epochs: 2, batch: BATCH, accumulate: 1, patience: 0, optimiser, ..TrainConfig::default() }
}

fn fresh(toy: &Toy, config: &TrainConfig, seed: u64) -> Progress<Model> {
    let device = Device::flex();
    let progress = Progress::begin(toy.init(&device.autodiff()), config);
    // Not from the device's generator, which tests on other threads draw from, too.
    let mut weights = state(&progress);
    for (name, (_, numbers)) in weights.iter_mut().filter(|(name, _)| !name.contains("running")) {
        let first = 7 * name.len() as u64 + 13 * seed;
        numbers.iter_mut().zip(first..).for_each(|(number, place)| *number = (place as f32 * 0.37).sin());
    }
    let model = write_state("fresh", weights, progress.model).unwrap();
    Progress { model, ..progress }
}

/// Learn until so many updates are done, or to the end.
fn learn(toy: &Toy, progress: Progress<Model>, config: &TrainConfig, until: Option<u64>) -> Progress<Model> {
    let (all, device) = ([0, 1, 2, 3, 4, 5, 6, 7], Device::flex());
    let mut feed = Direct(toy, Vec::new().into_iter());
    let observe = async |event: Event<'_, Model>| {
        Ok(match event {
            Event::Step { parts, loss, progress, .. } => {
                assert!((parts.iter().map(|part| part.1).sum::<f64>() - loss).abs() < 1e-6, "{parts:?} make {loss}");
                if until == Some(progress.position.updates) { Flow::Stop } else { Flow::Continue }
            }
            Event::Epoch { .. } => Flow::Continue,
        })
    };
    pollster::block_on(train(
        toy,
        progress,
        config,
        5,
        Samples { train: &all, val: &all[..4], ..Samples::default() },
        &mut feed,
        &mut Here,
        &device,
        observe,
    ))
    .unwrap()
}

fn bytes(progress: &Progress<Model>) -> Vec<u8> {
    pollster::block_on(progress.to_bytes()).unwrap()
}

fn state(progress: &Progress<Model>) -> State {
    pollster::block_on(read_state(&progress.model)).unwrap()
}

#[test]
fn stopped_after_any_update_it_goes_on_bit_by_bit() {
    let sgd = OptimiserConfig::Sgd(SgdConfig { learning_rate: 0.05, ..SgdConfig::default() });
    for optimiser in [OptimiserConfig::default(), sgd] {
        let (toy, config) = (Toy { frozen: false }, config(optimiser));
        let whole = learn(&toy, fresh(&toy, &config, 1), &config, None);
        assert_eq!(whole.position.updates, 8);
        for until in 1..=8 {
            let stopped = bytes(&learn(&toy, fresh(&toy, &config, 1), &config, Some(until)));
            // Into a network with other first weights: everything comes from the file.
            let model = fresh(&toy, &config, 2).model;
            let again = Progress::from_bytes("toy", &stopped, model, &config).unwrap();
            assert!(bytes(&again) == stopped, "what is read is what was written");
            assert!(bytes(&learn(&toy, again, &config, None)) == bytes(&whole), "stopped after update {until}");
        }
    }
}

#[test]
fn teacher_and_queue_go_their_ways_and_a_model_file_holds_the_student() {
    let (toy, config) = (Toy { frozen: false }, config(OptimiserConfig::default()));
    let after = |updates| state(&learn(&toy, fresh(&toy, &config, 1), &config, Some(updates)));
    let all: Vec<State> = (1..=4).map(after).collect();
    let row = |updates: usize, row: usize| all[updates - 1]["queue"].1[row * WIDTH..(row + 1) * WIDTH].to_vec();
    assert_ne!(row(1, 0), row(4, 0), "six places and eight keys: the first are overwritten");
    assert_eq!((row(1, 1), row(2, 2), row(2, 3)), (row(3, 1), row(4, 2), row(4, 3)));
    assert_ne!(row(2, 4), row(3, 4));
    // A tenth of the way to the student, and nothing else.
    for name in ["input.weight", "norm.bias", "norm.running_mean", "norm.running_var", "output.bias"] {
        let of = |who: &str, updates: usize| all[updates - 1][&format!("{who}.{name}")].1.clone();
        for ((new, old), student) in of("teacher", 2).iter().zip(of("teacher", 1)).zip(of("student", 2)) {
            let expected = old * MOMENTUM as f32 + student * (1.0 - MOMENTUM) as f32;
            assert!((new - expected).abs() < 1e-6, "{name}: {new} instead of {expected}");
        }
    }
    let progress = learn(&toy, fresh(&toy, &config, 1), &config, Some(2));
    let exported = pollster::block_on(read_state(toy.exported(&progress.model))).unwrap();
    assert!(exported.contains_key("norm.running_var") && exported.keys().all(|name| !name.contains("teacher")));
}

#[test]
fn a_frozen_batch_normalisation_keeps_its_statistics() {
    let config = config(OptimiserConfig::default());
    for frozen in [true, false] {
        let toy = Toy { frozen };
        let (before, after) = (fresh(&toy, &config, 1), learn(&toy, fresh(&toy, &config, 1), &config, None));
        let (before, after) = (state(&before), state(&after));
        for name in ["running_mean", "running_var", "weight", "bias"].map(|name| format!("student.norm.{name}")) {
            assert_eq!(before[&name] == after[&name], frozen, "{name}");
        }
        assert_ne!(before["student.input.weight"], after["student.input.weight"]);
    }
}

#[test]
fn a_trial_of_memory_leaves_the_run_bit_equal() {
    let (toy, config) = (Toy { frozen: false }, config(OptimiserConfig::default()));
    for updates in [None, Some(3)] {
        let progress = fresh(&toy, &config, 1);
        let progress = if updates.is_some() { learn(&toy, progress, &config, updates) } else { progress };
        let views = vec![vec![0.5; INPUT], vec![-0.25; INPUT]];
        let mut calls = 0;
        let tried = pollster::block_on(trial(&toy, progress, &views, 5, &Device::flex(), || calls += 1)).unwrap();
        assert_eq!(calls, 2);
        let end = learn(&toy, tried, &config, None);
        let untried = learn(&toy, fresh(&toy, &config, 1), &config, None);
        assert!(bytes(&end) == bytes(&untried), "tried after {updates:?} updates");
    }
}

#[test]
fn a_batch_that_may_not_be_cut_is_not_made_of_portions() {
    let toy = Toy { frozen: false };
    let config = TrainConfig { accumulate: 2, ..config(OptimiserConfig::default()) };
    let progress = fresh(&toy, &config, 1);
    let (all, device) = ([0, 1, 2, 3], Device::flex());
    let mut feed = Direct(&toy, Vec::new().into_iter());
    let observe = async |_: Event<'_, Model>| Ok(Flow::Continue);
    let done = pollster::block_on(train(
        &toy,
        progress,
        &config,
        5,
        Samples { train: &all, val: &all, ..Samples::default() },
        &mut feed,
        &mut Here,
        &device,
        observe,
    ));
    assert!(matches!(done, Err(TrainError::Accumulated(2))));
}
