//! The sheet of keys.

use leptos::html;
use leptos::prelude::*;

use crate::keys::SHEET;
use crate::viewer::Viewer;

/// The sheet, shown by `?` and closed by Esc. While it is open, the browser keeps focus and pointer in it, and gives the
/// focus back afterwards.
#[component]
pub fn Keys() -> impl IntoView {
    let viewer = expect_context::<Viewer>();
    let sheet = NodeRef::<html::Dialog>::new();
    Effect::new(move || {
        let Some(sheet) = sheet.get() else { return };
        match (viewer.view.help.get(), sheet.open()) {
            (true, false) => {
                // A dialog that is closed and on the page can always be shown.
                let _ = sheet.show_modal();
                // What takes the focus stands at its end.
                sheet.set_scroll_top(0.0);
            }
            (false, true) => sheet.close(),
            _ => {}
        }
    });
    view! {
        <dialog node_ref=sheet class="sheet" aria-labelledby="keys-title" on:close=move |_| viewer.view.help.set(false)>
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
                    prop:checked=move || viewer.view.letters.get()
                    on:change=move |event| viewer.view.letters.set(event_target_checked(&event))
                />
                "Single-letter keys"
            </label>
            <button class="primary" autofocus on:click=move |_| viewer.view.help.set(false)>"Close"</button>
        </dialog>
    }
}
