//! `sonoseg`: simulate, ingest, check, train, evaluate, predict and export on a computer of your own.

mod allocator;
mod args;
mod calibrate;
mod check;
mod compare;
mod device;
mod evaluate;
mod export;
mod failure;
mod feed;
mod files;
mod folder;
mod import;
mod ingest;
mod inspect;
mod lock;
mod overlay;
mod plot;
mod predict;
mod report;
mod simulate;
mod study;
mod table;
mod terminal;
mod train;
mod video;

use std::process::ExitCode;

use args::{Args, Verb};
use clap::Parser;

fn main() -> ExitCode {
    allocator::keep_freed_memory();
    let result = match Args::parse().verb {
        Verb::Simulate(verb) => simulate::run(&verb),
        Verb::Ingest(verb) => ingest::run(&verb),
        Verb::Check(verb) => check::run(&verb),
        Verb::Train(verb) => train::run(&verb),
        Verb::Evaluate(verb) => evaluate::run(&verb),
        Verb::Calibrate(verb) => calibrate::run(&verb),
        Verb::Report(verb) => report::run(&verb),
        Verb::Compare(verb) => compare::run(&verb),
        Verb::Study(verb) => study::run(&verb),
        Verb::Predict(verb) => predict::run(&verb),
        Verb::Export(verb) => export::run(&verb),
        Verb::Import(verb) => import::run(&verb),
        Verb::Inspect(verb) => inspect::run(&verb),
        Verb::Devices => device::list(),
    };
    match result {
        Ok(()) if terminal::all_said() => ExitCode::SUCCESS,
        Ok(()) => ExitCode::from(failure::UNSAID),
        Err(error) => {
            if !error.is::<failure::Interrupted>() {
                terminal::complain(&error);
            }
            ExitCode::from(failure::exit_code(&error))
        }
    }
}
