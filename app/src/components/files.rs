//! The files that were opened; those that cannot be read say why.

use leptos::prelude::*;

use crate::session::Session;
use crate::viewer::Viewer;
use crate::viewer::media::{FileLine, Readable};

/// The file list.
#[component]
pub fn Files() -> impl IntoView {
    let viewer = expect_context::<Viewer>();
    view! {
        <section class="panel files" aria-labelledby="files-title">
            <h2 id="files-title">"Files"</h2>
            <ul>
                <For each=move || viewer.media.files.get() key=|line| (line.file, line.readable.clone()) children=line />
            </ul>
        </section>
    }
}

fn line(line: FileLine) -> impl IntoView {
    let viewer = expect_context::<Viewer>();
    let session = expect_context::<Session>();
    let file = line.file;
    let id = match line.readable {
        Readable::Yes(id) => Some(id),
        _ => None,
    };
    let current = move || viewer.media.clip.with(|clip| id.is_some() && clip.as_ref().map(|clip| clip.id) == id);
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
                on:click=move |_| if !bad { session.show(file) }
            >
                {name}
                {reason.map(|reason| view! { <small>{reason}</small> })}
            </button>
        </li>
    }
}
