//! Any sequence of commands: undone it is the start, redone the end, also through a journal that is cut anywhere.

use super::*;
use crate::geometry::{Mask, Needle, Point};
use crate::rng::Rng;

const CLIPS: [(&str, usize); 2] = [("aa", 3), ("bb", 5)];
const SIZE: [usize; 2] = [12, 16];

fn record(frames: usize) -> ClipRecord {
    let [height, width] = SIZE;
    ClipRecord { name: format!("clip of {frames}"), frames, height, width, answers: Default::default() }
}

fn point(rng: &mut Rng, reach: f64) -> Point {
    Point { x: rng.uniform(-reach, 15.0 + reach), y: rng.uniform(-reach, 11.0 + reach) }
}

fn answer(rng: &mut Rng) -> Option<Answer> {
    let by = By { name: "Ada".into(), at_ms: rng.below(1 << 20) as u64, model: rng.chance(0.5).then(|| "m".into()) };
    let verdict = Verdict::ALL[rng.below(4)];
    let shows = matches!(verdict, Verdict::Accepted | Verdict::Corrected);
    // One in ten reaches out of the picture, and is refused.
    let reach = if rng.chance(0.1) { 9.0 } else { 0.0 };
    let needle = Needle { entry: point(rng, reach), tip: point(rng, reach) };
    let mask =
        Mask { height: SIZE[0], width: SIZE[1], classes: (0..SIZE[0] * SIZE[1]).map(|_| rng.below(3) as u8).collect() };
    let (line, painted) = (rng.chance(0.7), rng.chance(0.4));
    rng.chance(0.9).then(|| Answer {
        needle: (shows && line).then_some(needle),
        mask: (shows && painted).then_some(mask),
        ..Answer::bare(verdict, by)
    })
}

fn edit(rng: &mut Rng, project: &Project) -> Edit {
    let (clip, frames) = CLIPS[rng.below(2)];
    let (key, frame) = (clip.to_owned(), rng.below(frames));
    let painted = project.document().answer(clip, frame).and_then(|answer| answer.mask.clone());
    if let (true, Some(answer)) = (rng.chance(0.2), answer(rng)) {
        return Edit::Amend { clip: key, frame, answer: Answer { mask: None, ..answer } };
    }
    match (rng.below(8), painted) {
        (0, _) => Edit::Clip { clip: key, record: rng.chance(0.7).then(|| record(frames)) },
        (1..=5, Some(mut mask)) => {
            let brush = Brush { radius_px: rng.uniform(0.0, 4.0), class: rng.below(3) as u8, only_over: None };
            let way = [point(rng, 3.0), point(rng, 3.0)];
            match brush.paint(&mut mask, &way) {
                Some(patch) => Edit::Paint { clip: key, frame, patch },
                None => Edit::Answer { clip: key, frame, answer: answer(rng) },
            }
        }
        _ => Edit::Answer { clip: key, frame, answer: answer(rng) },
    }
}

fn entry(rng: &mut Rng, project: &Project) -> Entry {
    match rng.below(10) {
        0 => Entry::Undo,
        1 => Entry::Redo,
        2 | 3 => {
            let (clip, frames) = CLIPS[rng.below(2)];
            let predicted =
                rng.chance(0.8).then(|| Predicted { model: "m".into(), confidence: Some(0.5), ..Predicted::default() });
            Entry::Predicted { clip: clip.into(), frame: rng.below(frames), predicted }
        }
        _ => Entry::Do(Step { name: "step".into(), edits: (0..=rng.below(3)).map(|_| edit(rng, project)).collect() }),
    }
}

/// A project with both clips, and everything that then happened and was not refused.
fn session(seed: u64, length: usize) -> (Vec<Entry>, Vec<Project>) {
    let mut rng = Rng::stream(seed, "annotation", [0, 0]);
    let mut project = Project::default();
    let (mut entries, mut states) = (Vec::new(), vec![project.clone()]);
    let open = CLIPS.map(|(clip, frames)| Edit::Clip { clip: clip.into(), record: Some(record(frames)) });
    let mut next = Entry::Do(Step { name: "open".into(), edits: open.into() });
    while entries.len() < length {
        let before = project.clone();
        if project.apply(next.clone()).is_ok() {
            entries.push(next);
            states.push(project.clone());
        } else {
            assert_eq!(project, before, "what is refused changes nothing");
        }
        next = entry(&mut rng, &project);
    }
    (entries, states)
}

#[test]
fn undone_is_the_start_and_redone_the_end() {
    for seed in 0..60 {
        let (entries, states) = session(seed, 120);
        let mut project = states.last().unwrap().clone();
        // What was taken back at the end is made again first, so that the end is the end.
        while project.to_redo().is_some() {
            project.apply(Entry::Redo).unwrap();
        }
        let end = project.document().clone();
        let mut steps = 0;
        while project.to_undo().is_some() {
            project.apply(Entry::Undo).unwrap();
            steps += 1;
        }
        assert_eq!(project.document(), &Document::default(), "seed {seed}, {} entries", entries.len());
        assert!(steps > 20, "a session of {steps} steps shows nothing");
        while project.to_redo().is_some() {
            project.apply(Entry::Redo).unwrap();
        }
        assert_eq!(project.document(), &end, "seed {seed}");
    }
}

#[test]
fn an_undo_that_does_not_fit_changes_nothing() {
    let mut project = Project::default();
    let put = |edit| Entry::Do(Step { name: "put".into(), edits: vec![edit] });
    project.apply(put(Edit::Clip { clip: "aa".into(), record: Some(record(3)) })).unwrap();
    // Such a file is made by no one but by hand: what is to be undone is not there.
    let mut value = serde_json::to_value(&project).unwrap();
    value["document"]["clips"] = serde_json::json!({});
    let mut broken: Project = serde_json::from_value(value).unwrap();
    let before = broken.clone();
    assert_eq!(broken.apply(Entry::Undo), Err(Refused::NoClip("aa".into())));
    assert_eq!(broken, before);
}

#[test]
fn an_amended_answer_keeps_its_mask_and_an_opened_clip_is_no_step() {
    let mut project = Project::default();
    let make = |edits: Vec<Edit>| Entry::Do(Step { name: "step".into(), edits });
    let opened = || Entry::Opened { clip: "aa".into(), record: record(3) };
    project.apply(opened()).unwrap();
    assert_eq!((project.to_undo(), project.document().clips.len()), (None, 1));
    let (by, mask) = (By::default(), Mask { height: 12, width: 16, classes: vec![1; 12 * 16] });
    let painted = Answer { mask: Some(mask.clone()), ..Answer::bare(Verdict::Accepted, by.clone()) };
    let amend = |frame, verdict| Edit::Amend { clip: "aa".into(), frame, answer: Answer::bare(verdict, by.clone()) };
    assert!(project.apply(make(vec![amend(1, Verdict::Corrected)])).is_err(), "there is no answer");
    project.apply(make(vec![Edit::Answer { clip: "aa".into(), frame: 1, answer: Some(painted.clone()) }])).unwrap();
    let before = project.clone();
    assert!(project.apply(make(vec![amend(1, Verdict::Nothing)])).is_err(), "its mask is not empty");
    assert_eq!(project, before);
    project.apply(make(vec![amend(1, Verdict::Corrected)])).unwrap();
    assert_eq!(project.place_of_undo(), Some((&"aa".to_owned(), Some(1))));
    let answer = project.document().answer("aa", 1).unwrap();
    assert_eq!((answer.verdict, answer.mask.as_ref()), (Verdict::Corrected, Some(&mask)));
    project.apply(opened()).unwrap();
    project.apply(Entry::Undo).unwrap();
    assert_eq!(project.document().answer("aa", 1), Some(&painted));
    // Taken out and opened again it is a new clip, and undo has nothing that would not fit it.
    project.apply(make(vec![Edit::Clip { clip: "aa".into(), record: None }])).unwrap();
    project.apply(opened()).unwrap();
    assert_eq!((project.to_undo(), project.to_redo()), (None, None));
}

#[test]
fn two_hundred_steps_can_be_undone_and_no_more() {
    let (_, states) = session(7, 600);
    let mut project = states.last().unwrap().clone();
    let mut steps = 0;
    while project.to_undo().is_some() {
        project.apply(Entry::Undo).unwrap();
        steps += 1;
    }
    assert!(steps <= STEPS && steps > STEPS - 40, "{steps}");
}

#[test]
fn a_model_never_changes_what_a_person_said() {
    let mut rng = Rng::stream(3, "models", [0, 0]);
    let (_, states) = session(5, 200);
    for mut project in states.into_iter().skip(1) {
        let before = project.clone();
        for (clip, frames) in CLIPS {
            for frame in 0..frames {
                let predicted = rng.chance(0.5).then(|| Predicted { model: "new".into(), ..Predicted::default() });
                // Refused where the clip is not in the project.
                let _ = project.apply(Entry::Predicted { clip: clip.into(), frame, predicted });
                if let Status::Answered(verdict) = before.status(clip, frame) {
                    assert_eq!(project.status(clip, frame), Status::Answered(verdict));
                }
            }
        }
        assert_eq!(project.document(), before.document());
        assert_eq!((project.to_undo(), project.to_redo()), (before.to_undo(), before.to_redo()));
    }
}

#[test]
fn a_journal_that_is_cut_anywhere_loses_at_most_the_last_entry() {
    let (entries, states) = session(11, 160);
    let mut bytes = Journal::head().as_bytes().to_vec();
    let mut ends = vec![bytes.len()];
    for entry in &entries {
        bytes.extend(encode(entry).unwrap().as_bytes());
        ends.push(bytes.len());
    }
    let whole = Journal::read("p", &bytes).unwrap();
    assert_eq!((&whole.project, whole.sound, whole.note), (states.last().unwrap(), bytes.len(), None));
    let mut rng = Rng::stream(1, "cuts", [0, 0]);
    let random: Vec<usize> = (0..500).map(|_| rng.below(bytes.len() + 1)).collect();
    for cut in random.into_iter().chain(0..40).chain(ends.iter().copied()) {
        let read = Journal::read("p", &bytes[..cut]).unwrap();
        let written = ends.iter().filter(|&&end| end <= cut).count();
        assert_eq!(read.project, states[written.saturating_sub(1)], "cut at {cut}");
        let sound = ends.iter().rev().find(|&&end| end <= cut).copied().unwrap_or(0);
        assert_eq!((read.sound, read.note.is_some()), (sound, written > 0 && cut > sound), "cut at {cut}");
        // Cut off and written on, it is as if nothing had happened in between.
        let mut longer = if sound == 0 { Journal::head().as_bytes().to_vec() } else { bytes[..sound].to_vec() };
        longer.extend(encode(&Entry::Undo).unwrap().as_bytes());
        let mut expected = read.project.clone();
        expected.apply(Entry::Undo).unwrap();
        assert_eq!(Journal::read("p", &longer).unwrap().project, expected);
    }
}

#[test]
fn a_damaged_journal_is_opened_as_far_as_it_goes_and_a_foreign_one_is_not() {
    let (entries, states) = session(2, 30);
    let lines: Vec<String> = entries.iter().map(|entry| encode(entry).unwrap()).collect();
    let mut bytes = Journal::head().as_bytes().to_vec();
    bytes.extend(lines[..10].concat().as_bytes());
    let place = bytes.len() + 12;
    bytes.extend(lines[10..].concat().as_bytes());
    bytes[place] ^= 4;
    let read = Journal::read("p", &bytes).unwrap();
    assert_eq!(read.project, states[10]);
    assert!(read.note.unwrap().contains("its last 20 changes"));
    let mut start = Journal::head().as_bytes().to_vec();
    start.extend(encode(&Entry::Start(Box::new(states[10].clone()))).unwrap().as_bytes());
    assert_eq!(Journal::read("p", &start).unwrap().project, states[10], "a journal that begins anew");
    // One that begins with answers for frames that are not there is refused whole, and said to be damaged.
    let mut record = record(3);
    record.answers.insert(3, Answer::bare(Verdict::Nothing, By::default()));
    let clips = serde_json::json!({"document": {"clips": {"aa": record}}, "predicted": {}, "done": [], "undone": []});
    let mut wrong = Journal::head().as_bytes().to_vec();
    wrong.extend(encode(&Entry::Start(serde_json::from_value(clips).unwrap())).unwrap().as_bytes());
    let read = Journal::read("p", &wrong).unwrap();
    assert_eq!((read.project, read.sound), (Project::default(), Journal::head().len()));
    assert!(read.note.unwrap().contains("frame 3: there is no such frame"));
    for foreign in [&b"sonoseg journal 2\nx"[..], b"PK\x03\x04", b"{}"] {
        assert!(Journal::read("p", foreign).is_err());
    }
}

#[test]
fn answers_that_do_not_fit_are_refused_by_name() {
    let mut project = Project::default();
    let by = By::default();
    let put = |edit| Entry::Do(Step { name: String::new(), edits: vec![edit] });
    let answer = |frame, answer| put(Edit::Answer { clip: "aa".into(), frame, answer: Some(answer) });
    let needle = Needle { entry: Point { x: 0.0, y: 0.0 }, tip: Point { x: 15.6, y: 3.0 } };
    let corrected = Answer { needle: Some(needle), ..Answer::bare(Verdict::Corrected, by.clone()) };
    let refused = |project: &mut Project, entry| project.apply(entry).unwrap_err().to_string();
    assert!(refused(&mut project, answer(0, corrected.clone())).contains("open its file first"));
    project.apply(put(Edit::Clip { clip: "aa".into(), record: Some(record(3)) })).unwrap();
    assert!(refused(&mut project, put(Edit::Clip { clip: "aa".into(), record: Some(record(3)) })).contains("already"));
    assert!(refused(&mut project, answer(0, corrected.clone())).contains("clip of 3, frame 0: the needle reaches out"));
    assert!(refused(&mut project, answer(3, Answer::bare(Verdict::Nothing, by.clone()))).contains("3 frames"));
    let small = Answer { mask: Some(Mask::empty(3, 3)), ..Answer::bare(Verdict::Corrected, by.clone()) };
    assert!(refused(&mut project, answer(0, small)).contains("another size"));
    let inside = Needle { tip: Point { x: 15.5, y: 3.0 }, ..needle };
    let contrary = Answer { needle: Some(inside), ..Answer::bare(Verdict::Nothing, by.clone()) };
    assert!(refused(&mut project, answer(0, contrary)).contains("has none"));
    let patch = Patch::of(&Mask::empty(12, 16), [0, 0], [2, 2]);
    let paint = put(Edit::Paint { clip: "aa".into(), frame: 0, patch });
    assert!(refused(&mut project, paint).contains("no mask to paint on"));
    project.apply(answer(0, Answer { needle: Some(inside), ..corrected })).unwrap();
    assert_eq!(project.status("aa", 0), Status::Answered(Verdict::Corrected));
    assert_eq!(project.status("aa", 1), Status::Open);
    // NaN is no JSON: it must not be written as a blank.
    let undefined = Needle { entry: Point { x: f64::NAN, y: 0.0 }, tip: inside.tip };
    assert!(
        refused(&mut project, answer(1, Answer { needle: Some(undefined), ..Answer::bare(Verdict::Corrected, by) }))
            .contains("reaches out")
    );
}
