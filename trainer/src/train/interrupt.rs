//! Ctrl-C: the first one asks the run to finish its step and save, the second one quits.

use std::process::exit;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

use crate::failure::INTERRUPTED;
use crate::terminal::warn;

/// Becomes true when the user wants to stop.
pub(super) fn watch() -> Result<Arc<AtomicBool>> {
    let asked = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&asked);
    ctrlc::set_handler(move || {
        if seen.swap(true, Ordering::Relaxed) {
            exit(INTERRUPTED.into());
        }
        warn("stopping after this update; press Ctrl-C again to quit at once");
    })
    .context("Ctrl-C cannot be watched for")?;
    Ok(asked)
}
