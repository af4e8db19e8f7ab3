//! `sonoseg export`: a model file for the app and for Python.

use std::path::Path;

use anyhow::Result;
use sonoseg_core::checkpoint::{self, CheckpointError, State, Storage};
use sonoseg_core::inference::ModelHeader;
use sonoseg_core::models::NetworkConfig;

use crate::args::{Dtype, Export};
use crate::files;
use crate::terminal::say;

pub(crate) fn run(verb: &Export) -> Result<()> {
    let (mut header, mut state) = open(&verb.run)?;
    for (others, path) in (1..).zip(&verb.average) {
        let (_, other) = open(path)?;
        checkpoint::average(&files::absolute(path), &mut state, &other, 1.0 / (1 + others) as f32)?;
        // They were measured of other weights.
        (header.calibration, header.novelty) = (None, None);
    }
    let from = files::absolute(&files::model_file(&verb.run)?);
    if verb.backbone {
        let Some((sizes, start)) = header.network.backbone() else {
            let reason = format!(
                "holds a network of architecture {}, which has no residual network",
                header.network.sizes().architecture()
            );
            return Err(CheckpointError::Foreign { name: from, reason }.into());
        };
        state =
            state.into_iter().filter_map(|(name, tensor)| Some((name.strip_prefix(start)?.into(), tensor))).collect();
        // What was measured is of the whole network.
        header =
            ModelHeader { network: NetworkConfig::Resnet(*sizes), calibration: None, novelty: None, ..header.clone() };
    }
    if let Some(problem) = checkpoint::unusable(&state) {
        let reason =
            format!("{problem}: its training diverged, or the file is damaged; train it anew, or take another file");
        return Err(CheckpointError::Foreign { name: from, reason }.into());
    }
    let bytes = checkpoint::encode_as(&from, &header, &state, storage(verb.dtype))?;
    files::write(&verb.out, &bytes)?;
    let numbers: usize = state.values().map(|(_, numbers)| numbers.len()).sum();
    let from = &header.recipe.trained_on;
    let trained_on = if from.is_empty() { "data without a name" } else { from };
    say(format!(
        "{}: {}, {numbers} numbers, {:.1} MB, trained on {trained_on}",
        verb.out.display(),
        header.network.sizes().architecture(),
        bytes.len() as f64 / 1e6,
    ));
    say(if header.recipe.task.pretrains() || verb.backbone {
        format!("next: sonoseg train RECIPE --data DATA --out RUN --init {}", verb.out.display())
    } else {
        format!("next: sonoseg predict {} IMAGE_OR_VIDEO --out predictions", verb.out.display())
    });
    Ok(())
}

/// How numbers are stored in a model file.
pub(crate) fn storage(dtype: Dtype) -> Storage {
    match dtype {
        Dtype::F32 => Storage::F32,
        Dtype::F16 => Storage::F16,
    }
}

/// What the file of a network says of it, and its tensors.
pub(crate) fn open(run: &Path) -> Result<(ModelHeader, State)> {
    let path = files::model_file(run)?;
    let name = files::absolute(&path);
    let bytes = files::read(&path)?;
    if checkpoint::architecture(&name, &bytes)? == checkpoint::IMPORT {
        let reason = "holds imported weights and no trained model: start a training from it with `--init`".into();
        return Err(CheckpointError::Foreign { name, reason }.into());
    }
    Ok(ModelHeader::read(&name, &bytes)?)
}
