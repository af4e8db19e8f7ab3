//! `sonoseg evaluate`: a model and the classical baseline on the same frames, at the network's size.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use serde::Serialize;
use sonoseg_core::baseline::{BaselineConfig, brightest_line};
use sonoseg_core::data::image::{Image, Spacing};
use sonoseg_core::data::sample::{Sample, Source, Target};
use sonoseg_core::data::split::Split;
use sonoseg_core::data::{DataError, resize};
use sonoseg_core::metrics::needle::{NeedleError, NeedleScores, NeedleSummary};
use sonoseg_core::metrics::overlap::{Counts, OverlapSummary};
use sonoseg_core::needle::{Needle, draw_capsule, fit};
use sonoseg_core::predict::Predictor;

use crate::args::{Evaluate, Part};
use crate::device;
use crate::failure::Usage;
use crate::files;
use crate::folder::Folder;
use crate::terminal::{bar, say};

/// Figures of one method on one set of frames.
#[derive(Serialize)]
struct Figures {
    overlap: OverlapSummary,
    needle: NeedleSummary,
}

/// Collects the frames of one method, all together and by difficulty.
#[derive(Default)]
struct Tally {
    sets: BTreeMap<String, (Vec<Counts>, NeedleScores)>,
}

impl Tally {
    fn push(&mut self, sets: &[String], group: &str, counts: Counts, error: NeedleError) {
        for set in sets {
            let (overlap, needles) = self.sets.entry(set.clone()).or_default();
            overlap.push(counts);
            needles.push(group, error, counts.tp + counts.fp);
        }
    }

    fn figures(&self) -> BTreeMap<&str, Figures> {
        let summarise = |(counts, needles): &(Vec<Counts>, NeedleScores)| Figures {
            overlap: OverlapSummary::new(counts),
            needle: needles.summary(0),
        };
        self.sets.iter().map(|(name, set)| (name.as_str(), summarise(set))).collect()
    }
}

/// What a method says about one frame, at the network's size.
struct Answer {
    mask: Vec<u8>,
    needle: Option<Needle>,
    confidence: f64,
}

/// One row of `per_frame.csv`.
#[derive(Serialize)]
struct FrameRow<'a> {
    method: &'a str,
    frame: &'a str,
    difficulty: &'a str,
    outcome: String,
    confidence: f64,
    iou: f64,
    tip_px: f64,
    tip_mm: f64,
    angle_deg: f64,
    offset_px: f64,
}

pub(crate) fn run(verb: &Evaluate) -> Result<()> {
    let chosen = device::choose(verb.device)?;
    let predictor = files::load_model(&verb.model, &chosen.device)?;
    let data = Folder::open(&verb.data, predictor.window())?;
    let part = verb.split.unwrap_or(if verb.model.is_dir() { Part::Val } else { Part::All });
    let samples = data.labelled_samples(&groups(verb, &data, part)?, 1)?;
    let size = predictor.header().preparation.size;
    let radius = predictor.header().needle.radius_px;

    let (mut model, mut baseline) = (Tally::default(), Tally::default());
    let mut rows = csv::Writer::from_writer(Vec::new());
    let progress = bar(samples.len() as u64, "evaluating");
    for &index in &samples {
        let sample = data.load(index)?;
        let middle = sample.frames.len() / 2;
        let (frame, truth) = (&sample.frames[middle], truth(&sample, middle)?);
        let original = [frame.height, frame.width];
        let truth = truth.map(|needle| needle.scaled(original, [size, size]));
        let target = match &truth {
            Some(needle) => draw_capsule(needle, radius, size, size).classes,
            None => vec![0; size * size],
        };
        let spacing = square_spacing(frame, size);
        let difficulty = data.procedure(index).meta.difficulty.clone().unwrap_or_else(|| "unknown".into());
        let sets = ["all".to_owned(), difficulty.clone()];
        let answers = [
            ("model", ask_model(&predictor, &sample)?, &mut model),
            ("baseline", ask_baseline(frame, size, radius), &mut baseline),
        ];
        for (method, answer, tally) in answers {
            let counts = Counts::from_classes(&answer.mask, &target, 1);
            let error = NeedleError::new(answer.needle.as_ref(), truth.as_ref(), spacing);
            rows.serialize(FrameRow {
                method,
                frame: &sample.id,
                difficulty: &difficulty,
                outcome: format!("{:?}", error.outcome),
                confidence: answer.confidence,
                iou: counts.iou_one(),
                tip_px: error.tip_px,
                tip_mm: error.tip_mm,
                angle_deg: error.angle_deg,
                offset_px: error.offset_px,
            })?;
            tally.push(&sets, &sample.group, counts, error);
        }
        progress.inc(1);
    }
    progress.finish_and_clear();

    let (model, baseline) = (model.figures(), baseline.figures());
    print_table(&model, &baseline, samples.len(), size);
    if let Some(out) = &verb.out {
        let metrics = serde_json::json!({ "model": model, "baseline": baseline, "pixels": size });
        files::write(&out.join("metrics.json"), serde_json::to_string_pretty(&metrics)?.as_bytes())?;
        files::write(&out.join("per_frame.csv"), &rows.into_inner()?)?;
        say(format!("details: {} and {}", out.join("metrics.json").display(), out.join("per_frame.csv").display()));
    }
    Ok(())
}

fn groups(verb: &Evaluate, data: &Folder, part: Part) -> Result<BTreeSet<String>> {
    if part == Part::All {
        return Ok(data.groups());
    }
    if !verb.model.is_dir() {
        let message = "--split train and --split val need a run folder: a model file does not know its split";
        return Err(Usage(message.into()).into());
    }
    let path = verb.model.join("splits.json");
    let split: Split = serde_json::from_str(&files::read_text(&path)?)
        .map_err(|e| DataError::unreadable(files::absolute(&path), e))?;
    Ok(if part == Part::Train { split.train } else { split.val })
}

fn truth(sample: &Sample, frame: usize) -> Result<Option<Needle>> {
    match sample.targets.get(frame) {
        Some(Target::Needle(needle)) => Ok(*needle),
        _ => {
            let message = format!("{}: has no needle label; label it in labels.csv or leave the frame out", sample.id);
            Err(DataError::Inconsistent(message).into())
        }
    }
}

/// Size of a pixel of the resized square.
fn square_spacing(frame: &Image, size: usize) -> Option<Spacing> {
    let corners = [(0.0, 0.0), (frame.width as f64 - 1.0, frame.height as f64 - 1.0)];
    let spacing = frame.scale.at(&corners)?;
    Some(Spacing {
        x_mm: spacing.x_mm * frame.width as f64 / size as f64,
        y_mm: spacing.y_mm * frame.height as f64 / size as f64,
    })
}

fn ask_model(predictor: &Predictor, sample: &Sample) -> Result<Answer> {
    let frames: Vec<&Image> = sample.frames.iter().collect();
    let probability = pollster::block_on(predictor.forward(&predictor.prepare(&frames)))?;
    let header = predictor.header();
    let size = header.preparation.size;
    let found = fit(&probability, size, size, &header.needle);
    let threshold = header.needle.threshold as f32;
    Ok(Answer {
        mask: probability.iter().map(|&p| u8::from(p > threshold)).collect(),
        needle: found.map(|f| f.needle),
        confidence: found.map_or(0.0, |f| f.confidence),
    })
}

fn ask_baseline(frame: &Image, size: usize, radius: f64) -> Answer {
    let grey = frame.to_grey();
    let square = resize::bilinear_antialiased(&grey.pixels, [frame.height, frame.width], [size, size]);
    let found = brightest_line(&square, size, size, &BaselineConfig::default());
    Answer {
        mask: match &found {
            Some(line) => draw_capsule(&line.needle, radius, size, size).classes,
            None => vec![0; size * size],
        },
        needle: found.as_ref().map(|line| line.needle),
        confidence: found.map_or(0.0, |line| line.score),
    }
}

fn print_table(model: &BTreeMap<&str, Figures>, baseline: &BTreeMap<&str, Figures>, frames: usize, size: usize) {
    say(format!(
        "{frames} frames, pixels of the {size}x{size} input; baseline = brightest line (ridge filter, Hough, RANSAC)"
    ));
    say("set       method     IoU  recall  precision  tip px  tip mm  angle  missed  false alarms");
    for (set, figures) in model {
        for (method, figures) in [("model", Some(figures)), ("baseline", baseline.get(set))] {
            let Some(Figures { overlap, needle }) = figures else { continue };
            let tally = &needle.tally;
            say(format!(
                "{set:<9} {method:<8} {:>5.3} {:>7.3} {:>10.3} {:>7.2} {:>7.2} {:>6.1} {:>7} {:>13}",
                overlap.iou,
                overlap.recall,
                overlap.precision,
                needle.tip_px_median_misses_infinite,
                needle.tip_mm.median,
                needle.angle_deg.median,
                format!("{}/{}", tally.missed, tally.missed + tally.found),
                format!("{}/{}", tally.false_positive, tally.false_positive + tally.empty),
            ));
        }
    }
    say(
        "IoU, recall, precision: pooled over all frames. tip px: median over visible needles, a missed one counts as infinitely far.",
    );
    say("tip mm, angle: medians over needles found. Not for clinical use.");
}
