//! Play, step, speed, and where in the clip we are.

use leptos::prelude::*;

use crate::controls::{Pickers, perform};
use crate::finding;
use crate::keys::Action;
use crate::session::Session;
use crate::timeline::tally;
use crate::viewer::Viewer;

/// The buttons under the picture.
#[component]
pub fn Transport() -> impl IntoView {
    let viewer = expect_context::<Viewer>();
    let session = expect_context::<Session>();
    let pickers = expect_context::<Pickers>();
    let button = move |action: Action, name: &'static str, path: &'static str| {
        view! {
            <button class="icon" title=name aria-label=name on:click=move |_| perform(action, viewer, session, pickers)>
                <svg viewBox="0 0 24 24" aria-hidden="true">
                    <path d=path />
                </svg>
            </button>
        }
    };
    let count = move || viewer.media.frames();
    view! {
        <div class="transport">
            {button(Action::First, "First frame (Home)", "M6 5h2v14H6zM19 5v14l-10-7z")}
            {button(Action::Step(-1), "One frame back (D)", "M16 5v14l-9-7z")}
            <button
                class="icon play"
                title="Play or pause (Space)"
                aria-label=move || if viewer.view.playing.get() { "Pause" } else { "Play" }
                on:click=move |_| viewer.toggle_playing()
            >
                <svg viewBox="0 0 24 24" aria-hidden="true">
                    <path d=move || if viewer.view.playing.get() { "M7 5h4v14H7zM13 5h4v14h-4z" } else { "M8 5v14l11-7z" } />
                </svg>
            </button>
            {button(Action::Step(1), "One frame forward (F)", "M8 5v14l9-7z")}
            {button(Action::Last, "Last frame (End)", "M16 5h2v14h-2zM5 5v14l10-7z")}
            <span class="place">
                <b>{move || if count() == 0 { 0 } else { viewer.view.frame.get() + 1 }}</b>
                {move || format!(" / {}", count())}
                <span class="quiet">{move || time(viewer)}</span>
            </span>
            <button title="Speed (S)" on:click=move |_| perform(Action::CycleSpeed, viewer, session, pickers)>
                {move || format!("{}\u{d7}", viewer.view.speed.get())}
            </button>
            <label class="wait" title="Hold each frame until the model has looked at it (W)">
                <input
                    type="checkbox"
                    prop:checked=move || viewer.waits()
                    on:change=move |event| viewer.view.wait.set(Some(event_target_checked(&event)))
                />
                "Wait for the model"
            </label>
            <span class="spacer quiet tally">
                {move || {
                    let (looked_at, seen) = tally(&viewer.all_states());
                    let seen_in = viewer.findings.finding.with(|finding| finding::seen_in(finding, seen));
                    format!("{looked_at} of {}: {seen_in}", count())
                }}
            </span>
            {button(Action::Zoom(-1), "Zoom out (\u{2212})", "M5 11h14v2H5z")}
            {button(Action::Fit, "Fit the image (=)", "M3 5h18v14H3zM5 7v10h14V7zM8 10h8v4H8z")}
            {button(Action::Zoom(1), "Zoom in (+)", "M11 5h2v6h6v2h-6v6h-2v-6H5v-2h6z")}
            <Show when=|| document().fullscreen_enabled()>
                <button
                    class="icon"
                    title="Full screen"
                    aria-label="Full screen"
                    aria-pressed=move || viewer.view.full_screen.get().to_string()
                    on:click=move |_| perform(Action::FullScreen, viewer, session, pickers)
                >
                    <svg viewBox="0 0 24 24" aria-hidden="true">
                        <path d="M4 4h6v2H6v4H4zM14 4h6v6h-2V6h-4zM4 14h2v4h4v2H4zM18 14h2v6h-6v-2h4z" />
                    </svg>
                </button>
            </Show>
        </div>
    }
}

fn time(viewer: Viewer) -> String {
    let frame = viewer.view.frame.get();
    viewer.media.clip.with(|clip| match clip.as_ref() {
        Some(clip) if clip.frames > 1 => {
            let seconds = clip.times_us.get(frame).copied().unwrap_or_default() as f64 / 1e6;
            let guess = if clip.times_known { "" } else { " (15 fps assumed)" };
            format!("{seconds:.2} s{guess}")
        }
        _ => String::new(),
    })
}
