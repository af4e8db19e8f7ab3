//! Ways to learn: how to make views of a sample, and how to compute the loss. The one plug point of training.

use std::future::Future;

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::train::layers::LayerRules;
use crate::train::loader::{Batch, View};
use sonoseg_imaging::DataError;
use sonoseg_imaging::dataset::sample::Sample;
use sonoseg_imaging::geometry::Image;
use sonoseg_imaging::metrics::overlap::Counts;
use sonoseg_imaging::rng::Rng;

pub mod mae;
pub mod segment;

/// What a task measures on a batch that it did not learn from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scores {
    /// Sum of the loss over the views.
    pub loss: f64,
    /// Views.
    pub views: usize,
    /// Pixels right and wrong, pooled; none where a task has no masks.
    pub counts: Option<Counts>,
}

impl Scores {
    /// Pool two batches.
    pub fn add(&mut self, other: &Self) {
        self.loss += other.loss;
        self.views += other.views;
        if let Some(counts) = other.counts {
            *self.counts.get_or_insert_default() += counts;
        }
    }

    /// Mean loss over the views; NaN when there are none.
    pub fn mean_loss(&self) -> f64 {
        self.loss / self.views as f64
    }
}

/// One way to learn.
pub trait Task: Sync {
    /// The network.
    type Model: Module;

    /// A fresh network.
    fn init(&self, device: &Device) -> Self::Model;

    /// Network inputs and targets of a sample; changed at random when `rng` is given.
    fn views(&self, sample: &Sample, rng: Option<&mut Rng>) -> Result<Vec<View>, DataError>;

    /// The loss of a batch. `rng` is for what the method itself draws, masks for example; not for augmentation.
    ///
    /// # Shapes
    /// - output: `[1]`
    fn loss(&self, model: &Self::Model, batch: &Batch, rng: &mut Rng) -> Tensor<1>;

    /// Measure a batch.
    fn score(&self, model: &Self::Model, batch: &Batch, rng: &mut Rng) -> impl Future<Output = Result<Scores, String>>;

    /// A picture of what the network makes of a batch, where that says more than scores.
    fn picture(&self, _: &Self::Model, _: &Batch, _: &mut Rng) -> impl Future<Output = Result<Option<Image>, String>> {
        async { Ok(None) }
    }

    /// Learning rates and weight decays by layer.
    fn layer_rules(&self, layer_decay: f64, weight_decay: f64) -> LayerRules;
}
