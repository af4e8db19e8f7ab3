//! Pixels and lines for the needle searches: connected components, weighted total least squares, a Hough search.

use super::{Needle, Point};

/// A probability map that is safe to read.
pub(crate) struct Map<'a> {
    pub(crate) probability: &'a [f32],
    pub(crate) height: usize,
    pub(crate) width: usize,
}

impl Map<'_> {
    /// The probability of a pixel, 0 to 1.
    pub(crate) fn at(&self, x: usize, y: usize) -> f64 {
        let value = self.probability[y * self.width + x];
        if value.is_nan() { 0.0 } else { f64::from(value.clamp(0.0, 1.0)) }
    }

    /// The nearest point inside the image.
    pub(crate) fn clamped(&self, point: Point) -> Point {
        let clamp = |value: f64, size: usize| value.clamp(0.0, size as f64 - 1.0);
        Point { x: clamp(point.x, self.width), y: clamp(point.y, self.height) }
    }

    /// Mean probability of the pixels along a shaft.
    pub(crate) fn mean_along(&self, needle: &Needle) -> f64 {
        let steps = needle.length_px().ceil().max(1.0) as usize;
        let [dx, dy] = needle.step(None);
        let values = (0..=steps).map(|step| {
            let t = step as f64 / steps as f64;
            let point = self.clamped(Point { x: needle.entry.x + t * dx, y: needle.entry.y + t * dy });
            self.at(point.x.round() as usize, point.y.round() as usize)
        });
        values.sum::<f64>() / (steps + 1) as f64
    }
}

/// A pixel above the threshold, with its probability.
#[derive(Clone, Copy)]
pub(crate) struct Pixel {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) p: f64,
}

impl Pixel {
    pub(crate) fn point(&self) -> Point {
        Point { x: self.x, y: self.y }
    }
}

/// A line through (x, y) with the unit direction (dx, dy).
#[derive(Clone, Copy)]
pub(crate) struct Line {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) dx: f64,
    pub(crate) dy: f64,
}

impl Line {
    pub(crate) fn along(&self, pixel: &Pixel) -> f64 {
        (pixel.x - self.x) * self.dx + (pixel.y - self.y) * self.dy
    }

    pub(crate) fn across(&self, pixel: &Pixel) -> f64 {
        (pixel.y - self.y) * self.dx - (pixel.x - self.x) * self.dy
    }

    pub(crate) fn at(&self, along: f64) -> Point {
        Point { x: self.x + along * self.dx, y: self.y + along * self.dy }
    }
}

/// 8-connected components of the pixels above the threshold, of at least three pixels.
pub(crate) fn components(map: &Map<'_>, threshold: f64) -> Vec<Vec<Pixel>> {
    let Map { height, width, .. } = *map;
    let mut open: Vec<bool> = (0..height * width).map(|i| map.at(i % width, i / width) > threshold).collect();
    let mut found = Vec::new();
    let mut queue = Vec::new();
    for start in 0..open.len() {
        if !std::mem::take(&mut open[start]) {
            continue;
        }
        let mut pixels = Vec::new();
        queue.push(start);
        while let Some(index) = queue.pop() {
            let (x, y) = (index % width, index / width);
            pixels.push(Pixel { x: x as f64, y: y as f64, p: map.at(x, y) });
            for y in y.saturating_sub(1)..(y + 2).min(height) {
                for x in x.saturating_sub(1)..(x + 2).min(width) {
                    if std::mem::take(&mut open[y * width + x]) {
                        queue.push(y * width + x);
                    }
                }
            }
        }
        if pixels.len() >= 3 {
            found.push(pixels);
        }
    }
    found
}

/// Weighted total least squares: the line, and the standard deviations along and across it.
pub(crate) fn total_least_squares(pixels: &[Pixel], weight: impl Fn(&Pixel) -> f64) -> Option<(Line, [f64; 2])> {
    let [mut sum, mut x, mut y] = [0.0; 3];
    for pixel in pixels {
        let w = weight(pixel);
        (sum, x, y) = (sum + w, x + w * pixel.x, y + w * pixel.y);
    }
    if sum <= 0.0 {
        return None;
    }
    (x, y) = (x / sum, y / sum);
    let [mut xx, mut xy, mut yy] = [0.0; 3];
    for pixel in pixels {
        let (w, u, v) = (weight(pixel) / sum, pixel.x - x, pixel.y - y);
        (xx, xy, yy) = (xx + w * u * u, xy + w * u * v, yy + w * v * v);
    }
    let (dy, dx) = (0.5 * (2.0 * xy).atan2(xx - yy)).sin_cos();
    let (mean, half) = (0.5 * (xx + yy), (0.5 * (xx - yy)).hypot(xy));
    Some((Line { x, y, dx, dy }, [mean + half, (mean - half).max(0.0)].map(f64::sqrt)))
}

/// The band two radii wide that holds the most probability, over 60 directions.
pub(crate) fn hough(pixels: &[Pixel], radius: f64) -> Option<Line> {
    let (centre, _) = total_least_squares(pixels, |pixel| pixel.p)?;
    // A few thousand pixels say as much as all of them.
    let stride = pixels.len().div_ceil(3000);
    let mut best = (0.0, centre);
    let mut bins: Vec<f64> = Vec::new();
    for step in 0..60 {
        let (dy, dx) = (std::f64::consts::PI * f64::from(step) / 60.0).sin_cos();
        let line = Line { dx, dy, ..centre };
        let sampled = || pixels.iter().step_by(stride).map(|pixel| (line.across(pixel) / radius, pixel.p));
        let low = sampled().fold(f64::INFINITY, |low, (across, _)| low.min(across)).floor();
        bins.clear();
        for (across, p) in sampled() {
            // Half a radius per bin; four bins in a row make the band.
            let bin = ((across - low) * 2.0) as usize;
            if bins.len() < bin + 4 {
                bins.resize(bin + 4, 0.0);
            }
            bins[bin] += p;
        }
        for (bin, window) in bins.windows(4).enumerate() {
            let mass: f64 = window.iter().sum();
            if mass > best.0 {
                let offset = (low + 0.5 * bin as f64 + 1.0) * radius;
                best = (mass, Line { x: centre.x - offset * dy, y: centre.y + offset * dx, dx, dy });
            }
        }
    }
    Some(best.1)
}
