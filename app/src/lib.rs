//! sonoseg in the browser: what the page and the worker share, and the parts of each.
//!
//! | part | what it is |
//! |---|---|
//! | [`messages`] | everything that passes between page and worker |
//! | [`link`] | the page's line to the worker: pending requests, a new worker when one dies |
//! | [`session`] | what the page asks for: files to show and check, frames, predictions |
//! | [`tasks`] | how requests take turns in the worker |
//! | [`annotate`] | marking by hand: tools, and the answers that come of them |
//! | [`keeping`] | how projects are kept in the browser |
//! | [`faster`], [`finding`], [`keys`], [`learning`], [`listing`], [`options`], [`overlay`], [`playback`], [`rotation`], [`side_by_side`], [`timeline`], [`timings`], [`tone`], [`transform`] | rules without a browser, tested natively |
//! | `app`, `components`, `viewer`, `controls`, `marking`, `paint`, `files` | the page (wasm only, no Burn) |
//! | `opfs` | the browser's own file system (wasm only) |
//! | `demux`, `unzip` | videos and zips taken apart, for the worker |
//! | `worker` | the worker (wasm only) |

pub mod annotate;
#[cfg(feature = "worker")]
pub mod demux;
pub mod faster;
pub mod finding;
pub mod keeping;
pub mod keys;
pub mod learning;
pub mod link;
pub mod listing;
pub mod messages;
pub mod options;
pub mod overlay;
pub mod playback;
pub mod rotation;
pub mod session;
pub mod side_by_side;
pub mod tasks;
pub mod timeline;
pub mod timings;
pub mod tone;
pub mod transform;
#[cfg(feature = "worker")]
pub mod unzip;

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
mod marking;
#[cfg(target_arch = "wasm32")]
mod opfs;
#[cfg(target_arch = "wasm32")]
mod paint;
#[cfg(target_arch = "wasm32")]
mod spawn;
#[cfg(target_arch = "wasm32")]
mod viewer;
#[cfg(all(target_arch = "wasm32", feature = "worker"))]
pub mod worker;
