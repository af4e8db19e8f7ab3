//! The strip of frames: what people said of each in the lane above, what the model said below, and where we are. Drag to
//! move in time.

use leptos::html;
use leptos::prelude::*;
use sonoseg_imaging::annotation::Verdict;
use wasm_bindgen::JsCast;
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement, PointerEvent};

use crate::annotate::Standing;
use crate::finding;
use crate::paint::density;
use crate::timeline::{FrameState, answer_columns, columns};
use crate::viewer::Viewer;

/// The lane of answers, as a share of the height.
const LANE: f64 = 0.3;

/// The strip.
#[component]
pub fn Strip() -> impl IntoView {
    let viewer = expect_context::<Viewer>();
    let canvas = NodeRef::<html::Canvas>::new();
    Effect::new(move |last: Option<Option<Drawn>>| {
        let (stage, density, frame) = (viewer.view.canvas.get(), density(), viewer.view.frame.get());
        let canvas = canvas.get()?;
        let last = last.flatten();
        // The canvas of the picture and the strip change their size together; to ask for it lays out the page anew.
        let known = last.as_ref().filter(|last| last.stage == stage && last.size.0 >= 1.0).map(|last| last.size);
        let measured =
            || [canvas.client_width(), canvas.client_height()].map(|side| (f64::from(side) * density).round());
        let size = known.unwrap_or_else(|| measured().into());
        let clip = viewer.media.shown().map(|clip| clip.to_string()).unwrap_or_default();
        let states = viewer.all_states();
        // A column is never narrower than two pixels; many frames then share one.
        let count = states.len().min((size.0 / 2.0).max(1.0) as usize);
        let answers = viewer.annotations.project.with(|project| match project.document().clips.get(&clip) {
            Some(record) => answer_columns(&record.answers, states.len(), count),
            None => vec![None; count],
        });
        let drawn = Drawn { stage, size, frames: states.len(), columns: columns(&states, count), answers, frame };
        if last.as_ref() != Some(&drawn) {
            draw(&canvas, &drawn, density);
        }
        Some(drawn)
    });
    let scrub = move |event: &PointerEvent| {
        if let Some(canvas) = canvas.get_untracked() {
            let share = event.offset_x() / f64::from(canvas.client_width().max(1));
            let frame = (share.clamp(0.0, 1.0) * viewer.media.frame_count() as f64) as usize;
            viewer.view.playing.set(false);
            viewer.go_to(frame);
        }
    };
    view! {
        <canvas
            node_ref=canvas
            class="strip"
            tabindex="0"
            role="slider"
            aria-label="Frame"
            aria-valuemin="1"
            aria-valuemax=move || viewer.media.frames().max(1).to_string()
            aria-valuenow=move || (viewer.view.frame.get() + 1).to_string()
            aria-valuetext=move || words(viewer)
            on:pointerdown=move |event| {
                if let Some(canvas) = canvas.get_untracked() {
                    // Without capture the drag ends at the edge of the strip, which is no harm.
                    let _ = canvas.set_pointer_capture(event.pointer_id());
                }
                scrub(&event);
            }
            on:pointermove=move |event| {
                if event.buttons() & 1 == 1 {
                    scrub(&event);
                }
            }
        ></canvas>
        <p class="legend quiet">
            {move || Verdict::ALL.map(|verdict| answer(viewer, Standing::Answered(verdict))).collect_view()}
            <span>
                <i class="seen"></i>
                {move || viewer.findings.finding.with(finding::bars)}
            </span>
            <span>
                <i class="none"></i>
                {move || viewer.findings.finding.with(finding::not_seen).to_lowercase()}
            </span>
            <span>
                <i class="unlike"></i>
                {finding::UNLIKE.to_lowercase()}
            </span>
            <span>
                <i class="waiting"></i>
                "not looked at"
            </span>
            <span>
                <i class="failed"></i>
                "failed"
            </span>
        </p>
    }
}

/// A line of the legend.
fn answer(viewer: Viewer, standing: Standing) -> impl IntoView {
    let words = viewer.findings.finding.with(|finding| standing.words(finding)).to_lowercase();
    view! {
        <span>
            <b class=standing.name()>{standing.glyph()}</b>
            {words}
        </span>
    }
}

fn words(viewer: Viewer) -> String {
    let frame = viewer.view.frame.get();
    let finding = viewer.findings.finding.get();
    let words = match (viewer.standing().unwrap_or(Standing::Open), viewer.shown_state().unwrap_or_default()) {
        (Standing::Predicted, FrameState::Seen(confidence)) => finding::seen_by(&finding, confidence),
        (Standing::Predicted, FrameState::NotSeen) => finding::not_seen(&finding).to_owned(),
        (standing, _) => standing.words(&finding).to_owned(),
    };
    format!("Frame {}. {words}", frame + 1)
}

/// What the strip shows. Equal ones look the same.
#[derive(PartialEq)]
struct Drawn {
    /// Size of the canvas of the picture when it was drawn.
    stage: (f64, f64),
    /// Width and height in pixels of the canvas.
    size: (f64, f64),
    frames: usize,
    columns: Vec<FrameState>,
    answers: Vec<Option<Verdict>>,
    frame: usize,
}

fn draw(canvas: &HtmlCanvasElement, drawn: &Drawn, density: f64) {
    let (width, height) = drawn.size;
    let context = canvas.get_context("2d").ok().flatten().and_then(|c| c.dyn_into::<CanvasRenderingContext2d>().ok());
    let (Some(context), true) = (context, width >= 1.0 && height >= 1.0) else { return };
    canvas.set_width(width as u32);
    canvas.set_height(height as u32);
    if drawn.frames == 0 {
        return;
    }
    let step = width / drawn.columns.len() as f64;
    let gap = if step > 6.0 { density } else { 0.0 };
    for (column, state) in drawn.columns.iter().enumerate() {
        let (colour, share) = match state {
            FrameState::Waiting => ("#232a33", 0.22),
            FrameState::Seen(confidence) => ("#26d0ce", 0.35 + 0.65 * confidence),
            FrameState::NotSeen => ("#5a6675", 0.22),
            FrameState::Unlike => ("#f2b23e", 0.6),
            FrameState::Failed => ("#ff6b6b", 1.0),
        };
        context.set_fill_style_str(colour);
        let tall = height * (1.0 - LANE) * share;
        context.fill_rect(column as f64 * step, height - tall, (step - gap).max(1.0), tall);
    }
    let lane = (height * LANE).round();
    context.set_font(&format!("bold {}px system-ui, sans-serif", lane.min(step)));
    context.set_text_align("center");
    context.set_text_baseline("middle");
    for (column, verdict) in drawn.answers.iter().enumerate() {
        let &Some(verdict) = verdict else { continue };
        let (left, wide) = (column as f64 * step, (step - gap).max(1.0));
        // Columns too narrow for a sign differ in height and place, too.
        let (colour, [top, tall]) = match verdict {
            Verdict::Accepted => ("#7bd67b", [0.0, 1.0]),
            Verdict::Corrected => ("#ff7ad9", [0.3, 0.7]),
            Verdict::Nothing => ("#c3ccd6", [0.7, 0.3]),
            Verdict::Excluded => ("#a08cff", [0.0, 0.3]),
        };
        context.set_fill_style_str(colour);
        if step >= 8.0 * density {
            // A sign that cannot be drawn leaves the frame's place empty, and it is said in words below.
            let _ = context.fill_text(Standing::Answered(verdict).glyph(), left + wide / 2.0, lane / 2.0);
        } else {
            context.fill_rect(left, lane * top, wide, lane * tall);
        }
    }
    let at = (drawn.frame as f64 + 0.5) * width / drawn.frames as f64;
    context.set_fill_style_str("#ffffff");
    context.fill_rect((at - density).round(), 0.0, 2.0 * density, height);
}
