//! Runs that are killed, stopped, or cannot write: nothing is lost, and what goes on gives the same numbers.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use sonoseg_core::checkpoint::decode_tensors;

use crate::workspace::{Workspace, command, fails, said, succeeds, text};

/// Four epochs of two updates, each of two batches of two samples, with every random change on.
const FOUR: [&str; 6] = ["--epochs", "4", "--set", "train.patience=3", "--set", "augment.noise=0.02"];
const SEGMENT: [&str; 0] = [];
const MAE: [&str; 6] =
    ["--set", "task=mae", "--set", "mae.target=normalised_patches", "--set", "network.frames=single"];

/// Start a training run and leave it running.
fn start(arguments: &[&str]) -> Child {
    command(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Wait until the run has written down the given update.
fn await_step(run: &Path, epoch: u64, step: u64) {
    let line = format!("\"epoch\":{epoch},");
    let (line, step) = (line.as_str(), format!("\"step\":{step}"));
    let started = Instant::now();
    while !fs::read_to_string(run.join("metrics.jsonl"))
        .is_ok_and(|text| text.lines().any(|l| l.contains(line) && l.contains(&step)))
    {
        assert!(started.elapsed() < Duration::from_secs(60), "the run never came to epoch {epoch}");
        sleep(Duration::from_millis(1));
    }
}

fn kill(mut child: Child) {
    // On Unix this is SIGKILL.
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Every model file in a run folder can be read whole.
fn whole(run: &Path) -> usize {
    let files = fs::read_dir(run).unwrap().flatten().map(|entry| entry.path());
    let files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|e| e == "safetensors")).collect();
    for file in &files {
        decode_tensors(text(file), &fs::read(file).unwrap()).unwrap();
    }
    files.len()
}

/// The losses and scores that a run wrote down, without the times.
fn history(run: &Path) -> Vec<serde_json::Value> {
    let parse = |line: &str| {
        let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
        line.as_object_mut().unwrap().remove("seconds");
        line
    };
    fs::read_to_string(run.join("metrics.jsonl")).unwrap().lines().map(parse).collect()
}

fn killed_and_resumed_is_the_same(task: &[&str], save_every: &str) {
    let workspace = Workspace::new();
    let data = workspace.simulate("data", "5");
    let settings = [&FOUR, task, &["--save-every", save_every]].concat();
    let straight = workspace.train(&data, "straight", &settings);

    let (recipe, killed) = (workspace.path("recipe.toml"), workspace.path("killed"));
    let basic = ["train", text(&recipe), "--data", text(&data), "--out", text(&killed), "--device", "flex"];
    let child = start(&[&basic, settings.as_slice()].concat());
    await_step(&killed, 2, 0);
    kill(child);
    assert!(history(&killed).len() < history(&straight).len(), "it was killed before its end");
    succeeds(&["train", "--resume", text(&killed), "--device", "flex"]);

    assert_eq!(history(&killed), history(&straight));
    for file in ["last.safetensors", "best.safetensors", "best-loss.safetensors", "resume.safetensors"] {
        let read = |run: &Path| fs::read(run.join(file)).unwrap();
        assert!(read(&killed) == read(&straight), "{file} differs after a kill");
    }
}

#[test]
fn segmentation_killed_in_the_third_epoch_ends_bit_equal() {
    killed_and_resumed_is_the_same(&SEGMENT, "1h");
    killed_and_resumed_is_the_same(&SEGMENT, "0s");
}

#[test]
fn masked_auto_encoding_killed_in_the_third_epoch_ends_bit_equal() {
    killed_and_resumed_is_the_same(&MAE, "1h");
    killed_and_resumed_is_the_same(&MAE, "0s");
}

#[test]
fn a_kill_at_any_moment_leaves_a_run_that_goes_on() {
    let workspace = Workspace::new();
    let data = workspace.simulate("data", "6");
    let (recipe, run) = (workspace.path("recipe.toml"), workspace.path("run"));
    let begin = ["train", text(&recipe), "--data", text(&data), "--out", text(&run), "--device", "flex"];
    let always = ["--save-every", "0s", "--epochs", "400"];
    let mut child = start(&[&begin, always.as_slice()].concat());
    await_step(&run, 0, 0);
    for point in 0..24_u64 {
        // Moments spread over the update and the save, which take some milliseconds each.
        sleep(Duration::from_micros(700 * point));
        kill(child);
        assert!(whole(&run) >= 1, "nothing to resume from after kill {point}");
        let lines = history(&run).len();
        child = start(&["train", "--resume", text(&run), "--device", "flex", "--save-every", "0s", "--epochs", "400"]);
        let started = Instant::now();
        while history_length(&run) <= lines + 1 {
            assert!(started.elapsed() < Duration::from_secs(60), "kill {point}: the run does not go on");
            sleep(Duration::from_millis(1));
        }
    }
    kill(child);
    whole(&run);
}

/// Lines that are whole; the run is writing the last one while this reads.
fn history_length(run: &Path) -> usize {
    fs::read_to_string(run.join("metrics.jsonl")).unwrap_or_default().matches('\n').count()
}

#[test]
fn a_full_disk_and_a_folder_in_the_way_leave_the_last_good_weights() {
    let workspace = Workspace::new();
    let data = workspace.simulate("data", "7");
    let run = workspace.train(&data, "run", &["--epochs", "1"]);
    let before = fs::read(run.join("resume.safetensors")).unwrap();
    let resume = ["train", "--resume", text(&run), "--device", "flex", "--epochs", "2"];

    for file in ["last.safetensors", "resume.safetensors"] {
        // Writing to this device fails as writing to a full disk does.
        let part = run.join(format!("{file}.part"));
        symlink("/dev/full", &part).unwrap();
        let told = fails(3, &resume);
        assert!(told.contains(file) && told.contains("is the disk full"), "{told}");
        assert!(fs::read(run.join("resume.safetensors")).unwrap() == before, "{file}: the last good state is gone");

        // A folder where the temporary file should be: as unwritable as a read-only folder, also for root.
        fs::create_dir(&part).unwrap();
        let told = fails(3, &resume);
        assert!(told.contains("cannot be written") && told.contains("holds the last good weights"), "{told}");
        fs::remove_dir(&part).unwrap();
    }
    whole(&run);
    succeeds(&resume);
    assert_eq!(history(&run).iter().filter(|line| line.get("val_loss").is_some()).count(), 2);
}

#[test]
fn ctrl_c_saves_and_names_the_command_that_goes_on() {
    let workspace = Workspace::new();
    let data = workspace.simulate("data", "8");
    let (recipe, run) = (workspace.path("recipe.toml"), workspace.path("run"));
    let words = ["train", text(&recipe), "--data", text(&data), "--out", text(&run), "--device", "flex"];
    let child = command(&[&words, ["--epochs", "400"].as_slice()].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    await_step(&run, 1, 0);
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", said(&output));
    assert!(!said(&output).contains("error:"), "{}", said(&output));
    assert!(said(&output).contains("go on with: sonoseg train --resume"), "{}", said(&output));
    assert!(said(&output).contains("press Ctrl-C again"), "{}", said(&output));
    let done = history(&run).iter().filter(|line| line.get("step").is_some()).count();
    succeeds(&["train", "--resume", text(&run), "--device", "flex", "--steps", &(done + 1).to_string()]);
    assert_eq!(history(&run).iter().filter(|line| line.get("step").is_some()).count(), done + 1);
}

#[test]
fn limits_of_time_steps_and_memory_hold() {
    let workspace = Workspace::new();
    let data = workspace.simulate("data", "16");
    let run = workspace.train(&data, "time", &["--epochs", "400", "--max-time", "300ms"]);
    assert!(run.join("best.safetensors").exists(), "a run that time ended is measured");
    let run = workspace.train(&data, "steps", &["--epochs", "400", "--steps", "3"]);
    assert_eq!(history(&run).iter().filter(|line| line.get("step").is_some()).count(), 3);

    let (recipe, out) = (workspace.path("recipe.toml"), workspace.path("memory"));
    let words = ["train", text(&recipe), "--data", text(&data), "--out", text(&out), "--device", "flex"];
    let told = fails(4, &[&words, ["--memory", "1KB"].as_slice()].concat());
    assert!(told.contains("one sample at a time"), "{told}");
    succeeds(&[&words, ["--epochs", "1"].as_slice()].concat());
}

#[test]
fn a_run_that_diverges_says_so_and_keeps_its_weights() {
    let workspace = Workspace::new();
    let data = workspace.simulate("data", "10");
    let run = workspace.path("run");
    let recipe = workspace.path("recipe.toml");
    let words = ["train", text(&recipe), "--data", text(&data), "--out", text(&run), "--device", "flex"];
    // Moments that never take anything in, divided by what they took in: 0 over 0.
    let told = fails(5, &[&words, ["--set", "train.optimiser.betas=[1.0, 1.0]"].as_slice()].concat());
    assert!(told.contains("diverged") && told.contains("learning_rate"), "{told}");
    assert!(whole(&run) >= 1);
}
