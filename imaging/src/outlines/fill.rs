//! From outlines to pixels; the rule stands in `mod.rs`. Each function calls `paint` with row and column of every pixel of
//! the object inside the picture, some of them more than once, and tells whether some of it lies outside.

use crate::geometry::Point;

/// The pixel that a point lies in, as column and row. The far edges of the picture belong to its last pixels.
fn pixel(point: Point, height: usize, width: usize) -> (i64, i64) {
    let of = |value: f64, size: usize| if value == size as f64 { size as i64 - 1 } else { value.floor() as i64 };
    (of(point.x, width), of(point.y, height))
}

fn is_outside((x, y): (i64, i64), height: usize, width: usize) -> bool {
    x < 0 || y < 0 || x >= width as i64 || y >= height as i64
}

/// What a closed outline encloses (even-odd), and the outline itself.
pub(super) fn outline(points: &[Point], height: usize, width: usize, paint: &mut impl FnMut(usize, usize)) -> bool {
    let ring: Vec<(i64, i64)> = points.iter().map(|&point| pixel(point, height, width)).collect();
    let edges: Vec<[(i64, i64); 2]> = (0..ring.len()).map(|at| [ring[at], ring[(at + 1) % ring.len()]]).collect();
    // Where the edges cross the middle of every row; the lower end of an edge belongs to the next one.
    let mut crossings: Vec<Vec<f64>> = vec![Vec::new(); height];
    for &[(x1, y1), (x2, y2)] in &edges {
        let (top, bottom) = if y1 < y2 { ((x1, y1), (x2, y2)) } else { ((x2, y2), (x1, y1)) };
        for row in top.1.max(0)..bottom.1.min(height as i64) {
            let share = (row - top.1) as f64 / (bottom.1 - top.1) as f64;
            crossings[row as usize].push(top.0 as f64 + share * (bottom.0 - top.0) as f64);
        }
    }
    for (row, mut crossings) in crossings.into_iter().enumerate() {
        crossings.sort_by(f64::total_cmp);
        for &[left, right] in crossings.as_chunks::<2>().0 {
            let (first, last) = (left.ceil().max(0.0), right.floor().min(width as f64 - 1.0));
            for column in first as i64..=last as i64 {
                paint(row, column as usize);
            }
        }
    }
    for &[from, to] in &edges {
        straight(from, to, height, width, paint);
    }
    ring.iter().any(|&point| is_outside(point, height, width))
}

/// A line through points, as wide as a pixel.
pub(super) fn line(points: &[Point], height: usize, width: usize, paint: &mut impl FnMut(usize, usize)) -> bool {
    let pixels: Vec<(i64, i64)> = points.iter().map(|&point| pixel(point, height, width)).collect();
    for pair in pixels.windows(2) {
        straight(pair[0], pair[1], height, width, paint);
    }
    if let [only] = pixels[..] {
        straight(only, only, height, width, paint);
    }
    pixels.iter().any(|&point| is_outside(point, height, width))
}

/// Pixels whose middle is not farther from the centre than the radius, and at least that of the centre.
pub(super) fn circle(
    centre: Point,
    radius: f64,
    height: usize,
    width: usize,
    paint: &mut impl FnMut(usize, usize),
) -> bool {
    let rows = |middle: f64, size: usize| {
        let first = (middle - radius).floor().max(0.0) as usize;
        first..((middle + radius).ceil().max(0.0) as usize).min(size)
    };
    for row in rows(centre.y, height) {
        for column in rows(centre.x, width) {
            let middle = Point { x: column as f64 + 0.5, y: row as f64 + 0.5 };
            if middle.distance_px(centre) <= radius {
                paint(row, column);
            }
        }
    }
    let at = pixel(centre, height, width);
    straight(at, at, height, width, paint);
    let end = |value: f64, size: usize| value - radius < -1.0 || value + radius > size as f64 + 1.0;
    end(centre.x, width) || end(centre.y, height)
}

/// Every pixel of a line between two, one for each step along its longer side (Bresenham).
fn straight(from: (i64, i64), to: (i64, i64), height: usize, width: usize, paint: &mut impl FnMut(usize, usize)) {
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let steps = dx.abs().max(dy.abs());
    // Only the steps that are inside of the picture along the longer side, which bounds the work by the picture.
    let (start, step, size) =
        if dx.abs() >= dy.abs() { (from.0, dx, width as i64) } else { (from.1, dy, height as i64) };
    let [first, last] = if step >= 0 { [-start, size - 1 - start] } else { [start - size + 1, start] };
    for at in first.max(0)..=last.min(steps) {
        let along = |start: i64, delta: i64| {
            start + (2 * at * delta + steps * delta.signum()).checked_div(2 * steps).unwrap_or(0)
        };
        let point = (along(from.0, dx), along(from.1, dy));
        if !is_outside(point, height, width) {
            paint(point.1 as usize, point.0 as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn painted(points: &[(f64, f64)], height: usize, width: usize) -> Vec<String> {
        let points: Vec<Point> = points.iter().map(|&(x, y)| Point { x, y }).collect();
        let mut rows = vec![vec!['.'; width]; height];
        outline(&points, height, width, &mut |row, column| rows[row][column] = '#');
        rows.into_iter().map(|row| row.into_iter().collect()).collect()
    }

    #[test]
    fn what_an_outline_encloses_is_filled() {
        let triangle = [(0.0, 0.0), (4.0, 4.0), (0.0, 4.0)];
        assert_eq!(painted(&triangle, 5, 5), ["#....", "##...", "###..", "####.", "#####"]);
        let crossed = [(0.0, 0.0), (6.0, 4.0), (6.0, 0.0), (0.0, 4.0)];
        assert_eq!(painted(&crossed, 5, 7)[..3], ["#.....#", "###.###", "#######"], "a bow");
        assert_eq!(painted(&[(1.0, 1.0), (1.0, 3.0)], 4, 3), ["...", ".#.", ".#.", ".#."], "a thin one");
        assert_eq!(painted(&[(1.0, 1.0)], 2, 2), ["..", ".#"], "a dot");
        assert_eq!(painted(&[], 1, 2), [".."]);
    }

    #[test]
    fn far_points_cost_no_more_than_the_picture() {
        let wide = [(-9e6, 1.0), (9e6, 1.0), (9e6, 2.0), (-9e6, 2.0)];
        assert_eq!(painted(&wide, 4, 3), ["...", "###", "###", "..."]);
        assert_eq!(painted(&[(1.0, 9e6), (1.0, -9e6)], 2, 3), [".#.", ".#."]);
    }
}
