//! A run as bytes: model, optimiser and position in one model file, so that it can go on bit by bit as if it had never
//! stopped. The file is the run's own; what people and the app read is the model file of `inference/header.rs`.

use burn::module::Module;
use serde::{Deserialize, Serialize};

use super::{Position, Progress, TrainConfig};
use crate::checkpoint::{self, CheckpointError, State, Storage};
use crate::optim::Optimiser;

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

/// Format 1 knew the best loss and the best IoU only; [`Position`] reads both.
const FORMAT: u32 = 2;
const MODEL: &str = "model.";

impl<M: Module> Progress<M> {
    /// The run as a file. All numbers are stored as they are, in 32 bits.
    pub async fn to_bytes(&self) -> Result<Vec<u8>, CheckpointError> {
        let named = |part: &str, state: State| -> State {
            state.into_iter().map(|(name, tensor)| (format!("{part}.{name}"), tensor)).collect()
        };
        let mut all = State::new();
        for (kind, state) in self.optimiser.state(&self.model).await? {
            all.extend(named(kind, state));
        }
        all.extend(named("model", checkpoint::read_state(&self.model).await?));
        let header =
            ResumeHeader { resume: FORMAT, position: self.position.clone(), optimiser_steps: self.optimiser.steps() };
        checkpoint::encode(&header, &all, Storage::F32)
    }

    /// Read a run back into a fresh `model` of the same sizes, on the device that it learns on. `name` is the file's.
    pub fn from_bytes(name: &str, bytes: &[u8], model: M, config: &TrainConfig) -> Result<Self, CheckpointError> {
        let (header, all): (ResumeHeader, State) = checkpoint::decode(name, bytes)?;
        if header.resume > FORMAT {
            let reason = format!("a run saved in format {}, and this version reads up to {FORMAT}", header.resume);
            return Err(CheckpointError::Foreign { name: name.to_owned(), reason });
        }
        let (model_state, memory): (State, State) = all.into_iter().partition(|(name, _)| name.starts_with(MODEL));
        let model_state = model_state.into_iter().map(|(name, tensor)| (name[MODEL.len()..].to_owned(), tensor));
        let model = checkpoint::write_state(name, model_state.collect(), model)?;
        let optimiser = Optimiser::restore(name, config.optimiser.clone(), header.optimiser_steps, &model, memory)?;
        Ok(Self { model, optimiser, position: header.position })
    }
}
