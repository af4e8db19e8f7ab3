//! What people mark is kept, comes back after a reload, and can be taken out and brought back.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::chromium::{Graphics, Page, State};
use crate::files::Files;
use crate::mark::{near, tip};
use headless_chrome::browser::tab::ModifierKey;
use sonoseg_imaging::annotation::{Answer, By, ClipRecord, Edit, Entry, Journal, Project, Step, Verdict, encode};
use sonoseg_imaging::archive::Archive;

/// The browser's storage takes nothing.
const FULL: &str = "FileSystemSyncAccessHandle.prototype.write = () => \
     { throw new DOMException('no room', 'QuotaExceededError'); };";

/// The browser has no storage of this kind, as in a private window.
const PRIVATE: &str =
    "StorageManager.prototype.getDirectory = () => Promise.reject(new DOMException('no', 'SecurityError'));";

/// A worker predicts nothing where a project was kept before it was started.
const SILENT: &str = "let kept = false; navigator.storage.getDirectory().then(root => root.getDirectoryHandle('projects')) \
     .then(() => { kept = true; }, () => {}); addEventListener('message', event => { if (kept && \
     event.data?.head?.Ask?.call?.Predict) event.stopImmediatePropagation(); });";

fn open(name: &str, before_worker: &'static str) -> Page {
    let page = Page::open_with(name, Graphics::Off, "?device=cpu", before_worker);
    ready(&page);
    page
}

pub(crate) fn ready(page: &Page) {
    page.wait(300, "ready page", |state| {
        (state.text("state") == "ready" && state.number("frames") > Some(0.0)).then_some(())
    });
    page.pause();
}

/// What the project panel says.
fn says(page: &Page, attribute: &str) -> String {
    page.part(".project").text(attribute).to_owned()
}

pub(crate) fn saved(page: &Page) {
    page.wait(10, "saved project", |_| (says(page, "saved") == "saved").then_some(()));
}

/// Say of the next frames that they show nothing.
fn mark(page: &Page, frames: usize) {
    page.press("Home");
    for frame in 0..frames {
        page.press("0");
        page.wait(10, "next frame", |state| (state.number("frame") > Some(frame as f64)).then_some(()));
    }
}

/// Wait until the model has answered for all frames: its answers are in the project, too.
fn looked_at(page: &Page) {
    page.wait(120, "answers for all frames", |_| {
        let said = page.script("document.querySelector('.file[aria-current] small')?.innerText ?? ''");
        said.as_str().is_some_and(|said| said.contains("frames") && !said.contains("so far")).then_some(())
    });
}

/// The file that the page has the browser save.
pub(crate) fn taken_out(page: &Page, folder: &Path) -> PathBuf {
    page.click(".project .row button");
    saved_file(page, folder)
}

/// The file that the browser saves.
fn saved_file(page: &Page, folder: &Path) -> PathBuf {
    let start = Instant::now();
    loop {
        let found = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        if let Some(path) = found.into_iter().find(|path| path.to_str().unwrap().ends_with(".sonoseg.zip")) {
            return path;
        }
        assert!(start.elapsed() < Duration::from_secs(120), "nothing was taken out: {:?}", page.notices());
        std::thread::sleep(Duration::from_millis(100));
    }
}

pub(crate) fn read(archive: &Path) -> Project {
    Archive::open("taken out", std::fs::read(archive).unwrap()).unwrap().project().unwrap().0
}

/// Wait until a model is in use.
fn uses(page: &Page, model: &str) {
    page.wait(120, model, |_| {
        (page.script("document.querySelector('.model-name')?.dataset.model ?? ''") == model).then_some(())
    });
}

fn nothing(project: &Project) -> usize {
    let answers = project.document().clips.values().flat_map(|clip| clip.answers.values());
    answers.filter(|answer| answer.verdict == Verdict::Nothing).count()
}

#[test]
fn what_was_marked_is_there_after_a_reload_with_its_file_and_its_place() {
    let files = Files::new();
    let mut page = open("keep", "");
    assert_eq!(says(&page, "saved"), "nothing");
    page.choose_files("#open-files", &[&files.dicom(6)]);
    page.wait(60, "other clip", |state| (state.text("clip") == "insertion.dcm").then_some(()));
    page.pause();
    mark(&page, 3);
    saved(&page);
    let entries = |page: &Page| page.part(".project").number("entries");
    let (name, before) = (says(&page, "project"), entries(&page));
    // The place is written once a second.
    std::thread::sleep(Duration::from_secs(3));
    page.screenshot("marked");
    page.reload();
    page.wait(300, "the clip and its frame", |state| {
        (state.text("clip") == "insertion.dcm" && state.number("frame") == Some(3.0)).then_some(())
    });
    assert!(says(&page, "project") == name && entries(&page) >= before, "another project came back");
    page.screenshot("restored");
    page.second_tab_says(120, "is open in another tab");
    page.close();
}

#[test]
fn a_project_that_was_taken_out_comes_back_equal_in_a_fresh_browser() {
    let folder = tempfile::tempdir().unwrap();
    let (files, page) = (Files::new(), open("take-out", ""));
    page.choose_files("#open-model", &[&files.copied_model()]);
    uses(&page, "copied.safetensors");
    page.save_into(folder.path());
    mark(&page, 4);
    looked_at(&page);
    saved(&page);
    let archive = taken_out(&page, folder.path());
    let project = read(&archive);
    assert_eq!(nothing(&project), 4);
    let model = Archive::open("taken out", std::fs::read(&archive).unwrap()).unwrap().model().unwrap().unwrap();
    assert_eq!(model, ("copied.safetensors".to_owned(), std::fs::read(files.copied_model()).unwrap()));
    assert!(page.text().contains("Taken out"), "the page does not say when it was taken out");
    page.close();

    let fresh = open("bring-back", "");
    fresh.choose_files("#bring-back", &[&archive]);
    fresh.wait(120, "project", |_| (!says(&fresh, "project").is_empty()).then_some(()));
    uses(&fresh, "copied.safetensors");
    looked_at(&fresh);
    saved(&fresh);
    let again = tempfile::tempdir().unwrap();
    fresh.save_into(again.path());
    // The same by the key, while a name is being typed.
    fresh.script("document.querySelector('.your-name input').focus()");
    fresh.press_with("s", &[ModifierKey::Ctrl]);
    assert_eq!(read(&saved_file(&fresh, again.path())), project);
    fresh.screenshot("back");
    fresh.close();
}

#[test]
fn a_browser_that_keeps_nothing_says_so_and_the_project_can_still_be_taken_out() {
    for (name, before_worker, words) in [("full", FULL, "storage is full"), ("private", PRIVATE, "private window")] {
        let folder = tempfile::tempdir().unwrap();
        let page = open(name, before_worker);
        page.save_into(folder.path());
        mark(&page, 2);
        page.wait(30, "sentence about the storage", |_| page.text().contains(words).then_some(()));
        // It is tried again now and then.
        page.wait(10, "project that is not saved", |_| (says(&page, "saved") == "failed").then_some(()));
        assert_eq!(nothing(&read(&taken_out(&page, folder.path()))), 2);
        page.screenshot("said");
        page.close();
    }
}

#[test]
fn an_archive_of_another_program_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("book.sonoseg.zip");
    std::fs::write(&path, b"PK\x03\x04 and so on").unwrap();
    let page = open("bad-archive", "");
    page.choose_files("#bring-back", &[&path]);
    page.wait(30, "notice", |_| {
        page.notices().iter().any(|text| text.contains("book.sonoseg.zip: it is no zip, or is cut short")).then_some(())
    });
    assert_eq!(says(&page, "saved"), "nothing");
    page.close();
}

#[test]
fn what_the_model_found_and_the_model_itself_are_there_after_a_reload() {
    let files = Files::new();
    let mut page = open("results", SILENT);
    page.choose_files("#open-model", &[&files.copied_model()]);
    uses(&page, "copied.safetensors");
    looked_at(&page);
    let found = |page: &Page| {
        page.press("End");
        page.wait(60, "needle on the last frame", |state: &State| {
            let last = state.number("frame") == state.number("frames").map(|count| count - 1.0);
            (last && state.text("predicted") == "seen").then(|| (tip(page), state.text("confidence").to_owned()))
        })
    };
    let before = found(&page);
    mark(&page, 1);
    saved(&page);
    // The place, with the model, is written once a second, and then the file of the model.
    std::thread::sleep(Duration::from_secs(5));
    page.reload();
    ready(&page);
    uses(&page, "copied.safetensors");
    let (tip, confidence) = found(&page);
    assert!(near(tip, before.0, 1e-9) && confidence == before.1, "{tip:?} {confidence} and {before:?}");
    page.press("a");
    page.wait(10, "accepted frame", |state| (state.text("answered") == "2").then_some(()));
    page.press("End");
    page.wait(10, "its standing", |state| (state.text("status") == "accepted").then_some(()));
    page.close();
}

#[test]
fn a_tab_that_is_killed_in_mid_stroke_loses_that_stroke_alone() {
    let way = [(40.0, 50.0), (80.0, 80.0), (120.0, 110.0)];
    let mut page = open("killed", "");
    mark(&page, 1);
    page.press("b");
    page.draw("pen", false, &way);
    let painted = page.wait(10, "painted frame", |state| {
        (state.text("status") == "corrected" && state.text("frame") == "1").then(|| state.number("overlayPixels"))
    });
    saved(&page);
    page.press("f");
    page.hold("pen", &way);
    page.wait(10, "half a stroke", |state| {
        (state.text("drawing") == "true" && state.text("frame") == "2").then_some(())
    });
    page.kill();
    ready(&page);
    page.wait(60, "answers after the end of the tab", |state| (state.text("answered") == "2").then_some(()));
    page.press("Home");
    page.press("f");
    page.wait(10, "the painted frame", |state| {
        (state.text("frame") == "1" && state.number("overlayPixels") == painted).then_some(())
    });
    page.press("f");
    page.wait(60, "the frame of the stroke", |state| {
        (state.text("frame") == "2" && matches!(state.text("status"), "open" | "predicted")).then_some(())
    });
    page.close();
}

/// A journal that says something of one clip again and again, in more than a megabyte.
fn long_journal() -> (String, Project) {
    let record = ClipRecord { name: "away.dcm".into(), frames: 50, height: 9, width: 9, answers: Default::default() };
    let clip = format!("{:064x}", 7);
    let mut text = [Journal::head(), &encode(&Entry::Opened { clip: clip.clone(), record }).unwrap()].concat();
    for at_ms in 0.. {
        if text.len() > 3 << 19 {
            break;
        }
        let verdict = if at_ms % 3 == 0 { Verdict::Nothing } else { Verdict::Excluded };
        let answer = Some(Answer::bare(verdict, By { at_ms, ..By::default() }));
        let edits = vec![Edit::Answer { clip: clip.clone(), frame: (at_ms % 50) as usize, answer }];
        text.push_str(&encode(&Entry::Do(Step { name: "said".into(), edits })).unwrap());
    }
    let project = Journal::read("journal", text.as_bytes()).unwrap().project;
    (text, project)
}

/// The folder of a project in the browser's storage.
const KEPT: &str = "navigator.storage.getDirectory().then(r => r.getDirectoryHandle('projects', { create: true })) \
     .then(p => p.getDirectoryHandle('0f8fad5b-d9cb-469f-a165-70867728950e', { create: true }))";

/// Put a journal there, and open the page with it.
fn open_with_journal(page: &mut Page, text: &str) {
    let written = page.script(&format!(
        "{KEPT}.then(p => p.getFileHandle('journal', {{ create: true }})).then(async f => {{ \
         const w = await f.createWritable(); await w.write({}); await w.close(); return true; }})",
        serde_json::to_string(text).unwrap()
    ));
    assert_eq!(written, true);
    page.reload();
    ready(page);
    page.wait(60, "kept project", |_| (says(page, "saved") == "saved").then_some(()));
}

#[test]
fn a_damaged_journal_is_opened_as_far_as_it_goes_and_kept_as_it_was() {
    let record = ClipRecord { name: "away.dcm".into(), frames: 50, height: 9, width: 9, answers: Default::default() };
    let clip = format!("{:064x}", 7);
    let said = |frame| {
        let answer = Some(Answer::bare(Verdict::Nothing, By::default()));
        let edits = vec![Edit::Answer { clip: clip.clone(), frame, answer }];
        encode(&Entry::Do(Step { name: "said".into(), edits })).unwrap()
    };
    let start = [Journal::head(), &encode(&Entry::Opened { clip: clip.clone(), record }).unwrap(), &said(3)].concat();
    let text = format!("{start}{}{}", said(4).replace("\"frame\":4", "\"frame\":9"), said(5));
    let mut page = open("damaged-journal", "");
    open_with_journal(&mut page, &text);
    let notices = page.notices();
    assert!(notices.iter().any(|notice| notice.contains("before its last 2 changes")), "{notices:?}");
    mark(&page, 1);
    saved(&page);
    let copies = page.script(&format!(
        "{KEPT}.then(async p => {{ const found = []; for await (const [name, file] of p.entries()) \
         if (name.startsWith('journal-damaged-')) found.push(await (await file.getFile()).text()); return found.join('|'); }})"
    ));
    assert_eq!(copies.as_str(), Some(text.as_str()));
    page.close();
}

#[test]
fn a_long_journal_begins_anew_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut page = open("long-journal", "");
    let (text, project) = long_journal();
    let size = |page: &Page| {
        let size = format!("{KEPT}.then(p => p.getFileHandle('journal')).then(f => f.getFile()).then(f => f.size)");
        page.script(&size).as_f64().unwrap()
    };
    open_with_journal(&mut page, &text);
    page.reload();
    ready(&page);
    page.wait(60, "kept project", |_| (says(&page, "saved") == "saved").then_some(()));
    assert!(size(&page) < 0.3 * text.len() as f64, "it is as long as before");
    page.save_into(folder.path());
    let again = read(&taken_out(&page, folder.path()));
    let clip = |project: &Project| project.document().clips.values().find(|clip| clip.name == "away.dcm").cloned();
    assert_eq!(clip(&again), clip(&project));
    assert_eq!(again.to_undo(), project.to_undo());
    page.close();
}
