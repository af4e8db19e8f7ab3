//! Data sets as people make them: `sonoseg ingest` and `sonoseg check` on made-up folders.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json as value};
use sonoseg_imaging::formats::encode::{encode_png_grey, encode_png_mask, encode_png_rgb};
use sonoseg_imaging::geometry::Mask;

use crate::workspace::{Workspace, fails, sonoseg, succeeds, text};

/// A picture of 8 x 8 patches of random brightness: no two seeds look alike.
fn patches(seed: u64, height: usize, width: usize) -> Vec<u8> {
    let level = |row: usize, column: usize| {
        let patch = (row * 8 / height * 8 + column * 8 / width) as u64;
        sonoseg_imaging::rng::splitmix64(seed * 64 + patch) as u8
    };
    (0..height * width).map(|i| level(i / width, i % width)).collect()
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn grey(seed: u64, height: usize, width: usize) -> Vec<u8> {
    encode_png_grey(height, width, &patches(seed, height, width)).unwrap()
}

/// A mask with a square of each class given.
fn mask(height: usize, width: usize, classes: &[u8]) -> Vec<u8> {
    let mut mask = Mask::empty(height, width);
    for (number, &class) in classes.iter().enumerate() {
        for row in 4..8 {
            mask.classes[row * width + 6 * number + 2..][..4].fill(class);
        }
    }
    encode_png_mask(&mask).unwrap()
}

/// An uncompressed video of 32 x 24 pixels and 10 frames per second that shows the given pictures.
fn video(seeds: &[u64]) -> Vec<u8> {
    let mut bytes = b"YUV4MPEG2 W32 H24 F10:1 Ip A1:1 Cmono\n".to_vec();
    for &seed in seeds {
        bytes.extend(b"FRAME\n");
        bytes.extend(patches(seed, 24, 32));
    }
    bytes
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().to_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

#[test]
fn clips_lose_repeated_frames_and_their_labels_follow() {
    let workspace = Workspace::new();
    let (source, out) = (workspace.path("source"), workspace.path("out"));
    // A recorder that shows every picture twice, as in Yang 2024.
    write(&source.join("a/pat1_first.y4m"), &video(&[1, 1, 2, 2, 3, 3]));
    write(&source.join("a/pat1_first.csv"), b"frame,x1,y1,x2,y2\n1,5,1,9,20\n2,,,,\n5,6.5,2,10,21\n");
    write(&source.join("b/pat2.y4m"), &video(&[4, 5, 6]));
    write(&source.join("b/broken.mp4"), b"no video");
    write(&source.join("b/notes.txt"), b"what we did");
    let printed = fails(3, &["ingest", text(&source), "--out", text(&out)]);
    for told in [
        "3 videos",
        "3 of 6 repeated (50 %",
        "pat1: 1 procedure",
        "notes.txt: no picture",
        "broken.mp4",
        "too little of the only labelled group",
    ] {
        assert!(printed.contains(told), "{told} is told: {printed}");
    }
    assert_eq!(names(&out.join("procedures")), ["pat1_first", "pat2"]);
    assert_eq!(names(&out), ["failures.csv", "ingest.json", "procedures"], "nothing is left behind");
    let made = out.join("procedures/pat1_first");
    assert_eq!(names(&made.join("frames")), ["000000.png", "000001.png", "000002.png"]);
    let frame = image::open(made.join("frames/000002.png")).unwrap();
    assert_eq!(frame.as_bytes(), patches(3, 24, 32), "frames are grey bytes, unchanged");
    // The label of the repetition belongs to the picture that it repeats.
    let labels = fs::read_to_string(made.join("labels.csv")).unwrap();
    assert_eq!(labels, "frame,x1,y1,x2,y2\n0,5.0,1.0,9.0,20.0\n1,,,,\n2,6.5,2.0,10.0,21.0\n");
    let frames = fs::read_to_string(made.join("frames.csv")).unwrap();
    assert!(frames.ends_with("2,a/pat1_first.y4m,4,0.4\n"), "where frames come from: {frames}");
    let meta = json(&made.join("meta.json"));
    assert_eq!(
        (&meta["fps"], &meta["group"], &meta["ingest"]["drop_ratio"]),
        (&5.0.into(), &"pat1".into(), &0.5.into())
    );

    // What is done stays, and is not done again.
    fs::remove_file(source.join("b/broken.mp4")).unwrap();
    let printed = succeeds(&["ingest", text(&source), "--out", text(&out)]);
    assert!(printed.contains("0 procedures made, 2 were there already"), "{printed}");
    assert!(!out.join("failures.csv").exists(), "nothing fails any more");
    let printed = fails(3, &["ingest", text(&source), "--out", text(&out), "--fps", "5"]);
    assert!(printed.contains("with other settings: remove it"), "{printed}");
    let thin = workspace.path("thin");
    let table = workspace.path("table.csv");
    fs::write(&table, "file,frame,x1,y1,x2,y2\npat2.y4m,1,1,1,2,2\npat2.y4m,3,1,1,5,5\npat9.mp4,1,1,1,2,2\n").unwrap();
    let words = ["ingest", text(&source), "--out", text(&thin), "--fps", "5", "--labels", text(&table)];
    let printed = fails(3, &[&words[..], &["--first-frame", "1", "--unlisted", "no-needle"]].concat());
    assert!(printed.contains("line 4 names pat9.mp4, which is not among the sources"), "{printed}");
    assert_eq!(names(&thin.join("procedures/pat2/frames")).len(), 2, "every other frame");
    let labels = fs::read_to_string(thin.join("procedures/pat2/labels.csv")).unwrap();
    assert_eq!(labels, "frame,x1,y1,x2,y2\n0,1.0,1.0,2.0,2.0\n1,1.0,1.0,5.0,5.0\n");
}

#[test]
fn the_scale_of_a_dicom_clip_stays_and_the_data_set_is_sound() {
    let workspace = Workspace::new();
    let simulated = workspace.simulate("simulated", "7");
    for procedure in ["p0000", "p0001", "p0002"] {
        let clip = fs::read(simulated.join("procedures").join(procedure).join("clip.dcm")).unwrap();
        write(&workspace.path("clips").join(procedure).join("clip.dcm"), &clip);
    }
    let (out, report) = (workspace.path("out"), workspace.path("report.json"));
    succeeds(&["ingest", text(&workspace.path("clips")), "--out", text(&out), "--group-by", "parent"]);
    assert_eq!(names(&out.join("procedures")), ["p0000-clip.dcm", "p0001-clip.dcm", "p0002-clip.dcm"]);
    let meta = json(&out.join("procedures/p0000-clip.dcm/meta.json"));
    let original = json(&simulated.join("procedures/p0000/meta.json"));
    let spacing = |meta: &Value| meta["spacing"]["x_mm"].as_f64().unwrap();
    assert!((spacing(&meta) - spacing(&original)).abs() < 1e-6, "{meta}");
    assert_eq!((&meta["ingest"]["tolerance"], &meta["group"]), (&0.5.into(), &"p0000".into()));
    let printed = succeeds(&["check", text(&out), "--json", text(&report)]);
    assert!(printed.contains("3 procedures in 3 groups") && printed.contains("0 errors"), "{printed}");
    assert_eq!(json(&report)["totals"]["procedures"], 3);
}

#[test]
fn pictures_with_masks_become_a_data_set_that_one_class_is_learned_from() {
    let workspace = Workspace::new();
    let source = workspace.path("source");
    for number in 0..5 {
        write(&source.join(format!("images/{number:04}.png")), &grey(number, 40, 48));
        write(&source.join(format!("masks/{number:04}.png")), &mask(40, 48, &[1, 2]));
    }
    // The same picture again, in another size: it must not be on the other side of the split.
    write(&source.join("images/copy.png"), &grey(2, 80, 96));
    let out = workspace.path("out");
    let classes = ["--classes", "nerve,vessel", "--val-share", "0.4", "--seed", "3"];
    let printed = succeeds(&[&["ingest", text(&source), "--out", text(&out)], &classes[..]].concat());
    for told in
        ["6 pictures, 5 of them with masks", "0002.png and images/copy.png look alike", "1 = 1 nerve, 2 = 2 vessel"]
    {
        assert!(printed.contains(told), "{told} is told: {printed}");
    }
    assert_eq!(json(&out.join("procedures/copy/meta.json"))["group"], "0002");
    let classes_stored = json(&out.join("procedures/0001/meta.json"))["classes"].clone();
    assert_eq!(classes_stored, value!(["background", "nerve", "vessel"]));
    let again = workspace.path("again");
    succeeds(&[&["ingest", text(&source), "--out", text(&again)], &classes[..]].concat());
    let split = |folder: &Path| fs::read_to_string(folder.join("splits.json")).unwrap();
    assert_eq!(split(&out), split(&again), "the seed decides");
    let printed = succeeds(&["check", text(&out)]);
    assert!(printed.contains("vessel 0.83 %"), "16 of 1920 pixels: {printed}");
    workspace.train(&out, "run", &["--set", "data.class=vessel", "--set", "train.epochs=1"]);
}

#[test]
fn colours_nn_unet_and_names_are_understood() {
    let workspace = Workspace::new();
    let ingest = |name: &str, more: &[&str]| {
        let (source, out) = (workspace.path(name), workspace.path(&format!("{name}-out")));
        (succeeds(&[&["ingest", text(&source), "--out", text(&out)], more].concat()), out)
    };
    let stored = |path: std::path::PathBuf| {
        let mut reader = image::open(path).unwrap().to_rgb8();
        reader.get_pixel_mut(5, 5).0
    };
    // Colours, found by the names of files: red and green squares.
    for (number, colour) in [(1, [255, 0, 0]), (2, [0, 255, 0])] {
        let pixel = |i: usize| if i % 40 > 3 && i / 40 > 3 { colour } else { [0, 0, 0] };
        let painted: Vec<u8> = (0..30 * 40).flat_map(pixel).collect();
        write(&workspace.path(&format!("paint/scan {number}.png")), &grey(number, 30, 40));
        write(&workspace.path(&format!("paint/scan {number}_mask.png")), &encode_png_rgb(30, 40, &painted).unwrap());
    }
    let (printed, out) = ingest("paint", &[]);
    assert!(printed.contains("#00ff00 = 1 green, #ff0000 = 2 red"), "{printed}");
    // Class 2 is shown in the second colour of the palette that masks are written with, class 1 in white.
    assert_eq!(stored(out.join("procedures/scan_2/masks/000000.png")), [255, 255, 255]);
    assert_eq!(stored(out.join("procedures/scan_1/masks/000000.png")), [230, 159, 0]);

    // nnU-Net: channels, names of classes, pictures without labels.
    for (seed, case) in [(5, "case_01"), (6, "case_02")] {
        write(&workspace.path(&format!("nn/imagesTr/{case}_0000.png")), &grey(seed, 30, 40));
        write(&workspace.path(&format!("nn/labelsTr/{case}.png")), &encode_png_grey(30, 40, &vec![1; 1200]).unwrap());
    }
    write(&workspace.path("nn/imagesTr/case_01_0001.png"), &grey(8, 30, 40));
    write(&workspace.path("nn/imagesTs/case_03_0000.png"), &grey(9, 30, 40));
    write(&workspace.path("nn/dataset.json"), br#"{"labels": {"background": 0, "lumen": 1}}"#);
    let (printed, out) = ingest("nn", &[]);
    assert!(printed.contains("1 = 1 lumen") && printed.contains("further channel"), "{printed}");
    assert_eq!(names(&out.join("procedures")), ["case_01", "case_02", "case_03"]);

    // Outlines become areas when asked for.
    let ring = |i: usize| {
        u8::from(
            (8..=20).contains(&(i / 40)) && (i % 40 == 8 || i % 40 == 20)
                || (i % 40 > 8 && i % 40 < 20 && (i / 40 == 8 || i / 40 == 20)),
        )
    };
    let ring: Vec<u8> = (0..1200).map(|i| 255 * ring(i)).collect();
    write(&workspace.path("ring/images/a.png"), &grey(1, 30, 40));
    write(&workspace.path("ring/masks/a.png"), &encode_png_grey(30, 40, &ring).unwrap());
    let (printed, out) = ingest("ring", &["--fill"]);
    assert!(printed.contains("255 = 1 foreground"), "{printed}");
    let filled = image::open(out.join("procedures/a/masks/000000.png")).unwrap().to_luma8();
    assert_eq!(filled.pixels().filter(|pixel| pixel.0[0] > 0).count(), 13 * 13);

    // A trimap and colours from a lossy file, as one object each, come into one data set.
    let trimap: Vec<u8> = (0..1200).map(|i| [1, 2, 3][i % 40 / 14]).collect();
    write(&workspace.path("mixed/cats/images/a.png"), &grey(1, 30, 40));
    write(&workspace.path("mixed/cats/trimaps/a.png"), &encode_png_grey(30, 40, &trimap).unwrap());
    let painted: Vec<u8> =
        (0..1200).flat_map(|i| if i % 40 < 14 { [166, 255, 71] } else { [0, 0, i as u8 % 9] }).collect();
    write(&workspace.path("mixed/cars/images/b.png"), &grey(2, 30, 40));
    write(&workspace.path("mixed/cars/masks/b.png"), &encode_png_rgb(30, 40, &painted).unwrap());
    let (printed, out) = ingest("mixed", &["--one-class", "--background", "2"]);
    assert!(
        printed.contains("2 pictures, 2 of them with masks") && printed.contains("255 = 1 foreground"),
        "{printed}"
    );
    let shown = |id: &str| {
        let mask = image::open(out.join(format!("procedures/{id}/masks/000000.png"))).unwrap().to_luma8();
        [0, 20, 39].map(|column| mask.get_pixel(column, 15).0[0] > 0)
    };
    assert_eq!((shown("a"), shown("b")), ([true, false, true], [true, false, false]));
}

#[test]
fn a_split_by_frame_is_refused() {
    let workspace = Workspace::new();
    let source = workspace.path("source");
    // A bright spot that drifts: the frames of one clip, as pictures.
    for number in 0..8 {
        let spot = |i: usize| if (i % 64).abs_diff(20 + number) < 9 && (i / 64).abs_diff(24) < 9 { 220 } else { 30 };
        let pixels: Vec<u8> = (0..48 * 64).map(spot).collect();
        write(&source.join(format!("clip/{number:03}.png")), &encode_png_grey(48, 64, &pixels).unwrap());
    }
    let out = workspace.path("out");
    let printed = fails(3, &["ingest", text(&source), "--out", text(&out), "--group-by", "file"]);
    assert!(printed.contains("frames of one video") && printed.contains("split would be by frame"), "{printed}");
    assert!(!out.exists(), "nothing is written");
    let printed = succeeds(&["ingest", text(&source), "--out", text(&out), "--dry-run"]);
    assert!(printed.contains("dry run") && !out.exists(), "{printed}");
    let printed = succeeds(&["ingest", text(&source), "--out", text(&out)]);
    assert!(printed.contains("1 procedure in 1 group"), "{printed}");
    assert!(printed.contains("1 group to learn from, 1 interval of the only group held out"), "{printed}");
    assert_eq!(json(&out.join("splits.json"))["stretches"][0]["procedure"], "clip", "every run holds out the same");
    let meta = json(&out.join("procedures/clip/meta.json"));
    assert_eq!(meta.get("stills"), None, "numbered in a row: {meta}");
    let all = workspace.path("all");
    let printed = succeeds(&["ingest", text(&source), "--out", text(&all), "--val-share", "0"]);
    assert!(printed.contains("1 group to learn from, nothing held out"), "{printed}");
    let split = json(&all.join("splits.json"));
    assert_eq!(
        (&split["train"], &split["val"], split.get("stretches")),
        (&value!(["clip"]), &value!([]), None),
        "as told"
    );
    fails(2, &["ingest", text(&source), "--out", text(&out), "--group-by", "("]);
    fails(3, &["ingest", text(&workspace.path("nowhere")), "--out", text(&out)]);
}

/// Names of the problems that `check` finds, with its exit code.
fn problems(data: &Path) -> (Option<i32>, BTreeSet<String>) {
    let report = data.join("report.json");
    let output = sonoseg(&["check", text(data), "--json", text(&report)]);
    let report = json(&report);
    let problems = report["problems"].as_array().unwrap();
    (output.status.code(), problems.iter().map(|problem| problem["kind"].as_str().unwrap().to_owned()).collect())
}

#[test]
fn every_problem_of_a_broken_data_set_is_named() {
    let workspace = Workspace::new();
    let data = workspace.path("data");
    let put = |path: &str, bytes: &[u8]| write(&data.join("procedures").join(path), bytes);
    let classes = r#"{"classes": ["background", "nerve"], "spacing": {"x_mm": 0.1, "y_mm": 0.1}}"#;
    let sound = |id: &str, seed: u64| {
        for frame in 0..3 {
            put(&format!("{id}/frames/{frame:06}.png"), &grey(seed + frame, 24, 32));
            put(&format!("{id}/masks/{frame:06}.png"), &mask(24, 32, &[1]));
        }
        put(&format!("{id}/meta.json"), classes.as_bytes());
    };
    sound("a", 10);
    sound("b", 20);
    write(&data.join("splits.json"), br#"{"train": ["a"], "val": ["b"]}"#);
    assert_eq!(problems(&data), (Some(0), BTreeSet::new()), "a sound data set has no problem");

    // Frames.
    sound("frames", 30);
    put("frames/frames/000001.png", b"\x89PNG\r\n\x1a\nnothing");
    put("frames/frames/000004.png", &grey(32, 24, 32));
    put("frames/frames/000005.png", &encode_png_grey(24, 32, &[7; 768]).unwrap());
    put("frames/frames/000006.png", &grey(33, 30, 30));
    put("frames/frames/000007.png", &grey(33, 30, 30));
    let colour: Vec<u8> = (0..24 * 32 * 3).map(|i| (i % 251) as u8).collect();
    put("frames/frames/000008.png", &encode_png_rgb(24, 32, &colour).unwrap());
    put("frames/frames/last.png", &grey(34, 24, 32));
    // Masks.
    sound("masks", 40);
    put("masks/masks/000000.png", &mask(20, 32, &[1]));
    put("masks/masks/000001.png", &mask(24, 32, &[5]));
    put("masks/masks/000002.png", &encode_png_rgb(24, 32, &colour).unwrap());
    put("masks/masks/000009.png", &mask(24, 32, &[1]));
    // Labels: half a row, a word, beyond the frame, of no frame, and twice.
    sound("labels", 50);
    put("labels/labels.csv", b"frame,x1,y1,x2,y2\n0,1,2,3,\n1,1,2,x,4\n1,1,2,40,4\n9,1,2,3,4\n2,,,,\n2,,,,\n");
    sound("table", 55);
    fs::create_dir(data.join("procedures/table/labels.csv")).unwrap();
    // What is said about the whole.
    sound("meta", 60);
    put("meta/meta.json", b"{\"fps\": \"fast\"}");
    sound("scale", 70);
    put(
        "scale/meta.json",
        br#"{"spacing": {"x_mm": 0.1, "y_mm": -1}, "classes": ["background", "nerve"], "class": "bone"}"#,
    );
    sound("names", 80);
    put("names/meta.json", br#"{"classes": ["background", "vessel"]}"#);
    put("bare/frames/000000.png", &grey(90, 24, 32));
    put("none/meta.json", b"{}");
    fs::create_dir(data.join("procedures/none/frames")).unwrap();
    put("lost/meta.json", b"{}");
    // Leakage: b shows a frame of a and a frame of one that is on no side, names one much like another.
    put("b/frames/000000.png", &grey(10, 24, 32));
    put("names/frames/000009.png", &grey(11, 48, 64));
    put("b/frames/000002.png", &grey(70, 24, 32));
    write(
        &data.join("splits.json"),
        br#"{"train": ["a", "frames", "scale", "ghost"], "val": ["b", "frames", "masks", "names"]}"#,
    );
    put("other/frames/000000.png", &grey(41, 24, 32));
    put("other/meta.json", classes.as_bytes());
    let (code, found) = problems(&data);
    assert_eq!(code, Some(3));
    let expected = [
        "bad-frame",
        "gap",
        "empty-frame",
        "mixed-sizes",
        "repeated-frame",
        "colour-frame",
        "bad-name",
        "mask-size",
        "mask-class",
        "bad-mask",
        "mask-without-frame",
        "bad-label",
        "label-outside",
        "label-no-frame",
        "label-twice",
        "bad-labels",
        "bad-meta",
        "spacing",
        "class-unknown",
        "classes-differ",
        "no-meta",
        "no-frames",
        "no-folder",
        "unlabelled",
        "no-spacing",
        "leak-frame",
        "leak-alike",
        "same-frame",
        "leak-group",
        "split-unknown",
        "split-incomplete",
    ];
    let missing: Vec<&&str> = expected.iter().filter(|kind| !found.contains(**kind)).collect();
    assert!(missing.is_empty(), "not found: {missing:?} in {found:?}");
    let printed = fails(3, &["check", text(&data)]);
    for place in ["frames/frames/000001.png", "labels/labels.csv line 2", "masks/masks/000001.png: holds class 5"] {
        assert!(printed.contains(place), "{place} is named: {printed}");
    }
    // Training stops at the first of them, with a sentence.
    let recipe = workspace.path("recipe.toml");
    let never = workspace.path("never");
    fails(3, &["train", text(&recipe), "--data", text(&data), "--out", text(&never), "--device", "flex"]);

    write(&data.join("splits.json"), br#"{"train": []}"#);
    assert!(problems(&data).1.contains("bad-split"));
    write(&data.join("splits.json"), br#"{"train": ["a"], "val": []}"#);
    assert!(problems(&data).1.contains("split-empty"));
    fs::remove_file(data.join("splits.json")).unwrap();
    assert!(problems(&data).1.contains("no-split"));
    let empty = workspace.path("empty");
    fs::create_dir_all(empty.join("procedures")).unwrap();
    assert_eq!(problems(&empty).0, Some(3));
    assert!(problems(&empty).1.contains("empty"));
    // A class that no mask shows.
    for id in ["a", "b"] {
        fs::write(
            data.join(format!("procedures/{id}/meta.json")),
            r#"{"classes": ["background", "nerve", "bone"], "patient": "anna"}"#,
        )
        .unwrap();
    }
    let found = problems(&data).1;
    assert!(found.contains("class-absent") && found.contains("unknown-key"), "{found:?}");
}
