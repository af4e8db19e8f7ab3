//! The mask of a line that was drawn, and the line of a mask that was painted.

use crate::geometry::{FitConfig, Mask, Needle, Point, draw_capsule, fit, refine_on};

/// Lines are drawn with this radius in a picture whose longer side has this many pixels, as labels are for the networks.
const RADIUS: [f64; 2] = [3.0, 224.0];

/// In larger masks the line is looked for smaller, so that it takes a few milliseconds after every stroke.
const LONGEST: usize = 160;

/// Half the width of the thinnest line that is looked for, in squares.
const THINNEST: f64 = 0.75;

/// Half the width of the widest that is looked for there, in squares: wider ones are looked for smaller still.
const WIDEST: f64 = 4.0;

/// The mask of a line in a picture of `[height, width]` pixels.
pub fn line_mask(needle: &Needle, [height, width]: [usize; 2]) -> Mask {
    draw_capsule(needle, RADIUS[0] * height.max(width) as f64 / RADIUS[1], height, width)
}

/// The line of the pixels of class 1, however wide they were painted; None where they make no line.
pub fn line_of(mask: &Mask) -> Option<Needle> {
    let square = mask.height.max(mask.width).div_ceil(LONGEST).max(1);
    let mut squares = Squares::of(mask, square);
    // A way of one pixel through a square is as good as a square that is full, or thin strokes would be lost.
    let mut painted = squares.shares(square);
    let mut radius_px = half_width(&painted, squares.width)?;
    let is_wide = radius_px > WIDEST;
    if is_wide {
        squares = squares.pooled((radius_px / WIDEST).ceil() as usize);
        painted = squares.shares(squares.square * squares.square);
        radius_px = half_width(&painted, squares.width)?;
    }
    let Squares { height, width, square, .. } = squares;
    let config = FitConfig { threshold: 0.2, radius_px, min_length_px: 2.0 * radius_px, ..FitConfig::default() };
    let small = fit(&painted, height, width, &config)?.needle;
    let needle = small.scaled([height, width], [height * square, width * square]);
    // The last squares may reach beyond the picture.
    let (right, bottom) = (mask.width as f64 - 1.0, mask.height as f64 - 1.0);
    let inside = |end: Point| Point { x: end.x.clamp(0.0, right), y: end.y.clamp(0.0, bottom) };
    let rough = Needle { entry: inside(needle.entry), tip: inside(needle.tip) };
    // A stroke thinner than a square has no width there to begin with, and one of several squares is placed well enough.
    let placed = square == 1 || is_wide || radius_px <= THINNEST;
    Some(if placed { rough } else { refine_on(mask, 1, rough, radius_px * square as f64) })
}

/// How many pixels of each square of a mask are painted.
struct Squares {
    pixels: Vec<usize>,
    height: usize,
    width: usize,
    /// Pixels along an edge of a square.
    square: usize,
}

impl Squares {
    fn of(mask: &Mask, square: usize) -> Self {
        let (height, width) = (mask.height.div_ceil(square), mask.width.div_ceil(square));
        let mut pixels = vec![0; height * width];
        for (y, row) in mask.classes.chunks_exact(mask.width.max(1)).enumerate() {
            // Most of a mask is background, which is passed over by the eight.
            let (words, rest) = row.as_chunks::<8>();
            let counts = &mut pixels[y / square * width..][..width];
            for (at, word) in words.iter().enumerate().filter(|(_, word)| u64::from_ne_bytes(**word) != 0) {
                word.iter()
                    .enumerate()
                    .for_each(|(x, &class)| counts[(8 * at + x) / square] += usize::from(class == 1));
            }
            let first = 8 * words.len();
            rest.iter().enumerate().for_each(|(x, &class)| counts[(first + x) / square] += usize::from(class == 1));
        }
        Self { pixels, height, width, square }
    }

    /// Squares of which each is so many by so many of these.
    fn pooled(&self, by: usize) -> Self {
        let (height, width) = (self.height.div_ceil(by), self.width.div_ceil(by));
        let mut pixels = vec![0; height * width];
        for (at, count) in self.pixels.iter().enumerate() {
            pixels[at / self.width / by * width + at % self.width / by] += count;
        }
        Self { pixels, height, width, square: self.square * by }
    }

    /// How much of each is painted, 0 to 1, when so many pixels make it full.
    fn shares(&self, full: usize) -> Vec<f32> {
        self.pixels.iter().map(|&count| (count as f32 / full as f32).min(1.0)).collect()
    }
}

/// Half the mean width of what is painted, were it a line from corner to corner of the rectangle round it.
fn half_width(painted: &[f32], width: usize) -> Option<f64> {
    let set = || painted.iter().enumerate().filter(|(_, share)| **share > 0.0).map(|(at, _)| (at / width, at % width));
    let (top, bottom) = (set().map(|(row, _)| row).min()?, set().map(|(row, _)| row).max()?);
    let (left, right) = (set().map(|(_, column)| column).min()?, set().map(|(_, column)| column).max()?);
    let diagonal = ((bottom + 1 - top) as f64).hypot((right + 1 - left) as f64);
    let area: f64 = painted.iter().map(|&share| f64::from(share)).sum();
    Some((area / diagonal / 2.0).max(THINNEST))
}

#[cfg(test)]
mod tests {
    use super::super::Brush;
    use super::*;
    use crate::rng::Rng;

    fn worst_end(found: &Needle, truth: &Needle) -> f64 {
        let ends = |a: &Needle| a.entry.distance_px(truth.entry).max(a.tip.distance_px(truth.tip));
        ends(found).min(ends(&Needle { entry: found.tip, tip: found.entry }))
    }

    #[test]
    fn a_line_is_found_again_in_its_mask_and_in_strokes_of_any_width() {
        let mut rng = Rng::stream(5, "painted lines", [0, 0]);
        for [height, width] in [[200, 260], [480, 640], [1023, 1025]] {
            let scale = (height.max(width) as f64 / 256.0).max(1.0);
            for _ in 0..6 {
                let mut coordinate = |size: usize| rng.uniform(0.1, 0.9) * size as f64;
                let mut end = || Point { x: coordinate(width), y: coordinate(height) };
                let truth = Needle { entry: end(), tip: end() };
                if truth.length_px() < 60.0 * scale {
                    continue;
                }
                let drawn = line_of(&line_mask(&truth, [height, width])).unwrap();
                assert!(worst_end(&drawn, &truth) < 2.0, "{truth:?} in {height}x{width}: {drawn:?}");
                for radius_px in [0.5, 1.0, 2.5, 10.0, 10.0 * scale] {
                    let mut mask = Mask::empty(height, width);
                    let brush = Brush { radius_px, class: 1, only_over: None };
                    brush.paint(&mut mask, &[truth.entry, truth.middle(), truth.tip]);
                    let found = line_of(&mask).unwrap();
                    // Strokes about as thin as the squares in which the line is looked for are placed by these.
                    let most = if radius_px < 5.0 { 2.5 * scale } else { (0.1 * radius_px).max(2.0) };
                    assert!(worst_end(&found, &truth) < most, "{radius_px}: {truth:?}: {found:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_line_has_none_and_ends_stay_in_the_picture() {
        assert_eq!(line_of(&Mask::empty(50, 60)), None);
        assert_eq!(line_of(&Mask::empty(0, 0)), None);
        let mut disc = Mask::empty(300, 300);
        Brush { radius_px: 60.0, class: 1, only_over: None }.paint(&mut disc, &[Point { x: 150.0, y: 150.0 }]);
        assert_eq!(line_of(&disc), None);
        let through = Needle { entry: Point { x: -0.5, y: -0.5 }, tip: Point { x: 700.5, y: 600.5 } };
        assert!(line_of(&line_mask(&through, [601, 701])).unwrap().is_inside(601, 701));
    }
}
