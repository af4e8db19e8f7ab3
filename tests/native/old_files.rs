//! What eb4f4d5 wrote opens, predicts, goes on and is measured as it was, and what it computed comes out again: bit by bit
//! on a processor like the one it was made on. `tests/reference/eb4f4d5/README.md` says what lies there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use burn::tensor::Device;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sonoseg_core::inference::Predictor;
use sonoseg_imaging::formats;

use crate::layers::discs;
use crate::workspace::{Workspace, command, said, text};

/// A UNETR that learns in a second, and the same as the stored runs have it.
const UNETR: [&str; 6] = [
    "network.preset=tiny",
    "network.width=16",
    "network.depth=3",
    "network.heads=2",
    "network.taps=[1, 2, 3]",
    "network.feature_size=4",
];
const MAE: [&str; 3] = ["mae.decoder_width=16", "mae.decoder_depth=1", "mae.decoder_heads=2"];

fn stored(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/eb4f4d5").join(name)
}

/// What decides how sums are rounded: the instructions that the kernels are compiled for, those that matrix products look
/// for at run time, and the library that has the logarithm.
fn machine() -> String {
    let mut words = vec![std::env::consts::ARCH.to_owned()];
    #[cfg(target_arch = "x86_64")]
    words.extend(
        [
            ("fma", cfg!(target_feature = "fma"), is_x86_feature_detected!("fma")),
            ("avx2", cfg!(target_feature = "avx2"), is_x86_feature_detected!("avx2")),
            ("avx512f", cfg!(target_feature = "avx512f"), is_x86_feature_detected!("avx512f")),
            ("avx512bw", cfg!(target_feature = "avx512bw"), is_x86_feature_detected!("avx512bw")),
            ("avx512dq", cfg!(target_feature = "avx512dq"), is_x86_feature_detected!("avx512dq")),
            ("avx512vl", cfg!(target_feature = "avx512vl"), is_x86_feature_detected!("avx512vl")),
        ]
        .iter()
        .filter(|(_, compiled, detected)| *compiled || *detected)
        .map(|(name, compiled, _)| format!("{name}{}", if *compiled { "" } else { " (not compiled in)" })),
    );
    let libc = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
    words.extend(libc.ok().map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()));
    words.join(", ")
}

fn hash(bytes: impl AsRef<[u8]>) -> String {
    format!("sha256 {:x}", Sha256::digest(bytes))
}

/// The first place where two values differ. Numbers may by `tolerance`, as a share; hashes may when that is not 0. What is
/// found may say more than what is stored.
fn difference(place: &str, found: &Value, stored: &Value, tolerance: f64) -> Option<String> {
    let differs = || Some(format!("{place} is {found} instead of {stored}"));
    match (found, stored) {
        (Value::Object(found), Value::Object(stored)) => stored.iter().find_map(|(key, stored)| {
            difference(&format!("{place}.{key}"), found.get(key).unwrap_or(&Value::Null), stored, tolerance)
        }),
        (Value::Array(found), Value::Array(stored)) if found.len() == stored.len() => {
            let pairs = found.iter().zip(stored).enumerate();
            pairs.into_iter().find_map(|(at, (a, b))| difference(&format!("{place}[{at}]"), a, b, tolerance))
        }
        (Value::String(_), Value::String(hash)) if hash.starts_with("sha256") && tolerance > 0.0 => None,
        (Value::Number(a), Value::Number(b)) => {
            let [a, b] = [a, b].map(|number| number.as_f64().unwrap());
            let near = a.to_bits() == b.to_bits() || (a - b).abs() <= tolerance * b.abs().max(0.1);
            if near { None } else { differs() }
        }
        _ if found == stored => None,
        _ => differs(),
    }
}

/// Compare bit by bit on a machine like that of the reference, else within `tolerance`, and say so. What has convolutions is summed in
/// another order since (Winograd's): it is compared within `tolerance` everywhere, and bit by bit with what was computed then.
#[expect(clippy::print_stderr, reason = "a test that was less strict says so")]
fn as_it_was(what: &str, found: &Value, reference: &Value, tolerance: f64) {
    let (here, there) = (machine(), expected()["machine"].clone());
    let alike = there == here.as_str();
    let since = json_of(&stored("since-winograd.json"))[what].clone();
    let tolerance = if alike && since.is_null() {
        0.0
    } else if alike {
        tolerance
    } else {
        eprintln!("{what}: compared within {tolerance}, since the reference is of {there} and this is {here}");
        tolerance
    };
    if let Some(difference) = difference(what, found, reference, tolerance) {
        panic!("{difference}\nin all, this is found:\n{found}");
    }
    if alike && !since.is_null() {
        assert_eq!(hash(found.to_string()), since, "{what}: {found}");
    }
}

fn expected() -> Value {
    json_of(&stored("expected.json"))
}

fn json_of(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A recipe as it is today.
fn ours(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes").join(name)
}

/// The program on one thread.
fn output(words: &[&str]) -> Output {
    command(words).env("RAYON_NUM_THREADS", "1").output().unwrap()
}

fn does(words: &[&str]) -> String {
    let output = output(words);
    assert!(output.status.success(), "sonoseg {words:?} failed: {}", said(&output));
    said(&output)
}

/// The data that the stored runs learned from.
fn data(workspace: &Workspace) -> PathBuf {
    let out = workspace.path("data");
    does(&[
        "simulate",
        "needle",
        "--procedures",
        "6",
        "--frames",
        "5",
        "--seed",
        "21",
        "--difficulty",
        "simple",
        "--config",
        text(&ours("simulator/first.toml")),
        "--out",
        text(&out),
    ]);
    out
}

fn set<'a>(settings: &[&[&'a str]]) -> Vec<&'a str> {
    settings.concat().into_iter().flat_map(|setting| ["--set", setting]).collect()
}

/// Hash of the numbers of all tensors in the order of their names: what a file says beside them may change.
fn weights(path: &Path) -> String {
    let bytes = fs::read(path).unwrap();
    let mut tensors = SafeTensors::deserialize(&bytes).unwrap().tensors();
    tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
    assert!(tensors.iter().all(|(_, tensor)| tensor.dtype() == Dtype::F32), "{}", path.display());
    hash(tensors.iter().map(|(_, tensor)| tensor.data()).collect::<Vec<_>>().concat())
}

/// The lines of `metrics.jsonl` without the times.
fn history(run: &Path) -> Value {
    let line = |line: &str| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        line.as_object_mut().unwrap().remove("seconds");
        line
    };
    fs::read_to_string(run.join("metrics.jsonl")).unwrap().lines().map(line).collect()
}

/// Pixels of a picture and their mean.
fn pixels(path: &Path) -> (Vec<u8>, f64) {
    let pixels = image::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).to_luma8().into_raw();
    let sum: f64 = pixels.iter().copied().map(f64::from).sum();
    let mean = sum / pixels.len() as f64;
    (pixels, mean)
}

/// The rows of a CSV file by column. Numbers are numbers.
fn table(path: &Path) -> Value {
    let cell = |cell: &str| cell.parse::<f64>().map_or_else(|_| json!(cell), |number| json!(number));
    let mut reader = csv::Reader::from_path(path).unwrap();
    let names = reader.headers().unwrap().clone();
    let row = |row: csv::StringRecord| -> Value {
        names
            .iter()
            .zip(&row)
            .map(|(name, text)| (name.to_owned(), cell(text)))
            .collect::<BTreeMap<_, _>>()
            .into_iter()
            .collect()
    };
    reader.records().map(|record| row(record.unwrap())).collect()
}

#[test]
fn the_simulator_makes_the_same_pictures() {
    let workspace = Workspace::new();
    let small = workspace.path("configured");
    // What a file of settings leaves out is what is simulated today; this one says all.
    let config = ours("simulator/needle-demo.toml");
    let words = ["simulate", "needle", "--procedures", "1", "--frames", "2", "--seed", "9", "--config", text(&config)];
    does(&[&words, ["--out", text(&small)].as_slice()].concat());
    let procedures = [data(&workspace), small].map(|data| data.join("procedures"));
    let mut folders: Vec<PathBuf> =
        procedures.iter().flat_map(|folder| fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    let found: Value = folders
        .iter()
        .map(|folder| {
            let frames = (0..).map(|number| folder.join(format!("frames/{number:06}.png")));
            let frames: Vec<(Vec<u8>, f64)> =
                frames.take_while(|path| path.exists()).map(|path| pixels(&path)).collect();
            let means: Vec<f64> = frames.iter().map(|(_, mean)| *mean).collect();
            let all = frames.into_iter().flat_map(|(pixels, _)| pixels).collect::<Vec<_>>();
            let meta = json_of(&folder.join("meta.json"));
            json!({
                "pixels": hash(all), "means": means, "labels": table(&folder.join("labels.csv")),
                "spacing": meta["spacing"], "difficulty": meta["difficulty"], "fps": meta["fps"],
            })
        })
        .collect();
    as_it_was("simulated", &found, &expected()["simulated"], 1e-3);
}

/// 20 updates of a stored recipe in a small size.
fn twenty_updates(name: &str, recipe: &str, settings: &[&str], tolerance: f64) {
    let workspace = Workspace::new();
    let (recipe, data, run) = (stored("recipes").join(recipe), data(&workspace), workspace.path("run"));
    let words =
        ["train", text(&recipe), "--data", text(&data), "--out", text(&run), "--device", "flex", "--steps", "20"];
    let small = ["preparation.size=64", "train.batch=2", "seed=1"];
    does(&[words.as_slice(), &set(&[&small, settings])].concat());
    let losses: Vec<Value> = history(&run)
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|line| line.get("step").map(|_| line["loss"].clone()))
        .collect();
    assert_eq!(losses.len(), 20);
    let found = json!({ "losses": losses, "weights": weights(&run.join("last.safetensors")) });
    as_it_was(name, &found, &expected()[name], tolerance);
}

#[test]
fn twenty_updates_of_the_unetr_give_the_same_weights() {
    twenty_updates(
        "20 updates of the UNETR",
        "needle-sf-unetr.toml",
        &["network.preset=tiny", "train.accumulate=2"],
        1e-4,
    );
}

#[test]
fn twenty_updates_of_the_mae_give_the_same_weights() {
    twenty_updates("20 updates of the MAE", "needle-mae-v1.toml", &["network.preset=tiny"], 1e-4);
}

#[test]
fn twenty_updates_of_the_unet_give_the_same_weights() {
    // Without normalisation and at this rate a difference of rounding, 3e-6 in the third loss, is 1e-3 two updates later.
    twenty_updates("20 updates of the U-Net", "needle-unet.toml", &["network.width=8"], 1e-2);
}

/// The probabilities that a model gives, as they are before anything is read off them.
fn probabilities(model: &Path, picture: &Path) -> Value {
    let clip = formats::open(text(picture), fs::read(picture).unwrap()).unwrap();
    let predictor = Predictor::load(text(model), &fs::read(model).unwrap(), &Device::flex()).unwrap();
    let frame = clip.frame(0).unwrap();
    let prediction = pollster::block_on(predictor.predict(&[&frame])).unwrap();
    let numbers = prediction.probability().unwrap();
    let mean = numbers.iter().copied().map(f64::from).sum::<f64>() / numbers.len() as f64;
    json!({ "numbers": hash(numbers.iter().flat_map(|p| p.to_le_bytes()).collect::<Vec<_>>()), "mean": mean })
}

#[test]
fn old_models_open_and_predict_the_same() {
    let workspace = Workspace::new();
    let models =
        ["shipped", "unetr", "unet", "class"].map(|name| (name, stored(&format!("models/{name}.safetensors"))));
    let picture = stored("picture.png");
    let mut found = BTreeMap::new();
    for (name, model) in models {
        let out = workspace.path(name);
        does(&["predict", text(&model), text(&picture), "--out", text(&out), "--device", "flex"]);
        let (mask, _) = pixels(&out.join("masks/picture.png.png"));
        let geometry = table(&out.join("geometry.csv"));
        let marked = geometry[0]["mask_pixels"].as_f64().unwrap();
        let some = ["shipped", "class"].contains(&name) || (marked > 20.0 && marked < 0.5 * mask.len() as f64);
        assert!(some, "{name} marks {marked} pixels: nothing to compare");
        let probabilities = probabilities(&model, &picture);
        found.insert(name, json!({ "mask": hash(mask), "geometry": geometry, "probabilities": probabilities }));
    }
    as_it_was("predictions", &json!(found), &expected()["predictions"], 1e-3);
}

#[test]
fn an_old_mae_is_what_a_network_starts_from() {
    let workspace = Workspace::new();
    let (data, run, model) = (data(&workspace), workspace.path("run"), stored("models/mae.safetensors"));
    let recipe = stored("recipes/needle-sf-unetr.toml");
    let words =
        ["train", text(&recipe), "--data", text(&data), "--out", text(&run), "--device", "flex", "--steps", "2"];
    let small = ["preparation.size=64", "train.batch=2", "train.accumulate=1", "seed=1"];
    let told = does(&[words.as_slice(), &["--init", text(&model)], &set(&[&small, &UNETR])].concat());
    assert!(told.contains("the encoder (") && told.contains("begin anew"), "{told}");
    let found = json!({ "history": history(&run), "weights": weights(&run.join("last.safetensors")) });
    as_it_was("fine-tuned", &found, &expected()["fine-tuned"], 1e-4);
    let output =
        output(&["predict", text(&model), text(&stored("picture.png")), "--out", text(&workspace.path("out"))]);
    assert!(output.status.code() == Some(3) && said(&output).contains("--init"), "{}", said(&output));
}

/// A copy of a stored run in a workspace, which learned from `data`.
fn run_of(workspace: &Workspace, name: &str, data: &Path) -> PathBuf {
    let run = workspace.path(name);
    fs::create_dir(&run).unwrap();
    for entry in fs::read_dir(stored("runs").join(name)).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, run.join(path.file_name().unwrap())).unwrap();
        }
    }
    let path = run.join("environment.json");
    let environment = fs::read_to_string(&path).unwrap();
    assert!(environment.contains("DATA"), "{environment}");
    fs::write(&path, environment.replace("DATA", text(data))).unwrap();
    run
}

#[test]
fn old_runs_are_measured_and_reported_with_the_same_figures() {
    let workspace = Workspace::new();
    let data = data(&workspace);
    let (run, out) = (run_of(&workspace, "segment", &data), workspace.path("measured"));
    does(&["evaluate", text(&run), "--data", text(&data), "--out", text(&out), "--device", "flex"]);
    does(&["report", text(&run), "--device", "flex"]);
    let was = stored("runs/segment/evaluation");
    for measured in [out, run.join("evaluation")] {
        let (metrics, frames) = ("metrics.json", "per_frame.csv");
        as_it_was(metrics, &json_of(&measured.join(metrics)), &json_of(&was.join(metrics)), 1e-2);
        as_it_was(frames, &table(&measured.join(frames)), &table(&was.join(frames)), 1e-2);
    }
    let metrics = json_of(&was.join("metrics.json"));
    let page = fs::read_to_string(run.join("report.md")).unwrap();
    let iou = format!("{:.3}", metrics["model"]["all"]["overlap"]["iou"].as_f64().unwrap());
    assert!(page.contains(&iou) || expected()["machine"] != machine().as_str(), "{iou} is not in\n{page}");

    let run = run_of(&workspace, "mae", &data);
    does(&["report", text(&run), "--device", "flex"]);
    let page = fs::read_to_string(run.join("report.md")).unwrap();
    let best =
        history(&run).as_array().unwrap().iter().filter_map(|line| line["val_loss"].as_f64()).fold(f64::MAX, f64::min);
    assert!(page.contains(&format!("{best:.4}")), "{best} is not in\n{page}");
}

/// Go on with a run that was stopped, to its end.
fn goes_on(name: &str) {
    let workspace = Workspace::new();
    let data = data(&workspace);
    let run = run_of(&workspace, name, &data);
    let before = history(&run).as_array().unwrap().len();
    // The data are found by themselves, as the run says where they lie.
    does(&["train", "--resume", text(&run), "--device", "flex"]);
    let found = json!({
        "history": history(&run),
        "last": weights(&run.join("last.safetensors")),
        "best": weights(&run.join("best.safetensors")),
    });
    assert!(found["history"].as_array().unwrap().len() > before + 5, "it was at its end already");
    as_it_was(name, &found, &expected()[name], 1e-4);
}

#[test]
fn an_old_run_that_was_stopped_comes_to_the_same_end() {
    goes_on("segment-half");
}

#[test]
fn an_old_pre_training_that_was_stopped_comes_to_the_same_end() {
    goes_on("mae");
}

/// Whether a recipe was refused by the program with its name and what is to be changed.
fn refused_well(output: &Output, recipe: &Path) -> bool {
    let told = said(output);
    let place = told.contains("line ") || told.matches('`').count() >= 2;
    output.status.code() == Some(2) && told.contains(text(recipe)) && place
}

#[test]
fn old_recipes_run_or_are_refused_with_the_line_to_change() {
    let workspace = Workspace::new();
    let (needles, masks) = (data(&workspace), discs(&workspace));
    let train = |recipe: &Path, name: &str, of_kind: &[&str], data: &Path| {
        let run = workspace.path(&format!("run-{name}"));
        let words =
            ["train", text(recipe), "--data", text(data), "--out", text(&run), "--device", "flex", "--steps", "1"];
        let small = ["preparation.size=32", "train.batch=2", "train.accumulate=1"];
        output(&[words.as_slice(), &set(&[&small, of_kind])].concat())
    };
    let recipes: Vec<PathBuf> = fs::read_dir(stored("recipes")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let recipes: Vec<&PathBuf> = recipes.iter().filter(|path| path.is_file()).collect();
    assert_eq!(recipes.len(), 12);
    for recipe in recipes {
        let file = fs::read_to_string(recipe).unwrap();
        let (data, of_kind) = match () {
            () if file.contains("\nclass = ") => (&masks, vec!["network.width=2"]),
            () if file.contains("\narchitecture = \"unet\"") => (&needles, vec!["network.width=2"]),
            () if file.contains("\ntask = \"mae\"") => (&needles, [&UNETR[..], &MAE].concat()),
            () => (&needles, UNETR.to_vec()),
        };
        let output = train(recipe, text(Path::new(recipe.file_stem().unwrap())), &of_kind, data);
        assert!(output.status.success() || refused_well(&output, recipe), "{}: {}", recipe.display(), said(&output));
    }
    // So it is when a key is not known any more.
    let (wrong, file) = (workspace.path("wrong.toml"), stored("recipes/needle-unet.toml"));
    fs::write(&wrong, fs::read_to_string(&file).unwrap().replace("epochs", "epoch")).unwrap();
    assert!(refused_well(&train(&wrong, "wrong", &["network.width=2"], &needles), &wrong));

    for (study, scale, input) in [
        ("needle-table4", "tiny", "natural"),
        ("needle-table4", "paper", "general"),
        ("unet-layers", "tiny", "natural"),
        ("unet-layers", "paper", "natural"),
        ("unet-layers", "paper-40", "natural"),
        ("unet-layers", "xray", "natural"),
    ] {
        let file = stored("recipes/studies").join(format!("{study}.toml"));
        let input = format!("{input}=somewhere");
        let words =
            ["study", text(&file), "--data", "data", "--out", "out", "--scale", scale, "--input", &input, "--plan"];
        let output = output(&words);
        let planned = said(&output).matches("sonoseg train").count() >= 10;
        let good = output.status.success() && planned || refused_well(&output, &file);
        assert!(good, "{study} at scale {scale}: {}", said(&output));
    }
}
