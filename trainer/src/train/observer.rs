//! Events of a run to its folder: `metrics.jsonl`, model files, the file to resume from; and to the terminal.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use indicatif::ProgressBar;
use serde::Serialize;
use sonoseg_core::checkpoint::{self, Storage};
use sonoseg_core::tasks::{LOSS, Task};
use sonoseg_core::train::{Event, Flow, Position, Progress, record};
use sonoseg_imaging::metrics::measure::{Measures, Metric};

use super::interrupt;
use super::setup::Setup;
use crate::args::Train;
use crate::files;
use crate::report::write_curves;
use crate::terminal::{bar, say};

/// How a run ended.
pub(super) enum Ending {
    /// Epochs, updates, patience or time are over.
    Done {
        /// Not for want of time.
        whole: bool,
    },
    /// The user stopped it.
    Interrupted,
}

/// Writes down what happens.
pub(super) struct Observer<'a, T, H> {
    folder: PathBuf,
    task: &'a T,
    header: &'a H,
    metrics: std::fs::File,
    progress: ProgressBar,
    started: Instant,
    /// Seconds that earlier parts of a resumed run took.
    before: f64,
    saved: Instant,
    save_every: Duration,
    max_time: Option<Duration>,
    timed_out: bool,
    interrupted: Arc<AtomicBool>,
}

impl<'a, T: Task, H: Serialize> Observer<'a, T, H> {
    /// Watch a run that stands at `position`.
    pub(super) fn new(verb: &Train, setup: &Setup, task: &'a T, header: &'a H, position: &Position) -> Result<Self> {
        let path = setup.folder.join(record::METRICS);
        let kept = if path.exists() { record::behind(&files::read_text(&path)?, position) } else { Vec::new() };
        let before = record::seconds(&kept);
        let text: String = kept.iter().map(|line| format!("{line}\n")).collect();
        files::write(&path, text.as_bytes())?;
        let metrics = std::fs::OpenOptions::new().append(true).open(&path).with_context(|| files::absolute(&path))?;
        Ok(Self {
            folder: setup.folder.clone(),
            task,
            header,
            metrics,
            progress: bar(0, "training"),
            started: Instant::now(),
            before,
            saved: Instant::now(),
            save_every: verb.save_every,
            max_time: verb.max_time,
            timed_out: false,
            interrupted: interrupt::watch()?,
        })
    }

    /// Write the file that the run can be resumed from.
    pub(super) async fn save(&mut self, progress: &Progress<T::Model>) -> Result<()> {
        files::write(&self.folder.join(record::RESUME), &progress.to_bytes().await?)?;
        self.saved = Instant::now();
        Ok(())
    }

    /// One event.
    pub(super) async fn tell(&mut self, event: Event<'_, T::Model>) -> Result<Flow> {
        let seconds = self.before + self.started.elapsed().as_secs_f64();
        let line = record::line(&event, seconds);
        match event {
            Event::Step { epoch, step, steps, loss, progress, .. } => {
                self.progress.set_length(steps as u64);
                self.progress.set_position(step as u64 + 1);
                self.progress.set_message(format!("epoch {} loss {loss:.4}", epoch + 1));
                writeln!(self.metrics, "{line}")?;
                if self.interrupted.load(Ordering::Relaxed) {
                    return Ok(Flow::Stop);
                }
                if self.max_time.is_some_and(|limit| self.started.elapsed() >= limit) {
                    self.timed_out = true;
                    return Ok(Flow::Finish);
                }
                if self.saved.elapsed() >= self.save_every {
                    self.save(progress).await?;
                }
            }
            Event::Epoch { epoch, train_loss, val, improved, best, progress } => {
                let model = self.task.exported(&progress.model);
                let bytes = checkpoint::encode(self.header, &checkpoint::read_state(model).await?, Storage::F32)?;
                for file in record::models(&improved, best) {
                    files::write(&self.folder.join(file), &bytes)?;
                }
                writeln!(self.metrics, "{line}")?;
                self.metrics.sync_data()?;
                write_curves(&self.folder);
                // Last, so that a run resumed from here finds everything that this epoch wrote.
                self.save(progress).await?;
                let measured: String = told(&val, self.task.decides());
                self.progress.suspend(|| {
                    say(format!(
                        "epoch {:>3}  train loss {train_loss:.4}{measured}  {seconds:.0} s{}",
                        epoch + 1,
                        if best { " *" } else { "" }
                    ));
                });
                if self.interrupted.load(Ordering::Relaxed) {
                    return Ok(Flow::Stop);
                }
            }
        }
        Ok(Flow::Continue)
    }

    /// After the last event.
    pub(super) fn finish(&self) -> Ending {
        self.progress.finish_and_clear();
        if self.interrupted.load(Ordering::Relaxed) {
            Ending::Interrupted
        } else {
            Ending::Done { whole: !self.timed_out }
        }
    }
}

/// The loss and the measure that decides, for the terminal.
fn told(val: &Measures, decides: &str) -> String {
    let told = val.0.iter().filter(|measure| [LOSS, decides].contains(&&*measure.metric.name));
    told.map(|measure| {
        let Metric { label, digits, .. } = &measure.metric;
        format!("  val {label} {:.digits$}", measure.value().unwrap_or(f64::NAN))
    })
    .collect()
}
