//! What an evaluation leaves in a folder: figures, a table of frames, pictures.

use std::fs;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::by::Sorted;
use super::measure::{Evaluation, Method};
use super::plots;
use crate::files;

/// Write `per_frame.csv`, the pictures `bins.svg` and `reliability.svg`, and `metrics.json` last: a study takes it for the
/// sign that a run is measured. The `caveat` is what the reader has to know.
pub(crate) fn write(evaluation: &Evaluation, out: &Path, caveat: Option<&str>, sorted: &[Sorted]) -> Result<()> {
    let (model, baseline) = (evaluation.figures(Method::Model), evaluation.figures(Method::Baseline));
    let reliability = evaluation.reliability();
    let bins: Map<String, Value> = sorted.iter().map(|sorted| (sorted.name.clone(), sorted.json())).collect();
    let metrics = json!({
        "model": model, "baseline": baseline, "pixels": evaluation.size, "caveat": caveat, "calibration": reliability,
        "bins": bins,
    });
    files::write(&out.join("per_frame.csv"), &per_frame(evaluation, sorted)?)?;
    for (name, svg) in
        [("bins.svg", plots::bins(sorted)?), ("reliability.svg", plots::reliability(reliability.as_ref())?)]
    {
        match svg {
            Some(svg) => files::write(&out.join(name), svg.as_bytes())?,
            // One of an earlier evaluation would stand beside other figures; mostly there is none.
            None => drop(fs::remove_file(out.join(name))),
        }
    }
    files::write(&out.join("metrics.json"), serde_json::to_string_pretty(&metrics)?.as_bytes())
}

fn per_frame(evaluation: &Evaluation, sorted: &[Sorted]) -> Result<Vec<u8>> {
    let mut rows = csv::Writer::from_writer(Vec::new());
    for frame in &evaluation.frames {
        for (method, score) in [("model", &frame.model), ("baseline", &frame.baseline)] {
            rows.serialize(FrameRow {
                method,
                frame: &frame.id,
                difficulty: &frame.difficulty,
                outcome: score.error.map(|error| format!("{:?}", error.outcome)),
                confidence: score.confidence,
                iou: score.counts.iou_one(),
                dice: score.counts.dice_one(),
                pixel_error: score.counts.pixel_error(),
                adjusted_rand: score.counts.adjusted_rand(),
                tp: score.counts.tp,
                fp: score.counts.fp,
                fn_: score.counts.fn_,
                tn: score.counts.tn,
                tip_px: score.error.map(|error| error.tip_px),
                tip_mm: score.error.map(|error| error.tip_mm),
                angle_deg: score.error.map(|error| error.angle_deg),
                offset_px: score.error.map(|error| error.offset_px),
                entry_x: score.needle.map(|needle| needle.entry.x),
                entry_y: score.needle.map(|needle| needle.entry.y),
                tip_x: score.needle.map(|needle| needle.tip.x),
                tip_y: score.needle.map(|needle| needle.tip.y),
            })?;
        }
    }
    let rows = rows.into_inner()?;
    if sorted.is_empty() { Ok(rows) } else { with_bins(evaluation, &rows, sorted) }
}

/// The rows of `per_frame.csv`, two a frame, with the name of the frame's bin in a column for each sorting.
fn with_bins(evaluation: &Evaluation, rows: &[u8], sorted: &[Sorted]) -> Result<Vec<u8>> {
    let names: Vec<Vec<&str>> = sorted.iter().map(|sorted| sorted.of_frames(evaluation.frames.len())).collect();
    let mut reader = csv::Reader::from_reader(rows);
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut head = reader.headers()?.clone();
    sorted.iter().for_each(|sorted| head.push_field(&format!("by_{}", sorted.name)));
    writer.write_record(&head)?;
    for (at, row) in reader.records().enumerate() {
        let mut row = row?;
        names.iter().for_each(|of_frames| row.push_field(of_frames[at / 2]));
        writer.write_record(&row)?;
    }
    Ok(writer.into_inner()?)
}

/// One row of `per_frame.csv`; pixels are those of the network's input.
#[derive(Serialize)]
struct FrameRow<'a> {
    method: &'a str,
    frame: &'a str,
    difficulty: &'a str,
    outcome: Option<String>,
    confidence: f64,
    iou: f64,
    dice: f64,
    /// In percent.
    pixel_error: f64,
    adjusted_rand: f64,
    tp: u64,
    fp: u64,
    #[serde(rename = "fn")]
    fn_: u64,
    tn: u64,
    tip_px: Option<f64>,
    tip_mm: Option<f64>,
    angle_deg: Option<f64>,
    offset_px: Option<f64>,
    entry_x: Option<f64>,
    entry_y: Option<f64>,
    tip_x: Option<f64>,
    tip_y: Option<f64>,
}
