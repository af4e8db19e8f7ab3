//! Learning: one button, what will happen, the curves while it happens, and the pinned frames.

use leptos::html;
use leptos::prelude::*;
use wasm_bindgen::{Clamped, JsCast, JsValue};
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement, ImageData};

use super::gate::Judged;
use crate::learning::{
    MOST_SIMULATED, curve, duration, enlarged, heat, layers, left, points, smoothed, summary, told, weights,
};
use crate::messages::{LayerChoice, LearningPlan, RunLine, RunState};
use crate::session::Session;
use crate::viewer::Viewer;
use crate::viewer::learning::{Look, Phase, Pinned, PinnedFrame};

/// Width and height of a curve's picture.
const CURVE: [f64; 2] = [240.0, 56.0];

/// Updates whose mean loss is drawn.
const SMOOTH: usize = 5;

/// The panel.
#[component]
pub fn Learn() -> impl IntoView {
    let viewer = expect_context::<Viewer>();
    let learning = viewer.learning;
    let updates = move || learning.updates.with(|[done, all]| format!("{done} of {all}"));
    let body = move || match learning.phase.get() {
        Phase::Idle => view! { <Start /> }.into_any(),
        Phase::Planning(doing) | Phase::Judging(doing) => {
            view! { <p class="quiet" role="status">{format!("{doing}\u{2026}")}</p> }.into_any()
        }
        Phase::Planned(plan) => planned(&plan).into_any(),
        Phase::Learning(_) | Phase::Paused => view! { <Running /> }.into_any(),
        Phase::Judged(judgement) => view! { <Judged judgement=*judgement /> }.into_any(),
        Phase::Failed(reason) => failed(reason).into_any(),
    };
    view! {
        <section
            class="panel learn"
            aria-labelledby="learn-title"
            data-learning=move || learning.phase.with(Phase::name)
            data-updates=updates
            data-measured=move || learning.measured.with(Vec::len).to_string()
            data-run=move || learning.run.get().map(|run| run.0)
            data-used=move || learning.used.get().map(|run| run.0)
            data-pinned=move || learning.pinned.with(|pinned| format!("{} at {}", pinned.frames.len(), pinned.update))
            data-loss=move || learning.losses.with(|losses| losses.last().map(|loss| loss.1.to_string()))
        >
            <h2 id="learn-title">"Learn"</h2>
            {body}
            <Runs />
        </section>
    }
}

/// What there is to learn from, and the one button.
#[component]
fn Start() -> impl IntoView {
    let viewer = expect_context::<Viewer>();
    let session = expect_context::<Session>();
    let tally = Memo::new(move |_| {
        let needles = viewer.findings.finding.with(|finding| finding.is_needles());
        viewer.annotations.project.with(|project| project.document().tally(needles))
    });
    let noun = move || viewer.findings.finding.with(|finding| finding.noun().to_owned());
    let obstacle = move || tally.get().obstacle(&noun());
    let ready = move || obstacle().is_none() && viewer.findings.model.with(Option::is_some);
    view! {
        <p class="quiet">{move || format!("Frames that count: {}", tally.get().words(&noun()))}</p>
        <button
            class="primary begin"
            aria-disabled=move || (!ready()).to_string()
            on:click=move |_| if ready() { session.plan_learning() }
        >
            "Learn from my frames\u{2026}"
        </button>
        <p class="quiet">{move || obstacle().unwrap_or_else(|| {
            "The model learns here, in this tab. The one in use stays until you keep the new one.".to_owned()
        })}</p>
    }
}

/// What will happen.
fn planned(plan: &LearningPlan) -> impl IntoView + use<> {
    let viewer = expect_context::<Viewer>();
    let session = expect_context::<Session>();
    let choice = viewer.learning.choice;
    let chosen = plan.chosen.clone();
    let choose = move |event| {
        let name = event_target_value(&event);
        choice.update(|choice| choice.layers = Some(name));
        session.plan_learning();
    };
    let slide = move |event| {
        let share = event_target_value(&event).parse::<f64>().unwrap_or(0.0) / 100.0;
        choice.update(|choice| choice.simulated = share);
    };
    let option = |one: &LayerChoice| {
        let words = format!("{} ({})", layers(&one.name), weights(one.weights));
        view! { <option value=one.name.clone() selected=one.name == chosen>{words}</option> }
    };
    let options: Vec<_> = plan.layers.iter().map(option).collect();
    let needles = viewer.findings.finding.with_untracked(|finding| finding.is_needles());
    let line = |(what, how): (&'static str, String)| view! { <dt>{what}</dt> <dd>{how}</dd> };
    let notes: Vec<String> = plan.caveat.iter().cloned().chain(plan.notes.iter().cloned()).collect();
    view! {
        <dl class="plan">{told(plan).into_iter().map(line).collect::<Vec<_>>()}</dl>
        {notes.into_iter().map(|note| view! { <p class="quiet">{note}</p> }).collect::<Vec<_>>()}
        <div class="row">
            <button class="primary start" on:click=move |_| session.learn(None)>"Start"</button>
            <button on:click=move |_| viewer.learning.phase.set(Phase::Idle)>"Not now"</button>
        </div>
        <details>
            <summary>"Other settings"</summary>
            <label class="your-name">
                "What learns"
                <select on:change=choose>{options}</select>
            </label>
            <Show when=move || needles>
                <label class="slider">
                    <span>{move || format!("Simulated {:.0} %", choice.with(|choice| choice.simulated * 100.0))}</span>
                    <input
                        type="range"
                        min="0"
                        max=(MOST_SIMULATED * 100.0).to_string()
                        step="5"
                        aria-label="Share of simulated samples"
                        prop:value=move || (choice.with(|choice| choice.simulated * 100.0)).to_string()
                        on:input=slide
                        on:change=move |_| session.plan_learning()
                    />
                </label>
                <p class="quiet">"More of them: less of what it knew is forgotten, and your frames are learned more slowly."</p>
            </Show>
        </details>
    }
}

/// A run that learns or was paused: curves, pinned frames, time left.
#[component]
fn Running() -> impl IntoView {
    let viewer = expect_context::<Viewer>();
    let session = expect_context::<Session>();
    let learning = viewer.learning;
    let paused = move || learning.phase.get() == Phase::Paused;
    let status = move || {
        let ([done, all], seconds) = (learning.updates.get(), learning.seconds.get());
        match learning.phase.get() {
            Phase::Learning(Some(doing)) => format!("{doing}\u{2026}"),
            Phase::Paused => format!("Paused after {done} of {all} updates"),
            _ => {
                let rest = left(seconds, [done, all]).map(|rest| format!(", {} left", duration(rest)));
                format!("Update {done} of {all}{}", rest.unwrap_or_default())
            }
        }
    };
    let go_on = move |_| session.learn(learning.run.get_untracked());
    let throw = move |_| {
        if let Some(run) = learning.run.get_untracked() {
            session.delete_run(run);
        }
    };
    view! {
        <p class="standing" role="status">{status}</p>
        <progress
            aria-label="Updates"
            max=move || learning.updates.get()[1].to_string()
            value=move || learning.updates.get()[0].to_string()
        ></progress>
        <div class="row">
            <Show
                when=paused
                fallback=move || view! {
                    <button on:click=move |_| session.pause_learning()>"Pause"</button>
                    <button on:click=move |_| session.finish_learning()>"Stop, keep the best"</button>
                }
            >
                <button class="primary" on:click=go_on>"Go on"</button>
                <button on:click=throw>"Throw away"</button>
            </Show>
        </div>
        <Curves />
        <PinnedFrames />
    }
}

/// Loss, held-out IoU and tip error.
#[component]
pub fn Curves() -> impl IntoView {
    let learning = expect_context::<Viewer>().learning;
    let to = move || learning.updates.get()[1] as f64;
    let loss = move || learning.losses.with(|losses| smoothed(losses, SMOOTH));
    let iou = move || learning.measured.with(|measured| points(measured, |one| one.iou));
    let tip = move || learning.measured.with(|measured| points(measured, |one| one.tip_px));
    let last = |points: &[(f64, f64)], digits: usize| {
        points.last().map_or_else(|| "\u{2013}".to_owned(), |point| format!("{:.digits$}", point.1))
    };
    let picture = move |name: &'static str, class: &'static str, line: Signal<String>, value: Signal<String>| {
        view! {
            <figure class="curve">
                <figcaption>{name} <b>{move || value.get()}</b></figcaption>
                <svg viewBox=format!("0 0 {} {}", CURVE[0], CURVE[1]) preserveAspectRatio="none" aria-hidden="true">
                    <polyline class=class points=move || line.get() />
                </svg>
            </figure>
        }
    };
    let drawn = move |points: Vec<(f64, f64)>, top| curve(&points, to(), top, CURVE);
    view! {
        {picture("Loss", "of-loss", Signal::derive(move || drawn(loss(), None)), Signal::derive(move || last(&loss(), 3)))}
        {picture("Held-out IoU", "of-iou", Signal::derive(move || drawn(iou(), Some(1.0))), Signal::derive(move || last(&iou(), 2)))}
        {picture("Held-out tip error, px", "of-tip", Signal::derive(move || drawn(tip(), None)), Signal::derive(move || last(&tip(), 1)))}
    }
}

/// The pinned frames: what the model saw before learning, and what it sees now.
#[component]
pub fn PinnedFrames() -> impl IntoView {
    let learning = expect_context::<Viewer>().learning;
    let count = Memo::new(move |_| learning.pinned.with(|pinned| pinned.frames.len()));
    view! {
        <Show when=move || { count.get() > 0 }>
            <p class="quiet">
                {move || format!("Before learning, and after {} updates", learning.pinned.with(|pinned| pinned.update))}
            </p>
            <div class="pinned">{move || (0..count.get()).map(|at| view! { <PinnedPair at /> }).collect::<Vec<_>>()}</div>
            <p class="quiet">"The brighter the colour, the surer the model. Click a place to see where the model looks for it."</p>
            <Attention />
        </Show>
    }
}

#[component]
fn PinnedPair(at: usize) -> impl IntoView {
    let learning = expect_context::<Viewer>().learning;
    let session = expect_context::<Session>();
    let canvas = NodeRef::<html::Canvas>::new();
    Effect::new(move || {
        let Some(canvas) = canvas.get() else { return };
        // A picture that cannot be drawn is no reason to stop.
        learning.pinned.with(|pinned| pinned.frames.get(at).map(|frame| draw(&canvas, pinned, frame)));
    });
    let name = move || {
        let name = learning.pinned.with(|pinned| pinned.frames.get(at).map(|frame| frame.name.clone()));
        format!("{} before learning and now: see where the model looks", name.unwrap_or_default())
    };
    let click = move |event: web_sys::MouseEvent| {
        let Some(canvas) = canvas.get_untracked() else { return };
        let (width, height) = (f64::from(canvas.client_width()).max(2.0), f64::from(canvas.client_height()).max(1.0));
        // By the keyboard it is the middle; else a place of either of the two pictures.
        let place = match event.detail() {
            0 => [0.5, 0.5],
            _ => [event.offset_x() / (width / 2.0) % 1.0, event.offset_y() / height],
        };
        session.look_at(at, place);
    };
    view! { <button class="look" aria-label=name on:click=click><canvas node_ref=canvas></canvas></button> }
}

/// Where the model looks for the place that was clicked: a column for each block that its decoder reads, before learning above and
/// now below.
#[component]
fn Attention() -> impl IntoView {
    let learning = expect_context::<Viewer>().learning;
    let canvas = NodeRef::<html::Canvas>::new();
    Effect::new(move || {
        let Some(canvas) = canvas.get() else { return };
        // A picture that cannot be drawn is no reason to stop.
        learning.look.with(|look| {
            let look = look.as_ref()?;
            learning
                .pinned
                .with(|pinned| Some(draw_attention(&canvas, look, pinned.size, &pinned.frames.get(look.frame)?.grey)))
        });
    });
    let grid = move || learning.look.with(|look| look.as_ref().map_or(0, |look| look.grid));
    view! {
        <Show when=move || { grid() > 0 }>
            <figure class="attention" data-grid=move || grid().to_string()>
                <canvas node_ref=canvas role="img" aria-label="Attention of the place before learning and now"></canvas>
                <figcaption class="quiet">
                    "Where it looks for that place: early to late blocks from left to right, before learning above, now below"
                </figcaption>
            </figure>
        </Show>
    }
}

fn draw_attention(canvas: &HtmlCanvasElement, look: &Look, size: usize, grey: &[u8]) -> Result<(), JsValue> {
    let columns = look.maps[0].len().max(1);
    canvas.set_width((columns * size) as u32);
    canvas.set_height(2 * size as u32);
    let Some(context) = canvas.get_context("2d")? else { return Ok(()) };
    let context: CanvasRenderingContext2d = context.unchecked_into();
    for (row, maps) in look.maps.iter().enumerate() {
        for (column, map) in maps.iter().enumerate() {
            let rgba = heat(grey, &enlarged(map, look.grid, size));
            let image = ImageData::new_with_u8_clamped_array_and_sh(Clamped(&rgba), size as u32, size as u32)?;
            let (left, top) = ((column * size) as f64, (row * size) as f64);
            context.put_image_data(&image, left as i32, top as i32)?;
            let patch = size as f64 / look.grid as f64;
            let corner = |share: f64| (share.clamp(0.0, 0.999) * look.grid as f64).floor() * patch;
            context.set_stroke_style_str("#ffb84d");
            context.set_line_width(2.0);
            context.stroke_rect(left + corner(look.at[0]), top + corner(look.at[1]), patch, patch);
        }
    }
    Ok(())
}

/// Both heats side by side.
fn draw(canvas: &HtmlCanvasElement, pinned: &Pinned, frame: &PinnedFrame) -> Result<(), JsValue> {
    let size = pinned.size as u32;
    canvas.set_width(2 * size);
    canvas.set_height(size);
    let Some(context) = canvas.get_context("2d")? else { return Ok(()) };
    let context: CanvasRenderingContext2d = context.unchecked_into();
    for (left, probability) in [(0.0, &frame.before), (f64::from(size), &frame.now)] {
        let rgba = heat(&frame.grey, probability);
        let image = ImageData::new_with_u8_clamped_array_and_sh(Clamped(&rgba), size, size)?;
        context.put_image_data(&image, left as i32, 0)?;
    }
    Ok(())
}

fn failed(reason: String) -> impl IntoView {
    let viewer = expect_context::<Viewer>();
    let session = expect_context::<Session>();
    let learning = viewer.learning;
    let again = move || {
        learning
            .run
            .get()
            .and_then(|run| learning.line(&run))
            .is_some_and(|line| matches!(line.about.state, RunState::Running | RunState::Paused))
    };
    let close = move |_| {
        learning.run.set(None);
        learning.phase.set(Phase::Idle);
    };
    view! {
        <p role="alert">{reason}</p>
        <div class="row">
            <Show when=again>
                <button on:click=move |_| session.learn(learning.run.get_untracked())>"Go on"</button>
            </Show>
            <button on:click=close>"Close"</button>
        </div>
    }
}

/// The models that are kept, and runs that wait.
#[component]
fn Runs() -> impl IntoView {
    let viewer = expect_context::<Viewer>();
    let learning = viewer.learning;
    let count = move || learning.runs.with(Vec::len);
    view! {
        <Show when=move || { count() > 0 }>
            <details class="runs">
                <summary>{move || format!("Models made here ({})", count())}</summary>
                <ul>
                    <For
                        each=move || learning.runs.get()
                        key=|run| (run.id.clone(), run.about.name.clone(), run.about.state as u8, run.about.updates)
                        children=|run| run_line(&run)
                    />
                </ul>
            </details>
        </Show>
    }
}

/// A run of the list: to use, to rename, to take out, to delete.
fn run_line(run: &RunLine) -> impl IntoView + use<> {
    let viewer = expect_context::<Viewer>();
    let session = expect_context::<Session>();
    let learning = viewer.learning;
    let name = crate::learning::name(&run.about);
    let id = StoredValue::new(run.id.clone());
    let about = StoredValue::new(run.about.clone());
    let (kept, has_model) = (run.about.state == RunState::Kept, run.about.model.is_some());
    let used = move || id.with_value(|id| learning.used.with(|used| used.as_ref() == Some(id)));
    let words = move || {
        let labels = viewer.annotations.project.with(|project| project.document().labels());
        about.with_value(|about| summary(about, &labels))
    };
    let sure = RwSignal::new(false);
    let delete = move |_| {
        if sure.get_untracked() {
            session.delete_run(id.get_value());
        } else {
            sure.set(true);
        }
    };
    let rename = move |event| {
        let name = event_target_value(&event).trim().to_owned();
        if !name.is_empty() {
            session.rename_run(id.get_value(), name);
        }
    };
    let back = StoredValue::new(format!("Go back to {}, which it began from", run.about.from));
    view! {
        <li>
            <Show when=move || kept fallback={let name = name.clone(); move || view! { <b>{name.clone()}</b> }}>
                <input type="text" aria-label="Name of the model" prop:value=name.clone() on:change=rename />
            </Show>
            <small>{words}</small>
            <div class="row">
                <Show when=move || has_model && kept>
                    <button aria-pressed=move || used().to_string() on:click=move |_| session.use_run(&id.get_value())>
                        {move || if used() { "In use" } else { "Use" }}
                    </button>
                    <button
                        title=back.get_value()
                        on:click=move |_| session.use_before(&id.get_value())
                    >
                        "Use the one before"
                    </button>
                </Show>
                <Show when=move || has_model>
                    <button title="Save the model as a file that sonoseg reads" on:click=move |_| session.export_model(id.get_value())>
                        "Export model"
                    </button>
                </Show>
                <button
                    title="Save the run with its data, to go on with `sonoseg train --resume`"
                    on:click=move |_| session.take_run_out(id.get_value())
                >
                    "Take run out"
                </button>
                <button on:click=delete on:blur=move |_| sure.set(false)>
                    {move || if sure.get() { "Delete for good" } else { "Delete" }}
                </button>
            </div>
        </li>
    }
}
