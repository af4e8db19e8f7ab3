//! The frames that a model did worst on, with truth and prediction drawn.

use std::collections::BTreeMap;

use anyhow::Result;
use sonoseg_core::inference::Predictor;
use sonoseg_imaging::evaluate::{Frame, Truth, truth};
use sonoseg_imaging::formats::encode::encode_png_rgb;
use sonoseg_imaging::geometry::Image;
use sonoseg_imaging::geometry::resize;
use sonoseg_imaging::metrics::classes::MEAN_IOU;
use sonoseg_imaging::metrics::needle::Outcome;

use super::document::Captioned;
use crate::evaluate::measure::Evaluation;
use crate::folder::Folder;
use crate::overlay;
use crate::table::number;

/// Frames shown at most, and of one procedure at most: its frames are near twins.
const MOST: usize = 12;
const MOST_OF_ONE: usize = 3;
/// Longer side of a picture, in pixels: one to be looked at by itself, and one of many on a sheet.
pub(crate) const ALONE: usize = 360;
pub(crate) const ONE_OF_MANY: usize = 200;
/// Pictures in a row of the contact sheet, and the gap between them.
const COLUMNS: usize = 4;
const GAP: usize = 6;

/// The worst frames, worst first, and all of them on one sheet (PNG).
pub(super) struct Worst {
    pub(super) pictures: Vec<Captioned>,
    pub(super) sheet: Vec<u8>,
}

impl Worst {
    /// Predict the worst frames once more and draw them.
    pub(super) fn draw(evaluation: &Evaluation, predictor: &Predictor, data: &Folder) -> Result<Self> {
        let mut tiles = Vec::new();
        let mut pictures = Vec::new();
        for frame in pick(&evaluation.frames) {
            let tile = draw_sample(frame.sample, predictor, data, ALONE)?;
            pictures.push(Captioned { png: tile.png()?, caption: caption(frame) });
            tiles.push(tile);
        }
        Ok(Self { pictures, sheet: sheet(&tiles, COLUMNS).png()? })
    }
}

/// A picture in colour.
pub(crate) struct Tile {
    height: usize,
    width: usize,
    /// `[height, width, 3]`.
    rgb: Vec<u8>,
}

impl Tile {
    pub(crate) fn png(&self) -> Result<Vec<u8>> {
        Ok(encode_png_rgb(self.height, self.width, &self.rgb)?)
    }
}

/// By IoU, or mIoU where classes are told apart, then by wrong pixels, not too many of one procedure.
fn pick(frames: &[Frame]) -> Vec<&Frame> {
    let key = |frame: &Frame| (overlap(frame), frame.model.counts.fp + frame.model.counts.fn_);
    let mut order: Vec<&Frame> = frames.iter().collect();
    order.sort_by(|a, b| {
        let ((iou_a, wrong_a), (iou_b, wrong_b)) = (key(a), key(b));
        iou_a.total_cmp(&iou_b).then(wrong_b.cmp(&wrong_a))
    });
    let mut taken: BTreeMap<&str, usize> = BTreeMap::new();
    order.retain(|frame| {
        let count = taken.entry(&frame.group).or_default();
        *count += 1;
        *count <= MOST_OF_ONE && overlap(frame) < 1.0
    });
    order.truncate(MOST);
    order
}

/// The IoU of a frame, or its mIoU where classes are told apart.
fn overlap(frame: &Frame) -> f64 {
    frame.model.shape.value(&MEAN_IOU.name).unwrap_or_else(|| frame.model.counts.iou_one())
}

fn caption(frame: &Frame) -> String {
    if frame.model.tells_classes() {
        return format!("{} ({}): mIoU {}", frame.id, frame.difficulty, number(overlap(frame), 2));
    }
    let iou = number(frame.model.counts.iou_one(), 2);
    let Some(error) = &frame.model.error else { return format!("{} ({}): IoU {iou}", frame.id, frame.difficulty) };
    let what = match error.outcome {
        Outcome::Missed => format!("needle missed, IoU {iou}"),
        Outcome::FalsePositive => format!("false needle, confidence {}", number(frame.model.confidence, 2)),
        Outcome::Empty => format!("no needle, {} pixels marked", frame.model.counts.fp),
        Outcome::Found if error.scaled => {
            format!("IoU {iou}, tip off by {} px ({} mm)", number(error.tip_px, 1), number(error.tip_mm, 1))
        }
        Outcome::Found => format!("IoU {iou}, tip off by {} px", number(error.tip_px, 1)),
    };
    format!("{} ({}): {what}", frame.id, frame.difficulty)
}

/// A sample with the answer of a network, and the truth as an outline; its longer side comes to `long_side` pixels.
pub(crate) fn draw_sample(index: usize, predictor: &Predictor, data: &Folder, long_side: usize) -> Result<Tile> {
    let sample = data.sample(index)?;
    let middle = sample.frames.len() / 2;
    let frames: Vec<&Image> = sample.frames.iter().collect();
    let output = pollster::block_on(predictor.forward(&predictor.prepare(&frames)))?;
    let original = frames[middle];
    let shown = scaled(original, long_side);
    let to = [shown.height, shown.width];
    let prediction = predictor.finish(&output, &shown);
    let apart = !predictor.header().recipe.data.classes.is_empty();
    let mut rgb = overlay::draw(&shown, &prediction, apart);
    let from = [original.height, original.width];
    match truth(&sample) {
        Some(Truth::Needle(Some(needle))) => {
            // The radius holds at the network's size, whose two axes may be stretched differently.
            let size = predictor.header().recipe.preparation.size as f64;
            let stretch = (to[0] as f64 * to[1] as f64).sqrt() / size;
            let radius = predictor.header().recipe.needle.radius_px * stretch;
            overlay::outline(&mut rgb, to, &needle.scaled(from, to), radius);
        }
        Some(Truth::Mask(mask)) => {
            overlay::outline_mask(&mut rgb, to, &resize::nearest(&mask.classes, from, to), apart);
        }
        Some(Truth::Needle(None)) | None => {}
    }
    Ok(Tile { height: shown.height, width: shown.width, rgb })
}

/// The frame with a longer side of `long_side` pixels.
fn scaled(frame: &Image, long_side: usize) -> Image {
    let from = [frame.height, frame.width];
    let factor = long_side as f64 / frame.height.max(frame.width) as f64;
    let [height, width] = from.map(|side| ((side as f64 * factor).round() as usize).max(1));
    let pixels = resize::bilinear_antialiased(&frame.pixels, from, [height, width]);
    Image { channels: frame.channels, height, width, pixels, scale: Default::default() }
}

/// The pictures in rows, on black.
pub(crate) fn sheet(tiles: &[Tile], columns: usize) -> Tile {
    let largest = |side: fn(&Tile) -> usize| tiles.iter().map(side).max().unwrap_or(1) + GAP;
    let (row, column) = (largest(|tile| tile.height), largest(|tile| tile.width));
    let columns = tiles.len().clamp(1, columns);
    let (height, width) = (row * tiles.len().div_ceil(columns).max(1) - GAP, column * columns - GAP);
    let mut rgb = vec![0; height * width * 3];
    for (index, tile) in tiles.iter().enumerate() {
        let (top, left) = (row * (index / columns), column * (index % columns));
        for (y, line) in tile.rgb.chunks_exact(tile.width * 3).enumerate() {
            let start = ((top + y) * width + left) * 3;
            rgb[start..start + line.len()].copy_from_slice(line);
        }
    }
    Tile { height, width, rgb }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sonoseg_imaging::evaluate::{Score, Traits};
    use sonoseg_imaging::metrics::measure::Measures;
    use sonoseg_imaging::metrics::needle::NeedleError;
    use sonoseg_imaging::metrics::overlap::Counts;

    fn frame(group: &str, sample: usize, tp: u64, fp: u64) -> Frame {
        let score = |tp, fp| Score {
            needle: None,
            counts: Counts { tp, fp, fn_: 0, tn: 0 },
            error: Some(NeedleError::new(None, None, None)),
            confidence: 0.0,
            shape: Measures::default(),
        };
        let id = format!("{group}/{sample}");
        Frame {
            sample,
            id,
            group: group.into(),
            difficulty: "hard".into(),
            traits: Traits::NoNeedle,
            model: score(tp, fp),
            baseline: score(0, 0),
        }
    }

    #[test]
    fn the_worst_come_first_and_no_procedure_takes_all_places() {
        let mut frames: Vec<Frame> = (0..5).map(|i| frame("a", i, 0, 10 + i as u64)).collect();
        frames.push(frame("b", 9, 1, 1));
        frames.push(frame("c", 10, 5, 0));
        let ids: Vec<usize> = pick(&frames).iter().map(|frame| frame.sample).collect();
        assert_eq!(ids, [4, 3, 2, 9], "most wrong pixels first, three of a, none that is perfect");
        assert_eq!(caption(&frames[0]), "a/0 (hard): no needle, 10 pixels marked");
    }

    #[test]
    fn pictures_of_different_sizes_share_a_sheet() {
        let tile = |height, width, value| Tile { height, width, rgb: vec![value; height * width * 3] };
        let tiles: Vec<Tile> = (1..=5).map(|i| tile(2, i, i as u8)).collect();
        let sheet = sheet(&tiles, COLUMNS);
        assert_eq!((sheet.height, sheet.width), (2 * (2 + GAP) - GAP, 4 * (5 + GAP) - GAP));
        let at = |y: usize, x: usize| sheet.rgb[(y * sheet.width + x) * 3];
        assert_eq!([at(0, 0), at(0, 1), at(0, 5 + GAP), at(2 + GAP, 4)], [1, 0, 2, 5]);
        assert_eq!(super::sheet(&[], COLUMNS).rgb.len(), 3);
    }

    #[test]
    fn frames_become_small_or_large_enough_to_look_at() {
        let small = scaled(&Image::grey(20, 40, vec![0.5; 800]), 360);
        assert_eq!((small.height, small.width, small.pixels.len()), (180, 360, 180 * 360));
    }
}
