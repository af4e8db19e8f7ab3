//! A study done by the real program: in order, once, and again after a kill.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::workspace::{Workspace, command, fails, succeeds, text};

const STUDY: &str = r#"
name = "two-steps"
about = "Does a little pre-training help a little network?"
[remarks]
every = "Far too small to say anything."
[scales.small]
every = ["train.epochs=2"]
[[runs]]
name = "pretrained"
label = "MAE"
recipe = "recipe.toml"
settings.every = ["task=mae"]
[[runs]]
name = "from-scratch"
label = "UNETR from scratch"
recipe = "recipe.toml"
published = [10.0, 20.0, 30.0]
[[runs]]
name = "fine-tuned"
label = "UNETR after MAE"
recipe = "recipe.toml"
init = "pretrained"
published = [40.0, 50.0, 60.0]
"#;

fn time_of(path: &Path) -> std::time::SystemTime {
    fs::metadata(path).unwrap().modified().unwrap()
}

/// The report without the times that the runs took.
fn table(out: &Path) -> Vec<Vec<String>> {
    let mut reader = csv::Reader::from_path(out.join("table.csv")).unwrap();
    let time = reader.headers().unwrap().iter().position(|name| name == "time").unwrap();
    let keep = |row: csv::StringRecord| {
        row.iter().enumerate().filter(|(column, _)| *column != time).map(|(_, cell)| cell.to_owned()).collect()
    };
    reader.records().map(|row| keep(row.unwrap())).collect()
}

#[test]
fn a_study_is_planned_done_once_and_goes_on_after_a_kill() {
    let workspace = Workspace::new();
    let data = workspace.simulate("data", "20");
    let file = workspace.path("study.toml");
    fs::write(&file, STUDY).unwrap();
    let out = workspace.path("out");
    let words =
        ["study", text(&file), "--data", text(&data), "--out", text(&out), "--scale", "small", "--device", "flex"];

    let plan = succeeds(&[&words, ["--plan"].as_slice()].concat());
    let stages: Vec<&str> = plan.lines().filter(|line| line.starts_with('#')).collect();
    assert_eq!((stages.len(), plan.matches("sonoseg train").count()), (2, 3), "{plan}");
    let last = succeeds(&[&words, ["--plan", "--stage", "1"].as_slice()].concat());
    assert!(
        last.contains("--init") && last.contains("&& sonoseg evaluate") && !last.contains("from-scratch"),
        "{last}"
    );
    assert!(!out.exists(), "a plan does nothing");

    // Killed as soon as the last run has begun.
    let mut child = command(&words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let started = Instant::now();
    while !out.join("runs/fine-tuned/metrics.jsonl").exists() {
        assert!(started.elapsed() < Duration::from_secs(60), "the study never came to its last run");
        sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let finished = out.join("runs/from-scratch/finished.json");
    let before = time_of(&finished);
    // Figures of a run that is not at its end are nobody's figures.
    let early = out.join("runs/fine-tuned/measured");
    fs::create_dir_all(&early).unwrap();
    fs::write(early.join("metrics.json"), "{}").unwrap();
    // The program that the study had started may still run: the study waits for it, since two never train in one folder.
    succeeds(&words);
    assert_eq!(time_of(&finished), before, "what is done is not done again");

    let report = fs::read_to_string(out.join("report.md")).unwrap();
    for words in [
        "Not for clinical use",
        "Far too small",
        "UNETR after MAE",
        "baseline, nothing learned",
        "fine-tuned above from-scratch",
        "pre-training.svg",
        "60.00",
    ] {
        assert!(report.contains(words), "{words} is not in {report}");
    }
    for file in ["report.html", "table.csv", "fine-tuning.svg", "answers.png", "reconstructions-pretrained.png"] {
        assert!(out.join(file).exists(), "{file} is missing");
    }

    // The same study elsewhere, never interrupted, gives the same numbers.
    let again = workspace.path("again");
    let words = words.map(|word| if word == text(&out) { text(&again) } else { word });
    succeeds(&words);
    assert_eq!(table(&again), table(&out));

    let other = fails(2, &[&words[..7], ["huge", "--device", "flex"].as_slice()].concat());
    assert!(other.contains("small"), "{other}");
}
