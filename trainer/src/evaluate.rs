//! `sonoseg evaluate`: a model and the classical baseline on the same frames, as a table and as files.

pub(crate) mod measure;

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;
use sonoseg_imaging::DataError;
use sonoseg_imaging::dataset::split::Split;
use sonoseg_imaging::metrics::overlap::OverlapSummary;

use crate::args::{Evaluate, Part};
use crate::device;
use crate::failure::Usage;
use crate::files;
use crate::folder::Folder;
use crate::report::document::count;
use crate::terminal::say;
use measure::{ALL, Evaluation, Figures, Method};

pub(crate) fn run(verb: &Evaluate) -> Result<()> {
    let chosen = device::choose(verb.device)?;
    let predictor = files::load_model(&verb.model, &chosen.device)?;
    let data = Folder::for_recipe(&verb.data, &predictor.header().recipe)?;
    let part = verb.split.unwrap_or(if verb.model.is_dir() { Part::Val } else { Part::All });
    let masks = verb.out.as_ref().filter(|_| verb.masks).map(|out| out.join("masks"));
    let evaluation = Evaluation::measure(&predictor, &data, &groups(&verb.model, &data, part)?, masks.as_deref())?;
    print_table(&evaluation);
    if let Some(out) = &verb.out {
        evaluation.write(out)?;
        say(format!("details: {} and {}", out.join("metrics.json").display(), out.join("per_frame.csv").display()));
    }
    Ok(())
}

/// The procedures of a part of the data, as the run in `model` split them.
pub(crate) fn groups(model: &Path, data: &Folder, part: Part) -> Result<BTreeSet<String>> {
    if part == Part::All {
        return Ok(data.groups());
    }
    // The model files of a run lie beside its split.
    let run = if model.is_dir() { model } else { model.parent().unwrap_or(Path::new("")) };
    let path = run.join("splits.json");
    if !path.exists() {
        let message = "--split train and --split val need a run: a model file alone does not know its split";
        return Err(Usage(message.into()).into());
    }
    let split: Split = serde_json::from_str(&files::read_text(&path)?)
        .map_err(|e| DataError::unreadable(files::absolute(&path), e))?;
    let chosen = if part == Part::Train { split.train } else { split.val };
    let known = data.groups();
    if let Some(unknown) = chosen.iter().find(|name| !known.contains(*name)) {
        let message = format!(
            "{} names group {unknown}, which the data do not have: give --data the data of that run, or evaluate \
             with --split all",
            files::absolute(&path)
        );
        return Err(DataError::Inconsistent(message).into());
    }
    Ok(chosen)
}

/// The main figures by difficulty, on the terminal.
pub(crate) fn print_table(evaluation: &Evaluation) {
    let Evaluation { size, frames, unlabelled } = evaluation;
    let (model, baseline) = (evaluation.figures(Method::Model), evaluation.figures(Method::Baseline));
    let masks = model.get(ALL).is_some_and(Figures::without_needles);
    let what = if masks { "every pixel" } else { "brightest line (ridge filter, Hough, RANSAC)" };
    say(format!("{} frames, pixels of the {size}x{size} input; baseline = {what}", frames.len()));
    if *unlabelled > 0 {
        say(format!("left out: {} without a label", count(*unlabelled, "frame")));
    }
    let columns = if masks { "    Dice  error %  adj. Rand" } else { "  tip px  tip mm  angle  missed  false alarms" };
    say(format!("set       method     IoU  recall  precision{columns}"));
    // A single difficulty is the same as all.
    for (set, figures) in model.iter().filter(|(set, _)| **set == ALL || model.len() > 2) {
        for (method, figures) in [("model", Some(figures)), ("baseline", baseline.get(set))] {
            let Some(Figures { overlap, needle, .. }) = figures else { continue };
            let tally = &needle.tally;
            let further = if masks {
                let OverlapSummary { mean_dice_one, mean_pixel_error, mean_adjusted_rand, .. } = overlap;
                format!("{mean_dice_one:>8.3} {mean_pixel_error:>8.2} {mean_adjusted_rand:>10.3}")
            } else {
                format!(
                    "{:>8.2} {:>7.2} {:>6.1} {:>7} {:>13}",
                    needle.tip_px_median_misses_infinite,
                    needle.tip_mm.median,
                    needle.angle_deg.median,
                    format!("{}/{}", tally.missed, tally.missed + tally.found),
                    format!("{}/{}", tally.false_positive, tally.false_positive + tally.empty),
                )
            };
            let OverlapSummary { iou, recall, precision, .. } = overlap;
            say(format!("{set:<9} {method:<8} {iou:>5.3} {recall:>7.3} {precision:>10.3}{further}"));
        }
    }
    say("IoU, recall, precision: pooled over all frames.");
    say(if masks {
        "Dice, pixel error, adjusted Rand: means over images. Not for clinical use."
    } else {
        "tip px: median over visible needles, a missed one counts as infinitely far. tip mm, angle: medians over needles \
         found. Not for clinical use."
    });
}
