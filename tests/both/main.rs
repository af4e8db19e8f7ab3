//! The same tests natively on the CPU and in a browser on WebGPU.

#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

mod case;
mod contrast;
#[cfg(not(target_family = "wasm"))]
mod contrastive;
mod layers;
mod learns;
mod networks;
mod numbers;
mod parity;
mod resnets;
#[cfg(not(target_family = "wasm"))]
mod toy;
