//! Upsampling by learned 2x2 transposed convolutions.

use burn::module::Module;
use burn::nn::conv::{ConvTranspose2d, ConvTranspose2dConfig};
use burn::tensor::{Device, Tensor};

use super::conv::ConvBlock;
use crate::kernels::interleave;

/// A transposed convolution with kernel and stride 2.
pub fn double_size([input, output]: [usize; 2], device: &Device) -> ConvTranspose2d {
    ConvTranspose2dConfig::new([input, output], [2, 2]).with_stride([2, 2]).init(device)
}

/// Apply [`double_size`]'s layer. Kernel and stride are equal, so every input pixel makes its own 2x2 output pixels:
/// one matrix product and a reordering, which is faster than a transposed convolution on every backend.
///
/// # Shapes
/// - `x`: `[batch, input, height, width]`
/// - output: `[batch, output, 2 * height, 2 * width]`
pub fn apply_double_size(layer: &ConvTranspose2d, x: Tensor<4>) -> Tensor<4> {
    let weight = layer.weight.val();
    let [input, output, _, _] = weight.dims();
    let [batch, channels, height, width] = x.dims();
    assert_eq!(channels, input, "the transposed convolution reads {input} channels");
    let weight = weight.reshape([input, output * 4]).transpose().unsqueeze();
    let y: Tensor<3> = weight.matmul(x.reshape([batch, input, height * width]));
    interleave(y.reshape([batch, output * 4, height, width]), layer.bias.as_ref().map(|bias| bias.val()))
}

/// Transposed convolution, then a [`ConvBlock`]: "UP" in systems.md, A-NET.
#[derive(Module, Debug)]
pub struct UpBlock {
    /// Doubles height and width.
    pub up: ConvTranspose2d,
    /// Same channels in and out.
    pub cb: ConvBlock,
}

impl UpBlock {
    /// A block from `input` to `output` channels.
    pub fn new([input, output]: [usize; 2], groups: usize, epsilon: f64, device: &Device) -> Self {
        Self { up: double_size([input, output], device), cb: ConvBlock::new([output, output], groups, epsilon, device) }
    }

    /// # Shapes
    /// - `x`: `[batch, input, height, width]`
    /// - output: `[batch, output, 2 * height, 2 * width]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.cb.forward(apply_double_size(&self.up, x))
    }
}
