//! What the worker reports, turned into what the viewer shows.

use js_sys::{Object, Reflect, Uint8Array};
use leptos::prelude::*;
use wasm_bindgen::JsValue;

use super::{Engine, Job, now};
use crate::files::Place;
use crate::messages::{DeviceChoice, Report, Trouble};
use crate::overlay::Bits;
use crate::post;
use crate::recovery::During;
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
                        viewer.tell(
                            Weight::Info,
                            format!("{lost} It was started again on {name}; your clip and its results were kept."),
                        );
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
                viewer.model.set(Some(model));
                if !keep {
                    viewer.forget_predictions();
                }
                self.job_done();
            }
            Report::ModelRefused { reason } => self.model_refused(&reason),
            Report::Opened(clip) => {
                let keep = self.inner.with_value(|inner| matches!(inner.job, Some(Job::Show { keep: true, .. })));
                self.inner.update_value(|inner| inner.opened = Some(clip.file));
                self.mark(clip.file, Readable::Yes);
                if !(keep && viewer.clip.with_untracked(|old| old.as_ref().is_some_and(|old| old.file == clip.file))) {
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
                self.inner.update_value(|inner| inner.fetching = inner.fetching.saturating_sub(1));
                if self.is_current(file) {
                    viewer.speeds.update_value(|speeds| speeds.decode.add(decode_ms));
                    viewer.keep_pixels(frame, Pixels { channels, bytes: bytes() });
                }
            }
            Report::Predicted(report) => {
                self.inner.update_value(|inner| inner.predicting = false);
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
                self.inner.update_value(|inner| {
                    if predicting {
                        inner.predicting = false;
                    } else {
                        inner.fetching = inner.fetching.saturating_sub(1);
                    }
                });
                if let Some(clip) = viewer.clip.get_untracked().filter(|clip| clip.file == file) {
                    viewer.tell(Weight::Problem, reason);
                    viewer.set_state(frame, FrameState::Failed);
                    if !predicting {
                        let bytes = vec![0; clip.shown_height() * clip.shown_width()];
                        viewer.keep_pixels(frame, Pixels { channels: 1, bytes });
                    }
                }
            }
            Report::Note(text) => viewer.tell(Weight::Info, text),
            Report::Crashed { reason } => self.trouble("crash", &reason),
        }
    }

    fn awake(&self) {
        self.inner.update_value(|inner| {
            inner.awake = true;
            // The picture first, then the device, then the model, then whatever else was asked for.
            let first = match inner.jobs.front() {
                Some(Job::Show { .. }) => 1,
                _ => 0,
            };
            inner.jobs.insert(first, Job::Start);
            if let Some(model) = inner.model.clone() {
                // After a restart it is the model that gave the results on the screen.
                inner.jobs.insert(first + 1, Job::Model { source: model, keep: inner.generation > 1 });
            }
        });
        self.viewer.stage.set(Stage::Starting("Checking the graphics device".to_owned()));
        self.next_job();
    }

    fn is_current(&self, file: u32) -> bool {
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
        self.mark(file, Readable::No(reason.clone()));
        self.viewer.tell(Weight::Problem, reason);
        self.inner.update_value(|inner| {
            // The next file of the same batch is shown instead.
            if let (Some(Job::Show { .. }), Some(next)) = (&inner.job, inner.jobs.front_mut())
                && let Job::Check(other) = *next
            {
                *next = Job::Show { file: other, keep: false };
            }
        });
        self.job_done();
    }

    pub(super) fn model_refused(&self, reason: &str) {
        self.inner.update_value(|inner| {
            // The model that comes with the app is not asked for again in vain.
            if let (Some(Job::Model { source, .. }), Some(kept)) = (&inner.job, &inner.model)
                && let (Place::Bundled(_), Place::Bundled(_)) = (&source.place, &kept.place)
            {
                inner.model = None;
            }
        });
        let kept = self.viewer.model.with_untracked(|model| model.as_ref().map(|model| model.name.clone()));
        let rest = match kept {
            Some(name) => format!("The model {name} stays in use."),
            None => "Choose a model file to see predictions.".to_owned(),
        };
        self.viewer.tell(Weight::Problem, format!("{}. {rest}", reason.trim_end_matches('.')));
        self.job_done();
    }

    /// Destroy the GPU device after as many predictions as the address asks for.
    fn lose_when_asked(&self) {
        let lose = self.inner.try_update_value(|inner| {
            inner.predicted += 1;
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
