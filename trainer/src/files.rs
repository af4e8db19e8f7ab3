//! Reading and writing files so that nothing is ever half-written.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sonoseg_core::inference::Predictor;
use sonoseg_imaging::DataError;

/// Write to a temporary file beside the target, then rename it. A link stays, and what it leads to is written; what is no
/// file, such as `/dev/null`, is written as it is.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let target =
        if path.is_symlink() { fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()) } else { path.to_owned() };
    let path = target.as_path();
    let failed = || format!("{} cannot be written: is the disk full, or the folder read-only?", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(failed)?;
    }
    if path.metadata().is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        return fs::OpenOptions::new()
            .write(true)
            .open(path)
            .and_then(|mut file| file.write_all(bytes))
            .with_context(failed);
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

/// Whether two paths lead to the same place.
pub(crate) fn same(a: &Path, b: &Path) -> bool {
    let place =
        |path: &Path| fs::canonicalize(path).or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_owned());
    place(a) == place(b)
}

/// The path as it was tried.
pub(crate) fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

/// Weights of a run folder, the better ones first.
pub(crate) const WEIGHTS: [&str; 3] = ["best.safetensors", "best-loss.safetensors", "last.safetensors"];

/// The weights of a run folder that were best on held-out data, or the model file itself.
pub(crate) fn model_file(model: &Path) -> Result<PathBuf> {
    if !model.is_dir() {
        return Ok(model.to_owned());
    }
    let found = WEIGHTS.iter().map(|name| model.join(name)).find(|path| path.exists());
    found.ok_or_else(|| {
        let reason = "holds no weights yet: a run writes them at the end of its first epoch";
        DataError::unreadable(absolute(model), reason).into()
    })
}

/// Load the model of a file or run folder.
pub(crate) fn load_model(model: &Path, device: &burn::tensor::Device) -> Result<Predictor> {
    let path = model_file(model)?;
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
        #[cfg(unix)]
        {
            let link = folder.join("link");
            std::os::unix::fs::symlink(&path, &link).unwrap();
            write(&link, b"three").unwrap();
            assert!(link.is_symlink() && read_text(&path).unwrap() == "three");
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
