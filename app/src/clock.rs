//! The steady clock of page and worker.

use js_sys::Reflect;
use wasm_bindgen::JsCast;

/// Milliseconds since the page or the worker began.
pub(crate) fn now() -> f64 {
    let performance = Reflect::get(&js_sys::global(), &"performance".into());
    performance.map_or(0.0, |performance| performance.unchecked_into::<web_sys::Performance>().now())
}
