//! Whether two pictures show the same moment of the same scene: the test behind leakage between splits.

use crate::geometry::Image;
use crate::geometry::resize;

/// Pictures at least this alike are frames of one video, or copies of one picture. Measured: neighbouring frames of lung
/// and eye clips reach 0.99, pictures of different people at most 0.83 (breast, hip, carotid, muscle, fetal head).
pub const ALIKE: f64 = 0.95;

/// Rows and columns of a thumbnail.
const SIDE: usize = 32;

/// A picture reduced to 32 x 32 pixels of mean 0 and length 1, so that brightness and contrast do not count.
#[derive(Clone, Debug)]
pub struct Thumbnail(Vec<f32>);

impl Thumbnail {
    /// The thumbnail of an image of any size. A picture without any contrast is like no other.
    pub fn of(image: &Image) -> Self {
        let grey = image.to_grey();
        let mut small = resize::bilinear_antialiased(&grey.pixels, [grey.height, grey.width], [SIDE, SIDE]);
        let mean = small.iter().sum::<f32>() / small.len() as f32;
        small.iter_mut().for_each(|pixel| *pixel -= mean);
        let length = small.iter().map(|pixel| pixel * pixel).sum::<f32>().sqrt();
        // A tenth of a grey level in every pixel is noise of rounding, not a picture.
        let factor = if length > SIDE as f32 * 0.1 / 255.0 { 1.0 / length } else { 0.0 };
        small.iter_mut().for_each(|pixel| *pixel *= factor);
        Self(small)
    }

    /// Normalised cross-correlation in [-1, 1]; 1 for the same picture.
    pub fn likeness(&self, other: &Self) -> f64 {
        // Sums side by side, which a processor adds at once: whole data sets are compared.
        let mut sums = [0.0_f32; 16];
        for (a, b) in self.0.as_chunks::<16>().0.iter().zip(other.0.as_chunks::<16>().0) {
            for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
                *sum += a * b;
            }
        }
        f64::from(sums.iter().sum::<f32>())
    }

    /// True when the two pictures are at least [`ALIKE`].
    pub fn is_like(&self, other: &Self) -> bool {
        self.likeness(other) >= ALIKE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(at: impl Fn(usize, usize) -> f32) -> Thumbnail {
        Thumbnail::of(&Image::grey(40, 50, (0..2000).map(|i| at(i / 50, i % 50)).collect()))
    }

    #[test]
    fn brightness_does_not_count_and_content_does() {
        let wave = picture(|row, column| ((row as f32 * 0.3).sin() + (column as f32 * 0.2).cos()) * 0.2 + 0.5);
        let dim = picture(|row, column| ((row as f32 * 0.3).sin() + (column as f32 * 0.2).cos()) * 0.1 + 0.3);
        let other = picture(|row, column| ((row as f32 * 0.3).cos() + (column as f32 * 0.5).sin()) * 0.2 + 0.5);
        assert!(wave.likeness(&dim) > 0.999 && wave.is_like(&dim), "{}", wave.likeness(&dim));
        assert!(wave.likeness(&other) < 0.5, "{}", wave.likeness(&other));
        let flat = picture(|_, _| 0.5);
        assert!(!flat.is_like(&flat), "an empty frame is like no other");
    }
}
