//! One AdamW update of one parameter in one pass.

use super::AdamWStep;
use super::parallel::{each, fma};

/// Numbers in a portion.
const PORTION: usize = 8192;

/// Update `param` and the moments `mean` and `square` in place.
pub(super) fn step(param: &mut [f32], grad: &[f32], mean: &mut [f32], square: &mut [f32], step: AdamWStep) {
    let [beta1, beta2] = step.betas.map(|beta| beta as f32);
    let [rest1, rest2] = step.betas.map(|beta| (1.0 - beta) as f32);
    let (keep, rate) = (step.keep as f32, step.rate as f32);
    let (root, epsilon) = (step.root as f32, step.epsilon as f32);
    let numbers = param.len();
    let moments = mean.chunks_mut(PORTION).zip(square.chunks_mut(PORTION));
    let tasks = param.chunks_mut(PORTION).zip(grad.chunks(PORTION)).zip(moments).collect();
    type Task<'a> = ((&'a mut [f32], &'a [f32]), (&'a mut [f32], &'a mut [f32]));
    each(tasks, numbers, |_, ((param, grad), (mean, square)): Task<'_>| {
        for (((param, &grad), mean), square) in param.iter_mut().zip(grad).zip(mean).zip(square) {
            *mean = fma(*mean, beta1, grad * rest1);
            *square = fma(*square, beta2, grad * grad * rest2);
            *param = *param * keep - *mean * rate / fma(square.sqrt(), root, epsilon);
        }
    });
}
