//! The rules of ARCHITECTURE.md and CONTRIBUTING.md that a program can check: each test walks the tree and fails with
//! sentences that say what to do.

use crate::circles;
use sonoseg_core::recipe::Recipe;
use sonoseg_imaging::synthetic::NeedleSimConfig;
use std::fs;
use std::path::{Path, PathBuf};

/// Longest file, in lines.
const LIMIT: usize = 500;

/// What only core may do with Burn.
const MATHEMATICS: &[&str] = &["Tensor<", "TensorData", "burn::nn", "burn::module", "burn::optim", "einsum!"];

/// Words that a part of the code may not contain, apart from its tests and comments: where, which, except where, why.
const BORDERS: &[(&str, &[&str], &[&str], &str)] = &[
    (
        "core/src",
        &["std::fs", "std::net", "std::env", "std::thread", "std::process", "std::time", "println!", "print!("],
        &[],
        "core is pure: bytes in, bytes out. Files, threads, clock and terminal belong to trainer and app",
    ),
    (
        "imaging/src",
        &["std::fs", "std::net", "std::env", "std::thread", "std::process", "std::time", "println!", "print!("],
        &[],
        "imaging is pure: bytes in, bytes out. Files, threads, clock and terminal belong to trainer and app",
    ),
    ("core/src", &["web_sys", "js_sys", "wasm_bindgen"], &[], "core knows no browser: the app does"),
    ("imaging/src", &["web_sys", "js_sys", "wasm_bindgen"], &[], "imaging knows no browser: the app does"),
    (
        "imaging/src",
        &["rand::", "rand_chacha", "thread_rng"],
        &["imaging/src/rng.rs"],
        "all randomness comes from crate::rng",
    ),
    (
        "core/src",
        &["Device::flex", "Device::wgpu", "Device::webgpu", "Device::cuda", "Device::vulkan", "Device::metal"],
        &[],
        "core names no backend: it takes a `&Device`",
    ),
    ("core/src", &["Device::default()", "cubecl", "burn_wgpu", "burn_flex"], &[], "core names no backend"),
    ("core/src", &["rand::", "rand_chacha", "thread_rng"], &[], "all randomness comes from sonoseg_imaging::rng"),
    (
        "core/src",
        &[".into_scalar(", ".into_data(", ".to_data(", ".into_record("],
        &[],
        "this read blocks, which a browser cannot do: await the `_async` form",
    ),
    (
        "core/src",
        &["safetensors"],
        // Names of files alone.
        &["core/src/checkpoint.rs", "core/src/checkpoint/", "core/src/train/record.rs"],
        "only the checkpoint knows the file format of models",
    ),
    ("core/src", &["toml::"], &["core/src/recipe.rs", "core/src/recipe/"], "only the recipe knows its file format"),
    ("trainer/src", MATHEMATICS, &[], "the trainer holds a device and calls core; mathematics belongs to core"),
    ("app/src", MATHEMATICS, &[], "the worker holds a device and calls core; mathematics belongs to core"),
    (
        "app/src",
        &["burn::", "sonoseg_core"],
        &["app/src/bin/work", "app/src/worker/"],
        "only the worker knows core and Burn",
    ),
];

/// A file of the repository: its path from the root with forward slashes, and its text.
pub(crate) struct Source {
    pub(crate) path: String,
    text: String,
}

impl Source {
    pub(crate) fn new(path: String, text: String) -> Self {
        Self { path, text }
    }

    /// The lines that do something outside tests, numbered from 1. Tests stand at the bottom of a file or in `tests.rs`.
    pub(crate) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let whole = if self.path.ends_with("/tests.rs") { 0 } else { self.text.len() };
        let tests = ["mod tests", "pub(crate) mod tests"].map(|word| self.text.find(&format!("#[cfg(test)]\n{word}")));
        let end = tests.into_iter().flatten().fold(whole, usize::min);
        let lines = self.text[..end].lines().enumerate().map(|(index, line)| (index + 1, line));
        lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Every file of ours below a folder whose name ends in `ending`, in a stable order.
fn sources(folder: &str, ending: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut open = vec![root().join(folder)];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                let generated = ["target", "dist", "runs", "artefacts"].iter().any(|start| name.starts_with(start));
                if !generated && !name.starts_with('.') {
                    open.push(path);
                }
            } else if name.ends_with(ending) {
                let short = path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
                found.push(Source::new(short, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Fail with all that was found, not only the first.
fn none(problems: &[String]) {
    assert!(problems.is_empty(), "{} to mend:\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn files_are_short_and_say_what_they_are() {
    let mut problems = Vec::new();
    for Source { path, text } in sources("", ".rs") {
        let lines = text.lines().count();
        if lines > LIMIT {
            problems.push(format!("{path} has {lines} lines: split it by what its parts do, {LIMIT} is the limit."));
        }
        if !text.starts_with("//!") && !text.starts_with("#![doc") {
            problems.push(format!("{path} does not begin with a `//!` line that says what it is."));
        }
        let name = path.rsplit('/').next().unwrap_or_default();
        if ["utils.rs", "common.rs", "helpers.rs", "misc.rs", "base.rs"].contains(&name) {
            problems.push(format!("{path}: name the file after the one thing in it."));
        }
    }
    none(&problems);
}

#[test]
fn nothing_is_left_unfinished_or_switched_off() {
    // Written in two parts, so that this file does not contain them.
    let words = [
        concat!("to", "do!("),
        concat!("unimpl", "emented!("),
        concat!("#[ign", "ore"),
        concat!("allow", "(dead_code"),
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
    ];
    let mut problems = Vec::new();
    for Source { path, text } in sources("", ".rs") {
        for (index, line) in text.lines().enumerate() {
            problems.extend(words.iter().filter(|word| line.contains(**word)).map(|word| {
                format!("{path}:{}: finish it or take it out: `{word}` has no place in the repository.", index + 1)
            }));
        }
    }
    none(&problems);
}

#[test]
fn borders_between_the_parts_are_kept() {
    let mut problems = Vec::new();
    for (folder, words, except, why) in BORDERS {
        for source in sources(folder, ".rs") {
            if except.iter().any(|allowed| source.path.starts_with(allowed)) {
                continue;
            }
            for (number, line) in source.code() {
                problems.extend(
                    words
                        .iter()
                        .filter(|word| uses(line, word))
                        .map(|word| format!("{}:{number}: `{word}`: {why}.", source.path)),
                );
            }
        }
    }
    none(&problems);
}

/// Whether a line contains a path or call, not as the end of a longer name.
fn uses(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back().unwrap_or(' ');
        word.starts_with('.') || !(before.is_alphanumeric() || before == '_')
    })
}

#[test]
fn modules_form_no_circles() {
    let mut problems = Vec::new();
    for root in ["imaging/src", "core/src", "trainer/src", "app/src", "xtask/src"] {
        for circle in circles::find(root, &sources(root, ".rs")) {
            problems.push(format!("{root}: {circle} use each other: move the part that both need below them."));
        }
    }
    none(&problems);
}

#[test]
fn networks_and_losses_write_their_shapes_down() {
    let mut problems = Vec::new();
    for folder in ["core/src/models", "core/src/blocks", "core/src/losses"] {
        for source in sources(folder, ".rs") {
            let lines: Vec<&str> = source.text.lines().collect();
            for (number, line) in source.code() {
                let Some(rest) = line.trim_start().strip_prefix("pub fn ") else { continue };
                let name = rest.split(['(', '<']).next().unwrap_or_default();
                // A loss is any public function that takes a tensor; its arguments may follow on the next lines.
                let head = lines[number - 1..].iter().take(8).copied().collect::<Vec<_>>().join(" ");
                let tensor = head.split('{').next().unwrap_or_default().contains("Tensor<");
                let bound = name.starts_with("forward") || folder.ends_with("losses") && tensor;
                let above = lines[..number - 1].iter().rev().map(|line| line.trim_start());
                let documented = above
                    .take_while(|line| line.starts_with("///") || line.starts_with("#["))
                    .any(|line| line.contains("# Shapes"));
                if bound && !documented {
                    problems.push(format!(
                        "{}:{number}: give `{name}` a `# Shapes` section, like `[batch, channels, height, width]`.",
                        source.path
                    ));
                }
            }
        }
    }
    none(&problems);
}

#[test]
fn every_recipe_can_be_run() {
    let read = |source: &Source| match source.path.split('/').collect::<Vec<_>>()[..] {
        ["recipes", _] => match Recipe::parse(&source.path, &source.text, &[]) {
            Ok(recipe) => {
                let again = Recipe::parse(&source.path, &recipe.to_toml(), &[]);
                (again.ok() != Some(recipe)).then(|| format!("{}: does not come back as it is written", source.path))
            }
            Err(error) => Some(error.to_string()),
        },
        ["recipes", "simulator", _] => {
            let config: Result<NeedleSimConfig, _> = toml::from_str(&source.text);
            config.err().map(|error| format!("{}: {error}", source.path))
        }
        // The trainer reads studies, and its own tests plan them.
        ["recipes", "studies", _] => None,
        _ => Some(format!("{}: recipes/ holds recipes, simulator/ and studies/", source.path)),
    };
    let recipes = sources("recipes", ".toml");
    assert!(!recipes.is_empty(), "recipes/ holds no recipe.");
    none(&recipes.iter().filter_map(read).collect::<Vec<_>>());
}

#[test]
fn the_readme_names_the_commands() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let commands = ["cargo xtask app", "cargo xtask test", "sonoseg simulate", "sonoseg train", "sonoseg predict"];
    let missing: Vec<String> = commands
        .iter()
        .filter(|command| !readme.contains(**command))
        .map(|command| format!("README.md does not say how to use `{command}`."))
        .collect();
    none(&missing);
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut problems = Vec::new();
    for Source { path, text } in sources("", ".md") {
        let folder = root().join(&path).parent().unwrap().to_path_buf();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            let outside = target.contains("://") || target.starts_with("mailto:") || file.is_empty();
            if !outside && !folder.join(file).exists() {
                problems.push(format!("{path} links to {target}, which does not exist."));
            }
        }
    }
    none(&problems);
}
