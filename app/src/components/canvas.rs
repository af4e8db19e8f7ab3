//! The picture: zoom at the cursor, pan by dragging, pinch, and the state of the frame in words.

use std::collections::BTreeMap;

use leptos::html;
use leptos::prelude::*;
use sonoseg_imaging::geometry::Detection;
use web_sys::PointerEvent;

use crate::clock::now;
use crate::finding;
use crate::paint::{Painter, Scene};
use crate::timeline::FrameState;
use crate::viewer::Viewer;
use crate::viewer::notices::Stage;

/// Fingers or the mouse on the picture, in canvas pixels, by pointer number.
type Pointers = StoredValue<BTreeMap<i32, (f64, f64)>>;

/// The canvas and what is written over it.
#[component]
pub fn Canvas() -> impl IntoView {
    let viewer = expect_context::<Viewer>();
    let canvas = NodeRef::<html::Canvas>::new();
    let pointers: Pointers = StoredValue::new(BTreeMap::new());
    Effect::new(move || {
        if let Some(canvas) = canvas.get() {
            match Painter::new(&canvas) {
                Ok(painter) => repaint(viewer, canvas, painter, None),
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
            on:wheel=move |event| {
                event.prevent_default();
                let at = position(event.offset_x(), event.offset_y());
                let factor = (-event.delta_y() * if event.delta_mode() == 0 { 0.0015 } else { 0.05 }).exp();
                viewer.move_view(|view| view.zoomed(factor.clamp(0.5, 2.0), at));
            }
            on:pointerdown=move |event| {
                // The other buttons have menus of their own.
                if event.button() != 0 {
                    return;
                }
                if let Some(canvas) = canvas.get_untracked() {
                    // Without capture the drag ends at the edge of the picture, which is no harm.
                    let _ = canvas.set_pointer_capture(event.pointer_id());
                }
                pointers.update_value(|all| {
                    all.insert(event.pointer_id(), at(&event));
                });
            }
            on:pointermove=move |event| drag(viewer, pointers, &event)
            on:pointerup=move |event| release(pointers, &event)
            on:pointercancel=move |event| release(pointers, &event)
            on:lostpointercapture=move |event| release(pointers, &event)
            on:dblclick=move |_| viewer.fit()
        ></canvas>
        <p class="verdict" data-verdict=move || verdict(viewer).0>{move || verdict(viewer).1}</p>
        <p class="sr-only" role="status" aria-live="polite">
            {move || if viewer.view.playing.get() { String::new() } else { describe(viewer) }}
        </p>
        <Show when=move || viewer.view.dropping.get()>
            <p class="drop">"Drop images, DICOM, video or a model file"</p>
        </Show>
    }
}

fn density() -> f64 {
    window().device_pixel_ratio().clamp(1.0, 3.0)
}

fn position(x: f64, y: f64) -> (f64, f64) {
    (x * density(), y * density())
}

fn at(event: &PointerEvent) -> (f64, f64) {
    position(event.offset_x(), event.offset_y())
}

fn release(pointers: Pointers, event: &PointerEvent) {
    pointers.update_value(|all| {
        all.remove(&event.pointer_id());
    });
}

/// One pointer moves the picture, two also zoom it.
fn drag(viewer: Viewer, pointers: Pointers, event: &PointerEvent) {
    if event.buttons() & 1 == 0 {
        return release(pointers, event);
    }
    let (id, now_at) = (event.pointer_id(), at(event));
    let Some((was_at, other)) = pointers.with_value(|all| {
        let other = all.iter().find(|(other, _)| **other != id).map(|(_, at)| *at);
        all.get(&id).map(|was| (*was, other))
    }) else {
        return;
    };
    pointers.update_value(|all| {
        all.insert(id, now_at);
    });
    match other {
        None => viewer.move_view(|view| view.panned((now_at.0 - was_at.0, now_at.1 - was_at.1))),
        Some(other) => {
            let distance = |point: (f64, f64)| (point.0 - other.0).hypot(point.1 - other.1).max(1.0);
            let middle = ((now_at.0 + other.0) / 2.0, (now_at.1 + other.1) / 2.0);
            let by = ((now_at.0 - was_at.0) / 2.0, (now_at.1 - was_at.1) / 2.0);
            viewer.move_view(|view| view.panned(by).zoomed(distance(now_at) / distance(was_at), middle));
        }
    }
}

/// Draw whenever what is to be seen has changed.
fn repaint(viewer: Viewer, canvas: web_sys::HtmlCanvasElement, mut painter: Painter, last: Option<Scene>) {
    request_animation_frame(move || {
        if viewer.notices.stage.is_disposed() {
            return;
        }
        let density = density();
        let size = (f64::from(canvas.client_width()) * density, f64::from(canvas.client_height()) * density);
        let size = (size.0.round().max(1.0), size.1.round().max(1.0));
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
        repaint(viewer, canvas, painter, last);
    });
}

fn scene(viewer: Viewer, canvas: (f64, f64), density: f64) -> Option<Scene> {
    let frame = viewer.view.frame.get();
    Some(Scene {
        clip: viewer.media.clip.get()?,
        frame,
        pixels: viewer.media.pixels.with_value(|all| all.get(&frame).cloned()),
        found: viewer.shown(),
        overlay: viewer.shown_overlay(),
        opacity: viewer.view.opacity.get(),
        transform: viewer.view.transform.get(),
        canvas,
        density,
    })
}

/// The state of the frame in a word for the tests and in words for people.
fn verdict(viewer: Viewer) -> (&'static str, String) {
    let state = viewer.shown_state();
    let words = match (viewer.notices.stage.get(), viewer.media.clip.with(Option::is_some), state) {
        (Stage::Stopped(reason), _, _) => return ("stopped", reason),
        (Stage::Starting(what), false, _) => return ("starting", format!("{what}\u{2026}")),
        (_, false, _) => ("empty", "Open or drop ultrasound images, DICOM or video"),
        (_, true, Some(FrameState::Seen(_))) => return ("seen", viewer.findings.finding.with(finding::seen)),
        (_, true, Some(FrameState::Unlike)) => ("unlike", finding::UNLIKE),
        (_, true, Some(FrameState::NotSeen)) => ("none", viewer.findings.finding.with(finding::not_seen)),
        (_, true, Some(FrameState::Failed)) => ("failed", "This frame failed"),
        (Stage::Starting(what), _, _) => return ("starting", format!("{what}\u{2026}")),
        (Stage::Ready, _, _) if viewer.findings.model.with(Option::is_none) => ("no-model", "No model: pictures only"),
        _ => ("waiting", "Looking\u{2026}"),
    };
    (words.0, words.1.to_owned())
}

/// The frame in words, for those who do not see it.
fn describe(viewer: Viewer) -> String {
    let Some(clip) = viewer.media.clip.get() else { return "No picture".to_owned() };
    let frame = viewer.view.frame.get() + 1;
    let found = viewer.shown().filter(|found| !found.unlike_training);
    let found = match found.and_then(|found| found.needle()) {
        Some((Detection { needle, confidence, .. }, spacing)) => {
            let (tip, percent, angle) = (needle.tip, confidence * 100.0, needle.angle_deg(spacing));
            let (x, y) = (tip.x, tip.y);
            format!("needle, tip at {x:.0}, {y:.0}, angle {angle:.0} degrees, model confidence {percent:.0} percent")
        }
        None => verdict(viewer).1,
    };
    format!("{}, frame {frame} of {}: {found}", clip.name, clip.frames)
}
