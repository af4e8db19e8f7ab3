//! Figures by bin and honest confidences, by the real program: what the files say is what single frames say.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::workspace::{Workspace, fails, succeeds, text};

type Row = BTreeMap<String, String>;

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn rows(path: &Path) -> Vec<Row> {
    csv::Reader::from_path(path).unwrap().deserialize().map(Result::unwrap).collect()
}

fn number(row: &Row, name: &str) -> f64 {
    row[name].parse().unwrap_or(f64::NAN)
}

/// A network that marks much and calls needles, right or wrong.
fn trained(workspace: &Workspace, data: &Path, more: &[&str]) -> std::path::PathBuf {
    let settings = ["train.updates_per_epoch=12", "needle.threshold=0.1", "needle.min_likeness=0.0"];
    let quick = ["train.optimiser.learning_rate=0.01", "train.optimiser.layer_decay=1.0"];
    let words = settings.into_iter().chain(quick).flat_map(|word| ["--set", word]);
    workspace.train(data, "run", &words.chain(more.iter().copied()).collect::<Vec<_>>())
}

/// The figure of a method in a bin.
fn figure<'a>(bin: &'a Value, method: &str, name: &str) -> &'a Value {
    bin[method].as_array().unwrap().iter().find(|figure| figure["name"] == name).unwrap()
}

#[test]
fn frames_are_counted_in_the_bins_that_single_rows_name() {
    let workspace = Workspace::new();
    let data = workspace.simulate("data", "31");
    let run = trained(&workspace, &data, &[]);
    let (model, out) = (run.join("last.safetensors"), workspace.path("out"));
    let table = workspace.path("mine.csv");
    fs::write(&table, "frame;Operator\np0000/000001;anna\np0001/2;bert\n").unwrap();
    let by = "angle,contrast,entry,depth,length,probe,tip-in-plane,difficulty,operator";
    let basic = ["evaluate", text(&model), "--data", text(&data), "--device", "flex", "--out", text(&out)];
    let printed = succeeds(&[&basic[..], &["--by", by, "--table", text(&table)]].concat());
    for word in
        ["by angle of the needle to the horizontal, degrees", "by probe", "by Operator", "expected calibration error"]
    {
        assert!(printed.contains(word), "{word} is not in\n{printed}");
    }
    let (file, single) = (json(&out.join("metrics.json")), rows(&out.join("per_frame.csv")));
    let sortings = file["bins"].as_object().unwrap();
    assert_eq!(sortings.len(), 9, "{:?}", sortings.keys());
    for (name, bins) in sortings {
        let column = format!("by_{name}");
        let mut counted = 0;
        for bin in bins.as_array().unwrap() {
            for method in ["model", "baseline"] {
                let here = |row: &&Row| row["method"] == method && row[&column] == bin["bin"].as_str().unwrap();
                let here: Vec<&Row> = single.iter().filter(here).collect();
                assert_eq!(bin["frames"], here.len(), "{name}: {bin}");
                let sum = |name: &str| here.iter().map(|row| number(row, name)).sum::<f64>();
                let iou = sum("tp") / (sum("tp") + sum("fp") + sum("fn"));
                let told = figure(bin, method, "iou")["value"].as_f64().unwrap_or(f64::NAN);
                assert!((told - iou).abs() < 1e-9 || told.is_nan() && iou.is_nan(), "{name}: {told}, not {iou}");
                let outcome = |outcome: &str| here.iter().filter(|row| row["outcome"] == outcome).count();
                let alarms = &figure(bin, method, "false_positive_rate")["counts"];
                let free = outcome("FalsePositive") + outcome("Empty");
                assert_eq!(alarms, &serde_json::json!([outcome("FalsePositive"), free]), "{name}");
                if bin["bin"] == "no needle" {
                    assert_eq!(free, here.len(), "{name}");
                }
            }
            counted += bin["frames"].as_u64().unwrap();
        }
        assert_eq!(counted, 12, "{name}");
    }
    let names = |sorting: &str| -> Vec<&str> {
        sortings[sorting].as_array().unwrap().iter().map(|bin| bin["bin"].as_str().unwrap()).collect()
    };
    assert_eq!(names("Operator"), ["anna", "bert", "not known"]);
    assert!(
        names("probe").iter().all(|probe| ["linear", "trapezoid", "convex"].contains(probe)),
        "{:?}",
        names("probe")
    );
    let free = single.iter().filter(|row| row["by_angle"] == "no needle");
    assert!(free.into_iter().all(|row| row["by_tip_in_plane"] == "no needle"));
    let svg = fs::read_to_string(out.join("bins.svg")).unwrap();
    roxmltree::Document::parse(&svg).unwrap();
    assert!(svg.contains("Angle of the needle to the horizontal"), "{svg}");

    let told = fails(2, &[&basic[..], &["--by", "angle,gain"]].concat());
    for word in
        ["sorted by gain", "angle, length, depth, contrast, entry", "tip_in_plane", "difficulty", "--table FILE"]
    {
        assert!(told.contains(word), "{word} is not in\n{told}");
    }
    fs::write(&table, "frame,operator\nq7/1,anna\n").unwrap();
    let told = fails(3, &[&basic[..], &["--by", "operator", "--table", text(&table)]].concat());
    assert!(told.contains("mine.csv") && told.contains("q7"), "{told}");

    // The report has the bins of the labels by itself, and shows their picture.
    succeeds(&["report", text(&run), "--device", "flex"]);
    let page = fs::read_to_string(run.join("report.md")).unwrap();
    assert!(page.contains("## Where it succeeds and fails") && page.contains("(bins.svg)"), "{page}");
    assert!(page.contains("By contrast of the needle to what is beside it") && run.join("bins.svg").exists());
    assert!(json(&run.join("evaluation/metrics.json"))["bins"]["angle"].is_array());
}

#[test]
fn calibrated_confidences_are_said_by_the_model_that_was_written() {
    let workspace = Workspace::new();
    let data = workspace.path("data");
    let settings = ["--procedures", "6", "--frames", "10", "--seed", "32", "--difficulty", "simple"];
    succeeds(&[&["simulate", "needle", "--out", text(&data)], settings.as_slice()].concat());
    let run = trained(&workspace, &data, &["--epochs", "3"]);
    let (model, honest) = (run.join("last.safetensors"), workspace.path("honest.safetensors"));
    let measured = |model: &Path, out: &str| {
        let out = workspace.path(out);
        succeeds(&["evaluate", text(model), "--data", text(&data), "--device", "flex", "--out", text(&out)]);
        let calls = rows(&out.join("per_frame.csv"));
        let called =
            |row: &Row| row["method"] == "model" && ["Found", "FalsePositive"].contains(&row["outcome"].as_str());
        let calls: Vec<Row> = calls.into_iter().filter(called).collect();
        (json(&out.join("metrics.json"))["calibration"].clone(), calls)
    };
    let (before, calls) = measured(&model, "before");
    assert!(calls.len() >= 30, "the test needs more calls than {}", calls.len());
    // What the file says is what follows from its rows.
    let right = |row: &&Row| number(row, "tip_mm") <= 3.0;
    assert_eq!((&before["calls"], &before["right"]), (&calls.len().into(), &calls.iter().filter(right).count().into()));
    let mut gaps = 0.0;
    for bin in before["bins"].as_array().unwrap() {
        let [from, to] = ["from", "to"].map(|end| bin[end].as_f64().unwrap());
        let inside = |row: &&Row| number(row, "confidence") > from && number(row, "confidence") <= to;
        let inside: Vec<&Row> = calls.iter().filter(inside).collect();
        assert_eq!(bin["calls"], inside.len());
        let said: f64 = inside.iter().map(|row| number(row, "confidence")).sum();
        gaps += (said - inside.iter().filter(|row| right(row)).count() as f64).abs();
    }
    let error = before["expected_error"].as_f64().unwrap();
    assert!((error - gaps / calls.len() as f64).abs() < 1e-9, "{error}");

    let words = ["calibrate", text(&model), "--data", text(&data), "--out", text(&honest), "--device", "flex"];
    let printed = succeeds(&words);
    assert!(printed.contains("on procedures that it was not fitted on"), "{printed}");
    let (after, honest_calls) = measured(&honest, "after");
    let now = after["expected_error"].as_f64().unwrap();
    assert!(now < 0.05 && now < error, "{error} before, {now} after");
    for (one, other) in calls.iter().zip(&honest_calls) {
        assert_eq!((&one["frame"], &one["tip_x"]), (&other["frame"], &other["tip_x"]), "the needles are the same");
    }
    // A calibration is one of what the network itself says: a second one changes nothing.
    let again = workspace.path("again.safetensors");
    succeeds(&["calibrate", text(&honest), "--data", text(&data), "--out", text(&again), "--device", "flex"]);
    assert_eq!(fs::read(&again).unwrap(), fs::read(&honest).unwrap());
    let told = fails(3, &["calibrate", text(&run), "--data", text(&data), "--out", text(&again), "--device", "flex"]);
    assert!(told.contains("a calibration takes 30 at least"), "{told}");

    // Stripes are unlike anything in the data that it learned from, and the answer is no confident line.
    let knows = workspace.path("knows.safetensors");
    let words = ["calibrate", text(&model), "--data", text(&data), "--out", text(&knows), "--device", "flex"];
    let printed = succeeds(&[&words[..], &["--learned-from", text(&data)]].concat());
    assert!(printed.contains("unlike the training data: beyond"), "{printed}");
    let (frame, stripes) = (data.join("procedures/p0001/frames/000004.png"), workspace.path("stripes.png"));
    let line = |at: u32| if at.is_multiple_of(3) { 255 } else { 0 };
    image::GrayImage::from_fn(200, 160, |x, y| image::Luma([line(x + 2 * y)])).save(&stripes).unwrap();
    let out = workspace.path("predicted");
    succeeds(&["predict", text(&knows), text(&frame), text(&stripes), "--out", text(&out), "--device", "flex"]);
    let rows = rows(&out.join("geometry.csv"));
    let told = |name: &str| {
        let row = rows.iter().find(|row| row["input"] == name).unwrap();
        (
            number(row, "novelty") > 1.0,
            row["unlike_training"] == "true",
            row["needle"] == "true",
            !row["confidence"].is_empty(),
        )
    };
    let (known, strange) = (told("000004.png"), told("stripes.png"));
    assert!(!known.0 && !known.1 && known.2 == known.3, "{rows:?}");
    assert!(strange.0 && strange.1 && !strange.3, "{rows:?}");
}
