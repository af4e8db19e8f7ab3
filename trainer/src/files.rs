//! Reading and writing files so that nothing is ever half-written.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sonoseg_core::data::DataError;
use sonoseg_core::predict::Predictor;

/// Write to a temporary file beside the target, then rename it.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = || format!("{} cannot be written: is the disk full, or the folder read-only?", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(failed)?;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let temporary = path.with_file_name(name);
    let result = fs::File::create(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_data()))
        .and_then(|()| fs::rename(&temporary, path));
    if result.is_err() {
        // Nothing can be done if even this fails; the first error is the one to tell.
        let _ = fs::remove_file(&temporary);
    }
    result.with_context(failed)
}

/// Read a whole file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|e| DataError::unreadable(absolute(path), e).into())
}

/// Read a text file.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    String::from_utf8(read(path)?).map_err(|_| DataError::unreadable(absolute(path), "is not UTF-8 text").into())
}

/// The path as it was tried.
pub(crate) fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

/// The weights of a run folder that were best on held-out data, or the model file itself.
pub(crate) fn model_file(model: &Path) -> PathBuf {
    if model.is_dir() { model.join("best.safetensors") } else { model.to_owned() }
}

/// Load the model of a file or run folder.
pub(crate) fn load_model(model: &Path, device: &burn::tensor::Device) -> Result<Predictor> {
    let path = model_file(model);
    let bytes = read(&path)?;
    Ok(Predictor::load(&path.display().to_string(), &bytes, device)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writing_replaces_the_file_whole_and_leaves_nothing_behind() {
        let folder = std::env::temp_dir().join(format!("sonoseg-files-{}", std::process::id()));
        let path = folder.join("a.txt");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(read_text(&path).unwrap(), "two");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        let message = format!("{:#}", write(&path.join("below"), b"x").unwrap_err());
        assert!(message.contains("cannot be written"), "{message}");
        fs::remove_dir_all(&folder).unwrap();
    }
}
