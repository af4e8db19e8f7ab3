//! Model files whose numbers cannot be stored or computed with, and runs that go on with other data.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sonoseg_core::checkpoint::{self, State, Storage};
use sonoseg_core::inference::ModelHeader;
use sonoseg_imaging::formats::encode::{encode_png_grey, encode_png_mask};
use sonoseg_imaging::geometry::Mask;

use crate::workspace::{Workspace, fails, succeeds, text};

/// The model file of a run with one number changed.
fn with_number(run: &Path, name: &str, number: f32) -> (PathBuf, String) {
    let bytes = fs::read(run.join("last.safetensors")).unwrap();
    let (header, mut state): (ModelHeader, State) = ModelHeader::read("m", &bytes).unwrap();
    let tensor = state.keys().find(|name| name.ends_with("attn.qkv.weight")).unwrap().clone();
    state.get_mut(&tensor).unwrap().1[5] = number;
    let path = run.with_file_name(name);
    fs::write(&path, checkpoint::encode(&header, &state, Storage::F32).unwrap()).unwrap();
    (path, tensor)
}

#[test]
fn numbers_that_cannot_be_stored_or_computed_with_are_refused_by_their_tensor() {
    let workspace = Workspace::new();
    let data = workspace.simulate("data", "3");
    let run = workspace.train(&data, "run", &["--epochs", "1"]);
    let (picture, out) = (workspace.path("a.png"), workspace.path("out.safetensors"));
    fs::write(&picture, encode_png_grey(40, 40, &[90; 1600]).unwrap()).unwrap();
    let refused = |model: &Path, dtype: &str| fails(3, &["export", text(model), "--out", text(&out), "--dtype", dtype]);

    let (large, tensor) = with_number(&run, "large.safetensors", 7e4);
    let printed = refused(&large, "f16");
    assert!(printed.contains(&tensor) && printed.contains("65504") && !out.exists(), "{printed}");
    succeeds(&["export", text(&large), "--out", text(&out), "--dtype", "f32"]);
    fs::remove_file(&out).unwrap();

    for number in [f32::NAN, f32::INFINITY] {
        let (broken, tensor) = with_number(&run, "broken.safetensors", number);
        for dtype in ["f16", "f32"] {
            let printed = refused(&broken, dtype);
            assert!(printed.contains(&tensor) && printed.contains("broken.safetensors") && !out.exists(), "{printed}");
        }
        let predictions = workspace.path("predictions");
        let words = ["predict", text(&broken), text(&picture), "--out", text(&predictions), "--device", "flex"];
        let printed = fails(3, &words);
        assert!(printed.contains(&tensor) && !printed.contains("device"), "{printed}");
        let init = workspace.path("init");
        let printed = fails(
            3,
            &[
                "train",
                text(&workspace.path("recipe.toml")),
                "--data",
                text(&data),
                "--out",
                text(&init),
                "--device",
                "flex",
                "--init",
                text(&broken),
            ],
        );
        assert!(printed.contains(&tensor), "{printed}");
    }
}

/// A data set of four groups of two frames with masks of a block that begins in column `left`.
fn blocks(root: &Path, left: usize) {
    for group in 0..4 {
        let folder = root.join(format!("procedures/p{group}"));
        for frame in 0..2 {
            let pixels: Vec<u8> = (0..1024).map(|at| ((at * 7 + group * 31 + frame * 13) % 200) as u8).collect();
            let classes = (0..1024).map(|at| u8::from((left..left + 9).contains(&(at % 32)) && at / 32 > 9)).collect();
            for (kind, bytes) in [
                ("frames", encode_png_grey(32, 32, &pixels).unwrap()),
                ("masks", encode_png_mask(&Mask { height: 32, width: 32, classes }).unwrap()),
            ] {
                fs::create_dir_all(folder.join(kind)).unwrap();
                fs::write(folder.join(format!("{kind}/{frame:06}.png")), bytes).unwrap();
            }
        }
        fs::write(folder.join("meta.json"), r#"{"classes": ["background", "nerve"]}"#).unwrap();
    }
}

#[test]
fn a_run_knows_its_data_by_what_they_hold() {
    let workspace = Workspace::new();
    let (data, moved) = (workspace.path("data"), workspace.path("moved"));
    blocks(&data, 4);
    let settings = ["--set", "data.class=\"nerve\"", "--set", "network.frames=single", "--epochs", "1"];
    let run = workspace.train(&data, "run", &settings);
    let stored: Value = serde_json::from_slice(&fs::read(run.join("data.json")).unwrap()).unwrap();
    assert_eq!(stored["procedures"].as_object().unwrap().len(), 4);
    let resume = |data: &Path| {
        let words = ["train", "--resume", text(&run), "--data", text(data), "--epochs", "2", "--device", "flex"];
        words.map(str::to_owned)
    };
    let evaluate = |data: &Path| succeeds(&["evaluate", text(&run), "--data", text(data), "--device", "flex"]);
    // The same data elsewhere are the same.
    blocks(&moved, 4);
    assert!(!evaluate(&moved).contains("not those of the training"));
    // Equal names and sizes, and other labels; then other pictures.
    let mask = moved.join("procedures/p2/masks/000001.png");
    let before = fs::read(&mask).unwrap();
    for (group, file) in [(2, &mask), (1, &moved.join("procedures/p1/frames/000000.png"))] {
        let kept = fs::read(file).unwrap();
        let bytes = if group == 2 {
            encode_png_mask(&Mask { height: 32, width: 32, classes: vec![1; 1024] }).unwrap()
        } else {
            encode_png_grey(32, 32, &[3; 1024]).unwrap()
        };
        fs::write(file, bytes).unwrap();
        let list = resume(&moved);
        let printed = fails(3, &list.each_ref().map(String::as_str));
        let what = if group == 2 { "the labels of p2 are others" } else { "the pictures of p1 are others" };
        assert!(printed.contains(what) && printed.contains("--init"), "{printed}");
        fs::write(file, kept).unwrap();
    }
    assert_eq!(fs::read(&mask).unwrap(), before);
    // What is measured now differs from what was then.
    let split: Value = serde_json::from_slice(&fs::read(run.join("splits.json")).unwrap()).unwrap();
    let held_out = split["val"][0].as_str().unwrap();
    let mask = moved.join(format!("procedures/{held_out}/masks/000000.png"));
    fs::write(&mask, encode_png_mask(&Mask { height: 32, width: 32, classes: vec![1; 1024] }).unwrap()).unwrap();
    let told = format!("the labels of {held_out} are others");
    assert!(evaluate(&moved).contains(&told));
    let printed = succeeds(&["report", text(&run), "--data", text(&moved), "--device", "flex"]);
    assert!(printed.contains(&told), "{printed}");
    assert!(fs::read_to_string(run.join("report.md")).unwrap().contains(&told));
    // The way out: the data of then.
    blocks(&moved, 4);
    let list = resume(&moved);
    succeeds(&list.each_ref().map(String::as_str));
}
