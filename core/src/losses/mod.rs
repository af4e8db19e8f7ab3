//! Losses on tensors.

pub mod contrast;
pub mod overlap;
pub mod pixels;
