//! A run as bytes: weights, moments and position in one model file, so that it can go on bit by bit as if it had never
//! stopped. The file is the run's own; what people and the app read is the model file of `predict.rs`.

use burn::module::Module;
use serde::{Deserialize, Serialize};

use super::adamw::AdamW;
use super::{Position, Progress, TrainConfig};
use crate::checkpoint::{self, CheckpointError, State, Storage};

/// What the file says beside its tensors.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ResumeHeader {
    /// Version of this header.
    resume: u32,
    /// Where the run stands.
    position: Position,
    /// Updates that the optimiser counted.
    optimiser_steps: i32,
}

const FORMAT: u32 = 1;
const PARTS: [&str; 3] = ["model.", "mean.", "square."];

impl<M: Module> Progress<M> {
    /// The run as a file. All numbers are stored as they are, in 32 bits.
    pub async fn to_bytes(&self) -> Result<Vec<u8>, CheckpointError> {
        let [mean, square] = self.optimiser.moments(&self.model).await?;
        let states = [checkpoint::read_state(&self.model).await?, mean, square];
        let mut all = State::new();
        for (part, state) in PARTS.iter().zip(states) {
            all.extend(state.into_iter().map(|(name, tensor)| (format!("{part}{name}"), tensor)));
        }
        let header =
            ResumeHeader { resume: FORMAT, position: self.position.clone(), optimiser_steps: self.optimiser.steps() };
        checkpoint::encode(&header, &all, Storage::F32)
    }

    /// Read a run back into a fresh `model` of the same sizes, on the device that it learns on. `name` is the file's.
    pub fn from_bytes(name: &str, bytes: &[u8], model: M, config: &TrainConfig) -> Result<Self, CheckpointError> {
        let (header, mut all): (ResumeHeader, State) = checkpoint::decode(name, bytes)?;
        if header.resume != FORMAT {
            let reason = format!("a run saved in format {}, and this version reads {FORMAT}", header.resume);
            return Err(CheckpointError::Foreign { name: name.to_owned(), reason });
        }
        let [weights, mean, square] = PARTS.map(|part| take(&mut all, part));
        let model = checkpoint::write_state(name, weights, model)?;
        let optimiser = AdamW::restore(name, config.optimiser.clone(), header.optimiser_steps, &model, [mean, square])?;
        Ok(Self { model, optimiser, position: header.position })
    }
}

/// The tensors whose names start with `part`, without it.
fn take(all: &mut State, part: &str) -> State {
    let names: Vec<String> = all.keys().filter(|name| name.starts_with(part)).cloned().collect();
    names.into_iter().filter_map(|name| Some((name[part.len()..].to_owned(), all.remove(&name)?))).collect()
}
