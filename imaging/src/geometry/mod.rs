//! Images, masks, needles, and the scale that turns pixels into millimetres.
//!
//! Coordinates: x to the right, y down, in pixels, with the **centre of the first pixel at (0, 0)**, so that a pixel
//! covers [-0.5, 0.5). Files, labels and geometry all use it.

mod image;
mod mask;
mod needle;
mod point;
pub mod resize;
mod spacing;
mod volume;
pub mod width;

pub use image::Image;
pub use mask::Mask;
pub use needle::{Detection, FitConfig, Needle, draw_capsule, fit, fit_mask, shaft_of};
pub(crate) use needle::{line, refine_on, with_deeper_tip};
pub use point::Point;
pub use spacing::{Scale, ScaleRegion, Spacing};
pub use volume::{Orientation, Volume};
