//! Optimisers with a rate and a decay for each parameter, by name.
//!
//! Our own, because Burn's can only be saved by synchronous reads, which a browser cannot do, and because rates by layer
//! are rules on names here. No reads at all happen in a step.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use serde_json::Value;

use crate::checkpoint::{CheckpointError, State, StateNames};

pub mod adamw;
mod clip;
pub mod follow;
pub mod freeze;
pub(crate) mod named;
pub mod rules;
pub mod schedule;
pub mod sgd;

use adamw::AdamWConfig;
use rules::{ParameterRule, Rule};
use sgd::SgdConfig;

/// Which optimiser, and its settings. In recipes `kind` tells; without one it is AdamW.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum OptimiserConfig {
    /// AdamW, and Adam by its `decay`.
    AdamW(AdamWConfig),
    /// Gradient descent with momentum.
    Sgd(SgdConfig),
}

impl<'a> Deserialize<'a> for OptimiserConfig {
    fn deserialize<D: Deserializer<'a>>(settings: D) -> Result<Self, D::Error> {
        let mut settings = serde_json::Map::deserialize(settings)?;
        let kind = settings.remove("kind");
        let settings = Value::Object(settings);
        match kind.as_ref().map_or(Some("adamw"), Value::as_str) {
            Some("adamw") => serde_json::from_value(settings).map(Self::AdamW),
            Some("sgd") => serde_json::from_value(settings).map(Self::Sgd),
            _ => return Err(D::Error::custom("there is no optimiser of this kind, only `adamw` and `sgd`")),
        }
        .map_err(D::Error::custom)
    }
}

impl Default for OptimiserConfig {
    fn default() -> Self {
        Self::AdamW(AdamWConfig::default())
    }
}

impl OptimiserConfig {
    /// The peak learning rate.
    pub fn learning_rate(&self) -> f64 {
        match self {
            Self::AdamW(config) => config.learning_rate,
            Self::Sgd(config) => config.learning_rate,
        }
    }

    /// What the settings make of a parameter.
    pub fn rule(&self, rule: Rule) -> ParameterRule {
        match self {
            Self::AdamW(config) => config.rule(rule),
            Self::Sgd(config) => config.rule(rule),
        }
    }

    fn clip_norm(&self) -> Option<f64> {
        match self {
            Self::AdamW(config) => config.clip_norm,
            Self::Sgd(config) => config.clip_norm,
        }
    }

    /// Names of what is remembered of each parameter.
    fn memory(&self) -> &'static [&'static str] {
        match self {
            Self::AdamW(_) => &AdamWConfig::MEMORY,
            Self::Sgd(_) => &SgdConfig::MEMORY,
        }
    }
}

/// An optimiser with what it remembers: moments of every parameter, by parameter.
#[derive(Debug)]
pub struct Optimiser {
    config: OptimiserConfig,
    steps: i32,
    memory: Vec<GradientsParams>,
}

impl Optimiser {
    /// Nothing is remembered yet.
    pub fn new(config: OptimiserConfig) -> Self {
        let memory = config.memory().iter().map(|_| GradientsParams::new()).collect();
        Self { config, steps: 0, memory }
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
        if let Some(limit) = self.config.clip_norm() {
            grads = clip::clip(&model, grads, limit);
        }
        let mut update = Update { optimiser: self, grads: &mut grads, rate, rule: &rule, names: StateNames::default() };
        model.map(&mut update)
    }

    /// Updates so far.
    pub fn steps(&self) -> i32 {
        self.steps
    }

    /// What is remembered, by kind of memory and parameter name, in the layout of the parameters here (not PyTorch's).
    /// Parameters that never had a gradient are not among them.
    pub async fn state<M: Module>(&self, model: &M) -> Result<BTreeMap<&'static str, State>, CheckpointError> {
        let mut states = BTreeMap::new();
        for (&kind, memory) in self.config.memory().iter().zip(&self.memory) {
            states.insert(kind, named::read(model, memory).await?);
        }
        Ok(states)
    }

    /// The optimiser after `steps` updates with the given [`state`](Optimiser::state), whose names begin with the kind of
    /// memory and a dot. `file` is for the message.
    pub fn restore<M: Module>(
        file: &str,
        config: OptimiserConfig,
        steps: i32,
        model: &M,
        mut state: State,
    ) -> Result<Self, CheckpointError> {
        struct Fill<'a> {
            optimiser: &'a mut Optimiser,
            state: &'a mut State,
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
                let kinds = self.optimiser.config.memory();
                let found: Vec<_> =
                    kinds.iter().filter_map(|kind| self.state.remove(&format!("{kind}.{name}"))).collect();
                if found.is_empty() {
                    return;
                }
                if found.len() < kinds.len() || found.iter().any(|(shape, _)| *shape != parameter.dims()) {
                    self.problems.push(format!("the moments of {name} do not fit it"));
                    return;
                }
                for (memory, (shape, numbers)) in self.optimiser.memory.iter_mut().zip(found) {
                    let data = TensorData::new(numbers, shape);
                    memory.register(param.id, Tensor::<D>::from_data(data, &parameter.device()));
                }
            }
        }
        let mut optimiser = Self { steps, ..Self::new(config) };
        let mut fill =
            Fill { optimiser: &mut optimiser, state: &mut state, names: StateNames::default(), problems: Vec::new() };
        model.visit(&mut fill);
        let mut problems = fill.problems;
        problems.extend(state.keys().map(|name| format!("{name} belongs to no parameter")));
        if problems.is_empty() {
            Ok(optimiser)
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
    optimiser: &'a mut Optimiser,
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
        let rates = [self.rate * rule.rate_scale, rule.weight_decay];
        let Optimiser { config, steps, memory } = &mut *self.optimiser;

        let (id, tensor, mapper) = param.consume();
        let tracked = tensor.is_require_grad();
        let tensor = tensor.inner();
        let mut updated = match config {
            OptimiserConfig::AdamW(config) => {
                let (updated, moments) = config.update(*steps, rates, tensor, grad, take(memory, id));
                keep(memory, id, moments);
                updated
            }
            OptimiserConfig::Sgd(config) => {
                let (updated, direction) = config.update(rates, tensor, grad, take(memory, id));
                keep(memory, id, direction);
                updated
            }
        };
        if tracked {
            updated = Tensor::from_inner(updated).require_grad();
        }
        Param::from_mapped_value(id, updated, mapper)
    }
}

/// What is remembered of a parameter; none before its first update.
fn take<const D: usize, const N: usize>(memory: &mut [GradientsParams], id: ParamId) -> Option<[Tensor<D>; N]> {
    memory.iter_mut().filter_map(|memory| memory.remove::<D>(id)).collect::<Vec<_>>().try_into().ok()
}

fn keep<const D: usize, const N: usize>(memory: &mut [GradientsParams], id: ParamId, tensors: [Tensor<D>; N]) {
    memory.iter_mut().zip(tensors).for_each(|(memory, tensor)| memory.register(id, tensor));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_without_a_kind_are_those_of_adamw() {
        let read = |text: &str| toml::from_str::<OptimiserConfig>(text);
        let old = "learning_rate = 1e-3\nbetas = [0.9, 0.95]\ndecay = \"l2\"\nlayer_decay = 1.0\nclip_norm = 1";
        let OptimiserConfig::AdamW(config) = read(old).unwrap() else { panic!("{old}") };
        assert_eq!((config.learning_rate, config.betas, config.clip_norm), (1e-3, [0.9, 0.95], Some(1.0)));
        assert_eq!(config.decay, adamw::Decay::L2);
        let sgd = OptimiserConfig::Sgd(SgdConfig { learning_rate: 0.03, ..SgdConfig::default() });
        assert_eq!(read("kind = \"sgd\"\nlearning_rate = 0.03").unwrap(), sgd);
        for config in [sgd, OptimiserConfig::default()] {
            assert_eq!(read(&toml::to_string(&config).unwrap()).unwrap(), config);
        }
        for (wrong, said) in [
            ("kind = \"lars\"", "`adamw` and `sgd`"),
            ("kind = \"sgd\"\nbetas = [0.9, 0.9]", "unknown field `betas`"),
            ("beta = 1", "unknown field `beta`"),
        ] {
            let message = read(wrong).unwrap_err().to_string();
            assert!(message.contains(said), "{wrong}: {message}");
        }
    }
}
