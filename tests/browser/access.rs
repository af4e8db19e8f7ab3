//! What keeps people out: axe-core looks at the page in every state.

use crate::chromium::{Graphics, Page, repository};
use crate::files::Files;
use crate::learner::{learning, mark, press_button, until_update, use_small_model};
use crate::mark::until;
use crate::scenarios::{predicted, ready};

/// What axe-core finds wrong with the page as it stands, a sentence each.
fn violations(page: &Page) -> Vec<String> {
    if page.script("typeof axe") != "object" {
        let path = repository().join("target/tools/node_modules/axe-core/axe.min.js");
        let axe = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}: `cargo xtask test browser` installs it", path.display()));
        page.script(&format!("{{ {axe}; }}"));
    }
    let found = page.script(
        "axe.run().then(found => JSON.stringify(found.violations.flatMap(wrong => wrong.nodes.map(node => \
         `${wrong.id}: ${wrong.help}: ${node.html} (${node.any.concat(node.all, node.none).map(why => why.message).join('; ')})`))))",
    );
    serde_json::from_str(found.as_str().unwrap()).unwrap()
}

/// States of the page, and what is wrong in them.
#[derive(Default)]
struct Looked {
    states: usize,
    wrong: Vec<String>,
}

impl Looked {
    fn at(&mut self, page: &Page, state: &str) {
        page.screenshot(state);
        self.states += 1;
        self.wrong.extend(violations(page).into_iter().map(|wrong| format!("{state}: {wrong}")));
    }

    /// On a desk, on a tablet and on a phone.
    fn at_every_size(&mut self, page: &Page, state: &str) {
        for (width, height) in [(390, 844), (820, 1180), (1280, 800)] {
            page.resize(width, height);
            page.wait(10, "layout", |_| (page.script("innerWidth") == width).then_some(()));
            self.at(page, &format!("{state}-{width}"));
        }
    }

    fn passes(self, states: usize) {
        assert_eq!(self.states, states, "a state was not looked at");
        assert!(self.wrong.is_empty(), "{} violations:\n{}", self.wrong.len(), self.wrong.join("\n"));
    }
}

#[test]
fn nobody_is_kept_out_while_marking() {
    let (files, mut looked) = (Files::new(), Looked::default());
    let page = Page::open("access", Graphics::Off, "?device=cpu");
    page.wait(60, "page", |_| (!page.text().is_empty()).then_some(()));
    looked.at(&page, "starting");
    ready(&page, "cpu");
    page.pause();
    page.press("Home");
    page.wait(60, "answer of the model", predicted);
    looked.at(&page, "predicted");
    for (key, name) in [("a", "accepted"), ("0", "nothing"), ("x", "excluded")] {
        page.press("Home");
        page.press(key);
        page.press("Home");
        until(&page, name, |state| state.text("status") == name || name == "accepted");
        looked.at(&page, name);
    }
    page.press("l");
    page.draw("mouse", false, &[(40.0, 50.0), (120.0, 110.0)]);
    until(&page, "corrected", |state| state.text("status") == "corrected");
    looked.at(&page, "line");
    for (key, name) in [("b", "brush"), ("e", "eraser"), ("g", "fill"), ("h", "look")] {
        page.press(key);
        looked.at(&page, name);
    }
    page.press("F1");
    looked.at(&page, "keys");
    page.press("Escape");
    page.click(".project summary");
    page.click(".project li .row button");
    looked.at(&page, "projects");
    page.choose_files("#open-files", &[&files.truncated_png(), &files.text_as_dicom(), &files.dicom(3)]);
    page.wait(60, "notice", |_| (!page.notices().is_empty()).then_some(()));
    until(&page, "clip", |state| state.text("clip") == "insertion.dcm");
    looked.at(&page, "notices");
    let [_, class, strange] = files.unets();
    page.choose_files("#open-model", &[&class]);
    page.wait(60, "model of a class", |_| page.text().contains("native-unet-class").then_some(()));
    looked.at(&page, "class");
    page.choose_files("#open-model", &[&strange]);
    until(&page, "strange picture", |state| state.text("predicted") == "unlike");
    looked.at(&page, "unlike");
    page.script("document.querySelectorAll('.off').forEach(button => button.click())");
    until(&page, "no clip", |state| state.text("clip").is_empty());
    looked.at(&page, "empty");
    looked.passes(16);
    page.close();
}

#[test]
fn nobody_is_kept_out_on_small_screens_or_where_the_worker_cannot_run() {
    let mut looked = Looked::default();
    let page = Page::open("access-small", Graphics::Off, "?device=cpu");
    ready(&page, "cpu");
    page.pause();
    for (width, height) in [(820, 1180), (390, 844), (844, 390)] {
        page.resize(width, height);
        page.wait(10, "layout", |_| (page.script("innerWidth") == width).then_some(()));
        looked.at(&page, &format!("{width}x{height}"));
    }
    page.close();
    let page = Page::open_with("access-stopped", Graphics::Off, "?device=cpu", "throw new Error('made to stop');");
    until(&page, "stopped worker", |state| state.text("state") == "stopped");
    looked.at(&page, "stopped");
    looked.passes(4);
}

#[test]
fn nobody_is_kept_out_while_a_model_learns() {
    let (folder, mut looked) = (tempfile::tempdir().unwrap(), Looked::default());
    let page = Page::open("access-learn", Graphics::Off, "?device=cpu&updates=12");
    looked.at_every_size(&page, "idle");
    use_small_model(&page, folder.path());
    mark(&page, 8);
    press_button(&page, "Learn from my frames\u{2026}");
    learning(&page, 300, "planned");
    page.script("document.querySelectorAll('.learn details').forEach(details => { details.open = true; })");
    looked.at_every_size(&page, "planned");
    press_button(&page, "Start");
    until_update(&page, 5);
    press_button(&page, "Pause");
    learning(&page, 120, "paused");
    looked.at_every_size(&page, "paused");
    press_button(&page, "Go on");
    learning(&page, 60, "learning");
    looked.at(&page, "learning");
    learning(&page, 300, "judged");
    looked.at_every_size(&page, "judged");
    press_button(&page, "Keep and use");
    learning(&page, 60, "idle");
    page.click(".learn .runs summary");
    looked.at_every_size(&page, "kept");
    looked.passes(16);
    page.close();
}
