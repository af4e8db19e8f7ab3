//! Learning in the tab: the loop, recipe, task and files of the trainer, with the answers of the project as its data.
//!
//! | part | file |
//! |---|---|
//! | what a run learns from | `data` |
//! | what it is made of before its first update, and what it will do | `setup` |
//! | its folder in the browser's own file system | `folder` |
//! | its views, made ahead | `ahead` |
//! | its parts, computed side by side | `compute` |
//! | what happens in it, written down and told to the page | `watch` |
//! | its model against the one before | `gate` |

mod ahead;
mod compute;
mod data;
mod folder;
mod gate;
mod setup;
mod watch;

use burn::tensor::Device;
use sha2::{Digest, Sha256};
use sonoseg_core::checkpoint;
use sonoseg_core::tasks::Task;
use sonoseg_core::tasks::segment::Segment;
use sonoseg_core::train::record::{FINISHED, RESUME};
use sonoseg_core::train::{Progress, Samples, TrainError, train};
use sonoseg_imaging::dataset::sample::{Source, Target};
use sonoseg_imaging::synthetic::Beside;
use wasm_bindgen::JsValue;

use super::Services;
use crate::keeping::ANSWERS;
use crate::messages::{ClipId, DeleteRun, Ended, Fault, KeepRun, Learn, Learning, RunLine, RunState};
use crate::worker::{Step, channel};
use ahead::Ahead;
pub(super) use compute::Learner;
use compute::SideBySide;
use data::Given;
use folder::RunFolder;
use setup::Setup;
use watch::Watch;

impl Services {
    /// Begin a run, or go on with one.
    pub(super) async fn learn(&self, request: Learn, beside: &JsValue, steps: &Step) -> Result<Ended, Fault> {
        if self.learning.replace(true) {
            return Err(Fault::Refused("A run is learning already: pause it first.".to_owned()));
        }
        self.finish.set(false);
        let ended = self.learn_alone(&request, beside, steps).await;
        self.learning.set(false);
        ended
    }

    async fn learn_alone(&self, request: &Learn, beside: &JsValue, steps: &Step) -> Result<Ended, Fault> {
        tell(steps, &Learning::Doing("Reading the frames".to_owned()));
        let given = Given::read(&request.lesson, beside, steps).await?;
        let (folder, given, setup, mut marked) = match &request.run {
            Some(run) => {
                let folder = RunFolder::open(run).await?;
                let given = given.with_project(&folder.read(ANSWERS).await?)?;
                let (setup, marked) = Setup::of_run(&folder, &given, self, steps).await?;
                (Some(folder), given, setup, marked)
            }
            None => {
                let (setup, marked, _) = Setup::new(&request.lesson, &request.choice, &given, self, steps).await?;
                (None, given, setup, marked)
            }
        };
        given.fill(self, &mut marked, steps).await?;
        if !shows_something(&marked, &setup.train).await? {
            let noun = setup.recipe.finding().noun().to_owned();
            return Err(Fault::Refused(format!(
                "None of the {} frames that would be learned from shows a {noun}: correct or accept more frames that do.",
                setup.train.len()
            )));
        }
        steps.check()?;
        let folder = match folder {
            Some(folder) => folder,
            None => setup.begin(&given, self).await?,
        };

        let device = self.device.borrow().clone().ok_or(Fault::NoDevice)?;
        let task = compute::segment(&setup.recipe)?;
        let progress = progress(&folder, &setup, &task, &device).await?;
        let simulated = setup.recipe.simulated();
        let source = Beside::new(&marked, simulated.as_ref());
        let others = source.simulated();
        let samples = Samples {
            train: &setup.train,
            beside: &others,
            share: setup.recipe.data.simulated.map_or(0.0, |simulated| simulated.share),
            val: &setup.val,
        };
        let (config, seed) = (&setup.recipe.train, setup.recipe.seed);
        let ahead = Ahead::new(&task, &source, seed);
        let (mut feed, recipe) = (&ahead, setup.recipe.to_toml());
        let mut compute = SideBySide { services: self, recipe, helpers: device == Device::flex(), ahead: &ahead };
        let mut watch = Watch::new(self, steps, &folder, &setup, &marked, &device, &progress.position).await?;
        watch.crash_after = request.crash_after;
        let trained = {
            let observe = async |event: sonoseg_core::train::Event<'_, _>| {
                watch.tell(event).await.map_err(|fault| Box::new(fault).into())
            };
            train(&task, progress, config, seed, samples, &mut feed, &mut compute, &device, observe).await
        };
        match trained {
            Ok(done) if watch.paused => {
                watch.save(&done).await?;
                watch.end(RunState::Paused).await?;
                Ok(Ended::Paused)
            }
            Ok(done) => {
                let position = serde_json::to_vec_pretty(&done.position).unwrap_or_default();
                folder.write(FINISHED, &position).await?;
                watch.end(RunState::Done).await?;
                Ok(Ended::Done)
            }
            Err(error) => {
                watch.end(RunState::Done).await?;
                Err(Fault::Refused(explained(&error)))
            }
        }
    }

    /// All runs in this browser.
    pub(super) async fn list_runs(&self) -> Result<Vec<RunLine>, Fault> {
        RunFolder::all().await
    }

    /// Keep the model of a run under a name.
    pub(super) async fn keep_run(&self, request: &KeepRun) -> Result<(), Fault> {
        let folder = RunFolder::open(&request.run).await?;
        let mut about = folder.about().await?;
        let Some(model) = &about.model else {
            return Err(Fault::Refused("The run has no model yet: let it learn on first.".to_owned()));
        };
        about.hash = Some(ClipId(Sha256::digest(folder.whole(model).await?).into()));
        (about.name, about.state) = (request.name.clone(), RunState::Kept);
        folder.write_about(&about).await
    }

    /// Delete a run with its model.
    pub(super) async fn delete_run(&self, request: &DeleteRun) -> Result<(), Fault> {
        RunFolder::remove(&request.run).await
    }
}

/// Where a run stands: as it was saved, or at its beginning, with the model that it begins from.
async fn progress(
    folder: &RunFolder,
    setup: &Setup,
    task: &Segment,
    device: &Device,
) -> Result<Progress<sonoseg_core::models::Network>, Fault> {
    let refused = |error: checkpoint::CheckpointError| Fault::Refused(error.to_string());
    device.seed(setup.recipe.seed);
    let model = task.init(&device.clone().autodiff());
    // What is saved is whole, or there is nothing saved yet.
    if let Ok(saved) = folder.whole(RESUME).await {
        return Progress::from_bytes("The run", &saved, model, &setup.recipe.train).map_err(refused);
    }
    let state = checkpoint::decode_tensors("The model", &folder.before().await?).map_err(refused)?;
    let model = checkpoint::write_state("The model", state, model).map_err(refused)?;
    let progress = Progress::begin(model, &setup.recipe.train);
    folder.write(RESUME, &progress.to_bytes().await.map_err(refused)?).await?;
    Ok(progress)
}

/// Whether any of the samples shows what is looked for.
async fn shows_something(marked: &impl Source, samples: &[usize]) -> Result<bool, Fault> {
    for &sample in samples {
        let sample = marked.load(sample).await.map_err(|error| Fault::Refused(error.to_string()))?;
        if sample.targets.iter().any(Target::shows_something) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn explained(error: &TrainError) -> String {
    match error {
        TrainError::Diverged { loss, .. } => format!(
            "Learning went wrong: the loss became {loss}. It stopped, and the best model so far is kept. Let fewer layers learn, or \
             look for frames whose answer is wrong."
        ),
        TrainError::Observer(error) => error.to_string(),
        error => format!("Learning stopped: {error}."),
    }
}

fn tell(steps: &Step, learning: &Learning) {
    channel::item::<Learn>(steps.id, learning, &[]);
}
