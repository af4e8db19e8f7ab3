//! Requests about learning: what a run will do, learning itself, how good its model is, and the runs that are kept.

use serde::{Deserialize, Serialize};
use sonoseg_imaging::dataset::finding::Finding;
use sonoseg_imaging::evaluate::Gate;

use super::ClipId;

/// A run is known by the name of its folder in the browser's storage.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RunId(pub String);

/// What can be chosen for a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// Which layers learn, as recipes name them; none = the recipe's own choice.
    pub layers: Option<String>,
    /// Share of what is learned from that comes from the simulator.
    pub simulated: f64,
    /// Updates in all; none = the recipe's own number.
    pub updates: Option<u64>,
}

impl Default for Choice {
    fn default() -> Self {
        Self { layers: None, simulated: 0.5, updates: None }
    }
}

/// What is learned from: beside the request travel the project as JSON and the files of `clips`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lesson {
    /// What is looked for.
    pub finding: Finding,
    /// The clips whose files are here.
    pub clips: Vec<ClipId>,
}

/// Say what a run will do before it starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanLearning {
    /// What is learned from.
    pub lesson: Lesson,
    /// What was chosen.
    pub choice: Choice,
}

/// A set of layers that can learn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerChoice {
    /// As recipes name it.
    pub name: String,
    /// Weights that it has.
    pub weights: usize,
}

/// What a run will do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LearningPlan {
    /// Samples to learn from.
    pub learned: usize,
    /// Samples that are held out.
    pub held_out: usize,
    /// Labelled frames that are neither, because they lie too near to those held out.
    pub left_out: usize,
    /// What whoever reads the figures has to know.
    pub caveat: Option<String>,
    /// The clips or stretches that are held out, in words.
    pub held: String,
    /// What can learn.
    pub layers: Vec<LayerChoice>,
    /// What is chosen of it.
    pub chosen: String,
    /// Updates in all.
    pub updates: u64,
    /// Samples of an update, and how many of them are simulated.
    pub samples: [usize; 2],
    /// Bytes that learning takes in each worker, and those that there are.
    pub memory: [f64; 2],
    /// Workers that compute side by side.
    pub workers: usize,
    /// What an update takes, in milliseconds, measured.
    pub update_ms: f64,
    /// What is not as it could be, a sentence each.
    pub notes: Vec<String>,
}

/// Learn: begin a run, or go on with one. A job: it tells [`Learning`], and is paused by being cancelled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Learn {
    /// The run to go on with; none = a new one.
    pub run: Option<RunId>,
    /// What is learned from; a run that goes on has the answers that it began with.
    pub lesson: Lesson,
    /// What was chosen; a run that goes on has what it began with.
    pub choice: Choice,
    /// A crash is wanted after so many updates (for tests).
    pub crash_after: Option<u64>,
}

/// What a run tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Learning {
    /// What it is doing before its first update.
    Doing(String),
    /// It begins or goes on. What it has behind it comes as updates and measurements.
    Began {
        /// The run.
        run: RunId,
        /// Updates in all.
        updates: u64,
    },
    /// An update was made.
    Update {
        /// Its number, from 1.
        update: u64,
        /// Mean loss of its samples.
        loss: f64,
        /// Seconds that updates and measurements have taken so far.
        seconds: f64,
    },
    /// It was measured on what is held out.
    Measured(Measurement),
    /// What the newest weights make of the pinned frames: a buffer of `size` x `size` pictures, grey and probability in turn.
    Pinned {
        /// Names of the frames.
        names: Vec<String>,
        /// Edge of a picture in pixels.
        size: usize,
        /// Updates that the weights have behind them; 0 = the model that it began from.
        update: u64,
    },
}

/// A point of the held-out curves.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// Updates so far.
    pub update: u64,
    /// Loss of what is held out.
    pub loss: Option<f64>,
    /// Its IoU.
    pub iou: Option<f64>,
    /// Median distance of the tip, in pixels of the network's input.
    pub tip_px: Option<f64>,
    /// Whether it is the best so far.
    pub best: bool,
}

/// How a run ended, for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    /// It is done.
    Done,
    /// It was paused, and can go on.
    Paused,
}

/// Stop learning after the update of the moment, and keep the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinishLearning {}

/// All runs in this browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListRuns {}

/// A run of the list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunLine {
    /// Which.
    pub id: RunId,
    /// What it says of itself.
    pub about: RunAbout,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunState {
    /// It learns, or would if its tab were open.
    #[default]
    Running,
    /// A user paused it.
    Paused,
    /// It is over, and nobody has decided yet.
    Done,
    /// Its model is kept.
    Kept,
}

/// What a run says of itself in `run.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunAbout {
    /// What people call its model.
    pub name: String,
    /// How far it is.
    pub state: RunState,
    /// The name of the model that it began from.
    pub from: String,
    /// When it began, in milliseconds since 1970.
    pub began_ms: u64,
    /// Updates that are done, and all of them.
    pub updates: [u64; 2],
    /// Samples that were learned from, and that were held out.
    pub samples: [usize; 2],
    /// Hash of the labels that it saw.
    pub labels: String,
    /// What of the network learned, as recipes name it.
    pub layers: String,
    /// Share of what was learned from that came from the simulator.
    pub simulated: f64,
    /// The file of its model in its folder, once there is one.
    pub model: Option<String>,
    /// The hash of that file, once it is kept: a model in use is known by it.
    #[serde(default)]
    pub hash: Option<ClipId>,
    /// The points of its curves.
    #[serde(default)]
    pub measured: Vec<Measurement>,
}

/// Compare the model of a run with the one that it began from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JudgeRun {
    /// Which.
    pub run: RunId,
    /// What it learned from.
    pub lesson: Lesson,
}

/// Old and new model side by side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// On frames that are held out.
    pub held_out: Gate,
    /// Where each frame of it is, in the same order.
    pub places: Vec<(ClipId, usize)>,
    /// On simulated frames that nobody learned from; none where no needles are looked for.
    pub simulated: Gate,
    /// What whoever reads the figures has to know.
    pub caveat: Option<String>,
}

/// Keep the model of a run under this name. Another name for one that is kept is the same request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeepRun {
    /// Which.
    pub run: RunId,
    /// What people call it.
    pub name: String,
}

/// Delete a run with its model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteRun {
    /// Which.
    pub run: RunId,
}

/// Take a run out as a zip that goes on natively: the data that it learned from, and the run itself. A job, as
/// [`TakeOut`](super::TakeOut) is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TakeRunOut {
    /// Which.
    pub run: RunId,
    /// What it learned from.
    pub lesson: Lesson,
}

/// Where a run's model looks, before learning and now, for a place in a picture. Beside the request travels the picture, grey
/// `[size, size]`. The answer has a buffer for each map, all those of before first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LookAt {
    /// Which run.
    pub run: RunId,
    /// Edge of the picture in pixels.
    pub size: usize,
    /// The place, from 0 to 1 from the left and from the top.
    pub at: [f64; 2],
}

/// Maps of attention, square, 255 where a model attends most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Looked {
    /// Patches along an edge; 0 for a network that has no attention.
    pub grid: usize,
    /// Maps of a model: one for each block that its decoder reads.
    pub maps: usize,
}

/// Compute gradients: asked by the worker of its helpers. Buffers: the weights, then the views of every part. The answer has a
/// buffer for every part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gradients {
    /// The recipe of the run, as TOML.
    pub recipe: String,
    /// The key of every part, as JSON.
    pub keys: Vec<String>,
    /// What all parts of the update have together; none: each part's share of that is asked for, and no gradients.
    pub whole: Option<Vec<f32>>,
}
