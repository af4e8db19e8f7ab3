//! Is there a WebGPU adapter worth trying? Asked before Burn, which cannot say no without dying.

use js_sys::{Function, Object, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::messages::post::reason;

/// Storage buffers that a kernel may use at least; Burn's fused kernels need several.
const LEAST_BUFFERS: f64 = 8.0;
/// Smallest storage buffer limit that holds weights and activations of the networks shipped, in bytes.
const LEAST_BINDING: f64 = 128.0 * 1024.0 * 1024.0;

/// The name of the adapter, or why WebGPU cannot be used, as part of a sentence.
pub(super) async fn adapter(software_allowed: bool) -> Result<String, String> {
    let gpu = get(&get(&js_sys::global(), "navigator"), "gpu");
    if gpu.is_undefined() || gpu.is_null() {
        return Err("this browser has no WebGPU".to_owned());
    }
    let adapter = request(&gpu).await.map_err(|error| format!("WebGPU did not answer: {}", reason(&error)))?;
    if adapter.is_null() || adapter.is_undefined() {
        return Err("WebGPU found no graphics device".to_owned());
    }
    let info = get(&adapter, "info");
    let text = |key: &str| get(&info, key).as_string().filter(|text| !text.is_empty());
    let parts: Vec<String> = ["vendor", "architecture", "device", "description"].into_iter().filter_map(text).collect();
    let name = match (text("description"), parts.is_empty()) {
        (Some(description), _) => description,
        (None, false) => parts.join(" "),
        (None, true) => "unnamed adapter".to_owned(),
    };
    let all = parts.join(" ").to_lowercase();
    let software =
        ["swiftshader", "llvmpipe", "lavapipe", "software", "basic render"].iter().any(|word| all.contains(word));
    let fallback = [&info, &adapter].iter().any(|object| get(object, "isFallbackAdapter").is_truthy());
    if (software || fallback) && !software_allowed {
        return Err(format!("WebGPU offers only a software adapter ({name}), slower than the CPU path"));
    }
    if !has(&get(&adapter, "features"), "timestamp-query") {
        return Err(format!("the adapter {name} lacks timestamp-query, which the GPU kernels need"));
    }
    let limits = get(&adapter, "limits");
    let limit = |key: &str| get(&limits, key).as_f64().unwrap_or(0.0);
    let (buffers, binding) = (limit("maxStorageBuffersPerShaderStage"), limit("maxStorageBufferBindingSize"));
    if buffers < LEAST_BUFFERS || binding < LEAST_BINDING {
        return Err(format!(
            "the adapter {name} allows too little ({buffers:.0} buffers of {:.0} MiB)",
            binding / 1_048_576.0
        ));
    }
    Ok(name)
}

fn get(object: &JsValue, key: &str) -> JsValue {
    Reflect::get(object, &key.into()).unwrap_or(JsValue::UNDEFINED)
}

fn has(set: &JsValue, value: &str) -> bool {
    let has = get(set, "has").dyn_into::<Function>();
    has.and_then(|has| has.call1(set, &value.into())).is_ok_and(|answer| answer.is_truthy())
}

async fn request(gpu: &JsValue) -> Result<JsValue, JsValue> {
    let options = Object::new();
    Reflect::set(&options, &"powerPreference".into(), &"high-performance".into())?;
    let request: Function = get(gpu, "requestAdapter").dyn_into()?;
    let promise: Promise = request.call1(gpu, &options)?.dyn_into()?;
    JsFuture::from(promise).await
}
