//! Samples, labels and splits: what training and evaluation read.

pub mod duplicates;
pub mod finding;
pub mod labels;
pub mod likeness;
pub mod sample;
pub mod split;
