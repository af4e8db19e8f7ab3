//! Bright structures of a knee: fibrils, septa and fascicles within the layers, the boundaries between them, and bone.

use super::config::KneeSimConfig;
use super::structure::{Column, FAT, GEL, MUSCLE, PREFEMORAL_PAD, RECESS, SKIN, SUPRAPATELLAR_PAD, TENDON};
use super::tissue::{Levels, Seen, Tissue};
use crate::rng::Rng;
use crate::synthetic::config::{Range, amplitude, draw, draw_count};
use crate::synthetic::field::{Field, Noise1};
use crate::synthetic::structures::polar;

/// What a smooth boundary loses where it rises by 0.3 mm per mm, dB.
const SLANT_DB: f64 = 12.0;
/// No knee has more strands than this.
const MOST: usize = 4000;

/// A thin bright line within a layer, which moves with it.
#[derive(Clone, Copy, Debug)]
struct Strand {
    layer: usize,
    /// Middle and length along the section, mm.
    middle: f64,
    length: f64,
    /// Place between the top of the layer, 0, and its bottom, 1.
    share: f64,
    /// Rise over the length, and height of the arc, mm per mm.
    rise: f64,
    bend: f64,
    db: f64,
    phase: f64,
    offset: f64,
    /// Where it lies across the section and how far it reaches there, mm.
    across: f64,
    reach: f64,
}

/// A wall between compartments of the recess: where it stands at the roof and at the floor, mm along the section.
#[derive(Clone, Copy, Debug)]
struct Septum {
    roof: f64,
    floor: f64,
    bow: f64,
    db: f64,
    phase: f64,
}

/// All of a knee.
pub(super) struct Strands {
    strands: Vec<Strand>,
    septa: Vec<Septum>,
    /// Echo of the bottom of each layer, dB.
    bottoms_db: [f64; 8],
    /// The wall of the recess where it is closed.
    closed_db: f64,
    femur_db: f64,
    patella_db: f64,
    copies_db: f64,
    edge: Noise1,
}

/// How the strands of a layer are drawn.
struct Kind {
    layer: usize,
    /// Per square centimetre of the section.
    density: f64,
    length: Range,
    db: Range,
    rise: f64,
    spread: f64,
    reach: Range,
}

impl Strands {
    /// `half` is half the width of the section, `depth` the depth shown, mm; `sweep` the planes that are seen.
    pub(super) fn draw(
        config: &KneeSimConfig,
        tissue: &Tissue,
        typical: &Column,
        half: f64,
        sweep: Range,
        rng: &mut Rng,
    ) -> Self {
        let kind =
            |layer, density, length, db, rise, spread, reach| Kind { layer, density, length, db, rise, spread, reach };
        let kinds = [
            kind(FAT, rng.uniform(1.5, 5.0), [3.0, 16.0], [6.0, 19.0], 0.0, 0.14, [3.0, 9.0]),
            kind(TENDON, rng.uniform(24.0, 44.0), [5.0, 24.0], [6.0, 18.0], 0.0, 0.008, [2.0, 6.0]),
            kind(MUSCLE, rng.uniform(10.0, 24.0), [2.0, 12.0], [3.0, 16.0], tissue.pennation(), 0.05, [2.0, 5.0]),
            kind(SUPRAPATELLAR_PAD, rng.uniform(6.0, 18.0), [0.6, 4.0], [1.0, 14.0], 0.0, 0.2, [1.0, 4.0]),
            kind(PREFEMORAL_PAD, rng.uniform(6.0, 18.0), [0.6, 6.0], [1.0, 14.0], 0.0, 0.16, [1.0, 4.0]),
        ];
        let mut strands = Vec::new();
        let span = sweep[1] - sweep[0] + 6.0;
        for Kind { layer, density, length, db, rise, spread, reach } in kinds {
            // A layer that is thin where it was looked at may be thick elsewhere.
            let area = 2.0 * half * typical.thickness(layer).max(2.0) / 100.0;
            let seen = 0.5 * (reach[0] + reach[1]) * std::f64::consts::PI.sqrt() / span;
            let count = ((density * area / seen.min(1.0)) as usize).min(MOST);
            for _ in 0..count {
                strands.push(Strand {
                    layer,
                    middle: rng.uniform(-half - 4.0, half + 4.0),
                    length: draw(rng, length),
                    share: rng.uniform(0.0, 1.0),
                    rise: rise + spread * rng.normal(),
                    bend: if layer == TENDON { 0.0 } else { 0.05 * rng.normal() },
                    db: draw(rng, db),
                    phase: rng.uniform(0.0, std::f64::consts::TAU),
                    offset: rng.uniform(0.0, 200.0),
                    across: rng.uniform(sweep[0] - 3.0, sweep[1] + 3.0),
                    reach: draw(rng, reach),
                });
            }
        }
        let septum = |rng: &mut Rng| {
            let roof = rng.uniform(-half, half);
            Septum {
                roof,
                floor: roof + rng.uniform(-9.0, 9.0),
                bow: rng.uniform(-2.0, 2.0),
                db: rng.uniform(0.0, 9.0),
                phase: rng.uniform(0.0, std::f64::consts::TAU),
            }
        };
        let septa = (0..draw_count(rng, config.septa)).map(|_| septum(rng)).collect();
        let wall_db = draw(rng, config.wall_db);
        let mut bottoms_db = [0.0; 8];
        bottoms_db[GEL] = rng.uniform(8.0, 16.0);
        bottoms_db[SKIN] = rng.uniform(0.0, 9.0);
        bottoms_db[FAT] = rng.uniform(7.0, 18.0);
        bottoms_db[TENDON] = rng.uniform(4.0, 14.0);
        bottoms_db[MUSCLE] = rng.uniform(1.0, 10.0);
        bottoms_db[SUPRAPATELLAR_PAD] = wall_db;
        bottoms_db[RECESS] = wall_db + rng.uniform(0.0, 4.0);
        Self {
            strands,
            septa,
            bottoms_db,
            closed_db: rng.uniform(1.0, 11.0),
            femur_db: draw(rng, config.bone_db),
            patella_db: draw(rng, config.bone_db) - 2.0,
            copies_db: rng.uniform(-26.0, -14.0),
            edge: Noise1::draw(rng),
        }
    }

    /// All that is bright in the plane, before the point-spread function.
    pub(super) fn field(&self, tissue: &Tissue, seen: &Seen<'_>, levels: &Levels) -> Field {
        let mut canvas =
            Canvas { field: Field::zeros(seen.columns.len(), seen.samples), seen, through: &levels.through };
        self.add_boundaries(&mut canvas);
        for strand in &self.strands {
            self.add_strand(strand, tissue, &mut canvas);
        }
        for septum in &self.septa {
            self.add_septum(septum, &mut canvas);
        }
        self.add_bone(&mut canvas);
        canvas.field
    }

    fn add_boundaries(&self, canvas: &mut Canvas<'_>) {
        let seen = canvas.seen;
        for layer in GEL..PREFEMORAL_PAD {
            let offset = 23.0 * layer as f64;
            for (beam, column) in seen.columns.iter().enumerate() {
                let a = seen.along[beam];
                let open = column.thickness(RECESS) > 0.0;
                let wall = layer == SUPRAPATELLAR_PAD || layer == RECESS;
                let db = match layer {
                    RECESS if !open => continue,
                    SUPRAPATELLAR_PAD if !seen.section.has_recess(a) => 0.0,
                    SUPRAPATELLAR_PAD if !open => self.closed_db,
                    GEL | MUSCLE if column.thickness(layer) < 0.4 => continue,
                    _ => self.bottoms_db[layer],
                };
                let slope = seen.slope(beam, |column| column.bottoms[layer]);
                let slant = SLANT_DB * (slope / 0.3).powi(2);
                let uneven = if wall && open { 3.0 } else { 7.0 };
                let wave = 0.65 * self.edge.at(0.19 * a + offset) + 0.35 * self.edge.at(0.9 * a + offset);
                let phase = 1.7 * offset + 0.8 * self.edge.at(0.5 * a + offset);
                let db = db - slant.min(20.0) + uneven * wave;
                canvas.put(beam as f64, column.bottoms[layer], db, phase);
                if layer == FAT {
                    // A fascia has a second sheet.
                    let second = 0.35 + 0.2 * self.edge.at(0.12 * a + 77.0);
                    canvas.put(beam as f64, column.bottoms[layer] + second, db - 4.0, phase + 2.0);
                }
            }
        }
    }

    fn add_strand(&self, strand: &Strand, tissue: &Tissue, canvas: &mut Canvas<'_>) {
        let seen = canvas.seen;
        let apart = (seen.section.pose.across - strand.across) / strand.reach;
        let away_db = 8.7 * apart * apart;
        if away_db > 26.0 {
            return;
        }
        for (beam, column) in seen.columns.iter().enumerate() {
            let along = seen.along[beam] - strand.middle;
            let t = along / strand.length;
            if t.abs() > 0.5 {
                continue;
            }
            let (top, bottom) = (column.top(strand.layer), column.bottoms[strand.layer]);
            let arc = strand.bend * strand.length * (4.0 * t * t - 1.0);
            let u = top + strand.share * (bottom - top) + strand.rise * along + arc;
            if u <= top || u >= bottom {
                continue;
            }
            let rough = 0.75
                + 0.4 * self.edge.at(0.9 * along + strand.offset)
                + 0.3 * self.edge.at(3.1 * along - strand.offset);
            let taper = (1.0 - (2.0 * t).powi(2)) * rough;
            let mut db = strand.db - away_db - 6.0;
            if strand.layer == TENDON {
                db -= tissue.anisotropy(seen.slope(beam, |column| column.top(TENDON)));
            }
            if taper > 0.05 {
                let phase = strand.phase + 0.7 * self.edge.at(0.8 * along + strand.offset);
                canvas.put(beam as f64, u, db + 20.0 * taper.log10(), phase);
            }
        }
    }

    fn add_septum(&self, septum: &Septum, canvas: &mut Canvas<'_>) {
        let seen = canvas.seen;
        let first = seen.along[0];
        let per_mm = (seen.along[seen.along.len() - 1] - first) / (seen.along.len() - 1) as f64;
        let beam_of = |a: f64| (a - first) / per_mm;
        let steps = 240;
        for step in 0..=steps {
            let t = f64::from(step) / f64::from(steps);
            let a = septum.roof + t * (septum.floor - septum.roof) + septum.bow * (4.0 * t * (1.0 - t));
            let beam = beam_of(a);
            let Some(column) = (beam >= 0.0).then(|| seen.columns.get(beam as usize)).flatten() else { continue };
            let (top, bottom) = (column.top(RECESS), column.bottoms[RECESS]);
            if bottom - top < 1.5 {
                continue;
            }
            let steep = (septum.floor - septum.roof).abs() / (bottom - top).max(1.0);
            // Steep walls send little back.
            let slant = 7.0 / (1.0 + steep * steep);
            let long = (septum.floor - septum.roof).hypot(bottom - top) / f64::from(steps);
            let share = 20.0 * (long / seen.sample_mm.max(0.5 * seen.beam_mm)).log10();
            let db = septum.db - slant + share.min(0.0) + 4.0 * self.edge.at(9.0 * t + septum.phase);
            canvas.put(beam, top + t * (bottom - top), db, septum.phase + self.edge.at(7.0 * t));
        }
    }

    fn add_bone(&self, canvas: &mut Canvas<'_>) {
        let seen = canvas.seen;
        let tilt_db = seen.section.pose.tilt_db;
        for (beam, column) in seen.columns.iter().enumerate() {
            let a = seen.along[beam];
            let (depth, patella) = column.bone();
            let (db, slope) = if patella {
                (self.patella_db, seen.slope(beam, |column| column.patella.unwrap_or(depth)))
            } else {
                (self.femur_db, seen.slope(beam, Column::femur))
            };
            // Bone is rough: it answers at slants, too.
            let slant = (0.6 * SLANT_DB * (slope / 0.3).powi(2)).min(12.0);
            let db = db - tilt_db - slant + 4.0 * self.edge.at(0.33 * a + 9.0) + 3.0 * self.edge.at(1.3 * a);
            for (below, loss) in [(0.0, 0.0), (0.2, 2.0), (0.45, 6.0), (0.8, 13.0)] {
                canvas.put_lit(beam as f64, depth + below, db - loss, self.edge.at(0.7 * a) + 3.0 * below);
            }
            if patella {
                // Sound that went twice between bone and probe.
                canvas.put_lit(beam as f64, 2.0 * depth, db + self.copies_db, self.edge.at(0.7 * a));
            }
        }
    }
}

/// Where echoes are put.
struct Canvas<'a> {
    field: Field,
    seen: &'a Seen<'a>,
    through: &'a [f32],
}

impl Canvas<'_> {
    /// An echo of so many decibels, less what is lost on the way.
    fn put(&mut self, beam: f64, depth: f64, db: f64, phase: f64) {
        let (column, sample) = (beam as usize, (depth / self.seen.sample_mm).max(0.0) as usize);
        if sample < self.seen.samples {
            let through = f64::from(self.through[column * self.seen.samples + sample]);
            let (re, im) = polar(0.5 * through * amplitude(db), phase);
            self.field.add(beam, depth / self.seen.sample_mm, re, im);
        }
    }

    /// The same, with nothing lost on the way.
    fn put_lit(&mut self, beam: f64, depth: f64, db: f64, phase: f64) {
        let (re, im) = polar(0.5 * amplitude(db), phase);
        self.field.add(beam, depth / self.seen.sample_mm, re, im);
    }
}
