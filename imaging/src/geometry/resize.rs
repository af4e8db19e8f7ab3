//! Resampling of planes: bilinear with and without antialias as PyTorch does it, and nearest for class numbers.
//!
//! Pixel centres are kept (`align_corners` false). The antialiased filter is the triangle that grows with the shrink
//! factor and is renormalised at the border: PIL's and torchvision's default on images. Each input row is read once
//! and added to the output rows that need it, so the only temporary is one row.

/// For every output position: where its taps start in the input, and their weights.
struct Taps {
    /// First input position.
    first: Vec<usize>,
    /// Weights of the consecutive positions from there, summing to 1.
    weights: Vec<Vec<f32>>,
}

impl Taps {
    /// Two neighbours, whatever the shrink factor.
    fn interpolating(from: usize, to: usize) -> Self {
        let scale = from as f64 / to as f64;
        let (first, weights) = (0..to)
            .map(|index| {
                let position = (scale * (index as f64 + 0.5) - 0.5).max(0.0);
                let first = (position as usize).min(from - 1);
                let fraction = position - first as f64;
                let weights = if first + 1 < from { vec![(1.0 - fraction) as f32, fraction as f32] } else { vec![1.0] };
                (first, weights)
            })
            .unzip();
        Self { first, weights }
    }

    /// A triangle as wide as the shrink factor asks for.
    fn antialiased(from: usize, to: usize) -> Self {
        let scale = from as f64 / to as f64;
        let support = scale.max(1.0);
        let (first, weights) = (0..to)
            .map(|index| {
                let centre = scale * (index as f64 + 0.5);
                let first = (centre - support + 0.5).max(0.0) as usize;
                let end = ((centre + support + 0.5) as usize).min(from);
                let weights: Vec<f64> =
                    (first..end).map(|tap| (1.0 - ((tap as f64 - centre + 0.5) / support).abs()).max(0.0)).collect();
                let sum: f64 = weights.iter().sum();
                (first, weights.iter().map(|weight| (weight / sum) as f32).collect())
            })
            .unzip();
        Self { first, weights }
    }
}

/// Resample bilinearly without antialias: for enlarging, and for probability maps.
///
/// # Shapes
/// `planes`: any number of `[height, width]` planes of size `from`, one after another; the result as many of size `to`.
pub fn bilinear(planes: &[f32], from: [usize; 2], to: [usize; 2]) -> Vec<f32> {
    resample(planes, from, to, Taps::interpolating)
}

/// Resample bilinearly with antialias: for shrinking images. The same as [`bilinear`] when enlarging.
///
/// # Shapes
/// `planes`: any number of `[height, width]` planes of size `from`, one after another; the result as many of size `to`.
pub fn bilinear_antialiased(planes: &[f32], from: [usize; 2], to: [usize; 2]) -> Vec<f32> {
    resample(planes, from, to, Taps::antialiased)
}

/// Resample class numbers: each output pixel takes the input pixel under its centre (PyTorch's `nearest-exact`).
///
/// # Shapes
/// `planes`: any number of `[height, width]` planes of size `from`, one after another; the result as many of size `to`.
pub fn nearest<T: Copy>(planes: &[T], from: [usize; 2], to: [usize; 2]) -> Vec<T> {
    let count = plane_count(planes.len(), from, to);
    let under = |from: usize, to: usize| -> Vec<usize> {
        (0..to).map(|index| (((2 * index + 1) * from) / (2 * to)).min(from - 1)).collect()
    };
    let (rows, columns) = (under(from[0], to[0]), under(from[1], to[1]));
    let mut resized = Vec::with_capacity(count * to[0] * to[1]);
    for plane in planes.chunks_exact(from[0] * from[1]) {
        for row in &rows {
            let row = &plane[row * from[1]..(row + 1) * from[1]];
            resized.extend(columns.iter().map(|&column| row[column]));
        }
    }
    resized
}

/// How many planes of size `from` there are.
fn plane_count(length: usize, from: [usize; 2], to: [usize; 2]) -> usize {
    let plane = from[0] * from[1];
    assert!(plane > 0 && to[0] > 0 && to[1] > 0, "cannot resample from {from:?} to {to:?}: a side is zero");
    assert!(length.is_multiple_of(plane), "{length} values are not a whole number of {from:?} planes");
    length / plane
}

/// Separable resampling with the given taps.
fn resample(planes: &[f32], from: [usize; 2], to: [usize; 2], taps: fn(usize, usize) -> Taps) -> Vec<f32> {
    let count = plane_count(planes.len(), from, to);
    if from == to {
        return planes.to_vec();
    }
    let (vertical, horizontal) = (taps(from[0], to[0]), taps(from[1], to[1]));
    let mut resized = vec![0.0; count * to[0] * to[1]];
    let mut line = vec![0.0; to[1]];
    let sources = planes.chunks_exact(from[0] * from[1]);
    for (source, target) in sources.zip(resized.chunks_exact_mut(to[0] * to[1])) {
        // Taps move downwards with the output row, so the rows that an input row feeds are consecutive.
        let mut next = 0;
        for (y, row) in source.chunks_exact(from[1]).enumerate() {
            while next < to[0] && vertical.first[next] + vertical.weights[next].len() <= y {
                next += 1;
            }
            if next == to[0] || vertical.first[next] > y {
                continue;
            }
            shrink_row(row, &horizontal, &mut line);
            for target_row in (next..to[0]).take_while(|&row| vertical.first[row] <= y) {
                let Some(&weight) = vertical.weights[target_row].get(y - vertical.first[target_row]) else {
                    continue;
                };
                let target = &mut target[target_row * to[1]..(target_row + 1) * to[1]];
                for (sum, value) in target.iter_mut().zip(&line) {
                    *sum += weight * value;
                }
            }
        }
    }
    resized
}

/// One row resampled into `line`.
fn shrink_row(row: &[f32], taps: &Taps, line: &mut [f32]) {
    for ((value, &first), weights) in line.iter_mut().zip(&taps.first).zip(&taps.weights) {
        let row = &row[first..first + weights.len()];
        // Eight running sums, so that the compiler may use vector instructions.
        let mut sums = [0.0_f32; 8];
        let (chunks, weight_chunks) = (row.chunks_exact(8), weights.chunks_exact(8));
        let rest: f32 = chunks.remainder().iter().zip(weight_chunks.remainder()).map(|(x, w)| x * w).sum();
        for (x, w) in chunks.zip(weight_chunks) {
            for lane in 0..8 {
                sums[lane] += x[lane] * w[lane];
            }
        }
        *value = rest + sums.iter().sum::<f32>();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hand_computed_rows() {
        // Enlarging two pixels to four: the outer ones repeat, the inner ones are a quarter of the way across.
        assert_eq!(bilinear(&[0.0, 1.0], [1, 2], [1, 4]), [0.0, 0.25, 0.75, 1.0]);
        assert_eq!(bilinear_antialiased(&[0.0, 1.0], [2, 1], [4, 1]), [0.0, 0.25, 0.75, 1.0]);
        // Shrinking four to two: plain takes the mean of two, antialias the triangle 1 3 3 1 cut at the border.
        assert_eq!(bilinear(&[0.0, 2.0, 4.0, 6.0], [1, 4], [1, 2]), [1.0, 5.0]);
        let shrunk = bilinear_antialiased(&[0.0, 2.0, 4.0, 6.0], [1, 4], [1, 2]);
        assert!((shrunk[0] - 10.0 / 7.0).abs() < 1e-6 && (shrunk[1] - 32.0 / 7.0).abs() < 1e-6, "{shrunk:?}");
    }

    #[test]
    fn planes_are_independent_and_constants_stay() {
        let planes: Vec<f32> = (0..2 * 7 * 5).map(|index| if index < 35 { 0.25 } else { 0.75 }).collect();
        for to in [[3, 2], [7, 5], [20, 1], [1, 31]] {
            for resized in [bilinear(&planes, [7, 5], to), bilinear_antialiased(&planes, [7, 5], to)] {
                let (first, second) = resized.split_at(to[0] * to[1]);
                assert!(first.iter().all(|x| (x - 0.25).abs() < 1e-6), "{to:?}: {first:?}");
                assert!(second.iter().all(|x| (x - 0.75).abs() < 1e-6), "{to:?}: {second:?}");
            }
        }
    }

    #[test]
    fn nearest_keeps_classes() {
        assert_eq!(nearest(&[1_u8, 2, 3, 4], [2, 2], [4, 4]), [1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4]);
        assert_eq!(nearest(&[1_u8, 2, 3], [1, 3], [1, 1]), [2]);
    }

    #[test]
    fn a_large_image_shrinks_without_a_large_temporary() {
        let image = vec![0.5; 3000 * 2000];
        let shrunk = bilinear_antialiased(&image, [3000, 2000], [224, 224]);
        assert!(shrunk.iter().all(|x| (x - 0.5).abs() < 1e-5));
    }
}
