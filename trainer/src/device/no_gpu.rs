//! A build without GPU support says so.

use anyhow::Result;

use super::Chosen;
use crate::args::DeviceName;
use crate::failure::Usage;

const HOW: &str = "this build has no GPU support: build with `--features gpu` (Vulkan) or `--features metal`";

pub(super) fn first_real() -> Option<Chosen> {
    None
}

pub(super) fn open(_: DeviceName) -> Result<Chosen> {
    Err(Usage(format!("{HOW}, or use --device flex")).into())
}

pub(super) fn lines() -> Vec<String> {
    vec![HOW.to_owned()]
}
