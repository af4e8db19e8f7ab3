//! AdamW and Adam as PyTorch computes them, with a rate and a decay for each parameter.
//!
//! Our own, because Burn's optimiser can only be saved by synchronous reads, which a browser cannot do, and because
//! rates by layer are rules on names here. No reads at all happen in a step.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::layers::ParameterRule;
use crate::checkpoint::{CheckpointError, State, StateNames};
use crate::kernels::{AdamWStep, adamw_step};

/// Settings of [`AdamW`], PyTorch's defaults except for the rate (Yang 2024, section 4.1) and the decays, which that
/// paper takes from MAE's fine-tuning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamWConfig {
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Decay of the mean and of the squared mean of the gradients.
    pub betas: [f64; 2],
    /// Added to the root of the squared mean. Keras's default is 1e-7.
    pub epsilon: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// What the weight decay acts on.
    pub decay: Decay,
    /// Factor on the rate from one encoder block to the one below it; 1 = none.
    pub layer_decay: f64,
    /// Largest norm of all gradients together; larger ones are scaled down to it. None in the paper.
    pub clip_norm: Option<f64>,
}

/// What weight decay acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decay {
    /// On the parameter itself, past the moments: AdamW.
    Decoupled,
    /// On the gradient, before the moments, like a penalty on the squares of the parameters: Adam.
    L2,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self {
            learning_rate: 1e-4,
            betas: [0.9, 0.999],
            epsilon: 1e-8,
            weight_decay: 0.05,
            decay: Decay::Decoupled,
            layer_decay: 0.75,
            clip_norm: None,
        }
    }
}

/// First and second moments of every parameter, by parameter.
#[derive(Debug)]
pub struct AdamW {
    config: AdamWConfig,
    steps: i32,
    mean: GradientsParams,
    square: GradientsParams,
}

impl AdamW {
    /// No moments yet.
    pub fn new(config: AdamWConfig) -> Self {
        Self { config, steps: 0, mean: GradientsParams::new(), square: GradientsParams::new() }
    }

    /// One update with learning rate `rate`; `rule` gives each parameter's own rate and decay, by name and number of
    /// axes. Parameters without a gradient, and those that are not trained, stay as they are.
    pub fn step<M: Module>(
        &mut self,
        model: M,
        mut grads: GradientsParams,
        rate: f64,
        rule: impl Fn(&str, usize) -> ParameterRule,
    ) -> M {
        self.steps += 1;
        model.visit(&mut Frozen { grads: &mut grads, rule: &rule, names: StateNames::default() });
        if let Some(limit) = self.config.clip_norm {
            grads = clip(&model, grads, limit);
        }
        let mut update = Update { adam: self, grads: &mut grads, rate, rule: &rule, names: StateNames::default() };
        model.map(&mut update)
    }
}

impl AdamW {
    /// Updates so far.
    pub fn steps(&self) -> i32 {
        self.steps
    }

    /// Means and squared means of the gradients by parameter name, in the layout of the parameters here (not
    /// PyTorch's). Parameters that never had a gradient are not among them.
    pub async fn moments<M: Module>(&self, model: &M) -> Result<[State; 2], CheckpointError> {
        struct Collect<'a> {
            moments: &'a GradientsParams,
            names: StateNames,
            found: BTreeMap<String, (Vec<usize>, Tensor<1>)>,
        }
        impl ModuleVisitor for Collect<'_> {
            fn enter_module(&mut self, name: &str, container: &str) {
                self.names.enter(name, container);
            }
            fn exit_module(&mut self, _: &str, _: &str) {
                self.names.exit();
            }
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                if let Some(moment) = self.moments.get::<D>(param.id) {
                    let shape = moment.dims();
                    let flat = moment.reshape([shape.iter().product::<usize>()]);
                    self.found.insert(self.names.name(), (shape.to_vec(), flat));
                }
            }
        }
        let mut states = [State::new(), State::new()];
        for (state, moments) in states.iter_mut().zip([&self.mean, &self.square]) {
            let mut collect = Collect { moments, names: StateNames::default(), found: BTreeMap::new() };
            model.visit(&mut collect);
            for (name, (shape, tensor)) in collect.found {
                let failed = |e: &dyn std::fmt::Debug| CheckpointError::Device(format!("{e:?}"));
                let data = tensor.into_data_async().await.map_err(|e| failed(&e))?;
                let numbers = data.convert::<f32>().try_into_vec::<f32>().map_err(|e| failed(&e))?;
                state.insert(name, (shape, numbers));
            }
        }
        Ok(states)
    }

    /// The optimiser after `steps` updates with the given [`moments`](AdamW::moments). `file` is for the message.
    pub fn restore<M: Module>(
        file: &str,
        config: AdamWConfig,
        steps: i32,
        model: &M,
        moments: [State; 2],
    ) -> Result<Self, CheckpointError> {
        struct Fill<'a> {
            adam: &'a mut AdamW,
            moments: [State; 2],
            names: StateNames,
            problems: Vec<String>,
        }
        impl ModuleVisitor for Fill<'_> {
            fn enter_module(&mut self, name: &str, container: &str) {
                self.names.enter(name, container);
            }
            fn exit_module(&mut self, _: &str, _: &str) {
                self.names.exit();
            }
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                let name = self.names.name();
                let parameter = param.val().inner();
                let [mean, square] = &mut self.moments;
                match (mean.remove(&name), square.remove(&name)) {
                    (None, None) => {}
                    (Some(mean), Some(square)) if mean.0 == parameter.dims() && square.0 == parameter.dims() => {
                        let device = parameter.device();
                        let tensor =
                            |(shape, numbers)| Tensor::<D>::from_data(TensorData::new(numbers, shape), &device);
                        self.adam.mean.register(param.id, tensor(mean));
                        self.adam.square.register(param.id, tensor(square));
                    }
                    _ => self.problems.push(format!("the moments of {name} do not fit it")),
                }
            }
        }
        let mut adam = Self::new(config);
        adam.steps = steps;
        let mut fill = Fill { adam: &mut adam, moments, names: StateNames::default(), problems: Vec::new() };
        model.visit(&mut fill);
        let left =
            fill.moments.iter().flat_map(State::keys).map(|name| format!("the moments of {name} belong nowhere"));
        let problems: Vec<String> = fill.problems.iter().cloned().chain(left).collect();
        if problems.is_empty() {
            Ok(adam)
        } else {
            Err(CheckpointError::Mismatch { name: file.to_owned(), reason: problems.join("; ") })
        }
    }
}

/// Takes away the gradients of what is not trained, before their norm is taken.
struct Frozen<'a> {
    grads: &'a mut GradientsParams,
    rule: &'a dyn Fn(&str, usize) -> ParameterRule,
    names: StateNames,
}

impl ModuleVisitor for Frozen<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.names.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.names.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !(self.rule)(&self.names.name(), D).trained {
            self.grads.remove::<D>(param.id);
        }
    }
}

struct Update<'a> {
    adam: &'a mut AdamW,
    grads: &'a mut GradientsParams,
    rate: f64,
    rule: &'a dyn Fn(&str, usize) -> ParameterRule,
    names: StateNames,
}

impl ModuleMapper for Update<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.names.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.names.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(grad) = self.grads.remove::<D>(param.id) else { return param };
        let rule = (self.rule)(&self.names.name(), D);
        let AdamW { config, steps, mean, square } = &mut *self.adam;
        let betas = &config.betas;
        let rate = self.rate * rule.rate_scale;

        let (id, tensor, mapper) = param.consume();
        let tracked = tensor.is_require_grad();
        let tensor = tensor.inner();
        let (keep, grad) = match config.decay {
            Decay::Decoupled => (1.0 - rate * rule.weight_decay, grad),
            Decay::L2 if rule.weight_decay == 0.0 => (1.0, grad),
            Decay::L2 => (1.0, grad + tensor.clone() * rule.weight_decay),
        };
        let step = AdamWStep {
            betas: *betas,
            keep,
            rate: rate / (1.0 - betas[0].powi(*steps)),
            root: (1.0 - betas[1].powi(*steps)).sqrt().recip(),
            epsilon: config.epsilon,
        };
        let moments = mean.remove::<D>(id).zip(square.remove::<D>(id)).map(|(mean, square)| [mean, square]);
        let [mut updated, new_mean, new_square] = adamw_step(tensor, grad, moments, step);
        mean.register(id, new_mean);
        square.register(id, new_square);
        if tracked {
            updated = Tensor::from_inner(updated).require_grad();
        }
        Param::from_mapped_value(id, updated, mapper)
    }
}

/// Scale all gradients so that their common norm is at most `limit`; nothing is read back.
fn clip<M: Module>(model: &M, mut grads: GradientsParams, limit: f64) -> GradientsParams {
    struct Squares<'a>(&'a GradientsParams, Option<Tensor<1>>);
    impl ModuleVisitor for Squares<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(grad) = self.0.get::<D>(param.id) {
                let sum = grad.square().sum();
                self.1 = Some(match self.1.take() {
                    Some(total) => total + sum,
                    None => sum,
                });
            }
        }
    }
    struct Scale<'a>(&'a mut GradientsParams, Tensor<1>);
    impl ModuleVisitor for Scale<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(grad) = self.0.remove::<D>(param.id) {
                self.0.register(param.id, grad * self.1.clone().reshape([1; D]));
            }
        }
    }
    let mut squares = Squares(&grads, None);
    model.visit(&mut squares);
    if let Some(total) = squares.1 {
        let factor = (total.sqrt() + 1e-6).recip().mul_scalar(limit).clamp_max(1.0);
        model.visit(&mut Scale(&mut grads, factor));
    }
    grads
}
