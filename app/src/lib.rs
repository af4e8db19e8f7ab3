//! sonoseg in the browser: what the page and the worker share, and the parts of each.
//!
//! | part | what it is |
//! |---|---|
//! | [`messages`] | everything that passes between page and worker |
//! | [`link`] | the page's line to the worker: pending requests, a new worker when one dies |
//! | [`session`] | what the page asks for: files to show and check, frames, predictions |
//! | [`tasks`] | how requests take turns in the worker |
//! | [`keeping`] | how projects are kept in the browser |
//! | [`finding`], [`keys`], [`options`], [`overlay`], [`playback`], [`rotation`], [`timeline`], [`timings`], [`transform`] | rules without a browser, tested natively |
//! | `app`, `components`, `viewer`, `paint`, `files` | the page (wasm only, no Burn) |
//! | `opfs` | the browser's own file system (wasm only) |
//! | `demux` | videos taken apart, for the worker |
//! | `worker` | the worker (wasm only) |

#[cfg(feature = "worker")]
pub mod demux;
pub mod finding;
pub mod keeping;
pub mod keys;
pub mod link;
pub mod messages;
pub mod options;
pub mod overlay;
pub mod playback;
pub mod rotation;
pub mod session;
pub mod tasks;
pub mod timeline;
pub mod timings;
pub mod transform;

#[cfg(target_arch = "wasm32")]
pub mod app;
#[cfg(target_arch = "wasm32")]
mod clock;
#[cfg(target_arch = "wasm32")]
pub mod components;
#[cfg(target_arch = "wasm32")]
mod controls;
#[cfg(target_arch = "wasm32")]
mod files;
#[cfg(target_arch = "wasm32")]
mod opfs;
#[cfg(target_arch = "wasm32")]
mod paint;
#[cfg(target_arch = "wasm32")]
mod viewer;
#[cfg(all(target_arch = "wasm32", feature = "worker"))]
pub mod worker;
