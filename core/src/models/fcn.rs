//! FCN: a dilated residual network with a head that marks pixels, and a second head on the way that helps it learn.
//!
//! Long, Shelhamer and Darrell, "Fully Convolutional Networks for Semantic Segmentation", CVPR 2015, arXiv:1411.4038 (Long
//! 2015), in the form and with the tensor names of mmsegmentation's FCN-D8, which Wang 2021 (section 4.1) evaluates DenseCL with.
//!
//! With `c` the channels of the last map of the residual network and `a` those of the map before:
//!
//! | layer | reads | channels | size |
//! |---|---|---|---|
//! | backbone | image | `a`, `c` | 1/8 |
//! | decode_head.convs.0, convs.1 | `c` | `c / 4` | 1/8 |
//! | decode_head.conv_cat | `c` and convs.1 | `c / 4` | 1/8 |
//! | decode_head.conv_seg, behind dropout | conv_cat | masks | 1/8, then bilinearly 1 |
//! | auxiliary_head.convs.0, conv_seg | `a` | `a / 4`, masks | as of decode_head |

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Dropout, DropoutConfig, Initializer};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::frames::Frames;
use super::resnet::{Resnet, ResnetConfig, ResnetInit, ResnetPreset};
use super::{Hook, NetworkConfig, NetworkSettings, NetworkSizes, channel_means, too_large};
use crate::blocks::conv::{ConvNorm, convolve};
use crate::blocks::interpolate::{Interpolation, resize};

/// What the names of the parameters of its residual network begin with.
pub const BACKBONE: &str = "backbone.";
/// How many times narrower a head is than the map that it reads.
const NARROWER: usize = 4;

/// Sizes of an FCN.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FcnConfig {
    /// The residual network below the heads.
    pub backbone: ResnetConfig,
    /// Masks.
    pub out_channels: usize,
    /// Share of the channels in front of the last layer of a head that training leaves out at random.
    pub dropout: f64,
    /// Weight of the loss of the second head; 0 = there is none.
    pub auxiliary_weight: f64,
    /// Whether every block of the residual network begins as nothing: see [`ResnetInit::zero_residual`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub zero_residual: bool,
}

/// The `[network]` of a recipe for an FCN.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FcnRecipe {
    /// The residual network.
    pub preset: ResnetPreset,
    /// Width of its first stage, which every further one doubles; 64 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<usize>,
    /// How many times smaller than the image its last map is: 8 unless given, or 16 or 32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_stride: Option<usize>,
    /// Share of the channels in front of the last layer that training leaves out at random; 0.1 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f64>,
    /// Weight of the loss of the second head; 0.4 unless given, 0 = there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auxiliary_weight: Option<f64>,
    /// Whether every block of the residual network begins as nothing; `false` unless given.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub zero_residual: bool,
}

impl NetworkSettings for FcnRecipe {
    fn config(&self, image_size: usize, maps: usize) -> NetworkConfig {
        let usual = FcnConfig::new(ResnetConfig::preset(self.preset, self.width), maps);
        let output_stride = self.output_stride.unwrap_or(usual.backbone.output_stride);
        NetworkConfig::Fcn(FcnConfig {
            backbone: ResnetConfig { image_size, output_stride, ..usual.backbone },
            dropout: self.dropout.unwrap_or(usual.dropout),
            auxiliary_weight: self.auxiliary_weight.unwrap_or(usual.auxiliary_weight),
            zero_residual: self.zero_residual,
            ..usual
        })
    }

    fn frames(&self) -> Frames {
        Frames::Single
    }

    fn label(&self) -> String {
        self.preset.name().into()
    }
}

impl FcnConfig {
    /// The usual network of output stride 8 above `backbone`.
    pub fn new(backbone: ResnetConfig, out_channels: usize) -> Self {
        let backbone = ResnetConfig { output_stride: 8, ..backbone };
        Self { backbone, out_channels, dropout: 0.1, auxiliary_weight: 0.4, zero_residual: false }
    }

    /// A network with initial values: those of mmsegmentation without a checkpoint. Panics on impossible sizes (see
    /// [`NetworkSizes::problem`]).
    pub fn init(&self, device: &Device) -> Fcn {
        assert!(self.problem().is_none(), "{}", self.problem().unwrap_or_default());
        let head = |stage: usize, convolutions: usize, joined: bool| {
            let input = self.backbone.outputs(stage);
            let (channels, out_channels, dropout) = (input / NARROWER, self.out_channels, self.dropout);
            HeadConfig { input, channels, convolutions, joined, out_channels, dropout }.init(device)
        };
        let init = ResnetInit { fan_in: false, zero_residual: self.zero_residual };
        Fcn {
            backbone: self.backbone.init_as(init, device),
            decode_head: head(3, 2, true),
            auxiliary_head: (self.auxiliary_weight > 0.0).then(|| head(2, 1, false)),
            auxiliary_weight: self.auxiliary_weight,
        }
    }
}

impl NetworkSizes for FcnConfig {
    fn architecture(&self) -> &'static str {
        "fcn"
    }

    fn image_size(&self) -> usize {
        self.backbone.image_size()
    }

    fn channels(&self) -> usize {
        self.backbone.channels()
    }

    fn masks(&self) -> usize {
        self.out_channels
    }

    fn normalises_batches(&self) -> bool {
        true
    }

    fn least_weights(&self) -> f64 {
        self.backbone.least_weights()
    }

    fn problem(&self) -> Option<String> {
        let problem = self.backbone.problem().or_else(|| too_large(&[("out_channels", self.out_channels)]));
        if problem.is_some() {
            return problem;
        }
        if self.out_channels == 0 {
            return Some("out_channels must be at least 1".into());
        }
        if self.backbone.outputs(2) < NARROWER {
            return Some(format!("width must be such that the third stage gives at least {NARROWER} channels"));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Some(format!("dropout must lie in 0..1, not {}", self.dropout));
        }
        (!(self.auxiliary_weight >= 0.0 && self.auxiliary_weight.is_finite()))
            .then(|| format!("auxiliary_weight must be at least 0, not {}", self.auxiliary_weight))
    }
}

/// The network.
#[derive(Module, Debug)]
pub struct Fcn {
    /// Gives the maps.
    pub backbone: Resnet,
    /// Marks pixels from the last map.
    pub decode_head: FcnHead,
    /// Marks them from the map before, while it learns.
    pub auxiliary_head: Option<FcnHead>,
    /// Weight of the loss of the second head.
    #[module(skip)]
    pub auxiliary_weight: f64,
}

impl Fcn {
    /// # Shapes
    /// - `images`: `[batch, channels, height, width]`
    /// - output: logits `[batch, out_channels, height, width]`
    pub fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        self.forward_with_hook(images, &mut |_, _| ())
    }

    /// [`Fcn::forward`], and the means of the channels of the last map.
    ///
    /// # Shapes
    /// - `images`: `[batch, channels, height, width]`
    /// - output: logits `[batch, out_channels, height, width]`, features `[batch, features of the backbone]`
    pub fn forward_with_features(&self, images: Tensor<4>) -> (Tensor<4>, Tensor<2>) {
        let size = size_of(&images);
        let [_, _, _, map] = self.backbone.forward_stages(images, &mut |_, _| ());
        (enlarged(self.decode_head.forward(map.clone()), size), channel_means(map))
    }

    /// [`Fcn::forward`], and what the second head gives with the weight of its loss.
    ///
    /// # Shapes
    /// - `images`: `[batch, channels, height, width]`
    /// - output: logits `[batch, out_channels, height, width]`, both
    pub fn forward_heads(&self, images: Tensor<4>) -> (Tensor<4>, Option<(Tensor<4>, f64)>) {
        let size = size_of(&images);
        let [_, _, before, last] = self.backbone.forward_stages(images, &mut |_, _| ());
        let logits = enlarged(self.decode_head.forward(last), size);
        let second = self.auxiliary_head.as_ref();
        (logits, second.map(|head| (enlarged(head.forward(before), size), self.auxiliary_weight)))
    }

    /// [`Fcn::forward`], which shows `hook` the activations of the residual network, under the names of its layers.
    ///
    /// # Shapes
    /// - `images`: `[batch, channels, height, width]`
    /// - output: logits `[batch, out_channels, height, width]`
    pub fn forward_with_hook(&self, images: Tensor<4>, hook: &mut Hook<'_>) -> Tensor<4> {
        let size = size_of(&images);
        let mut named = |name: &str, map: &Tensor<4>| hook(&format!("backbone.{name}"), map);
        let [_, _, _, map] = self.backbone.forward_stages(images, &mut named);
        enlarged(self.decode_head.forward(map), size)
    }
}

fn size_of(images: &Tensor<4>) -> [usize; 2] {
    let [_, _, height, width] = images.dims();
    [height, width]
}

/// Logits at the size of the images.
fn enlarged(logits: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
    resize(logits, size, Interpolation::Bilinear)
}

/// Sizes of a head.
#[derive(Clone, Copy, Debug)]
pub struct HeadConfig {
    /// Channels that it reads.
    pub input: usize,
    /// Channels of its convolutions.
    pub channels: usize,
    /// Convolutions 3x3 one behind the other.
    pub convolutions: usize,
    /// Whether one more reads the input and what the others made of it.
    pub joined: bool,
    /// Masks.
    pub out_channels: usize,
    /// Share of the channels in front of the last layer that training leaves out at random.
    pub dropout: f64,
}

impl HeadConfig {
    /// A head with initial values.
    pub fn init(&self, device: &Device) -> FcnHead {
        let Self { input, channels, .. } = *self;
        let convs = (0..self.convolutions)
            .map(|index| ConvNorm::new([if index == 0 { input } else { channels }, channels], device))
            .collect();
        let last = Conv2dConfig::new([channels, self.out_channels], [1, 1]).with_bias(false);
        let last = last.with_initializer(Initializer::Normal { mean: 0.0, std: 0.01 }).init(device);
        FcnHead {
            convs,
            conv_cat: self.joined.then(|| ConvNorm::new([input + channels, channels], device)),
            dropout: DropoutConfig::new(self.dropout).init(),
            conv_seg: Conv2d { bias: Some(Initializer::Zeros.init([self.out_channels], device)), ..last },
        }
    }
}

/// Marks pixels from a map.
#[derive(Module, Debug)]
pub struct FcnHead {
    /// One behind the other.
    pub convs: Vec<ConvNorm>,
    /// Reads the map and what the others made of it.
    pub conv_cat: Option<ConvNorm>,
    /// Of whole channels, while it learns.
    pub dropout: Dropout,
    /// To the masks.
    pub conv_seg: Conv2d,
}

impl FcnHead {
    /// # Shapes
    /// - `map`: `[batch, input, height, width]`
    /// - output: logits `[batch, out_channels, height, width]`
    pub fn forward(&self, map: Tensor<4>) -> Tensor<4> {
        let mut x = self.convs.iter().fold(map.clone(), |x, conv| conv.forward(x));
        if let Some(conv) = &self.conv_cat {
            x = conv.forward(Tensor::cat(vec![map, x], 1));
        }
        let [batch, channels, _, _] = x.dims();
        let kept = self.dropout.forward(Tensor::ones([batch, channels, 1, 1], &x.device()));
        convolve(&self.conv_seg, x * kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::read_state;
    use crate::models::parameters;
    use burn::optim::GradientsParams;
    use burn::tensor::TensorData;

    fn tiny() -> FcnConfig {
        let backbone = ResnetConfig::preset(ResnetPreset::Resnet18, Some(4));
        FcnConfig::new(ResnetConfig { image_size: 32, ..backbone }, 2)
    }

    fn waves(batch: usize, device: &Device) -> Tensor<4> {
        let pixels: Vec<f32> = (0..batch * 3 * 32 * 32).map(|i| (i as f32 * 0.37).sin()).collect();
        Tensor::from_data(TensorData::new(pixels, [batch, 3, 32, 32]), device)
    }

    #[test]
    fn parameters_of_mmsegmentations_network() {
        // Nothing is drawn: parameters come into being when they are first used.
        let network = FcnConfig::new(ResnetConfig::resnet50(), 2).init(&Device::flex());
        let heads = [Some(&network.decode_head), network.auxiliary_head.as_ref()].map(|head| parameters(head.unwrap()));
        assert_eq!(heads, [23_597_058, 2_360_322]);
        assert_eq!(parameters(&network), 49_465_412);
    }

    #[test]
    fn names_are_those_of_mmsegmentation() {
        let state = pollster::block_on(read_state(&tiny().init(&Device::flex()))).unwrap();
        for (name, shape) in [
            ("backbone.layer4.0.downsample.1.running_var", vec![32]),
            ("decode_head.convs.1.bn.running_mean", vec![8]),
            ("decode_head.conv_cat.conv.weight", vec![8, 40, 3, 3]),
            ("decode_head.conv_seg.bias", vec![2]),
            ("auxiliary_head.convs.0.conv.weight", vec![4, 16, 3, 3]),
        ] {
            assert_eq!(state[name].0, shape, "{name}");
        }
        let without = FcnConfig { auxiliary_weight: 0.0, ..tiny() };
        let state = pollster::block_on(read_state(&without.init(&Device::flex()))).unwrap();
        assert!(state.keys().all(|name| !name.starts_with("auxiliary_head")));
    }

    #[test]
    fn every_way_through_it_answers_alike_and_every_parameter_gets_a_gradient() {
        let device = Device::flex();
        let config = FcnConfig { dropout: 0.0, ..tiny() };
        let network = config.init(&device.clone().autodiff());
        let (logits, second) = network.forward_heads(waves(2, &device.clone().autodiff()));
        let (auxiliary, weight) = second.unwrap();
        assert_eq!((auxiliary.dims(), weight), (logits.dims(), 0.4));
        let gradients = (logits.square().sum() + auxiliary.square().sum() * weight).backward();
        let running = |name: &&String| name.contains("running");
        let state = pollster::block_on(read_state(&network)).unwrap();
        let expected = state.len() - state.keys().filter(running).count();
        assert_eq!(GradientsParams::from_grads(gradients, &network).len(), expected);

        let (network, read) = (network.valid(), |x: Tensor<4>| x.into_data());
        let logits = network.forward(waves(1, &device));
        assert_eq!(logits.dims(), [1, 2, 32, 32]);
        let (again, features) = network.forward_with_features(waves(1, &device));
        assert_eq!(features.dims(), [1, config.backbone.features()]);
        let (answer, _) = network.forward_heads(waves(1, &device));
        assert_eq!([read(again), read(answer)], [read(logits.clone()), read(logits)]);
    }

    #[test]
    fn dropout_leaves_out_whole_channels_and_only_while_it_learns() {
        let device = Device::flex().autodiff();
        let (input, channels, out_channels) = (2, 64, 64);
        let config = HeadConfig { input, channels, convolutions: 0, joined: false, out_channels, dropout: 0.5 };
        let mut head = config.init(&device);
        // Every mask is one of the channels.
        head.conv_seg.weight = head.conv_seg.weight.map(|_| Tensor::<2>::eye(64, &device).reshape([64, 64, 1, 1]));
        let map = Tensor::ones([1, 64, 2, 2], &device);
        let means = |logits: Tensor<4>| channel_means(logits).into_data().try_into_vec::<f32>().unwrap();
        let learning = means(head.forward(map.clone()));
        assert!(learning.iter().all(|mean| [0.0, 2.0].contains(mean)), "{learning:?}");
        assert!((16..48).contains(&learning.iter().filter(|&&mean| mean == 0.0).count()), "{learning:?}");
        assert_eq!(means(head.valid().forward(map.inner())), [1.0; 64]);
    }
}
