//! The U-Net of Amiri 2019 as people use it: trained on pictures with masks, fine-tuned in part, looked into, studied.

use std::fs;
use std::path::{Path, PathBuf};

use image::{GrayImage, Luma, Rgb, RgbImage};
use sonoseg_core::checkpoint::{State, decode};
use sonoseg_core::models::layer_set::LayerSet;
use sonoseg_imaging::rng::splitmix64;

use crate::workspace::{Workspace, fails, succeeds, text};

pub(crate) const RECIPE: &str = r#"
name = "unet"
trained_on = "discs"
[network]
architecture = "unet"
width = 4
[data]
class = "any"
folds = 2
[preparation]
size = 32
mean = [0.0, 0.0, 0.0]
std = [1.0, 1.0, 1.0]
[augment]
crop_scale = [1.0, 1.0]
crop_ratio = [1.0, 1.0]
rotation_deg = 10.0
zoom = 0.1
[loss]
dice_weight = 0.0
gamma = 0.0
[train]
epochs = 2
batch = 2
accumulate = 1
patience = 0
samples_per_epoch = 6
[train.schedule]
kind = "constant"
[train.optimiser]
learning_rate = 1e-3
weight_decay = 0.01
decay = "l2"
layer_decay = 1.0
"#;

const STUDY: &str = r#"
name = "which layers"
about = "Is it the shallow ones?"
[folds]
over = "fold"
layers = "layers"
answers = ["deep-1", "shallow-1"]
published.small.deep-1 = [0.5, 0.1, 2.0, 0.2, 0.4, 0.1]
[scales.small]
every = ["train.epochs=1"]
[[runs]]
name = "source"
label = "where all begin"
recipe = "unet.toml"
weights = "last"
[[runs]]
name = "{fold}-{layers}"
label = "{layers}"
recipe = "unet.toml"
init = "source"
weights = "last"
settings.every = ["data.fold={fold}", "train.layers={layers}"]
vary.fold = ["0", "1"]
vary.layers = ["shallow-1", "deep-1", "all"]
"#;

/// Bright discs on noise, green and red in their masks by turns, as a data set; and the recipe.
pub(crate) fn discs(workspace: &Workspace) -> PathBuf {
    fs::write(workspace.path("unet.toml"), RECIPE).unwrap();
    let (raw, data) = (workspace.path("raw"), workspace.path("discs"));
    for folder in ["images", "masks"] {
        fs::create_dir_all(raw.join(folder)).unwrap();
    }
    for number in 0..8_u32 {
        let inside = |x: u32, y: u32| (x as i32 - 10 - number as i32).pow(2) + (y as i32 - 16).pow(2) < 36;
        let noise = |x: u32, y: u32| (x * 31 + y * 17 + number * 7) % 40;
        let picture =
            GrayImage::from_fn(36, 32, |x, y| Luma([(noise(x, y) + if inside(x, y) { 180 } else { 30 }) as u8]));
        let colour = if number % 2 == 0 { Rgb([0, 255, 0]) } else { Rgb([255, 0, 0]) };
        let mask = RgbImage::from_fn(36, 32, |x, y| if inside(x, y) { colour } else { Rgb([0, 0, 0]) });
        picture.save(raw.join(format!("images/d{number}.png"))).unwrap();
        mask.save(raw.join(format!("masks/d{number}.png"))).unwrap();
    }
    succeeds(&["ingest", text(&raw), "--out", text(&data), "--group-by", "file"]);
    data
}

#[test]
fn folds_have_equal_shares_of_the_kinds_that_folders_name() {
    let workspace = Workspace::new();
    let raw = workspace.path("raw");
    for number in 0..8_u32 {
        let folder = raw.join(if number < 4 { "benign" } else { "malignant" });
        fs::create_dir_all(&folder).unwrap();
        let noise = GrayImage::from_fn(32, 32, |x, y| {
            Luma([(splitmix64(u64::from((number << 10) + x / 4 * 32 + y / 4)) & 255) as u8])
        });
        noise.save(folder.join(format!("{number}.png"))).unwrap();
    }
    let data = workspace.path("data");
    let words = ["ingest", text(&raw), "--out", text(&data), "--group-by", "file", "--stratum-by"];
    let said = fails(2, &[words.as_slice(), &["("]].concat());
    assert!(said.contains("--stratum-by"), "{said}");
    let said = fails(2, &[words.as_slice(), &["grade(\\d)"]].concat());
    assert!(said.contains("benign/0.png is not matched by grade"), "{said}");
    succeeds(&[words.as_slice(), &["parent"]].concat());
    for (id, kind) in [("1", "benign"), ("5", "malignant")] {
        let meta = fs::read_to_string(data.join(format!("procedures/{id}/meta.json"))).unwrap();
        assert!(meta.contains(&format!("\"stratum\": \"{kind}\"")), "{meta}");
    }
}

fn train(workspace: &Workspace, data: &Path, out: &str, settings: &[&str]) -> (PathBuf, String) {
    let (recipe, out) = (workspace.path("unet.toml"), workspace.path(out));
    let basic = ["train", text(&recipe), "--data", text(data), "--out", text(&out), "--device", "flex"];
    let said = succeeds(&[&basic, settings].concat());
    (out, said)
}

fn weights(model: &Path) -> State {
    decode::<serde_json::Value>(text(model), &fs::read(model).unwrap()).unwrap().1
}

fn groups(run: &Path, side: &str) -> Vec<String> {
    let split: serde_json::Value = serde_json::from_slice(&fs::read(run.join("splits.json")).unwrap()).unwrap();
    split[side].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_unet_is_trained_measured_looked_into_and_fine_tuned_in_part() {
    let workspace = Workspace::new();
    let data = discs(&workspace);
    let (run, _) = train(&workspace, &data, "run", &[]);
    // Four discs a fold, two of each colour.
    let held = groups(&run, "val");
    let green = held.iter().filter(|name| name.ends_with(['0', '2', '4', '6'])).count();
    assert_eq!((held.len(), green), (4, 2), "{held:?}");

    let model = workspace.path("unet.safetensors");
    let last = run.join("last.safetensors");
    let said = succeeds(&["export", text(&last), "--out", text(&model)]);
    assert!(said.contains("unet"), "{said}");
    let figures = workspace.path("figures");
    let words = ["evaluate", text(&last), "--data", text(&data), "--split", "val", "--out", text(&figures)];
    let said = succeeds(&words);
    assert!(said.contains("4 frames") && said.contains("adjusted Rand: means over images"), "{said}");
    let table = fs::read_to_string(workspace.path("figures/per_frame.csv")).unwrap();
    assert!(table.lines().next().unwrap().contains("dice,pixel_error,adjusted_rand"), "{table}");
    succeeds(&["report", text(&run), "--device", "flex"]);
    let picture = data.join("procedures").join(&held[0]).join("frames/000000.png");
    succeeds(&["predict", text(&model), text(&picture), "--out", text(&workspace.path("out"))]);
    let (layer, pictures) = ("enc2.conva", workspace.path("pictures"));
    let look = |layer: &str| {
        let words = ["inspect", text(&model), "--layer", layer, "--out", text(&pictures), "--steps", "3"];
        [&words, ["--size", "16", "--filters", "2", "--image", text(&picture)].as_slice()].concat().join("\n")
    };
    succeeds(&look(layer).split('\n').collect::<Vec<_>>());
    let size = |name: &str| image::image_dimensions(pictures.join(name)).unwrap();
    assert_eq!((size("activation-enc2.conva.png"), size("features-enc2.conva.png")), ((34, 16), (8 * 18 - 2, 16)));
    let said = fails(2, &look("enc9.conva").split('\n').collect::<Vec<_>>());
    assert!(said.contains("there are enc1.conva"), "{said}");

    // The shallow blocks only, by one line.
    let (tuned, said) = train(&workspace, &data, "tuned", &["--init", text(&model), "--set", "train.layers=shallow-2"]);
    assert!(said.contains("all 38 tensors"), "{said}");
    let (before, after) = (weights(&model), weights(&tuned.join("last.safetensors")));
    let set: LayerSet = "shallow-2".parse().unwrap();
    for (name, numbers) in &before {
        assert_eq!(after[name] != *numbers, set.trains(name), "{name}");
    }

    // The other fold, and one that leaks.
    let settings = ["--set", "data.fold=1", "--set", "data.leaky_folds=true", "--set", "train.epochs=1"];
    let (other, said) = train(&workspace, &data, "other", &settings);
    assert!(said.contains("leaky_folds") && said.contains("8 samples"), "{said}");
    let mut all = [held, groups(&other, "val")].concat();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 8, "two folds hold everything");

    let (recipe, never) = (workspace.path("unet.toml"), workspace.path("never"));
    let words = ["train", text(&recipe), "--data", text(&data), "--out", text(&never), "--init", text(&model)];
    let said = fails(3, &[&words, ["--set", "network.width=8"].as_slice()].concat());
    assert!(said.contains("do not fit"), "{said}");
    fs::remove_dir_all(&never).unwrap();
    let said = fails(3, &[&words[..6], ["--set", "data.folds=9"].as_slice()].concat());
    assert!(said.contains("9 folds"), "{said}");
}

#[test]
fn a_study_over_folds_has_means_with_errors_and_both_figures() {
    let workspace = Workspace::new();
    let data = discs(&workspace);
    let (file, out) = (workspace.path("study.toml"), workspace.path("out"));
    fs::write(&file, STUDY).unwrap();
    let words =
        ["study", text(&file), "--data", text(&data), "--out", text(&out), "--scale", "small", "--device", "flex"];
    let plan = succeeds(&[&words, ["--plan", "--stage", "1"].as_slice()].concat());
    assert_eq!(plan.matches("sonoseg train").count(), 6, "{plan}");
    assert!(plan.contains("--set 'data.fold=1' --set 'train.layers=deep-1'"), "{plan}");

    succeeds(&words);
    let table = fs::read_to_string(out.join("table.csv")).unwrap();
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let names: Vec<&str> = rows.iter().map(|row| &row[0]).collect();
    assert_eq!(names, ["baseline, nothing learned", "shallow-1", "deep-1", "all"]);
    for row in &rows {
        assert_eq!(&row[1], "2", "folds");
        assert!(row.iter().skip(2).take(9).all(|cell| cell.parse::<f64>().is_ok()), "{row:?}");
    }
    assert_eq!(&rows[2][12], "0.50 ± 0.10");
    let report = fs::read_to_string(out.join("report.md")).unwrap();
    for words in
        ["Not for clinical use", "answers.png", "blocks.svg", "shallow first minus deep first", "where all begin"]
    {
        assert!(report.contains(words), "{words} is not in {report}");
    }
    let svg = fs::read_to_string(out.join("blocks.svg")).unwrap();
    assert!(svg.contains("blocks that learn") && svg.contains("deep first"));

    fs::write(&file, STUDY.replace("{fold}-{layers}", "{layers}")).unwrap();
    let said = fails(2, &words);
    assert!(said.contains("two runs are called shallow-1"), "{said}");
}
