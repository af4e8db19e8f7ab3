//! What training and evaluation read: frames with what is known about them, grouped by procedure.

use crate::DataError;
use crate::geometry::{Image, Mask, Needle, Point};

/// What is known about one frame.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// Nothing: nobody has said.
    Unknown,
    /// The visible shaft, or that no needle is visible.
    Needle(Option<Needle>),
    /// A class per pixel.
    Mask(Mask),
    /// The class of the whole frame.
    Class(u8),
    /// Every object by itself.
    Instances(Vec<Instance>),
    /// A class per voxel, row-major `[z, y, x]`, where the frame is a volume.
    Labels(Vec<u8>),
}

impl Target {
    /// Whether it is a label: a mask that nobody judged anywhere is none.
    pub fn is_known(&self) -> bool {
        match self {
            Self::Unknown => false,
            Self::Mask(mask) => mask.is_judged(),
            _ => true,
        }
    }

    /// Whether there is something to find: a needle, a class but the background. True where only a look at other things
    /// could tell.
    pub fn shows_something(&self) -> bool {
        match self {
            Self::Unknown | Self::Needle(None) => false,
            Self::Mask(mask) => !mask.is_empty(),
            Self::Labels(labels) => labels.iter().any(|&label| label > 0),
            Self::Needle(Some(_)) | Self::Class(_) | Self::Instances(_) => true,
        }
    }

    /// What is known, in a few words for a sentence.
    pub fn what(&self) -> &'static str {
        match self {
            Self::Unknown => "no label",
            Self::Needle(_) => "the ends of a needle",
            Self::Mask(_) => "a mask",
            Self::Class(_) => "a class of the whole picture",
            Self::Instances(_) => "boxes of objects",
            Self::Labels(_) => "labels of a volume",
        }
    }
}

/// One object of a frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// Its class, from 1.
    pub class: u8,
    /// Corners of the box around it: the upper left one, the lower right one.
    pub corners: [Point; 2],
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
    /// One target per frame.
    pub targets: Vec<Target>,
}

/// Where samples come from: a folder, or memory.
pub trait Source: Sync {
    /// Number of samples.
    fn len(&self) -> usize;

    /// True when there is no sample.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The group of a sample, without reading its frames.
    fn group(&self, index: usize) -> &str;

    /// Read a sample; a browser waits for its files.
    fn load(&self, index: usize) -> impl Future<Output = Result<Sample, DataError>>;
}
