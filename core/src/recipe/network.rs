//! The network of a recipe: its kind, and the sizes that this kind has.

use serde::{Deserialize, Serialize};

use crate::models::NetworkConfig;
use crate::models::unet::{UnetConfig, UnetVariant};
use crate::models::unetr::{Preset, UnetrConfig};
use crate::tasks::segment::Frames;

/// Kind of network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// UNETR of Yang 2024.
    #[default]
    Unetr,
    /// U-Net of Amiri 2019.
    Unet,
}

/// The network of a recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkRecipe {
    /// Kind of network.
    #[serde(default)]
    pub architecture: Architecture,
    /// Named size of a UNETR, which must be given; the fields below override it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<Preset>,
    /// Frames in, masks out.
    #[serde(default = "single")]
    pub frames: Frames,
    /// Width of a UNETR's encoder; channels of a U-Net at full size, 64 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<usize>,
    /// Encoder blocks of a UNETR.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<usize>,
    /// Attention heads of a UNETR.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heads: Option<usize>,
    /// Blocks that the decoder of a UNETR reads, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taps: Option<[usize; 3]>,
    /// Decoder channels of a UNETR at full size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature_size: Option<usize>,
    /// Groups of every group normalisation of a UNETR.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<usize>,
    /// How maps of a U-Net get larger; `plain` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up: Option<UnetVariant>,
    /// Share of a U-Net's bottleneck that training leaves out at random; 0.5 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f64>,
}

fn single() -> Frames {
    Frames::Single
}

impl NetworkRecipe {
    /// The sizes of the network, for images of `image_size` pixels.
    pub fn config(&self, image_size: usize) -> NetworkConfig {
        match self.architecture {
            Architecture::Unetr => NetworkConfig::Unetr(self.unetr(image_size)),
            Architecture::Unet => NetworkConfig::Unet(self.unet(image_size)),
        }
    }

    /// The sizes of a UNETR.
    pub(super) fn unetr(&self, image_size: usize) -> UnetrConfig {
        let mut config = UnetrConfig::preset(self.named_size(), self.frames.masks());
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

    fn unet(&self, image_size: usize) -> UnetConfig {
        let paper = UnetConfig::default();
        UnetConfig {
            image_size,
            in_channels: self.frames.window(),
            base: self.width.unwrap_or(paper.base),
            out_channels: self.frames.masks(),
            dropout: self.dropout.unwrap_or(paper.dropout),
            variant: self.up.unwrap_or(paper.variant),
        }
    }

    /// The named size; a recipe without one is refused by [`NetworkRecipe::problem`].
    pub(super) fn named_size(&self) -> Preset {
        self.preset.unwrap_or(Preset::Base)
    }

    /// The size for people: the preset of a UNETR, the width of a U-Net.
    pub fn size(&self) -> String {
        match self.config(0) {
            NetworkConfig::Unetr(_) => format!("{:?}", self.named_size()).to_lowercase(),
            NetworkConfig::Unet(config) => config.base.to_string(),
        }
    }

    /// What is wrong, for images of `image_size` pixels, if anything.
    pub(super) fn problem(&self, image_size: usize) -> Option<String> {
        let foreign: &[(&str, bool)] = match self.architecture {
            Architecture::Unetr if self.preset.is_none() => {
                return Some(
                    "preset is missing: tiny, small or base; a U-Net has architecture = \"unet\" instead".into(),
                );
            }
            Architecture::Unetr => &[("up", self.up.is_some()), ("dropout", self.dropout.is_some())],
            Architecture::Unet => &[
                ("preset", self.preset.is_some()),
                ("depth", self.depth.is_some()),
                ("heads", self.heads.is_some()),
                ("taps", self.taps.is_some()),
                ("feature_size", self.feature_size.is_some()),
                ("groups", self.groups.is_some()),
            ],
        };
        let config = self.config(image_size);
        if let Some((name, _)) = foreign.iter().find(|(_, given)| *given) {
            return Some(format!("a {} has no {name}: leave it out", config.architecture()));
        }
        config.problem()
    }
}
