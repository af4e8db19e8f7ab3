//! Which model is in use, and where it comes from.

use leptos::prelude::*;

use crate::session::Session;
use crate::viewer::Viewer;
use crate::viewer::notices::Stage;

/// The model panel.
#[component]
pub fn Model() -> impl IntoView {
    let viewer = expect_context::<Viewer>();
    let session = expect_context::<Session>();
    view! {
        <section class="panel" aria-labelledby="model-title">
            <h2 id="model-title">"Model"</h2>
            {move || match viewer.findings.model.get() {
                None => view! { <p class="quiet">"No model is loaded."</p> }.into_any(),
                Some(model) => {
                    let millions = model.parameters as f64 / 1e6;
                    let window = if model.window > 1 { format!(", {} frames", model.window) } else { String::new() };
                    let size = model.input_size;
                    view! {
                        <p class="model-name" data-model=model.name.clone()>{model.name.clone()}</p>
                        <p class="quiet">
                            {format!("{}, {millions:.1} M parameters, {size} px{window}", model.architecture)}
                        </p>
                        <p class="quiet">{model.trained_on}</p>
                    }
                    .into_any()
                }
            }}
            <Show when=move || changed(viewer)>
                <button class="bundled" on:click=move |_| session.use_bundled_model()>"Use the model of the app"</button>
            </Show>
        </section>
    }
}

/// Whether another model than that of the app is in use, or none is.
fn changed(viewer: Viewer) -> bool {
    let none = viewer.findings.model.with(Option::is_none) && viewer.notices.stage.get() == Stage::Ready;
    none || !viewer.findings.bundled.get()
}
