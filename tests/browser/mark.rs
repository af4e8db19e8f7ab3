//! What an annotator does: lines, strokes, answers by one key, undo, with mouse, pen and keys.

use crate::chromium::{Graphics, Page, State};
use crate::files::Files;
use crate::scenarios::{predicted, ready};
use headless_chrome::browser::tab::ModifierKey;

/// A line on the bundled clip, away from the needle that is there.
const LINE: [(f64, f64); 3] = [(40.0, 50.0), (80.0, 80.0), (120.0, 110.0)];

/// The bundled clip at its first frame, with the model's answer for it.
fn marking(name: &str) -> Page {
    let page = Page::open(name, Graphics::Off, "?device=cpu");
    ready(&page, "cpu");
    page.pause();
    page.press("Home");
    page.wait(60, "answer for the first frame", |state| predicted(state).filter(|()| state.text("frame") == "0"));
    page
}

pub(crate) fn until(page: &Page, what: &str, is: impl Fn(&State) -> bool) {
    page.wait(60, what, |state| is(state).then_some(()));
}

/// Where the tip of the line on the screen is.
pub(crate) fn tip(page: &Page) -> (f64, f64) {
    let state = page.state();
    (state.number("tipX").unwrap(), state.number("tipY").unwrap())
}

pub(crate) fn near(a: (f64, f64), b: (f64, f64), tolerance: f64) -> bool {
    (a.0 - b.0).hypot(a.1 - b.1) <= tolerance
}

#[test]
fn a_line_is_drawn_moved_by_keys_undone_and_redone() {
    let page = marking("line");
    let found = tip(&page);
    assert_eq!(page.state().text("status"), "predicted");
    page.press("l");
    page.draw("mouse", false, &LINE);
    until(&page, "corrected frame", |state| state.text("status") == "corrected" && state.text("answered") == "1");
    assert!(near(tip(&page), LINE[2], 1.0), "the tip is where the pointer was let go: {:?}", tip(&page));
    assert!(page.state().number("overlayPixels") > Some(100.0), "a line has its mask");
    page.screenshot("drawn");
    let drawn = tip(&page);
    page.press("ArrowRight");
    page.press_with("ArrowDown", &[ModifierKey::Shift]);
    until(&page, "nudged tip", |state| state.text("drawing") == "false" && state.text("frame") == "0");
    assert!(near(tip(&page), (drawn.0 + 1.0, drawn.1 + 10.0), 1e-6), "{:?} from {drawn:?}", tip(&page));
    // Two keys, two steps; the line is one more.
    for expected in [(drawn.0 + 1.0, drawn.1), drawn] {
        page.press_with("z", &[ModifierKey::Ctrl]);
        page.wait(10, "undone nudge", |_| near(tip(&page), expected, 1e-6).then_some(()));
    }
    page.press_with("z", &[ModifierKey::Ctrl]);
    until(&page, "frame as the model has it", |state| {
        state.text("status") == "predicted" && state.text("undo").is_empty()
    });
    assert!(near(tip(&page), found, 1e-6));
    page.press_with("z", &[ModifierKey::Ctrl, ModifierKey::Shift]);
    until(&page, "line again", |state| state.text("status") == "corrected");
    // Two clicks are a line, too, and Esc gives half a line up.
    page.press("f");
    until(&page, "next frame", |state| state.text("frame") == "1");
    page.draw("mouse", false, &LINE[..1]);
    until(&page, "half a line", |state| state.text("drawing") == "true");
    page.press("Escape");
    until(&page, "no line", |state| state.text("drawing") == "false" && state.text("status") != "corrected");
    page.draw("mouse", false, &LINE[..1]);
    page.draw("mouse", false, &LINE[2..]);
    until(&page, "line of two clicks", |state| state.text("status") == "corrected" && state.text("answered") == "2");
    // Another model changes nothing that a person said.
    let files = Files::new();
    let before = tip(&page);
    page.choose_files("#open-model", &[&files.copied_model()]);
    page.wait(60, "copied model", |state| predicted(state).filter(|()| page.text().contains("copied.safetensors")));
    assert_eq!(page.state().text("status"), "corrected");
    assert!(near(tip(&page), before, 1e-9));
    page.close();
}

#[test]
fn a_pen_paints_a_needle_and_the_line_follows() {
    let page = marking("brush");
    // What the model found is not what is painted on here.
    page.press("0");
    page.press("Home");
    until(&page, "frame without a needle", |state| state.text("status") == "nothing" && state.text("frame") == "0");
    assert_eq!(page.state().text("overlayPixels"), "0");
    page.press("b");
    page.press("]");
    until(&page, "larger brush", |state| state.text("tool") == "brush" && state.number("brush") > Some(8.0));
    page.draw("pen", false, &LINE);
    until(&page, "painted needle", |state| state.text("status") == "corrected");
    assert!(near(tip(&page), LINE[2], 4.0), "the line is fitted to what was painted: {:?}", tip(&page));
    let painted = page.state().number("overlayPixels").unwrap();
    page.screenshot("painted");
    page.draw("pen", true, &LINE[1..]);
    until(&page, "erased half", |state| state.number("overlayPixels") < Some(0.8 * painted));
    assert!(near(tip(&page), LINE[1], 12.0), "the line follows: {:?}", tip(&page));
    page.press_with("z", &[ModifierKey::Ctrl]);
    until(&page, "stroke taken back", |state| state.number("overlayPixels") == Some(painted));
    // The eraser has a size of its own.
    let brush = page.state().number("brush");
    page.press("e");
    until(&page, "eraser", |state| state.text("tool") == "eraser" && state.number("brush") != brush);
    page.press("[");
    page.press("b");
    until(&page, "brush as it was", |state| state.text("tool") == "brush" && state.number("brush") == brush);
    page.press("g");
    page.draw("mouse", true, &LINE[..1]);
    until(&page, "emptied area", |state| state.text("overlayPixels") == "0");
    page.close();
}

#[test]
fn answers_take_one_key_each_and_the_next_frame_comes_by_itself() {
    let mut page = marking("answers");
    let answers = [("a", "accepted"), ("0", "nothing"), ("x", "excluded"), ("r", "excluded")];
    for (frame, (key, _)) in answers.iter().enumerate() {
        page.wait(60, "answer of the model", |state| {
            predicted(state).filter(|()| state.number("frame") == Some(frame as f64))
        });
        page.press(key);
    }
    until(&page, "four answers", |state| state.text("answered") == "4" && state.text("frame") == "4");
    page.press("Home");
    for (frame, (_, status)) in answers.iter().enumerate() {
        until(&page, status, |state| state.number("frame") == Some(frame as f64) && state.text("status") == *status);
        page.press("f");
    }
    page.press("Home");
    page.press("n");
    until(&page, "first frame without an answer", |state| state.text("frame") == "4");
    page.screenshot("strip");
    // The same key on a keyboard with Cyrillic letters, and undo there.
    page.wait(60, "answer of the model", predicted);
    page.press_at("\u{444}", "KeyA");
    until(&page, "fifth answer", |state| state.text("answered") == "5" && state.text("frame") == "5");
    page.press_with("z", &[ModifierKey::Ctrl]);
    until(&page, "taken back where it was", |state| state.text("answered") == "4" && state.text("frame") == "4");
    page.press("Home");
    page.press("Delete");
    until(&page, "open frame", |state| state.text("status") == "predicted" && state.text("answered") == "3");
    // A name that was given stands beside what is said from then on, also after a reload.
    page.script(
        "{ const name = document.querySelector('.your-name input'); name.value = 'Ada'; \
         name.dispatchEvent(new Event('change', { bubbles: true })); }",
    );
    page.press("a");
    page.press("Home");
    page.wait(10, "name", |_| page.text().contains("By Ada").then_some(()));
    page.wait(10, "saved project", |_| (page.part(".project").text("saved") == "saved").then_some(()));
    page.reload();
    ready(&page, "cpu");
    until(&page, "answers after a reload", |state| state.text("answered") == "4");
    assert_eq!(page.script("document.querySelector('.your-name input').value").as_str(), Some("Ada"));
    page.close();
}

#[test]
fn stills_and_classes_are_answered_for_too() {
    let files = Files::new();
    let page = marking("stills");
    let stills = files.stills(3);
    page.choose_files("#open-files", &stills.iter().map(|still| still.as_path()).collect::<Vec<_>>());
    for still in 0..3 {
        let name = format!("still-{still}.png");
        page.wait(60, &name, |state| predicted(state).filter(|()| state.text("clip") == name));
        page.press("0");
    }
    until(&page, "last still", |state| state.text("status") == "nothing" && state.text("clip") == "still-2.png");
    let [_, class, _] = files.unets();
    page.choose_files("#open-model", &[&class]);
    page.wait(60, "model of a class", |_| page.text().contains("native-unet-class").then_some(()));
    page.press("l");
    page.press("b");
    until(&page, "a brush and no line", |state| state.text("tool") == "brush");
    page.draw("mouse", false, &LINE);
    until(&page, "painted class", |state| {
        state.text("status") == "corrected" && state.number("overlayPixels") > Some(0.0)
    });
    assert!(page.state().text("tipX").is_empty(), "an area has no line");
    page.screenshot("class");
    page.close();
}
