//! The worker: owns device, model, clip and the files of projects. The only part of the app that uses Burn. Requests are
//! worked on side by side and answered in any order.

mod channel;
mod clip;
mod decode;
mod gpu;
mod pool;
mod reader;
mod services;
mod storage;

use std::rc::Rc;

use wasm_bindgen_futures::spawn_local;

use crate::messages::ToWorker;
use crate::tasks::{Steps, Tasks};
use channel::Browser;
use services::Services;

/// A job's view of itself, in the browser.
type Step = Steps<Browser>;

/// Start: listen, and say so.
pub fn start() {
    run_static_constructors();
    std::panic::set_hook(Box::new(|info| {
        console_error_panic_hook::hook(info);
        channel::crashed(&info.to_string());
    }));
    let (services, tasks) = (Rc::new(Services::default()), Rc::new(Tasks::new(Browser)));
    channel::listen(move |message, file, buffers| match message {
        ToWorker::Ask { id, call } => {
            let (services, tasks, steps) = (services.clone(), tasks.clone(), tasks.start(id));
            spawn_local(async move { tasks.run(id, services.answer(call, file, buffers, &steps)).await });
        }
        ToWorker::Cancel { id } => tasks.cancel(id),
    });
}

/// CubeCL registers things in static constructors. Unless they are called by hand, the linker wraps every export so
/// that all of them run on every call from JavaScript, which costs a factor of seventy.
#[expect(unsafe_code, reason = "the symbol is made by the linker; calling it once at start is what it is for")]
fn run_static_constructors() {
    unsafe extern "C" {
        fn __wasm_call_ctors();
    }
    unsafe { __wasm_call_ctors() }
}
