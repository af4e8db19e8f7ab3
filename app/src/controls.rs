//! What buttons and keys do.

use leptos::html;
use leptos::prelude::*;

use crate::keys::Action;
use crate::messages::Output;
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
        Action::ToggleWait => viewer.view.wait.update(|wait| *wait = !*wait),
        Action::Zoom(by) => viewer.move_view(|view| view.zoomed(1.25_f64.powi(i32::from(by)), middle)),
        Action::Fit => viewer.fit(),
        Action::Pan(right, down) => {
            let by = (f64::from(right) * canvas.0 / 10.0, f64::from(down) * canvas.1 / 10.0);
            viewer.move_view(|view| view.panned(by));
        }
        Action::File(by) => show_neighbour(by, viewer, session),
        Action::OpenFiles => click(pickers.files),
        Action::OpenModel => click(pickers.model),
        Action::TakeOut => session.take_out(Output::Project),
        Action::Help => viewer.view.help.update(|help| *help = !*help),
        Action::Escape => {
            if viewer.view.help.get_untracked() {
                viewer.view.help.set(false);
            } else {
                viewer.notices.open.update(|notices| drop(notices.pop()));
            }
        }
    }
}

fn click(input: NodeRef<html::Input>) {
    if let Some(input) = input.get_untracked() {
        input.click();
    }
}

fn show_neighbour(by: i8, viewer: Viewer, session: Session) {
    let current = session.wanted();
    let next = viewer.media.files.with_untracked(|files| {
        let readable: Vec<u32> = files
            .iter()
            .filter(|line| !matches!(line.readable, crate::viewer::media::Readable::No(_)))
            .map(|line| line.file)
            .collect();
        let at = readable.iter().position(|file| Some(*file) == current)?;
        readable.get(at.checked_add_signed(isize::from(by))?).copied()
    });
    if let Some(file) = next {
        session.show(file);
    }
}
