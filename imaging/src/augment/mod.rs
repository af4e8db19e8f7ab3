//! Random changes of a sample, the same for all its frames and for its targets.
//!
//! Yang 2024 (section 4.2) crops, flips and changes colours, Amiri 2019 (section 2.1) shifts, rotates, flips, shears
//! and zooms; neither gives numbers. The crop follows torchvision. Gamma, blur and noise are in neither paper.
//!
//! Geometry first (crop; rotation, shear, zoom and shift of the resized square; flip), then photometry (blur, gamma,
//! brightness and contrast, noise).
//!
//! What DenseCL and MoCo v2 do to their two views beside this, saturation, hue and dropping the colours, changes no grey
//! picture, and every picture is grey before it comes here: there are no settings for it, and it costs nothing. They blur
//! after the jitter and not before it; apart from what is clamped to [0, 1] in between the result is the same.

mod geometry;
mod intensity;
mod warp;

pub use geometry::Crop;
use serde::{Deserialize, Serialize};
pub use warp::Warp;

use crate::geometry::Image;
use crate::geometry::resize;
use crate::rng::Rng;

/// How strongly training samples are changed. Zero ranges switch a change off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AugmentConfig {
    /// Share of the image area that a crop keeps, drawn from this range.
    pub crop_scale: [f64; 2],
    /// Width over height of the crop, relative to the image, drawn log-uniformly from this range.
    pub crop_ratio: [f64; 2],
    /// Probability of mirroring left and right.
    pub flip: f64,
    /// Rotation drawn from -x to x, in degrees.
    pub rotation_deg: f64,
    /// Shift of columns against rows drawn from -x to x, as the tangent of the angle.
    pub shear: f64,
    /// Zoom factor drawn from `1 - x` to `1 + x`.
    pub zoom: f64,
    /// Shift in both directions drawn from -x to x, as a share of the size.
    pub shift: f64,
    /// Brightness factor drawn from `1 - x` to `1 + x`.
    pub brightness: f64,
    /// Contrast factor about the mean drawn from `1 - x` to `1 + x`.
    pub contrast: f64,
    /// Gamma drawn log-uniformly from `1 / (1 + x)` to `1 + x`.
    pub gamma: f64,
    /// Probability that brightness, contrast and gamma change at all (torchvision's colour jitter with a probability).
    #[serde(skip_serializing_if = "is_one")]
    pub jitter: f64,
    /// Standard deviation of a Gaussian blur, drawn from `blur_least_px` to this, in pixels of the network input.
    pub blur_px: f64,
    /// Smallest standard deviation of the blur.
    #[serde(skip_serializing_if = "is_zero")]
    pub blur_least_px: f64,
    /// Probability of the blur.
    #[serde(skip_serializing_if = "is_one")]
    pub blur: f64,
    /// Standard deviation of added noise, drawn from 0 to this, in units of full scale.
    pub noise: f64,
    /// Probability that all frames of a window are its middle one: so a network of several frames reads stills.
    #[serde(skip_serializing_if = "is_zero")]
    pub still: f64,
}

impl Default for AugmentConfig {
    fn default() -> Self {
        Self {
            crop_scale: [0.5, 1.0],
            crop_ratio: [3.0 / 4.0, 4.0 / 3.0],
            flip: 0.5,
            rotation_deg: 0.0,
            shear: 0.0,
            zoom: 0.0,
            shift: 0.0,
            brightness: 0.2,
            contrast: 0.2,
            gamma: 0.0,
            jitter: 1.0,
            blur_px: 0.0,
            blur_least_px: 0.0,
            blur: 1.0,
            noise: 0.0,
            still: 0.0,
        }
    }
}

/// Left out of recipes, so that those without it are the ones of before.
fn is_zero(number: &f64) -> bool {
    *number == 0.0
}

/// As [`is_zero`].
fn is_one(number: &f64) -> bool {
    *number == 1.0
}

impl AugmentConfig {
    /// What makes these ranges impossible, if anything.
    pub fn problem(&self) -> Option<String> {
        let rises = |[low, high]: [f64; 2], most: f64| low > 0.0 && low <= high && high <= most;
        if !rises(self.crop_scale, 1.0) {
            return Some("crop_scale must rise within (0, 1]".into());
        }
        if !rises(self.crop_ratio, f64::MAX) {
            return Some("crop_ratio must rise from above 0".into());
        }
        let ranges = [
            ("rotation_deg", self.rotation_deg, 180.0),
            ("shear", self.shear, 1.0),
            ("zoom", self.zoom, 0.9),
            ("shift", self.shift, 1.0),
            ("still", self.still, 1.0),
            ("jitter", self.jitter, 1.0),
            ("blur", self.blur, 1.0),
            ("blur_least_px", self.blur_least_px, self.blur_px),
        ];
        let wrong = ranges.into_iter().find(|(_, range, most)| !(0.0..=*most).contains(range));
        wrong.map(|(name, range, most)| format!("{name} must lie in 0..={most}, not {range}"))
    }
}

/// One draw of all changes, to be applied to every frame of a sample.
#[derive(Clone, Debug)]
pub struct Augmentation {
    /// Part of the image that is kept.
    pub crop: Crop,
    /// Change of the resized square, before it is mirrored.
    pub warp: Option<Warp>,
    /// Mirror left and right.
    pub flip: bool,
    photometry: intensity::Photometry,
}

impl Augmentation {
    /// Draw for an image of `height` x `width`.
    pub fn draw(config: &AugmentConfig, [height, width]: [usize; 2], rng: &mut Rng) -> Self {
        let crop = Crop::draw(config, [height, width], rng);
        let flip = rng.chance(config.flip);
        let photometry = intensity::Photometry::draw(config, rng);
        // Last, so that settings without it go on drawing what they always drew.
        Self { crop, flip, photometry, warp: Warp::draw(config, rng) }
    }

    /// No change at all.
    pub fn none([height, width]: [usize; 2]) -> Self {
        Self { crop: Crop::whole([height, width]), warp: None, flip: false, photometry: intensity::Photometry::none() }
    }

    /// A frame cropped, resized to `[size, size]` and changed; `rng` draws the noise of this frame, none = no photometry.
    pub fn square(&self, frame: &Image, size: usize, rng: Option<&mut Rng>) -> Vec<f32> {
        let crop = [self.crop.height, self.crop.width];
        let pixels = self.crop.pixels(&frame.to_grey());
        let mut square = resize::bilinear_antialiased(&pixels, crop, [size, size]);
        if let Some(warp) = &self.warp {
            square = warp.pixels(&square, size);
        }
        if let Some(rng) = rng {
            self.apply(&mut square, size, rng);
        }
        square
    }

    /// Change the pixels of a resized square in place: the flip and the photometry.
    fn apply(&self, pixels: &mut [f32], size: usize, rng: &mut Rng) {
        if self.flip {
            pixels.chunks_exact_mut(size).for_each(<[f32]>::reverse);
        }
        self.photometry.apply(pixels, size, rng);
    }
}
