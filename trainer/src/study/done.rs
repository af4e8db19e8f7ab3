//! Runs of a study that are done: what was measured of them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use serde::Deserialize;
use serde_json::Value;
use sonoseg_imaging::DataError;
use sonoseg_imaging::evaluate::metric;
use sonoseg_imaging::metrics::measure::Metric;
use sonoseg_imaging::metrics::overlap::Counts;

use super::plan::{MEASURED, Planned, Shown};
use crate::files;
use crate::report::document::Block;
use crate::report::history::History;
use crate::table::Table;

/// Name of the baseline's row.
pub(super) const BASELINE: &str = "baseline, nothing learned";

/// A run that is done and measured.
pub(super) struct Done<'a> {
    pub(super) planned: &'a Planned,
    pub(super) history: History,
    pub(super) metrics: Value,
    pub(super) frames: Frames,
    /// The same frames by the baseline.
    pub(super) baseline: Frames,
}

/// Pixels of every frame by what they are and what was said of them.
pub(super) type Frames = BTreeMap<String, Counts>;

/// Whether a run is at its end and measured.
pub(super) fn measured(run: &Planned) -> bool {
    run.finished() && run.folder.join(MEASURED).join("metrics.json").exists()
}

impl<'a> Done<'a> {
    pub(super) fn open(planned: &'a Planned) -> Result<Self> {
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

/// A figure of `metrics.json` with the ends of its interval. Files of older versions have the pixels' figures only, by name.
pub(super) fn figure(all: &Value, name: &str) -> (f64, [f64; 2]) {
    let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    let found = all["figures"].as_array().into_iter().flatten().find(|figure| figure["name"] == name);
    let (value, interval) = match found {
        Some(figure) => (&figure["value"], &figure["interval"]),
        None => (&all["overlap"][name], &all["overlap_intervals"][name]),
    };
    (number(value), ["low", "high"].map(|end| number(&interval[end])))
}

/// What the figures of a report are. [`Study::open`](super::plan::Study::open) has refused names that are none.
pub(super) fn metrics(shown: &Shown) -> Vec<Metric> {
    shown.figures.iter().filter_map(|name| metric(name)).collect()
}

/// What the reader of the figures has to know.
pub(super) fn caveats(done: &[Done<'_>]) -> Vec<Block> {
    let told: BTreeSet<&str> = done.iter().filter_map(|run| run.metrics["caveat"].as_str()).collect();
    told.into_iter().map(|caveat| Block::Note(caveat.to_owned())).collect()
}

/// A table for programs.
pub(super) fn csv(table: &Table) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(&table.columns)?;
    for row in &table.rows {
        writer.write_record(row)?;
    }
    Ok(writer.into_inner()?)
}
