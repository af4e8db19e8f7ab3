//! Several classes told apart: learned, measured by mIoU, predicted, reported, compared; and what is refused.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sonoseg_imaging::formats::encode::{encode_png_grey, encode_png_mask};
use sonoseg_imaging::formats::mask::read_class_mask;
use sonoseg_imaging::geometry::Mask;

use crate::workspace::{Workspace, fails, succeeds, text};

const SIDE: usize = 32;
const CASES: usize = 5;

/// The network's answers are of its own size, which is that of the pictures: figures can be made again from the files.
const UNET: &str = r#"
name = "classes"
[network]
architecture = "unet"
width = 4
dropout = 0.0
[preparation]
size = 32
[data]
classes = ["vessel", "nerve"]
[loss]
gamma = 0.0
dice_weight = 0.0
mean_over = "all"
[train]
epochs = 30
batch = 2
accumulate = 1
[train.optimiser]
learning_rate = 0.01
[train.schedule]
kind = "poly"
power = 0.9
min_share = 0.01
"#;

/// A bright nerve, 1 in the file, and a dark vessel, 2, in grey tissue, with a strip that nobody judged.
fn mask(case: usize) -> Vec<u8> {
    let class = |row: usize, column: usize| match (row, column) {
        (0..3, _) => 255,
        (8..16, column) if (4 + case..18).contains(&column) => 1,
        (18..30, column) if (14..28 - case).contains(&column) => 2,
        _ => 0,
    };
    (0..SIDE * SIDE).map(|at| class(at / SIDE, at % SIDE)).collect()
}

fn data(workspace: &Workspace) -> PathBuf {
    let data = workspace.path("data");
    for case in 0..CASES {
        let folder = data.join(format!("procedures/case_{case}"));
        for part in ["frames", "masks"] {
            fs::create_dir_all(folder.join(part)).unwrap();
        }
        let classes = mask(case);
        let level = |(at, &class): (usize, &u8)| [110, 220, 10, 110][usize::from(class.min(3))] + (at * 37 % 30) as u8;
        let picture: Vec<u8> = classes.iter().enumerate().map(level).collect();
        let mask = Mask { height: SIDE, width: SIDE, classes };
        fs::write(folder.join("frames/000000.png"), encode_png_grey(SIDE, SIDE, &picture).unwrap()).unwrap();
        fs::write(folder.join("masks/000000.png"), encode_png_mask(&mask).unwrap()).unwrap();
        let meta = json!({ "classes": ["background", "nerve", "vessel"], "ignore": 255 });
        fs::write(folder.join("meta.json"), meta.to_string()).unwrap();
    }
    data
}

/// The class numbers of a mask that was written.
fn written(path: &Path) -> Vec<u8> {
    read_class_mask("mask", &fs::read(path).unwrap(), None).unwrap().classes
}

/// IoU of each class, slowly: numbers are those of the run, in which the vessel comes first.
fn iou(pairs: &[(Vec<u8>, Vec<u8>)], class: u8) -> f64 {
    let of_run = |stored: u8| [0, 2, 1][usize::from(stored)];
    let (mut both, mut either) = (0.0, 0.0);
    for (said, truth) in pairs {
        for (&said, &truth) in said.iter().zip(truth).filter(|(_, truth)| **truth != 255) {
            let (said, truth) = (said == class, of_run(truth) == class);
            both += f64::from(u8::from(said && truth));
            either += f64::from(u8::from(said || truth));
        }
    }
    both / either
}

fn figure(metrics: &Value, method: &str, name: &str) -> f64 {
    let figures = metrics[method]["all"]["figures"].as_array().unwrap();
    let one = figures.iter().find(|figure| figure["name"] == name);
    one.unwrap_or_else(|| panic!("no figure {name}"))["value"].as_f64().unwrap()
}

#[test]
fn classes_are_learned_measured_and_predicted_under_their_names() {
    let workspace = Workspace::new();
    let data = data(&workspace);
    fs::write(workspace.path("recipe.toml"), UNET).unwrap();
    let run = workspace.train(&data, "run", &[]);
    let log = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let last: Value = serde_json::from_str(log.lines().rfind(|line| line.contains("val_loss")).unwrap()).unwrap();
    for name in ["val_miou", "val_mean_accuracy", "val_iou_background", "val_iou_vessel", "val_iou_nerve"] {
        assert!(last[name].is_f64(), "{name}: {last}");
    }
    let rate = |line: &str| serde_json::from_str::<Value>(line).unwrap()["rate"].as_f64().unwrap();
    let rates: Vec<f64> = log.lines().filter(|line| line.contains("\"rate\"")).map(rate).collect();
    let poly = |update: usize| 0.01 * (0.99 * (1.0 - update as f64 / 60.0).powf(0.9) + 0.01);
    assert_eq!(rates.len(), 60);
    for update in [0, 1, 30, 59] {
        assert!((rates[update] - poly(update)).abs() < 1e-9, "update {update}: {}", rates[update]);
    }

    let out = workspace.path("evaluation");
    let common = ["evaluate", text(&run), "--data", text(&data), "--split", "all", "--device", "flex"];
    let printed = succeeds(&[&common[..], &["--out", text(&out), "--masks"]].concat());
    assert!(printed.contains("baseline = all background") && printed.contains("IoU of nerve"), "{printed}");
    let metrics: Value = serde_json::from_slice(&fs::read(out.join("metrics.json")).unwrap()).unwrap();
    let pairs: Vec<(Vec<u8>, Vec<u8>)> =
        (0..CASES).map(|case| (written(&out.join(format!("masks/case_{case}/000000.png"))), mask(case))).collect();
    let slow = [0, 1, 2].map(|class| iou(&pairs, class));
    for (name, expected) in ["iou_background", "iou_vessel", "iou_nerve"].iter().zip(slow) {
        assert!((figure(&metrics, "model", name) - expected).abs() < 1e-12, "{name}");
    }
    assert!((figure(&metrics, "model", "miou") - slow.iter().sum::<f64>() / 3.0).abs() < 1e-12);
    let nothing: Vec<(Vec<u8>, Vec<u8>)> =
        pairs.iter().map(|(_, truth)| (vec![0; SIDE * SIDE], truth.clone())).collect();
    let baseline = iou(&nothing, 0) / 3.0;
    assert!((figure(&metrics, "baseline", "miou") - baseline).abs() < 1e-12);
    assert!(figure(&metrics, "model", "miou") > 2.0 * baseline, "it learned: {slow:?} beside {baseline}");

    let predicted = workspace.path("predicted");
    let frame = data.join("procedures/case_0/frames/000000.png");
    succeeds(&["predict", text(&run), text(&frame), "--out", text(&predicted), "--device", "flex"]);
    let said = written(&predicted.join("masks/000000.png.png"));
    assert_eq!(said, pairs[0].0, "the same answer as was measured");
    assert_eq!(said.iter().copied().collect::<BTreeSet<u8>>(), BTreeSet::from([0, 1, 2]));
    let names = fs::read_to_string(predicted.join("classes.csv")).unwrap();
    let names: Vec<&str> = names.lines().map(|line| &line[..line.len().min(9)]).collect();
    assert_eq!(names, ["class,nam", "1,vessel,", "2,nerve,2"]);

    succeeds(&["report", text(&run), "--data", text(&data), "--device", "flex"]);
    let page = fs::read_to_string(run.join("report.html")).unwrap();
    for part in ["mIoU", "IoU of vessel", "all background", "</span> nerve</li>", "; all classes as one"] {
        assert!(page.contains(part), "{part} is not in the report");
    }
    let printed = succeeds(&["compare", text(&run), text(&run)]);
    assert!(printed.contains("mIoU at best") && printed.contains("IoU of nerve at best"), "{printed}");
}

#[test]
fn classes_that_cannot_be_told_apart_are_refused() {
    let workspace = Workspace::new();
    let data = data(&workspace);
    fs::write(workspace.path("recipe.toml"), UNET).unwrap();
    let (recipe, out) = (workspace.path("recipe.toml"), workspace.path("run"));
    for (code, setting, word) in [
        (3, "data.classes=[\"nerve\", \"bone\"]", "no mask has a class bone; there are nerve, vessel"),
        (2, "data.classes=[\"nerve\", \"nerve\"]", "names nerve twice"),
        (2, "data.class=nerve", "leave one of them out"),
        (2, "loss.batch_dice=true", "loss.batch_dice"),
        (2, "network.frames=video_all", "data.classes are told apart in one frame"),
    ] {
        let told = fails(
            code,
            &["train", text(&recipe), "--data", text(&data), "--out", text(&out), "--device", "flex", "--set", setting],
        );
        assert!(told.contains(word), "{setting}: {told}");
    }
}
