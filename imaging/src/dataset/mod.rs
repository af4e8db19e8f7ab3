//! Samples, labels and splits: what training and evaluation read.

pub mod columns;
pub mod duplicates;
pub mod finding;
pub mod folder;
pub mod labels;
pub mod likeness;
pub mod meta;
pub mod procedure;
pub mod sample;
pub mod split;
pub mod table;
pub mod windows;
