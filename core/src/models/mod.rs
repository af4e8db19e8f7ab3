//! Networks: one paper, one file; nothing about training. Here: the choice between those that mark pixels.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

pub mod mae;
pub mod unet;
pub mod unetr;
pub mod vit;

use unet::{Unet, UnetConfig};
use unetr::{Unetr, UnetrConfig};

/// Largest number that a size of a network may be: beyond every network there is, and products of a few stay exact.
const MOST: usize = 1 << 16;

/// The first of the named sizes that is larger than [`MOST`], as a sentence.
fn too_large(sizes: &[(&str, usize)]) -> Option<String> {
    let (name, size) = sizes.iter().find(|(_, size)| *size > MOST)?;
    Some(format!("{name} {size} is larger than {MOST}, the most that a network may have"))
}

/// Sizes of a network that marks pixels. In files the fields tell which one it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum NetworkConfig {
    /// UNETR.
    Unetr(UnetrConfig),
    /// U-Net.
    Unet(UnetConfig),
}

impl NetworkConfig {
    /// The kind of network, as model files name it.
    pub fn architecture(&self) -> &'static str {
        match self {
            Self::Unetr(_) => "unetr",
            Self::Unet(_) => "unet",
        }
    }

    /// Height and width of its images.
    pub fn image_size(&self) -> usize {
        match self {
            Self::Unetr(config) => config.encoder.image_size,
            Self::Unet(config) => config.image_size,
        }
    }

    /// Channels of its images.
    pub fn channels(&self) -> usize {
        match self {
            Self::Unetr(config) => config.encoder.channels,
            Self::Unet(config) => config.in_channels,
        }
    }

    /// Masks that it marks.
    pub fn masks(&self) -> usize {
        match self {
            Self::Unetr(config) => config.out_channels,
            Self::Unet(config) => config.out_channels,
        }
    }

    /// Fewer weights than the network has, though not many fewer. A file that holds less cannot be of this network, and
    /// reading it should not take the network's memory.
    pub fn least_weights(&self) -> f64 {
        match self {
            Self::Unetr(config) => config.least_weights(),
            Self::Unet(config) => config.least_weights(),
        }
    }

    /// What makes these sizes impossible, if anything.
    pub fn problem(&self) -> Option<String> {
        match self {
            Self::Unetr(config) => config.problem(),
            Self::Unet(config) => config.problem(),
        }
    }

    /// A network with initial values. Panics on impossible sizes (see [`NetworkConfig::problem`]).
    pub fn init(&self, device: &Device) -> Network {
        match self {
            Self::Unetr(config) => Network::Unetr(config.init(device)),
            Self::Unet(config) => Network::Unet(config.init(device)),
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{read_state, write_state};

    #[test]
    fn a_chosen_network_has_its_own_names_and_takes_its_own_weights() {
        let config = UnetConfig { image_size: 16, base: 2, ..UnetConfig::default() };
        let device = Device::flex();
        let own = pollster::block_on(read_state(&config.init(&device))).unwrap();
        let chosen = NetworkConfig::Unet(config);
        let network = write_state("unet", own.clone(), chosen.init(&device)).unwrap();
        assert_eq!(pollster::block_on(read_state(&network)).unwrap(), own);
        assert_eq!((chosen.architecture(), chosen.channels(), chosen.image_size()), ("unet", 1, 16));
        let json = serde_json::to_string(&chosen).unwrap();
        assert_eq!(serde_json::from_str::<NetworkConfig>(&json).unwrap(), chosen);
    }
}
