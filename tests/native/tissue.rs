//! Needles in real tissue on the command line: a folder of pictures in, a labelled data set out.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sonoseg_imaging::formats::encode::encode_png_grey;

use crate::workspace::{Workspace, command, said, succeeds, text};

/// Grey pictures that look like tissue between black bars, one of them with a mask beside it, and notes.
fn folder(workspace: &Workspace) -> PathBuf {
    let folder = workspace.path("thigh");
    fs::create_dir_all(folder.join("images")).unwrap();
    fs::create_dir_all(folder.join("masks")).unwrap();
    for name in ["a", "b", "c"] {
        let start = u32::from(name.as_bytes()[0]);
        let level = |at: u32| -> u8 {
            let (row, column) = (at / 160, at % 160);
            let noise = (at + start).wrapping_mul(2_654_435_761) >> 27;
            if (20..140).contains(&column) { (50 + row / 4 + noise) as u8 } else { 0 }
        };
        let pixels: Vec<u8> = (0..140 * 160).map(level).collect();
        fs::write(folder.join(format!("images/{name}.png")), encode_png_grey(140, 160, &pixels).unwrap()).unwrap();
    }
    fs::write(folder.join("masks/a.png"), encode_png_grey(140, 160, &[1; 140 * 160]).unwrap()).unwrap();
    fs::write(folder.join("README.md"), "about").unwrap();
    folder
}

fn pictures(procedure: &Path) -> Vec<Vec<u8>> {
    let frames = (0..).map(|number| procedure.join(format!("frames/{number:06}.png")));
    frames.take_while(|path| path.exists()).map(|path| fs::read(path).unwrap()).collect()
}

fn simulate(workspace: &Workspace, tissue: &Path, name: &str) -> PathBuf {
    let out = workspace.path(name);
    let settings = ["--procedures", "4", "--frames", "3", "--seed", "7"];
    let words = ["simulate", "needle", "--tissue", text(tissue), "--out", text(&out)];
    succeeds(&[words.as_slice(), &settings].concat());
    out.join("procedures")
}

#[test]
fn a_folder_of_pictures_becomes_labelled_procedures() {
    let workspace = Workspace::new();
    let tissue = folder(&workspace);
    let (one, two) = (simulate(&workspace, &tissue, "one"), simulate(&workspace, &tissue, "two"));
    let mut groups = Vec::new();
    let mut changed = 0;
    for index in 0..4 {
        let procedure = one.join(format!("p{index:04}"));
        let frames = pictures(&procedure);
        assert_eq!(frames.len(), 3);
        assert_eq!(frames, pictures(&two.join(format!("p{index:04}"))), "the seed decides");
        let meta: Value = serde_json::from_str(&fs::read_to_string(procedure.join("meta.json")).unwrap()).unwrap();
        assert_eq!(meta["tissue"], "thigh");
        assert!(meta["spacing"].is_null(), "a scale that nobody told is not made up");
        let group = meta["group"].as_str().unwrap().to_owned();
        let file = tissue.join(group.strip_prefix("thigh/").unwrap());
        assert!(group.starts_with("thigh/images/") && file.exists(), "{group}");
        groups.push(group);
        let labels = fs::read_to_string(procedure.join("labels.csv")).unwrap();
        let ground = image::open(&file).unwrap().to_luma8();
        for (frame, row) in frames.iter().zip(labels.lines().skip(1)) {
            let frame = image::load_from_memory(frame).unwrap().to_luma8();
            let bars = (0..140).flat_map(|y| (0..8).map(move |x| (x, y)));
            assert!(bars.clone().all(|(x, y)| frame.get_pixel(x, y) == ground.get_pixel(x, y)), "a bar was painted on");
            changed += usize::from(row.split(',').nth(1).is_some_and(|x| !x.is_empty()) && frame != ground);
        }
    }
    groups.truncate(3);
    groups.sort();
    assert_eq!(groups, ["a", "b", "c"].map(|name| format!("thigh/images/{name}.png")), "every picture has its turn");
    assert!(changed > 0, "no frame with a needle");
    succeeds(&["check", text(&workspace.path("one"))]);
}

#[test]
fn a_folder_without_tissue_is_named_with_what_to_do() {
    let workspace = Workspace::new();
    let dark = workspace.path("dark");
    fs::create_dir_all(&dark).unwrap();
    let run = |name: &str| {
        let out = workspace.path(name);
        let output = command(&["simulate", "needle", "--tissue", text(&dark), "--out", text(&out)]).output().unwrap();
        assert_eq!(output.status.code(), Some(3));
        said(&output)
    };
    let nothing = run("nothing");
    assert!(nothing.contains("dark holds no pictures") && nothing.contains("give a folder"), "{nothing}");
    fs::write(dark.join("black.png"), encode_png_grey(90, 90, &[0; 8100]).unwrap()).unwrap();
    let black = run("black");
    assert!(black.contains("dark: none of its 1") && black.contains("no ultrasound is seen"), "{black}");
}
