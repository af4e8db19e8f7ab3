//! How the machine turns echoes into grey: gain, noise, compression, scan conversion, marks, and what files do.

use super::body::Body;
use super::config::{amplitude, draw, draw_sign};
use super::degrade::{Degrade, gauss};
use super::field::{Field, Noise1, Psf};
use super::machine::MachineConfig;
use super::marks::Marks;
use super::probe::{Probe, ScanTable};
use crate::geometry::{Scale, ScaleRegion};
use crate::rng::Rng;

/// How the machine turns echoes into grey.
pub(super) struct Screen {
    table: ScanTable,
    /// Whether each pixel lies in the scan area.
    pub(super) inside: Vec<bool>,
    /// Amplitude of the gain per cell, and of the noise per sample.
    gain: Vec<f32>,
    noise_level: Vec<f32>,
    /// Noise through the receiver, to be taken from a new place in every frame.
    pub(super) noise: Field,
    /// Bands under the probe face, and haze.
    pub(super) clutter: Field,
    compounding: f32,
    despeckle: f32,
    smoothing: f32,
    range_db: f32,
    level: f32,
    gamma: f32,
    background: f32,
    degrade: Degrade,
    marks: Marks,
}

/// Distance between the nodes at which motion is computed, cells.
pub(super) const NODE: usize = 8;

/// Amplitude, as a share of the best, below which nothing is seen for want of contact.
const LEAST_CONTACT: f32 = 0.1;

/// Nodes along a beam.
pub(super) fn nodes_along(probe: &Probe) -> usize {
    probe.samples.div_ceil(NODE) + 1
}

/// What of a body is seen, and what lies before it.
pub(super) struct View<'a> {
    /// Mixing angle of the two slices of speckle, rad.
    pub(super) slice: f64,
    /// Where the body under each node came from, in cells `(beams, samples)` from the node, and the amplitude that is left
    /// of it, `[across, along]`.
    pub(super) nodes: &'a [(f32, f32, f32)],
    /// Echoes that do not move with the body.
    pub(super) extra: &'a Field,
    /// For each beam the sample from which it is shaded, and the amplitude that is left there.
    pub(super) shade: &'a [(usize, f32)],
    /// Where the noise of this frame begins.
    pub(super) noise_at: usize,
}

impl Screen {
    pub(super) fn draw(config: &MachineConfig, probe: &Probe, psf: &Psf, rng: &mut Rng) -> Self {
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
        }
    }

    /// Compressed echoes `[beams, samples]` of a view of a body.
    pub(super) fn compress(&self, probe: &Probe, body: &Body, view: &View<'_>) -> Vec<f32> {
        let (beams, samples) = (probe.beams, probe.samples);
        let (sin, cos) = view.slice.sin_cos();
        let looks = [body.mix(cos as f32, sin as f32), body.mix(-sin as f32, cos as f32)];
        let (nodes, extra, nodes_along) = (view.nodes, view.extra, nodes_along(probe));
        let mut noise_at = view.noise_at;
        let mut grey = vec![0.0f32; beams * samples];
        let scale = 10.0 / std::f32::consts::LN_10 / self.range_db;
        let share = 0.5 * self.compounding;
        for beam in 0..beams {
            let (node, t) = (beam / NODE, (beam % NODE) as f32 / NODE as f32);
            let (near, far) = (&nodes[node * nodes_along..], &nodes[(node + 1) * nodes_along..]);
            let column: Vec<(f32, f32, f32)> = near[..nodes_along]
                .iter()
                .zip(far)
                .map(|(n, f)| (n.0 + (f.0 - n.0) * t, n.1 + (f.1 - n.1) * t, n.2 + (f.2 - n.2) * t))
                .collect();
            let (shade_from, shade_gain) = view.shade.get(beam).copied().unwrap_or((samples, 1.0));
            for sample in 0..samples {
                let (k, t) = (sample / NODE, (sample % NODE) as f32 / NODE as f32);
                let (lower, upper) = (column[k], column[k + 1]);
                let across = beam as f32 + body.margin as f32 + lower.0 + (upper.0 - lower.0) * t;
                let along = sample as f32 + lower.1 + (upper.1 - lower.1) * t;
                let across = across.clamp(0.0, (body.structure.beams - 2) as f32);
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
                let gain = self.gain[cell];
                let noise = self.noise_level[sample];
                let (noise_re, noise_im) = (noise * self.noise.re[noise_at], noise * self.noise.im[noise_at]);
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
                let steady = dim * dim * take(&body.mean_power)
                    + extra.re[cell] * extra.re[cell]
                    + extra.im[cell] * extra.im[cell];
                total += self.despeckle * (gain * gain * steady + noise * noise - total);
                grey[cell] = self.level + scale * (total + 1e-9).ln();
            }
        }
        let smoothing = self.smoothing;
        if smoothing > 0.2 { gauss(&grey, samples, 0.7 * smoothing, smoothing) } else { grey }
    }

    /// The picture of compressed echoes.
    pub(super) fn picture(&self, probe: &Probe, mut grey: Vec<f32>) -> Vec<f32> {
        for value in &mut grey {
            let clipped = value.clamp(0.0, 1.0);
            *value = if self.gamma == 1.0 { clipped } else { clipped.powf(self.gamma) };
        }
        let mut pixels = self.table.convert(&grey, self.background);
        self.marks.paint(&mut pixels);
        self.degrade.apply(&mut pixels, probe.height, probe.width);
        pixels
    }

    /// Whether the probe touches the skin at a beam.
    pub(super) fn touches(&self, probe: &Probe, beam: f64) -> bool {
        let at = |beam: usize| self.gain[beam * probe.samples];
        let most = (0..probe.beams).map(at).fold(0.0, f32::max);
        at((beam.round().max(0.0) as usize).min(probe.beams - 1)) > LEAST_CONTACT * most
    }

    /// The scale holds in the bounding box of the scan area, as a DICOM file would say.
    pub(super) fn scale(&self, probe: &Probe) -> Scale {
        let (width, height) = (probe.width, probe.height);
        let inside = &self.inside;
        let columns: Vec<usize> = (0..width).filter(|c| (0..height).any(|r| inside[r * width + c])).collect();
        let rows: Vec<usize> = (0..height).filter(|r| (0..width).any(|c| inside[r * width + c])).collect();
        let spacing = probe.spacing;
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
}

/// Bands under the probe face that do not move with the tissue, and haze.
fn draw_clutter(config: &MachineConfig, probe: &Probe, noise: &Field, rng: &mut Rng) -> Field {
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
