//! Draws the picture, the mask, the shaft and the tip on the canvas.

use std::any::Any;
use std::f64::consts::TAU;
use std::sync::Arc;

use js_sys::Array;
use sonoseg_imaging::annotation::Handle;
use sonoseg_imaging::geometry::{Mask, Needle, Point};
use wasm_bindgen::{Clamped, JsCast, JsValue};
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement, ImageData};

use crate::messages::ClipInfo;
use crate::overlay::{CLASSES, Overlay, changed, coloured, css_colour, cut, only, outline, rgba};
use crate::tone::Tone;
use crate::transform::Transform;
use crate::viewer::Line;
use crate::viewer::findings::Found;
use crate::viewer::media::Pixels;

/// Colours that stay apart for colour-blind eyes and from grey tissue.
const MASK: [u8; 3] = [38, 208, 206];
const MASK_LINE: &str = "#26d0ce";
const SHAFT: &str = "#ffb84d";
/// Lines that a person drew.
const HAND_LINE: &str = "#ff7ad9";
const EDGE: &str = "rgba(0, 0, 0, 0.75)";

/// All that decides what the canvas shows. Equal scenes look the same.
#[derive(Clone)]
pub(crate) struct Scene {
    pub(crate) clip: Arc<ClipInfo>,
    pub(crate) frame: usize,
    pub(crate) pixels: Option<Arc<Pixels>>,
    /// What the model found, where no person answered.
    pub(crate) found: Option<Arc<Found>>,
    /// The mask that a person drew or is drawing.
    pub(crate) drawn: Option<Arc<Mask>>,
    pub(crate) line: Option<Line>,
    /// The line is drawn whatever the overlay, as the tool for lines is in hand.
    pub(crate) line_tool: bool,
    /// The part of the line that arrows move.
    pub(crate) taken: Option<Handle>,
    /// The ring of the brush: its middle and its radius in pixels of the frame.
    pub(crate) ring: Option<(Point, f64)>,
    pub(crate) tone: Tone,
    /// What the model is surer of than this is drawn; none: its own threshold decides.
    pub(crate) threshold: Option<f64>,
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
            && same(self.drawn.as_ref(), other.drawn.as_ref())
            && (self.line, self.line_tool, self.taken) == (other.line, other.line_tool, other.taken)
            && (self.ring, self.tone, self.threshold) == (other.ring, other.tone, other.threshold)
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

/// Canvas pixels per pixel of the layout.
pub(crate) fn density() -> f64 {
    leptos::prelude::window().device_pixel_ratio().clamp(1.0, 3.0)
}

/// The canvas and hidden ones that hold the picture and the masks of model and person at their own size.
pub(crate) struct Painter {
    context: CanvasRenderingContext2d,
    picture: Layer,
    tone: Tone,
    threshold: Option<f64>,
    mask: Layer,
    drawn: Layer,
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
        let (picture, mask, drawn) = (Layer::new()?, Layer::new()?, Layer::new()?);
        Ok(Self { context: context(canvas)?, picture, tone: Tone::default(), threshold: None, mask, drawn })
    }

    /// Draw nothing, on a canvas of this size.
    pub(crate) fn clear(&self, (width, height): (f64, f64)) {
        self.context.clear_rect(0.0, 0.0, width, height);
    }

    /// Draw a scene.
    pub(crate) fn paint(&mut self, scene: &Scene) -> Result<(), JsValue> {
        self.clear(scene.canvas);
        // The picture is made of squares of `shrink` pixels, so it may reach a little beyond the image.
        let (height, width) = (scene.clip.shown_height(), scene.clip.shown_width());
        if let Some(pixels) = &scene.pixels {
            if self.tone != scene.tone {
                self.tone = scene.tone;
                self.picture.holds = None;
            }
            self.picture.hold(pixels, height, width, || rgba(&pixels.bytes, pixels.channels, &scene.tone.table()))?;
            // Enlarged pixels are shown as they are, so that a line can be judged.
            self.context.set_image_smoothing_enabled(scene.transform.scale < 4.0);
            self.place(scene, &self.picture.canvas, scene.clip.shrink)?;
        }
        if scene.overlay != Overlay::Hidden {
            self.marks(scene)?;
        }
        if let Some((middle, radius)) = scene.ring {
            let radius = (radius * scene.transform.scale).max(2.0 * scene.density);
            self.ring(scene.transform.canvas((middle.x, middle.y)), radius, "#ffffff", scene.density, &[]);
        }
        Ok(())
    }

    /// What was marked: by a person, or else by the model.
    fn marks(&mut self, scene: &Scene) -> Result<(), JsValue> {
        if self.threshold != scene.threshold {
            self.threshold = scene.threshold;
            self.mask.holds = None;
        }
        match (&scene.drawn, &scene.found) {
            (Some(mask), _) if scene.overlay == Overlay::Mask => {
                self.drawn.hold_mask(mask, &CLASSES)?;
                self.translucent(scene, &self.drawn.canvas, 1)?;
            }
            (None, Some(found)) if scene.overlay == Overlay::Mask => {
                let (height, width) = (scene.clip.shown_height(), scene.clip.shown_width());
                let colours = if found.tells_classes() { &CLASSES[..] } else { &[MASK] };
                self.mask.hold(found, height, width, || coloured(&found.mask(scene.threshold), colours))?;
                self.translucent(scene, &self.mask.canvas, scene.clip.shrink)?;
            }
            (Some(mask), _) if scene.overlay == Overlay::Outline => self.outlines(scene, mask, 1),
            (None, Some(found)) if scene.overlay == Overlay::Outline && found.tells_classes() => {
                self.outlines(scene, &found.mask(None), scene.clip.shrink);
            }
            (None, Some(found)) if scene.overlay == Overlay::Outline => {
                self.outline(scene, &found.mask(scene.threshold), MASK_LINE, scene.clip.shrink);
            }
            _ => {}
        }
        if let Some(line) = &scene.line {
            let guess = scene.found.as_ref().is_some_and(|found| found.unlike_training);
            self.needle(scene, line, guess);
        }
        Ok(())
    }

    /// Put a hidden canvas, of whose pixels each is `size` pixels of the frame, where the picture is.
    fn place(&self, scene: &Scene, layer: &HtmlCanvasElement, size: usize) -> Result<(), JsValue> {
        let (view, scale) = (&scene.transform, scene.transform.scale * size as f64);
        let (width, height) = (f64::from(layer.width()) * scale, f64::from(layer.height()) * scale);
        self.context.draw_image_with_html_canvas_element_and_dw_and_dh(layer, view.left, view.top, width, height)
    }

    fn translucent(&self, scene: &Scene, layer: &HtmlCanvasElement, size: usize) -> Result<(), JsValue> {
        self.context.set_global_alpha(scene.opacity);
        self.context.set_image_smoothing_enabled(false);
        self.place(scene, layer, size)?;
        self.context.set_global_alpha(1.0);
        Ok(())
    }

    /// The outline of each class in its colour.
    fn outlines(&self, scene: &Scene, mask: &Mask, size: usize) {
        for class in 1..=mask.classes.iter().copied().filter(|&class| Mask::shows(class)).max().unwrap_or(0) {
            self.outline(scene, &only(mask, class), &css_colour(class), size);
        }
    }

    fn outline(&self, scene: &Scene, mask: &Mask, colour: &str, size: usize) {
        let (context, size) = (&self.context, size as f64);
        context.begin_path();
        for [x0, y0, x1, y1] in outline(mask) {
            let corner = |x: f64, y: f64| scene.transform.canvas(((x + 0.5) * size - 0.5, (y + 0.5) * size - 0.5));
            let (from, to) = (corner(x0, y0), corner(x1, y1));
            context.move_to(from.0, from.1);
            context.line_to(to.0, to.1);
        }
        context.set_global_alpha(scene.opacity.max(0.3));
        self.stroke(colour, 1.5 * scene.density, &[]);
        context.set_global_alpha(1.0);
    }

    /// The entry hollow and the tip filled. The line of a picture unlike the training data is dashed, as what is no more
    /// than a guess.
    fn needle(&self, scene: &Scene, line: &Line, guess: bool) {
        let (context, density, needle) = (&self.context, scene.density, &line.needle);
        let [entry, tip] = [needle.entry, needle.tip].map(|end| scene.transform.canvas((end.x, end.y)));
        let length = (tip.0 - entry.0).hypot(tip.1 - entry.1);
        let guess = guess && line.detection.is_some();
        let colour = if line.detection.is_some() { SHAFT } else { HAND_LINE };
        if length > 0.0 && (scene.overlay != Overlay::Mask || scene.line_tool) {
            let dashes: &[f64] = if guess { &[3.0 * density, 5.0 * density] } else { &[] };
            self.line(entry, tip, colour, 2.0 * density, dashes);
        }
        self.ring(entry, 4.5 * density, colour, 2.0 * density, &[]);
        if let Some(found) = &line.detection {
            self.beyond(scene, needle, length);
            // A ring as wide as the tip is uncertain.
            let ring = (found.tip_spread_px * scene.transform.scale).max(7.0 * density);
            let dashes: &[f64] = if guess || found.confidence < 0.5 { &[4.0 * density, 3.0 * density] } else { &[] };
            self.ring(tip, ring, "#ffffff", 1.5 * density, dashes);
        }
        self.circle(tip, 4.0 * density);
        context.set_fill_style_str(EDGE);
        context.fill();
        self.circle(tip, 3.0 * density);
        context.set_fill_style_str(colour);
        context.fill();
        let taken: &[(f64, f64)] = match scene.taken {
            Some(Handle::Entry) => &[entry],
            Some(Handle::Tip) => &[tip],
            Some(Handle::Whole) => &[entry, tip],
            None => &[],
        };
        taken.iter().for_each(|&end| self.ring(end, 10.0 * density, "#ffffff", 2.0 * density, &[]));
    }

    /// Where the needle would go on: the same direction, dashed, as far again as half the shaft.
    fn beyond(&self, scene: &Scene, needle: &Needle, length: f64) {
        if length == 0.0 {
            return;
        }
        let density = scene.density;
        let [entry, tip] = [needle.entry, needle.tip].map(|end| scene.transform.canvas((end.x, end.y)));
        let (dx, dy) = (tip.0 - entry.0, tip.1 - entry.1);
        let reach = (0.5 * length).max(40.0 * density) / length;
        let start = (9.0 * density / length).min(reach);
        let from = (tip.0 + start * dx, tip.1 + start * dy);
        let to = (tip.0 + reach * dx, tip.1 + reach * dy);
        self.line(from, to, SHAFT, 1.5 * density, &[6.0 * density, 6.0 * density]);
    }

    fn ring(&self, at: (f64, f64), radius: f64, colour: &str, width: f64, dashes: &[f64]) {
        self.circle(at, radius);
        self.stroke(EDGE, 2.0 * width + 0.5, &[]);
        self.circle(at, radius);
        self.stroke(colour, width, dashes);
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
        self.put([0, 0], [height, width], &rgba())?;
        self.holds = Some(what.clone());
        Ok(())
    }

    /// Make it hold this mask. Only what differs from the mask before is put, so that strokes are fast on large pictures.
    fn hold_mask(&mut self, mask: &Arc<Mask>, colours: &[[u8; 3]]) -> Result<(), JsValue> {
        let before = self.holds.take().and_then(|held| held.downcast::<Mask>().ok());
        match before.filter(|before| [before.height, before.width] == [mask.height, mask.width]) {
            Some(before) => {
                if let Some([corner, size]) = changed(&before, mask) {
                    self.put(corner, size, &coloured(&cut(mask, corner, size), colours))?;
                }
                self.holds = Some(mask.clone());
                Ok(())
            }
            None => self.hold(mask, mask.height, mask.width, || coloured(mask, colours)),
        }
    }

    fn put(&self, [top, left]: [usize; 2], [height, width]: [usize; 2], rgba: &[u8]) -> Result<(), JsValue> {
        let image = ImageData::new_with_u8_clamped_array_and_sh(Clamped(rgba), width as u32, height as u32)?;
        self.context.put_image_data(&image, left as i32, top as i32)
    }
}

fn context(canvas: &HtmlCanvasElement) -> Result<CanvasRenderingContext2d, JsValue> {
    let context = canvas.get_context("2d")?.ok_or_else(|| JsValue::from_str("this browser has no 2D canvas"))?;
    Ok(context.dyn_into()?)
}
