//! Random resized crop (torchvision's rule: ten tries, then a central crop).

use super::AugmentConfig;
use crate::geometry::Image;
use crate::geometry::{Needle, Point};
use crate::rng::Rng;

/// A rectangle of whole pixels inside an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crop {
    /// First row.
    pub top: usize,
    /// First column.
    pub left: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Crop {
    /// The whole image.
    pub fn whole([height, width]: [usize; 2]) -> Self {
        Self { top: 0, left: 0, height, width }
    }

    /// A random crop of the given share of the area and relative aspect.
    pub fn draw(config: &AugmentConfig, [height, width]: [usize; 2], rng: &mut Rng) -> Self {
        for _ in 0..10 {
            let share = rng.uniform(config.crop_scale[0], config.crop_scale[1]);
            let [low, high] = config.crop_ratio.map(f64::ln);
            let ratio = rng.uniform(low, high).exp();
            let (w, h) = ((share * ratio).sqrt() * width as f64, (share / ratio).sqrt() * height as f64);
            let (w, h) = (w.round() as usize, h.round() as usize);
            if (1..=width).contains(&w) && (1..=height).contains(&h) {
                let (top, left) = (rng.below(height - h + 1), rng.below(width - w + 1));
                return Self { top, left, height: h, width: w };
            }
        }
        Self::whole([height, width])
    }

    /// The pixels of the first channel inside the crop, row-major.
    pub fn pixels(&self, image: &Image) -> Vec<f32> {
        (self.top..self.top + self.height)
            .flat_map(|row| {
                let start = row * image.width + self.left;
                image.pixels[start..start + self.width].iter().copied()
            })
            .collect()
    }

    /// A needle of the image in coordinates of the crop.
    pub fn needle(&self, needle: &Needle) -> Needle {
        let moved = |p: Point| Point { x: p.x - self.left as f64, y: p.y - self.top as f64 };
        Needle { entry: moved(needle.entry), tip: moved(needle.tip) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crops_lie_inside_and_have_the_asked_area() {
        let config = AugmentConfig::default();
        let mut rng = Rng::stream(1, "test", [0, 0]);
        let mut mean = 0.0;
        for _ in 0..500 {
            let crop = Crop::draw(&config, [60, 80], &mut rng);
            assert!(crop.top + crop.height <= 60 && crop.left + crop.width <= 80, "{crop:?} leaves the image");
            mean += (crop.height * crop.width) as f64 / 4800.0 / 500.0;
        }
        assert!((0.62..0.82).contains(&mean), "mean share {mean}");
    }

    #[test]
    fn pixels_and_needle_move_together() {
        let image = Image::grey(4, 5, (0..20).map(|i| i as f32).collect());
        let crop = Crop { top: 1, left: 2, height: 2, width: 3 };
        assert_eq!(crop.pixels(&image), [7.0, 8.0, 9.0, 12.0, 13.0, 14.0]);
        let needle = Needle { entry: Point { x: 2.0, y: 1.0 }, tip: Point { x: 4.0, y: 2.0 } };
        assert_eq!(crop.needle(&needle).tip, Point { x: 2.0, y: 1.0 });
    }
}
