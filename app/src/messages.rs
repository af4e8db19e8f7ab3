//! Everything that passes between page and worker. Big buffers travel beside the message, moved and not copied.

use serde::{Deserialize, Serialize};

/// Which device the worker may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeviceChoice {
    /// WebGPU when a real adapter passes the self-test, otherwise the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// WebGPU even on a software adapter (for tests); the CPU when the self-test fails.
    WebGpu,
}

/// What the page asks of the worker. Handled one after the other, in the order sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// Choose and check the device. Answered by [`Report::Device`].
    Start {
        /// What may be used.
        device: DeviceChoice,
        /// Why it was chosen, when it was not the first choice; shown to the user.
        because: Option<String>,
        /// Treat the self-test as failed (for tests).
        fail_selftest: bool,
    },
    /// Load a model file (buffer 0). Answered by [`Report::Model`] or [`Report::ModelRefused`].
    LoadModel {
        /// File name for messages.
        name: String,
    },
    /// Open a file (buffer 0) as the clip. Answered by [`Report::Opened`] or [`Report::Refused`].
    Open {
        /// Number of the file, chosen by the page.
        file: u32,
        /// File name for messages.
        name: String,
    },
    /// Say whether a file (buffer 0) can be read, without showing it. Answered by [`Report::Checked`] or `Refused`.
    Check {
        /// Number of the file, chosen by the page.
        file: u32,
        /// File name for messages.
        name: String,
    },
    /// Send frames of the clip for display. Answered by one [`Report::Frame`] each.
    Frames {
        /// The file that they belong to.
        file: u32,
        /// First frame, from 0.
        first: usize,
        /// How many.
        count: usize,
    },
    /// Find what the model looks for in a frame. Answered by [`Report::Predicted`] or [`Report::Failed`].
    Predict {
        /// The file that the frame belongs to.
        file: u32,
        /// The frame, from 0.
        frame: usize,
    },
}

/// What the worker tells the page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Report {
    /// The worker runs and takes commands.
    Awake,
    /// What start-up is doing, for the status line.
    Stage(String),
    /// The device that is used from now on.
    Device(DeviceReport),
    /// The model that is used from now on.
    Model(ModelReport),
    /// A model file was not taken; the model before it stays.
    ModelRefused {
        /// The reason, naming the file.
        reason: String,
    },
    /// The clip that is shown from now on.
    Opened(ClipReport),
    /// A file can be read.
    Checked {
        /// Number of the file.
        file: u32,
    },
    /// A file cannot be read.
    Refused {
        /// Number of the file.
        file: u32,
        /// The reason, naming the file.
        reason: String,
    },
    /// Pixels of a frame for display (buffer 0: `[shown height, shown width, channels]`, one byte each).
    Frame {
        /// The file that it belongs to.
        file: u32,
        /// The frame, from 0.
        frame: usize,
        /// 1 grey or 3 colour.
        channels: usize,
        /// Milliseconds to decode it.
        decode_ms: f64,
    },
    /// What the model found in a frame (buffer 0: the mask, one bit per shown pixel, row-major, lowest bit first).
    Predicted(PredictionReport),
    /// A frame could not be decoded or predicted.
    Failed {
        /// The file that it belongs to.
        file: u32,
        /// The frame, from 0.
        frame: usize,
        /// True when a prediction was asked for, false when its pixels were.
        predicting: bool,
        /// The reason.
        reason: String,
    },
    /// Something worth knowing about the clip or the device.
    Note(String),
    /// The worker is about to die of a bug or of the device.
    Crashed {
        /// The panic message.
        reason: String,
    },
}

/// The device that runs the model, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceReport {
    /// True for WebGPU, false for the CPU.
    pub gpu: bool,
    /// Adapter name, or `CPU (SIMD)`.
    pub name: String,
    /// Why the CPU is used, or what was checked on the GPU.
    pub reason: String,
}

/// What a model file says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelReport {
    /// File name.
    pub name: String,
    /// Architecture and preset, for people.
    pub architecture: String,
    /// Number of parameters.
    pub parameters: usize,
    /// What it was trained on.
    pub trained_on: String,
    /// The class of masks that it marks, or `any`. None = needles.
    pub class: Option<String>,
    /// Edge of its square input in pixels.
    pub input_size: usize,
    /// Frames that one prediction reads.
    pub window: usize,
    /// Milliseconds to load it.
    pub load_ms: f64,
}

/// A clip that was opened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClipReport {
    /// Number of the file.
    pub file: u32,
    /// File name.
    pub name: String,
    /// Frames, at least 1.
    pub frames: usize,
    /// Rows of a frame.
    pub height: usize,
    /// Columns of a frame.
    pub width: usize,
    /// Frames are shown smaller by this whole number, so that huge images fit into memory.
    pub shrink: usize,
    /// When each frame is shown, in microseconds from the first; empty for stills.
    pub times_us: Vec<u64>,
    /// False where the file does not tell the times and 15 frames per second are assumed.
    pub times_known: bool,
    /// True when the file has a millimetre scale for at least a part of the image.
    pub scale_known: bool,
}

impl ClipReport {
    /// Rows of the shown picture.
    pub fn shown_height(&self) -> usize {
        self.height.div_ceil(self.shrink)
    }

    /// Columns of the shown picture.
    pub fn shown_width(&self) -> usize {
        self.width.div_ceil(self.shrink)
    }
}

/// What the model found in one frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PredictionReport {
    /// The file that it belongs to.
    pub file: u32,
    /// The frame, from 0.
    pub frame: usize,
    /// The needle, where one is seen.
    pub needle: Option<NeedleReport>,
    /// Milliseconds to decode the frames that were read.
    pub decode_ms: f64,
    /// Milliseconds to resize and normalise.
    pub prepare_ms: f64,
    /// Milliseconds of the network, reading the result back included.
    pub model_ms: f64,
    /// Milliseconds to bring the mask to the frame's size and fit the line.
    pub fit_ms: f64,
}

/// The needle in one frame, in pixels of the frame (first pixel centre at (0, 0)), millimetres where the scale is known.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NeedleReport {
    /// Visible end nearest the skin, `(x, y)`.
    pub entry: (f64, f64),
    /// Visible end deepest in the tissue, `(x, y)`.
    pub tip: (f64, f64),
    /// How sure the model is, 0 to 1.
    pub confidence: f64,
    /// Radius of uncertainty round the tip in pixels.
    pub tip_spread_px: f64,
    /// Acute angle to the probe face in degrees.
    pub angle_deg: f64,
    /// Visible length in pixels.
    pub length_px: f64,
    /// Lengths in millimetres, where the scale is known.
    pub millimetres: Option<Millimetres>,
}

/// Lengths in millimetres, where the file has a scale at the needle.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Millimetres {
    /// Visible length.
    pub length: f64,
    /// Radius of uncertainty round the tip.
    pub tip_spread: f64,
}

/// What happened to the worker below the level of [`Report`]: sent by `start-worker.js` and by the browser.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trouble {
    /// `lost`, `gpu`, `crash` or `start`.
    pub trouble: String,
    /// What the browser says.
    pub reason: String,
}
