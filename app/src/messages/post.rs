//! Messages on their way between page and worker: `{ head, body, buffers }`, the buffers moved and not copied.

use js_sys::{Array, ArrayBuffer, Object, Reflect, Uint8Array};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wasm_bindgen::{JsCast, JsValue};

/// A message with something beside it, and the list of buffers to move with it.
pub fn pack<T: Serialize>(head: &T, body: &JsValue, buffers: &[Vec<u8>]) -> Result<(Object, Array), JsValue> {
    let message = Object::new();
    let moved: Array = buffers.iter().map(|buffer| Uint8Array::from(buffer.as_slice()).buffer()).collect();
    Reflect::set(&message, &"head".into(), &serde_wasm_bindgen::to_value(head)?)?;
    Reflect::set(&message, &"body".into(), body)?;
    Reflect::set(&message, &"buffers".into(), &moved)?;
    Ok((message, moved))
}

/// The head of a message, what is beside it, and its buffers; `None` when it is of another kind.
pub fn unpack<T: DeserializeOwned>(message: &JsValue) -> Option<(T, JsValue, Vec<Vec<u8>>)> {
    let part = |name: &str| Reflect::get(message, &name.into()).ok();
    let head = serde_wasm_bindgen::from_value(part("head")?).ok()?;
    let buffers = part("buffers")?.dyn_into::<Array>().ok()?;
    let buffers = buffers.iter().filter_map(|buffer| buffer.dyn_into::<ArrayBuffer>().ok());
    Some((head, part("body")?, buffers.map(|buffer| Uint8Array::new(&buffer).to_vec()).collect()))
}

/// The text of an error that JavaScript threw.
pub fn reason(error: &JsValue) -> String {
    let message = Reflect::get(error, &"message".into()).ok().and_then(|message| message.as_string());
    message.or_else(|| error.as_string()).unwrap_or_else(|| format!("{error:?}"))
}
