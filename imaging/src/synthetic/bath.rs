//! A phantom in a water bath: dark water, the phantom's bright rim, and often a bright plate that it stands on.

use super::config::{NeedleSimConfig, draw, draw_sign, happens};
use crate::rng::Rng;

/// Water and what is around it, in probe-following coordinates, mm.
pub(super) struct Bath {
    /// Depth of the rim under the middle of the face.
    pub(super) depth: f64,
    pub(super) slope: f64,
    /// Rise of the rim's arc per mm squared.
    pub(super) arc: f64,
    /// Place of a side wall and which side of it is water: -1 or 1.
    pub(super) wall: Option<(f64, f64)>,
    /// Depth and slope of the plate.
    pub(super) plate: Option<(f64, f64)>,
    pub(super) rim_db: f64,
    pub(super) plate_db: f64,
    pub(super) water_db: f64,
    pub(super) below_plate_db: f64,
    /// Thickness of the rim, mm.
    pub(super) thickness: f64,
    /// Times that the sound runs to and fro between rim and probe.
    pub(super) repeats: usize,
    pub(super) uneven_db: f64,
}

impl Bath {
    pub(super) fn draw(config: &NeedleSimConfig, depth_mm: f64, half_mm: f64, rng: &mut Rng) -> Option<Self> {
        if !happens(rng, config.bath_share) {
            return None;
        }
        let slope = draw_sign(rng) * draw(rng, config.rim_deg).to_radians().tan();
        let depth = rng.uniform(0.08, 0.6) * depth_mm;
        let plate = rng.chance(0.5).then(|| (rng.uniform(0.65, 0.95) * depth_mm, 0.06 * rng.normal()));
        Some(Self {
            depth,
            slope,
            arc: if rng.chance(0.5) { rng.uniform(-0.15, 0.3) / half_mm } else { 0.0 },
            wall: rng.chance(0.3).then(|| (rng.uniform(-0.8, 0.8) * half_mm, draw_sign(rng))),
            plate,
            rim_db: draw(rng, config.rim_db),
            plate_db: draw(rng, config.rim_db) + 4.0,
            water_db: rng.uniform(-60.0, -28.0),
            below_plate_db: rng.uniform(-40.0, -6.0),
            thickness: rng.uniform(0.1, 1.6),
            repeats: rng.below(3),
            uneven_db: rng.uniform(1.0, 9.0),
        })
    }

    /// Depth of the rim.
    pub(super) fn rim(&self, a: f64) -> f64 {
        self.depth + self.slope * a + self.arc * a * a
    }

    /// What water or the plate takes from the echoes at `(a, u)`, dB: 0 in the phantom.
    pub(super) fn loss_db(&self, a: f64, u: f64) -> f64 {
        let outside = self.wall.is_some_and(|(wall, side)| (a - wall) * side > 0.0);
        if self.plate.is_some_and(|(depth, slope)| u > depth + slope * a) {
            return self.below_plate_db;
        }
        if outside || u < self.rim(a) { self.water_db } else { 0.0 }
    }
}
