//! Where the frame stands, who said so, and the name of the person.

use leptos::prelude::*;

use super::project::SavedHere;
use super::words::provenance;
use crate::marking;
use crate::viewer::Viewer;

/// The answer panel.
#[component]
pub fn Answer() -> impl IntoView {
    let viewer = expect_context::<Viewer>();
    let standing = move || {
        let standing = viewer.standing()?;
        let words = viewer.findings.finding.with(|finding| standing.words(finding));
        Some(format!("{} {words}", standing.glyph()))
    };
    let said = move || format!("{} of {} frames answered.", viewer.answered(), viewer.media.frames());
    view! {
        <section class="panel answer" aria-labelledby="answer-title">
            <h2 id="answer-title">"Answer"</h2>
            <p class="standing" data-standing=move || viewer.standing().map(|standing| standing.name())>
                {move || standing().unwrap_or_else(|| "\u{2013}".to_owned())}
            </p>
            <p class="quiet provenance">{move || provenance(viewer)}</p>
            <p class="quiet">{said}</p>
            <SavedHere />
            <label class="your-name">
                "Your name"
                <input
                    type="text"
                    autocomplete="name"
                    maxlength="80"
                    prop:value=move || viewer.annotations.name.get()
                    on:change=move |event| marking::set_name(viewer, event_target_value(&event))
                />
            </label>
        </section>
    }
}
