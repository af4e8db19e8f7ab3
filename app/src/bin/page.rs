//! The page. No Burn here: the worker owns device and model.

fn main() {
    #[cfg(target_arch = "wasm32")]
    {
        console_error_panic_hook::set_once();
        leptos::mount::mount_to_body(sonoseg_app::app::App);
    }
}
