//! The report of a study: the table, the learning curves, and strips of held-out frames with every network's answer.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;
use burn::tensor::Device;
use serde_json::Value;
use sonoseg_imaging::DataError;
use sonoseg_imaging::dataset::sample::Source;
use sonoseg_imaging::metrics::measure::{Better, Metric};
use sonoseg_imaging::metrics::overlap::Counts;
use sonoseg_imaging::metrics::{known, overlap_measures};

use super::done::{BASELINE, Done, Frames, caveats, csv, figure, measured, metrics};
use super::folds;
use super::plan::{Curves, Picture, Place, Planned, Shown, Study, shell};
use crate::files;
use crate::folder::Folder;
use crate::plot::{self, Panel, Series, Stroke, Values};
use crate::report::curves::by_epoch;
use crate::report::document::{Block, Document};
use crate::report::history::{History, LOSS};
use crate::report::worst::{ONE_OF_MANY, Tile, draw_sample, sheet};
use crate::report::{html, markdown};
use crate::table::{Table, duration, number};

/// Frames in a strip.
const STRIP: usize = 6;

/// Write `report.md`, `report.html`, `table.csv` and their pictures into the study's folder.
pub(super) fn write(study: &Study, planned: &[Planned], place: &Place<'_>) -> Result<()> {
    let segment = planned.iter().filter(|run| !run.task.pretrains());
    let missing: Vec<&str> = segment.clone().filter(|run| !measured(run)).map(|run| run.run.name.as_str()).collect();
    let done = segment.filter(|run| measured(run)).map(Done::open).collect::<Result<Vec<_>>>()?;
    let mut blocks = vec![
        Block::Note("Trained and measured by this software. Not for clinical use.".into()),
        Block::Text(study.about.clone()),
    ];
    blocks.extend(["every", place.scale].iter().filter_map(|key| study.remarks.get(*key)).cloned().map(Block::Text));
    if !missing.is_empty() {
        blocks.push(Block::Note(format!("Not done yet, and left out: {}.", missing.join(", "))));
    }
    blocks.extend(match &study.folds {
        Some(folds) => folds::blocks(folds, &study.report, &done, planned, place)?,
        None => rows(&study.report, &done, planned, place)?,
    });
    blocks.push(Block::Heading("Commands".into()));
    blocks.push(Block::Commands(planned.iter().flat_map(|run| &run.commands).map(|words| shell(words)).collect()));
    let document = Document { title: format!("Study {} at scale {}", study.name, place.scale), blocks };
    files::write(&place.out.join("report.md"), markdown::write(&document).as_bytes())?;
    files::write(&place.out.join("report.html"), html::write(&document).as_bytes())
}

/// Every run as a row: the table, the learning curves, and strips of held-out frames.
fn rows(shown: &Shown, done: &[Done<'_>], planned: &[Planned], place: &Place<'_>) -> Result<Vec<Block>> {
    let mut blocks = Vec::new();
    let (common, metrics) = (common(done), metrics(shown));
    let table = table(&metrics, done, &common);
    blocks.push(Block::Heading("Held-out procedures".into()));
    blocks.extend(caveats(done));
    blocks.push(Block::Text(format!(
        "Pooled over all held-out frames, shares in percent; 95 % intervals by bootstrap over procedures. `same \
         frames`: the {} frames that every network answers for (one that reads three frames has no answer for the first and \
         the last of a clip). Published: the paper's own data, which nobody else has.",
        common.len()
    )));
    files::write(&place.out.join("table.csv"), &csv(&table)?)?;
    blocks.push(Block::Table(table));
    let orderings = metrics.first().map(|rank| orderings(rank, done, &common));
    if let Some(orderings) = orderings.filter(|table| !table.rows.is_empty()) {
        blocks.push(Block::Heading(shown.orderings.clone()));
        blocks.push(Block::Table(orderings));
    }
    for Curves { task, heading, file } in &shown.curves {
        let runs: Vec<&Planned> = planned.iter().filter(|run| run.task == *task).collect();
        if let Some(svg) = curves(&runs, metrics.first())? {
            files::write(&place.out.join(file), svg.as_bytes())?;
            blocks.push(Block::Heading(heading.clone()));
            blocks.push(Block::Plot { file: file.clone(), alt: heading.clone(), svg });
        }
    }
    for run in planned.iter().filter(|run| run.task.pretrains()) {
        let picture = run.folder.join("reconstructions.png");
        if picture.exists() {
            let file = format!("reconstructions-{}.png", run.run.name);
            let png = files::read(&picture)?;
            files::write(&place.out.join(&file), &png)?;
            blocks
                .push(Block::Text(format!("{}: original, visible, painted, painted with the visible.", run.run.label)));
            blocks.push(Block::Picture { file, alt: run.run.label.clone(), png });
        }
    }
    let Picture { heading, file } = &shown.answers;
    if let Some(png) = strips(done, &common, place)? {
        files::write(&place.out.join(file), &png)?;
        blocks.push(Block::Heading(heading.clone()));
        let rows: Vec<&str> = done.iter().map(|run| run.planned.run.label.as_str()).collect();
        blocks.push(Block::Text(format!("Rows from above: {}. Outlined: the truth.", rows.join("; "))));
        blocks.push(Block::Picture { file: file.clone(), alt: heading.clone(), png });
    }
    Ok(blocks)
}

/// A figure of the `wanted` frames: as it was measured where these are all, else a metric of pixels pooled over them; NaN
/// for other metrics, which cannot be told of a part.
fn of_frames(name: &str, all: &Value, frames: &Frames, wanted: &BTreeSet<String>) -> f64 {
    if frames.len() == wanted.len() {
        return figure(all, name).0;
    }
    let mut sum = Counts::default();
    frames.iter().filter(|(id, _)| wanted.contains(*id)).for_each(|(_, counts)| sum += *counts);
    overlap_measures(&sum).value(name).unwrap_or(f64::NAN)
}

/// Frames that every network answered for.
fn common(done: &[Done<'_>]) -> BTreeSet<String> {
    let mut each = done.iter().map(|run| run.frames.keys().cloned().collect::<BTreeSet<_>>());
    let first = each.next().unwrap_or_default();
    each.fold(first, |common, frames| &common & &frames)
}

fn table(metrics: &[Metric], done: &[Done<'_>], common: &BTreeSet<String>) -> Table {
    let Some(first) = metrics.first() else { return Table::new(&["network"], 1) };
    let published = done.iter().map(|run| run.planned.run.published.len()).max().unwrap_or(0).min(metrics.len());
    let mut columns = vec!["network".to_owned()];
    for (index, metric) in metrics.iter().enumerate() {
        columns.push(metric.label.clone().into_owned());
        columns.extend((index == 0).then(|| "95 % interval".to_owned()));
    }
    columns.extend([format!("{}, same frames", first.label), "epochs".into(), "time".into()]);
    columns.extend(metrics.iter().take(published).map(|metric| format!("published {}", metric.label)));
    let mut table = Table { columns, words: 1, rows: Vec::new() };
    let figures = |name: &str, all: &Value, frames: &Frames| {
        let mut row = vec![name.to_owned()];
        for (index, metric) in metrics.iter().enumerate() {
            let (value, interval) = figure(all, &metric.name);
            row.push(written(metric, value));
            row.extend((index == 0).then(|| interval.map(|end| written(metric, end)).join(" to ")));
        }
        row.push(written(first, of_frames(&first.name, all, frames, common)));
        row
    };
    // The baseline says the same in every run that looks at the same frames.
    if let Some(run) = done.iter().max_by_key(|run| run.baseline.len()) {
        let mut row = figures(BASELINE, &run.metrics["baseline"]["all"], &run.baseline);
        row.resize(table.columns.len(), String::new());
        table.rows.push(row);
    }
    for run in done {
        let mut row = figures(&run.planned.run.label, &run.metrics["model"]["all"], &run.frames);
        row.extend([run.history.epochs.len().to_string(), duration(run.history.seconds)]);
        row.extend(run.planned.run.published.iter().take(published).map(|&value| number(value, 2)));
        row.resize(table.columns.len(), String::new());
        table.rows.push(row);
    }
    table
}

/// A share in percent, any other figure as it is.
fn written(metric: &Metric, value: f64) -> String {
    number(if metric.unit.is_empty() { 100.0 * value } else { value }, 2)
}

/// Every pair that the paper orders, and how it came out here on the same frames.
fn orderings(metric: &Metric, done: &[Done<'_>], common: &BTreeSet<String>) -> Table {
    let columns = ["the paper says", "here", &format!("{} here", metric.label)];
    let mut table = Table::new(&columns, 2);
    let mut ranked: Vec<(&Done<'_>, f64)> =
        done.iter().filter_map(|run| Some((run, *run.planned.run.published.first()?))).collect();
    ranked.sort_by(|a, b| match metric.better {
        Better::Higher => b.1.total_cmp(&a.1),
        Better::Lower => a.1.total_cmp(&b.1),
    });
    for pair in ranked.windows(2) {
        let [(better, _), (worse, _)] = pair else { continue };
        let [a, b] =
            [better, worse].map(|run| of_frames(&metric.name, &run.metrics["model"]["all"], &run.frames, common));
        let held = match a.partial_cmp(&b) {
            None => "undefined",
            Some(std::cmp::Ordering::Equal) => "no difference",
            Some(_) if metric.improves(a, b) => "holds",
            Some(_) => "does not hold",
        };
        table.rows.push(vec![
            format!("{} above {}", better.planned.run.name, worse.planned.run.name),
            held.into(),
            format!("{} and {}", written(metric, a), written(metric, b)),
        ]);
    }
    table
}

/// Held-out loss, and the study's first figure where it is measured while learning, of some runs over each other.
fn curves(runs: &[&Planned], figure: Option<&Metric>) -> Result<Option<String>> {
    let histories: Vec<(&str, History)> =
        runs.iter().filter_map(|run| Some((&*run.run.name, History::read(&run.folder).ok()?))).collect();
    let panel = |metric: &Metric| {
        let series = histories.iter().enumerate().map(|(hue, (run, history))| Series {
            name: (*run).to_owned(),
            hue,
            stroke: Stroke::Line,
            points: by_epoch(history, &metric.name),
        });
        Panel { title: format!("held-out {}", metric.label), values: Values::of(metric), series: series.collect() }
    };
    let panels: Vec<Panel> = [&known(LOSS)].into_iter().chain(figure).map(panel).collect();
    plot::draw("Learning curves", &panels)
}

/// A row of frames for every network, with its answer and the truth.
fn strips(done: &[Done<'_>], common: &BTreeSet<String>, place: &Place<'_>) -> Result<Option<Vec<u8>>> {
    let apart = common.len().div_ceil(STRIP).max(1);
    let chosen: Vec<&String> = common.iter().skip(apart / 2).step_by(apart).take(STRIP).collect();
    if chosen.is_empty() {
        return Ok(None);
    }
    let device = Device::flex();
    let mut tiles: Vec<Tile> = Vec::new();
    for run in done {
        let predictor = files::load_model(&run.planned.model(), &device)?;
        let data = Folder::for_recipe(place.data, &predictor.header().recipe)?;
        let numbers: BTreeMap<String, usize> = (0..data.len()).map(|index| (data.id(index), index)).collect();
        for id in &chosen {
            let Some(&index) = numbers.get(*id) else {
                let message = format!("{} has no frame {id} any more", files::absolute(Path::new(place.data)));
                return Err(DataError::Inconsistent(message).into());
            };
            tiles.push(draw_sample(index, &predictor, &data, ONE_OF_MANY)?);
        }
    }
    Ok(Some(sheet(&tiles, chosen.len()).png()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_written_in_percent_and_lengths_as_they_are() {
        let iou = known("iou");
        let tip = Metric { unit: "px".into(), ..Metric::new("tip_px", "tip px", Better::Lower) };
        assert_eq!([written(&iou, 0.41151), written(&tip, 2.5), written(&tip, f64::NAN)], ["41.15", "2.50", "–"]);
    }
}
