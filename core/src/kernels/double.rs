//! Four maps into one of twice the size, and back: the reordering of a 2x2 transposed convolution.

use super::parallel::{each, map};

/// Interleave `x` `[maps * 4, height, width]` to `out` `[maps, 2 * height, 2 * width]` and add `bias`, one number for
/// each of a sample's maps.
pub(super) fn interleave(x: &[f32], bias: &[f32], [height, width]: [usize; 2], out: &mut [f32]) {
    let area = height * width;
    let tasks = x.chunks(4 * area).zip(out.chunks_mut(4 * area)).collect();
    each(tasks, x.len(), |index, (x, out): (&[f32], &mut [f32])| {
        let bias = bias[index % bias.len()];
        for (row, out) in out.chunks_mut(2 * width).enumerate() {
            let x = &x[row % 2 * 2 * area + row / 2 * width..];
            for ((out, &left), &right) in out.chunks_exact_mut(2).zip(&x[..width]).zip(&x[area..area + width]) {
                out[0] = left + bias;
                out[1] = right + bias;
            }
        }
    });
}

/// The gradient of [`interleave`]'s `x` into `out`; returns the gradient of the `channels` biases.
pub(super) fn deal(grad: &[f32], channels: usize, [height, width]: [usize; 2], out: &mut [f32]) -> Vec<f32> {
    let area = height * width;
    let tasks = grad.chunks(4 * area).zip(out.chunks_mut(4 * area)).collect();
    let sums = map(tasks, grad.len(), |_, (grad, out): (&[f32], &mut [f32])| {
        let mut sum = 0.0_f64;
        for (row, grad) in grad.chunks(2 * width).enumerate() {
            let (left, right) = out[row % 2 * 2 * area..][..2 * area].split_at_mut(area);
            let place = row / 2 * width..(row / 2 + 1) * width;
            let pairs = left[place.clone()].iter_mut().zip(&mut right[place]);
            for ((left, right), grad) in pairs.zip(grad.chunks_exact(2)) {
                (*left, *right) = (grad[0], grad[1]);
            }
            sum += grad.chunks(64).map(|grad| f64::from(grad.iter().sum::<f32>())).sum::<f64>();
        }
        sum
    });
    (0..channels).map(|channel| sums.iter().skip(channel).step_by(channels).sum::<f64>() as f32).collect()
}
