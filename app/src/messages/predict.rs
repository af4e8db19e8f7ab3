//! Requests about the device, the model, and what the model finds.

use serde::{Deserialize, Serialize};
use sonoseg_imaging::dataset::finding::Finding;
use sonoseg_imaging::geometry::{Detection, Spacing};

use super::ClipId;

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

/// Choose and check the device. A job: it tells which one it is testing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartDevice {
    /// What may be used.
    pub device: DeviceChoice,
    /// Why it was chosen, when it was not the first choice; shown to the user.
    pub because: Option<String>,
    /// Treat the self-test as failed (for tests).
    pub fail_selftest: bool,
}

/// The graphics device of this name is being tested against the CPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestingDevice(pub String);

/// The device that runs the model, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceInfo {
    /// True for WebGPU, false for the CPU.
    pub gpu: bool,
    /// Adapter name, or `CPU (SIMD)`.
    pub name: String,
    /// Why the CPU is used, or what was checked on the GPU.
    pub reason: String,
    /// Frames that it predicts side by side.
    pub side_by_side: usize,
}

/// Measure how long the model in use takes on the GPU and on the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeasureDevices;

/// What a prediction takes in the network, in milliseconds, when all is warm.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// On WebGPU.
    pub gpu_ms: f64,
    /// On the CPU.
    pub cpu_ms: f64,
}

/// Run the model in use on another device from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UseDevice {
    /// True for WebGPU, false for the CPU.
    pub gpu: bool,
    /// Why, for the user.
    pub because: String,
}

/// Load a model file. When it is refused, the model before it stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadModel {
    /// File name for messages.
    pub name: String,
}

/// What a model file says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// File name.
    pub name: String,
    /// Hash of the file, known as those of clips are.
    pub id: ClipId,
    /// Architecture and preset, for people.
    pub architecture: String,
    /// Number of parameters.
    pub parameters: usize,
    /// What it was trained on.
    pub trained_on: String,
    /// What it finds.
    pub finding: Finding,
    /// Edge of its square input in pixels.
    pub input_size: usize,
    /// Frames that one prediction reads.
    pub window: usize,
    /// Probability above which it marks a pixel.
    pub threshold: f64,
}

/// Find what the model looks for in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Predict {
    /// The clip that the frame belongs to.
    pub clip: ClipId,
    /// The frame, from 0.
    pub frame: usize,
}

/// What the network computes of its input (buffer 0, 32-bit numbers): asked by the worker of its helpers. The answer has two
/// buffers, probabilities and features.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    /// Channels of the input.
    pub channels: usize,
    /// Edge of the square input in pixels.
    pub size: usize,
}

/// What the model found in one frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Predicted {
    /// All that it found.
    pub layers: Vec<Layer>,
    /// Whether the picture is unlike anything that the model learned from.
    pub unlike_training: bool,
    /// How long it took.
    pub timings: Timings,
}

/// One kind of finding in a frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Layer {
    /// A class for each shown pixel, of those that [`ModelInfo::finding`] names.
    Mask {
        /// The buffer that holds it, packed by [`crate::overlay::pack`].
        buffer: usize,
    },
    /// How sure the model is of each pixel, at the size of its square input, from 0 to 255.
    Probability {
        /// The buffer that holds it.
        buffer: usize,
        /// Edge of the square in pixels.
        size: usize,
    },
    /// A needle; there is no such layer where none is seen.
    Needle {
        /// The shaft in pixels of the frame.
        detection: Detection,
        /// Millimetres, where the file has a scale at both ends.
        spacing: Option<Spacing>,
    },
}

/// Milliseconds of the parts of a prediction.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timings {
    /// To resize and normalise.
    pub prepare_ms: f64,
    /// In the network, reading the result back included.
    pub model_ms: f64,
    /// To bring the mask to the frame's size and fit the line.
    pub fit_ms: f64,
}
