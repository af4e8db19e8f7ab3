//! Starting a module worker that runs `start-worker.js` under the policy of whoever starts it.

use js_sys::Array;
use wasm_bindgen::JsValue;
use web_sys::{Blob, BlobPropertyBag, Url, Worker, WorkerOptions, WorkerType};

/// A worker of this name, from the script beside `base`: a worker from an address has a policy of its own, one from a blob
/// inherits that of its parent, so that nothing can leave from there either.
///
/// Gives the address of the blob, too, which is to be revoked once the script is loaded.
pub(crate) fn worker(base: &str, name: &str) -> Result<(Worker, String), JsValue> {
    let script = Url::new_with_base("start-worker.js", base)?.href();
    let parts = Array::of1(&format!("import {};", js_sys::JSON::stringify(&script.into())?).into());
    let kind = BlobPropertyBag::new();
    kind.set_type("text/javascript");
    let blob = Blob::new_with_str_sequence_and_options(&parts, &kind)?;
    let address = Url::create_object_url_with_blob(&blob)?;
    let options = WorkerOptions::new();
    options.set_type(WorkerType::Module);
    options.set_name(name);
    Ok((Worker::new_with_options(&address, &options)?, address))
}
