//! The numbers of the frame on the screen. Millimetres only where the file has a scale.

use leptos::prelude::*;

use crate::messages::NeedleReport;
use crate::sought::{ANY_CLASS, Sought};
use crate::timeline::FrameState;
use crate::viewer::Viewer;

/// The panel with tip, angle, length and confidence of a needle, or with the size of what was marked.
#[component]
pub fn Readout() -> impl IntoView {
    let viewer = expect_context::<Viewer>();
    view! {
        <section class="panel" aria-labelledby="readout-title">
            <h2 id="readout-title">{move || viewer.sought.with(Sought::title)}</h2>
            <dl class="readout">{move || lines(viewer)}</dl>
            {move || confidence(viewer)}
            <p class="quiet scale">{move || scale(viewer)}</p>
        </section>
    }
}

fn needle(viewer: Viewer) -> Option<NeedleReport> {
    viewer.shown().and_then(|found| found.report.needle)
}

fn row(name: &'static str, hint: &'static str, value: Option<String>) -> impl IntoView {
    view! {
        <dt title=hint>{name}</dt>
        <dd>{value.unwrap_or_else(|| "\u{2013}".to_owned())}</dd>
    }
}

fn lines(viewer: Viewer) -> AnyView {
    if let Sought::Class(class) = viewer.sought.get() {
        let share = viewer.shown().map(|found| format!("{:.1} %", 100.0 * found.marked_share()));
        return view! {
            {(class != ANY_CLASS).then(|| row("Class", "What the model marks", Some(class)))}
            {row("Share of the picture", "Marked pixels among all pixels of the frame", share)}
        }
        .into_any();
    }
    let needle = needle(viewer);
    let tip = needle.map(|n| format!("{}, {} px", whole(n.tip.0), whole(n.tip.1)));
    let spread = needle.map(|n| match n.millimetres {
        Some(mm) => format!("\u{b1} {:.1} px \u{b7} {:.1} mm", n.tip_spread_px, mm.tip_spread),
        None => format!("\u{b1} {:.1} px", n.tip_spread_px),
    });
    let angle = needle.map(|n| format!("{:.0}\u{b0}", n.angle_deg));
    let length = needle.map(|n| match n.millimetres {
        Some(mm) => format!("{:.0} px \u{b7} {:.1} mm", n.length_px, mm.length),
        None => format!("{:.0} px", n.length_px),
    });
    view! {
        {row("Tip (x, y)", "Visible end of the needle deepest in the tissue", tip)}
        {row("Tip ring", "How far the tip may be off: radius of the ring", spread)}
        {row("Angle", "To the probe face: 0 degrees parallel, 90 straight down", angle)}
        {row("Visible length", "From the visible end near the skin to the tip", length)}
    }
    .into_any()
}

/// A whole number without the sign of a negative zero.
fn whole(value: f64) -> i64 {
    value.round() as i64
}

fn confidence(viewer: Viewer) -> AnyView {
    let Some(needle) = needle(viewer) else {
        let frame = viewer.frame.get();
        let state = viewer.states.with(|states| states.get(frame).copied());
        let words = match state {
            Some(FrameState::Seen(_)) => viewer.sought.with(Sought::seen),
            Some(FrameState::NotSeen) => format!("{} in this frame.", viewer.sought.with(Sought::not_seen)),
            Some(FrameState::Failed) => {
                "The frame could not be read, or the model gave no answer: a message says why.".to_owned()
            }
            _ if viewer.model.with(Option::is_none) => "No model is loaded.".to_owned(),
            _ => "Not looked at yet.".to_owned(),
        };
        return view! { <p class="quiet">{words}</p> }.into_any();
    };
    let percent = needle.confidence * 100.0;
    view! {
        <div class="confidence">
            <label for="confidence">"Model confidence"</label>
            <b>{format!("{percent:.0} %")}</b>
            <meter id="confidence" min="0" max="100" low="50" value=format!("{percent:.0}")></meter>
        </div>
    }
    .into_any()
}

fn scale(viewer: Viewer) -> &'static str {
    let Some(clip) = viewer.clip.get().filter(|_| viewer.sought.get() == Sought::Needle) else { return "" };
    match (clip.scale_known, needle(viewer)) {
        (false, _) => "Lengths in px, scale unknown.",
        (true, Some(NeedleReport { millimetres: None, .. })) => "The needle leaves the region with a scale: px only.",
        (true, _) => "Millimetres by the scale in the file.",
    }
}
