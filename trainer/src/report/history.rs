//! `metrics.jsonl` of a run, read with patience: a line cut short by a crash is skipped, and where a run went back (after
//! a resume) the later line wins and what it had left behind is dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;
use serde_json::{Map, Value};
pub(crate) use sonoseg_core::tasks::LOSS;
use sonoseg_imaging::metrics::measure::{Better, Metric};
use sonoseg_imaging::metrics::{known, order};

use crate::files;

/// No run counts as far; a line that does is damaged.
const LARGEST: u64 = 1 << 31;

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
    /// What was measured on what is held out, by the name of the metric.
    pub(crate) measures: BTreeMap<String, f64>,
    /// Whether its weights were the best so far; older runs do not say.
    pub(crate) best: Option<bool>,
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

impl Epoch {
    /// A metric on what is held out; NaN where it was not measured or is not defined.
    pub(crate) fn value(&self, name: &str) -> f64 {
        self.measures.get(name).copied().unwrap_or(f64::NAN)
    }
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
        let count = |value: &Value| value.as_u64().filter(|&count| count < LARGEST);
        let epoch = count(line.get("epoch")?)?;
        if let Some(step) = line.get("step") {
            let step = count(step)?;
            self.forget(epoch, step);
            let seconds = session.at(number("seconds"));
            self.steps.push(Step { epoch, step, loss: number("loss"), rate: number("rate"), seconds });
        } else if line.contains_key("train_loss") || line.contains_key("val_loss") {
            // The line of an epoch comes after its updates.
            self.forget(epoch, u64::MAX);
            let measures = line.iter().filter_map(|(key, value)| {
                Some((key.strip_prefix("val_")?.to_owned(), value.as_f64().unwrap_or(f64::NAN)))
            });
            self.epochs.push(Epoch {
                epoch,
                train_loss: number("train_loss"),
                measures: measures.collect(),
                best: line.get("best").and_then(Value::as_bool),
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

    /// The last update of an epoch.
    pub(crate) fn last_of(&self, epoch: u64) -> Option<&Step> {
        let end = self.steps.partition_point(|step| step.epoch <= epoch);
        self.steps[..end].last().filter(|step| step.epoch == epoch)
    }

    /// The metrics that were measured on what is held out, in the order in which they are shown.
    pub(crate) fn metrics(&self) -> Vec<Metric> {
        let names: BTreeSet<&String> = self.epochs.iter().flat_map(|epoch| epoch.measures.keys()).collect();
        let mut names: Vec<&String> = names.into_iter().collect();
        names.sort_by_key(|name| order(name));
        names.into_iter().map(|name| known(name)).collect()
    }

    /// The same without the loss and without what is defined nowhere.
    pub(crate) fn scores(&self) -> Vec<Metric> {
        let defined = |metric: &Metric| self.epochs.iter().any(|epoch| epoch.value(&metric.name).is_finite());
        self.metrics().into_iter().filter(|metric| metric.name != LOSS && defined(metric)).collect()
    }

    /// The epoch of the best weights. A run that an older version began does not say of all: there it is the first with
    /// the highest score, or with the lowest held-out loss where there is none.
    pub(crate) fn best(&self) -> Option<&Epoch> {
        if self.epochs.iter().all(|epoch| epoch.best.is_some()) {
            return self.epochs.iter().rfind(|epoch| epoch.best == Some(true));
        }
        let metric = self.scores().into_iter().next().unwrap_or_else(|| known(LOSS));
        let key = |epoch: &Epoch| match metric.better {
            Better::Higher => -epoch.value(&metric.name),
            Better::Lower => epoch.value(&metric.name),
        };
        let defined = self.epochs.iter().filter(|epoch| !key(epoch).is_nan());
        defined.min_by(|a, b| key(a).total_cmp(&key(b)).then(a.value(LOSS).total_cmp(&b.value(LOSS))))
    }

    /// The lowest held-out loss; NaN before the first epoch.
    pub(crate) fn lowest_val_loss(&self) -> f64 {
        self.epochs.iter().map(|epoch| epoch.value(LOSS)).fold(f64::NAN, f64::min)
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
        assert_eq!((history.last_of(0).unwrap().step, history.last_of(7).is_none()), (1, true));
        let epoch = history.best().unwrap();
        assert!(epoch.value("precision").is_nan() && epoch.value("iou") == 0.5);
        let names =
            |metrics: Vec<Metric>| metrics.into_iter().map(|metric| metric.name.into_owned()).collect::<Vec<_>>();
        assert_eq!(names(history.metrics()), ["loss", "iou", "precision", "recall"]);
        assert_eq!(names(history.scores()), ["iou", "recall"]);
        assert!(History::parse(b"").best().is_none() && History::parse(b"").lowest_val_loss().is_nan());
    }

    #[test]
    fn the_best_epoch_is_the_one_that_the_run_kept_also_when_an_older_version_began_it() {
        let best = |lines: [&str; 3]| {
            let line = |(epoch, rest): (usize, &str)| format!("{{\"epoch\":{epoch},\"train_loss\":1.0,{rest}}}\n");
            let text: String = lines.into_iter().enumerate().map(line).collect();
            History::parse(text.as_bytes()).best().map(|epoch| epoch.epoch)
        };
        let said = ["\"val_iou\":0.9,\"best\":true", "\"val_iou\":0.5,\"best\":true", "\"val_iou\":0.7,\"best\":false"];
        assert_eq!(best(said), Some(1));
        let begun_before = ["\"val_iou\":0.9", "\"val_iou\":0.5,\"best\":false", "\"val_iou\":0.7,\"best\":false"];
        assert_eq!(best(begun_before), Some(0));
        let nothing_held_out = ["\"seconds\":1.0", "\"seconds\":2.0", "\"seconds\":3.0"];
        assert_eq!(best(nothing_held_out), None);
    }

    #[test]
    fn a_line_cut_short_is_skipped() {
        for end in [
            &b"{\"epoch\":1,\"step\":1,\"lo"[..],
            &b"{\"epoch\":1,\"st\0\0\xff"[..],
            &b"{\"epoch\":9999999999,\"step\":1}"[..],
        ] {
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
        assert_eq!((history.epochs.len(), history.epochs[0].value("iou")), (1, 0.25));
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
        assert!(history.scores().is_empty() && history.updates_per_epoch() == 1);
    }
}
