//! What looks like a needle at any angle and is none: specular sheets, which are a little curved, and stubs, which are
//! straight but shorter or thicker.

use super::config::{NeedleSimConfig, amplitude, draw, draw_count, draw_sign};
use super::field::Field;
use super::structures::polar;
use super::tissue::Anatomy;
use crate::rng::Rng;

/// A line of echoes in `(a, u)`, mm and rad.
struct Sheet {
    centre: (f64, f64),
    angle: f64,
    length: f64,
    /// Height of the arc over the length.
    bow: f64,
    /// Height of its waves over the length.
    wave: f64,
    thickness: f64,
    db: f64,
    /// Depth of its uneven places, dB.
    uneven_db: f64,
    /// Distance of the copy below it, mm.
    copy: Option<f64>,
}

/// What an upright sheet loses, dB.
const SLANT_DB: f64 = 9.0;
/// Steepest look-alike, degrees.
const STEEPEST_DEG: f64 = 85.0;

impl Anatomy<'_> {
    /// Add the sheets and stubs of a procedure.
    pub(super) fn add_sheets(&self, config: &NeedleSimConfig, field: &mut Field, rng: &mut Rng) {
        let half = self.along(field.beams - 1);
        let depth = self.probe.depth_mm;
        let place = |rng: &mut Rng| (rng.uniform(-0.9, 0.9) * half, rng.uniform(0.06, 0.92) * depth);
        let turn = |rng: &mut Rng| draw_sign(rng) * rng.uniform(0.0, STEEPEST_DEG).to_radians();
        for _ in 0..draw_count(rng, config.sheets) {
            let sheet = Sheet {
                centre: place(rng),
                angle: turn(rng),
                length: rng.uniform(0.2, 1.1) * (2.0 * half).min(depth),
                bow: draw_sign(rng) * draw(rng, config.sheet_bow),
                wave: rng.uniform(0.0, 0.02),
                thickness: if rng.chance(0.6) { 0.0 } else { rng.uniform(0.3, 1.8) },
                db: draw(rng, config.sheet_db),
                uneven_db: rng.uniform(1.0, 10.0),
                copy: rng.chance(0.2).then(|| rng.uniform(0.8, 3.0)),
            };
            add(self, &sheet, field, rng);
        }
        for _ in 0..draw_count(rng, config.stubs) {
            let thick = rng.chance(0.5);
            let sheet = Sheet {
                centre: place(rng),
                angle: turn(rng),
                length: if thick { rng.uniform(4.0, 20.0) } else { rng.uniform(1.0, 3.0) } * self.unit,
                bow: 0.02 * rng.normal(),
                wave: 0.0,
                thickness: if thick { rng.uniform(1.6, 4.0) * self.unit } else { 0.0 },
                db: draw(rng, config.sheet_db) - if thick { 4.0 } else { 0.0 },
                uneven_db: rng.uniform(1.0, 6.0),
                copy: None,
            };
            add(self, &sheet, field, rng);
        }
    }
}

fn add(anatomy: &Anatomy<'_>, sheet: &Sheet, field: &mut Field, rng: &mut Rng) {
    let step = 0.5 * anatomy.probe.sample_mm().min(anatomy.probe.beam_mm(0.4 * anatomy.probe.depth_mm));
    let (sin, cos) = sheet.angle.sin_cos();
    // A mirror that stands steep sends most of the sound elsewhere.
    let slant_db = SLANT_DB * sin * sin;
    let steps = (sheet.length / step).ceil().max(2.0) as usize;
    let lines = 1 + (sheet.thickness / 0.3) as usize;
    let phase = rng.uniform(0.0, std::f64::consts::TAU);
    let offset = rng.uniform(0.0, 200.0);
    // Each echo stands for the share of a cell that one step covers; steep lines put several in one beam.
    let strength = 0.5 * amplitude(sheet.db - slant_db) / (lines as f64).sqrt();
    let copies: &[(f64, f64)] = match sheet.copy {
        Some(distance) => &[(0.0, 1.0), (distance, 0.4)],
        None => &[(0.0, 1.0)],
    };
    for line in 0..lines {
        let shift = (line as f64 / lines as f64 - 0.5) * sheet.thickness;
        let own = if lines > 1 { rng.uniform(0.0, std::f64::consts::TAU) } else { phase };
        for k in 0..=steps {
            let t = k as f64 / steps as f64 - 0.5;
            let along = t * sheet.length;
            let wave = anatomy.edge.at(4.0 * t + offset) * sheet.wave;
            let across = sheet.length * (sheet.bow * (4.0 * t * t - 1.0) + wave) + shift;
            let (a, u) = (sheet.centre.0 + along * cos - across * sin, sheet.centre.1 + along * sin + across * cos);
            let uneven = sheet.uneven_db * anatomy.edge.at(0.35 * along + offset + line as f64);
            let taper = ((0.5 - t.abs()) / 0.08).min(1.0);
            for &(below, gain) in copies {
                let (beam, sample) = anatomy.cell(a, u + below);
                let level = strength * gain * taper * amplitude(uneven.min(3.0));
                let (re, im) = polar(level, own + 0.8 * anatomy.edge.at(0.6 * along - offset));
                field.add(beam, sample, re, im);
            }
        }
    }
}
