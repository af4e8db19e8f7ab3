//! What the page asks of the worker: files to show and to check, models, frames, predictions, projects; and all of it
//! again when a worker died.

#[cfg(target_arch = "wasm32")]
mod archive;
#[cfg(target_arch = "wasm32")]
mod clips;
#[cfg(target_arch = "wasm32")]
mod devices;
#[cfg(target_arch = "wasm32")]
mod frames;
#[cfg(target_arch = "wasm32")]
mod keeper;
#[cfg(target_arch = "wasm32")]
mod kept_files;
#[cfg(target_arch = "wasm32")]
mod learn;
#[cfg(target_arch = "wasm32")]
mod learner;
#[cfg(target_arch = "wasm32")]
mod project;
pub mod queue;
#[cfg(target_arch = "wasm32")]
mod start;
#[cfg(target_arch = "wasm32")]
mod unpack;

#[cfg(target_arch = "wasm32")]
pub(crate) use start::Session;
