//! Everything that passes between page and worker: requests with their answers, and why one has none. Big buffers travel
//! beside the message, moved and not copied; files as handles that only the worker reads.

mod files;
mod learn;
#[cfg(target_arch = "wasm32")]
pub mod post;
mod predict;
mod project;

pub use files::{
    CheckFile, ClipId, ClipInfo, FileNumber, FrameRead, OpenFile, PixelInfo, ReadFrames, Reading, UnpackFile, Unpacked,
};
pub use learn::{
    Choice, DeleteRun, Ended, FinishLearning, Gradients, JudgeRun, Judgement, KeepRun, LayerChoice, Learn, Learning,
    LearningPlan, Lesson, ListRuns, LookAt, Looked, Measurement, PlanLearning, RunAbout, RunId, RunLine, RunState,
    TakeRunOut,
};
pub use predict::{
    DeviceChoice, DeviceInfo, Forward, Layer, LoadModel, MeasureDevices, Measured, ModelInfo, Predict, Predicted,
    StartDevice, TestingDevice, Timings, UseDevice,
};
pub use project::{
    AppendEntries, BringBack, DeleteProject, KeepMedia, KeepPlace, KeptModel, ListProjects, MakeProject, OpenProject,
    OpenedProject, Output, Packing, Place, ProjectId, ProjectLine, ProjectList, RenameProject, TakeOut, TakenOut,
};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Number of a request; the page never uses one twice.
pub type RequestId = u32;

/// What the worker answers once, in its own time.
pub trait Request: Into<Call> {
    /// The answer.
    type Answer: Serialize + DeserializeOwned;
}

/// A request that tells more while it runs.
pub trait Job: Request {
    /// One thing that it tells.
    type Item: Serialize + DeserializeOwned;
}

/// Every request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Call {
    /// Choose and check the device.
    StartDevice(StartDevice),
    /// Measure both devices.
    MeasureDevices(MeasureDevices),
    /// Run the model on another device.
    UseDevice(UseDevice),
    /// Load a model file.
    LoadModel(LoadModel),
    /// Open a file as the clip.
    OpenFile(OpenFile),
    /// Say whether a file can be read.
    CheckFile(CheckFile),
    /// Take the files out of a zip.
    UnpackFile(UnpackFile),
    /// Frames of the clip for display.
    ReadFrames(ReadFrames),
    /// Find what the model looks for in a frame.
    Predict(Predict),
    /// What the network computes of its input.
    Forward(Forward),
    /// All projects that are kept in this browser.
    ListProjects(ListProjects),
    /// Keep a new project.
    MakeProject(MakeProject),
    /// Open a project.
    OpenProject(OpenProject),
    /// Write entries to the journal of the open project.
    AppendEntries(AppendEntries),
    /// Remember where the user of the open project is.
    KeepPlace(KeepPlace),
    /// Call a project otherwise.
    RenameProject(RenameProject),
    /// Delete a project.
    DeleteProject(DeleteProject),
    /// Keep the file of a clip.
    KeepMedia(KeepMedia),
    /// Take something out of a project.
    TakeOut(TakeOut),
    /// Make a project of an archive.
    BringBack(BringBack),
    /// Say what a run will do.
    PlanLearning(PlanLearning),
    /// Learn.
    Learn(Learn),
    /// Stop learning, and keep the best.
    FinishLearning(FinishLearning),
    /// All runs in this browser.
    ListRuns(ListRuns),
    /// Compare a run's model with the one before.
    JudgeRun(JudgeRun),
    /// Keep a run's model.
    KeepRun(KeepRun),
    /// Delete a run.
    DeleteRun(DeleteRun),
    /// Take a run out as a file.
    TakeRunOut(TakeRunOut),
    /// Where models look.
    LookAt(LookAt),
    /// Compute gradients.
    Gradients(Gradients),
}

impl Call {
    /// What it is about.
    pub fn subject(&self) -> Subject {
        match self {
            Self::StartDevice(_)
            | Self::MeasureDevices(_)
            | Self::UseDevice(_)
            | Self::Forward(_)
            | Self::Gradients(_) => Subject::Device,
            Self::PlanLearning(_)
            | Self::Learn(_)
            | Self::FinishLearning(_)
            | Self::ListRuns(_)
            | Self::JudgeRun(_)
            | Self::KeepRun(_)
            | Self::DeleteRun(_)
            | Self::LookAt(_)
            | Self::TakeRunOut(_) => Subject::Learning,
            Self::LoadModel(_) | Self::OpenFile(_) | Self::CheckFile(_) | Self::UnpackFile(_) => Subject::File,
            Self::ReadFrames(request) => Subject::Pixels(request.clip),
            Self::Predict(request) => Subject::Prediction(request.clip),
            Self::ListProjects(_)
            | Self::MakeProject(_)
            | Self::OpenProject(_)
            | Self::AppendEntries(_)
            | Self::KeepPlace(_)
            | Self::RenameProject(_)
            | Self::DeleteProject(_)
            | Self::KeepMedia(_)
            | Self::TakeOut(_)
            | Self::BringBack(_) => Subject::Project,
        }
    }
}

/// What a request is about, to tell who is to blame when the worker dies of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The choice of the device.
    Device,
    /// A file as a whole.
    File,
    /// Frames of this clip.
    Pixels(ClipId),
    /// What the model finds in a frame of this clip.
    Prediction(ClipId),
    /// Projects, or one of them.
    Project,
    /// A run that learns, or its model.
    Learning,
}

/// From the page to the worker. The file that a request is about travels beside it, or a list of files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToWorker {
    /// Answer this.
    Ask {
        /// Number of the request.
        id: RequestId,
        /// What is asked.
        call: Call,
    },
    /// The answer is not wanted any more.
    Cancel {
        /// Number of the request.
        id: RequestId,
    },
}

/// From the worker to the page. Items and answers travel beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromWorker {
    /// The worker runs and takes requests.
    Awake,
    /// A job tells something.
    Item {
        /// Number of the request.
        id: RequestId,
    },
    /// A request is done.
    Answer {
        /// Number of the request.
        id: RequestId,
    },
    /// A request has no answer.
    Fault {
        /// Number of the request.
        id: RequestId,
        /// The reason.
        fault: Fault,
    },
}

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Fault {
    /// A file, a frame or a model cannot be used; the sentence names the file and the reason.
    #[error("{0}")]
    Refused(String),
    /// The clip that was asked about is not open.
    #[error("The clip was closed.")]
    NoClip,
    /// No model is loaded.
    #[error("No model is loaded.")]
    NoModel,
    /// No device was chosen.
    #[error("No device is ready yet.")]
    NoDevice,
    /// The page does not want the answer any more.
    #[error("It was cancelled.")]
    Cancelled,
    /// The worker died first.
    #[error("The worker stopped ({reason}).")]
    Died {
        /// What the browser says.
        reason: String,
        /// Whether it died of this request.
        blame: Blame,
    },
}

/// Whether a request is what the worker died of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Blame {
    /// Another one is, or the device.
    No,
    /// It is.
    Once,
    /// It is, and another one about the same clip was before.
    Again,
}

/// What happened to the worker below the level of [`FromWorker`]: sent by `start-worker.js`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "trouble", rename_all = "lowercase")]
pub enum Trouble {
    /// The graphics device is gone, or reported an error.
    Device {
        /// What the browser says.
        reason: String,
    },
    /// The worker is dying of a bug or of a request.
    Crash {
        /// What the browser says.
        reason: String,
        /// The request that it was working on.
        request: Option<RequestId>,
    },
    /// The worker could not be loaded.
    Start {
        /// What the browser says.
        reason: String,
    },
}

/// How much of the worker's program is loaded, in bytes: sent by `start-worker.js`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Loading {
    /// So many are here.
    pub loaded: f64,
    /// So many there are; 0 where that is not known.
    pub of: f64,
}

impl std::fmt::Display for Loading {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [loaded, all] = [self.loaded, self.of].map(|bytes| bytes / 1e6);
        if all > 0.0 { write!(formatter, "{loaded:.1} of {all:.1} MB") } else { write!(formatter, "{loaded:.1} MB") }
    }
}

macro_rules! requests {
    ($($request:ident -> $answer:ty),* $(,)?) => {
        $(impl Request for $request {
            type Answer = $answer;
        }

        impl From<$request> for Call {
            fn from(request: $request) -> Self {
                Self::$request(request)
            }
        })*
    };
}

requests! {
    StartDevice -> DeviceInfo,
    MeasureDevices -> Measured,
    UseDevice -> DeviceInfo,
    LoadModel -> ModelInfo,
    OpenFile -> ClipInfo,
    CheckFile -> ClipId,
    UnpackFile -> Vec<String>,
    ReadFrames -> (),
    Predict -> Predicted,
    Forward -> (),
    ListProjects -> ProjectList,
    MakeProject -> ProjectLine,
    OpenProject -> OpenedProject,
    AppendEntries -> usize,
    KeepPlace -> (),
    RenameProject -> (),
    DeleteProject -> (),
    KeepMedia -> (),
    TakeOut -> Vec<String>,
    BringBack -> OpenedProject,
    PlanLearning -> LearningPlan,
    Learn -> Ended,
    FinishLearning -> (),
    ListRuns -> Vec<RunLine>,
    JudgeRun -> Judgement,
    KeepRun -> (),
    DeleteRun -> (),
    TakeRunOut -> Vec<String>,
    LookAt -> Looked,
    Gradients -> (),
}

impl Job for StartDevice {
    type Item = TestingDevice;
}

impl Job for OpenFile {
    type Item = Reading;
}

impl Job for UnpackFile {
    type Item = Unpacked;
}

impl Job for ReadFrames {
    type Item = FrameRead;
}

impl Job for TakeOut {
    type Item = Packing;
}

impl Job for BringBack {
    type Item = Packing;
}

impl Job for PlanLearning {
    type Item = Learning;
}

impl Job for Learn {
    type Item = Learning;
}

impl Job for JudgeRun {
    type Item = Learning;
}

impl Job for TakeRunOut {
    type Item = Packing;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loading_is_told_in_megabytes() {
        assert_eq!(Loading { loaded: 1_240_000.0, of: 9_800_000.0 }.to_string(), "1.2 of 9.8 MB");
        assert_eq!(Loading { loaded: 1_240_000.0, of: 0.0 }.to_string(), "1.2 MB");
    }
}
