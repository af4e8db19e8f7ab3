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
    let reason = match line.readable {
        Readable::No(reason) => Some(reason),
        _ => None,
    };
    let bad = reason.is_some();
    let (name, title) = (line.name.clone(), line.name);
    // The reason names the file, for where it stands alone.
    let reason = reason.map(|reason| reason.trim_start_matches(&name).trim_start_matches([':', ' ']).to_owned());
    view! {
        <li>
            <button
                class="file"
                title=title
                aria-disabled=bad.to_string()
                aria-current=move || current().then_some("true")
                on:click=move |_| if !bad { engine.show(file) }
            >
                {name}
                {reason.map(|reason| view! { <small>{reason}</small> })}
            </button>
        </li>
    }
}
