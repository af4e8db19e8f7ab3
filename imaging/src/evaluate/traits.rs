//! What is true of a frame, whatever a method says about it: by these traits `bins.rs` sorts frames.
//!
//! All are of the picture and its label alone. Lengths are pixels of a square of 224, whatever size a network reads, so that
//! the bins of two networks hold the same frames.

use super::truth::{Truth, truth};
use crate::dataset::sample::Sample;
use crate::geometry::resize::bilinear_antialiased;
use crate::geometry::{Image, Mask, Needle, Point};

/// Edge of the square that lengths are measured in, pixels.
pub const SIDE: usize = 224;

/// What is true of the middle frame of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Traits {
    /// Its label is a visible needle.
    Needle(NeedleTraits),
    /// Its label is that no needle is visible.
    NoNeedle,
    /// Its label is a mask, of whose judged pixels this share shows an object.
    Object(f64),
}

/// What is true of a visible needle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NeedleTraits {
    /// Acute angle to the horizontal of the picture as it is stored, degrees, 0 to 90; NaN when both ends are one point.
    pub angle_deg: f64,
    /// Length in pixels of a square of [`SIDE`].
    pub length_px: f64,
    /// Depth of its middle as a share of the picture's height: 0 at the top, 1 at the bottom.
    pub depth: f64,
    /// Mean grey along the shaft less that of a band on either side, in grey levels of 255; NaN where the picture ends
    /// before there is a band. Pictures are compressed logarithmically, so that levels are steps of decibels; how many a
    /// level is no file says.
    pub contrast_levels: f64,
    /// Where it begins.
    pub entry: Side,
}

/// An edge of the scan area, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The left edge.
    Left,
    /// The right edge.
    Right,
    /// The upper edge.
    Top,
    /// The lower edge.
    Bottom,
    /// No edge: it begins in the picture.
    Inside,
}

impl Side {
    /// As it is shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Right => "right",
            Self::Top => "top",
            Self::Bottom => "bottom",
            Self::Inside => "inside",
        }
    }
}

impl Traits {
    /// Of the middle frame of a sample; `None` where it has no label.
    pub fn new(sample: &Sample) -> Option<Self> {
        let frame = &sample.frames[sample.frames.len() / 2];
        Some(match truth(sample)? {
            Truth::Needle(Some(needle)) => Self::Needle(NeedleTraits::new(frame, &needle)),
            Truth::Needle(None) => Self::NoNeedle,
            Truth::Mask(mask) => {
                let judged = mask.classes.iter().filter(|&&class| class != Mask::IGNORE).count();
                let shown = mask.pixels();
                Self::Object(shown as f64 / judged as f64)
            }
        })
    }
}

impl NeedleTraits {
    /// Of a needle in the pixels of its frame.
    pub fn new(frame: &Image, needle: &Needle) -> Self {
        let (extent, square) = ([frame.height, frame.width], [SIDE, SIDE]);
        let plane = frame.height * frame.width;
        let grey = frame.to_grey();
        let picture = Square { levels: bilinear_antialiased(&grey.pixels[..plane], extent, square) };
        let scaled = needle.scaled(extent, square);
        Self {
            angle_deg: needle.angle_deg(None),
            length_px: scaled.length_px(),
            depth: ((needle.middle().y + 0.5) / frame.height as f64).clamp(0.0, 1.0),
            contrast_levels: picture.contrast(&scaled) * 255.0,
            entry: picture.side(scaled.entry),
        }
    }
}

/// A frame as a square of [`SIDE`], row-major `[SIDE, SIDE]`, levels from 0 to 1.
struct Square {
    levels: Vec<f32>,
}

/// Distances across the shaft at which its own grey and that of the band beside it are read, pixels. The band begins behind
/// the capsule of a label, whose radius is 3 by default.
const ON_SHAFT: [f64; 3] = [-1.0, 0.0, 1.0];
const BESIDE: [f64; 10] = [-10.0, -9.0, -8.0, -7.0, -6.0, 6.0, 7.0, 8.0, 9.0, 10.0];
/// A needle that begins this close to the edge of the scan area enters there, pixels.
const AT_EDGE: usize = 6;
/// What lies outside of the scan area is black over so many pixels in a row, or to the edge of the picture: what is darker
/// inside of it, a vessel or a shadow, has speckle or an end.
const OUTSIDE: usize = 24;
/// Up to this level a pixel is black: noise of a lossy file.
const BLACK: f32 = 2.5 / 255.0;

impl Square {
    fn at(&self, x: i64, y: i64) -> Option<f32> {
        let inside = 0..SIDE as i64;
        (inside.contains(&x) && inside.contains(&y)).then(|| self.levels[y as usize * SIDE + x as usize])
    }

    /// Mean level along the shaft less that beside it.
    fn contrast(&self, needle: &Needle) -> f64 {
        let length = needle.length_px();
        let [dx, dy] = needle.step(None).map(|step| if length > 0.0 { step / length } else { 0.0 });
        let mean = |across: &[f64]| {
            let steps = (0..=length.round() as usize).map(|along| along as f64);
            let levels: Vec<f64> = steps
                .flat_map(|along| across.iter().map(move |&across| (along, across)))
                .filter_map(|(along, across)| {
                    let x = needle.entry.x + along * dx - across * dy;
                    let y = needle.entry.y + along * dy + across * dx;
                    self.at(x.round() as i64, y.round() as i64).map(f64::from)
                })
                .collect();
            levels.iter().sum::<f64>() / levels.len() as f64
        };
        mean(&ON_SHAFT) - mean(&BESIDE)
    }

    /// The edge of the scan area that a point lies at. A slanted one counts as left or right.
    fn side(&self, point: Point) -> Side {
        let outwards = [(Side::Left, (-1, 0)), (Side::Right, (1, 0)), (Side::Top, (0, -1)), (Side::Bottom, (0, 1))];
        let away = |step| self.pixels_to_edge(point, step).filter(|&pixels| pixels <= AT_EDGE);
        let near = outwards.map(|(side, step)| (side, away(step)));
        // The nearest, and the one that is named first among those that are about as near.
        let nearest = near.iter().filter_map(|(_, pixels)| *pixels).min();
        let chosen = near.iter().find(|(_, pixels)| pixels.zip(nearest).is_some_and(|(one, least)| one <= least + 2));
        chosen.map_or(Side::Inside, |(side, _)| *side)
    }

    /// How far the scan area goes on from a point in the direction of a step: to the picture's edge, or to where it is black
    /// for long. `None` where that is farther than can matter.
    fn pixels_to_edge(&self, point: Point, (dx, dy): (i64, i64)) -> Option<usize> {
        let last = SIDE as f64 - 1.0;
        let [x, y] = [point.x, point.y].map(|place| place.round().clamp(0.0, last) as i64);
        let shown = |pixels: usize| {
            let (x, y) = (x + pixels as i64 * dx, y + pixels as i64 * dy);
            self.at(x, y).is_some() && self.is_shown(x, y)
        };
        (0..=AT_EDGE).find(|&pixels| (pixels + 1..=pixels + OUTSIDE).all(|pixels| !shown(pixels)))
    }

    /// Whether the mean of the pixels round a place is not black.
    fn is_shown(&self, x: i64, y: i64) -> bool {
        let around = (-1..=1).flat_map(|dy| (-1..=1).map(move |dx| (x + dx, y + dy)));
        let levels: Vec<f32> = around.filter_map(|(x, y)| self.at(x, y)).collect();
        levels.iter().sum::<f32>() > BLACK * levels.len() as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::sample::Target;

    fn needle(entry: (f64, f64), tip: (f64, f64)) -> Needle {
        Needle { entry: Point { x: entry.0, y: entry.1 }, tip: Point { x: tip.0, y: tip.1 } }
    }

    /// A grey picture of 224 x 224, levels of 255.
    fn picture(level: impl Fn(usize, usize) -> u8) -> Image {
        let bytes: Vec<u8> = (0..SIDE * SIDE).map(|at| level(at % SIDE, at / SIDE)).collect();
        Image::from_grey8(SIDE, SIDE, &bytes)
    }

    #[test]
    fn a_needle_is_described_as_it_was_drawn() {
        // A level shaft, three pixels thick, 60 levels brighter than what is around it.
        let frame = picture(|x, y| if (99..=101).contains(&y) && (50..=150).contains(&x) { 90 } else { 30 });
        let traits = NeedleTraits::new(&frame, &needle((50.0, 100.0), (150.0, 100.0)));
        assert!((traits.contrast_levels - 60.0).abs() < 1e-3, "{traits:?}");
        assert_eq!((traits.angle_deg, traits.length_px, traits.entry), (0.0, 100.0, Side::Inside));
        assert!((traits.depth - 100.5 / 224.0).abs() < 1e-9);
        // A picture twice as wide as high: the angle is that of the picture, the length that of the square.
        let wide = Image::grey(112, 224, vec![0.5; 112 * 224]);
        let traits = NeedleTraits::new(&wide, &needle((20.0, 10.0), (80.0, 70.0)));
        assert!((traits.angle_deg - 45.0).abs() < 1e-9 && (traits.length_px - 60.0_f64.hypot(120.0)).abs() < 1e-9);
        assert!(traits.contrast_levels.abs() < 1e-3);
        let none = NeedleTraits::new(&frame, &needle((5.0, 5.0), (5.0, 5.0)));
        assert!(none.angle_deg.is_nan() && none.length_px == 0.0);
    }

    #[test]
    fn a_needle_enters_at_the_edge_of_the_picture_or_of_the_scan_area() {
        let side = |frame: &Image, x: f64, y: f64| NeedleTraits::new(frame, &needle((x, y), (112.0, 150.0))).entry;
        let whole = picture(|_, _| 40);
        let places = [(3.0, 90.0), (220.0, 90.0), (80.0, 2.0), (40.0, 60.0), (-2.0, 90.0), (3.0, 2.0), (70.0, 223.0)];
        let sides = places.map(|(x, y)| side(&whole, x, y));
        use Side::{Bottom, Inside, Left, Right, Top};
        assert_eq!(sides, [Left, Right, Top, Inside, Left, Left, Bottom]);
        // A letterboxed screen, with a black vessel of 20 pixels in it.
        let boxed = picture(|x, y| {
            let vessel = (100..120).contains(&x) && (90..130).contains(&y);
            if (40..184).contains(&x) && y >= 30 && !vessel { 40 } else { 1 }
        });
        assert_eq!(
            [(42.0, 90.0), (180.0, 90.0), (90.0, 33.0), (96.0, 110.0), (60.0, 60.0)].map(|(x, y)| side(&boxed, x, y)),
            [Left, Right, Top, Inside, Inside]
        );
        // A sector, open to below by 45 degrees on either side of a face that is 20 pixels wide.
        let sector = picture(|x, y| if x.abs_diff(112) <= y + 10 { 40 } else { 0 });
        assert_eq!(
            [(70.0, 34.0), (154.0, 34.0), (112.0, 1.0), (112.0, 60.0)].map(|(x, y)| side(&sector, x, y)),
            [Left, Right, Top, Inside]
        );
    }

    #[test]
    fn a_frame_has_the_traits_of_its_label() {
        let traits = |target| {
            let frames = vec![Image::grey(4, 4, vec![0.5; 16])];
            Traits::new(&Sample { id: "p/0".into(), group: "p".into(), frames, targets: vec![target] })
        };
        assert_eq!(traits(Target::Unknown), None);
        assert_eq!(traits(Target::Needle(None)), Some(Traits::NoNeedle));
        let mut mask = Mask::empty(4, 4);
        mask.classes[..3].fill(1);
        mask.classes[4..8].fill(Mask::IGNORE);
        assert_eq!(traits(Target::Mask(mask)), Some(Traits::Object(0.25)));
    }
}
