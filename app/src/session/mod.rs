//! What the page asks of the worker: files to show and to check, models, frames, predictions; and all of it again when a
//! worker died.

#[cfg(target_arch = "wasm32")]
mod clips;
#[cfg(target_arch = "wasm32")]
mod devices;
#[cfg(target_arch = "wasm32")]
mod frames;
pub mod queue;
#[cfg(target_arch = "wasm32")]
mod start;
#[cfg(target_arch = "wasm32")]
mod unpack;

#[cfg(target_arch = "wasm32")]
pub(crate) use start::Session;
