//! The session: what it knows of files and of the worker of the moment, and what every new worker is given.

use std::collections::HashMap;
use std::ops::Range;

use leptos::prelude::*;

use super::keeper::Keeper;
use super::learner::Learner;
use super::queue::{Queue, Task, Why};
use crate::files::Source;
use crate::link::restart::Recovery;
use crate::link::{Event, Link};
use crate::messages::{ClipId, DeviceChoice, DeviceInfo, Fault, FileNumber, RequestId, StartDevice};
use crate::options::Options;
use crate::viewer::Viewer;
use crate::viewer::notices::Stage;

pub(super) struct Inner {
    pub(super) options: Options,
    pub(super) sources: HashMap<FileNumber, Source>,
    pub(super) next_file: FileNumber,
    pub(super) queue: Queue,
    /// The request of the task that is being done, to cancel it by.
    pub(super) request: Option<RequestId>,
    /// The page's own model, which every new worker is given.
    pub(super) model: Option<FileNumber>,
    /// The model that comes with the app.
    pub(super) bundled: Option<FileNumber>,
    /// Counts models, so that what an old one found is not taken for the new one's.
    pub(super) models: u32,
    /// The running worker has a model. What the page shows of the model outlives the worker.
    pub(super) loaded: bool,
    /// The clip that the running worker has open. The one on the screen outlives the worker.
    pub(super) opened: Option<ClipId>,
    /// Frames whose pixels are on their way, and the request for them while it is not cancelled.
    pub(super) fetching: Option<(Range<usize>, Option<RequestId>)>,
    /// Predictions of the model so far.
    pub(super) warm: usize,
    /// The model that the devices were measured for last, by its count.
    pub(super) measured: u32,
    /// The devices are being measured, or the model moves to another one.
    pub(super) moving: bool,
    /// Frames that are being predicted.
    pub(super) predicting: Vec<(ClipId, usize)>,
    /// The project, and what of it is not written yet.
    pub(super) keeper: Keeper,
    /// Learning.
    pub(super) learner: Learner,
    /// Why the worker was started again; told once the new one runs.
    recovering: Option<String>,
}

/// Handle to the session. Cheap to copy.
#[derive(Clone, Copy)]
pub(crate) struct Session {
    pub(super) viewer: Viewer,
    pub(super) link: Link,
    pub(super) inner: StoredValue<Inner, LocalStorage>,
}

impl Session {
    /// Start the worker, with the model and the clip that come with the app.
    pub(crate) fn start(viewer: Viewer, options: Options) -> Self {
        let recovery = Recovery::new(options.device);
        viewer.findings.pinned.set(options.device);
        let inner = StoredValue::new_local(Inner {
            options,
            sources: HashMap::new(),
            next_file: 0,
            queue: Queue::default(),
            request: None,
            model: None,
            bundled: None,
            models: 0,
            loaded: false,
            opened: None,
            fetching: None,
            warm: 0,
            measured: 0,
            moving: false,
            predicting: Vec::new(),
            keeper: Keeper::default(),
            learner: Learner::default(),
            recovering: None,
        });
        let handle = StoredValue::new_local(None::<Self>);
        let link = Link::new(recovery, move |event| {
            if let Some(session) = handle.get_value() {
                session.happened(event);
            }
        });
        let session = Self { viewer, link, inner };
        handle.set_value(Some(session));
        let model = session.add_source(Source::bundled("demo.safetensors", "assets/demo.safetensors"));
        let clip = session.add_clip(Source::bundled("demo.dcm", "assets/demo.dcm"));
        viewer.media.example.set_value(Some(clip));
        session.inner.update_value(|inner| {
            (inner.model, inner.bundled) = (Some(model), Some(model));
            inner.queue.add(&[Task::Show { file: clip, why: Why::Chosen }]);
        });
        session.start_keeping();
        link.start();
        session
    }

    /// Start a new worker because the user asks for it, as the first time.
    pub(crate) fn start_again(&self) {
        let device = self.inner.with_value(|inner| inner.options.device);
        self.link.recovery(|recovery| *recovery = Recovery::new(device));
        self.lost("The worker had stopped.".to_owned());
        self.link.start();
    }

    fn happened(&self, event: Event) {
        match event {
            Event::Loading(loading) => self.viewer.notices.starting(format!("Loading the model's program: {loading}")),
            Event::Awake => {
                let shown = self.viewer.media.shown_file();
                self.inner.update_value(|inner| inner.queue.restart(shown, inner.model));
                self.viewer.notices.starting("Checking the graphics device");
                self.proceed();
                self.open_kept();
            }
            Event::Lost(lost) => self.lost(lost),
            Event::Stopped(lost) => {
                self.forget_worker();
                self.viewer.notices.stage.set(Stage::Stopped(lost));
            }
        }
    }

    fn lost(&self, lost: String) {
        self.forget_worker();
        self.viewer.notices.starting(format!("{lost} Starting again"));
        self.inner.update_value(|inner| inner.recovering = Some(lost));
    }

    /// What the worker had is gone.
    fn forget_worker(&self) {
        self.inner.update_value(|inner| {
            inner.loaded = false;
            inner.opened = None;
        });
        self.viewer.findings.device.set(None);
    }

    /// Choose the device.
    pub(super) async fn start_device(&self) {
        let fail_selftest = self.inner.with_value(|inner| inner.options.fail_selftest);
        let device = self.link.recovery(|recovery| (recovery.device, recovery.because.clone()));
        let Some((device, because)) = device else { return };
        let notices = self.viewer.notices;
        let asked = self.link.stream(StartDevice { device, because, fail_selftest }, None, move |testing, _| {
            notices.starting(format!("Testing {} against the CPU", testing.0));
        });
        match asked.await {
            Ok((device, _)) => self.device_chosen(device),
            // The next worker is asked anew.
            Err(Fault::Died { .. }) => {}
            Err(fault) => notices.problem(fault.to_string()),
        }
    }

    fn device_chosen(&self, device: DeviceInfo) {
        let Viewer { media, findings, notices, .. } = self.viewer;
        self.link.recovery(|recovery| recovery.runs_on(device.gpu));
        findings.has_gpu.set(device.gpu);
        if let Some(lost) = self.inner.try_update_value(|inner| inner.recovering.take()).flatten() {
            let kept = media.with_clip(|_| "; your clip and its results were kept").unwrap_or_default();
            notices.info(format!("{lost} It was started again on {}{kept}.", device.name));
        }
        // Nobody who asked for the CPU has to be told why.
        if !device.gpu && self.inner.with_value(|inner| inner.options.device != DeviceChoice::Cpu) {
            notices.info(format!("The model runs on the CPU, slower than on a GPU. {}", device.reason));
        }
        findings.device.set(Some(device));
        findings.forget_speeds();
        notices.starting("Loading the model");
    }
}
