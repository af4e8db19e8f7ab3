//! How long each part of the work takes, and on what it runs.

use std::time::Duration;

use leptos::prelude::*;

use crate::clock::now;
use crate::faster;
use crate::messages::DeviceChoice;
use crate::session::Session;
use crate::timings::Durations;
use crate::viewer::Viewer;
use crate::viewer::findings::Speeds;

/// The speed panel, brought up to date twice a second.
#[component]
pub fn Speed() -> impl IntoView {
    let viewer = expect_context::<Viewer>();
    let session = expect_context::<Session>();
    let speeds = RwSignal::new(Speeds::default());
    let renew = move || speeds.set(viewer.findings.speeds.get_value());
    if let Ok(timer) = set_interval_with_handle(renew, Duration::from_millis(500)) {
        on_cleanup(move || timer.clear());
    }
    let row = move |name: &'static str, part: fn(&Speeds) -> &Durations| {
        let cells = move || speeds.with(|speeds| part(speeds).typical_and_slow());
        let text = |value: Option<f64>| value.map_or_else(|| "\u{2013}".to_owned(), |ms| format!("{ms:.1}"));
        view! {
            <tr data-part=name>
                <th scope="row">{name}</th>
                <td>{move || text(cells().map(|cells| cells.0))}</td>
                <td>{move || text(cells().map(|cells| cells.1))}</td>
            </tr>
        }
    };
    let rate = move |rate: fn(&mut Speeds) -> &mut crate::timings::Rate| {
        let mut speeds = speeds.get();
        rate(&mut speeds).per_second(now()).map_or_else(|| "\u{2013}".to_owned(), |rate| format!("{rate:.1}"))
    };
    view! {
        <section class="panel" aria-labelledby="speed-title">
            <h2 id="speed-title">"Speed"</h2>
            <table class="speed">
                <thead>
                    <tr>
                        <th scope="col">"ms per frame"</th>
                        <th scope="col">"typical"</th>
                        <th scope="col" title="95 of 100 are faster">"slow (p95)"</th>
                    </tr>
                </thead>
                <tbody>
                    {row("Decode", |speeds| &speeds.decode)} {row("Preprocess", |speeds| &speeds.prepare)}
                    {row("Model", |speeds| &speeds.model)} {row("Fit line", |speeds| &speeds.fit)}
                    {row("Draw", |speeds| &speeds.draw)}
                </tbody>
            </table>
            <p class="quiet">
                {move || format!("{} shown per second, {} predicted", rate(|s| &mut s.shown), rate(|s| &mut s.predicted))}
            </p>
            <Show when=move || viewer.findings.has_gpu.get()>
                <div class="choice" role="group" aria-label="Device of the model">
                    {[("Faster", DeviceChoice::Auto), ("WebGPU", DeviceChoice::WebGpu), ("CPU", DeviceChoice::Cpu)]
                        .into_iter()
                        .map(|(name, choice)| {
                            view! {
                                <button
                                    aria-pressed=move || (viewer.findings.pinned.get() == choice).to_string()
                                    on:click=move |_| session.pin(choice)
                                >
                                    {name}
                                </button>
                            }
                        })
                        .collect_view()}
                </div>
                <p class="quiet measured">{move || viewer.findings.measured.get().map(faster::numbers)}</p>
            </Show>
            <p class="quiet" id="device-reason">
                {move || viewer.findings.device.with(|d| d.as_ref().map(|d| format!("Runs on {}. {}", d.name, d.reason)))}
            </p>
        </section>
    }
}
