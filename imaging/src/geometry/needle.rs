//! The needle as a line: angle, length, millimetres, scaling, and drawing to a mask. Finding it in a map: [`fit()`].

mod fit;
pub(crate) mod line;
mod shaft;

pub use fit::{Detection, FitConfig, fit, fit_mask};
pub(crate) use fit::{refine_on, with_deeper_tip};
pub use shaft::shaft_of;

use serde::{Deserialize, Serialize};

use super::{Mask, Point, Spacing};

/// The visible shaft of a needle.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Needle {
    /// Visible end nearest the skin.
    pub entry: Point,
    /// Visible end deepest in the tissue.
    pub tip: Point,
}

impl Needle {
    /// Visible length in pixels.
    pub fn length_px(&self) -> f64 {
        self.entry.distance_px(self.tip)
    }

    /// Visible length in millimetres.
    pub fn length_mm(&self, spacing: Spacing) -> f64 {
        self.entry.distance_mm(self.tip, spacing)
    }

    /// Acute angle to the probe face in degrees: 0 is parallel to it, 90 straight down. With a spacing the angle is
    /// that of the body, otherwise that of the picture. NaN when both ends are the same point.
    pub fn angle_deg(&self, spacing: Option<Spacing>) -> f64 {
        let [dx, dy] = self.step(spacing);
        if dx == 0.0 && dy == 0.0 { f64::NAN } else { dy.abs().atan2(dx.abs()).to_degrees() }
    }

    /// Direction from entry to tip in degrees, (-180, 180]: 0 to the right, 90 straight down, 180 to the left.
    /// NaN when both ends are the same point.
    pub fn azimuth_deg(&self, spacing: Option<Spacing>) -> f64 {
        let [dx, dy] = self.step(spacing);
        if dx == 0.0 && dy == 0.0 { f64::NAN } else { dy.atan2(dx).to_degrees() }
    }

    /// From entry to tip, `[x, y]`, in millimetres where the spacing is known and in pixels otherwise.
    pub fn step(&self, spacing: Option<Spacing>) -> [f64; 2] {
        let (x, y) = spacing.map_or((1.0, 1.0), |spacing| (spacing.x_mm, spacing.y_mm));
        [(self.tip.x - self.entry.x) * x, (self.tip.y - self.entry.y) * y]
    }

    /// Whether both ends lie in a picture of this size. The edge of its outer pixels belongs to it.
    pub fn is_inside(&self, height: usize, width: usize) -> bool {
        [self.entry, self.tip]
            .iter()
            .all(|end| (-0.5..=width as f64 - 0.5).contains(&end.x) && (-0.5..=height as f64 - 0.5).contains(&end.y))
    }

    /// Half way between the ends.
    pub fn middle(&self) -> Point {
        Point { x: 0.5 * (self.entry.x + self.tip.x), y: 0.5 * (self.entry.y + self.tip.y) }
    }

    /// The same needle after the image was resized (see [`Point::scaled`]).
    #[must_use]
    pub fn scaled(&self, from: [usize; 2], to: [usize; 2]) -> Self {
        Self { entry: self.entry.scaled(from, to), tip: self.tip.scaled(from, to) }
    }

    /// The same needle in the mirrored image (left and right exchanged).
    #[must_use]
    pub fn flipped(&self, width: usize) -> Self {
        let flip = |point: Point| Point { x: width as f64 - 1.0 - point.x, y: point.y };
        Self { entry: flip(self.entry), tip: flip(self.tip) }
    }

    /// Distance in pixels from a point to the segment between the ends.
    pub fn distance_px(&self, point: Point) -> f64 {
        let [x, y] = self.offset(point);
        x.hypot(y)
    }

    /// The way from the nearest point of the shaft to a point.
    fn offset(&self, point: Point) -> [f64; 2] {
        let [dx, dy] = self.step(None);
        let squared = dx * dx + dy * dy;
        let (x, y) = (point.x - self.entry.x, point.y - self.entry.y);
        let t = if squared > 0.0 { ((x * dx + y * dy) / squared).clamp(0.0, 1.0) } else { 0.0 };
        [x - t * dx, y - t * dy]
    }

    /// Visit `(x, y)` of every pixel whose centre lies within `radius_px` of the shaft, row by row.
    pub(crate) fn for_each_pixel_near(
        &self,
        radius_px: f64,
        height: usize,
        width: usize,
        mut visit: impl FnMut(usize, usize),
    ) {
        let Self { entry, tip } = *self;
        let numbers = [entry.x, entry.y, tip.x, tip.y, radius_px];
        if numbers.iter().any(|number| !number.is_finite()) || radius_px < 0.0 {
            return;
        }
        let [dx, dy] = self.step(None);
        for y in pixels_between(entry.y.min(tip.y) - radius_px, entry.y.max(tip.y) + radius_px, height) {
            // Only the part of the shaft that is within the radius of this row can reach it.
            let [start, end] = if dy.abs() > 1e-9 {
                [-radius_px, radius_px].map(|offset| ((y as f64 + offset - entry.y) / dy).clamp(0.0, 1.0))
            } else {
                [0.0, 1.0]
            };
            let (start, end) = (entry.x + start * dx, entry.x + end * dx);
            for x in pixels_between(start.min(end) - radius_px, start.max(end) + radius_px, width) {
                if self.distance_px(Point { x: x as f64, y: y as f64 }) <= radius_px {
                    visit(x, y);
                }
            }
        }
    }
}

/// The mask of a needle: class 1 where the centre of a pixel lies within `radius_px` of the shaft (the label's line
/// dilated by a disc; 3 px at 224 x 224 by default). A shaft without length gives a disc; what lies outside the image is
/// cut off; a needle with an infinite or undefined coordinate gives an empty mask.
pub fn draw_capsule(needle: &Needle, radius_px: f64, height: usize, width: usize) -> Mask {
    let mut mask = Mask::empty(height, width);
    needle.for_each_pixel_near(radius_px, height, width, |x, y| mask.classes[y * width + x] = 1);
    mask
}

/// The pixels of an axis of the given size whose centres lie in `[low, high]`, give or take rounding.
fn pixels_between(low: f64, high: f64, size: usize) -> std::ops::Range<usize> {
    let first = (low - 1e-6).ceil().max(0.0) as usize;
    let end = ((high + 1e-6).floor() + 1.0).max(0.0) as usize;
    first..end.min(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needle(entry: (f64, f64), tip: (f64, f64)) -> Needle {
        Needle { entry: Point { x: entry.0, y: entry.1 }, tip: Point { x: tip.0, y: tip.1 } }
    }

    #[test]
    fn angles_and_lengths_in_pixels_and_millimetres() {
        let shaft = needle((10.0, 0.0), (7.0, 4.0));
        assert_eq!(shaft.length_px(), 5.0);
        assert!((shaft.angle_deg(None) - 53.130_102).abs() < 1e-5);
        assert!((shaft.azimuth_deg(None) - 126.869_898).abs() < 1e-5);
        // Columns four times as far apart as rows: 12 mm across, 4 mm down.
        let spacing = Spacing { x_mm: 4.0, y_mm: 1.0 };
        assert!((shaft.length_mm(spacing) - 160.0_f64.sqrt()).abs() < 1e-12);
        assert!((shaft.angle_deg(Some(spacing)) - 18.434_949).abs() < 1e-5);
        assert_eq!(needle((0.0, 0.0), (0.0, 9.0)).angle_deg(None), 90.0);
        assert_eq!(needle((5.0, 1.0), (0.0, 1.0)).angle_deg(None), 0.0);
        assert!(needle((5.0, 1.0), (5.0, 1.0)).angle_deg(None).is_nan());
    }

    #[test]
    fn scaling_keeps_pixel_centres_and_flipping_twice_changes_nothing() {
        let shaft = needle((-0.5, 0.0), (9.5, 4.0));
        let scaled = shaft.scaled([5, 10], [10, 40]);
        assert_eq!(scaled, needle((-0.5, 0.5), (39.5, 8.5)));
        assert_eq!(scaled.scaled([10, 40], [5, 10]), shaft);
        assert_eq!(shaft.flipped(10), needle((9.5, 0.0), (-0.5, 4.0)));
        assert_eq!(shaft.flipped(10).flipped(10), shaft);
    }

    #[test]
    fn a_capsule_holds_exactly_the_pixels_within_the_radius() {
        let shafts = [
            needle((3.2, 4.7), (20.1, 13.3)),
            needle((-8.0, 5.0), (12.0, 40.0)),
            needle((15.0, -4.0), (15.0, 9.0)),
            needle((2.0, 6.0), (19.0, 6.0)),
            needle((8.4, 8.6), (8.4, 8.6)),
        ];
        for shaft in shafts {
            let mask = draw_capsule(&shaft, 3.0, 18, 24);
            for (index, &class) in mask.classes.iter().enumerate() {
                let centre = Point { x: (index % 24) as f64, y: (index / 24) as f64 };
                assert_eq!(class == 1, shaft.distance_px(centre) <= 3.0, "{shaft:?} at {centre:?}");
            }
        }
        // A disc of radius 3 around a pixel centre has 29 pixels.
        let disc = draw_capsule(&needle((9.0, 9.0), (9.0, 9.0)), 3.0, 18, 24);
        assert_eq!(disc.classes.iter().filter(|&&class| class == 1).count(), 29);
    }

    #[test]
    fn nothing_is_drawn_outside_or_for_undefined_ends() {
        let far = needle((1e300, 5.0), (f64::MAX, 9.0));
        for shaft in [needle((f64::NAN, 1.0), (5.0, 5.0)), needle((50.0, 50.0), (90.0, 60.0)), far] {
            assert!(draw_capsule(&shaft, 3.0, 18, 24).is_empty(), "{shaft:?}");
        }
        assert!(draw_capsule(&needle((1.0, 1.0), (5.0, 5.0)), f64::NAN, 18, 24).is_empty());
        assert!(draw_capsule(&needle((1.0, 1.0), (5.0, 5.0)), 3.0, 0, 0).is_empty());
    }
}
