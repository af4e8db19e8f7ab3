//! The one training loop, native and in the browser: async, never blocking on the device, telling an observer.

use std::collections::BTreeSet;

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::checkpoint::{CheckpointError, read_initialised, read_state, write_state};
use crate::models::layer_set::LayerSet;
use crate::optim::OptimiserConfig;
use crate::optim::freeze::freeze;
use crate::optim::schedule::Schedule;
use crate::tasks::{LOSS, Step, Task};
use crate::train::loader::{BatchPlan, measuring_plans, training_plans};
use crate::train::parts::{Compute, Part, PartKey};
use sonoseg_imaging::DataError;
use sonoseg_imaging::geometry::Image;
use sonoseg_imaging::metrics::measure::Measures;
use sonoseg_imaging::rng::Rng;

pub mod loader;
pub mod parts;
mod progress;
pub mod record;
mod resume;

pub use loader::Samples;
pub use progress::{Position, Progress};

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
    /// How often an epoch goes through the samples, changing them anew each time: where they are few, an epoch would be over
    /// and measured after an update.
    pub passes_per_epoch: usize,
    /// Largest number of optimiser updates in an epoch; none = the whole epoch.
    pub updates_per_epoch: Option<usize>,
    /// What the learning rate of the optimiser is for.
    pub rate_for: RateFor,
    /// What learns, of a U-Net; the task's rules apply it.
    pub layers: LayerSet,
    /// How the learning rate changes.
    pub schedule: Schedule,
    /// When it changes.
    #[serde(skip_serializing_if = "RateChanges::is_default")]
    pub rate_changes: RateChanges,
    /// The optimiser.
    pub optimiser: OptimiserConfig,
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
            passes_per_epoch: 1,
            updates_per_epoch: None,
            rate_for: RateFor::Update,
            layers: LayerSet::All,
            schedule: Schedule::Linear,
            rate_changes: RateChanges::Update,
            optimiser: OptimiserConfig::default(),
        }
    }
}

impl TrainConfig {
    /// The highest learning rate that an update gets.
    pub fn peak_rate(&self) -> f64 {
        let samples = (self.batch * self.accumulate.max(1)) as f64;
        match self.rate_for {
            RateFor::Update => self.optimiser.learning_rate(),
            RateFor::Samples256 => self.optimiser.learning_rate() * samples / 256.0,
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

/// When a learning rate changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateChanges {
    /// With every update.
    #[default]
    Update,
    /// With every epoch, being the same in all updates of one (DenseCL's public code).
    Epoch,
}

impl RateChanges {
    /// Left out of recipes, so that those without it are the ones of before.
    fn is_default(&self) -> bool {
        *self == Self::default()
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
        /// Means of what the loss is made of, by name.
        parts: Vec<(&'static str, f64)>,
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
        /// What was measured on held-out samples; nothing where none are held out.
        val: Measures,
        /// Names of the measures that are better than in every epoch before.
        improved: BTreeSet<String>,
        /// True when the epoch is the best so far: by the measure that decides, the loss deciding between equal ones.
        best: bool,
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
    /// The recipe accumulates what must not be cut into portions.
    #[error(
        "train.accumulate = {0} would cut the batch of an update into portions, and the loss of this task is that of the \
         whole batch: set train.accumulate = 1"
    )]
    Accumulated(usize),
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

/// Gives the views of batches in the order asked for. Native code reads ahead on threads, the browser reads when asked.
pub trait Feed<V> {
    /// Announce the next batches.
    fn start(&mut self, plans: Vec<BatchPlan>);

    /// The views of the next announced batch.
    fn next(&mut self) -> impl Future<Output = Option<Result<Vec<V>, DataError>>>;
}

/// Learn from `samples` and measure on those that are held out, from where `progress` stands until the epochs are over, patience
/// ends or the observer, which may await anything, stops. Gives the run as it is at the end; the observer saved the best weights.
///
/// `device` is the plain device; the loop turns gradients on by itself, and the network must be on the device with
/// gradients. The same run stopped anywhere and begun again from its [`Progress`] gives the same numbers.
#[expect(clippy::too_many_arguments, reason = "everything that a run is made of, in the order of its use")]
pub async fn train<T: Task>(
    task: &T,
    mut progress: Progress<T::Model>,
    config: &TrainConfig,
    seed: u64,
    samples: Samples<'_>,
    feed: &mut impl Feed<T::View>,
    compute: &mut impl Compute<T>,
    device: &Device,
    mut observe: impl AsyncFnMut(Event<'_, T::Model>) -> Result<Flow, ObserverError>,
) -> Result<Progress<T::Model>, TrainError> {
    let rules = task.rules();
    let rule = |name: &str, axes| config.optimiser.rule(rules(name, axes));
    progress.model = freeze(progress.model, rule);
    let accumulate = config.accumulate.max(1);
    if accumulate > 1 && !task.batch_may_be_cut() {
        return Err(TrainError::Accumulated(accumulate));
    }
    if samples.train.is_empty() {
        return Err(DataError::Inconsistent("there is no sample to learn from".into()).into());
    }
    let plans = |epoch| training_plans(&samples, config, seed, epoch);
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
            let updates = progress.position.updates;
            let Portions { loss, parts, gradients, kept } =
                gradients(task, &progress.model, [updates, total], portion, seed, feed, compute, device).await?;
            if !loss.is_finite() {
                return Err(TrainError::Diverged { epoch, step, loss });
            }
            let at = match config.rate_changes {
                RateChanges::Update => updates,
                RateChanges::Epoch => updates - step as u64,
            };
            let rate = config.peak_rate() * config.schedule.factor(at as f64, total as f64);
            progress.model = progress.optimiser.step(progress.model, gradients, rate, rule);
            let mut after = Step::alone(Rng::stream(seed, "after", [updates, 0]), updates, total);
            progress.model = task.after_update(progress.model, kept, &mut after);
            progress.position.step += 1;
            progress.position.updates += 1;
            progress.position.loss_sum += loss;
            let event = Event::Step { epoch, step, steps, loss, parts, rate, progress: &progress };
            match observe(event).await.map_err(TrainError::Observer)? {
                Flow::Continue => {}
                Flow::Finish => finish = true,
                Flow::Stop => return Ok(progress),
            }
        }

        let run = [progress.position.updates, total];
        let val = measure(task, &progress.model.valid(), config.batch, samples.val, run, seed, feed, device).await?;
        let position = &mut progress.position;
        let train_loss = position.loss_sum / position.step as f64;
        let (improved, best) = compare(position, &val, task.decides());
        (position.epoch, position.step, position.loss_sum) = (epoch + 1, 0, 0.0);
        let event = Event::Epoch { epoch, train_loss, val, improved, best, progress: &progress };
        if observe(event).await.map_err(TrainError::Observer)? != Flow::Continue || finish {
            break;
        }
    }
    Ok(progress)
}

/// Note the measures of an epoch that are better than before. Gives their names, and whether the epoch is the best.
fn compare(position: &mut Position, val: &Measures, decides: &str) -> (BTreeSet<String>, bool) {
    let mut improved = BTreeSet::new();
    let before = position.best.get(decides).copied();
    for measure in &val.0 {
        let name = &*measure.metric.name;
        let Some(value) = measure.value().filter(|value| value.is_finite()) else { continue };
        if position.best.get(name).is_none_or(|&best| measure.metric.improves(value, best)) {
            position.best.insert(name.to_owned(), value);
            improved.insert(name.to_owned());
        }
    }
    let better_loss = improved.contains(LOSS);
    if !val.0.is_empty() {
        position.stale = if better_loss { 0 } else { position.stale + 1 };
    }
    // While nothing is found yet every IoU is 0, and the loss alone tells epochs apart; so it does where there is none.
    let best = improved.contains(decides) || (better_loss && before == val.value(decides));
    (improved, best)
}

/// The task's picture of what the network makes of some views.
pub async fn picture<T: Task>(
    task: &T,
    progress: &Progress<T::Model>,
    views: &[T::View],
    seed: u64,
    device: &Device,
) -> Result<Option<Image>, TrainError> {
    let updates = progress.position.updates;
    let mut step = Step::alone(Rng::stream(seed, "picture", [0, 0]), updates, updates);
    let batch = task.collate(views, device);
    task.picture(&progress.model.valid(), &batch, &mut step).await.map_err(TrainError::Device)
}

/// Compute the gradients of some views as an update of all layers does, `around` being called before and after, and give the
/// run back as it was: what an update needs of memory is measured so.
pub async fn trial<T: Task>(
    task: &T,
    progress: Progress<T::Model>,
    views: &[T::View],
    seed: u64,
    device: &Device,
    mut around: impl FnMut(),
) -> Result<Progress<T::Model>, CheckpointError> {
    // A training pass changes running statistics. What there is of the state is saved and put back, for a copy might share
    // some of it.
    let kept = read_initialised(&progress.model).await?;
    let updates = progress.position.updates;
    let mut step = Step::alone(Rng::stream(seed, "memory", [0, 0]), updates, updates);
    around();
    let batch = task.collate(views, &device.clone().autodiff());
    drop(task.loss(&progress.model, &batch, &mut step).total.backward());
    around();
    let mut state = read_state(&progress.model).await?;
    state.extend(kept);
    let model = write_state("the trial of memory", state, progress.model)?;
    Ok(Progress { model, ..progress })
}

/// What the batches of an update give together.
struct Portions<K> {
    loss: f64,
    parts: Vec<(&'static str, f64)>,
    gradients: GradientsParams,
    kept: Vec<K>,
}

/// Mean loss and mean gradients of the next `portion` batches.
#[expect(clippy::too_many_arguments, reason = "everything that an update is made of, in the order of its use")]
async fn gradients<T: Task>(
    task: &T,
    model: &T::Model,
    [updates, total]: [u64; 2],
    portion: usize,
    seed: u64,
    feed: &mut impl Feed<T::View>,
    compute: &mut impl Compute<T>,
    device: &Device,
) -> Result<Portions<T::Kept>, TrainError> {
    let mut parts = Vec::with_capacity(portion);
    for part in 0..portion {
        let number = updates * portion as u64 + part as u64;
        let key = PartKey { seed, number, parts: portion, updates, total };
        parts.push(Part { views: next_views(feed).await?, key, whole: Vec::new() });
    }
    if portion > 1 {
        let sums = compute.sums(task, model, &parts, device).await?;
        let mut whole = vec![0.0; sums.first().map_or(0, Vec::len)];
        if sums.iter().any(|sums| sums.len() != whole.len()) {
            return Err(TrainError::Device("the parts of an update gave sums of several lengths".into()));
        }
        for sums in sums {
            whole.iter_mut().zip(sums).for_each(|(whole, sum): (&mut f32, f32)| *whole += sum);
        }
        parts.iter_mut().for_each(|part| part.whole.clone_from(&whole));
    }
    let mut sum = GradientsAccumulator::new();
    let mut portions = Portions { loss: 0.0, parts: Vec::new(), gradients: GradientsParams::new(), kept: Vec::new() };
    let mut take = |computed: parts::Computed<T::Kept>| {
        sum.accumulate(model, computed.gradients);
        portions.loss += computed.loss;
        portions.parts.resize(computed.parts.len(), ("", 0.0));
        for (sum, (name, number)) in portions.parts.iter_mut().zip(computed.parts) {
            *sum = (name, sum.1 + number);
        }
        portions.kept.push(computed.kept);
    };
    compute.compute(task, model, parts, device, &mut take).await?;
    portions.gradients = sum.grads();
    Ok(portions)
}

/// Pooled measures of `model` (without gradients) on the given samples.
#[expect(clippy::too_many_arguments, reason = "everything that measuring is made of, in the order of its use")]
async fn measure<T: Task>(
    task: &T,
    model: &T::Model,
    batch: usize,
    samples: &[usize],
    [updates, total]: [u64; 2],
    seed: u64,
    feed: &mut impl Feed<T::View>,
    device: &Device,
) -> Result<Measures, TrainError> {
    let plans = measuring_plans(samples, batch);
    let count = plans.len();
    feed.start(plans);
    let mut measures = Measures::default();
    for number in 0..count {
        let batch = task.collate(&next_views(feed).await?, device);
        // The same draws after every epoch, so that epochs can be compared.
        let mut step = Step::alone(Rng::stream(seed, "measure", [number as u64, 0]), updates, total);
        measures.add(&task.measure(model, &batch, &mut step).await.map_err(TrainError::Device)?);
    }
    Ok(measures)
}

async fn next_views<V>(feed: &mut impl Feed<V>) -> Result<Vec<V>, TrainError> {
    let missing = || TrainError::Observer("the loader ended before the epoch did".into());
    Ok(feed.next().await.ok_or_else(missing)??)
}
