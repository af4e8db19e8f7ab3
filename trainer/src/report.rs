//! `sonoseg report`: a run as one page, with its curves, its figures on held-out procedures and its worst frames.

mod bins;
mod contents;
pub(crate) mod curves;
pub(crate) mod document;
mod events;
pub(crate) mod history;
pub(crate) mod html;
pub(crate) mod markdown;
pub(crate) mod origins;
pub(crate) mod run_folder;
pub(crate) mod worst;

use anyhow::Result;

use crate::args::{Part, Report};
use crate::device;
use crate::evaluate;
use crate::evaluate::by::{Sorted, Sorting};
use crate::evaluate::measure::Evaluation;
use crate::files;
use crate::folder::Folder;
use crate::terminal::{say, warn};
use contents::Measured;
pub(crate) use contents::quoted;
pub(crate) use curves::write_curves;
use document::{Block, Document};
use run_folder::RunFolder;
use worst::Worst;

pub(crate) fn run(verb: &Report) -> Result<()> {
    let run = RunFolder::open(&verb.run)?;
    write_curves(&run.path);
    let measured = if run.pretrains() { None } else { Some(measure(verb, &run)?) };
    let document = contents::document(&run, measured.as_ref())?;
    write(&run, &document)?;
    if let Some(Measured { evaluation, .. }) = &measured {
        evaluate::print_table(evaluation);
    }
    let [page, text] = ["report.html", "report.md"].map(|name| run.path.join(name).display().to_string());
    say(format!("the report: {page} (opens in any browser) and {text}"));
    if let Some(next) = contents::next_commands(&run).first() {
        say(format!("next: {next}"));
    }
    Ok(())
}

/// Evaluate the run's best weights on the procedures that it held out.
fn measure(verb: &Report, run: &RunFolder) -> Result<Measured> {
    let chosen = device::choose(verb.device)?;
    let weights = run.weights()?;
    let predictor = files::load_model(&weights, &chosen.device)?;
    let data_path = run.data(verb.data.as_deref())?;
    let data = Folder::for_recipe(&data_path, &predictor.header().recipe)?;
    let chosen = evaluate::chosen(&run.path, &data, Part::Val)?;
    let by = match verb.by.as_slice() {
        [] => Sorting::of_labels(&data, &chosen),
        names => Sorting::named(names, None, &data, &chosen)?,
    };
    let evaluation = Evaluation::measure(&predictor, &data, &chosen, None)?;
    let sorted: Vec<Sorted> = by.iter().map(|by| by.sort(&evaluation)).collect();
    evaluate::write::write(&evaluation, &run.path.join("evaluation"), chosen.told().as_deref(), &sorted)?;
    if let Some(changed) = &chosen.changed {
        warn(changed);
    }
    let worst = Worst::draw(&evaluation, &predictor, &data)?;
    Ok(Measured { evaluation, sorted, worst, weights, parameters: predictor.summary().parameters, data_path, chosen })
}

/// Write `report.md`, `report.html` and the pictures that the former shows.
fn write(run: &RunFolder, document: &Document) -> Result<()> {
    for block in &document.blocks {
        match block {
            Block::Plot { file, svg, .. } => files::write(&run.path.join(file), svg.as_bytes())?,
            Block::Gallery { file, sheet, .. } => files::write(&run.path.join(file), sheet)?,
            // A picture is shown from where it lies.
            _ => {}
        }
    }
    files::write(&run.path.join("report.md"), markdown::write(document).as_bytes())?;
    files::write(&run.path.join("report.html"), html::write(document).as_bytes())
}
