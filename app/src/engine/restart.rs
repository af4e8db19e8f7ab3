//! When the worker or its device dies: who is to blame, and what comes next.

use leptos::prelude::*;

use super::{Engine, Job};
use crate::files::Place;
use crate::messages::DeviceChoice;
use crate::recovery::{During, Remedy};
use crate::viewer::{Readable, Stage, Weight};

impl Engine {
    pub(super) fn trouble(&self, kind: &str, reason: &str) {
        let Some(during) = self.inner.with_value(|inner| inner.running.as_ref().map(|_| inner.during)) else { return };
        match (kind, during) {
            ("start", _) => {
                self.stop_worker();
                self.viewer.stage.set(Stage::Stopped(format!("The worker could not be loaded ({reason}).")));
            }
            // A GPU that is not in use may be lost without harm.
            ("lost" | "gpu", During::Cpu) => {}
            ("lost" | "gpu", _) => self.restart(during, reason),
            _ => {
                self.blame(reason);
                self.restart(during, reason);
            }
        }
    }

    /// The file that the worker was reading when it died is not given to the next one.
    fn blame(&self, reason: &str) {
        let job = self.inner.try_update_value(|inner| inner.job.take()).flatten();
        match job {
            Some(Job::Show { file, keep: false } | Job::Check(file)) => {
                let name = self.inner.with_value(|inner| inner.sources.get(&file).map(|source| source.name.clone()));
                let name = name.unwrap_or_default();
                let text = format!("{name}: reading it stopped the worker ({reason}); it is left out.");
                self.mark(file, Readable::No(text.clone()));
                self.viewer.tell(Weight::Problem, text);
                self.inner.update_value(|inner| inner.recovery.forgive());
            }
            Some(Job::Model { source, keep }) => {
                let text = format!("{}: loading it stopped the worker ({reason}); it is left out.", source.name);
                self.viewer.tell(Weight::Problem, text);
                self.inner.update_value(|inner| {
                    // The model of the last worker, or the first of all: the next worker starts without one.
                    if keep || matches!(source.place, Place::Bundled(_)) {
                        inner.model = None;
                    }
                    inner.recovery.forgive();
                });
            }
            _ => {}
        }
    }

    fn stop_worker(&self) {
        let running = self.inner.try_update_value(|inner| {
            inner.awake = false;
            inner.job = None;
            inner.running.take()
        });
        if let Some(running) = running.flatten() {
            running.worker.terminate();
        }
        self.viewer.device.set(None);
    }

    pub(super) fn restart(&self, during: During, reason: &str) {
        let remedy = self.inner.try_update_value(|inner| inner.recovery.after_death(during));
        self.stop_worker();
        let reason = reason.trim_end_matches(['.', ' ', '\n']);
        let lost = match during {
            During::Cpu => format!("The worker stopped ({reason})."),
            During::Gpu | During::GpuStart => format!("The graphics device was lost ({reason})."),
        };
        let Some(remedy @ (Remedy::Again | Remedy::OnCpu)) = remedy else {
            self.viewer.stage.set(Stage::Stopped(lost));
            return;
        };
        self.viewer.stage.set(Stage::Starting(format!("{lost} Starting again")));
        let clip = self.viewer.clip.get_untracked();
        self.inner.update_value(|inner| {
            if remedy == Remedy::OnCpu {
                inner.device = DeviceChoice::Cpu;
                if during != During::Cpu {
                    inner.because = Some(format!("WebGPU failed: {reason}"));
                }
            }
            inner.recovering = Some(lost);
            inner.jobs.retain(|job| matches!(job, Job::Show { .. } | Job::Check(_)));
            if let Some(clip) = clip {
                inner.jobs.push_front(Job::Show { file: clip.file, keep: true });
            }
        });
        self.spawn();
    }
}
