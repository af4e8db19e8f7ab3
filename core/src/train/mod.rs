//! The one training loop, native and in the browser: async, never blocking on the device, telling an observer.

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::data::DataError;
use crate::data::loader::{BatchPlan, HostBatch, measuring_plans, training_plans};
use crate::tasks::{Scores, Task};

pub mod adamw;
pub mod layers;
pub mod schedule;

use adamw::{AdamW, AdamWConfig};
use schedule::Schedule;

/// How long and in what portions to learn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Passes over the training samples, at most.
    pub epochs: u64,
    /// Samples that are on the device at once.
    pub batch: usize,
    /// Batches whose gradients are averaged for one update.
    pub accumulate: usize,
    /// Epochs without a better validation loss before stopping; none = never.
    pub patience: Option<u64>,
    /// Largest number of optimiser updates in an epoch; none = the whole epoch.
    pub updates_per_epoch: Option<usize>,
    /// How the learning rate changes.
    pub schedule: Schedule,
    /// The optimiser.
    pub optimiser: AdamWConfig,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            epochs: 20,
            batch: 8,
            accumulate: 8,
            patience: Some(5),
            updates_per_epoch: None,
            schedule: Schedule::Linear,
            optimiser: AdamWConfig::default(),
        }
    }
}

/// What the loop tells.
#[derive(Debug)]
pub enum Event<'a, M> {
    /// An optimiser update happened.
    Step {
        /// Epoch, from 0.
        epoch: u64,
        /// Update within the epoch, from 0.
        step: usize,
        /// Updates in an epoch.
        steps: usize,
        /// Mean loss of the update's batches.
        loss: f64,
        /// Peak learning rate of the update.
        rate: f64,
    },
    /// An epoch is over and measured.
    Epoch {
        /// Epoch, from 0.
        epoch: u64,
        /// Mean training loss.
        train_loss: f64,
        /// Held-out scores.
        val: Scores,
        /// True when the validation loss is the lowest so far.
        best_loss: bool,
        /// True when the pooled IoU is the highest so far.
        best_iou: bool,
        /// The network, for saving.
        model: &'a M,
    },
}

/// What the observer wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// End after this event.
    Stop,
}

/// How training can fail.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A sample cannot be read or does not fit.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The loss is no number any more.
    #[error(
        "training diverged: the loss is {loss} at epoch {epoch}, update {step}; the last good weights are kept. \
         Lower optimiser.learning_rate or set optimiser.clip_norm"
    )]
    Diverged {
        /// Epoch, from 0.
        epoch: u64,
        /// Update within the epoch, from 0.
        step: usize,
        /// The loss.
        loss: f64,
    },
    /// The device failed.
    #[error("the device failed: {0}")]
    Device(String),
    /// The observer could not do its work, for example write a file.
    #[error("{0}")]
    Observer(String),
}

/// Gives batches in the order asked for. Native code reads ahead on threads, the browser reads when asked.
pub trait Feed {
    /// Announce the next batches.
    fn start(&mut self, plans: Vec<BatchPlan>);

    /// The next announced batch.
    fn next(&mut self) -> impl Future<Output = Option<Result<HostBatch, DataError>>>;
}

/// Learn from the samples `train`, measure on `val`, until the epochs are over, patience ends or the observer stops.
/// Returns the network as it is at the end; the observer saved the best ones.
///
/// `device` is the plain device; the loop turns gradients on by itself.
#[expect(clippy::too_many_arguments, reason = "everything that a run is made of, in the order of its use")]
pub async fn train<T: Task>(
    task: &T,
    mut model: T::Model,
    config: &TrainConfig,
    seed: u64,
    [train, val]: [&[usize]; 2],
    feed: &mut impl Feed,
    device: &Device,
    mut observe: impl AsyncFnMut(Event<'_, T::Model>) -> Result<Flow, String>,
) -> Result<T::Model, TrainError> {
    let learning = device.clone().autodiff();
    let rules = task.layer_rules(config.optimiser.layer_decay, config.optimiser.weight_decay);
    let mut optimiser = AdamW::new(config.optimiser.clone());
    let accumulate = config.accumulate.max(1);
    let batches = training_plans(train, config.batch, seed, 0).len();
    let updates = (batches / accumulate).max(1).min(config.updates_per_epoch.unwrap_or(usize::MAX));
    let total = updates as f64 * config.epochs as f64;
    let (mut best_loss, mut best_iou, mut stale) = (f64::INFINITY, f64::NEG_INFINITY, 0);

    for epoch in 0..config.epochs {
        let mut plans = training_plans(train, config.batch, seed, epoch);
        plans.truncate(updates * accumulate);
        let portion = accumulate.min(plans.len());
        feed.start(plans);
        let mut epoch_loss = 0.0;
        for step in 0..updates {
            let mut sum = GradientsAccumulator::new();
            let mut step_loss = 0.0;
            for _ in 0..portion {
                let batch = next_batch(feed).await?.to_device(&learning);
                let loss = task.loss(&model, &batch) / portion as f64;
                let gradients = GradientsParams::from_grads(loss.backward(), &model);
                sum.accumulate(&model, gradients);
                step_loss += f64::from(read_scalar(loss.inner()).await?);
            }
            if !step_loss.is_finite() {
                return Err(TrainError::Diverged { epoch, step, loss: step_loss });
            }
            let done = epoch as f64 * updates as f64 + step as f64;
            let rate = config.optimiser.learning_rate * config.schedule.factor(done, total);
            model = optimiser.step(model, sum.grads(), rate, |name, axes| rules.of(name, axes));
            epoch_loss += step_loss / updates as f64;
            let event = Event::Step { epoch, step, steps: updates, loss: step_loss, rate };
            if observe(event).await.map_err(TrainError::Observer)? == Flow::Stop {
                return Ok(model);
            }
        }

        let scores = measure(task, &model.valid(), config.batch, val, feed, device).await?;
        let loss = scores.mean_loss();
        let iou = scores.counts.iou();
        let (better_loss, better_iou) = (loss < best_loss, iou > best_iou);
        best_loss = if better_loss { loss } else { best_loss };
        best_iou = if better_iou { iou } else { best_iou };
        stale = if better_loss { 0 } else { stale + 1 };
        let event = Event::Epoch {
            epoch,
            train_loss: epoch_loss,
            val: scores,
            best_loss: better_loss,
            best_iou: better_iou,
            model: &model,
        };
        let flow = observe(event).await.map_err(TrainError::Observer)?;
        if flow == Flow::Stop || config.patience.is_some_and(|patience| stale >= patience) {
            break;
        }
    }
    Ok(model)
}

/// Pooled scores of `model` (without gradients) on the given samples.
async fn measure<T: Task>(
    task: &T,
    model: &T::Model,
    batch: usize,
    samples: &[usize],
    feed: &mut impl Feed,
    device: &Device,
) -> Result<Scores, TrainError> {
    let plans = measuring_plans(samples, batch);
    let count = plans.len();
    feed.start(plans);
    let mut scores = Scores::default();
    for _ in 0..count {
        let batch = next_batch(feed).await?.to_device(device);
        scores.add(&task.score(model, &batch).await.map_err(TrainError::Device)?);
    }
    Ok(scores)
}

async fn next_batch(feed: &mut impl Feed) -> Result<HostBatch, TrainError> {
    let missing = || TrainError::Observer("the loader ended before the epoch did".into());
    Ok(feed.next().await.ok_or_else(missing)??)
}

async fn read_scalar(tensor: burn::tensor::Tensor<1>) -> Result<f32, TrainError> {
    tensor.into_scalar_async().await.map_err(|e| TrainError::Device(format!("{e:?}")))
}
