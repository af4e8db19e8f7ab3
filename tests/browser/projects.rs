//! What people mark is kept, comes back after a reload, and can be taken out and brought back.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::chromium::{Graphics, Page};
use crate::files::Files;
use sonoseg_imaging::annotation::{Project, Verdict};
use sonoseg_imaging::archive::Archive;

/// The browser's storage takes nothing.
const FULL: &str = "FileSystemSyncAccessHandle.prototype.write = () => \
     { throw new DOMException('no room', 'QuotaExceededError'); };";

/// The browser has no storage of this kind, as in a private window.
const PRIVATE: &str =
    "StorageManager.prototype.getDirectory = () => Promise.reject(new DOMException('no', 'SecurityError'));";

fn open(name: &str, before_worker: &'static str) -> Page {
    let page = Page::open_with(name, Graphics::Off, "?device=cpu", before_worker);
    ready(&page);
    page
}

fn ready(page: &Page) {
    page.wait(300, "ready page", |state| {
        (state.text("state") == "ready" && state.number("frames") > Some(0.0)).then_some(())
    });
    page.pause();
}

/// What the project panel says.
fn says(page: &Page, attribute: &str) -> String {
    page.part(".project").text(attribute).to_owned()
}

fn saved(page: &Page) {
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
fn taken_out(page: &Page, folder: &Path) -> PathBuf {
    page.click(".project .row button");
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

fn read(archive: &Path) -> Project {
    Archive::open("taken out", std::fs::read(archive).unwrap()).unwrap().project().unwrap().0
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
    let page = open("take-out", "");
    page.save_into(folder.path());
    mark(&page, 4);
    looked_at(&page);
    saved(&page);
    let archive = taken_out(&page, folder.path());
    let project = read(&archive);
    assert_eq!(nothing(&project), 4);
    assert!(page.text().contains("Taken out"), "the page does not say when it was taken out");
    page.close();

    let fresh = open("bring-back", "");
    fresh.choose_files("#bring-back", &[&archive]);
    fresh.wait(120, "project", |_| (!says(&fresh, "project").is_empty()).then_some(()));
    looked_at(&fresh);
    let again = tempfile::tempdir().unwrap();
    fresh.save_into(again.path());
    assert_eq!(read(&taken_out(&fresh, again.path())), project);
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
