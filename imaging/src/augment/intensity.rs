//! Brightness, contrast, gamma, blur and noise on pixels in [0, 1].

use super::AugmentConfig;
use crate::rng::Rng;

/// One draw of the photometric changes.
#[derive(Clone, Debug)]
pub(super) struct Photometry {
    brightness: f64,
    contrast: f64,
    contrast_first: bool,
    gamma: f64,
    /// Off where the draw leaves brightness, contrast and gamma as they are.
    jitter: bool,
    blur_px: f64,
    noise: f64,
}

impl Photometry {
    pub(super) fn draw(config: &AugmentConfig, rng: &mut Rng) -> Self {
        let factor = |range: f64, rng: &mut Rng| rng.uniform((1.0 - range).max(0.0), 1.0 + range);
        // What is always done draws no number for it: settings without a probability draw what they always drew.
        let done = |probability: f64, rng: &mut Rng| probability >= 1.0 || rng.chance(probability);
        let mut drawn = Self {
            brightness: factor(config.brightness, rng),
            contrast: factor(config.contrast, rng),
            contrast_first: rng.chance(0.5),
            gamma: rng.uniform(-(1.0 + config.gamma).ln(), (1.0 + config.gamma).ln()).exp(),
            jitter: true,
            blur_px: rng.uniform(config.blur_least_px, config.blur_px),
            noise: rng.uniform(0.0, config.noise),
        };
        drawn.jitter = done(config.jitter, rng);
        if !done(config.blur, rng) {
            drawn.blur_px = 0.0;
        }
        drawn
    }

    pub(super) fn none() -> Self {
        Self {
            brightness: 1.0,
            contrast: 1.0,
            contrast_first: false,
            gamma: 1.0,
            jitter: false,
            blur_px: 0.0,
            noise: 0.0,
        }
    }

    /// In torchvision's manner: brightness multiplies, contrast blends with the mean, both clamp.
    pub(super) fn apply(&self, pixels: &mut [f32], width: usize, rng: &mut Rng) {
        if self.blur_px > 0.3 {
            blur(pixels, width, self.blur_px);
        }
        if self.jitter {
            self.jitter(pixels);
        }
        if self.noise > 0.0 {
            let noise = self.noise as f32;
            pixels.iter_mut().for_each(|p| *p = (*p + noise * rng.normal() as f32).clamp(0.0, 1.0));
        }
    }

    fn jitter(&self, pixels: &mut [f32]) {
        if (self.gamma - 1.0).abs() > 1e-6 {
            pixels.iter_mut().for_each(|p| *p = p.clamp(0.0, 1.0).powf(self.gamma as f32));
        }
        let brightness = |pixels: &mut [f32]| {
            pixels.iter_mut().for_each(|p| *p = (*p * self.brightness as f32).clamp(0.0, 1.0));
        };
        let contrast = |pixels: &mut [f32]| {
            let mean = pixels.iter().sum::<f32>() / pixels.len() as f32;
            let factor = self.contrast as f32;
            pixels.iter_mut().for_each(|p| *p = (mean + (*p - mean) * factor).clamp(0.0, 1.0));
        };
        if self.contrast_first {
            contrast(pixels);
            brightness(pixels);
        } else {
            brightness(pixels);
            contrast(pixels);
        }
    }
}

/// Separable Gaussian blur with mirrored borders.
fn blur(pixels: &mut [f32], width: usize, sigma: f64) {
    let radius = (3.0 * sigma).ceil() as isize;
    let kernel: Vec<f32> = (-radius..=radius).map(|i| (-0.5 * (i as f64 / sigma).powi(2)).exp() as f32).collect();
    let total: f32 = kernel.iter().sum();
    let height = pixels.len() / width;
    let mut pass = |count: usize, length: usize, stride_line: usize, stride: usize| {
        let mut line = vec![0.0; length];
        for index in 0..count {
            let start = index * stride_line;
            for (i, value) in line.iter_mut().enumerate() {
                *value = pixels[start + i * stride];
            }
            for i in 0..length as isize {
                let mut sum = 0.0;
                for (k, weight) in (-radius..=radius).zip(&kernel) {
                    let j = (i + k).abs().min(2 * (length as isize - 1) - (i + k)).clamp(0, length as isize - 1);
                    sum += weight * line[j as usize];
                }
                pixels[start + i as usize * stride] = sum / total;
            }
        }
    };
    pass(height, width, width, 1);
    pass(width, height, 1, width);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_changes_without_settings_and_blur_keeps_the_mean() {
        let mut rng = Rng::stream(1, "test", [0, 0]);
        let original: Vec<f32> = (0..64).map(|i| (i % 7) as f32 / 7.0).collect();
        let mut pixels = original.clone();
        Photometry::none().apply(&mut pixels, 8, &mut rng);
        assert!(pixels.iter().zip(&original).all(|(a, b)| (a - b).abs() < 1e-6), "no change was asked for");
        blur(&mut pixels, 8, 1.0);
        let mean = |p: &[f32]| p.iter().sum::<f32>() / 64.0;
        assert!((mean(&pixels) - mean(&original)).abs() < 0.02, "the mean stays");
        assert!(pixels.iter().zip(&original).any(|(a, b)| (a - b).abs() > 0.05), "something was blurred");
    }

    #[test]
    fn probabilities_are_kept_and_settings_without_them_draw_what_they_always_drew() {
        let always = AugmentConfig { brightness: 0.4, contrast: 0.4, blur_px: 2.0, ..AugmentConfig::default() };
        let densecl = AugmentConfig { jitter: 0.8, blur_least_px: 0.1, blur: 0.5, ..always };
        let mut rng = Rng::stream(1, "test", [0, 0]);
        let draws: Vec<Photometry> = (0..2000).map(|_| Photometry::draw(&densecl, &mut rng)).collect();
        let share = |is: fn(&Photometry) -> bool| draws.iter().filter(|one| is(one)).count() as f64 / 2000.0;
        assert!((share(|one| one.jitter) - 0.8).abs() < 0.04 && (share(|one| one.blur_px > 0.0) - 0.5).abs() < 0.05);
        let blurs = draws.iter().map(|one| one.blur_px).filter(|&sigma| sigma > 0.0);
        assert!(blurs.clone().all(|sigma| (0.1..2.0).contains(&sigma)) && blurs.fold(0.0, f64::max) > 1.9);
        let still = draws.iter().find(|one| !one.jitter && one.blur_px == 0.0).unwrap();
        let mut pixels = [0.3, 0.7, 0.1, 0.9];
        still.apply(&mut pixels, 2, &mut rng);
        assert_eq!(pixels, [0.3, 0.7, 0.1, 0.9], "what is not changed stays, bit by bit");

        let (mut rng, mut other) = (Rng::stream(2, "test", [0, 0]), Rng::stream(2, "test", [0, 0]));
        assert!(Photometry::draw(&always, &mut rng).jitter);
        // Brightness, contrast, their order, gamma, blur and noise.
        (0..6).for_each(|_| _ = other.uniform(0.0, 1.0));
        assert_eq!(rng.uniform(0.0, 1.0), other.uniform(0.0, 1.0));
    }
}
