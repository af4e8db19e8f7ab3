//! Random rotation, shear, zoom and shift of the resized square, about its centre (Amiri 2019, section 2.1).

use super::AugmentConfig;
use crate::geometry::{Needle, Point};
use crate::rng::Rng;

/// An affine change of a square. What comes in from outside is black, and background in masks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Warp {
    /// From distances to the centre before to those after, rows of x and y.
    linear: [[f64; 2]; 2],
    /// Shift to the right and down, as a share of the size.
    shift: [f64; 2],
}

impl Warp {
    /// Draw one; none where the settings ask for none, without drawing a number.
    pub(super) fn draw(config: &AugmentConfig, rng: &mut Rng) -> Option<Self> {
        let AugmentConfig { rotation_deg, shear, zoom, shift, .. } = *config;
        if [rotation_deg, shear, zoom, shift].iter().all(|&range| range == 0.0) {
            return None;
        }
        let mut draw = |range: f64| rng.uniform(-range, range);
        let (sin, cos) = draw(rotation_deg).to_radians().sin_cos();
        let (shear, zoom) = (draw(shear), 1.0 + draw(zoom));
        let linear = [[cos, cos * shear - sin], [sin, sin * shear + cos]].map(|row| row.map(|value| value * zoom));
        Some(Self { linear, shift: [draw(shift), draw(shift)] })
    }

    /// A needle of the square in the changed square.
    pub fn needle(&self, needle: &Needle, size: usize) -> Needle {
        let centre = (size as f64 - 1.0) / 2.0;
        let moved = |p: Point| {
            let (x, y) = (p.x - centre, p.y - centre);
            let [right, down] = self.shift.map(|share| share * size as f64 + centre);
            let [[a, b], [c, d]] = self.linear;
            Point { x: a * x + b * y + right, y: c * x + d * y + down }
        };
        Needle { entry: moved(needle.entry), tip: moved(needle.tip) }
    }

    /// Where every pixel of the changed square comes from, row by row.
    fn sources(&self, size: usize) -> impl Iterator<Item = (f64, f64)> {
        let centre = (size as f64 - 1.0) / 2.0;
        let [[a, b], [c, d]] = self.linear;
        let area = a * d - b * c;
        let [right, down] = self.shift.map(|share| share * size as f64 + centre);
        (0..size * size).map(move |index| {
            let (x, y) = ((index % size) as f64 - right, (index / size) as f64 - down);
            ((d * x - b * y) / area + centre, (a * y - c * x) / area + centre)
        })
    }

    /// The pixels of the changed square, bilinear.
    ///
    /// # Shapes
    /// - `pixels`: row-major `[size, size]`, to the same
    pub fn pixels(&self, pixels: &[f32], size: usize) -> Vec<f32> {
        let at = |x: i64, y: i64| {
            let inside = |value: i64| usize::try_from(value).ok().filter(|&value| value < size);
            inside(x).zip(inside(y)).map_or(0.0, |(x, y)| f64::from(pixels[y * size + x]))
        };
        let bilinear = |(x, y): (f64, f64)| {
            let (left, top) = (x.floor(), y.floor());
            let (right, down) = (x - left, y - top);
            let (column, row) = (left as i64, top as i64);
            let above = at(column, row) * (1.0 - right) + at(column + 1, row) * right;
            let below = at(column, row + 1) * (1.0 - right) + at(column + 1, row + 1) * right;
            (above * (1.0 - down) + below * down) as f32
        };
        self.sources(size).map(bilinear).collect()
    }

    /// The classes of the changed square, each from the nearest pixel.
    ///
    /// # Shapes
    /// - `classes`: row-major `[size, size]`, to the same
    pub fn classes(&self, classes: &[u8], size: usize) -> Vec<u8> {
        let nearest = |(x, y): (f64, f64)| {
            let (x, y) = (x.round(), y.round());
            let inside = |value: f64| (0.0..size as f64).contains(&value);
            if inside(x) && inside(y) { classes[y as usize * size + x as usize] } else { 0 }
        };
        self.sources(size).map(nearest).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A quarter turn with a shift of a quarter to the right.
    const TURN: Warp = Warp { linear: [[0.0, -1.0], [1.0, 0.0]], shift: [0.25, 0.0] };

    #[test]
    fn pixels_classes_and_needle_move_together() {
        let mut pixels = vec![0.0; 64];
        pixels[8 + 3] = 1.0;
        let classes: Vec<u8> = pixels.iter().map(|&pixel| pixel as u8).collect();
        let end = Point { x: 3.0, y: 1.0 };
        let moved = TURN.needle(&Needle { entry: end, tip: end }, 8).tip;
        // Of the centre 3.5: (-0.5, -2.5) becomes (2.5, -0.5), and 2 to the right.
        assert!((moved.x - 8.0).abs() < 1e-9 && (moved.y - 3.0).abs() < 1e-9, "{moved:?}");
        let back = Warp { shift: [0.0, 0.0], ..TURN };
        let (pixels, classes) = (back.pixels(&pixels, 8), back.classes(&classes, 8));
        let place = 3 * 8 + 6;
        assert!((pixels[place] - 1.0).abs() < 1e-6 && classes[place] == 1, "{pixels:?}");
        assert_eq!(classes.iter().filter(|&&class| class > 0).count(), 1);
        assert!(TURN.classes(&[1; 64], 8).contains(&0), "outside is background");
    }

    #[test]
    fn what_is_drawn_stays_within_the_settings_and_nothing_is_drawn_for_none() {
        let none = AugmentConfig::default();
        let (mut rng, mut other) = (Rng::stream(1, "warp", [0, 0]), Rng::stream(1, "warp", [0, 0]));
        assert_eq!(Warp::draw(&none, &mut rng), None);
        assert_eq!(rng.below(1000), other.below(1000), "runs without a warp draw what they always drew");
        let some = AugmentConfig { rotation_deg: 10.0, shear: 0.05, zoom: 0.1, shift: 0.05, ..none };
        for _ in 0..200 {
            let Warp { linear: [[a, b], [c, d]], shift } = Warp::draw(&some, &mut rng).unwrap();
            assert!((0.81..=1.21).contains(&(a * d - b * c)), "zoom");
            assert!(c.atan2(a).to_degrees().abs() <= 10.0 + 1e-9 && shift.iter().all(|s| s.abs() <= 0.05));
        }
    }
}
