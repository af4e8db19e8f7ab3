//! The parts of an update, computed side by side: on the CPU the worker's helpers take some each and give gradients back as
//! buffers; without helpers, and on a graphics device, the worker computes them itself, others having their turn in between.

use burn::tensor::Device;
use sonoseg_core::checkpoint::{self, CheckpointError, State, Storage};
use sonoseg_core::models::{Network, NetworkConfig};
use sonoseg_core::optim::freeze::freeze;
use sonoseg_core::recipe::{Recipe, TaskVisitor};
use sonoseg_core::tasks::Task;
use sonoseg_core::tasks::segment::{Segment, View};
use sonoseg_core::train::TrainError;
use sonoseg_core::train::parts::{Compute, Computed, Part, PartKey, gradients, sums};
use sonoseg_imaging::dataset::sample::Source;

use super::super::Services;
use super::ahead::Ahead;
use crate::messages::{Fault, Gradients};
use crate::worker::{channel, pool};

/// The model that a helper computes gradients with, for the recipe that it is of.
pub(in super::super) struct Learner {
    recipe: String,
    task: Segment,
    model: Network,
}

/// The task of a recipe of the page: one that marks pixels.
pub(super) fn segment(recipe: &Recipe) -> Result<Segment, Fault> {
    struct Marks;
    impl TaskVisitor for Marks {
        type Output = Option<Segment>;
        fn visit<T: Task + 'static>(self, task: T, _: NetworkConfig) -> Option<Segment> {
            let task: Box<dyn std::any::Any> = Box::new(task);
            task.downcast::<Segment>().ok().map(|task| *task)
        }
    }
    recipe.visit(Marks).ok_or_else(|| {
        Fault::Refused("Only models that mark pixels learn here: this one is pre-trained only.".to_owned())
    })
}

/// Computes parts by the helpers of the worker, or by the worker itself.
pub(super) struct SideBySide<'a, S> {
    pub(super) services: &'a Services,
    /// The recipe of the run, as TOML.
    pub(super) recipe: String,
    /// Whether there may be helpers: on the CPU.
    pub(super) helpers: bool,
    /// Views of the next update, which are made meanwhile.
    pub(super) ahead: &'a Ahead<'a, S>,
}

impl<S: Source> Compute<Segment> for SideBySide<'_, S> {
    async fn compute(
        &mut self,
        task: &Segment,
        model: &Network,
        parts: Vec<Part<View>>,
        device: &Device,
        take: &mut impl FnMut(Computed<()>),
    ) -> Result<(), TrainError> {
        let whole = parts.first().map(|part| part.whole.clone()).unwrap_or_default();
        // What a helper's copy of the model keeps of a batch, statistics for example, would be lost.
        let mut answers =
            if task.batch_may_be_cut() { self.by_helpers(model, &parts, Some(whole)).await? } else { Vec::new() };
        for (at, part) in parts.iter().enumerate() {
            let helped = answers.get_mut(at).and_then(Option::take);
            let computed = helped.and_then(|bytes| Computed::from_bytes(model, &bytes).ok());
            take(match computed {
                Some(computed) => computed,
                // Nobody helped, or the helper died.
                None => {
                    let computed = gradients(task, model, part, device).await?;
                    channel::pause(0).await;
                    computed
                }
            });
        }
        Ok(())
    }

    async fn sums(
        &mut self,
        task: &Segment,
        model: &Network,
        parts: &[Part<View>],
        device: &Device,
    ) -> Result<Vec<Vec<f32>>, TrainError> {
        if !task.loss.batch_dice {
            return Ok(Vec::new());
        }
        let mut answers = self.by_helpers(model, parts, None).await?;
        let mut all = Vec::with_capacity(parts.len());
        for (at, part) in parts.iter().enumerate() {
            all.push(match answers.get_mut(at).and_then(Option::take) {
                Some(bytes) => pool::numbers_of(&bytes),
                None => {
                    let own = sums(task, model, part, device).await?;
                    channel::pause(0).await;
                    own
                }
            });
        }
        Ok(all)
    }
}

impl<S: Source> SideBySide<'_, S> {
    /// What free helpers make of the parts, which they share out in their order; none for those that nobody took. `whole`: as in
    /// [`Gradients`].
    async fn by_helpers(
        &self,
        model: &Network,
        parts: &[Part<View>],
        whole: Option<Vec<f32>>,
    ) -> Result<Vec<Option<Vec<u8>>>, TrainError> {
        let free = if self.helpers { self.services.pool.free() } else { Vec::new() };
        if free.is_empty() {
            return Ok(Vec::new());
        }
        let failed = |error: CheckpointError| TrainError::Device(error.to_string());
        let weights = checkpoint::read_state(model).await.map_err(failed)?;
        let weights = checkpoint::encode(&(), &weights, Storage::F32).map_err(failed)?;
        let each = parts.len().div_ceil(free.len());
        let asked: Vec<_> = parts
            .chunks(each)
            .zip(&free)
            .map(|(parts, helper)| {
                let keys = parts.iter().map(|part| serde_json::to_string(&part.key).unwrap_or_default()).collect();
                let views = parts.iter().map(|part| views_to_bytes(&part.views));
                let buffers: Vec<Vec<u8>> = std::iter::once(weights.clone()).chain(views).collect();
                let asked = Gradients { recipe: self.recipe.clone(), keys, whole: whole.clone() };
                (helper.send(asked, None, &buffers), parts.len())
            })
            .collect();
        if whole.is_some() {
            self.ahead.make(parts.len()).await;
        }
        let mut answers = Vec::new();
        for (asked, count) in asked {
            let given = asked.await.ok().flatten().filter(|given| given.len() == count);
            match given {
                Some(given) => answers.extend(given.into_iter().map(Some)),
                None => answers.extend((0..count).map(|_| None)),
            }
        }
        self.services.pool.bury();
        Ok(answers)
    }
}

impl Services {
    /// A helper's work: gradients of some parts, or what their loss is made of.
    pub(in super::super) async fn gradients(
        &self,
        request: Gradients,
        buffers: &[Vec<u8>],
    ) -> Result<Vec<Vec<u8>>, Fault> {
        const NAME: &str = "the weights of the run";
        let refused = |error: &dyn std::fmt::Display| Fault::Refused(format!("{error}"));
        let device = self.device.borrow().clone().ok_or(Fault::NoDevice)?;
        let [weights, views @ ..] = buffers else { return Err(refused(&"there are no weights")) };
        let ((), weights): ((), State) = checkpoint::decode(NAME, weights).map_err(|error| refused(&error))?;
        let known = self.learner.take().filter(|learner| learner.recipe == request.recipe);
        let (task, model) = match known {
            Some(Learner { task, model, .. }) => (task, model),
            None => {
                let recipe = Recipe::parse("the run", &request.recipe, &[]).map_err(|error| refused(&error))?;
                let task = segment(&recipe)?;
                let (rules, optimiser) = (task.rules(), recipe.train.optimiser);
                let model = task.init(&device.clone().autodiff());
                // The weights first: what was never used is drawn when it is frozen.
                let model = checkpoint::write_state(NAME, weights.clone(), model).map_err(|error| refused(&error))?;
                (task, freeze(model, |name, axes| optimiser.rule(rules(name, axes))))
            }
        };
        let model = checkpoint::write_state(NAME, weights, model).map_err(|error| refused(&error))?;
        let mut given = Vec::new();
        for (key, views) in request.keys.iter().zip(views) {
            let key: PartKey = serde_json::from_str(key).map_err(|error| refused(&error))?;
            let whole = request.whole.clone().unwrap_or_default();
            let part = Part { views: views_from_bytes(views), key, whole };
            if request.whole.is_none() {
                let own = sums(&task, &model, &part, &device).await.map_err(|error| refused(&error))?;
                given.push(pool::bytes(&own));
                continue;
            }
            let computed = gradients(&task, &model, &part, &device).await.map_err(|error| refused(&error))?;
            given.push(computed.to_bytes(&model).await.map_err(|error| refused(&error))?);
        }
        self.learner.replace(Some(Learner { recipe: request.recipe, task, model }));
        Ok(given)
    }
}

/// Views as bytes: for each the numbers of its input and of its target, counted.
fn views_to_bytes(views: &[View]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for numbers in views.iter().flat_map(|view| [&view.input, &view.target]) {
        bytes.extend((numbers.len() as u32).to_le_bytes());
        bytes.extend(pool::bytes(numbers));
    }
    bytes
}

fn views_from_bytes(mut bytes: &[u8]) -> Vec<View> {
    let mut numbers = || {
        let (count, rest) = bytes.split_at_checked(4)?;
        let count = 4 * u32::from_le_bytes(count.try_into().ok()?) as usize;
        let (numbers, rest) = rest.split_at_checked(count)?;
        bytes = rest;
        Some(pool::numbers_of(numbers))
    };
    std::iter::from_fn(|| Some(View { input: numbers()?, target: numbers()? })).collect()
}
