//! The operations in Burn's own terms, for devices without a kernel of ours, and as the truth in tests.

use burn::tensor::{Tensor, activation};

use super::AdamWStep;

/// Through `erf`, because the GPU backend differentiates its own `gelu` by the tanh approximation.
pub(super) fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let erf = (x.clone() * std::f32::consts::FRAC_1_SQRT_2).erf();
    x * (erf * 0.5 + 0.5)
}

pub(super) fn attention(qkv: Tensor<3>, heads: usize) -> Tensor<3> {
    let [batch, tokens, width] = qkv.dims();
    let (width, head) = (width / 3, width / 3 / heads);
    let qkv = qkv.reshape([batch, tokens, 3, heads, head]).permute([2, 0, 3, 1, 4]);
    let part = |index: usize| qkv.clone().narrow(0, index, 1).reshape([batch, heads, tokens, head]);
    // The query is scaled before the product: fewer numbers than the scores.
    let query = part(0) * (head as f64).powf(-0.5);
    let scores = query.matmul(part(1).swap_dims(2, 3));
    let mixed = activation::softmax(scores, 3).matmul(part(2));
    mixed.swap_dims(1, 2).reshape([batch, tokens, width])
}

pub(super) fn interleave(x: Tensor<4>, bias: Tensor<1>) -> Tensor<4> {
    let [batch, maps, height, width] = x.dims();
    let channels = maps / 4;
    let doubled = x.reshape([batch, channels, 2, 2, height, width]).permute([0, 1, 4, 2, 5, 3]);
    doubled.reshape([batch, channels, 2 * height, 2 * width]) + bias.reshape([1, channels, 1, 1])
}

pub(super) fn adamw_step<const D: usize>(
    param: Tensor<D>,
    grad: Tensor<D>,
    [mean, square]: [Tensor<D>; 2],
    step: AdamWStep,
) -> [Tensor<D>; 3] {
    let [beta1, beta2] = step.betas;
    let mean = mean * beta1 + grad.clone() * (1.0 - beta1);
    let square = square * beta2 + grad.square() * (1.0 - beta2);
    let root = square.clone().sqrt() * step.root + step.epsilon;
    [param * step.keep - mean.clone() * step.rate / root, mean, square]
}
