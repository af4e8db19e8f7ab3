//! What stands in the report of a run, in which order.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;
use sonoseg_imaging::dataset::finding::Finding;
use sonoseg_imaging::dataset::split::{Side, Split, Stretch};
use sonoseg_imaging::formats::encode::colour_over_grey;
use sonoseg_imaging::metrics::bootstrap::RESAMPLES;

use super::bins;
use super::curves;
use super::document::{Block, Document};
use super::history::LOSS;
use super::origins::{Origin, leaves};
use super::run_folder::RunFolder;
use super::worst::Worst;
use crate::evaluate::by::Sorted;
use crate::evaluate::measure::{ALL, Evaluation, Method};
use crate::evaluate::{Chosen, figures};
use crate::files;
use crate::table::{Table, count, duration, number};

/// What was measured for the report.
pub(super) struct Measured {
    pub(super) evaluation: Evaluation,
    pub(super) sorted: Vec<Sorted>,
    pub(super) worst: Worst,
    pub(super) weights: PathBuf,
    pub(super) parameters: usize,
    pub(super) data_path: PathBuf,
    pub(super) chosen: Chosen,
}

/// With fewer held-out procedures, intervals say little.
const FEW: usize = 10;

/// The whole report.
pub(super) fn document(run: &RunFolder, measured: Option<&Measured>) -> Result<Document> {
    let mut blocks = vec![Block::Note("Research software. Not for clinical use.".into())];
    if let Some(about) = run.recipe.get("about").and_then(toml::Value::as_str).filter(|about| !about.is_empty()) {
        blocks.push(Block::Text(about.to_owned()));
    }
    blocks.push(Block::Text(summary(run)));
    match measured {
        Some(measured) => {
            figures_of(measured, &mut blocks);
            bins::by_bin(&measured.sorted, &mut blocks)?;
            bins::honesty(&measured.evaluation, &mut blocks)?;
        }
        None => blocks.push(Block::Text(
            "This run made weights for others to start from, so there are no answers to measure: what it is good for shows \
             after fine-tuning."
                .into(),
        )),
    }
    if let Some(svg) = curves::curves(&run.history)? {
        blocks.push(Block::Heading("Curves".into()));
        let alt = "Losses, held-out scores and learning rate over epochs".into();
        blocks.push(Block::Plot { file: "curves.svg".into(), alt, svg });
    }
    let drawn = run.path.join("reconstructions.png");
    if drawn.exists() {
        blocks.push(Block::Heading("Reconstructions".into()));
        let alt = "Frames of held-out procedures as the network saw them and as it drew them".into();
        blocks.push(Block::Picture { file: "reconstructions.png".into(), alt, png: files::read(&drawn)? });
    }
    if let Some(Measured { worst, evaluation, .. }) = measured.filter(|measured| !measured.worst.pictures.is_empty()) {
        worst_frames(worst, evaluation.has_needles(), &run.classes(), &mut blocks);
    }
    made_with(run, &mut blocks);
    blocks.push(Block::Heading("Next".into()));
    blocks.push(Block::Commands(next_commands(run)));
    Ok(Document { title: format!("Run {}", run.name()), blocks })
}

/// How long it learned and which weights are best.
fn summary(run: &RunFolder) -> String {
    let history = &run.history;
    let learned = format!(
        "Learned for {} ({}) in {} from {}; held out: {}.",
        count(history.epochs.len(), "epoch"),
        count(history.steps.len(), "update"),
        duration(history.seconds),
        count(run.split.train.len(), "procedure"),
        held_out(&run.split)
    );
    if let Some(last) = history.epochs.last().filter(|_| !run.split.holds_out()) {
        return format!("{learned} The weights are the last, after epoch {}.", last.epoch + 1);
    }
    let Some(best) = history.best() else { return format!("{learned} No epoch is finished yet.") };
    let scores = history.metrics().into_iter().map(|metric| {
        let held_out = if metric.name == LOSS { "held-out " } else { "" };
        format!("{held_out}{} {}", metric.label, number(best.value(&metric.name), metric.digits))
    });
    format!("{learned} Best after epoch {}: {}.", best.epoch + 1, scores.collect::<Vec<_>>().join(", "))
}

/// What is held out, in a few words.
fn held_out(split: &Split) -> String {
    match (split.stretches.len(), split.val.len()) {
        (0, 0) => "nothing".into(),
        (0, groups) => groups.to_string(),
        (stretches, _) => format!("{} of the same recording", count(stretches, "interval")),
    }
}

fn figures_of(measured: &Measured, blocks: &mut Vec<Block>) {
    let Measured { evaluation, weights, parameters, data_path, chosen, .. } = measured;
    let (model, baseline) = (evaluation.figures(Method::Model), evaluation.figures(Method::Baseline));
    let heading = match &chosen.side {
        Some((_, Side::Train)) => "On the frames learned from",
        Some((split, Side::Val)) if split.val.is_empty() => "On held-out frames of the same recording",
        _ => "On held-out procedures",
    };
    blocks.push(Block::Heading(heading.into()));
    if let Some(caveat) = chosen.caveat {
        blocks.push(Block::Text(caveat.into()));
    }
    if let Some(changed) = &chosen.changed {
        blocks.push(Block::Text(changed.clone()));
    }
    let file = weights.file_name().unwrap_or_default().to_string_lossy();
    let procedures = evaluation.frames.iter().map(|frame| &frame.group).collect::<BTreeSet<_>>().len();
    let needles = evaluation.has_needles();
    let how = if needles {
        "Lengths in px are pixels of the network's input; mm stand only where the scale of the frames is known. The baseline \
         is a search for the brightest line (ridge filter, Hough, RANSAC)."
    } else {
        if evaluation.has_classes() {
            "mIoU and mean accuracy are means over the background and the classes, of pixels pooled over all frames \
             (mmsegmentation's definition); a class that neither truth nor answer shows is left out. The baseline is all \
             background."
        } else {
            "The baseline marks every pixel."
        }
    };
    blocks.push(Block::Text(format!(
        "{} of {} in {}, {file} ({parameters} parameters), at the {size} x {size} pixels of the network's input. {how}",
        count(evaluation.frames.len(), "frame"),
        count(procedures, "procedure"),
        files::absolute(data_path),
        size = evaluation.size,
    )));
    if evaluation.unlabelled > 0 {
        blocks.push(Block::Text(format!("Left out: {} without a label.", count(evaluation.unlabelled, "frame"))));
    }
    let what = if chosen.caveat.is_none() { "held out" } else { "measured" };
    match procedures {
        0 | 1 => blocks.push(Block::Note(format!(
            "Only one procedure was {what}: there are no intervals, and the figures say little about other procedures."
        ))),
        few if few < FEW => blocks.push(Block::Note(format!(
            "Only {few} procedures were {what}: the intervals mean little, and so does a difference between two runs."
        ))),
        _ => {}
    }
    if let (Some(model_all), Some(baseline_all)) = (model.get(ALL), baseline.get(ALL)) {
        blocks.push(Block::Table(figures::headline(model_all, baseline_all)));
        let undefined = if needles {
            "Errors are medians over the needles found, but for the tip error of all needles. Undefined: frames without a \
             needle, for the mean IoU; visible needles without an error, for the errors."
        } else {
            if evaluation.has_classes() {
                "Undefined: frames that show nothing of a class, for the figures of that class."
            } else {
                "Undefined: frames without a target, for the mean IoU."
            }
        };
        blocks.push(Block::Text(format!("{undefined} A dash stands for what is not defined anywhere.")));
        blocks.push(Block::Text(format!(
            "Intervals: 95 %, by drawing whole procedures with replacement {RESAMPLES} times, because frames of a procedure \
             are alike; pooled figures are pooled again in every draw. Procedures in which a figure is not defined are not \
             drawn for it, and fewer than two give no interval."
        )));
        if let Some(table) = figures::by_difficulty(&model, &baseline) {
            blocks.push(Block::Heading("By difficulty".into()));
            blocks.push(Block::Table(table));
        }
        blocks.push(Block::Heading("By procedure".into()));
        blocks.push(Block::Table(figures::by_procedure(model_all)));
        blocks.push(Block::Text(if needles {
            "The model only. Errors of tip, angle (degrees) and offset are medians over the needles found. Missed: of the \
             visible needles; false needles: of the frames without one, as counts, and as shares in the last rows."
                .into()
        } else {
            "The model only.".into()
        }));
    }
}

fn worst_frames(worst: &Worst, needles: bool, classes: &[String], blocks: &mut Vec<Block>) {
    blocks.push(Block::Heading("Worst frames".into()));
    let colours = if !classes.is_empty() {
        "Outlines: the truth. Tints: the model's mask. Each class has its colour."
    } else if needles {
        "Green outline and ring: the true needle and its tip. Blue tint: the model's mask; yellow line and red dot: its shaft \
         and tip."
    } else {
        "Green outline: the truth. Blue tint: the model's mask."
    };
    blocks.push(Block::Text(format!("Those with the lowest IoU, at most three of a procedure. {colours}")));
    if !classes.is_empty() {
        let legend = (1..).zip(classes).map(|(class, name)| (colour_over_grey(class), name.clone()));
        blocks.push(Block::Legend(legend.collect()));
    }
    blocks.push(Block::Gallery {
        file: "worst.png".into(),
        alt: "The worst frames with truth and prediction".into(),
        sheet: worst.sheet.clone(),
        pictures: worst.pictures.clone(),
    });
}

/// Recipe, split and environment.
fn made_with(run: &RunFolder, blocks: &mut Vec<Block>) {
    blocks.push(Block::Heading("How it was made".into()));
    let known = !run.origins.is_empty();
    let mut recipe = Table::new(if known { &["key", "value", "from"] } else { &["key", "value"] }, 3);
    let finding = run.finding();
    for (key, value) in leaves(&run.recipe) {
        // Where no needles are looked for, nobody wants to know how they would be; masks have the threshold, too.
        let name = match &finding {
            Some(Finding::Needles) => key.clone(),
            _ if !key.starts_with("needle.") => key.clone(),
            Some(Finding::Classes(_)) if key == "needle.threshold" => "threshold of the masks".into(),
            _ => continue,
        };
        let origin = run.origins.get(&key).map_or("", |&origin| Origin::name(origin)).to_owned();
        let cells = [name, value.to_string()].into_iter();
        recipe.rows.push(if known { cells.chain([origin]).collect() } else { cells.collect() });
    }
    blocks.push(Block::Folded("Recipe, with every default".into(), recipe));
    let mut environment = Table::new(&["", ""], 2);
    for (key, value) in &run.environment {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Null => "–".into(),
            other => other.to_string(),
        };
        environment.rows.push(vec![key.replace('_', " "), text]);
    }
    blocks.push(Block::Folded("Environment".into(), environment));
    let mut split = Table::new(&["side", "procedures", "names"], 3);
    for (side, names) in [("learned from", &run.split.train), ("held out", &run.split.val)] {
        let list = names.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        split.rows.push(vec![side.to_owned(), names.len().to_string(), list]);
    }
    for Stretch { procedure, first, last, gap } in &run.split.stretches {
        let frames = format!("{procedure}: frames {first} to {last}, {gap} more on either side are not used");
        split.rows.push(vec!["held out".into(), String::new(), frames]);
    }
    blocks.push(Block::Folded("Split".into(), split));
}

/// What to type next.
pub(super) fn next_commands(run: &RunFolder) -> Vec<String> {
    let folder = quoted(&run.path);
    if run.pretrains() {
        return vec![format!("sonoseg train RECIPE --data DATA --out runs/fine-tuned --init {folder}")];
    }
    let weights = quoted(&run.model());
    let model = format!("{}.safetensors", run.name().replace(|c: char| !c.is_ascii_alphanumeric() && c != '-', "_"));
    vec![
        format!(
            "sonoseg predict {weights} CLIP.. --out predictions   # masks, overlays and geometry.csv of clips of your own"
        ),
        format!("sonoseg export {weights} --out {model} --dtype f16"),
        format!("cargo xtask app                                     # then open {model} on the page (Ctrl+Shift+O)"),
    ]
}

/// A path as a shell reads it.
pub(crate) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    // Only a path with a zero byte cannot be quoted, and there is none.
    shlex::try_quote(&text).map_or_else(|_| text.clone(), |quoted| quoted.into_owned())
}

#[cfg(test)]
mod tests {
    use super::super::history::History;
    use super::super::{html, markdown};
    use super::*;

    fn run(recipe: &str, origins: &[(&str, Origin)]) -> RunFolder {
        let line = "{\"epoch\":0,\"step\":0,\"loss\":1.0,\"rate\":0.1,\"seconds\":70.0}\n{\"epoch\":0,\"train_loss\":1.0,\
                    \"val_loss\":0.5,\"seconds\":71.0}\n";
        RunFolder {
            path: "runs/a b".into(),
            recipe: recipe.parse().unwrap(),
            history: History::parse(line.as_bytes()),
            origins: origins.iter().map(|(key, origin)| ((*key).to_owned(), *origin)).collect(),
            environment: serde_json::from_str("{\"device\": \"CPU\", \"init\": null}").unwrap(),
            split: serde_json::from_str("{\"train\": [\"p1\", \"p2\"], \"val\": [\"p3\"]}").unwrap(),
        }
    }

    #[test]
    fn a_run_without_labels_has_curves_and_the_next_command_but_no_figures() {
        let run = run("name = \"m\"\ntask = \"mae\"\nseed = 3", &[("seed", Origin::Setting), ("task", Origin::File)]);
        let document = document(&run, None).unwrap();
        let text = markdown::write(&document);
        for part in [
            "# Run m",
            "**Research software. Not for clinical use.**",
            "Learned for 1 epoch (1 update) in 1 min 11 s from 2 procedures; held out: 1. Best after epoch 1: held-out \
             loss 0.5000.",
            "made weights for others to start from",
            "![Losses, held-out scores and learning rate over epochs](curves.svg)",
            "| seed | 3 | --set |",
            "| device | CPU |",
            "| held out | 1 | p3 |",
            "--init 'runs/a b'",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert!(!text.contains("On held-out procedures") && !text.contains("Worst"));
        assert!(html::write(&document).contains("<svg role=\"img\""));
    }

    #[test]
    fn a_run_that_predicts_is_used_next() {
        let commands = next_commands(&run("name = \"my run\"", &[]));
        assert!(commands[0].starts_with("sonoseg predict 'runs/a b' CLIP"));
        assert_eq!(commands[1], "sonoseg export 'runs/a b' --out my_run.safetensors --dtype f16");
        assert_eq!(quoted(Path::new("a'b")), "\"a'b\"");
    }
}
