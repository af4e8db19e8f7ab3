//! Convolution 3x3 with a border of zeros, stride 1, no bias, in half the products that its definition takes: rows
//! by Winograd's method (`winograd.rs`), columns one after the other.
//!
//! A strip of rows is copied with its border, every row `width + 2` long, and becomes six planes of a quarter of its
//! rows, each with three weights of its own. In a plane a shift by columns is one offset, so a run of pixels goes on
//! over the ends of rows; the two wrong ones at every end are left out.

use super::lanes::{LANES, Lanes, ROWS as CHANNELS, VECTORS, add_products, load, store};
use super::parallel::{each, map};
use super::winograd::{POINTS, TILE, gather, spread_gradient, spread_input, weights, weights_back};

/// Pixels that are computed together.
const RUN: usize = LANES * VECTORS;
/// Output channels whose weights' gradients are computed together.
const GRADIENTS: usize = 4;
/// Input channels that are worked through together: their weights for a run of output stay in the first cache.
const INPUTS: usize = 64;
/// Numbers of a strip, of [`INPUTS`] input and all output channels, about: half of the second cache.
const STRIP: usize = 128 * 1024;
/// Pixels of a strip in the gradient of the weights: a plane of four output channels of it stays in the first cache.
const GRADIENT_PIXELS: usize = 4096;
/// Portions of the gradient of the weights, each with sums of its own: for threads.
const PORTIONS: usize = if cfg!(feature = "rayon") { 16 } else { 1 };

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

    /// Image, first row and number of rows of every strip of every image.
    fn strips(&self, rows: usize) -> Vec<(usize, usize, usize)> {
        let of_image =
            |image| (0..self.height).step_by(rows).map(move |first| (image, first, rows.min(self.height - first)));
        (0..self.batch).flat_map(of_image).collect()
    }

    /// Numbers of a plane that are computed for so many rows: whole runs.
    fn pixels(&self, rows: usize) -> usize {
        (rows.div_ceil(TILE) * self.pitch()).next_multiple_of(RUN)
    }

    /// A strip of one image at the points, `[points, channels, plane]`; a plane has what is read beyond its runs, too.
    fn input(&self, image: &[f32], first: usize, rows: usize) -> Vec<f32> {
        let from = first.max(1) - 1;
        let to = (first + rows + 1).min(self.height);
        self.spread(image, [from, to], (from + 1 - first, 1), rows.div_ceil(TILE) * TILE + 2, spread_input)
    }

    /// A strip of the gradient of an image at the points, `[points, channels, plane]`.
    fn gradient(&self, image: &[f32], first: usize, rows: usize) -> Vec<f32> {
        self.spread(image, [first, first + rows], (0, 0), rows.div_ceil(TILE) * TILE, spread_gradient)
    }

    /// Rows of an image, put at `(row, column)` into `rows` rows of the padded length, at the points.
    fn spread(
        &self,
        image: &[f32],
        [from, to]: [usize; 2],
        (row, column): (usize, usize),
        rows: usize,
        transform: fn(&[f32], usize, usize, &mut [f32], usize),
    ) -> Vec<f32> {
        let (area, pitch, plane) = (self.height * self.width, self.pitch(), self.pixels(rows / TILE * TILE) + LANES);
        let channels = image.len() / area;
        let mut padded = vec![0.0; rows * pitch + LANES];
        let mut points = vec![0.0; POINTS * channels * plane];
        for (channel, image) in image.chunks(area).enumerate() {
            let rows_of_image = image[from * self.width..to * self.width].chunks(self.width);
            for (padded, image) in padded[row * pitch..].chunks_mut(pitch).zip(rows_of_image) {
                padded[column..column + self.width].copy_from_slice(image);
            }
            transform(&padded, pitch, rows / TILE, &mut points[channel * plane..], channels * plane);
        }
        points
    }
}

/// Weights `[output, input, 3, 3]` at the points in the order of their use: blocks of output channels, points, input
/// channels, taps along the row.
fn pack(weight: &[f32], [output, input]: [usize; 2]) -> Vec<f32> {
    let mut packed = vec![0.0; output.div_ceil(CHANNELS) * POINTS * input * 3 * CHANNELS];
    let tasks = weight.chunks(CHANNELS * input * 9).zip(packed.chunks_mut(POINTS * input * 3 * CHANNELS)).collect();
    each(tasks, weight.len(), |_, (weight, packed): (&[f32], &mut [f32])| {
        for i in 0..input {
            let mut of_channels = [[0.0; CHANNELS]; 9];
            for (channel, weight) in weight.chunks_exact(input * 9).enumerate() {
                for (tap, weight) in of_channels.iter_mut().zip(&weight[i * 9..]) {
                    tap[channel] = *weight;
                }
            }
            for kx in 0..3 {
                let points = weights([of_channels[kx], of_channels[3 + kx], of_channels[6 + kx]]);
                for (point, of_channels) in points.iter().enumerate() {
                    packed[((point * input + i) * 3 + kx) * CHANNELS..][..CHANNELS].copy_from_slice(of_channels);
                }
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
    let fit = STRIP / ((input.min(INPUTS) + output) * pitch * POINTS / TILE);
    // Where there are threads at least four strips of an image, for the sake of few cores; each of whole tiles.
    let rows =
        fit.min(size.height.div_ceil(if cfg!(feature = "rayon") { 4 } else { 1 })).next_multiple_of(TILE).max(TILE);
    let strips = size.strips(rows);
    let of_image = strips.len() / size.batch;
    // The rows of a strip lie apart, channel by channel: hand every strip its pieces.
    let mut pieces: Vec<Vec<&mut [f32]>> = strips.iter().map(|_| Vec::with_capacity(output)).collect();
    for (image, out) in out.chunks_mut(output * area).enumerate() {
        for plane in out.chunks_mut(area) {
            for (strip, piece) in plane.chunks_mut(rows * size.width).enumerate() {
                pieces[image * of_image + strip].push(piece);
            }
        }
    }
    let tasks = strips.into_iter().zip(pieces).collect();
    let work = 9 * output * x.len();
    each(tasks, work, |_, ((image, first, rows), mut out): ((usize, usize, usize), Vec<&mut [f32]>)| {
        let points = size.input(&x[image * input * area..][..input * area], first, rows);
        let pixels = size.pixels(rows);
        let plane = pixels + LANES;
        let channels = output.next_multiple_of(CHANNELS);
        let mut sums = vec![0.0; POINTS * channels * plane];
        let taps: Vec<usize> = (0..3 * input.min(INPUTS)).map(|tap| tap / 3 * plane + tap % 3).collect();
        for (point, (x, sums)) in
            points.chunks_exact(input * plane).zip(sums.chunks_exact_mut(channels * plane)).enumerate()
        {
            for (block, x) in x.chunks(INPUTS * plane).enumerate() {
                let taps = &taps[..x.len() / plane * 3];
                let first = (point * input + block * INPUTS) * 3 * CHANNELS;
                let weights = first..first + taps.len() * CHANNELS;
                let blocks = sums.chunks_exact_mut(CHANNELS * plane);
                for (sums, weight) in blocks.zip(weight.chunks_exact(POINTS * input * 3 * CHANNELS)) {
                    for at in (0..pixels).step_by(RUN) {
                        run(x, taps, at, &weight[weights.clone()], sums, plane);
                    }
                }
            }
        }
        for (channel, out) in out.iter_mut().enumerate() {
            gather(&sums[channel * plane..], pitch, channels * plane, size.width, out);
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
    let area = size.height * size.width;
    let strips = size.strips((GRADIENT_PIXELS / size.pitch()).next_multiple_of(TILE).max(TILE));
    let portions: Vec<_> = strips.chunks(strips.len().div_ceil(PORTIONS)).collect();
    let of_point = output * input * 3;
    let sums = map(portions, 9 * output * x.len(), |_, strips| {
        let mut total = vec![0.0; POINTS * of_point];
        for &(image, first, rows) in strips {
            let x = size.input(&x[image * input * area..][..input * area], first, rows);
            let grad = size.gradient(&grad[image * output * area..][..output * area], first, rows);
            let pixels = size.pixels(rows);
            let plane = pixels + LANES;
            let points = x.chunks_exact(input * plane).zip(grad.chunks_exact(output * plane));
            for ((x, grad), total) in points.zip(total.chunks_exact_mut(of_point)) {
                for (block, x) in x.chunks(INPUTS * plane).enumerate() {
                    for (grad, total) in grad.chunks(GRADIENTS * plane).zip(total.chunks_mut(GRADIENTS * input * 3)) {
                        for (i, x) in x.chunks_exact(plane).enumerate() {
                            let sums = correlate(x, grad, plane, pixels);
                            let first = (block * INPUTS + i) * 3;
                            for (total, sums) in total.chunks_mut(input * 3).zip(sums) {
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
    let mut total = vec![0.0; POINTS * of_point];
    for sums in &sums {
        for (total, sum) in total.iter_mut().zip(sums) {
            *total += sum;
        }
    }
    let mut gradient = vec![0.0; output * input * 9];
    for (channels, gradient) in gradient.chunks_exact_mut(9).enumerate() {
        for kx in 0..3 {
            let column = weights_back(std::array::from_fn(|point| total[point * of_point + channels * 3 + kx]));
            for (ky, weight) in column.into_iter().enumerate() {
                gradient[ky * 3 + kx] = weight;
            }
        }
    }
    gradient
}

/// Sums of products of `grad`'s planes, [`GRADIENTS`] or fewer, with `x` at three offsets.
#[inline(always)]
fn correlate(x: &[f32], grad: &[f32], plane: usize, pixels: usize) -> [[f32; 3]; GRADIENTS] {
    let mut sums = [[Lanes::ZERO; 3]; GRADIENTS];
    let last = grad.len() / plane - 1;
    let grads: [&[f32]; GRADIENTS] = std::array::from_fn(|o| &grad[o.min(last) * plane..][..plane]);
    for at in (0..pixels).step_by(LANES) {
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
