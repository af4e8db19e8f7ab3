//! The frame of the page: provides viewer and session, lays out the parts, listens to keys and dropped files.

use leptos::ev;
use leptos::prelude::*;
use sonoseg_imaging::geometry::Detection;
use wasm_bindgen::JsCast;

use crate::clock::now;
use crate::components::canvas::Canvas;
use crate::components::display::Display;
use crate::components::files::Files;
use crate::components::header::Header;
use crate::components::keys::Keys;
use crate::components::model::Model;
use crate::components::notices::Notices;
use crate::components::project::Project;
use crate::components::readout::Readout;
use crate::components::speed::Speed;
use crate::components::strip::Strip;
use crate::components::transport::Transport;
use crate::controls::{self, Pickers};
use crate::files;
use crate::keys::{Action, Press, action};
use crate::messages::ModelInfo;
use crate::options::Options;
use crate::overlay::Overlay;
use crate::session::Session;
use crate::viewer::Viewer;
use crate::viewer::notices::Stage;

/// The whole page.
#[component]
pub fn App() -> impl IntoView {
    let viewer = Viewer::new();
    let options = options();
    let session = Session::start(viewer, options);
    let pickers = Pickers::default();
    provide_context(viewer);
    provide_context(session);
    provide_context(pickers);
    listen_to_keys(viewer, session, pickers);
    every_picture(viewer, session);
    view! {
        <div
            id="app"
            class:dropping=move || viewer.view.dropping.get()
            on:dragover=move |event| {
                event.prevent_default();
                viewer.view.dropping.set(true);
            }
            on:dragleave=move |event| {
                if event.related_target().is_none() {
                    viewer.view.dropping.set(false);
                }
            }
            on:drop=move |event| {
                event.prevent_default();
                viewer.view.dropping.set(false);
                let Some(dropped) = event.data_transfer() else { return };
                let (files, folders) = files::dropped(&dropped);
                for folder in folders {
                    viewer.notices.problem(format!("{folder} is a folder: drop the files in it."));
                }
                session.open(files);
            }
            data-state=move || state_name(viewer)
            data-device=move || viewer.findings.device.with(|d| d.as_ref().map(|d| if d.gpu { "webgpu" } else { "cpu" }))
            data-clip=move || viewer.media.clip.with(|clip| clip.as_ref().map(|clip| clip.name.clone()))
            data-size=move || viewer.media.clip.with(|clip| clip.as_ref().map(|clip| format!("{}x{}", clip.width, clip.height)))
            data-frames=move || viewer.media.clip.with(|clip| clip.as_ref().map_or(0, |clip| clip.frames)).to_string()
            data-frame=move || viewer.view.frame.get().to_string()
            data-playing=move || viewer.view.playing.get().to_string()
            data-overlay=move || viewer.shown_overlay().name().to_lowercase()
            data-predicted=move || predicted(viewer)
            data-notices=move || viewer.notices.count.get().to_string()
            data-tip-x=move || needle(viewer).map(|needle| needle.needle.tip.x.to_string())
            data-tip-y=move || needle(viewer).map(|needle| needle.needle.tip.y.to_string())
            data-entry-x=move || needle(viewer).map(|needle| needle.needle.entry.x.to_string())
            data-entry-y=move || needle(viewer).map(|needle| needle.needle.entry.y.to_string())
            data-confidence=move || needle(viewer).map(|needle| needle.confidence.to_string())
            data-overlay-pixels=move || overlay_pixels(viewer).to_string()
        >
            <Header />
            <main>
                <section class="stage" aria-label="Picture">
                    <Canvas />
                    <Notices />
                </section>
                <aside aria-label="Results and settings">
                    <Readout />
                    <Display />
                    <Speed />
                    <Model />
                    <Files />
                    <Project />
                </aside>
                <section class="time" aria-label="Time">
                    <Transport />
                    <Strip />
                </section>
            </main>
            <footer>
                <strong>"Not for clinical use."</strong>
                <span>"Files stay on this device; 0 bytes sent."</span>
                <span class="quiet">{move || viewer.findings.model.with(|model| caution(model.as_ref()))}</span>
            </footer>
            <Keys />
        </div>
    }
}

/// What the address asks for.
fn options() -> Options {
    let query = window().location().search().and_then(|query| web_sys::UrlSearchParams::new_with_str(&query));
    Options::of(|name| query.as_ref().ok()?.get(name))
}

fn caution(model: Option<&ModelInfo>) -> String {
    let learned = model.map(|model| model.trained_on.as_str()).filter(|data| !data.is_empty());
    learned.map_or_else(
        || "Predictions can be wrong.".to_owned(),
        |data| format!("Predictions can be wrong: this model was trained on {}.", data.trim_end_matches('.')),
    )
}

fn state_name(viewer: Viewer) -> &'static str {
    match viewer.notices.stage.get() {
        Stage::Starting(_) => "starting",
        Stage::Stopped(_) => "stopped",
        Stage::Ready if viewer.findings.model.with(Option::is_none) => "no-model",
        Stage::Ready => "ready",
    }
}

fn needle(viewer: Viewer) -> Option<Detection> {
    viewer.shown().and_then(|found| found.needle()).map(|(detection, _)| detection)
}

/// Whether the frame on the screen was looked at: `waiting`, `seen`, `none` or `failed`.
fn predicted(viewer: Viewer) -> &'static str {
    use crate::timeline::FrameState;
    match viewer.shown_state() {
        None | Some(FrameState::Waiting) => "waiting",
        Some(FrameState::Seen(_)) => "seen",
        Some(FrameState::NotSeen) => "none",
        Some(FrameState::Unlike) => "unlike",
        Some(FrameState::Failed) => "failed",
    }
}

fn overlay_pixels(viewer: Viewer) -> usize {
    let shown = viewer.shown_overlay() != Overlay::Hidden;
    viewer.shown().filter(|_| shown).map_or(0, |found| found.mask_pixels)
}

/// Before every repaint: the next frame when it is due, and work for the worker.
fn every_picture(viewer: Viewer, session: Session) {
    request_animation_frame(move || {
        viewer.advance(now());
        session.pump();
        every_picture(viewer, session);
    });
}

fn listen_to_keys(viewer: Viewer, session: Session, pickers: Pickers) {
    let down = window_event_listener(ev::keydown, move |event| {
        let (key, code) = (event.key(), event.code());
        let press = Press {
            key: &key,
            code: &code,
            shift: event.shift_key(),
            control: event.ctrl_key() || event.meta_key(),
            alt: event.alt_key(),
        };
        let Some(action) = action(press, viewer.view.letters.get_untracked()) else { return };
        // The open sheet has the keyboard for itself.
        let shut_out = viewer.view.help.get_untracked() && !matches!(action, Action::Help | Action::Escape);
        let focus = event.target().and_then(|target| target.dyn_into::<web_sys::Element>().ok());
        if shut_out || focus.as_ref().is_some_and(|focus| belongs_to(focus, action)) {
            return;
        }
        let on_strip = focus.is_some_and(|focus| focus.class_list().contains("strip"));
        let action = if on_strip { action.on_strip() } else { action };
        event.prevent_default();
        if event.repeat() && !action.repeats() {
            return;
        }
        if action == Action::Peek {
            viewer.view.peek.set(true);
        } else {
            controls::perform(action, viewer, session, pickers);
        }
    });
    let up = window_event_listener(ev::keyup, move |event| {
        if event.key().eq_ignore_ascii_case("m") {
            viewer.view.peek.set(false);
        }
    });
    let blur = window_event_listener(ev::blur, move |_| viewer.view.peek.set(false));
    on_cleanup(move || {
        down.remove();
        up.remove();
        blur.remove();
    });
}

/// Keys that the focused control needs itself: a button its Space, a slider its arrows, a text field everything.
fn belongs_to(focus: &web_sys::Element, action: Action) -> bool {
    let tag = focus.tag_name().to_lowercase();
    let kind = focus.get_attribute("type").unwrap_or_default();
    match (tag.as_str(), kind.as_str()) {
        ("input", "range") => matches!(action, Action::Step(_) | Action::First | Action::Last | Action::File(_)),
        ("input", "checkbox") | ("button" | "summary" | "select", _) => action == Action::PlayPause,
        ("input" | "textarea", _) => true,
        _ => false,
    }
}
