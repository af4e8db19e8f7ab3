//! Losses on tensors.

pub mod classes;
pub mod contrast;
pub mod overlap;
pub mod pixels;
