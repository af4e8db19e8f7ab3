//! Segmentation: find the needle, or any class, in one frame or in three.
//!
//! - Yang (楊瀚博), "Ultrasound Needle Segmentation with U-Net Transformer & Masked Autoencoder Self-Supervised
//!   Pre-Training", 2024, a course report without an identifier: Yang 2024, sections 2.2, 2.4 and 4.
//! - Amiri, Brooks and Rivaz, "Fine tuning U-Net for ultrasound image segmentation: which layers?", 2019,
//!   arXiv:2002.08438: Amiri 2019, section 2.

use burn::tensor::{Device, Tensor, activation};

use super::{Loss, Reads, Step, Task, loss_measure, read, upload};
use crate::losses::overlap::{DiceFocalConfig, dice_focal};
use crate::models::frames::Frames;
use crate::models::unet::layer_set::LayerSet;
use crate::models::{Network, NetworkConfig};
use crate::optim::rules::Rules;
use sonoseg_imaging::DataError;
use sonoseg_imaging::augment::{AugmentConfig, Augmentation};
use sonoseg_imaging::dataset::sample::{Sample, Target};
use sonoseg_imaging::geometry::Image;
use sonoseg_imaging::geometry::draw_capsule;
use sonoseg_imaging::geometry::resize;
use sonoseg_imaging::metrics::mask_measures;
use sonoseg_imaging::metrics::measure::Measures;
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
    /// What of the network learns.
    pub layers: LayerSet,
}

/// Frames with their masks, as numbers on the CPU.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// `[channels, size, size]`
    pub input: Vec<f32>,
    /// `[masks, size, size]`
    pub target: Vec<f32>,
}

/// What the device gets.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Network input, `[batch, channels, size, size]`.
    pub input: Tensor<4>,
    /// What the network should give, `[batch, masks, size, size]`.
    pub target: Tensor<4>,
}

impl Segment {
    /// The target of one frame as numbers `[size, size]`.
    fn target(&self, frame: &Image, target: &Target, change: &Augmentation) -> Result<Vec<f32>, String> {
        let size = self.preparation.size;
        let crop = [change.crop.height, change.crop.width];
        let mask = match target {
            Target::Needle(None) => return Ok(vec![0.0; size * size]),
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
            other => return Err(format!("has {}, and segmentation learns from needles and masks", other.what())),
        };
        Ok(mask.iter().map(|&class| f32::from(u8::from(class > 0))).collect())
    }
}

impl Task for Segment {
    type Model = Network;
    type View = View;
    type Batch = Batch;
    type Kept = ();

    fn init(&self, device: &Device) -> Network {
        self.network.init(device)
    }

    fn reads(&self) -> Reads {
        Reads { frames: self.frames.window(), labels: true }
    }

    fn views(&self, sample: &Sample, rng: Option<&mut Rng>) -> Result<Vec<View>, DataError> {
        let problem = |what: String| DataError::Inconsistent(format!("{}: {what}", sample.id));
        let window = self.frames.window();
        if sample.frames.len() != window {
            return Err(problem(format!("has {} frames, and the network reads {window}", sample.frames.len())));
        }
        if sample.targets.len() != window || sample.targets.contains(&Target::Unknown) {
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
        let mut target = Vec::with_capacity(wanted.len() * size * size);
        for i in wanted {
            target.extend(self.target(&sample.frames[i], &sample.targets[i], &change).map_err(problem)?);
        }
        Ok(vec![View { input: self.preparation.normalise(&squares, channels), target }])
    }

    fn collate(&self, views: &[View], device: &Device) -> Batch {
        let (count, size) = (views.len(), self.preparation.size);
        let (channels, masks) = (self.network.sizes().channels(), self.frames.masks());
        Batch {
            input: upload(views.iter().map(|view| &view.input[..]), [count, channels, size, size], device),
            target: upload(views.iter().map(|view| &view.target[..]), [count, masks, size, size], device),
        }
    }

    fn loss(&self, model: &Network, batch: &Batch, _: &mut Step) -> Loss<()> {
        dice_focal(model.forward(batch.input.clone()), batch.target.clone(), &self.loss).into()
    }

    async fn measure(&self, model: &Network, batch: &Batch, _: &mut Step) -> Result<Measures, String> {
        let logits = model.forward(batch.input.clone());
        let loss = dice_focal(logits.clone(), batch.target.clone(), &self.loss);
        let loss = loss_measure(loss, batch.input.dims()[0]).await?;
        let probability = read(activation::sigmoid(logits)).await?;
        let target = read(batch.target.clone()).await?;
        let size = self.preparation.size;
        let mut measures = Measures(vec![loss]);
        measures.add(&mask_measures(&probability, &target, [size, size], 0.5));
        Ok(measures)
    }

    fn decides(&self) -> &'static str {
        "iou"
    }

    fn rules(&self) -> Rules {
        match &self.network {
            NetworkConfig::Unetr(config) => config.encoder.rules("encoder.", true),
            _ => self.layers.rules(),
        }
    }
}
