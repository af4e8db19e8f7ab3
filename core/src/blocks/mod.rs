//! Parts that more than one network uses.

pub mod batch_norm;
pub mod conv;
pub mod interpolate;
pub mod linear;
pub mod masking;
pub mod patches;
pub mod positions;
pub mod transformer;
pub mod up;
