//! `cargo xtask bench`: builds our side, fetches the other, and leaves timing and tables to the scripts in `bench/`.

use crate::process::{output, repository, run};
use crate::setup::Tool;
use crate::wasm;
use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};

/// What the scripts import.
const PYTHON_PACKAGES: &str = "torch onnx onnxscript safetensors numpy";

const ONNX_RUNTIME_WEB: &str = "1.30.0";

/// A name of our web program, as cargo and wasm-bindgen write it.
const WEB_PROGRAM: &str = "infer_web";

/// `words` are those after `bench`.
pub(crate) fn bench(words: &[String]) -> Result<()> {
    match words.split_first().map(|(what, rest)| (what.as_str(), rest)) {
        Some(("infer", options)) => infer(options),
        Some(("train", options)) => train(options),
        Some(("browser", options)) => {
            // The trainer learns beside the tab; under the hand it has nothing to do.
            let trainer = if options == ["hand"] { String::new() } else { program("release")?.display().to_string() };
            browser("bench_browser", &[&[trainer], options].concat())
        }
        Some(("learn", options)) => browser("bench_learn", options),
        _ => bail!(
            "Say what to measure: `cargo xtask bench infer`, one forward pass on the CPU, native and in Chromium; \
             `cargo xtask bench train`, training steps and the loader on the CPU; `cargo xtask bench browser`, strokes, \
             frames, learning and memory of the built app in Chromium; or `cargo xtask bench learn`, what learning in the tab from few \
             marked frames is worth."
        ),
    }
}

/// Options of our own, the rest is for the script.
#[derive(Debug, PartialEq, Eq)]
struct Options<'a> {
    profile: &'a str,
    native: bool,
    web: bool,
    rest: Vec<&'a str>,
}

impl<'a> Options<'a> {
    fn parse(words: &'a [String]) -> Result<Self> {
        let mut options = Self { profile: "release", native: true, web: true, rest: Vec::new() };
        let mut words = words.iter().map(String::as_str);
        while let Some(word) = words.next() {
            match word {
                "--profile" => options.profile = words.next().context("--profile needs a name: release or dev")?,
                "--only" => match words.next() {
                    Some("native") => options.web = false,
                    Some("web") => options.native = false,
                    other => bail!("--only needs native or web, not {}", other.unwrap_or("nothing")),
                },
                other => options.rest.push(other),
            }
        }
        Ok(options)
    }
}

fn infer(words: &[String]) -> Result<()> {
    let options = Options::parse(words)?;
    let python = python()?;
    let work = repository().join("target").join("bench");
    std::fs::create_dir_all(&work).with_context(|| format!("{} cannot be made", work.display()))?;
    let mut arguments = vec![repository().join("bench").join("infer.py").display().to_string()];
    arguments.extend(["--work".into(), work.display().to_string(), "--profile-name".into(), options.profile.into()]);
    arguments.extend(["--native".into(), example(options.profile, "infer")?.display().to_string()]);
    if !options.native {
        arguments.push("--skip-native".into());
    }
    if options.web {
        arguments.extend(["--web".into(), web_program(&work)?.display().to_string()]);
        arguments.extend(["--ort".into(), onnx_runtime_web(&work)?.display().to_string()]);
    }
    run(&python, arguments.iter().map(String::as_str).chain(options.rest), &[("PYTHONDONTWRITEBYTECODE", "1")])
}

/// The built app under the hand: an example of the tests drives it, and is compiled with what they select.
fn browser(example: &str, options: &[String]) -> Result<()> {
    for tool in [Tool::WasmTarget, Tool::WasmBindgen, Tool::Trunk, Tool::Chromium] {
        tool.ensure()?;
    }
    wasm::build_and_check()?;
    run("cargo", ["build", "--workspace", "--features", "sonoseg-tests/browser", "--example", example], &[])?;
    let program = built("dev").join("examples").join(example).display().to_string();
    run(&program, options.iter().map(String::as_str), &[])
}

/// The Python of `SONOSEG_PYTHON`, once it has all packages.
fn python() -> Result<String> {
    let how = format!(
        "Make one and name it:\n  python3 -m venv target/bench/venv\n  target/bench/venv/bin/pip install {PYTHON_PACKAGES}\n  \
         SONOSEG_PYTHON=target/bench/venv/bin/python cargo xtask bench infer"
    );
    let Ok(python) = std::env::var("SONOSEG_PYTHON") else {
        bail!("This compares with PyTorch, and the variable SONOSEG_PYTHON does not name a Python that has it. {how}");
    };
    let versions = format!(
        "import {}\nprint('torch', torch.__version__, 'onnx', onnx.__version__)",
        PYTHON_PACKAGES.replace(' ', ", ")
    );
    let found = output(&python, &["-c", &versions]);
    let found =
        found.with_context(|| format!("{python} (from SONOSEG_PYTHON) cannot import {PYTHON_PACKAGES}. {how}"))?;
    println!("setup: {python} with {found}");
    Ok(python)
}

fn train(words: &[String]) -> Result<()> {
    let options = Options::parse(words)?;
    let python = python()?;
    let work = repository().join("target").join("bench");
    std::fs::create_dir_all(&work).with_context(|| format!("{} cannot be made", work.display()))?;
    let native = example(options.profile, "train")?;
    let loader = example(options.profile, "loader")?;
    let data = work.join("loader-data");
    if !data.exists() {
        let out = data.display().to_string();
        let words = ["simulate", "needle", "--out", &out, "--procedures", "10", "--frames", "30", "--seed", "3"];
        run(&program(options.profile)?.display().to_string(), words, &[])?;
    }
    let path = |path: &Path| path.display().to_string();
    let script = path(&repository().join("bench").join("train.py"));
    let words = [script, "--work".into(), path(&work), "--profile-name".into(), options.profile.into()];
    let ours = ["--native".into(), path(&native), "--loader".into(), path(&loader), "--data".into(), path(&data)];
    let all: Vec<String> = words.into_iter().chain(ours).chain(options.rest.iter().map(|&w| w.to_owned())).collect();
    run(&python, all.iter().map(String::as_str), &[("PYTHONDONTWRITEBYTECODE", "1")])
}

/// An example of the trainer. Cargo compiles Burn again for every other selection of packages and targets, so this
/// selects what others select: in `dev` everything, as the tests do, and in `release` the trainer alone, as the README
/// says.
fn example(profile: &str, name: &str) -> Result<PathBuf> {
    let selection: &[&str] =
        if profile == "dev" { &["--workspace", "--all-targets"] } else { &["-p", "sonoseg", "--example", name] };
    run("cargo", ["build", "--profile", profile].into_iter().chain(selection.iter().copied()), &[])?;
    Ok(built(profile).join("examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX)))
}

/// The trainer itself.
fn program(profile: &str) -> Result<PathBuf> {
    let selection: &[&str] = if profile == "dev" { &["--workspace", "--all-targets"] } else { &["-p", "sonoseg"] };
    run("cargo", ["build", "--profile", profile].into_iter().chain(selection.iter().copied()), &[])?;
    Ok(built(profile).join(format!("sonoseg{}", std::env::consts::EXE_SUFFIX)))
}

fn built(profile: &str) -> PathBuf {
    let folder = if profile == "dev" { "debug" } else { profile };
    repository().join("target").join(folder)
}

/// Our browser side, built as trunk builds the worker (`index.html`): same profile, same features.
fn web_program(work: &Path) -> Result<PathBuf> {
    for tool in [Tool::WasmTarget, Tool::WasmBindgen, Tool::Chromium] {
        tool.ensure()?;
    }
    let target = "wasm32-unknown-unknown";
    let words =
        ["build", "-p", "sonoseg-app", "--example", WEB_PROGRAM, "--target", target, "--profile", wasm::PROFILE];
    run("cargo", words, &[])?;
    let linked = format!("target/{target}/{}/examples/{WEB_PROGRAM}.wasm", wasm::PROFILE);
    let folder = work.join("web");
    let out = folder.display().to_string();
    run("wasm-bindgen", ["--target", "web", "--no-typescript", "--out-dir", &out, &linked], &[])?;
    Ok(folder)
}

/// The files of ONNX Runtime Web, installed by npm when they are missing.
fn onnx_runtime_web(work: &Path) -> Result<PathBuf> {
    let folder = work.join("node_modules").join("onnxruntime-web").join("dist");
    let wanted = format!("onnxruntime-web@{ONNX_RUNTIME_WEB}");
    let manifest = std::fs::read_to_string(folder.with_file_name("package.json")).unwrap_or_default();
    if !manifest.contains(&format!("\"version\": \"{ONNX_RUNTIME_WEB}\"")) {
        println!("setup: {wanted} is missing");
        ensure!(
            output("npm", &["--version"]).is_some(),
            "npm is missing: install Node.js (Debian: `apt-get install npm`)."
        );
        let prefix = work.display().to_string();
        run("npm", ["install", "--prefix", &prefix, "--ignore-scripts", "--no-audit", "--no-fund", &wanted], &[])?;
    }
    println!("setup: {wanted}");
    Ok(folder)
}
