//! A model and the classical baseline on the same frames, at the network's size.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;
use serde_json::{Map, Value, json};
use sonoseg_core::inference::Predictor;
use sonoseg_imaging::DataError;
use sonoseg_imaging::dataset::sample::Sample;
use sonoseg_imaging::evaluate::calibration::{Call, Reliability};
use sonoseg_imaging::evaluate::{Answer, Figures, Frame, Reference, Score, Traits};
use sonoseg_imaging::formats::encode::encode_png_mask;
use sonoseg_imaging::geometry::{Image, Mask};

use super::Chosen;
use super::by::Sorted;
use super::plots;
use crate::files;
use crate::folder::Folder;
use crate::terminal::bar;

/// The set of all frames.
pub(crate) const ALL: &str = "all";

/// Whose answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// The network.
    Model,
    /// The brightest line.
    Baseline,
}

impl Method {
    fn score(self, frame: &Frame) -> &Score {
        match self {
            Self::Model => &frame.model,
            Self::Baseline => &frame.baseline,
        }
    }

    /// Its figures on some frames.
    pub(crate) fn figures(self, frames: &[&Frame]) -> Figures {
        let scores = frames.iter().map(|frame| (&*frame.group, self.score(frame)));
        Figures::new(&scores.collect::<Vec<_>>())
    }
}

/// All that was measured.
#[derive(Debug)]
pub(crate) struct Evaluation {
    /// Height and width of the network's input; the figures are in its pixels.
    pub(crate) size: usize,
    pub(crate) frames: Vec<Frame>,
    /// Frames left out because nobody labelled them, or a neighbour that the network reads with them.
    pub(crate) unlabelled: usize,
}

impl Evaluation {
    /// Measure on the chosen frames. The model's masks, at the network's size, go into the folder `masks` if there is
    /// one.
    pub(crate) fn measure(predictor: &Predictor, data: &Folder, chosen: &Chosen, masks: Option<&Path>) -> Result<Self> {
        let samples = data.samples(chosen.side.as_ref().map(|(split, side)| (split, *side)), 1);
        let size = predictor.header().recipe.preparation.size;
        let progress = bar(samples.len() as u64, "evaluating");
        let count = samples.len();
        let mut frames = Vec::with_capacity(count);
        for sample in samples {
            frames.extend(measure_frame(predictor, data, sample, masks)?);
            progress.inc(1);
        }
        progress.finish_and_clear();
        if frames.is_empty() {
            let names = chosen.groups.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            let message = format!(
                "none of the {count} frames of the procedures chosen ({names}) is labelled: label them in \
                 labels.csv or masks/"
            );
            return Err(DataError::Inconsistent(message).into());
        }
        let unlabelled = count - frames.len();
        Ok(Self { size, frames, unlabelled })
    }

    /// Whether the truth is needles; masks of a class have no tip.
    pub(crate) fn has_needles(&self) -> bool {
        self.frames.iter().any(|frame| frame.model.error.is_some())
    }

    /// Figures of a method on all frames, and on those of each difficulty.
    pub(crate) fn figures(&self, method: Method) -> BTreeMap<&str, Figures> {
        let mut sets: BTreeMap<&str, Vec<&Frame>> = BTreeMap::new();
        for frame in &self.frames {
            sets.entry(ALL).or_default().push(frame);
            sets.entry(&frame.difficulty).or_default().push(frame);
        }
        sets.into_iter().map(|(name, frames)| (name, method.figures(&frames))).collect()
    }

    /// The needles that the model called, with the groups of their frames.
    pub(crate) fn calls(&self) -> Vec<(&str, Call)> {
        self.frames.iter().filter_map(|frame| Some((&*frame.group, Call::new(&frame.model, self.size)?))).collect()
    }

    /// How honest the model's confidences are; `None` where the truth is masks, of which nothing is called.
    pub(crate) fn reliability(&self) -> Option<Reliability> {
        let calls: Vec<Call> = self.calls().into_iter().map(|(_, call)| call).collect();
        self.has_needles().then(|| Reliability::new(&calls))
    }

    /// Write `per_frame.csv`, the pictures `bins.svg` and `reliability.svg`, and `metrics.json` last: a study takes it for the
    /// sign that a run is measured. The `caveat` is what the reader has to know.
    pub(crate) fn write(&self, out: &Path, caveat: Option<&str>, sorted: &[Sorted]) -> Result<()> {
        let (model, baseline) = (self.figures(Method::Model), self.figures(Method::Baseline));
        let reliability = self.reliability();
        let bins: Map<String, Value> = sorted.iter().map(|sorted| (sorted.name.clone(), sorted.json())).collect();
        let metrics = json!({
            "model": model, "baseline": baseline, "pixels": self.size, "caveat": caveat, "calibration": reliability,
            "bins": bins,
        });
        files::write(&out.join("per_frame.csv"), &self.per_frame(sorted)?)?;
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

    fn per_frame(&self, sorted: &[Sorted]) -> Result<Vec<u8>> {
        let mut rows = csv::Writer::from_writer(Vec::new());
        for frame in &self.frames {
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
        if sorted.is_empty() { Ok(rows) } else { self.with_bins(&rows, sorted) }
    }

    /// The rows of `per_frame.csv`, two a frame, with the name of the frame's bin in a column for each sorting.
    fn with_bins(&self, rows: &[u8], sorted: &[Sorted]) -> Result<Vec<u8>> {
        let names: Vec<Vec<&str>> = sorted.iter().map(|sorted| sorted.of_frames(self.frames.len())).collect();
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

/// Both answers on a frame; `None` when it has no label.
fn measure_frame(predictor: &Predictor, data: &Folder, index: usize, masks: Option<&Path>) -> Result<Option<Frame>> {
    let sample = data.sample(index)?;
    let recipe = &predictor.header().recipe;
    let size = recipe.preparation.size;
    let Some(reference) = Reference::new(&sample, size, recipe.needle.radius_px) else { return Ok(None) };
    let Some(traits) = Traits::new(&sample) else { return Ok(None) };
    let baseline = reference.score(&reference.baseline(&sample.frames[sample.frames.len() / 2]));
    let answer = ask(predictor, &sample)?;
    let model = reference.score(&answer);
    if let Some(folder) = masks {
        let mask = Mask { height: size, width: size, classes: answer.mask };
        files::write(&folder.join(format!("{}.png", sample.id)), &encode_png_mask(&mask)?)?;
    }
    let difficulty = data.procedure(index).meta.difficulty.clone().unwrap_or_else(|| "unknown".into());
    Ok(Some(Frame { sample: index, difficulty, traits, model, baseline, id: sample.id, group: sample.group }))
}

/// What the network says about the middle frame of a sample.
fn ask(predictor: &Predictor, sample: &Sample) -> Result<Answer> {
    let frames: Vec<&Image> = sample.frames.iter().collect();
    let prediction = predictor.read_off(pollster::block_on(predictor.forward(&predictor.prepare(&frames)))?);
    let found = prediction.needle();
    Ok(Answer {
        mask: prediction.mask().map(|mask| mask.classes.clone()).unwrap_or_default(),
        needle: found.map(|f| f.needle),
        confidence: found.map_or(0.0, |f| f.confidence),
    })
}
