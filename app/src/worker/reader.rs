//! A decoded frame of the browser as bytes, read by drawing it: whatever its pixel format, the colours are the browser's.

use js_sys::{Object, Reflect};
use wasm_bindgen::prelude::*;
use web_sys::{OffscreenCanvas, OffscreenCanvasRenderingContext2d, VideoFrame};

use crate::overlay::colours;
use crate::rotation::QuarterTurns;

/// A frame as it is shown.
#[derive(Debug)]
pub(super) struct Pixels {
    /// 1 grey or 3 colour.
    pub(super) channels: usize,
    /// `[height, width, channels]`.
    pub(super) bytes: Vec<u8>,
}

/// Reads frames, turned as they are to be shown.
pub(super) struct Reader {
    turns: QuarterTurns,
    canvas: Option<(OffscreenCanvas, OffscreenCanvasRenderingContext2d)>,
}

impl Reader {
    pub(super) fn new(turns: QuarterTurns) -> Self {
        Self { turns, canvas: None }
    }

    /// `[height, width]` and the pixels of a frame, at the size at which it was recorded.
    pub(super) fn read(&mut self, frame: &VideoFrame) -> Result<([usize; 2], Pixels), JsValue> {
        let recorded = frame.visible_rect().map(|rect| (rect.width() as u32, rect.height() as u32));
        let (across, down) = recorded.unwrap_or_else(|| (frame.display_width(), frame.display_height()));
        let (height, width) = self.turns.size(down, across);
        let (canvas, context) = match &self.canvas {
            Some(kept) => kept,
            None => self.canvas.insert(canvas(width, height)?),
        };
        if (canvas.width(), canvas.height()) != (width, height) {
            canvas.set_width(width);
            canvas.set_height(height);
        }
        let [a, b, c, d, e, f] = self.turns.transform(down, across);
        context.set_transform(a, b, c, d, e, f)?;
        context.draw_image_with_video_frame_and_dw_and_dh(frame, 0.0, 0.0, f64::from(across), f64::from(down))?;
        let rgba = context.get_image_data(0, 0, width as i32, height as i32)?.data();
        let (channels, bytes) = colours(&rgba);
        Ok(([height as usize, width as usize], Pixels { channels, bytes }))
    }
}

fn canvas(width: u32, height: u32) -> Result<(OffscreenCanvas, OffscreenCanvasRenderingContext2d), JsValue> {
    let canvas = OffscreenCanvas::new(width, height)?;
    let options = Object::new();
    Reflect::set(&options, &"willReadFrequently".into(), &JsValue::TRUE)?;
    let context = canvas.get_context_with_context_options("2d", &options)?;
    let context = context.ok_or_else(|| JsValue::from_str("this browser cannot draw in a worker"))?;
    Ok((canvas, context.dyn_into()?))
}
