#![doc = "The core of sonoseg: data, networks, losses, metrics, the training loop. Bytes in, bytes out; see ARCHITECTURE.md."]
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a failed test may panic"))]
#![cfg_attr(test, expect(clippy::disallowed_methods, reason = "tests read tensors synchronously on the CPU"))]

pub mod augment;
pub mod baseline;
pub mod blocks;
pub mod checkpoint;
pub mod data;
pub mod formats;
pub mod inspect;
pub mod kernels;
pub mod losses;
pub mod metrics;
pub mod models;
pub mod needle;
pub mod predict;
pub mod recipe;
pub mod rng;
pub mod selftest;
pub mod tasks;
pub mod train;
