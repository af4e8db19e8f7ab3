//! Segmentation: find the needle, or any class, in one frame or in three, or tell several classes apart.
//!
//! - Yang (楊瀚博), "Ultrasound Needle Segmentation with U-Net Transformer & Masked Autoencoder Self-Supervised
//!   Pre-Training", 2024, a course report without an identifier: Yang 2024, sections 2.2, 2.4 and 4.
//! - Amiri, Brooks and Rivaz, "Fine tuning U-Net for ultrasound image segmentation: which layers?", 2019,
//!   arXiv:2002.08438: Amiri 2019, section 2.

use burn::tensor::{Device, Tensor, TensorData, activation};

use super::{Loss, Reads, Step, Task, loss_measure, read, upload};
use crate::losses::classes::class_loss;
use crate::losses::overlap::{DiceFocalConfig, dice_focal, dice_sums, judged_dice_focal, part_dice_focal};
use crate::models::fcn::BACKBONE;
use crate::models::frames::Frames;
use crate::models::layer_set::LayerSet;
use crate::models::resnet::ResnetConfig;
use crate::models::{Network, NetworkConfig};
use crate::optim::rules::Rules;
use sonoseg_imaging::DataError;
use sonoseg_imaging::augment::{AugmentConfig, Augmentation};
use sonoseg_imaging::dataset::sample::{Sample, Target};
use sonoseg_imaging::geometry::draw_capsule;
use sonoseg_imaging::geometry::resize;
use sonoseg_imaging::geometry::{Image, Mask};
use sonoseg_imaging::metrics::classes::class_measures;
use sonoseg_imaging::metrics::mask_measures;
use sonoseg_imaging::metrics::measure::Measures;
use sonoseg_imaging::metrics::overlap::NOT_JUDGED;
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
    /// What is told apart by softmax, beside the background; empty for one mask by sigmoid.
    pub classes: Vec<String>,
}

/// Frames with their masks, as numbers on the CPU.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// `[channels, size, size]`
    pub input: Vec<f32>,
    /// 1 where something is, or the number of the class; 0 elsewhere, [`NOT_JUDGED`] where nobody judged; `[masks, size, size]`
    pub target: Vec<f32>,
}

/// What the device gets.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Network input, `[batch, channels, size, size]`.
    pub input: Tensor<4>,
    /// What the network should give, or the number of the class that it should find, `[batch, masks, size, size]`.
    pub target: Tensor<4>,
    /// 1 where somebody judged and 0 elsewhere, `[batch, masks, size, size]`; none where all of it is judged.
    pub judged: Option<Tensor<4>>,
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
        let apart = !self.classes.is_empty();
        let number = |&class: &u8| match class {
            Mask::IGNORE => NOT_JUDGED,
            class if apart => f32::from(class),
            class => f32::from(u8::from(class > 0)),
        };
        Ok(mask.iter().map(number).collect())
    }

    /// The loss of a batch that the network gave `logits` for.
    fn loss_of(&self, logits: Tensor<4>, batch: &Batch) -> Tensor<1> {
        if !self.classes.is_empty() {
            return class_loss(logits, &batch.target, batch.judged.clone(), &self.loss);
        }
        match &batch.judged {
            Some(judged) => judged_dice_focal(logits, batch.target.clone(), judged.clone(), &self.loss),
            None => dice_focal(logits, batch.target.clone(), &self.loss),
        }
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
        if sample.targets.len() != window || !sample.targets.iter().all(Target::is_known) {
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
        let still = self.augment.still > 0.0 && noise.as_deref_mut().is_some_and(|rng| rng.chance(self.augment.still));
        let place = |at: usize| if still { window / 2 } else { at };
        let squares: Vec<Vec<f32>> =
            (0..window).map(|at| change.square(&sample.frames[place(at)], size, noise.as_deref_mut())).collect();
        let wanted = match self.frames {
            Frames::VideoMiddle => 1..2,
            Frames::Single | Frames::VideoAll => 0..window,
        };
        let mut target = Vec::with_capacity(wanted.len() * size * size);
        for i in wanted {
            let i = place(i);
            target.extend(self.target(&sample.frames[i], &sample.targets[i], &change).map_err(problem)?);
        }
        Ok(vec![View { input: self.preparation.normalise(&squares, channels), target }])
    }

    fn collate(&self, views: &[View], device: &Device) -> Batch {
        let (count, size) = (views.len(), self.preparation.size);
        let (channels, masks) = (self.network.sizes().channels(), self.frames.masks());
        let targets = || views.iter().flat_map(|view| view.target.iter().copied());
        let shape = [count, masks, size, size];
        let upload_map = |numbers: Vec<f32>| upload(std::iter::once(&numbers[..]), shape, device);
        let judged = |number: f32| f32::from(u8::from(number != NOT_JUDGED));
        Batch {
            input: upload(views.iter().map(|view| &view.input[..]), [count, channels, size, size], device),
            target: upload_map(targets().map(|number| number.max(0.0)).collect()),
            judged: targets().any(|number| number == NOT_JUDGED).then(|| upload_map(targets().map(judged).collect())),
        }
    }

    fn sums(&self, model: &Network, batch: impl FnOnce() -> Batch) -> Option<Tensor<1>> {
        let Batch { input, target, judged } = (self.loss.batch_dice && self.classes.is_empty()).then(batch)?;
        Some(dice_sums(model.forward(input), target, judged).flatten(0, 1))
    }

    fn loss(&self, model: &Network, batch: &Batch, step: &mut Step) -> Loss<()> {
        if step.whole.is_empty() {
            let (logits, second) = model.forward_heads(batch.input.clone());
            let main = self.loss_of(logits, batch);
            let Some((logits, weight)) = second else { return main.into() };
            let auxiliary = self.loss_of(logits, batch) * weight;
            let parts = vec![("main", main.clone()), ("auxiliary", auxiliary.clone())];
            return Loss { total: main + auxiliary, parts, kept: () };
        }
        let logits = model.forward(batch.input.clone());
        let channels = step.whole.len() / 3;
        let whole = Tensor::from_data(TensorData::new(step.whole.clone(), [3, channels]), &logits.device());
        let (target, judged) = (batch.target.clone(), batch.judged.clone());
        part_dice_focal(logits, target, judged, whole, step.parts, &self.loss).into()
    }

    async fn measure(&self, model: &Network, batch: &Batch, _: &mut Step) -> Result<Measures, String> {
        let logits = model.forward(batch.input.clone());
        let loss = self.loss_of(logits.clone(), batch);
        let loss = loss_measure(loss, batch.input.dims()[0]).await?;
        let apart = !self.classes.is_empty();
        let maps = read(if apart { logits } else { activation::sigmoid(logits) }).await?;
        let mut target = read(batch.target.clone()).await?;
        if let Some(judged) = &batch.judged {
            let judged = read(judged.clone()).await?;
            target
                .iter_mut()
                .zip(judged)
                .filter(|(_, judged)| *judged == 0.0)
                .for_each(|(target, _)| *target = NOT_JUDGED);
        }
        let size = self.preparation.size;
        let mut measures = Measures(vec![loss]);
        measures.add(&if apart {
            let pictures = maps.chunks_exact((self.classes.len() + 1) * size * size);
            let predicted: Vec<u8> = pictures.flat_map(|maps| Mask::most_likely(maps, size, size).classes).collect();
            let truth = target.iter().map(|&class| if class == NOT_JUDGED { Mask::IGNORE } else { class as u8 });
            class_measures(&predicted, &truth.collect::<Vec<u8>>(), &self.classes)
        } else {
            mask_measures(&maps, &target, [size, size], 0.5)
        });
        Ok(measures)
    }

    fn decides(&self) -> &'static str {
        if self.classes.is_empty() { "iou" } else { "miou" }
    }

    fn rules(&self) -> Rules {
        match &self.network {
            NetworkConfig::Unetr(config) => self.layers.of_encoder(config.encoder.rules("encoder.", true)),
            NetworkConfig::Fcn(_) => self.layers.of_encoder(ResnetConfig::rules(BACKBONE)),
            _ => self.layers.rules(),
        }
    }

    fn batch_may_be_cut(&self) -> bool {
        !self.network.sizes().normalises_batches()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::State;
    use crate::models::unet::{UnetConfig, UnetVariant};
    use crate::optim::named;
    use crate::train::parts::{Computed, Part, PartKey, gradients, sums};

    fn task() -> Segment {
        let network =
            UnetConfig { image_size: 16, in_channels: 1, base: 2, variant: UnetVariant::Plain, ..Default::default() };
        Segment {
            network: NetworkConfig::Unet(network),
            frames: Frames::Single,
            preparation: Preparation { size: 16, ..Preparation::default() },
            mask_radius_px: 3.0,
            augment: AugmentConfig {
                flip: 1.0,
                rotation_deg: 20.0,
                crop_scale: [0.7, 1.0],
                ..AugmentConfig::default()
            },
            loss: DiceFocalConfig::default(),
            layers: LayerSet::All,
            classes: Vec::new(),
        }
    }

    #[test]
    fn an_update_in_parts_is_that_of_the_whole_batch() {
        // Every part drops other activations.
        let NetworkConfig::Unet(network) = task().network else { panic!("a U-Net") };
        let network = NetworkConfig::Unet(UnetConfig { dropout: 0.0, ..network });
        let loss = DiceFocalConfig { batch_dice: true, ..DiceFocalConfig::default() };
        let task = Segment { network, loss, ..task() };
        let device = Device::flex();
        let model = task.init(&device.clone().autodiff());
        let view = |above| task.views(&sample(above), None).unwrap().remove(0);
        let views: Vec<View> = [0, 1, Mask::IGNORE, 0].map(view).into();
        let update = |size: usize| {
            let key = |number| PartKey { seed: 1, number, parts: 4 / size, updates: 0, total: 1 };
            let part =
                |(at, views): (usize, &[View])| Part { views: views.to_vec(), key: key(at as u64), whole: vec![] };
            let mut parts: Vec<_> = views.chunks(size).enumerate().map(part).collect();
            let of = |part| pollster::block_on(sums(&task, &model, part, &device)).unwrap();
            let whole = parts.iter().map(of).reduce(|a, b| a.iter().zip(b).map(|(a, b)| a + b).collect()).unwrap();
            if parts.len() > 1 {
                parts.iter_mut().for_each(|part| part.whole.clone_from(&whole));
            }
            let of = |part| pollster::block_on(gradients(&task, &model, part, &device)).unwrap();
            let given: Vec<_> = parts.iter().map(of).collect();
            let read = |computed: &Computed<()>| pollster::block_on(named::read(&model, &computed.gradients)).unwrap();
            let gradients: Vec<_> = given.iter().map(read).collect();
            let sum = |name: &String| -> Vec<f32> {
                let of = |state: &State| state[name].1.clone();
                gradients.iter().map(of).reduce(|a, b| a.iter().zip(b).map(|(a, b)| a + b).collect()).unwrap()
            };
            let sums: Vec<Vec<f32>> = gradients[0].keys().map(sum).collect();
            (given.iter().map(|computed| computed.loss).sum::<f64>(), sums.concat())
        };
        let (loss, gradients) = update(4);
        let largest = gradients.iter().map(|gradient| gradient.abs()).fold(0.0, f32::max);
        for size in [1, 2] {
            let (of_parts, together) = update(size);
            assert!((loss - of_parts).abs() < 1e-5, "{loss} and {of_parts} in parts of {size}");
            let apart = gradients.iter().zip(&together).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(apart < 1e-5 && largest > 1e-3, "{apart} of {largest} in parts of {size}");
        }
    }

    /// A picture of 24 x 32 pixels whose lower half is of the class, and whose rows from 6 to 12 are of `above`.
    fn sample(above: u8) -> Sample {
        let classes = (0..24 * 32).map(|at| match at / 32 {
            0..6 => 0,
            6..12 => above,
            _ => 1,
        });
        Sample {
            id: "p/0".into(),
            group: "p".into(),
            frames: vec![Image::grey(24, 32, vec![0.5; 24 * 32])],
            targets: vec![Target::Mask(Mask { height: 24, width: 32, classes: classes.collect() })],
        }
    }

    #[test]
    fn what_nobody_judged_stays_so_through_every_change() {
        let task = task();
        let count = |view: &View, number: f32| view.target.iter().filter(|&&target| target == number).count();
        let plain = &task.views(&sample(Mask::IGNORE), None).unwrap()[0];
        assert_eq!([0.0, NOT_JUDGED, 1.0].map(|number| count(plain, number)), [64, 64, 128]);
        for seed in 0..8 {
            let rng = || Rng::stream(seed, "ignore", [0, 0]);
            let changed = &task.views(&sample(Mask::IGNORE), Some(&mut rng())).unwrap()[0];
            let silent = &task.views(&sample(0), Some(&mut rng())).unwrap()[0];
            let known = [0.0, NOT_JUDGED, 1.0].map(|number| count(changed, number));
            assert!(known.iter().sum::<usize>() == 256 && known[1] > 16, "{known:?}");
            // Where somebody judged, both say the same.
            let same = changed.target.iter().zip(&silent.target).all(|(a, b)| a == b || *a == NOT_JUDGED && *b == 0.0);
            assert!(same && changed.input == silent.input);
        }
        let batch = task.collate(std::slice::from_ref(plain), &Device::flex());
        let sums = [batch.judged.unwrap(), batch.target].map(|tensor| tensor.sum().into_scalar::<f32>());
        assert_eq!(sums, [192.0, 128.0]);
        let all = task.collate(&task.views(&sample(0), None).unwrap(), &Device::flex());
        assert!(all.judged.is_none(), "the loss of before, bit by bit, where everything is judged");
        let nothing = Mask { height: 24, width: 32, classes: vec![Mask::IGNORE; 24 * 32] };
        let nothing = Sample { targets: vec![Target::Mask(nothing)], ..sample(0) };
        assert!(task.views(&nothing, None).unwrap_err().to_string().contains("no labels"));
    }
    #[test]
    fn a_still_is_its_middle_frame_several_times() {
        let task = task();
        // Three frames of which the outer ones are dark: a still has the middle one three times.
        let task = Segment {
            network: NetworkConfig::Unet(UnetConfig {
                image_size: 16,
                in_channels: 3,
                out_channels: 3,
                base: 2,
                ..UnetConfig::default()
            }),
            frames: Frames::VideoAll,
            preparation: Preparation { mean: [0.0; 3], std: [1.0; 3], ..task.preparation },
            augment: AugmentConfig {
                still: 1.0,
                crop_scale: [1.0; 2],
                crop_ratio: [1.0; 2],
                flip: 0.0,
                brightness: 0.0,
                contrast: 0.0,
                ..AugmentConfig::default()
            },
            ..task
        };
        let dark_frame = Image::grey(24, 32, vec![0.0; 24 * 32]);
        let middle = sample(0);
        let clip = Sample {
            frames: vec![dark_frame.clone(), middle.frames[0].clone(), dark_frame],
            targets: vec![Target::Needle(None), middle.targets[0].clone(), Target::Needle(None)],
            ..middle
        };
        let view = &task.views(&clip, Some(&mut Rng::stream(1, "still", [0, 0]))).unwrap()[0];
        for channel in [0, 2] {
            let range = |at: usize| at * 256..(at + 1) * 256;
            assert_eq!(view.input[range(channel)], view.input[range(1)]);
            assert_eq!(view.target[range(channel)], view.target[range(1)]);
        }
        let plain = &task.views(&clip, None).unwrap()[0];
        assert!(plain.input[..256] != plain.input[256..512] && plain.target[..256] != plain.target[256..512]);
    }

    #[test]
    fn classes_are_learned_by_their_numbers_and_measured_apart() {
        let one = task();
        let NetworkConfig::Unet(network) = one.network.clone() else { panic!("a U-Net") };
        let network = NetworkConfig::Unet(UnetConfig { out_channels: 3, dropout: 0.0, ..network });
        let augment = AugmentConfig { flip: 0.0, rotation_deg: 0.0, ..AugmentConfig::default() };
        let classes = ["nerve", "vessel"].map(str::to_owned).to_vec();
        let task = Segment { network, augment, classes, ..one };
        let mut numbers: Vec<f32> = task.views(&sample(2), None).unwrap()[0].target.clone();
        numbers.sort_by(f32::total_cmp);
        numbers.dedup();
        assert_eq!(numbers, [0.0, 1.0, 2.0]);
        let device = Device::flex();
        let views: Vec<View> =
            [2, Mask::IGNORE].map(|above| task.views(&sample(above), None).unwrap().remove(0)).into();
        let batch = task.collate(&views, &device);
        let model = task.init(&device);
        let step = || Step::alone(Rng::stream(1, "test", [0, 0]), 0, 1);
        let measures = pollster::block_on(task.measure(&model, &batch, &mut step())).unwrap();
        let names: Vec<&str> = measures.0.iter().take(4).map(|measure| &*measure.metric.name).collect();
        assert_eq!((names, task.decides()), (vec!["loss", "miou", "mean_accuracy", "iou_background"], "miou"));
        let found: f64 = measures.0[3..].iter().take(3).map(|measure| measure.ratios[0][1]).sum();
        assert!(found >= f64::from(2 * 16 * 16 - 64), "every judged pixel is of a class: {found}");
        let loss = task.loss(&model, &batch, &mut step()).total.into_scalar::<f32>();
        assert!((f64::from(loss) - measures.value("loss").unwrap()).abs() < 1e-5);
    }
}
