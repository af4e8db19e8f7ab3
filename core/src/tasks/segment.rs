//! Segmentation: find the needle, or any class, in one frame or in three.
//!
//! - Yang (楊瀚博), "Ultrasound Needle Segmentation with U-Net Transformer & Masked Autoencoder Self-Supervised
//!   Pre-Training", 2024, a course report without an identifier: Yang 2024, sections 2.2, 2.4 and 4.
//! - Amiri, Brooks and Rivaz, "Fine tuning U-Net for ultrasound image segmentation: which layers?", 2019,
//!   arXiv:2002.08438: Amiri 2019, section 2.

use burn::tensor::{Device, Tensor, TensorData, activation};

use super::{Scores, Task};
use crate::losses::overlap::{DiceFocalConfig, dice_focal};
use crate::models::frames::Frames;
use crate::models::{Network, NetworkConfig};
use crate::train::layers::LayerRules;
use crate::train::loader::{Batch, View};
use sonoseg_imaging::DataError;
use sonoseg_imaging::augment::{AugmentConfig, Augmentation};
use sonoseg_imaging::dataset::sample::{Sample, Target};
use sonoseg_imaging::geometry::Image;
use sonoseg_imaging::geometry::draw_capsule;
use sonoseg_imaging::geometry::resize;
use sonoseg_imaging::metrics::overlap::Counts;
use sonoseg_imaging::prepare::Preparation;
use sonoseg_imaging::rng::Rng;

/// Settings of the task.
#[derive(Clone, Debug)]
pub struct Segment {
    /// The network.
    pub network: NetworkConfig,
    /// Frames in, masks out.
    pub frames: Frames,
    /// Image to network input.
    pub preparation: Preparation,
    /// Half the thickness of the drawn needle, in pixels of the network input. Yang 2024 (section 3.1)
    /// draws a thick line and does not say how thick; ours is 3.
    pub mask_radius_px: f64,
    /// Random changes.
    pub augment: AugmentConfig,
    /// The loss.
    pub loss: DiceFocalConfig,
}

impl Segment {
    /// The target of one frame as numbers `[size, size]`.
    fn target(&self, frame: &Image, target: &Target, change: &Augmentation) -> Vec<f32> {
        let size = self.preparation.size;
        let crop = [change.crop.height, change.crop.width];
        let mask = match target {
            Target::Needle(None) => return vec![0.0; size * size],
            Target::Needle(Some(needle)) => {
                let mut needle = change.crop.needle(needle).scaled(crop, [size, size]);
                if let Some(warp) = &change.warp {
                    needle = warp.needle(&needle, size);
                }
                if change.flip {
                    needle = needle.flipped(size);
                }
                draw_capsule(&needle, self.mask_radius_px, size, size).classes
            }
            Target::Mask(mask) => {
                assert_eq!([mask.height, mask.width], [frame.height, frame.width], "a mask has its image's size");
                let rows = change.crop.top..change.crop.top + crop[0];
                let cropped: Vec<u8> = rows
                    .flat_map(|row| {
                        let start = row * mask.width + change.crop.left;
                        mask.classes[start..start + crop[1]].iter().copied()
                    })
                    .collect();
                let mut square = resize::nearest(&cropped, crop, [size, size]);
                if let Some(warp) = &change.warp {
                    square = warp.classes(&square, size);
                }
                if change.flip {
                    square.chunks_exact_mut(size).for_each(<[u8]>::reverse);
                }
                square
            }
        };
        mask.iter().map(|&class| f32::from(u8::from(class > 0))).collect()
    }
}

impl Task for Segment {
    type Model = Network;

    fn init(&self, device: &Device) -> Network {
        self.network.init(device)
    }

    fn views(&self, sample: &Sample, rng: Option<&mut Rng>) -> Result<Vec<View>, DataError> {
        let problem = |what: String| DataError::Inconsistent(format!("{}: {what}", sample.id));
        let window = self.frames.window();
        if sample.frames.len() != window {
            return Err(problem(format!("has {} frames, and the network reads {window}", sample.frames.len())));
        }
        if sample.targets.len() != window {
            return Err(problem("has no labels for all of its frames; label them or leave it out".into()));
        }
        let first = &sample.frames[0];
        let extent = [first.height, first.width];
        if sample.frames.iter().any(|frame| [frame.height, frame.width] != extent) {
            return Err(problem("its frames differ in size".into()));
        }
        let (size, channels) = (self.preparation.size, self.network.sizes().channels());
        let mut noise = None;
        let change = match rng {
            Some(rng) => {
                let change = Augmentation::draw(&self.augment, extent, rng);
                noise = Some(rng);
                change
            }
            None => Augmentation::none(extent),
        };
        let squares: Vec<Vec<f32>> =
            sample.frames.iter().map(|frame| change.square(frame, size, noise.as_deref_mut())).collect();
        let wanted = match self.frames {
            Frames::VideoMiddle => 1..2,
            Frames::Single | Frames::VideoAll => 0..window,
        };
        let target =
            wanted.flat_map(|i| self.target(&sample.frames[i], &sample.targets[i], &change)).collect::<Vec<f32>>();
        Ok(vec![View {
            input: self.preparation.normalise(&squares, channels),
            input_shape: [channels, size, size],
            target,
            target_shape: [self.frames.masks(), size, size],
        }])
    }

    fn loss(&self, model: &Network, batch: &Batch, _: &mut Rng) -> Tensor<1> {
        dice_focal(model.forward(batch.input.clone()), batch.target.clone(), &self.loss)
    }

    async fn score(&self, model: &Network, batch: &Batch, _: &mut Rng) -> Result<Scores, String> {
        let views = batch.input.dims()[0];
        let logits = model.forward(batch.input.clone());
        let loss = dice_focal(logits.clone(), batch.target.clone(), &self.loss);
        let loss: f32 = loss.into_scalar_async().await.map_err(|e| format!("{e:?}"))?;
        let numbers = |data: TensorData| data.try_into_vec::<f32>().map_err(|e| format!("{e:?}"));
        let read = |tensor: Tensor<4>| async { tensor.into_data_async().await.map_err(|e| format!("{e:?}")) };
        let probability = numbers(read(activation::sigmoid(logits)).await?)?;
        let target = numbers(read(batch.target.clone()).await?)?;
        let counts = Counts::from_probability(&probability, &target, 0.5);
        Ok(Scores { loss: f64::from(loss) * views as f64, views, counts: Some(counts) })
    }

    fn layer_rules(&self, layer_decay: f64, weight_decay: f64) -> LayerRules {
        let (depth, decay, prefix) = match &self.network {
            NetworkConfig::Unetr(config) => (config.encoder.depth, layer_decay, "encoder."),
            // All layers of a U-Net learn alike; which of them learn at all is said by a set of layers.
            _ => (0, 1.0, ""),
        };
        LayerRules { depth, decay, weight_decay, spare_tokens: true, prefix: prefix.into() }
    }
}
