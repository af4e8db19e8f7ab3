//! Helpers: workers of the worker that compute beside it on the CPU. They have the model and nothing else. Where one of them
//! fails, the worker computes itself, so that a fault is told as without them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use futures_channel::oneshot;
use js_sys::{Object, Reflect};
use sonoseg_core::inference::{Output, Prepared};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::{Blob, MessageEvent, Worker, WorkerGlobalScope};

use crate::messages::{Call, DeviceChoice, Forward, FromWorker, LoadModel, StartDevice, ToWorker, post};
use crate::{side_by_side, spawn};

/// What `start-worker.js` calls a helper, to which it does not load the program again.
const HELPER: &str = "helper";

/// What a helper answers: buffers, or nothing when it is dead or refused.
pub(super) type Answer = Option<Vec<Vec<u8>>>;

/// The helpers of the model in use.
#[derive(Default)]
pub(super) struct Pool {
    helpers: RefCell<Vec<Rc<Helper>>>,
    /// Counts models, so that no helper comes late for one before.
    models: Cell<u32>,
}

/// A worker of the worker.
pub(super) struct Helper {
    worker: Worker,
    waiting: RefCell<Option<oneshot::Sender<Answer>>>,
    alive: Cell<bool>,
    listening: RefCell<Vec<JsValue>>,
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.worker.set_onmessage(None);
        self.worker.set_onerror(None);
        self.worker.terminate();
    }
}

/// Frames that this machine predicts side by side.
pub(super) fn size() -> usize {
    let navigator = js_sys::global().unchecked_into::<WorkerGlobalScope>().navigator();
    let memory = Reflect::get(&navigator, &"deviceMemory".into()).ok().and_then(|memory| memory.as_f64());
    side_by_side::on_cpu(navigator.hardware_concurrency() as usize, memory)
}

impl Pool {
    /// No helpers any more: another model or device is in use.
    pub(super) fn clear(&self) {
        self.models.set(self.models.get() + 1);
        self.helpers.borrow_mut().clear();
    }

    /// Start helpers for a model, which join when they are ready.
    pub(super) fn grow(self: &Rc<Self>, name: &str, model: &Blob) {
        self.clear();
        // A single one would only wait for the worker.
        for _ in 0..Some(size()).filter(|&size| size > 1).unwrap_or_default() {
            let (pool, name, model) = (self.clone(), name.to_owned(), model.clone());
            let models = self.models.get();
            spawn_local(async move {
                if let Some(helper) = Helper::start(name, &model).await
                    && pool.models.get() == models
                {
                    pool.helpers.borrow_mut().push(helper);
                }
            });
        }
    }

    /// The helpers that have nothing to do.
    pub(super) fn free(&self) -> Vec<Rc<Helper>> {
        let free = |helper: &&Rc<Helper>| helper.waiting.borrow().is_none();
        self.helpers.borrow().iter().filter(free).cloned().collect()
    }

    /// Forget the helpers that died.
    pub(super) fn bury(&self) {
        self.helpers.borrow_mut().retain(|helper| helper.alive.get());
    }

    /// What the network computes, by a helper; none where no helper is free.
    pub(super) async fn forward(&self, prepared: &Prepared) -> Option<Output> {
        let helper = self.free().into_iter().next()?;
        let Prepared { ref numbers, channels, size } = *prepared;
        let answer = helper.ask(Forward { channels, size }, None, vec![bytes(numbers)]).await;
        self.bury();
        let [probabilities, features] = answer?.try_into().ok()?;
        Some(Output { probabilities: numbers_of(&probabilities), features: numbers_of(&features) })
    }
}

impl Helper {
    /// A helper with the model, once it is ready.
    async fn start(name: String, model: &Blob) -> Option<Rc<Self>> {
        let global = |name: &str| Reflect::get(&js_sys::global(), &name.into()).ok();
        let (worker, address) = spawn::worker(&global("home")?.as_string()?, HELPER).ok()?;
        let (sender, awake) = oneshot::channel();
        let waiting = RefCell::new(Some(sender));
        let (alive, listening) = (Cell::new(true), RefCell::default());
        let helper = Rc::new(Self { worker, waiting, alive, listening });
        helper.listen();
        let program = Object::new();
        Reflect::set(&program, &"program".into(), &global("program")?).ok()?;
        helper.worker.post_message(&program).ok()?;
        let awake = awake.await.ok().flatten();
        // An address that is not known was revoked before.
        let _ = web_sys::Url::revoke_object_url(&address);
        awake?;
        let device = StartDevice { device: DeviceChoice::Cpu, because: None, fail_selftest: false };
        helper.ask(device, None, vec![]).await?;
        helper.ask(LoadModel { name }, Some(model), vec![]).await?;
        Some(helper)
    }

    /// Its answers go to whoever waits for one.
    fn listen(self: &Rc<Self>) {
        let helper = Rc::downgrade(self);
        let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
            let Some(helper) = helper.upgrade() else { return };
            match post::unpack::<FromWorker>(&event.data()) {
                Some((FromWorker::Item { .. }, _, _)) => {}
                Some((FromWorker::Awake | FromWorker::Answer { .. }, _, buffers)) => helper.answered(Some(buffers)),
                Some((FromWorker::Fault { .. }, _, _)) => helper.answered(None),
                None => helper.died(),
            }
        });
        let helper = Rc::downgrade(self);
        let on_error = Closure::<dyn FnMut(web_sys::Event)>::new(move |event: web_sys::Event| {
            // It is no error of the worker.
            event.prevent_default();
            if let Some(helper) = helper.upgrade() {
                helper.died();
            }
        });
        let (on_message, on_error) = (on_message.into_js_value(), on_error.into_js_value());
        self.worker.set_onmessage(Some(on_message.unchecked_ref()));
        self.worker.set_onerror(Some(on_error.unchecked_ref()));
        self.listening.borrow_mut().extend([on_message, on_error]);
    }

    async fn ask(&self, call: impl Into<Call>, file: Option<&Blob>, buffers: Vec<Vec<u8>>) -> Answer {
        self.send(call, file, &buffers).await.ok().flatten()
    }

    /// Ask at once. Only one thing is asked at a time, so that all may have one number.
    pub(super) fn send(
        &self,
        call: impl Into<Call>,
        file: Option<&Blob>,
        buffers: &[Vec<u8>],
    ) -> oneshot::Receiver<Answer> {
        let (sender, answer) = oneshot::channel();
        self.waiting.replace(Some(sender));
        let file = file.map_or(JsValue::UNDEFINED, |file| file.clone().into());
        let sent = post::pack(&ToWorker::Ask { id: 0, call: call.into() }, &file, buffers)
            .and_then(|(message, moved)| self.worker.post_message_with_transfer(&message, &moved));
        if sent.is_err() {
            self.died();
        }
        answer
    }

    fn answered(&self, answer: Answer) {
        if let Some(waiting) = self.waiting.take() {
            // Nobody may wait any more.
            let _ = waiting.send(answer);
        }
    }

    fn died(&self) {
        self.alive.set(false);
        self.answered(None);
    }
}

/// Numbers as bytes for a buffer of their own, and back.
pub(super) fn bytes(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

pub(super) fn numbers_of(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect()
}
