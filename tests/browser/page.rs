//! What the page says of its files and how it lies on the screen.

use crate::chromium::{Graphics, Page};
use crate::files::Files;

/// Ready to work on the CPU, with the clip that comes with the app standing still.
fn ready(name: &str) -> Page {
    let page = Page::open(name, Graphics::Off, "?device=cpu");
    page.wait(300, "ready page", |state| (state.text("state") == "ready").then_some(()));
    page.pause();
    page
}

/// Wait until the open file has a name and a place.
fn open(page: &Page, name: &str, place: &str) {
    page.wait(60, &format!("{name}, {place}"), |state| {
        (state.text("clip") == name && state.text("file") == place).then_some(())
    });
}

fn shown(page: &Page, selector: &str) -> String {
    page.script(&format!("document.querySelector('{selector}')?.innerText ?? ''"))
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn the_open_file_is_named_and_what_was_found_survives_another_file() {
    let files = Files::new();
    let page = ready("place");
    let dicom = files.dicom(4);
    page.choose_files("#open-files", &[&dicom, &files.mp4(4)]);
    open(&page, "insertion.dcm", "2 of 3");
    assert!(shown(&page, ".open-file").contains("insertion.dcm"));
    let results = ".file[aria-current] small";
    page.wait(120, "all frames of the clip", |_| shown(&page, results).contains("of 4 frames").then_some(()));
    page.wait(120, "all frames of the clip", |_| (!shown(&page, results).contains("so far")).then_some(()));
    let found = shown(&page, results);
    page.press("PageDown");
    open(&page, "insertion.mp4", "3 of 3");
    page.press("PageUp");
    open(&page, "insertion.dcm", "2 of 3");
    assert_eq!(shown(&page, results), found, "the results of the clip are gone");
    assert_ne!(page.state().text("predicted"), "waiting", "the frame is looked at again");
    // After a click on the strip the same key still means the next file.
    page.script("document.querySelector('.strip').focus()");
    page.press("PageDown");
    open(&page, "insertion.mp4", "3 of 3");
    page.script("document.querySelector('.off[aria-label*=\"insertion.mp4\"]').click()");
    open(&page, "insertion.dcm", "2 of 2");
    page.close();
}
