//! A prediction drawn over its frame.

use sonoseg_core::inference::Prediction;
use sonoseg_imaging::formats::encode::colour_over_grey;
use sonoseg_imaging::geometry::{Image, Mask};
use sonoseg_imaging::geometry::{Needle, draw_capsule};

const MASK: [f32; 3] = [40.0, 200.0, 255.0];
const LINE: [u8; 3] = [255, 220, 60];
const TIP: [u8; 3] = [255, 80, 80];
const TRUTH: [u8; 3] = [90, 230, 120];

/// Red, green and blue bytes, row-major `[height, width, 3]`: the frame, the mask tinted, each class in its colour where they are
/// told `apart`, the shaft and the tip.
pub(crate) fn draw(frame: &Image, prediction: &Prediction, apart: bool) -> Vec<u8> {
    let bytes = frame.to_bytes();
    let mut rgb: Vec<u8> = if frame.channels == 3 { bytes } else { bytes.iter().flat_map(|&grey| [grey; 3]).collect() };
    for (pixel, &class) in rgb.chunks_exact_mut(3).zip(prediction.mask().into_iter().flat_map(|mask| &mask.classes)) {
        if class > 0 {
            let tint = if apart { colour_over_grey(class).map(f32::from) } else { MASK };
            for (value, tint) in pixel.iter_mut().zip(tint) {
                *value = (0.7 * f32::from(*value) + 0.3 * tint) as u8;
            }
        }
    }
    if let Some(found) = prediction.needle() {
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

/// Draw the edge of the true needle over a picture of `[height, width]`, and a ring around its tip.
pub(crate) fn outline(rgb: &mut [u8], [height, width]: [usize; 2], needle: &Needle, radius_px: f64) {
    let dot = Needle { entry: needle.tip, tip: needle.tip };
    for (shape, radius) in [(*needle, radius_px), (dot, 2.0 * radius_px + 3.0)] {
        let outer = draw_capsule(&shape, radius + 0.75, height, width);
        let inner = draw_capsule(&shape, radius - 0.75, height, width);
        let edge = outer.classes.iter().zip(&inner.classes).map(|(outer, inner)| outer > inner);
        for (pixel, edge) in rgb.chunks_exact_mut(3).zip(edge) {
            if edge {
                pixel.copy_from_slice(&TRUTH);
            }
        }
    }
}

/// Draw the inner edge of a mask over a picture of `[height, width]`, of each class in its colour where they are told `apart`.
/// What nobody judged has none.
pub(crate) fn outline_mask(rgb: &mut [u8], [height, width]: [usize; 2], classes: &[u8], apart: bool) {
    for (index, pixel) in rgb.chunks_exact_mut(3).enumerate() {
        let (y, x) = (index / width, index % width);
        let class = classes[index];
        let same = |(y, x): (usize, usize)| {
            let other = |other: u8| if apart { other == class } else { Mask::shows(other) };
            y < height && x < width && other(classes[y * width + x])
        };
        let around = [(y.wrapping_sub(1), x), (y + 1, x), (y, x.wrapping_sub(1)), (y, x + 1)];
        if Mask::shows(class) && !around.into_iter().all(same) {
            pixel.copy_from_slice(&if apart { colour_over_grey(class) } else { TRUTH });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edge_of_a_mask_is_drawn_and_its_inside_is_not() {
        let mut rgb = vec![0; 5 * 5 * 3];
        let classes: Vec<u8> =
            (0..25).map(|i| u8::from((1..4).contains(&(i / 5)) && (1..4).contains(&(i % 5)))).collect();
        outline_mask(&mut rgb, [5, 5], &classes, false);
        let green: Vec<usize> = (0..25).filter(|i| rgb[i * 3 + 1] == TRUTH[1]).collect();
        assert_eq!(green, [6, 7, 8, 11, 13, 16, 17, 18]);
        // Where classes are told apart, the border between two of them is an edge, too.
        let classes: Vec<u8> =
            classes.iter().enumerate().map(|(i, &class)| class * (1 + u8::from(i % 5 > 2))).collect();
        let mut rgb = vec![0; 5 * 5 * 3];
        outline_mask(&mut rgb, [5, 5], &classes, true);
        let colour = |i: usize| &rgb[i * 3..][..3];
        assert_eq!([colour(12), colour(13)], [&colour_over_grey(1), &colour_over_grey(2)]);
    }
    use sonoseg_imaging::geometry::Point;

    #[test]
    fn the_outline_leaves_the_inside_free() {
        let needle = Needle { entry: Point { x: 5.0, y: 10.0 }, tip: Point { x: 30.0, y: 10.0 } };
        let mut rgb = vec![0; 20 * 50 * 3];
        outline(&mut rgb, [20, 50], &needle, 3.0);
        let at = |x: usize, y: usize| rgb[(y * 50 + x) * 3 + 1];
        assert_eq!([at(15, 10), at(15, 7), at(15, 13), at(15, 16)], [0, TRUTH[1], TRUTH[1], 0]);
        assert_eq!(at(39, 10), TRUTH[1], "the ring around the tip");
    }
}
