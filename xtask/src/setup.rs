//! The programs that the steps need: found, or installed where that is possible, or named so that a person can do it.

use crate::process::{command, output, repository, run, tools};
use anyhow::{Context, Result, bail};
use std::time::Instant;

const TRUNK: &str = "0.21.14";
const CARGO_DENY: &str = "0.20.2";
const AXE: &str = "4.14.1";

/// A program (or a part of the toolchain) that a step needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    /// Rust's standard library for the browser.
    WasmTarget,
    /// Builds page and worker into `dist/`.
    Trunk,
    /// The glue between wasm and JavaScript; must have the version in `Cargo.lock`.
    WasmBindgen,
    /// The browser of the tests.
    Chromium,
    /// Drives the browser for `wasm-bindgen-test`.
    ChromeDriver,
    /// Decodes and makes video files in tests.
    Ffmpeg,
    /// Checks licences and advisories.
    CargoDeny,
    /// Looks for what keeps people out of the page, in tests.
    Axe,
}

impl Tool {
    /// Have the tool, installing it when it is missing.
    pub(crate) fn ensure(self) -> Result<()> {
        if let Some(found) = self.find()? {
            println!("setup: {found}");
            return Ok(());
        }
        println!("setup: {} is missing", self.name());
        let start = Instant::now();
        match self {
            Self::WasmTarget => run("rustup", ["target", "add", "wasm32-unknown-unknown"], &[])?,
            Self::Trunk => cargo_install("trunk", TRUNK, true, "0")?,
            // With its own lock file, this version does not compile.
            Self::WasmBindgen => cargo_install("wasm-bindgen-cli", &wasm_bindgen_version()?, false, "1")?,
            Self::CargoDeny => cargo_install("cargo-deny", CARGO_DENY, true, "0")?,
            Self::Chromium => apt_install("chromium")?,
            Self::ChromeDriver => apt_install("chromium-driver")?,
            Self::Ffmpeg => apt_install("ffmpeg")?,
            Self::Axe => npm_install(&format!("axe-core@{AXE}"))?,
        }
        match self.find()? {
            Some(found) => println!("setup: {found}, installed in {} s", start.elapsed().as_secs()),
            None => bail!("{} was installed, but cannot be found: is its folder in PATH?", self.name()),
        }
        Ok(())
    }

    /// A line about the tool when it is there in the right version.
    fn find(self) -> Result<Option<String>> {
        let name = self.name();
        let versions = |candidates: &[&str]| candidates.iter().find_map(|program| output(program, &["--version"]));
        Ok(match self {
            Self::WasmTarget => output("rustc", &["--print", "target-libdir", "--target", "wasm32-unknown-unknown"])
                .filter(|folder| std::path::Path::new(folder).is_dir())
                .map(|_| name.to_owned()),
            Self::Trunk => versions(&["trunk"]).filter(|line| line.ends_with(TRUNK)),
            Self::WasmBindgen => {
                let version = wasm_bindgen_version()?;
                versions(&["wasm-bindgen"])
                    .filter(|line| line.ends_with(&version) && command("wasm-bindgen-test-runner").output().is_ok())
            }
            Self::CargoDeny => versions(&["cargo-deny"]).filter(|line| line.ends_with(CARGO_DENY)),
            Self::Axe => {
                let about = tools().join("node_modules/axe-core/package.json");
                let about = std::fs::read_to_string(about).unwrap_or_default();
                about.contains(&format!("\"version\": \"{AXE}\"")).then(|| format!("axe-core {AXE}"))
            }
            Self::Chromium => versions(&["chromium", "chromium-browser", "google-chrome"]),
            Self::ChromeDriver => versions(&["chromedriver"]),
            Self::Ffmpeg => output("ffmpeg", &["-version"]).and_then(|text| text.lines().next().map(str::to_owned)),
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::WasmTarget => "the wasm32-unknown-unknown target",
            Self::Trunk => "trunk",
            Self::WasmBindgen => "wasm-bindgen with its test runner",
            Self::Chromium => "Chromium",
            Self::ChromeDriver => "chromedriver",
            Self::Ffmpeg => "ffmpeg",
            Self::CargoDeny => "cargo-deny",
            Self::Axe => "axe-core",
        }
    }
}

/// Build a cargo tool into `target/tools`, optimised as far as its work asks for: its own release profile (fat LTO) would take
/// longer for nothing.
fn cargo_install(package: &str, version: &str, locked: bool, level: &str) -> Result<()> {
    let root = tools().display().to_string();
    let build = tools().join("build").display().to_string();
    let words = ["install", package, "--version", version, "--root", &root];
    run(
        "cargo",
        words.into_iter().chain(locked.then_some("--locked")),
        &[
            ("CARGO_TARGET_DIR", &build),
            ("CARGO_PROFILE_RELEASE_LTO", "off"),
            ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
            ("CARGO_PROFILE_RELEASE_OPT_LEVEL", level),
        ],
    )
}

/// Install a package of npm into `target/tools`, where npm is there or can be installed.
fn npm_install(package: &str) -> Result<()> {
    if output("npm", &["--version"]).is_none() {
        apt_install("npm")?;
    }
    let prefix = tools().display().to_string();
    run("npm", ["install", "--prefix", &prefix, "--ignore-scripts", "--no-audit", "--no-fund", package], &[])
}

/// Install a Debian package when we may; otherwise say what to install.
fn apt_install(package: &str) -> Result<()> {
    let root = output("id", &["-u"]).is_some_and(|user| user == "0");
    if !root || output("apt-get", &["--version"]).is_none() {
        bail!(
            "This machine lacks the program of the Debian package '{package}', and only root can install it by itself. \
             Install it (Debian, Ubuntu: `sudo apt-get install {package}`; macOS: `brew install {}`) and run the \
             command again.",
            match package {
                "chromium" => "--cask google-chrome",
                "chromium-driver" => "--cask chromedriver",
                other => other,
            }
        );
    }
    let words = ["install", "-y", "-q", "--no-install-recommends", package];
    let env = [("DEBIAN_FRONTEND", "noninteractive")];
    if run("apt-get", words, &env).is_ok() {
        return Ok(());
    }
    run("apt-get", ["update", "-q"], &env)?;
    run("apt-get", words, &env)
}

/// The version of wasm-bindgen in `Cargo.lock`; the command-line program must have the same one.
fn wasm_bindgen_version() -> Result<String> {
    let lock = std::fs::read_to_string(repository().join("Cargo.lock")).context("Cargo.lock cannot be read")?;
    let mut lines = lock.lines().skip_while(|line| *line != "name = \"wasm-bindgen\"").skip(1);
    let version = lines.next().and_then(|line| line.strip_prefix("version = \"")?.strip_suffix('"'));
    Ok(version.context("Cargo.lock does not name wasm-bindgen")?.to_owned())
}
