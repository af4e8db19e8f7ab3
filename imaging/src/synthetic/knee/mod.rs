//! Simulated sweeps over the suprapatellar recess of the knee, with exact masks.
//!
//! The longitudinal view above the patella, as examiners look for an effusion: skin, subcutaneous fat, the quadriceps tendon
//! with its fibrils, the suprapatellar fat pad, the recess as a slit or pocket of fluid or closed, the prefemoral fat pad, the
//! femur with its shadow, and at one side the patella with its own. Each frame of a procedure is a section of its own
//! (`anatomy`, `sweep`): the probe slides slowly across the knee. What is there answers as scatterers and bright structures
//! (`tissue`, `strands`), which pass through the beam and the machine of the other simulator. Everything follows from the seed, the
//! number of the procedure and the [`KneeSimConfig`]. Not for clinical use.
//!
//! **Ground truth.** [`KneeFrame::structures`] has the [`Structure`] at the centre of every pixel, of the same functions that
//! the echoes are made of. Only what sound reaches is marked: nothing in the shadow of a bone, and nothing where the probe has
//! no contact. Of bones the surface is marked. The recess is all that lies between its walls: fluid, debris, septa and
//! synovium; where it is closed (thinner than 0.4 mm) there is none.

mod anatomy;
mod config;
mod strands;
mod structure;
mod sweep;
mod tissue;

pub use config::{Effusion, KneeSimConfig};
pub use structure::Structure;

use crate::geometry::{Image, Mask, Point, Spacing};
use crate::rng::Rng;
use anatomy::{Anatomy, Section};
use strands::Strands;
use sweep::{Moment, draw_sweep};
use tissue::{MARGIN, Seen, Tissue};

use super::body::Body;
use super::config::draw;
use super::degrade::gauss;
use super::field::{Field, Psf};
use super::probe::Probe;
use super::screen::{NODE, Screen, View, nodes_along};

/// One frame and the truth about it.
#[derive(Clone, Debug, PartialEq)]
pub struct KneeFrame {
    /// Grey picture with its scale.
    pub image: Image,
    /// The number of the [`Structure`] at each pixel, `[height, width]`.
    pub structures: Mask,
}

impl KneeFrame {
    /// 1 where the recess is, `[height, width]`.
    pub fn recess(&self) -> Mask {
        let recess = Structure::Recess.class();
        let classes = self.structures.classes.iter().map(|&class| u8::from(class == recess)).collect();
        Mask { classes, ..self.structures }
    }
}

/// One simulated sweep, rendered frame by frame.
pub struct KneeSim {
    effusion: Effusion,
    fps: f64,
    knee: Anatomy,
    moments: Vec<Moment>,
    probe: Probe,
    psf: Psf,
    tissue: Tissue,
    strands: Strands,
    /// Two slices of even speckle, with more beams on either side for the slips of the hand.
    speckle: [Field; 2],
    screen: Screen,
    seed: u64,
    index: u64,
}

/// Depth of the femur from which the lower half of the frequencies is used, mm.
const DEEP_MM: f64 = 40.0;

impl KneeSim {
    /// Set up procedure `index` of `seed`; [`frame`](Self::frame) then gives each of its `frames` frames.
    pub fn new(config: &KneeSimConfig, seed: u64, index: u64, frames: usize) -> Self {
        let stream = |part: u64| Rng::stream(seed, "knee simulator", [index, part]);
        let mut rng = stream(0);
        let effusion = config.effusion.unwrap_or_else(|| draw_effusion(config.effusion_weights, &mut rng));
        let width_mm = draw(&mut rng, config.width_mm);
        let mut knee = Anatomy::draw(config, effusion, width_mm, &mut rng);
        let moments = draw_sweep(config, frames, &mut stream(1));
        knee.within(0.93 * config.depth_mm[1]);
        let first = moments.first().map_or(Moment::MIDDLE, |moment| *moment);
        let section = knee.section(first.pose);
        let depth_mm = (section.deepest() * rng.uniform(1.08, 1.45)).clamp(config.depth_mm[0], config.depth_mm[1]);
        let [low, high] = config.mhz;
        let mhz = draw(&mut rng, if depth_mm > DEEP_MM { [low, 0.5 * (low + high)] } else { [low, high] });
        let probe = Probe::linear(&config.machine, [width_mm, depth_mm, mhz], &mut rng);
        let psf = Psf::draw(&config.machine, &probe, &mut rng);
        let tissue = Tissue::draw(config, effusion, &mut stream(2));
        let across = moments.iter().map(|moment| moment.pose.across);
        let sweep = across.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], s| [low.min(s), high.max(s)]);
        let sweep = if moments.is_empty() { [0.0, 0.0] } else { sweep };
        let typical = section.column(0.0);
        let strands = Strands::draw(config, &tissue, &typical, 0.5 * width_mm, sweep, &mut stream(3));
        let mut rng = stream(4);
        let beams = probe.beams + 2 * (MARGIN + slips(config, &probe));
        let speckle = [(); 2].map(|()| psf.convolve(&Field::noise(beams, probe.samples, &mut rng)));
        let screen = Screen::draw(&config.machine, &probe, &psf, &mut stream(5));
        let fps = config.machine_fps;
        Self { effusion, fps, knee, moments, probe, psf, tissue, strands, speckle, screen, seed, index }
    }

    /// How much fluid there is.
    pub fn effusion(&self) -> Effusion {
        self.effusion
    }

    /// Frames per second.
    pub fn fps(&self) -> f64 {
        self.fps
    }

    /// Size of a pixel.
    pub fn spacing(&self) -> Spacing {
        self.probe.spacing
    }

    /// Whether the patella is at the left of the picture, in it or beyond.
    pub fn patella_left(&self) -> bool {
        self.knee.side < 0.0
    }

    /// Number of frames.
    pub fn len(&self) -> usize {
        self.moments.len()
    }

    /// True when the procedure was set up without frames.
    pub fn is_empty(&self) -> bool {
        self.moments.is_empty()
    }

    /// Frame `t`, whatever was asked for before. Panics when `t` is not below [`len`](Self::len).
    pub fn frame(&self, t: usize) -> KneeFrame {
        assert!(t < self.len(), "frame {t} of a procedure of {} frames", self.len());
        let (probe, moment) = (&self.probe, &self.moments[t]);
        let section = self.knee.section(moment.pose);
        let body = self.body(&section);
        let mut rng = Rng::stream(self.seed, "knee simulator noise", [self.index, t as u64]);
        let noise_at = rng.below(probe.beams * probe.samples);
        // Each frame is a section of its own: nothing of it has moved.
        let nodes = vec![(0.0, 0.0, 1.0); (probe.beams.div_ceil(NODE) + 1) * nodes_along(probe)];
        let view = View { slice: moment.slice, nodes: &nodes, extra: &self.screen.clutter, shade: &[], noise_at };
        let pixels = self.screen.picture(probe, self.screen.compress(probe, &body, &view));
        let image = Image::grey(probe.height, probe.width, pixels).with_scale(self.screen.scale(probe));
        KneeFrame { image, structures: self.structures(&section) }
    }

    /// The echoes of a section.
    fn body(&self, section: &Section<'_>) -> Body {
        let (probe, psf) = (&self.probe, &self.psf);
        let seen = Seen::new(section, probe);
        let levels = self.tissue.levels(&seen, section.pose.across);
        let structure = self.strands.field(&self.tissue, &seen, &levels);
        // The beam spreads power as wide as it is; speckle of that power stands for the scatterers themselves, so that it can
        // move with the tissue by parts of a cell.
        let power: Vec<f32> = levels.scatter.iter().map(|level| level * level).collect();
        let sharp = std::f64::consts::FRAC_1_SQRT_2;
        let middle = psf.lateral_mm[probe.samples / 2] / probe.beam_mm(0.0);
        let power = gauss(
            &power,
            probe.samples,
            (sharp * (psf.axial_mm / probe.sample_mm()).max(0.65)) as f32,
            (sharp * middle.clamp(0.65, 5.0)) as f32,
        );
        let envelope: Vec<f32> = power.iter().map(|power| power.sqrt()).collect();
        let slices = [0, 1].map(|slice| self.speckle_of(&self.speckle[slice], section, &envelope));
        Body::new(MARGIN, psf.convolve(&structure), slices, power)
    }

    /// Speckle that moved with the tissue, at the strength of `envelope`.
    fn speckle_of(&self, speckle: &Field, section: &Section<'_>, envelope: &[f32]) -> Field {
        let probe = &self.probe;
        let beams = probe.beams + 2 * MARGIN;
        let room = (speckle.beams - beams) / 2;
        let slip = self.knee.side * section.pose.slip / probe.beam_mm(0.0);
        // Pressed tissue is thinner.
        let stretch = 1.0 / section.pose.pressed.max(0.1);
        let mut field = Field::zeros(beams, probe.samples);
        let last = (probe.samples - 2) as f64;
        for beam in 0..beams {
            let across = ((beam + room) as f64 + slip).clamp(0.0, (speckle.beams - 2) as f64);
            let (column, fb) = (across as usize, across.fract() as f32);
            for sample in 0..probe.samples {
                let along = (sample as f64 * stretch).rem_euclid(2.0 * last);
                // Beyond the last sample it goes back the same way.
                let along = if along > last { 2.0 * last - along } else { along };
                let (row, fs) = (along as usize, along.fract() as f32);
                let at = column * probe.samples + row;
                let next = at + probe.samples;
                let take = |plane: &[f32]| {
                    let near = plane[at] + (plane[at + 1] - plane[at]) * fs;
                    near + (plane[next] + (plane[next + 1] - plane[next]) * fs - near) * fb
                };
                let cell = beam * probe.samples + sample;
                field.re[cell] = envelope[cell] * take(&speckle.re);
                field.im[cell] = envelope[cell] * take(&speckle.im);
            }
        }
        field
    }

    /// What is seen at each pixel.
    fn structures(&self, section: &Section<'_>) -> Mask {
        let probe = &self.probe;
        let mut mask = Mask::empty(probe.height, probe.width);
        for x in 0..probe.width {
            let place = |y: usize| probe.mm_from_pixel(Point { x: x as f64, y: y as f64 });
            let (across, _) = place(0);
            if !self.screen.touches(probe, probe.cell_from_mm(across, 0.0).0) {
                continue;
            }
            let column = section.column(across);
            for y in 0..probe.height {
                let pixel = y * probe.width + x;
                if self.screen.inside[pixel] {
                    mask.classes[pixel] = column.at(place(y).1.max(0.0)).class();
                }
            }
        }
        mask
    }
}

fn draw_effusion(weights: [f64; 3], rng: &mut Rng) -> Effusion {
    let mut pick = rng.uniform(0.0, weights.iter().sum());
    for (effusion, weight) in Effusion::ALL.into_iter().zip(weights) {
        if pick < weight {
            return effusion;
        }
        pick -= weight;
    }
    Effusion::Much
}

/// Beams that the hand may slip by.
fn slips(config: &KneeSimConfig, probe: &Probe) -> usize {
    (config.slip_mm[1].abs().max(config.slip_mm[0].abs()) / probe.beam_mm(0.0)).ceil() as usize + 2
}

#[cfg(test)]
mod tests;
