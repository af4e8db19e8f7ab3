//! The worker's end of the line to the page.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use js_sys::{Promise, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{DedicatedWorkerGlobalScope, MessageEvent};

use crate::messages::{Command, Report};
use crate::post;

fn scope() -> DedicatedWorkerGlobalScope {
    js_sys::global().unchecked_into()
}

/// Tell the page.
pub fn tell(report: &Report) {
    tell_with(report, &[]);
}

/// Tell the page, moving a buffer to it.
pub fn tell_with(report: &Report, bytes: &[u8]) {
    let buffers = if bytes.is_empty() { vec![] } else { vec![Uint8Array::from(bytes)] };
    // A message that cannot be sent is a bug; the panic hook tells the page by the plainest message there is.
    let sent =
        post::pack(report, &buffers).and_then(|(message, moved)| scope().post_message_with_transfer(&message, &moved));
    if let Err(error) = sent {
        panic!("a report could not be sent: {}", post::reason(&error));
    }
}

/// Milliseconds of the worker's steady clock.
pub fn now() -> f64 {
    scope().performance().map_or(0.0, |performance| performance.now())
}

/// Give the browser a turn: it may then deliver messages and decoded frames.
pub async fn pause(milliseconds: i32) {
    let promise = Promise::new(&mut |resolve, _| {
        // Without a timer the promise is resolved at once.
        if scope().set_timeout_with_callback_and_timeout_and_arguments_0(&resolve, milliseconds).is_err() {
            let _ = resolve.call0(&JsValue::NULL);
        }
    });
    // A promise that is only ever resolved cannot fail.
    let _ = JsFuture::from(promise).await;
}

/// Commands in the order in which the page sent them.
#[derive(Clone, Default)]
pub struct Commands {
    waiting: Rc<RefCell<Waiting>>,
}

#[derive(Default)]
struct Waiting {
    commands: VecDeque<(Command, Vec<Uint8Array>)>,
    waker: Option<Waker>,
}

impl Commands {
    /// Listen to the page from now on.
    pub fn listen() -> Self {
        let commands = Self::default();
        let waiting = commands.waiting.clone();
        let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
            if let Some(command) = post::unpack::<Command>(&event.data()) {
                let mut waiting = waiting.borrow_mut();
                waiting.commands.push_back(command);
                if let Some(waker) = waiting.waker.take() {
                    waker.wake();
                }
            }
        });
        let listening = scope().add_event_listener_with_callback("message", on_message.as_ref().unchecked_ref());
        debug_assert!(listening.is_ok(), "every worker takes messages");
        on_message.forget();
        commands
    }

    /// The next command.
    pub async fn next(&self) -> (Command, Vec<Uint8Array>) {
        poll_fn(|context| {
            let mut waiting = self.waiting.borrow_mut();
            match waiting.commands.pop_front() {
                Some(command) => Poll::Ready(command),
                None => {
                    waiting.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}
