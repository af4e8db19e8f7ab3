#![doc = "The core of sonoseg: networks, losses, tasks, the training loop, inference. Bytes in, bytes out; see ARCHITECTURE.md."]
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a failed test may panic"))]
#![cfg_attr(test, expect(clippy::disallowed_methods, reason = "tests read tensors synchronously on the CPU"))]

pub mod blocks;
pub mod checkpoint;
pub mod import;
pub mod inference;
pub mod inspect;
pub mod kernels;
pub mod losses;
pub mod models;
pub mod optim;
pub mod recipe;
pub mod selftest;
pub mod tasks;
pub mod train;
