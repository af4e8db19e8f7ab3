//! The picture: zoom at the cursor, pointers, and the state of the frame in words.

use std::cell::Cell;
use std::rc::Rc;

use leptos::html;
use leptos::prelude::*;
use wasm_bindgen::prelude::*;
use web_sys::{HtmlCanvasElement, ResizeObserver};

use super::pointers::{Pointers, position};
use super::words::{describe, verdict};
use crate::annotate::{Hand, Tool};
use crate::clock::now;
use crate::marking;
use crate::paint::{Painter, Scene, density};
use crate::viewer::Viewer;

/// The canvas and what is written over it.
#[component]
pub fn Canvas() -> impl IntoView {
    let viewer = expect_context::<Viewer>();
    let canvas = NodeRef::<html::Canvas>::new();
    let pointers = Pointers::new();
    Effect::new(move || {
        if let Some(canvas) = canvas.get() {
            match Painter::new(&canvas).and_then(|painter| Ok((painter, layout_size(&canvas)?))) {
                Ok((painter, size)) => repaint(viewer, canvas, size, painter, None),
                Err(error) => viewer.notices.problem(crate::messages::post::reason(&error)),
            }
        }
    });
    view! {
        <canvas
            node_ref=canvas
            tabindex="0"
            role="img"
            aria-label=move || describe(viewer)
            class:draws=move || viewer.pointer_tool().marks()
            on:wheel=move |event| {
                event.prevent_default();
                if event.alt_key() {
                    let by = if event.delta_y() < 0.0 { 1 } else { -1 };
                    return marking::resize(viewer, by);
                }
                let at = position(event.offset_x(), event.offset_y());
                let factor = (-event.delta_y() * if event.delta_mode() == 0 { 0.0015 } else { 0.05 }).exp();
                viewer.move_view(|view| view.zoomed(factor.clamp(0.5, 2.0), at));
            }
            on:pointerdown=move |event| {
                // The button on the right has a menu of its own.
                if event.button() > 1 {
                    return;
                }
                if let Some(canvas) = canvas.get_untracked() {
                    // Without capture the drag ends at the edge of the picture, which is no harm.
                    let _ = canvas.set_pointer_capture(event.pointer_id());
                }
                pointers.pressed(viewer, &event);
            }
            on:pointermove=move |event| pointers.moved(viewer, &event)
            on:pointerup=move |event| pointers.released(viewer, &event)
            on:pointercancel=move |event| pointers.released(viewer, &event)
            on:lostpointercapture=move |event| pointers.released(viewer, &event)
            on:pointerleave=move |_| viewer.tools.pointer.set(None)
            on:contextmenu=move |event| {
                // On a Mac the key for the inverse makes it a click for the menu.
                if event.ctrl_key() && untrack(|| viewer.pointer_tool()).marks() {
                    event.prevent_default();
                }
            }
            on:dblclick=move |_| {
                if !untrack(|| viewer.pointer_tool()).marks() {
                    viewer.fit();
                }
            }
        ></canvas>
        <p class="verdict" data-verdict=move || verdict(viewer).0>{move || verdict(viewer).1}</p>
        <p class="sr-only" role="status" aria-live="polite">
            {move || {
                // What changes with every picture is not spoken; where it ends is.
                let moving = viewer.view.playing.get() || viewer.tools.hand.with(Hand::is_drawing);
                if moving { String::new() } else { describe(viewer) }
            }}
        </p>
        <Show when=move || viewer.view.dropping.get()>
            <p class="drop">"Drop images, DICOM, video, folders, zips or a model file"</p>
        </Show>
    }
}

/// Width and height of a canvas in pixels of the layout, now and whenever they change. To ask for them before every picture
/// would lay out the page once more each time.
fn layout_size(canvas: &HtmlCanvasElement) -> Result<Rc<Cell<(f64, f64)>>, JsValue> {
    let measured = |canvas: &HtmlCanvasElement| (f64::from(canvas.client_width()), f64::from(canvas.client_height()));
    let size = Rc::new(Cell::new(measured(canvas)));
    let (told, observed) = (size.clone(), canvas.clone());
    let changed = Closure::<dyn FnMut()>::new(move || told.set(measured(&observed)));
    // The browser keeps the observer, and that its callback, as long as the canvas.
    ResizeObserver::new(changed.into_js_value().unchecked_ref())?.observe(canvas);
    Ok(size)
}

/// Draw whenever what is to be seen has changed.
fn repaint(
    viewer: Viewer,
    canvas: HtmlCanvasElement,
    layout: Rc<Cell<(f64, f64)>>,
    mut painter: Painter,
    last: Option<Scene>,
) {
    request_animation_frame(move || {
        if viewer.notices.stage.is_disposed() {
            return;
        }
        let density = density();
        let (width, height) = layout.get();
        let size = ((width * density).round().max(1.0), (height * density).round().max(1.0));
        if viewer.view.canvas.get_untracked() != size {
            canvas.set_width(size.0 as u32);
            canvas.set_height(size.1 as u32);
            viewer.resize_canvas(size);
        }
        let scene = untrack(|| scene(viewer, size, density));
        let last = match scene {
            Some(scene) if last.as_ref() != Some(&scene) => {
                let start = now();
                if let Err(error) = painter.paint(&scene) {
                    viewer.notices.problem(format!(
                        "The picture could not be drawn ({}).",
                        crate::messages::post::reason(&error)
                    ));
                }
                viewer.findings.speeds.update_value(|speeds| speeds.draw.add(now() - start));
                Some(scene)
            }
            None if last.is_some() => {
                painter.clear(size);
                None
            }
            _ => last,
        };
        repaint(viewer, canvas, layout, painter, last);
    });
}

fn scene(viewer: Viewer, canvas: (f64, f64), density: f64) -> Option<Scene> {
    let frame = viewer.view.frame.get();
    let tools = viewer.tools;
    let tool = viewer.pointer_tool();
    let answer = viewer.drawn();
    let painted = tools.hand.with(|hand| hand.mask().cloned()).filter(|_| viewer.hand_is_here());
    Some(Scene {
        clip: viewer.media.clip.get()?,
        frame,
        pixels: viewer.media.pixels.with_value(|all| all.get(&frame).cloned()),
        found: if answer.is_none() { viewer.shown() } else { None },
        drawn: painted.or_else(|| answer?.mask.clone()),
        line: viewer.line(),
        line_tool: tool == Tool::Line,
        taken: tools.hand.with(Hand::taken).filter(|_| viewer.hand_is_here()),
        ring: tools.pointer.get().filter(|_| tool.is_round()).map(|middle| (middle, tools.size(tool).get() / 2.0)),
        tone: viewer.view.tone.get(),
        threshold: viewer.view.threshold.get(),
        overlay: viewer.shown_overlay(),
        opacity: viewer.view.opacity.get(),
        transform: viewer.view.transform.get(),
        canvas,
        density,
    })
}
