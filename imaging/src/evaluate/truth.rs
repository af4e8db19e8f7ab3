//! What is known about a frame that is measured.

use crate::dataset::sample::{Sample, Target};
use crate::geometry::{Mask, Needle};

/// What is known about a sample's middle frame.
#[derive(Clone, Debug, PartialEq)]
pub enum Truth {
    /// The visible needle, or that there is none.
    Needle(Option<Needle>),
    /// The pixels of the class.
    Mask(Mask),
}

/// The label of a sample's middle frame; `None` when it or another frame that the network reads with it has none. A mask
/// that nobody judged anywhere is none.
pub fn truth(sample: &Sample) -> Option<Truth> {
    if !sample.targets.iter().all(Target::is_known) {
        return None;
    }
    match &sample.targets[sample.targets.len() / 2] {
        Target::Needle(needle) => Some(Truth::Needle(*needle)),
        Target::Mask(mask) => Some(Truth::Mask(mask.clone())),
        _ => None,
    }
}
