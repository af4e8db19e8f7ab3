//! Folders that one program at a time may write into.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use anyhow::{Context, Result};
use sonoseg_imaging::DataError;

use crate::files;
use crate::terminal::say;

/// Keep a second program out of a folder: two that write there would ruin it. With `wait`, wait for the first.
pub(crate) fn take(folder: &Path, wait: bool) -> Result<File> {
    let path = folder.join("lock");
    fs::create_dir_all(folder).with_context(|| files::absolute(folder))?;
    let file = File::create(&path).with_context(|| files::absolute(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) if wait => {
            say(format!("another sonoseg is at work in {}: waiting for it to end", folder.display()));
            file.lock().with_context(|| files::absolute(&path))?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let message = format!("another sonoseg is at work in {}: wait for it", files::absolute(folder));
            Err(DataError::Inconsistent(message).into())
        }
        // A file system without locks has no way to tell.
        Err(TryLockError::Error(_)) => Ok(file),
    }
}
