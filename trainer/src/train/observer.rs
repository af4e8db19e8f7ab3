//! Events of a run to its folder: `metrics.jsonl`, model files, the file to resume from; and to the terminal.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use indicatif::ProgressBar;
use serde::Serialize;
use serde_json::{Value, json};
use sonoseg_core::checkpoint::{self, Storage};
use sonoseg_core::tasks::{LOSS, Task};
use sonoseg_core::train::{Event, Flow, Position, Progress};
use sonoseg_imaging::metrics::measure::{Measures, Metric};

use super::interrupt;
use super::setup::{RESUME, Setup};
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
        let path = setup.folder.join("metrics.jsonl");
        let kept = if path.exists() { known(&files::read_text(&path)?, position) } else { Vec::new() };
        let before = kept.iter().filter_map(|line| line["seconds"].as_f64()).fold(0.0, f64::max);
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
        files::write(&self.folder.join(RESUME), &progress.to_bytes().await?)?;
        self.saved = Instant::now();
        Ok(())
    }

    /// One event.
    pub(super) async fn tell(&mut self, event: Event<'_, T::Model>) -> Result<Flow> {
        let seconds = self.before + self.started.elapsed().as_secs_f64();
        match event {
            Event::Step { epoch, step, steps, loss, parts, rate, progress } => {
                self.progress.set_length(steps as u64);
                self.progress.set_position(step as u64 + 1);
                self.progress.set_message(format!("epoch {} loss {loss:.4}", epoch + 1));
                let mut line = json!({ "epoch": epoch, "step": step, "loss": loss, "rate": rate, "seconds": seconds });
                for (name, value) in parts {
                    line[format!("loss_{name}")] = json!(value);
                }
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
                let mut line = json!({ "epoch": epoch, "train_loss": train_loss, "seconds": seconds });
                for measure in &val.0 {
                    line[format!("val_{}", measure.metric.name)] = json!(measure.value());
                }
                if !val.0.is_empty() {
                    line["best"] = json!(best);
                }
                let model = self.task.exported(&progress.model);
                let bytes = checkpoint::encode(self.header, &checkpoint::read_state(model).await?, Storage::F32)?;
                files::write(&self.folder.join("last.safetensors"), &bytes)?;
                if improved.contains(LOSS) {
                    files::write(&self.folder.join("best-loss.safetensors"), &bytes)?;
                }
                if best {
                    files::write(&self.folder.join("best.safetensors"), &bytes)?;
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

/// The lines of `metrics.jsonl` that a run at `position` has behind it. What came later is done again.
fn known(text: &str, position: &Position) -> Vec<Value> {
    let behind = |line: &Value| {
        let (epoch, step) = (line["epoch"].as_u64()?, line["step"].as_u64());
        Some(epoch < position.epoch || (epoch == position.epoch && step? < position.step as u64))
    };
    let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok());
    lines.filter(|line| behind(line) == Some(true)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_after_the_saved_position_is_forgotten() {
        let text = "{\"epoch\":0,\"step\":0}\n{\"epoch\":0,\"val_loss\":1.0}\n{\"epoch\":1,\"step\":0}\n\
                    {\"epoch\":1,\"step\":1}\n{\"epoch\":1,\"val_loss\":2.0}\n{\"epoch\":2,\"ste";
        let position = Position { epoch: 1, step: 1, ..Position::default() };
        let steps: Vec<Option<u64>> = known(text, &position).iter().map(|line| line["step"].as_u64()).collect();
        assert_eq!(steps, [Some(0), None, Some(0)]);
    }
}
