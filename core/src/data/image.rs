//! Images and masks, and the scale that turns pixels into millimetres.
//!
//! Coordinates: x to the right, y down, in pixels, with the **centre of the first pixel at (0, 0)**, so that a pixel
//! covers [-0.5, 0.5). Files, labels and geometry all use it.

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

/// An image or volume: `f32` pixels `[channels, depth, height, width]`, full scale of the stored type = 1.
/// A 2-D image has depth 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// 1 (grey) or 3 (red, green, blue).
    pub channels: usize,
    /// Slices; 1 for a 2-D image.
    pub depth: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Row-major `[channels, depth, height, width]`.
    pub pixels: Vec<f32>,
    /// Millimetres, where known.
    pub scale: Scale,
}

impl Image {
    /// A 2-D grey image. Panics when `pixels` does not hold `height * width` values.
    pub fn grey(height: usize, width: usize, pixels: Vec<f32>) -> Self {
        assert_eq!(pixels.len(), height * width, "a {height}x{width} image needs as many pixels");
        Self { channels: 1, depth: 1, height, width, pixels, scale: Scale::Unknown }
    }

    /// A 2-D grey image from bytes, 255 = full scale.
    pub fn from_grey8(height: usize, width: usize, bytes: &[u8]) -> Self {
        Self::grey(height, width, bytes.iter().map(|&b| f32::from(b) / 255.0).collect())
    }

    /// A 2-D colour image from interleaved red, green, blue bytes. An image without any colour becomes grey.
    pub fn from_rgb8(height: usize, width: usize, bytes: &[u8]) -> Self {
        assert_eq!(bytes.len(), 3 * height * width, "a {height}x{width} colour image needs three bytes a pixel");
        if bytes.chunks_exact(3).all(|p| p[0] == p[1] && p[1] == p[2]) {
            let grey: Vec<u8> = bytes.iter().step_by(3).copied().collect();
            return Self::from_grey8(height, width, &grey);
        }
        let pixels = (0..3).flat_map(|c| bytes.iter().skip(c).step_by(3).map(|&b| f32::from(b) / 255.0)).collect();
        Self { channels: 3, depth: 1, height, width, pixels, scale: Scale::Unknown }
    }

    /// The same image with a scale.
    #[must_use]
    pub fn with_scale(mut self, scale: Scale) -> Self {
        self.scale = scale;
        self
    }

    /// The luminance (ITU-R BT.601) as a one-channel image; a grey image unchanged.
    pub fn to_grey(&self) -> Self {
        if self.channels == 1 {
            return self.clone();
        }
        let plane = self.depth * self.height * self.width;
        let (r, rest) = self.pixels.split_at(plane);
        let (g, b) = rest.split_at(plane);
        let pixels = r.iter().zip(g).zip(b).map(|((r, g), b)| 0.299 * r + 0.587 * g + 0.114 * b).collect();
        Self { channels: 1, pixels, scale: self.scale.clone(), ..*self }
    }

    /// The pixels as bytes, interleaved by channel, for showing or storing: `[height, width, channels]`.
    pub fn to_bytes(&self) -> Vec<u8> {
        let plane = self.height * self.width;
        (0..plane)
            .flat_map(|i| (0..self.channels).map(move |c| (i, c)))
            .map(|(i, c)| (self.pixels[c * plane + i].clamp(0.0, 1.0) * 255.0).round() as u8)
            .collect()
    }
}

/// One class number per pixel, `[depth, height, width]`; 0 is background.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    /// Slices; 1 for a 2-D mask.
    pub depth: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Row-major `[depth, height, width]`.
    pub classes: Vec<u8>,
}

impl Mask {
    /// An all-background 2-D mask.
    pub fn empty(height: usize, width: usize) -> Self {
        Self { depth: 1, height, width, classes: vec![0; height * width] }
    }

    /// True when every pixel is background.
    pub fn is_empty(&self) -> bool {
        self.classes.iter().all(|&class| class == 0)
    }

    /// The mask with its holes filled: background that no path through background joins to the edge (up, down, left,
    /// right) takes the class to its left. It turns drawn outlines into areas. A 2-D mask.
    #[must_use]
    pub fn filled(&self) -> Self {
        let (height, width) = (self.height, self.width);
        let mut outside = vec![false; self.classes.len()];
        let rim = (0..height).flat_map(|row| (0..width).map(move |column| (row, column)));
        let mut open: Vec<(usize, usize)> =
            rim.filter(|&(row, column)| row == 0 || column == 0 || row + 1 == height || column + 1 == width).collect();
        while let Some((row, column)) = open.pop() {
            let at = row * width + column;
            if self.classes[at] != 0 || std::mem::replace(&mut outside[at], true) {
                continue;
            }
            let steps =
                [(row.wrapping_sub(1), column), (row + 1, column), (row, column.wrapping_sub(1)), (row, column + 1)];
            open.extend(steps.into_iter().filter(|&(row, column)| row < height && column < width));
        }
        let mut filled = self.clone();
        // A hole never lies in the first column, so that its left neighbour is of the same row.
        let mut left = 0;
        for (class, outside) in filled.classes.iter_mut().zip(outside) {
            if *class == 0 && !outside {
                *class = left;
            }
            left = *class;
        }
        filled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grey_stored_as_colour_becomes_grey_and_colour_stays() {
        assert_eq!(Image::from_rgb8(1, 2, &[7, 7, 7, 9, 9, 9]).channels, 1);
        let colour = Image::from_rgb8(1, 2, &[255, 0, 0, 0, 0, 255]);
        assert_eq!(colour.channels, 3);
        let grey = colour.to_grey();
        assert!((grey.pixels[0] - 0.299).abs() < 1e-6 && (grey.pixels[1] - 0.114).abs() < 1e-6);
        assert_eq!(colour.to_bytes(), [255, 0, 0, 0, 0, 255]);
    }

    #[test]
    fn holes_are_filled_and_bays_are_not() {
        let mask = |text: &str| Mask {
            depth: 1,
            height: 4,
            width: 6,
            classes: text.bytes().filter(u8::is_ascii_digit).map(|digit| digit - b'0').collect(),
        };
        let ring = mask("022200 020201 022201 000001");
        assert_eq!(ring.filled(), mask("022200 022201 022201 000001"));
        let bay = mask("020200 020201 022201 000001");
        assert_eq!(bay.filled(), bay);
    }

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
