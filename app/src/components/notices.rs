//! Messages that stay until they are closed.

use leptos::prelude::*;

use crate::viewer::Viewer;
use crate::viewer::notices::Severity;

/// Notices that are shown at once; older ones are counted.
const SHOWN: usize = 4;

/// The stack of notices.
#[component]
pub fn Notices() -> impl IntoView {
    let viewer = expect_context::<Viewer>();
    let newest =
        move || viewer.notices.open.with(|notices| notices.iter().rev().take(SHOWN).rev().cloned().collect::<Vec<_>>());
    let older = move || viewer.notices.open.with(|notices| notices.len().saturating_sub(SHOWN));
    let close = move |number| viewer.notices.close(number);
    view! {
        <div class="notices" role="log" aria-live="polite" aria-label="Messages">
            <Show when=move || { older() > 0 }>
                <p class="notice more">
                    {move || format!("and {} older", older())}
                    <button on:click=move |_| viewer.notices.open.update(Vec::clear)>"Close all"</button>
                </p>
            </Show>
            <For
                each=newest
                key=|notice| notice.number
                children=move |notice| {
                    let (number, long) = (notice.number, notice.text.contains('\n'));
                    view! {
                        <p class="notice" class:problem=notice.severity == Severity::Problem>
                            // A long one is scrolled, also by keys.
                            <span tabindex=long.then_some("0")>{notice.text}</span>
                            <button aria-label="Close message" title="Close (Esc)" on:click=move |_| close(number)>
                                "\u{d7}"
                            </button>
                        </p>
                    }
                }
            />
        </div>
    }
}
