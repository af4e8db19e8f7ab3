//! The pre-norm transformer block of ViT and MAE, as timm has it and with timm's parameter names.

use burn::module::Module;
use burn::nn::{LayerNorm, LayerNormConfig, Linear};
use burn::tensor::{Device, Tensor, activation};

use super::linear::linear;
use crate::kernels::{self, attention, gelu, layer_norm};

/// `x + attention(norm1(x))`, then `x + mlp(norm2(x))`.
#[derive(Module, Debug)]
pub struct Block {
    /// Before attention.
    pub norm1: LayerNorm,
    /// Self-attention.
    pub attn: Attention,
    /// Before the MLP.
    pub norm2: LayerNorm,
    /// Feed-forward network.
    pub mlp: Mlp,
    #[module(skip)]
    epsilon: f64,
}

impl Block {
    /// A block of `width` numbers a token and `heads` heads, LayerNorm epsilon `epsilon`, MLP `mlp_ratio` times wider.
    pub fn new(width: usize, heads: usize, mlp_ratio: usize, epsilon: f64, device: &Device) -> Self {
        let norm = || LayerNormConfig::new(width).with_epsilon(epsilon).init(device);
        Self {
            norm1: norm(),
            attn: Attention::new(width, heads, device),
            norm2: norm(),
            mlp: Mlp {
                fc1: linear([width, width * mlp_ratio], device),
                fc2: linear([width * mlp_ratio, width], device),
            },
            epsilon,
        }
    }

    /// # Shapes
    /// - `tokens`: `[batch, tokens, width]`, to the same
    pub fn forward(&self, tokens: Tensor<3>) -> Tensor<3> {
        let tokens = tokens.clone() + self.attn.forward(layer_norm(&self.norm1, self.epsilon, tokens));
        tokens.clone() + self.mlp.forward(layer_norm(&self.norm2, self.epsilon, tokens))
    }
}

impl Block {
    /// How the tokens attend to each other.
    ///
    /// # Shapes
    /// - `tokens`: `[batch, tokens, width]`
    /// - output: `[batch, heads, tokens, tokens]`, rows of which sum to 1
    pub fn attention(&self, tokens: Tensor<3>) -> Tensor<4> {
        self.attn.weights(layer_norm(&self.norm1, self.epsilon, tokens))
    }
}

/// Multi-head self-attention with one joint projection to queries, keys and values.
#[derive(Module, Debug)]
pub struct Attention {
    /// Width to three times the width: queries of all heads, keys, values.
    pub qkv: Linear,
    /// Heads back to the width.
    pub proj: Linear,
    #[module(skip)]
    heads: usize,
}

impl Attention {
    fn new(width: usize, heads: usize, device: &Device) -> Self {
        assert!(width.is_multiple_of(heads), "{heads} heads do not divide a width of {width}");
        Self { qkv: linear([width, 3 * width], device), proj: linear([width, width], device), heads }
    }

    /// # Shapes
    /// - `x`: `[batch, tokens, width]`, to the same
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        kernels::linear(&self.proj, attention(kernels::linear(&self.qkv, x), self.heads))
    }

    fn weights(&self, x: Tensor<3>) -> Tensor<4> {
        let [batch, tokens, width] = x.dims();
        let size = width / self.heads;
        let qkv = kernels::linear(&self.qkv, x);
        let part = |at: usize| {
            qkv.clone().narrow(2, at * width, width).reshape([batch, tokens, self.heads, size]).swap_dims(1, 2)
        };
        let products = part(0).matmul(part(1).swap_dims(2, 3)) / (size as f64).sqrt();
        activation::softmax(products, 3)
    }
}

/// Two linear layers with GELU between.
#[derive(Module, Debug)]
pub struct Mlp {
    /// Widening layer.
    pub fc1: Linear,
    /// Narrowing layer.
    pub fc2: Linear,
}

impl Mlp {
    /// # Shapes
    /// - `x`: `[batch, tokens, width]`, to the same
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        kernels::linear(&self.fc2, gelu(kernels::linear(&self.fc1, x)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Distribution;

    #[test]
    fn the_weights_are_those_that_the_values_are_mixed_with() {
        let device = Device::flex();
        device.seed(4);
        let attn = Attention::new(12, 3, &device);
        let x = Tensor::<3>::random([2, 5, 12], Distribution::Normal(0.0, 1.0), &device);
        let weights = attn.weights(x.clone());
        let sums: Vec<f32> = weights.clone().sum_dim(3).into_data().try_into_vec().unwrap();
        assert!(sums.iter().all(|sum| (sum - 1.0).abs() < 1e-5), "{sums:?}");
        let values = kernels::linear(&attn.qkv, x.clone()).narrow(2, 24, 12).reshape([2, 5, 3, 4]).swap_dims(1, 2);
        let mixed = weights.matmul(values).swap_dims(1, 2).reshape([2, 5, 12]);
        let difference = (kernels::linear(&attn.proj, mixed) - attn.forward(x)).abs().max().into_scalar::<f32>();
        assert!(difference < 1e-5, "{difference}");
    }
}
