//! Complex echo fields on the beam grid: smooth noise, the point-spread function, and their convolution.
//!
//! A field is stored beam by beam: index `beam * samples + sample`. Echoes are complex (demodulated radio frequency),
//! so that their magnitude has the statistics of speckle.

use super::config::draw;
use super::machine::MachineConfig;
use super::probe::Probe;
use crate::rng::Rng;

/// A complex field `[beams, samples]`.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) beams: usize,
    pub(super) samples: usize,
    pub(super) re: Vec<f32>,
    pub(super) im: Vec<f32>,
}

impl Field {
    pub(super) fn zeros(beams: usize, samples: usize) -> Self {
        Self { beams, samples, re: vec![0.0; beams * samples], im: vec![0.0; beams * samples] }
    }

    /// White noise of unit power.
    pub(super) fn noise(beams: usize, samples: usize, rng: &mut Rng) -> Self {
        let mut field = Self::zeros(beams, samples);
        // Uniform numbers do: the point-spread function adds many of them up.
        let scale = 1.5f64.sqrt();
        for value in field.re.iter_mut().chain(field.im.iter_mut()) {
            *value = rng.uniform(-scale, scale) as f32;
        }
        field
    }

    /// Add a point echo at a fractional place.
    pub(super) fn add(&mut self, beam: f64, sample: f64, re: f32, im: f32) {
        if beam < 0.0 || sample < 0.0 {
            return;
        }
        let (b, s) = (beam as usize, sample as usize);
        if b + 1 >= self.beams || s + 1 >= self.samples {
            return;
        }
        let (fb, fs) = (beam.fract() as f32, sample.fract() as f32);
        for (cell, weight) in [
            (b * self.samples + s, (1.0 - fb) * (1.0 - fs)),
            (b * self.samples + s + 1, (1.0 - fb) * fs),
            ((b + 1) * self.samples + s, fb * (1.0 - fs)),
            ((b + 1) * self.samples + s + 1, fb * fs),
        ] {
            self.re[cell] += weight * re;
            self.im[cell] += weight * im;
        }
    }
}

/// The point-spread function: a Gaussian pulse along the beam, and across it a Gaussian that widens away from the
/// focus.
#[derive(Clone, Debug)]
pub(super) struct Psf {
    /// Standard deviation along the beam, mm.
    pub(super) axial_mm: f64,
    /// Standard deviation across, mm, per sample.
    pub(super) lateral_mm: Vec<f64>,
    axial: Vec<f32>,
    /// Weights per offset, each with one weight per sample.
    lateral: Vec<Vec<f32>>,
}

/// Speed of sound in soft tissue, mm/us.
const SOUND_MM_US: f64 = 1.54;
/// Gaussian: full width at half maximum over standard deviation.
pub(super) const FWHM: f64 = 2.355;

impl Psf {
    pub(super) fn draw(config: &MachineConfig, probe: &Probe, rng: &mut Rng) -> Self {
        let wavelength = SOUND_MM_US / probe.mhz;
        // Two-way: the pulse covers half its length of tissue.
        let axial_mm = draw(rng, config.pulse_cycles) * wavelength / 2.0 / FWHM;
        let width = draw(rng, config.f_number) * wavelength / FWHM;
        let focus = draw(rng, config.focus) * probe.depth_mm;
        let reach = draw(rng, config.focal_range) * probe.depth_mm;
        let lateral_mm: Vec<f64> = (0..probe.samples)
            .map(|s| width * (1.0 + ((s as f64 * probe.sample_mm() - focus) / reach).powi(2)).sqrt())
            .collect();
        Self::new(probe, axial_mm, lateral_mm)
    }

    /// Of standard deviations along the beam, and across it per sample, mm.
    pub(super) fn new(probe: &Probe, axial_mm: f64, lateral_mm: Vec<f64>) -> Self {
        // Below this width in cells the grid itself would show.
        let sigma = (axial_mm / probe.sample_mm()).max(0.65);
        let radius = (2.6 * sigma).ceil() as isize;
        let gauss = |offset: isize, sigma: f64| (-0.5 * (offset as f64 / sigma).powi(2)).exp();
        let axial = normalised((-radius..=radius).map(|k| gauss(k, sigma)).collect());
        let sigmas: Vec<f64> = lateral_mm
            .iter()
            .enumerate()
            .map(|(s, mm)| (mm / probe.beam_mm(s as f64 * probe.sample_mm())).clamp(0.65, 5.0))
            .collect();
        let radius = (2.4 * sigmas.iter().copied().fold(0.0, f64::max)).ceil() as isize;
        let mut lateral = vec![vec![0.0; probe.samples]; 2 * radius as usize + 1];
        for (s, &sigma) in sigmas.iter().enumerate() {
            let kernel = normalised((-radius..=radius).map(|k| gauss(k, sigma)).collect());
            for (row, weight) in lateral.iter_mut().zip(kernel) {
                row[s] = weight;
            }
        }
        Self { axial_mm, lateral_mm, axial, lateral }
    }

    /// Convolve a field. White noise of unit power keeps unit power.
    pub(super) fn convolve(&self, field: &Field) -> Field {
        let (beams, samples) = (field.beams, field.samples);
        let plane = |input: &[f32]| {
            let along = self.convolve_along(input, samples);
            let half = self.lateral.len() / 2;
            let mut output = vec![0.0; input.len()];
            for (beam, out) in output.chunks_exact_mut(samples).enumerate() {
                for (k, weights) in self.lateral.iter().enumerate() {
                    let source = (beam + k).saturating_sub(half).min(beams - 1) * samples;
                    for ((o, i), w) in out.iter_mut().zip(&along[source..source + samples]).zip(weights) {
                        *o += i * w;
                    }
                }
            }
            output
        };
        Field { beams, samples, re: plane(&field.re), im: plane(&field.im) }
    }

    fn convolve_along(&self, input: &[f32], samples: usize) -> Vec<f32> {
        let half = self.axial.len() / 2;
        let mut output = vec![0.0; input.len()];
        for (line, out) in input.chunks_exact(samples).zip(output.chunks_exact_mut(samples)) {
            for (k, &weight) in self.axial.iter().enumerate() {
                // Output sample s takes input sample s + k - half.
                let (from, to) = if k < half { (0, half - k) } else { (k - half, 0) };
                let count = samples - from.max(to);
                for (o, i) in out[to..to + count].iter_mut().zip(&line[from..from + count]) {
                    *o += i * weight;
                }
            }
        }
        output
    }
}

/// Scale to a unit sum of squares.
fn normalised(kernel: Vec<f64>) -> Vec<f32> {
    let norm = kernel.iter().map(|w| w * w).sum::<f64>().sqrt();
    kernel.into_iter().map(|w| (w / norm) as f32).collect()
}

/// Smooth noise in one dimension: random values in [-1, 1] on whole numbers, smoothly joined, periodic.
#[derive(Clone, Debug)]
pub(super) struct Noise1(Vec<f64>);

impl Noise1 {
    pub(super) fn draw(rng: &mut Rng) -> Self {
        Self((0..256).map(|_| rng.uniform(-1.0, 1.0)).collect())
    }

    pub(super) fn at(&self, x: f64) -> f64 {
        let cell = x.floor();
        let index = cell as i64 as usize & 255;
        let t = x - cell;
        let smooth = t * t * (3.0 - 2.0 * t);
        self.0[index] + (self.0[(index + 1) & 255] - self.0[index]) * smooth
    }
}

/// Smooth noise in two dimensions, like [`Noise1`].
#[derive(Clone, Debug)]
pub(super) struct Noise2(Vec<f32>);

impl Noise2 {
    const SIDE: usize = 128;

    pub(super) fn draw(rng: &mut Rng) -> Self {
        Self((0..Self::SIDE * Self::SIDE).map(|_| rng.uniform(-1.0, 1.0) as f32).collect())
    }

    /// Three octaves, in [-1, 1].
    pub(super) fn fractal(&self, x: f64, y: f64) -> f64 {
        // Turned against each other, so that the grid of one hides that of the next.
        let (p, q) = (1.9 * x + 0.9 * y + 61.7, 1.9 * y - 0.9 * x + 23.1);
        0.5 * self.at(x, y) + 0.3 * self.at(p, q) + 0.2 * self.at(4.7 * x + 11.9, 4.7 * y + 93.3)
    }

    pub(super) fn at(&self, x: f64, y: f64) -> f64 {
        let (cell_x, cell_y) = (x.floor(), y.floor());
        let mask = Self::SIDE - 1;
        let (column, row) = (cell_x as i64 as usize & mask, cell_y as i64 as usize & mask);
        let smooth = |t: f64| (t * t * (3.0 - 2.0 * t)) as f32;
        let (tx, ty) = (smooth(x - cell_x), smooth(y - cell_y));
        let (right, below) = ((column + 1) & mask, (row + 1) & mask);
        let value = |r: usize, c: usize| self.0[r * Self::SIDE + c];
        let top = value(row, column) + (value(row, right) - value(row, column)) * tx;
        let bottom = value(below, column) + (value(below, right) - value(below, column)) * tx;
        f64::from(top + (bottom - top) * ty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::NeedleSimConfig;

    #[test]
    fn convolved_noise_keeps_its_power_and_is_rayleigh() {
        let config = NeedleSimConfig::default();
        let mut rng = Rng::stream(4, "test", [0, 0]);
        let probe = Probe::draw(&config, &mut rng);
        let psf = Psf::draw(&MachineConfig::from(&config), &probe, &mut rng);
        let field = psf.convolve(&Field::noise(probe.beams, probe.samples, &mut rng));
        let power: Vec<f64> = field.re.iter().zip(&field.im).map(|(re, im)| f64::from(re * re + im * im)).collect();
        let mean = power.iter().sum::<f64>() / power.len() as f64;
        let amplitude = power.iter().map(|p| p.sqrt()).sum::<f64>() / power.len() as f64;
        assert!((mean - 1.0).abs() < 0.08, "power {mean}");
        // The mean of a Rayleigh amplitude of unit power is sqrt(pi)/2.
        assert!((amplitude / mean.sqrt() - 0.886).abs() < 0.02, "amplitude {amplitude}");
    }

    #[test]
    fn a_point_becomes_a_blob_of_the_stated_width() {
        let config = NeedleSimConfig { probe_weights: [1.0, 0.0, 0.0], ..NeedleSimConfig::default() };
        let probe = Probe::draw(&config, &mut Rng::stream(4, "test", [0, 0]));
        let psf = Psf::new(&probe, 2.0 * probe.sample_mm(), vec![3.0 * probe.beam_mm(0.0); probe.samples]);
        let mut field = Field::zeros(probe.beams, probe.samples);
        field.add(40.0, 50.0, 1.0, 0.0);
        let blob = psf.convolve(&field);
        let at = |b: usize, s: usize| f64::from(blob.re[b * probe.samples + s]);
        assert!((at(40, 52) / at(40, 50) - (-0.5f64).exp()).abs() < 1e-3);
        assert!((at(43, 50) / at(40, 50) - (-0.5f64).exp()).abs() < 1e-3);
    }
}
