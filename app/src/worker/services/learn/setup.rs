//! What a run is made of before its first update, and what it will do.

use burn::tensor::Device;
use sonoseg_core::checkpoint;
use sonoseg_core::inference::ModelHeader;
use sonoseg_core::models::layer_set::LayerSet;
use sonoseg_core::optim::freeze::trained;
use sonoseg_core::recipe::{Further, Recipe};
use sonoseg_core::tasks::Task;
use sonoseg_core::tasks::segment::Segment;
use sonoseg_core::train::loader::{Drawn, read_views};
use sonoseg_core::train::record::{ENVIRONMENT, Environment, RECIPE, SPLIT};
use sonoseg_core::train::{Progress, trial};
use sonoseg_imaging::annotation::Project;
use sonoseg_imaging::archive::Marked;
use sonoseg_imaging::dataset::finding::Finding;
use sonoseg_imaging::dataset::split::Split;
use wasm_bindgen::{JsCast, JsValue};

use super::super::{Services, files};
use super::compute::segment;
use super::data::{self, Given};
use super::folder::RunFolder;
use crate::clock::{date_ms, now};
use crate::keeping::{ANSWERS, BEFORE, size};
use crate::messages::{Choice, Fault, LayerChoice, LearningPlan, Lesson, PlanLearning, RunAbout, RunState};
use crate::worker::{Step, pool};

/// Bytes that the memory of a worker can grow to.
const MOST: f64 = 4e9;

/// Bytes of a number.
const NUMBER: f64 = 4.0;

/// A run that can begin, or go on.
pub(super) struct Setup {
    pub(super) recipe: Recipe,
    pub(super) split: Split,
    pub(super) train: Vec<usize>,
    pub(super) val: Vec<usize>,
    /// The name of the model that it begins from.
    from: String,
    /// The model's file.
    before: Vec<u8>,
    simulated: f64,
}

impl Setup {
    /// A new run on a project, from the model in use. Gives its data and what is left out of them, too.
    pub(super) async fn new(
        lesson: &Lesson,
        choice: &Choice,
        given: &Given<'_>,
        services: &Services,
        steps: &Step,
    ) -> Result<(Self, Marked, Vec<String>), Fault> {
        let needles = lesson.finding.is_needles();
        if let Some(obstacle) = given.project.document().tally(needles).obstacle(lesson.finding.noun()) {
            return Err(Fault::Refused(obstacle));
        }
        let (from, file) = services.model.borrow().clone().ok_or(Fault::NoModel)?;
        let (_, before) = files::read(&from, &file, steps, |_| {}).await?;
        let (header, _) = ModelHeader::read(&from, &before).map_err(|error| Fault::Refused(error.to_string()))?;
        let base = header.recipe;
        if let Some(problem) = other_finding(&base, &lesson.finding, &given.project) {
            return Err(Fault::Refused(problem));
        }
        let further = further(choice)?;
        let (marked, notes) = given.marked(services, base.reads().frames, steps).await?;
        let split = data::split(&marked, &base.further(&further, 1))?;
        let [train, val] = marked.sides(&split, 1);
        if train.is_empty() {
            let frames = base.reads().frames;
            let why = if frames > 1 {
                format!(
                    "This model reads {frames} frames in a row: answer for neighbours, too, so that there are {frames} in a row."
                )
            } else {
                "None of the answered frames can be learned from: open the files of their clips.".to_owned()
            };
            return Err(Fault::Refused(why));
        }
        let mut recipe = base.further(&further, train.len());
        let known = base.trained_on.trim_end_matches('.');
        recipe.trained_on = format!("{known}; further on {} frames marked in the browser", train.len());
        let simulated = recipe.data.simulated.map_or(0.0, |simulated| simulated.share);
        Ok((Self { recipe, split, train, val, from, before, simulated }, marked, notes))
    }

    /// A run as it lies in its folder, with its data.
    pub(super) async fn of_run(
        folder: &RunFolder,
        given: &Given<'_>,
        services: &Services,
        steps: &Step,
    ) -> Result<(Self, Marked), Fault> {
        let refused = |error: String| Fault::Refused(format!("The run cannot go on: {error}"));
        let about = folder.about().await?;
        let text = folder.text(RECIPE).await;
        let recipe = Recipe::parse(RECIPE, &text, &[]).map_err(|error| refused(error.to_string()))?;
        let split: Split =
            serde_json::from_slice(&folder.read(SPLIT).await?).map_err(|error| refused(error.to_string()))?;
        let (marked, notes) = given.marked(services, recipe.reads().frames, steps).await?;
        let [train, val] = marked.sides(&split, recipe.data.stride);
        if [train.len(), val.len()] != about.samples {
            let notes = notes.join(" ");
            return Err(refused(format!(
                "it began with {} frames to learn from and {} held out, and {} and {} are here. {notes}",
                about.samples[0],
                about.samples[1],
                train.len(),
                val.len()
            )));
        }
        let before = folder.before().await?;
        Ok((Self { recipe, split, train, val, from: about.from, before, simulated: about.simulated }, marked))
    }

    /// Make the folder of a new run.
    pub(super) async fn begin(&self, given: &Given<'_>, services: &Services) -> Result<RunFolder, Fault> {
        let unwritten = |error: serde_json::Error| Fault::Refused(format!("The run cannot be written ({error})."));
        let folder = RunFolder::make().await?;
        let gpu = services.device.borrow().as_ref().is_some_and(|device| *device != Device::flex());
        let environment = Environment {
            sonoseg: env!("CARGO_PKG_VERSION").into(),
            system: "a browser".into(),
            device: if gpu { "WebGPU" } else { "CPU" }.into(),
            data: "..".into(),
            init: Some(BEFORE.into()),
            train_samples: self.train.len(),
            val_samples: self.val.len(),
        };
        folder.write(BEFORE, &self.before).await?;
        folder.write(ANSWERS, &serde_json::to_vec(&given.project).map_err(unwritten)?).await?;
        folder.write(ENVIRONMENT, &serde_json::to_vec_pretty(&environment).map_err(unwritten)?).await?;
        folder.write(SPLIT, &serde_json::to_vec_pretty(&self.split).map_err(unwritten)?).await?;
        folder.write(RECIPE, self.recipe.to_toml().as_bytes()).await?;
        let about = RunAbout {
            name: String::new(),
            state: RunState::Running,
            from: self.from.clone(),
            began_ms: date_ms(),
            updates: [0, self.recipe.train.steps.unwrap_or(0)],
            samples: [self.train.len(), self.val.len()],
            labels: given.project.document().labels(),
            layers: self.recipe.train.layers.to_string(),
            simulated: self.simulated,
            model: None,
            hash: None,
            measured: Vec::new(),
        };
        // Last: without it there is no run.
        folder.write_about(&about).await?;
        Ok(folder)
    }

    /// How its model files are headed.
    pub(super) fn header(&self) -> ModelHeader {
        ModelHeader::of(&self.recipe.described(&self.split))
    }
}

/// Why the answers of a project teach a model nothing that it looks for, if that is so.
fn other_finding(base: &Recipe, finding: &Finding, project: &Project) -> Option<String> {
    let noun = base.finding().noun().to_owned();
    if base.finding() == *finding {
        return None;
    }
    let lines = project.document().clips.values().flat_map(|record| record.answers.values());
    let lines = lines.filter(|answer| answer.needle.is_some()).count();
    Some(format!(
        "The model in use looks for a {noun}, and the answers ({lines} of them lines) are about something else: use a model that \
         looks for what you marked."
    ))
}

fn further(choice: &Choice) -> Result<Further, Fault> {
    let usual = Further::default();
    let layers = match &choice.layers {
        Some(name) => name.parse::<LayerSet>().map_err(Fault::Refused)?,
        None => usual.layers,
    };
    let updates = choice.updates.unwrap_or(usual.updates).max(1);
    Ok(Further { layers, simulated: choice.simulated, updates, ..usual })
}

impl Services {
    /// Say what a run will do.
    pub(in super::super) async fn plan_learning(
        &self,
        request: PlanLearning,
        beside: &JsValue,
        steps: &Step,
    ) -> Result<LearningPlan, Fault> {
        let PlanLearning { lesson, choice } = request;
        let given = Given::read(&lesson, beside, steps).await?;
        let (setup, mut marked, notes) = Setup::new(&lesson, &choice, &given, self, steps).await?;
        let (recipe, device) = (&setup.recipe, self.device.borrow().clone().ok_or(Fault::NoDevice)?);
        let task = segment(recipe)?;
        given.fill(self, &mut marked, steps).await?;

        let model = task.init(&device.clone().autodiff());
        let weights = |layers: LayerSet| {
            let task = Segment { layers, ..task.clone() };
            let (rules, optimiser) = (task.rules(), &recipe.train.optimiser);
            trained(&model, |name, axes| optimiser.rule(rules(name, axes)))
        };
        let layers: Vec<LayerChoice> = recipe
            .layer_sets()
            .into_iter()
            .map(|set| LayerChoice { name: set.to_string(), weights: weights(set) })
            .collect();
        let parameters = weights(LayerSet::All);
        // Weights, gradients, two moments, and as much again for what is saved and what is compared.
        let fixed = 6.0 * NUMBER * parameters as f64;
        if fixed > MOST / 2.0 {
            return Err(Fault::Refused(format!(
                "This model has {:.0} M weights and would take {} to learn, more than a browser tab can hold: let it learn with \
                 `sonoseg train`.",
                parameters as f64 / 1e6,
                size(fixed)
            )));
        }
        let state = checkpoint::decode_tensors(&setup.from, &setup.before);
        let state = state.map_err(|error| Fault::Refused(error.to_string()))?;
        let model = checkpoint::write_state(&setup.from, state, model);
        let model = model.map_err(|error| Fault::Refused(error.to_string()))?;
        let (activations, part_ms) = measured(&task, &setup, &marked, model, &device, steps).await?;

        let workers = if device == Device::flex() { pool::size() } else { 1 };
        let parts = recipe.train.accumulate.max(1);
        let update = parts * recipe.train.batch;
        // Where parts tell each other of their sums they run forward twice, which is a third of what they do besides.
        let passes = if task.loss.batch_dice && parts > 1 { 4.0 / 3.0 } else { 1.0 };
        let labelled = marked.windows().labelled_samples(None, 1).len();
        Ok(LearningPlan {
            learned: setup.train.len(),
            held_out: setup.val.len(),
            left_out: labelled - setup.train.len() - setup.val.len(),
            caveat: setup.split.caveat().map(str::to_owned),
            held: held(&setup.split),
            layers,
            chosen: recipe.train.layers.to_string(),
            updates: recipe.train.steps.unwrap_or(0),
            samples: [update, (update as f64 * setup.simulated).round() as usize],
            memory: [fixed + activations, MOST],
            workers,
            update_ms: part_ms * passes * parts.div_ceil(workers.min(parts)) as f64,
            notes,
        })
    }
}

/// What a part of an update takes of memory and of time, when all is warm.
async fn measured(
    task: &Segment,
    setup: &Setup,
    marked: &Marked,
    model: sonoseg_core::models::Network,
    device: &Device,
    steps: &Step,
) -> Result<(f64, f64), Fault> {
    let recipe = &setup.recipe;
    let samples = setup.train.iter().cycle().take(recipe.train.batch);
    let plan: Vec<Drawn> = samples.map(|&sample| Drawn { sample, changes: Some(0) }).collect();
    let views = read_views(task, marked, &plan, recipe.seed).await;
    let views = views.map_err(|error| Fault::Refused(error.to_string()))?;
    let mut progress = Progress::begin(model, &recipe.train);
    let (mut memory, mut times) = (Vec::new(), Vec::new());
    // The first one warms up.
    for _ in 0..2 {
        let around = || {
            memory.push(memory_bytes());
            times.push(now());
        };
        let tried = trial(task, progress, &views, recipe.seed, device, around).await;
        progress = tried.map_err(|error| Fault::Refused(error.to_string()))?;
        steps.between().await?;
    }
    let grown = memory.last().copied().unwrap_or(0.0) - memory.first().copied().unwrap_or(0.0);
    let took = times.chunks_exact(2).last().map_or(0.0, |pair| pair[1] - pair[0]);
    Ok((grown.max(0.0), took))
}

/// Bytes that this worker's memory has grown to.
fn memory_bytes() -> f64 {
    let memory: js_sys::WebAssembly::Memory = wasm_bindgen::memory().unchecked_into();
    memory.buffer().unchecked_into::<js_sys::ArrayBuffer>().byte_length().into()
}

/// What is held out, in words.
fn held(split: &Split) -> String {
    match (split.val.len(), split.stretches.as_slice()) {
        (0, []) => "nothing: there are too few frames".to_owned(),
        (0, stretches) => {
            let told = stretches.iter().map(|one| format!("frames {} to {}", one.first + 1, one.last + 1));
            told.collect::<Vec<_>>().join(", ")
        }
        (1, _) => format!("the recording {}", split.val.iter().next().cloned().unwrap_or_default()),
        (recordings, _) => format!("{recordings} recordings"),
    }
}
