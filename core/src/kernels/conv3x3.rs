//! Convolution 3x3 with a border of zeros, stride 1, no bias: the image itself is read nine times at nine offsets,
//! and nothing is unrolled in memory.
//!
//! A strip of rows is copied with its border, every row `width + 2` long. In that strip a shift by rows and columns is
//! one offset, so a run of output pixels goes on over the ends of rows; the two wrong ones at every end are left out.

use super::lanes::{LANES, Lanes, ROWS as CHANNELS, VECTORS, add_products, load, store};
use super::parallel::{each, map};

/// Output pixels that are computed together.
const RUN: usize = LANES * VECTORS;
/// Output channels whose weights' gradients are computed together.
const GRADIENTS: usize = 4;
/// Input channels that are worked through together: their weights for a run of output stay in the first cache.
const INPUTS: usize = 64;
/// Numbers of a strip, of [`INPUTS`] input and all output channels, about: half of the second cache.
const STRIP: usize = 128 * 1024;
/// Pixels of a strip in the gradient of the weights: four output channels of it fill the first cache.
const GRADIENT_PIXELS: usize = 2048;
/// Portions of the gradient of the weights, each with sums of its own.
const PORTIONS: usize = 16;

/// Sizes of a batch of images.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    /// Images.
    pub(super) batch: usize,
    /// Rows.
    pub(super) height: usize,
    /// Columns.
    pub(super) width: usize,
}

impl Size {
    fn pitch(&self) -> usize {
        self.width + 2
    }

    /// First row and number of rows of every strip of every image.
    fn strips(&self, rows: usize) -> Vec<(usize, usize, usize)> {
        let rows = rows.clamp(1, self.height);
        let of_image =
            |image| (0..self.height).step_by(rows).map(move |first| (image, first, rows.min(self.height - first)));
        (0..self.batch).flat_map(of_image).collect()
    }

    /// Length of a channel of a padded strip, with what runs read beyond its end.
    fn plane(&self, rows: usize) -> usize {
        (rows * self.pitch()).next_multiple_of(RUN) + 2 * self.pitch() + 2
    }

    /// A strip of one image with its border.
    fn pad(&self, image: &[f32], first: usize, rows: usize) -> Vec<f32> {
        let (area, plane, pitch) = (self.height * self.width, self.plane(rows), self.pitch());
        let mut padded = vec![0.0; image.len() / area * plane];
        for (image, padded) in image.chunks(area).zip(padded.chunks_mut(plane)) {
            let from = first.max(1) - 1;
            let to = (first + rows + 1).min(self.height);
            for row in from..to {
                let start = (row + 1 - first) * pitch + 1;
                padded[start..start + self.width].copy_from_slice(&image[row * self.width..(row + 1) * self.width]);
            }
        }
        padded
    }
}

/// Weights `[output, input, 9]` in the order of their use: blocks of output channels, input channels, taps.
fn pack(weight: &[f32], [output, input]: [usize; 2]) -> Vec<f32> {
    let mut packed = vec![0.0; output.div_ceil(CHANNELS) * input * 9 * CHANNELS];
    let tasks = weight.chunks(CHANNELS * input * 9).zip(packed.chunks_mut(CHANNELS * input * 9)).collect();
    each(tasks, weight.len(), |_, (weight, packed): (&[f32], &mut [f32])| {
        for (channel, weight) in weight.chunks(input * 9).enumerate() {
            for (packed, &weight) in packed.chunks_exact_mut(CHANNELS).zip(weight) {
                packed[channel] = weight;
            }
        }
    });
    packed
}

/// The weights by which gradients go back: input and output exchanged, taps reversed.
fn turn(weight: &[f32], [output, input]: [usize; 2]) -> Vec<f32> {
    let mut turned = vec![0.0; weight.len()];
    each(turned.chunks_mut(output * 9).collect(), weight.len(), |i, turned: &mut [f32]| {
        for (turned, weight) in turned.chunks_exact_mut(9).zip(weight.chunks_exact(input * 9)) {
            for (turned, &weight) in turned.iter_mut().rev().zip(&weight[i * 9..]) {
                *turned = weight;
            }
        }
    });
    turned
}

/// Add a run of pixels of a block of output channels, from the pixel `at` of the padded strip `x`, to the same place of
/// `out`, whose channels are `stride` apart. `taps` are the offsets by which the weights see the strip.
// Within a long function a browser's compiler runs out of registers.
#[inline(never)]
fn run(x: &[f32], taps: &[usize], at: usize, weight: &[f32], out: &mut [f32], stride: usize) {
    let mut sums: [[Lanes; VECTORS]; CHANNELS] =
        std::array::from_fn(|channel| std::array::from_fn(|v| load(out, channel * stride + at + v * LANES)));
    let x = &x[at..];
    // One loop over all taps, not unrolled: what a compiler makes of nine at once does not fit into sixteen registers.
    let pixels = taps.iter().map(|&tap| {
        // Never changes an offset, but saves the check that the sum does not overflow: a fifth of the time in wasm.
        let tap = tap & (usize::MAX >> 1);
        &x[tap..tap + RUN]
    });
    add_products(&mut sums, weight, pixels);
    for (channel, sums) in sums.iter().enumerate() {
        store(sums, &mut out[channel * stride + at..]);
    }
}

/// Convolve `x` `[batch, input, height, width]` with `weight` `[output, input, 3, 3]` into `out`, all of it overwritten.
pub(super) fn forward(x: &[f32], weight: &[f32], [output, input]: [usize; 2], size: Size, out: &mut [f32]) {
    let (area, pitch) = (size.height * size.width, size.pitch());
    let weight = pack(weight, [output, input]);
    let fit = (STRIP / ((input.min(INPUTS) + output) * pitch)).clamp(1, size.height);
    // At least four strips of an image, and an even number, for the sake of few cores.
    let rows = size.height.div_ceil(size.height.div_ceil(fit).max(4).next_multiple_of(2));
    let strips = size.strips(rows);
    let of_image = strips.len() / size.batch;
    // The rows of a strip lie apart, channel by channel: hand every strip its pieces.
    let mut pieces: Vec<Vec<&mut [f32]>> = strips.iter().map(|_| Vec::with_capacity(output)).collect();
    for (image, out) in out.chunks_mut(output * area).enumerate() {
        for plane in out.chunks_mut(area) {
            for (strip, piece) in plane.chunks_mut(rows.clamp(1, size.height) * size.width).enumerate() {
                pieces[image * of_image + strip].push(piece);
            }
        }
    }
    let tasks = strips.into_iter().zip(pieces).collect();
    let work = 9 * output * x.len();
    each(tasks, work, |_, ((image, first, rows), mut out): ((usize, usize, usize), Vec<&mut [f32]>)| {
        let padded = size.pad(&x[image * input * area..][..input * area], first, rows);
        let (plane, pixels) = (size.plane(rows), (rows * pitch).next_multiple_of(RUN));
        // Not straight to `out`: its channels often lie a multiple of 4096 bytes apart, which the first cache hates.
        let mut sums = vec![0.0; output.next_multiple_of(CHANNELS) * (pixels + LANES)];
        let offset = |tap| tap / 9 * plane + tap % 9 / 3 * pitch + tap % 3;
        let taps: Vec<usize> = (0..9 * input.min(INPUTS)).map(offset).collect();
        for (block, padded) in padded.chunks(INPUTS * plane).enumerate() {
            let taps = &taps[..padded.len() / plane * 9];
            let weights = block * INPUTS * 9 * CHANNELS..(block * INPUTS * 9 + taps.len()) * CHANNELS;
            let blocks = sums.chunks_exact_mut(CHANNELS * (pixels + LANES));
            for (sums, weight) in blocks.zip(weight.chunks_exact(input * 9 * CHANNELS)) {
                for at in (0..pixels).step_by(RUN) {
                    run(padded, taps, at, &weight[weights.clone()], sums, pixels + LANES);
                }
            }
        }
        for (out, sums) in out.iter_mut().zip(sums.chunks_exact(pixels + LANES)) {
            for (out, sums) in out.chunks_exact_mut(size.width).zip(sums.chunks(pitch)) {
                out.copy_from_slice(&sums[..size.width]);
            }
        }
    });
}

/// The gradient of the input from the gradient of the output, into `out`.
pub(super) fn input_gradient(grad: &[f32], weight: &[f32], channels: [usize; 2], size: Size, out: &mut [f32]) {
    let [output, input] = channels;
    forward(grad, &turn(weight, channels), [input, output], size, out);
}

/// The gradient of the weights `[output, input, 3, 3]`.
pub(super) fn weight_gradient(x: &[f32], grad: &[f32], [output, input]: [usize; 2], size: Size) -> Vec<f32> {
    let (area, pitch) = (size.height * size.width, size.pitch());
    let strips = size.strips(GRADIENT_PIXELS / pitch);
    let portions: Vec<_> = strips.chunks(strips.len().div_ceil(PORTIONS)).collect();
    let sums = map(portions, 9 * output * x.len(), |_, strips| {
        let mut total = vec![0.0; output * input * 9];
        for &(image, first, rows) in strips {
            let x = size.pad(&x[image * input * area..][..input * area], first, rows);
            let grad = spread(&grad[image * output * area..][..output * area], size, first, rows);
            let (x_plane, grad_plane) = (size.plane(rows), (rows * pitch).next_multiple_of(LANES));
            for (block, x) in x.chunks(INPUTS * x_plane).enumerate() {
                let blocks = grad.chunks_exact(GRADIENTS * grad_plane).zip(total.chunks_mut(GRADIENTS * input * 9));
                for (grad, total) in blocks {
                    for (i, x) in x.chunks_exact(x_plane).enumerate() {
                        for ky in 0..3 {
                            let sums = correlate(&x[ky * pitch..][..grad_plane + 2], grad, grad_plane);
                            let first = (block * INPUTS + i) * 9 + ky * 3;
                            for (total, sums) in total.chunks_mut(input * 9).zip(sums) {
                                for (total, sum) in total[first..first + 3].iter_mut().zip(sums) {
                                    *total += sum;
                                }
                            }
                        }
                    }
                }
            }
        }
        total
    });
    let mut total = vec![0.0; output * input * 9];
    for sums in &sums {
        for (total, sum) in total.iter_mut().zip(sums) {
            *total += sum;
        }
    }
    total
}

/// A strip of an image in rows of the padded length, without rows above and below, and zeros after every row; channels
/// filled up to a multiple of [`GRADIENTS`].
fn spread(image: &[f32], size: Size, first: usize, rows: usize) -> Vec<f32> {
    let (area, pitch) = (size.height * size.width, size.pitch());
    let plane = (rows * pitch).next_multiple_of(LANES);
    let mut spread = vec![0.0; (image.len() / area).next_multiple_of(GRADIENTS) * plane];
    for (image, spread) in image.chunks(area).zip(spread.chunks_mut(plane)) {
        let image = &image[first * size.width..];
        for (image, spread) in image.chunks(size.width).zip(spread.chunks_mut(pitch)).take(rows) {
            spread[..size.width].copy_from_slice(image);
        }
    }
    spread
}

/// Sums of products of `grad`'s planes with `x` at three offsets.
#[inline(always)]
fn correlate(x: &[f32], grad: &[f32], plane: usize) -> [[f32; 3]; GRADIENTS] {
    let mut sums = [[Lanes::ZERO; 3]; GRADIENTS];
    let grads: [&[f32]; GRADIENTS] = std::array::from_fn(|o| &grad[o * plane..(o + 1) * plane]);
    for at in (0..plane).step_by(LANES) {
        let x = &x[at..at + LANES + 2];
        let pixels: [Lanes; 3] = std::array::from_fn(|kx| load(x, kx));
        for (sums, grad) in sums.iter_mut().zip(grads) {
            let grad = load(grad, at);
            for (sum, pixels) in sums.iter_mut().zip(pixels) {
                *sum = pixels.mul_add(grad, *sum);
            }
        }
    }
    sums.map(|sums| sums.map(|sum| sum.reduce_add()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strips_and_runs_of_every_length_leave_no_seam() {
        for (height, width, [output, input]) in [(1, 1, [1, 1]), (5, 3, [3, 2]), (7, 33, [9, 5]), (70, 40, [2, 70])] {
            let size = Size { batch: 2, height, width };
            let value = |i: usize| ((i * 7919 + 13) % 101) as f32 / 50.0 - 1.0;
            let x: Vec<f32> = (0..2 * input * height * width).map(value).collect();
            let weight: Vec<f32> = (0..output * input * 9).map(|i| value(i + 5)).collect();
            let mut out = vec![f32::NAN; 2 * output * height * width];
            forward(&x, &weight, [output, input], size, &mut out);
            for (at, &found) in out.iter().enumerate() {
                let (column, row) = (at % width, at / width % height);
                let (o, image) = (at / (width * height) % output, at / (width * height * output));
                let mut sum = 0.0;
                for i in 0..input {
                    for tap in 0..9 {
                        let (y, x_) = (row + tap / 3, column + tap % 3);
                        if (1..=height).contains(&y) && (1..=width).contains(&x_) {
                            let pixel = x[((image * input + i) * height + y - 1) * width + x_ - 1];
                            sum += f64::from(pixel) * f64::from(weight[(o * input + i) * 9 + tap]);
                        }
                    }
                }
                assert!((f64::from(found) - sum).abs() < 1e-4, "{height}x{width}: {found} instead of {sum}");
            }
            // <conv(x), g> is linear in both: its derivatives are the gradients.
            let grad: Vec<f32> = (0..out.len()).map(|i| value(i + 3)).collect();
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
            let mut of_x = vec![f32::NAN; x.len()];
            input_gradient(&grad, &weight, [output, input], size, &mut of_x);
            let of_weight = weight_gradient(&x, &grad, [output, input], size);
            let whole = dot(&out, &grad);
            assert!((dot(&of_x, &x) - whole).abs() < 1e-3 * (1.0 + whole.abs()));
            assert!((dot(&of_weight, &weight) - whole).abs() < 1e-3 * (1.0 + whole.abs()));
        }
    }
}
