//! Residual networks without a classifier, in torchvision's names and layouts: the stride of a bottleneck is on its 3x3
//! convolution.
//!
//! He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv:1512.03385 (He 2016). Maps of an
//! image of size 1, `p` the planes of a stage and `e` what a block gives for each (1, of a bottleneck 4):
//!
//! | layer | channels | size | with output stride 8 |
//! |---|---|---|---|
//! | conv1 (7x7), bn1 | `p1` | 1/2 | 1/2 |
//! | greatest of 3x3, layer1 | `e p1` | 1/4 | 1/4 |
//! | layer2 | `e p2` | 1/8 | 1/8 |
//! | layer3 | `e p3` | 1/16 | 1/8, dilated by 2 |
//! | layer4 | `e p4` | 1/32 | 1/8, dilated by 4 |
//!
//! The first block of a dilated stage is dilated half as much: it still sees the map of the stage before ("contract
//! dilation" of mmsegmentation, `replace_stride_with_dilation` of torchvision).

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::MaxPool2dConfig;
use burn::nn::{Initializer, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::frames::Frames;
use super::{Hook, NetworkConfig, NetworkSettings, NetworkSizes, too_large};
use crate::blocks::batch_norm::BatchNorm;
use crate::blocks::conv::convolve;
use crate::optim::rules::{Rule, Rules};

/// Kind of residual block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResnetBlock {
    /// Two 3x3 convolutions (ResNet-18, -34).
    Basic,
    /// 1x1, 3x3, 1x1, four times wider at the end (ResNet-50 and deeper).
    Bottleneck,
}

impl ResnetBlock {
    /// Channels that a block gives for each plane.
    pub fn expansion(self) -> usize {
        match self {
            Self::Basic => 1,
            Self::Bottleneck => 4,
        }
    }
}

/// Sizes of a residual network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResnetConfig {
    /// Height and width of the images that it is for; the network itself takes any.
    pub image_size: usize,
    /// Channels of an image.
    pub channels: usize,
    /// Kind of its blocks.
    pub block: ResnetBlock,
    /// Blocks of each stage.
    pub layers: [usize; 4],
    /// Width of each stage; the first convolution has that of the first one.
    pub planes: [usize; 4],
    /// How many times smaller than the image the last map is: 32, or 16 or 8 with the last one or two stages dilated.
    pub output_stride: usize,
}

/// A size by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResnetPreset {
    /// 2, 2, 2 and 2 basic blocks.
    Resnet18,
    /// 3, 4, 6 and 3 bottlenecks.
    Resnet50,
}

impl ResnetPreset {
    /// Its name in recipes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Resnet18 => "resnet18",
            Self::Resnet50 => "resnet50",
        }
    }
}

/// The `[network]` of a recipe that pre-trains a residual network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResnetRecipe {
    /// Which one.
    pub preset: ResnetPreset,
    /// Width of the first stage, which every further one doubles; 64 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<usize>,
}

impl ResnetRecipe {
    /// The sizes, for images of `image_size` pixels.
    pub fn sizes(&self, image_size: usize) -> ResnetConfig {
        ResnetConfig { image_size, ..ResnetConfig::preset(self.preset, self.width) }
    }
}

impl NetworkSettings for ResnetRecipe {
    fn config(&self, image_size: usize, _: usize) -> NetworkConfig {
        NetworkConfig::Resnet(self.sizes(image_size))
    }

    fn frames(&self) -> Frames {
        Frames::Single
    }

    fn label(&self) -> String {
        self.preset.name().into()
    }
}

/// Initial values of the convolutions: He's normal distribution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResnetInit {
    /// Whether the variance is 2 / fan-in, as mmcv has it for DenseCL; else it is 2 / fan-out, as in torchvision.
    pub fan_in: bool,
    /// Whether the last normalisation of every block begins with the factor 0, so that blocks begin as nothing.
    pub zero_residual: bool,
}

impl ResnetConfig {
    /// ResNet-18 for images of 224 pixels.
    pub fn resnet18() -> Self {
        Self::preset(ResnetPreset::Resnet18, None)
    }

    /// ResNet-50 for images of 224 pixels.
    pub fn resnet50() -> Self {
        Self::preset(ResnetPreset::Resnet50, None)
    }

    /// A network by name, whose first stage has the given width instead of 64.
    pub fn preset(preset: ResnetPreset, width: Option<usize>) -> Self {
        let (block, layers) = match preset {
            ResnetPreset::Resnet18 => (ResnetBlock::Basic, [2; 4]),
            ResnetPreset::Resnet50 => (ResnetBlock::Bottleneck, [3, 4, 6, 3]),
        };
        let planes = [1, 2, 4, 8].map(|times| width.unwrap_or(64).saturating_mul(times));
        Self { image_size: 224, channels: 3, block, layers, planes, output_stride: 32 }
    }

    /// Channels of the map of a stage, counted from 0.
    pub fn outputs(&self, stage: usize) -> usize {
        self.planes[stage].saturating_mul(self.block.expansion())
    }

    /// Channels of the last map.
    pub fn features(&self) -> usize {
        self.outputs(3)
    }

    /// Stride and dilation of a stage, counted from 0.
    fn stride_and_dilation(&self, stage: usize) -> [usize; 2] {
        // The stages would make the map 4, 8, 16 and 32 times smaller.
        let without = 4 << stage;
        match stage {
            0 => [1, 1],
            _ if without <= self.output_stride => [2, 1],
            _ => [1, without / self.output_stride],
        }
    }

    /// A network with initial values as torchvision has them. Panics on impossible sizes (see [`NetworkSizes::problem`]).
    pub fn init(&self, device: &Device) -> Resnet {
        self.init_as(ResnetInit::default(), device)
    }

    /// A network with other initial values. Panics on impossible sizes (see [`NetworkSizes::problem`]).
    pub fn init_as(&self, init: ResnetInit, device: &Device) -> Resnet {
        assert!(self.problem().is_none(), "{}", self.problem().unwrap_or_default());
        let [layer1, layer2, layer3, layer4] = [0, 1, 2, 3].map(|stage: usize| {
            let [stride, dilation] = self.stride_and_dilation(stage);
            let input = if stage == 0 { self.planes[0] } else { self.outputs(stage - 1) };
            let (block, planes, blocks) = (self.block, self.planes[stage], self.layers[stage]);
            StageConfig { block, input, planes, blocks, stride, dilation }.init(init, device)
        });
        Resnet {
            conv1: convolution([self.channels, self.planes[0]], 7, [2, 1], init, device),
            bn1: BatchNorm::new(self.planes[0], device),
            layer1,
            layer2,
            layer3,
            layer4,
        }
    }

    /// The rules of a network whose residual network has names that begin with `prefix`: its stages are the layers below
    /// whatever stands behind it, and only matrices decay.
    pub fn rules(prefix: &str) -> Rules {
        let prefix = prefix.to_owned();
        Box::new(move |name, axes| {
            let layers_above = name.strip_prefix(&prefix).map_or(0, |inner| {
                let stage = inner.strip_prefix("layer").and_then(|rest| rest.split('.').next()?.parse().ok());
                stage.map_or(5, |stage: usize| 5_usize.saturating_sub(stage))
            });
            Rule { layers_above, ..Rule::plain(axes) }
        })
    }
}

impl NetworkSizes for ResnetConfig {
    fn architecture(&self) -> &'static str {
        "resnet"
    }

    fn image_size(&self) -> usize {
        self.image_size
    }

    fn channels(&self) -> usize {
        self.channels
    }

    fn masks(&self) -> usize {
        0
    }

    fn normalises_batches(&self) -> bool {
        true
    }

    /// Those of the 3x3 convolutions of the last stage but the first one's, which reads fewer channels.
    fn least_weights(&self) -> f64 {
        let planes = self.planes[3] as f64;
        9.0 * planes * planes * self.layers[3] as f64
    }

    fn problem(&self) -> Option<String> {
        let Self { image_size, channels, layers, planes, output_stride, .. } = self;
        let sizes = [("image_size", *image_size), ("channels", *channels)].into_iter();
        let stages = layers.iter().map(|&blocks| ("layers", blocks)).chain(planes.iter().map(|&p| ("width", p)));
        let sizes: Vec<(&str, usize)> = sizes.chain(stages).collect();
        if let Some(problem) = too_large(&sizes) {
            return Some(problem);
        }
        if let Some((name, _)) = sizes.iter().find(|(_, size)| *size == 0) {
            return Some(format!("{name} must be at least 1"));
        }
        if ![8, 16, 32].contains(output_stride) {
            return Some(format!("output_stride is 8, 16 or 32, not {output_stride}"));
        }
        // Statistics of a single image need more than one place on the last map.
        (image_size <= output_stride)
            .then(|| format!("image_size must be larger than the output stride of {output_stride}, not {image_size}"))
    }
}

/// Sizes of a stage: blocks one behind the other, of which the first one may change the size of maps.
#[derive(Clone, Copy, Debug)]
pub struct StageConfig {
    /// Kind of its blocks.
    pub block: ResnetBlock,
    /// Channels that it reads.
    pub input: usize,
    /// Width of its blocks.
    pub planes: usize,
    /// How many there are.
    pub blocks: usize,
    /// By which the first one makes maps smaller.
    pub stride: usize,
    /// Distance of what a 3x3 convolution reads, in places of the map; half of it in the first block.
    pub dilation: usize,
}

impl StageConfig {
    /// A stage with initial values.
    pub fn init(&self, init: ResnetInit, device: &Device) -> Vec<Block> {
        let output = self.planes * self.block.expansion();
        (0..self.blocks)
            .map(|index| {
                let first = index == 0;
                let input = if first { self.input } else { output };
                let stride = if first { self.stride } else { 1 };
                let dilation = if first { self.dilation.div_ceil(2) } else { self.dilation };
                Block::new(self.block, [input, self.planes], [stride, dilation], init, device)
            })
            .collect()
    }
}

/// Convolutions with batch normalisation; what they give is added to what they read, then ReLU.
#[derive(Module, Debug)]
pub struct Block {
    /// 3x3 with the stride, or 1x1.
    pub conv1: Conv2d,
    /// Behind it.
    pub bn1: BatchNorm,
    /// 3x3, in a bottleneck with the stride.
    pub conv2: Conv2d,
    /// Behind it.
    pub bn2: BatchNorm,
    /// 1x1, of a bottleneck.
    pub conv3: Option<Conv2d>,
    /// Behind it.
    pub bn3: Option<BatchNorm>,
    /// 1x1 with its normalisation, where sizes or channels change.
    pub downsample: Option<(Conv2d, BatchNorm)>,
}

impl Block {
    fn new(
        block: ResnetBlock,
        [input, planes]: [usize; 2],
        [stride, dilation]: [usize; 2],
        init: ResnetInit,
        device: &Device,
    ) -> Self {
        let output = planes * block.expansion();
        let conv = |channels, kernel, steps| convolution(channels, kernel, steps, init, device);
        let norm = |channels| BatchNorm::new(channels, device);
        let last = |channels| {
            let weight = Initializer::Zeros.init([channels], device);
            if init.zero_residual { BatchNorm { weight, ..norm(channels) } } else { norm(channels) }
        };
        let downsample =
            (stride != 1 || input != output).then(|| (conv([input, output], 1, [stride, 1]), norm(output)));
        match block {
            // The second convolution is not dilated, as in mmsegmentation.
            ResnetBlock::Basic => Self {
                conv1: conv([input, planes], 3, [stride, dilation]),
                bn1: norm(planes),
                conv2: conv([planes, planes], 3, [1, 1]),
                bn2: last(planes),
                conv3: None,
                bn3: None,
                downsample,
            },
            ResnetBlock::Bottleneck => Self {
                conv1: conv([input, planes], 1, [1, 1]),
                bn1: norm(planes),
                conv2: conv([planes, planes], 3, [stride, dilation]),
                bn2: norm(planes),
                conv3: Some(conv([planes, output], 1, [1, 1])),
                bn3: Some(last(output)),
                downsample,
            },
        }
    }

    /// # Shapes
    /// - `x`: `[batch, input, height, width]`
    /// - output: `[batch, output, height / stride, width / stride]`, rounded up
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.forward_in_groups(x, 1)
    }

    fn forward_in_groups(&self, x: Tensor<4>, groups: usize) -> Tensor<4> {
        let layer = |conv: &Conv2d, norm: &BatchNorm, x| norm.forward_in_groups(convolve(conv, x), groups);
        let mut y = layer(&self.conv2, &self.bn2, relu(layer(&self.conv1, &self.bn1, x.clone())));
        if let (Some(conv), Some(norm)) = (&self.conv3, &self.bn3) {
            y = layer(conv, norm, relu(y));
        }
        let x = match &self.downsample {
            Some((conv, norm)) => layer(conv, norm, x),
            None => x,
        };
        relu(y + x)
    }
}

/// A convolution without bias that keeps the size but for its stride.
fn convolution(
    channels: [usize; 2],
    kernel: usize,
    [stride, dilation]: [usize; 2],
    init: ResnetInit,
    device: &Device,
) -> Conv2d {
    let padding = kernel / 2 * dilation;
    let he = Initializer::KaimingNormal { gain: std::f64::consts::SQRT_2, fan_out_only: !init.fan_in };
    Conv2dConfig::new(channels, [kernel, kernel])
        .with_stride([stride, stride])
        .with_dilation([dilation, dilation])
        .with_padding(PaddingConfig2d::Explicit(padding, padding, padding, padding))
        .with_bias(false)
        .with_initializer(he)
        .init(device)
}

/// The network.
#[derive(Module, Debug)]
pub struct Resnet {
    /// 7x7 with stride 2.
    pub conv1: Conv2d,
    /// Behind it.
    pub bn1: BatchNorm,
    /// 1/4 of the size.
    pub layer1: Vec<Block>,
    /// 1/8.
    pub layer2: Vec<Block>,
    /// 1/16, unless dilated.
    pub layer3: Vec<Block>,
    /// 1/32, unless dilated.
    pub layer4: Vec<Block>,
}

impl Resnet {
    /// The last map.
    ///
    /// # Shapes
    /// - `images`: `[batch, channels, height, width]`
    /// - output: `[batch, features, height / stride, width / stride]`, the output stride, rounded up
    pub fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        self.forward_in_groups(images, 1)
    }

    /// [`Resnet::forward`] with the statistics of `groups` parts of the batch: see [`BatchNorm::forward_in_groups`].
    ///
    /// # Shapes
    /// - `images`: `[batch, channels, height, width]`
    /// - output: as of [`Resnet::forward`]
    pub fn forward_in_groups(&self, images: Tensor<4>, groups: usize) -> Tensor<4> {
        let [_, _, _, last] = self.stages(images, groups, &mut |_, _| ());
        last
    }

    /// The maps of all stages. `hook` is shown the activations of every block, and of the first convolution, under its name.
    ///
    /// # Shapes
    /// - `images`: `[batch, channels, height, width]`
    /// - output: four of `[batch, channels of the stage, height / stride, width / stride]`, rounded up
    pub fn forward_stages(&self, images: Tensor<4>, hook: &mut Hook<'_>) -> [Tensor<4>; 4] {
        self.stages(images, 1, hook)
    }

    fn stages(&self, images: Tensor<4>, groups: usize, hook: &mut Hook<'_>) -> [Tensor<4>; 4] {
        let x = relu(self.bn1.forward_in_groups(convolve(&self.conv1, images), groups));
        hook("conv1", &x);
        let pool = MaxPool2dConfig::new([3, 3]).with_strides([2, 2]);
        let mut x = pool.with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1)).init().forward(x);
        let stages = [&self.layer1, &self.layer2, &self.layer3, &self.layer4];
        let mut number = 0;
        stages.map(|blocks| {
            number += 1;
            for (index, block) in blocks.iter().enumerate() {
                x = block.forward_in_groups(x.clone(), groups);
                hook(&format!("layer{number}.{index}"), &x);
            }
            x.clone()
        })
    }
}

#[cfg(test)]
mod tests;
