//! The numbers of the frame on the screen. Millimetres only where the file has a scale.

use leptos::prelude::*;

use sonoseg_imaging::dataset::finding::Finding;

use crate::finding;
use crate::overlay::css_colour;
use crate::timeline::FrameState;
use crate::viewer::Viewer;

/// The panel with tip, angle, length and confidence of a needle, or with the size of what was marked.
#[component]
pub fn Readout() -> impl IntoView {
    let viewer = expect_context::<Viewer>();
    view! {
        <section class="panel" aria-labelledby="readout-title">
            <h2 id="readout-title">{move || viewer.findings.finding.with(finding::title)}</h2>
            <dl class="readout">{move || lines(viewer)}</dl>
            <div class="certainty">{move || confidence(viewer)}</div>
            <p class="quiet scale">{move || scale(viewer)}</p>
        </section>
    }
}

fn row(name: &'static str, hint: &'static str, value: Option<String>) -> impl IntoView {
    view! {
        <dt title=hint>{name}</dt>
        <dd>{value.unwrap_or_else(|| "\u{2013}".to_owned())}</dd>
    }
}

fn lines(viewer: Viewer) -> AnyView {
    let finding = viewer.findings.finding.get();
    if !finding.is_needles() {
        let share = share(viewer).map(|share| format!("{:.1} %", 100.0 * share));
        let one = finding::several(&finding).is_none();
        return view! {
            {legend(viewer, &finding)}
            {finding::class(&finding).filter(|_| one).map(|class| row("Class", "What the model marks", Some(class)))}
            {row("Share of the picture", "Marked pixels among all pixels of the frame", share)}
        }
        .into_any();
    }
    let line = viewer.line();
    let tip = line.map(|line| format!("{}, {} px", whole(line.needle.tip.x), whole(line.needle.tip.y)));
    let spread = line.and_then(|line| {
        let spread = line.detection?.tip_spread_px;
        Some(match line.spacing {
            Some(mm) => format!("\u{b1} {spread:.1} px \u{b7} {:.1} mm", spread * mm.x_mm.max(mm.y_mm)),
            None => format!("\u{b1} {spread:.1} px"),
        })
    });
    let angle = line.map(|line| format!("{:.0}\u{b0}", line.needle.angle_deg(line.spacing)));
    let length = line.map(|line| match line.spacing {
        Some(mm) => format!("{:.0} px \u{b7} {:.1} mm", line.needle.length_px(), line.needle.length_mm(mm)),
        None => format!("{:.0} px", line.needle.length_px()),
    });
    let by = line.map(|_| if viewer.drawn().is_some() { "a person" } else { "the model" }.to_owned());
    view! {
        {row("Line of", "Whose line the numbers below are of", by)}
        {row("Tip (x, y)", "Visible end of the needle deepest in the tissue", tip)}
        {row("Tip ring", "How far the tip may be off: radius of the ring", spread)}
        {row("Angle", "To the probe face: 0 degrees parallel, 90 straight down", angle)}
        {row("Visible length", "From the visible end near the skin to the tip", length)}
    }
    .into_any()
}

/// Each class with its colour, and the share of the picture that the model marks as such.
fn legend(viewer: Viewer, finding: &Finding) -> Option<impl IntoView + use<>> {
    let names = finding::several(finding)?.to_vec();
    let shares = viewer.shown().map(|found| found.class_shares()).unwrap_or_default();
    let line = move |(at, name): (usize, String)| {
        let share = shares.get(at).map_or_else(|| "\u{2013}".to_owned(), |share| format!("{:.1} %", 100.0 * share));
        let colour = format!("background:{}", css_colour((at + 1) as u8));
        view! {
            <dt title="Share of the picture that the model marks as this class">
                <i class="swatch" style=colour></i>
                {name}
            </dt>
            <dd>{share}</dd>
        }
    };
    Some(names.into_iter().enumerate().map(line).collect_view())
}

/// Marked pixels among all pixels of the frame, by a person or else by the model.
fn share(viewer: Viewer) -> Option<f64> {
    match viewer.drawn() {
        Some(drawn) => {
            let [height, width] = viewer.frame()?.size;
            Some(drawn.mask_pixels as f64 / (height * width).max(1) as f64)
        }
        None => Some(viewer.shown()?.marked_share(viewer.view.threshold.get())),
    }
}

/// A whole number without the sign of a negative zero.
fn whole(value: f64) -> i64 {
    value.round() as i64
}

fn confidence(viewer: Viewer) -> AnyView {
    let state = viewer.shown_state();
    let Some(FrameState::Seen(confidence)) = state.filter(|_| viewer.findings.finding.with(Finding::is_needles)) else {
        let words = match state {
            Some(FrameState::Seen(_)) => viewer.findings.finding.with(finding::seen),
            Some(FrameState::NotSeen) if viewer.drawn().is_some() => {
                format!("The model: {}.", viewer.findings.finding.with(finding::not_seen).to_lowercase())
            }
            Some(FrameState::NotSeen) => format!("{} in this frame.", viewer.findings.finding.with(finding::not_seen)),
            Some(FrameState::Unlike) => {
                format!("{}: what the model says of this picture cannot be trusted.", finding::UNLIKE)
            }
            Some(FrameState::Failed) => {
                "The frame could not be read, or the model gave no answer: a message says why.".to_owned()
            }
            _ if viewer.findings.model.with(Option::is_none) => "No model is loaded.".to_owned(),
            _ => "Not looked at yet.".to_owned(),
        };
        return view! { <p class="quiet">{words}</p> }.into_any();
    };
    let percent = confidence * 100.0;
    view! {
        <div class="confidence">
            <label for="confidence">{if viewer.drawn().is_some() { "Confidence in the model's own line" } else { "Model confidence" }}</label>
            <b>{format!("{percent:.0} %")}</b>
            <meter id="confidence" min="0" max="100" low="50" value=format!("{percent:.0}")></meter>
        </div>
    }
    .into_any()
}

fn scale(viewer: Viewer) -> &'static str {
    let Some(clip) = viewer.media.clip.get().filter(|_| viewer.findings.finding.with(Finding::is_needles)) else {
        return "";
    };
    match (clip.scale_known, viewer.line().map(|line| line.spacing)) {
        (false, _) => "Lengths in px, scale unknown.",
        (true, Some(None)) => "The needle leaves the region with a scale: px only.",
        (true, _) => "Millimetres by the scale in the file.",
    }
}
