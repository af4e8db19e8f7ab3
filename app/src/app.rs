//! The frame of the page: provides viewer and session, lays out the parts, listens to keys and dropped files.

use leptos::ev;
use leptos::prelude::*;
use wasm_bindgen::JsCast;

use crate::annotate::Tool;
use crate::clock::now;
use crate::components::answer::Answer;
use crate::components::canvas::Canvas;
use crate::components::display::Display;
use crate::components::files::Files;
use crate::components::header::Header;
use crate::components::keys::Keys;
use crate::components::learn::Learn;
use crate::components::model::Model;
use crate::components::notices::Notices;
use crate::components::project::Project;
use crate::components::readout::Readout;
use crate::components::speed::Speed;
use crate::components::strip::Strip;
use crate::components::tools::Tools;
use crate::components::transport::Transport;
use crate::controls::{self, Pickers};
use crate::files;
use crate::keys::{Action, Mode, Press, action, typed};
use crate::marking;
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
    marking::recall_name(viewer);
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
                session.open_dropped(files, folders);
            }
            data-state=move || state_name(viewer)
            data-device=move || viewer.findings.device.with(|d| d.as_ref().map(|d| if d.gpu { "webgpu" } else { "cpu" }))
            data-clip=move || viewer.media.clip.with(|clip| clip.as_ref().map(|clip| clip.name.clone()))
            data-file=move || viewer.place().map(|(_, place, count)| format!("{place} of {count}"))
            data-size=move || viewer.media.clip.with(|clip| clip.as_ref().map(|clip| format!("{}x{}", clip.width, clip.height)))
            data-frames=move || viewer.media.frames().to_string()
            data-frame=move || viewer.view.frame.get().to_string()
            data-view=move || viewer.view.transform.with(|view| format!("{} {} {}", view.scale, view.left, view.top))
            data-playing=move || viewer.view.playing.get().to_string()
            data-overlay=move || viewer.shown_overlay().name().to_lowercase()
            data-screen=move || if viewer.view.full_screen.get() { "full" } else { "window" }
            data-predicted=move || predicted(viewer)
            data-notices=move || viewer.notices.count.get().to_string()
            data-tip-x=move || viewer.line().map(|line| line.needle.tip.x.to_string())
            data-tip-y=move || viewer.line().map(|line| line.needle.tip.y.to_string())
            data-entry-x=move || viewer.line().map(|line| line.needle.entry.x.to_string())
            data-entry-y=move || viewer.line().map(|line| line.needle.entry.y.to_string())
            data-confidence=move || viewer.line().and_then(|line| Some(line.detection?.confidence.to_string()))
            data-overlay-pixels=move || overlay_pixels(viewer).to_string()
        >
            <Header />
            // Two elements say how the page stands: one of Leptos has at most 26 attributes.
            <main
                data-status=move || viewer.standing().map(|standing| standing.name())
                data-answered=move || viewer.answered().to_string()
                data-tool=move || viewer.tool().name().to_lowercase()
                data-brush=move || viewer.tools.size(viewer.tool()).get().to_string()
                data-drawing=move || viewer.tools.hand.with(|hand| hand.is_drawing()).to_string()
                data-undo=move || viewer.annotations.project.with(|project| project.to_undo().map(str::to_owned))
                data-redo=move || viewer.annotations.project.with(|project| project.to_redo().map(str::to_owned))
            >
                <Tools />
                <section class="stage" aria-label="Picture">
                    <Canvas />
                    <Notices />
                </section>
                <aside aria-label="Results and settings">
                    <Readout />
                    <Answer />
                    <Learn />
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

/// What the model said of the frame on the screen: `waiting`, `seen`, `none`, `unlike` or `failed`.
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

/// Pixels of the mask that is shown: a person's, or else the model's.
fn overlay_pixels(viewer: Viewer) -> usize {
    if viewer.shown_overlay() == Overlay::Hidden {
        return 0;
    }
    match viewer.drawn() {
        Some(drawn) => drawn.mask_pixels,
        None => viewer.shown().map_or(0, |found| found.marked(viewer.view.threshold.get())),
    }
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
        let focus = event.target().and_then(|target| target.dyn_into::<web_sys::Element>().ok());
        let on_strip = focus.as_ref().is_some_and(|focus| focus.class_list().contains("strip"));
        let mode = Mode {
            letters: viewer.view.letters.get_untracked(),
            line: untrack(|| viewer.tool()) == Tool::Line,
            taken: !on_strip && marking::is_taken(viewer),
        };
        let Some(action) = with_press(&event, |press| action(press, mode)) else { return };
        // The open sheet has the keyboard for itself.
        let shut_out = viewer.view.help.get_untracked() && !matches!(action, Action::Help | Action::Escape);
        if shut_out || focus.as_ref().is_some_and(|focus| belongs_to(focus, action)) {
            return;
        }
        if let Some(field) = focus.filter(|_| action == Action::TakeOut).and_then(|focus| focus.dyn_into().ok()) {
            finish_typing(&field);
        }
        event.prevent_default();
        if event.repeat() && !action.repeats() {
            return;
        }
        match action {
            Action::Peek => viewer.view.peek.set(true),
            // With a tool in hand the same key moves the picture while it is held; it plays when the picture did not move.
            Action::PlayPause if untrack(|| viewer.tool()).marks() => {
                viewer.tools.moved.set_value(false);
                viewer.tools.moving.set(true);
            }
            action => controls::perform(action, viewer, session, pickers),
        }
    });
    let up = window_event_listener(ev::keyup, move |event| {
        let key = event.key();
        if with_press(&event, |press| typed(press).eq_ignore_ascii_case("m")) {
            viewer.view.peek.set(false);
        } else if key == " " && viewer.tools.moving.get_untracked() {
            viewer.tools.moving.set(false);
            if !viewer.tools.moved.get_value() {
                viewer.toggle_playing();
            }
        } else if key.starts_with("Arrow") {
            marking::settle_keys(viewer);
        }
    });
    let blur = window_event_listener(ev::blur, move |_| {
        viewer.view.peek.set(false);
        viewer.tools.moving.set(false);
        marking::settle_keys(viewer);
    });
    let update = window_event_listener_untyped("sonoseg-update", move |_| viewer.notices.update.set(true));
    let screen = window_event_listener_untyped("fullscreenchange", move |_| {
        viewer.view.full_screen.set(document().fullscreen_element().is_some());
    });
    on_cleanup(move || {
        update.remove();
        screen.remove();
        down.remove();
        up.remove();
        blur.remove();
    });
}

/// What the rules of the keys make of an event.
fn with_press<T>(event: &web_sys::KeyboardEvent, rule: impl FnOnce(Press<'_>) -> T) -> T {
    let (key, code) = (event.key(), event.code());
    rule(Press {
        key: &key,
        code: &code,
        shift: event.shift_key(),
        control: event.ctrl_key() || event.meta_key(),
        alt: event.alt_key(),
        alt_graph: event.get_modifier_state("AltGraph"),
    })
}

/// Keys that the focused control needs itself: a button its Space, a slider its arrows, a text field everything.
fn belongs_to(focus: &web_sys::Element, action: Action) -> bool {
    let tag = focus.tag_name().to_lowercase();
    let kind = focus.get_attribute("type").unwrap_or_default();
    match (tag.as_str(), kind.as_str()) {
        ("input", "range") => {
            matches!(action, Action::Step(_) | Action::Nudge(..) | Action::First | Action::Last | Action::File(_))
        }
        // The button of the tool in hand has done its part: Enter is for the tool.
        ("button", _) if action == Action::PlaceLine && focus.has_attribute("data-choose") => {
            focus.get_attribute("aria-pressed").as_deref() != Some("true")
        }
        ("input", "checkbox") | ("button" | "summary", _) => matches!(action, Action::PlayPause | Action::PlaceLine),
        // What is typed there has no other use for it, and the browser would save the page.
        ("input" | "textarea" | "select", _) => action != Action::TakeOut,
        _ => false,
    }
}

/// What was typed into a field counts before the project is taken out.
fn finish_typing(field: &web_sys::HtmlElement) {
    // A browser that keeps the focus there keeps the old words, too.
    let _ = field.blur();
}
