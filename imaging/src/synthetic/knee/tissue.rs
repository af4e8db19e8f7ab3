//! How the structures of a knee answer sound: speckle with the texture of each layer, shadows below bone, enhancement below
//! fluid.

use super::anatomy::{Section, smooth};
use super::config::{Effusion, KneeSimConfig};
use super::structure::{Column, FAT, GEL, MUSCLE, PREFEMORAL_PAD, RECESS, SKIN, SUPRAPATELLAR_PAD, TENDON};
use crate::rng::Rng;
use crate::synthetic::config::{amplitude, draw, happens};
use crate::synthetic::field::Noise2;
use crate::synthetic::probe::Probe;

/// Beams of the fields beyond the probe's, on either side.
pub(super) const MARGIN: usize = 2;
/// Depth below the surface of a bone from which its shadow counts, mm.
const WITHIN_BONE_MM: f64 = 0.5;

/// Texture of a layer.
#[derive(Clone, Copy, Debug)]
struct Texture {
    level_db: f64,
    texture_db: f64,
    /// Size along and across the layer, mm.
    grain_mm: (f64, f64),
    /// Rise of the fibres over their length.
    fibre: f64,
}

/// What is drawn once of the echoes of a knee.
pub(super) struct Tissue {
    textures: [Texture; 8],
    noise: Noise2,
    patchiness_db: f64,
    anisotropy_db: f64,
    fluid_db: f64,
    /// Echo of debris, where there is any.
    debris_db: Option<f64>,
    /// Thickness of the synovium, where it shows, mm.
    synovium_mm: f64,
    enhancement_db: f64,
    shadow_db: f64,
    /// Width over which a shadow begins beside the bone that throws it, mm: a beam is no line.
    penumbra_mm: f64,
}

/// What is under each beam at one moment of the sweep.
pub(super) struct Seen<'a> {
    pub(super) section: &'a Section<'a>,
    /// For each beam of the fields, those of the margin included.
    pub(super) columns: Vec<Column>,
    /// Place of each beam along the section, mm.
    pub(super) along: Vec<f64>,
    pub(super) samples: usize,
    pub(super) sample_mm: f64,
    pub(super) beam_mm: f64,
}

/// Per cell `[beams, samples]`.
pub(super) struct Levels {
    /// Amplitude of the scatterers.
    pub(super) scatter: Vec<f32>,
    /// Amplitude that shadows leave of bright structures.
    pub(super) through: Vec<f32>,
}

impl<'a> Seen<'a> {
    pub(super) fn new(section: &'a Section<'a>, probe: &Probe) -> Self {
        let places = (0..probe.beams + 2 * MARGIN).map(|beam| probe.mm_from_cell(beam as f64 - MARGIN as f64, 0.0).0);
        let (along, columns) = places.map(|x| (section.along(x), section.column(x))).unzip();
        let (samples, sample_mm, beam_mm) = (probe.samples, probe.sample_mm(), probe.beam_mm(0.0));
        Self { section, columns, along, samples, sample_mm, beam_mm }
    }

    /// Rise of a depth over the beams, mm per mm.
    pub(super) fn slope(&self, beam: usize, depth: impl Fn(&Column) -> f64) -> f64 {
        let (before, after) = (beam.saturating_sub(1), (beam + 1).min(self.columns.len() - 1));
        (depth(&self.columns[after]) - depth(&self.columns[before])) / ((after - before) as f64 * self.beam_mm)
    }
}

impl Tissue {
    pub(super) fn draw(config: &KneeSimConfig, effusion: Effusion, rng: &mut Rng) -> Self {
        let plain = |level_db: f64, texture_db: f64, grain_mm: (f64, f64), fibre: f64| Texture {
            level_db,
            texture_db,
            grain_mm,
            fibre,
        };
        let mut textures = [plain(-48.0, 0.0, (4.0, 4.0), 0.0); 8];
        textures[SKIN] = plain(rng.uniform(3.0, 9.0), 2.0, (3.0, 0.6), 0.0);
        textures[FAT] = plain(draw(rng, config.fat_db), rng.uniform(3.0, 6.0), (rng.uniform(3.0, 7.0), 1.6), 0.03);
        textures[TENDON] = plain(
            draw(rng, config.tendon_db),
            rng.uniform(4.0, 9.0),
            (rng.uniform(7.0, 14.0), rng.uniform(0.3, 0.6)),
            0.0,
        );
        let pennate = rng.uniform(-0.22, 0.22);
        textures[MUSCLE] = plain(
            draw(rng, config.muscle_db),
            rng.uniform(4.0, 9.0),
            (rng.uniform(4.0, 9.0), rng.uniform(0.5, 0.9)),
            pennate,
        );
        for pad in [SUPRAPATELLAR_PAD, PREFEMORAL_PAD] {
            let grain_mm = (rng.uniform(1.5, 4.0), rng.uniform(0.7, 1.6));
            textures[pad] = plain(draw(rng, config.pad_db), rng.uniform(3.0, 7.0), grain_mm, 0.1 * rng.normal());
        }
        let much = effusion == Effusion::Much;
        let debris = happens(rng, config.debris_share).then(|| draw(rng, config.debris_db));
        let synovium_mm = if happens(rng, config.synovium_share) { draw(rng, config.synovium_mm) } else { 0.0 };
        Self {
            textures,
            noise: Noise2::draw(rng),
            patchiness_db: draw(rng, config.patchiness_db),
            anisotropy_db: draw(rng, config.anisotropy_db),
            fluid_db: draw(rng, config.fluid_db),
            debris_db: debris.filter(|_| much),
            synovium_mm: if much { synovium_mm } else { 0.0 },
            enhancement_db: draw(rng, config.enhancement_db),
            shadow_db: draw(rng, config.shadow_db),
            penumbra_mm: rng.uniform(0.8, 3.2),
        }
    }

    /// Rise of the muscle's fibres over their length.
    pub(super) fn pennation(&self) -> f64 {
        self.textures[MUSCLE].fibre
    }

    /// What the tendon loses where it does not lie across the beam, dB.
    pub(super) fn anisotropy(&self, slope: f64) -> f64 {
        (self.anisotropy_db * (slope.atan().to_degrees() / 12.0).powi(2)).min(16.0)
    }

    /// Levels of all cells.
    pub(super) fn levels(&self, seen: &Seen<'_>, across: f64) -> Levels {
        let cells = seen.columns.len() * seen.samples;
        let mut levels = Levels { scatter: Vec::with_capacity(cells), through: Vec::with_capacity(cells) };
        let (pole, pole_depth) = (seen.section.pole, seen.section.pole_depth());
        for (beam, column) in seen.columns.iter().enumerate() {
            let a = seen.along[beam];
            let (bone, _) = column.bone();
            let tendon = self.anisotropy(seen.slope(beam, |column| column.top(TENDON)));
            let beside = self.shadow_db * smooth((a - pole) / self.penumbra_mm + 0.5);
            let below_bone = if column.patella.is_some() { beside } else { self.shadow_db };
            let fluid = column.thickness(RECESS);
            let enhancement = self.enhancement_db * (fluid / 6.0).min(1.0);
            for sample in 0..seen.samples {
                let u = sample as f64 * seen.sample_mm;
                let layer = column.layer(u).unwrap_or(PREFEMORAL_PAD);
                let mut db = self.level(layer, column, [a, u, across]);
                match layer {
                    TENDON => db -= tendon,
                    PREFEMORAL_PAD => db += enhancement,
                    _ => {}
                }
                let mut damping = 0.0;
                if a < pole && u > pole_depth {
                    db += beside;
                    damping += beside;
                }
                if u > bone + WITHIN_BONE_MM {
                    let fills = 1.0 - 0.25 * ((u - bone) / 30.0).min(1.0);
                    damping += below_bone * fills;
                    // Sound rings on behind a bright surface.
                    let rings = if below_bone < 0.7 * self.shadow_db { -7.0 - 9.0 * (u - bone) } else { f64::MIN };
                    db = (db + below_bone * fills).max(rings);
                }
                levels.scatter.push(amplitude(db) as f32);
                levels.through.push(amplitude(damping) as f32);
            }
        }
        levels
    }

    /// Level of a layer at `[a, u]` of a plane `across`, dB.
    fn level(&self, layer: usize, column: &Column, [a, u, across]: [f64; 3]) -> f64 {
        let Texture { level_db, texture_db, grain_mm, fibre } = self.textures[layer];
        let below = u - column.top(layer);
        if layer == GEL {
            return level_db;
        }
        if layer == RECESS {
            return self.inside_recess(column, [a, u, across]);
        }
        let place = 31.7 * layer as f64 + 0.12 * across;
        let texture = self.noise.fractal(a / grain_mm.0 + place, (below - fibre * a) / grain_mm.1 + 0.25 * across);
        let patches = self.noise.fractal(0.07 * a + 0.03 * u + 40.3, 0.1 * u + 0.04 * across + 17.7);
        let db = level_db + texture_db * texture + self.patchiness_db * patches;
        if layer == PREFEMORAL_PAD && u > column.femur() - column.cartilage_mm { -30.0 } else { db }
    }

    /// Fluid, what floats in it, and what lines its walls.
    fn inside_recess(&self, column: &Column, [a, u, across]: [f64; 3]) -> f64 {
        let (top, bottom) = (column.top(RECESS), column.bottoms[RECESS]);
        let mut db = self.fluid_db;
        if let Some(debris_db) = self.debris_db {
            db = db.max(debris_db + 9.0 * self.noise.fractal(a / 2.4 + 0.5 * across, u / 1.5 + 0.3 * across + 71.0));
        }
        let villi = |offset: f64| self.synovium_mm * (0.45 + 0.55 * self.noise.fractal(a / 4.0 + offset, 0.2 * across));
        if self.synovium_mm > 0.0 && (u - top < villi(11.0) || bottom - u < 0.7 * villi(83.0)) {
            db = db.max(-12.0 + 4.0 * self.noise.fractal(a / 1.5, u / 0.8));
        }
        db
    }
}
