//! Stochastic gradient descent with momentum as PyTorch computes it.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::rules::{ParameterRule, Rule};

/// Settings of SGD. Weight decay is added to the gradient, of every parameter, vectors too, as PyTorch does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SgdConfig {
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Share of the last direction that is kept; no dampening.
    pub momentum: f64,
    /// True to look ahead along the direction (Nesterov).
    pub nesterov: bool,
    /// Weight decay.
    pub weight_decay: f64,
    /// Largest norm of all gradients together; larger ones are scaled down to it.
    pub clip_norm: Option<f64>,
}

impl Default for SgdConfig {
    fn default() -> Self {
        Self { learning_rate: 0.01, momentum: 0.9, nesterov: false, weight_decay: 1e-4, clip_norm: None }
    }
}

impl SgdConfig {
    /// What is remembered of each parameter.
    pub(super) const MEMORY: [&'static str; 1] = ["momentum"];

    pub(super) fn rule(&self, rule: Rule) -> ParameterRule {
        ParameterRule { rate_scale: 1.0, weight_decay: self.weight_decay, trained: rule.trained }
    }

    /// The parameter and its direction after an update with learning rate `rate` and weight decay `decay`.
    pub(super) fn update<const D: usize>(
        &self,
        [rate, decay]: [f64; 2],
        param: Tensor<D>,
        grad: Tensor<D>,
        memory: Option<[Tensor<D>; 1]>,
    ) -> (Tensor<D>, [Tensor<D>; 1]) {
        let grad = if decay == 0.0 { grad } else { grad + param.clone() * decay };
        let direction = match memory {
            Some([direction]) => direction * self.momentum + grad.clone(),
            None => grad.clone(),
        };
        let step = if self.nesterov { grad + direction.clone() * self.momentum } else { direction.clone() };
        (param - step * rate, [direction])
    }
}
