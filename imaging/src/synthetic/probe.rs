//! Probe geometry: millimetres, beam cells and image pixels, and the scan conversion between the last two.
//!
//! Three frames of reference. **mm**: x to the right from the middle of the probe face, z into the body. **Beam
//! cells** `(beam, sample)`: the grid on which echoes are computed. **Pixels** of the image.

use serde::{Deserialize, Serialize};

use super::config::{NeedleSimConfig, draw, happens};
use super::machine::MachineConfig;
use crate::geometry::Point;
use crate::geometry::Spacing;
use crate::rng::Rng;

/// Shape of the scan area.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProbeKind {
    /// Parallel beams, a rectangle.
    Linear,
    /// Flat face, beams that open to the sides.
    Trapezoid,
    /// Curved face, a sector.
    Convex,
}

/// One probe, its image and the grid of beam cells.
#[derive(Clone, Debug)]
pub(super) struct Probe {
    pub(super) kind: ProbeKind,
    /// Radius of the face (convex) or distance of the virtual apex behind it (trapezoid), mm.
    radius_mm: f64,
    /// Half the aperture in mm (linear, trapezoid) or half the opening angle in rad (convex).
    half_width: f64,
    /// Depth shown, mm along the beam.
    pub(super) depth_mm: f64,
    /// Cells across.
    pub(super) beams: usize,
    /// Cells along a beam.
    pub(super) samples: usize,
    /// Centre frequency, MHz.
    pub(super) mhz: f64,
    pub(super) spacing: Spacing,
    pub(super) height: usize,
    pub(super) width: usize,
    /// Pixel of the point x = 0, z = 0.
    origin: Point,
    /// The scan area of a real picture, whose shape no probe tells: whether each pixel `[height, width]` lies in it.
    area: Option<Vec<bool>>,
}

impl Probe {
    /// Draw a probe and its picture.
    pub(super) fn draw(config: &NeedleSimConfig, rng: &mut Rng) -> Self {
        let weights = config.probe_weights;
        let pick = rng.uniform(0.0, weights.iter().sum());
        let kind = if pick < weights[0] {
            ProbeKind::Linear
        } else if pick < weights[0] + weights[1] {
            ProbeKind::Trapezoid
        } else {
            ProbeKind::Convex
        };
        let (radius_mm, half_width, depth_mm, mhz) = match kind {
            ProbeKind::Linear | ProbeKind::Trapezoid => {
                let half = draw(rng, config.linear_width_mm) / 2.0;
                let mut depth = draw(rng, config.linear_depth_mm);
                for _ in 0..8 {
                    if (1.2 * half..3.4 * half).contains(&depth) {
                        break;
                    }
                    depth = draw(rng, config.linear_depth_mm);
                }
                let radius = half / draw(rng, config.trapezoid_deg).to_radians().tan();
                // Deep pictures are made at lower frequencies.
                let [low, high] = config.linear_mhz;
                let share = (depth - config.linear_depth_mm[0])
                    / (config.linear_depth_mm[1] - config.linear_depth_mm[0]).max(1e-9);
                (radius, half, depth, draw(rng, [low, high - (high - low) * 0.6 * share]))
            }
            ProbeKind::Convex => (
                draw(rng, config.convex_radius_mm),
                draw(rng, config.convex_opening_deg).to_radians() / 2.0,
                draw(rng, config.convex_depth_mm),
                draw(rng, config.convex_mhz),
            ),
        };
        let mut probe = Self { kind, radius_mm, ..Self::unframed(half_width, depth_mm, mhz) };
        probe.frame_picture(&MachineConfig::from(config), rng);
        probe
    }

    /// A linear probe of a width, a depth shown and a frequency, and its picture.
    pub(super) fn linear(config: &MachineConfig, [width_mm, depth_mm, mhz]: [f64; 3], rng: &mut Rng) -> Self {
        let mut probe = Self::unframed(width_mm / 2.0, depth_mm, mhz);
        probe.frame_picture(config, rng);
        probe
    }

    /// A linear probe without a picture yet.
    fn unframed(half_width: f64, depth_mm: f64, mhz: f64) -> Self {
        Self {
            kind: ProbeKind::Linear,
            radius_mm: 1.0,
            half_width,
            depth_mm,
            beams: 2,
            samples: 2,
            mhz,
            spacing: Spacing { x_mm: 1.0, y_mm: 1.0 },
            height: 1,
            width: 1,
            origin: Point { x: 0.0, y: 0.0 },
            area: None,
        }
    }

    /// The grid of a real picture of a size `[height, width]`: each cell is a pixel within `bounds` (first column, first row,
    /// last column, last row). Sound is taken to run down the columns.
    pub(super) fn of_picture(size: [usize; 2], bounds: [usize; 4], spacing: Spacing, area: Vec<bool>) -> Self {
        let [height, width] = size;
        let [left, top, right, bottom] = bounds;
        Self {
            kind: ProbeKind::Linear,
            radius_mm: 1.0,
            half_width: 0.5 * (right - left) as f64 * spacing.x_mm,
            depth_mm: (bottom - top) as f64 * spacing.y_mm,
            beams: right - left + 1,
            samples: bottom - top + 1,
            mhz: 7.0,
            spacing,
            height,
            width,
            origin: Point { x: 0.5 * (left + right) as f64, y: top as f64 },
            area: Some(area),
        }
    }

    /// First column and first row of a real picture's grid.
    pub(super) fn corner(&self) -> (usize, usize) {
        let first = self.pixel_from_mm(-self.half_width, 0.0);
        (first.x.round() as usize, first.y.round() as usize)
    }

    /// Whether a pixel lies in the scan area of a real picture.
    pub(super) fn holds(&self, pixel: usize) -> bool {
        self.area.as_ref().is_none_or(|area| area[pixel])
    }

    /// Choose size, scale and borders of the picture, and the grid that goes with them.
    fn frame_picture(&mut self, config: &MachineConfig, rng: &mut Rng) {
        let ([left, top], [right, bottom]) = self.extent();
        let (width_mm, height_mm) = (right - left, bottom - top);
        let side = draw(rng, config.image_side_px);
        let mm = width_mm.max(height_mm) / side;
        let stretch = if rng.chance(config.stretched_share) { draw(rng, config.stretch).sqrt() } else { 1.0 };
        self.spacing = Spacing { x_mm: mm / stretch, y_mm: mm * stretch };
        let (mut scan_width, mut scan_height) = (width_mm / self.spacing.x_mm, height_mm / self.spacing.y_mm);
        let (mut x, mut y) = (0.0, 0.0);
        let mut borders = [0.0; 4];
        if rng.chance(config.crop_share) {
            let [side, top, bottom] = config.crop;
            let cut = [side, side, top, bottom].map(|most| rng.uniform(0.0, most));
            x -= cut[0] * scan_width;
            y -= cut[2] * scan_height;
            scan_width *= 1.0 - cut[0] - cut[1];
            scan_height *= 1.0 - cut[2] - cut[3];
        } else if rng.chance(config.border_share) {
            borders = [(); 4].map(|()| draw(rng, config.border) * side * rng.uniform(0.0, 1.0));
        }
        if happens(rng, config.letterbox_share) {
            // Bars on both sides of one axis, as shares of the whole picture with them.
            let bars = [(); 2].map(|()| draw(rng, config.letterbox));
            let (first, scan) = if rng.chance(0.7) { (0, scan_width) } else { (2, scan_height) };
            let whole = scan / (1.0 - bars[0] - bars[1]).max(0.25);
            borders[first] += bars[0] * whole;
            borders[first + 1] += bars[1] * whole;
        }
        // No picture is narrower than this: a tall scan area stands between black bars.
        let least = 0.72 * config.image_side_px[0].min(side);
        let bar = (least - scan_width - borders[0] - borders[1]).max(0.0) / 2.0;
        borders[0] += bar;
        borders[1] += bar;
        self.width = ((scan_width + borders[0] + borders[1]).round() as usize).max(16);
        self.height = ((scan_height + borders[2] + borders[3]).round() as usize).max(16);
        self.origin =
            Point { x: borders[0] + x - left / self.spacing.x_mm, y: borders[2] + y - top / self.spacing.y_mm };
        self.samples = ((self.depth_mm / self.spacing.y_mm).round() as usize).clamp(160, 384);
        let across = match self.kind {
            ProbeKind::Linear => 2.0 * self.half_width / self.spacing.x_mm,
            ProbeKind::Trapezoid => 2.4 * self.half_width / self.spacing.x_mm,
            ProbeKind::Convex => 2.0 * self.half_width * (self.radius_mm + 0.6 * self.depth_mm) / self.spacing.x_mm,
        };
        self.beams = ((0.85 * across).round() as usize).clamp(96, 288);
    }

    /// Corners of the scan area in mm: `([left, top], [right, bottom])`.
    fn extent(&self) -> ([f64; 2], [f64; 2]) {
        match self.kind {
            ProbeKind::Linear => ([-self.half_width, 0.0], [self.half_width, self.depth_mm]),
            ProbeKind::Trapezoid => {
                let half = self.half_width * (1.0 + self.depth_mm / self.radius_mm);
                ([-half, 0.0], [half, self.depth_mm])
            }
            ProbeKind::Convex => {
                let outer = self.radius_mm + self.depth_mm;
                let half = outer * self.half_width.sin();
                ([-half, self.radius_mm * (self.half_width.cos() - 1.0)], [half, self.depth_mm])
            }
        }
    }

    /// Length of one cell along the beam, mm.
    pub(super) fn sample_mm(&self) -> f64 {
        self.depth_mm / (self.samples - 1) as f64
    }

    /// Width of one cell at a range along the beam, mm.
    pub(super) fn beam_mm(&self, range_mm: f64) -> f64 {
        let step = 2.0 * self.half_width / (self.beams - 1) as f64;
        match self.kind {
            ProbeKind::Linear => step,
            ProbeKind::Trapezoid => step * (1.0 + range_mm / self.radius_mm),
            ProbeKind::Convex => step * (self.radius_mm + range_mm),
        }
    }

    /// Unit vector `(x, z)` of a beam.
    pub(super) fn beam_direction(&self, beam: f64) -> (f64, f64) {
        let across = self.half_width * (2.0 * beam / (self.beams - 1) as f64 - 1.0);
        match self.kind {
            ProbeKind::Linear => (0.0, 1.0),
            ProbeKind::Trapezoid => {
                let norm = self.radius_mm.hypot(across);
                (across / norm, self.radius_mm / norm)
            }
            ProbeKind::Convex => across.sin_cos(),
        }
    }

    /// Millimetres of a place on the grid.
    pub(super) fn mm_from_cell(&self, beam: f64, sample: f64) -> (f64, f64) {
        let across = self.half_width * (2.0 * beam / (self.beams - 1) as f64 - 1.0);
        let range = sample * self.sample_mm();
        let (dx, dz) = self.beam_direction(beam);
        match self.kind {
            ProbeKind::Linear => (across, range),
            // The depth, not the range, is even along the beams of a trapezoid, so that its lower edge is flat.
            ProbeKind::Trapezoid => (across + range * dx / dz, range),
            ProbeKind::Convex => {
                let r = self.radius_mm + range;
                (r * dx, r * dz - self.radius_mm)
            }
        }
    }

    /// The place on the grid of a point in mm.
    pub(super) fn cell_from_mm(&self, x: f64, z: f64) -> (f64, f64) {
        let (across, range) = match self.kind {
            ProbeKind::Linear => (x, z),
            ProbeKind::Trapezoid => (x / (1.0 + z / self.radius_mm).max(1e-6), z),
            ProbeKind::Convex => {
                let down = z + self.radius_mm;
                (x.atan2(down), x.hypot(down) - self.radius_mm)
            }
        };
        ((across / self.half_width + 1.0) / 2.0 * (self.beams - 1) as f64, range / self.sample_mm())
    }

    /// The pixel of a point in mm.
    pub(super) fn pixel_from_mm(&self, x: f64, z: f64) -> Point {
        Point { x: self.origin.x + x / self.spacing.x_mm, y: self.origin.y + z / self.spacing.y_mm }
    }

    /// The point in mm of a pixel.
    pub(super) fn mm_from_pixel(&self, pixel: Point) -> (f64, f64) {
        ((pixel.x - self.origin.x) * self.spacing.x_mm, (pixel.y - self.origin.y) * self.spacing.y_mm)
    }

    /// True when a point in mm lies in the scan area and in the picture.
    pub(super) fn shows(&self, x: f64, z: f64) -> bool {
        let (beam, sample) = self.cell_from_mm(x, z);
        let pixel = self.pixel_from_mm(x, z);
        beam >= 0.0
            && beam <= (self.beams - 1) as f64
            && sample >= 0.0
            && sample <= (self.samples - 1) as f64
            && pixel.x >= 0.0
            && pixel.x <= (self.width - 1) as f64
            && pixel.y >= 0.0
            && pixel.y <= (self.height - 1) as f64
            && self.holds(pixel.y.round() as usize * self.width + pixel.x.round() as usize)
    }
}

/// Where each pixel finds its four cells.
#[derive(Clone, Debug)]
pub(super) struct ScanTable {
    /// Pixel index, index of the upper left cell, and the two fractions (beam, sample).
    entries: Vec<(u32, u32, f32, f32)>,
    samples: usize,
    pixels: usize,
}

impl ScanTable {
    pub(super) fn new(probe: &Probe) -> Self {
        let mut entries = Vec::with_capacity(probe.height * probe.width);
        for row in 0..probe.height {
            for column in 0..probe.width {
                let (x, z) = probe.mm_from_pixel(Point { x: column as f64, y: row as f64 });
                let (beam, sample) = probe.cell_from_mm(x, z);
                let (last_beam, last_sample) = ((probe.beams - 1) as f64, (probe.samples - 1) as f64);
                if beam < -0.5 || sample < -0.5 || beam > last_beam + 0.5 || sample > last_sample + 0.5 {
                    continue;
                }
                let (beam, sample) = (beam.clamp(0.0, last_beam - 1e-6), sample.clamp(0.0, last_sample - 1e-6));
                let cell = beam as usize * probe.samples + sample as usize;
                let pixel = row * probe.width + column;
                entries.push((pixel as u32, cell as u32, beam.fract() as f32, sample.fract() as f32));
            }
        }
        Self { entries, samples: probe.samples, pixels: probe.height * probe.width }
    }

    /// The picture `[height, width]` of the cells `[beam, sample]`, with `outside` where no beam goes.
    pub(super) fn convert(&self, cells: &[f32], outside: f32) -> Vec<f32> {
        let mut picture = vec![outside; self.pixels];
        for &(pixel, cell, across, along) in &self.entries {
            let cell = cell as usize;
            let near = cells[cell] + (cells[cell + 1] - cells[cell]) * along;
            let next = cell + self.samples;
            let far = cells[next] + (cells[next + 1] - cells[next]) * along;
            picture[pixel as usize] = near + (far - near) * across;
        }
        picture
    }

    /// True for each pixel `[height, width]` of the scan area.
    pub(super) fn inside(&self) -> Vec<bool> {
        let mut inside = vec![false; self.pixels];
        for entry in &self.entries {
            inside[entry.0 as usize] = true;
        }
        inside
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_of_reference_maps_back_to_itself() {
        for (index, weights) in [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]].into_iter().enumerate() {
            let config = NeedleSimConfig { probe_weights: weights, ..NeedleSimConfig::default() };
            let probe = Probe::draw(&config, &mut Rng::stream(3, "test", [index as u64, 0]));
            for (beam, sample) in [(0.0, 0.0), (10.0, 50.0), (60.5, 100.25)] {
                let (x, z) = probe.mm_from_cell(beam, sample);
                let (b, s) = probe.cell_from_mm(x, z);
                assert!((b - beam).abs() < 1e-6 && (s - sample).abs() < 1e-6, "{:?}: {b} {s}", probe.kind);
                let (x2, z2) = probe.mm_from_pixel(probe.pixel_from_mm(x, z));
                assert!((x - x2).abs() < 1e-9 && (z - z2).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn scan_conversion_reproduces_a_linear_ramp() {
        let config = NeedleSimConfig { probe_weights: [0.0, 0.0, 1.0], crop_share: 0.0, ..NeedleSimConfig::default() };
        let probe = Probe::draw(&config, &mut Rng::stream(5, "test", [0, 0]));
        let cells: Vec<f32> =
            (0..probe.beams).flat_map(|b| (0..probe.samples).map(move |s| b as f32 + 0.5 * s as f32)).collect();
        let picture = ScanTable::new(&probe).convert(&cells, -1.0);
        let (x, z) = probe.mm_from_cell(40.3, 77.7);
        let pixel = probe.pixel_from_mm(x, z);
        let at = Point { x: pixel.x.round(), y: pixel.y.round() };
        let (x, z) = probe.mm_from_pixel(at);
        let (beam, sample) = probe.cell_from_mm(x, z);
        let value = f64::from(picture[at.y as usize * probe.width + at.x as usize]);
        assert!((value - beam - 0.5 * sample).abs() < 1e-2, "{value}");
    }
}
