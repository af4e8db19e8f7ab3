//! When the worker or its device dies: who is to blame, and what comes next.

use leptos::prelude::*;

use super::{Engine, Job, Running, Why};
use crate::asked::{Asked, OnItsWay};
use crate::messages::DeviceChoice;
use crate::recovery::{Death, Remedy};
use crate::viewer::{Stage, Weight};

impl Engine {
    pub(super) fn trouble(&self, kind: &str, reason: &str) {
        let now = self.inner.with_value(|inner| {
            let starting = matches!(inner.job, Some(Job::Start));
            inner.running.as_ref().map(|_| (inner.during, inner.on_its_way.doing(), starting))
        });
        let Some((during, doing, starting)) = now else { return };
        let reason = reason.trim_end_matches(['.', ' ', '\n']);
        match kind {
            "start" => {
                self.stop_worker();
                self.viewer.stage.set(Stage::Stopped(format!("The worker could not be loaded ({reason}).")));
            }
            "lost" | "gpu" => {
                if let Some(death) = Death::of_device(during) {
                    self.recover(death, format!("The graphics device was lost ({reason})."));
                }
            }
            _ => {
                let death = Death::of_worker(during, doing, starting);
                match doing {
                    Some(Asked::Job) => self.blame_job(reason),
                    // A GPU that fails says nothing about the frame; on the CPU it is asked for once more.
                    Some(asked @ (Asked::Pixels { file, .. } | Asked::Prediction { file, .. }))
                        if death != Death::Gpu =>
                    {
                        self.blame_frame(asked, file, reason);
                    }
                    _ => {}
                }
                self.recover(death, format!("The worker stopped ({reason})."));
            }
        }
    }

    /// What the worker was reading when it died is not given to the next one.
    fn blame_job(&self, reason: &str) {
        match self.inner.try_update_value(|inner| inner.job.take()).flatten() {
            Some(job @ (Job::Show { file, .. } | Job::Check(file))) => {
                self.leave_out(
                    file,
                    format!("{}: reading it stopped the worker ({reason}); it is left out.", self.name(file)),
                );
                self.show_instead_of(Some(&job));
                self.inner.update_value(|inner| inner.recovery.forgive());
            }
            Some(Job::Model { source, .. }) => {
                let rest = self.model_that_stays();
                let name = source.name;
                let text = format!("{name}: loading it stopped the worker ({reason}); it is left out. {rest}");
                self.viewer.tell(Weight::Problem, text);
                self.inner.update_value(|inner| inner.recovery.forgive());
            }
            Some(Job::Start) | None => {}
        }
    }

    /// A frame that stopped the worker is passed over. A clip with two of them is closed.
    fn blame_frame(&self, asked: Asked, file: u32, reason: &str) {
        if !self.is_current(file) {
            return;
        }
        self.give_up(asked);
        let name = self.name(file);
        let again = self.inner.try_update_value(|inner| inner.suspect.replace(file) == Some(file));
        if again == Some(true) {
            self.inner.update_value(|inner| {
                inner.opened = None;
                inner.recovery.forgive();
            });
            self.leave_out(
                file,
                format!("{name}: its frames stop the worker again and again ({reason}); it was closed."),
            );
        } else {
            self.viewer.tell(
                Weight::Problem,
                format!("{name}: one of its frames stopped the worker ({reason}) and is passed over."),
            );
        }
    }

    fn name(&self, file: u32) -> String {
        let name = self.inner.with_value(|inner| inner.sources.get(&file).map(|source| source.name.clone()));
        name.unwrap_or_default()
    }

    /// End the worker. What it was asked to open and did not answer comes first again; what it had is gone.
    pub(super) fn stop_worker(&self) {
        let running = self.inner.try_update_value(|inner| {
            inner.awake = false;
            inner.generation += 1;
            inner.loaded = false;
            inner.opened = None;
            inner.predicted = 0;
            inner.on_its_way = OnItsWay::default();
            if let Some(job) = inner.job.take() {
                inner.jobs.push_front(job);
            }
            inner.running.take()
        });
        if let Some(Running { worker, .. }) = running.flatten() {
            worker.set_onmessage(None);
            worker.set_onerror(None);
            worker.terminate();
        }
        self.viewer.device.set(None);
    }

    fn recover(&self, death: Death, lost: String) {
        let remedy = self.inner.try_update_value(|inner| inner.recovery.after(death));
        self.stop_worker();
        match remedy {
            Some(Remedy::Again) => self.respawn(lost),
            Some(Remedy::OnCpu) => {
                self.inner.update_value(|inner| {
                    inner.device = DeviceChoice::Cpu;
                    inner.because = Some(lost.trim_end_matches('.').to_owned());
                });
                self.respawn(lost);
            }
            Some(Remedy::GiveUp) | None => self.viewer.stage.set(Stage::Stopped(lost)),
        }
    }

    /// Start a new worker that goes on where the last one ended.
    pub(super) fn respawn(&self, lost: String) {
        self.viewer.stage.set(Stage::Starting(format!("{lost} Starting again")));
        let clip = self.viewer.clip.get_untracked();
        self.inner.update_value(|inner| {
            inner.recovering = Some(lost);
            // Device, model and clip of the page come by themselves.
            inner.jobs.retain(|job| {
                !matches!(job, Job::Start | Job::Model { keep: true, .. } | Job::Show { why: Why::Kept, .. })
            });
            if let Some(clip) = clip {
                inner.jobs.push_front(Job::Show { file: clip.file, why: Why::Kept });
            }
        });
        self.spawn();
    }
}
