//! A workspace for tests of the command line: the real program, a small recipe, simulated data.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// The program, built by `cargo build` beside the tests.
pub(crate) fn program() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let path = tests.ancestors().nth(2).unwrap().join("sonoseg");
    assert!(path.exists(), "{} is missing: run `cargo build` first", path.display());
    path
}

/// The program with arguments, to be started.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(arguments);
    command
}

/// Simulate needles that enter steeply, as the first simulator did: with few frames, nearly all show one.
pub(crate) fn simulate(out: &Path, settings: &[&str]) {
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/../recipes/simulator/first.toml");
    succeeds(&[&["simulate", "needle", "--out", text(out), "--config", config], settings].concat());
}

pub(crate) fn sonoseg(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

pub(crate) fn succeeds(arguments: &[&str]) -> String {
    let output = sonoseg(arguments);
    assert!(output.status.success(), "sonoseg {arguments:?} failed: {}", said(&output));
    said(&output)
}

pub(crate) fn fails(code: i32, arguments: &[&str]) -> String {
    let output = sonoseg(arguments);
    assert_eq!(output.status.code(), Some(code), "sonoseg {arguments:?}: {}", said(&output));
    let told = said(&output).lines().filter(|line| line.starts_with("error:")).count();
    assert_eq!(told, 1, "an error is told once: {}", said(&output));
    said(&output)
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A network small enough to train in a test.
pub(crate) const RECIPE: &str = r#"
name = "test"
trained_on = "simulated ultrasound"
[network]
preset = "tiny"
width = 16
depth = 3
heads = 2
taps = [1, 2, 3]
feature_size = 4
[preparation]
size = 32
[train]
epochs = 2
batch = 2
accumulate = 2
updates_per_epoch = 2
"#;

pub(crate) struct Workspace {
    folder: TempDir,
}

impl Workspace {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("recipe.toml"), RECIPE).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn simulate(&self, name: &str, seed: &str) -> PathBuf {
        let out = self.path(name);
        simulate(&out, &["--procedures", "3", "--frames", "4", "--seed", seed, "--dicom"]);
        out
    }

    pub(crate) fn train(&self, data: &Path, run: &str, settings: &[&str]) -> PathBuf {
        let (recipe, out) = (self.path("recipe.toml"), self.path(run));
        let basic = ["train", text(&recipe), "--data", text(data), "--out", text(&out), "--device", "flex"];
        succeeds(&[&basic, settings].concat());
        out
    }
}
