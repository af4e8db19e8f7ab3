//! An FCN as people use it: trained, gone on with, looked into, and its residual network taken out for other programs.

use std::fs;

use serde_json::Value;
use sonoseg_core::checkpoint::{State, decode};
use sonoseg_core::import::read_import;

use crate::layers::discs;
use crate::workspace::{Workspace, fails, succeeds, text};

const RECIPE: &str = r#"
name = "fcn"
trained_on = "discs"
[network]
architecture = "fcn"
preset = "resnet18"
width = 4
[data]
class = "any"
[preparation]
size = 40
[loss]
dice_weight = 0.0
gamma = 0.0
[train]
epochs = 2
batch = 2
accumulate = 1
patience = 0
[train.schedule]
kind = "constant"
[train.optimiser]
learning_rate = 1e-3
layer_decay = 1.0
"#;

#[test]
fn an_fcn_is_trained_gone_on_with_looked_into_and_its_backbone_exported() {
    let workspace = Workspace::new();
    let (data, recipe) = (discs(&workspace), workspace.path("fcn.toml"));
    fs::write(&recipe, RECIPE).unwrap();
    let train = |out: &str, settings: &[&str]| {
        let out = workspace.path(out);
        let basic = ["train", text(&recipe), "--data", text(&data), "--out", text(&out), "--device", "flex"];
        succeeds(&[&basic, settings].concat());
        out
    };
    let weights = |run: &std::path::Path| -> State {
        let file = run.join("last.safetensors");
        decode::<Value>(text(&file), &fs::read(&file).unwrap()).unwrap().1
    };
    let run = train("run", &[]);
    let whole = weights(&run);

    assert_eq!(weights(&train("again", &[])), whole, "twice the same, running statistics included");
    assert!(whole["backbone.layer3.1.bn2.running_var"].1.iter().all(|&number| number != 1.0), "they follow");

    // Of the heads alone nothing below moves, statistics included.
    let init = ["--init", text(&run), "--set", "train.layers=decoder"];
    let part = weights(&train("part", &init));
    for (name, tensor) in &whole {
        assert_eq!(part[name] != *tensor, !name.starts_with("backbone."), "{name}");
    }

    let log = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let step: Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
    let [loss, main, auxiliary] = ["loss", "main", "auxiliary"].map(|name| step[name].as_f64().unwrap());
    assert!((loss - main - auxiliary).abs() < 1e-4 && auxiliary > 0.0 && auxiliary < main, "{step}");

    // A batch that is normalised together is not made of portions.
    let accumulated = workspace.path("accumulated");
    let words = ["train", text(&recipe), "--data", text(&data), "--out", text(&accumulated), "--device", "flex"];
    fails(2, &[&words[..], &["--set", "train.accumulate=2"]].concat());

    let (pictures, out) = (workspace.path("pictures"), workspace.path("marked"));
    let scan = workspace.path("raw/images/d0.png");
    let inspect = ["inspect", text(&run), "--layer", "backbone.layer2.0", "--filters", "2", "--steps", "2"];
    succeeds(&[&inspect[..], &["--image", text(&scan), "--out", text(&pictures)]].concat());
    assert!(pictures.join("features-backbone.layer2.0.png").exists());
    succeeds(&["predict", text(&run), text(&scan), "--out", text(&out), "--device", "flex"]);

    let (backbone, imported) = (workspace.path("backbone.safetensors"), workspace.path("imported.safetensors"));
    let last = run.join("last.safetensors");
    succeeds(&["export", text(&last), "--backbone", "--out", text(&backbone)]);
    succeeds(&["import", text(&backbone), "--as", "torchvision-resnet", "--out", text(&imported)]);
    let (_, state) = read_import("imported", &fs::read(&imported).unwrap()).unwrap();
    let inside =
        |(name, tensor): (&String, &_)| Some((name.strip_prefix("backbone.")?.to_owned(), Clone::clone(tensor)));
    assert_eq!(state, whole.iter().filter_map(inside).collect::<State>());
    let said = fails(3, &["predict", text(&backbone), text(&scan), "--out", text(&out)]);
    assert!(said.contains("mark nothing yet"), "{said}");
}
