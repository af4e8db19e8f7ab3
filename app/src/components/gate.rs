//! The gate: the model before and the new one side by side, and what becomes of the new one.

use leptos::prelude::*;
use sonoseg_imaging::evaluate::Gate;

use super::progress::{Curves, PinnedFrames};
use crate::learning::{compared, name, row, verdict};
use crate::messages::{ClipId, Judgement};
use crate::session::Session;
use crate::viewer::Viewer;

/// Frames that are listed.
const LISTED: usize = 12;

/// What was measured, and the choice.
#[component]
pub fn Judged(judgement: Judgement) -> impl IntoView {
    let viewer = expect_context::<Viewer>();
    let session = expect_context::<Session>();
    let learning = viewer.learning;
    let Judgement { held_out, places, simulated, caveat } = judgement;
    let run = learning.run.get_untracked();
    let line = run.as_ref().and_then(|run| learning.line(run));
    let given = RwSignal::new(line.map_or_else(|| "New model".to_owned(), |line| name(&line.about)));
    let run = StoredValue::new(run);
    let keep = move |_| {
        if let Some(run) = run.get_value() {
            session.keep_run(run, given.get_untracked());
        }
    };
    let sure = RwSignal::new(false);
    let throw = move |_| match run.get_value() {
        Some(run) if sure.get_untracked() => session.delete_run(run),
        _ => sure.set(true),
    };
    let iou = |gate: &Gate, at: usize| {
        gate.values("iou").and_then(|values| values[at]).map(|value| value.to_string()).unwrap_or_default()
    };
    let pairs = held_out.pairs.clone().into_iter().zip(places).take(LISTED);
    let frames: Vec<_> =
        pairs.map(|(pair, (clip, frame))| frame_line(compared(&pair.id, frame), pair.iou, clip, frame)).collect();
    let listed = !frames.is_empty();
    let frames = StoredValue::new(Some(frames));
    view! {
        <div
            class="gate"
            data-iou-before=iou(&held_out, 0)
            data-iou-after=iou(&held_out, 1)
            data-simulated-before=iou(&simulated, 0)
            data-simulated-after=iou(&simulated, 1)
        >
            <p role="status">{verdict(&held_out, &simulated)}</p>
            {caveat.map(|caveat| view! { <p class="quiet">{caveat}</p> })}
            {table("Held-out frames", &held_out)}
            {table("Simulated frames", &simulated)}
            <label class="your-name">
                "Name"
                <input
                    type="text"
                    prop:value=move || given.get()
                    on:input=move |event| given.set(event_target_value(&event))
                />
            </label>
            <div class="row">
                <button class="primary keep" on:click=keep>"Keep and use"</button>
                <button class="throw" on:click=throw on:blur=move |_| sure.set(false)>
                    {move || if sure.get() { "Throw away for good" } else { "Throw away" }}
                </button>
            </div>
            <Show when=move || listed>
                <details>
                    <summary>"Frame by frame, the worse first"</summary>
                    <ul class="pairs">{frames.try_update_value(Option::take).flatten()}</ul>
                </details>
            </Show>
            <details>
                <summary>"Curves"</summary>
                <Curves />
            </details>
            <PinnedFrames />
        </div>
    }
}

fn table(title: &'static str, gate: &Gate) -> Option<impl IntoView + use<>> {
    let row = |line| {
        let (label, [old, new], better) = row(line, gate);
        let class = match better {
            Some(true) => "better",
            Some(false) => "worse",
            None => "",
        };
        let mark = match better {
            Some(true) => " \u{25b2}",
            Some(false) => " \u{25bc}",
            None => "",
        };
        view! { <tr> <th scope="row">{label}</th> <td>{old}</td> <td class=class>{new}{mark}</td> </tr> }
    };
    let rows: Vec<_> = gate.lines.iter().map(row).collect();
    let title = format!("{title} ({})", gate.pairs.len());
    (!rows.is_empty()).then(|| {
        view! {
            <table>
                <thead>
                    <tr> <th scope="col">{title}</th> <th scope="col">"before"</th> <th scope="col">"now"</th> </tr>
                </thead>
                <tbody>{rows}</tbody>
            </table>
        }
    })
}

/// A frame, which a click shows.
fn frame_line(id: String, [old, new]: [f64; 2], clip: ClipId, frame: usize) -> impl IntoView {
    let viewer = expect_context::<Viewer>();
    let session = expect_context::<Session>();
    let go = move |_| {
        if viewer.media.shows(clip) {
            viewer.view.playing.set(false);
            viewer.go_to(frame);
        } else if let Some(line) = viewer.media.line_of(clip) {
            session.show(line.file);
        }
    };
    let change = new - old;
    view! {
        <li>
            <button class="file" on:click=go>
                {id}
                <small>{format!("IoU {old:.2} before, {new:.2} now ({change:+.2})")}</small>
            </button>
        </li>
    }
}
