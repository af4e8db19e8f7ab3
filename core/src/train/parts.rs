//! The parts of an update: batches whose gradients are averaged. Who computes them is left open, so that several workers can; they
//! are summed in their order, which gives the same bits however many there are.

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::TrainError;
use crate::checkpoint::{self, CheckpointError, Storage};
use crate::optim::named;
use crate::tasks::{Loss, Step, Task};
use sonoseg_imaging::rng::{Rng, splitmix64};

/// A part of an update: its views, and what keys everything random in it.
#[derive(Clone, Debug)]
pub struct Part<V> {
    /// Inputs and targets.
    pub views: Vec<V>,
    /// Which part it is.
    pub key: PartKey,
    /// What [`Task::sums`] of all parts of the update add up to.
    pub whole: Vec<f32>,
}

/// Which part of which update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartKey {
    /// Seed of the run.
    pub seed: u64,
    /// Number of the part among all parts of the run.
    pub number: u64,
    /// Parts of an update.
    pub parts: usize,
    /// Updates that are done.
    pub updates: u64,
    /// Updates of the whole run.
    pub total: u64,
}

/// What a part gives: its share of the update's mean.
#[derive(Debug)]
pub struct Computed<K> {
    /// Loss.
    pub loss: f64,
    /// What it is made of, by name.
    pub parts: Vec<(&'static str, f64)>,
    /// Gradients of the parameters that learn.
    pub gradients: GradientsParams,
    /// What the task keeps for after the update.
    pub kept: K,
}

/// Whoever computes the parts of an update. Who does so with a copy of the model loses what a training pass changes in it beside
/// the gradients: networks with running statistics are computed by [`Here`].
pub trait Compute<T: Task> {
    /// Compute all parts, and hand what they give over in their order.
    fn compute(
        &mut self,
        task: &T,
        model: &T::Model,
        parts: Vec<Part<T::View>>,
        device: &Device,
        take: &mut impl FnMut(Computed<T::Kept>),
    ) -> impl Future<Output = Result<(), TrainError>>;

    /// [`Task::sums`] of each part, in their order; empty ones where the task has none.
    fn sums(
        &mut self,
        task: &T,
        model: &T::Model,
        parts: &[Part<T::View>],
        device: &Device,
    ) -> impl Future<Output = Result<Vec<Vec<f32>>, TrainError>> {
        async move {
            let mut all = Vec::with_capacity(parts.len());
            for part in parts {
                all.push(sums(task, model, part, device).await?);
            }
            Ok(all)
        }
    }
}

/// Computes all of them here, one after the other.
#[derive(Clone, Copy, Debug, Default)]
pub struct Here;

impl<T: Task> Compute<T> for Here {
    async fn compute(
        &mut self,
        task: &T,
        model: &T::Model,
        parts: Vec<Part<T::View>>,
        device: &Device,
        take: &mut impl FnMut(Computed<T::Kept>),
    ) -> Result<(), TrainError> {
        for part in parts {
            take(gradients(task, model, &part, device).await?);
        }
        Ok(())
    }
}

/// The batch of a part, as the pass that learns from it has it.
fn collated<T: Task>(task: &T, part: &Part<T::View>, device: &Device) -> T::Batch {
    let learning = device.clone().autodiff();
    // Burn's own randomness (dropout) must not depend on what ran before, or a resumed run would differ.
    learning.seed(splitmix64(part.key.seed ^ splitmix64(part.key.number)));
    task.collate(&part.views, &learning)
}

/// [`Task::sums`] of one part, empty where the task has none. `device` is the plain one.
///
/// # Errors
/// When the device fails.
pub async fn sums<T: Task>(
    task: &T,
    model: &T::Model,
    part: &Part<T::View>,
    device: &Device,
) -> Result<Vec<f32>, TrainError> {
    match task.sums(model, || collated(task, part, device)) {
        Some(sums) => read(sums.inner()).await,
        None => Ok(Vec::new()),
    }
}

/// Loss and gradients of one part. `device` is the plain one.
///
/// # Errors
/// When the device fails.
pub async fn gradients<T: Task>(
    task: &T,
    model: &T::Model,
    part: &Part<T::View>,
    device: &Device,
) -> Result<Computed<T::Kept>, TrainError> {
    let PartKey { seed, number, parts: count, updates, total } = part.key;
    let batch = collated(task, part, device);
    let rng = Rng::stream(seed, "step", [number, 0]);
    let mut step = Step { rng, updates, total, parts: count, whole: part.whole.clone() };
    let Loss { total, parts, kept } = task.loss(model, &batch, &mut step);
    let loss = total / count as f64;
    let gradients = GradientsParams::from_grads(loss.backward(), model);
    let (names, parts): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
    let tensors = std::iter::once(loss).chain(parts.into_iter().map(|part| part / count as f64));
    let numbers = read_scalars(tensors.map(Tensor::inner).collect()).await?;
    Ok(Computed { loss: numbers[0], parts: names.into_iter().zip(numbers[1..].to_vec()).collect(), gradients, kept })
}

/// Read tensors of one number each, all at once.
async fn read_scalars(tensors: Vec<Tensor<1>>) -> Result<Vec<f64>, TrainError> {
    Ok(read(Tensor::cat(tensors, 0)).await?.into_iter().map(f64::from).collect())
}

async fn read(tensor: Tensor<1>) -> Result<Vec<f32>, TrainError> {
    let failed = |e: &dyn std::fmt::Debug| TrainError::Device(format!("{e:?}"));
    let data = tensor.into_data_async().await.map_err(|e| failed(&e))?;
    data.try_into_vec::<f32>().map_err(|e| failed(&e))
}

/// What a part gives as it travels: the loss, and the gradients as tensors.
#[derive(Serialize, Deserialize)]
struct Header {
    loss: f64,
}

impl Computed<()> {
    /// As bytes, for one who sums.
    ///
    /// # Errors
    /// When the device fails.
    pub async fn to_bytes<M: Module>(&self, model: &M) -> Result<Vec<u8>, CheckpointError> {
        let state = named::read(model, &self.gradients).await?;
        checkpoint::encode(&Header { loss: self.loss }, &state, Storage::F32)
    }

    /// Back from bytes.
    ///
    /// # Errors
    /// When they do not fit the model.
    pub fn from_bytes<M: Module>(model: &M, bytes: &[u8]) -> Result<Self, CheckpointError> {
        const NAME: &str = "gradients of a helper";
        let (Header { loss }, state) = checkpoint::decode(NAME, bytes)?;
        Ok(Self { loss, parts: Vec::new(), gradients: named::write(NAME, model, state)?, kept: () })
    }
}
