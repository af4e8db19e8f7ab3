//! What a run shows while it learns: `results.csv`, TensorBoard events and `curves.svg`, made anew from `metrics.jsonl`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use anyhow::{Result, anyhow};
use serde::Serialize;

use super::events;
use super::history::{Epoch, History};
use super::plot::{self, Panel, Series, Stroke, Values};
use crate::files;
use crate::terminal::warn;

/// Bring the files of a run folder up to date. A run never fails for its pictures: what goes wrong is only told.
pub(crate) fn write_curves(run: &Path) {
    // The plotting crate asserts in places that nobody foresees, and a run may be days old.
    let outcome = catch_unwind(AssertUnwindSafe(|| try_write(run)));
    if let Err(error) = outcome.unwrap_or_else(|_| Err(anyhow!("the plotting code stopped"))) {
        warn(format!("{}: the curves are not up to date: {error:#}", run.display()));
    }
}

fn try_write(run: &Path) -> Result<()> {
    let history = History::read(run)?;
    files::write(&run.join("results.csv"), &results(&history)?)?;
    events::write(run, &history)?;
    match curves(&history)? {
        Some(svg) => files::write(&run.join("curves.svg"), svg.as_bytes()),
        None => Ok(()),
    }
}

/// One row of `results.csv`. What is not measured is blank.
#[derive(Serialize)]
struct Row {
    /// From 1, as on the terminal.
    epoch: u64,
    train_loss: Option<f64>,
    val_loss: Option<f64>,
    val_iou: Option<f64>,
    val_precision: Option<f64>,
    val_recall: Option<f64>,
    /// Of the epoch's last update.
    learning_rate: Option<f64>,
    seconds: f64,
}

/// A row per epoch.
fn results(history: &History) -> Result<Vec<u8>> {
    let defined = |value: f64| (!value.is_nan()).then_some(value);
    let mut rows = csv::Writer::from_writer(Vec::new());
    for epoch in &history.epochs {
        let last = history.steps.iter().rfind(|step| step.epoch == epoch.epoch);
        rows.serialize(Row {
            epoch: epoch.epoch + 1,
            train_loss: defined(epoch.train_loss),
            val_loss: defined(epoch.val_loss),
            val_iou: defined(epoch.val_iou),
            val_precision: defined(epoch.val_precision),
            val_recall: defined(epoch.val_recall),
            learning_rate: last.and_then(|step| defined(step.rate)),
            seconds: epoch.seconds,
        })?;
    }
    Ok(rows.into_inner()?)
}

/// Losses, scores and learning rate over epochs; `None` before the first update.
pub(super) fn curves(history: &History) -> Result<Option<String>> {
    let updates = history.updates_per_epoch() as f64;
    let by_step = |read: fn(&super::history::Step) -> f64| {
        let at = |step: &super::history::Step| (step.epoch as f64 + (step.step + 1) as f64 / updates, read(step));
        history.steps.iter().map(at).collect::<Vec<_>>()
    };
    let series = |name: &str, hue, stroke, points| Series { name: name.into(), hue, stroke, points };
    let line = |name: &str, hue, read: fn(&Epoch) -> f64| series(name, hue, Stroke::Line, by_epoch(history, read));
    let ring = |hue, read: fn(&Epoch) -> f64| {
        let best = history.best().map(|epoch| (epoch.epoch as f64 + 1.0, read(epoch)));
        series("best weights", hue, Stroke::Rings, best.into_iter().collect())
    };
    let mut losses = vec![
        series("each update", 0, Stroke::Faint, by_step(|step| step.loss)),
        line("training, mean of the epoch", 0, |epoch| epoch.train_loss),
        line("held out", 1, |epoch| epoch.val_loss),
    ];
    let mut panels = Vec::new();
    if history.has_scores() {
        let scores = vec![
            line("IoU", 2, |epoch| epoch.val_iou),
            line("precision", 3, |epoch| epoch.val_precision),
            line("recall", 4, |epoch| epoch.val_recall),
            ring(2, |epoch| epoch.val_iou),
        ];
        panels.push(Panel { title: "Held-out masks, pooled".into(), values: Values::Share, series: scores });
    } else {
        losses.push(ring(1, |epoch| epoch.val_loss));
    }
    panels.insert(0, Panel { title: "Loss".into(), values: Values::Fitted, series: losses });
    let rate = series("each update", 5, Stroke::Line, by_step(|step| step.rate));
    panels.push(Panel { title: "Learning rate of each update".into(), values: Values::FromZero, series: vec![rate] });
    plot::draw("Curves of the run: losses, scores of the held-out masks and learning rate over epochs", &panels)
}

/// Points of a figure of the epochs; an epoch is drawn where it ends.
pub(super) fn by_epoch(history: &History, read: fn(&Epoch) -> f64) -> Vec<(f64, f64)> {
    history.epochs.iter().map(|epoch| (epoch.epoch as f64 + 1.0, read(epoch))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = r#"{"epoch":0,"step":0,"loss":1.5,"rate":0.001,"seconds":1.0}
{"epoch":0,"train_loss":1.5,"val_loss":1.25,"val_iou":0.5,"val_precision":null,"val_recall":0.75,"seconds":2.0}
{"epoch":1,"step":0,"loss":1.0,"rate":0.0005,"seconds":3.0}
"#;

    #[test]
    fn a_row_per_epoch_with_blanks_for_what_is_undefined() {
        let text = String::from_utf8(results(&History::parse(LINES.as_bytes())).unwrap()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "epoch,train_loss,val_loss,val_iou,val_precision,val_recall,learning_rate,seconds");
        assert_eq!(lines[1..], ["1,1.5,1.25,0.5,,0.75,0.001,2.0"]);
    }

    #[test]
    fn runs_without_scores_have_no_panel_for_them() {
        let with = curves(&History::parse(LINES.as_bytes())).unwrap().unwrap();
        assert!(with.contains("IoU") && with.contains("Learning rate of") && with.contains("best weights"));
        let text = LINES.replace("\"val_iou\":0.5,\"val_precision\":null,\"val_recall\":0.75,", "");
        let without = curves(&History::parse(text.as_bytes())).unwrap().unwrap();
        assert!(!without.contains("IoU") && without.contains("held out") && without.contains("best weights"));
        assert!(curves(&History::default()).unwrap().is_none());
    }

    #[test]
    fn trouble_is_told_and_never_ends_the_run() {
        let folder = std::env::temp_dir().join(format!("sonoseg-curves-{}", std::process::id()));
        write_curves(&folder.join("missing"));
        files::write(&folder.join("metrics.jsonl"), LINES.as_bytes()).unwrap();
        write_curves(&folder);
        for file in ["results.csv", "curves.svg", "tensorboard"] {
            assert!(folder.join(file).exists(), "{file}");
        }
        assert!(!folder.join("missing").exists());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
