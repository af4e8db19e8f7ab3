//! Operations with a fast path of our own on the CPU, and Burn's operations on every other device.
//!
//! Burn's CPU backend does elementwise work and normalisation one operation at a time on one thread, and convolutions of
//! few channels by way of big copies; there our networks spent most of their time. Feature `flex` switches the fast
//! paths on. Results agree to rounding (tested below), and are the same for every number of threads.

#[cfg(feature = "flex")]
use burn::backend::Dispatch;
use burn::nn::conv::Conv2d;
use burn::nn::{GroupNorm, LayerNorm, Linear};
use burn::tensor::Tensor;

mod composed;

#[cfg(feature = "flex")]
mod adamw;
#[cfg(feature = "flex")]
mod attention;
#[cfg(feature = "flex")]
mod conv3x3;
#[cfg(feature = "flex")]
mod double;
#[cfg(feature = "flex")]
mod flex;
#[cfg(feature = "flex")]
mod gelu;
#[cfg(feature = "flex")]
mod lanes;
#[cfg(feature = "flex")]
mod matmul;
#[cfg(feature = "flex")]
mod norm;
#[cfg(feature = "flex")]
mod parallel;
#[cfg(feature = "flex")]
mod winograd;

#[cfg(feature = "flex")]
use flex::{Kernels, Updates};

/// `x * Phi(x)` with the exact (erf) normal distribution function, as PyTorch's default GELU.
///
/// # Shapes
/// - any, to the same
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    #[cfg(feature = "flex")]
    if flex::serves(&x) {
        return flex::run(x, <Dispatch as Kernels>::exact_gelu);
    }
    composed::gelu(x)
}

/// [`gelu()`] of the group normalisation of `x`.
///
/// # Shapes
/// - `x`: `[batch, channels, ..]`, to the same
pub fn group_norm_gelu<const D: usize>(norm: &GroupNorm, x: Tensor<D>) -> Tensor<D> {
    #[cfg(feature = "flex")]
    if let (Some(gamma), Some(beta), true) = (&norm.gamma, &norm.beta, flex::serves(&x)) {
        assert_eq!(x.dims()[1], norm.num_channels, "the normalisation has {} channels", norm.num_channels);
        let (gamma, beta) = (gamma.val().into_dispatch(), beta.val().into_dispatch());
        return flex::run(x, |x| Dispatch::group_norm_gelu(x, gamma, beta, norm.num_groups, norm.epsilon));
    }
    gelu(norm.forward(x))
}

/// Layer normalisation over the last dimension; `epsilon` is the one that `norm` was made with and does not show.
///
/// # Shapes
/// - `x`: `[.., width]`, to the same
pub fn layer_norm<const D: usize>(norm: &LayerNorm, epsilon: f64, x: Tensor<D>) -> Tensor<D> {
    #[cfg(feature = "flex")]
    if let (Some(beta), true) = (&norm.beta, flex::serves(&x)) {
        let [width] = norm.gamma.dims();
        assert_eq!(x.dims()[D - 1], width, "the normalisation has a width of {width}");
        let (gamma, beta) = (norm.gamma.val().into_dispatch(), beta.val().into_dispatch());
        return flex::run(x, |x| Dispatch::exact_layer_norm(x, gamma, beta, epsilon));
    }
    let _ = epsilon;
    norm.forward(x)
}

/// A convolution 3x3 with padding 1 and stride 1; its bias, if it has one, is added.
///
/// # Shapes
/// - `x`: `[batch, input, height, width]`
/// - output: `[batch, output, height, width]`
pub fn conv3x3(conv: &Conv2d, x: Tensor<4>) -> Tensor<4> {
    #[cfg(feature = "flex")]
    if flex::serves(&x) {
        let weight = conv.weight.val();
        let [_, input, kernel_height, kernel_width] = weight.dims();
        assert_eq!(
            [x.dims()[1], 3, 3],
            [input, kernel_height, kernel_width],
            "channels and kernel of a convolution 3x3"
        );
        let y: Tensor<4> = flex::run(x, |x| Dispatch::conv3x3(x, weight.into_dispatch()));
        return match &conv.bias {
            Some(bias) => y + bias.val().reshape([1, -1, 1, 1]),
            None => y,
        };
    }
    conv.forward(x)
}

/// Burn's matrix products are as fast as can be natively, and four times slower than ours in wasm.
#[cfg(feature = "flex")]
const SLOW_PRODUCTS: bool = cfg!(target_arch = "wasm32");

/// `layer` applied to every row.
///
/// # Shapes
/// - `x`: `[batch, rows, input]`
/// - output: `[batch, rows, output]`
pub fn linear(layer: &Linear, x: Tensor<3>) -> Tensor<3> {
    #[cfg(feature = "flex")]
    if SLOW_PRODUCTS && flex::serves(&x) {
        return quick_linear(layer, x);
    }
    layer.forward(x)
}

/// The matrix product of `a` and `b`.
///
/// # Shapes
/// - `a`: `[rows, depth]`, or `[batch, rows, depth]` where a batch of one serves all
/// - `b`: `[depth, width]`, or `[batch, depth, width]` likewise
/// - output: `[rows, width]` or `[batch, rows, width]`
pub fn matmul<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
    const { assert!(D == 2 || D == 3) }
    #[cfg(feature = "flex")]
    if SLOW_PRODUCTS && flex::serves(&a) {
        return quick_matmul(a, b);
    }
    a.matmul(b)
}

#[cfg(feature = "flex")]
fn quick_linear(layer: &Linear, x: Tensor<3>) -> Tensor<3> {
    let [batch, rows, input] = x.dims();
    let weight = layer.weight.val();
    let [_, output] = weight.dims();
    let bias = layer.bias.as_ref().map_or_else(|| Tensor::zeros([output], &x.device()), |bias| bias.val());
    let rows_of_all = x.reshape([batch * rows, input]);
    let y: Tensor<2> = flex::run(rows_of_all, |x| Dispatch::product(x, weight.into_dispatch(), bias.into_dispatch()));
    y.reshape([batch, rows, output])
}

#[cfg(feature = "flex")]
fn quick_matmul<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
    let row = Tensor::<1>::zeros([b.dims()[D - 1]], &a.device());
    flex::run(a, |a| Dispatch::product(a, b.into_dispatch(), row.into_dispatch()))
}

/// Self-attention of `heads` heads from the joint projection to queries, keys and values.
///
/// # Shapes
/// - `qkv`: `[batch, tokens, 3 * width]`: queries of all heads, keys, values
/// - output: `[batch, tokens, width]`
pub fn attention(qkv: Tensor<3>, heads: usize) -> Tensor<3> {
    let [_, _, width] = qkv.dims();
    assert!(width.is_multiple_of(3 * heads), "{heads} heads do not divide a third of {width}");
    #[cfg(feature = "flex")]
    if flex::serves(&qkv) {
        return flex::run(qkv, |qkv| Dispatch::joint_attention(qkv, heads));
    }
    composed::attention(qkv, heads)
}

/// Four maps into one of twice the size: map `4 c + 2 i + j` becomes the pixels `(2 y + i, 2 x + j)` of channel `c`.
/// The bias, one number for each channel, is added.
///
/// # Shapes
/// - `x`: `[batch, 4 * channels, height, width]`
/// - output: `[batch, channels, 2 * height, 2 * width]`
pub fn interleave(x: Tensor<4>, bias: Option<Tensor<1>>) -> Tensor<4> {
    let maps = x.dims()[1];
    let channels = maps / 4;
    assert_eq!(4 * channels, maps, "four maps make one, and {maps} are no multiple of four");
    let bias = bias.unwrap_or_else(|| Tensor::zeros([channels], &x.device()));
    #[cfg(feature = "flex")]
    if flex::serves(&x) {
        return flex::run(x, |x| Dispatch::interleave(x, bias.into_dispatch()));
    }
    composed::interleave(x, bias)
}

/// The numbers of an AdamW update.
#[derive(Clone, Copy, Debug)]
pub struct AdamWStep {
    /// Decay of the mean and of the squared mean of the gradients.
    pub betas: [f64; 2],
    /// Factor on the parameter: 1 - rate * weight decay.
    pub keep: f64,
    /// Factor on the mean: the learning rate, corrected for the start.
    pub rate: f64,
    /// Factor on the root of the squared mean, corrected for the start.
    pub root: f64,
    /// Added to that root.
    pub epsilon: f64,
}

/// The parameter and both moments after an update; no `moments` before the first one.
///
/// # Shapes
/// - all: the same
pub fn adamw_step<const D: usize>(
    param: Tensor<D>,
    grad: Tensor<D>,
    moments: Option<[Tensor<D>; 2]>,
    step: AdamWStep,
) -> [Tensor<D>; 3] {
    let [mean, square] = moments.unwrap_or_else(|| [param.zeros_like(), param.zeros_like()]);
    #[cfg(feature = "flex")]
    if flex::serves(&param) {
        let [param, grad, mean, square] = [param, grad, mean, square].map(Tensor::into_dispatch);
        let (param, mean, square) = Dispatch::adamw_step(param, grad, mean, square, step);
        return [param, mean, square].map(Tensor::from_dispatch);
    }
    composed::adamw_step(param, grad, [mean, square], step)
}

#[cfg(all(test, feature = "flex"))]
mod tests;
