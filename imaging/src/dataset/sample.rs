//! What training and evaluation read: frames with what is known about them, grouped by procedure.

use crate::DataError;
use crate::geometry::Needle;
use crate::geometry::{Image, Mask};

/// What is known about one frame.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// The visible shaft, or that no needle is visible.
    Needle(Option<Needle>),
    /// A class per pixel.
    Mask(Mask),
}

/// One or several consecutive frames of one procedure, with their targets.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Name for reports, for example `p003/000017`.
    pub id: String,
    /// Procedure, patient or video. Splits never cut a group.
    pub group: String,
    /// Frames in time order.
    pub frames: Vec<Image>,
    /// One target per frame, or empty when nothing is known.
    pub targets: Vec<Target>,
}

/// Where samples come from: a folder, browser files, the simulator.
pub trait Source: Sync {
    /// Number of samples.
    fn len(&self) -> usize;

    /// True when there is no sample.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The group of a sample, without reading its frames.
    fn group(&self, index: usize) -> &str;

    /// Read a sample.
    fn load(&self, index: usize) -> Result<Sample, DataError>;
}
