//! Convolution blocks.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{GroupNorm, GroupNormConfig, Initializer, PaddingConfig2d};
use burn::tensor::{Device, Tensor, activation};

use super::batch_norm::BatchNorm;
use crate::kernels::{conv3x3, group_norm_gelu, matmul};

/// A convolution in the fastest way that there is for its kernel, with the same result.
///
/// # Shapes
/// - `x`: `[batch, input, height, width]`
/// - output: `[batch, output, ..]`, as [`Conv2d::forward`] has it
pub fn convolve(conv: &Conv2d, x: Tensor<4>) -> Tensor<4> {
    match (conv.kernel_size, conv.stride, conv.dilation) {
        ([1, 1], [1, 1], _) if conv.groups == 1 => conv1x1(conv, x),
        ([3, 3], [1, 1], [1, 1]) if conv.groups == 1 => conv3x3(conv, x),
        _ => conv.forward(x),
    }
}

/// A convolution 1x1 without padding. One matrix product: without tensor cores, graphics devices compute the gradient of a
/// convolution's weights as one with a kernel as large as the map.
fn conv1x1(conv: &Conv2d, x: Tensor<4>) -> Tensor<4> {
    let [batch, input, height, width] = x.dims();
    let weight = conv.weight.val();
    let [output, reads, _, _] = weight.dims();
    assert_eq!(input, reads, "the convolution reads {reads} channels");
    let y: Tensor<3> = matmul(weight.reshape([1, output, input]), x.reshape([batch, input, height * width]));
    let y = y.reshape([batch, output, height, width]);
    match &conv.bias {
        Some(bias) => y + bias.val().reshape([1, output, 1, 1]),
        None => y,
    }
}

/// Convolution 3x3 without bias that keeps the size, batch normalisation, ReLU, in the names of mmcv's `ConvModule`.
#[derive(Module, Debug)]
pub struct ConvNorm {
    /// 3x3, padding 1, no bias.
    pub conv: Conv2d,
    /// Behind it.
    pub bn: BatchNorm,
}

impl ConvNorm {
    /// A block from `input` to `output` channels; the weights are drawn from He's normal distribution by the outputs.
    pub fn new([input, output]: [usize; 2], device: &Device) -> Self {
        let he = Initializer::KaimingNormal { gain: std::f64::consts::SQRT_2, fan_out_only: true };
        let conv = Conv2dConfig::new([input, output], [3, 3])
            .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
            .with_bias(false)
            .with_initializer(he);
        Self { conv: conv.init(device), bn: BatchNorm::new(output, device) }
    }

    /// # Shapes
    /// - `x`: `[batch, input, height, width]`
    /// - output: `[batch, output, height, width]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        activation::relu(self.bn.forward(convolve(&self.conv, x)))
    }
}

/// Convolution 3x3 without bias, group normalisation, GELU: the convolution block of Yang 2024 (section 4.1).
#[derive(Module, Debug)]
pub struct ConvBlock {
    /// 3x3, padding 1, no bias.
    pub conv: Conv2d,
    /// Over groups of channels, with scale and shift.
    pub norm: GroupNorm,
}

impl ConvBlock {
    /// A block from `input` to `output` channels, normalised in `groups` groups with the given epsilon.
    pub fn new([input, output]: [usize; 2], groups: usize, epsilon: f64, device: &Device) -> Self {
        assert!(output.is_multiple_of(groups), "{groups} groups do not divide {output} channels");
        Self {
            conv: Conv2dConfig::new([input, output], [3, 3])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .with_bias(false)
                .init(device),
            norm: GroupNormConfig::new(groups, output).with_epsilon(epsilon).init(device),
        }
    }

    /// # Shapes
    /// - `x`: `[batch, input, height, width]`
    /// - output: `[batch, output, height, width]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        group_norm_gelu(&self.norm, conv3x3(&self.conv, x))
    }
}
