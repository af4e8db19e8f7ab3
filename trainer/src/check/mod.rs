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
use scan::{FrameFacts, NETWORK_PX, Scanned, widths};

/// Width below which an object gets lost in a network, in pixels.
const THIN_PX: f64 = 2.0;

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
    let labelled = scanned.iter().any(|one| one.labelled() > 0);
    let pixels =
        |one: &Scanned| one.frames.iter().filter_map(|frame| frame.classes.as_ref()).any(|c| c.keys().any(|&c| c > 0));
    let needles = |one: &Scanned| one.labels.values().any(Option::is_some);
    if labelled && !scanned.iter().any(|one| pixels(one) || needles(one)) {
        let what = "no mask shows any object, and no table any needle";
        let advice = "look whether the masks are the right files; a network has nothing to learn from them";
        problems.error("no-object", "procedures", what, advice);
    }
    let names = scanned.iter().map(|one| &one.meta.classes).max_by_key(|names| names.len());
    for (class, widths) in widths(scanned) {
        let median = widths[widths.len() / 2];
        if median < THIN_PX {
            let name = names.and_then(|names| names.get(usize::from(class)));
            let what = format!(
                "half of the objects of {} are thinner than {median:.1} pixels of a network of {NETWORK_PX}x{NETWORK_PX}",
                name.map_or_else(|| format!("class {class}"), Clone::clone)
            );
            let advice = "so thin they get lost: cut the pictures to what matters, or take a larger size in the recipe";
            problems.warning("thin", "procedures", what, advice);
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
