//! Messages on their way between page and worker: `{ head, buffers }`, the buffers moved and not copied.

use js_sys::{Array, ArrayBuffer, Object, Reflect, Uint8Array};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wasm_bindgen::{JsCast, JsValue};

/// A message and the list of buffers to move with it.
pub fn pack<T: Serialize>(head: &T, buffers: &[Uint8Array]) -> Result<(Object, Array), JsValue> {
    let message = Object::new();
    let moved: Array = buffers.iter().map(Uint8Array::buffer).collect();
    Reflect::set(&message, &"head".into(), &serde_wasm_bindgen::to_value(head)?)?;
    Reflect::set(&message, &"buffers".into(), &moved)?;
    Ok((message, moved))
}

/// The head and the buffers of a message; `None` when it is of another kind.
pub fn unpack<T: DeserializeOwned>(message: &JsValue) -> Option<(T, Vec<Uint8Array>)> {
    let head = Reflect::get(message, &"head".into()).ok()?;
    let head = serde_wasm_bindgen::from_value(head).ok()?;
    let buffers = Reflect::get(message, &"buffers".into()).ok()?.dyn_into::<Array>().ok()?;
    let buffers = buffers.iter().filter_map(|buffer| buffer.dyn_into::<ArrayBuffer>().ok());
    Some((head, buffers.map(|buffer| Uint8Array::new(&buffer)).collect()))
}

/// The text of an error that JavaScript threw.
pub fn reason(error: &JsValue) -> String {
    let message = Reflect::get(error, &"message".into()).ok().and_then(|message| message.as_string());
    message.or_else(|| error.as_string()).unwrap_or_else(|| format!("{error:?}"))
}
