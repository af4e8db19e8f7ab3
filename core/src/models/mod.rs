//! Networks: one paper, one file; nothing about training. Here: the choice between them.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

pub mod frames;
pub mod layer_set;
pub mod mae;
pub mod unet;
pub mod unetr;
pub mod vit;

use frames::Frames;
use mae::MaeConfig;
use unet::{Unet, UnetConfig};
use unetr::{Unetr, UnetrConfig};
use vit::VitConfig;

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

    /// Fewer weights than the network has, though not many fewer. A file that holds less cannot be of this network, and
    /// reading it should not take the network's memory.
    fn least_weights(&self) -> f64;

    /// What makes these sizes impossible, if anything.
    fn problem(&self) -> Option<String>;
}

/// Sizes of a network. In files, `architecture` tells which one it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "architecture", rename_all = "snake_case")]
pub enum NetworkConfig {
    /// UNETR.
    Unetr(UnetrConfig),
    /// U-Net.
    Unet(UnetConfig),
    /// Masked auto-encoder, which marks no pixels.
    Mae(MaeConfig),
}

impl NetworkConfig {
    /// What they tell, whichever network it is.
    pub fn sizes(&self) -> &dyn NetworkSizes {
        match self {
            Self::Unetr(config) => config,
            Self::Unet(config) => config,
            Self::Mae(config) => config,
        }
    }

    /// Features of [`Network::forward_with_features`].
    pub fn features(&self) -> usize {
        match self {
            Self::Unetr(config) => 2 * config.encoder.width,
            Self::Unet(config) => 30 * config.base,
            Self::Mae(_) => 0,
        }
    }

    /// A network with initial values. Panics on impossible sizes (see [`NetworkSizes::problem`]), and where the network
    /// marks no pixels.
    pub fn init(&self, device: &Device) -> Network {
        match self {
            Self::Unetr(config) => Network::Unetr(config.init(device)),
            Self::Unet(config) => Network::Unet(config.init(device)),
            Self::Mae(config) => panic!("the network `{}` marks no pixels", config.architecture()),
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
}

impl Network {
    /// # Shapes
    /// - `images`: `[batch, channels, height, width]`
    /// - output: logits `[batch, masks, height, width]`
    pub fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Unetr(network) => network.forward(images),
            Self::Unet(network) => network.forward(images),
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
        for config in [NetworkConfig::Unet(unet), NetworkConfig::Unetr(unetr)] {
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
        ] {
            let json = serde_json::to_value(&config).unwrap();
            assert_eq!(json["architecture"], config.sizes().architecture());
            assert_eq!(serde_json::from_value::<NetworkConfig>(json).unwrap(), config);
        }
    }
}
