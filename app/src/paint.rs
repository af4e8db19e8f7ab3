//! Draws the picture, the mask, the shaft and the tip on the canvas.

use std::any::Any;
use std::f64::consts::TAU;
use std::sync::Arc;

use js_sys::Array;
use sonoseg_imaging::geometry::Detection;
use wasm_bindgen::{Clamped, JsCast, JsValue};
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement, ImageData};

use crate::messages::ClipInfo;
use crate::overlay::{Overlay, coloured, outline, rgba};
use crate::transform::Transform;
use crate::viewer::findings::Found;
use crate::viewer::media::Pixels;

/// Colours that stay apart for colour-blind eyes and from grey tissue.
const MASK: [u8; 3] = [38, 208, 206];
const MASK_LINE: &str = "#26d0ce";
const SHAFT: &str = "#ffb84d";
const EDGE: &str = "rgba(0, 0, 0, 0.75)";

/// All that decides what the canvas shows. Equal scenes look the same.
#[derive(Clone)]
pub(crate) struct Scene {
    pub(crate) clip: Arc<ClipInfo>,
    pub(crate) frame: usize,
    pub(crate) pixels: Option<Arc<Pixels>>,
    pub(crate) found: Option<Arc<Found>>,
    pub(crate) overlay: Overlay,
    pub(crate) opacity: f64,
    pub(crate) transform: Transform,
    pub(crate) canvas: (f64, f64),
    /// Canvas pixels per pixel of the layout.
    pub(crate) density: f64,
}

impl PartialEq for Scene {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.clip, &other.clip)
            && self.frame == other.frame
            && same(self.pixels.as_ref(), other.pixels.as_ref())
            && same(self.found.as_ref(), other.found.as_ref())
            && self.overlay == other.overlay
            && self.opacity == other.opacity
            && self.transform == other.transform
            && self.canvas == other.canvas
    }
}

fn same<T>(a: Option<&Arc<T>>, b: Option<&Arc<T>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (None, None) => true,
        _ => false,
    }
}

/// The canvas and two hidden ones that hold picture and mask at their own size.
pub(crate) struct Painter {
    context: CanvasRenderingContext2d,
    picture: Layer,
    mask: Layer,
}

struct Layer {
    canvas: HtmlCanvasElement,
    context: CanvasRenderingContext2d,
    /// What it was made from; keeping it makes its address a name.
    holds: Option<Arc<dyn Any + Send + Sync>>,
}

impl Painter {
    /// For the canvas on the page.
    pub(crate) fn new(canvas: &HtmlCanvasElement) -> Result<Self, JsValue> {
        Ok(Self { context: context(canvas)?, picture: Layer::new()?, mask: Layer::new()? })
    }

    /// Draw nothing, on a canvas of this size.
    pub(crate) fn clear(&self, (width, height): (f64, f64)) {
        self.context.clear_rect(0.0, 0.0, width, height);
    }

    /// Draw a scene.
    pub(crate) fn paint(&mut self, scene: &Scene) -> Result<(), JsValue> {
        let context = &self.context;
        self.clear(scene.canvas);
        // The picture is made of squares of `shrink` pixels, so it may reach a little beyond the image.
        let shrink = scene.clip.shrink as f64;
        let (shown_height, shown_width) = (scene.clip.shown_height(), scene.clip.shown_width());
        let view = &scene.transform;
        let place = |layer: &HtmlCanvasElement| {
            let scale = view.scale * shrink;
            let (w, h) = (shown_width as f64 * scale, shown_height as f64 * scale);
            context.draw_image_with_html_canvas_element_and_dw_and_dh(layer, view.left, view.top, w, h)
        };
        if let Some(pixels) = &scene.pixels {
            self.picture.hold(pixels, shown_height, shown_width, || rgba(&pixels.bytes, pixels.channels))?;
            // Enlarged pixels are shown as they are, so that a line can be judged.
            context.set_image_smoothing_enabled(view.scale < 4.0);
            place(&self.picture.canvas)?;
        }
        let Some(found) = scene.found.as_ref().filter(|_| scene.overlay != Overlay::Hidden) else { return Ok(()) };
        match scene.overlay {
            Overlay::Mask => {
                self.mask.hold(found, shown_height, shown_width, || coloured(&found.mask(), MASK))?;
                context.set_global_alpha(scene.opacity);
                context.set_image_smoothing_enabled(false);
                place(&self.mask.canvas)?;
                context.set_global_alpha(1.0);
            }
            Overlay::Outline => self.outline(scene, found),
            Overlay::Line | Overlay::Hidden => {}
        }
        if let Some((detection, _)) = &found.needle() {
            self.needle(scene, detection, found.unlike_training);
        }
        Ok(())
    }

    fn outline(&self, scene: &Scene, found: &Found) {
        let (context, shrink) = (&self.context, scene.clip.shrink as f64);
        context.begin_path();
        for [x0, y0, x1, y1] in outline(&found.mask()) {
            let corner = |x: f64, y: f64| scene.transform.canvas(((x + 0.5) * shrink - 0.5, (y + 0.5) * shrink - 0.5));
            let (from, to) = (corner(x0, y0), corner(x1, y1));
            context.move_to(from.0, from.1);
            context.line_to(to.0, to.1);
        }
        context.set_global_alpha(scene.opacity.max(0.3));
        self.stroke(MASK_LINE, 1.5 * scene.density, &[]);
        context.set_global_alpha(1.0);
    }

    /// The line of a picture unlike the training data is dashed, as what is no more than a guess.
    fn needle(&self, scene: &Scene, found: &Detection, guess: bool) {
        let (context, density) = (&self.context, scene.density);
        let [entry, tip] = [found.needle.entry, found.needle.tip].map(|end| scene.transform.canvas((end.x, end.y)));
        let (dx, dy) = (tip.0 - entry.0, tip.1 - entry.1);
        let length = dx.hypot(dy);
        if length > 0.0 && scene.overlay != Overlay::Mask {
            let dashes: &[f64] = if guess { &[3.0 * density, 5.0 * density] } else { &[] };
            self.line(entry, tip, SHAFT, 2.0 * density, dashes);
        }
        if length > 0.0 {
            // Where the needle would go on: the same direction, dashed, as far again as half the shaft.
            let reach = (0.5 * length).max(40.0 * density) / length;
            let start = (9.0 * density / length).min(reach);
            let from = (tip.0 + start * dx, tip.1 + start * dy);
            let to = (tip.0 + reach * dx, tip.1 + reach * dy);
            self.line(from, to, SHAFT, 1.5 * density, &[6.0 * density, 6.0 * density]);
        }
        // Hub side hollow, tip filled, and a ring as wide as the tip is uncertain.
        self.circle(entry, 4.5 * density);
        self.stroke(EDGE, 4.0 * density, &[]);
        self.circle(entry, 4.5 * density);
        self.stroke(SHAFT, 2.0 * density, &[]);
        let ring = (found.tip_spread_px * scene.transform.scale).max(7.0 * density);
        self.circle(tip, ring);
        self.stroke(EDGE, 3.5 * density, &[]);
        self.circle(tip, ring);
        let dashes: &[f64] = if guess || found.confidence < 0.5 { &[4.0 * density, 3.0 * density] } else { &[] };
        self.stroke("#ffffff", 1.5 * density, dashes);
        self.circle(tip, 4.0 * density);
        context.set_fill_style_str(EDGE);
        context.fill();
        self.circle(tip, 3.0 * density);
        context.set_fill_style_str(SHAFT);
        context.fill();
    }

    fn circle(&self, at: (f64, f64), radius: f64) {
        self.context.begin_path();
        // An arc with a negative radius is the only one that the browser refuses.
        let _ = self.context.arc(at.0, at.1, radius.max(0.0), 0.0, TAU);
    }

    fn line(&self, from: (f64, f64), to: (f64, f64), colour: &str, width: f64, dashes: &[f64]) {
        for (colour, width) in [(EDGE, width + 2.0), (colour, width)] {
            self.context.begin_path();
            self.context.move_to(from.0, from.1);
            self.context.line_to(to.0, to.1);
            self.stroke(colour, width, dashes);
        }
    }

    fn stroke(&self, colour: &str, width: f64, dashes: &[f64]) {
        let dashes: Array = dashes.iter().map(|&dash| JsValue::from_f64(dash)).collect();
        let _ = self.context.set_line_dash(&dashes);
        self.context.set_stroke_style_str(colour);
        self.context.set_line_width(width);
        self.context.stroke();
    }
}

impl Layer {
    fn new() -> Result<Self, JsValue> {
        let canvas: HtmlCanvasElement = leptos::prelude::document().create_element("canvas")?.dyn_into()?;
        Ok(Self { context: context(&canvas)?, canvas, holds: None })
    }

    /// Make it hold these pixels, unless it does already.
    fn hold<T: Any + Send + Sync>(
        &mut self,
        what: &Arc<T>,
        height: usize,
        width: usize,
        rgba: impl FnOnce() -> Vec<u8>,
    ) -> Result<(), JsValue> {
        if self.holds.as_ref().is_some_and(|held| std::ptr::addr_eq(Arc::as_ptr(held), Arc::as_ptr(what))) {
            return Ok(());
        }
        if (self.canvas.height() as usize, self.canvas.width() as usize) != (height, width) {
            self.canvas.set_height(height as u32);
            self.canvas.set_width(width as u32);
        }
        let image = ImageData::new_with_u8_clamped_array_and_sh(Clamped(&rgba()), width as u32, height as u32)?;
        self.context.put_image_data(&image, 0, 0)?;
        self.holds = Some(what.clone());
        Ok(())
    }
}

fn context(canvas: &HtmlCanvasElement) -> Result<CanvasRenderingContext2d, JsValue> {
    let context = canvas.get_context("2d")?.ok_or_else(|| JsValue::from_str("this browser has no 2D canvas"))?;
    Ok(context.dyn_into()?)
}
