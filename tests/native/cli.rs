//! The trainer as people use it: the real program, on data that it makes itself.

use std::fs;
use std::path::Path;
use std::process::Command;

use sonoseg_core::checkpoint::decode_tensors;

use crate::workspace::{Workspace, fails, succeeds, text};

#[test]
fn simulate_train_evaluate_export_and_predict() {
    let workspace = Workspace::new();
    let data = workspace.simulate("data", "1");
    let again = workspace.simulate("again", "1");
    let frame = "procedures/p0001/frames/000002.png";
    assert_eq!(fs::read(data.join(frame)).unwrap(), fs::read(again.join(frame)).unwrap(), "the seed decides");

    let run = workspace.train(&data, "run", &[]);
    for file in ["recipe.toml", "splits.json", "environment.json", "metrics.jsonl", "last.safetensors"] {
        assert!(run.join(file).exists(), "a run holds {file}");
    }
    let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    assert_eq!(metrics.lines().filter(|line| line.contains("val_iou")).count(), 2, "an entry per epoch: {metrics}");

    let model = workspace.path("model.safetensors");
    fs::copy(run.join("last.safetensors"), run.join("best.safetensors")).unwrap();
    succeeds(&["export", text(&run), "--out", text(&model), "--dtype", "f16"]);
    let table = workspace.path("table");
    let printed = succeeds(&["evaluate", text(&model), "--data", text(&data), "--out", text(&table)]);
    assert!(printed.contains("baseline") && printed.contains("Not for clinical use"), "{printed}");
    let metrics: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(table.join("metrics.json")).unwrap()).unwrap();
    assert_eq!(metrics["model"]["all"]["overlap"]["frames"], 12);
    assert_eq!(metrics["baseline"]["all"]["overlap"]["frames"], 12);

    // A continued run starts from the weights that it is given.
    let more = workspace.train(&data, "more", &["--init", text(&model), "--set", "train.epochs=1"]);
    let tensors = |file: &Path| decode_tensors(text(file), &fs::read(file).unwrap()).unwrap();
    let (one, other, mean) =
        (run.join("last.safetensors"), more.join("last.safetensors"), workspace.path("mean.safetensors"));
    succeeds(&["export", text(&one), "--average", text(&other), "--out", text(&mean)]);
    let (one, other) = (tensors(&one), tensors(&other));
    for (name, (_, numbers)) in tensors(&mean) {
        let expected = one[&name].1.iter().zip(&other[&name].1).map(|(a, b)| (a + b) * 0.5);
        assert!(expected.eq(numbers), "{name}");
    }

    // A still picture, a DICOM clip and a broken file in one folder: the rest of the batch goes on.
    let inputs = workspace.path("inputs");
    fs::create_dir(&inputs).unwrap();
    fs::copy(data.join(frame), inputs.join("still.png")).unwrap();
    fs::copy(data.join("procedures/p0000/clip.dcm"), inputs.join("clip.dcm")).unwrap();
    fs::write(inputs.join("broken.png"), b"\x89PNG\r\n\x1a\nnothing").unwrap();
    let out = workspace.path("out");
    let printed = fails(3, &["predict", text(&model), text(&inputs), "--out", text(&out)]);
    assert!(printed.contains("broken.png"), "the broken file is named: {printed}");
    let geometry = fs::read_to_string(out.join("geometry.csv")).unwrap();
    assert_eq!(geometry.lines().count(), 1 + 1 + 4, "{geometry}");
    assert!(fs::read_to_string(out.join("failures.csv")).unwrap().contains("broken.png"));
    let mask = image::open(out.join("masks/still.png.png")).unwrap();
    let still = image::open(inputs.join("still.png")).unwrap();
    assert_eq!((mask.width(), mask.height()), (still.width(), still.height()), "masks have the input's size");
}

#[test]
fn videos_are_read_frame_by_frame_through_ffmpeg() {
    let workspace = Workspace::new();
    let data = workspace.simulate("data", "5");
    let run = workspace.train(&data, "run", &["--set", "network.frames=video_middle", "--set", "train.epochs=1"]);
    let clip = workspace.path("clip.mp4");
    let pattern = data.join("procedures/p0000/frames/%06d.png");
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-framerate", "15", "-i", text(&pattern), "-pix_fmt", "yuv420p"])
        .args(["-vf", "scale=trunc(iw/2)*2:trunc(ih/2)*2", text(&clip)])
        .status()
        .expect("ffmpeg is needed for this test: apt install ffmpeg");
    assert!(made.success(), "ffmpeg makes the test's video");
    let (model, out) = (run.join("last.safetensors"), workspace.path("out"));
    succeeds(&["predict", text(&model), text(&clip), "--out", text(&out)]);
    assert_eq!(fs::read_dir(out.join("masks/clip.mp4")).unwrap().count(), 4, "one mask a frame");
    fs::write(workspace.path("fake.mp4"), b"no video at all").unwrap();
    let printed = fails(3, &["predict", text(&model), text(&workspace.path("fake.mp4")), "--out", text(&out)]);
    assert!(printed.contains("fake.mp4") && printed.contains("no video track"), "{printed}");
}

#[test]
fn wrong_input_is_answered_with_a_sentence_and_a_code() {
    let workspace = Workspace::new();
    let (recipe, out) = (workspace.path("recipe.toml"), workspace.path("out"));
    let nowhere = workspace.path("nowhere");
    let train = |more: &[&str]| {
        [&["train", text(&recipe), "--data", text(&nowhere), "--out", text(&out)], more].concat().join("\n")
    };
    let words = train(&["--set", "train.epoch=3"]);
    let printed = fails(2, &words.split('\n').collect::<Vec<_>>());
    assert!(printed.contains("did you mean `epochs`?"), "{printed}");
    let words = train(&[]);
    let printed = fails(3, &words.split('\n').collect::<Vec<_>>());
    assert!(printed.contains(text(&nowhere)), "the path that was tried is named: {printed}");
    fails(2, &["paint"]);

    let other = workspace.path("other.safetensors");
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/dice_loss__closed.safetensors"), &other).unwrap();
    let printed = fails(3, &["predict", text(&other), text(&recipe), "--out", text(&out)]);
    assert!(printed.contains("not a sonoseg model"), "{printed}");
    fs::write(&other, b"short").unwrap();
    let printed = fails(3, &["export", text(&other), "--out", text(&workspace.path("m"))]);
    assert!(printed.contains("other.safetensors") && printed.contains("safetensors"), "{printed}");
}

#[test]
fn a_run_that_diverges_says_so_and_a_data_set_without_needle_labels_is_refused() {
    let workspace = Workspace::new();
    let data = workspace.simulate("data", "2");
    let (recipe, out) = (workspace.path("recipe.toml"), workspace.path("wild"));
    let printed = fails(
        5,
        &[
            "train",
            text(&recipe),
            "--data",
            text(&data),
            "--out",
            text(&out),
            "--device",
            "flex",
            "--set",
            "train.optimiser.learning_rate=1.0",
            "--set",
            "train.optimiser.epsilon=1e-300",
            "--set",
            "train.epochs=400",
            "--set",
            "train.optimiser.betas=[0.0, 0.0]",
            "--set",
            "train.optimiser.weight_decay=1e9",
        ],
    );
    assert!(printed.contains("diverged") && printed.contains("learning_rate"), "{printed}");

    fs::write(data.join("procedures/p0000/labels.csv"), "frame,x1,y1,x2,y2\n0,1,2,three,4\n").unwrap();
    let never = workspace.path("never");
    let words = ["train", text(&recipe), "--data", text(&data), "--out", text(&never)];
    let printed = fails(3, &words);
    assert!(printed.contains("labels.csv") && printed.contains("line 2"), "{printed}");
}
