//! Whole sessions of an annotator: everything marked and brought away, and how many keys that takes.

use crate::chromium::{Graphics, Page};
use crate::files::{Files, insertion};
use crate::mark::{near, tip, until};
use crate::projects::{read, ready, saved, taken_out};
use crate::scenarios::predicted;
use headless_chrome::browser::tab::ModifierKey;
use sonoseg_imaging::annotation::{Project, Verdict};
use sonoseg_imaging::geometry::Needle;

/// A line and a stroke, in pixels of the frame.
const LINE: [(f64, f64); 2] = [(40.0, 50.0), (120.0, 110.0)];
const STROKE: [(f64, f64); 3] = [(200.0, 50.0), (240.0, 80.0), (280.0, 110.0)];

/// Stills of the long session.
const STILLS: usize = 20;

/// Frames of the session whose keys are counted.
const FRAMES: usize = 60;

/// How far from the truth a person lets a line be, in pixels of the frame.
const RIGHT_PX: f64 = 6.0;

fn open(name: &str) -> Page {
    let page = Page::open(name, Graphics::Off, "?device=cpu");
    ready(&page);
    page
}

/// A clip is on the screen, and stands at its first frame.
fn begins(page: &Page, clip: &str) {
    until(page, clip, |state| state.text("clip") == clip);
    page.pause();
    page.press("Home");
    shows(page, clip, 0);
}

fn shows(page: &Page, clip: &str, frame: usize) {
    until(page, &format!("{clip}, frame {frame}"), |state| {
        state.text("clip") == clip && state.number("frame") == Some(frame as f64)
    });
}

/// What was said of the frames of a clip, in their order.
fn verdicts(project: &Project, name: &str) -> Vec<Option<Verdict>> {
    let record = project.document().clips.values().find(|clip| clip.name == name).unwrap();
    (0..record.frames).map(|frame| Some(record.answers.get(&frame)?.verdict)).collect()
}

#[test]
fn three_clips_and_twenty_images_are_marked_and_come_back() {
    use Verdict::{Accepted, Corrected, Excluded, Nothing};
    let (files, folder) = (Files::new(), tempfile::tempdir().unwrap());
    let mut page = open("session");
    page.save_into(folder.path());
    let mut all = vec![files.dicom(6), files.mp4(4), files.video(4, "motion.avi", "mjpeg", "15")];
    all.extend(files.stills(STILLS));
    page.choose_files("#open-files", &all.iter().map(|file| file.as_path()).collect::<Vec<_>>());
    begins(&page, "insertion.dcm");
    until(&page, "list of all files", |state| state.text("file") == "2 of 24");

    // By mouse and pen: a line, a painted needle, the answers; a mistake is undone and made again.
    page.press("l");
    page.draw("mouse", false, &LINE);
    until(&page, "line", |state| state.text("status") == "corrected");
    page.press("f");
    page.press("0");
    shows(&page, "insertion.dcm", 2);
    page.press("d");
    page.press("b");
    page.draw("pen", false, &STROKE);
    until(&page, "painted needle", |state| state.text("status") == "corrected" && state.text("frame") == "1");
    page.press("f");
    page.press("0");
    shows(&page, "insertion.dcm", 3);
    page.wait(60, "answer of the model", predicted);
    page.press("a");
    shows(&page, "insertion.dcm", 4);
    page.press("x");
    shows(&page, "insertion.dcm", 5);
    for _ in 0..2 {
        page.press_with("z", &[ModifierKey::Ctrl]);
    }
    until(&page, "two steps back", |state| state.text("answered") == "3");
    for _ in 0..2 {
        page.press_with("y", &[ModifierKey::Ctrl]);
    }
    until(&page, "two steps forward", |state| state.text("answered") == "5");
    page.screenshot("first-clip");

    // By keys alone: a line in the middle of the picture, moved by its tip; the same on the next frame.
    page.press("PageDown");
    begins(&page, "insertion.mp4");
    page.press("l");
    page.press("0");
    shows(&page, "insertion.mp4", 1);
    page.press("d");
    shows(&page, "insertion.mp4", 0);
    page.press("Enter");
    until(&page, "line by a key", |state| state.text("status") == "corrected");
    page.press_with("ArrowDown", &[ModifierKey::Shift]);
    let moved = tip(&page);
    page.press("f");
    page.press("r");
    shows(&page, "insertion.mp4", 2);
    page.press("d");
    page.wait(10, "the same line", |_| near(tip(&page), moved, 1e-6).then_some(()));
    page.press("PageDown");
    begins(&page, "motion.avi");
    for frame in 0..4 {
        shows(&page, "motion.avi", frame);
        page.press("x");
    }

    // Stills follow each other by themselves.
    page.press("PageDown");
    for still in 0..STILLS {
        let name = format!("still-{still}.png");
        shows(&page, &name, 0);
        page.press("0");
        until(&page, "answer", |state| state.text("clip") != name || state.text("status") == "nothing");
    }
    saved(&page);
    page.reload();
    ready(&page);
    shows(&page, &format!("still-{}.png", STILLS - 1), 0);
    until(&page, "answer after a reload", |state| state.text("status") == "nothing");
    // Undo reaches back over the reload.
    page.press_with("z", &[ModifierKey::Ctrl]);
    until(&page, "undone answer", |state| state.text("answered") == "0");
    page.press_with("y", &[ModifierKey::Ctrl]);
    until(&page, "answer again", |state| state.text("answered") == "1");
    saved(&page);
    page.screenshot("reloaded");
    let archive = taken_out(&page, folder.path());
    let project = read(&archive);
    page.close();

    let said = |name: &str| verdicts(&project, name);
    let first = [Corrected, Corrected, Nothing, Accepted, Excluded].map(Some);
    // The model may rightly have said that there is nothing.
    let accepted_nothing = said("insertion.dcm")[3] == Some(Nothing);
    assert!(said("insertion.dcm")[..5] == first || accepted_nothing, "{:?}", said("insertion.dcm"));
    assert_eq!(said("insertion.mp4")[..2], [Some(Corrected); 2]);
    assert_eq!(said("motion.avi"), [Some(Excluded); 4]);
    let stills = (0..STILLS).flat_map(|still| said(&format!("still-{still}.png")));
    assert!(stills.eq(std::iter::repeat_n(Some(Nothing), STILLS)));

    let fresh = open("session-back");
    fresh.choose_files("#bring-back", &[&archive]);
    fresh.wait(300, "project", |_| (!fresh.part(".project").text("project").is_empty()).then_some(()));
    let again = tempfile::tempdir().unwrap();
    fresh.save_into(again.path());
    let project_again = read(&taken_out(&fresh, again.path()));
    assert_eq!(project_again.document(), project.document());
    fresh.close();
}

#[test]
fn sixty_frames_take_few_keys() {
    let files = Files::new();
    let page = open("keys");
    let truth: Vec<Option<Needle>> = insertion(FRAMES);
    page.choose_files("#open-files", &[&files.dicom(FRAMES)]);
    begins(&page, "insertion.dcm");
    page.press("l");
    // Frames, and keys and drags for them: where the model is right, and where it is wrong.
    let (mut right, mut wrong) = ([0; 2], [0; 2]);
    for (frame, truth) in truth.iter().enumerate() {
        shows(&page, "insertion.dcm", frame);
        page.wait(60, "answer of the model", predicted);
        let ends = |needle: &Needle| [needle.entry, needle.tip].map(|end| (end.x, end.y));
        let found = || {
            let state = page.state();
            let [entry_x, entry_y, tip_x, tip_y] = ["entryX", "entryY", "tipX", "tipY"].map(|name| state.number(name));
            Some([(entry_x?, entry_y?), (tip_x?, tip_y?)])
        };
        let off = |found: &[(f64, f64); 2], truth: &Needle| {
            found.iter().zip(ends(truth)).position(|(found, end)| !near(*found, end, RIGHT_PX))
        };
        let (count, keys) = match (found(), truth) {
            (None, None) => (&mut right, press_counted(&page, &["a"])),
            (Some(found), Some(truth)) if off(&found, truth).is_none() => (&mut right, press_counted(&page, &["a"])),
            (Some(_), None) => (&mut wrong, press_counted(&page, &["0"])),
            (None, Some(truth)) => {
                page.draw("mouse", false, &ends(truth));
                (&mut wrong, 1 + press_counted(&page, &["f"]))
            }
            (Some(mut line), Some(truth)) => {
                let mut drags = 0;
                while let Some(end) = off(&line, truth) {
                    page.draw("mouse", false, &[line[end], ends(truth)[end]]);
                    until(&page, "moved end", |state| state.text("status") == "corrected");
                    line = found().unwrap();
                    drags += 1;
                    assert!(drags < 4, "frame {frame}: the ends do not come to where they are dragged");
                }
                (&mut wrong, drags + press_counted(&page, &["f"]))
            }
        };
        *count = [count[0] + 1, count[1] + keys];
    }
    until(&page, "all frames", |state| state.number("answered") == Some(FRAMES as f64));
    println!(
        "keys and drags: {} for {} frames where the model is right, {} for {} where it is wrong",
        right[1], right[0], wrong[1], wrong[0]
    );
    assert!(right[0] > 0 && wrong[0] > 0, "a session of one kind shows half of it: {right:?} {wrong:?}");
    assert!(right[1] as f64 <= 1.2 * right[0] as f64 && wrong[1] <= 3 * wrong[0], "{right:?} {wrong:?}");
    page.screenshot("marked");
    page.close();
}

fn press_counted(page: &Page, keys: &[&str]) -> usize {
    keys.iter().for_each(|key| page.press(key));
    keys.len()
}
