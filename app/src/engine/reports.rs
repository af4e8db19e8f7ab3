//! What the worker reports, turned into what the viewer shows.

use js_sys::{Object, Reflect, Uint8Array};
use leptos::prelude::*;
use wasm_bindgen::JsValue;

use super::{Engine, Job, Why, now};
use crate::asked::Asked;
use crate::messages::{DeviceChoice, Report, Trouble};
use crate::overlay::Bits;
use crate::post;
use crate::recovery::During;
use crate::sought::Sought;
use crate::timeline::FrameState;
use crate::viewer::{Found, Pixels, Readable, Stage, Weight};

impl Engine {
    pub(super) fn receive(&self, message: &JsValue) {
        if let Some(trouble) = trouble_in(message) {
            self.trouble(&trouble.trouble, &trouble.reason);
        } else if let Some((report, buffers)) = post::unpack::<Report>(message) {
            self.report(report, &buffers);
            self.pump();
        }
    }

    fn report(&self, report: Report, buffers: &[Uint8Array]) {
        let viewer = &self.viewer;
        let bytes = || buffers.first().map(Uint8Array::to_vec).unwrap_or_default();
        match report {
            Report::Awake => self.awake(),
            Report::Stage(text) => viewer.stage.set(Stage::Starting(text)),
            Report::Device(device) => {
                self.inner.update_value(|inner| {
                    inner.during = if device.gpu { During::Gpu } else { During::Cpu };
                    inner.gpu_workers += usize::from(device.gpu);
                    if let Some(lost) = inner.recovering.take() {
                        let name = &device.name;
                        let kept = viewer.clip.with_untracked(Option::is_some);
                        let kept = if kept { "; your clip and its results were kept" } else { "" };
                        viewer.tell(Weight::Info, format!("{lost} It was started again on {name}{kept}."));
                    }
                });
                // Nobody who asked for the CPU has to be told why.
                if !device.gpu && self.inner.with_value(|inner| inner.options.device != DeviceChoice::Cpu) {
                    viewer.tell(
                        Weight::Info,
                        format!("The model runs on the CPU, slower than on a GPU. {}", device.reason),
                    );
                }
                viewer.device.set(Some(device));
                viewer.forget_speeds();
                viewer.stage.set(Stage::Starting("Loading the model".to_owned()));
                self.job_done();
            }
            Report::Model(model) => {
                let mut keep = false;
                self.inner.update_value(|inner| {
                    inner.loaded = true;
                    if let Some(Job::Model { source, keep: same }) = &inner.job {
                        keep = *same;
                        inner.model = Some(source.clone());
                    }
                });
                viewer.sought.set(Sought::of(model.class.clone()));
                viewer.model.set(Some(model));
                if !keep {
                    self.inner.update_value(|inner| inner.suspect = None);
                    viewer.forget_predictions();
                }
                self.job_done();
            }
            Report::ModelRefused { reason } => self.model_refused(&reason),
            Report::Opened(clip) => {
                let keep = self.inner.with_value(|inner| matches!(inner.job, Some(Job::Show { why: Why::Kept, .. })));
                self.inner.update_value(|inner| inner.opened = Some(clip.file));
                self.mark(clip.file, Readable::Yes);
                if !(keep && viewer.clip.with_untracked(|old| old.as_ref().is_some_and(|old| old.file == clip.file))) {
                    self.inner.update_value(|inner| inner.suspect = None);
                    viewer.show_clip(clip, motion_is_welcome());
                }
                self.job_done();
            }
            Report::Checked { file } => {
                self.mark(file, Readable::Yes);
                self.job_done();
            }
            Report::Refused { file, reason } => self.refused(file, reason),
            Report::Frame { file, frame, channels, decode_ms } => {
                self.inner.update_value(|inner| inner.on_its_way.answered(Asked::Pixels { file, frame }));
                if self.is_current(file) {
                    viewer.speeds.update_value(|speeds| speeds.decode.add(decode_ms));
                    viewer.keep_pixels(frame, Pixels { channels, bytes: bytes() });
                }
            }
            Report::Predicted(report) => {
                self.inner.update_value(|inner| {
                    let (file, frame) = (report.file, report.frame);
                    inner.on_its_way.answered(Asked::Prediction { file, frame });
                    inner.predicted += 1;
                    inner.recovery.after_predictions(inner.predicted);
                });
                let clip = viewer.clip.get_untracked().filter(|clip| clip.file == report.file);
                if let Some(clip) = clip {
                    viewer.speeds.update_value(|speeds| {
                        speeds.prepare.add(report.prepare_ms);
                        speeds.model.add(report.model_ms);
                        speeds.fit.add(report.fit_ms);
                        speeds.predicted.tick(now());
                    });
                    let mask = Bits::new(clip.shown_height(), clip.shown_width(), bytes());
                    let mask_pixels = mask.count();
                    viewer.keep_found(Found { report, mask, mask_pixels });
                }
                self.lose_when_asked();
            }
            Report::Failed { file, frame, predicting, reason } => {
                let asked = if predicting { Asked::Prediction { file, frame } } else { Asked::Pixels { file, frame } };
                self.inner.update_value(|inner| inner.on_its_way.answered(asked));
                if self.is_current(file) {
                    viewer.tell(Weight::Problem, reason);
                    self.give_up(asked);
                }
            }
            Report::Note(text) => viewer.tell(Weight::Info, text),
            Report::Crashed { reason } => self.trouble("crash", &reason),
        }
    }

    fn awake(&self) {
        self.inner.update_value(|inner| {
            inner.awake = true;
            if let Some(running) = &inner.running {
                // An address that is not known was revoked before.
                let _ = web_sys::Url::revoke_object_url(&running.address);
            }
            // The picture first, then the device, then the model, then whatever else was asked for.
            let first = match inner.jobs.front() {
                Some(Job::Show { .. }) => 1,
                _ => 0,
            };
            inner.jobs.insert(first, Job::Start);
            if let Some(model) = inner.model.clone() {
                inner.jobs.insert(first + 1, Job::Model { source: model, keep: true });
            }
        });
        self.viewer.stage.set(Stage::Starting("Checking the graphics device".to_owned()));
        self.next_job();
    }

    pub(super) fn is_current(&self, file: u32) -> bool {
        self.viewer.clip.with_untracked(|clip| clip.as_ref().is_some_and(|clip| clip.file == file))
    }

    pub(super) fn mark(&self, file: u32, readable: Readable) {
        self.viewer.files.update(|files| {
            if let Some(line) = files.iter_mut().find(|line| line.file == file) {
                line.readable = readable;
            }
        });
    }

    pub(super) fn refused(&self, file: u32, reason: String) {
        match self.inner.with_value(|inner| inner.job.clone()) {
            Some(Job::Show { why: Why::Kept, .. }) => self.leave_out(
                file,
                format!("{}. It could not be read again and was closed: open it again.", reason.trim_end_matches('.')),
            ),
            job => {
                self.leave_out(file, reason);
                self.show_instead_of(job.as_ref());
            }
        }
        self.job_done();
    }

    /// A file cannot be read, for this reason. When it is the clip on the screen it is closed.
    pub(super) fn leave_out(&self, file: u32, reason: String) {
        self.mark(file, Readable::No(reason.clone()));
        self.viewer.tell(Weight::Problem, reason);
        let lost = self.inner.with_value(|inner| inner.opened != Some(file));
        if lost && self.is_current(file) {
            self.viewer.close_clip();
        }
    }

    /// A file could not be read: show the next of those that were opened with it, unless another one is wanted by now.
    pub(super) fn show_instead_of(&self, job: Option<&Job>) {
        if !matches!(job, Some(Job::Show { why: Why::Opened, .. })) {
            return;
        }
        self.inner.update_value(|inner| {
            let other = inner.jobs.iter().any(|job| matches!(job, Job::Show { .. }));
            // What was opened last stands in front of older checks.
            if !other
                && let Some(next) = inner.jobs.iter_mut().find(|job| matches!(job, Job::Check(_)))
                && let Job::Check(file) = *next
            {
                *next = Job::Show { file, why: Why::Opened };
            }
        });
    }

    pub(super) fn model_refused(&self, reason: &str) {
        let rest = self.model_that_stays();
        self.viewer.tell(Weight::Problem, format!("{}. {rest}", reason.trim_end_matches('.')));
        self.job_done();
    }

    /// A model was left out: say which one is in use now. Where the worker has none, that was the page's own, and it is
    /// not asked for again in vain.
    pub(super) fn model_that_stays(&self) -> String {
        let loaded = self.inner.with_value(|inner| inner.loaded);
        match self.viewer.model.get_untracked().filter(|_| loaded) {
            Some(model) => format!("The model {} stays in use.", model.name),
            None => {
                self.inner.update_value(|inner| inner.model = None);
                self.viewer.model.set(None);
                "No model is loaded now: choose a model file to see predictions.".to_owned()
            }
        }
    }

    /// A frame cannot be shown or predicted, and is not asked for again.
    pub(super) fn give_up(&self, asked: Asked) {
        if let Asked::Pixels { frame, .. } | Asked::Prediction { frame, .. } = asked {
            self.viewer.set_state(frame, FrameState::Failed);
        }
        if let (Asked::Pixels { frame, .. }, Some(clip)) = (asked, self.viewer.clip.get_untracked()) {
            let bytes = vec![0; clip.shown_height() * clip.shown_width()];
            self.viewer.keep_pixels(frame, Pixels { channels: 1, bytes });
        }
    }

    /// Destroy the GPU device after as many predictions as the address asks for.
    fn lose_when_asked(&self) {
        let lose = self.inner.try_with_value(|inner| {
            let after = inner.gpu_workers.checked_sub(1).and_then(|index| inner.options.lose_after.get(index));
            inner.during == During::Gpu && after == Some(&inner.predicted)
        });
        if lose == Some(true) {
            let message = Object::new();
            let set = Reflect::set(&message, &"lose".into(), &JsValue::TRUE);
            self.inner.with_value(|inner| {
                if let (Ok(true), Some(running)) = (set, &inner.running) {
                    let _ = running.worker.post_message(&message);
                }
            });
        }
    }
}

/// False when the user asked the system for less motion: nothing then plays of its own accord.
fn motion_is_welcome() -> bool {
    let query = window().match_media("(prefers-reduced-motion: reduce)").ok().flatten();
    query.is_none_or(|query| !query.matches())
}

fn trouble_in(message: &JsValue) -> Option<Trouble> {
    Reflect::has(message, &"trouble".into()).ok().filter(|has| *has)?;
    serde_wasm_bindgen::from_value(message.clone()).ok()
}
