//! The part of a mask that belongs to a needle.

use super::Needle;
use crate::geometry::Mask;

/// How far from its line the mask of a needle may begin, in pixels: lines are not of whole numbers.
const REACH_PX: f64 = 2.0;

/// The connected parts of a mask that a needle runs through; what lies elsewhere is background.
pub fn shaft_of(mask: &Mask, needle: &Needle) -> Mask {
    let Mask { height, width, .. } = *mask;
    let mut shaft = Mask::empty(height, width);
    let mut open = Vec::new();
    needle.for_each_pixel_near(REACH_PX, height, width, |x, y| open.push((x, y)));
    while let Some((x, y)) = open.pop() {
        let at = y * width + x;
        if !Mask::shows(mask.classes[at]) || shaft.classes[at] != 0 {
            continue;
        }
        shaft.classes[at] = mask.classes[at];
        let rows = y.saturating_sub(1)..(y + 2).min(height);
        open.extend(rows.flat_map(|y| (x.saturating_sub(1)..(x + 2).min(width)).map(move |x| (x, y))));
    }
    shaft
}

#[cfg(test)]
mod tests {
    use super::super::draw_capsule;
    use super::*;
    use crate::geometry::Point;

    #[test]
    fn blobs_beside_the_shaft_are_left_out_and_pieces_of_it_are_kept() {
        let line = |x0, x1, y| Needle { entry: Point { x: x0, y }, tip: Point { x: x1, y } };
        let pieces = [line(5.0, 20.0, 15.0), line(32.0, 44.0, 15.5)];
        let mut sound = Mask::empty(40, 50);
        pieces.iter().for_each(|piece| sound.join(&draw_capsule(piece, 3.0, 40, 50)));
        let mut mask = sound.clone();
        mask.join(&draw_capsule(&line(20.0, 22.0, 32.0), 4.0, 40, 50));
        assert_ne!(mask, sound);
        assert_eq!(shaft_of(&mask, &line(5.0, 44.0, 15.2)), sound);
        assert!(shaft_of(&mask, &line(5.0, 10.0, 3.0)).is_empty());
    }
}
