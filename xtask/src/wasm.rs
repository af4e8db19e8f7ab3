//! The browser build: trunk, and what must be true of its result.

use crate::process::{output, repository, run};
use anyhow::{Context, Result, bail, ensure};
use std::io::Write;
use std::path::{Path, PathBuf};
use wasmparser::{KnownCustom, Name, Parser, Payload};

/// Cargo profile of everything that runs in the browser (`Trunk.toml` names it for the app), so that dependencies are
/// compiled once.
pub(crate) const PROFILE: &str = "wasm-release";

/// Largest download of each binary, in bytes after brotli.
const LIMITS: [(&str, usize); 2] = [("page", 500_000), ("worker", 4_000_000)];

/// Features that would let a browser measure kernels against each other, which picks wrong ones there
/// (tracel-ai/cubek#654).
const FORBIDDEN_FEATURE: &str = "autotune";

/// Build the app into `dist/` and check the two wasm files.
pub(crate) fn build_and_check() -> Result<()> {
    check_features()?;
    run("trunk", ["build"], &[])?;
    for (name, limit) in LIMITS {
        check_binary(name, limit)?;
    }
    Ok(())
}

/// The parity tests in headless Chromium. `tests/webdriver.json` holds the flags that switch WebGPU on.
pub(crate) fn parity() -> Result<()> {
    let words =
        ["test", "-p", "sonoseg-tests", "--test", "both", "--target", "wasm32-unknown-unknown", "--profile", PROFILE];
    let driver = output("sh", &["-c", "command -v chromedriver"]).context("chromedriver is not in PATH")?;
    run("cargo", words, &[("CHROMEDRIVER", &driver), ("WASM_BINDGEN_TEST_TIMEOUT", "900")])
}

/// No package of the app's dependency graph may have the autotune feature.
fn check_features() -> Result<()> {
    let words = [
        "tree",
        "-p",
        "sonoseg-app",
        "--target",
        "wasm32-unknown-unknown",
        "-e",
        "features,no-dev",
        "--prefix",
        "none",
    ];
    let tree = output("cargo", &words).context("`cargo tree -p sonoseg-app` failed: run it to see why.")?;
    let found: Vec<&str> = tree.lines().filter(|line| line.contains(&format!("\"{FORBIDDEN_FEATURE}\""))).collect();
    ensure!(
        found.is_empty(),
        "The app's build has the feature '{FORBIDDEN_FEATURE}', which gives wrong gradients in browsers. \
         Find who asks for it with `cargo tree -p sonoseg-app --target wasm32-unknown-unknown -e features`:\n{}",
        found.join("\n")
    );
    println!("no '{FORBIDDEN_FEATURE}' among the features of {} packages", tree.lines().count());
    Ok(())
}

/// One binary: no export wrapper in what the compiler made, and the size of what is in `dist/`.
fn check_binary(name: &str, limit: usize) -> Result<()> {
    let linked = format!("target/wasm32-unknown-unknown/{PROFILE}/{name}.wasm");
    let bytes = std::fs::read(&linked).with_context(|| format!("{linked} cannot be read"))?;
    let wrappers = export_wrappers(&bytes).with_context(|| format!("{linked} cannot be checked"))?;
    ensure!(
        wrappers.is_empty(),
        "{linked}: the linker wrapped {} functions so that they run all static constructors at every call, which makes \
         the app 70 times slower. Call `__wasm_call_ctors` once at the start of this binary. The first is {}.",
        wrappers.len(),
        wrappers[0]
    );
    let shipped = find(&repository().join("dist"), name)?;
    let bytes = std::fs::read(&shipped).with_context(|| format!("{} cannot be read", shipped.display()))?;
    let packed = brotli_size(&bytes)?;
    let mega = |bytes: usize| bytes as f64 / 1e6;
    println!("{name}: {:.2} MB, {:.3} MB with brotli (limit {:.1} MB)", mega(bytes.len()), mega(packed), mega(limit));
    ensure!(packed <= limit, "{} is {packed} bytes with brotli; its limit is {limit}.", shipped.display());
    Ok(())
}

/// The file `name*_bg.wasm` in a folder. Trunk adds a hash to the name.
fn find(dist: &Path, name: &str) -> Result<PathBuf> {
    let entries = std::fs::read_dir(dist).with_context(|| format!("{} is missing", dist.display()))?;
    let wasm = |path: &PathBuf| {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        file.starts_with(name) && file.ends_with("_bg.wasm")
    };
    let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(wasm).collect();
    match found.len() {
        1 => Ok(found.remove(0)),
        count => bail!("{} has {count} files {name}*_bg.wasm, not one.", dist.display()),
    }
}

/// Functions that the linker wrapped (`X.command_export`), from the name section; wasm-opt removes that section later.
fn export_wrappers(bytes: &[u8]) -> Result<Vec<String>> {
    let mut known = 0;
    let mut wrappers = Vec::new();
    for payload in Parser::new(0).parse_all(bytes) {
        let Payload::CustomSection(section) = payload? else { continue };
        let KnownCustom::Name(subsections) = section.as_known() else { continue };
        for subsection in subsections {
            let Name::Function(functions) = subsection? else { continue };
            for function in functions {
                let name = function?.name;
                known += 1;
                if name.ends_with(".command_export") {
                    wrappers.push(name.to_owned());
                }
            }
        }
    }
    ensure!(known > 0, "it has no function names: keep `strip = \"debuginfo\"` in the profile {PROFILE}.");
    Ok(wrappers)
}

fn brotli_size(bytes: &[u8]) -> Result<usize> {
    let mut writer = brotli::CompressorWriter::new(Vec::new(), 1 << 20, 9, 24);
    writer.write_all(bytes)?;
    writer.flush()?;
    Ok(writer.into_inner().len())
}
