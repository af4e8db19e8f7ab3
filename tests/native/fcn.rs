//! An FCN as people use it: trained, gone on with, looked into, begun with the backbone of a public checkpoint, and its residual
//! network taken out for other programs.

use std::fs;
use std::path::Path;

use serde_json::Value;
use sonoseg_core::checkpoint::{State, decode};
use sonoseg_core::import::read_import;
use sonoseg_core::inference::ModelHeader;
use sonoseg_core::models::NetworkConfig;
use sonoseg_core::models::fcn::FcnConfig;
use sonoseg_core::models::resnet::ResnetConfig;
use sonoseg_core::recipe::Recipe;

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

/// The weights at the end of a run.
fn weights(run: &Path) -> State {
    let file = run.join("last.safetensors");
    decode::<Value>(text(&file), &fs::read(&file).unwrap()).unwrap().1
}

/// What is below the heads, under the names of a residual network alone.
fn backbone(whole: &State) -> State {
    let inside =
        |(name, tensor): (&String, &_)| Some((name.strip_prefix("backbone.")?.to_owned(), Clone::clone(tensor)));
    whole.iter().filter_map(inside).collect()
}

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
    let [loss, main, auxiliary] = ["loss", "loss_main", "loss_auxiliary"].map(|name| step[name].as_f64().unwrap());
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

    let (taken_out, imported) = (workspace.path("backbone.safetensors"), workspace.path("imported.safetensors"));
    let last = run.join("last.safetensors");
    succeeds(&["export", text(&last), "--backbone", "--out", text(&taken_out)]);
    succeeds(&["import", text(&taken_out), "--as", "torchvision-resnet", "--out", text(&imported)]);
    let (_, state) = read_import("imported", &fs::read(&imported).unwrap()).unwrap();
    assert_eq!(state, backbone(&whole));
    let said = fails(3, &["predict", text(&taken_out), text(&scan), "--out", text(&out)]);
    assert!(said.contains("mark nothing yet"), "{said}");
}

#[test]
fn an_fcn_begins_with_the_backbone_that_densecl_trained() {
    let workspace = Workspace::new();
    let (data, recipe) = (discs(&workspace), workspace.path("fcn.toml"));
    fs::write(&recipe, RECIPE).unwrap();
    let checkpoints = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/checkpoints");
    // The same weights as trained, with heads, teacher and queues, and as taken out.
    for (file, layout) in [
        ("densecl_tiny_train.pth", "densecl"),
        ("densecl_tiny_extracted.pth", "densecl"),
        ("densecl_tiny_extracted.pth", "torchvision-resnet"),
    ] {
        let imported = workspace.path(&format!("{layout}-{file}.safetensors"));
        succeeds(&["import", text(&checkpoints.join(file)), "--as", layout, "--out", text(&imported)]);
        let (_, state) = read_import(file, &fs::read(&imported).unwrap()).unwrap();
        assert_eq!(state.len(), 265, "53 convolutions, and 53 normalisations of 4 tensors");
        let out = workspace.path(&format!("{layout}-{file}"));
        let mut words = vec!["train", text(&recipe), "--data", text(&data), "--out", text(&out), "--device", "flex"];
        words.extend(["--init", text(&imported), "--steps", "1", "--set", "network.preset=resnet50"]);
        // With the heads alone learning, what is below them stays what the file holds.
        words.extend(["--set", "network.width=2", "--set", "train.layers=decoder"]);
        let said = succeeds(&words);
        assert!(said.contains("init: backbone. from the 265 tensors"), "{said}");
        assert_eq!(backbone(&weights(&out)), state, "{file} as {layout}");
    }
    let tiny = workspace.path("resnet18.safetensors");
    let file = checkpoints.join("resnet18_tiny_torchvision.pth");
    succeeds(&["import", text(&file), "--as", "torchvision-resnet", "--out", text(&tiny)]);
    let out = workspace.path("no");
    let words = ["train", text(&recipe), "--data", text(&data), "--out", text(&out), "--device", "flex"];
    let said = fails(3, &[&words[..], &["--init", text(&tiny)]].concat());
    assert!(said.contains("resnet18.safetensors"), "a network of another width is refused by name: {said}");
}

#[test]
fn the_recipe_of_knees_is_the_network_and_the_schedule_of_mmsegmentation() {
    let recipe = Recipe::parse("knee-fcn.toml", include_str!("../../recipes/knee-fcn.toml"), &[]).unwrap();
    let backbone = ResnetConfig { image_size: 512, ..ResnetConfig::resnet50() };
    assert_eq!(ModelHeader::of(&recipe).network, NetworkConfig::Fcn(FcnConfig::new(backbone, 2)));
    let rate = |update| recipe.train.peak_rate() * recipe.train.schedule.factor(update, 40_000.0);
    for (update, expected) in [(0.0, 0.01), (20_000.0, 0.0099 * 0.5_f64.powf(0.9) + 1e-4), (40_000.0, 1e-4)] {
        assert!((rate(update) - expected).abs() < 1e-12, "{update}: {}", rate(update));
    }
    // 3,000 pictures: an epoch ends with the measurement after 4,000 updates, and ten of them are all.
    let (train, pictures) = (&recipe.train, 3_000);
    assert!(pictures * train.passes_per_epoch / train.batch >= 4_000);
    assert_eq!((train.updates_per_epoch, train.steps), (Some(4_000), Some(40_000)));
}
