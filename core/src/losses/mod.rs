//! Losses on tensors.

pub mod classes;
pub mod overlap;
pub mod pixels;
