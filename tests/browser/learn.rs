//! A model learns in the tab from a few marked frames: paused, reloaded, ended in mid-update; judged, kept, taken back, exported.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use burn::tensor::Device;
use sonoseg_core::inference::Predictor;
use sonoseg_imaging::archive::Archive;
use zip::ZipArchive;

use crate::chromium::{Graphics, Page};
use crate::learner::{learning, mark, press_button, saved, steps, until_update, updates, use_small_model, words};

/// The worker destroys its graphics device when another part of the page says so.
const LOSE_DEVICE: &str = "if (!self.losable) { self.losable = true; const request = self.GPUAdapter?.prototype.requestDevice; \
     if (request) GPUAdapter.prototype.requestDevice = async function (...asked) { const device = await request.apply(this, asked); \
     new BroadcastChannel('lose').onmessage = () => device.destroy(); return device; }; }";

/// The page with the small model.
fn open(name: &str, graphics: Graphics, query: &str, folder: &Path) -> Page {
    let page = Page::open_with(name, graphics, query, LOSE_DEVICE);
    use_small_model(&page, folder);
    page
}

/// Run the native program, which `cargo build` made beside the tests.
fn sonoseg(arguments: &[&str]) {
    let tests = std::env::current_exe().unwrap();
    let program = tests.ancestors().nth(2).unwrap().join("sonoseg");
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The losses of a run's updates.
fn losses(run: &Path) -> Vec<f64> {
    steps(run).iter().map(|line| line["loss"].as_f64().unwrap()).collect()
}

#[test]
fn a_model_learns_is_paused_goes_on_after_reloads_and_is_kept_taken_back_and_exported() {
    let folder = tempfile::tempdir().unwrap();
    let mut page = open("learn", Graphics::Off, "?device=cpu&updates=16", folder.path());
    page.save_into(folder.path());
    mark(&page, 8);
    press_button(&page, "Learn from my frames\u{2026}");
    learning(&page, 300, "planned");
    let plan = words(&page, ".learn .plan");
    for said in ["Learns from", "Held out", "frames", "weights", "16 updates of about", "simulated"] {
        assert!(plan.contains(said), "{said} is missing: {plan}");
    }
    page.screenshot("plan");
    press_button(&page, "Start");
    learning(&page, 60, "learning");
    until_update(&page, 2);
    // The page is of use meanwhile.
    page.press("End");
    page.wait(120, "prediction meanwhile", |state| matches!(state.text("predicted"), "seen" | "none").then_some(()));
    page.screenshot("learning");

    // Whoever reloads in mid-run finds it learning.
    page.reload();
    learning(&page, 300, "learning");
    until_update(&page, 4);
    press_button(&page, "Pause");
    learning(&page, 120, "paused");
    let paused = updates(&page);
    assert!((4..16).contains(&paused), "paused after {paused}");
    page.screenshot("paused");
    page.reload();
    learning(&page, 300, "paused");
    assert_eq!(updates(&page), paused, "it stands where it was paused");
    press_button(&page, "Go on");
    until_update(&page, 16);
    learning(&page, 300, "judged");
    assert_eq!(page.part(".learn").text("pinned").split(' ').next(), Some("2"), "pinned frames");
    let gate = page.part(".gate");
    for figure in ["iouBefore", "iouAfter", "simulatedBefore", "simulatedAfter"] {
        assert!(gate.number(figure).is_some_and(|value| (0.0..=1.0).contains(&value)), "{figure}");
    }
    page.screenshot("gate");

    press_button(&page, "Keep and use");
    page.wait(120, "new model", |_| words(&page, ".model-name").contains("frames").then_some(()));
    let kept = words(&page, ".model-name");
    assert!(!page.part(".learn").text("used").is_empty());
    page.reload();
    page.wait(300, "kept model after a reload", |_| (words(&page, ".model-name") == kept).then_some(()));
    page.click(".learn .runs summary");
    page.screenshot("kept");
    press_button(&page, "Use the one before");
    page.wait(120, "model of before", |_| (words(&page, ".model-name") == "small.safetensors").then_some(()));
    press_button(&page, "Use");
    page.wait(120, "new model again", |_| (words(&page, ".model-name") == kept).then_some(()));

    press_button(&page, "Export model");
    let model = std::fs::read(saved(folder.path(), &format!("{kept}.safetensors"), &page)).unwrap();
    let model = Predictor::load("exported", &model, &Device::flex()).unwrap();
    assert!(model.summary().trained_on.contains("marked in the browser"), "{:?}", model.summary());

    // The trainer begins the same run, and comes to the same losses.
    press_button(&page, "Take run out");
    let archive = saved(folder.path(), ".sonoseg.zip", &page);
    Archive::open("run", std::fs::read(&archive).unwrap()).unwrap();
    let data = folder.path().join("data");
    ZipArchive::new(File::open(&archive).unwrap()).unwrap().extract(&data).unwrap();
    let (run, again) = (data.join("run"), folder.path().join("again"));
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (recipe, init) = (run.join("recipe.toml"), run.join("before.safetensors"));
    let [recipe, data, init, out] = [&recipe, &data, &init, &again].map(|path| text(path));
    sonoseg(&["train", &recipe, "--data", &data, "--init", &init, "--out", &out, "--device", "flex"]);
    let (tab, native) = (losses(&run), losses(&again));
    assert_eq!((tab.len(), native.len()), (16, 16));
    for (update, (tab, native)) in tab.iter().zip(&native).enumerate() {
        assert!((tab - native).abs() < 1e-5, "update {update}: {tab} in the tab, {native} natively");
    }
    page.close();
}

#[test]
fn a_worker_that_ends_in_mid_run_is_replaced_and_the_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let page = open("learn-crash", Graphics::Off, "?device=cpu&updates=8&crash=3", folder.path());
    mark(&page, 5);
    press_button(&page, "Learn from my frames\u{2026}");
    learning(&page, 300, "planned");
    press_button(&page, "Start");
    page.wait(300, "worker that was replaced", |_| {
        page.notices().iter().any(|notice| notice.contains("It was started again")).then_some(())
    });
    learning(&page, 300, "judged");
    assert_eq!(updates(&page), 8);
    press_button(&page, "Throw away");
    press_button(&page, "Throw away for good");
    learning(&page, 60, "idle");
    assert_eq!(words(&page, ".model-name"), "small.safetensors", "the model in use is what it was");
    assert_eq!(words(&page, ".learn .runs"), "");
    page.close();
}

#[test]
fn what_nothing_can_be_learned_from_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let page = open("learn-nothing", Graphics::Off, "?device=cpu&updates=8", folder.path());
    let says = |sentence: &str| {
        page.wait(20, sentence, |_| words(&page, ".learn").contains(sentence).then_some(()));
        let disabled = page.script("document.querySelector('.learn .begin').getAttribute('aria-disabled')");
        assert_eq!(disabled, "true");
    };
    says("No frame is corrected yet");
    page.press("Home");
    page.press("0");
    page.wait(60, "answer", |state| (state.text("answered") == "1").then_some(()));
    says("All answers say that there is no needle");
    page.press_with("z", &[headless_chrome::browser::tab::ModifierKey::Ctrl]);
    mark(&page, 1);
    says("One frame alone teaches only itself");
    page.close();
}

#[test]
fn on_webgpu_it_learns_as_on_the_cpu_and_goes_on_when_the_device_is_lost() {
    let learned = |name, graphics, query, lost: bool| {
        let folder = tempfile::tempdir().unwrap();
        let page = open(name, graphics, query, folder.path());
        page.save_into(folder.path());
        mark(&page, 8);
        press_button(&page, "Learn from my frames\u{2026}");
        learning(&page, 300, "planned");
        press_button(&page, "Start");
        if lost {
            until_update(&page, 4);
            page.script("new BroadcastChannel('lose').postMessage(0)");
            page.wait(300, "device that was lost", |_| {
                page.notices().iter().any(|notice| notice.contains("It was started again")).then_some(())
            });
        }
        learning(&page, 600, "judged");
        assert_eq!(updates(&page), 16);
        press_button(&page, "Keep and use");
        page.wait(120, "new model", |_| words(&page, ".model-name").contains("frames").then_some(()));
        press_button(&page, "Take run out");
        let archive = saved(folder.path(), ".sonoseg.zip", &page);
        let data = folder.path().join("data");
        ZipArchive::new(File::open(&archive).unwrap()).unwrap().extract(&data).unwrap();
        let losses = losses(&data.join("run"));
        page.close();
        losses
    };
    let gpu = learned("learn-webgpu", Graphics::SoftwareWebGpu, "?device=webgpu&updates=16", true);
    let cpu = learned("learn-cpu", Graphics::Off, "?device=cpu&updates=16", false);
    assert_eq!((gpu.len(), cpu.len()), (16, 16));
    for (update, (gpu, cpu)) in gpu.iter().zip(&cpu).enumerate() {
        // The first steps are as small as the rate of the warm-up; after them the runs drift apart. Likely, not shown: Adam makes whole
        // steps of gradients that are all rounding, of which a network that has learned nothing has many.
        let tolerance = if update < 2 { 1e-5 } else { 2e-2 };
        assert!((gpu - cpu).abs() < tolerance, "update {update}: {gpu} on WebGPU, {cpu} on the CPU");
    }
}
