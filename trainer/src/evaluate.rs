//! `sonoseg evaluate`: a model and the classical baseline on the same frames, as a table and as files.

pub(crate) mod by;
pub(crate) mod figures;
pub(crate) mod measure;
pub(crate) mod plots;
pub(crate) mod write;

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;
use sonoseg_imaging::DataError;
use sonoseg_imaging::dataset::split::{Side, Split};

use crate::args::{Evaluate, Part};
use crate::device;
use crate::failure::Usage;
use crate::files;
use crate::folder::Folder;
use crate::folder::contents::Contents;
use crate::table::count;
use crate::terminal::{say, warn};
use by::{Sorted, Sorting};
use measure::{ALL, Evaluation, Method};

pub(crate) fn run(verb: &Evaluate) -> Result<()> {
    let device = device::choose(verb.on.device)?;
    let predictor = files::load_model(&verb.on.model, &device.device)?;
    let data = Folder::for_recipe(&verb.on.data, &predictor.header().recipe)?;
    let part = part(&verb.on.model, verb.on.split);
    let masks = verb.out.as_ref().filter(|_| verb.masks).map(|out| out.join("masks"));
    let chosen = chosen(&verb.on.model, &data, part)?;
    let by = Sorting::named(&verb.by, verb.table.as_deref(), &data, &chosen)?;
    let evaluation = Evaluation::measure(&predictor, &data, &chosen, masks.as_deref())?;
    let sorted: Vec<Sorted> = by.iter().map(|by| by.sort(&evaluation)).collect();
    print_table(&evaluation);
    print_bins(&sorted);
    let caveat = chosen.told();
    if let Some(caveat) = &caveat {
        warn(caveat);
    }
    if let Some(out) = &verb.out {
        write::write(&evaluation, out, caveat.as_deref(), &sorted)?;
        say(format!("details: {} and {}", out.join("metrics.json").display(), out.join("per_frame.csv").display()));
    }
    Ok(())
}

/// The part of the data that is asked for: what a run held out, and all for a model file, unless given.
pub(crate) fn part(model: &Path, given: Option<Part>) -> Part {
    given.unwrap_or(if model.is_dir() { Part::Val } else { Part::All })
}

/// The frames that are measured.
#[derive(Debug)]
pub(crate) struct Chosen {
    /// A side of a split; none = all.
    pub(crate) side: Option<(Split, Side)>,
    /// Procedures or patients that they are of.
    pub(crate) groups: BTreeSet<String>,
    /// What the reader of the figures has to know.
    pub(crate) caveat: Option<&'static str>,
    /// How the data differ from those of the training.
    pub(crate) changed: Option<String>,
}

impl Chosen {
    /// Everything that the reader of the figures has to know.
    pub(crate) fn told(&self) -> Option<String> {
        let parts: Vec<&str> = self.caveat.into_iter().chain(self.changed.as_deref()).collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    }
}

/// What is said of figures on what was learned.
const LEARNED: &str = "Nothing was held out of this run: these frames are those that it learned from, and their figures say \
                       nothing about others.";

/// A part of the data, as the run in `model` split them.
pub(crate) fn chosen(model: &Path, data: &Folder, part: Part) -> Result<Chosen> {
    if part == Part::All {
        return Ok(Chosen { side: None, groups: data.groups(), caveat: None, changed: None });
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
    let side = if part == Part::Train || !split.holds_out() { Side::Train } else { Side::Val };
    let caveat = if part == Part::Val && side == Side::Train { Some(LEARNED) } else { split.caveat() };
    let groups = if side == Side::Train || split.val.is_empty() { split.train.clone() } else { split.val.clone() };
    let known = data.groups();
    if let Some(unknown) = groups.iter().find(|name| !known.contains(*name)) {
        let message = format!(
            "{} names group {unknown}, which the data do not have: give --data the data of that run, or evaluate \
             with --split all",
            files::absolute(&path)
        );
        return Err(DataError::Inconsistent(message).into());
    }
    let changed = match Contents::of_run(run)? {
        Some(then) => {
            let now = Contents::of(data, &groups)?;
            // Labels count here, whether the run learned from them or not: the figures are about them.
            then.among(&now).changed(&now, true)
        }
        None => None,
    };
    let changed = changed.map(|what| {
        format!(
            "The data are not those of the training: {what}. These figures are about what lies in {} now.",
            data.root().display()
        )
    });
    Ok(Chosen { side: Some((split, side)), groups, caveat, changed })
}

/// The main figures by difficulty, on the terminal.
pub(crate) fn print_table(evaluation: &Evaluation) {
    let Evaluation { size, frames, unlabelled } = evaluation;
    let (model, baseline) = (evaluation.figures(Method::Model), evaluation.figures(Method::Baseline));
    let needles = evaluation.has_needles();
    let what = match needles {
        true => "brightest line (ridge filter, Hough, RANSAC)",
        false if evaluation.has_classes() => "all background",
        false => "every pixel",
    };
    say(format!("{} frames, pixels of the {size}x{size} input; baseline = {what}", frames.len()));
    if *unlabelled > 0 {
        say(format!("left out: {} without a label", count(*unlabelled, "frame")));
    }
    // A single difficulty is the same as all.
    let sets = model.keys().filter(|set| **set == ALL || model.len() > 2).copied().collect::<Vec<_>>();
    say(figures::by_set(&sets, &model, &baseline).to_text());
    if let Some(reliability) = evaluation.reliability().filter(|reliability| reliability.calls > 0) {
        say(figures::honesty(&reliability));
    }
    if evaluation.has_classes() {
        say(
            "mIoU, mean accuracy: means over the background and the classes that are there, of pixels pooled over all frames \
             (mmsegmentation). Not for clinical use.",
        );
        return;
    }
    say("IoU, recall, precision: pooled over all frames.");
    say(if needles {
        "tip px, all: median over visible needles, a missed one counts as infinitely far. tip mm, angle: medians over needles \
         found. Not for clinical use."
    } else {
        "Dice, pixel error, adjusted Rand: means over images. Not for clinical use."
    });
}

/// The main figures by bin, on the terminal.
fn print_bins(sorted: &[Sorted]) {
    for one in sorted {
        say(format!("\nby {}", one.label));
        say(figures::by_bin(one).to_text());
    }
}
