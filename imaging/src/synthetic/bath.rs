//! A phantom in a water bath: dark water, the phantom's bright rim, and often a bright plate that it stands on.

use super::config::{NeedleSimConfig, amplitude, draw, draw_sign, happens};
use super::field::Field;
use super::structures::polar;
use super::tissue::Anatomy;
use crate::rng::Rng;

/// Water and what is around it, in probe-following coordinates, mm.
pub(super) struct Bath {
    /// Depth of the rim under the middle of the face.
    depth: f64,
    slope: f64,
    /// Rise of the rim's arc per mm squared.
    arc: f64,
    /// Place of a side wall and which side of it is water: -1 or 1.
    wall: Option<(f64, f64)>,
    /// Depth and slope of the plate.
    plate: Option<(f64, f64)>,
    rim_db: f64,
    plate_db: f64,
    water_db: f64,
    below_plate_db: f64,
    /// Thickness of the rim, mm.
    thickness: f64,
    /// Times that the sound runs to and fro between rim and probe.
    repeats: usize,
    uneven_db: f64,
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

    fn rim(&self, a: f64) -> f64 {
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

    /// Add rim, side wall and plate.
    pub(super) fn add(&self, anatomy: &Anatomy<'_>, field: &mut Field, rng: &mut Rng) {
        let phase = rng.uniform(0.0, std::f64::consts::TAU);
        let step = anatomy.probe.sample_mm();
        let sheets = 1 + (self.thickness / 0.25) as usize;
        for beam in 0..field.beams - 1 {
            let a = anatomy.along(beam);
            let wave = anatomy.edge.at(0.21 * a + 90.0);
            let mut line = |depth: f64, db: f64| {
                for sheet in 0..sheets {
                    let level = amplitude(db + self.uneven_db * wave) * 0.5 * 0.75f64.powi(sheet as i32);
                    let (re, im) = polar(level, phase + 0.6 * anatomy.edge.at(0.5 * a) + 2.0 * sheet as f64);
                    field.add(beam as f64, (depth + 0.25 * sheet as f64) / step, re, im);
                }
            };
            let wet = self.wall.is_some_and(|(wall, side)| (a - wall) * side > 0.0);
            let rim = self.rim(a);
            let dry_rim = !wet && self.plate.is_none_or(|(depth, slope)| rim < depth + slope * a);
            if dry_rim && rim > 0.0 {
                // A slanted rim sends most of the sound away.
                let slant_db = 14.0 * (self.slope + 2.0 * self.arc * a).abs().min(1.5);
                for repeat in 0..=self.repeats {
                    line(rim * (1 + repeat) as f64, (self.rim_db - slant_db).max(8.0) - 16.0 * repeat as f64);
                }
            }
            if let Some((depth, slope)) = self.plate {
                line(depth + slope * a, self.plate_db);
            }
        }
        if let Some((wall, _)) = self.wall {
            let bottom = self.plate.map_or(anatomy.probe.depth_mm, |(depth, slope)| depth + slope * wall);
            let mut u = self.rim(wall).max(0.0);
            while u < bottom {
                let (beam, sample) = anatomy.cell(wall + 0.03 * (u - self.depth), u);
                let (re, im) = polar(0.3 * amplitude(8.0 + self.uneven_db * anatomy.edge.at(0.4 * u)), phase + u);
                field.add(beam, sample, re, im);
                u += 0.6 * step;
            }
        }
    }
}
