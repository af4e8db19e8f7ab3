//! Losses on tensors.

pub mod overlap;
