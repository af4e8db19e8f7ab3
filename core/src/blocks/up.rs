//! Upsampling to twice the size: by learned 2x2 transposed convolutions, and by repetition.

use burn::module::Module;
use burn::nn::conv::{ConvTranspose2d, ConvTranspose2dConfig};
use burn::tensor::{Device, Tensor};

use super::conv::ConvBlock;
use crate::kernels::{interleave, matmul};

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
    let y: Tensor<3> = matmul(weight, x.reshape([batch, input, height * width]));
    interleave(y.reshape([batch, output * 4, height, width]), layer.bias.as_ref().map(|bias| bias.val()))
}

/// Every pixel four times: PyTorch's `nearest` with a factor of 2.
///
/// # Shapes
/// - `x`: `[batch, channels, height, width]`
/// - output: `[batch, channels, 2 * height, 2 * width]`
pub fn upsample_nearest(x: Tensor<4>) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    let repeated = x.reshape([batch * channels, height, 1, width, 1]).expand([batch * channels, height, 2, width, 2]);
    repeated.reshape([batch, channels, 2 * height, 2 * width])
}

/// Transposed convolution, then a [`ConvBlock`]: one step of a skip of UNETR to twice the size.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::interpolate::{Interpolation, resize};

    #[test]
    fn repeated_pixels_are_nearest_interpolation_with_its_gradient() {
        let device = Device::flex().autodiff();
        let x = Tensor::<1>::from_floats([1.0, -2.0, 3.0, 0.5, 7.0, -9.0, 4.0, 8.0, -1.0, 2.0, 6.0, 5.0], &device);
        let results = [|x: Tensor<4>| upsample_nearest(x), |x: Tensor<4>| resize(x, [4, 6], Interpolation::Nearest)]
            .map(|double| {
                let x = x.clone().reshape([1, 2, 2, 3]).detach().require_grad();
                let y = double(x.clone());
                assert_eq!(y.dims(), [1, 2, 4, 6]);
                let gradients = y.clone().powf_scalar(3.0).sum().backward();
                let numbers = |tensor: Tensor<4>| tensor.into_data().try_into_vec::<f32>().unwrap();
                (numbers(y.inner()), numbers(x.grad(&gradients).unwrap()))
            });
        assert_eq!(results[0], results[1]);
    }
}
