//! AdamW and Adam as PyTorch computes them.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::rules::{ParameterRule, Rule};
use crate::kernels::{AdamWStep, adamw_step};

/// Settings of AdamW and Adam, PyTorch's defaults except for the rate (Yang 2024, section 4.1) and the decays, which that
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
    /// Weight decay, of what [`Rule::decayed`] names.
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

impl AdamWConfig {
    /// What is remembered of each parameter.
    pub(super) const MEMORY: [&'static str; 2] = ["mean", "square"];

    pub(super) fn rule(&self, rule: Rule) -> ParameterRule {
        ParameterRule {
            rate_scale: self.layer_decay.powi(rule.layers_above as i32),
            weight_decay: if rule.decayed { self.weight_decay } else { 0.0 },
            trained: rule.trained,
        }
    }

    /// The parameter and its moments after update `steps` with learning rate `rate` and weight decay `decay`.
    pub(super) fn update<const D: usize>(
        &self,
        steps: i32,
        [rate, decay]: [f64; 2],
        param: Tensor<D>,
        grad: Tensor<D>,
        memory: Option<[Tensor<D>; 2]>,
    ) -> (Tensor<D>, [Tensor<D>; 2]) {
        let betas = self.betas;
        let (keep, grad) = match self.decay {
            Decay::Decoupled => (1.0 - rate * decay, grad),
            Decay::L2 if decay == 0.0 => (1.0, grad),
            Decay::L2 => (1.0, grad + param.clone() * decay),
        };
        let step = AdamWStep {
            betas,
            keep,
            rate: rate / (1.0 - betas[0].powi(steps)),
            root: (1.0 - betas[1].powi(steps)).sqrt().recip(),
            epsilon: self.epsilon,
        };
        let [param, mean, square] = adamw_step(param, grad, memory, step);
        (param, [mean, square])
    }
}
