//! Whether learning in the tab keeps its promise: `cargo xtask bench learn` builds the app and runs this. Recordings of domains that
//! the app's model does badly on are marked in part, learned from with one click, and both models are measured on the rest.
//!
//! `bench_learn [--frames 3,8,20] [--seeds 1,2,3] [--domains bath,..] [--share 0.5] [--updates 80] [--trainer PATH] [--out table.csv]`
//!
//! With `--trainer` that program learns, by the recipe of the page, on the same frames: to choose the defaults, in a fifth of the time.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement may panic, and prints what it finds")]

#[expect(dead_code, reason = "the tests use the rest")]
mod chromium;
#[expect(dead_code, reason = "the tests use the rest")]
mod learner;
mod process;
mod server;

use std::fmt::Write;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use burn::tensor::Device;
use chromium::{Graphics, Page};
use learner::{learning, press_button, saved};
use sha2::{Digest, Sha256};
use sonoseg_core::inference::{ModelHeader, Predictor};
use sonoseg_core::recipe::Further;
use sonoseg_imaging::annotation::{Answer, By, ClipRecord, Edit, Entry, Project, Step, Verdict};
use sonoseg_imaging::archive::{ClipFacts, Export};
use sonoseg_imaging::dataset::finding::Finding;
use sonoseg_imaging::dataset::sample::{Sample, Target};
use sonoseg_imaging::evaluate::{Gate, Reference};
use sonoseg_imaging::formats::dicom_write::{DicomClipOptions, write_dicom_clip};
use sonoseg_imaging::geometry::{Image, ScaleRegion};
use sonoseg_imaging::synthetic::{Difficulty, NeedleSimConfig, ProcedureSim, SimFrame};
use zip::ZipArchive;

/// Frames of a recording.
const FRAMES: usize = 60;

/// The model does badly where its IoU is below this on every sixth frame of a recording.
const BADLY: f64 = 0.3;

/// Seeds of the domains; nobody learns from them.
const SEED: u64 = 71_000;

/// Frames of what the model knew before.
const OLD: u64 = 120;

/// The domains: settings of the simulator.
fn domain(name: &str) -> NeedleSimConfig {
    let simple = NeedleSimConfig { difficulty: Some(Difficulty::Simple), ..NeedleSimConfig::default() };
    match name {
        // A phantom in a water bath, with a bright rim.
        "bath" => NeedleSimConfig { phantom_share: 1.0, bath_share: 1.0, ..simple },
        // Needles that begin and end inside the pictures of a curved probe.
        "floating" => NeedleSimConfig { probe_weights: [0.0, 0.0, 1.0], floating_share: 1.0, ..simple },
        // Biopsy needles, twice as thick.
        "thick" => NeedleSimConfig { gauge_mm: [2.0, 3.0], ..simple },
        other => panic!("{other} is no domain"),
    }
}

#[derive(Debug)]
struct Options {
    frames: Vec<usize>,
    seeds: Vec<u64>,
    domains: Vec<String>,
    share: Option<f64>,
    updates: Option<u64>,
    trainer: Option<PathBuf>,
    out: Option<PathBuf>,
}

impl Options {
    fn of(words: &[String]) -> Self {
        fn list<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> Vec<T> {
            text.split(',').map(|word| word.parse().unwrap()).collect()
        }
        let domains = ["bath", "floating", "thick"].map(str::to_owned).to_vec();
        let mut options = Self {
            frames: vec![3, 8, 20],
            seeds: vec![1, 2, 3],
            domains,
            share: None,
            updates: None,
            trainer: None,
            out: None,
        };
        for pair in words.chunks(2) {
            let value = pair.get(1).unwrap_or_else(|| panic!("{} needs a value", pair[0]));
            match pair[0].as_str() {
                "--frames" => options.frames = list(value),
                "--seeds" => options.seeds = list(value),
                "--domains" => options.domains = list(value),
                "--share" => options.share = Some(value.parse().unwrap()),
                "--updates" => options.updates = Some(value.parse().unwrap()),
                "--trainer" => options.trainer = Some(value.into()),
                "--out" => options.out = Some(value.into()),
                other => panic!("{other} is no option"),
            }
        }
        options
    }
}

fn main() {
    let options = Options::of(&std::env::args().skip(1).collect::<Vec<_>>());
    let mut table = "domain,seed,marked,minutes,set,figure,before,after\n".to_owned();
    for name in &options.domains {
        for &seed in &options.seeds {
            let [recording, other] = recordings(&domain(name), SEED + seed);
            for &marked in &options.frames {
                let numbers: Vec<usize> = (0..marked).map(|at| (2 * at + 1) * FRAMES / (2 * marked)).collect();
                let folder = tempfile::tempdir().unwrap();
                let files = marked_files(&recording, &numbers, folder.path());
                let (model, minutes) = match &options.trainer {
                    Some(trainer) => learn_natively(trainer, &numbers, folder.path(), &options),
                    None => learn(&files, &numbers, folder.path(), &options),
                };
                let models =
                    [app_model(), model].map(|bytes| Predictor::load("model", &bytes, &Device::flex()).unwrap());
                let rest = (0..FRAMES).filter(|frame| !numbers.contains(frame)).map(|frame| &recording[frame]);
                let sets = [
                    ("the rest of the recording", compare(&models.each_ref(), rest)),
                    ("another recording", compare(&models.each_ref(), &other)),
                    ("what it knew", compare(&models.each_ref(), &old())),
                ];
                for (set, gate) in sets {
                    for line in &gate.lines {
                        let [before, after] =
                            line.values.map(|value| value.map_or_else(String::new, |value| format!("{value:.4}")));
                        writeln!(table, "{name},{seed},{marked},{minutes:.2},{set},{},{before},{after}", line.name)
                            .unwrap();
                    }
                    let [before, after] = gate.values("iou").unwrap_or_default().map(Option::unwrap_or_default);
                    println!(
                        "{name}, seed {seed}, {marked} marked, {minutes:.1} minutes; {set}: IoU {before:.3} before, {after:.3} after"
                    );
                }
                if let Some(out) = &options.out {
                    std::fs::write(out, &table).unwrap();
                }
            }
        }
    }
}

/// Two recordings of a domain in which the needle is to be seen most of the time: the first on which the app's model does badly, as
/// that is what people correct, and the next, however it does there.
fn recordings(config: &NeedleSimConfig, seed: u64) -> [Vec<SimFrame>; 2] {
    let model = Predictor::load("model", &app_model(), &Device::flex()).unwrap();
    let all = (0..).map(|index| ProcedureSim::new(config, seed, index, FRAMES));
    let frames = all.map(|sim| (0..FRAMES).map(|frame| sim.frame(frame)).collect::<Vec<_>>());
    let seen = |frames: &Vec<SimFrame>| frames.iter().filter(|frame| frame.needle.is_some()).count() >= FRAMES / 2;
    let badly = |frames: &Vec<SimFrame>| {
        let gate = compare(&[&model, &model], frames.iter().step_by(FRAMES / 10));
        gate.values("iou").and_then(|[before, _]| before).is_some_and(|before| before < BADLY)
    };
    let mut fit = frames.filter(seen).skip_while(|frames| !badly(frames));
    std::array::from_fn(|_| fit.next().unwrap())
}

/// What the app's model was made for: single frames of many insertions.
fn old() -> Vec<SimFrame> {
    let config = toml::from_str(include_str!("../../recipes/simulator/first.toml")).unwrap();
    (0..OLD).map(|index| ProcedureSim::new(&config, SEED, index, 2).frame(1)).collect()
}

fn app_model() -> Vec<u8> {
    std::fs::read(chromium::repository().join("app/assets/demo.safetensors")).unwrap()
}

/// Both models on the same frames.
fn compare<'a>(models: &[&Predictor; 2], frames: impl IntoIterator<Item = &'a SimFrame>) -> Gate {
    let recipe = &models[0].header().recipe;
    let of_frame = |(number, frame): (usize, &SimFrame)| {
        let frames = vec![frame.image.clone(); models[0].window()];
        let targets = vec![Target::Needle(frame.needle); frames.len()];
        let sample = Sample { id: number.to_string(), group: "recording".into(), frames, targets };
        let reference = Reference::new(&sample, recipe.preparation.size, recipe.needle.radius_px, &[])?;
        let scores = models.map(|model| reference.score(&pollster::block_on(model.answer(&sample)).unwrap()));
        Some((sample.id, sample.group, scores))
    };
    Gate::new(&frames.into_iter().enumerate().filter_map(of_frame).collect::<Vec<_>>())
}

/// The model that the page makes of some marked frames with one click, and the minutes that it takes.
fn learn([clip, project]: &[PathBuf; 2], numbers: &[usize], folder: &Path, options: &Options) -> (Vec<u8>, f64) {
    assert_eq!(options.share, None, "the share in the page is its own: --share is for --trainer");
    let updates = options.updates.map_or_else(String::new, |updates| format!("&updates={updates}"));
    let page = Page::open("bench-learn", Graphics::Off, &format!("?device=cpu{updates}"));
    page.wait(300, "ready page", |state| {
        (state.text("state") == "ready" && state.number("frames") > Some(0.0)).then_some(())
    });
    page.pause();
    page.choose_files("#bring-back", &[project]);
    page.wait(60, "project", |_| (!page.part(".project").text("project").is_empty()).then_some(()));
    page.choose_files("#open-files", &[clip]);
    page.wait(120, "clip", |state| (state.number("answered") == Some(numbers.len() as f64)).then_some(()));
    page.pause();
    let start = Instant::now();
    press_button(&page, "Learn from my frames\u{2026}");
    learning(&page, 1800, "planned");
    press_button(&page, "Start");
    learning(&page, 1800, "judged");
    let minutes = start.elapsed().as_secs_f64() / 60.0;
    page.screenshot("gate");
    press_button(&page, "Keep and use");
    learning(&page, 1800, "idle");
    page.save_into(folder);
    press_button(&page, "Export model");
    let model = std::fs::read(saved(folder, ".safetensors", &page)).unwrap();
    page.close();
    (model, minutes)
}

/// The model that the trainer makes of the same frames by the page's recipe, and the minutes.
fn learn_natively(trainer: &Path, numbers: &[usize], folder: &Path, options: &Options) -> (Vec<u8>, f64) {
    let (header, _) = ModelHeader::read("the app's model", &app_model()).unwrap();
    let chosen = Further::default();
    let chosen = Further {
        simulated: options.share.unwrap_or(chosen.simulated),
        updates: options.updates.unwrap_or(chosen.updates),
        ..chosen
    };
    let learned = (numbers.len() as f64 * 0.8).round() as usize;
    let [data, recipe, out] = ["data", "recipe.toml", "run"].map(|name| folder.join(name));
    std::fs::write(&recipe, header.recipe.further(&chosen, learned).to_toml()).unwrap();
    let model = chromium::repository().join("app/assets/demo.safetensors");
    let start = Instant::now();
    let paths = [&recipe, &data, &model, &out].map(|path| path.to_str().unwrap());
    let [recipe, data, init, out] = paths;
    let done = Command::new(trainer)
        .args(["train", recipe, "--data", data, "--init", init, "--out", out, "--device", "flex"])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let run = folder.join("run");
    let file =
        ["best.safetensors", "last.safetensors"].map(|name| run.join(name)).into_iter().find(|file| file.exists());
    (std::fs::read(file.unwrap()).unwrap(), start.elapsed().as_secs_f64() / 60.0)
}

/// A recording as a DICOM file, and a project in which some of its frames are marked; with its frames it lies in `data`, too.
fn marked_files(recording: &[SimFrame], numbers: &[usize], folder: &Path) -> [PathBuf; 2] {
    let images: Vec<Image> = recording.iter().map(|frame| frame.image.clone()).collect();
    let (height, width) = (images[0].height, images[0].width);
    let spacing = images[0].scale.at(&[(width as f64 / 2.0, height as f64 / 2.0)]).unwrap();
    let region = ScaleRegion { left: 0.0, top: 0.0, right: width as f64 - 1.0, bottom: height as f64 - 1.0, spacing };
    let options = DicomClipOptions { fps: 15.0, region: Some(region), quality: 95, seed: 1 };
    let bytes = write_dicom_clip(&images, &options).unwrap();
    let key: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let answer = |&number: &usize| {
        let needle = recording[number].needle;
        let verdict = if needle.is_some() { Verdict::Corrected } else { Verdict::Nothing };
        (number, Answer { needle, ..Answer::bare(verdict, By::default()) })
    };
    let answers = numbers.iter().map(answer).collect();
    let record = ClipRecord { name: "recording.dcm".into(), frames: FRAMES, height, width, answers };
    let edits = vec![Edit::Clip { clip: key.clone(), record: Some(record) }];
    let mut project = Project::default();
    project.apply(Entry::Do(Step { name: "marked".into(), edits })).unwrap();
    let mut whole = Export::new("study", &Finding::Needles, project.clone());
    let facts = ClipFacts { scale: images[0].scale.clone(), ..ClipFacts::default() };
    let mut with_frames = whole.clip(&key, facts).unwrap();
    for (number, image) in images.iter().enumerate() {
        with_frames.extend(whole.frame(number, Some(image)).unwrap());
    }
    with_frames.extend(whole.finish().unwrap().0);
    ZipArchive::new(Cursor::new(with_frames)).unwrap().extract(folder.join("data")).unwrap();
    let (archive, _) = Export::new("study", &Finding::Needles, project).finish().unwrap();
    let paths = ["recording.dcm", "study.sonoseg.zip"].map(|name| folder.join(name));
    std::fs::write(&paths[0], bytes).unwrap();
    std::fs::write(&paths[1], archive).unwrap();
    paths
}
