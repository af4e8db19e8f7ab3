//! Where a run stands, with everything that it needs to go on.

use std::collections::BTreeMap;

use burn::module::Module;
use serde::{Deserialize, Serialize};

use super::TrainConfig;
use crate::optim::Optimiser;
use crate::tasks::LOSS;

/// Where a run stands. Everything that the loop must know to go on as if it had never stopped, beside the weights and
/// what the optimiser remembers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Saved")]
pub struct Position {
    /// Epoch that the next update belongs to, from 0.
    pub epoch: u64,
    /// Updates of that epoch that are done.
    pub step: usize,
    /// Updates done in all.
    pub updates: u64,
    /// Sum of the losses of the epoch's updates.
    pub loss_sum: f64,
    /// Best value of every measure so far, by name.
    pub best: BTreeMap<String, f64>,
    /// Epochs since the validation loss was last better.
    pub stale: u64,
}

/// A position as files have it: the first ones knew two measures.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    epoch: u64,
    step: usize,
    updates: u64,
    loss_sum: f64,
    #[serde(default)]
    best: BTreeMap<String, f64>,
    best_loss: Option<f64>,
    best_iou: Option<f64>,
    stale: u64,
}

impl From<Saved> for Position {
    fn from(saved: Saved) -> Self {
        let Saved { epoch, step, updates, loss_sum, mut best, best_loss, best_iou, stale } = saved;
        let first = [(LOSS, best_loss), ("iou", best_iou)];
        best.extend(first.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        Self { epoch, step, updates, loss_sum, best, stale }
    }
}

/// A run at some point: enough to predict, and enough to go on.
#[derive(Debug)]
pub struct Progress<M> {
    /// The network.
    pub model: M,
    /// The optimiser with what it remembers.
    pub optimiser: Optimiser,
    /// Where the run stands.
    pub position: Position,
}

impl<M: Module> Progress<M> {
    /// Numbers that the network consists of.
    pub fn parameters(&self) -> usize {
        self.model.num_params()
    }

    /// The network as it is, to predict with.
    pub fn to_predict(&self) -> M {
        self.model.valid()
    }

    /// A run that begins with `model`.
    pub fn begin(model: M, config: &TrainConfig) -> Self {
        Self { model, optimiser: Optimiser::new(config.optimiser.clone()), position: Position::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_of_the_first_format_is_read() {
        let old = r#"{"epoch":3,"step":1,"updates":7,"loss_sum":0.5,"best_loss":0.25,"best_iou":null,"stale":2}"#;
        let mut position: Position = serde_json::from_str(old).unwrap();
        assert_eq!((position.updates, position.best.get("loss"), position.best.len()), (7, Some(&0.25), 1));
        position.best.insert("iou".into(), 0.5);
        let text = serde_json::to_string(&position).unwrap();
        assert_eq!(serde_json::from_str::<Position>(&text).unwrap(), position);
    }
}
