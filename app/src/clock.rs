//! The steady clock of page and worker, and the date.

use js_sys::Reflect;
use wasm_bindgen::JsCast;

/// Milliseconds since the page or the worker began.
pub(crate) fn now() -> f64 {
    let performance = Reflect::get(&js_sys::global(), &"performance".into());
    performance.map_or(0.0, |performance| performance.unchecked_into::<web_sys::Performance>().now())
}

/// Milliseconds since 1970, UTC, by the clock of the system.
pub(crate) fn date_ms() -> u64 {
    js_sys::Date::now() as u64
}
