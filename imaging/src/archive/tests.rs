//! What goes out comes back equal, and the trainer's reader reads it; every bad archive is a sentence.

use std::io::{Cursor, Read, Write};

use zip::ZipArchive;
use zip::write::SimpleFileOptions;

use super::*;
use crate::annotation::{Answer, By, ClipRecord, Edit, Entry, Predicted, Project, Step, Verdict};
use crate::dataset::finding::Finding;
use crate::dataset::folder::{Listed, Numbered};
use crate::dataset::labels::read_labels;
use crate::dataset::meta::Meta;
use crate::dataset::procedure::Procedure;
use crate::dataset::sample::{Source, Target};
use crate::dataset::split::{Split, SplitConfig};
use crate::dataset::windows::Windows;
use crate::geometry::{Image, Mask, Needle, Point, Scale, Spacing};

const SIZE: [usize; 2] = [12, 16];
const SPACING: Spacing = Spacing { x_mm: 0.1, y_mm: 0.2 };

fn needle(shift: f64) -> Needle {
    Needle { entry: Point { x: 1.0 / 3.0 + shift, y: 0.1 }, tip: Point { x: 12.123_456_789, y: 9.5 } }
}

fn painted(void: bool) -> Mask {
    let class = |at: usize| if void && at.is_multiple_of(7) { Mask::IGNORE } else { u8::from(at.is_multiple_of(3)) };
    Mask { height: SIZE[0], width: SIZE[1], classes: (0..SIZE[0] * SIZE[1]).map(class).collect() }
}

fn picture(frame: usize) -> Image {
    let bytes: Vec<u8> = (0..SIZE[0] * SIZE[1]).map(|at| (at * 7 + frame * 31) as u8).collect();
    Image::from_grey8(SIZE[0], SIZE[1], &bytes)
}

fn do_it(project: &mut Project, edits: Vec<Edit>) {
    project.apply(Entry::Do(Step { name: "step".into(), edits })).unwrap();
}

/// Two clips of one name; answers of every kind, predictions, undo and redo.
fn project() -> Project {
    let mut project = Project::default();
    let record = |frames| ClipRecord {
        name: "Insertion 1.dcm".into(),
        frames,
        height: SIZE[0],
        width: SIZE[1],
        answers: Default::default(),
    };
    let clip = |key: &str, frames| Edit::Clip { clip: key.into(), record: Some(record(frames)) };
    do_it(&mut project, vec![clip("aa", 8), clip("bb", 2)]);
    let by = By { name: "Ada".into(), at_ms: 17, model: Some("demo".into()) };
    let bare = |verdict| Answer::bare(verdict, by.clone());
    let answers = [
        Answer { needle: Some(needle(0.0)), ..bare(Verdict::Corrected) },
        bare(Verdict::Nothing),
        Answer { mask: Some(painted(false)), ..bare(Verdict::Corrected) },
        bare(Verdict::Excluded),
        Answer { needle: Some(needle(1.0)), mask: Some(painted(true)), ..bare(Verdict::Accepted) },
        bare(Verdict::Accepted),
    ];
    for (frame, answer) in answers.into_iter().enumerate() {
        do_it(&mut project, vec![Edit::Answer { clip: "aa".into(), frame, answer: Some(answer) }]);
    }
    let needle = Some(needle(0.5));
    let predicted = Predicted { model: "demo".into(), needle, confidence: Some(0.25), ..Predicted::default() };
    project.apply(Entry::Predicted { clip: "aa".into(), frame: 7, predicted: Some(predicted) }).unwrap();
    do_it(&mut project, vec![Edit::Answer { clip: "bb".into(), frame: 0, answer: Some(bare(Verdict::Nothing)) }]);
    project.apply(Entry::Undo).unwrap();
    project
}

fn export(project: &Project, finding: &Finding) -> (Vec<u8>, Vec<String>) {
    let mut export = Export::new("Study", finding, project.clone());
    let mut bytes = Vec::new();
    for (key, record) in &project.document().clips {
        let times_us = Some((0..record.frames as u64).map(|frame| frame * 50_000).collect());
        let facts = ClipFacts { times_us, scale: Scale::Everywhere(SPACING), group: None };
        bytes.extend(export.clip(key, facts).unwrap());
        for frame in 0..record.frames {
            bytes.extend(export.frame(frame, Some(&picture(frame))).unwrap());
        }
    }
    let (rest, left_out) = export.finish().unwrap();
    bytes.extend(rest);
    (bytes, left_out)
}

/// The files of a zip, as any program unpacks them.
fn unzipped(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut zip = ZipArchive::new(Cursor::new(bytes)).unwrap();
    (0..zip.len())
        .map(|number| {
            let mut file = zip.by_index(number).unwrap();
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).unwrap();
            (file.name().unwrap().into_owned(), bytes)
        })
        .collect()
}

fn zipped(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        zip.start_file(name.as_str(), SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// The archive with one of its files changed.
fn changed(name: &str, change: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let mut files = unzipped(&export(&project(), &Finding::Needles).0);
    let file = files.iter_mut().find(|(file, _)| file == name).unwrap();
    file.1 = change(&file.1);
    zipped(&files)
}

fn replaced(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    text.replacen(from, to, 1).into_bytes()
}

fn refused(bytes: Vec<u8>) -> String {
    let opened = Archive::open("study.zip", bytes).and_then(|mut archive| archive.project());
    let reason = opened.unwrap_err().to_string();
    assert!(reason.contains("study.zip"), "{reason}");
    reason
}

#[test]
fn a_project_comes_back_equal_with_its_frames() {
    let project = project();
    let (bytes, left_out) = export(&project, &Finding::Needles);
    let mut archive = Archive::open("study.zip", bytes.clone()).unwrap();
    assert_eq!((archive.name(), archive.finding()), ("Study", &Finding::Needles));
    assert_eq!(archive.project().unwrap(), (project, vec![]));
    let clip = archive.clips()[0].clone();
    assert_eq!((clip.clip.as_str(), clip.procedure.as_str()), ("aa", "insertion-1"));
    assert_eq!(archive.clips()[1].procedure, "insertion-1-2", "two clips of one name");
    let frame = archive.frame(&clip, 3).unwrap();
    assert_eq!((frame.to_bytes(), &frame.scale), (picture(3).to_bytes(), &Scale::Everywhere(SPACING)));
    assert_eq!(left_out.len(), 3, "{left_out:?}");
    assert!(left_out.iter().any(|left| left.contains("frame 3: excluded")), "{left_out:?}");
    assert!(left_out.iter().all(|left| !left.contains("splits.json")), "{left_out:?}");
    assert!(left_out.iter().any(|left| left.contains("(insertion-1): frames 6 to 7: nobody")), "{left_out:?}");

    let mut alone = Archive::open("aa", archive.alone(&clip).unwrap()).unwrap();
    assert_eq!(alone.clips(), std::slice::from_ref(&clip));
    assert_eq!(alone.record(&clip).unwrap().frames, 8);
    assert_eq!(alone.frame(&clip, 7).unwrap(), archive.frame(&clip, 7).unwrap());
    // Packed again by hand, with its folder and what a file manager adds.
    let mut files: Vec<(String, Vec<u8>)> =
        unzipped(&bytes).into_iter().map(|(name, bytes)| (format!("study/{name}"), bytes)).collect();
    files.push(("__MACOSX/study/._project.json".into(), vec![0]));
    files.push(("study/notes.txt".into(), b"mine".to_vec()));
    let (again, notes) = Archive::open("again.zip", zipped(&files)).unwrap().project().unwrap();
    assert_eq!(again, self::project());
    assert_eq!(notes, ["again.zip: notes.txt is not part of the project and is left out."]);
}

#[test]
fn the_readers_of_the_trainer_find_the_labels_of_the_document() {
    let project = project();
    let files = unzipped(&export(&project, &Finding::Needles).0);
    let file = |name: &str| files.iter().find(|(file, _)| file == name).map(|(_, bytes)| bytes.clone());
    let below = |folder: &str| {
        let folder = format!("procedures/insertion-1/{folder}/");
        Numbered::of(files.iter().filter_map(|(file, _)| Some(file.strip_prefix(&folder)?.to_owned())))
    };
    let text = String::from_utf8(file("procedures/insertion-1/meta.json").unwrap()).unwrap();
    assert_eq!(Meta::unknown_keys("meta.json", &text).unwrap(), [""; 0]);
    let meta = Meta::parse("meta.json", &text).unwrap();
    assert_eq!((meta.fps, meta.spacing, meta.ignore), (Some(20.0), Some(SPACING), Some(Mask::IGNORE)));
    assert_eq!(meta.classes, ["background", "needle"]);
    let labels = read_labels(&file("procedures/insertion-1/labels.csv").unwrap());
    let listed = Listed { meta, frames: below("frames"), masks: below("masks"), labels };
    let procedure = Procedure::new("insertion-1".into(), listed, str::to_owned).unwrap();
    assert_eq!(procedure.frame_count(), 8);
    let read = |name: &str| Ok((name.to_owned(), file(&format!("procedures/insertion-1/{name}")).unwrap()));
    let targets: Vec<Target> = (0..8).map(|at| procedure.load(at, read).unwrap().1).collect();
    let near = |found: Needle, told: Needle| {
        found.entry.distance_px(told.entry) < 0.01 && found.tip.distance_px(told.tip) < 0.01
    };
    assert!(matches!(targets[0], Target::Needle(Some(found)) if near(found, needle(0.0))), "{:?}", targets[0]);
    assert_eq!(targets[1], Target::Needle(None));
    assert_eq!(targets[2], Target::Mask(painted(false)));
    assert_eq!(targets[3], Target::Unknown, "excluded");
    assert!(matches!(targets[4], Target::Needle(Some(found)) if near(found, needle(1.0))));
    assert_eq!(targets[5], Target::Needle(None), "nothing was found, and that is right");
    assert_eq!(targets[6..], [Target::Unknown, Target::Unknown]);
    let stored = crate::formats::mask::read_class_mask("m", &read("masks/000004.png").unwrap().1, Some(255)).unwrap();
    assert_eq!(stored, painted(true));
}

#[test]
fn what_is_held_out_and_the_model_lie_in_the_archive() {
    let project = project();
    let mut export = Export::new("Study", &Finding::Needles, project.clone());
    let mut bytes = export.model("My model (2).safetensors", &[7; 99]).unwrap();
    bytes.extend(export.clip("aa", ClipFacts::default()).unwrap());
    for frame in 0..8 {
        bytes.extend(export.frame(frame, Some(&picture(frame))).unwrap());
    }
    bytes.extend(export.finish().unwrap().0);
    let files = unzipped(&bytes);
    let file = |name: &str| files.iter().find(|(file, _)| file == name).map(|(_, bytes)| bytes.clone());
    assert_eq!(file("models/my-model-2.safetensors"), Some(vec![7; 99]));
    let split: Split = serde_json::from_slice(&file("splits.json").unwrap()).unwrap();
    assert!(split.check().is_ok() && split.train.contains("insertion-1"));
    assert_eq!(split.stretches.len(), 1, "of the only recording a stretch of its labelled frames: {split:?}");
    let mut archive = Archive::open("study.zip", bytes.clone()).unwrap();
    assert_eq!(archive.model().unwrap(), Some(("My model (2).safetensors".to_owned(), vec![7; 99])));
    assert_eq!(archive.project().unwrap(), (project, vec![]));
    let lacking: Vec<_> = files.into_iter().filter(|(file, _)| !file.starts_with("models/")).collect();
    let error = Archive::open("study.zip", zipped(&lacking)).unwrap().model().unwrap_err().to_string();
    assert!(error.contains("study.zip, models/my-model-2.safetensors") && error.contains("not there"), "{error}");

    let (nothing, left_out) = Export::new("Study", &Finding::Needles, Project::default()).finish().unwrap();
    assert!(!unzipped(&nothing).iter().any(|(file, _)| file == "splits.json"));
    assert!(left_out[0].starts_with("splits.json: too little"), "{left_out:?}");
}

#[test]
fn classes_are_masks_with_names() {
    let mut project = project();
    let excluded = Answer::bare(Verdict::Excluded, By::default());
    let edit = |frame, answer| Edit::Answer { clip: "aa".into(), frame, answer };
    do_it(&mut project, vec![edit(0, None), edit(4, Some(excluded))]);
    let finding = Finding::Classes(vec!["nerve".into(), "vessel".into()]);
    let (bytes, left_out) = export(&project, &finding);
    assert!(left_out.iter().any(|left| left.contains("frame 5: answered for without a mask")), "{left_out:?}");
    let files = unzipped(&bytes);
    assert!(!files.iter().any(|(name, _)| name.ends_with("labels.csv")));
    let meta = files.iter().find(|(name, _)| name == "procedures/insertion-1/meta.json").unwrap();
    let meta = Meta::parse("meta.json", std::str::from_utf8(&meta.1).unwrap()).unwrap();
    assert_eq!((meta.classes.len(), meta.classes[2].as_str(), meta.ignore), (3, "vessel", None));
    assert_eq!(Archive::open("study.zip", bytes).unwrap().project().unwrap(), (project, vec![]));
}

#[test]
fn what_was_changed_outside_counts_and_can_be_undone() {
    let name = "procedures/insertion-1/labels.csv";
    let bytes = changed(name, |bytes| replaced(bytes, "1,,,,", "1,2.0,3.0,4.0,5.5"));
    let (mut found, notes) = Archive::open("study.zip", bytes).unwrap().project().unwrap();
    assert!(notes[0].contains("changed outside for the frames 1"), "{notes:?}");
    let answer = found.document().answer("aa", 1).unwrap();
    assert_eq!((answer.verdict, answer.by.name.as_str()), (Verdict::Corrected, "Ada"));
    assert_eq!(answer.needle.unwrap().tip, Point { x: 4.0, y: 5.5 });
    found.apply(Entry::Undo).unwrap();
    assert_eq!(found.document(), project().document());
}

#[test]
fn every_bad_archive_is_a_sentence() {
    let (good, _) = export(&project(), &Finding::Needles);
    assert!(refused(b"PK\x03\x04 and so on".to_vec()).contains("it is no zip, or is cut short"));
    for cut in [0, 3, good.len() / 2, good.len() - 30] {
        assert!(refused(good[..cut].to_vec()).contains("cut short"), "{cut}");
    }
    let foreign = zipped(&[("xl/workbook.xml".into(), vec![1])]);
    assert!(refused(foreign).contains("no project of sonoseg: there is no project.json"));
    for climbing in ["../project.json", "a/../../b", "/etc/passwd", "C:\\b", "..\\b"] {
        let reason = refused(zipped(&[("project.json".into(), vec![]), (climbing.into(), vec![1])]));
        assert!(reason.contains(climbing) && reason.contains("outside"), "{reason}");
    }
    let manifest = |from: &str, to: &str| refused(changed("project.json", |bytes| replaced(bytes, from, to)));
    assert!(manifest("{", "[").contains("another program"));
    assert!(manifest("\"format\":1", "\"format\":2").contains("version 2"));
    assert!(
        manifest("\"clip\":\"bb\",\"procedure\"", "\"clip\":\"aa\",\"procedure\"").contains("of the same clip, aa")
    );
    assert!(
        manifest("\"clip\":\"bb\",\"procedure\"", "\"clip\":\"cc\",\"procedure\"").contains("does not describe, cc")
    );
    assert!(manifest("\"procedure\":\"insertion-1-2\"", "\"procedure\":\"insertion-1\"").contains("two of its clips"));
    assert!(manifest("\"x\":12.123456789", "\"x\":99.5").contains("reaches out of the picture"));
    let labels =
        |from: &str, to: &str| refused(changed("procedures/insertion-1/labels.csv", |bytes| replaced(bytes, from, to)));
    assert!(labels("1,,,,", "1,2.0,3.0,400,5.5").contains("frame 1: the needle reaches out of the picture"));
    assert!(labels("1,,,,", "11,,,,").contains("there is none of number 11"));
    assert!(labels("1,,,,", "1,x,,,").contains("labels.csv: line 3: x is no number"));
    assert!(labels("1,,,,", "0,,,,").contains("line 3: frame 0 has a row already"));
    let png = |height, width| crate::formats::encode::encode_png_grey(height, width, &vec![9; height * width]).unwrap();
    let mut files = unzipped(&good);
    for (file, size) in [(1, 13), (2, 14), (3, 15), (4, 17)] {
        let name = format!("procedures/insertion-1/frames/{file:06}.png");
        files.iter_mut().find(|(file, _)| *file == name).unwrap().1 = png(12, size);
    }
    assert!(refused(zipped(&files)).contains("its frames have 5 sizes (13x12, 14x12, 15x12, 16x12, 17x12)"));
    let frame = "procedures/insertion-1-2/frames/000001.png";
    assert!(refused(changed(frame, |_| b"GIF89a".to_vec())).contains("000001.png: it is no PNG"));
    files = unzipped(&good);
    files.retain(|(file, _)| file != frame);
    assert!(refused(zipped(&files)).contains("it holds 1 files, and must hold the 2 frames"));
    let mask = "procedures/insertion-1/masks/000002.png";
    assert!(
        refused(changed(mask, |_| crate::formats::encode::encode_png_mask(&Mask::empty(3, 3)).unwrap()))
            .contains("another size")
    );
    // A bit that fell over in a picture.
    let mut bytes = good;
    let at = bytes.windows(4).position(|word| word == b"IDAT").unwrap() + 12;
    bytes[at] ^= 1;
    assert!(refused(bytes).contains("damaged"));
}

#[test]
fn lines_are_a_table_and_masks_are_pictures_with_every_other_frame_named() {
    let project = project();
    let (table, left_out) = geometry_csv(&project).unwrap();
    let mut rows = csv::Reader::from_reader(&table[..]);
    let columns = rows.headers().unwrap().clone();
    let rows: Vec<csv::StringRecord> = rows.records().map(|row| row.unwrap()).collect();
    let cell = |row: usize, name: &str| rows[row][columns.iter().position(|column| column == name).unwrap()].to_owned();
    assert_eq!(rows.len(), 7, "six answers and a prediction");
    assert_eq!(
        (cell(0, "frame"), cell(0, "verdict"), cell(0, "source")),
        ("0".into(), "corrected".into(), "label".into())
    );
    assert_eq!(cell(0, "tip_x").parse::<f64>().unwrap(), needle(0.0).tip.x);
    assert_eq!((cell(6, "frame"), cell(6, "confidence"), cell(6, "name")), ("7".into(), "0.25".into(), String::new()));
    assert_eq!(left_out.len(), 2, "two clips of one name: {left_out:?}");

    let (masks, left_out) = masks_zip(&project, &Finding::Needles).unwrap();
    let files = unzipped(&masks);
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[..5], [0, 1, 2, 4, 5].map(|frame| format!("insertion-1/{frame:06}.png")));
    let mask = |at: usize| crate::formats::mask::read_class_mask("m", &files[at].1, Some(255)).unwrap();
    assert!(!mask(0).is_empty() && mask(1).is_empty() && mask(3) == painted(true));
    assert!(left_out.iter().any(|left| left.contains("frame 3: excluded")), "{left_out:?}");
}

/// The procedures of an archive, as the trainer lists their folders.
fn as_the_trainer_reads(bytes: &[u8], finding: &Finding) -> (Windows, Vec<(String, Vec<u8>)>) {
    let files = unzipped(bytes);
    let ids: std::collections::BTreeSet<String> = files
        .iter()
        .filter_map(|(path, _)| Some(path.strip_prefix("procedures/")?.split('/').next()?.to_owned()))
        .collect();
    let procedure = |id: &String| {
        let of =
            |file: &str| files.iter().find(|(path, _)| *path == format!("procedures/{id}/{file}")).map(|file| &file.1);
        let listed = |folder: &str| {
            let start = format!("procedures/{id}/{folder}/");
            Numbered::of(files.iter().filter_map(|(path, _)| Some(path.strip_prefix(&start)?.to_owned())))
        };
        let meta = Meta::parse("meta.json", std::str::from_utf8(of("meta.json").unwrap()).unwrap()).unwrap();
        let labels = of("labels.csv").map(|table| read_labels(table)).unwrap_or_default();
        let listed = Listed { meta, frames: listed("frames"), masks: listed("masks"), labels };
        Procedure::new(id.clone(), listed, str::to_owned).unwrap()
    };
    let procedures = ids.iter().map(procedure).collect();
    (Windows::new("archive".into(), procedures, 1).unwrap().with_finding(finding).unwrap(), files)
}

#[test]
fn a_project_in_memory_is_the_data_set_that_the_trainer_reads_from_its_archive() {
    let project = project();
    let (bytes, _) = export(&project, &Finding::Needles);
    let (windows, files) = as_the_trainer_reads(&bytes, &Finding::Needles);
    let facts = ClipFacts { times_us: None, scale: Scale::Everywhere(SPACING), group: None };
    let facts = project.document().clips.keys().map(|clip| (clip.clone(), facts.clone())).collect();
    let mut marked = Marked::new(&project, &facts, &Finding::Needles, 1).unwrap();
    let labelled = windows.labelled_samples(None, 1);
    assert_eq!(marked.windows().labelled_samples(None, 1), labelled);
    assert_eq!((marked.len(), labelled.len()), (windows.len(), 5));
    for (clip, frames) in marked.wanted() {
        for frame in frames {
            marked.put(&clip, frame, &picture(frame)).unwrap();
        }
    }
    for &sample in &labelled {
        let (procedure, positions) = windows.frames(sample);
        let read = |file: &str| {
            let path = format!("procedures/{}/{file}", procedure.id);
            Ok((file.to_owned(), files.iter().find(|(name, _)| *name == path).unwrap().1.clone()))
        };
        let (image, target) = procedure.load(positions.start, read).unwrap();
        let mut loading = Box::pin(marked.load(sample));
        let context = &mut std::task::Context::from_waker(std::task::Waker::noop());
        let std::task::Poll::Ready(Ok(loaded)) = loading.as_mut().poll(context) else { panic!("it is all here") };
        assert_eq!((loaded.frames, loaded.targets, loaded.id), (vec![image], vec![target], windows.id(sample)));
        assert_eq!(marked.place(sample), (&"aa".to_owned(), positions.start));
    }
}

#[test]
fn labelled_frames_that_lie_far_apart_are_all_used() {
    let mut project = Project::default();
    let record =
        ClipRecord { name: "a.dcm".into(), frames: 60, height: SIZE[0], width: SIZE[1], answers: Default::default() };
    do_it(&mut project, vec![Edit::Clip { clip: "aa".into(), record: Some(record) }]);
    let facts = [("aa".to_owned(), ClipFacts::default())].into();
    let config = SplitConfig { val_share: 0.2, stride: 1, folds: 0, fold: 0, seed: 1, labels_count: true };
    let mut sides = |frames: &[usize]| {
        for &frame in frames {
            let answer = Some(Answer { needle: Some(needle(0.0)), ..Answer::bare(Verdict::Corrected, By::default()) });
            do_it(&mut project, vec![Edit::Answer { clip: "aa".into(), frame, answer }]);
        }
        let marked = Marked::new(&project, &facts, &Finding::Needles, 1).unwrap();
        let split = marked.split(&config).unwrap();
        marked.sides(&split, 1).map(|side| side.len())
    };
    assert_eq!(sides(&[3, 30]), [2, 0], "too few to hold any out");
    assert_eq!(sides(&[10, 17, 24, 38, 45, 52]), [6, 2], "nothing lies between them");
    assert_eq!(sides(&(0..60).collect::<Vec<_>>()), [42, 12], "neighbours are left out");
}

#[test]
fn whole_recordings_are_held_out_where_that_leaves_enough_to_learn_from() {
    let marked = |frames: [usize; 2]| {
        let mut project = Project::default();
        for (key, count) in ["aa", "bb"].into_iter().zip(frames) {
            let answer = Answer { needle: Some(needle(0.0)), ..Answer::bare(Verdict::Corrected, By::default()) };
            let answers = (0..count).map(|at| (at * 6, answer.clone())).collect();
            let (name, [height, width]) = (format!("{key}.dcm"), SIZE);
            let record = ClipRecord { name, frames: 60, height, width, answers };
            do_it(&mut project, vec![Edit::Clip { clip: key.into(), record: Some(record) }]);
        }
        let facts = ["aa", "bb"].map(|key| (key.to_owned(), ClipFacts::default())).into();
        Marked::new(&project, &facts, &Finding::Needles, 1).unwrap()
    };
    for seed in 0..6 {
        let config = SplitConfig { val_share: 0.2, stride: 1, folds: 0, fold: 0, seed, labels_count: true };
        let sides = |frames: [usize; 2]| {
            let marked = marked(frames);
            let split = marked.split(&config).unwrap();
            split.check().unwrap();
            (marked.sides(&split, 1).map(|side| side.len()), split.val.len(), split.stretches.len())
        };
        assert_eq!(sides([8, 3]), ([8, 3], 1, 0), "the small one is held out whole");
        assert_eq!(sides([1, 8]), ([8, 1], 1, 0), "however small");
        let ([learned, held], recordings, stretches) = sides([5, 5]);
        assert_eq!((learned + held, held, recordings, stretches), (10, 2, 0, 2), "two alike: stretches of both");
    }
}
