//! `sonoseg import`: a public checkpoint becomes weights to start from.

use anyhow::Result;
use sha2::{Digest, Sha256};
use sonoseg_core::checkpoint::Storage;
use sonoseg_core::import::{ImportOptions, import};

use crate::args::{Dtype, Import};
use crate::failure::Usage;
use crate::files;
use crate::terminal::{say, warn};

/// Names that a list shows without `--verbose`.
const SHOWN: usize = 6;

pub(crate) fn run(verb: &Import) -> Result<()> {
    if files::absolute(&verb.file) == files::absolute(&verb.out) {
        return Err(Usage("--out is the checkpoint itself: choose another name".into()).into());
    }
    let bytes = files::read(&verb.file)?;
    let Import { heads, decoder_heads, image_size, .. } = *verb;
    let options = ImportOptions { heads, decoder_heads, image_size, key: verb.key.clone() };
    let sha256 = format!("{:x}", Sha256::digest(&bytes));
    let imported = import(&verb.file.display().to_string(), &bytes, verb.layout, &options)?;
    // Public files are large, and from here on only the weights count.
    drop(bytes);
    let storage = match verb.dtype {
        Dtype::F32 => Storage::F32,
        Dtype::F16 => Storage::F16,
    };
    let source = verb.file.file_name().unwrap_or_default().to_string_lossy();
    let written = imported.to_bytes(&source, &sha256, storage)?;
    files::write(&verb.out, &written)?;

    say(format!("{} holds {}", verb.file.display(), imported.sizes));
    for (what, names) in
        [("loaded", &imported.loaded), ("ignored by rule", &imported.ignored), ("missing", &imported.missing)]
    {
        say(format!("{what:<16}{:>4}  {}", names.len(), listed(names, verb.verbose)));
    }
    for warning in &imported.warnings {
        warn(warning);
    }
    let numbers: usize = imported.state.values().map(|(_, numbers)| numbers.len()).sum();
    say(format!("{}: {numbers} numbers, {:.1} MB", verb.out.display(), written.len() as f64 / 1e6));
    say(format!("licence: {}", verb.layout.note()));
    Ok(())
}

/// Names on one line, or with `verbose` each on its own.
fn listed(names: &[String], verbose: bool) -> String {
    if verbose {
        return names.iter().map(|name| format!("\n    {name}")).collect();
    }
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN { format!("{shown}, ..") } else { shown }
}
