//! The line itself: starts the worker, sends requests, hands answers to those who wait for them, and starts the worker
//! again when it or its device dies.

use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_channel::oneshot;
use js_sys::{Array, Object, Reflect};
use leptos::prelude::*;
use serde::de::DeserializeOwned;
use wasm_bindgen::prelude::*;
use web_sys::{Blob, MessageEvent, Worker};

use super::request::Pending;
use super::restart::{Recovery, Remedy};
use crate::messages::{Blame, Call, Fault, FromWorker, Job, Loading, Request, RequestId, ToWorker, Trouble, post};
use crate::spawn;

/// What happens to the worker as a whole.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    /// So much of a new worker is loaded.
    Loading(Loading),
    /// A new worker takes requests.
    Awake,
    /// The worker died for this reason, and with it all that it had; a new one is being started.
    Lost(String),
    /// The worker died for this reason, and no new one is started.
    Stopped(String),
}

/// An answer with its buffers.
type Answered = Result<(JsValue, Vec<Vec<u8>>), Fault>;

/// Where items and answer of a request go.
struct Listener {
    on_item: Rc<dyn Fn(JsValue, Vec<Vec<u8>>)>,
    answer: oneshot::Sender<Answered>,
}

/// A worker and the closures that listen to it.
struct Running {
    worker: Worker,
    /// The address of its script, until it is awake.
    address: String,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_error: Closure<dyn FnMut(web_sys::Event)>,
}

struct Inner {
    recovery: Recovery,
    running: Option<Running>,
    awake: bool,
    /// Counts workers, so that what was read for a dead one is not sent to the next.
    generation: u32,
    pending: Pending<Listener>,
    on_event: Rc<dyn Fn(Event)>,
}

/// Handle to the worker. Cheap to copy.
#[derive(Clone, Copy)]
pub(crate) struct Link {
    inner: StoredValue<Inner, LocalStorage>,
}

impl Link {
    /// A line without a worker yet.
    pub(crate) fn new(recovery: Recovery, on_event: impl Fn(Event) + 'static) -> Self {
        let (pending, on_event) = (Pending::default(), Rc::new(on_event));
        Self {
            inner: StoredValue::new_local(Inner {
                recovery,
                running: None,
                awake: false,
                generation: 0,
                pending,
                on_event,
            }),
        }
    }

    /// Ask for one answer. A file travels beside the request.
    pub(crate) fn ask<R: Request>(&self, request: R, file: Option<&Blob>) -> PendingAnswer<R::Answer> {
        self.send(request.into(), &beside(file), Rc::new(|_, _| {}))
    }

    /// Ask for an answer, hearing all that the job tells before.
    pub(crate) fn stream<J: Job>(
        &self,
        job: J,
        file: Option<&Blob>,
        on_item: impl Fn(J::Item, Vec<Vec<u8>>) + 'static,
    ) -> PendingAnswer<J::Answer> {
        self.stream_beside(job, &beside(file), on_item)
    }

    /// The same with several files beside the request.
    pub(crate) fn stream_files<J: Job>(
        &self,
        job: J,
        files: &[Blob],
        on_item: impl Fn(J::Item, Vec<Vec<u8>>) + 'static,
    ) -> PendingAnswer<J::Answer> {
        self.stream_beside(job, &files.iter().collect::<Array>(), on_item)
    }

    fn stream_beside<J: Job>(
        &self,
        job: J,
        beside: &JsValue,
        on_item: impl Fn(J::Item, Vec<Vec<u8>>) + 'static,
    ) -> PendingAnswer<J::Answer> {
        let on_item = move |item, buffers| {
            // What cannot be read is a bug, which the answer to come will show.
            if let Ok(item) = serde_wasm_bindgen::from_value(item) {
                on_item(item, buffers);
            }
        };
        self.send(job.into(), beside, Rc::new(on_item))
    }

    /// The answer is not wanted any more: the worker stops at its next step. It still answers, with [`Fault::Cancelled`]
    /// or with what it had done before it heard of this, so that the page always knows what the worker holds.
    pub(crate) fn cancel(&self, id: RequestId) {
        self.post(&ToWorker::Cancel { id }, &JsValue::UNDEFINED);
    }

    /// The worker of the moment takes requests.
    pub(crate) fn is_awake(&self) -> bool {
        self.inner.with_value(|inner| inner.awake)
    }

    /// Number of the worker of the moment.
    pub(crate) fn generation(&self) -> u32 {
        self.inner.with_value(|inner| inner.generation)
    }

    /// Read or change what is known about device and deaths.
    pub(crate) fn recovery<T>(&self, change: impl FnOnce(&mut Recovery) -> T) -> Option<T> {
        self.inner.try_update_value(|inner| change(&mut inner.recovery))
    }

    /// Have the GPU device destroyed, as the address asks for.
    pub(crate) fn lose_device(&self) {
        let message = Object::new();
        let set = Reflect::set(&message, &"lose".into(), &JsValue::TRUE);
        self.inner.with_value(|inner| {
            if let (Ok(true), Some(running)) = (set, &inner.running) {
                let _ = running.worker.post_message(&message);
            }
        });
    }

    /// Start a worker.
    pub(crate) fn start(&self) {
        let link = *self;
        let on_message = Closure::new(move |event: MessageEvent| link.receive(&event.data()));
        let on_error = Closure::new(move |event: web_sys::Event| {
            let error = event.dyn_ref::<web_sys::ErrorEvent>().map(web_sys::ErrorEvent::message);
            link.crashed(&error.unwrap_or_else(|| "the worker could not be loaded".to_owned()), None);
        });
        match spawn::worker(&document().base_uri().ok().flatten().unwrap_or_default(), "sonoseg") {
            Ok((worker, address)) => {
                worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
                worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
                self.inner.update_value(|inner| {
                    inner.recovery.started();
                    inner.running = Some(Running { worker, address, _on_message: on_message, _on_error: on_error });
                });
            }
            Err(error) => self.tell(Event::Stopped(format!(
                "This browser cannot start a module worker ({}). A current Chrome, Edge, Firefox or Safari can.",
                post::reason(&error)
            ))),
        }
    }

    fn send<A>(&self, call: Call, beside: &JsValue, on_item: Rc<dyn Fn(JsValue, Vec<Vec<u8>>)>) -> PendingAnswer<A> {
        let (sender, answer) = oneshot::channel();
        let mut id = 0;
        let mut awake = false;
        self.inner.update_value(|inner| {
            awake = inner.awake;
            id = inner.pending.add(call.subject(), Listener { on_item, answer: sender });
        });
        if awake {
            self.post(&ToWorker::Ask { id, call }, beside);
        } else {
            // It died a moment ago.
            self.end(id, Err(Fault::Died { reason: "it is being started".to_owned(), blame: Blame::No }));
        }
        PendingAnswer { id, answer, reads: PhantomData }
    }

    fn post(&self, message: &ToWorker, beside: &JsValue) {
        let sent = post::pack(message, beside, &[]).and_then(|(message, _)| {
            self.inner.with_value(|inner| match &inner.running {
                Some(running) => running.worker.post_message(&message),
                None => Ok(()),
            })
        });
        if let Err(error) = sent {
            self.crashed(&post::reason(&error), None);
        }
    }

    fn receive(&self, message: &JsValue) {
        if let Some(loading) = plainly(message, "loaded") {
            self.tell(Event::Loading(loading));
        } else if let Some(trouble) = plainly(message, "trouble") {
            match trouble {
                Trouble::Device { reason } => self.device_lost(&reason),
                Trouble::Crash { reason, request } => self.crashed(&reason, request),
                Trouble::Start { reason } => {
                    self.end_all(None, &reason);
                    self.tell(Event::Stopped(format!("The worker could not be loaded ({}).", plain(&reason))));
                }
            }
        } else if let Some((head, body, buffers)) = post::unpack::<FromWorker>(message) {
            match head {
                FromWorker::Awake => self.awake(),
                FromWorker::Item { id } => {
                    let listener = self.inner.with_value(|inner| inner.pending.get(id).map(|to| to.on_item.clone()));
                    if let Some(on_item) = listener {
                        on_item(body, buffers);
                    }
                }
                FromWorker::Answer { id } => self.end(id, Ok((body, buffers))),
                FromWorker::Fault { id, fault } => self.end(id, Err(fault)),
            }
        }
    }

    fn end(&self, id: RequestId, answer: Answered) {
        if let Some(listener) = self.inner.try_update_value(|inner| inner.pending.take(id)).flatten() {
            // Nobody may be waiting any more.
            let _ = listener.answer.send(answer);
        }
    }

    fn awake(&self) {
        self.inner.update_value(|inner| {
            inner.awake = true;
            if let Some(running) = &inner.running {
                // An address that is not known was revoked before.
                let _ = web_sys::Url::revoke_object_url(&running.address);
            }
        });
        self.tell(Event::Awake);
    }

    fn device_lost(&self, reason: &str) {
        let lost = format!("The graphics device was lost ({}).", plain(reason));
        if self.has_worker()
            && let Some(remedy) = self.recovery(|recovery| recovery.device_lost(&lost)).flatten()
        {
            self.end_all(None, reason);
            self.go_on(remedy, lost);
        }
    }

    fn crashed(&self, reason: &str, working_on: Option<RequestId>) {
        if !self.has_worker() {
            return;
        }
        let lost = format!("The worker stopped ({}).", plain(reason));
        let judged = self.inner.try_update_value(|inner| {
            let culprit = inner.pending.culprit(working_on);
            let (blame, remedy) = inner.recovery.crashed(culprit.map(|culprit| culprit.1), &lost);
            (culprit.map(|culprit| (culprit.0, blame)), remedy)
        });
        let Some((culprit, remedy)) = judged else { return };
        self.end_all(culprit, reason);
        self.go_on(remedy, lost);
    }

    fn has_worker(&self) -> bool {
        self.inner.try_with_value(|inner| inner.running.is_some()) == Some(true)
    }

    /// End the worker. Nobody waits for its answers any more.
    fn end_all(&self, culprit: Option<(RequestId, Blame)>, reason: &str) {
        let Some((running, pending)) = self.inner.try_update_value(|inner| {
            inner.awake = false;
            inner.generation += 1;
            (inner.running.take(), inner.pending.drain())
        }) else {
            return;
        };
        if let Some(Running { worker, .. }) = running {
            worker.set_onmessage(None);
            worker.set_onerror(None);
            worker.terminate();
        }
        for (id, listener) in pending {
            let blame = culprit.filter(|culprit| culprit.0 == id).map_or(Blame::No, |culprit| culprit.1);
            let _ = listener.answer.send(Err(Fault::Died { reason: plain(reason).to_owned(), blame }));
        }
    }

    fn go_on(&self, remedy: Remedy, lost: String) {
        match remedy {
            Remedy::Again => {
                self.tell(Event::Lost(lost));
                self.start();
            }
            Remedy::GiveUp => self.tell(Event::Stopped(lost)),
        }
    }

    fn tell(&self, event: Event) {
        let on_event = self.inner.with_value(|inner| inner.on_event.clone());
        on_event(event);
    }
}

/// A request that was sent. Awaiting it gives the answer and its buffers.
pub(crate) struct PendingAnswer<A> {
    /// Its number, to cancel it by.
    pub(crate) id: RequestId,
    answer: oneshot::Receiver<Answered>,
    reads: PhantomData<fn() -> A>,
}

impl<A: DeserializeOwned> Future for PendingAnswer<A> {
    type Output = Result<(A, Vec<Vec<u8>>), Fault>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer).poll(context).map(|answer| {
            let (answer, buffers) = answer.unwrap_or(Err(Fault::Cancelled))?;
            let read = serde_wasm_bindgen::from_value(answer);
            let read = read.map_err(|error| Fault::Refused(format!("The worker's answer cannot be read ({error}).")));
            Ok((read?, buffers))
        })
    }
}

fn beside(file: Option<&Blob>) -> JsValue {
    file.map_or(JsValue::UNDEFINED, |file| file.clone().into())
}

fn plain(reason: &str) -> &str {
    reason.trim_end_matches(['.', ' ', '\n'])
}

/// A message of `start-worker.js`, which is known by one of its names.
fn plainly<T: DeserializeOwned>(message: &JsValue, name: &str) -> Option<T> {
    Reflect::has(message, &name.into()).ok().filter(|has| *has)?;
    serde_wasm_bindgen::from_value(message.clone()).ok()
}
