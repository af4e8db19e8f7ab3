#![doc = "Images, needles, formats, data sets, metrics and the simulator of sonoseg: everything without a tensor, bytes in, bytes out; see ARCHITECTURE.md."]
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a failed test may panic"))]

pub mod annotation;
pub mod archive;
pub mod augment;
pub mod baseline;
pub mod dataset;
mod error;
pub mod evaluate;
pub mod formats;
pub mod geometry;
pub mod metrics;
pub mod outlines;
pub mod prepare;
pub mod rng;
pub mod synthetic;

pub use error::DataError;
