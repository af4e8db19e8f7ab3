//! What people do twice, half, or with the wrong thing beside it: nothing is lost, mixed up or taken for something else.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use image::{GrayImage, Luma};
use serde_json::Value;
use sonoseg_imaging::rng::splitmix64;

use crate::workspace::{Workspace, fails, succeeds, text};

/// A picture of random patches with a bright square at its own place, and the mask of that square in `value`.
fn picture(seed: u64, value: u8) -> [GrayImage; 2] {
    let noise = |x: u32, y: u32| (splitmix64((seed << 20) + u64::from(x / 4 * 256 + y / 4)) % 100) as u8;
    let inside = |x: u32, y: u32| (8 + seed as u32..16 + seed as u32).contains(&x) && (8..16).contains(&y);
    [
        GrayImage::from_fn(32, 32, |x, y| Luma([if inside(x, y) { 220 } else { noise(x, y) }])),
        GrayImage::from_fn(32, 32, |x, y| Luma([if inside(x, y) { value } else { 0 }])),
    ]
}

/// Pictures with masks below `folder`, called by their seeds.
fn pictures(folder: &Path, seeds: std::ops::Range<u64>, value: u8) {
    for sort in ["images", "masks"] {
        fs::create_dir_all(folder.join(sort)).unwrap();
    }
    for seed in seeds {
        let [image, mask] = picture(seed, value);
        image.save(folder.join(format!("images/n{seed}.png"))).unwrap();
        mask.save(folder.join(format!("masks/n{seed}.png"))).unwrap();
    }
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn names(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn results_of_files_with_one_name_stay_apart() {
    let workspace = Workspace::new();
    let data = workspace.simulate("data", "21");
    let run = workspace.train(&data, "run", &["--epochs", "1"]);
    let model = workspace.path("model.safetensors");
    succeeds(&["export", text(&run.join("last.safetensors")), "--out", text(&model)]);
    for (folder, seed) in [("one", 1), ("two", 2)] {
        fs::create_dir(workspace.path(folder)).unwrap();
        picture(seed, 1)[0].save(workspace.path(folder).join("scan.png")).unwrap();
    }
    let out = workspace.path("one/results/");
    let (one, two) = (workspace.path("one"), workspace.path("two"));
    // The second time the results lie in what is read.
    for _ in 0..2 {
        succeeds(&["predict", text(&model), text(&one), text(&two.join("scan.png")), "--out", text(&out)]);
        let table = fs::read_to_string(out.join("geometry.csv")).unwrap();
        let inputs: BTreeSet<&str> = table.lines().skip(1).filter_map(|line| line.split(',').next()).collect();
        assert_eq!((inputs.len(), table.lines().count()), (2, 3), "{table}");
        for input in inputs {
            assert!(out.join("masks").join(format!("{input}.png")).exists(), "{input}");
        }
    }

    let empty = workspace.path("empty");
    fs::create_dir(&empty).unwrap();
    assert!(fails(3, &["predict", text(&model), text(&empty), "--out", text(&out)]).contains("holds no files"));
    // What could not be read once and can be now is no failure any more.
    let (broken, again) = (two.join("broken.png"), workspace.path("again"));
    fs::write(&broken, b"\x89PNG\r\n\x1a\nnothing").unwrap();
    fails(3, &["predict", text(&model), text(&two), "--out", text(&again)]);
    assert!(again.join("failures.csv").exists());
    fs::remove_file(&broken).unwrap();
    succeeds(&["predict", text(&model), text(&two), "--out", text(&again)]);
    assert!(!again.join("failures.csv").exists());
}

#[test]
fn a_run_goes_on_with_its_own_data_and_settings_and_new_limits_are_noted() {
    let workspace = Workspace::new();
    let (data, other) = (workspace.simulate("data", "22"), workspace.simulate("other", "23"));
    let run = workspace.train(&data, "run", &["--epochs", "1"]);
    let recipe = workspace.path("recipe.toml");
    let begin = |data: &Path, init: &[&str]| {
        let words = ["train", text(&recipe), "--data", text(data), "--out", text(&run), "--epochs", "1", "--continue"];
        [&words, init].concat().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let words = |words: &[String]| fails(3, &words.iter().map(String::as_str).collect::<Vec<_>>());
    // The same folder by another word is the same.
    let slash = data.join("");
    succeeds(&begin(&slash, &[]).iter().map(String::as_str).collect::<Vec<_>>());
    assert!(words(&begin(&other, &[])).contains("another --data"));
    assert!(words(&begin(&data, &["--init", "elsewhere"])).contains("another --init"));

    let resume = ["train", "--resume", text(&run), "--device", "flex"];
    let told = fails(2, &[&resume, ["--set", "train.optimiser.learning_rate=0.5"].as_slice()].concat());
    assert!(told.contains("begin a new run"), "{told}");
    succeeds(&[&resume, ["--epochs", "2"].as_slice()].concat());
    assert!(fs::read_to_string(run.join("recipe.toml")).unwrap().contains("epochs = 2"));
    let origins = json(&run.join("origins.json"));
    assert_eq!((&origins["train.epochs"], &origins["train.patience"]), (&"--set".into(), &"default".into()));
    let epochs = || fs::read_to_string(run.join("metrics.jsonl")).unwrap().matches("val_loss").count();
    assert_eq!((epochs(), run.join("finished.json").exists()), (2, true));
    succeeds(&resume);
    assert_eq!(epochs(), 2, "it is at its end");

    // A finished run without the file to go on from, and a folder of something else, are nobody's to overwrite.
    fs::remove_file(run.join("resume.safetensors")).unwrap();
    let mine = workspace.path("mine");
    fs::create_dir(&mine).unwrap();
    fs::write(mine.join("recipe.toml"), "# with care").unwrap();
    for folder in [&run, &mine] {
        for more in [&[][..], &["--continue"]] {
            let words = ["train", text(&recipe), "--data", text(&data), "--out", text(folder), "--device", "flex"];
            fails(3, &[&words, more].concat());
        }
    }
    assert_eq!(fs::read_to_string(mine.join("recipe.toml")).unwrap(), "# with care");
}

#[test]
fn classes_that_come_later_leave_the_earlier_ones_as_they_are() {
    let workspace = Workspace::new();
    let (first, second, out) = (workspace.path("first"), workspace.path("second"), workspace.path("data"));
    pictures(&first, 0..3, 50);
    pictures(&second, 4..7, 200);
    let ingest = |source: &Path| succeeds(&["ingest", text(source), "--out", text(&out), "--group-by", "file"]);
    ingest(&first);
    ingest(&second);
    assert_eq!(json(&out.join("procedures/n0/meta.json"))["classes"].as_array().unwrap().len(), 2);
    assert_eq!(json(&out.join("procedures/n4/meta.json"))["classes"].as_array().unwrap().len(), 3);
    assert!(ingest(&first).contains("3 were there already"));
    succeeds(&["check", text(&out)]);
    fs::remove_file(out.join("splits.json")).unwrap();
    // The procedures of the first source do not know the class, and hold nothing of it.
    let run = workspace.train(&out, "run", &["--epochs", "1", "--set", "data.class=2"]);
    assert!(run.join("finished.json").exists());
}

#[test]
fn what_a_killed_ingest_has_left_does_not_come_into_the_data() {
    let workspace = Workspace::new();
    let (source, out) = (workspace.path("source"), workspace.path("data"));
    pictures(&source, 0..3, 1);
    let left = out.join(".ingest/procedures/n0/frames");
    fs::create_dir_all(&left).unwrap();
    fs::write(left.join("000099.png"), "half of a picture").unwrap();
    succeeds(&["ingest", text(&source), "--out", text(&out), "--group-by", "file"]);
    assert_eq!(names(&out.join("procedures/n0/frames")), BTreeSet::from(["000000.png".into()]));
    assert!(!out.join(".ingest").exists());
}

#[test]
fn dicom_files_of_one_examination_are_one_group_and_nobody_is_named() {
    let workspace = Workspace::new();
    let (data, out) = (workspace.simulate("data", "24"), workspace.path("out"));
    fs::create_dir(workspace.path("raw")).unwrap();
    for (name, procedure) in [("clip_1", "p0000"), ("clip_2", "p0000"), ("clip_3", "p0001")] {
        fs::copy(data.join(format!("procedures/{procedure}/clip.dcm")), workspace.path(&format!("raw/{name}.dcm")))
            .unwrap();
    }
    let said = succeeds(&["ingest", text(&workspace.path("raw")), "--out", text(&out)]);
    assert!(
        said.contains("3 procedures in 2 groups") && said.contains("what the files say of their patient"),
        "{said}"
    );
    let group = |name: &str| json(&out.join(format!("procedures/{name}/meta.json")))["group"].clone();
    assert!(group("clip_1") == group("clip_2") && group("clip_1") != group("clip_3"));
    assert!(group("clip_1").as_str().unwrap().starts_with("patient-"));
}

#[test]
fn pictures_without_masks_are_not_what_a_run_is_measured_on() {
    let workspace = Workspace::new();
    let (source, out) = (workspace.path("source"), workspace.path("data"));
    pictures(&source, 0..4, 1);
    for seed in 1..4 {
        fs::remove_file(source.join(format!("masks/n{seed}.png"))).unwrap();
    }
    pictures(&source, 5..6, 1);
    succeeds(&["ingest", text(&source), "--out", text(&out), "--group-by", "file", "--val-share", "0.5"]);
    let split = json(&out.join("splits.json"));
    let held: Vec<&str> = split["val"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(held == ["n0"] || held == ["n5"], "{held:?}");
    assert_eq!(split["train"].as_array().unwrap().len(), 4);
    let nobody = r#"{"train": ["n0", "n1", "n2", "n3", "n5"], "val": []}"#;
    fs::write(out.join("splits.json"), nobody).unwrap();
    let (recipe, run) = (workspace.path("recipe.toml"), workspace.path("run"));
    let words = ["train", text(&recipe), "--data", text(&out), "--out", text(&run), "--device", "flex"];
    let told = succeeds(&words);
    assert!(told.contains("Nothing is held out") && !run.join("best.safetensors").exists(), "{told}");
}
