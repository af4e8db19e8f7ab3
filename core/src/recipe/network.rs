//! The network of a recipe: its kind, and the settings that this kind has.

use serde::{Deserialize, Serialize};

use super::table::Table;
use crate::models::NetworkSettings;
use crate::models::fcn::FcnRecipe;
use crate::models::resnet::ResnetRecipe;
use crate::models::unet::UnetRecipe;
use crate::models::unetr::UnetrRecipe;

/// The network of a recipe. In its text, `architecture` tells which one it is; a UNETR does not need it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "architecture", rename_all = "snake_case")]
pub enum NetworkRecipe {
    /// UNETR of Yang 2024.
    Unetr(UnetrRecipe),
    /// U-Net of Amiri 2019.
    Unet(UnetRecipe),
    /// FCN of Long 2015.
    Fcn(FcnRecipe),
    /// Residual network of He 2016, which marks no pixels.
    Resnet(ResnetRecipe),
}

/// The value of `architecture`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Architecture {
    #[default]
    Unetr,
    Unet,
    Fcn,
    Resnet,
}

impl NetworkRecipe {
    pub(super) fn read<'de, T: Table<'de>>(mut table: T) -> Result<Self, T::Error> {
        Ok(match table.take("architecture")?.unwrap_or_default() {
            Architecture::Unetr => Self::Unetr(table.read()?),
            Architecture::Unet => Self::Unet(table.read()?),
            Architecture::Fcn => Self::Fcn(table.read()?),
            Architecture::Resnet => Self::Resnet(table.read()?),
        })
    }

    /// What the settings say, whichever network it is.
    pub fn settings(&self) -> &dyn NetworkSettings {
        match self {
            Self::Unetr(recipe) => recipe,
            Self::Unet(recipe) => recipe,
            Self::Fcn(recipe) => recipe,
            Self::Resnet(recipe) => recipe,
        }
    }
}
