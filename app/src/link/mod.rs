//! The page's line to the worker: requests with numbers, answers in any order, and a new worker when one dies.

#[cfg(target_arch = "wasm32")]
mod connection;
pub mod request;
pub mod restart;

#[cfg(target_arch = "wasm32")]
pub(crate) use connection::{Asked, Event, Link};
