//! The network of contrastive pre-training: a residual network with heads whose vectors are compared, its teacher, and queues
//! of what the teacher gave (Wang 2021, section 3, and its public code, whose names the tensors have).

use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Initializer, Linear, Relu};
use burn::tensor::{Device, Distribution, Int, Tensor};

use super::resnet::{Resnet, ResnetConfig, ResnetInit};
use super::{channel_means, too_large};
use crate::losses::contrast::unit;
use crate::optim::follow::follower;

/// Sizes of the network.
#[derive(Clone, Debug, PartialEq)]
pub struct ContrastConfig {
    /// What is pre-trained.
    pub backbone: ResnetConfig,
    /// Width of the hidden layers of the heads; as many as the backbone has features in the public code.
    pub hidden: usize,
    /// Width of the vectors that are compared.
    pub width: usize,
    /// Whether places are compared, too, and not only whole pictures.
    pub dense: bool,
    /// Keys in each queue; 0 = no teacher and no queue.
    pub queue: usize,
}

/// The backbone and its heads, in the public code a sequence of two.
pub type Encoder = (Resnet, Neck);

/// Heads of an encoder.
#[derive(Module, Debug)]
pub struct Neck {
    /// Of the mean over all places: linear, ReLU, linear.
    pub mlp: (Linear, Relu, Linear),
    /// The same of every place; none where only whole pictures are compared.
    pub mlp2: Option<(Conv2d, Relu, Conv2d)>,
}

/// What an encoder makes of pictures.
#[derive(Clone, Debug)]
pub struct Projected {
    /// Features of the backbone, `[batch, features, places]`.
    pub map: Tensor<3>,
    /// Of the whole picture, `[batch, width]`.
    pub global: Tensor<2>,
    /// Of every place, `[batch, width, places]`; none without a dense head.
    pub dense: Option<Tensor<3>>,
}

impl Projected {
    /// The pictures in another order.
    pub fn select(self, order: &Tensor<1, Int>) -> Self {
        Self {
            map: self.map.select(0, order.clone()),
            global: self.global.select(0, order.clone()),
            dense: self.dense.map(|map| map.select(0, order.clone())),
        }
    }

    /// The same numbers, through which no gradient goes.
    pub fn detach(self) -> Self {
        Self { map: self.map.detach(), global: self.global.detach(), dense: self.dense.map(Tensor::detach) }
    }
}

/// The network.
#[derive(Module, Debug)]
pub struct Contrast {
    /// What learns.
    pub encoder_q: Encoder,
    /// Its teacher, which gives the keys.
    pub encoder_k: Option<Encoder>,
    /// The last keys of whole pictures, oldest overwritten first, `[width, keys]`.
    pub queue: Option<Param<Tensor<2>>>,
    /// The last means over the keys of all places.
    pub queue2: Option<Param<Tensor<2>>>,
}

impl ContrastConfig {
    /// What makes these sizes impossible, if anything.
    pub fn problem(&self) -> Option<String> {
        let Self { hidden, width, dense, queue, .. } = *self;
        if let Some(problem) = too_large(&[("hidden", hidden), ("width", width)]) {
            return Some(problem);
        }
        if hidden == 0 || width == 0 {
            return Some("hidden and width must be at least 1".into());
        }
        if queue > MOST_KEYS {
            return Some(format!("queue {queue} is larger than {MOST_KEYS}, the most that a queue may have"));
        }
        (dense && queue == 0).then(|| {
            "dense_weight above 0 compares places with a queue, and queue = 0 means none: set dense_weight = 0, or a queue".into()
        })
    }

    /// A network with initial values. Panics on impossible sizes.
    ///
    /// Unlike other networks it has all its numbers at once, because the teacher begins as a copy.
    pub fn init(&self, device: &Device) -> Contrast {
        if let Some(problem) = self.problem() {
            panic!("{problem}");
        }
        let neck = Neck::new([self.backbone.features(), self.hidden, self.width], self.dense, device);
        let drawn = ResnetInit { fan_in: true, ..ResnetInit::default() };
        let encoder_q = (self.backbone.init_as(drawn, device), neck);
        let encoder_k = (self.queue > 0).then(|| follower(&encoder_q));
        let queue = || {
            let noise = Tensor::random([self.width, self.queue], Distribution::Normal(0.0, 1.0), device);
            Param::from_tensor(unit(noise, 0)).set_require_grad(false)
        };
        Contrast {
            encoder_q,
            encoder_k,
            queue: (self.queue > 0).then(queue),
            queue2: (self.queue > 0 && self.dense).then(queue),
        }
    }
}

/// Largest queue: 4 GB of 128 numbers a key.
const MOST_KEYS: usize = 1 << 23;

impl Neck {
    /// Heads with the initial values of the public code: of the linear layers from a normal distribution by their inputs; its
    /// convolutions are left as PyTorch makes them.
    pub fn new([features, hidden, width]: [usize; 3], dense: bool, device: &Device) -> Self {
        let linear = |[input, output]: [usize; 2]| Linear {
            weight: Initializer::KaimingNormal { gain: 2.0_f64.sqrt(), fan_out_only: false }.init_with(
                [input, output],
                Some(input),
                Some(output),
                device,
            ),
            bias: Some(Initializer::Zeros.init([output], device)),
        };
        let conv = |channels: [usize; 2]| Conv2dConfig::new(channels, [1, 1]).init(device);
        let (first, last) = ([features, hidden], [hidden, width]);
        Self {
            mlp: (linear(first), Relu::new(), linear(last)),
            mlp2: dense.then(|| (conv(first), Relu::new(), conv(last))),
        }
    }

    /// # Shapes
    /// - `map`: features of the backbone, `[batch, features, height, width]`
    pub fn forward(&self, map: Tensor<4>) -> Projected {
        let [batch, features, height, width] = map.dims();
        let flat = |map: Tensor<4>| {
            let channels = map.dims()[1];
            map.reshape([batch, channels, height * width])
        };
        let (first, relu, last) = &self.mlp;
        let global = last.forward(relu.forward(first.forward(channel_means(map.clone()))));
        let dense =
            self.mlp2.as_ref().map(|(first, relu, last)| flat(last.forward(relu.forward(first.forward(map.clone())))));
        Projected { map: map.reshape([batch, features, height * width]), global, dense }
    }
}

/// What an encoder makes of pictures, normalising by the statistics of `groups` parts of the batch.
///
/// # Shapes
/// - `images`: `[batch, channels, height, width]`
pub fn project((backbone, neck): &Encoder, images: Tensor<4>, groups: usize) -> Projected {
    neck.forward(backbone.forward_in_groups(images, groups))
}

/// A queue with new keys in the places from `first` on; behind the last place comes the first one.
///
/// # Shapes
/// - `queue`: `[width, keys]`, to the same
/// - `keys`: `[batch, width]`, no more than the queue holds
pub fn enqueue(queue: Tensor<2>, keys: Tensor<2>, first: usize) -> Tensor<2> {
    let ([width, places], [batch, _]) = (queue.dims(), keys.dims());
    assert!(batch <= places, "{batch} keys do not fit into a queue of {places}");
    let first = first % places;
    let before = batch.min(places - first);
    let keys = keys.transpose();
    let end = keys.clone().narrow(1, 0, before);
    let queue = queue.slice_assign([0..width, first..first + before], end);
    if before == batch {
        return queue;
    }
    queue.slice_assign([0..width, 0..batch - before], keys.narrow(1, before, batch - before))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::parameters;
    use burn::tensor::TensorData;

    #[test]
    fn the_query_network_of_the_paper_has_its_parameters() {
        let backbone = ResnetConfig::resnet50();
        let device = Device::flex();
        let neck = Neck::new([backbone.features(), 2048, 128], true, &device);
        let encoder = (backbone.init(&device), neck);
        assert_eq!(parameters(&encoder), 32_425_280);
        assert_eq!(parameters(&encoder.1), 8_917_248);
    }

    #[test]
    fn keys_go_where_it_is_their_turn_and_behind_the_last_place_comes_the_first() {
        let numbers = |from: usize, shape: [usize; 2]| {
            let count = shape[0] * shape[1];
            let numbers: Vec<f32> = (from..from + count).map(|number| number as f32).collect();
            Tensor::<2>::from_data(TensorData::new(numbers, shape), &Device::flex())
        };
        let read = |queue: Tensor<2>| queue.into_data().try_into_vec::<f32>().unwrap();
        let queue = enqueue(numbers(0, [2, 5]), numbers(10, [2, 2]), 1);
        assert_eq!(read(queue.clone()), [0.0, 10.0, 12.0, 3.0, 4.0, 5.0, 11.0, 13.0, 8.0, 9.0]);
        // The fourteenth key of five places.
        let queue = enqueue(queue, numbers(20, [3, 2]), 13);
        assert_eq!(read(queue), [24.0, 10.0, 12.0, 20.0, 22.0, 25.0, 11.0, 13.0, 21.0, 23.0]);
    }
}
