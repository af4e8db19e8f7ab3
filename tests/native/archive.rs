//! A project that was taken out of the page: the trainer reads it as it is, and the page opens it again, equal.

use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use sonoseg_imaging::annotation::{Answer, By, ClipRecord, Edit, Entry, Project, Step, Verdict};
use sonoseg_imaging::archive::{Archive, ClipFacts, Export};
use sonoseg_imaging::dataset::finding::Finding;
use sonoseg_imaging::geometry::{Image, Mask, Needle};
use sonoseg_imaging::synthetic::{NeedleSimConfig, ProcedureSim};
use zip::ZipArchive;
use zip::write::SimpleFileOptions;

use crate::workspace::{Workspace, succeeds, text};

const FRAMES: usize = 5;

/// Three simulated clips and the truth about their frames, as a person would have marked them.
pub(crate) fn project() -> (Project, Vec<Vec<Image>>) {
    let config: NeedleSimConfig = toml::from_str(include_str!("../../recipes/simulator/first.toml")).unwrap();
    let (mut project, mut clips) = (Project::default(), Vec::new());
    for number in 0..3 {
        let simulated = ProcedureSim::new(&config, 7, number, FRAMES);
        let frames: Vec<_> = (0..FRAMES).map(|at| simulated.frame(at)).collect();
        let [height, width] = [frames[0].image.height, frames[0].image.width];
        let key = format!("{number:064x}");
        let name = format!("clip {number}.dcm");
        let record = ClipRecord { name, frames: FRAMES, height, width, answers: Default::default() };
        let mut edits = vec![Edit::Clip { clip: key.clone(), record: Some(record) }];
        // The last frame is left to the model.
        for (frame, truth) in frames.iter().enumerate().take(FRAMES - 1) {
            let verdict = if truth.needle.is_some() { Verdict::Corrected } else { Verdict::Nothing };
            let by = By { name: "Ada".into(), at_ms: frame as u64, model: None };
            let answer = Answer { needle: truth.needle, ..Answer::bare(verdict, by) };
            edits.push(Edit::Answer { clip: key.clone(), frame, answer: Some(answer) });
        }
        project.apply(Entry::Do(Step { name: "mark".into(), edits })).unwrap();
        clips.push(frames.into_iter().map(|frame| frame.image).collect());
    }
    (project, clips)
}

pub(crate) fn export(project: &Project, clips: &[Vec<Image>]) -> Vec<u8> {
    let mut export = Export::new("Study", &Finding::Needles, project.clone());
    let mut bytes = Vec::new();
    for (key, frames) in project.document().clips.keys().zip(clips) {
        let facts = ClipFacts { scale: frames[0].scale.clone(), ..ClipFacts::default() };
        bytes.extend(export.clip(key, facts).unwrap());
        for (index, frame) in frames.iter().enumerate() {
            bytes.extend(export.frame(index, Some(frame)).unwrap());
        }
    }
    let (rest, left_out) = export.finish().unwrap();
    assert_eq!(left_out.len(), 3, "the last frame of every clip: {left_out:?}");
    bytes.extend(rest);
    bytes
}

/// Every file below a folder, by its path in it.
fn files(root: &Path) -> Vec<(String, PathBuf)> {
    let (mut found, mut open) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push((text(path.strip_prefix(root).unwrap()).to_owned(), path));
            }
        }
    }
    found
}

#[test]
fn a_project_is_checked_trained_on_and_measured_as_it_is_and_comes_back_equal() {
    let workspace = Workspace::new();
    let (project, clips) = project();
    let data = workspace.path("data");
    ZipArchive::new(Cursor::new(export(&project, &clips))).unwrap().extract(&data).unwrap();
    let printed = succeeds(&["check", text(&data)]);
    assert!(printed.contains("0 errors"), "{printed}");
    let held_out: serde_json::Value = serde_json::from_slice(&fs::read(data.join("splits.json")).unwrap()).unwrap();
    let run = workspace.train(&data, "run", &["--set", "train.epochs=1"]);
    let used: serde_json::Value = serde_json::from_slice(&fs::read(run.join("splits.json")).unwrap()).unwrap();
    assert_eq!(used, held_out, "what the project holds out is held out");
    let (model, table) = (run.join("last.safetensors"), workspace.path("table"));
    succeeds(&["evaluate", text(&model), "--data", text(&data), "--out", text(&table)]);

    // Packed again by any program.
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, path) in files(&data) {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(&fs::read(path).unwrap()).unwrap();
    }
    let mut archive = Archive::open("again.zip", zip.finish().unwrap().into_inner()).unwrap();
    assert_eq!(archive.project().unwrap(), (project, vec![]));
    let clip = archive.clips()[1].clone();
    let frame = archive.frame(&clip, 2).unwrap();
    assert_eq!((frame.to_bytes(), &frame.scale), (clips[1][2].to_bytes(), &clips[1][2].scale));
}

#[test]
fn labels_and_masks_on_disk_are_those_of_the_document() {
    let workspace = Workspace::new();
    let (mut project, clips) = project();
    let record = project.document().clips.values().next().unwrap().clone();
    let key = project.document().clips.keys().next().unwrap().clone();
    let classes = (0..record.height * record.width).map(|at| u8::from(at % 5 == 0)).collect();
    let mask = Mask { height: record.height, width: record.width, classes };
    let answer = Answer { mask: Some(mask.clone()), ..Answer::bare(Verdict::Corrected, By::default()) };
    let edits = vec![Edit::Answer { clip: key, frame: FRAMES - 1, answer: Some(answer) }];
    project.apply(Entry::Do(Step { name: "paint".into(), edits })).unwrap();
    let mut export = Export::new("Study", &Finding::Needles, project.clone());
    let key = project.document().clips.keys().next().unwrap().clone();
    let mut bytes = export.clip(&key, ClipFacts::default()).unwrap();
    for (index, frame) in clips[0].iter().enumerate() {
        bytes.extend(export.frame(index, Some(frame)).unwrap());
    }
    bytes.extend(export.finish().unwrap().0);
    let data = workspace.path("data");
    ZipArchive::new(Cursor::new(bytes)).unwrap().extract(&data).unwrap();
    let stored = image::open(data.join("procedures/clip-0/masks/000004.png"));
    assert!(stored.is_ok(), "any viewer opens a mask");
    let png = fs::read(data.join("procedures/clip-0/masks/000004.png")).unwrap();
    assert_eq!(sonoseg_imaging::formats::mask::read_class_mask("mask", &png, None).unwrap(), mask);
    let mut reader = csv::Reader::from_path(data.join("procedures/clip-0/labels.csv")).unwrap();
    let rows: Vec<csv::StringRecord> = reader.records().map(|row| row.unwrap()).collect();
    assert_eq!(rows.len(), FRAMES - 1);
    for row in rows {
        let frame: usize = row[0].parse().unwrap();
        let told: Option<Needle> = record.answers[&frame].needle;
        let cells =
            told.map_or([None; 4], |needle| [needle.entry.x, needle.entry.y, needle.tip.x, needle.tip.y].map(Some));
        for (cell, told) in row.iter().skip(1).zip(cells) {
            let found: Option<f64> = cell.parse().ok();
            let near = found.zip(told).map_or(found == told, |(found, told)| (found - told).abs() < 0.01);
            assert!(near, "frame {frame}: {cell} for {told:?}");
        }
    }
}
