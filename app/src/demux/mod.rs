//! Videos taken apart: from the bytes of a file to the compressed frames of its first video track. Plain Rust, so that the
//! readers are tested and fuzzed natively; the worker hands the frames to the browser's decoder.

pub mod avi;
mod bounded;
mod boxes;
mod elements;
pub mod foreign;
#[cfg(test)]
mod movie;
pub mod mp4;
pub mod order;
mod part;
mod tables;
pub mod track;
pub mod webm;
