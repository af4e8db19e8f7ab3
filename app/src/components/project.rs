//! The project: whether it is saved, taking it out and bringing it back, and all projects that this browser keeps.

use std::time::Duration;

use js_sys::Date;
use leptos::html;
use leptos::prelude::*;

use crate::controls::click;
use crate::files::listed;
use crate::keeping::{ago, size};
use crate::messages::{Output, ProjectLine};
use crate::session::Session;
use crate::viewer::Viewer;
use crate::viewer::projects::Saved;

/// The project panel, brought up to date once a second.
#[component]
pub fn Project() -> impl IntoView {
    let viewer = expect_context::<Viewer>();
    let session = expect_context::<Session>();
    let projects = viewer.projects;
    let picker = NodeRef::<html::Input>::new();
    let now = each_second();
    let out = move |output: Output, name: &'static str, title: &'static str| {
        view! { <button title=title on:click=move |_| session.take_out(output)>{name}</button> }
    };
    view! {
        <section
            class="panel project"
            aria-labelledby="project-title"
            data-saved=move || projects.saved.with(Saved::name)
            data-project=move || projects.open.with(|open| open.as_ref().map(|project| project.name.clone()))
            data-entries=move || projects.entries.get().to_string()
        >
            <h2 id="project-title">"Project"</h2>
            <p class="project-name">
                {move || projects.open.with(|open| open.as_ref().map_or("Nothing marked yet".to_owned(), |one| one.name.clone()))}
            </p>
            <p class="quiet">{move || taken_out(viewer, now.get())}</p>
            <div class="row" role="group" aria-label="Project files">
                {out(Output::Project, "Take out", "All of it as one zip of plain files, which sonoseg trains on as it is (Ctrl+S)")}
                <button title="Open a project that was taken out" on:click=move |_| click(picker)>"Bring back\u{2026}"</button>
                {out(Output::Geometry, "Lines (CSV)", "All needles, marked and predicted, as a table")}
                {out(Output::Masks, "Masks (PNG)", "All masks as pictures in a zip")}
            </div>
            <input
                node_ref=picker
                type="file"
                accept=".zip"
                hidden
                id="bring-back"
                aria-label="Project file"
                on:change=move |_| {
                    if let Some(input) = picker.get_untracked() {
                        listed(input.files()).into_iter().for_each(|file| session.bring_back(file));
                        input.set_value("");
                    }
                }
            />
            <p class="quiet" role="status">{move || projects.doing.get()}</p>
            <details>
                <summary>{move || format!("Projects in this browser ({})", projects.list.with(Vec::len))}</summary>
                <ul>
                    <For
                        each=move || projects.list.get()
                        key=|project| (project.id.clone(), project.name.clone(), project.changed_ms)
                        children=move |project| line(project, now)
                    />
                </ul>
                <button on:click=move |_| session.new_project()>"New project"</button>
                <p class="quiet">{move || room(viewer)}</p>
            </details>
        </section>
    }
}

/// A project of the list: to open, to rename, to delete.
fn line(project: ProjectLine, now: RwSignal<f64>) -> impl IntoView {
    let viewer = expect_context::<Viewer>();
    let session = expect_context::<Session>();
    let ProjectLine { id, name, changed_ms } = project;
    let (id, old) = (StoredValue::new(id), name.clone());
    let (renaming, sure) = (RwSignal::new(false), RwSignal::new(false));
    let current = move || {
        let is_it = |open: &ProjectLine| id.with_value(|id| open.id == *id);
        viewer.projects.open.with(|open| open.as_ref().is_some_and(is_it))
    };
    let delete = move |_| {
        if sure.get_untracked() {
            session.delete_project(id.get_value());
        } else {
            sure.set(true);
        }
    };
    let field = NodeRef::<leptos::html::Input>::new();
    // Who renames types at once: what is typed is a name, no keys of the page.
    Effect::new(move || {
        if let Some(field) = field.get().filter(|_| renaming.get()) {
            drop(field.focus());
            field.select();
        }
    });
    let rename = move |event| {
        renaming.set(false);
        let name = event_target_value(&event).trim().to_owned();
        if !name.is_empty() && name != old {
            session.rename_project(id.get_value(), name);
        }
    };
    view! {
        <li>
            <button class="file" aria-current=move || current().then_some("true") on:click=move |_| session.open_project(id.get_value())>
                {name.clone()}
                <small>{move || format!("changed {}", ago(now.get() - changed_ms as f64))}</small>
            </button>
            <input
                type="text"
                node_ref=field
                hidden=move || !renaming.get()
                aria-label=format!("New name of {name}")
                prop:value=name.clone()
                on:change=rename
                on:keydown=move |event| {
                    if event.key() == "Escape" {
                        renaming.set(false);
                    }
                }
            />
            <div class="row">
                <button
                    aria-label=format!("Rename {name}")
                    aria-expanded=move || renaming.get().to_string()
                    on:click=move |_| renaming.update(|renaming| *renaming = !*renaming)
                >
                    "Rename"
                </button>
                <button aria-label=format!("Delete {name}") on:click=delete on:blur=move |_| sure.set(false)>
                    {move || if sure.get() { "Delete for good" } else { "Delete" }}
                </button>
            </div>
        </li>
    }
}

/// Whether what was answered is saved.
#[component]
pub fn SavedHere() -> impl IntoView {
    let projects = expect_context::<Viewer>().projects;
    let session = expect_context::<Session>();
    let now = each_second();
    view! {
        <p class="quiet saved">{move || saved(&projects.saved.get(), now.get())}</p>
        <Show when=move || projects.saved.with(|saved| matches!(saved, Saved::Failed(_)))>
            <button on:click=move |_| session.write_entries()>"Try to save again"</button>
        </Show>
    }
}

/// The time, once a second, in milliseconds.
fn each_second() -> RwSignal<f64> {
    let now = RwSignal::new(Date::now());
    if let Ok(timer) = set_interval_with_handle(move || now.set(Date::now()), Duration::from_secs(1)) {
        on_cleanup(move || timer.clear());
    }
    now
}

fn saved(saved: &Saved, now_ms: f64) -> String {
    match saved {
        Saved::Nothing => "What you mark is kept in this browser.".to_owned(),
        Saved::Writing => "Saving\u{2026}".to_owned(),
        Saved::At(at_ms) => format!("Saved here, {}", ago(now_ms - at_ms)),
        Saved::Failed(reason) => format!("Not saved. {reason}"),
    }
}

fn taken_out(viewer: Viewer, now_ms: f64) -> String {
    let entries = viewer.projects.entries.get();
    match viewer.projects.taken_out.get() {
        None if entries == 0 => String::new(),
        None => "Never taken out as a file".to_owned(),
        Some(taken) => {
            let since = entries.saturating_sub(taken.entries);
            let changes = if since == 0 { String::new() } else { format!(", {since} changes since") };
            format!("Taken out {}{changes}", ago(now_ms - taken.at_ms as f64))
        }
    }
}

fn room(viewer: Viewer) -> String {
    let room = match viewer.projects.room.get() {
        (Some(used), Some(quota)) => format!("{} of {} used. ", size(used), size(quota)),
        _ => String::new(),
    };
    let lasting = match viewer.projects.lasting.get() {
        Some(true) => "The browser keeps them until you delete them.",
        Some(false) => {
            "The browser may clear them when disk space is short, Safari also after a week without a visit: take out what \
             you need."
        }
        None => "",
    };
    format!("{room}{lasting}")
}
