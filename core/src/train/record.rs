//! What a run writes down, wherever its files lie: names, the lines of `metrics.jsonl`, which model files an epoch makes.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Event, Position};
use crate::tasks::LOSS;

/// The recipe with every default written out.
pub const RECIPE: &str = "recipe.toml";
/// What is learned from and what is held out.
pub const SPLIT: &str = "splits.json";
/// Where and on what the run was made. Written first: where it is, the others of a run's beginning are ours.
pub const ENVIRONMENT: &str = "environment.json";
/// A line for every update and every epoch.
pub const METRICS: &str = "metrics.jsonl";
/// The run itself, to go on from.
pub const RESUME: &str = "resume.safetensors";
/// Written when a run has ended of its own accord.
pub const FINISHED: &str = "finished.json";
/// The model after the last epoch.
pub const LAST: &str = "last.safetensors";
/// The model of the best epoch, by the measure that decides.
pub const BEST: &str = "best.safetensors";
/// The model of the epoch with the lowest held-out loss.
pub const BEST_LOSS: &str = "best-loss.safetensors";

/// `environment.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Environment {
    /// Version of sonoseg.
    pub sonoseg: String,
    /// Operating system and processor.
    pub system: String,
    /// Name of the device.
    pub device: String,
    /// Where the data lie.
    pub data: PathBuf,
    /// What it began from.
    pub init: Option<PathBuf>,
    /// Samples to learn from.
    pub train_samples: usize,
    /// Samples held out.
    pub val_samples: usize,
}

/// The line of an event, `seconds` after the run began.
pub fn line<M>(event: &Event<'_, M>, seconds: f64) -> Value {
    match event {
        Event::Step { epoch, step, loss, parts, rate, .. } => {
            let mut line = json!({ "epoch": epoch, "step": step, "loss": loss, "rate": rate, "seconds": seconds });
            for (name, value) in parts {
                line[format!("loss_{name}")] = json!(value);
            }
            line
        }
        Event::Epoch { epoch, train_loss, val, best, .. } => {
            let mut line = json!({ "epoch": epoch, "train_loss": train_loss, "seconds": seconds });
            for measure in &val.0 {
                line[format!("val_{}", measure.metric.name)] = json!(measure.value());
            }
            if !val.0.is_empty() {
                line["best"] = json!(best);
            }
            line
        }
    }
}

/// The model files that an epoch makes, all the same bytes.
pub fn models(improved: &BTreeSet<String>, best: bool) -> impl Iterator<Item = &'static str> {
    [(LAST, true), (BEST_LOSS, improved.contains(LOSS)), (BEST, best)]
        .into_iter()
        .filter_map(|(file, made)| made.then_some(file))
}

/// The lines of `metrics.jsonl` that a run at `position` has behind it. What came later is done again.
pub fn behind(text: &str, position: &Position) -> Vec<Value> {
    let behind = |line: &Value| {
        let (epoch, step) = (line["epoch"].as_u64()?, line["step"].as_u64());
        Some(epoch < position.epoch || (epoch == position.epoch && step? < position.step as u64))
    };
    let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok());
    lines.filter(|line| behind(line) == Some(true)).collect()
}

/// Seconds that the parts of a run have taken which wrote these lines.
pub fn seconds(lines: &[Value]) -> f64 {
    lines.iter().filter_map(|line| line["seconds"].as_f64()).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_after_the_saved_position_is_forgotten() {
        let text = "{\"epoch\":0,\"step\":0}\n{\"epoch\":0,\"val_loss\":1.0}\n{\"epoch\":1,\"step\":0,\"seconds\":3.5}\n\
                    {\"epoch\":1,\"step\":1}\n{\"epoch\":1,\"val_loss\":2.0}\n{\"epoch\":2,\"ste";
        let position = Position { epoch: 1, step: 1, ..Position::default() };
        let lines = behind(text, &position);
        let steps: Vec<Option<u64>> = lines.iter().map(|line| line["step"].as_u64()).collect();
        assert_eq!((steps, seconds(&lines)), (vec![Some(0), None, Some(0)], 3.5));
    }

    #[test]
    fn an_epoch_makes_the_models_that_it_is_the_best_for() {
        let improved = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<BTreeSet<_>>();
        let files = |names: &[&str], best| models(&improved(names), best).collect::<Vec<_>>();
        assert_eq!(files(&[], false), [LAST]);
        assert_eq!(files(&["iou"], true), [LAST, BEST]);
        assert_eq!(files(&["loss"], false), [LAST, BEST_LOSS]);
    }
}
