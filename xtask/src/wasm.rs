//! The browser build: trunk, and what must be true of its result.

use crate::pack::brotli;
use crate::process::{output, repository, run};
use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use wasmparser::{ExternalKind, Operator, Parser, Payload, TypeRef};

/// Cargo profile of everything that runs in the browser (`Trunk.toml` names it for the app), so that dependencies are
/// compiled once.
pub(crate) const PROFILE: &str = "wasm-release";

/// The compiler that also lints, and warnings as errors: what runs in the browser is linted while it is built, because a check
/// of its own would go through all of its dependencies once more.
const LINTED: [(&str, &str); 2] =
    [("RUSTC_WORKSPACE_WRAPPER", "clippy-driver"), ("CLIPPY_ARGS", "-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__")];

/// Largest download of each binary, in bytes after brotli.
const LIMITS: [(&str, usize); 2] = [("page", 520_000), ("worker", 4_500_000)];

/// Features that would let a browser measure kernels against each other, which picks wrong ones there
/// (tracel-ai/cubek#654).
const FORBIDDEN_FEATURE: &str = "autotune";

/// Build the app into `dist/` and check the two wasm files.
pub(crate) fn build_and_check() -> Result<()> {
    check_features()?;
    run("trunk", ["build"], &LINTED)?;
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
    let [wrapper, lints] = LINTED;
    run("cargo", words, &[wrapper, lints, ("CHROMEDRIVER", &driver), ("WASM_BINDGEN_TEST_TIMEOUT", "900")])
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

/// One binary of `dist/`: no export wrapper, and its size.
fn check_binary(name: &str, limit: usize) -> Result<()> {
    let path = find(&repository().join("dist"), name)?;
    let bytes = std::fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    let wrapped = wrapped_exports(&bytes).with_context(|| format!("{} cannot be checked", path.display()))?;
    ensure!(
        wrapped.is_empty(),
        "{}: the linker wrapped exports so that each call runs all static constructors, which makes the app 70 times \
         slower. Call `__wasm_call_ctors` once at the start of this binary. Wrapped: {}",
        path.display(),
        wrapped.join(", ")
    );
    let packed = brotli(&bytes)?.len();
    let mega = |bytes: usize| bytes as f64 / 1e6;
    println!("{name}: {:.2} MB, {:.3} MB with brotli (limit {:.1} MB)", mega(bytes.len()), mega(packed), mega(limit));
    ensure!(packed <= limit, "{} is {packed} bytes with brotli; its limit is {limit}.", path.display());
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

/// Exported functions that the linker wrapped (`X.command_export`): they begin by calling the same function without
/// arguments, the static constructors. Names are no help, because the shipped file has none.
fn wrapped_exports(bytes: &[u8]) -> Result<Vec<String>> {
    let mut imported = 0;
    let mut exports = Vec::new();
    let mut first_calls = Vec::new();
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    imported += usize::from(matches!(import?.ty, TypeRef::Func(_)));
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    if export.kind == ExternalKind::Func {
                        exports.push((export.name.to_owned(), export.index as usize));
                    }
                }
            }
            Payload::CodeSectionEntry(body) => first_calls.push(match body.get_operators_reader()?.read()? {
                Operator::Call { function_index } => Some(function_index),
                _ => None,
            }),
            _ => {}
        }
    }
    let first_call = |index: usize| first_calls.get(index.checked_sub(imported)?).copied().flatten();
    let calls: Vec<_> = exports.iter().filter_map(|(name, index)| Some((name, first_call(*index)?))).collect();
    let shared = |called: u32| calls.iter().filter(|(_, other)| *other == called).count();
    // Two exports may well begin with the same helper; wrapping touches all of them.
    let wrapped = calls.iter().filter(|(_, called)| 2 * shared(*called) > exports.len());
    Ok(wrapped.map(|(name, _)| (*name).clone()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A module with two exports, `a` and `b`, that call function 0 first or return at once.
    fn module(wrapped: bool) -> Vec<u8> {
        let body: &[u8] = if wrapped { &[4, 0, 0x10, 0, 0x0b] } else { &[4, 0, 0x01, 0x01, 0x0b] };
        let head: &[u8] = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x04\x03\0\0\0\x07\x09\x02\x01a\0\x01\x01b\0\x02";
        [head, &[10, 14, 3, 2, 0, 0x0b], body, body].concat()
    }

    #[test]
    fn wrapped_exports_are_recognised() {
        assert_eq!(wrapped_exports(&module(true)).unwrap(), ["a", "b"]);
        assert!(wrapped_exports(&module(false)).unwrap().is_empty());
    }
}
