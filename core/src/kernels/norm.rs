//! Group normalisation with GELU behind it, and layer normalisation: one pass out of the cache instead of ten
//! through memory. Means and deviations are kept for the backward pass, normalised values are computed anew.

use super::gelu;
use super::parallel::{each, fma, map};

/// Partial sums side by side, so that sums vectorise.
const LANES: usize = 32;
/// Rows of a layer normalisation in a portion.
const ROWS: usize = 32;

/// Mean of one normalised stretch and one over its deviation.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moments {
    mean: f32,
    scale: f32,
}

/// Sum of `term(i)` for `i` in `0..count`, in lanes; `term` is called with the values of `a` and `b` at `i`.
#[inline(always)]
fn sum2(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (mut a, mut b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    for (a, b) in a.by_ref().zip(b.by_ref()) {
        for lane in 0..LANES {
            lanes[lane] += term(a[lane], b[lane]);
        }
    }
    for ((lane, &a), &b) in lanes.iter_mut().zip(a.remainder()).zip(b.remainder()) {
        *lane += term(a, b);
    }
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// Long sums in pieces that keep their precision.
#[inline(always)]
fn sum(x: &[f32], term: impl Fn(f32) -> f32) -> f64 {
    x.chunks(64 * LANES).map(|x| f64::from(sum2(x, x, |x, _| term(x)))).sum()
}

fn moments(x: &[f32], epsilon: f64) -> Moments {
    let count = x.len() as f64;
    let mean = (sum(x, |x| x) / count) as f32;
    let variance = sum(x, |x| (x - mean) * (x - mean)) / count;
    Moments { mean, scale: (1.0 / (variance + epsilon).sqrt()) as f32 }
}

/// Sizes of a group normalisation of `[batch, channels, ..]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Groups {
    /// Groups of a sample.
    pub(super) groups: usize,
    /// Channels of a sample.
    pub(super) channels: usize,
    /// Numbers of a channel.
    pub(super) area: usize,
    /// Added to the variance.
    pub(super) epsilon: f64,
}

impl Groups {
    fn per_group(&self) -> usize {
        self.channels / self.groups
    }

    /// The channels of the `index`th group of the whole batch.
    fn channels_of(&self, index: usize) -> std::ops::Range<usize> {
        let first = index % self.groups * self.per_group();
        first..first + self.per_group()
    }
}

/// `gelu(gamma * (x - mean) / deviation + beta)` into `out`; the moments of every group of every sample.
pub(super) fn group_gelu(x: &[f32], gamma: &[f32], beta: &[f32], size: Groups, out: &mut [f32]) -> Vec<Moments> {
    let stretch = size.per_group() * size.area;
    let tasks = x.chunks(stretch).zip(out.chunks_mut(stretch)).collect();
    map(tasks, x.len(), |index, (x, out): (&[f32], &mut [f32])| {
        let moments = moments(x, size.epsilon);
        let channels = x.chunks(size.area).zip(out.chunks_mut(size.area));
        for (channel, (x, out)) in size.channels_of(index).zip(channels) {
            let scale = gamma[channel] * moments.scale;
            let shift = beta[channel] - moments.mean * scale;
            for (out, &x) in out.iter_mut().zip(x) {
                *out = gelu::value(fma(x, scale, shift));
            }
        }
        moments
    })
}

/// Replace `grad` (of the output) by the gradient of `x`; returns the gradients of gamma and beta.
pub(super) fn group_gelu_backward(
    x: &[f32],
    gamma: &[f32],
    beta: &[f32],
    size: Groups,
    moments: &[Moments],
    grad: &mut [f32],
) -> [Vec<f32>; 2] {
    let stretch = size.per_group() * size.area;
    let tasks = x.chunks(stretch).zip(grad.chunks_mut(stretch)).zip(moments).collect();
    let sums = map(tasks, x.len(), |index, ((x, grad), moments): ((&[f32], &mut [f32]), &Moments)| {
        let Moments { mean, scale: deviation } = *moments;
        let mut sums = Vec::with_capacity(size.per_group());
        let (mut total, mut total_x) = (0.0, 0.0);
        let channels = x.chunks(size.area).zip(grad.chunks_mut(size.area));
        for (channel, (x, grad)) in size.channels_of(index).zip(channels) {
            let scale = gamma[channel] * deviation;
            let shift = beta[channel] - mean * scale;
            let (mut of_grad, mut of_both) = (0.0, 0.0);
            for (x, grad) in x.chunks(64 * LANES).zip(grad.chunks_mut(64 * LANES)) {
                for (grad, &x) in grad.iter_mut().zip(x) {
                    *grad *= gelu::slope(fma(x, scale, shift));
                }
                of_grad += f64::from(sum2(grad, x, |grad, _| grad));
                of_both += f64::from(sum2(grad, x, |grad, x| grad * (x - mean)));
            }
            let of_normalised = of_both * f64::from(deviation);
            total += f64::from(gamma[channel]) * of_grad;
            total_x += f64::from(gamma[channel]) * of_normalised;
            sums.push([of_normalised, of_grad]);
        }
        // dx = scale * grad - deviation * (total + normalised x * total_x) / count
        let count = x.len() as f64;
        let slope = (-f64::from(deviation) * f64::from(deviation) * total_x / count) as f32;
        let level = (-f64::from(deviation) * total / count) as f32;
        let channels = x.chunks(size.area).zip(grad.chunks_mut(size.area));
        for (channel, (x, grad)) in size.channels_of(index).zip(channels) {
            let scale = gamma[channel] * deviation;
            for (grad, &x) in grad.iter_mut().zip(x) {
                *grad = fma(*grad, scale, fma(x - mean, slope, level));
            }
        }
        sums
    });
    let mut total = vec![[0.0_f64; 2]; size.channels];
    for (index, sums) in sums.iter().enumerate() {
        for (channel, sums) in size.channels_of(index).zip(sums) {
            total[channel][0] += sums[0];
            total[channel][1] += sums[1];
        }
    }
    [0, 1].map(|which| total.iter().map(|sums| sums[which] as f32).collect())
}

/// Layer normalisation over the last `gamma.len()` numbers, into `out`; the moments of every row.
pub(super) fn layer(x: &[f32], gamma: &[f32], beta: &[f32], epsilon: f64, out: &mut [f32]) -> Vec<Moments> {
    let width = gamma.len();
    let mut all = vec![Moments::default(); x.len() / width];
    let tasks = x.chunks(ROWS * width).zip(out.chunks_mut(ROWS * width)).zip(all.chunks_mut(ROWS)).collect();
    each(tasks, x.len(), |_, ((x, out), all): ((&[f32], &mut [f32]), &mut [Moments])| {
        for ((x, out), row) in x.chunks(width).zip(out.chunks_mut(width)).zip(all) {
            *row = moments(x, epsilon);
            let Moments { mean, scale } = *row;
            for (((out, &x), &gamma), &beta) in out.iter_mut().zip(x).zip(gamma).zip(beta) {
                *out = fma((x - mean) * scale, gamma, beta);
            }
        }
    });
    all
}

/// Replace `grad` (of the output) by the gradient of `x`; returns the gradients of gamma and beta.
pub(super) fn layer_backward(x: &[f32], gamma: &[f32], moments: &[Moments], grad: &mut [f32]) -> [Vec<f32>; 2] {
    let width = gamma.len();
    let tasks = x.chunks(ROWS * width).zip(grad.chunks_mut(ROWS * width)).zip(moments.chunks(ROWS)).collect();
    let sums = map(tasks, x.len(), |_, ((x, grad), moments): ((&[f32], &mut [f32]), &[Moments])| {
        let (mut of_gamma, mut of_beta) = (vec![0.0_f32; width], vec![0.0_f32; width]);
        let mut normalised = vec![0.0_f32; width];
        for ((x, grad), &Moments { mean, scale }) in x.chunks(width).zip(grad.chunks_mut(width)).zip(moments) {
            for (normalised, &x) in normalised.iter_mut().zip(x) {
                *normalised = (x - mean) * scale;
            }
            let sums = of_gamma.iter_mut().zip(&mut of_beta).zip(&normalised);
            for (((of_gamma, of_beta), &x), &grad) in sums.zip(&*grad) {
                *of_gamma = fma(grad, x, *of_gamma);
                *of_beta += grad;
            }
            for (grad, &gamma) in grad.iter_mut().zip(gamma) {
                *grad *= gamma;
            }
            let level = sum2(grad, grad, |grad, _| grad) / width as f32;
            let slope = sum2(grad, &normalised, |grad, x| grad * x) / width as f32;
            for (grad, &x) in grad.iter_mut().zip(&normalised) {
                *grad = scale * (*grad - fma(x, slope, level));
            }
        }
        [of_gamma, of_beta]
    });
    let mut total = [vec![0.0_f64; width], vec![0.0_f64; width]];
    for portion in &sums {
        for (total, portion) in total.iter_mut().zip(portion) {
            for (total, &part) in total.iter_mut().zip(portion) {
                *total += f64::from(part);
            }
        }
    }
    total.map(|total| total.iter().map(|&sum| sum as f32).collect())
}
