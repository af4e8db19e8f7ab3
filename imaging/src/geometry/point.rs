//! A place in an image.

use serde::{Deserialize, Serialize};

use super::Spacing;

/// A point in image pixels (see [`crate::geometry`] for the frame of reference).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Column, to the right.
    pub x: f64,
    /// Row, downwards.
    pub y: f64,
}

impl Point {
    /// Distance to another point in pixels.
    pub fn distance_px(self, other: Self) -> f64 {
        (self.x - other.x).hypot(self.y - other.y)
    }

    /// Distance to another point in millimetres.
    pub fn distance_mm(self, other: Self, spacing: Spacing) -> f64 {
        ((self.x - other.x) * spacing.x_mm).hypot((self.y - other.y) * spacing.y_mm)
    }

    /// The same place after the image was resized from `[height, width]` to `[height, width]`, pixel centres kept:
    /// `x' = (x + 0.5) * width' / width - 0.5`.
    #[must_use]
    pub fn scaled(self, from: [usize; 2], to: [usize; 2]) -> Self {
        let axis = |value: f64, from: usize, to: usize| (value + 0.5) * to as f64 / from as f64 - 0.5;
        Self { x: axis(self.x, from[1], to[1]), y: axis(self.y, from[0], to[0]) }
    }
}
