//! `sonoseg ingest`: data sets from videos, DICOM files, pictures with masks and tables of end points.

mod alike;
mod drawings;
mod endpoints;
mod frames;
mod ground;
mod group;
mod layout;
mod masks;
mod pairs;
mod plan;
mod signature;
mod sources;
mod suspects;
mod write;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Result;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sonoseg_imaging::DataError;
use sonoseg_imaging::dataset::split::{Split, SplitConfig};
use sonoseg_imaging::formats::classes::ClassMap;

use crate::args::Ingest;
use crate::failure::SomeFailed;
use crate::files;
use crate::folder::Folder;
use crate::table::count;
use crate::terminal::{bar, say, warn};
pub(crate) use ground::GroundFile;
use plan::{Plan, say_some};
use sources::Remark;
use write::{Made, Workplace, Written};

/// `ingest.json`: how the data set was made.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Log {
    sonoseg: String,
    /// What the values of the masks mean.
    classes: Option<ClassMap>,
    procedures: Vec<Written>,
}

pub(crate) fn run(verb: &Ingest) -> Result<()> {
    let mut plan = Plan::make(verb)?;
    let verb = &masks::with_ignored(verb, &plan);
    let labels = endpoints::assign(verb, &mut plan)?;
    plan.tell();
    // Held to the end: classes and split are those of all that is there.
    let _workplace = (!verb.dry_run).then(|| Workplace::open(&verb.out)).transpose()?;
    let log_path = verb.out.join("ingest.json");
    let mut log = if log_path.exists() {
        serde_json::from_str(&files::read_text(&log_path)?)
            .map_err(|e| DataError::unreadable(files::absolute(&log_path), e))?
    } else {
        Log::default()
    };
    log.sonoseg = env!("CARGO_PKG_VERSION").into();
    log.classes = masks::classes(verb, &plan, log.classes)?;
    let mut failed = std::mem::take(&mut plan.failed);
    if plan.procedures.is_empty() && failed.is_empty() {
        let sources: Vec<String> = verb.sources.iter().map(|source| files::absolute(source)).collect();
        return Err(DataError::unreadable(sources.join(", "), "holds no picture, DICOM file or video").into());
    }
    if verb.dry_run {
        say_some("failed", failed.iter().map(|remark| format!("{}: {}", remark.path, remark.reason)));
        say("a dry run: nothing is written");
        return Ok(());
    }

    let progress = bar(plan.procedures.len() as u64, "ingesting");
    let outcomes: Vec<Result<Option<Made>>> = plan
        .procedures
        .par_iter()
        .zip(&labels)
        .map(|(planned, labels)| {
            let outcome = write::write(verb, planned, log.classes.as_ref(), labels);
            if let Ok(Some(Made { written, .. })) = &outcome {
                progress.suspend(|| tell(written));
            }
            progress.inc(1);
            outcome
        })
        .collect();
    progress.finish_and_clear();

    let mut written: BTreeMap<String, Written> = log.procedures.drain(..).map(|one| (one.id.clone(), one)).collect();
    let (mut made, mut there) = (0, 0);
    for (planned, outcome) in plan.procedures.iter().zip(outcomes) {
        match outcome {
            Ok(Some(Made { written: one, failed: pictures })) => {
                made += 1;
                failed.extend(pictures);
                written.insert(one.id.clone(), one);
            }
            Ok(None) => there += 1,
            // A full disk is nobody's input: it ends the command.
            Err(error) if error.chain().all(|cause| !cause.is::<DataError>()) => return Err(error),
            Err(error) => failed.push(Remark::new(write::source(planned), format!("{error:#}"))),
        }
    }
    if made > 0 {
        log.procedures = written.into_values().collect();
        files::write(&log_path, serde_json::to_string_pretty(&log)?.as_bytes())?;
    }
    let again = if there > 0 { format!(", {there} were there already") } else { String::new() };
    say(format!("{} made{again}: {}", count(made, "procedure"), verb.out.display()));
    if made + there > 0 {
        split(verb)?;
        say(format!("next: sonoseg check {}", verb.out.display()));
    }
    end(&verb.out, &failed, made + there)
}

/// One line for a procedure; none for a single picture, of which there are many and nothing is to say.
fn tell(written: &Written) {
    let Written { id, height, width, frames, labelled, how, notes, .. } = written;
    if how.frames_read == 1 && notes.is_empty() {
        return;
    }
    say(format!(
        "  {id}: {width}x{height}, {frames} frames kept, {labelled} labelled; {} of {} repeated ({:.0} %, tolerance {})",
        how.frames_dropped,
        how.frames_read,
        100.0 * how.drop_ratio,
        how.tolerance
    ));
    notes.iter().for_each(|note| say(format!("    {note}")));
}

/// Write `splits.json` once; later groups are told, because a split that changes would leak.
fn split(verb: &Ingest) -> Result<()> {
    let path = verb.out.join("splits.json");
    let folder = Folder::open(&verb.out, 1)?;
    let groups = folder.groups();
    if path.exists() {
        let split: Split = serde_json::from_str(&files::read_text(&path)?)
            .map_err(|e| DataError::unreadable(files::absolute(&path), e))?;
        let new: Vec<&String> =
            groups.iter().filter(|g| !split.train.contains(*g) && !split.val.contains(*g)).collect();
        if let Some(first) = new.first() {
            let others = if new.len() > 1 { format!(" and {} more", new.len() - 1) } else { String::new() };
            warn(format!(
                "{} is kept as it is, and names neither {first}{others}: add them to train or val, or they are not used",
                path.display()
            ));
        }
        return Ok(());
    }
    let split = folder.drawn(&SplitConfig {
        val_share: verb.val_share,
        stride: 1,
        folds: 0,
        fold: 0,
        seed: verb.seed,
        labels_count: true,
    })?;
    let measuring = if groups.len() > 1 { "the only labelled group" } else { "the only group" };
    if !split.holds_out() && verb.val_share > 0.0 {
        say(format!("no splits.json: there is too little of {measuring} to hold out some of it"));
        return Ok(());
    }
    files::write(&path, serde_json::to_string_pretty(&split)?.as_bytes())?;
    let held_out = match split.stretches.len() {
        0 if !split.holds_out() => "nothing".to_owned(),
        0 => split.val.len().to_string(),
        stretches => format!("{} of {measuring}", count(stretches, "interval")),
    };
    say(format!("splits.json: {} to learn from, {held_out} held out", count(split.train.len(), "group")));
    Ok(())
}

/// Tell what failed and list it in `failures.csv`.
fn end(out: &Path, failed: &[Remark], done: usize) -> Result<()> {
    let path = out.join("failures.csv");
    if failed.is_empty() {
        if path.exists() {
            fs::remove_file(&path)?;
        }
        return Ok(());
    }
    let mut list = csv::Writer::from_writer(Vec::new());
    list.write_record(["input", "reason"])?;
    for Remark { path, reason } in failed {
        warn(format!("{path}: {reason}"));
        list.write_record([path, reason])?;
    }
    files::write(&path, &list.into_inner()?)?;
    say(format!("what could not be used, and why: {}", path.display()));
    Err(SomeFailed { failed: failed.len(), total: failed.len() + done }.into())
}
