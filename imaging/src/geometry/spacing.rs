//! Millimetres in an image: known everywhere, in some rectangles, or not at all.

use serde::{Deserialize, Serialize};

/// Edge of a pixel in millimetres along each image axis.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spacing {
    /// Millimetres from one column to the next.
    pub x_mm: f64,
    /// Millimetres from one row to the next.
    pub y_mm: f64,
}

/// A rectangle of the image with a scale of its own, as DICOM ultrasound stores it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScaleRegion {
    /// First column.
    pub left: f64,
    /// First row.
    pub top: f64,
    /// Last column (inside).
    pub right: f64,
    /// Last row (inside).
    pub bottom: f64,
    /// Scale inside the rectangle.
    pub spacing: Spacing,
}

/// What is known about millimetres in an image. Nothing is ever guessed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Scale {
    /// No scale: lengths stay in pixels.
    #[default]
    Unknown,
    /// One scale for the whole image.
    Everywhere(Spacing),
    /// A scale inside some rectangles only.
    Regions(Vec<ScaleRegion>),
}

impl Scale {
    /// The spacing that holds at all the given points `(x, y)`, if there is one.
    pub fn at(&self, points: &[(f64, f64)]) -> Option<Spacing> {
        match self {
            Self::Unknown => None,
            Self::Everywhere(spacing) => Some(*spacing),
            Self::Regions(regions) => regions
                .iter()
                .find(|r| {
                    points.iter().all(|&(x, y)| {
                        x >= r.left - 0.5 && x <= r.right + 0.5 && y >= r.top - 0.5 && y <= r.bottom + 0.5
                    })
                })
                .map(|r| r.spacing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_holds_only_where_all_points_lie() {
        let spacing = Spacing { x_mm: 0.1, y_mm: 0.2 };
        let region = ScaleRegion { left: 10.0, top: 10.0, right: 20.0, bottom: 20.0, spacing };
        let scale = Scale::Regions(vec![region]);
        assert_eq!(scale.at(&[(10.0, 10.0), (20.0, 20.0)]), Some(spacing));
        assert_eq!(scale.at(&[(10.0, 10.0), (21.0, 20.0)]), None);
        assert_eq!(Scale::Unknown.at(&[(0.0, 0.0)]), None);
    }
}
