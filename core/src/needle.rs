//! The needle as a line.

use serde::{Deserialize, Serialize};

/// A point in image pixels (see [`crate::data::image`] for the frame of reference).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Column, to the right.
    pub x: f64,
    /// Row, downwards.
    pub y: f64,
}

/// The visible shaft of a needle.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Needle {
    /// Visible end nearest the skin.
    pub entry: Point,
    /// Visible end deepest in the tissue.
    pub tip: Point,
}
