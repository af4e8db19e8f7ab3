//! Masked auto-encoder (MAE): a ViT sees a quarter of the patches, and a small decoder paints the others.
//!
//! He and others, "Masked Autoencoders Are Scalable Vision Learners", 2022, arXiv:2111.06377 (He 2022), as in its
//! public code, facebookresearch/mae. Yang 2024 trains it on ultrasound (sections 2.3 and 4.1).
//!
//! | step | from | to |
//! |---|---|---|
//! | [`Mae::encode`] | images, positions added before the masking | `[batch, 1 + kept, width]` |
//! | [`Mae::decode`] | the same, mask tokens in the gaps, positions added after | `[batch, patches, numbers of a patch]` |
//! | [`masked_mse`](crate::losses::pixels::masked_mse) | images, prediction | loss |

use std::collections::BTreeMap;

use burn::module::{Module, Param};
use burn::nn::{LayerNorm, LayerNormConfig, Linear};
use burn::tensor::{Device, Distribution, Tensor};
use serde::{Deserialize, Serialize};

use super::unetr::{Preset, UnetrConfig};
use super::vit::{Vit, VitConfig};
use super::{NetworkSizes, too_large};
use crate::blocks::linear::linear;
use crate::blocks::masking::{DeviceMasking, Masking, pick};
use crate::blocks::positions::sincos;
use crate::blocks::transformer::Block;
use crate::kernels;

/// Sizes of a masked auto-encoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaeConfig {
    /// The encoder, which other networks take over.
    pub encoder: VitConfig,
    /// Numbers per token of the decoder.
    pub decoder_width: usize,
    /// Transformer blocks of the decoder.
    pub decoder_depth: usize,
    /// Attention heads of the decoder.
    pub decoder_heads: usize,
    /// Share of the patches that is hidden.
    pub mask_ratio: f64,
}

impl MaeConfig {
    /// ViT-B/16 with the decoder of the paper: 512 wide, 8 blocks, 16 heads; three quarters hidden.
    pub fn base() -> Self {
        Self::preset(Preset::Base)
    }

    /// The encoder of the UNETR of this name, so that it can take the weights over. The decoders of the small ones are
    /// ours: half as wide as the encoder, 4 blocks, and 32 numbers a head as in the paper.
    pub fn preset(preset: Preset) -> Self {
        let [decoder_width, decoder_depth, decoder_heads] = match preset {
            Preset::Tiny => [64, 4, 2],
            Preset::Small => [96, 4, 3],
            Preset::Base => [512, 8, 16],
        };
        let encoder = UnetrConfig::preset(preset, 1).encoder;
        Self { encoder, decoder_width, decoder_depth, decoder_heads, mask_ratio: 0.75 }
    }

    /// Patches of an image.
    pub fn patches(&self) -> usize {
        self.encoder.grid().pow(2)
    }

    /// A network with the paper's initial values. Panics on impossible sizes (see [`NetworkSizes::problem`]).
    pub fn init(&self, device: &Device) -> Mae {
        assert!(self.problem().is_none(), "{}", self.problem().unwrap_or_default());
        let VitConfig { patch_size, channels, width, mlp_ratio, norm_epsilon, .. } = self.encoder;
        let inner = self.decoder_width;
        let decoder = MaeDecoder {
            embed: linear([width, inner], device),
            mask_token: Param::from_tensor(Tensor::random([1, 1, inner], Distribution::Normal(0.0, 0.02), device)),
            pos_embed: Param::from_tensor(sincos(inner, self.encoder.grid(), device)),
            blocks: (0..self.decoder_depth)
                .map(|_| Block::new(inner, self.decoder_heads, mlp_ratio, norm_epsilon, device))
                .collect(),
            norm: LayerNormConfig::new(inner).with_epsilon(norm_epsilon).init(device),
            pred: linear([inner, patch_size * patch_size * channels], device),
        };
        Mae { encoder: self.encoder.init(device), decoder }
    }
}

impl NetworkSizes for MaeConfig {
    fn architecture(&self) -> &'static str {
        "mae"
    }

    fn image_size(&self) -> usize {
        self.encoder.image_size
    }

    fn channels(&self) -> usize {
        self.encoder.channels
    }

    fn masks(&self) -> usize {
        0
    }

    fn encoder(&self) -> Option<&VitConfig> {
        Some(&self.encoder)
    }

    fn least_weights(&self) -> f64 {
        self.encoder.least_weights()
    }

    fn problem(&self) -> Option<String> {
        let Self { encoder, decoder_width, decoder_depth, decoder_heads, mask_ratio } = self;
        if let Some(problem) = encoder.problem() {
            return Some(problem);
        }
        if let Some(problem) = too_large(&[("decoder_width", *decoder_width), ("decoder_depth", *decoder_depth)]) {
            return Some(problem);
        }
        if *decoder_heads == 0 || !decoder_width.is_multiple_of(*decoder_heads) {
            return Some(format!("decoder_heads {decoder_heads} does not divide decoder_width {decoder_width}"));
        }
        if *decoder_width == 0 || !decoder_width.is_multiple_of(4) {
            return Some(format!(
                "decoder_width {decoder_width} is not a multiple of 4, which the position table needs"
            ));
        }
        if *decoder_depth == 0 {
            return Some("decoder_depth must be at least 1".into());
        }
        let patches = self.patches();
        let kept = Masking::kept(patches, *mask_ratio);
        // Written so that NaN is refused, too.
        let possible = (0.0..1.0).contains(mask_ratio) && kept > 0 && kept < patches;
        (!possible).then(|| {
            format!("mask_ratio {mask_ratio} leaves {kept} of {patches} patches visible: some must be, and not all")
        })
    }
}

/// A ViT encoder that sees some patches, and a decoder that predicts all of them.
///
/// The position tables are frozen, as in MAE, although the encoder's is trained after it has moved to another network:
/// they are detached where they are used, get no gradient, and the optimiser leaves what has no gradient alone.
#[derive(Module, Debug)]
pub struct Mae {
    /// What other networks take over.
    pub encoder: Vit,
    /// What only pre-training needs.
    pub decoder: MaeDecoder,
}

impl Mae {
    /// Predict every patch from those that `masking` leaves visible.
    ///
    /// # Shapes
    /// - `images`: `[batch, channels, size, size]`
    /// - output: `[batch, patches, patch_size * patch_size * channels]`, laid out as
    ///   [`patchify`](crate::losses::pixels::patchify) does
    pub fn forward(&self, images: Tensor<4>, masking: &Masking) -> Tensor<3> {
        let masking = masking.to_device(&images.device());
        self.decode(self.encode(images, &masking), &masking)
    }

    /// The visible patches after the encoder's final norm, in the order of `masking`.
    ///
    /// # Shapes
    /// - `images`: `[batch, channels, size, size]`
    /// - output: `[batch, 1 + kept, width]`, class token first
    pub fn encode(&self, images: Tensor<4>, masking: &DeviceMasking) -> Tensor<3> {
        let Vit { cls_token, pos_embed, patch_embed, blocks, norm } = &self.encoder;
        let [_, places, width] = pos_embed.dims();
        let patches = patch_embed.forward(images);
        let [batch, count, _] = patches.dims();
        assert_eq!(count + 1, places, "the position table fits images of another size");
        assert_eq!(masking.mask.dims(), [batch, count], "the masking is of other images");
        let positions = pos_embed.val().detach();
        let patches = patches + positions.clone().narrow(1, 1, count);
        let visible = pick(patches, masking.keep.clone());
        let class = (cls_token.val() + positions.narrow(1, 0, 1)).expand([batch, 1, width]);
        let tokens = Tensor::cat(vec![class, visible], 1);
        norm.forward(blocks.iter().fold(tokens, |tokens, block| block.forward(tokens)))
    }

    /// All patches from the visible ones.
    ///
    /// # Shapes
    /// - `latent`: `[batch, 1 + kept, width]`
    /// - output: `[batch, patches, patch_size * patch_size * channels]`
    pub fn decode(&self, latent: Tensor<3>, masking: &DeviceMasking) -> Tensor<3> {
        let MaeDecoder { embed, mask_token, pos_embed, blocks, norm, pred } = &self.decoder;
        let tokens = kernels::linear(embed, latent);
        let [batch, given, width] = tokens.dims();
        let [_, patches] = masking.restore.dims();
        let class = tokens.clone().narrow(1, 0, 1);
        let hidden = mask_token.val().expand([batch, patches + 1 - given, width]);
        let shuffled = Tensor::cat(vec![tokens.narrow(1, 1, given - 1), hidden], 1);
        let tokens = Tensor::cat(vec![class, pick(shuffled, masking.restore.clone())], 1) + pos_embed.val().detach();
        let tokens = norm.forward(blocks.iter().fold(tokens, |tokens, block| block.forward(tokens)));
        kernels::linear(pred, tokens.narrow(1, 1, patches))
    }
}

/// The half of a [`Mae`] that is thrown away after pre-training.
#[derive(Module, Debug)]
pub struct MaeDecoder {
    /// From the encoder's width.
    pub embed: Linear,
    /// Stands for a hidden patch: `[1, 1, decoder_width]`.
    pub mask_token: Param<Tensor<3>>,
    /// `[1, 1 + patches, decoder_width]`, frozen.
    pub pos_embed: Param<Tensor<3>>,
    /// Transformer blocks.
    pub blocks: Vec<Block>,
    /// After the last block.
    pub norm: LayerNorm,
    /// To the pixels of a patch.
    pub pred: Linear,
}

/// Tensors of a [`Mae`] under the names of the public checkpoints: `blocks.0...` instead of `encoder.blocks.0...`, and
/// `decoder_blocks.0...` instead of `decoder.blocks.0...`. Layouts are the same already.
pub fn to_public_names<T>(state: BTreeMap<String, T>) -> BTreeMap<String, T> {
    let public = |name: String| match (name.strip_prefix("encoder."), name.strip_prefix("decoder.")) {
        (Some(inner), _) => inner.to_owned(),
        (_, Some("mask_token")) => "mask_token".to_owned(),
        (_, Some(inner)) => format!("decoder_{inner}"),
        (None, None) => name,
    };
    state.into_iter().map(|(name, tensor)| (public(name), tensor)).collect()
}

/// The inverse of [`to_public_names`]. The public files without a decoder give an encoder alone.
pub fn from_public_names<T>(state: BTreeMap<String, T>) -> BTreeMap<String, T> {
    let ours = |name: String| match name.strip_prefix("decoder_") {
        Some(inner) => format!("decoder.{inner}"),
        None if name == "mask_token" => "decoder.mask_token".to_owned(),
        None => format!("encoder.{name}"),
    };
    state.into_iter().map(|(name, tensor)| (ours(name), tensor)).collect()
}

#[cfg(test)]
mod tests {
    use burn::module::ModuleVisitor;
    use burn::optim::GradientsParams;
    use burn::tensor::{Gradients, TensorData};

    use super::*;
    use crate::blocks::positions::sincos_table;
    use crate::checkpoint::{StateNames, read_state, write_state};
    use crate::losses::pixels::{masked_mse, patch_target};
    use crate::optim::adamw::AdamWConfig;
    use crate::optim::rules::ParameterRule;
    use crate::optim::{Optimiser, OptimiserConfig};
    use sonoseg_imaging::rng::Rng;

    fn small() -> MaeConfig {
        MaeConfig {
            encoder: VitConfig { image_size: 32, patch_size: 8, ..VitConfig::new(32, 2, 2) },
            decoder_width: 16,
            decoder_depth: 1,
            decoder_heads: 2,
            mask_ratio: 0.75,
        }
    }

    /// Smooth images: each a wave of a direction and a length of its own, about as long as a patch.
    fn waves(count: usize, device: &Device) -> Tensor<4> {
        let mut rng = Rng::stream(5, "waves", [0, 0]);
        let mut pixels = Vec::new();
        for _ in 0..count {
            let start = rng.uniform(-3.0, 3.0);
            let [along, across] = [(); 2].map(|()| rng.uniform(0.3, 0.8) * if rng.chance(0.5) { 1.0 } else { -1.0 });
            let plane: Vec<f32> = (0..1024)
                .map(|i| (start + along * f64::from(i % 32) + across * f64::from(i / 32)).sin() as f32)
                .collect();
            pixels.extend((0..3).flat_map(|_| plane.iter().copied()));
        }
        Tensor::from_data(TensorData::new(pixels, [count, 3, 32, 32]), device)
    }

    fn masking(config: &MaeConfig, batch: usize, step: u64) -> Masking {
        Masking::draw(&mut Rng::stream(7, "masking", [0, step]), batch, config.patches(), config.mask_ratio)
    }

    fn scalar(tensor: Tensor<1>) -> f32 {
        tensor.into_data().try_into_vec::<f32>().unwrap()[0]
    }

    /// Names of the parameters with a gradient and of those without.
    struct Split<'a>(StateNames, &'a Gradients, [Vec<String>; 2]);

    impl ModuleVisitor for Split<'_> {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.0.enter(name, container);
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.0.exit();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let reached = param.val().grad(self.1).is_some_and(|g| scalar(g.abs().sum().inner()) > 0.0);
            self.2[usize::from(!reached)].push(self.0.name());
        }
    }

    #[test]
    fn parameter_counts_of_the_paper_and_of_the_presets() {
        let (device, config) = (Device::flex(), MaeConfig::base());
        let mae = config.init(&device);
        let (all, encoder) = (mae.num_params(), mae.encoder.num_params());
        assert_eq!((all, encoder), (111_907_840, 85_798_656));
        let tables = 197 * (config.encoder.width + config.decoder_width);
        assert_eq!(all - tables, 111_655_680, "trainable");
        for preset in [Preset::Tiny, Preset::Small] {
            let config = MaeConfig::preset(preset);
            assert_eq!(config.problem(), None);
            assert_eq!(config.encoder, UnetrConfig::preset(preset, 1).encoder);
        }
    }

    #[test]
    fn gradients_reach_everything_but_the_position_tables() {
        let device = Device::flex().autodiff();
        let config = small();
        let mae = config.init(&device);
        let (images, masking) = (waves(2, &device), masking(&config, 2, 0));
        let prediction = mae.forward(images.clone(), &masking);
        assert_eq!(prediction.dims(), [2, 16, 192]);
        let gradients = masked_mse(images, prediction, &masking, 8, true).backward();
        let mut split = Split(StateNames::default(), &gradients, [vec![], vec![]]);
        mae.visit(&mut split);
        let [reached, frozen] = split.2;
        assert_eq!(frozen, ["encoder.pos_embed", "decoder.pos_embed"]);
        let names = pollster::block_on(read_state(&mae)).unwrap();
        assert_eq!(reached.len(), names.len() - 2);
    }

    #[test]
    fn hidden_pixels_change_nothing() {
        let device = Device::flex();
        let config = small();
        let (mae, images) = (config.init(&device), waves(1, &device));
        let masking = masking(&config, 1, 0);
        // Everything but the visible patches is replaced by other pixels.
        let mask = Tensor::<2>::from_data(TensorData::new(masking.mask.clone(), [4, 4]), &device);
        let mask = mask.reshape([1, 1, 4, 1, 4, 1]).expand([1, 3, 4, 8, 4, 8]).reshape([1, 3, 32, 32]);
        let [before, after] = [images.clone(), images + mask * 9.0]
            .map(|images| mae.forward(images, &masking).into_data().try_into_vec::<f32>().unwrap());
        assert_eq!(before, after);
    }

    #[test]
    fn the_public_names_lead_there_and_back() {
        let config = small();
        let ours = pollster::block_on(read_state(&config.init(&Device::flex()))).unwrap();
        let public = to_public_names(ours.clone());
        for name in [
            "cls_token",
            "pos_embed",
            "patch_embed.proj.weight",
            "blocks.1.attn.qkv.bias",
            "norm.weight",
            "mask_token",
            "decoder_pos_embed",
            "decoder_embed.weight",
            "decoder_blocks.0.mlp.fc1.weight",
            "decoder_norm.bias",
            "decoder_pred.weight",
        ] {
            assert!(public.contains_key(name), "{name} is missing");
        }
        assert_eq!(public["decoder_embed.weight"].0, [16, 32]);
        let back = from_public_names(public);
        assert_eq!(back, ours);
        write_state("mae.safetensors", back, config.init(&Device::flex())).unwrap();
    }

    #[test]
    fn impossible_sizes_are_named() {
        let problem = |change: fn(&mut MaeConfig)| {
            let mut config = small();
            change(&mut config);
            config.problem().unwrap()
        };
        assert!(problem(|c| c.decoder_heads = 3).contains("decoder_heads 3"));
        assert!(problem(|c| c.encoder.patch_size = 7).contains("patch_size 7"));
        for ratio in [0.0, 1.0, 0.99, -0.5, f64::NAN] {
            let config = MaeConfig { mask_ratio: ratio, ..small() };
            assert!(config.problem().unwrap().contains("mask_ratio"), "{ratio}");
        }
    }

    #[test]
    fn eight_images_are_learned_better_than_their_patches_means() {
        let device = Device::flex().autodiff();
        let config = MaeConfig { decoder_width: 32, ..small() };
        let mut mae = config.init(&device);
        let images = waves(8, &device);
        // A masking that is not learned from, and the prediction that knows every patch's mean and nothing else.
        let held_out = masking(&config, 8, 1_000_000);
        let loss_of = |prediction| scalar(masked_mse(images.clone(), prediction, &held_out, 8, false).inner());
        let baseline = loss_of(patch_target(images.clone(), 8, false).mean_dim(2).expand([8, 16, 192]));
        let settings = AdamWConfig { betas: [0.9, 0.95], ..Default::default() };
        let mut adam = Optimiser::new(OptimiserConfig::AdamW(settings));
        let rule = ParameterRule { rate_scale: 1.0, weight_decay: 0.05, trained: true };
        let mut losses = Vec::new();
        for step in 0..800_u64 {
            let masking = masking(&config, 8, step);
            let loss = masked_mse(images.clone(), mae.forward(images.clone(), &masking), &masking, 8, false);
            let gradients = GradientsParams::from_grads(loss.backward(), &mae);
            mae = adam.step(mae, gradients, 3e-3 * (step as f64 / 20.0).min(1.0), |_, _| rule);
            if step % 50 == 0 {
                losses.push(loss_of(mae.forward(images.clone(), &held_out)));
                if losses.last().is_some_and(|&loss| loss < 0.6 * baseline) {
                    break;
                }
            }
        }
        assert!(losses[0] > baseline, "nothing was to be learned: {losses:?} against {baseline}");
        assert!(losses.last().is_some_and(|&loss| loss < 0.6 * baseline), "{losses:?} against {baseline}");
        for (learned, width) in [(&mae.encoder.pos_embed, 32), (&mae.decoder.pos_embed, 32)] {
            let table: Vec<f32> = learned.val().into_data().try_into_vec().unwrap();
            assert_eq!(table, sincos_table(width, 4), "the position tables are frozen");
        }
    }
}
