//! Learning in the page, as a person begins and follows it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use burn::tensor::Device;
use serde_json::Value;
use sonoseg_core::checkpoint::{Storage, encode, read_state};
use sonoseg_core::inference::ModelHeader;
use sonoseg_core::recipe::Recipe;

use crate::chromium::Page;

/// A network that learns in moments.
const RECIPE: &str = r#"
name = "small"
trained_on = "nothing"
[network]
preset = "tiny"
width = 32
depth = 3
heads = 2
taps = [1, 2, 3]
feature_size = 4
[preparation]
size = 64
"#;

/// A line to mark frames with.
const LINE: [(f64, f64); 3] = [(40.0, 50.0), (80.0, 80.0), (120.0, 110.0)];

/// The file of a network that has learned nothing.
fn small_model(folder: &Path) -> PathBuf {
    let (recipe, device) = (Recipe::parse("small", RECIPE, &[]).unwrap(), Device::flex());
    let header = ModelHeader::of(&recipe);
    device.seed(7);
    let state = pollster::block_on(read_state(&header.network.init(&device))).unwrap();
    let path = folder.join("small.safetensors");
    std::fs::write(&path, encode(&header, &state, Storage::F32).unwrap()).unwrap();
    path
}

/// The small model instead of the one that the page came with.
pub(crate) fn use_small_model(page: &Page, folder: &Path) {
    page.wait(300, "ready page", |state| (state.text("state") == "ready").then_some(()));
    page.pause();
    page.choose_files("#open-model", &[&small_model(folder)]);
    page.wait(120, "small model", |_| (words(page, ".model-name") == "small.safetensors").then_some(()));
}

/// Mark the first frames with the same line.
pub(crate) fn mark(page: &Page, frames: usize) {
    page.press("Home");
    page.press("l");
    for frame in 0..frames {
        page.wait(60, "frame", |state| (state.number("frame") == Some(frame as f64)).then_some(()));
        page.draw("mouse", false, &LINE);
        let marked = (frame + 1).to_string();
        page.wait(60, "marked frame", |state| (state.text("answered") == marked).then_some(()));
        page.press("f");
    }
    page.press("Escape");
    page.wait(20, "saved project", |_| (page.part(".project").text("saved") == "saved").then_some(()));
}

/// The words of a part of the page.
pub(crate) fn words(page: &Page, selector: &str) -> String {
    let script = format!("document.querySelector('{selector}')?.innerText ?? ''");
    page.script(&script).as_str().unwrap_or_default().to_owned()
}

/// Press a button of the panel by its name.
pub(crate) fn press_button(page: &Page, name: &str) {
    let there = page.script(&format!(
        "(b => {{ b?.click(); return !!b; }})([...document.querySelectorAll('.learn button')].find(b => b.textContent.trim() === '{name}'))"
    ));
    assert_eq!(there, true, "there is no button {name}: {}", words(page, ".learn"));
}

/// Wait for a phase of learning; fails when learning fails, unless that is what is waited for.
pub(crate) fn learning(page: &Page, seconds: u64, phase: &str) {
    page.wait(seconds, &format!("learning {phase}"), |_| {
        let now = page.part(".learn").text("learning").to_owned();
        assert!(now != "failed" || phase == "failed", "{}", words(page, ".learn"));
        (now == phase).then_some(())
    });
}

/// Updates that are done.
pub(crate) fn updates(page: &Page) -> u64 {
    page.part(".learn").text("updates").split(' ').next().unwrap().parse().unwrap()
}

/// Wait for an update.
pub(crate) fn until_update(page: &Page, update: u64) {
    page.wait(300, &format!("update {update}"), |_| (updates(page) >= update).then_some(()));
}

/// A file that the browser saved.
pub(crate) fn saved(folder: &Path, ending: &str, page: &Page) -> PathBuf {
    let start = Instant::now();
    loop {
        let found = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        if let Some(path) = found.into_iter().find(|path| path.to_str().unwrap().ends_with(ending)) {
            return path;
        }
        assert!(start.elapsed() < Duration::from_secs(120), "no {ending} was saved: {:?}", page.notices());
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Lines of a run's `metrics.jsonl` that tell of updates.
pub(crate) fn steps(run: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).filter(|line| line["step"].is_u64()).collect()
}
