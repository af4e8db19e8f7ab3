//! Masked auto-encoding: hide most patches of a frame and learn to draw them.
//!
//! - He and others, "Masked Autoencoders Are Scalable Vision Learners", 2022, arXiv:2111.06377: He 2022.
//! - Yang (楊瀚博), "Ultrasound Needle Segmentation with U-Net Transformer & Masked Autoencoder Self-Supervised
//!   Pre-Training", 2024, a course report without an identifier: Yang 2024, sections 2.3, 4.1 and 4.2.

use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::{Loss, Reads, Step, Task, loss_measure, read, upload};
use crate::blocks::masking::Masking;
use crate::inspect::reconstruct::{PanelConfig, Reconstruction, panel};
use crate::losses::pixels::masked_mse;
use crate::models::mae::{Mae, MaeConfig};
use crate::models::unetr::UnetrRecipe;
use crate::optim::rules::Rules;
use sonoseg_imaging::DataError;
use sonoseg_imaging::augment::{AugmentConfig, Augmentation};
use sonoseg_imaging::dataset::sample::Sample;
use sonoseg_imaging::geometry::Image;
use sonoseg_imaging::metrics::measure::Measures;
use sonoseg_imaging::prepare::Preparation;
use sonoseg_imaging::rng::Rng;

/// What the decoder learns to draw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaeTarget {
    /// The pixels as the network gets them (Yang 2024, v1).
    #[default]
    Pixels,
    /// Every patch with its own mean and deviation taken out (v2 to v4).
    NormalisedPatches,
}

/// The `[mae]` of a recipe. The encoder is that of the recipe's network, a UNETR.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MaeRecipe {
    /// Share of the patches that is hidden.
    pub mask_ratio: f64,
    /// What the decoder learns to draw.
    pub target: MaeTarget,
    /// Decoder width; none = as the preset of the network has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoder_width: Option<usize>,
    /// Decoder blocks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoder_depth: Option<usize>,
    /// Decoder attention heads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoder_heads: Option<usize>,
}

impl Default for MaeRecipe {
    fn default() -> Self {
        Self {
            mask_ratio: 0.75,
            target: MaeTarget::default(),
            decoder_width: None,
            decoder_depth: None,
            decoder_heads: None,
        }
    }
}

impl MaeRecipe {
    /// The sizes of the network whose encoder `unetr` can take over, for images of `image_size` pixels.
    pub fn sizes(&self, unetr: &UnetrRecipe, image_size: usize) -> MaeConfig {
        let preset = MaeConfig::preset(unetr.preset);
        MaeConfig {
            encoder: unetr.sizes(image_size).encoder,
            mask_ratio: self.mask_ratio,
            decoder_width: self.decoder_width.unwrap_or(preset.decoder_width),
            decoder_depth: self.decoder_depth.unwrap_or(preset.decoder_depth),
            decoder_heads: self.decoder_heads.unwrap_or(preset.decoder_heads),
        }
    }
}

/// Settings of the task.
#[derive(Clone, Debug)]
pub struct MaskedAutoEncoding {
    /// The network.
    pub network: MaeConfig,
    /// Image to network input.
    pub preparation: Preparation,
    /// Random changes.
    pub augment: AugmentConfig,
    /// What to draw.
    pub target: MaeTarget,
}

impl MaskedAutoEncoding {
    fn masked_loss(&self, model: &Mae, images: Tensor<4>, rng: &mut Rng) -> Tensor<1> {
        let masking = Masking::draw(rng, images.dims()[0], self.network.patches(), self.network.mask_ratio);
        let prediction = model.forward(images.clone(), &masking);
        let normalised = self.target == MaeTarget::NormalisedPatches;
        masked_mse(images, prediction, &masking, self.network.encoder.patch_size, normalised)
    }
}

impl Task for MaskedAutoEncoding {
    type Model = Mae;
    /// `[3, size, size]`
    type View = Vec<f32>;
    /// `[batch, 3, size, size]`
    type Batch = Tensor<4>;
    type Kept = ();

    fn init(&self, device: &Device) -> Mae {
        self.network.init(device)
    }

    fn reads(&self) -> Reads {
        Reads { frames: 1, labels: false }
    }

    fn views(&self, sample: &Sample, rng: Option<&mut Rng>) -> Result<Vec<Vec<f32>>, DataError> {
        let size = self.preparation.size;
        let frame = &sample.frames[sample.frames.len() / 2];
        let extent = [frame.height, frame.width];
        let square = match rng {
            Some(rng) => {
                let change = Augmentation::draw(&self.augment, extent, rng);
                change.square(frame, size, Some(rng))
            }
            None => Augmentation::none(extent).square(frame, size, None),
        };
        Ok(vec![self.preparation.normalise(&[square], 3)])
    }

    fn collate(&self, views: &[Vec<f32>], device: &Device) -> Tensor<4> {
        let size = self.preparation.size;
        upload(views.iter().map(Vec::as_slice), [views.len(), 3, size, size], device)
    }

    fn loss(&self, model: &Mae, images: &Tensor<4>, step: &mut Step) -> Loss<()> {
        self.masked_loss(model, images.clone(), &mut step.rng).into()
    }

    async fn measure(&self, model: &Mae, images: &Tensor<4>, step: &mut Step) -> Result<Measures, String> {
        let loss = self.masked_loss(model, images.clone(), &mut step.rng);
        Ok(Measures(vec![loss_measure(loss, images.dims()[0]).await?]))
    }

    async fn picture(&self, model: &Mae, images: &Tensor<4>, step: &mut Step) -> Result<Option<Image>, String> {
        let (count, patches) = (images.dims()[0], self.network.patches());
        let masking = Masking::draw(&mut step.rng, count, patches, self.network.mask_ratio);
        let prediction = model.forward(images.clone(), &masking);
        let (input, prediction) = (read(images.clone()).await?, read(prediction).await?);
        let each = |numbers: usize| numbers / count;
        let rows: Vec<Reconstruction<'_>> = input
            .chunks_exact(each(input.len()))
            .zip(prediction.chunks_exact(each(prediction.len())))
            .zip(masking.mask.chunks_exact(patches))
            .map(|((input, prediction), mask)| Reconstruction { input, prediction, mask })
            .collect();
        let config = PanelConfig {
            preparation: self.preparation.clone(),
            patch_size: self.network.encoder.patch_size,
            normalised: self.target == MaeTarget::NormalisedPatches,
        };
        Ok(Some(panel(&rows, &config)))
    }

    fn rules(&self) -> Rules {
        // The class token is a matrix to PyTorch, and MAE's pre-training decays every matrix.
        self.network.encoder.rules("encoder.", false)
    }
}
