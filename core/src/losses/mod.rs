//! Losses on tensors.

pub mod overlap;
pub mod pixels;
