//! Bright structures of the tissue: fascia, bone, fascicles and septa, and look-alikes of needles.

use super::config::{DifficultyConfig, amplitude, draw, draw_count, draw_sign};
use super::field::Field;
use super::tissue::Anatomy;
use crate::rng::Rng;

impl Anatomy<'_> {
    /// Fascia between the layers, and bone.
    pub(super) fn add_boundaries(&self, field: &mut Field, rng: &mut Rng) {
        for layer in self.layers.iter().skip(1) {
            // A fascia is a bundle of sheets, none of them equally bright all along.
            let spread = rng.uniform(0.2, 2.2) * self.unit;
            let uneven = rng.uniform(3.0, 14.0);
            for sheet in 0..1 + rng.below(5) {
                let phase = rng.uniform(0.0, std::f64::consts::TAU);
                let offset = rng.uniform(0.0, 200.0);
                let shift = if sheet == 0 { 0.0 } else { rng.uniform(-1.0, 1.0) * spread };
                let loss = if sheet == 0 { 0.0 } else { rng.uniform(0.0, 9.0) };
                for beam in 0..field.beams - 1 {
                    let a = self.along(beam) / self.unit;
                    let wave = 0.65 * self.edge.at(0.17 * a + offset) + 0.35 * self.edge.at(0.9 * a + offset);
                    let db = layer.boundary_db - loss + uneven * wave;
                    let (re, im) = polar(0.5 * amplitude(db), phase + 0.8 * self.edge.at(0.5 * a + offset));
                    let weave = 0.3 * spread * self.edge.at(0.15 * a - offset);
                    field.add(beam as f64, (layer.top[beam] + shift + weave) / self.probe.sample_mm(), re, im);
                }
            }
        }
        let Some(bone) = &self.bone else { return };
        for beam in 0..field.beams - 1 {
            let a = self.along(beam);
            let Some(depth) = self.bone_depth(a) else { continue };
            let db = bone.echo_db + 6.0 * self.edge.at(0.4 * a + 9.0);
            for (thickness, weight) in [(0.0, 1.0), (0.25, 0.8), (0.5, 0.4)] {
                let (re, im) = polar(0.5 * weight * amplitude(db), self.edge.at(0.7 * a) + 3.0 * thickness);
                let sample = (depth + thickness) / self.probe.sample_mm();
                field.add(beam as f64, sample, re, im);
                if bone.repeat {
                    // Sound that went twice between probe and bone; the shadow must not swallow it.
                    let lift = amplitude(-bone.shadow_db - 14.0) as f32;
                    field.add(beam as f64, 1.35 * sample, lift * re, lift * im);
                }
            }
        }
    }

    /// Rim, side wall and plate of a phantom in a water bath.
    pub(super) fn add_bath(&self, field: &mut Field, rng: &mut Rng) {
        let Some(bath) = &self.bath else { return };
        let phase = rng.uniform(0.0, std::f64::consts::TAU);
        let step = self.probe.sample_mm();
        let sheets = 1 + (bath.thickness / 0.25) as usize;
        for beam in 0..field.beams - 1 {
            let a = self.along(beam);
            let wave = self.edge.at(0.21 * a + 90.0);
            let mut line = |depth: f64, db: f64| {
                for sheet in 0..sheets {
                    let level = amplitude(db + bath.uneven_db * wave) * 0.5 * 0.75f64.powi(sheet as i32);
                    let (re, im) = polar(level, phase + 0.6 * self.edge.at(0.5 * a) + 2.0 * sheet as f64);
                    field.add(beam as f64, (depth + 0.25 * sheet as f64) / step, re, im);
                }
            };
            let wet = bath.wall.is_some_and(|(wall, side)| (a - wall) * side > 0.0);
            let rim = bath.rim(a);
            let dry_rim = !wet && bath.plate.is_none_or(|(depth, slope)| rim < depth + slope * a);
            if dry_rim && rim > 0.0 {
                // A slanted rim sends most of the sound away.
                let slant_db = 14.0 * (bath.slope + 2.0 * bath.arc * a).abs().min(1.5);
                for repeat in 0..=bath.repeats {
                    line(rim * (1 + repeat) as f64, (bath.rim_db - slant_db).max(8.0) - 16.0 * repeat as f64);
                }
            }
            if let Some((depth, slope)) = bath.plate {
                line(depth + slope * a, bath.plate_db);
            }
        }
        if let Some((wall, _)) = bath.wall {
            let bottom = bath.plate.map_or(self.probe.depth_mm, |(depth, slope)| depth + slope * wall);
            let mut u = bath.rim(wall).max(0.0);
            while u < bottom {
                let (beam, sample) = self.cell(wall + 0.03 * (u - bath.depth), u);
                let (re, im) = polar(0.3 * amplitude(8.0 + bath.uneven_db * self.edge.at(0.4 * u)), phase + u);
                field.add(beam, sample, re, im);
                u += 0.6 * step;
            }
        }
    }

    /// Septa and fascicles, clipped to their layer.
    pub(super) fn add_fibres(&self, field: &mut Field, rng: &mut Rng) {
        let half = self.along(field.beams - 1);
        for (index, layer) in self.layers.iter().enumerate() {
            let middle = field.beams / 2;
            let top = layer.top[middle].max(0.0);
            let bottom = self.layers.get(index + 1).map_or(self.probe.depth_mm, |next| next.top[middle]);
            let thickness = (bottom - top).max(0.0);
            let area = 2.0 * half * thickness / 100.0 / (self.unit * self.unit);
            let count = ((layer.density * area) as usize).min(700);
            for _ in 0..count {
                let centre = (rng.uniform(-half, half), top + rng.uniform(-0.1, 1.1) * thickness);
                let angle = layer.fibre + layer.streak_spread * rng.normal();
                let length = draw(rng, layer.streak_mm) * self.unit;
                let streak =
                    Streak { centre, angle, length, bend: 0.06 * rng.normal(), db: draw(rng, layer.streak_db) };
                self.add_streak(field, &streak, Some(index), rng);
            }
        }
    }

    /// Straight bright streaks at needle-like angles, and arcs, that are tissue.
    pub(super) fn add_lookalikes(
        &self,
        difficulty: &DifficultyConfig,
        straight_mm: f64,
        field: &mut Field,
        rng: &mut Rng,
    ) {
        let half = self.along(field.beams - 1);
        for _ in 0..draw_count(rng, difficulty.streaks) {
            let centre = (rng.uniform(-half, half), rng.uniform(0.08, 0.95) * self.probe.depth_mm);
            let length = rng.uniform(3.0, 15.0) * self.unit;
            let bend = if rng.chance(0.7) { 0.14 * rng.normal() } else { 0.03 * rng.normal() };
            let bend = if length > straight_mm * self.unit { bend.signum() * bend.abs().max(LEAST_BEND) } else { bend };
            // Most follow the layers more or less.
            let angle = draw_sign(rng) * rng.uniform(0.0, 1.0).powi(2);
            let streak = Streak { centre, angle, length, bend, db: draw(rng, difficulty.streak_db) };
            self.add_streak(field, &streak, None, rng);
        }
    }

    fn add_streak(&self, field: &mut Field, streak: &Streak, layer: Option<usize>, rng: &mut Rng) {
        let step = 0.6 * self.probe.beam_mm(0.4 * self.probe.depth_mm);
        let (sin, cos) = streak.angle.sin_cos();
        let steps = (streak.length / step).ceil().max(2.0) as usize;
        let phase = rng.uniform(0.0, std::f64::consts::TAU);
        let offset = rng.uniform(0.0, 200.0);
        // Each echo stands for the share of a beam that one step covers.
        let strength = 0.6 * 0.6 * amplitude(streak.db);
        for k in 0..=steps {
            let t = k as f64 / steps as f64 - 0.5;
            let along = t * streak.length;
            let across = streak.bend * streak.length * (4.0 * t * t - 1.0);
            let (a, u) = (streak.centre.0 + along * cos - across * sin, streak.centre.1 + along * sin + across * cos);
            let (beam, sample) = self.cell(a, u);
            if beam < 0.0 || beam >= (field.beams - 1) as f64 {
                continue;
            }
            if layer.is_some_and(|index| {
                u < self.layers[index].top[beam as usize]
                    || self.layers.get(index + 1).is_some_and(|next| u > next.top[beam as usize])
            }) {
                continue;
            }
            let rough = 0.75 + 0.4 * self.edge.at(0.9 * along + offset) + 0.3 * self.edge.at(3.1 * along - offset);
            let taper = (1.0 - (2.0 * t).powi(2)) * rough;
            let (re, im) = polar(strength * taper, phase + 0.7 * self.edge.at(0.8 * along + offset));
            field.add(beam, sample, re, im);
        }
    }
}

/// Height over length from which a streak is no longer straight; a needle bends less than 0.02.
const LEAST_BEND: f64 = 0.08;

/// A short bright line in `(a, u)`, mm and rad; `bend` is its height over its length.
struct Streak {
    centre: (f64, f64),
    angle: f64,
    length: f64,
    bend: f64,
    db: f64,
}

pub(super) fn polar(amplitude: f64, phase: f64) -> (f32, f32) {
    ((amplitude * phase.cos()) as f32, (amplitude * phase.sin()) as f32)
}
