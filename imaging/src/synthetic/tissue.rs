//! Tissue: layers with fibres and septa, vessels, nerves, bone, and look-alikes of needles.
//!
//! Layers live in probe-following coordinates: `a`, mm along the probe face, and `u`, mm of range. Round things live
//! in plain mm.

use super::bath::Bath;
use super::body::Body;
use super::config::{DifficultyConfig, NeedleSimConfig, Range, amplitude, draw, draw_count};
use super::field::{Field, Noise1, Noise2, Psf};
use super::motion::Moment;
use super::probe::{Probe, ProbeKind};
use crate::rng::Rng;

/// The tissue of a procedure.
pub(super) struct Tissue {
    pub(super) body: Body,
    /// Round things, for their pulse.
    pub(super) blobs: Vec<Blob>,
}

/// A vessel, nerve or lesion.
pub(super) struct Blob {
    /// Centre, mm.
    pub(super) centre: (f64, f64),
    /// Half axes, mm.
    pub(super) radii: (f64, f64),
    /// Turn of the first axis, rad.
    angle: f64,
    inside_db: f64,
    wall_db: f64,
    wall_mm: f64,
    below_db: f64,
    /// Depth of the honeycomb inside a nerve, dB.
    honeycomb_db: f64,
    /// Change of the radius with the pulse, mm.
    pub(super) pulse_mm: f64,
}

pub(super) struct Layer {
    /// Depth of the upper boundary, mm, per beam of the texture.
    pub(super) top: Vec<f64>,
    pub(super) level_db: f64,
    pub(super) texture_db: f64,
    /// Fibre angle, rad, and size of the texture along and across it, mm.
    pub(super) fibre: f64,
    pub(super) grain_mm: (f64, f64),
    /// Streaks per square centimetre.
    pub(super) density: f64,
    pub(super) streak_mm: Range,
    pub(super) streak_db: Range,
    pub(super) streak_spread: f64,
    pub(super) boundary_db: f64,
}

pub(super) struct Bone {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) depth: f64,
    pub(super) bulge: f64,
    pub(super) echo_db: f64,
    pub(super) shadow_db: f64,
    pub(super) repeat: bool,
}

pub(super) struct Anatomy<'a> {
    pub(super) probe: &'a Probe,
    pub(super) margin: usize,
    /// Size of things relative to a picture 45 mm deep.
    pub(super) unit: f64,
    pub(super) layers: Vec<Layer>,
    pub(super) blobs: Vec<Blob>,
    pub(super) bone: Option<Bone>,
    pub(super) bath: Option<Bath>,
    /// Smooth noise for patchiness and texture.
    pub(super) noise: Noise2,
    pub(super) edge: Noise1,
    pub(super) patchiness_db: f64,
}

impl Tissue {
    /// The second of the streams is for what came later: it leaves the numbers of the first as they were.
    pub(super) fn draw(
        config: &NeedleSimConfig,
        difficulty: &DifficultyConfig,
        probe: &Probe,
        psf: &Psf,
        moments: &[Moment],
        [mut rng, mut more]: [Rng; 2],
    ) -> Self {
        let rng = &mut rng;
        let mut anatomy = Anatomy::draw(config, probe, [rng, &mut more]);
        anatomy.clear_of_bone(moments);
        let level = anatomy.levels();
        let mut structure = Field::zeros(probe.beams + 2 * anatomy.margin, probe.samples);
        anatomy.add_boundaries(&mut structure, rng);
        anatomy.add_fibres(&mut structure, rng);
        anatomy.add_lookalikes(difficulty, config.straight_streak_mm, &mut structure, rng);
        anatomy.add_sheets(config, &mut structure, &mut more);
        anatomy.mask(&mut structure, &level);
        anatomy.add_bath(&mut structure, &mut more);
        let body = Body::draw(anatomy.margin, &structure, &level.0, psf, rng);
        Self { body, blobs: anatomy.blobs }
    }
}

impl<'a> Anatomy<'a> {
    fn draw(config: &NeedleSimConfig, probe: &'a Probe, [rng, more]: [&mut Rng; 2]) -> Self {
        let margin = (3.5 / probe.beam_mm(0.3 * probe.depth_mm)).ceil() as usize;
        let unit = (probe.depth_mm / 45.0).max(0.75);
        let mut anatomy = Self {
            probe,
            margin,
            unit,
            layers: Vec::new(),
            blobs: Vec::new(),
            bone: None,
            bath: None,
            noise: Noise2::draw(rng),
            edge: Noise1::draw(rng),
            patchiness_db: draw(rng, config.patchiness_db),
        };
        let half = anatomy.along(margin + probe.beams - 1);
        anatomy.bath = Bath::draw(config, probe.depth_mm, half, more);
        if rng.chance(config.phantom_share) || anatomy.bath.is_some() {
            let layer = anatomy.draw_layer(config, Stuff::Organ, -1.0, rng);
            anatomy.layers.push(Layer { density: 0.0, texture_db: 0.3, level_db: rng.uniform(-12.0, 4.0), ..layer });
        } else {
            anatomy.draw_layers(config, rng);
        }
        for _ in 0..draw_count(rng, config.vessels) {
            let blob = anatomy.draw_vessel(config, rng);
            anatomy.blobs.push(blob);
        }
        if rng.chance(config.nerve_share) {
            let blob = anatomy.draw_nerve(rng);
            anatomy.blobs.push(blob);
        }
        if rng.chance(config.bone_share) && anatomy.bath.is_none() {
            anatomy.bone = Some(anatomy.draw_bone(rng));
        }
        anatomy
    }

    fn draw_layers(&mut self, config: &NeedleSimConfig, rng: &mut Rng) {
        let mut depth = -1.0;
        if rng.chance(0.75) {
            self.layers.push(self.draw_layer(config, Stuff::Skin, depth, rng));
            depth = rng.uniform(0.8, 2.6);
        }
        if rng.chance(0.7) {
            self.layers.push(self.draw_layer(config, Stuff::Fat, depth, rng));
            depth = depth.max(0.0) + rng.uniform(2.0, 11.0) * self.unit;
        }
        for _ in 0..1 + rng.below(4) {
            if depth > 0.92 * self.probe.depth_mm {
                break;
            }
            let stuff = match rng.below(10) {
                0..=3 => Stuff::LongMuscle,
                4 | 5 => Stuff::CrossMuscle,
                6 | 7 => Stuff::Organ,
                8 => Stuff::Gland,
                _ => Stuff::Fat,
            };
            self.layers.push(self.draw_layer(config, stuff, depth, rng));
            depth = depth.max(0.0) + rng.uniform(5.0, 22.0) * self.unit;
        }
    }

    fn draw_layer(&self, config: &NeedleSimConfig, stuff: Stuff, depth: f64, rng: &mut Rng) -> Layer {
        let unit = self.unit;
        let slope = if depth > 3.0 { 0.07 * rng.normal() } else { 0.01 * rng.normal() };
        let wave = if depth > 3.0 { rng.uniform(0.1, 1.6) * unit } else { 0.08 };
        let waves = [1.0, 2.2, 5.0]
            .map(|f| (wave / f, f * rng.uniform(0.04, 0.12) / unit, rng.uniform(0.0, std::f64::consts::TAU)));
        // Deep boundaries of a convex picture are flatter than its face.
        let flat = rng.uniform(0.0, 1.0) * (depth / 60.0).clamp(0.0, 1.0);
        let top = (0..self.probe.beams + 2 * self.margin)
            .map(|beam| {
                let a = self.along(beam);
                let across = self.probe.beam_direction(beam as f64 - self.margin as f64);
                let bend = match self.probe.kind {
                    ProbeKind::Convex => flat * depth * (1.0 / across.1.max(0.5) - 1.0),
                    ProbeKind::Linear | ProbeKind::Trapezoid => 0.0,
                };
                depth + slope * a + bend + waves.iter().map(|(h, k, p)| h * (k * a + p).sin()).sum::<f64>()
            })
            .collect();
        let texture = draw(rng, config.texture_db);
        let fibre = if rng.chance(0.5) { 0.3 * rng.normal() } else { 0.08 * rng.normal() };
        let mut layer = Layer {
            top,
            level_db: rng.uniform(-5.0, 3.0),
            texture_db: texture,
            fibre: fibre.clamp(-0.6, 0.6),
            grain_mm: (rng.uniform(1.5, 5.0) * unit, rng.uniform(0.5, 1.3) * unit),
            density: rng.uniform(0.0, 7.0),
            streak_mm: [0.6, rng.uniform(2.0, 8.0)],
            streak_db: [-6.0, rng.uniform(3.0, 15.0)],
            streak_spread: 0.07,
            boundary_db: rng.uniform(4.0, 23.0),
        };
        match stuff {
            Stuff::Skin => {
                layer.level_db = rng.uniform(0.0, 10.0);
                layer.texture_db *= 0.3;
            }
            Stuff::Fat => {
                layer.level_db = rng.uniform(-12.0, 0.0);
                layer.density = rng.uniform(0.1, 3.0);
                layer.streak_mm = [1.0, 18.0];
                layer.streak_spread = 0.15;
                layer.fibre *= 0.4;
            }
            Stuff::LongMuscle => {
                layer.level_db = rng.uniform(-12.0, 1.0);
                layer.density = rng.uniform(3.0, 22.0);
                layer.streak_mm = [1.5, rng.uniform(4.0, 16.0)];
                layer.streak_db = [-4.0, rng.uniform(5.0, 17.0)];
                layer.grain_mm = (rng.uniform(2.0, 7.0) * unit, rng.uniform(0.3, 0.8) * unit);
                layer.texture_db *= 1.3;
            }
            Stuff::CrossMuscle => {
                layer.level_db = rng.uniform(-14.0, -1.0);
                layer.density = rng.uniform(3.0, 20.0);
                layer.streak_mm = [0.4, 3.0];
                layer.streak_db = [-4.0, rng.uniform(6.0, 18.0)];
                layer.streak_spread = 0.2;
                layer.fibre *= 0.3;
            }
            Stuff::Organ => {
                layer.texture_db *= 0.5;
                layer.density *= 0.4;
            }
            Stuff::Gland => {
                layer.level_db = rng.uniform(0.0, 7.0);
                layer.grain_mm = (rng.uniform(1.5, 4.0) * unit, rng.uniform(0.6, 1.6) * unit);
                layer.density = rng.uniform(0.0, 9.0);
                layer.streak_spread = 0.2;
            }
        }
        layer
    }

    fn draw_vessel(&self, config: &NeedleSimConfig, rng: &mut Rng) -> Blob {
        let radius = draw(rng, config.vessel_radius_mm) * self.unit.sqrt();
        let long = rng.chance(0.2);
        let lesion = rng.chance(0.25);
        Blob {
            centre: self.somewhere([0.15, 0.85], rng),
            radii: if long {
                (rng.uniform(12.0, 50.0) * self.unit, 0.5 * radius)
            } else {
                (radius, radius * rng.uniform(0.45, 1.0))
            },
            angle: if long { 0.2 * rng.normal() } else { 0.4 * rng.normal() },
            inside_db: if lesion { rng.uniform(-15.0, -4.0) } else { rng.uniform(-34.0, -10.0) },
            wall_db: if lesion { rng.uniform(-3.0, 6.0) } else { rng.uniform(2.0, 17.0) },
            wall_mm: rng.uniform(0.2, 0.6),
            below_db: rng.uniform(-3.0, 7.0),
            honeycomb_db: 0.0,
            pulse_mm: if lesion { 0.0 } else { rng.uniform(0.0, 0.35) },
        }
    }

    fn draw_nerve(&self, rng: &mut Rng) -> Blob {
        let radius = rng.uniform(1.2, 4.5) * self.unit.sqrt();
        Blob {
            centre: self.somewhere([0.15, 0.7], rng),
            radii: (radius, radius * rng.uniform(0.35, 0.9)),
            angle: 0.5 * rng.normal(),
            inside_db: rng.uniform(-4.0, 5.0),
            wall_db: rng.uniform(5.0, 13.0),
            wall_mm: rng.uniform(0.3, 0.7),
            below_db: 0.0,
            honeycomb_db: rng.uniform(4.0, 12.0),
            pulse_mm: 0.0,
        }
    }

    fn draw_bone(&self, rng: &mut Rng) -> Bone {
        let half = self.along(self.margin + self.probe.beams - 1);
        let middle = rng.uniform(-1.0, 1.0) * half;
        let size = rng.uniform(0.2, 1.6) * half;
        Bone {
            from: middle - size,
            to: middle + size,
            depth: rng.uniform(0.45, 0.95) * self.probe.depth_mm,
            bulge: rng.uniform(-1.0, 7.0) * self.unit,
            echo_db: rng.uniform(14.0, 32.0),
            shadow_db: rng.uniform(-45.0, -14.0),
            repeat: rng.chance(0.3),
        }
    }

    /// Push the bone below every line of the needle, for no needle is seen behind bone.
    fn clear_of_bone(&mut self, moments: &[Moment]) {
        let mut deepest = 0.0f64;
        for moment in moments {
            let Some(pass) = moment.pass else { continue };
            for k in 0..=20 {
                let back = pass.reach_mm * f64::from(k) / 20.0 - 2.0;
                let (x, z) = (pass.target.0 - back * pass.direction.0, pass.target.1 - back * pass.direction.1);
                let (beam, sample) = self.probe.cell_from_mm(x, z);
                let a = self.along((beam.max(0.0) as usize + self.margin).min(self.probe.beams + self.margin));
                if let Some(depth) = self.bone_depth(a) {
                    deepest = deepest.max(sample * self.probe.sample_mm() + 2.5 - depth);
                }
            }
        }
        if let Some(bone) = &mut self.bone {
            bone.depth += deepest;
        }
    }

    /// A place in the picture, mm, at a share of its depth.
    fn somewhere(&self, depth: Range, rng: &mut Rng) -> (f64, f64) {
        let beam = rng.uniform(0.0, self.probe.beams as f64);
        self.probe.mm_from_cell(beam, draw(rng, depth) * self.probe.samples as f64)
    }

    /// The coordinate `a` of a beam of the texture, mm.
    pub(super) fn along(&self, beam: usize) -> f64 {
        let step = self.probe.beam_mm(0.4 * self.probe.depth_mm);
        (beam as f64 - self.margin as f64 - 0.5 * (self.probe.beams - 1) as f64) * step
    }

    /// Beam of the texture and sample of a place `(a, u)`.
    pub(super) fn cell(&self, a: f64, u: f64) -> (f64, f64) {
        let step = self.probe.beam_mm(0.4 * self.probe.depth_mm);
        let middle = 0.5 * (self.probe.beams - 1) as f64 + self.margin as f64;
        (a / step + middle, u / self.probe.sample_mm())
    }

    pub(super) fn bone_depth(&self, a: f64) -> Option<f64> {
        let bone = self.bone.as_ref().filter(|bone| a > bone.from && a < bone.to)?;
        let t = 2.0 * (a - bone.from) / (bone.to - bone.from) - 1.0;
        Some(bone.depth + bone.bulge * t * t + 0.5 * self.unit * self.edge.at(0.25 * a / self.unit))
    }

    /// Loss below the bone, dB; half shadow at its ends.
    fn bone_shadow(&self, a: f64) -> Option<f64> {
        let bone = self.bone.as_ref()?;
        let inside = (a - bone.from).min(bone.to - a) / self.unit;
        Some(bone.shadow_db * (0.15 + 0.5 * inside).clamp(0.0, 1.0))
    }

    /// Amplitude of the scatterers per cell, and how much of any echo gets through (shadows, lumina).
    fn levels(&self) -> Levels {
        let beams = self.probe.beams + 2 * self.margin;
        let samples = self.probe.samples;
        let (mut scatter, mut through) = (Vec::with_capacity(beams * samples), Vec::with_capacity(beams * samples));
        for beam in 0..beams {
            let a = self.along(beam);
            let bone = self.bone_depth(a).zip(self.bone_shadow(a));
            let column = beam as f64 - self.margin as f64;
            let (first, next) = (self.probe.mm_from_cell(column, 0.0), self.probe.mm_from_cell(column, 1.0));
            let (dx, dz) = (next.0 - first.0, next.1 - first.1);
            let mut below = vec![0.0; self.blobs.len()];
            let mut layer_index = 0;
            for sample in 0..samples {
                let u = sample as f64 * self.probe.sample_mm();
                while self.layers.get(layer_index + 1).is_some_and(|next| u >= next.top[beam]) {
                    layer_index += 1;
                }
                let layer = &self.layers[layer_index];
                let (sin, cos) = layer.fibre.sin_cos();
                let (far_a, far_u) = (a / self.unit, u / self.unit);
                // Nothing in a body is straight.
                let bent = u + 0.9 * self.unit * self.noise.at(0.16 * far_a + 7.7, 0.22 * far_u + 81.3);
                let (p, q) = (a * cos + bent * sin, bent * cos - a * sin);
                let mut db = layer.level_db
                    + layer.texture_db * self.noise.fractal(p / layer.grain_mm.0, q / layer.grain_mm.1)
                    + self.patchiness_db
                        * self.noise.fractal(0.07 * far_a + 0.03 * bent + 40.3, 0.1 * far_u - 0.03 * far_a + 17.7);
                let mut damping = 0.0;
                let (x, z) = (first.0 + sample as f64 * dx, first.1 + sample as f64 * dz);
                for (blob, below) in self.blobs.iter().zip(&mut below) {
                    let (inside, wall) = blob.cover(x, z, &self.edge);
                    if inside > 0.0 {
                        let holes = blob.honeycomb_db * self.noise.at(2.1 * x, 2.1 * z);
                        db += inside * (blob.inside_db - db + holes);
                        damping += inside * blob.inside_db.min(0.0);
                        // The longer the way through it, the stronger the enhancement below.
                        *below += inside * self.probe.sample_mm() / (1.2 * blob.radii.1);
                    } else {
                        db += blob.below_db * f64::min(*below, 1.0);
                    }
                    db += wall * (blob.wall_db - 0.4 * db).max(0.0);
                }
                if let Some((depth, shadow)) = bone.filter(|(depth, _)| u > depth + 0.6) {
                    // The shadow of a thin edge fills in with depth.
                    let shadow = shadow * (1.0 - 0.25 * ((u - depth) / self.probe.depth_mm).min(1.0));
                    db += shadow;
                    damping += shadow;
                }
                if let Some(bath) = &self.bath {
                    let loss = bath.loss_db(a, u);
                    db += loss;
                    damping += loss;
                }
                scatter.push(amplitude(db) as f32);
                through.push(amplitude(damping) as f32);
            }
        }
        Levels(scatter, through)
    }

    /// Darken bright structures inside lumina and shadows.
    fn mask(&self, field: &mut Field, levels: &Levels) {
        for ((re, im), through) in field.re.iter_mut().zip(&mut field.im).zip(&levels.1) {
            *re *= through;
            *im *= through;
        }
    }
}

/// Amplitude of the scatterers, and amplitude that gets through, per cell.
struct Levels(Vec<f32>, Vec<f32>);

#[derive(Clone, Copy)]
enum Stuff {
    Skin,
    Fat,
    LongMuscle,
    CrossMuscle,
    Organ,
    Gland,
}

impl Blob {
    /// How much of a point belongs to the inside and to the wall.
    fn cover(&self, x: f64, z: f64, edge: &Noise1) -> (f64, f64) {
        let (dx, dz) = (x - self.centre.0, z - self.centre.1);
        let reach = 1.4 * self.radii.0.max(self.radii.1) + 1.0;
        if dx * dx + dz * dz > reach * reach {
            return (0.0, 0.0);
        }
        let (sin, cos) = self.angle.sin_cos();
        let along = dx * cos + dz * sin;
        // A long vessel winds a little and is not equally wide.
        let winding =
            if self.radii.0 > 4.0 * self.radii.1 { self.radii.1 * 0.9 * edge.at(0.07 * along + 30.0) } else { 0.0 };
        let (p, q) = (along / self.radii.0, (dz * cos - dx * sin + winding) / self.radii.1);
        let bumps = 1.0 + 0.07 * edge.at(3.0 * p + 50.0) + 0.07 * edge.at(3.0 * q + 150.0);
        let radius = p.hypot(q) * bumps;
        let outside_mm = (radius - 1.0) * self.radii.0.min(self.radii.1);
        let inside = (0.5 - outside_mm / 0.25).clamp(0.0, 1.0);
        // Walls answer where they lie across the beam.
        let facing = 0.25 + 0.75 * (q * q / (p * p + q * q).max(1e-9));
        let wall = (1.0 - (outside_mm / self.wall_mm).powi(2)).max(0.0) * facing;
        (inside, wall)
    }
}
