//! Ways to learn: how to make views of a sample, and how to compute the loss. The one plug point of training.

use std::future::Future;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};

use crate::optim::rules::Rules;
use sonoseg_imaging::DataError;
use sonoseg_imaging::dataset::sample::Sample;
use sonoseg_imaging::geometry::Image;
use sonoseg_imaging::metrics::known;
use sonoseg_imaging::metrics::measure::{Measure, Measures};
use sonoseg_imaging::rng::Rng;

pub mod contrast;
pub mod mae;
pub mod segment;

/// Where the run is when it asks a task.
#[derive(Debug)]
pub struct Step {
    /// For what the method itself draws, masks for example; not for augmentation.
    pub rng: Rng,
    /// Updates that are done.
    pub updates: u64,
    /// Updates of the whole run.
    pub total: u64,
    /// Batches that are one update together.
    pub parts: usize,
    /// [`Task::sums`] of all of them, added up; empty where the loss of each is its own.
    pub whole: Vec<f32>,
}

impl Step {
    /// Of a batch by itself.
    pub fn alone(rng: Rng, updates: u64, total: u64) -> Self {
        Self { rng, updates, total, parts: 1, whole: Vec::new() }
    }
}

/// The loss of a batch.
#[derive(Debug)]
pub struct Loss<K> {
    /// What is learned from, `[1]`.
    pub total: Tensor<1>,
    /// What it is made of, each `[1]`, for people.
    pub parts: Vec<(&'static str, Tensor<1>)>,
    /// What [`Task::after_update`] needs of this batch.
    pub kept: K,
}

impl<K: Default> From<Tensor<1>> for Loss<K> {
    fn from(total: Tensor<1>) -> Self {
        Self { total, parts: Vec::new(), kept: K::default() }
    }
}

/// What a task needs of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reads {
    /// Consecutive frames.
    pub frames: usize,
    /// Whether their targets must be known.
    pub labels: bool,
}

/// One way to learn. What must survive a restart is a field of the model or follows from the number of updates.
pub trait Task: Sync {
    /// The network, with all that goes on beside it: a teacher, a queue.
    type Model: Module;
    /// One network input with its target, as numbers on the CPU.
    type View: Send;
    /// Several views on the device.
    type Batch;
    /// What the loss leaves behind for [`Task::after_update`].
    type Kept: Default;

    /// A fresh network.
    fn init(&self, device: &Device) -> Self::Model;

    /// What it needs of a sample.
    fn reads(&self) -> Reads;

    /// Network inputs and targets of a sample; changed at random when `rng` is given.
    fn views(&self, sample: &Sample, rng: Option<&mut Rng>) -> Result<Vec<Self::View>, DataError>;

    /// Upload.
    fn collate(&self, views: &[Self::View], device: &Device) -> Self::Batch;

    /// What the loss of an update has to know of each of its parts, as numbers that are added up; none where the loss of each is its
    /// own, and the batch is not asked for.
    fn sums(&self, _: &Self::Model, _batch: impl FnOnce() -> Self::Batch) -> Option<Tensor<1>> {
        None
    }

    /// The loss of a batch.
    fn loss(&self, model: &Self::Model, batch: &Self::Batch, step: &mut Step) -> Loss<Self::Kept>;

    /// The model after an update, with what the loss of each of its batches left behind.
    fn after_update(&self, model: Self::Model, _kept: Vec<Self::Kept>, _step: &mut Step) -> Self::Model {
        model
    }

    /// Measure a batch that it did not learn from. `loss` must be among the measures.
    fn measure(
        &self,
        model: &Self::Model,
        batch: &Self::Batch,
        step: &mut Step,
    ) -> impl Future<Output = Result<Measures, String>>;

    /// The name of the measure that says which epoch is the best.
    fn decides(&self) -> &'static str {
        LOSS
    }

    /// A picture of what the network makes of a batch, where that says more than measures.
    fn picture(
        &self,
        _: &Self::Model,
        _: &Self::Batch,
        _: &mut Step,
    ) -> impl Future<Output = Result<Option<Image>, String>> {
        async { Ok(None) }
    }

    /// What of the model a model file holds.
    fn exported<'m>(&self, model: &'m Self::Model) -> &'m impl Module {
        model
    }

    /// What is special about the parameters, by name.
    fn rules(&self) -> Rules;

    /// False where the loss is that of a whole batch, so that the mean over portions of it is another: views are compared
    /// with each other, or normalised together.
    fn batch_may_be_cut(&self) -> bool {
        true
    }
}

/// The name of the loss among the measures.
pub const LOSS: &str = "loss";

/// The loss of so many views, pooled by view.
async fn loss_measure(loss: Tensor<1>, views: usize) -> Result<Measure, String> {
    let loss: f32 = loss.into_scalar_async().await.map_err(|e| format!("{e:?}"))?;
    let metric = known(LOSS);
    Ok(Measure::new(metric, f64::from(loss) * views as f64, views as f64))
}

/// Rows of numbers on the device, all of them as one tensor.
fn upload<'a, const D: usize>(rows: impl Iterator<Item = &'a [f32]>, shape: [usize; D], device: &Device) -> Tensor<D> {
    let numbers: Vec<f32> = rows.flatten().copied().collect();
    Tensor::from_data(TensorData::new(numbers, shape), device)
}

async fn read<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, String> {
    let data = tensor.into_data_async().await.map_err(|e| format!("{e:?}"))?;
    data.try_into_vec().map_err(|e| format!("{e:?}"))
}
