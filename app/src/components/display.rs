//! How picture and marks are shown: overlay and its opacity, window, level and gamma. The model gets the picture as it is.

use leptos::prelude::*;
use sonoseg_imaging::dataset::finding::Finding;

use crate::finding::several;
use crate::overlay::Overlay;
use crate::tone::Tone;
use crate::viewer::Viewer;

/// The display panel.
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
    let tone = move |name: &'static str, hint: &'static str, range: [f64; 3], part: fn(&mut Tone) -> &mut f64| {
        let [least, most, step] = range.map(|number| number.to_string());
        view! {
            <label class="slider" title=hint>
                {name}
                <input
                    type="range"
                    min=least
                    max=most
                    step=step
                    prop:value=move || part(&mut viewer.view.tone.get()).to_string()
                    on:input=move |event| {
                        if let Ok(value) = event_target_value(&event).parse() {
                            viewer.view.tone.update(|tone| *part(tone) = value);
                        }
                    }
                />
            </label>
        }
    };
    view! {
        <section class="panel" aria-labelledby="display-title">
            <h2 id="display-title">"Display"<kbd title="Key for the next overlay">"O"</kbd></h2>
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
            <Show when=move || viewer.findings.finding.with(|finding| several(finding).is_none())>
                {threshold(viewer)}
            </Show>
            {tone("Window", "Grey values between black and white: fewer give more contrast", [1.0, 255.0, 1.0], |t| &mut t.window)}
            {tone("Level", "The grey value in their middle: lower is brighter", [0.0, 255.0, 0.5], |t| &mut t.level)}
            {tone("Gamma", "Above 1 the dark tissue is lighter", [0.3, 3.0, 0.05], |t| &mut t.gamma)}
            <p class="quiet reset">
                "The model gets the picture as it is."
                <button
                    aria-disabled=move || is_plain(viewer).to_string()
                    on:click=move |_| {
                        viewer.view.tone.set(Tone::default());
                        viewer.view.threshold.set(None);
                    }
                >
                    "Reset"
                </button>
            </p>
            <Show when=move || viewer.findings.finding.with(Finding::is_needles)>
                <dl class="drawn quiet">
                    {drawn("M1 6h30", "shaft", "shaft (Outline and Line)")}
                    {drawn("M1 6h30", "hand", "drawn by a person")}
                    {drawn("M1 6h30", "shaft ahead", "where it would go on beyond the tip")}
                    {drawn("M16 2a4 4 0 1 0 0.01 0z", "shaft", "end near the skin")}
                    {drawn("M16 1a5 5 0 1 0 0.01 0z", "ring", "the tip lies within; dashed: less sure")}
                </dl>
            </Show>
        </section>
    }
}

/// Nothing is shown otherwise than the file and the model have it.
fn is_plain(viewer: Viewer) -> bool {
    viewer.view.tone.get() == Tone::default() && viewer.view.threshold.get().is_none()
}

/// How sure the model has to be of what is shown; its own threshold until it is moved.
fn threshold(viewer: Viewer) -> impl IntoView {
    let own = move || viewer.findings.model.with(|model| model.as_ref().map(|model| model.threshold));
    let now = move || viewer.view.threshold.get().or_else(own);
    let words = move || now().map_or_else(|| "\u{2013}".to_owned(), |threshold| format!("{threshold:.2}"));
    view! {
        <label class="slider" title="What the model is surer of than this is shown as mask or outline; its line stays">
            "Threshold"
            <input
                type="range"
                min="0.02"
                max="0.98"
                step="0.02"
                disabled=move || own().is_none()
                prop:value=move || now().unwrap_or(0.5).to_string()
                on:input=move |event| {
                    if let Ok(threshold) = event_target_value(&event).parse::<f64>() {
                        let is_own = untrack(own).is_some_and(|own| (own - threshold).abs() < 1e-9);
                        viewer.view.threshold.set(Some(threshold).filter(|_| !is_own));
                    }
                }
            />
            <output>{words}</output>
        </label>
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
