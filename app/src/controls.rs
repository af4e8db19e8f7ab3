//! What buttons and keys do.

use leptos::html;
use leptos::prelude::*;
use wasm_bindgen::JsCast;

use crate::annotate::Tool;
use crate::keys::Action;
use crate::listing::{self, FileLine, Readable};
use crate::marking;
use crate::messages::Output;
use crate::messages::post::reason;
use crate::playback::next_speed;
use crate::session::Session;
use crate::viewer::Viewer;

/// The hidden file inputs behind the open buttons.
#[derive(Clone, Copy, Default)]
pub(crate) struct Pickers {
    pub(crate) files: NodeRef<html::Input>,
    pub(crate) model: NodeRef<html::Input>,
}

/// Do it.
pub(crate) fn perform(action: Action, viewer: Viewer, session: Session, pickers: Pickers) {
    let canvas = viewer.view.canvas.get_untracked();
    let middle = (canvas.0 / 2.0, canvas.1 / 2.0);
    match action {
        Action::Step(by) => viewer.step(by),
        Action::First => viewer.go_to(0),
        Action::Last => viewer.go_to(usize::MAX),
        Action::PlayPause => viewer.toggle_playing(),
        Action::CycleOverlay => {
            let choices = untrack(|| viewer.overlays());
            viewer.view.overlay.update(|overlay| *overlay = overlay.next(&choices));
        }
        Action::Peek => {}
        Action::Opacity(by) => {
            viewer.view.opacity.update(|opacity| *opacity = (*opacity + 0.1 * f64::from(by)).clamp(0.1, 1.0));
        }
        Action::CycleSpeed => {
            viewer.view.speed.update(|speed| *speed = next_speed(*speed));
            viewer.view.restart_clock();
        }
        Action::ToggleWait => viewer.view.wait.set(Some(!untrack(|| viewer.waits()))),
        Action::Zoom(by) => viewer.move_view(|view| view.zoomed(1.25_f64.powi(i32::from(by)), middle)),
        Action::Fit => viewer.fit(),
        Action::Pan(right, down) => {
            let by = (f64::from(right) * canvas.0 / 10.0, f64::from(down) * canvas.1 / 10.0);
            viewer.move_view(|view| view.panned(by));
        }
        Action::File(by) => show_neighbour(by, viewer, session),
        Action::FullScreen => change_screen(viewer),
        Action::OpenFiles => click(pickers.files),
        Action::OpenModel => click(pickers.model),
        Action::TakeOut => session.take_out(Output::Project),
        // While another file is on its way, it would be about the wrong one.
        Action::Answer(_) | Action::NextOpen if session.is_changing() => {}
        Action::Answer(reply) => {
            if marking::reply(viewer, reply) {
                go_on(viewer, session);
            }
        }
        Action::NextOpen => {
            if !marking::next_open(viewer) && !show_open_file(viewer, session) {
                viewer.tools.said.set("No other frame is without an answer.".to_owned());
            }
        }
        Action::Undo => marking::undo(viewer, false),
        Action::Redo => marking::undo(viewer, true),
        Action::Tool(tool) => marking::choose(viewer, tool),
        Action::Take(handle) => marking::take(viewer, handle),
        Action::Nudge(right, down) => marking::nudge(viewer, [f64::from(right), f64::from(down)]),
        Action::PlaceLine => marking::place_line(viewer),
        Action::Turn => marking::turn(viewer),
        Action::Size(by) => marking::resize(viewer, by),
        Action::CycleClass => {
            let classes = untrack(|| viewer.classes());
            viewer.tools.class.update(|class| *class = *class % classes + 1);
        }
        Action::Help => viewer.view.help.update(|help| *help = !*help),
        Action::Escape => escape(viewer),
    }
}

/// One thing at a time: the sheet, what is being drawn, the newest notice, the tool.
fn escape(viewer: Viewer) {
    if viewer.view.help.get_untracked() {
        viewer.view.help.set(false);
    } else if marking::cancel(viewer) {
        viewer.tools.said.set("Given up.".to_owned());
    } else if viewer.notices.open.with_untracked(|notices| !notices.is_empty()) {
        viewer.notices.open.update(|notices| drop(notices.pop()));
    } else {
        marking::choose(viewer, Tool::Look);
    }
}

/// The next frame comes by itself, and after a still the next file.
fn go_on(viewer: Viewer, session: Session) {
    if viewer.media.frame_count() == 1 {
        show_neighbour(1, viewer, session);
    } else {
        viewer.step(1);
    }
}

/// Give the keyboard to the picture.
pub(crate) fn focus_picture() {
    let picture = document().query_selector(".stage > canvas").ok().flatten();
    if let Some(picture) = picture.and_then(|picture| picture.dyn_into::<web_sys::HtmlElement>().ok()) {
        // Only a browser without focus at all refuses it.
        let _ = picture.focus();
    }
}

/// What the browser does of it, it tells by an event.
fn change_screen(viewer: Viewer) {
    if viewer.view.full_screen.get_untracked() {
        document().exit_fullscreen();
    } else if let Some(Err(error)) = document().document_element().map(|page| page.request_fullscreen()) {
        viewer.notices.problem(format!("The browser did not give the whole screen ({}).", reason(&error)));
    }
}

/// Ask for files.
pub(crate) fn click(input: NodeRef<html::Input>) {
    if let Some(input) = input.get_untracked() {
        input.click();
    }
}

fn show_neighbour(by: i8, viewer: Viewer, session: Session) {
    let next = |file| viewer.media.files.with_untracked(|files| listing::neighbour(files, file, by));
    if let Some(file) = session.wanted().and_then(next) {
        session.show(file);
    }
}

/// Show the next file, round in a circle, with a frame that nobody answered for; false where there is none.
fn show_open_file(viewer: Viewer, session: Session) -> bool {
    let answered = |line: &FileLine| match &line.readable {
        Readable::Yes(clip) => viewer.annotations.project.with_untracked(|project| {
            let record = project.document().clips.get(&clip.to_string());
            record.is_some_and(|record| record.answers.len() == record.frames)
        }),
        Readable::Unknown | Readable::No(_) => false,
    };
    let next =
        |file| viewer.media.files.with_untracked(|files| listing::next_round(files, file, |line| !answered(line)));
    let next = session.wanted().and_then(next);
    next.into_iter().for_each(|file| session.show(file));
    next.is_some()
}
