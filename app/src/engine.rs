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

use crate::asked::{Asked, OnItsWay};
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
    /// Load a model; `keep` the results when it is the page's own model, which gave them before a restart.
    Model { source: Source, keep: bool },
    /// Open a file and show it.
    Show { file: u32, why: Why },
    /// Say whether a file can be read.
    Check(u32),
}

/// Why a file is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// It is the first of files that were opened together; when it cannot be read, the next one is shown.
    Opened,
    /// It was chosen from the list.
    Chosen,
    /// It is on the screen; after a restart it is opened again, and its results are kept.
    Kept,
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
    on_its_way: OnItsWay,
    predicted: usize,
    /// The clip with a frame that stopped a worker.
    suspect: Option<u32>,
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
            on_its_way: OnItsWay::default(),
            predicted: 0,
            suspect: None,
        };
        let engine = Self { viewer, inner: StoredValue::new_local(inner) };
        let demo = engine.add_source(&bundled("demo.dcm", "assets/demo.dcm"));
        engine.inner.update_value(|inner| inner.jobs.push_back(Job::Show { file: demo, why: Why::Chosen }));
        engine.spawn();
        engine
    }

    /// Open files: the first readable one is shown, the others are checked. A model file is loaded.
    pub(crate) fn open(&self, files: Vec<web_sys::File>) {
        let (models, files): (Vec<_>, Vec<_>) =
            files.into_iter().partition(|file| file.name().to_lowercase().ends_with(".safetensors"));
        let files: Vec<u32> = files.into_iter().map(|file| self.add_source(&Source::picked(file))).collect();
        let show = files.first().map(|&file| Job::Show { file, why: Why::Opened });
        let load = models.into_iter().map(|file| Job::Model { source: Source::picked(file), keep: false });
        let check = files.iter().skip(1).map(|&file| Job::Check(file));
        self.ask(show.into_iter().chain(load).chain(check).collect());
    }

    /// Load a model file. The one in use stays when it is refused.
    pub(crate) fn open_model(&self, file: web_sys::File) {
        self.ask(vec![Job::Model { source: Source::picked(file), keep: false }]);
    }

    /// Show a file of the list.
    pub(crate) fn show(&self, file: u32) {
        self.inner.update_value(|inner| inner.jobs.retain(|job| !matches!(job, Job::Check(other) if *other == file)));
        self.ask(vec![Job::Show { file, why: Why::Chosen }]);
    }

    /// The file that the user wants to see: the last one asked for, or else the one on the screen.
    pub(crate) fn wanted(&self) -> Option<u32> {
        let asked = self.inner.with_value(|inner| {
            inner.jobs.iter().rev().chain(&inner.job).find_map(|job| match job {
                Job::Show { file, why: Why::Opened | Why::Chosen } => Some(*file),
                _ => None,
            })
        });
        asked.or_else(|| self.viewer.clip.with_untracked(|clip| clip.as_ref().map(|clip| clip.file)))
    }

    /// Start a new worker because the user asks for it, as the first time.
    pub(crate) fn start_again(&self) {
        self.inner.update_value(|inner| {
            inner.recovery = Recovery::default();
            inner.device = inner.options.device;
            inner.because = None;
        });
        self.respawn("The worker had stopped.".to_owned());
    }

    /// Ask for what is needed next: pixels to show, a prediction. Never more than one prediction is on its way.
    pub(crate) fn pump(&self) {
        let viewer = &self.viewer;
        let Some(clip) = viewer.clip.get_untracked() else { return };
        let file = clip.file;
        let state = |inner: &Inner| {
            let able = inner.loaded && !inner.on_its_way.prediction();
            (inner.opened == Some(file), inner.on_its_way.pixels(), able)
        };
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
                self.inner.update_value(|inner| {
                    (first..first + count).for_each(|frame| inner.on_its_way.ask(Asked::Pixels { file, frame }));
                });
                self.post(&Command::Frames { file, first, count }, &[]);
            }
        }
        let has_picture = asked || viewer.pixels.with_value(|pixels| pixels.contains_key(&shown));
        let next = viewer.states.with_untracked(|states| timeline::next_to_predict(states, shown));
        if let Some(frame) = next.filter(|_| able && has_picture) {
            self.inner.update_value(|inner| inner.on_its_way.ask(Asked::Prediction { file, frame }));
            self.post(&Command::Predict { file, frame }, &[]);
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
            Ok((worker, address)) => {
                worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
                worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
                self.inner.update_value(|inner| {
                    inner.during = if inner.device == DeviceChoice::Cpu { During::Cpu } else { During::GpuStart };
                    inner.running = Some(Running { worker, address, _on_message: on_message, _on_error: on_error });
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

    /// Put jobs in front of the first check: what the user waits for comes before what is only good to know. A file that
    /// was to be shown and is not yet read gives way to another one.
    fn ask(&self, jobs: Vec<Job>) {
        let shows = jobs.iter().any(|job| matches!(job, Job::Show { .. }));
        self.inner.update_value(|inner| {
            inner.jobs.retain(|job| !(shows && matches!(job, Job::Show { why: Why::Opened | Why::Chosen, .. })));
            let at = inner.jobs.iter().position(|job| matches!(job, Job::Check(_))).unwrap_or(inner.jobs.len());
            jobs.into_iter().rev().for_each(|job| inner.jobs.insert(at, job));
        });
        self.next_job();
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
        self.settle();
        let engine = *self;
        match job {
            None => {}
            Some(Job::Start) => {
                let command = self.inner.with_value(|inner| Command::Start {
                    device: inner.device,
                    because: inner.because.clone(),
                    fail_selftest: inner.options.fail_selftest,
                });
                self.post_job(&command, &[]);
            }
            Some(Job::Model { source, .. }) => {
                spawn_local(async move {
                    let name = source.name.clone();
                    match source.read().await {
                        _ if engine.is_over(generation) => {}
                        Ok(bytes) => engine.post_job(&Command::LoadModel { name }, &[bytes]),
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
                        _ if engine.is_over(generation) => {}
                        Ok(bytes) => engine.post_job(&command, &[bytes]),
                        Err(reason) => engine.refused(file, reason),
                    }
                });
            }
        }
    }

    fn post_job(&self, command: &Command, buffers: &[Uint8Array]) {
        self.inner.update_value(|inner| inner.on_its_way.ask(Asked::Job));
        self.post(command, buffers);
    }

    /// The worker that a job was taken for is dead; the next one takes the job anew.
    fn is_over(&self, generation: u32) -> bool {
        self.inner.with_value(|inner| inner.generation != generation)
    }

    fn job_done(&self) {
        self.inner.update_value(|inner| {
            inner.job = None;
            inner.on_its_way.answered(Asked::Job);
        });
        self.next_job();
    }

    /// Nothing but checks is left to do: start-up, or opening a file, is over.
    fn settle(&self) {
        let idle = self.inner.with_value(|inner| {
            inner.awake && inner.job.iter().chain(&inner.jobs).all(|job| matches!(job, Job::Check(_)))
        });
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
///
/// Gives the address of the blob, too, which is to be revoked once the script is loaded.
fn new_worker() -> Result<(Worker, String), JsValue> {
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
    Ok((Worker::new_with_options(&address, &options)?, address))
}
