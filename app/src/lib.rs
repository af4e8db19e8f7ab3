//! sonoseg in the browser: what the page and the worker share, and the parts of each.
//!
//! | part | what it is |
//! |---|---|
//! | [`messages`] | everything that passes between page and worker |
//! | [`asked`], [`keys`], [`options`], [`overlay`], [`playback`], [`recovery`], [`rotation`], [`sought`], [`timeline`], [`timings`], [`transform`] | rules without a browser, tested natively |
//! | `app`, `components`, `engine`, `viewer`, `paint`, `files` | the page (wasm only, no Burn) |
//! | `worker` | what the worker binary needs besides Burn (wasm only) |

pub mod asked;
pub mod keys;
pub mod messages;
pub mod options;
pub mod overlay;
pub mod playback;
pub mod recovery;
pub mod rotation;
pub mod sought;
pub mod timeline;
pub mod timings;
pub mod transform;

#[cfg(target_arch = "wasm32")]
pub mod app;
#[cfg(target_arch = "wasm32")]
pub mod components;
#[cfg(target_arch = "wasm32")]
mod controls;
#[cfg(target_arch = "wasm32")]
mod engine;
#[cfg(target_arch = "wasm32")]
mod files;
#[cfg(target_arch = "wasm32")]
mod paint;
#[cfg(target_arch = "wasm32")]
pub mod post;
#[cfg(target_arch = "wasm32")]
mod viewer;
#[cfg(all(target_arch = "wasm32", feature = "worker"))]
pub mod worker;
