//! Marks that machines draw into their pictures: ticks, letters, bars, logos, callipers, guide lines.

use super::machine::MachineConfig;
use super::probe::Probe;
use crate::rng::Rng;

/// Pixels to paint over a picture: index and grey level.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks(Vec<(usize, f32)>);

impl Marks {
    pub(super) fn draw(config: &MachineConfig, probe: &Probe, rng: &mut Rng) -> Self {
        let mut marks = Self::default();
        if !rng.chance(config.marks_share) {
            return marks;
        }
        let (height, width) = (probe.height as f64, probe.width as f64);
        if rng.chance(0.5) {
            marks.ticks(probe, rng);
        }
        for _ in 0..rng.below(4) {
            // Letters stand at the edges, seldom over the tissue.
            let (x, y) = match rng.below(9) {
                0 | 1 => (rng.uniform(0.0, 0.1) * width, rng.uniform(0.0, 0.9) * height),
                2 | 3 => (rng.uniform(0.75, 0.95) * width, rng.uniform(0.0, 0.9) * height),
                4 | 5 => (rng.uniform(0.0, 0.9) * width, rng.uniform(0.0, 0.06) * height),
                6 | 7 => (rng.uniform(0.0, 0.9) * width, rng.uniform(0.9, 0.98) * height),
                _ => (rng.uniform(0.0, 0.9) * width, rng.uniform(0.0, 0.95) * height),
            };
            marks.letters(probe, x, y, rng);
        }
        if rng.chance(0.25) {
            let left = if rng.chance(0.5) { 0.01 } else { 0.96 } * width;
            let (top, long) = (rng.uniform(0.02, 0.3) * height, rng.uniform(0.2, 0.5) * height);
            for row in 0..long as usize {
                for column in 0..(0.02 * width).max(3.0) as usize {
                    marks.dot(probe, left + column as f64, top + row as f64, 1.0 - row as f64 / long);
                }
            }
        }
        if rng.chance(0.3) {
            marks.logo(probe, rng);
        }
        if rng.chance(0.2) {
            for _ in 0..1 + rng.below(3) {
                let (x, y) = (rng.uniform(0.1, 0.9) * width, rng.uniform(0.1, 0.9) * height);
                for k in -3..=3 {
                    marks.dot(probe, x + f64::from(k), y, 0.95);
                    marks.dot(probe, x, y + f64::from(k), 0.95);
                }
            }
        }
        if rng.chance(0.05) {
            marks.guide(probe, rng);
        }
        marks
    }

    /// Paint the marks.
    pub(super) fn paint(&self, pixels: &mut [f32]) {
        for &(index, level) in &self.0 {
            pixels[index] = level;
        }
    }

    fn dot(&mut self, probe: &Probe, x: f64, y: f64, level: f64) {
        if x >= 0.0 && y >= 0.0 && x < probe.width as f64 && y < probe.height as f64 {
            self.0.push((y as usize * probe.width + x as usize, level as f32));
        }
    }

    /// One tick per 5 or 10 mm of depth.
    fn ticks(&mut self, probe: &Probe, rng: &mut Rng) {
        let step = if probe.depth_mm < 60.0 { 5.0 } else { 10.0 };
        let left = rng.chance(0.5);
        let (inset, long) = (rng.uniform(1.0, 8.0), 2 + rng.below(4));
        let level = rng.uniform(0.4, 1.0);
        for k in 0..=(probe.depth_mm / step) as usize {
            let y = probe.pixel_from_mm(0.0, k as f64 * step).y;
            let long = if k % 2 == 0 { long } else { long / 2 + 1 };
            for column in 0..long {
                let x = inset + column as f64;
                self.dot(probe, if left { x } else { probe.width as f64 - 1.0 - x }, y, level);
            }
        }
    }

    /// A row of made-up letters, 3 by 5 dots each.
    fn letters(&mut self, probe: &Probe, x: f64, y: f64, rng: &mut Rng) {
        let size = 1.0 + rng.below(2) as f64;
        let level = rng.uniform(0.5, 1.0);
        for letter in 0..1 + rng.below(9) {
            for row in 0..5 {
                for column in 0..3 {
                    if !rng.chance(0.55) {
                        continue;
                    }
                    let (left, top) = (x + size * (4 * letter + column) as f64, y + size * f64::from(row));
                    for k in 0..(size * size) as usize {
                        let (across, down) = (k % size as usize, k / size as usize);
                        self.dot(probe, left + across as f64, top + down as f64, level);
                    }
                }
            }
        }
    }

    fn logo(&mut self, probe: &Probe, rng: &mut Rng) {
        let radius = rng.uniform(3.0, 8.0);
        let x = if rng.chance(0.5) { radius + 2.0 } else { probe.width as f64 - radius - 3.0 };
        let y = radius + rng.uniform(1.0, 0.1 * probe.height as f64);
        let level = rng.uniform(0.3, 0.9);
        let hollow = if rng.chance(0.5) { rng.uniform(0.3, 0.8) } else { 0.0 };
        let side = radius as i32;
        for row in -side..=side {
            for column in -side..=side {
                let distance = f64::from(row).hypot(f64::from(column)) / radius;
                if distance <= 1.0 && distance >= hollow {
                    self.dot(probe, x + f64::from(column), y + f64::from(row), level);
                }
            }
        }
    }

    /// The dotted line of a needle guide: looks like a needle and is none.
    fn guide(&mut self, probe: &Probe, rng: &mut Rng) {
        let (height, width) = (probe.height as f64, probe.width as f64);
        let left = rng.chance(0.5);
        let (from, to) = (rng.uniform(0.0, 0.4) * height, rng.uniform(0.5, 1.0) * height);
        let gap = 5 + rng.below(8);
        let count = width as usize / gap;
        for k in 0..count {
            let t = k as f64 / count as f64;
            let x = if left { t * width } else { (1.0 - t) * width };
            let y = from + t * (to - from);
            self.dot(probe, x, y, 0.8);
            self.dot(probe, x + 1.0, y, 0.8);
        }
    }
}
