//! The worker: owns device, model and clip. The only part of the app that uses Burn.

#[cfg(target_arch = "wasm32")]
#[path = "work/mod.rs"]
mod work;

fn main() {
    #[cfg(target_arch = "wasm32")]
    work::start();
}
