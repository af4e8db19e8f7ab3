//! How learning goes: curves, the pinned frames before and now, and where the models look.

use leptos::html;
use leptos::prelude::*;
use wasm_bindgen::{Clamped, JsCast, JsValue};
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement, ImageData};

use crate::learning::{curve, enlarged, heat, points, smoothed};
use crate::session::Session;
use crate::viewer::Viewer;
use crate::viewer::learning::{Look, Pinned, PinnedFrame};

/// Width and height of a curve's picture.
const CURVE: [f64; 2] = [240.0, 56.0];

/// Updates whose mean loss is drawn.
const SMOOTH: usize = 5;

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
                <canvas node_ref=canvas role="img" aria-label="What counts for the place, before learning and now"></canvas>
                <figcaption class="quiet">
                    {move || match learning.look.with(|look| look.as_ref().map_or(0, |look| look.maps[0].len())) {
                        1 => "How much each part of the picture changes the answer at that place: before learning above, now below",
                        _ => "Where it looks for that place: early to late blocks from left to right, before learning above, now below",
                    }}
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
