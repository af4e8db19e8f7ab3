//! Where the first weights come from: `--init` with a model file, a run folder, a pre-trained encoder or an import.

use std::path::Path;

use anyhow::Result;
use sonoseg_core::blocks::positions::resize_table;
use sonoseg_core::checkpoint::{self, CheckpointError, State};
use sonoseg_core::recipe::{Recipe, TaskName};
use sonoseg_core::tasks::Task;

use crate::files;
use crate::terminal::say;

/// The encoder's tensors in our networks.
const ENCODER: &str = "encoder.";

/// Fill `model` from a file: all of it where the file holds the same kind of network, else its encoder.
pub(super) fn start_from<T: Task>(path: &Path, recipe: &Recipe, model: T::Model) -> Result<T::Model> {
    let path = files::model_file(path);
    let name = files::absolute(&path);
    let bytes = files::read(&path)?;
    let architecture = checkpoint::architecture(&name, &bytes)?;
    let mut state = checkpoint::decode_tensors(&name, &bytes)?;
    fit_positions(&name, recipe, &mut state)?;
    let ours = match recipe.task {
        TaskName::Segment => "unetr",
        TaskName::Mae => "mae",
    };
    let fresh = pollster::block_on(checkpoint::read_state(&model))?;
    let same = architecture == ours
        && fresh.len() == state.len()
        && fresh.iter().all(|(key, tensor)| state.get(key).is_some_and(|other| other.0 == tensor.0));
    if same {
        say(format!("init: all {} tensors of {name}", state.len()));
        return Ok(checkpoint::write_state(&name, state, model)?);
    }
    let taken = fresh.keys().filter(|key| key.starts_with(ENCODER)).count();
    let model = pollster::block_on(checkpoint::write_part(&name, &state, ENCODER, model))?;
    say(format!("init: the encoder ({taken} tensors) of {name}; the other {} tensors begin anew", fresh.len() - taken));
    Ok(model)
}

/// Bring the position table to the recipe's grid of patches, as MAE's fine-tuning does.
fn fit_positions(name: &str, recipe: &Recipe, state: &mut State) -> Result<(), CheckpointError> {
    let wanted = recipe.network.config(recipe.preparation.size).encoder.grid();
    let Some((shape, numbers)) = state.get_mut("encoder.pos_embed") else { return Ok(()) };
    let mismatch = |reason: String| CheckpointError::Mismatch { name: name.to_owned(), reason };
    let [1, tokens, width] = shape[..] else {
        return Err(mismatch(format!("the position table is {shape:?} instead of [1, tokens, width]")));
    };
    let grid = tokens.saturating_sub(1).isqrt();
    if grid == 0 || grid * grid + 1 != tokens {
        return Err(mismatch(format!("the position table has {tokens} rows, which is no square of patches")));
    }
    if grid != wanted {
        *numbers = resize_table(numbers, width, grid, wanted);
        *shape = vec![1, 1 + wanted * wanted, width];
        say(format!("init: position table resized from {grid}x{grid} to {wanted}x{wanted} patches"));
    }
    Ok(())
}
