//! The one training loop, native and in the browser: async, never blocking on the device, telling an observer.

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::tasks::{Scores, Task};
use crate::train::loader::{BatchPlan, HostBatch, measuring_plans, training_plans};
use sonoseg_imaging::DataError;
use sonoseg_imaging::geometry::Image;
use sonoseg_imaging::rng::{Rng, splitmix64};

pub mod adamw;
pub mod layer_set;
pub mod layers;
pub mod loader;
pub mod resume;
pub mod schedule;

use adamw::{AdamW, AdamWConfig};
use layer_set::LayerSet;
use layers::{ParameterRule, freeze};
use schedule::Schedule;

/// How long and in what portions to learn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Passes over the training samples, at most.
    pub epochs: u64,
    /// Optimiser updates, at most; none = as many as the epochs have.
    pub steps: Option<u64>,
    /// Samples that are on the device at once.
    pub batch: usize,
    /// Batches whose gradients are averaged for one update.
    pub accumulate: usize,
    /// Epochs without a better validation loss before stopping; 0 = never stop for that.
    pub patience: u64,
    /// Samples of an epoch, where that is to be more than there are: the samples as they are, then changed ones until there
    /// are so many, the same in every epoch (Amiri 2019 augments to a given total, once); none = every sample once,
    /// changed anew in every epoch.
    pub samples_per_epoch: Option<usize>,
    /// Largest number of optimiser updates in an epoch; none = the whole epoch.
    pub updates_per_epoch: Option<usize>,
    /// What the learning rate of the optimiser is for.
    pub rate_for: RateFor,
    /// What learns.
    pub layers: LayerSet,
    /// How the learning rate changes.
    pub schedule: Schedule,
    /// The optimiser.
    pub optimiser: AdamWConfig,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            epochs: 20,
            steps: None,
            batch: 8,
            accumulate: 8,
            patience: 5,
            samples_per_epoch: None,
            updates_per_epoch: None,
            rate_for: RateFor::Update,
            layers: LayerSet::All,
            schedule: Schedule::Linear,
            optimiser: AdamWConfig::default(),
        }
    }
}

impl TrainConfig {
    /// The highest learning rate that an update gets.
    pub fn peak_rate(&self) -> f64 {
        let samples = (self.batch * self.accumulate.max(1)) as f64;
        match self.rate_for {
            RateFor::Update => self.optimiser.learning_rate,
            RateFor::Samples256 => self.optimiser.learning_rate * samples / 256.0,
        }
    }
}

/// What a learning rate is given for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateFor {
    /// For an update, of however many samples.
    Update,
    /// For an update of 256 samples; scaled to the samples that an update has (MAE's "base learning rate").
    Samples256,
}

/// Where a run stands. Everything that the loop must know to go on as if it had never stopped, beside the weights and
/// the optimiser's moments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// Epoch that the next update belongs to, from 0.
    pub epoch: u64,
    /// Updates of that epoch that are done.
    pub step: usize,
    /// Updates done in all.
    pub updates: u64,
    /// Sum of the losses of the epoch's updates.
    pub loss_sum: f64,
    /// Lowest validation loss so far.
    pub best_loss: Option<f64>,
    /// Highest pooled IoU so far.
    pub best_iou: Option<f64>,
    /// Epochs since the validation loss was last better.
    pub stale: u64,
}

impl Position {
    /// Before the first update.
    pub fn start() -> Self {
        Self { epoch: 0, step: 0, updates: 0, loss_sum: 0.0, best_loss: None, best_iou: None, stale: 0 }
    }
}

/// A run at some point: enough to predict, and enough to go on.
#[derive(Debug)]
pub struct Progress<M> {
    /// The network.
    pub model: M,
    /// The optimiser with its moments.
    pub optimiser: AdamW,
    /// Where the run stands.
    pub position: Position,
}

impl<M: Module> Progress<M> {
    /// Numbers that the network learns.
    pub fn parameters(&self) -> usize {
        self.model.num_params()
    }

    /// A run that begins with `model`.
    pub fn begin(model: M, config: &TrainConfig) -> Self {
        Self { model, optimiser: AdamW::new(config.optimiser.clone()), position: Position::start() }
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
        /// The run after the update.
        progress: &'a Progress<M>,
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
        /// True when the pooled IoU is the highest so far, the loss deciding between equal ones.
        best_iou: bool,
        /// The run after the epoch.
        progress: &'a Progress<M>,
    },
}

/// What the observer wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// Measure now, as at the end of an epoch, and end.
    Finish,
    /// End after this event.
    Stop,
}

/// What an observer fails with.
pub type ObserverError = Box<dyn std::error::Error + Send + Sync>;

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
    #[error(transparent)]
    Observer(ObserverError),
}

/// Gives batches in the order asked for. Native code reads ahead on threads, the browser reads when asked.
pub trait Feed {
    /// Announce the next batches.
    fn start(&mut self, plans: Vec<BatchPlan>);

    /// The next announced batch.
    fn next(&mut self) -> impl Future<Output = Option<Result<HostBatch, DataError>>>;
}

/// Learn from the samples `train`, measure on `val`, from where `progress` stands until the epochs are over, patience
/// ends or the observer stops. Gives the run as it is at the end; the observer saved the best weights.
///
/// `device` is the plain device; the loop turns gradients on by itself, and the network must be on the device with
/// gradients. The same run stopped anywhere and begun again from its [`Progress`] gives the same numbers.
#[expect(clippy::too_many_arguments, reason = "everything that a run is made of, in the order of its use")]
pub async fn train<T: Task>(
    task: &T,
    mut progress: Progress<T::Model>,
    config: &TrainConfig,
    seed: u64,
    [train, val]: [&[usize]; 2],
    feed: &mut impl Feed,
    device: &Device,
    mut observe: impl AsyncFnMut(Event<'_, T::Model>) -> Result<Flow, ObserverError>,
) -> Result<Progress<T::Model>, TrainError> {
    let rules = task.layer_rules(config.optimiser.layer_decay, config.optimiser.weight_decay);
    let rule = |name: &str, axes| ParameterRule { trained: config.layers.trains(name), ..rules.of(name, axes) };
    progress.model = freeze(progress.model, rule);
    let accumulate = config.accumulate.max(1);
    let plans = |epoch| training_plans(train, config.batch, config.samples_per_epoch, seed, epoch);
    let batches = plans(0).len();
    let portion = accumulate.min(batches);
    let steps = (batches / accumulate).max(1).min(config.updates_per_epoch.unwrap_or(usize::MAX));
    let total = (steps as u64).saturating_mul(config.epochs).min(config.steps.unwrap_or(u64::MAX));

    let patience_ended = |position: &Position| config.patience > 0 && position.stale >= config.patience;

    // A run that stopped after its last update has still to be measured.
    while !patience_ended(&progress.position) && (progress.position.updates < total || progress.position.step > 0) {
        let epoch = progress.position.epoch;
        feed.start(plans(epoch).into_iter().take(steps * portion).skip(progress.position.step * portion).collect());
        let mut finish = false;
        while progress.position.step < steps && progress.position.updates < total && !finish {
            let step = progress.position.step;
            let (loss, gradients) =
                gradients(task, &progress.model, &progress.position, portion, seed, feed, device).await?;
            if !loss.is_finite() {
                return Err(TrainError::Diverged { epoch, step, loss });
            }
            let rate = config.peak_rate() * config.schedule.factor(progress.position.updates as f64, total as f64);
            progress.model = progress.optimiser.step(progress.model, gradients, rate, rule);
            progress.position.step += 1;
            progress.position.updates += 1;
            progress.position.loss_sum += loss;
            let event = Event::Step { epoch, step, steps, loss, rate, progress: &progress };
            match observe(event).await.map_err(TrainError::Observer)? {
                Flow::Continue => {}
                Flow::Finish => finish = true,
                Flow::Stop => return Ok(progress),
            }
        }

        let scores = measure(task, &progress.model.valid(), config.batch, val, seed, feed, device).await?;
        let position = &mut progress.position;
        let train_loss = position.loss_sum / position.step as f64;
        let loss = scores.mean_loss();
        let iou = scores.counts.map_or(f64::NAN, |counts| counts.iou());
        let best_loss = loss < position.best_loss.unwrap_or(f64::INFINITY);
        let highest = position.best_iou.unwrap_or(f64::NEG_INFINITY);
        // While nothing is found yet every IoU is 0, and the loss alone tells epochs apart.
        let best_iou = iou > highest || (iou == highest && best_loss);
        if best_loss {
            position.best_loss = Some(loss);
        }
        if best_iou {
            position.best_iou = Some(iou);
        }
        position.stale = if best_loss { 0 } else { position.stale + 1 };
        (position.epoch, position.step, position.loss_sum) = (epoch + 1, 0, 0.0);
        let event = Event::Epoch { epoch, train_loss, val: scores, best_loss, best_iou, progress: &progress };
        if observe(event).await.map_err(TrainError::Observer)? != Flow::Continue || finish {
            break;
        }
    }
    Ok(progress)
}

/// The task's picture of what the network makes of a batch.
pub async fn picture<T: Task>(
    task: &T,
    progress: &Progress<T::Model>,
    batch: &HostBatch,
    seed: u64,
    device: &Device,
) -> Result<Option<Image>, TrainError> {
    let mut rng = Rng::stream(seed, "picture", [0, 0]);
    task.picture(&progress.model.valid(), &batch.to_device(device), &mut rng).await.map_err(TrainError::Device)
}

/// Mean loss and mean gradients of the next `portion` batches.
async fn gradients<T: Task>(
    task: &T,
    model: &T::Model,
    position: &Position,
    portion: usize,
    seed: u64,
    feed: &mut impl Feed,
    device: &Device,
) -> Result<(f64, GradientsParams), TrainError> {
    let learning = device.clone().autodiff();
    let mut sum = GradientsAccumulator::new();
    let mut mean_loss = 0.0;
    for part in 0..portion {
        let batch = next_batch(feed).await?.to_device(&learning);
        let number = position.updates * portion as u64 + part as u64;
        let mut rng = Rng::stream(seed, "step", [number, 0]);
        // Burn's own randomness (dropout) must not depend on what ran before, or a resumed run would differ.
        learning.seed(splitmix64(seed ^ splitmix64(number)));
        let loss = task.loss(model, &batch, &mut rng) / portion as f64;
        let gradients = GradientsParams::from_grads(loss.backward(), model);
        sum.accumulate(model, gradients);
        mean_loss += f64::from(read_scalar(loss.inner()).await?);
    }
    Ok((mean_loss, sum.grads()))
}

/// Pooled scores of `model` (without gradients) on the given samples.
async fn measure<T: Task>(
    task: &T,
    model: &T::Model,
    batch: usize,
    samples: &[usize],
    seed: u64,
    feed: &mut impl Feed,
    device: &Device,
) -> Result<Scores, TrainError> {
    let plans = measuring_plans(samples, batch);
    let count = plans.len();
    feed.start(plans);
    let mut scores = Scores::default();
    for number in 0..count {
        let batch = next_batch(feed).await?.to_device(device);
        // The same draws after every epoch, so that epochs can be compared.
        let mut rng = Rng::stream(seed, "measure", [number as u64, 0]);
        scores.add(&task.score(model, &batch, &mut rng).await.map_err(TrainError::Device)?);
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
