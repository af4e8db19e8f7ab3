//! Pictures that show what a network has learned.

pub mod filters;
pub mod grid;
pub mod reconstruct;
