//! The slow sweep of a procedure: across the knee, with the small errors of a hand.

use super::anatomy::Pose;
use super::config::KneeSimConfig;
use crate::rng::Rng;
use crate::synthetic::config::{draw, draw_sign};
use crate::synthetic::field::Noise1;

/// Distance across the plane after which speckle is another, mm.
const SLICE_MM: f64 = 1.4;

/// A frame of a sweep.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) pose: Pose,
    /// Mixing angle of the two slices of speckle, rad.
    pub(super) slice: f64,
}

impl Moment {
    /// The middle of the patella, at rest.
    pub(super) const MIDDLE: Self =
        Self { pose: Pose { across: 0.0, slip: 0.0, pressed: 1.0, tilt_db: 0.0 }, slice: 0.0 };
}

/// The frames of a sweep.
pub(super) fn draw_sweep(config: &KneeSimConfig, frames: usize, rng: &mut Rng) -> Vec<Moment> {
    let length = draw(rng, config.sweep_mm) * draw_sign(rng);
    let middle = draw(rng, config.middle_mm);
    let (slip, pressure) = (draw(rng, config.slip_mm), draw(rng, config.pressure));
    let tilt_db = rng.uniform(0.0, 9.0);
    let start = rng.uniform(0.0, std::f64::consts::PI);
    let hand = Noise1::draw(rng);
    // Of a few frames the sweep is a part, not all of it in large steps.
    let length = length.signum() * length.abs().min(0.6 * frames as f64);
    (0..frames)
        .map(|frame| {
            let t = if frames > 1 { frame as f64 / (frames - 1) as f64 } else { 0.5 };
            let seconds = frame as f64 / config.machine_fps.max(1e-3);
            let across = middle + length * (t - 0.5) + 0.3 * hand.at(0.7 * seconds + 60.0);
            let pose = Pose {
                across,
                slip: slip * hand.at(0.5 * seconds),
                pressed: 1.0 - pressure * (0.5 + 0.5 * hand.at(0.4 * seconds + 120.0)),
                tilt_db: tilt_db * (0.5 + 0.5 * hand.at(0.35 * seconds + 180.0)),
            };
            // A plane across which the knee slides has new scatterers; a hand at rest has them, too, after a while.
            Moment { pose, slice: start + across / SLICE_MM + 0.1 * seconds }
        })
        .collect()
}
