//! The only normalisation: training and prediction both call it, and a model file carries its settings.

use serde::{Deserialize, Serialize};

use crate::geometry::Image;
use crate::geometry::resize::bilinear_antialiased;

/// How an image becomes network input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Preparation {
    /// Height and width of the input, in pixels. The aspect ratio is not kept (Yang 2024, section 3.1).
    pub size: usize,
    /// Mean of each input channel, of pixels in [0, 1]. ImageNet's by default, which imported weights need.
    pub mean: [f64; 3],
    /// Standard deviation of each input channel.
    pub std: [f64; 3],
}

impl Default for Preparation {
    fn default() -> Self {
        Self { size: 224, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] }
    }
}

impl Preparation {
    /// One frame as a grey square, pixels in [0, 1]: luminance, then bilinear resampling with antialias.
    ///
    /// # Shapes
    /// - output: row-major `[size, size]`
    pub fn square(&self, image: &Image) -> Vec<f32> {
        let plane = image.height * image.width;
        let grey = image.to_grey();
        bilinear_antialiased(&grey.pixels[..plane], [image.height, image.width], [self.size, self.size])
    }

    /// Grey squares as normalised network input; one frame is given as often as the network has channels.
    ///
    /// # Shapes
    /// - `squares`: one or `channels`, each row-major `[size, size]`
    /// - output: row-major `[channels, size, size]`
    pub fn normalise(&self, squares: &[Vec<f32>], channels: usize) -> Vec<f32> {
        assert!((1..=3).contains(&channels), "a network reads 1 to 3 channels, not {channels}");
        assert!([1, channels].contains(&squares.len()), "{} frames do not make {channels} channels", squares.len());
        (0..channels)
            .flat_map(|channel| {
                let (mean, std) = (self.mean[channel] as f32, self.std[channel] as f32);
                squares[channel.min(squares.len() - 1)].iter().map(move |pixel| (pixel - mean) / std)
            })
            .collect()
    }

    /// What [`Preparation::normalise`] did, undone: pixels in [0, 1], for showing.
    ///
    /// # Shapes
    /// - `input`: row-major `[3, height, width]`, to the same
    pub fn denormalise(&self, input: &[f32]) -> Vec<f32> {
        assert!(input.len().is_multiple_of(3), "{} numbers are no image of 3 channels", input.len());
        let plane = (input.len() / 3).max(1);
        let channels = input.chunks_exact(plane).zip(self.mean.iter().zip(&self.std));
        channels
            .flat_map(|(pixels, (&mean, &std))| pixels.iter().map(move |pixel| pixel * std as f32 + mean as f32))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grey_frame_is_normalised_per_channel() {
        let preparation = Preparation { size: 2, ..Default::default() };
        let square = preparation.square(&Image::grey(4, 4, vec![0.5; 16]));
        let input = preparation.normalise(&[square], 3);
        assert_eq!(input.len(), 12);
        assert!((f64::from(input[0]) - (0.5 - 0.485) / 0.229).abs() < 1e-6);
        assert!((f64::from(input[8]) - (0.5 - 0.406) / 0.225).abs() < 1e-6);
        assert!(preparation.denormalise(&input).iter().all(|pixel| (pixel - 0.5).abs() < 1e-6));
        let plain = Preparation { size: 2, mean: [0.0; 3], std: [1.0; 3] };
        assert_eq!(plain.normalise(&[vec![0.25; 4]], 1), [0.25; 4], "one channel for a network that reads grey");
    }
}
