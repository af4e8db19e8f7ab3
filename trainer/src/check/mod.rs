//! `sonoseg check`: what is wrong with a data set, before a network learns it.

mod leakage;
mod problem;
mod report;
mod scan;

use anyhow::Result;
use rayon::prelude::*;

use crate::args::Check;
use crate::failure::Unsound;
use crate::files;
use crate::folder::procedure_folders;
use crate::terminal::{bar, say};
use problem::{Level, Problem, Problems};
use report::Report;
use scan::{FrameFacts, Scanned};

/// Lines of the table; a data set of thousands has them in the JSON file.
const SHOWN: usize = 50;

/// Frames of the data set that are compared with those of other groups, and most frames of one procedure: comparing all
/// of a large data set would take hours.
const COMPARED: usize = 6000;
const MOST_COMPARED: usize = 40;

pub(crate) fn run(verb: &Check) -> Result<()> {
    let folders = procedure_folders(&verb.data)?;
    let progress = bar(0, "checking");
    let compared = (COMPARED / folders.len().max(1)).clamp(2, MOST_COMPARED);
    let scan = |folder| Scanned::read(folder, compared, &progress);
    let mut scanned: Vec<Scanned> = folders.par_iter().map(|folder| scan(folder)).collect();
    progress.finish_and_clear();
    let mut whole = Problems::default();
    if scanned.is_empty() {
        whole.error("empty", "procedures", "holds no procedures", "make some with sonoseg ingest or sonoseg simulate");
    }
    let split = leakage::split(&verb.data, &scanned, &mut whole);
    leakage::frames(&scanned, split.as_ref(), &mut whole);
    together(&scanned, &mut whole);
    let of_procedures = scanned.iter_mut().flat_map(|one| std::mem::take(&mut one.problems).into_list());
    let mut problems: Vec<Problem> = of_procedures.collect();
    problems.extend(whole.into_list());
    problems.sort_by_key(|problem| problem.level);
    let report = Report::new(&verb.data, &scanned, split.as_ref(), problems);
    report.print(SHOWN);
    if let Some(path) = &verb.json {
        files::write(path, serde_json::to_string_pretty(&report)?.as_bytes())?;
        say(format!("everything: {}", path.display()));
    }
    match report.count(Level::Error) {
        0 => Ok(()),
        errors => Err(Unsound { errors, name: files::absolute(&verb.data) }.into()),
    }
}

/// Problems between procedures.
fn together(scanned: &[Scanned], problems: &mut Problems) {
    let masked = |one: &&Scanned| one.frames.iter().any(FrameFacts::is_masked);
    let named = || scanned.iter().filter(masked).filter(|one| !one.meta.classes.is_empty());
    // Sources that are added later add their classes behind those that are known.
    if let Some(first) = named().max_by_key(|one| one.meta.classes.len()) {
        for other in named().filter(|other| !first.meta.classes.starts_with(&other.meta.classes)) {
            let what = format!("its classes are {}, those of {} {}", list(other), first.id, list(first));
            let place = format!("{}/meta.json", other.id);
            problems.error("classes-differ", place, what, "a class has one number in the whole data set");
        }
        let absent = |(number, _): &(usize, &String)| {
            let holds = |frame: &FrameFacts| frame.classes.as_ref().is_some_and(|c| c.contains_key(&(*number as u8)));
            !scanned.iter().any(|one| one.frames.iter().any(holds))
        };
        let absent = first.meta.classes.iter().enumerate().skip(1).filter(absent);
        let absent: Vec<String> = absent.map(|(number, name)| format!("class {number}, {name}")).collect();
        if !absent.is_empty() {
            let what = format!("no mask holds {}", absent.join(", or "));
            problems.warning("class-absent", "procedures", what, "a network cannot learn it");
        }
    }
    let scaled = scanned.iter().filter(|one| one.meta.spacing.is_some()).count();
    if let Some(without) = scanned.iter().find(|one| one.meta.spacing.is_none()).filter(|_| scaled > 0) {
        let what = format!("has no spacing, and {scaled} of {} procedures have", scanned.len());
        problems.warning("no-spacing", &without.id, what, "millimetres are measured where they are known only");
    }
}

fn list(scanned: &Scanned) -> String {
    scanned.meta.classes.join(", ")
}
