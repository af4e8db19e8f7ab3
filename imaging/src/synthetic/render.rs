//! From echoes to pictures: the simulator of one procedure.

use super::SimFrame;
use super::config::{Difficulty, NeedleSimConfig, amplitude, draw, draw_sign};
use super::degrade::{Degrade, gauss};
use super::field::{Field, Noise1, Psf};
use super::marks::Marks;
use super::motion::{Moment, draw_moments};
use super::probe::{Probe, ProbeKind, ScanTable};
use super::seen::{beside, mean_and_deviation, stands_out};
use super::shaft::{Placed, Shaft};
use super::tissue::Tissue;
use crate::geometry::{Image, Mask, Scale, ScaleRegion, Spacing};
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
    /// How much a needle must stand out, standard deviations of what is beside it.
    least_contrast: f64,
}

/// How the machine turns echoes into grey.
struct Screen {
    table: ScanTable,
    /// Whether each pixel lies in the scan area.
    inside: Vec<bool>,
    /// Amplitude of the gain per cell, and of the noise per sample.
    gain: Vec<f32>,
    noise_level: Vec<f32>,
    /// Noise through the receiver, to be taken from a new place in every frame.
    noise: Field,
    /// Bands under the probe face, and haze.
    clutter: Field,
    compounding: f32,
    despeckle: f32,
    smoothing: f32,
    range_db: f32,
    level: f32,
    gamma: f32,
    background: f32,
    degrade: Degrade,
    marks: Marks,
    seed: u64,
    index: u64,
}

/// Distance between the nodes at which motion is computed, cells.
const NODE: usize = 8;

impl ProcedureSim {
    /// Set up procedure `index` of `seed`; [`frame`](Self::frame) then gives each of its `frames` frames.
    pub fn new(config: &NeedleSimConfig, seed: u64, index: u64, frames: usize) -> Self {
        let stream = |part: u64| Rng::stream(seed, "needle simulator", [index, part]);
        let mut rng = stream(0);
        let difficulty = config.difficulty.unwrap_or_else(|| Difficulty::ALL[rng.below(3)]);
        let level = config.of(difficulty);
        let probe = Probe::draw(config, &mut rng);
        let psf = Psf::draw(config, &probe, &mut rng);
        let (fps, captured) = capture(config, frames, &mut stream(1));
        let machine_frames = captured.last().map_or(0, |last| last + 1);
        let moments = draw_moments(config, level, &probe, machine_frames, &mut stream(2));
        let shaft = Shaft::draw(config, level, &mut stream(3));
        let tissue = Tissue::draw(config, level, &probe, &psf, &moments, [stream(4), stream(6)]);
        let mut screen = Screen::draw(config, &probe, &psf, &mut stream(5));
        (screen.seed, screen.index) = (seed, index);
        let least_contrast = config.least_contrast;
        Self { difficulty, fps, captured, moments, probe, psf, tissue, shaft, screen, least_contrast }
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
            image: Image::grey(self.probe.height, self.probe.width, pixels).with_scale(self.scale()),
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

    /// The scale holds in the bounding box of the scan area, as a DICOM file would say.
    fn scale(&self) -> Scale {
        let (width, height) = (self.probe.width, self.probe.height);
        let inside = &self.screen.inside;
        let columns: Vec<usize> = (0..width).filter(|c| (0..height).any(|r| inside[r * width + c])).collect();
        let rows: Vec<usize> = (0..height).filter(|r| (0..width).any(|c| inside[r * width + c])).collect();
        let spacing = self.probe.spacing;
        match (columns.first(), columns.last(), rows.first(), rows.last()) {
            (Some(&0), Some(&right), Some(&0), Some(&bottom)) if right + 1 == width && bottom + 1 == height => {
                Scale::Everywhere(spacing)
            }
            // The corner of a sector may lie between two pixels.
            (Some(&left), Some(&right), Some(&top), Some(&bottom)) => Scale::Regions(vec![ScaleRegion {
                left: (left as f64 - 0.5).max(0.0),
                top: (top as f64 - 0.5).max(0.0),
                right: (right as f64 + 0.5).min(width as f64 - 1.0),
                bottom: (bottom as f64 + 0.5).min(height as f64 - 1.0),
                spacing,
            }]),
            _ => Scale::Unknown,
        }
    }

    /// Compressed echoes `[beams, samples]` of one moment.
    fn echoes(&self, moment: &Moment, placed: Option<&Placed>, machine_frame: u64) -> Vec<f32> {
        let (probe, screen) = (&self.probe, &self.screen);
        let (beams, samples) = (probe.beams, probe.samples);
        let mut extra = screen.clutter.clone();
        let shade = match placed {
            Some(placed) => self.shaft.add_echo(probe, &self.psf, placed, &screen.noise, &mut extra),
            None => Vec::new(),
        };
        let (sin, cos) = moment.slice.sin_cos();
        let looks = [self.mix(cos as f32, sin as f32), self.mix(-sin as f32, cos as f32)];
        let mut rng = Rng::stream(screen.seed, "needle simulator noise", [screen.index, machine_frame]);
        let mut noise_at = rng.below(beams * samples);
        let nodes_along = samples.div_ceil(NODE) + 1;
        let nodes = self.motion_nodes(moment, placed, nodes_along);
        let mut grey = vec![0.0f32; beams * samples];
        let scale = 10.0 / std::f32::consts::LN_10 / screen.range_db;
        let share = 0.5 * screen.compounding;
        for beam in 0..beams {
            let (node, t) = (beam / NODE, (beam % NODE) as f32 / NODE as f32);
            let (near, far) = (&nodes[node * nodes_along..], &nodes[(node + 1) * nodes_along..]);
            let column: Vec<(f32, f32, f32)> = near[..nodes_along]
                .iter()
                .zip(far)
                .map(|(n, f)| (n.0 + (f.0 - n.0) * t, n.1 + (f.1 - n.1) * t, n.2 + (f.2 - n.2) * t))
                .collect();
            let (shade_from, shade_gain) = shade.get(beam).copied().unwrap_or((samples, 1.0));
            for sample in 0..samples {
                let (k, t) = (sample / NODE, (sample % NODE) as f32 / NODE as f32);
                let (lower, upper) = (column[k], column[k + 1]);
                let across = beam as f32 + self.tissue.margin as f32 + lower.0 + (upper.0 - lower.0) * t;
                let along = sample as f32 + lower.1 + (upper.1 - lower.1) * t;
                let across = across.clamp(0.0, (self.tissue.structure.beams - 2) as f32);
                let along = along.clamp(0.0, (samples - 2) as f32);
                let (b, s) = (across as usize, along as usize);
                let (fb, fs) = (across - b as f32, along - s as f32);
                let weights = [(1.0 - fb) * (1.0 - fs), (1.0 - fb) * fs, fb * (1.0 - fs), fb * fs];
                let (first, next) = (b * samples + s, (b + 1) * samples + s);
                let take = |plane: &[f32]| {
                    weights[0] * plane[first]
                        + weights[1] * plane[first + 1]
                        + weights[2] * plane[next]
                        + weights[3] * plane[next + 1]
                };
                let cell = beam * samples + sample;
                let wet = lower.2 + (upper.2 - lower.2) * t;
                let dim = if sample >= shade_from { shade_gain * wet } else { wet };
                let gain = screen.gain[cell];
                let noise = screen.noise_level[sample];
                let (noise_re, noise_im) = (noise * screen.noise.re[noise_at], noise * screen.noise.im[noise_at]);
                noise_at = if noise_at + 1 == beams * samples { 0 } else { noise_at + 1 };
                let power = |look: &(Vec<f32>, Vec<f32>)| {
                    let re = gain * (dim * take(&look.0) + extra.re[cell]) + noise_re;
                    let im = gain * (dim * take(&look.1) + extra.im[cell]) + noise_im;
                    re * re + im * im
                };
                let mut total = power(&looks[0]);
                if share > 0.0 {
                    total += share * (power(&looks[1]) - total);
                }
                let steady = dim * dim * take(&self.tissue.mean_power)
                    + extra.re[cell] * extra.re[cell]
                    + extra.im[cell] * extra.im[cell];
                total += screen.despeckle * (gain * gain * steady + noise * noise - total);
                grey[cell] = screen.level + scale * (total + 1e-9).ln();
            }
        }
        let smoothing = screen.smoothing;
        if smoothing > 0.2 { gauss(&grey, samples, 0.7 * smoothing, smoothing) } else { grey }
    }

    /// One look at the tissue: both slices mixed, and the structures that all slices share.
    fn mix(&self, first: f32, second: f32) -> (Vec<f32>, Vec<f32>) {
        let [one, two] = &self.tissue.slices;
        let plane = |structure: &[f32], one: &[f32], two: &[f32]| {
            structure.iter().zip(one).zip(two).map(|((s, a), b)| s + first * a + second * b).collect()
        };
        let structure = &self.tissue.structure;
        (plane(&structure.re, &one.re, &two.re), plane(&structure.im, &one.im, &two.im))
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

impl Screen {
    fn draw(config: &NeedleSimConfig, probe: &Probe, psf: &Psf, rng: &mut Rng) -> Self {
        let (beams, samples) = (probe.beams, probe.samples);
        let range_db = draw(rng, config.dynamic_range_db);
        let attenuation = draw(rng, config.attenuation_db);
        let tgc = draw(rng, config.tgc_error_db);
        let (slow, fast) = (Noise1::draw(rng), Noise1::draw(rng));
        // Contact: the probe may not touch the skin at one end.
        let lifted = if rng.chance(0.2) { rng.uniform(0.05, 0.3) } else { 0.0 };
        let lifted_side = draw_sign(rng);
        let columns_db = rng.uniform(0.0, 4.0);
        let mut gain = Vec::with_capacity(beams * samples);
        for beam in 0..beams {
            let across = 2.0 * beam as f64 / (beams - 1) as f64 - 1.0;
            let lift = (across * lifted_side - 1.0 + 2.0 * lifted).max(0.0);
            let contact = columns_db * fast.at(6.0 * across) - 60.0 * lift;
            for sample in 0..samples {
                let depth = sample as f64 / samples as f64;
                let db = contact.max(-45.0) + tgc * slow.at(4.0 * depth + 20.0) - attenuation * depth;
                gain.push(amplitude(db) as f32);
            }
        }
        let noise_db = draw(rng, config.noise_db);
        let noise_level =
            (0..samples).map(|s| amplitude(noise_db - 14.0 * (1.0 - s as f64 / samples as f64)) as f32).collect();
        let noise = psf.convolve(&Field::noise(beams, samples, rng));
        let clutter = draw_clutter(config, probe, &noise, rng);
        let table = ScanTable::new(probe);
        Self {
            inside: table.inside(),
            table,
            gain,
            noise_level,
            clutter,
            noise,
            compounding: draw(rng, config.compounding) as f32,
            despeckle: draw(rng, config.despeckle) as f32,
            smoothing: draw(rng, config.smoothing) as f32,
            range_db: range_db as f32,
            level: draw(rng, config.tissue_level) as f32,
            gamma: draw(rng, config.gamma) as f32,
            background: if rng.chance(0.2) { draw(rng, config.background) as f32 } else { 0.0 },
            degrade: Degrade::draw(config, rng),
            marks: Marks::draw(config, probe, rng),
            seed: 0,
            index: 0,
        }
    }

    /// The picture of compressed echoes.
    fn picture(&self, probe: &Probe, mut grey: Vec<f32>) -> Vec<f32> {
        for value in &mut grey {
            let clipped = value.clamp(0.0, 1.0);
            *value = if self.gamma == 1.0 { clipped } else { clipped.powf(self.gamma) };
        }
        let mut pixels = self.table.convert(&grey, self.background);
        self.marks.paint(&mut pixels);
        self.degrade.apply(&mut pixels, probe.height, probe.width);
        pixels
    }
}

/// Bands under the probe face that do not move with the tissue, and haze.
fn draw_clutter(config: &NeedleSimConfig, probe: &Probe, noise: &Field, rng: &mut Rng) -> Field {
    let (beams, samples) = (probe.beams, probe.samples);
    let mut clutter = Field::zeros(beams, samples);
    let level = draw(rng, config.near_field_db);
    let reach = rng.uniform(0.3, 1.6);
    let spacing = rng.uniform(0.7, 3.0);
    let bands = rng.below(6);
    let decay = rng.uniform(4.0, 9.0);
    let haze = if rng.chance(0.25) { amplitude(rng.uniform(-22.0, -6.0)) } else { 0.0 };
    let haze_reach = rng.uniform(0.1, 0.6) * probe.depth_mm;
    let wave = Noise1::draw(rng);
    for beam in 0..beams {
        let uneven = 3.0 * wave.at(0.05 * beam as f64);
        for sample in 0..samples {
            let depth = sample as f64 * probe.sample_mm();
            let mut echo = amplitude(level + uneven) * (-(depth / reach).powi(2)).exp();
            for band in 1..=bands {
                let off = (depth - band as f64 * spacing) / (1.2 * probe.sample_mm()).max(0.12);
                if off.abs() < 3.0 {
                    echo += amplitude(level + uneven - decay * band as f64) * (-0.5 * off * off).exp();
                }
            }
            let cell = beam * samples + sample;
            let rough = haze * (-depth / haze_reach).exp();
            clutter.re[cell] = (echo + rough * f64::from(noise.re[cell])) as f32;
            clutter.im[cell] = (rough * f64::from(noise.im[cell])) as f32;
        }
    }
    clutter
}
