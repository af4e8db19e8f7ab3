//! How what was found is shown: mask, outline, line or not at all, and how opaque.

use leptos::prelude::*;
use sonoseg_imaging::dataset::finding::Finding;

use crate::overlay::Overlay;
use crate::viewer::Viewer;

/// The overlay controls.
#[component]
pub fn Display() -> impl IntoView {
    let viewer = expect_context::<Viewer>();
    let button = move |overlay: Overlay| {
        view! {
            <button
                aria-pressed=move || (viewer.chosen_overlay() == overlay).to_string()
                on:click=move |_| viewer.view.overlay.set(overlay)
            >
                {overlay.name()}
            </button>
        }
    };
    view! {
        <section class="panel" aria-labelledby="display-title">
            <h2 id="display-title">"Overlay"<kbd title="Key">"O"</kbd></h2>
            <div class="choice" role="group" aria-label="Overlay">
                {move || viewer.overlays().into_iter().map(button).collect_view()}
            </div>
            <label class="slider">
                "Opacity"
                <input
                    type="range"
                    min="0.1"
                    max="1"
                    step="0.05"
                    prop:value=move || viewer.view.opacity.get().to_string()
                    on:input=move |event| {
                        if let Ok(opacity) = event_target_value(&event).parse() {
                            viewer.view.opacity.set(opacity);
                        }
                    }
                />
            </label>
            <Show when=move || viewer.findings.finding.with(Finding::is_needles)>
                <dl class="drawn quiet">
                    {drawn("M1 6h30", "shaft", "shaft (Outline and Line)")}
                    {drawn("M1 6h30", "shaft ahead", "where it would go on beyond the tip")}
                    {drawn("M16 2a4 4 0 1 0 0.01 0z", "shaft", "end near the skin")}
                    {drawn("M16 1a5 5 0 1 0 0.01 0z", "ring", "the tip lies within; dashed: less sure")}
                </dl>
            </Show>
        </section>
    }
}

/// A line of the legend: what is drawn, and what it means.
fn drawn(path: &'static str, class: &'static str, meaning: &'static str) -> impl IntoView {
    view! {
        <dt>
            <svg viewBox="0 0 32 12" aria-hidden="true">
                <path class=class d=path />
            </svg>
        </dt>
        <dd>{meaning}</dd>
    }
}
