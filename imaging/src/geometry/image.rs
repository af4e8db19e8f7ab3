//! The 2-D image.

use super::Scale;

/// A 2-D image: `f32` pixels `[channels, height, width]`, full scale of the stored type = 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// 1 (grey) or 3 (red, green, blue).
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Row-major `[channels, height, width]`.
    pub pixels: Vec<f32>,
    /// Millimetres, where known.
    pub scale: Scale,
}

impl Image {
    /// A grey image. Panics when `pixels` does not hold `height * width` values.
    pub fn grey(height: usize, width: usize, pixels: Vec<f32>) -> Self {
        assert_eq!(pixels.len(), height * width, "a {height}x{width} image needs as many pixels");
        Self { channels: 1, height, width, pixels, scale: Scale::Unknown }
    }

    /// A grey image from bytes, 255 = full scale.
    pub fn from_grey8(height: usize, width: usize, bytes: &[u8]) -> Self {
        Self::grey(height, width, bytes.iter().map(|&b| f32::from(b) / 255.0).collect())
    }

    /// A colour image from interleaved red, green, blue bytes. An image without any colour becomes grey.
    pub fn from_rgb8(height: usize, width: usize, bytes: &[u8]) -> Self {
        assert_eq!(bytes.len(), 3 * height * width, "a {height}x{width} colour image needs three bytes a pixel");
        if bytes.chunks_exact(3).all(|p| p[0] == p[1] && p[1] == p[2]) {
            let grey: Vec<u8> = bytes.iter().step_by(3).copied().collect();
            return Self::from_grey8(height, width, &grey);
        }
        let pixels = (0..3).flat_map(|c| bytes.iter().skip(c).step_by(3).map(|&b| f32::from(b) / 255.0)).collect();
        Self { channels: 3, height, width, pixels, scale: Scale::Unknown }
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
        let plane = self.height * self.width;
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
}
