//! Data sets as other tools lay them out: folders of masks, outlines, tables, names of patients.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sonoseg_imaging::formats::encode::{encode_png_grey, encode_png_rgb};

use crate::workspace::{Workspace, fails, succeeds, text};

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// A picture with many levels, unlike any of another seed.
fn scan(seed: u64) -> Vec<u8> {
    let patch = |i: usize| sonoseg_imaging::rng::splitmix64(seed * 64 + (i / 40 / 4 * 8 + i % 40 / 5) as u64);
    let pixels: Vec<u8> = (0..32 * 40).map(|i| (patch(i) as u8 / 2).wrapping_add((i % 97) as u8)).collect();
    encode_png_grey(32, 40, &pixels).unwrap()
}

/// Rows 8 to 19 and columns 10 to 29 are the object.
fn in_object(i: usize) -> bool {
    (8..20).contains(&(i / 40)) && (10..30).contains(&(i % 40))
}

fn grey_mask(level: u8) -> Vec<u8> {
    encode_png_grey(32, 40, &(0..32 * 40).map(|i| if in_object(i) { level } else { 0 }).collect::<Vec<_>>()).unwrap()
}

/// The class of every pixel of a stored mask.
fn stored(out: &Path, id: &str) -> Vec<u8> {
    let path = out.join(format!("procedures/{id}/masks/000000.png"));
    let bytes = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    sonoseg_imaging::formats::mask::read_class_mask("mask", &bytes, None).unwrap().classes
}

fn assert_object(out: &Path, id: &str) {
    let wrong = stored(out, id).iter().enumerate().filter(|&(i, &class)| class != u8::from(in_object(i))).count();
    assert_eq!(wrong, 0, "{id}: pixels that are wrong");
}

fn meta(out: &Path, id: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(out.join(format!("procedures/{id}/meta.json"))).unwrap()).unwrap()
}

fn ingest(workspace: &Workspace, name: &str, more: &[&str]) -> (String, PathBuf) {
    let out = workspace.path(&format!("{name}-out"));
    (succeeds(&[&["ingest", text(&workspace.path(name)), "--out", text(&out)], more].concat()), out)
}

#[test]
fn the_usual_layouts_give_masks_and_never_pictures_of_masks() {
    let workspace = Workspace::new();
    let coloured: Vec<u8> = (0..32 * 40).flat_map(|i| if in_object(i) { [250, 50, 83] } else { [0, 0, 0] }).collect();
    let coloured = encode_png_rgb(32, 40, &coloured).unwrap();
    for n in 0..3 {
        let put = |path: &str, bytes: &[u8]| write(&workspace.path(&path.replace('N', &n.to_string())), bytes);
        put("cvat/JPEGImages/N.png", &scan(n));
        put("cvat/SegmentationClass/N.png", &coloured);
        put("cvat/SegmentationObject/N.png", &coloured);
        put("carvana/train/N.png", &scan(n));
        put("carvana/train_masks/N_mask.png", &grey_mask(255));
        put("mmseg/img_dir/train/N.png", &scan(n));
        put("mmseg/ann_dir/train/N.png", &grey_mask(1));
    }
    write(
        &workspace.path("cvat/labelmap.txt"),
        b"# label:color_rgb:parts:actions\nbackground:0,0,0::\nlesion:250,50,83::\n",
    );
    write(&workspace.path("cvat/ImageSets/Segmentation/default.txt"), b"0\n1\n2\n");
    for name in ["cvat", "carvana", "mmseg"] {
        let (printed, out) = ingest(&workspace, name, &[]);
        assert!(printed.contains("3 pictures, 3 of them with masks"), "{name}: {printed}");
        (0..3).for_each(|n| assert_object(&out, &n.to_string()));
    }
    assert_eq!(meta(&workspace.path("cvat-out"), "1")["classes"][1], "lesion", "as labelmap.txt says");
}

#[test]
fn pictures_that_look_like_masks_stop_the_ingest_with_a_question() {
    let workspace = Workspace::new();
    for n in 0..3 {
        write(&workspace.path("odd").join(format!("us/{n}.png")), &scan(n));
        write(&workspace.path("odd").join(format!("drawn/{n}.png")), &grey_mask(255));
        write(&workspace.path("one").join(format!("{n}.png")), &scan(n));
        write(&workspace.path("one").join(format!("{n}_tumour.png")), &grey_mask(1));
    }
    let folder = workspace.path("odd/drawn");
    for (name, answer) in [("odd", text(&folder)), ("one", "_tumour")] {
        let (source, out) = (workspace.path(name), workspace.path(&format!("{name}-out")));
        let printed = fails(3, &["ingest", text(&source), "--out", text(&out)]);
        assert!(printed.contains("few flat colours") && printed.contains(answer), "{printed}");
        assert!(!out.exists(), "nothing is written");
        let (printed, out) = ingest(&workspace, name, &["--masks", answer]);
        assert!(printed.contains("3 pictures, 3 of them with masks"), "{printed}");
        assert_object(&out, "2");
        let out = workspace.path(&format!("{name}-pictures"));
        let printed = succeeds(&["ingest", text(&source), "--out", text(&out), "--no-masks"]);
        assert!(printed.contains("6 pictures, 0 of them with masks"), "{printed}");
    }
}

#[test]
fn outlines_become_masks() {
    let workspace = Workspace::new();
    // The outline of the object through its outer pixels, as cv2.findContours gives it.
    let corners = [[10, 8], [29, 8], [29, 19], [10, 19]];
    let points = serde_json::to_string(&corners).unwrap();
    let flat = serde_json::to_string(&corners.concat()).unwrap();
    for n in 0..3 {
        for kind in ["labelme", "coco/images", "yolo/images"] {
            write(&workspace.path(kind).join(format!("{n}.png")), &scan(n));
        }
        let json = format!(
            r#"{{"version": "5.0", "shapes": [{{"label": "lesion", "points": {points}, "shape_type": "polygon"}}],
                "imagePath": "{n}.png", "imageHeight": 32, "imageWidth": 40, "imageData": null}}"#
        );
        write(&workspace.path("labelme").join(format!("{n}.json")), json.as_bytes());
        let shares = corners.map(|[x, y]| format!("{} {}", (x as f64 + 0.5) / 40.0, (y as f64 + 0.5) / 32.0)).join(" ");
        write(&workspace.path("yolo/labels").join(format!("{n}.txt")), format!("0 {shares}\n").as_bytes());
    }
    write(&workspace.path("yolo/data.yaml"), b"names:\n  0: lesion\n");
    let images: Vec<String> =
        (0..3).map(|n| format!(r#"{{"id": {n}, "file_name": "{n}.png", "height": 32, "width": 40}}"#)).collect();
    // The third by run lengths: column by column, 10 columns without, then 20 with 12 rows each.
    let mut runs = vec![10 * 32 + 8];
    (0..20).for_each(|column| runs.extend([12, if column < 19 { 20 } else { 10 * 32 + 12 }]));
    let drawn = [format!("[{flat}]"), format!("[{flat}]"), format!(r#"{{"size": [32, 40], "counts": {runs:?}}}"#)];
    let objects: Vec<String> = drawn
        .iter()
        .enumerate()
        .map(|(n, shape)| {
            format!(r#"{{"id": {n}, "image_id": {n}, "category_id": 4, "segmentation": {shape}, "iscrowd": 0}}"#)
        })
        .collect();
    let coco = format!(
        r#"{{"images": [{}], "annotations": [{}], "categories": [{{"id": 4, "name": "lesion"}}]}}"#,
        images.join(","),
        objects.join(",")
    );
    write(&workspace.path("coco/annotations/instances_default.json"), coco.as_bytes());
    for name in ["labelme", "coco", "yolo"] {
        let (printed, out) = ingest(&workspace, name, &[]);
        assert!(
            printed.contains("3 pictures, 3 of them with masks") && printed.contains("1 lesion"),
            "{name}: {printed}"
        );
        (0..3).for_each(|n| assert_object(&out, &n.to_string()));
        assert_eq!(meta(&out, "1")["classes"], serde_json::json!(["background", "lesion"]));
        let printed = succeeds(&["check", text(&out)]);
        assert!(printed.contains("width of lesion in pixels of a network of 224x224: median 84.0"), "{printed}");
    }
    // What belongs nowhere, and what is not read, is told.
    fs::remove_file(workspace.path("labelme/1.png")).unwrap();
    write(&workspace.path("labelme/project.json"), br#"[{"id": 1, "data": {}, "annotations": []}]"#);
    let out = workspace.path("part");
    let printed = fails(3, &["ingest", text(&workspace.path("labelme")), "--out", text(&out)]);
    assert!(printed.contains("names the picture 1.png, which is not among the sources"), "{printed}");
    assert!(printed.contains("label-studio"), "{printed}");
    assert_object(&out, "2");
}

#[test]
fn what_is_drawn_or_painted_as_ignored_is_judged_by_nobody() {
    let workspace = Workspace::new();
    // Rows 8 to 19: the object in columns 10 to 19, and in 20 to 29 nobody judged.
    let shape = |label: &str, [from, to]: [usize; 2]| {
        let points = format!("[[{from}, 8], [{to}, 8], [{to}, 19], [{from}, 19]]");
        format!(r#"{{"label": "{label}", "points": {points}, "shape_type": "polygon"}}"#)
    };
    let shapes = [shape("lesion", [10, 19]), shape("__ignore__", [20, 29])].join(",");
    let colour = |i: usize| match (in_object(i), i % 40 < 20) {
        (true, true) => [250, 50, 83],
        (true, false) => [9, 9, 9],
        (false, _) => [0, 0, 0],
    };
    let painted = encode_png_rgb(32, 40, &(0..32 * 40).flat_map(colour).collect::<Vec<_>>()).unwrap();
    for n in 0..2 {
        write(&workspace.path("drawn").join(format!("{n}.png")), &scan(n));
        let size = r#""imageHeight": 32, "imageWidth": 40"#;
        let json = format!(r#"{{"version": "5.0", "shapes": [{shapes}], "imagePath": "{n}.png", {size}}}"#);
        write(&workspace.path("drawn").join(format!("{n}.json")), json.as_bytes());
        write(&workspace.path("painted").join(format!("JPEGImages/{n}.png")), &scan(n));
        write(&workspace.path("painted").join(format!("SegmentationClass/{n}.png")), &painted);
    }
    write(&workspace.path("painted/labelmap.txt"), b"background:0,0,0::\nlesion:250,50,83::\nignored:9,9,9::\n");
    for (name, more) in [("drawn", &[][..]), ("painted", &[]), ("drawn", &["--one-class"])] {
        if !more.is_empty() {
            fs::remove_dir_all(workspace.path("drawn-out")).unwrap();
        }
        let (printed, out) = ingest(&workspace, name, more);
        let expected = |i: usize| match (in_object(i), i % 40 < 20) {
            (true, true) => 1,
            (true, false) => 255,
            (false, _) => 0,
        };
        let path = out.join("procedures/1/masks/000000.png");
        let read = sonoseg_imaging::formats::mask::read_class_mask("m", &fs::read(path).unwrap(), Some(255)).unwrap();
        assert_eq!(read.classes, (0..32 * 40).map(expected).collect::<Vec<_>>(), "{name} {more:?}: {printed}");
        assert!(printed.contains("ignored"), "{name} {more:?}: {printed}");
        assert_eq!(
            (&meta(&out, "1")["ignore"], meta(&out, "1")["classes"].as_array().unwrap().len()),
            (&255.into(), 2)
        );
    }
}

#[test]
fn a_corrected_mask_is_no_mask_that_was_taken_in_already() {
    let workspace = Workspace::new();
    let drawn = |column: u32| {
        // A bitmap, whose size tells nothing of what is in it.
        let mut mask = image::GrayImage::new(40, 32);
        (8..20).for_each(|row| mask.put_pixel(column, row, image::Luma([255])));
        let mut bytes = std::io::Cursor::new(Vec::new());
        mask.write_to(&mut bytes, image::ImageFormat::Bmp).unwrap();
        bytes.into_inner()
    };
    let (before, after) = (drawn(3), drawn(30));
    assert_eq!(before.len(), after.len(), "files of one size");
    for n in 0..2 {
        write(&workspace.path("set").join(format!("images/{n}.png")), &scan(n));
        write(&workspace.path("set").join(format!("masks/{n}.bmp")), &before);
    }
    ingest(&workspace, "set", &[]);
    let (printed, out) = ingest(&workspace, "set", &[]);
    assert!(printed.contains("2 were there already"), "{printed}");
    write(&workspace.path("set/masks/1.bmp"), &after);
    let printed = fails(3, &["ingest", text(&workspace.path("set")), "--out", text(&out)]);
    assert!(printed.contains("exists already, from other files"), "{printed}");
}

#[test]
fn numbered_pseudonyms_are_patients_and_the_bare_word_is_nobody() {
    let workspace = Workspace::new();
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/faults/20/anon0001.dcm");
    let file = fs::read(reference).unwrap();
    let study = file.windows(6).position(|bytes| bytes == b"\x20\0\x0d\0UI").unwrap() + 8;
    let named = |examination: u8, name: &[u8; 8]| -> Vec<u8> {
        let mut bytes = file.clone();
        bytes[study + 2] = examination;
        let places: Vec<usize> = (0..bytes.len() - 8).filter(|&at| file[at..].starts_with(b"ANON0001")).collect();
        assert!(!places.is_empty());
        places.into_iter().for_each(|at| bytes[at..at + 8].copy_from_slice(name));
        bytes
    };
    for (clip, name) in [
        ("a", b"ANON0001"),
        ("b", b"ANON0001"),
        ("c", b"ANON0002"),
        ("d", b"ANON_03 "),
        ("e", b"anon    "),
        ("f", b"anon    "),
    ] {
        write(&workspace.path("clips").join(format!("{clip}.dcm")), &named(clip.as_bytes()[0] - b'a' + b'1', name));
    }
    let (_, out) = ingest(&workspace, "clips", &["--val-share", "0"]);
    let group = |clip: &str| meta(&out, clip)["group"].as_str().unwrap_or(clip).to_owned();
    assert_eq!(group("a"), group("b"));
    let groups: std::collections::BTreeSet<String> = ["a", "c", "d", "e", "f"].map(group).into();
    assert_eq!(groups.len(), 5, "{groups:?}");
}

#[test]
fn masks_without_an_object_are_an_error() {
    let workspace = Workspace::new();
    for n in 0..4 {
        write(&workspace.path("empty").join(format!("images/{n}.png")), &scan(n));
        write(&workspace.path("empty").join(format!("masks/{n}.png")), &grey_mask(0));
    }
    let (printed, out) = ingest(&workspace, "empty", &[]);
    assert!(printed.contains("no mask shows any object"), "{printed}");
    let printed = fails(3, &["check", text(&out)]);
    assert!(printed.contains("no-object"), "{printed}");
    let recipe = workspace.path("recipe.toml");
    fs::write(&recipe, crate::workspace::RECIPE).unwrap();
    let run = workspace.path("run");
    let words = ["train", text(&recipe), "--data", text(&out), "--out", text(&run), "--device", "flex"];
    let printed = fails(3, &[&words[..], &["--set", "data.class=any"]].concat());
    assert!(printed.contains("leaves nothing to learn from"), "{printed}");
}

/// An uncompressed video of 32 x 24 pixels with two frames.
fn video() -> Vec<u8> {
    let mut bytes = b"YUV4MPEG2 W32 H24 F10:1 Ip A1:1 Cmono\n".to_vec();
    for seed in 0..2_u64 {
        bytes.extend(b"FRAME\n");
        bytes.extend((0..24 * 32).map(|i| sonoseg_imaging::rng::splitmix64(seed * 999 + i) as u8));
    }
    bytes
}

#[test]
fn tables_are_read_or_doubted() {
    let workspace = Workspace::new();
    let ingested = |name: &str, table: &[u8], more: &[&str]| {
        write(&workspace.path(name).join("clip.y4m"), &video());
        write(&workspace.path(name).join("clip.csv"), table);
        let (printed, out) = ingest(&workspace, name, more);
        (printed, fs::read_to_string(out.join("procedures/clip/labels.csv")).unwrap(), out)
    };
    let expected = "frame,x1,y1,x2,y2\n0,10.5,2.25,20.0,15.0\n1,,,,\n";
    for (name, table) in [
        ("semicolons", &b"frame;x1;y1;x2;y2\r\n0;10,5;2,25;20;15\r\n1;;;;\r\n"[..]),
        ("tabs", b"\xef\xbb\xbfframe\tx1\ty1\tx2\ty2\n0\t10.5\t2.25\t20\t15\n1\t\t\t\t\n"),
        ("bars", b"frame|x1|y1|x2|y2\n0|10.5|2.25|20|15\n1||||\n"),
    ] {
        assert_eq!(ingested(name, table, &[]).1, expected, "{name}");
    }
    // Shares of the picture, on the person's word only.
    let shares = b"frame,x1,y1,x2,y2\n0,0.25,0.125,0.75,0.5\n";
    write(&workspace.path("shares").join("clip.y4m"), &video());
    write(&workspace.path("shares").join("clip.csv"), shares);
    let out = workspace.path("never");
    let printed = fails(3, &["ingest", text(&workspace.path("shares")), "--out", text(&out)]);
    assert!(printed.contains("between 0 and 1") && printed.contains("--normalised") && !out.exists(), "{printed}");
    let (_, labels, out) = ingested("shares", shares, &["--normalised"]);
    assert_eq!(labels, "frame,x1,y1,x2,y2\n0,7.5,2.5,23.5,11.5\n");
    write(&out.join("procedures/clip/labels.csv"), shares);
    assert!(succeeds(&["check", text(&out)]).contains("label-shares"));
    // The entry deeper than the tip, and outside.
    let (printed, _, out) = ingested("swapped", b"frame,x1,y1,x2,y2\n0,20,15,10,2\n1,40,15,10,2\n", &[]);
    assert!(
        printed.contains("2 of 2 needles the entry (x1, y1) lies deeper") && printed.contains("swapped"),
        "{printed}"
    );
    assert!(printed.contains("1 labels lie outside"), "{printed}");
    let printed = fails(3, &["check", text(&out)]);
    assert!(printed.contains("label-upward") && printed.contains("label-outside"), "{printed}");
}

#[test]
fn names_that_begin_alike_are_one_patient() {
    let workspace = Workspace::new();
    for n in 0..9_u64 {
        let name = format!("{:03}_{}HC.png", n / 3, ["", "2", "3"][n as usize % 3]);
        write(&workspace.path("hc18").join("images").join(&name), &scan(n));
        write(&workspace.path("hc18").join("masks").join(&name), &grey_mask(1));
    }
    let (printed, out) = ingest(&workspace, "hc18", &[]);
    assert!(printed.contains("3 procedures in 3 groups") && printed.contains("--group-by file"), "{printed}");
    assert_eq!(fs::read_dir(out.join("procedures/001/frames")).unwrap().count(), 3);
}

#[cfg(unix)]
#[test]
fn long_and_strange_names_stay_apart() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let workspace = Workspace::new();
    let name = |byte: u8| OsStr::from_bytes(&[b's', b'c', byte, b'.', b'p', b'n', b'g']).to_owned();
    let long = format!("{}.png", "é".repeat(123));
    let masks = [grey_mask(1), grey_mask(2)];
    for (n, name) in [(0, name(0xe8)), (1, name(0xe9)), (1, long.into())] {
        write(&workspace.path("names/images").join(&name), &scan(n + name.len() as u64));
        write(&workspace.path("names/masks").join(&name), &masks[n as usize]);
    }
    let (printed, out) = ingest(&workspace, "names", &[]);
    assert!(printed.contains("3 pictures, 3 of them with masks"), "{printed}");
    let mut found: Vec<(String, u8)> = fs::read_dir(out.join("procedures"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .map(|id| (id.clone(), stored(&out, &id)[10 * 40 + 15]))
        .collect();
    found.sort();
    assert_eq!(found[..2], [("sc_e8".to_owned(), 1), ("sc_e9".to_owned(), 2)], "each has its own mask");
    assert_eq!((found.len(), found[2].1), (3, 2));
}
