//! The page's side of the worker: starts it, sends commands, turns reports into what the viewer shows, and starts it
//! again when it or its device dies.

mod reports;
mod restart;

use std::collections::{HashMap, VecDeque};

use js_sys::{Array, Uint8Array};
use leptos::prelude::*;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::{MessageEvent, Worker};

use crate::files::{Place, Source};
use crate::messages::{Command, DeviceChoice};
use crate::options::Options;
use crate::post;
use crate::recovery::{During, Recovery};
use crate::timeline;
use crate::viewer::{FileLine, Readable, Stage, Viewer};

/// What has to be done one after the other, each answered by the worker before the next.
#[derive(Clone, Debug)]
enum Job {
    /// Choose the device.
    Start,
    /// Load a model; `keep` the results when they are its own, after a restart.
    Model { source: Source, keep: bool },
    /// Open a file and show it; `keep` the results when it is the clip on the screen, after a restart.
    Show { file: u32, keep: bool },
    /// Say whether a file can be read.
    Check(u32),
}

/// A worker and the closures that listen to it.
struct Running {
    worker: Worker,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_error: Closure<dyn FnMut(web_sys::Event)>,
}

struct Inner {
    options: Options,
    recovery: Recovery,
    running: Option<Running>,
    awake: bool,
    /// Counts workers, so that what was read for a dead one is not sent to the next.
    generation: u32,
    gpu_workers: usize,
    device: DeviceChoice,
    because: Option<String>,
    during: During,
    /// Why the worker was started again; told once the new one runs.
    recovering: Option<String>,
    jobs: VecDeque<Job>,
    job: Option<Job>,
    sources: HashMap<u32, Source>,
    model: Option<Source>,
    /// The running worker has a model. What the page shows of the model outlives the worker.
    loaded: bool,
    /// The clip that the running worker has open. The one on the screen outlives the worker.
    opened: Option<u32>,
    predicting: bool,
    predicted: usize,
    fetching: usize,
}

/// Handle to the worker. Cheap to copy.
#[derive(Clone, Copy)]
pub(crate) struct Engine {
    viewer: Viewer,
    inner: StoredValue<Inner, LocalStorage>,
}

impl Engine {
    /// Start the worker, with the model and the clip that come with the app.
    pub(crate) fn start(viewer: Viewer, options: Options) -> Self {
        let bundled = |name: &str, address| Source { name: name.to_owned(), place: Place::Bundled(address) };
        let inner = Inner {
            device: options.device,
            options,
            recovery: Recovery::default(),
            running: None,
            awake: false,
            generation: 0,
            gpu_workers: 0,
            because: None,
            during: During::GpuStart,
            recovering: None,
            jobs: VecDeque::new(),
            job: None,
            sources: HashMap::new(),
            model: Some(bundled("demo.safetensors", "assets/demo.safetensors")),
            loaded: false,
            opened: None,
            predicting: false,
            predicted: 0,
            fetching: 0,
        };
        let engine = Self { viewer, inner: StoredValue::new_local(inner) };
        let demo = engine.add_source(&bundled("demo.dcm", "assets/demo.dcm"));
        engine.inner.update_value(|inner| inner.jobs.push_back(Job::Show { file: demo, keep: false }));
        engine.spawn();
        engine
    }

    /// Open files: the first readable one is shown, the others are checked. A model file is loaded.
    pub(crate) fn open(&self, files: Vec<web_sys::File>) {
        let mut shown = false;
        for file in files {
            if file.name().to_lowercase().ends_with(".safetensors") {
                self.open_model(file);
                continue;
            }
            let file = self.add_source(&Source::picked(file));
            let job = if shown { Job::Check(file) } else { Job::Show { file, keep: false } };
            shown = true;
            self.inner.update_value(|inner| inner.jobs.push_back(job));
        }
        self.next_job();
    }

    /// Load a model file. The one in use stays when it is refused.
    pub(crate) fn open_model(&self, file: web_sys::File) {
        self.inner.update_value(|inner| inner.jobs.push_back(Job::Model { source: Source::picked(file), keep: false }));
        self.next_job();
    }

    /// Show a file of the list.
    pub(crate) fn show(&self, file: u32) {
        self.inner.update_value(|inner| inner.jobs.push_back(Job::Show { file, keep: false }));
        self.next_job();
    }

    /// Start a new worker because the user asks for it.
    pub(crate) fn start_again(&self) {
        self.inner.update_value(|inner| inner.recovery.forgive());
        self.restart(During::Cpu, "started again by hand");
    }

    /// Ask for what is needed next: pixels to show, a prediction. Never more than one prediction is on its way.
    pub(crate) fn pump(&self) {
        let viewer = &self.viewer;
        let Some(clip) = viewer.clip.get_untracked() else { return };
        let state =
            |inner: &Inner| (inner.opened == Some(clip.file), inner.fetching > 0, inner.loaded && !inner.predicting);
        let Some((true, fetching, able)) = self.inner.try_with_value(state) else { return };
        let shown = viewer.frame.get_untracked();
        let mut asked = fetching;
        if !fetching {
            let run = viewer.pixels.with_value(|pixels| {
                // The first frame alone, so that nothing stands before its prediction.
                let most = if pixels.is_empty() { 1 } else { 8 };
                timeline::next_to_fetch(clip.frames, shown, viewer.frames_ahead(), most, |f| pixels.contains_key(&f))
            });
            if let Some((first, count)) = run {
                asked = true;
                self.inner.update_value(|inner| inner.fetching = count);
                self.post(&Command::Frames { file: clip.file, first, count }, &[]);
            }
        }
        let has_picture = asked || viewer.pixels.with_value(|pixels| pixels.contains_key(&shown));
        let next = viewer.states.with_untracked(|states| timeline::next_to_predict(states, shown));
        if let Some(frame) = next.filter(|_| able && has_picture) {
            self.inner.update_value(|inner| inner.predicting = true);
            self.post(&Command::Predict { file: clip.file, frame }, &[]);
        }
    }

    fn add_source(&self, source: &Source) -> u32 {
        let line = |file| FileLine { file, name: source.name.clone(), readable: Readable::Unknown };
        let mut file = 0;
        self.inner.update_value(|inner| {
            file = inner.sources.len() as u32;
            inner.sources.insert(file, source.clone());
        });
        self.viewer.files.update(|files| files.push(line(file)));
        file
    }

    fn spawn(&self) {
        let engine = *self;
        let on_message = Closure::new(move |event: MessageEvent| engine.receive(&event.data()));
        let on_error = Closure::new(move |event: web_sys::Event| {
            let error = event.dyn_ref::<web_sys::ErrorEvent>().map(web_sys::ErrorEvent::message);
            engine.trouble("crash", &error.unwrap_or_else(|| "the worker could not be loaded".to_owned()));
        });
        match new_worker() {
            Ok(worker) => {
                worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
                worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
                self.inner.update_value(|inner| {
                    inner.awake = false;
                    inner.generation += 1;
                    inner.loaded = false;
                    inner.opened = None;
                    inner.predicting = false;
                    inner.predicted = 0;
                    inner.fetching = 0;
                    inner.during = if inner.device == DeviceChoice::Cpu { During::Cpu } else { During::GpuStart };
                    inner.running = Some(Running { worker, _on_message: on_message, _on_error: on_error });
                });
            }
            Err(error) => {
                let reason = post::reason(&error);
                self.viewer.stage.set(Stage::Stopped(format!(
                    "This browser cannot start a module worker ({reason}). A current Chrome, Edge, Firefox or Safari can."
                )));
            }
        }
    }

    fn post(&self, command: &Command, buffers: &[Uint8Array]) {
        let sent = post::pack(command, buffers).and_then(|(message, moved)| {
            self.inner.with_value(|inner| match &inner.running {
                Some(running) => running.worker.post_message_with_transfer(&message, &moved),
                None => Ok(()),
            })
        });
        if let Err(error) = sent {
            self.trouble("crash", &post::reason(&error));
        }
    }

    /// Take the next job when the worker is free.
    fn next_job(&self) {
        let mut job = None;
        let mut generation = 0;
        self.inner.update_value(|inner| {
            generation = inner.generation;
            if inner.awake && inner.job.is_none() {
                job = inner.jobs.pop_front();
                inner.job.clone_from(&job);
            }
        });
        let engine = *self;
        match job {
            None => self.settle(),
            Some(Job::Start) => {
                let command = self.inner.with_value(|inner| Command::Start {
                    device: inner.device,
                    because: inner.because.clone(),
                    fail_selftest: inner.options.fail_selftest,
                });
                self.post(&command, &[]);
            }
            Some(Job::Model { source, .. }) => {
                spawn_local(async move {
                    let name = source.name.clone();
                    match source.read().await {
                        Ok(bytes) => engine.post_to(generation, &Command::LoadModel { name }, &bytes),
                        Err(reason) => engine.model_refused(&reason),
                    }
                });
            }
            Some(Job::Show { file, .. } | Job::Check(file)) => {
                let show = matches!(job, Some(Job::Show { .. }));
                let Some(source) = self.inner.with_value(|inner| inner.sources.get(&file).cloned()) else { return };
                spawn_local(async move {
                    let name = source.name.clone();
                    let command = if show { Command::Open { file, name } } else { Command::Check { file, name } };
                    match source.read().await {
                        Ok(bytes) => engine.post_to(generation, &command, &bytes),
                        Err(reason) => engine.refused(file, reason),
                    }
                });
            }
        }
    }

    fn post_to(&self, generation: u32, command: &Command, bytes: &Uint8Array) {
        if self.inner.with_value(|inner| inner.generation == generation) {
            self.post(command, std::slice::from_ref(bytes));
        }
    }

    fn job_done(&self) {
        self.inner.update_value(|inner| inner.job = None);
        self.next_job();
    }

    /// Nothing is left to start with: start-up is over.
    fn settle(&self) {
        let idle = self.inner.with_value(|inner| inner.awake && inner.job.is_none());
        let starting = self.viewer.stage.with_untracked(|stage| matches!(stage, Stage::Starting(_)));
        if idle && starting && self.viewer.device.with_untracked(Option::is_some) {
            self.viewer.stage.set(Stage::Ready);
        }
    }
}

/// Milliseconds of the page's steady clock.
pub(crate) fn now() -> f64 {
    web_sys::window().and_then(|window| window.performance()).map_or(0.0, |performance| performance.now())
}

/// A module worker that runs `start-worker.js` under the policy of this page: a worker from an address has a policy of
/// its own, one from a blob inherits the page's, so that nothing can leave from there either.
fn new_worker() -> Result<Worker, JsValue> {
    let base = document().base_uri()?.unwrap_or_default();
    let script = web_sys::Url::new_with_base("start-worker.js", &base)?.href();
    let parts = Array::of1(&format!("import {};", js_sys::JSON::stringify(&script.into())?).into());
    let kind = web_sys::BlobPropertyBag::new();
    kind.set_type("text/javascript");
    let blob = web_sys::Blob::new_with_str_sequence_and_options(&parts, &kind)?;
    let address = web_sys::Url::create_object_url_with_blob(&blob)?;
    let options = web_sys::WorkerOptions::new();
    options.set_type(web_sys::WorkerType::Module);
    options.set_name("sonoseg");
    Worker::new_with_options(&address, &options)
}
