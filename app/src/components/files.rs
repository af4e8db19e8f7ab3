//! The files that were opened, with what was found in each; those that cannot be read say why.

use leptos::html;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::HtmlElement;

use crate::finding;
use crate::listing::{FileLine, Readable};
use crate::messages::ClipId;
use crate::session::Session;
use crate::viewer::Viewer;

/// The file list. The line of the open file is always in sight.
#[component]
pub fn Files() -> impl IntoView {
    let viewer = expect_context::<Viewer>();
    let list = NodeRef::<html::Ul>::new();
    Effect::new(move || {
        viewer.place();
        let Some(list) = list.get() else { return };
        // The line is marked as the open one by then.
        request_animation_frame(move || show_open_line(&list));
    });
    view! {
        <section class="panel files" aria-labelledby="files-title">
            <h2 id="files-title">"Files"</h2>
            <ul node_ref=list>
                <For each=move || viewer.media.files.get() key=|line| (line.file, line.readable.clone()) children=line />
            </ul>
        </section>
    }
}

fn show_open_line(list: &HtmlElement) {
    let open = list.query_selector("[aria-current]").ok().flatten();
    let Some(line) = open.and_then(|line| line.dyn_into::<HtmlElement>().ok()) else { return };
    let (top, bottom) = (f64::from(line.offset_top()), f64::from(line.offset_top() + line.offset_height()));
    // Not by the browser's own method, which moves the page, too.
    list.set_scroll_top(list.scroll_top().clamp((bottom - f64::from(list.client_height())).min(top), top));
}

fn line(line: FileLine) -> impl IntoView {
    let viewer = expect_context::<Viewer>();
    let session = expect_context::<Session>();
    let file = line.file;
    let id = match line.readable {
        Readable::Yes(id) => Some(id),
        _ => None,
    };
    let current = move || id.is_some() && viewer.media.shown() == id;
    let reason = match line.readable {
        Readable::No(reason) => Some(reason),
        _ => None,
    };
    let bad = reason.is_some();
    let (name, title) = (line.name.clone(), line.name);
    let take_off = format!("Take {name} off the list");
    // The reason names the file, for where it stands alone.
    let reason = reason.map(|reason| reason.trim_start_matches(&name).trim_start_matches([':', ' ']).to_owned());
    let results = move || id.and_then(|id| found_in(viewer, id, current()));
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
                <small>{move || reason.clone().or_else(results)}</small>
            </button>
            <button class="off" title=take_off.clone() aria-label=take_off on:click=move |_| session.take_off(file)>
                "\u{d7}"
            </button>
        </li>
    }
}

/// What was found in a clip of the list.
fn found_in(viewer: Viewer, clip: ClipId, shown: bool) -> Option<String> {
    let words = |states: &[_]| viewer.findings.finding.with(|finding| finding::in_file(finding, states));
    if shown { words(&viewer.all_states()) } else { viewer.findings.with_aside(clip, words)? }
}
