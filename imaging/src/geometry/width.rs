//! How wide objects of a mask are once a picture has become the square input of a network.

use super::Mask;

/// Least share of the pixels of a picture that counts as an object: smaller ones are specks.
const SPECK: f64 = 1e-5;

/// A rectangle's area moments give this many times the width that area and edge give, at most; rings and nets more.
const SOLID: f64 = 3.0;

/// The class and the width of every object, in pixels of a square of `size`: the shorter side of the rectangle that has the
/// object's area moments, or, where that says nothing because the object is a ring or a net, twice its area over the length
/// of its edge. An object is what joins up (also over corners) in one class.
pub fn object_widths(mask: &Mask, size: usize) -> Vec<(u8, f64)> {
    let (height, width) = (mask.height, mask.width);
    let (sx, sy) = (size as f64 / width.max(1) as f64, size as f64 / height.max(1) as f64);
    let mut seen = vec![false; mask.classes.len()];
    let (mut widths, mut open) = (Vec::new(), Vec::new());
    for start in 0..mask.classes.len() {
        let class = mask.classes[start];
        if class == 0 || class == Mask::IGNORE || std::mem::replace(&mut seen[start], true) {
            continue;
        }
        open.push(start);
        let mut edge = 0.0;
        let (mut count, mut x, mut y, mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
        while let Some(at) = open.pop() {
            let (row, column) = (at / width, at % width);
            let (px, py) = (column as f64 * sx, row as f64 * sy);
            count += 1.0;
            x += px;
            y += py;
            xx += px * px;
            xy += px * py;
            yy += py * py;
            let other = |at: usize| mask.classes[at] != class;
            let rims = [row == 0 || other(at - width), row + 1 == height || other(at + width)];
            let sides = [column == 0 || other(at - 1), column + 1 == width || other(at + 1)];
            let rim = |ends: [bool; 2]| f64::from(ends.map(u8::from).iter().sum::<u8>());
            edge += sx * rim(rims) + sy * rim(sides);
            for near_row in row.saturating_sub(1)..(row + 2).min(height) {
                for near_column in column.saturating_sub(1)..(column + 2).min(width) {
                    let near = near_row * width + near_column;
                    if mask.classes[near] == class && !std::mem::replace(&mut seen[near], true) {
                        open.push(near);
                    }
                }
            }
        }
        if count < SPECK * mask.classes.len() as f64 {
            continue;
        }
        // Variances of the object, whose pixels are squares and not points.
        let (a, c) =
            (xx / count - (x / count).powi(2) + sx * sx / 12.0, yy / count - (y / count).powi(2) + sy * sy / 12.0);
        let b = xy / count - x * y / count / count;
        let least = 0.5 * (a + c) - (0.25 * (a - c).powi(2) + b * b).sqrt();
        let solid = (12.0 * least.max(0.0)).sqrt();
        let stroke = 2.0 * count * sx * sy / edge;
        widths.push((class, if solid > SOLID * stroke { stroke } else { solid }));
    }
    widths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rod_is_as_wide_as_its_shorter_side_in_the_network() {
        let mut mask = Mask::empty(448, 224);
        for row in 100..106 {
            mask.classes[row * 224 + 20..][..100].fill(1);
        }
        for step in 0..150 {
            mask.classes[(200 + step) * 224 + 10 + step] = 2;
        }
        mask.classes[0] = 3;
        let widths = object_widths(&mask, 224);
        assert_eq!(widths.iter().map(|(class, _)| *class).collect::<Vec<_>>(), [1, 2], "a speck is no object");
        assert!((widths[0].1 - 3.0).abs() < 1e-6, "six rows become three: {widths:?}");
        assert!(widths[1].1 < 1.1, "{widths:?}");
    }

    #[test]
    fn the_line_of_a_drawn_outline_counts_and_what_nobody_judged_has_no_width() {
        let at = |i: usize| (i / 224, i % 224);
        let far = |i: usize| ((at(i).0 as f64 - 112.0).powi(2) + (at(i).1 as f64 - 112.0).powi(2)).sqrt();
        let ring = |i: usize| u8::from((60.0..63.0).contains(&far(i)));
        let widths = |classes: Vec<u8>| object_widths(&Mask { height: 224, width: 224, classes }, 224);
        let drawn = widths((0..224 * 224).map(ring).collect());
        assert!(drawn.len() == 1 && (2.0..3.1).contains(&drawn[0].1), "{drawn:?}");
        let disc = widths((0..224 * 224).map(|i| u8::from(far(i) < 60.0)).collect());
        assert!((disc[0].1 - 0.75_f64.sqrt() * 120.0).abs() < 1.0, "{disc:?}");
        assert_eq!(widths((0..224 * 224).map(|i| 255 * ring(i)).collect()), []);
    }
}
