//! The tools, one button each; the answers, one button each; undo and redo.

use leptos::prelude::*;
use sonoseg_imaging::annotation::Verdict;
use sonoseg_imaging::dataset::finding::Finding;
use wasm_bindgen::JsCast;

use crate::annotate::{Reply, SIZES, Standing, Tool};
use crate::controls::{Pickers, focus_picture, perform};
use crate::finding;
use crate::keys::Action;
use crate::session::Session;
use crate::viewer::Viewer;

/// The bar over the picture.
#[component]
pub fn Tools() -> impl IntoView {
    let viewer = expect_context::<Viewer>();
    let session = expect_context::<Session>();
    let pickers = expect_context::<Pickers>();
    let press = move |action| perform(action, viewer, session, pickers);
    let tool = move |tool: Tool| {
        view! {
            <button
                title=format!("{} ({})", tool.hint(), tool.key())
                aria-pressed=move || (viewer.tool() == tool).to_string()
                data-choose=tool.name().to_lowercase()
                on:click=move |_| press(Action::Tool(tool))
            >
                {tool.name()}
            </button>
        }
    };
    let answer = move |reply: Reply, verdict: Option<Verdict>, name: Signal<&'static str>, key: &'static str| {
        let pressed = move || Some((viewer.standing() == Some(Standing::Answered(verdict?))).to_string());
        let glyph = verdict.map_or("=", |verdict| Standing::Answered(verdict).glyph());
        view! {
            <button
                title=move || format!("{}, and go on ({key})", name.get())
                aria-pressed=pressed
                data-reply=format!("{reply:?}").to_lowercase()
                on:click=move |_| press(Action::Answer(reply))
            >
                <span aria-hidden="true">{glyph}</span>
                {move || name.get()}
            </button>
        }
    };
    let nothing = Signal::derive(move || viewer.findings.finding.with(finding::nothing));
    let undone = move || viewer.annotations.project.with(|project| project.to_undo().map(str::to_owned));
    let redone = move || viewer.annotations.project.with(|project| project.to_redo().map(str::to_owned));
    view! {
        <section
            class="tools"
            aria-label="Marking"
            on:click=move |event| {
                // Who clicks goes on with the picture, and Space moves it. Who presses a key on a button stays there.
                let target = event.target().and_then(|target| target.dyn_into::<web_sys::Element>().ok());
                let on_button = target.is_some_and(|target| target.closest("button").ok().flatten().is_some());
                if event.detail() > 0 && on_button {
                    focus_picture();
                }
            }
        >
            <div class="choice" role="group" aria-label="Tool">
                {move || viewer.findings.finding.with(Tool::choices).into_iter().map(tool).collect_view()}
            </div>
            <Show when=move || viewer.tool().is_round()>
                <label class="slider" title="Diameter of brush or eraser ([ and ], or Alt and the wheel)">
                    "Size"
                    <input
                        type="range"
                        min=SIZES[0].to_string()
                        max=SIZES[1].to_string()
                        step="1"
                        prop:value=move || viewer.tools.size(viewer.tool()).get().to_string()
                        on:input=move |event| {
                            if let Ok(size) = event_target_value(&event).parse() {
                                viewer.tools.size(untrack(|| viewer.tool())).set(size);
                            }
                        }
                    />
                    <output>{move || format!("{:.0} px", viewer.tools.size(viewer.tool()).get())}</output>
                </label>
            </Show>
            {move || class(viewer)}
            <p class="quiet said" role="status" aria-live="polite">{move || viewer.tools.said.get()}</p>
            <div class="answers" role="group" aria-label="Answer for this frame">
                {answer(Reply::Accept, Some(Verdict::Accepted), Signal::stored("Accept"), "A")}
                {answer(Reply::Nothing, Some(Verdict::Nothing), nothing, "0")}
                {answer(Reply::Exclude, Some(Verdict::Excluded), Signal::stored("Exclude"), "X")}
                {answer(Reply::Repeat, None, Signal::stored("As before"), "R")}
                <button title="Next frame without an answer (N)" on:click=move |_| press(Action::NextOpen)>
                    "Next open"
                </button>
            </div>
            <div class="answers" role="group" aria-label="History">
                <button
                    title=move || format!("Undo {} (Ctrl+Z)", undone().unwrap_or_default())
                    aria-disabled=move || undone().is_none().to_string()
                    on:click=move |_| press(Action::Undo)
                >
                    "Undo"
                </button>
                <button
                    title=move || format!("Redo {} (Ctrl+Shift+Z)", redone().unwrap_or_default())
                    aria-disabled=move || redone().is_none().to_string()
                    on:click=move |_| press(Action::Redo)
                >
                    "Redo"
                </button>
            </div>
        </section>
    }
}

/// The class that is painted, where there are several.
fn class(viewer: Viewer) -> Option<AnyView> {
    let names = match viewer.findings.finding.get() {
        Finding::Classes(names) if names.len() > 1 => names,
        _ => return None,
    };
    let option = move |(class, name): (u8, String)| {
        let chosen = move || viewer.tools.class.get() == class;
        view! {
            <option value=class.to_string() prop:selected=chosen>
                {name}
            </option>
        }
    };
    let choice = view! {
        <label class="slider" title="The class that is painted (Q: the next one)">
            "Class"
            <select on:change=move |event| {
                if let Ok(class) = event_target_value(&event).parse() {
                    viewer.tools.class.set(class);
                }
            }>{(1..=u8::MAX).zip(names).map(option).collect_view()}</select>
        </label>
    };
    Some(choice.into_any())
}
