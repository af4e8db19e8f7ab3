//! From echoes to pictures: the simulator of one procedure.

use super::SimFrame;
use super::config::{Difficulty, NeedleSimConfig};
use super::field::Psf;
use super::machine::MachineConfig;
use super::motion::{Moment, draw_moments};
use super::probe::{Probe, ProbeKind};
use super::screen::{NODE, Screen, View, nodes_along};
use super::seen::{beside, mean_and_deviation, stands_out};
use super::shaft::{Placed, Shaft};
use super::tissue::Tissue;
use crate::geometry::{Image, Mask, Spacing};
use crate::rng::Rng;

/// One simulated procedure, rendered frame by frame.
pub struct ProcedureSim {
    difficulty: Difficulty,
    fps: f64,
    /// The machine's frame of each captured frame.
    captured: Vec<usize>,
    moments: Vec<Moment>,
    probe: Probe,
    psf: Psf,
    tissue: Tissue,
    shaft: Shaft,
    screen: Screen,
    seed: u64,
    index: u64,
    /// How much a needle must stand out, standard deviations of what is beside it.
    least_contrast: f64,
}

impl ProcedureSim {
    /// Set up procedure `index` of `seed`; [`frame`](Self::frame) then gives each of its `frames` frames.
    pub fn new(config: &NeedleSimConfig, seed: u64, index: u64, frames: usize) -> Self {
        let stream = |part: u64| Rng::stream(seed, "needle simulator", [index, part]);
        let mut rng = stream(0);
        let difficulty = config.difficulty.unwrap_or_else(|| Difficulty::ALL[rng.below(3)]);
        let level = config.of(difficulty);
        let machine = MachineConfig::from(config);
        let probe = Probe::draw(config, &mut rng);
        let psf = Psf::draw(&machine, &probe, &mut rng);
        let (fps, captured) = capture(config, frames, &mut stream(1));
        let machine_frames = captured.last().map_or(0, |last| last + 1);
        let moments = draw_moments(config, level, &probe, machine_frames, &mut stream(2));
        let shaft = Shaft::draw(config, level, &mut stream(3));
        let tissue = Tissue::draw(config, level, &probe, &psf, &moments, [stream(4), stream(6)]);
        let screen = Screen::draw(&machine, &probe, &psf, &mut stream(5));
        let least_contrast = config.least_contrast;
        Self { difficulty, fps, captured, moments, probe, psf, tissue, shaft, screen, seed, index, least_contrast }
    }

    /// How hard this procedure is.
    pub fn difficulty(&self) -> Difficulty {
        self.difficulty
    }

    /// Frames per second.
    pub fn fps(&self) -> f64 {
        self.fps
    }

    /// Size of a pixel.
    pub fn spacing(&self) -> Spacing {
        self.probe.spacing
    }

    /// Shape of the scan area.
    pub fn probe(&self) -> ProbeKind {
        self.probe.kind
    }

    /// Number of frames.
    pub fn len(&self) -> usize {
        self.captured.len()
    }

    /// True when the procedure was set up without frames.
    pub fn is_empty(&self) -> bool {
        self.captured.is_empty()
    }

    /// Frame `t`, whatever was asked for before. Panics when `t` is not below [`len`](Self::len).
    pub fn frame(&self, t: usize) -> SimFrame {
        assert!(t < self.len(), "frame {t} of a procedure of {} frames", self.len());
        let moment = &self.moments[self.captured[t]];
        let placed = self.shaft.place(&self.probe, moment);
        let needle = placed.as_ref().and_then(|placed| self.shaft.label(&self.probe, placed));
        let mask = match &placed {
            Some(placed) => self.shaft.mask(&self.probe, &self.psf, placed, needle),
            None => Mask::empty(self.probe.height, self.probe.width),
        };
        let picture = |placed: Option<&Placed>| {
            let grey = self.echoes(moment, placed, self.captured[t] as u64);
            self.screen.picture(&self.probe, grey)
        };
        let (mut needle, mut mask, mut pixels) = (needle, mask, picture(placed.as_ref()));
        // A needle that is drawn without a label would teach that it is none. Settings from before this rule keep their pictures.
        let unseen = match needle {
            Some(_) => self.least_contrast > 0.0 && !self.sees(&pixels, &mask),
            None => placed.is_some() && self.least_contrast > 0.0,
        };
        if unseen {
            (needle, mask, pixels) = (None, Mask::empty(self.probe.height, self.probe.width), picture(None));
        }
        SimFrame {
            image: Image::grey(self.probe.height, self.probe.width, pixels).with_scale(self.screen.scale(&self.probe)),
            needle,
            mask,
            true_tip: placed.and_then(|placed| placed.true_tip(&self.probe)),
            duplicate: t > 0 && self.captured[t] == self.captured[t - 1],
        }
    }

    /// Whether the needle at `mask` stands out from what is beside it.
    fn sees(&self, pixels: &[f32], mask: &Mask) -> bool {
        let beside = beside(mask);
        let inside = (0..pixels.len()).filter(|&at| self.screen.inside[at]);
        let (on, _) = mean_and_deviation(inside.clone().filter(|&at| mask.classes[at] == 1).map(|at| pixels[at]));
        let (off, deviation) = mean_and_deviation(inside.filter(|&at| beside[at]).map(|at| pixels[at]));
        stands_out(on - off, deviation, self.least_contrast)
    }

    /// Compressed echoes `[beams, samples]` of one moment.
    fn echoes(&self, moment: &Moment, placed: Option<&Placed>, machine_frame: u64) -> Vec<f32> {
        let (probe, screen) = (&self.probe, &self.screen);
        let mut extra = screen.clutter.clone();
        let shade = match placed {
            Some(placed) => self.shaft.add_echo(probe, &self.psf, placed, &screen.noise, &mut extra),
            None => Vec::new(),
        };
        let mut rng = Rng::stream(self.seed, "needle simulator noise", [self.index, machine_frame]);
        let noise_at = rng.below(probe.beams * probe.samples);
        let nodes = self.motion_nodes(moment, placed, nodes_along(probe));
        let view = View { slice: moment.slice, nodes: &nodes, extra: &extra, shade: &shade, noise_at };
        screen.compress(probe, &self.tissue.body, &view)
    }

    /// Where the tissue under each node came from, in cells `(beams, samples)` from the node, and the amplitude that
    /// injected fluid leaves.
    fn motion_nodes(&self, moment: &Moment, placed: Option<&Placed>, nodes_along: usize) -> Vec<(f32, f32, f32)> {
        let probe = &self.probe;
        let nodes_across = probe.beams.div_ceil(NODE) + 1;
        let mut nodes = Vec::with_capacity(nodes_across * nodes_along);
        for across in 0..nodes_across {
            let beam = (across * NODE) as f64;
            let (bx, bz) = probe.beam_direction(beam);
            for along in 0..nodes_along {
                let sample = (along * NODE) as f64;
                let range = sample * probe.sample_mm();
                let (x, z) = probe.mm_from_cell(beam, sample);
                // The skin sticks to the probe.
                let loose = (range / 6.0).min(1.0);
                let (mut dx, mut dz) = (loose * moment.drift.0, loose * moment.drift.1);
                if let Some(placed) = placed {
                    let (px, pz) = placed.pull(x, z);
                    dx += moment.drag_mm * px;
                    dz += moment.drag_mm * pz;
                }
                for blob in &self.tissue.blobs {
                    if blob.pulse_mm <= 0.0 {
                        continue;
                    }
                    let (ox, oz) = (x - blob.centre.0, z - blob.centre.1);
                    let distance = ox.hypot(oz).max(0.3);
                    let radius = blob.radii.0.min(blob.radii.1);
                    let beat = blob.pulse_mm * moment.pulse.sin() * (-((distance - radius) / 3.0).powi(2)).exp();
                    dx += beat * ox / distance;
                    dz += beat * oz / distance;
                }
                let mut wet = 1.0;
                if let Some(pass) = moment.pass.filter(|_| moment.fluid_mm > 0.2) {
                    // The pocket is flat and moves with the tissue; it pushes what is around it away.
                    let (fx, fz) = (x - dx - pass.target.0, z - dz - pass.target.1);
                    let (rx, rz) = (moment.fluid_mm, 0.4 * moment.fluid_mm);
                    let radius = (fx / rx).hypot(fz / rz);
                    wet = (0.08 + 0.92 * ((radius - 0.75) / 0.5)).clamp(0.08, 1.0);
                    dz += 0.5 * rz * (fz / rz).tanh() * (-(radius - 1.0).max(0.0)).exp();
                }
                let lateral = dx * bz - dz * bx;
                let axial = dx * bx + dz * bz;
                let back = ((-lateral / probe.beam_mm(range)) as f32, (-axial / probe.sample_mm()) as f32);
                nodes.push((back.0, back.1, wet as f32));
            }
        }
        nodes
    }
}

/// Frames per second and the machine's frame behind each captured one.
fn capture(config: &NeedleSimConfig, frames: usize, rng: &mut Rng) -> (f64, Vec<usize>) {
    if !rng.chance(config.double_capture_share) {
        return (config.machine_fps, (0..frames).collect());
    }
    // The two clocks are not locked: now and then a frame comes once or three times.
    let mut clock = rng.uniform(0.0, 1.0);
    let captured = (0..frames)
        .map(|_| {
            let frame = clock as usize;
            clock += 0.5 + 0.04 * rng.uniform(-1.0, 1.0);
            frame
        })
        .collect();
    (2.0 * config.machine_fps, captured)
}
