//! Vision transformer encoder of MAE (He 2022, as in its public code), with timm's parameter names, and the taps that
//! UNETR reads.

use burn::module::{Module, Param};
use burn::nn::{LayerNorm, LayerNormConfig};
use burn::tensor::{Device, Distribution, Tensor};
use serde::{Deserialize, Serialize};

use super::too_large;
use crate::blocks::patches::PatchEmbed;
use crate::blocks::positions::sincos;
use crate::blocks::transformer::Block;
use crate::optim::rules::{Rule, Rules};

/// Sizes of a vision transformer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VitConfig {
    /// Height and width of the images, in pixels.
    pub image_size: usize,
    /// Edge of a patch, in pixels.
    pub patch_size: usize,
    /// Input channels: a grey frame three times, or three frames.
    pub channels: usize,
    /// Numbers per token.
    pub width: usize,
    /// Transformer blocks.
    pub depth: usize,
    /// Attention heads.
    pub heads: usize,
    /// The MLP's inner width as a multiple of the width.
    pub mlp_ratio: usize,
    /// LayerNorm epsilon; MAE and timm use 1e-6.
    pub norm_epsilon: f64,
}

impl VitConfig {
    /// A transformer for 224x224 images in patches of 16.
    pub fn new(width: usize, depth: usize, heads: usize) -> Self {
        Self { image_size: 224, patch_size: 16, channels: 3, width, depth, heads, mlp_ratio: 4, norm_epsilon: 1e-6 }
    }

    /// Patches along one axis.
    pub fn grid(&self) -> usize {
        self.image_size / self.patch_size
    }

    /// Fewer weights than the encoder has: those of the patches and their positions, of attention and MLPs.
    pub fn least_weights(&self) -> f64 {
        let [patch, channels, width, depth, ratio, grid] =
            [self.patch_size, self.channels, self.width, self.depth, self.mlp_ratio, self.grid()]
                .map(|size| size as f64);
        width * (patch * patch * channels + grid * grid) + depth * (4.0 + 2.0 * ratio) * width * width
    }

    /// What makes these sizes impossible, if anything.
    pub fn problem(&self) -> Option<String> {
        let Self { image_size, patch_size, channels, width, depth, heads, mlp_ratio, .. } = *self;
        let sizes = [("image_size", image_size), ("patch_size", patch_size), ("channels", channels), ("width", width)];
        if let Some(problem) = too_large(&sizes).or_else(|| too_large(&[("depth", depth), ("mlp_ratio", mlp_ratio)])) {
            return Some(problem);
        }
        if patch_size == 0 || !image_size.is_multiple_of(patch_size) || image_size == 0 {
            return Some(format!("patch_size {patch_size} does not divide image_size {image_size}"));
        }
        if heads == 0 || !width.is_multiple_of(heads) {
            return Some(format!("heads {heads} does not divide width {width}"));
        }
        if width == 0 || !width.is_multiple_of(4) {
            return Some(format!("width {width} is not a multiple of 4, which the position table needs"));
        }
        (depth == 0 || channels == 0 || mlp_ratio == 0)
            .then(|| "depth, channels and mlp_ratio must be at least 1".into())
    }

    /// The rules of MAE's fine-tuning for a network whose encoder's names start with `prefix`; all else counts as the
    /// head. The embedding is the lowest layer. With `spare_tokens` the class token and the position table have no weight
    /// decay (fine-tuning; not in pre-training).
    pub fn rules(&self, prefix: &str, spare_tokens: bool) -> Rules {
        let (depth, prefix) = (self.depth, prefix.to_owned());
        Box::new(move |name, axes| {
            let inner = name.strip_prefix(&prefix).unwrap_or_default();
            let token = matches!(inner, "cls_token" | "pos_embed");
            let block = inner.strip_prefix("blocks.").and_then(|rest| rest.split('.').next()?.parse::<usize>().ok());
            let layers_above = match block {
                Some(block) => depth.saturating_sub(block),
                None if token || inner.starts_with("patch_embed.") => depth + 1,
                None => 0,
            };
            Rule { layers_above, decayed: axes > 1 && !(spare_tokens && token), trained: true }
        })
    }

    /// A network with MAE's initial values. Panics on impossible sizes (see [`VitConfig::problem`]).
    pub fn init(&self, device: &Device) -> Vit {
        assert!(self.problem().is_none(), "{}", self.problem().unwrap_or_default());
        let token = Tensor::random([1, 1, self.width], Distribution::Normal(0.0, 0.02), device);
        Vit {
            cls_token: Param::from_tensor(token),
            pos_embed: Param::from_tensor(sincos(self.width, self.grid(), device)),
            patch_embed: PatchEmbed::new(self.channels, self.width, self.patch_size, device),
            blocks: (0..self.depth)
                .map(|_| Block::new(self.width, self.heads, self.mlp_ratio, self.norm_epsilon, device))
                .collect(),
            norm: LayerNormConfig::new(self.width).with_epsilon(self.norm_epsilon).init(device),
        }
    }
}

/// Vision transformer encoder.
#[derive(Module, Debug)]
pub struct Vit {
    /// `[1, 1, width]`.
    pub cls_token: Param<Tensor<3>>,
    /// `[1, 1 + patches, width]`, trainable.
    pub pos_embed: Param<Tensor<3>>,
    /// Image to tokens.
    pub patch_embed: PatchEmbed,
    /// Transformer blocks.
    pub blocks: Vec<Block>,
    /// After the last block.
    pub norm: LayerNorm,
}

/// What [`Vit::forward_taps`] gives.
#[derive(Debug)]
pub struct VitFeatures {
    /// One per tap, `[batch, width, rows, columns]`, not normalised.
    pub taps: Vec<Tensor<4>>,
    /// Last block after the final norm, `[batch, width, rows, columns]`.
    pub last: Tensor<4>,
    /// Class token after the final norm, `[batch, width]`.
    pub class: Tensor<2>,
}

impl Vit {
    /// All tokens after the final norm.
    ///
    /// # Shapes
    /// - `images`: `[batch, channels, height, width]`
    /// - output: `[batch, 1 + patches, width]`, class token first
    pub fn forward(&self, images: Tensor<4>) -> Tensor<3> {
        let tokens = self.blocks.iter().fold(self.embed(images), |tokens, block| block.forward(tokens));
        self.norm.forward(tokens)
    }

    /// The maps after the blocks named in `taps` (counted from 1), and the final ones.
    ///
    /// # Shapes
    /// - `images`: `[batch, channels, size, size]`
    /// - output: see [`VitFeatures`]
    pub fn forward_taps(&self, images: Tensor<4>, taps: &[usize]) -> VitFeatures {
        let mut tokens = self.embed(images);
        let mut tapped = Vec::with_capacity(taps.len());
        for (index, block) in self.blocks.iter().enumerate() {
            tokens = block.forward(tokens);
            tapped.extend(taps.iter().filter(|&&tap| tap == index + 1).map(|_| as_map(tokens.clone())));
        }
        let tokens = self.norm.forward(tokens);
        let class = tokens.clone().narrow(1, 0, 1).squeeze_dim(1);
        VitFeatures { taps: tapped, last: as_map(tokens), class }
    }

    /// How every token attends to every other one in the blocks named in `taps` (counted from 1).
    ///
    /// # Shapes
    /// - `images`: `[batch, channels, size, size]`
    /// - output: one per tap, `[batch, heads, tokens, tokens]`, rows of which sum to 1
    pub fn attention_taps(&self, images: Tensor<4>, taps: &[usize]) -> Vec<Tensor<4>> {
        let mut tokens = self.embed(images);
        let mut tapped = Vec::with_capacity(taps.len());
        for (index, block) in self.blocks.iter().enumerate() {
            if taps.contains(&(index + 1)) {
                tapped.push(block.attention(tokens.clone()));
            }
            tokens = block.forward(tokens);
        }
        tapped
    }

    fn embed(&self, images: Tensor<4>) -> Tensor<3> {
        let batch = images.dims()[0];
        let patches = self.patch_embed.forward(images);
        let [_, tokens, width] = self.pos_embed.dims();
        assert_eq!(patches.dims()[1] + 1, tokens, "the position table fits images of another size");
        let class = self.cls_token.val().expand([batch, 1, width]);
        Tensor::cat(vec![class, patches], 1) + self.pos_embed.val()
    }
}

/// Tokens without the class token, as a map: `[batch, 1 + n * n, width]` to `[batch, width, n, n]`.
fn as_map(tokens: Tensor<3>) -> Tensor<4> {
    let [batch, count, width] = tokens.dims();
    let grid = (count - 1).isqrt();
    tokens.narrow(1, 1, count - 1).swap_dims(1, 2).reshape([batch, width, grid, grid])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_encoder_has_the_papers_parameters() {
        let vit = VitConfig::new(768, 12, 12).init(&Device::flex());
        assert_eq!(vit.num_params(), 85_798_656);
    }

    #[test]
    fn golden_rates_of_the_base_encoder() {
        let rules = VitConfig::new(768, 12, 12).rules("encoder.", true);
        let scale = |name: &str| 0.75_f64.powi(rules(name, 2).layers_above as i32);
        assert!((scale("encoder.patch_embed.proj.weight") - 0.023_757_3).abs() < 1e-6);
        assert!((scale("encoder.blocks.0.attn.qkv.weight") - 0.031_676_4).abs() < 1e-6);
        assert!((scale("encoder.blocks.11.mlp.fc1.weight") - 0.75).abs() < 1e-12);
        assert_eq!(scale("decoder.out.weight"), 1.0);
        let decayed = |name: &str, axes| rules(name, axes).decayed;
        assert!(!decayed("encoder.pos_embed", 3) && !decayed("decoder.out.bias", 1));
        assert!(decayed("decoder.pos_embed", 3) && decayed("decoder.out.weight", 4));
    }
}
