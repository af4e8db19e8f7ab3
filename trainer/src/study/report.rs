//! The report of a study: the table, the learning curves, and strips of held-out frames with every network's answer.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;
use burn::tensor::Device;
use serde::Deserialize;
use serde_json::Value;
use sonoseg_core::recipe::TaskName;
use sonoseg_imaging::DataError;
use sonoseg_imaging::dataset::sample::Source;
use sonoseg_imaging::metrics::overlap::Counts;

use super::folds;
use super::plan::{MEASURED, Place, Planned, Study, shell};
use crate::files;
use crate::folder::Folder;
use crate::report::document::{Block, Document, Table, duration, number};
use crate::report::history::{Epoch, History};
use crate::report::plot::{self, Panel, Series, Stroke, Values};
use crate::report::worst::{ONE_OF_MANY, Tile, draw_sample, sheet};
use crate::report::{html, markdown};

/// Name of the baseline's row.
pub(super) const BASELINE: &str = "baseline, nothing learned";

/// Frames in a strip.
const STRIP: usize = 6;

/// A run that is done and measured.
pub(super) struct Done<'a> {
    pub(super) planned: &'a Planned,
    pub(super) history: History,
    metrics: Value,
    pub(super) frames: Frames,
    /// The same frames by the baseline.
    pub(super) baseline: Frames,
}

/// Pixels of every frame by what they are and what was said of them.
pub(super) type Frames = BTreeMap<String, Counts>;

/// Write `report.md`, `report.html`, `table.csv` and their pictures into the study's folder.
pub(super) fn write(study: &Study, planned: &[Planned], place: &Place<'_>) -> Result<()> {
    let segment = planned.iter().filter(|run| run.task == TaskName::Segment);
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
        Some(folds) => folds::blocks(folds, &done, planned, place)?,
        None => rows(&done, planned, place)?,
    });
    blocks.push(Block::Heading("Commands".into()));
    blocks.push(Block::Commands(planned.iter().flat_map(|run| &run.commands).map(|words| shell(words)).collect()));
    let document = Document { title: format!("Study {} at scale {}", study.name, place.scale), blocks };
    files::write(&place.out.join("report.md"), markdown::write(&document).as_bytes())?;
    files::write(&place.out.join("report.html"), html::write(&document).as_bytes())
}

/// Every run as a row: the table, the learning curves, and strips of held-out frames.
fn rows(done: &[Done<'_>], planned: &[Planned], place: &Place<'_>) -> Result<Vec<Block>> {
    let mut blocks = Vec::new();
    let common = common(done);
    let table = table(done, &common);
    blocks.push(Block::Heading("Held-out procedures".into()));
    blocks.push(Block::Text(format!(
        "Pooled over the pixels of all held-out frames, in percent; 95 % intervals by bootstrap over procedures. `same \
         frames`: the {} frames that every network answers for (one that reads three frames has no answer for the first and \
         the last of a clip). Published: the paper's own data, which nobody else has.",
        common.len()
    )));
    files::write(&place.out.join("table.csv"), &csv(&table)?)?;
    blocks.push(Block::Table(table));
    blocks.push(Block::Heading("Which of the paper's orderings hold here".into()));
    blocks.push(Block::Table(orderings(done, &common)));
    for (heading, file, task) in [
        ("Pre-training (figure 3)", "figure-3.svg", TaskName::Mae),
        ("Fine-tuning (figure 4)", "figure-4.svg", TaskName::Segment),
    ] {
        if let Some(svg) = curves(planned, task)? {
            files::write(&place.out.join(file), svg.as_bytes())?;
            blocks.push(Block::Heading(heading.into()));
            blocks.push(Block::Plot { file: file.into(), alt: heading.into(), svg });
        }
    }
    for run in planned.iter().filter(|run| run.task == TaskName::Mae) {
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
    if let Some(png) = strips(done, &common, place)? {
        files::write(&place.out.join("figure-7.png"), &png)?;
        blocks.push(Block::Heading("Answers (figures 7 and 8)".into()));
        let rows: Vec<&str> = done.iter().map(|run| run.planned.run.label.as_str()).collect();
        blocks.push(Block::Text(format!("Rows from above: {}. Outlined: the truth.", rows.join("; "))));
        blocks.push(Block::Picture { file: "figure-7.png".into(), alt: "Answers".into(), png });
    }
    Ok(blocks)
}

fn measured(run: &Planned) -> bool {
    run.finished() && run.folder.join(MEASURED).join("metrics.json").exists()
}

impl<'a> Done<'a> {
    fn open(planned: &'a Planned) -> Result<Self> {
        #[derive(Deserialize)]
        struct Row {
            method: String,
            frame: String,
            tp: u64,
            fp: u64,
            #[serde(rename = "fn")]
            fn_: u64,
            tn: u64,
        }
        let folder = planned.folder.join(MEASURED);
        let path = folder.join("per_frame.csv");
        let bytes = files::read(&path)?;
        let (mut frames, mut baseline) = (Frames::new(), Frames::new());
        for row in csv::Reader::from_reader(bytes.as_slice()).deserialize::<Row>() {
            let Row { method, frame, tp, fp, fn_, tn } =
                row.map_err(|e| DataError::unreadable(files::absolute(&path), e))?;
            let of_method = if method == "model" { &mut frames } else { &mut baseline };
            of_method.insert(frame, Counts { tp, fp, fn_, tn });
        }
        let path = folder.join("metrics.json");
        let metrics = serde_json::from_str(&files::read_text(&path)?)
            .map_err(|e| DataError::unreadable(files::absolute(&path), e))?;
        Ok(Self { planned, history: History::read(&planned.folder)?, metrics, frames, baseline })
    }
}

/// Pooled over those of the frames that are `wanted`.
fn pooled(frames: &Frames, wanted: &BTreeSet<String>) -> Counts {
    let mut sum = Counts::default();
    frames.iter().filter(|(id, _)| wanted.contains(*id)).for_each(|(_, counts)| sum += *counts);
    sum
}

/// Frames that every network answered for.
fn common(done: &[Done<'_>]) -> BTreeSet<String> {
    let mut each = done.iter().map(|run| run.frames.keys().cloned().collect::<BTreeSet<_>>());
    let first = each.next().unwrap_or_default();
    each.fold(first, |common, frames| &common & &frames)
}

fn table(done: &[Done<'_>], common: &BTreeSet<String>) -> Table {
    let columns = [
        "network",
        "IoU",
        "95 % interval",
        "recall",
        "precision",
        "IoU, same frames",
        "epochs",
        "time",
        "published IoU",
        "recall",
        "precision",
    ];
    let mut table = Table::new(&columns, 1);
    let percent = |value: f64| number(100.0 * value, 2);
    let figures = |name: &str, all: &Value, frames: &Frames| {
        let read = |key: &str| percent(all["overlap"][key].as_f64().unwrap_or(f64::NAN));
        let bound = |end: &str| percent(all["overlap_intervals"]["iou"][end].as_f64().unwrap_or(f64::NAN));
        vec![
            name.to_owned(),
            read("iou"),
            format!("{} to {}", bound("low"), bound("high")),
            read("recall"),
            read("precision"),
            percent(pooled(frames, common).iou()),
        ]
    };
    // The baseline says the same in every run that looks at the same frames.
    if let Some(run) = done.iter().max_by_key(|run| run.baseline.len()) {
        let mut row = figures(BASELINE, &run.metrics["baseline"]["all"], &run.baseline);
        row.resize(columns.len(), String::new());
        table.rows.push(row);
    }
    for run in done {
        let mut row = figures(&run.planned.run.label, &run.metrics["model"]["all"], &run.frames);
        row.extend([run.history.epochs.len().to_string(), duration(run.history.seconds)]);
        row.extend(run.planned.run.published.into_iter().flatten().map(|value| number(value, 2)));
        row.resize(columns.len(), String::new());
        table.rows.push(row);
    }
    table
}

/// Every pair that the paper orders, and how it came out here on the same frames.
fn orderings(done: &[Done<'_>], common: &BTreeSet<String>) -> Table {
    let mut table = Table::new(&["the paper says", "here", "IoU here"], 2);
    let mut ranked: Vec<(&Done<'_>, f64)> =
        done.iter().filter_map(|run| Some((run, run.planned.run.published?[0]))).collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    for pair in ranked.windows(2) {
        let [(better, _), (worse, _)] = pair else { continue };
        let [a, b] = [better, worse].map(|run| pooled(&run.frames, common).iou());
        let held = match a.partial_cmp(&b) {
            Some(std::cmp::Ordering::Greater) => "holds",
            Some(std::cmp::Ordering::Equal) => "no difference",
            Some(std::cmp::Ordering::Less) => "does not hold",
            None => "undefined",
        };
        table.rows.push(vec![
            format!("{} above {}", better.planned.run.name, worse.planned.run.name),
            held.into(),
            format!("{} and {}", number(100.0 * a, 2), number(100.0 * b, 2)),
        ]);
    }
    table
}

pub(super) fn csv(table: &Table) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(&table.columns)?;
    for row in &table.rows {
        writer.write_record(row)?;
    }
    Ok(writer.into_inner()?)
}

/// Held-out loss of the runs of a task over each other.
fn curves(planned: &[Planned], task: TaskName) -> Result<Option<String>> {
    let panel = |title: &str, values: Values, value: fn(&Epoch) -> f64| {
        let mut series = Vec::new();
        for (hue, run) in planned.iter().filter(|run| run.task == task).enumerate() {
            if let Ok(history) = History::read(&run.folder) {
                let points = history.epochs.iter().map(|epoch| (epoch.epoch as f64 + 1.0, value(epoch))).collect();
                series.push(Series { name: run.run.name.clone(), hue, stroke: Stroke::Line, points });
            }
        }
        Panel { title: title.into(), values, series }
    };
    let loss = panel("held-out loss", Values::Fitted, |epoch| epoch.val_loss);
    let iou = panel("held-out IoU", Values::FromZero, |epoch| epoch.val_iou);
    plot::draw("Learning curves", &[loss, iou])
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
