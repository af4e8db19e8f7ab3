//! The name of the open file, its place in the list, and the way to its neighbours.

use leptos::prelude::*;

use crate::controls::{Pickers, perform};
use crate::keys::Action;
use crate::session::Session;
use crate::viewer::Viewer;

/// What stands in the top line of the open file.
#[component]
pub fn Place() -> impl IntoView {
    let viewer = expect_context::<Viewer>();
    let session = expect_context::<Session>();
    let pickers = expect_context::<Pickers>();
    let place = Memo::new(move |_| viewer.place());
    let button = move |by: i8, name: &'static str, path: &'static str| {
        let end = move || {
            let Some((_, place, count)) = place.get() else { return true };
            if by < 0 { place == 1 } else { place == count }
        };
        let press = move |_| perform(Action::File(by), viewer, session, pickers);
        view! {
            <button class="icon" title=name aria-label=name aria-disabled=move || end().to_string() on:click=press>
                <svg viewBox="0 0 24 24" aria-hidden="true">
                    <path d=path />
                </svg>
            </button>
        }
    };
    let name = move || viewer.media.clip.with(|clip| clip.as_ref().map(|clip| clip.name.clone()));
    view! {
        <nav class="open-file" aria-label="Open file">
            {button(-1, "Previous file (Page Up)", "M15 5l2 2-5 5 5 5-2 2-7-7z")}
            <span class="name" title=name>{move || name().unwrap_or_else(|| "No file is open".to_owned())}</span>
            <span class="quiet count">{move || place.get().map(|(_, place, count)| format!("{place} of {count}"))}</span>
            {button(1, "Next file (Page Down)", "M9 5l-2 2 5 5-5 5 2 2 7-7z")}
        </nav>
    }
}
