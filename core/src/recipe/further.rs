//! How a model that is there learns further from a few frames: the recipe of such a run, made from that of the model.

use serde::{Deserialize, Serialize};

use super::{Recipe, SimulatedRecipe};
use crate::models::layer_set::LayerSet;
use crate::optim::OptimiserConfig;
use crate::optim::adamw::AdamWConfig;
use crate::optim::schedule::Schedule;
use crate::train::{RateChanges, RateFor, TrainConfig};

/// Samples of an update.
const UPDATE: usize = 8;

/// Samples on the device at once. Small parts keep whoever computes them free for others, and several can compute side by side.
const PART: usize = 2;

/// Updates between two measurements, about.
const BETWEEN: usize = 10;

/// At most so many simulated frames. Up to them none is seen twice: what is seen again and again is learned by heart, and the rest
/// of what the simulator shows is forgotten.
const SIMULATED: f64 = 2048.0;

/// Share of the labelled frames that is held out.
const VAL_SHARE: f64 = 0.2;

/// What can be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Further {
    /// What learns.
    pub layers: LayerSet,
    /// Share of what is learned from that comes from the simulator.
    pub simulated: f64,
    /// Updates in all.
    pub updates: u64,
    /// Peak learning rate.
    pub rate: f64,
}

impl Default for Further {
    fn default() -> Self {
        Self { layers: LayerSet::All, simulated: 0.5, updates: 80, rate: 5e-4 }
    }
}

impl Recipe {
    /// The recipe of a run that goes on from a model of this one, by `learned` samples of new data.
    pub fn further(&self, chosen: &Further, learned: usize) -> Self {
        let share = if self.finding().is_needles() { chosen.simulated.clamp(0.0, 0.9) } else { 0.0 };
        let own = (UPDATE as f64 * (1.0 - share)).max(1.0);
        let passes = (BETWEEN as f64 * own / learned.max(1) as f64).ceil().max(1.0);
        let per_epoch = (passes * learned.max(1) as f64 / own).floor().max(1.0);
        let samples = (UPDATE as f64 * share * chosen.updates as f64).ceil().clamp(1.0, SIMULATED) as usize;
        let whole = self.network_config().sizes().normalises_batches();
        let parts = if whole { 1 } else { UPDATE / PART };
        let mut recipe = self.clone();
        recipe.data.val_share = VAL_SHARE;
        recipe.data.stride = 1;
        recipe.data.samples = None;
        (recipe.data.folds, recipe.data.fold, recipe.data.leaky_folds) = (0, 0, false);
        recipe.data.balance.clear();
        recipe.data.simulated = (share > 0.0).then(|| SimulatedRecipe { share, samples, ..SimulatedRecipe::default() });
        recipe.train = TrainConfig {
            epochs: (chosen.updates as f64 / per_epoch).ceil().max(1.0) as u64,
            steps: Some(chosen.updates.max(1)),
            batch: UPDATE / parts,
            accumulate: parts,
            patience: 0,
            samples_per_epoch: None,
            passes_per_epoch: passes as usize,
            updates_per_epoch: None,
            rate_for: RateFor::Update,
            layers: chosen.layers,
            schedule: Schedule::Cosine { warmup: 0.05, min_share: 0.01 },
            rate_changes: RateChanges::Update,
            optimiser: OptimiserConfig::AdamW(AdamWConfig {
                learning_rate: chosen.rate,
                betas: [0.9, 0.99],
                layer_decay: 1.0,
                clip_norm: Some(1.0),
                ..AdamWConfig::default()
            }),
        };
        recipe
    }

    /// What of the network can be chosen to learn, the least first.
    pub fn layer_sets(&self) -> Vec<LayerSet> {
        match &self.network {
            super::NetworkRecipe::Unetr(_) | super::NetworkRecipe::Fcn(_) => {
                vec![LayerSet::Last(0), LayerSet::Last(2), LayerSet::All]
            }
            super::NetworkRecipe::Unet(_) => {
                vec![LayerSet::Deep(2), LayerSet::Shallow(2), LayerSet::Expanding, LayerSet::Contracting, LayerSet::All]
            }
            super::NetworkRecipe::Resnet(_) => vec![LayerSet::All],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Samples;
    use crate::train::loader::training_plans;

    #[test]
    fn a_run_from_a_few_frames_has_its_updates_and_is_measured_now_and_then() {
        let recipe = |text: &str| Recipe::parse("t.toml", text, &[]).unwrap();
        let base =
            recipe("name = \"t\"\n[network]\npreset = \"tiny\"\n[data]\nstride = 3\n[train]\nsamples_per_epoch = 90\n");
        for (learned, simulated) in [(1, 0.5), (3, 0.5), (6, 0.25), (16, 0.0), (200, 0.5)] {
            let chosen = Further { simulated, ..Further::default() };
            let further = base.further(&chosen, learned);
            assert_eq!(Recipe::parse("f.toml", &further.to_toml(), &[]).unwrap(), further, "a recipe like any other");
            let train: Vec<usize> = (0..learned).collect();
            let beside: Vec<usize> = (1000..1064).collect();
            let samples = Samples { train: &train, beside: &beside, share: simulated, val: &[] };
            let batches = training_plans(&samples, &further.train, 0, 0);
            let updates = batches.len() / further.train.accumulate;
            assert!((8..=60).contains(&updates), "{learned} frames, {simulated}: {updates} updates an epoch");
            assert!(updates as u64 * further.train.epochs >= chosen.updates, "{learned} frames: all its updates");
            let others = batches.concat().iter().filter(|drawn| drawn.sample >= 1000).count();
            let share = others as f64 / batches.concat().len() as f64;
            assert!((share - simulated).abs() < 0.02, "{learned} frames: {share} instead of {simulated}");
            assert!(batches.iter().all(|batch| batch.len() == 2));
        }
        let nerve = base.clone();
        let nerve = Recipe { data: super::super::DataRecipe { class: Some("nerve".into()), ..nerve.data }, ..nerve };
        assert_eq!(nerve.further(&Further::default(), 5).data.simulated, None, "the simulator shows needles");
        let whole = recipe("name = \"t\"\n[network]\npreset = \"tiny\"\n[loss]\nbatch_dice = true\n");
        let further = whole.further(&Further::default(), 5);
        assert_eq!((further.train.batch, further.train.accumulate), (2, 4));
        assert_eq!(further.task, whole.task, "the loss is that of the model");
        assert_eq!(base.layer_sets().len(), 3);
        for layers in base.layer_sets() {
            let further = base.further(&Further { layers, ..Further::default() }, 5);
            assert_eq!(Recipe::parse("f.toml", &further.to_toml(), &[]).unwrap(), further);
        }
    }
}
