//! Where the image lies on the canvas: fit, zoom at the cursor, pan.

/// Smallest and largest zoom, in canvas pixels per image pixel.
const ZOOM: (f64, f64) = (0.02, 64.0);

/// Canvas pixels from image pixels: `canvas = offset + scale * (image + 0.5)`, pixel centres at whole image numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transform {
    /// Canvas pixels per image pixel.
    pub scale: f64,
    /// Canvas position of the image's left edge.
    pub left: f64,
    /// Canvas position of the image's top edge.
    pub top: f64,
    /// True until the user zooms or pans: the image then follows the size of the window.
    pub fitted: bool,
}

impl Default for Transform {
    fn default() -> Self {
        Self { scale: 1.0, left: 0.0, top: 0.0, fitted: true }
    }
}

impl Transform {
    /// The whole image, centred. Sizes are `(width, height)` in pixels.
    pub fn fit(image: (f64, f64), canvas: (f64, f64)) -> Self {
        let scale = (canvas.0 / image.0).min(canvas.1 / image.1).clamp(ZOOM.0, ZOOM.1);
        Self { scale, left: (canvas.0 - scale * image.0) / 2.0, top: (canvas.1 - scale * image.1) / 2.0, fitted: true }
    }

    /// The canvas position of an image point.
    pub fn canvas(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (self.left + self.scale * (x + 0.5), self.top + self.scale * (y + 0.5))
    }

    /// The image point at a canvas position.
    pub fn image(&self, (x, y): (f64, f64)) -> (f64, f64) {
        ((x - self.left) / self.scale - 0.5, (y - self.top) / self.scale - 0.5)
    }

    /// Zoom by `factor` so that the image point under the canvas position `at` stays there.
    #[must_use]
    pub fn zoomed(&self, factor: f64, at: (f64, f64)) -> Self {
        let scale = (self.scale * factor).clamp(ZOOM.0, ZOOM.1);
        let kept = scale / self.scale;
        Self { scale, left: at.0 - kept * (at.0 - self.left), top: at.1 - kept * (at.1 - self.top), fitted: false }
    }

    /// Moved by canvas pixels.
    #[must_use]
    pub fn panned(&self, by: (f64, f64)) -> Self {
        Self { left: self.left + by.0, top: self.top + by.1, fitted: false, ..*self }
    }

    /// Moved back so that a part of the image at least `margin` canvas pixels wide stays on the canvas.
    #[must_use]
    pub fn kept_in_sight(&self, image: (f64, f64), canvas: (f64, f64), margin: f64) -> Self {
        let clamp = |start: f64, image: f64, canvas: f64| {
            let margin = margin.min(self.scale * image).min(canvas);
            start.clamp(margin - self.scale * image, canvas - margin)
        };
        Self { left: clamp(self.left, image.0, canvas.0), top: clamp(self.top, image.1, canvas.1), ..*self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fitted_image_is_centred_and_whole() {
        let fit = Transform::fit((100.0, 50.0), (400.0, 400.0));
        assert_eq!((fit.scale, fit.left, fit.top), (4.0, 0.0, 100.0));
        assert_eq!(fit.canvas((-0.5, -0.5)), (0.0, 100.0));
        assert_eq!(fit.canvas((99.5, 49.5)), (400.0, 300.0));
    }

    #[test]
    fn zooming_keeps_the_point_under_the_cursor_and_goes_back() {
        let start = Transform::fit((640.0, 480.0), (800.0, 600.0));
        let at = (123.0, 456.0);
        let before = start.image(at);
        let zoomed = start.zoomed(3.0, at);
        let after = zoomed.image(at);
        assert!((before.0 - after.0).abs() < 1e-9 && (before.1 - after.1).abs() < 1e-9);
        let back = zoomed.zoomed(1.0 / 3.0, at);
        assert!((back.left - start.left).abs() < 1e-9 && (back.scale - start.scale).abs() < 1e-9);
        assert!(!zoomed.fitted);
        assert_eq!(start.zoomed(1e9, at).scale, ZOOM.1);
    }

    #[test]
    fn the_image_cannot_be_lost() {
        let far = Transform::fit((100.0, 100.0), (400.0, 400.0)).panned((9999.0, -9999.0));
        let kept = far.kept_in_sight((100.0, 100.0), (400.0, 400.0), 40.0);
        assert_eq!((kept.left, kept.top), (360.0, -360.0));
    }
}
