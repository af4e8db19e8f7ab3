//! Pixels that nobody judged: stored as such, neither learned nor counted; and classes that no mask holds.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sonoseg_imaging::formats::encode::encode_png_grey;
use sonoseg_imaging::formats::mask::read_class_mask;

use crate::workspace::{Workspace, fails, succeeds, text};

const SIDE: usize = 32;

/// A data set as nnU-Net has it: one picture and one mask a case.
fn cases(workspace: &Workspace, name: &str, labels: &str, masks: &[Vec<u8>]) -> PathBuf {
    let root = workspace.path(name);
    fs::create_dir_all(root.join("imagesTr")).unwrap();
    fs::create_dir_all(root.join("labelsTr")).unwrap();
    fs::write(root.join("dataset.json"), format!("{{\"labels\": {labels}, \"file_ending\": \".png\"}}")).unwrap();
    for (case, mask) in masks.iter().enumerate() {
        let picture: Vec<u8> = mask
            .iter()
            .enumerate()
            .map(|(at, &class)| ((at * 37 + case * 101) % 90) as u8 + 100 * (class & 1))
            .collect();
        let write = |path: String, pixels: &[u8]| {
            fs::write(root.join(path), encode_png_grey(SIDE, SIDE, pixels).unwrap()).unwrap();
        };
        write(format!("imagesTr/case_{case:03}_0000.png"), &picture);
        write(format!("labelsTr/case_{case:03}.png"), mask);
    }
    root
}

/// Eight rows of `ignored` above a block of class 1.
fn mask(case: usize, ignored: u8) -> Vec<u8> {
    (0..SIDE * SIDE)
        .map(|at| match (at / SIDE, at % SIDE) {
            (0..8, _) => ignored,
            (12..20, column) if (4 + case..16).contains(&column) => 1,
            _ => 0,
        })
        .collect()
}

/// The only mask of a procedure that ingest made of a case.
fn stored(data: &Path, case: usize, ignore: Option<u8>) -> Result<Vec<u8>, String> {
    let path = data.join(format!("procedures/case_{case:03}/masks/000000.png"));
    let bytes = fs::read(&path).map_err(|e| e.to_string())?;
    read_class_mask("mask", &bytes, ignore).map(|mask| mask.classes).map_err(|e| e.to_string())
}

fn meta(data: &Path, case: usize) -> Value {
    serde_json::from_slice(&fs::read(data.join(format!("procedures/case_{case:03}/meta.json"))).unwrap()).unwrap()
}

/// The classes of a mask with what is ignored as 255.
fn with_255(mask: &[u8], ignored: u8) -> Vec<u8> {
    mask.iter().map(|&class| if class == ignored { 255 } else { class }).collect()
}

#[test]
fn the_label_ignore_of_nn_unet_is_neither_learned_nor_counted() {
    let workspace = Workspace::new();
    let mut masks: Vec<Vec<u8>> = (0..5).map(|case| mask(case, 2)).collect();
    masks.push(vec![2; SIDE * SIDE]);
    let labels = r#"{"background": 0, "lesion": 1, "ignore": 2}"#;
    let (source, data) = (cases(&workspace, "nnunet", labels, &masks), workspace.path("data"));
    let printed = succeeds(&["ingest", text(&source), "--out", text(&data)]);
    assert!(printed.contains("2 = ignored") && printed.contains("ignored everywhere"), "{printed}");
    for (case, mask) in masks.iter().enumerate().take(5) {
        assert_eq!(stored(&data, case, Some(255)).unwrap(), with_255(mask, 2));
        assert_eq!(meta(&data, case)["classes"], serde_json::json!(["background", "lesion"]));
        assert_eq!(meta(&data, case)["ignore"], 255);
    }
    assert!(stored(&data, 0, None).unwrap_err().contains("\"ignore\": 255"));
    assert!(stored(&data, 5, Some(255)).is_err(), "no label is stored where nothing is judged");
    let again = succeeds(&["ingest", text(&source), "--out", text(&data)]);
    assert!(again.contains("6 were there already"), "{again}");

    let printed = succeeds(&["check", text(&data)]);
    // 5 masks of 8 rows of 32 pixels; the block is 12 to 8 columns wide and 8 rows high, in 24 judged rows.
    let share = 100.0 * f64::from(8 * (12 + 11 + 10 + 9 + 8)) / f64::from(5 * 24 * 32);
    assert!(printed.contains("ignored: 1280 pixels, 25.00 % of the masks"), "{printed}");
    assert!(printed.contains(&format!("lesion {share:.2} %")), "{printed}");
    assert!(printed.contains("5 labelled"), "{printed}");

    let settings = ["--set", "data.class=\"lesion\"", "--set", "network.frames=single", "--epochs", "1"];
    let run = workspace.train(&data, "run", &settings);
    let out = workspace.path("evaluation");
    let printed = succeeds(&[
        "evaluate",
        text(&run),
        "--data",
        text(&data),
        "--split",
        "all",
        "--device",
        "flex",
        "--out",
        text(&out),
    ]);
    assert!(printed.contains("left out: 1 frame without a label"), "{printed}");
    let mut table = csv::Reader::from_path(out.join("per_frame.csv")).unwrap();
    let names = table.headers().unwrap().clone();
    let mut frames = 0;
    for row in table.records().map(Result::unwrap) {
        let count = |name: &str| -> usize { row[names.iter().position(|n| n == name).unwrap()].parse().unwrap() };
        let case: usize = row[1].trim_start_matches("case_")[..3].parse().unwrap();
        let [tp, fp, missed, right] = ["tp", "fp", "fn", "tn"].map(count);
        assert_eq!((tp + fp + missed + right, tp + missed), (24 * 32, 8 * (12 - case)), "judged pixels of {row:?}");
        if &row[0] == "baseline" {
            assert_eq!(fp, 24 * 32 - tp, "the baseline marks every pixel, and only judged ones count");
        }
        frames += 1;
    }
    assert_eq!(frames, 2 * 5);
}

#[test]
fn ignored_pixels_change_nothing_whatever_is_under_them() {
    // The same frames and judged labels; where nobody judged, the masks hold other numbers, each named by its meta.json. A
    // network that learned or counted these rows would give other losses and figures.
    let workspace = Workspace::new();
    let labels = r#"{"background": 0, "lesion": 1, "ignore": 3}"#;
    let settings = ["--set", "data.class=\"lesion\"", "--set", "network.frames=single", "--epochs", "3"];
    let loss = |name: &str, ignored_of: fn(usize) -> u8| {
        let masks: Vec<Vec<u8>> = (0..5).map(|case| mask(case, 3)).collect();
        let source = cases(&workspace, &format!("{name}-source"), labels, &masks);
        let data = workspace.path(name);
        succeeds(&["ingest", text(&source), "--out", text(&data)]);
        for case in 0..5 {
            // By hand, with another number for what is ignored.
            let procedure = data.join(format!("procedures/case_{case:03}"));
            let number = ignored_of(case);
            let mask: Vec<u8> = mask(case, number);
            fs::write(procedure.join("masks/000000.png"), encode_png_grey(SIDE, SIDE, &mask).unwrap()).unwrap();
            let mut meta = meta(&data, case);
            meta["ignore"] = number.into();
            fs::write(procedure.join("meta.json"), meta.to_string()).unwrap();
        }
        let run = workspace.train(&data, &format!("{name}-run"), &settings);
        let lines = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
        let losses: Vec<Value> = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect();
        losses
            .iter()
            .map(|line| [&line["loss"], &line["train_loss"], &line["val_iou"]].map(Value::to_string))
            .collect::<Vec<_>>()
    };
    let first = loss("first", |_| 255);
    assert!(first.len() > 2 && first.iter().flatten().any(|loss| loss.contains('.')), "{first:?}");
    assert_eq!(first, loss("second", |case| [9, 63, 255, 200, 2][case]));
}

#[test]
fn classes_that_no_mask_holds_keep_name_and_number() {
    let workspace = Workspace::new();
    let labels = r#"{"background": 0, "cyst": 1, "lesion": 2, "vessel": 3}"#;
    let masks: Vec<Vec<u8>> = (0..4).map(|case| mask(case, 0).into_iter().map(|class| 2 * class).collect()).collect();
    let (source, data) = (cases(&workspace, "nnunet", labels, &masks), workspace.path("data"));
    let printed = succeeds(&["ingest", text(&source), "--out", text(&data)]);
    for part in ["2 = 2 lesion", "no mask holds class 1, cyst", "no mask holds class 3, vessel"] {
        assert!(printed.contains(part), "{part:?} is not in {printed}");
    }
    assert_eq!(meta(&data, 0)["classes"], serde_json::json!(["background", "cyst", "lesion", "vessel"]));
    assert_eq!(stored(&data, 1, None).unwrap(), masks[1]);
    let printed = succeeds(&["check", text(&data)]);
    assert!(printed.contains("class-absent") && printed.contains("3, vessel"), "{printed}");
    // A network may ask for a class by its name.
    fails(
        3,
        &[
            "train",
            text(&workspace.path("recipe.toml")),
            "--data",
            text(&data),
            "--out",
            text(&workspace.path("run")),
            "--set",
            "data.class=\"bone\"",
            "--device",
            "flex",
        ],
    );
}

#[test]
fn a_value_is_ignored_when_it_is_told() {
    let workspace = Workspace::new();
    let masks: Vec<Vec<u8>> = (0..4).map(|case| mask(case, 255)).collect();
    let source = cases(&workspace, "voc", "{}", &masks);
    fs::remove_file(source.join("dataset.json")).unwrap();
    let (silent, told) = (workspace.path("silent"), workspace.path("told"));
    let printed = succeeds(&["ingest", text(&source), "--out", text(&silent)]);
    assert!(printed.contains("--ignore 255"), "{printed}");
    assert_eq!(stored(&silent, 0, None).unwrap(), mask(0, 0));
    let printed = succeeds(&["ingest", text(&source), "--out", text(&told), "--ignore", "255"]);
    assert!(printed.contains("255 = ignored"), "{printed}");
    assert_eq!(stored(&told, 0, Some(255)).unwrap(), masks[0]);
    let printed = succeeds(&["ingest", text(&source), "--out", text(&workspace.path("other")), "--ignore", "7"]);
    assert!(printed.contains("no mask holds the value that is to be ignored"), "{printed}");
    let one = workspace.path("one");
    succeeds(&["ingest", text(&source), "--out", text(&one), "--ignore", "255", "--one-class"]);
    assert_eq!(stored(&one, 0, Some(255)).unwrap(), masks[0]);
    let printed = fails(2, &["ingest", text(&source), "--out", text(&one), "--ignore", "#12"]);
    assert!(printed.contains("#e0e0c0"), "{printed}");
}
