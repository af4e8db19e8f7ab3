//! What happens to a picture between the machine and us: resampling, sharpening, compression, a few bits of grey.

use super::machine::MachineConfig;
use crate::rng::Rng;

/// The degradations of one procedure.
#[derive(Clone, Debug)]
pub(super) struct Degrade {
    /// Standard deviation of the blur, pixels.
    blur: f32,
    /// Strength of the sharpening and standard deviation of its blur, pixels.
    sharpen: f32,
    sharpen_radius: f32,
    /// Reduction before enlarging again.
    shrink: f32,
    /// Step of the compression's quantisation (grey levels of 255), 0 for none.
    jpeg: f32,
}

impl Degrade {
    pub(super) fn draw(config: &MachineConfig, rng: &mut Rng) -> Self {
        let mut degrade = Self { blur: 0.0, sharpen: 0.0, sharpen_radius: 1.0, shrink: 1.0, jpeg: 0.0 };
        if rng.chance(config.resampling_share) {
            match rng.below(4) {
                0 => degrade.blur = rng.uniform(0.4, 1.0) as f32,
                1 => degrade.sharpen = rng.uniform(0.3, 1.4) as f32,
                2 => degrade.shrink = rng.uniform(0.5, 0.9) as f32,
                _ => {
                    degrade.blur = rng.uniform(0.5, 1.1) as f32;
                    degrade.sharpen = rng.uniform(0.4, 1.5) as f32;
                }
            }
            degrade.sharpen_radius = rng.uniform(0.8, 2.5) as f32;
        }
        if rng.chance(config.jpeg_share) {
            degrade.jpeg = rng.uniform(3.0, 22.0) as f32;
        }
        degrade
    }

    /// Degrade a picture `[height, width]` in place.
    pub(super) fn apply(&self, pixels: &mut Vec<f32>, height: usize, width: usize) {
        if self.shrink < 1.0 {
            let small =
                (((height as f32 * self.shrink) as usize).max(2), ((width as f32 * self.shrink) as usize).max(2));
            let reduced = resample(pixels, (height, width), small);
            *pixels = resample(&reduced, small, (height, width));
        }
        if self.blur > 0.0 {
            *pixels = gauss(pixels, width, self.blur, self.blur);
        }
        if self.sharpen > 0.0 {
            let soft = gauss(pixels, width, self.sharpen_radius, self.sharpen_radius);
            for (pixel, soft) in pixels.iter_mut().zip(soft) {
                *pixel += self.sharpen * (*pixel - soft);
            }
        }
        if self.jpeg > 0.0 {
            compress(pixels, height, width, self.jpeg / 255.0);
        }
        for pixel in pixels {
            *pixel = (pixel.clamp(0.0, 1.0) * 255.0).round() / 255.0;
        }
    }
}

/// Separable Gaussian blur of a row-major plane; rows may also be beams.
pub(super) fn gauss(pixels: &[f32], width: usize, along_rows: f32, along_columns: f32) -> Vec<f32> {
    let height = pixels.len() / width;
    let kernel = |sigma: f32| -> Vec<f32> {
        let radius = (2.5 * sigma).ceil().max(1.0) as i32;
        let weights: Vec<f32> = (-radius..=radius).map(|k| (-0.5 * (k as f32 / sigma).powi(2)).exp()).collect();
        let sum: f32 = weights.iter().sum();
        weights.into_iter().map(|w| w / sum).collect()
    };
    let mut rows = pixels.to_vec();
    if along_rows > 0.05 {
        let kernel = kernel(along_rows);
        let half = kernel.len() / 2;
        let mut padded = vec![0.0; width + 2 * half];
        for (line, out) in pixels.chunks_exact(width).zip(rows.chunks_exact_mut(width)) {
            padded[..half].fill(line[0]);
            padded[half..half + width].copy_from_slice(line);
            padded[half + width..].fill(line[width - 1]);
            out.fill(0.0);
            for (k, weight) in kernel.iter().enumerate() {
                for (o, i) in out.iter_mut().zip(&padded[k..k + width]) {
                    *o += weight * i;
                }
            }
        }
    }
    if along_columns <= 0.05 {
        return rows;
    }
    let kernel = kernel(along_columns);
    let half = kernel.len() / 2;
    let mut output = vec![0.0; pixels.len()];
    for (row, out) in output.chunks_exact_mut(width).enumerate() {
        for (k, weight) in kernel.iter().enumerate() {
            let source = (row + k).saturating_sub(half).min(height - 1) * width;
            for (o, i) in out.iter_mut().zip(&rows[source..source + width]) {
                *o += weight * i;
            }
        }
    }
    output
}

/// Bilinear resampling with aligned corners, so that nothing shifts.
fn resample(pixels: &[f32], from: (usize, usize), to: (usize, usize)) -> Vec<f32> {
    let place = |index: usize, from: usize, to: usize| {
        let at = index as f32 * (from - 1) as f32 / (to - 1) as f32;
        let cell = (at as usize).min(from - 2);
        (cell, at - cell as f32)
    };
    let columns: Vec<(usize, f32)> = (0..to.1).map(|c| place(c, from.1, to.1)).collect();
    let mut output = Vec::with_capacity(to.0 * to.1);
    for row in 0..to.0 {
        let (r, fr) = place(row, from.0, to.0);
        let (upper, lower) = (&pixels[r * from.1..], &pixels[(r + 1) * from.1..]);
        output.extend(columns.iter().map(|&(c, fc)| {
            let top = upper[c] + (upper[c + 1] - upper[c]) * fc;
            let bottom = lower[c] + (lower[c + 1] - lower[c]) * fc;
            top + (bottom - top) * fr
        }));
    }
    output
}

/// What JPEG does to grey: 8x8 cosine transform, coarser steps for finer detail, and back.
fn compress(pixels: &mut [f32], height: usize, width: usize, step: f32) {
    let mut basis = [[0.0f32; 8]; 8];
    for (k, row) in basis.iter_mut().enumerate() {
        let scale = if k == 0 { (1.0f32 / 8.0).sqrt() } else { 0.5 };
        for (n, value) in row.iter_mut().enumerate() {
            *value = scale * ((2 * n + 1) as f32 * k as f32 * std::f32::consts::PI / 16.0).cos();
        }
    }
    let forward = |block: &[[f32; 8]; 8]| -> [[f32; 8]; 8] {
        // Transform the rows and transpose; twice gives both directions.
        std::array::from_fn(|k| std::array::from_fn(|r| (0..8).map(|n| basis[k][n] * block[r][n]).sum()))
    };
    let inverse = |block: &[[f32; 8]; 8]| -> [[f32; 8]; 8] {
        std::array::from_fn(|n| std::array::from_fn(|r| (0..8).map(|k| basis[k][n] * block[r][k]).sum()))
    };
    for top in (0..height).step_by(8) {
        for left in (0..width).step_by(8) {
            let block: [[f32; 8]; 8] = std::array::from_fn(|r| {
                std::array::from_fn(|c| pixels[(top + r).min(height - 1) * width + (left + c).min(width - 1)])
            });
            let mut spectrum = forward(&forward(&block));
            for (v, row) in spectrum.iter_mut().enumerate() {
                for (u, value) in row.iter_mut().enumerate() {
                    let step = step * (1.0 + 0.5 * (u + v) as f32);
                    *value = (*value / step).round() * step;
                }
            }
            let block = inverse(&inverse(&spectrum));
            for (r, row) in block.iter().enumerate().take(height - top) {
                for (c, value) in row.iter().enumerate().take(width - left) {
                    pixels[(top + r) * width + left + c] = *value;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fine_compression_and_resampling_leave_a_smooth_picture_alone() {
        let (height, width) = (37, 45);
        let smooth: Vec<f32> =
            (0..height * width).map(|i| 0.3 + 0.004 * (i % width) as f32 + 0.002 * (i / width) as f32).collect();
        let mut pixels = smooth.clone();
        compress(&mut pixels, height, width, 0.002);
        let reduced = resample(&pixels, (height, width), (20, 30));
        let again = resample(&reduced, (20, 30), (height, width));
        for (a, b) in again.iter().zip(&smooth) {
            assert!((a - b).abs() < 0.01, "{a} {b}");
        }
    }

    #[test]
    fn blur_keeps_the_mean_of_a_flat_picture() {
        assert!(gauss(&[0.5; 60], 10, 1.3, 0.7).iter().all(|v| (v - 0.5).abs() < 1e-5));
    }
}
