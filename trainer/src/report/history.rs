//! `metrics.jsonl` of a run, read with patience: a line cut short by a crash is skipped, and where a run went back (after
//! a resume) the later line wins and what it had left behind is dropped.

use std::path::Path;

use anyhow::Result;
use serde_json::{Map, Value};

use crate::files;

/// One optimiser update.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// From 0.
    pub(crate) epoch: u64,
    /// Within the epoch, from 0.
    pub(crate) step: u64,
    pub(crate) loss: f64,
    pub(crate) rate: f64,
    /// Since the run began, pauses between sessions left out.
    pub(crate) seconds: f64,
}

/// One epoch. What a run does not measure is NaN.
#[derive(Clone, Debug)]
pub(crate) struct Epoch {
    /// From 0.
    pub(crate) epoch: u64,
    pub(crate) train_loss: f64,
    pub(crate) val_loss: f64,
    pub(crate) val_iou: f64,
    pub(crate) val_precision: f64,
    pub(crate) val_recall: f64,
    /// Since the run began, pauses between sessions left out.
    pub(crate) seconds: f64,
}

/// What a run told while it learned, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) steps: Vec<Step>,
    pub(crate) epochs: Vec<Epoch>,
    /// Lines that are no JSON object of either kind.
    pub(crate) skipped: usize,
    /// Time spent, with what was done twice.
    pub(crate) seconds: f64,
}

impl History {
    /// The history of a run folder.
    pub(crate) fn read(run: &Path) -> Result<Self> {
        Ok(Self::parse(&files::read(&run.join("metrics.jsonl"))?))
    }

    /// Read the lines of `metrics.jsonl`.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let mut history = Self::default();
        let mut session = Session::default();
        for line in bytes.split(|&byte| byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
            let object = serde_json::from_slice(line).unwrap_or_default();
            if history.push(&object, &mut session).is_none() {
                history.skipped += 1;
            }
        }
        history.seconds = session.total();
        history
    }

    fn push(&mut self, line: &Map<String, Value>, session: &mut Session) -> Option<()> {
        let number = |key: &str| line.get(key).and_then(Value::as_f64).unwrap_or(f64::NAN);
        let epoch = line.get("epoch")?.as_u64()?;
        if let Some(step) = line.get("step") {
            let step = step.as_u64()?;
            self.forget(epoch, step);
            let seconds = session.at(number("seconds"));
            self.steps.push(Step { epoch, step, loss: number("loss"), rate: number("rate"), seconds });
        } else if line.contains_key("train_loss") || line.contains_key("val_loss") {
            // The line of an epoch comes after its updates.
            self.forget(epoch, u64::MAX);
            self.epochs.push(Epoch {
                epoch,
                train_loss: number("train_loss"),
                val_loss: number("val_loss"),
                val_iou: number("val_iou"),
                val_precision: number("val_precision"),
                val_recall: number("val_recall"),
                seconds: session.at(number("seconds")),
            });
        } else {
            return None;
        }
        Some(())
    }

    /// Drop what lies at or after an update: the run went back to before it.
    fn forget(&mut self, epoch: u64, step: u64) {
        self.steps.truncate(self.steps.partition_point(|s| (s.epoch, s.step) < (epoch, step)));
        self.epochs.truncate(self.epochs.partition_point(|e| e.epoch < epoch));
    }

    /// Updates in an epoch, at least 1.
    pub(crate) fn updates_per_epoch(&self) -> u64 {
        self.steps.iter().map(|step| step.step + 1).max().unwrap_or(1)
    }

    /// True when the run measured masks; a run that learns without labels does not.
    pub(crate) fn has_scores(&self) -> bool {
        self.epochs.iter().any(|e| [e.val_iou, e.val_precision, e.val_recall].iter().any(|score| score.is_finite()))
    }

    /// The epoch of the best weights: the first with the highest IoU, or with the lowest held-out loss where no IoU is
    /// defined.
    pub(crate) fn best(&self) -> Option<&Epoch> {
        let first = |key: fn(&Epoch) -> f64| {
            let defined = self.epochs.iter().filter(|epoch| !key(epoch).is_nan());
            defined.min_by(|a, b| key(a).total_cmp(&key(b)))
        };
        first(|epoch| -epoch.val_iou).or_else(|| first(|epoch| epoch.val_loss))
    }

    /// The lowest held-out loss; NaN before the first epoch.
    pub(crate) fn lowest_val_loss(&self) -> f64 {
        self.epochs.iter().map(|epoch| epoch.val_loss).fold(f64::NAN, f64::min)
    }
}

/// The clock of a run over several sessions, each of which may start from 0 again.
#[derive(Default)]
struct Session {
    before: f64,
    last: f64,
}

impl Session {
    fn at(&mut self, seconds: f64) -> f64 {
        if seconds < self.last {
            self.before += self.last;
        }
        if !seconds.is_nan() {
            self.last = seconds;
        }
        self.total()
    }

    fn total(&self) -> f64 {
        self.before + self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"{"epoch":0,"step":0,"loss":1.5,"rate":0.1,"seconds":1.0}
{"epoch":0,"step":1,"loss":1.0,"rate":0.2,"seconds":2.0}
{"epoch":0,"train_loss":1.25,"val_loss":1.1,"val_iou":0.5,"val_precision":null,"val_recall":0.5,"seconds":3.0}
{"epoch":1,"step":0,"loss":0.9,"rate":0.2,"seconds":4.0}
"#;

    #[test]
    fn updates_and_epochs_are_told_apart_and_undefined_figures_stay_so() {
        let history = History::parse(WHOLE.as_bytes());
        assert_eq!((history.steps.len(), history.epochs.len(), history.skipped), (3, 1, 0));
        assert_eq!((history.updates_per_epoch(), history.seconds), (2, 4.0));
        let epoch = history.best().unwrap();
        assert!(epoch.val_precision.is_nan() && epoch.val_iou == 0.5 && history.has_scores());
        assert!(History::parse(b"").best().is_none() && History::parse(b"").lowest_val_loss().is_nan());
    }

    #[test]
    fn a_line_cut_short_is_skipped() {
        for end in
            [&b"{\"epoch\":1,\"step\":1,\"lo"[..], &b"{\"epoch\":1,\"st\0\0\xff"[..], &b"{\"event\":\"resumed\"}"[..]]
        {
            let history = History::parse(&[WHOLE.as_bytes(), end].concat());
            assert_eq!((history.steps.len(), history.epochs.len(), history.skipped), (3, 1, 1));
        }
    }

    #[test]
    fn after_a_resume_the_later_line_wins_and_time_adds_up() {
        let again = r#"{"epoch":0,"step":1,"loss":7.0,"rate":0.2,"seconds":0.5}
{"epoch":0,"train_loss":4.25,"val_loss":4.0,"val_iou":0.25,"seconds":1.5}
"#;
        let history = History::parse(format!("{WHOLE}{again}").as_bytes());
        let losses: Vec<f64> = history.steps.iter().map(|step| step.loss).collect();
        assert_eq!(losses, [1.5, 7.0], "the update of epoch 1 belongs to a way that was left");
        assert_eq!((history.epochs.len(), history.epochs[0].val_iou), (1, 0.25));
        assert_eq!((history.steps[1].seconds, history.seconds), (4.5, 5.5));
    }

    #[test]
    fn runs_without_scores_are_best_where_the_loss_is_lowest() {
        let lines: String = [3.0, 1.0, 2.0, 1.0]
            .iter()
            .enumerate()
            .map(|(epoch, loss)| format!("{{\"epoch\":{epoch},\"train_loss\":1.0,\"val_loss\":{loss}}}\n"))
            .collect();
        let history = History::parse(lines.as_bytes());
        assert_eq!((history.best().unwrap().epoch, history.lowest_val_loss()), (1, 1.0));
        assert!(!history.has_scores() && history.updates_per_epoch() == 1);
    }
}
