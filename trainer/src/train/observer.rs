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
use sonoseg_core::tasks::Task;
use sonoseg_core::train::{Event, Flow, Position, Progress};

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
pub(super) struct Observer<'a, H> {
    folder: PathBuf,
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

impl<'a, H: Serialize> Observer<'a, H> {
    /// Watch a run that stands at `position`.
    pub(super) fn new(verb: &Train, setup: &Setup, header: &'a H, position: &Position) -> Result<Self> {
        let path = setup.folder.join("metrics.jsonl");
        let kept = if path.exists() { known(&files::read_text(&path)?, position) } else { Vec::new() };
        let before = kept.iter().filter_map(|line| line["seconds"].as_f64()).fold(0.0, f64::max);
        let text: String = kept.iter().map(|line| format!("{line}\n")).collect();
        files::write(&path, text.as_bytes())?;
        let metrics = std::fs::OpenOptions::new().append(true).open(&path).with_context(|| files::absolute(&path))?;
        Ok(Self {
            folder: setup.folder.clone(),
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
    pub(super) async fn save<T: Task>(&mut self, progress: &Progress<T::Model>) -> Result<()> {
        files::write(&self.folder.join(RESUME), &progress.to_bytes().await?)?;
        self.saved = Instant::now();
        Ok(())
    }

    /// One event.
    pub(super) async fn tell<T: Task>(&mut self, event: Event<'_, T::Model>) -> Result<Flow> {
        let seconds = self.before + self.started.elapsed().as_secs_f64();
        match event {
            Event::Step { epoch, step, steps, loss, rate, progress } => {
                self.progress.set_length(steps as u64);
                self.progress.set_position(step as u64 + 1);
                self.progress.set_message(format!("epoch {} loss {loss:.4}", epoch + 1));
                let line = json!({ "epoch": epoch, "step": step, "loss": loss, "rate": rate, "seconds": seconds });
                writeln!(self.metrics, "{line}")?;
                if self.interrupted.load(Ordering::Relaxed) {
                    return Ok(Flow::Stop);
                }
                if self.max_time.is_some_and(|limit| self.started.elapsed() >= limit) {
                    self.timed_out = true;
                    return Ok(Flow::Finish);
                }
                if self.saved.elapsed() >= self.save_every {
                    self.save::<T>(progress).await?;
                }
            }
            Event::Epoch { epoch, train_loss, val, best_loss, best_iou, progress } => {
                let val_loss = val.mean_loss();
                let mut line = json!({
                    "epoch": epoch, "train_loss": train_loss, "val_loss": val_loss, "seconds": seconds,
                });
                let measured = val.counts.map(|counts| {
                    line["val_iou"] = json!(counts.iou());
                    line["val_precision"] = json!(counts.precision());
                    line["val_recall"] = json!(counts.recall());
                    format!("  val IoU {:.4}", counts.iou())
                });
                let bytes =
                    checkpoint::encode(self.header, &checkpoint::read_state(&progress.model).await?, Storage::F32)?;
                files::write(&self.folder.join("last.safetensors"), &bytes)?;
                if best_loss {
                    files::write(&self.folder.join("best-loss.safetensors"), &bytes)?;
                }
                // Where there is no IoU, the loss says what is best.
                let best = best_iou || (progress.position.best_iou.is_none() && best_loss);
                if best {
                    files::write(&self.folder.join("best.safetensors"), &bytes)?;
                }
                writeln!(self.metrics, "{line}")?;
                self.metrics.sync_data()?;
                write_curves(&self.folder);
                // Last, so that a run resumed from here finds everything that this epoch wrote.
                self.save::<T>(progress).await?;
                self.progress.suspend(|| {
                    say(format!(
                        "epoch {:>3}  train loss {train_loss:.4}  val loss {val_loss:.4}{}  {seconds:.0} s{}",
                        epoch + 1,
                        measured.unwrap_or_default(),
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
        let position = Position { epoch: 1, step: 1, ..Position::start() };
        let steps: Vec<Option<u64>> = known(text, &position).iter().map(|line| line["step"].as_u64()).collect();
        assert_eq!(steps, [Some(0), None, Some(0)]);
    }
}
