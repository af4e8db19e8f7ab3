//! A prediction drawn over its frame.

use sonoseg_core::data::image::Image;
use sonoseg_core::needle::{Needle, draw_capsule};
use sonoseg_core::predict::Prediction;

const MASK: [f32; 3] = [40.0, 200.0, 255.0];
const LINE: [u8; 3] = [255, 220, 60];
const TIP: [u8; 3] = [255, 80, 80];

/// Red, green and blue bytes, row-major `[height, width, 3]`: the frame, the mask tinted, the shaft and the tip.
pub(crate) fn draw(frame: &Image, prediction: &Prediction) -> Vec<u8> {
    let bytes = frame.to_bytes();
    let mut rgb: Vec<u8> = if frame.channels == 3 { bytes } else { bytes.iter().flat_map(|&grey| [grey; 3]).collect() };
    for (pixel, &class) in rgb.chunks_exact_mut(3).zip(&prediction.mask.classes) {
        if class > 0 {
            for (value, tint) in pixel.iter_mut().zip(MASK) {
                *value = (0.7 * f32::from(*value) + 0.3 * tint) as u8;
            }
        }
    }
    if let Some(found) = &prediction.detection {
        let thickness = (frame.height.max(frame.width) as f64 / 600.0).max(0.6);
        let Needle { tip, .. } = found.needle;
        let dot = Needle { entry: tip, tip };
        for (needle, radius, colour) in [(found.needle, thickness, LINE), (dot, 4.0 * thickness, TIP)] {
            let drawn = draw_capsule(&needle, radius, frame.height, frame.width);
            for (pixel, &class) in rgb.chunks_exact_mut(3).zip(&drawn.classes) {
                if class > 0 {
                    pixel.copy_from_slice(&colour);
                }
            }
        }
    }
    rgb
}
