//! Contrastive pre-training: two views of a picture are to be more alike than views of different pictures.
//!
//! - Wang, Zhang, Shen, Kong and Li, "Dense Contrastive Learning for Self-Supervised Visual Pre-Training", CVPR 2021,
//!   arXiv:2011.09157: Wang 2021, DenseCL.
//! - Tang, "Self-Supervised Pretraining with Synthetic Data For Improving Ultrasound Medical Image Segmentation", a poster,
//!   about 2023: Tang 2023.
//! - Chen, Fan, Girshick and He, "Improved Baselines with Momentum Contrastive Learning", 2020, arXiv:2003.04297: Chen 2020b,
//!   MoCo v2, which is DenseCL with `dense_weight = 0`.
//! - Chen, Kornblith, Norouzi and Hinton, "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020,
//!   arXiv:2002.05709: Chen 2020a, SimCLR, which besides has `queue = 0`.

use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};
use serde::{Deserialize, Deserializer, Serialize};

use super::{LOSS, Loss, Reads, Step, Task, read, upload};
use crate::losses::contrast::{Contrasted, correspondence, dense_info_nce, info_nce, nt_xent, unit};
use crate::models::contrast::{Contrast, ContrastConfig, Encoder, Projected, enqueue, project};
use crate::models::resnet::ResnetConfig;
use crate::optim::follow::follow;
use crate::optim::rules::{Rule, Rules};
use sonoseg_imaging::DataError;
use sonoseg_imaging::augment::{AugmentConfig, Augmentation};
use sonoseg_imaging::dataset::sample::Sample;
use sonoseg_imaging::metrics::known;
use sonoseg_imaging::metrics::measure::{Measure, Measures};
use sonoseg_imaging::prepare::Preparation;
use sonoseg_imaging::rng::{Rng, splitmix64};

/// The measure of how often the right view is the most alike.
pub const ACCURACY: &str = "contrast_accuracy";

/// Keys of the published setting: 2.8 times the pictures that Tang 2023 has.
const PAPER: usize = 65_536;

/// Keys of a queue in which hardly any picture meets an old key of its own, where pictures are so few.
const SMALL: usize = 16_384;

/// The `[contrast]` of a recipe. The backbone is that of the recipe's network, whose first weights it makes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ContrastRecipe {
    /// Keys that views are compared with, in each queue: a number, `paper` (65,536) or `small` (16,384). 0 = no queue and no
    /// teacher: views are compared with the others of the batch (SimCLR).
    #[serde(deserialize_with = "keys")]
    pub queue: usize,
    /// Weight of the comparison of places, of 1 in all; 0 = whole pictures alone (MoCo v2).
    pub dense_weight: f64,
    /// Updates before places are compared. The public code knows it and does not use it.
    pub dense_after: u64,
    /// What similarities are divided by.
    pub temperature: f64,
    /// Parts of a batch that are normalised apart, as if each were on a GPU of its own; the teacher's are of other pictures than
    /// those of what learns (He 2020, section 3.3), so that they do not give away which pictures belong together. 1 = all
    /// together.
    pub groups: usize,
    /// Share of itself that the teacher keeps in an update.
    pub momentum: f64,
    /// Width of the vectors that are compared.
    pub width: usize,
    /// Width of the hidden layers of the heads; none = as many as the backbone has features.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden: Option<usize>,
}

impl Default for ContrastRecipe {
    fn default() -> Self {
        Self {
            queue: PAPER,
            dense_weight: 0.5,
            dense_after: 0,
            temperature: 0.2,
            groups: 1,
            momentum: 0.999,
            width: 128,
            hidden: None,
        }
    }
}

fn keys<'a, D: Deserializer<'a>>(text: D) -> Result<usize, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Named {
        Paper,
        Small,
    }
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "contrast.queue is a number of keys, \"paper\" or \"small\"")]
    enum Keys {
        Number(usize),
        Named(Named),
    }
    Ok(match Keys::deserialize(text)? {
        Keys::Number(keys) => keys,
        Keys::Named(Named::Paper) => PAPER,
        Keys::Named(Named::Small) => SMALL,
    })
}

impl ContrastRecipe {
    /// The sizes of the network that pre-trains `backbone`.
    pub fn sizes(&self, backbone: ResnetConfig) -> ContrastConfig {
        ContrastConfig {
            hidden: self.hidden.unwrap_or(backbone.features()),
            width: self.width,
            dense: self.dense_weight > 0.0,
            queue: self.queue,
            backbone,
        }
    }

    /// What makes these settings impossible in updates of `batch` pictures, if anything.
    pub fn problem(&self, batch: usize) -> Option<String> {
        let Self { queue, dense_weight, temperature, groups, momentum, .. } = *self;
        if !(0.0..=1.0).contains(&dense_weight) || !(0.0..=1.0).contains(&momentum) {
            return Some("dense_weight and momentum must lie in 0..=1".into());
        }
        if !(temperature > 0.0 && temperature.is_finite()) {
            return Some("temperature must be above 0".into());
        }
        if batch < 2 {
            return Some("train.batch must be at least 2: views are normalised together".into());
        }
        if groups == 0 || !batch.is_multiple_of(groups) {
            return Some(format!(
                "groups = {groups} must divide the pictures of an update, which are {batch} (train.batch)"
            ));
        }
        (queue > 0 && queue < batch)
            .then(|| format!("queue = {queue} holds less than the keys of an update, which are {batch} (train.batch)"))
    }
}

/// Settings of the task.
#[derive(Clone, Debug)]
pub struct ContrastivePretraining {
    /// The network.
    pub network: ContrastConfig,
    /// Image to network input.
    pub preparation: Preparation,
    /// Random changes, of which every view has its own.
    pub augment: AugmentConfig,
    /// How views are compared.
    pub contrast: ContrastRecipe,
}

/// What the teacher made of a batch, to go into the queues.
#[derive(Clone, Debug)]
pub struct Keys {
    /// Of whole pictures, `[batch, width]`.
    pub global: Tensor<2>,
    /// Means over the places, `[batch, width]`; none where places are not compared.
    pub pooled: Option<Tensor<2>>,
}

/// Two views of pictures, compared.
#[derive(Clone, Debug)]
pub struct Compared {
    /// Whole pictures.
    pub global: Contrasted,
    /// Places.
    pub dense: Option<Contrasted>,
    /// Which place of the other view each place was compared with, `[batch, places]`.
    pub matches: Option<Tensor<2, Int>>,
    /// For the queues.
    pub keys: Keys,
}

/// Compare what learns with its teacher (Wang 2021, section 3.2 and its code): whole pictures, and places that correspond.
///
/// # Shapes
/// - `queue`, `queue2`: `[width, keys]`
pub fn compare(
    query: Projected,
    key: Projected,
    queue: Tensor<2>,
    queue2: Option<Tensor<2>>,
    temperature: f64,
) -> Compared {
    let [batch, width] = key.global.dims();
    // What goes into the second queue is one vector a picture: the mean of the map before its vectors have length 1.
    let pooled = key.dense.clone().map(|map| unit(map.mean_dim(2).reshape([batch, width]), 1));
    let keys = Keys { global: unit(key.global, 1), pooled };
    let global = info_nce(unit(query.global, 1), keys.global.clone(), queue, temperature);
    let (mut dense, mut matches) = (None, None);
    if let (Some(places), Some(others), Some(queue)) = (query.dense, key.dense, queue2) {
        let found = correspondence(query.map, key.map);
        dense = Some(dense_info_nce(unit(places, 1), unit(others, 1), found.clone(), queue, temperature));
        matches = Some(found);
    }
    Compared { global, dense, matches, keys }
}

/// What the teacher makes of pictures. It normalises by the batch, as what learns does, and asks for no gradients.
fn taught(teacher: &Encoder, images: Tensor<4>, groups: usize, rng: &mut Rng) -> Projected {
    if groups == 1 {
        return project(teacher, images, 1).detach();
    }
    let device = images.device();
    let order = rng.permutation(images.dims()[0]);
    let mut back = vec![0; order.len()];
    order.iter().enumerate().for_each(|(place, &picture)| back[picture] = place as i32);
    let order: Vec<i32> = order.into_iter().map(|picture| picture as i32).collect();
    let [order, back] = [order, back].map(|places| {
        let count = places.len();
        Tensor::<1, Int>::from_data(TensorData::new(places, [count]), &device)
    });
    project(teacher, images.select(0, order), groups).detach().select(&back)
}

impl ContrastivePretraining {
    /// The loss of a batch with its parts, `dense_weight` being the weight of places, and how often whole pictures are told apart.
    fn contrast(
        &self,
        model: &Contrast,
        [first, second]: [Tensor<4>; 2],
        dense_weight: f64,
        rng: &mut Rng,
    ) -> (Loss<Option<Keys>>, Tensor<1>) {
        let (temperature, pictures) = (self.contrast.temperature, first.dims()[0]);
        // A trial of memory has two pictures, whatever a batch has.
        let groups = (1..=self.contrast.groups).rev().find(|groups| pictures.is_multiple_of(*groups)).unwrap_or(1);
        let (Some(teacher), Some(queue)) = (&model.encoder_k, &model.queue) else {
            let views = project(&model.encoder_q, Tensor::cat(vec![first, second], 0), groups).global;
            let each = |from: usize| views.clone().narrow(0, from, pictures);
            let Contrasted { loss, accuracy } = nt_xent(each(0), each(pictures), temperature);
            return (loss.into(), accuracy);
        };
        let query = project(&model.encoder_q, first, groups);
        let key = taught(teacher, second, groups, rng);
        let queue2 = model.queue2.as_ref().map(Param::val);
        let Compared { global, dense, keys, .. } = compare(query, key, queue.val(), queue2, temperature);
        let Some(dense) = dense else {
            return (Loss { total: global.loss, parts: Vec::new(), kept: Some(keys) }, global.accuracy);
        };
        let parts = [("global", global.loss * (1.0 - dense_weight)), ("dense", dense.loss * dense_weight)];
        let total = parts[0].1.clone() + parts[1].1.clone();
        (Loss { total, parts: parts.to_vec(), kept: Some(keys) }, global.accuracy)
    }
}

impl Task for ContrastivePretraining {
    type Model = Contrast;
    /// Two views of one picture, each `[channels, size, size]`.
    type View = [Vec<f32>; 2];
    /// First and second views, `[batch, channels, size, size]`.
    type Batch = [Tensor<4>; 2];
    type Kept = Option<Keys>;

    fn init(&self, device: &Device) -> Contrast {
        self.network.init(device)
    }

    fn reads(&self) -> Reads {
        Reads { frames: 1, labels: false }
    }

    /// Without `rng` the two views are changed, too, or there would be nothing to tell: always the same way.
    fn views(&self, sample: &Sample, rng: Option<&mut Rng>) -> Result<Vec<[Vec<f32>; 2]>, DataError> {
        let frame = &sample.frames[sample.frames.len() / 2];
        let name = sample.id.bytes().fold(0, |name, byte| splitmix64(name ^ u64::from(byte)));
        let mut fixed = Rng::stream(0, "views", [name, 0]);
        let rng = rng.unwrap_or(&mut fixed);
        let mut view = || {
            let change = Augmentation::draw(&self.augment, [frame.height, frame.width], rng);
            let square = change.square(frame, self.preparation.size, Some(&mut *rng));
            self.preparation.normalise(&[square], self.network.backbone.channels)
        };
        Ok(vec![[view(), view()]])
    }

    fn collate(&self, views: &[[Vec<f32>; 2]], device: &Device) -> [Tensor<4>; 2] {
        let (size, channels) = (self.preparation.size, self.network.backbone.channels);
        [0, 1].map(|at| upload(views.iter().map(|view| &view[at][..]), [views.len(), channels, size, size], device))
    }

    fn loss(&self, model: &Contrast, batch: &[Tensor<4>; 2], step: &mut Step) -> Loss<Option<Keys>> {
        let ContrastRecipe { dense_weight, dense_after, .. } = self.contrast;
        let dense_weight = if step.updates < dense_after { 0.0 } else { dense_weight };
        self.contrast(model, batch.clone(), dense_weight, &mut step.rng).0
    }

    /// New keys take the places of the oldest ones, and the teacher goes a step towards what has learned: before the next keys
    /// are made, as in the public code.
    fn after_update(&self, model: Contrast, kept: Vec<Option<Keys>>, step: &mut Step) -> Contrast {
        let Contrast { encoder_q, encoder_k, mut queue, mut queue2 } = model;
        for keys in kept.into_iter().flatten() {
            let first = step.updates as usize * keys.global.dims()[0];
            let put = |queue: Param<Tensor<2>>, keys: Tensor<2>| {
                queue.map(|queue| Tensor::from_inner(enqueue(queue.inner(), keys.inner(), first)))
            };
            queue = queue.map(|queue| put(queue, keys.global));
            queue2 = queue2.zip(keys.pooled).map(|(queue, keys)| put(queue, keys));
        }
        let encoder_k = encoder_k.map(|teacher| follow(teacher, &encoder_q, self.contrast.momentum));
        Contrast { encoder_q, encoder_k, queue, queue2 }
    }

    async fn measure(&self, model: &Contrast, batch: &[Tensor<4>; 2], step: &mut Step) -> Result<Measures, String> {
        let pictures = batch[0].dims()[0] as f64;
        let (loss, accuracy) = self.contrast(model, batch.clone(), self.contrast.dense_weight, &mut step.rng);
        let numbers = read(Tensor::cat(vec![loss.total, accuracy], 0)).await?;
        let measure = |(name, number): (&str, &f32)| Measure::new(known(name), f64::from(*number) * pictures, pictures);
        Ok(Measures([LOSS, ACCURACY].into_iter().zip(&numbers).map(measure).collect()))
    }

    /// The backbone of what learns.
    fn exported<'m>(&self, model: &'m Contrast) -> &'m impl Module {
        &model.encoder_q.0
    }

    fn rules(&self) -> Rules {
        // A teacher has no gradients and so does not learn; its normalisations are not frozen for it.
        Box::new(|name, axes| Rule { trained: !name.starts_with("queue"), ..Rule::plain(axes) })
    }

    /// Views are normalised together, and the queue takes the keys of an update at once.
    fn batch_may_be_cut(&self) -> bool {
        false
    }
}
