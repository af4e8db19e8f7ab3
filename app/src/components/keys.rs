//! The sheet of keys.

use leptos::html;
use leptos::prelude::*;

use crate::keys::SHEET;
use crate::viewer::Viewer;

/// The sheet, shown by `?` and closed by Esc.
#[component]
pub fn Keys() -> impl IntoView {
    let viewer = expect_context::<Viewer>();
    let close = NodeRef::<html::Button>::new();
    Effect::new(move || {
        if let Some(button) = close.get().filter(|_| viewer.help.get()) {
            // A button that cannot take the focus leaves it where it is.
            let _ = button.focus();
        }
    });
    view! {
        <Show when=move || viewer.help.get()>
            <div class="sheet" role="dialog" aria-modal="true" aria-labelledby="keys-title">
                <h2 id="keys-title">"Keys"</h2>
                <dl>
                    {SHEET
                        .into_iter()
                        .map(|(keys, what)| {
                            view! {
                                <dt>{keys}</dt>
                                <dd>{what}</dd>
                            }
                        })
                        .collect_view()}
                </dl>
                <label>
                    <input
                        type="checkbox"
                        prop:checked=move || viewer.letters.get()
                        on:change=move |event| viewer.letters.set(event_target_checked(&event))
                    />
                    "Single-letter keys"
                </label>
                <button node_ref=close class="primary" on:click=move |_| viewer.help.set(false)>"Close"</button>
            </div>
        </Show>
    }
}
