//! How fast the built app is under the hand, and how fast it learns: `cargo xtask bench browser` builds it and runs this.
//!
//! `bench_browser TRAINER [hand|learn]`; for `hand` the trainer may be empty.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement may panic, and prints what it finds")]

#[expect(dead_code, reason = "the tests use the rest")]
mod chromium;
#[expect(dead_code, reason = "the tests use the rest")]
mod learner;
mod process;
mod server;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use chromium::{Graphics, Page};
use learner::{learning, mark, press_button, saved, steps, updates, use_small_model};
use sha2::{Digest, Sha256};
use sonoseg_imaging::annotation::{Answer, Brush, By, ClipRecord, Edit, Entry, Project, Step, Verdict, line_of};
use sonoseg_imaging::archive::Export;
use sonoseg_imaging::dataset::finding::Finding;
use sonoseg_imaging::formats::dicom_write::{DicomClipOptions, write_dicom_clip};
use sonoseg_imaging::geometry::{Image, Mask, Point};
use zip::ZipArchive;

const SIDE: usize = 1024;
const FRAMES: usize = 300;
const STROKES: usize = 500;
const CHANGES: usize = 2000;

/// Updates of a run whose speed is measured; the first ones warm up.
const UPDATES: usize = 30;
const WARM: usize = 5;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [trainer, what @ ..] = words.as_slice() else { panic!("the trainer's program is to be named") };
    let wanted = |name: &str| what.is_empty() || what.iter().any(|word| word == name);
    if wanted("hand") {
        hand();
    }
    if wanted("learn") {
        learns(Path::new(trainer));
    }
}

fn hand() {
    let folder = tempfile::tempdir().unwrap();
    let [clip, project] = annotated(folder.path());
    let page = Page::open("bench", Graphics::Off, "?device=cpu");
    ready(&page);
    page.pause();
    side_by_side(&page, folder.path());
    page.choose_files("#bring-back", &[&project]);
    page.wait(300, "project", |_| (!page.part(".project").text("project").is_empty()).then_some(()));
    page.choose_files("#open-files", &[&clip]);
    page.wait(600, "clip", |state| (state.number("answered") == Some(FRAMES as f64)).then_some(()));
    page.pause();
    strokes(&page);
    frame_changes(&page);
    drop(page);
    shift();
}

fn ready(page: &Page) {
    page.wait(300, "ready page", |state| {
        (state.text("state") == "ready" && state.number("frames") > Some(0.0)).then_some(())
    });
}

/// A clip of large frames, and a project in which all of them are painted.
fn annotated(folder: &Path) -> [PathBuf; 2] {
    let picture = |frame: usize| {
        let grey = |at: usize| ((at % SIDE / 7) ^ (at / SIDE / 9) ^ frame) as u8;
        Image::from_grey8(SIDE, SIDE, &(0..SIDE * SIDE).map(grey).collect::<Vec<_>>())
    };
    let images: Vec<Image> = (0..FRAMES).map(picture).collect();
    let options = DicomClipOptions { fps: 30.0, region: None, quality: 60, seed: 1 };
    let bytes = write_dicom_clip(&images, &options).unwrap();
    let key: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let answer = |frame: usize| {
        let mut mask = Mask::empty(SIDE, SIDE);
        let shift = (frame % 300) as f64;
        let way = [Point { x: 200.0 + shift, y: 150.0 }, Point { x: 500.0 + shift, y: 800.0 }];
        Brush { radius_px: 9.0, class: 1, only_over: None }.paint(&mut mask, &way);
        let needle = line_of(&mask);
        (frame, Answer { needle, mask: Some(mask), ..Answer::bare(Verdict::Corrected, By::default()) })
    };
    let answers: BTreeMap<usize, Answer> = (0..FRAMES).map(answer).collect();
    let record = ClipRecord { name: "bench.dcm".into(), frames: FRAMES, height: SIDE, width: SIDE, answers };
    let edits = vec![Edit::Clip { clip: key, record: Some(record) }];
    let mut project = Project::default();
    project.apply(Entry::Do(Step { name: "all".into(), edits })).unwrap();
    let (archive, _) = Export::new("bench", &Finding::Needles, project).finish().unwrap();
    let paths = ["bench.dcm", "bench.sonoseg.zip"].map(|name| folder.join(name));
    std::fs::write(&paths[0], bytes).unwrap();
    std::fs::write(&paths[1], archive).unwrap();
    paths
}

/// Frames that the app's model predicts in a second on the CPU: the bundled clip, once the model is warm.
fn side_by_side(page: &Page, folder: &Path) {
    let looked_at = || {
        page.wait(300, "answers for all frames", |_| {
            let said = page.script("document.querySelector('.file[aria-current] small')?.innerText ?? ''");
            said.as_str().is_some_and(|said| said.contains("frames") && !said.contains("so far")).then_some(())
        });
    };
    looked_at();
    let model = folder.join("again.safetensors");
    std::fs::copy(chromium::repository().join("app/assets/demo.safetensors"), &model).unwrap();
    page.choose_files("#open-model", &[&model]);
    page.wait(60, "first answer", |state| {
        let again = page.script("document.querySelector('.model-name')?.dataset.model ?? ''") == "again.safetensors";
        (again && state.text("predicted") != "waiting").then_some(())
    });
    let tally = || {
        let text = page.script("document.querySelector('.tally').innerText");
        text.as_str().and_then(|text| text.split(' ').next()?.parse::<f64>().ok()).unwrap_or_default()
    };
    let (start, first) = (Instant::now(), tally());
    looked_at();
    let rate = (tally() - first) / start.elapsed().as_secs_f64();
    println!(
        "predicted on the CPU with {} cores: {rate:.1} frames a second",
        page.script("navigator.hardwareConcurrency")
    );
}

/// The time that the page is busy with parts of strokes, handlers and drawing together.
fn strokes(page: &Page) {
    page.script(
        "{ const raf = window.requestAnimationFrame.bind(window); window.drawn = 0; \
         window.requestAnimationFrame = f => raf(t => { const start = performance.now(); f(t); window.drawn += performance.now() - start; }); }",
    );
    page.press("b");
    page.script(
        "{ const canvas = document.querySelector('.stage > canvas'), box = canvas.getBoundingClientRect(); \
         const next = () => new Promise(done => setTimeout(() => requestAnimationFrame(() => setTimeout(done)))); \
         window.times = [[], [], []]; let seed = 1; const random = () => (seed = seed * 16807 % 2147483647) / 2147483647; \
         const send = async (kind, x, y, buttons) => { const start = performance.now(); window.drawn = 0; \
         canvas.dispatchEvent(new PointerEvent(kind, { pointerId: 7, isPrimary: true, clientX: x, clientY: y, pointerType: 'pen', \
         button: 0, buttons, bubbles: true })); const handled = performance.now() - start; await next(); return handled + window.drawn; }; \
         window.strokes = async count => { const [moves, ends, all] = window.times; \
         for (let stroke = 0; stroke < count; stroke++) { const x = box.left + box.width * (0.35 + 0.3 * random()), \
         y = box.top + box.height * (0.2 + 0.6 * random()), turn = 6.28 * random(); let sum = await send('pointerdown', x, y, 1); \
         for (let step = 1; step <= 8; step++) { const way = 8 * step; const took = await send('pointermove', x + way * Math.cos(turn), \
         y + way * Math.sin(turn), 1); moves.push(took); sum += took; } \
         const end = await send('pointerup', x + 64 * Math.cos(turn), y + 64 * Math.sin(turn), 0); ends.push(end); all.push(sum + end); } }; }",
    );
    // In parts, for an answer may not take longer than a minute.
    for _ in 0..STROKES / 50 {
        page.script("window.strokes(50)");
    }
    let times = page.script(
        "JSON.stringify(window.times.map(list => list.sort((a, b) => a - b)) \
         .map(list => [0.5, 0.95, 1].map(share => list[Math.floor(share * (list.length - 1))])))",
    );
    let times: Vec<[f64; 3]> = serde_json::from_str(times.as_str().unwrap()).unwrap();
    println!("{STROKES} strokes at {SIDE}x{SIDE} beside {FRAMES} annotated frames, ms (typical, p95, slowest):");
    let names = [
        "a move of the brush until it is drawn",
        "the end of a stroke, its line and its journal",
        "a stroke of eight moves, all of it",
    ];
    for (name, [typical, slow, slowest]) in names.into_iter().zip(times) {
        println!("  {name}: {typical:.1}, {slow:.1}, {slowest:.1}");
    }
    page.screenshot("strokes");
}

/// The memory of the browser while frames are changed.
fn frame_changes(page: &Page) {
    println!("memory of the tab while frames change, MB (all of its process; of that the page's script and objects):");
    let parts = 8;
    for part in 0..=parts {
        let heap = page.script("performance.memory.usedJSHeapSize").as_f64().unwrap_or_default();
        println!("  {:5} changes: {:.0}, {:.0}", part * CHANGES / parts, memory_mb(page), heap / 1e6);
        if part < parts {
            page.script(&format!(
                "(async () => {{ for (let change = 0; change < {}; change++) {{ const key = change % 150 < 75 ? 'f' : 'd'; \
                 document.body.dispatchEvent(new KeyboardEvent('keydown', {{ key, bubbles: true }})); \
                 await new Promise(done => setTimeout(done, 30)); }} }})()",
                CHANGES / parts
            ));
        }
    }
}

/// How far the layout shifts in 14 seconds of playing.
fn shift() {
    let page = Page::open("shift", Graphics::Off, "?device=cpu");
    ready(&page);
    let shift = page.script(
        "new Promise(done => { let shift = 0; new PerformanceObserver(list => list.getEntries().forEach(entry => { shift += entry.value; })) \
         .observe({ type: 'layout-shift' }); setTimeout(() => done(shift), 14000); })",
    );
    println!("layout shift in 14 s of playing: {:.4}", shift.as_f64().unwrap());
}

/// How fast the tab learns beside the trainer, and its memory meanwhile.
fn learns(trainer: &Path) {
    const ONE: &str = "Object.defineProperty(navigator, 'hardwareConcurrency', { value: 1 });";
    const TWO: &str = "Object.defineProperty(navigator, 'hardwareConcurrency', { value: 2 });";
    println!(
        "updates a second ({UPDATES} updates, the first {WARM} left out), in the tab and by the trainer, and its time by theirs:"
    );
    compare("the app's model, CPU, 1 worker", trainer, Graphics::Off, ONE, ("flex", 1), false);
    compare("the app's model, CPU, 2 workers", trainer, Graphics::Off, TWO, ("flex", 2), false);
    compare("a small model, CPU, 1 worker", trainer, Graphics::Off, ONE, ("flex", 1), true);
    compare("a small model, WebGPU on SwiftShader", trainer, Graphics::SoftwareWebGpu, "", ("vulkan", 2), true);
    memory_while_learning("CPU", Graphics::Off, 2000);
    memory_while_learning("WebGPU", Graphics::SoftwareWebGpu, 200);
}

/// A run in the tab, and the same run by the trainer.
fn compare(name: &str, trainer: &Path, graphics: Graphics, before: &'static str, native: (&str, usize), small: bool) {
    let folder = tempfile::tempdir().unwrap();
    let device = if graphics == Graphics::Off { "cpu" } else { "webgpu" };
    let page = Page::open_with("bench-speed", graphics, &format!("?device={device}&updates={UPDATES}"), before);
    begin(&page, folder.path(), small);
    learning(&page, 3000, "judged");
    press_button(&page, "Keep and use");
    learning(&page, 60, "idle");
    page.save_into(folder.path());
    press_button(&page, "Take run out");
    let archive = saved(folder.path(), ".sonoseg.zip", &page);
    drop(page);
    let data = folder.path().join("data");
    ZipArchive::new(File::open(archive).unwrap()).unwrap().extract(&data).unwrap();
    let (run, again) = (data.join("run"), folder.path().join("again"));
    let (recipe, init) = (run.join("recipe.toml"), run.join("before.safetensors"));
    let [recipe, data, init, out] = [&recipe, &data, &init, &again].map(|path| path.to_str().unwrap());
    let (kind, threads) = native;
    let done = Command::new(trainer)
        .args(["train", recipe, "--data", data, "--init", init, "--out", out, "--device", kind])
        .env("RAYON_NUM_THREADS", threads.to_string())
        .env("VK_ICD_FILENAMES", "/usr/lib/chromium/vk_swiftshader_icd.json")
        .output()
        .unwrap();
    if !done.status.success() {
        println!("  {name}: {:.2}, the trainer: {}", rate(&run), String::from_utf8_lossy(&done.stderr).trim());
        return;
    }
    let [tab, native] = [&run, &again].map(|run| rate(run));
    println!("  {name}: {tab:.2}, {native:.2}, {:.2}", native / tab);
}

/// Mark frames and start to learn from them.
fn begin(page: &Page, folder: &Path, small: bool) {
    ready(page);
    page.pause();
    if small {
        use_small_model(page, folder);
    }
    mark(page, 8);
    press_button(page, "Learn from my frames\u{2026}");
    learning(page, 600, "planned");
    press_button(page, "Start");
}

/// Updates a second, by the clock that the run itself writes down.
fn rate(run: &Path) -> f64 {
    let seconds: Vec<f64> = steps(run).iter().map(|line| line["seconds"].as_f64().unwrap()).collect();
    (seconds.len() - 1 - WARM) as f64 / (seconds[seconds.len() - 1] - seconds[WARM])
}

/// The memory of the browser while a small model learns.
fn memory_while_learning(name: &str, graphics: Graphics, count: u64) {
    let folder = tempfile::tempdir().unwrap();
    let device = if graphics == Graphics::Off { "cpu" } else { "webgpu" };
    let page = Page::open("bench-memory", graphics, &format!("?device={device}&updates={count}"));
    begin(&page, folder.path(), true);
    println!("memory while a small model learns on {name}, MB (the tab; the graphics process):");
    for part in 1..=8 {
        let update = count * part / 8;
        page.wait(3000, "updates", |_| (updates(&page) >= update).then_some(()));
        println!("  {update:5} updates: {:.0}, {:.0}", memory_mb(&page), megabytes(&page, "gpu-process"));
    }
}

/// Memory of all tabs in megabytes.
fn memory_mb(page: &Page) -> f64 {
    megabytes(page, "renderer")
}

/// Memory of all processes of a kind in megabytes.
fn megabytes(page: &Page, kind: &str) -> f64 {
    let processes = process::of_kind(page.browser.get_process_id().unwrap_or_default(), kind);
    processes.into_iter().filter_map(|process| process::number(process, "VmRSS:")).sum::<f64>() / 1000.0
}
