//! The steps of `cargo xtask test`: the cheap ones first, each with the tools it needs.

use crate::process::{output, run, succeeds_within};
use crate::setup::Tool;
use crate::wasm;
use anyhow::{Context, Result, bail};
use std::time::{Duration, Instant};

/// One step.
pub(crate) struct Step {
    /// What a person types.
    pub(crate) name: &'static str,
    /// What it checks.
    pub(crate) what: &'static str,
    /// A step that has to run before it.
    after: Option<&'static str>,
    tools: &'static [Tool],
    run: fn() -> Result<()>,
}

/// Every step, in the order in which they run.
pub(crate) const STEPS: &[Step] = &[
    Step { name: "fmt", what: "formatting", after: None, tools: &[], run: fmt },
    Step { name: "clippy", what: "lints of everything native", after: None, tools: &[], run: clippy },
    Step { name: "doc", what: "documentation without broken links", after: None, tools: &[], run: doc },
    Step { name: "native", what: "tests on the CPU", after: None, tools: &[Tool::Ffmpeg], run: native },
    Step {
        name: "wasm",
        what: "build of the app with its lints: sizes, no export wrapper, no autotune",
        after: None,
        tools: &[Tool::WasmTarget, Tool::WasmBindgen, Tool::Trunk],
        run: wasm::build_and_check,
    },
    Step {
        name: "parity",
        what: "networks and losses on WebGPU in Chromium, with lints of these tests",
        after: None,
        tools: &[Tool::WasmTarget, Tool::WasmBindgen, Tool::Chromium, Tool::ChromeDriver],
        run: wasm::parity,
    },
    Step {
        name: "browser",
        what: "the built app in Chromium, from end to end",
        after: Some("wasm"),
        tools: &[Tool::Chromium, Tool::Ffmpeg, Tool::Axe],
        run: browser,
    },
    Step { name: "deny", what: "licences and advisories", after: None, tools: &[Tool::CargoDeny], run: deny },
];

/// All native steps select the same packages, so that dependencies get the same features and are compiled once. (The
/// part of the app that needs a browser is compiled in the wasm steps only.)
const NATIVE: [&str; 1] = ["--workspace"];

/// Run the named steps, or all of them; stop at the first that fails. Ends with a table of what ran and how long it took.
pub(crate) fn test(names: &[String]) -> Result<()> {
    let chosen = choose(names)?;
    let start = Instant::now();
    let mut table = Vec::new();
    let mut failure = None;
    for (number, step) in chosen.iter().enumerate() {
        println!(
            "\n=== {} of {}: {} ({}), {} since the start",
            number + 1,
            chosen.len(),
            step.name,
            step.what,
            time(start)
        );
        let setup = Instant::now();
        let mut result = step.tools.iter().try_for_each(|tool| tool.ensure());
        let setup = setup.elapsed();
        let work = Instant::now();
        if result.is_ok() {
            result = (step.run)();
        }
        table.push(format!(
            "{:12} {:7} setup {:>6}  work {:>6}",
            step.name,
            if result.is_ok() { "passed" } else { "FAILED" },
            minutes(setup),
            minutes(work.elapsed())
        ));
        if let Err(error) = result {
            failure = Some((step.name, error));
            break;
        }
    }
    println!("\n=== Summary");
    for line in &table {
        println!("{line}");
    }
    for step in chosen.iter().skip(table.len()) {
        println!("{:12} not run", step.name);
    }
    println!("{:12} {}", "total", time(start));
    match failure {
        None => Ok(()),
        Some((name, error)) => Err(error.context(format!(
            "Step '{name}' failed, and the steps after it did not run. Repeat it alone with `cargo xtask test {name}`"
        ))),
    }
}

fn choose(names: &[String]) -> Result<Vec<&'static Step>> {
    let known: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("'{unknown}' is not a step. The steps are: {}.", known.join(", "));
    }
    let needed = |step: &Step| {
        names.is_empty()
            || names.iter().any(|name| {
                name == step.name || STEPS.iter().any(|other| other.name == name && other.after == Some(step.name))
            })
    };
    Ok(STEPS.iter().filter(|step| needed(step)).collect())
}

fn minutes(duration: Duration) -> String {
    format!("{}:{:02}", duration.as_secs() / 60, duration.as_secs() % 60)
}

fn time(start: Instant) -> String {
    minutes(start.elapsed())
}

fn fmt() -> Result<()> {
    run("cargo", ["fmt", "--all", "--check"], &[])
}

fn clippy() -> Result<()> {
    let words = ["clippy"].into_iter().chain(NATIVE).chain(["--all-targets", "--features", "sonoseg-tests/browser"]);
    run("cargo", words.chain(["--", "-D", "warnings"]), &[])
}

fn doc() -> Result<()> {
    let words = ["doc", "--no-deps", "--document-private-items"].into_iter().chain(NATIVE);
    run("cargo", words, &[("RUSTDOCFLAGS", "-D warnings")])
}

fn native() -> Result<()> {
    // The tests of the command line run the program itself, which `cargo test` alone does not build.
    run("cargo", ["build"].into_iter().chain(NATIVE).chain(["--all-targets"]), &[])?;
    run("cargo", ["test"].into_iter().chain(NATIVE), &[])
}

fn browser() -> Result<()> {
    // Two at once: each waits for its browser half of the time.
    let only = ["--features", "sonoseg-tests/browser", "--test", "browser", "--", "--nocapture", "--test-threads", "2"];
    run("cargo", ["test"].into_iter().chain(NATIVE).chain(only), &[])
}

fn deny() -> Result<()> {
    const DATABASE: &str = "https://github.com/RustSec/advisory-db";
    let quiet = [("GIT_TERMINAL_PROMPT", "0")];
    output("git", &["--version"]).context("git is missing: install it, cargo-deny fetches its database with it.")?;
    if succeeds_within(Duration::from_secs(20), "git", &["ls-remote", "--exit-code", DATABASE, "HEAD"], &quiet) {
        return run("cargo", ["deny", "check"], &[]);
    }
    println!("The advisory database {DATABASE} cannot be reached from here: advisories are not checked, the rest is.");
    run("cargo", ["deny", "check", "licenses", "bans", "sources"], &[])
}
