//! Winograd's F(4, 3) along columns (Lavin & Gray 2016, arXiv:1509.09308): how rows, gradients and weights are
//! transformed so that six products give what four rows of a convolution by three take twelve for.
//!
//! The points are 0, ±1/√2, ±√2 and infinity: sums then lose less to rounding than with 0, ±1, ±2, the usual ones.

use super::lanes::{LANES, Lanes, load};
use std::f32::consts::{FRAC_1_SQRT_2, SQRT_2};

/// Rows of output that are computed together.
pub(super) const TILE: usize = 4;
/// Products for them.
pub(super) const POINTS: usize = 6;
/// Scale of the weights at ±1/√2.
const INNER: f32 = -1.0 / 1.5;
/// Scale of the weights at ±√2.
const OUTER: f32 = 1.0 / 6.0;

/// Three weights of a column, of `N` channels each, as the six of the points.
#[inline(always)]
pub(super) fn weights<const N: usize>([top, middle, bottom]: [[f32; N]; 3]) -> [[f32; N]; POINTS] {
    let mut points = [[0.0; N]; POINTS];
    for n in 0..N {
        let (top, middle, bottom) = (top[n], middle[n], bottom[n]);
        let (inner, inner_odd) = ((top + 0.5 * bottom) * INNER, FRAC_1_SQRT_2 * INNER * middle);
        let (outer, outer_odd) = ((top + 2.0 * bottom) * OUTER, SQRT_2 * OUTER * middle);
        let of_channel = [top, inner + inner_odd, inner - inner_odd, outer + outer_odd, outer - outer_odd, bottom];
        points.iter_mut().zip(of_channel).for_each(|(point, weight)| point[n] = weight);
    }
    points
}

/// The gradient of three weights from that of the six: [`weights`] transposed.
pub(super) fn weights_back([zero, a, b, c, d, infinity]: [f32; POINTS]) -> [f32; 3] {
    let (inner, inner_odd) = ((a + b) * INNER, (a - b) * INNER);
    let (outer, outer_odd) = ((c + d) * OUTER, (c - d) * OUTER);
    [zero + inner + outer, FRAC_1_SQRT_2 * inner_odd + SQRT_2 * outer_odd, 0.5 * inner + 2.0 * outer + infinity]
}

/// Six rows of input at the points.
#[inline(always)]
fn input([r0, r1, r2, r3, r4, r5]: [Lanes; POINTS]) -> [Lanes; POINTS] {
    let [near, far, half, two, middle] = [FRAC_1_SQRT_2, SQRT_2, 0.5, 2.0, 2.5].map(Lanes::splat);
    let inner = r4 - two * r2;
    let inner_odd = near * r3 - far * r1;
    let outer = r4 - half * r2;
    let outer_odd = far * r3 - near * r1;
    [
        r4 - middle * r2 + r0,
        inner + inner_odd,
        inner - inner_odd,
        outer + outer_odd,
        outer - outer_odd,
        r5 - middle * r3 + r1,
    ]
}

/// Four rows of output from the sums at the points.
#[inline(always)]
fn output([zero, a, b, c, d, infinity]: [Lanes; POINTS]) -> [Lanes; TILE] {
    let [near, far, half, two] = [FRAC_1_SQRT_2, SQRT_2, 0.5, 2.0].map(Lanes::splat);
    let (inner, inner_odd) = (a + b, near * (a - b));
    let (outer, outer_odd) = (c + d, far * (c - d));
    [
        zero + inner + outer,
        inner_odd + outer_odd,
        half * inner + two * outer,
        half * inner_odd + two * outer_odd + infinity,
    ]
}

/// Four rows of the gradient of the output at the points: [`output`] transposed.
#[inline(always)]
fn gradient([g0, g1, g2, g3]: [Lanes; TILE]) -> [Lanes; POINTS] {
    let [near, far, half, two] = [FRAC_1_SQRT_2, SQRT_2, 0.5, 2.0].map(Lanes::splat);
    let (inner, inner_odd) = (g0 + half * g2, near * (g1 + half * g3));
    let (outer, outer_odd) = (g0 + two * g2, far * (g1 + two * g3));
    [g0, inner + inner_odd, inner - inner_odd, outer + outer_odd, outer - outer_odd, g3]
}

/// Where rows go: to the planes of the points, whose beginnings are `apart`.
#[inline(always)]
fn spread<const ROWS: usize>(
    x: &[f32],
    pitch: usize,
    groups: usize,
    out: &mut [f32],
    apart: usize,
    transform: impl Fn([Lanes; ROWS]) -> [Lanes; POINTS],
) {
    for group in 0..groups {
        let rows: [&[f32]; ROWS] = std::array::from_fn(|row| &x[(group * TILE + row) * pitch..]);
        // What goes beyond the end of a row is written over by the next.
        for at in (0..pitch).step_by(LANES) {
            let points = transform(rows.map(|row| load(row, at)));
            for (point, numbers) in points.iter().enumerate() {
                out[point * apart + group * pitch + at..][..LANES].copy_from_slice(numbers.as_array());
            }
        }
    }
    for point in 0..POINTS {
        out[point * apart + groups * pitch..][..LANES].fill(0.0);
    }
}

/// A plane of input, `groups * TILE + 2` rows of `pitch` numbers and [`LANES`] more, at the points: `groups` rows each and [`LANES`]
/// zeros, in planes that begin `apart` numbers from each other.
pub(super) fn spread_input(x: &[f32], pitch: usize, groups: usize, out: &mut [f32], apart: usize) {
    spread(x, pitch, groups, out, apart, input);
}

/// A plane of the gradient, `groups * TILE` rows of `pitch` numbers and [`LANES`] more, at the points.
pub(super) fn spread_gradient(x: &[f32], pitch: usize, groups: usize, out: &mut [f32], apart: usize) {
    spread(x, pitch, groups, out, apart, gradient);
}

/// Rows of output, `width` numbers each, from `sums` at the points, in rows of `pitch` numbers and planes that begin `apart` numbers from each other.
pub(super) fn gather(sums: &[f32], pitch: usize, apart: usize, width: usize, out: &mut [f32]) {
    for (group, out) in out.chunks_mut(TILE * width).enumerate() {
        let points: [&[f32]; POINTS] = std::array::from_fn(|point| &sums[point * apart + group * pitch..]);
        for at in (0..width).step_by(LANES) {
            let rows = output(points.map(|row| load(row, at)));
            let taken = LANES.min(width - at);
            for (out, numbers) in out.chunks_exact_mut(width).zip(&rows) {
                if taken == LANES {
                    out[at..at + LANES].copy_from_slice(numbers.as_array());
                } else {
                    out[at..].copy_from_slice(&numbers.as_array()[..taken]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(i: usize) -> f32 {
        ((i * 7919 + 13) % 101) as f32 / 50.0 - 1.0
    }

    #[test]
    fn six_products_give_four_rows_of_a_convolution() {
        let rows: [f32; POINTS] = std::array::from_fn(value);
        let column: [f32; 3] = std::array::from_fn(|i| value(i + 9));
        let points = input(rows.map(Lanes::splat));
        let at_points = weights(column.map(|weight| [weight]));
        let found = output(std::array::from_fn(|point| points[point] * Lanes::splat(at_points[point][0])));
        for (row, found) in found.iter().enumerate() {
            let wanted: f32 = (0..3).map(|tap| rows[row + tap] * column[tap]).sum();
            assert!((found.as_array()[0] - wanted).abs() < 1e-5, "row {row}: {found:?} instead of {wanted}");
        }
    }

    #[test]
    fn gradients_are_the_transposed_transforms() {
        let rows: [f32; TILE] = std::array::from_fn(value);
        let points: [f32; POINTS] = std::array::from_fn(|i| value(i + 20));
        let column: [f32; 3] = std::array::from_fn(|i| value(i + 40));
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let first = |lanes: Lanes| lanes.as_array()[0];
        let there = dot(&gradient(rows.map(Lanes::splat)).map(first), &points);
        let back = dot(&output(points.map(Lanes::splat)).map(first), &rows);
        assert!((there - back).abs() < 1e-5, "{there} and {back}");
        let (there, back) = (
            dot(&weights(column.map(|weight| [weight])).map(|[weight]| weight), &points),
            dot(&weights_back(points), &column),
        );
        assert!((there - back).abs() < 1e-5, "{there} and {back}");
    }
}
