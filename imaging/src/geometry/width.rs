//! How wide objects of a mask are once a picture has become the square input of a network.

use super::Mask;

/// Least share of the pixels of a picture that counts as an object: smaller ones are specks.
const SPECK: f64 = 1e-5;

/// The class and the width of every object, in pixels of a square of `size`: the shorter side of the rectangle that has the
/// object's area moments. An object is what joins up (also over corners) in one class.
pub fn object_widths(mask: &Mask, size: usize) -> Vec<(u8, f64)> {
    let (height, width) = (mask.height, mask.width);
    let (sx, sy) = (size as f64 / width.max(1) as f64, size as f64 / height.max(1) as f64);
    let mut seen = vec![false; mask.classes.len()];
    let (mut widths, mut open) = (Vec::new(), Vec::new());
    for start in 0..mask.classes.len() {
        let class = mask.classes[start];
        if class == 0 || std::mem::replace(&mut seen[start], true) {
            continue;
        }
        open.push(start);
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
        widths.push((class, (12.0 * least.max(0.0)).sqrt()));
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
}
