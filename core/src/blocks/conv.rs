//! Convolution blocks.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{GroupNorm, GroupNormConfig, PaddingConfig2d};
use burn::tensor::{Device, Tensor};

use crate::kernels::{conv3x3, group_norm_gelu};

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
