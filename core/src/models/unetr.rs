//! 2-D UNETR: a ViT encoder, and a convolutional decoder that reads its taps.
//!
//! Yang (楊瀚博), "Ultrasound Needle Segmentation with U-Net Transformer & Masked Autoencoder Self-Supervised
//! Pre-Training", 2024, a course report without an identifier (Yang 2024), sections 2.2 and 4.1: the UNETR of
//! Hatamizadeh 2022 in two dimensions, without the skip from the image. The paper gives taps, channels of the skips,
//! normalisation and activation; the rest is Hatamizadeh's plain decoder. (MONAI's has residual blocks, and its taps
//! lie one block deeper.)
//!
//! One frame three times gives SF-UNETR, three frames as channels Video UNETR (with one or three target masks).
//!
//! | path | from | to |
//! |---|---|---|
//! | skip3 | tap 1 | `2f`, 1/2 of the size |
//! | skip6 | tap 2 | `4f`, 1/4 |
//! | skip9 | tap 3 | `8f`, 1/8 |
//! | dec9, dec6, dec3, head | last map | `out`, full size |

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig, ConvTranspose2d};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::frames::Frames;
use super::vit::{Vit, VitConfig, VitFeatures};
use super::{NetworkConfig, NetworkSettings, NetworkSizes, channel_means, too_large};
use crate::blocks::conv::ConvBlock;
use crate::blocks::up::{UpBlock, apply_double_size, double_size};

/// Sizes of a UNETR.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnetrConfig {
    /// The encoder.
    pub encoder: VitConfig,
    /// Blocks whose output the decoder reads, counted from 1, shallow to deep. The paper: 3, 6, 9 of 12.
    pub taps: [usize; 3],
    /// Channels at full size, `f` above. The paper: 32.
    pub feature_size: usize,
    /// Groups of every group normalisation; the paper does not say; 8 for `base`.
    pub groups: usize,
    /// Epsilon of the group normalisations.
    pub group_norm_epsilon: f64,
    /// Masks: 1, or one per frame; or maps of classes.
    pub out_channels: usize,
}

/// Named sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// For the browser and for CPU training: 128 wide, 8 blocks.
    Tiny,
    /// 192 wide, 12 blocks.
    Small,
    /// The paper's ViT-B.
    Base,
}

/// The `[network]` of a recipe for a UNETR: a named size, and what differs from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnetrRecipe {
    /// Named size.
    pub preset: Preset,
    /// Frames in, masks out.
    #[serde(default)]
    pub frames: Frames,
    /// Width of the encoder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<usize>,
    /// Encoder blocks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depth: Option<usize>,
    /// Attention heads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heads: Option<usize>,
    /// Blocks that the decoder reads, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taps: Option<[usize; 3]>,
    /// Decoder channels at full size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feature_size: Option<usize>,
    /// Groups of every group normalisation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<usize>,
}

impl UnetrRecipe {
    /// The sizes for images of `image_size` pixels.
    pub fn sizes(&self, image_size: usize) -> UnetrConfig {
        let mut config = UnetrConfig::preset(self.preset, self.frames.masks());
        config.encoder.image_size = image_size;
        let set = |field: &mut usize, value: Option<usize>| *field = value.unwrap_or(*field);
        set(&mut config.encoder.width, self.width);
        set(&mut config.encoder.depth, self.depth);
        set(&mut config.encoder.heads, self.heads);
        set(&mut config.feature_size, self.feature_size);
        set(&mut config.groups, self.groups);
        config.taps = self.taps.unwrap_or(config.taps);
        config
    }
}

impl NetworkSettings for UnetrRecipe {
    fn config(&self, image_size: usize, maps: usize) -> NetworkConfig {
        NetworkConfig::Unetr(UnetrConfig { out_channels: maps, ..self.sizes(image_size) })
    }

    fn frames(&self) -> Frames {
        self.frames
    }

    fn label(&self) -> String {
        format!("{:?}", self.preset).to_lowercase()
    }
}

impl UnetrConfig {
    /// A named size with `out_channels` masks.
    pub fn preset(preset: Preset, out_channels: usize) -> Self {
        // Four channels a group at full size everywhere: with one each, the norm would erase how much was found.
        let (encoder, taps, feature_size, groups) = match preset {
            Preset::Tiny => (VitConfig::new(128, 8, 4), [2, 4, 6], 8, 2),
            Preset::Small => (VitConfig::new(192, 12, 3), [3, 6, 9], 16, 4),
            Preset::Base => (VitConfig::new(768, 12, 12), [3, 6, 9], 32, 8),
        };
        Self { encoder, taps, feature_size, groups, group_norm_epsilon: 1e-5, out_channels }
    }

    /// A network with initial values. Panics on impossible sizes (see [`NetworkSizes::problem`]).
    pub fn init(&self, device: &Device) -> Unetr {
        assert!(self.problem().is_none(), "{}", self.problem().unwrap_or_default());
        Unetr { encoder: self.encoder.init(device), decoder: self.decoder(device), taps: self.taps }
    }

    fn decoder(&self, device: &Device) -> UnetrDecoder {
        let (d, f) = (self.encoder.width, self.feature_size);
        let cb = |input, output| ConvBlock::new([input, output], self.groups, self.group_norm_epsilon, device);
        let up = |input, output| UpBlock::new([input, output], self.groups, self.group_norm_epsilon, device);
        let double = |input, output| double_size([input, output], device);
        UnetrDecoder {
            skip3: vec![up(d, 2 * f), up(2 * f, 2 * f), up(2 * f, 2 * f)],
            skip6: vec![up(d, 4 * f), up(4 * f, 4 * f)],
            skip9: vec![up(d, 8 * f)],
            up12: double(d, 8 * f),
            dec9: vec![cb(16 * f, 8 * f), cb(8 * f, 8 * f)],
            up9: double(8 * f, 4 * f),
            dec6: vec![cb(8 * f, 4 * f), cb(4 * f, 4 * f)],
            up6: double(4 * f, 2 * f),
            dec3: vec![cb(4 * f, 2 * f), cb(2 * f, 2 * f)],
            up3: double(2 * f, f),
            head: vec![cb(f, f), cb(f, f)],
            out: Conv2dConfig::new([f, self.out_channels], [1, 1]).init(device),
        }
    }
}

impl NetworkSizes for UnetrConfig {
    fn architecture(&self) -> &'static str {
        "unetr"
    }

    fn image_size(&self) -> usize {
        self.encoder.image_size
    }

    fn channels(&self) -> usize {
        self.encoder.channels
    }

    fn masks(&self) -> usize {
        self.out_channels
    }

    fn encoder(&self) -> Option<&VitConfig> {
        Some(&self.encoder)
    }

    fn problem(&self) -> Option<String> {
        if let Some(problem) = self.encoder.problem() {
            return Some(problem);
        }
        let sizes = [("feature_size", self.feature_size), ("out_channels", self.out_channels)];
        if let Some(problem) = too_large(&sizes) {
            return Some(problem);
        }
        if self.encoder.patch_size != 16 {
            return Some(format!(
                "the decoder doubles four times: patch_size must be 16, not {}",
                self.encoder.patch_size
            ));
        }
        if self.groups == 0 || self.feature_size == 0 || !self.feature_size.is_multiple_of(self.groups) {
            return Some(format!("groups {} does not divide feature_size {}", self.groups, self.feature_size));
        }
        let [a, b, c] = self.taps;
        if a == 0 || a > b || b > c || c > self.encoder.depth {
            return Some(format!("taps {:?} must rise and lie within 1..={}", self.taps, self.encoder.depth));
        }
        (self.out_channels == 0).then(|| "out_channels must be at least 1".into())
    }

    /// Those of the encoder, and of the widest convolutions.
    fn least_weights(&self) -> f64 {
        let [feature, masks] = [self.feature_size, self.out_channels].map(|size| size as f64);
        let decoder = 9.0 * (16.0 + 8.0) * 8.0 * feature * feature + feature * masks;
        self.encoder.least_weights() + decoder
    }
}

/// ViT encoder with a convolutional decoder.
#[derive(Module, Debug)]
pub struct Unetr {
    /// Names and shapes of MAE's encoder.
    pub encoder: Vit,
    /// Everything new.
    pub decoder: UnetrDecoder,
    #[module(skip)]
    taps: [usize; 3],
}

impl Unetr {
    /// # Shapes
    /// - `images`: `[batch, channels, size, size]`
    /// - output: logits `[batch, out_channels, size, size]`
    pub fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        self.decoder.forward(self.encoder.forward_taps(images, &self.taps))
    }

    /// How every token attends to every other one in the tapped blocks.
    ///
    /// # Shapes
    /// - `images`: `[batch, channels, size, size]`
    /// - output: one per tap, `[batch, heads, tokens, tokens]`
    pub fn attention(&self, images: Tensor<4>) -> Vec<Tensor<4>> {
        self.encoder.attention_taps(images, &self.taps)
    }

    /// [`Unetr::forward`], and the means of the tokens at the first tap and at the end.
    ///
    /// # Shapes
    /// - `images`: `[batch, channels, size, size]`
    /// - output: logits `[batch, out_channels, size, size]`, features `[batch, 2 * width]`
    pub fn forward_with_features(&self, images: Tensor<4>) -> (Tensor<4>, Tensor<2>) {
        let maps = self.encoder.forward_taps(images, &self.taps);
        let features = Tensor::cat(vec![channel_means(maps.taps[0].clone()), channel_means(maps.last.clone())], 1);
        (self.decoder.forward(maps), features)
    }
}

/// The convolutional half of a [`Unetr`].
#[derive(Module, Debug)]
pub struct UnetrDecoder {
    /// Tap 1 up three times.
    pub skip3: Vec<UpBlock>,
    /// Tap 2 up twice.
    pub skip6: Vec<UpBlock>,
    /// Tap 3 up once.
    pub skip9: Vec<UpBlock>,
    /// Last map up.
    pub up12: ConvTranspose2d,
    /// At 1/8.
    pub dec9: Vec<ConvBlock>,
    /// To 1/4.
    pub up9: ConvTranspose2d,
    /// At 1/4.
    pub dec6: Vec<ConvBlock>,
    /// To 1/2.
    pub up6: ConvTranspose2d,
    /// At 1/2.
    pub dec3: Vec<ConvBlock>,
    /// To full size.
    pub up3: ConvTranspose2d,
    /// At full size.
    pub head: Vec<ConvBlock>,
    /// To the masks.
    pub out: Conv2d,
}

impl UnetrDecoder {
    /// # Shapes
    /// - `features`: three taps and the last map, each `[batch, width, grid, grid]`
    /// - output: logits `[batch, out_channels, 16 * grid, 16 * grid]`
    pub fn forward(&self, features: VitFeatures) -> Tensor<4> {
        let VitFeatures { taps, last, .. } = features;
        let [tap3, tap6, tap9]: [Tensor<4>; 3] =
            taps.try_into().unwrap_or_else(|taps: Vec<_>| panic!("the decoder reads 3 taps, not {}", taps.len()));
        let raise = |blocks: &[UpBlock], x| blocks.iter().fold(x, |x, block| block.forward(x));
        let refine = |blocks: &[ConvBlock], x| blocks.iter().fold(x, |x, block| block.forward(x));
        let join = |up, x, skip| Tensor::cat(vec![apply_double_size(up, x), skip], 1);

        let x = refine(&self.dec9, join(&self.up12, last, raise(&self.skip9, tap9)));
        let x = refine(&self.dec6, join(&self.up9, x, raise(&self.skip6, tap6)));
        let x = refine(&self.dec3, join(&self.up6, x, raise(&self.skip3, tap3)));
        self.out.forward(refine(&self.head, apply_double_size(&self.up3, x)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameter_counts_of_the_paper_and_of_the_presets() {
        let count = |preset, out| UnetrConfig::preset(preset, out).init(&Device::flex()).num_params();
        assert_eq!(count(Preset::Base, 1), 91_572_417);
        assert_eq!(count(Preset::Base, 3), 91_572_483);
        assert_eq!(count(Preset::Tiny, 1), 2_026_865);
        assert_eq!(count(Preset::Small, 1), 6_698_657);
        let least = |preset| UnetrConfig::preset(preset, 1).least_weights();
        assert!(least(Preset::Base) < 91_572_417.0 && least(Preset::Base) > 85e6, "{}", least(Preset::Base));
        assert!(least(Preset::Tiny) < 2_026_865.0 && least(Preset::Tiny) > 1.5e6, "{}", least(Preset::Tiny));
    }

    #[test]
    fn the_output_has_the_inputs_size() {
        let config = UnetrConfig {
            encoder: VitConfig { image_size: 32, ..VitConfig::new(16, 3, 2) },
            taps: [1, 2, 3],
            feature_size: 4,
            groups: 2,
            group_norm_epsilon: 1e-5,
            out_channels: 3,
        };
        let device = Device::flex();
        let output = config.init(&device).forward(Tensor::zeros([2, 3, 32, 32], &device));
        assert_eq!(output.dims(), [2, 3, 32, 32]);
    }
}
