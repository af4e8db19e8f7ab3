//! Learning: one button, what will happen, what happens, and the models that are kept.

use leptos::prelude::*;

use super::gate::Judged;
use super::progress::{Curves, PinnedFrames};
use crate::learning::{MOST_SIMULATED, duration, layers, left, summary, told, weights};
use crate::messages::{LayerChoice, LearningPlan, RunLine, RunState};
use crate::session::Session;
use crate::viewer::Viewer;
use crate::viewer::learning::Phase;

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
            data-used=move || viewer.used_run().map(|run| run.0)
            data-pinned=move || learning.pinned.with(|pinned| format!("{} at {}", pinned.frames.len(), pinned.update))
            data-loss=move || learning.losses.with(|losses| losses.last().map(|loss| loss.1.to_string()))
        >
            <h2 id="learn-title">"Learn"</h2>
            {body}
            <Runs />
        </section>
    }
}

/// What the clip that comes with the app is for.
const EXAMPLE: &str = "This example is simulated. The model finds its needle in most frames and misses it in others: mark some of \
                       those, and let the model learn.";

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
    let example = move || viewer.findings.bundled.get() && viewer.media.shows_example();
    view! {
        <Show when=example>
            <p class="example">{EXAMPLE}</p>
        </Show>
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
    let name = crate::learning::name(&run.about);
    let id = StoredValue::new(run.id.clone());
    let about = StoredValue::new(run.about.clone());
    let (kept, has_model) = (run.about.state == RunState::Kept, run.about.model.is_some());
    let used = move || viewer.used_run() == Some(id.get_value());
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
