//! `sonoseg study`: many dependent runs from one file, done one after the other or handed to a scheduler, and their report.

mod done;
mod folds;
mod plan;
mod report;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::args::Study as Verb;
use crate::failure::{INTERRUPTED, RunFailed, Usage};
use crate::files;
use crate::terminal::say;
use plan::{MEASURED, Place, Planned, Study, shell};

pub(crate) fn run(verb: &Verb) -> Result<()> {
    let study = Study::open(&verb.file)?;
    let inputs = verb
        .inputs
        .iter()
        .map(|text| match text.split_once('=') {
            Some((name, path)) => Ok((name.to_owned(), PathBuf::from(path))),
            None => Err(Usage(format!("--input {text}: write NAME=PATH")).into()),
        })
        .collect::<Result<BTreeMap<_, _>>>()?;
    let device = verb.device.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    let place = Place {
        file: &verb.file,
        data: &verb.data,
        out: &verb.out,
        scale: &verb.scale,
        device: &device,
        inputs: &inputs,
    };
    let planned = study.plan(&place)?;
    if verb.plan {
        print_plan(&planned, verb.stage);
        return Ok(());
    }
    if !verb.report {
        for (number, run) in planned.iter().enumerate() {
            say(format!("--- {} of {}: {} ({})", number + 1, planned.len(), run.run.name, run.run.label));
            execute(run)?;
        }
    }
    report::write(&study, &planned, &place)?;
    say(format!("report: {}", verb.out.join("report.html").display()));
    Ok(())
}

/// Do the commands of a run, but for what is done already.
fn execute(run: &Planned) -> Result<()> {
    let program = std::env::current_exe().context("the program does not find itself")?;
    let measures = run.folder.join(MEASURED).join("metrics.json");
    if measures.exists() && !run.finished() {
        // Somebody measured what was not done yet.
        fs::remove_file(&measures).with_context(|| files::absolute(&measures))?;
    }
    for words in &run.commands {
        if words[0] == "evaluate" && measures.exists() {
            continue;
        }
        let status = Command::new(&program).args(words).status().context("the program cannot be started again")?;
        if !status.success() {
            let how = if status.code() == Some(INTERRUPTED.into()) { "was stopped" } else { "failed" };
            let message = format!("run {} {how}: {}; repeat the study to go on from there", run.run.name, shell(words));
            return Err(RunFailed { message, code: status.code() }.into());
        }
    }
    Ok(())
}

/// A line per run. Lines of one stage do not depend on each other.
fn print_plan(planned: &[Planned], only: Option<usize>) {
    let stages = planned.iter().map(|run| run.stage + 1).max().unwrap_or(0);
    for stage in (0..stages).filter(|stage| only.is_none_or(|only| only == *stage)) {
        if only.is_none() {
            say(format!("# stage {stage}: after every command of the stages before it"));
        }
        for run in planned.iter().filter(|run| run.stage == stage) {
            say(run.commands.iter().map(|words| shell(words)).collect::<Vec<_>>().join(" && "));
        }
    }
}
