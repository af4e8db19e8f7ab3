//! Which model is in use, and where it comes from.

use leptos::prelude::*;

use crate::viewer::Viewer;

/// The model panel.
#[component]
pub fn Model() -> impl IntoView {
    let viewer = expect_context::<Viewer>();
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
        </section>
    }
}
