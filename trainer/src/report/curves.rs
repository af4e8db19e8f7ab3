//! What a run shows while it learns: `results.csv`, TensorBoard events and `curves.svg`, made anew from `metrics.jsonl`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use anyhow::{Result, anyhow};
use serde_json::json;
use sonoseg_imaging::metrics::measure::Metric;

use super::events;
use super::history::{History, LOSS};
use crate::files;
use crate::plot::{self, Panel, Series, Stroke, Values};
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

/// `results.csv`: a row per epoch, counted from 1 as on the terminal, with the learning rate of its last update. What is not
/// measured is blank.
fn results(history: &History) -> Result<Vec<u8>> {
    let defined = |value: f64| if value.is_nan() { String::new() } else { json!(value).to_string() };
    let metrics = history.metrics();
    let names = metrics.iter().map(|metric| format!("val_{}", metric.name));
    let mut rows = csv::Writer::from_writer(Vec::new());
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    rows.write_record(
        words(&["epoch", "train_loss"]).into_iter().chain(names).chain(words(&["learning_rate", "seconds"])),
    )?;
    for epoch in &history.epochs {
        let rate = history.last_of(epoch.epoch).map_or(f64::NAN, |step| step.rate);
        let mut row = vec![(epoch.epoch + 1).to_string(), defined(epoch.train_loss)];
        row.extend(metrics.iter().map(|metric| defined(epoch.value(&metric.name))));
        row.extend([defined(rate), defined(epoch.seconds)]);
        rows.write_record(row)?;
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
    let train = history.epochs.iter().map(|epoch| (epoch.epoch as f64 + 1.0, epoch.train_loss)).collect();
    let line = |name: &str, hue, metric: &str| series(name, hue, Stroke::Line, by_epoch(history, metric));
    let ring = |hue, metric: &str| {
        let best = history.best().map(|epoch| (epoch.epoch as f64 + 1.0, epoch.value(metric)));
        series("best weights", hue, Stroke::Rings, best.into_iter().collect())
    };
    let mut losses = vec![
        series("each update", 0, Stroke::Faint, by_step(|step| step.loss)),
        series("training, mean of the epoch", 0, Stroke::Line, train),
        line("held out", 1, LOSS),
    ];
    let mut panels = Vec::new();
    let scores = history.scores();
    let shares: Vec<&Metric> = scores.iter().filter(|metric| metric.unit.is_empty()).collect();
    if let Some(first) = shares.first() {
        let mut lines: Vec<Series> =
            (2..).zip(&shares).map(|(hue, metric)| line(&metric.label, hue, &metric.name)).collect();
        lines.push(ring(2, &first.name));
        panels.push(Panel { title: "Held out, pooled".into(), values: Values::of(first), series: lines });
    } else {
        losses.push(ring(1, LOSS));
    }
    for metric in scores.iter().filter(|metric| !metric.unit.is_empty()) {
        let title = format!("Held out: {}, {}", metric.label, metric.unit);
        panels.push(Panel { title, values: Values::of(metric), series: vec![line(&metric.label, 2, &metric.name)] });
    }
    panels.insert(0, Panel { title: "Loss".into(), values: Values::Fitted, series: losses });
    let rate = series("each update", 5, Stroke::Line, by_step(|step| step.rate));
    panels.push(Panel { title: "Learning rate of each update".into(), values: Values::FromZero, series: vec![rate] });
    plot::draw("Curves of the run: losses, held-out scores and learning rate over epochs", &panels)
}

/// Points of a metric of the epochs; an epoch is drawn where it ends.
pub(crate) fn by_epoch(history: &History, metric: &str) -> Vec<(f64, f64)> {
    history.epochs.iter().map(|epoch| (epoch.epoch as f64 + 1.0, epoch.value(metric))).collect()
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
