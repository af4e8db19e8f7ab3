//! A run that begins in the page on what people marked: the trainer goes on with it, and begins it, with the same numbers.

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::path::Path;

use burn::tensor::Device;
use serde_json::Value;
use sonoseg_core::checkpoint::{self, State, Storage};
use sonoseg_core::inference::ModelHeader;
use sonoseg_core::models::{Network, NetworkConfig};
use sonoseg_core::recipe::{Further, Recipe, TaskVisitor};
use sonoseg_core::tasks::Task;
use sonoseg_core::tasks::segment::{Segment, View};
use sonoseg_core::train::loader::{BatchPlan, read_views};
use sonoseg_core::train::parts::{Compute, Computed, Here, Part, gradients};
use sonoseg_core::train::record::{ENVIRONMENT, Environment, METRICS, RECIPE, RESUME, SPLIT, line};
use sonoseg_core::train::{Event, Feed, Flow, Progress, Samples, TrainError, train};
use sonoseg_imaging::DataError;
use sonoseg_imaging::archive::{ClipFacts, Marked};
use sonoseg_imaging::dataset::finding::Finding;
use sonoseg_imaging::dataset::sample::Source;
use sonoseg_imaging::dataset::split::{Split, SplitConfig};
use sonoseg_imaging::synthetic::Beside;
use zip::ZipArchive;

use crate::archive::{export, project};
use crate::workspace::{Workspace, succeeds, text};

/// Updates of the run, and those after which it is taken out of the page.
const UPDATES: u64 = 6;
const TAKEN_OUT: u64 = 3;

/// Reads when it is asked, as the page does.
struct WhenAsked<'a, S>(&'a Segment, &'a S, u64, std::vec::IntoIter<BatchPlan>);

impl<S: Source> Feed<View> for WhenAsked<'_, S> {
    fn start(&mut self, plans: Vec<BatchPlan>) {
        self.3 = plans.into_iter();
    }

    async fn next(&mut self) -> Option<Result<Vec<View>, DataError>> {
        Some(read_views(self.0, self.1, &self.3.next()?, self.2).await)
    }
}

/// Computes every part with a model of its own, as helpers do: weights and gradients travel as bytes.
struct Helpers(Recipe);

impl Compute<Segment> for Helpers {
    async fn compute(
        &mut self,
        task: &Segment,
        model: &Network,
        parts: Vec<Part<View>>,
        device: &Device,
        take: &mut impl FnMut(Computed<()>),
    ) -> Result<(), TrainError> {
        let weights = checkpoint::read_state(model).await.unwrap();
        let weights = checkpoint::encode(&(), &weights, Storage::F32).unwrap();
        for part in parts {
            let ((), weights): ((), State) = checkpoint::decode("weights", &weights).unwrap();
            let helper = checkpoint::write_state("weights", weights, task.init(&device.clone().autodiff())).unwrap();
            let (rules, optimiser) = (task.rules(), self.0.train.optimiser.clone());
            let helper = sonoseg_core::optim::freeze::freeze(helper, |name, axes| optimiser.rule(rules(name, axes)));
            let computed = gradients(task, &helper, &part, device).await?;
            let bytes = computed.to_bytes(&helper).await.unwrap();
            take(Computed::from_bytes(model, &bytes).unwrap());
        }
        Ok(())
    }
}

fn segment(recipe: &Recipe) -> Segment {
    struct Marks;
    impl TaskVisitor for Marks {
        type Output = Option<Segment>;
        fn visit<T: Task + 'static>(self, task: T, _: NetworkConfig) -> Option<Segment> {
            let task: Box<dyn std::any::Any> = Box::new(task);
            task.downcast::<Segment>().ok().map(|task| *task)
        }
    }
    recipe.visit(Marks).unwrap()
}

/// The project in memory, as the page has it, with the recipe and the split of a run on it.
struct Tab {
    marked: Marked,
    recipe: Recipe,
    split: Split,
    before: Vec<u8>,
}

impl Tab {
    fn new(before: Vec<u8>, layers: &str) -> Self {
        let (project, clips) = project();
        let keys: Vec<String> = project.document().clips.keys().cloned().collect();
        let facts = keys
            .iter()
            .zip(&clips)
            .map(|(key, frames)| (key.clone(), ClipFacts { scale: frames[0].scale.clone(), ..ClipFacts::default() }));
        let facts: BTreeMap<String, ClipFacts> = facts.collect();
        let base = ModelHeader::read("before", &before).unwrap().0.recipe;
        let mut marked = Marked::new(&project, &facts, &Finding::Needles, base.reads().frames).unwrap();
        for (key, frames) in marked.wanted() {
            let clip = keys.iter().position(|other| *other == key).unwrap();
            frames.into_iter().for_each(|frame| marked.put(&key, frame, &clips[clip][frame]).unwrap());
        }
        let chosen =
            Further { updates: UPDATES, layers: layers.parse().unwrap(), simulated: 0.5, ..Further::default() };
        let config = |recipe: &Recipe| SplitConfig {
            val_share: recipe.data.val_share,
            stride: 1,
            folds: 0,
            fold: 0,
            seed: recipe.seed,
            labels_count: true,
        };
        let split = marked.split(&config(&base.further(&chosen, 1))).unwrap();
        let mut recipe = base.further(&chosen, marked.sides(&split, 1)[0].len());
        // Two measurements on the way.
        recipe.train.passes_per_epoch = 2;
        recipe.train.epochs = UPDATES;
        Self { marked, recipe, split, before }
    }

    /// Learn until so many updates are made. Gives the lines of `metrics.jsonl`, and the run.
    fn learn(&self, until: u64, compute: &mut impl Compute<Segment>) -> (Vec<Value>, Progress<Network>) {
        let (task, device) = (segment(&self.recipe), Device::flex());
        device.seed(self.recipe.seed);
        let state = checkpoint::decode_tensors("before", &self.before).unwrap();
        let model = checkpoint::write_state("before", state, task.init(&device.clone().autodiff())).unwrap();
        let progress = Progress::begin(model, &self.recipe.train);
        let simulated = self.recipe.simulated();
        let source = Beside::new(&self.marked, simulated.as_ref());
        let (others, [learned, val]) = (source.simulated(), self.marked.sides(&self.split, 1));
        let share = self.recipe.data.simulated.unwrap().share;
        let samples = Samples { train: &learned, beside: &others, share, val: &val };
        let mut feed = WhenAsked(&task, &source, self.recipe.seed, Vec::new().into_iter());
        let mut lines = Vec::new();
        let observe = async |event: Event<'_, Network>| {
            lines.push(line(&event, 0.0));
            let stop = matches!(event, Event::Step { progress, .. } if progress.position.updates == until);
            Ok(if stop { Flow::Stop } else { Flow::Continue })
        };
        let config = &self.recipe.train;
        let seed = self.recipe.seed;
        let learned = train(&task, progress, config, seed, samples, &mut feed, compute, &device, observe);
        let progress = pollster::block_on(learned).unwrap();
        (lines, progress)
    }

    /// The files of the run, as the page takes them out beside the project.
    fn take_out(&self, data: &Path, lines: &[Value], progress: &Progress<Network>) {
        let (project, clips) = project();
        ZipArchive::new(Cursor::new(export(&project, &clips))).unwrap().extract(data).unwrap();
        let run = data.join("run");
        fs::create_dir(&run).unwrap();
        let [learned, val] = self.marked.sides(&self.split, 1);
        let environment = Environment {
            sonoseg: "test".into(),
            system: "a browser".into(),
            device: "CPU".into(),
            data: "..".into(),
            init: None,
            train_samples: learned.len(),
            val_samples: val.len(),
        };
        let split = serde_json::to_string(&self.split).unwrap();
        let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
        for (file, bytes) in [
            (ENVIRONMENT, serde_json::to_vec(&environment).unwrap()),
            (SPLIT, split.clone().into_bytes()),
            (RECIPE, self.recipe.to_toml().into_bytes()),
            (METRICS, lines.into_bytes()),
            ("before.safetensors", self.before.clone()),
            (RESUME, pollster::block_on(progress.to_bytes()).unwrap()),
        ] {
            fs::write(run.join(file), bytes).unwrap();
        }
        fs::write(data.join(SPLIT), split).unwrap();
    }
}

/// All numbers of the lines but the time.
fn numbers(lines: &[Value]) -> Vec<(String, f64)> {
    let of_line = |line: &Value| {
        let line = line.as_object().unwrap().clone();
        line.into_iter().filter(|(key, _)| key != "seconds").filter_map(|(key, value)| Some((key, value.as_f64()?)))
    };
    lines.iter().flat_map(of_line).collect()
}

fn history(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join(METRICS)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn alike(a: &[Value], b: &[Value], tolerance: f64) {
    let (a, b) = (numbers(a), numbers(b));
    assert_eq!(a.len(), b.len(), "{a:?}\n{b:?}");
    for ((name, one), (other, two)) in a.iter().zip(&b) {
        assert!(name == other && (one - two).abs() <= tolerance, "{name} {one}, {other} {two}");
    }
}

#[test]
fn a_run_of_the_page_goes_on_natively_and_begins_there_with_the_same_losses() {
    let workspace = Workspace::new();
    let data = workspace.simulate("data", "5");
    let before = fs::read(workspace.train(&data, "base", &[]).join("last.safetensors")).unwrap();
    let tab = Tab::new(before, "last-1");
    let (straight, _) = tab.learn(UPDATES, &mut Here);
    let steps = |lines: &[Value]| lines.iter().filter(|line| line["step"].is_u64()).count() as u64;
    assert_eq!(steps(&straight), UPDATES);
    assert!(straight.iter().any(|line| line["val_iou"].is_f64()), "something is held out: {straight:?}");

    // As many workers as parts give the same bits as one.
    let (helped, _) = tab.learn(UPDATES, &mut Helpers(tab.recipe.clone()));
    assert_eq!(numbers(&helped), numbers(&straight));

    let (lines, stopped) = tab.learn(TAKEN_OUT, &mut Here);
    let taken_out = workspace.path("taken-out");
    tab.take_out(&taken_out, &lines, &stopped);
    let run = taken_out.join("run");
    succeeds(&["train", "--resume", text(&run), "--data", text(&taken_out), "--device", "flex"]);
    alike(&history(&run)[..straight.len()], &straight, 1e-5);

    let (recipe, init) = (run.join(RECIPE), run.join("before.safetensors"));
    let again = workspace.path("again");
    let settings = ["train", text(&recipe), "--data", text(&taken_out), "--init", text(&init), "--out", text(&again)];
    succeeds(&[&settings[..], &["--device", "flex"]].concat());
    alike(&history(&again)[..straight.len()], &straight, 1e-5);
}
