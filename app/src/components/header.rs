//! The top line: name, opening files, the open one, which device runs the model, help.

use leptos::prelude::*;

use crate::components::place::Place;
use crate::controls::{Pickers, perform};
use crate::files::listed;
use crate::keys::Action;
use crate::session::Session;
use crate::viewer::Viewer;
use crate::viewer::notices::Stage;

/// The top line.
#[component]
pub fn Header() -> impl IntoView {
    let viewer = expect_context::<Viewer>();
    let session = expect_context::<Session>();
    let pickers = expect_context::<Pickers>();
    let press = move |action| perform(action, viewer, session, pickers);
    view! {
        <header>
            <h1>"sonoseg"</h1>
            <button class="primary" title="Open images, DICOM or video (Ctrl+O)" on:click=move |_| press(Action::OpenFiles)>
                "Open files\u{2026}"
            </button>
            <button title="Open a model file, .safetensors (Ctrl+Shift+O)" on:click=move |_| press(Action::OpenModel)>
                "Open model\u{2026}"
            </button>
            <input
                node_ref=pickers.files
                type="file"
                multiple
                hidden
                id="open-files"
                aria-label="Images, DICOM or video"
                on:change=move |_| {
                    if let Some(input) = pickers.files.get_untracked() {
                        session.open(listed(input.files()));
                        input.set_value("");
                    }
                }
            />
            <input
                node_ref=pickers.model
                type="file"
                accept=".safetensors"
                hidden
                id="open-model"
                aria-label="Model file"
                on:change=move |_| {
                    if let Some(input) = pickers.model.get_untracked() {
                        listed(input.files()).into_iter().for_each(|file| session.open_model(file));
                        input.set_value("");
                    }
                }
            />
            <Place />
            <span class="spacer"></span>
            <Show when=move || viewer.notices.update.get()>
                <button class="primary" title="Load the page again with the new version" on:click=|_| take_update()>
                    "New version"
                </button>
            </Show>
            <span class="warning">"Not for clinical use"</span>
            {move || device(viewer, session)}
            <button title="Keys (?)" aria-label="Keys" on:click=move |_| press(Action::Help)>"?"</button>
        </header>
    }
}

fn device(viewer: Viewer, session: Session) -> AnyView {
    if let Stage::Stopped(_) = viewer.notices.stage.get() {
        return view! { <button on:click=move |_| session.start_again()>"Start again"</button> }.into_any();
    }
    match viewer.findings.device.get() {
        None => view! { <span class="chip busy">"starting"</span> }.into_any(),
        Some(device) => {
            let (kind, name) = if device.gpu { ("WebGPU", format!(" {}", device.name)) } else { ("", device.name) };
            view! {
                <span class="chip" class:gpu=device.gpu title=device.reason>
                    <b>{kind}</b>
                    {name}
                </span>
            }
            .into_any()
        }
    }
}

/// `boot.js` knows of the version that waits.
fn take_update() {
    if let Ok(wanted) = web_sys::Event::new("sonoseg-take-update") {
        // Nobody can stop it.
        let _ = window().dispatch_event(&wanted);
    }
}
