//! Where the first weights come from: `--init` with a model file, a run folder, a pre-trained encoder or an import.

use std::path::Path;

use anyhow::Result;
use sonoseg_core::blocks::positions::resize_table;
use sonoseg_core::checkpoint::{self, CheckpointError, State};
use sonoseg_core::import::{ImportHeader, Sizes, read_import};
use sonoseg_core::inference::ModelHeader;
use sonoseg_core::models::NetworkConfig;
use sonoseg_core::models::mae::from_public_names;
use sonoseg_core::tasks::Task;

use crate::files;
use crate::terminal::say;

/// The encoder's tensors in our networks.
const ENCODER: &str = "encoder.";

/// Fill `model`, a network of the sizes `network`, from a file: all of it where the file holds the same kind of network, every
/// part that is as the network in the file, else its encoder.
pub(super) fn start_from<T: Task>(path: &Path, network: &NetworkConfig, model: T::Model) -> Result<T::Model> {
    let path = files::model_file(path)?;
    let name = files::absolute(&path);
    let bytes = files::read(&path)?;
    let architecture = checkpoint::architecture(&name, &bytes)?;
    let (heads, mut state) = if architecture == ImportHeader::KIND {
        let (header, state) = read_import(&name, &bytes)?;
        match &header.config {
            Sizes::Vit(encoder) | Sizes::Mae { encoder, .. } => (Some(encoder.heads), from_public_names(state)),
            sizes @ Sizes::Resnet(_) if network.sizes().encoder().is_some() => {
                let reason = format!("holds {sizes}, and a vision transformer is needed here");
                return Err(CheckpointError::Foreign { name, reason }.into());
            }
            Sizes::Resnet(_) => (None, state),
        }
    } else {
        let (header, state) = ModelHeader::read(&name, &bytes)?;
        (header.network.sizes().encoder().map(|encoder| encoder.heads), state)
    };
    if let Some(problem) = checkpoint::unusable(&state) {
        let reason = format!("{problem}: the file is damaged, or its training diverged; start from another one");
        return Err(CheckpointError::Foreign { name, reason }.into());
    }
    let encoder = network.sizes().encoder();
    if let Some(encoder) = encoder {
        if let Some(heads) = heads.filter(|&heads| heads != encoder.heads) {
            // The tensors of both have the same shapes, so nothing else would tell.
            let reason = format!("its encoder has {heads} attention heads, and the recipe asks for {}", encoder.heads);
            return Err(CheckpointError::Mismatch { name, reason }.into());
        }
        fit_positions(&name, encoder.grid(), &mut state)?;
    }
    let fresh = pollster::block_on(checkpoint::read_state(&model))?;
    let same = fresh.len() == state.len()
        && fresh.iter().all(|(key, tensor)| state.get(key).is_some_and(|other| other.0 == tensor.0));
    let parts = parts(&fresh, &state);
    if !same && !parts.is_empty() {
        let (count, all) = (state.len(), fresh.len());
        let mut filled = fresh;
        for part in &parts {
            filled.extend(state.iter().map(|(key, tensor)| (format!("{part}{key}"), tensor.clone())));
        }
        let model = checkpoint::write_state(&name, filled, model)?;
        let (parts, rest) = (parts.join(" and "), all - count * parts.len());
        say(format!("init: {parts} from the {count} tensors of {name}; the other {rest} tensors begin anew"));
        return Ok(model);
    }
    // Without an encoder, a network has no part of its own to start from: what does not fit is named.
    if same || encoder.is_none() {
        let count = state.len();
        let model = checkpoint::write_state(&name, state, model)?;
        say(format!("init: all {count} tensors of {name}"));
        return Ok(model);
    }
    let taken = fresh.keys().filter(|key| key.starts_with(ENCODER)).count();
    let model = pollster::block_on(checkpoint::write_part(&name, &state, ENCODER, model))?;
    say(format!("init: the encoder ({taken} tensors) of {name}; the other {} tensors begin anew", fresh.len() - taken));
    Ok(model)
}

/// The parts of a network, by what their names begin with, that are as the network of `state`: its backbone, and that of its
/// teacher.
fn parts(fresh: &State, state: &State) -> Vec<String> {
    let Some(first) = state.keys().next() else { return Vec::new() };
    let ends = fresh.keys().filter_map(|key| key.strip_suffix(first.as_str())?.strip_suffix('.'));
    let fits = |part: &String| {
        state.iter().all(|(key, tensor)| fresh.get(&format!("{part}{key}")).is_some_and(|other| other.0 == tensor.0))
    };
    ends.map(|part| format!("{part}.")).filter(fits).collect()
}

/// Bring the position table to the recipe's grid of patches, as MAE's fine-tuning does.
fn fit_positions(name: &str, wanted: usize, state: &mut State) -> Result<(), CheckpointError> {
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
