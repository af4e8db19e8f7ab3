//! Patch embedding: an image cut into squares, one token each.

use burn::module::Module;
use burn::nn::Initializer;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::{Device, Tensor};

use crate::kernels::matmul;

/// Linear embedding of square patches. The weight is stored as the convolution that public checkpoints hold.
#[derive(Module, Debug)]
pub struct PatchEmbed {
    /// Weight `[width, channels, patch, patch]`, bias `[width]`.
    pub proj: Conv2d,
}

impl PatchEmbed {
    /// A new embedding of `patch` x `patch` squares of `channels` channels into tokens of `width` numbers. As in MAE the
    /// weight is drawn as that of a linear layer (Xavier), and the bias keeps the convolution's own default.
    pub fn new(channels: usize, width: usize, patch: usize, device: &Device) -> Self {
        let mut proj = Conv2dConfig::new([channels, width], [patch, patch]).with_stride([patch, patch]).init(device);
        let (input, shape) = (channels * patch * patch, [width, channels, patch, patch]);
        proj.weight = Initializer::XavierUniform { gain: 1.0 }.init_with(shape, Some(input), Some(width), device);
        Self { proj }
    }

    /// Cut and embed. One matrix product: a strided convolution is far slower on every backend.
    ///
    /// # Shapes
    /// - `images`: `[batch, channels, rows * patch, columns * patch]`
    /// - output: `[batch, rows * columns, width]`, row-major
    pub fn forward(&self, images: Tensor<4>) -> Tensor<3> {
        let weight = self.proj.weight.val();
        let [width, channels, patch, _] = weight.dims();
        let [batch, image_channels, height, image_width] = images.dims();
        assert_eq!(image_channels, channels, "the patch embedding reads {channels} channels");
        assert!(
            height.is_multiple_of(patch) && image_width.is_multiple_of(patch),
            "images of {height}x{image_width} cannot be cut into patches of {patch}"
        );
        let (rows, columns) = (height / patch, image_width / patch);
        let patches = images
            .reshape([batch, channels, rows, patch, columns, patch])
            .permute([0, 2, 4, 1, 3, 5])
            .reshape([batch * rows * columns, channels * patch * patch]);
        let tokens = matmul(patches, weight.reshape([width, channels * patch * patch]).transpose());
        let tokens = match &self.proj.bias {
            Some(bias) => tokens + bias.val().unsqueeze(),
            None => tokens,
        };
        tokens.reshape([batch, rows * columns, width])
    }
}
