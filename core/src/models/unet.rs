//! U-Net: five contracting blocks, four expanding ones; without normalisation unless asked for.
//!
//! Amiri, Brooks and Rivaz, "Fine tuning U-Net for ultrasound image segmentation: which layers?", 2019,
//! arXiv:2002.08438 (Amiri 2019), section 2.2: the U-Net of Ronneberger 2015 with upsampling in place of the
//! up-convolutions. What the paper leaves open is as in the Keras code of the time: maps keep their size, and initial
//! weights are drawn from He's normal distribution.
//!
//! Every block is two convolutions 3x3 with ReLU. Downwards between blocks the greatest of 2x2 pixels, upwards every
//! pixel four times, then the map of the contracting side behind it, channel by channel.
//!
//! | block | reads | channels | size |
//! |---|---|---|---|
//! | enc1 | image | `b` | 1 |
//! | enc2, enc3, enc4 | the block above | `2b`, `4b`, `8b` | 1/2, 1/4, 1/8 |
//! | enc5, then dropout | enc4 | `16b` | 1/16 |
//! | dec6, dec7, dec8 | the block below and enc4, enc3, enc2 | `8b`, `4b`, `2b` | 1/8, 1/4, 1/2 |
//! | dec9, out | dec8 and enc1 | `b`, then the masks | 1 |
//!
//! Two settings that the paper does not have make it learn faster. `norm`: group normalisation and GELU behind every
//! convolution instead of ReLU alone (Wu and He, "Group Normalization", 2018, arXiv:1803.08494). `pixel_shuffle`: every 2x2
//! pixels are four channels of one position, and one position marks 2x2 pixels (Shi et al., "Real-Time Single Image and Video
//! Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network", 2016, arXiv:1609.05158): sizes in the table
//! are then halved once more.

use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::MaxPool2dConfig;
use burn::nn::{Dropout, DropoutConfig, GroupNorm, GroupNormConfig, Initializer, PaddingConfig2d};
use burn::tensor::{Device, Tensor, activation};
use serde::{Deserialize, Serialize};

use super::frames::Frames;
use super::{Hook, NetworkConfig, NetworkSettings, NetworkSizes, channel_means, too_large};
use crate::blocks::up::upsample_nearest;
use crate::kernels::{conv3x3, group_norm_gelu, interleave};

/// Groups of a group normalisation.
const GROUPS: usize = 8;

/// Sizes of a U-Net.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UnetConfig {
    /// Height and width of the images that it is for; the network itself takes any multiple of [`UnetConfig::size_step`].
    pub image_size: usize,
    /// Channels of an image.
    pub in_channels: usize,
    /// Channels at full size, `b` above.
    pub base: usize,
    /// Masks, or maps of classes.
    pub out_channels: usize,
    /// Share of the bottleneck's numbers that training leaves out at random; the paper does not say how many.
    pub dropout: f64,
    /// How maps get larger.
    pub variant: UnetVariant,
    /// What follows a convolution 3x3.
    #[serde(skip_serializing_if = "is_default")]
    pub norm: UnetNorm,
    /// Whether a position of the largest maps stands for 2x2 pixels.
    #[serde(skip_serializing_if = "is_default")]
    pub pixel_shuffle: bool,
}

/// Left out of files, so that those of a network without the setting are the ones of before.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What follows a convolution 3x3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnetNorm {
    /// ReLU, as in the paper.
    #[default]
    None,
    /// Normalisation over 8 groups of channels, then GELU.
    Group,
}

/// What follows the doubling of a map's size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnetVariant {
    /// Nothing: the paper's blocks have two convolutions each.
    #[default]
    Plain,
    /// A convolution 2x2 with ReLU to half the channels, as the public Keras code of the time has it.
    UpConv2x2,
}

impl Default for UnetConfig {
    /// The paper's sizes.
    fn default() -> Self {
        Self {
            image_size: 256,
            in_channels: 1,
            base: 64,
            out_channels: 1,
            dropout: 0.5,
            variant: UnetVariant::Plain,
            norm: UnetNorm::None,
            pixel_shuffle: false,
        }
    }
}

/// The `[network]` of a recipe for a U-Net.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UnetRecipe {
    /// Frames in, masks out.
    pub frames: Frames,
    /// Channels at full size; 64 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<usize>,
    /// How maps get larger; `plain` unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up: Option<UnetVariant>,
    /// Share of the bottleneck that training leaves out at random; 0.5 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f64>,
    /// What follows a convolution; `none` unless given.
    #[serde(skip_serializing_if = "is_default")]
    pub norm: UnetNorm,
    /// Whether a position of the largest maps stands for 2x2 pixels; `false` unless given.
    #[serde(skip_serializing_if = "is_default")]
    pub pixel_shuffle: bool,
}

impl NetworkSettings for UnetRecipe {
    fn config(&self, image_size: usize, maps: usize) -> NetworkConfig {
        let paper = UnetConfig::default();
        NetworkConfig::Unet(UnetConfig {
            image_size,
            in_channels: self.frames.window(),
            base: self.width.unwrap_or(paper.base),
            out_channels: maps,
            dropout: self.dropout.unwrap_or(paper.dropout),
            variant: self.up.unwrap_or(paper.variant),
            norm: self.norm,
            pixel_shuffle: self.pixel_shuffle,
        })
    }

    fn frames(&self) -> Frames {
        self.frames
    }

    fn label(&self) -> String {
        self.width.unwrap_or(UnetConfig::default().base).to_string()
    }
}

impl UnetConfig {
    /// A network with initial values. Panics on impossible sizes (see [`NetworkSizes::problem`]).
    pub fn init(&self, device: &Device) -> Unet {
        assert!(self.problem().is_none(), "{}", self.problem().unwrap_or_default());
        let (b, pixels) = (self.base, self.pixels_of_a_position());
        let down = |input, output| UnetBlock::new(None, [input, output], self.norm, device);
        let up = |input, output| match self.variant {
            UnetVariant::Plain => UnetBlock::new(None, [input + output, output], self.norm, device),
            UnetVariant::UpConv2x2 => UnetBlock::new(Some([input, output]), [2 * output, output], self.norm, device),
        };
        Unet {
            enc1: down(pixels * self.in_channels, b),
            enc2: down(b, 2 * b),
            enc3: down(2 * b, 4 * b),
            enc4: down(4 * b, 8 * b),
            enc5: down(8 * b, 16 * b),
            dropout: DropoutConfig::new(self.dropout).init(),
            dec6: up(16 * b, 8 * b),
            dec7: up(8 * b, 4 * b),
            dec8: up(4 * b, 2 * b),
            dec9: up(2 * b, b),
            out: convolution([b, pixels * self.out_channels], 1, PaddingConfig2d::Valid, device),
            pixel_shuffle: self.pixel_shuffle,
        }
    }

    /// Height and width of images must be a multiple of this: maps are halved four times.
    pub fn size_step(&self) -> usize {
        size_step(self.pixel_shuffle)
    }

    fn pixels_of_a_position(&self) -> usize {
        if self.pixel_shuffle { 4 } else { 1 }
    }
}

fn size_step(pixel_shuffle: bool) -> usize {
    if pixel_shuffle { 32 } else { 16 }
}

impl NetworkSizes for UnetConfig {
    fn architecture(&self) -> &'static str {
        "unet"
    }

    fn image_size(&self) -> usize {
        self.image_size
    }

    fn channels(&self) -> usize {
        self.in_channels
    }

    fn masks(&self) -> usize {
        self.out_channels
    }

    fn problem(&self) -> Option<String> {
        let sizes = [("image_size", self.image_size), ("in_channels", self.in_channels), ("base", self.base)];
        if let Some(problem) = too_large(&sizes).or_else(|| too_large(&[("out_channels", self.out_channels)])) {
            return Some(problem);
        }
        let step = self.size_step();
        if self.image_size == 0 || !self.image_size.is_multiple_of(step) {
            return Some(format!("image_size must be a multiple of {step}, not {}", self.image_size));
        }
        for (name, value) in
            [("in_channels", self.in_channels), ("base", self.base), ("out_channels", self.out_channels)]
        {
            if value == 0 {
                return Some(format!("{name} must be at least 1"));
            }
        }
        if self.norm == UnetNorm::Group && !self.base.is_multiple_of(GROUPS) {
            return Some(format!(
                "base must be a multiple of {GROUPS} with normalisation in groups, not {}",
                self.base
            ));
        }
        (!(0.0..1.0).contains(&self.dropout)).then(|| format!("dropout must lie in 0..1, not {}", self.dropout))
    }

    /// Those of the 3x3 convolutions of enc4 to dec6 that every variant has, and of
    /// the output.
    fn least_weights(&self) -> f64 {
        let [b, masks] = [self.base, self.out_channels].map(|size| size as f64);
        let enc4 = 9.0 * (4.0 * 8.0 + 8.0 * 8.0) * b * b;
        let enc5 = 9.0 * (8.0 * 16.0 + 16.0 * 16.0) * b * b;
        let dec6 = 9.0 * (16.0 * 8.0 + 8.0 * 8.0) * b * b;
        enc4 + enc5 + dec6 + b * masks
    }
}

/// The paper's network; its blocks B1 to B9 carry their numbers.
#[derive(Module, Debug)]
pub struct Unet {
    /// B1, full size.
    pub enc1: UnetBlock,
    /// B2.
    pub enc2: UnetBlock,
    /// B3.
    pub enc3: UnetBlock,
    /// B4.
    pub enc4: UnetBlock,
    /// B5, the bottleneck.
    pub enc5: UnetBlock,
    /// On the bottleneck, while learning only.
    pub dropout: Dropout,
    /// B6.
    pub dec6: UnetBlock,
    /// B7.
    pub dec7: UnetBlock,
    /// B8.
    pub dec8: UnetBlock,
    /// B9, full size.
    pub dec9: UnetBlock,
    /// To the masks; part of B9.
    pub out: Conv2d,
    /// See [`UnetConfig::pixel_shuffle`].
    #[module(skip)]
    pub pixel_shuffle: bool,
}

impl Unet {
    /// # Shapes
    /// - `images`: `[batch, in_channels, height, width]`, both sizes multiples of [`UnetConfig::size_step`]
    /// - output: logits `[batch, out_channels, height, width]`
    pub fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        self.forward_with_hook(images, &mut |_, _| ())
    }

    /// [`Unet::forward`], and the means of the channels of enc2 to enc5.
    ///
    /// # Shapes
    /// - `images`: `[batch, in_channels, height, width]`, both sizes multiples of [`UnetConfig::size_step`]
    /// - output: logits `[batch, out_channels, height, width]`, features `[batch, 30 * base]`
    pub fn forward_with_features(&self, images: Tensor<4>) -> (Tensor<4>, Tensor<2>) {
        let mut means = Vec::new();
        let logits = self.forward_with_hook(images, &mut |name, maps| {
            if ["enc2.convb", "enc3.convb", "enc4.convb", "enc5.convb"].contains(&name) {
                means.push(channel_means(maps.clone()));
            }
        });
        (logits, Tensor::cat(means, 1))
    }

    /// [`Unet::forward`], which shows `hook` the activations of every layer, behind its ReLU, under the name of the layer.
    ///
    /// # Shapes
    /// - `images`: `[batch, in_channels, height, width]`, both sizes multiples of [`UnetConfig::size_step`]
    /// - output: logits `[batch, out_channels, height, width]`
    pub fn forward_with_hook(&self, images: Tensor<4>, hook: &mut Hook<'_>) -> Tensor<4> {
        let ([_, _, height, width], step) = (images.dims(), size_step(self.pixel_shuffle));
        assert!(
            height.is_multiple_of(step) && width.is_multiple_of(step),
            "the sizes of images are multiples of {step}, not {height}x{width}"
        );
        let x = if self.pixel_shuffle { pixel_unshuffle(images) } else { images };
        let skip1 = self.enc1.forward(x, "enc1", hook);
        let skip2 = self.enc2.forward(max_pool(skip1.clone()), "enc2", hook);
        let skip3 = self.enc3.forward(max_pool(skip2.clone()), "enc3", hook);
        let skip4 = self.enc4.forward(max_pool(skip3.clone()), "enc4", hook);
        let x = self.dropout.forward(self.enc5.forward(max_pool(skip4.clone()), "enc5", hook));
        let x = self.dec6.forward_up(x, skip4, "dec6", hook);
        let x = self.dec7.forward_up(x, skip3, "dec7", hook);
        let x = self.dec8.forward_up(x, skip2, "dec8", hook);
        let x = self.dec9.forward_up(x, skip1, "dec9", hook);
        let logits = self.out.forward(x);
        if self.pixel_shuffle { interleave(logits, None) } else { logits }
    }
}

/// Every 2x2 pixels as four channels, in PyTorch's order: what [`interleave`] takes back.
///
/// # Shapes
/// - `x`: `[batch, channels, 2 * height, 2 * width]`
/// - output: `[batch, 4 * channels, height, width]`
fn pixel_unshuffle(x: Tensor<4>) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    let pixels = x.reshape([batch, channels, height / 2, 2, width / 2, 2]).permute([0, 1, 3, 5, 2, 4]);
    pixels.reshape([batch, 4 * channels, height / 2, width / 2])
}

/// Two convolutions 3x3, each with ReLU or its normalisation and GELU, in the variant [`UnetVariant::UpConv2x2`] behind one of 2x2.
#[derive(Module, Debug)]
pub struct UnetBlock {
    /// After the doubling, in an expanding block of the variant.
    pub up: Option<Conv2d>,
    /// The first one.
    pub conva: Conv2d,
    /// Behind the first one.
    pub norma: Option<GroupNorm>,
    /// The second one.
    pub convb: Conv2d,
    /// Behind the second one.
    pub normb: Option<GroupNorm>,
}

impl UnetBlock {
    fn new(up: Option<[usize; 2]>, [input, output]: [usize; 2], norm: UnetNorm, device: &Device) -> Self {
        let three = |channels| convolution(channels, 3, PaddingConfig2d::Explicit(1, 1, 1, 1), device);
        // An even kernel cannot be centred: Keras adds the one row and column of zeros at the bottom and at the right.
        let two = |channels| convolution(channels, 2, PaddingConfig2d::Explicit(0, 0, 1, 1), device);
        let norm = || (norm == UnetNorm::Group).then(|| GroupNormConfig::new(GROUPS, output).init(device));
        Self {
            up: up.map(two),
            conva: three([input, output]),
            norma: norm(),
            convb: three([output, output]),
            normb: norm(),
        }
    }

    fn forward(&self, x: Tensor<4>, name: &str, hook: &mut Hook<'_>) -> Tensor<4> {
        let layer = |conv, norm: &Option<GroupNorm>, x| match norm {
            Some(norm) => group_norm_gelu(norm, conv3x3(conv, x)),
            None => activation::relu(conv3x3(conv, x)),
        };
        let x = layer(&self.conva, &self.norma, x);
        hook(&format!("{name}.conva"), &x);
        let x = layer(&self.convb, &self.normb, x);
        hook(&format!("{name}.convb"), &x);
        x
    }

    /// # Shapes
    /// - `x`: `[batch, deeper, height, width]`
    /// - `skip`: `[batch, output, 2 * height, 2 * width]`
    /// - output: `[batch, output, 2 * height, 2 * width]`
    fn forward_up(&self, x: Tensor<4>, skip: Tensor<4>, name: &str, hook: &mut Hook<'_>) -> Tensor<4> {
        let x = upsample_nearest(x);
        let x = match &self.up {
            Some(up) => activation::relu(up.forward(x)),
            None => x,
        };
        self.forward(Tensor::cat(vec![x, skip], 1), name, hook)
    }
}

/// A convolution with He's normal distribution for the weights and zeros for the biases.
fn convolution(channels: [usize; 2], kernel: usize, padding: PaddingConfig2d, device: &Device) -> Conv2d {
    let he = Initializer::KaimingNormal { gain: std::f64::consts::SQRT_2, fan_out_only: false };
    let layer = Conv2dConfig::new(channels, [kernel, kernel]).with_padding(padding).with_initializer(he);
    let zeros: Param<Tensor<1>> = Initializer::Zeros.init([channels[1]], device);
    Conv2d { bias: Some(zeros), ..layer.with_bias(false).init(device) }
}

/// Max pooling: the greatest of every 2x2 pixels.
fn max_pool(x: Tensor<4>) -> Tensor<4> {
    MaxPool2dConfig::new([2, 2]).init().forward(x)
}

#[cfg(test)]
pub(crate) mod tests;
