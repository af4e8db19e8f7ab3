//! The files that were opened; those that cannot be read say why.

use leptos::prelude::*;

use crate::engine::Engine;
use crate::viewer::{FileLine, Readable, Viewer};

/// The file list.
#[component]
pub fn Files() -> impl IntoView {
    let viewer = expect_context::<Viewer>();
    view! {
        <section class="panel files" aria-labelledby="files-title">
            <h2 id="files-title">"Files"</h2>
            <ul>
                <For each=move || viewer.files.get() key=|line| (line.file, line.readable.clone()) children=line />
            </ul>
        </section>
    }
}

fn line(line: FileLine) -> impl IntoView {
    let viewer = expect_context::<Viewer>();
    let engine = expect_context::<Engine>();
    let file = line.file;
    let current = move || viewer.clip.with(|clip| clip.as_ref().is_some_and(|clip| clip.file == file));
    let (bad, hint) = match line.readable {
        Readable::No(reason) => (true, reason),
        _ => (false, line.name.clone()),
    };
    view! {
        <li>
            <button
                class="file"
                title=hint
                disabled=bad
                aria-current=move || current().then_some("true")
                on:click=move |_| engine.show(file)
            >
                {line.name}
                {bad.then_some(" \u{2013} unreadable")}
            </button>
        </li>
    }
}
