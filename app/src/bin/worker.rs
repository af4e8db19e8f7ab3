//! The worker's program.

fn main() {
    #[cfg(target_arch = "wasm32")]
    sonoseg_app::worker::start();
}
