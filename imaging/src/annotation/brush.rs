//! Brush and eraser: from the way of a pointer to the pixels that it changes.

use super::Patch;
use crate::geometry::{Mask, Needle, Point};

/// Points are taken to this share of a pixel, so that a stroke gives the same pixels at every zoom.
const GRID: f64 = 64.0;

/// A round brush.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Brush {
    /// Its radius in pixels of the frame. The pixel under the pointer is always painted.
    pub radius_px: f64,
    /// What it paints: a class, 0 for the eraser, [`Mask::IGNORE`] for what nobody judged.
    pub class: u8,
    /// Paint only over this class, and over all without one.
    pub only_over: Option<u8>,
}

impl Brush {
    /// Paint a piece of a stroke into a mask: every pixel whose centre lies within the radius of the way through `points`.
    /// Gives the changed rectangle as it is now, or None where nothing changes. Pieces of a stroke may be painted one by one
    /// as the pointer moves, each beginning with the last point of the one before.
    pub fn paint(&self, mask: &mut Mask, points: &[Point]) -> Option<Patch> {
        let snap = |value: f64| (value * GRID).round() / GRID;
        let points: Vec<Point> = points.iter().map(|p| Point { x: snap(p.x), y: snap(p.y) }).collect();
        let mut bounds: Option<[usize; 4]> = None;
        let mut set = |mask: &mut Mask, x: usize, y: usize| {
            let class = &mut mask.classes[y * mask.width + x];
            if *class == self.class || self.only_over.is_some_and(|over| *class != over) {
                return;
            }
            *class = self.class;
            let [top, left, bottom, right] = bounds.unwrap_or([y, x, y, x]);
            bounds = Some([top.min(y), left.min(x), bottom.max(y), right.max(x)]);
        };
        let (height, width) = (mask.height, mask.width);
        for (at, &tip) in points.iter().enumerate() {
            let entry = points[at.saturating_sub(1)];
            let piece = Needle { entry, tip };
            piece.for_each_pixel_near(self.radius_px.max(0.0), height, width, |x, y| set(mask, x, y));
            let (x, y) = ((tip.x + 0.5).floor(), (tip.y + 0.5).floor());
            if (0.0..width as f64).contains(&x) && (0.0..height as f64).contains(&y) {
                set(mask, x as usize, y as usize);
            }
        }
        bounds.map(|[top, left, bottom, right]| Patch::of(mask, [top, left], [bottom + 1 - top, right + 1 - left]))
    }
}

/// Fill the area of one class around a point with another class: all pixels that paths through that class join to it (up,
/// down, left, right). Gives the changed rectangle as it is now; None where nothing changes or the point lies outside.
pub fn fill(mask: &mut Mask, point: Point, class: u8) -> Option<Patch> {
    let (x, y) = ((point.x + 0.5).floor(), (point.y + 0.5).floor());
    if !(0.0..mask.width as f64).contains(&x) || !(0.0..mask.height as f64).contains(&y) {
        return None;
    }
    let start = (y as usize, x as usize);
    let over = mask.classes[start.0 * mask.width + start.1];
    if over == class {
        return None;
    }
    let [mut top, mut left, mut bottom, mut right] = [start.0, start.1, start.0, start.1];
    let mut open = vec![start];
    while let Some((row, column)) = open.pop() {
        let pixel = &mut mask.classes[row * mask.width + column];
        if *pixel != over {
            continue;
        }
        *pixel = class;
        (top, bottom) = (top.min(row), bottom.max(row));
        (left, right) = (left.min(column), right.max(column));
        let steps =
            [(row.wrapping_sub(1), column), (row + 1, column), (row, column.wrapping_sub(1)), (row, column + 1)];
        open.extend(steps.into_iter().filter(|&(row, column)| row < mask.height && column < mask.width));
    }
    Some(Patch::of(mask, [top, left], [bottom + 1 - top, right + 1 - left]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stroke() -> Vec<Point> {
        [(5.3, 4.1), (20.7, 9.9), (22.0, 30.2), (60.0, 33.3)].map(|(x, y)| Point { x, y }).to_vec()
    }

    #[test]
    fn a_stroke_has_the_pixels_within_its_radius_whether_it_comes_in_pieces_or_at_once() {
        let brush = Brush { radius_px: 2.5, class: 1, only_over: None };
        let (mut whole, mut pieces) = (Mask::empty(40, 50), Mask::empty(40, 50));
        let patch = brush.paint(&mut whole, &stroke()).unwrap();
        stroke().windows(2).for_each(|pair| drop(brush.paint(&mut pieces, pair)));
        assert_eq!(whole, pieces);
        let near = |x: usize, y: usize| {
            let centre = Point { x: x as f64, y: y as f64 };
            stroke()
                .windows(2)
                .map(|pair| Needle { entry: pair[0], tip: pair[1] }.distance_px(centre))
                .fold(f64::MAX, f64::min)
        };
        for y in 0..40 {
            for x in 0..50 {
                let distance = near(x, y);
                if (distance - 2.5).abs() > 0.05 {
                    assert_eq!(whole.classes[y * 50 + x] == 1, distance < 2.5, "{x}, {y}");
                }
            }
        }
        let mut copy = Mask::empty(40, 50);
        patch.apply(&mut copy).unwrap();
        assert_eq!(copy, whole, "the patch holds all that changed");
        assert_eq!(brush.paint(&mut whole, &stroke()), None, "nothing changes");
    }

    #[test]
    fn a_stroke_is_the_same_at_every_zoom() {
        let brush = Brush { radius_px: 3.0, class: 1, only_over: None };
        let mut first = None;
        for zoom in [0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 7.3, 32.0] {
            // To the screen and back, as the page does it.
            let there =
                stroke().into_iter().map(|p| Point { x: (p.x + 0.5) * zoom + 17.2, y: (p.y + 0.5) * zoom - 3.4 });
            let back: Vec<Point> =
                there.map(|p| Point { x: (p.x - 17.2) / zoom - 0.5, y: (p.y + 3.4) / zoom - 0.5 }).collect();
            let mut mask = Mask::empty(40, 50);
            brush.paint(&mut mask, &back);
            assert_eq!(&mask, first.get_or_insert(mask.clone()), "zoom {zoom}");
        }
    }

    #[test]
    fn the_smallest_brush_paints_a_pixel_and_the_eraser_takes_only_what_it_may() {
        let dot = Brush { radius_px: 0.0, class: 3, only_over: None };
        let mut mask = Mask::empty(4, 4);
        dot.paint(&mut mask, &[Point { x: 1.4, y: 2.6 }]).unwrap();
        assert_eq!(mask.classes.iter().position(|&class| class == 3), Some(3 * 4 + 1));
        assert_eq!(dot.paint(&mut mask, &[Point { x: 9.0, y: f64::NAN }]), None);
        mask.classes[0] = 2;
        let eraser = Brush { radius_px: 9.0, class: 0, only_over: Some(3) };
        eraser.paint(&mut mask, &[Point { x: 1.0, y: 1.0 }]).unwrap();
        assert_eq!(mask.classes.iter().filter(|&&class| class > 0).count(), 1);
    }

    #[test]
    fn an_area_is_filled_up_to_its_border() {
        let mut mask = Mask::empty(5, 6);
        for at in [1, 7, 13, 19, 25] {
            mask.classes[at] = 1;
        }
        let patch = fill(&mut mask, Point { x: 4.0, y: 4.0 }, 2).unwrap();
        assert_eq!((patch.top, patch.left, patch.height, patch.width), (0, 2, 5, 4));
        assert_eq!(mask.classes.iter().filter(|&&class| class == 2).count(), 20);
        assert_eq!(mask.classes[0], 0);
        assert_eq!(fill(&mut mask, Point { x: 4.0, y: 4.0 }, 2), None);
        assert_eq!(fill(&mut mask, Point { x: -3.0, y: 4.0 }, 2), None);
    }
}
