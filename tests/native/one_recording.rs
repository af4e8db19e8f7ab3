//! A person's one clip: it trains, holds out a stretch of its own time or nothing, and says which.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::workspace::{Workspace, fails, simulate, succeeds, text};

/// A clip of twenty labelled frames.
fn clip(workspace: &Workspace) -> std::path::PathBuf {
    let out = workspace.path("clip");
    simulate(&out, &["--procedures", "1", "--frames", "20", "--seed", "3"]);
    out
}

fn json(path: &std::path::Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Numbers of the frames that `evaluate` measured.
fn measured(folder: &std::path::Path) -> BTreeSet<usize> {
    let mut rows = csv::Reader::from_path(folder.join("per_frame.csv")).unwrap();
    let number = |row: csv::StringRecord| row.iter().find_map(|cell| cell.rsplit_once('/')?.1.parse().ok());
    rows.records().filter_map(|row| number(row.unwrap())).collect()
}

#[test]
fn one_clip_trains_and_holds_out_a_stretch_of_its_time() {
    let workspace = Workspace::new();
    let data = clip(&workspace);
    let run = workspace.train(&data, "run", &[]);
    let split = json(&run.join("splits.json"));
    assert_eq!(split["val"], Value::Array(vec![]));
    let stretch = &split["stretches"][0];
    let at = |key: &str| stretch[key].as_u64().unwrap() as usize;
    assert_eq!((at("last") + 1 - at("first"), at("gap")), (4, 1));

    let (val, train) = (workspace.path("val"), workspace.path("train"));
    for (part, out) in [("val", &val), ("train", &train)] {
        let said = succeeds(&["evaluate", text(&run), "--data", text(&data), "--split", part, "--out", text(out)]);
        assert!(said.contains("same recording"), "{said}");
    }
    let (val, train) = (measured(&val), measured(&train));
    assert_eq!(val, (at("first")..=at("last")).collect());
    assert!(val.iter().all(|frame| !train.contains(frame) && !train.contains(&(frame + 1))), "{val:?} {train:?}");
    assert!((14..=15).contains(&train.len()), "{train:?}");
    for file in ["best.safetensors", "last.safetensors", "resume.safetensors"] {
        assert!(run.join(file).exists(), "{file}");
    }
    let said = succeeds(&["report", text(&run), "--data", text(&data)]);
    let report = fs::read_to_string(run.join("report.md")).unwrap();
    assert!(report.contains("same recording"), "{said}\n{report}");
    assert_eq!(json(&run.join("environment.json"))["val_samples"], 4);
    assert!(report.contains("On held-out frames of the same recording"), "{report}");
    let model = fs::read(run.join("best.safetensors")).unwrap();
    assert!(String::from_utf8_lossy(&model).contains("same recording"), "the model file says so");
    let said = succeeds(&["train", "--resume", text(&run), "--epochs", "3"]);
    assert!(said.contains("4 in 1 interval held out") && json(&run.join("splits.json")) == split, "{said}");
    // Every third frame is a sample, and some of them are held out.
    let sparse = workspace.train(&data, "sparse", &["--set", "data.stride=3", "--set", "train.epochs=1"]);
    let environment = json(&sparse.join("environment.json"));
    assert_eq!((&environment["train_samples"], &environment["val_samples"]), (&Value::from(4), &Value::from(1)));
}

#[test]
fn one_clip_trains_with_nothing_held_out() {
    let workspace = Workspace::new();
    let data = clip(&workspace);
    let run = workspace.train(&data, "run", &["--set", "data.val_share=0", "--set", "train.patience=1"]);
    assert!(!run.join("best.safetensors").exists() && !run.join("best-loss.safetensors").exists());
    let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    assert!(!metrics.contains("NaN") && !metrics.contains("val_"), "{metrics}");
    let epochs = metrics.lines().filter(|line| line.contains("train_loss")).count();
    assert_eq!(epochs, 2, "patience waits for a held-out loss");
    let out = workspace.path("measured");
    let said = succeeds(&["evaluate", text(&run), "--data", text(&data), "--out", text(&out)]);
    assert!(said.contains("those that it learned from"), "{said}");
    let caveat = json(&out.join("metrics.json"))["caveat"].as_str().map(str::to_owned);
    assert!(caveat.is_some_and(|caveat| caveat.contains("learned from")), "studies are told, too");
    succeeds(&["report", text(&run), "--data", text(&data)]);
    let report = fs::read_to_string(run.join("report.md")).unwrap();
    assert!(
        report.contains("held out: nothing")
            && report.contains("On the frames learned from")
            && report.contains("those that it learned from"),
        "{report}"
    );
    let model = fs::read(run.join("last.safetensors")).unwrap();
    assert!(String::from_utf8_lossy(&model).contains("Nothing is held out"), "the model file says so");
}

#[test]
fn a_stored_stretch_is_kept_checked_and_left_out_on_demand() {
    let workspace = Workspace::new();
    let data = clip(&workspace);
    let id = fs::read_dir(data.join("procedures")).unwrap().next().unwrap().unwrap().file_name();
    let id = id.to_string_lossy();
    let store = |last: usize, gap: usize| {
        let stretch = format!("{{\"procedure\": {id:?}, \"first\": 8, \"last\": {last}, \"gap\": {gap}}}");
        let split = format!("{{\"train\": [{id:?}], \"val\": [], \"stretches\": [{stretch}]}}");
        fs::write(data.join("splits.json"), split).unwrap();
    };
    store(11, 1);
    let (recipe, run) = (workspace.path("recipe.toml"), workspace.path("run"));
    let train = ["train", text(&recipe), "--data", text(&data), "--out", text(&run), "--device", "flex"];
    let settings = ["--set", "train.epochs=1", "--set", "data.val_share=0.5"];
    let said = succeeds(&[&train[..], &settings].concat());
    assert!(said.contains("is not used: splits.json of the data holds out 1 interval"), "{said}");
    fs::remove_dir_all(&run).unwrap();
    let said = succeeds(&[&train[..], &["--set", "train.epochs=1", "--set", "data.val_share=0"]].concat());
    assert!(said.contains("splits.json of the data is not used") && said.contains("Nothing is held out"), "{said}");
    fs::remove_dir_all(&run).unwrap();

    let frames = data.join("procedures").join(&*id).join("frames");
    let printed = succeeds(&["check", text(&data)]);
    assert!(!printed.contains("leak-frame"), "{printed}");
    fs::copy(frames.join("000009.png"), frames.join("000017.png")).unwrap();
    let printed = fails(3, &["check", text(&data)]);
    assert!(printed.contains("000017.png") && printed.contains("on the other side of the split"), "{printed}");

    store(usize::MAX, 8);
    assert!(fails(3, &train).contains("leave nothing to learn from"));
    store(7, 1);
    assert!(fails(3, &train).contains("turn them round"));
    assert!(fails(3, &["check", text(&data)]).contains("turn the two numbers round"));
}

#[test]
fn empty_sides_are_said_and_never_panic() {
    let workspace = Workspace::new();
    let data = clip(&workspace);
    let (recipe, run) = (workspace.path("recipe.toml"), workspace.path("run"));
    let train = ["train", text(&recipe), "--data", text(&data), "--out", text(&run), "--device", "flex"];
    let id = fs::read_dir(data.join("procedures")).unwrap().next().unwrap().unwrap().file_name();
    let group = id.to_string_lossy();
    let split = |train: &str, val: &str| {
        let list = |names: &str| if names.is_empty() { String::new() } else { format!("{names:?}") };
        let text = format!("{{\"train\": [{}], \"val\": [{}]}}", list(train), list(val));
        fs::write(data.join("splits.json"), text).unwrap();
    };
    split("", &group);
    assert!(fails(3, &train).contains("train of the split names no procedure"));
    fs::remove_file(data.join("splits.json")).unwrap();
    let folds = [&train[..], &["--set", "data.folds=2"]].concat();
    assert!(fails(3, &folds).contains("folds"));
    split(&group, "");
    succeeds(&[&train[..], &["--set", "train.epochs=1"]].concat());
    assert!(run.join("last.safetensors").exists() && !run.join("best.safetensors").exists());

    fs::write(
        data.join("splits.json"),
        format!(
            "{{\"train\": [{group:?}], \"val\": [], \"stretches\": [{{\"procedure\": \
        \"other\", \"first\": 0, \"last\": 3, \"gap\": 1}}]}}"
        ),
    )
    .unwrap();
    fs::remove_dir_all(&run).unwrap();
    assert!(fails(3, &train).contains("a stretch of other"));
    assert!(fails(3, &["check", text(&data)]).contains("a stretch of other"));

    // Pre-training without labels holds out of one clip, too, and its picture needs none.
    fs::remove_file(data.join("splits.json")).unwrap();
    let out = workspace.path("mae");
    let mae = ["train", text(&recipe), "--data", text(&data), "--out", text(&out), "--device", "flex"];
    let settings = ["--set", "task=mae", "--set", "mae.decoder_width=16", "--set", "mae.decoder_heads=2"];
    succeeds(&[&mae[..], &settings, &["--set", "data.val_share=0", "--set", "train.epochs=1"]].concat());
    succeeds(&["report", text(&out), "--data", text(&data)]);
    assert!(!out.join("reconstructions.png").exists());
    fs::remove_dir_all(&out).unwrap();
    assert!(succeeds(&[&mae[..], &settings].concat()).contains("same recording"));
    assert!(out.join("reconstructions.png").exists());
}
