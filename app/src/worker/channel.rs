//! The worker's end of the line to the page.

use js_sys::{Object, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{DedicatedWorkerGlobalScope, MessageEvent};

use crate::clock;
use crate::messages::{Fault, FromWorker, Job, Request, RequestId, ToWorker, post};
use crate::tasks::Surroundings;

/// Where `start-worker.js` looks for the request that is being worked on.
const REQUEST: &str = "request";

fn scope() -> DedicatedWorkerGlobalScope {
    js_sys::global().unchecked_into()
}

/// Listen to the page from now on, and say so.
pub(super) fn listen(take: impl Fn(ToWorker, JsValue, Vec<Vec<u8>>) + 'static) {
    let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
        if let Some((message, file, buffers)) = post::unpack::<ToWorker>(&event.data()) {
            take(message, file, buffers);
        }
    });
    let listening = scope().add_event_listener_with_callback("message", on_message.as_ref().unchecked_ref());
    debug_assert!(listening.is_ok(), "every worker takes messages");
    on_message.forget();
    send(&FromWorker::Awake, &JsValue::UNDEFINED, &[]);
}

/// A job tells something, moving buffers to the page.
pub(super) fn item<J: Job>(id: RequestId, item: &J::Item, buffers: &[Vec<u8>]) {
    send(&FromWorker::Item { id }, &value(item), buffers);
}

/// A request is over.
pub(super) fn answer<R: Request>(id: RequestId, answer: Result<(R::Answer, Vec<Vec<u8>>), Fault>) {
    match answer {
        Ok((answer, buffers)) => send(&FromWorker::Answer { id }, &value(&answer), &buffers),
        Err(fault) => send(&FromWorker::Fault { id, fault }, &JsValue::UNDEFINED, &[]),
    }
}

/// The worker is about to die of a bug, told as `start-worker.js` does.
pub(super) fn crashed(reason: &str) {
    let message = Object::new();
    let request = Reflect::get(&scope(), &REQUEST.into()).unwrap_or(JsValue::UNDEFINED);
    for (name, value) in [("trouble", "crash".into()), ("reason", reason.into()), (REQUEST, request)] {
        // A new object takes any property.
        let _ = Reflect::set(&message, &name.into(), &value);
    }
    // Nothing is left to do about a message that cannot be sent.
    let _ = scope().post_message(&message);
}

/// Give the browser a turn: it may then deliver messages and decoded frames.
pub(super) async fn pause(milliseconds: i32) {
    let promise = Promise::new(&mut |resolve, _| {
        // Without a timer the promise is resolved at once.
        if scope().set_timeout_with_callback_and_timeout_and_arguments_0(&resolve, milliseconds).is_err() {
            let _ = resolve.call0(&JsValue::NULL);
        }
    });
    // A promise that is only ever resolved cannot fail.
    let _ = JsFuture::from(promise).await;
}

// A message that cannot be sent is a bug; the panic hook tells the page by the plainest message there is.
fn send(head: &FromWorker, body: &JsValue, buffers: &[Vec<u8>]) {
    let sent = post::pack(head, body, buffers)
        .and_then(|(message, moved)| scope().post_message_with_transfer(&message, &moved));
    if let Err(error) = sent {
        panic!("an answer could not be sent: {}", post::reason(&error));
    }
}

fn value(body: &impl serde::Serialize) -> JsValue {
    serde_wasm_bindgen::to_value(body).unwrap_or_else(|error| panic!("an answer could not be written: {error}"))
}

/// The browser round the worker.
pub(super) struct Browser;

impl Surroundings for Browser {
    async fn turn(&self) {
        pause(0).await;
    }

    fn now(&self) -> f64 {
        clock::now()
    }

    fn working_on(&self, id: Option<RequestId>) {
        // The worker's global object takes any property.
        let _ = Reflect::set(&scope(), &REQUEST.into(), &id.map_or(JsValue::UNDEFINED, JsValue::from));
    }
}
