//! Simulated knees as people use them: written, checked, learned from, and looked at by the features of networks.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sonoseg_imaging::formats::mask::read_class_mask;
use sonoseg_imaging::synthetic::Structure;

use crate::layers::RECIPE;
use crate::workspace::{Workspace, fails, succeeds, text};

fn simulate(workspace: &Workspace, name: &str, settings: &[&str]) -> PathBuf {
    let out = workspace.path(name);
    let words = ["simulate", "knee", "--procedures", "6", "--frames", "2", "--seed", "3", "--out", text(&out)];
    succeeds(&[&words, settings].concat());
    out
}

/// The classes of all masks, and those that `meta.json` names.
fn classes(data: &Path) -> (Vec<u8>, Value) {
    let mut found = Vec::new();
    let mut names = Value::Null;
    for number in 0..6 {
        let procedure = data.join(format!("procedures/k{number:04}"));
        for frame in 0..2 {
            let path = procedure.join(format!("masks/{frame:06}.png"));
            found.extend(read_class_mask(text(&path), &fs::read(&path).unwrap(), None).unwrap().classes);
        }
        let meta: Value = serde_json::from_slice(&fs::read(procedure.join("meta.json")).unwrap()).unwrap();
        names = meta["classes"].clone();
    }
    found.sort_unstable();
    found.dedup();
    (found, names)
}

#[test]
fn knees_are_checked_learned_from_and_mapped() {
    let workspace = Workspace::new();
    let data = simulate(&workspace, "knees", &["--dicom"]);
    assert_eq!(classes(&data), (vec![0, 1], serde_json::json!(["background", "recess"])));
    assert!(data.join("procedures/k0005/clip.dcm").exists());
    let facts = fs::read_to_string(data.join("procedures/k0000/frames.csv")).unwrap();
    assert!(facts.starts_with("frame,effusion,patella\n0,"), "{facts}");
    succeeds(&["check", text(&data)]);
    let again = simulate(&workspace, "again", &[]);
    let frame = |data: &Path| fs::read(data.join("procedures/k0003/frames/000001.png")).unwrap();
    assert_eq!(frame(&data), frame(&again));

    // The recess is a class by its name, and every fold holds knees with and without fluid.
    let recipe = workspace.path("knee.toml");
    fs::write(&recipe, RECIPE.replace("class = \"any\"", "class = \"recess\"")).unwrap();
    let runs = ["one", "two"].map(|name| workspace.path(name));
    for (run, seed) in runs.iter().zip(["seed=1", "seed=2"]) {
        let words = ["train", text(&recipe), "--data", text(&data), "--out", text(run), "--device", "flex"];
        succeeds(&[&words, ["--epochs", "1", "--set", seed].as_slice()].concat());
    }
    let said =
        succeeds(&["evaluate", text(&runs[0]), "--data", text(&data), "--out", text(&workspace.path("figures"))]);
    assert!(said.contains("frames"), "{said}");

    let out = workspace.path("map");
    let words = ["inspect", text(&runs[0]), "--embed", text(&data), "--against", text(&runs[1]), "--out", text(&out)];
    let words = [&words, ["--device", "flex"].as_slice()].concat();
    let said = succeeds(&words);
    assert!(said.contains("12 frames") && said.contains("linear CKA") && said.contains("say nothing"), "{said}");
    let read = |name: &str| fs::read_to_string(out.join(name)).unwrap();
    let account: Value = serde_json::from_str(&read("embedding.json")).unwrap();
    let models = account["models"].as_array().unwrap();
    let purity = &models[1]["purity"][0];
    assert_eq!((models.len(), &purity["by"], &purity["points"]), (2, &"label".into(), &12.into()), "{account}");
    let cka = account["cka"][0]["cka"].as_f64().unwrap();
    assert!(cka > 0.0 && cka < 1.0, "{account}");
    assert_eq!(read("points.csv").lines().count(), 1 + 2 * 12);
    // A map of each, one of both, and two labels or networks of each in the legend.
    let (svg, points) = (read("map.svg"), read("points.csv"));
    assert_eq!(svg.matches("<circle").count(), 4 * 12 + 3 * 2, "{svg}");
    succeeds(&words);
    assert_eq!((read("map.svg"), read("points.csv")), (svg, points), "the same again");

    let few = ["inspect", text(&runs[0]), "--embed", text(&data), "--frames", "3", "--out", text(&out)];
    assert!(fails(3, &few).contains("3 frames make no map"));
}

#[test]
fn every_structure_is_a_class_where_that_is_asked_for() {
    let workspace = Workspace::new();
    let config = workspace.path("knee.toml");
    fs::write(&config, "patella_share = 1.0\nmuscle_mm = [6.0, 9.0]\n").unwrap();
    let settings = ["--structures", "--effusion", "much", "--config", text(&config)];
    let data = simulate(&workspace, "structures", &settings);
    let names: Vec<&str> = Structure::ALL.iter().map(|structure| structure.name()).collect();
    assert_eq!(classes(&data), ((0..10).collect(), serde_json::json!(names)));
    succeeds(&["check", text(&data)]);
    let said = fails(3, &["simulate", "knee", "--out", text(&data)]);
    assert!(said.contains("exists already"), "{said}");
    fs::write(&config, "fat = 3.0").unwrap();
    let said = fails(2, &["simulate", "knee", "--out", text(&workspace.path("x")), "--config", text(&config)]);
    assert!(said.contains("unknown field `fat`"), "{said}");
}
