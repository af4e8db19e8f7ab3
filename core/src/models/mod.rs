//! Networks: one paper, one file; nothing about training. Here: the choice between them.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

pub mod contrast;
pub mod fcn;
pub mod frames;
pub mod layer_set;
pub mod mae;
pub mod resnet;
pub mod unet;
pub mod unetr;
pub mod vit;

use fcn::{Fcn, FcnConfig};
use frames::Frames;
use mae::MaeConfig;
use resnet::ResnetConfig;
use unet::{Unet, UnetConfig};
use unetr::{Unetr, UnetrConfig};
use vit::VitConfig;

use crate::checkpoint::StateNames;

/// Largest number that a size of a network may be: beyond every network there is, and products of a few stay exact.
const MOST: usize = 1 << 16;

/// The first of the named sizes that is larger than [`MOST`], as a sentence.
fn too_large(sizes: &[(&str, usize)]) -> Option<String> {
    let (name, size) = sizes.iter().find(|(_, size)| *size > MOST)?;
    Some(format!("{name} {size} is larger than {MOST}, the most that a network may have"))
}

/// What the `[network]` of a recipe says of any network.
pub trait NetworkSettings {
    /// The sizes of the network, for images of `image_size` pixels, with so many maps.
    fn config(&self, image_size: usize, maps: usize) -> NetworkConfig;

    /// Frames in, masks out.
    fn frames(&self) -> Frames;

    /// The size for people: a named one, or the width.
    fn label(&self) -> String;
}

/// What the sizes of any network tell.
pub trait NetworkSizes {
    /// The kind of network, as files name it.
    fn architecture(&self) -> &'static str;

    /// Height and width of its images.
    fn image_size(&self) -> usize;

    /// Channels of its images.
    fn channels(&self) -> usize;

    /// Maps that it gives, one a mask or one a class; 0 for a network that marks no pixels.
    fn masks(&self) -> usize;

    /// Its vision transformer, which can take over the weights of another one.
    fn encoder(&self) -> Option<&VitConfig> {
        None
    }

    /// Whether it normalises the images of a batch together, so that a batch in parts gives other gradients.
    fn normalises_batches(&self) -> bool {
        false
    }

    /// Fewer weights than the network has, though not many fewer. A file that holds less cannot be of this network, and
    /// reading it should not take the network's memory.
    fn least_weights(&self) -> f64;

    /// What makes these sizes impossible, if anything.
    fn problem(&self) -> Option<String>;
}

/// Sees the activations of layers, under their names.
pub type Hook<'a> = dyn FnMut(&str, &Tensor<4>) + 'a;

/// Numbers of a network that may learn: all but running statistics.
pub fn parameters<M: Module>(network: &M) -> usize {
    struct Count(StateNames, usize);
    impl ModuleVisitor for Count {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.0.enter(name, container);
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.0.exit();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let name = self.0.name();
            if !(name.ends_with("running_mean") || name.ends_with("running_var")) {
                // Nothing is drawn by it.
                self.1 += param.lazy_shape().num_elements();
            }
        }
    }
    let mut count = Count(StateNames::default(), 0);
    network.visit(&mut count);
    count.1
}

/// Sizes of a network. In files, `architecture` tells which one it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "architecture", rename_all = "snake_case")]
pub enum NetworkConfig {
    /// UNETR.
    Unetr(UnetrConfig),
    /// U-Net.
    Unet(UnetConfig),
    /// FCN.
    Fcn(FcnConfig),
    /// Masked auto-encoder, which marks no pixels.
    Mae(MaeConfig),
    /// Residual network, which marks none either.
    Resnet(ResnetConfig),
}

impl NetworkConfig {
    /// What they tell, whichever network it is.
    pub fn sizes(&self) -> &dyn NetworkSizes {
        match self {
            Self::Unetr(config) => config,
            Self::Unet(config) => config,
            Self::Fcn(config) => config,
            Self::Mae(config) => config,
            Self::Resnet(config) => config,
        }
    }

    /// Features of [`Network::forward_with_features`].
    pub fn features(&self) -> usize {
        match self {
            Self::Unetr(config) => 2 * config.encoder.width,
            Self::Unet(config) => 30 * config.base,
            Self::Fcn(config) => config.backbone.features(),
            Self::Mae(_) | Self::Resnet(_) => 0,
        }
    }

    /// The residual network that it is or has inside, and what the names of its parameters begin with.
    pub fn backbone(&self) -> Option<(&ResnetConfig, &'static str)> {
        match self {
            Self::Resnet(config) => Some((config, "")),
            Self::Fcn(config) => Some((&config.backbone, fcn::BACKBONE)),
            Self::Unetr(_) | Self::Unet(_) | Self::Mae(_) => None,
        }
    }

    /// A network with initial values. Panics on impossible sizes (see [`NetworkSizes::problem`]), and where the network
    /// marks no pixels.
    pub fn init(&self, device: &Device) -> Network {
        match self {
            Self::Unetr(config) => Network::Unetr(config.init(device)),
            Self::Unet(config) => Network::Unet(config.init(device)),
            Self::Fcn(config) => Network::Fcn(config.init(device)),
            Self::Mae(_) | Self::Resnet(_) => panic!("the network `{}` marks no pixels", self.sizes().architecture()),
        }
    }
}

/// A network that marks pixels. Its parameters have the names that the chosen network gives them.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one of them in a program, and it is never moved in a loop")]
pub enum Network {
    /// UNETR.
    Unetr(Unetr),
    /// U-Net.
    Unet(Unet),
    /// FCN.
    Fcn(Fcn),
}

impl Network {
    /// # Shapes
    /// - `images`: `[batch, channels, height, width]`
    /// - output: logits `[batch, masks, height, width]`
    pub fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Unetr(network) => network.forward(images),
            Self::Unet(network) => network.forward(images),
            Self::Fcn(network) => network.forward(images),
        }
    }

    /// What is learned from: [`Network::forward`], and what a second head gives with the weight of its loss, where there is one.
    ///
    /// # Shapes
    /// - `images`: `[batch, channels, height, width]`
    /// - output: logits `[batch, masks, height, width]`, both
    pub fn forward_heads(&self, images: Tensor<4>) -> (Tensor<4>, Option<(Tensor<4>, f64)>) {
        match self {
            Self::Fcn(network) => network.forward_heads(images),
            _ => (self.forward(images), None),
        }
    }

    /// [`Network::forward`], which shows `hook` the activations of every layer that has filters, under its name. A UNETR shows
    /// none.
    ///
    /// # Shapes
    /// - `images`: `[batch, channels, height, width]`
    /// - output: logits `[batch, masks, height, width]`
    pub fn forward_with_hook(&self, images: Tensor<4>, hook: &mut Hook<'_>) -> Tensor<4> {
        match self {
            Self::Unetr(network) => network.forward(images),
            Self::Unet(network) => network.forward_with_hook(images, hook),
            Self::Fcn(network) => network.forward_with_hook(images, hook),
        }
    }

    /// [`Network::forward`], and what tells how like a picture is to others: means of the channels of maps.
    ///
    /// # Shapes
    /// - `images`: `[batch, channels, height, width]`
    /// - output: logits `[batch, masks, height, width]`, features `[batch, features]`
    pub fn forward_with_features(&self, images: Tensor<4>) -> (Tensor<4>, Tensor<2>) {
        match self {
            Self::Unetr(network) => network.forward_with_features(images),
            Self::Unet(network) => network.forward_with_features(images),
            Self::Fcn(network) => network.forward_with_features(images),
        }
    }
}

/// The mean of every channel.
///
/// # Shapes
/// - `maps`: `[batch, channels, height, width]`
/// - output: `[batch, channels]`
fn channel_means(maps: Tensor<4>) -> Tensor<2> {
    let [batch, channels, height, width] = maps.dims();
    maps.reshape([batch, channels, height * width]).mean_dim(2).reshape([batch, channels])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{read_state, write_state};
    use resnet::ResnetPreset;
    use unetr::Preset;

    #[test]
    fn a_chosen_network_has_its_own_names_and_takes_its_own_weights() {
        let config = UnetConfig { image_size: 16, base: 2, ..UnetConfig::default() };
        let device = Device::flex();
        let own = pollster::block_on(read_state(&config.init(&device))).unwrap();
        let chosen = NetworkConfig::Unet(config);
        let network = write_state("unet", own.clone(), chosen.init(&device)).unwrap();
        assert_eq!(pollster::block_on(read_state(&network)).unwrap(), own);
    }

    #[test]
    fn features_are_as_many_as_the_sizes_say_and_the_answer_is_the_same() {
        let device = Device::flex();
        let unet = UnetConfig { image_size: 32, base: 2, ..UnetConfig::default() };
        let unetr = UnetrConfig::preset(Preset::Tiny, 1);
        let backbone = ResnetConfig::preset(ResnetPreset::Resnet18, Some(4));
        let fcn = FcnConfig::new(ResnetConfig { image_size: 32, ..backbone }, 1);
        for config in [NetworkConfig::Unet(unet), NetworkConfig::Unetr(unetr), NetworkConfig::Fcn(fcn)] {
            let (network, size) = (config.init(&device), config.sizes().image_size());
            let images = Tensor::random([2, 1, size, size], burn::tensor::Distribution::Default, &device);
            let channels = config.sizes().channels();
            let images = images.repeat_dim(1, channels);
            let (logits, features) = network.forward_with_features(images.clone());
            assert_eq!(features.dims(), [2, config.features()]);
            assert_eq!(logits.into_data(), network.forward(images).into_data());
        }
    }

    #[test]
    fn files_name_the_network_as_its_sizes_do() {
        for config in [
            NetworkConfig::Unetr(UnetrConfig::preset(Preset::Tiny, 3)),
            NetworkConfig::Unet(UnetConfig::default()),
            NetworkConfig::Mae(MaeConfig::base()),
            NetworkConfig::Resnet(ResnetConfig::resnet50()),
            NetworkConfig::Fcn(FcnConfig::new(ResnetConfig::resnet18(), 2)),
        ] {
            let json = serde_json::to_value(&config).unwrap();
            assert_eq!(json["architecture"], config.sizes().architecture());
            assert_eq!(serde_json::from_value::<NetworkConfig>(json).unwrap(), config);
        }
    }
}
