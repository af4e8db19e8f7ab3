//! What a frame of a real machine tells about how it was made: where the scan area is, how many decibels its grey levels
//! span, and how fine its speckle is. All of it is an estimate.

use super::config::Range;
use super::degrade::gauss;

/// Estimates of a clip, from one of its frames.
#[derive(Clone, Debug)]
pub(super) struct RealScreen {
    /// Whether each pixel `[height, width]` lies in the scan area.
    pub(super) area: Vec<bool>,
    /// First column, first row, last column, last row of the scan area.
    pub(super) bounds: [usize; 4],
    /// Decibels from black to white.
    pub(super) range_db: f32,
    /// Standard deviation of the blur along the rows and along the columns, pixels.
    pub(super) blur_px: (f64, f64),
}

/// Grey level above which the surroundings of a pixel belong to the scan area.
const DARKEST: f32 = 0.025;
/// Tissue darker than this may be of one grey in a compressed file.
const DARK: f32 = 0.06;
/// Least share of the pixels around one of the scan area that differ from their neighbour: bars and boxes are of one grey.
const LEAST_BUSY: f32 = 0.3;
/// Spread of the logarithm of fully developed speckle is 5.6 dB; machines average about a third of it away.
const SPECKLE_DB: f32 = 3.8;
/// What is believed of a dynamic range, dB.
const RANGE_DB: [f32; 2] = [40.0, 75.0];
/// What is believed of a blur, pixels.
const BLUR_PX: Range = [0.7, 3.0];
/// Least sides of a scan area, pixels.
const LEAST_SIDE: usize = 48;

impl RealScreen {
    /// Look at a grey frame `[height, width]` in [0, 1]. None when no scan area is found in it.
    pub(super) fn of(grey: &[f32], height: usize, width: usize) -> Option<Self> {
        let smooth = gauss(grey, width, 4.0, 4.0);
        let fine: Vec<f32> = grey.iter().zip(&smooth).map(|(grey, smooth)| grey - smooth).collect();
        let spread = gauss(&fine.iter().map(|v| v * v).collect::<Vec<_>>(), width, 3.0, 3.0);
        let area = scan_area(grey, height, width);
        let columns: Vec<usize> = (0..width).filter(|c| (0..height).any(|r| area[r * width + c])).collect();
        let rows: Vec<usize> = (0..height).filter(|r| area[r * width..(r + 1) * width].contains(&true)).collect();
        let bounds = [*columns.first()?, *rows.first()?, *columns.last()?, *rows.last()?];
        if bounds[2] - bounds[0] < LEAST_SIDE || bounds[3] - bounds[1] < LEAST_SIDE {
            return None;
        }
        // The step at the edge of the scan area is no speckle.
        let inner: Vec<bool> = (0..grey.len())
            .map(|pixel| {
                let beside = [8, 8 * width];
                beside.iter().all(|far| {
                    pixel >= *far && pixel + far < grey.len() && area[pixel - far] && area[pixel] && area[pixel + far]
                })
            })
            .collect();
        // Speckle shows its spread where grey is neither cut off at black nor at white; edges and marks spread more.
        let mut spreads: Vec<f32> = (0..grey.len())
            .filter(|&pixel| inner[pixel] && (0.15..0.75).contains(&smooth[pixel]))
            .map(|pixel| spread[pixel].max(0.0).sqrt())
            .collect();
        spreads.sort_by(f32::total_cmp);
        let usual = spreads.get(spreads.len() / 3).copied().unwrap_or(0.06);
        let range_db = (SPECKLE_DB / usual.max(1e-3)).clamp(RANGE_DB[0], RANGE_DB[1]);
        let blur_px = (width_of(&fine, &inner, width, 1), width_of(&fine, &inner, width, width));
        Some(Self { area, bounds, range_db, blur_px })
    }
}

/// The largest connected region that is neither black nor of one grey, filled between its first and last pixel of each row
/// and column.
fn scan_area(grey: &[f32], height: usize, width: usize) -> Vec<bool> {
    let differs = |pixel: usize| (grey[pixel] - grey[(pixel + 1).min(grey.len() - 1)]).abs() > 0.002;
    let busy: Vec<f32> = (0..grey.len()).map(|pixel| if differs(pixel) { 1.0 } else { 0.0 }).collect();
    let bright: Vec<bool> = gauss(grey, width, 3.0, 3.0)
        .into_iter()
        .zip(gauss(&busy, width, 3.0, 3.0))
        .map(|(level, busy)| level > DARKEST && (busy > LEAST_BUSY || level < DARK))
        .collect();
    let mut region = vec![0usize; grey.len()];
    let (mut count, mut best) = (0, (0, 0));
    for start in 0..grey.len() {
        if !bright[start] || region[start] > 0 {
            continue;
        }
        count += 1;
        let mut size = 0;
        let mut open = vec![start];
        region[start] = count;
        while let Some(pixel) = open.pop() {
            size += 1;
            let (row, column) = (pixel / width, pixel % width);
            let beside = [
                (row > 0).then(|| pixel - width),
                (row + 1 < height).then_some(pixel + width),
                (column > 0).then(|| pixel - 1),
                (column + 1 < width).then_some(pixel + 1),
            ];
            for next in beside.into_iter().flatten() {
                if bright[next] && region[next] == 0 {
                    region[next] = count;
                    open.push(next);
                }
            }
        }
        best = best.max((size, count));
    }
    let inside: Vec<bool> = region.iter().map(|&number| number > 0 && number == best.1).collect();
    let span = |line: &mut dyn Iterator<Item = usize>| {
        let mut ends: Option<(usize, usize)> = None;
        for (place, pixel) in line.enumerate() {
            if inside[pixel] {
                ends = Some((ends.map_or(place, |ends| ends.0), place));
            }
        }
        ends
    };
    let rows: Vec<_> = (0..height).map(|row| span(&mut (row * width..(row + 1) * width))).collect();
    let columns: Vec<_> = (0..width).map(|column| span(&mut (0..height).map(|row| row * width + column))).collect();
    let within = |ends: Option<(usize, usize)>, place: usize| ends.is_some_and(|(a, b)| (a..=b).contains(&place));
    (0..grey.len()).map(|p| within(rows[p / width], p % width) && within(columns[p % width], p / width)).collect()
}

/// Standard deviation of the blur that makes neighbours at distance `step` as alike as they are, pixels.
fn width_of(fine: &[f32], area: &[bool], width: usize, step: usize) -> f64 {
    let alike = |lag: usize| -> f64 {
        let offset = lag * step;
        let pairs = (0..fine.len().saturating_sub(offset))
            .filter(|&p| area[p] && area[p + offset] && (step > 1 || p % width + lag < width));
        let (sum, count) =
            pairs.fold((0.0, 0usize), |(sum, n), p| (sum + f64::from(fine[p]) * f64::from(fine[p + offset]), n + 1));
        sum / count.max(1) as f64
    };
    let power = alike(0).max(1e-9);
    let mut before = 1.0;
    for lag in 1..=8 {
        let now = alike(lag) / power;
        if now < 0.5 {
            // Noise blurred by s is alike by exp(-d^2 / 4 s^2): one half at d = 1.67 s.
            let half = lag as f64 - 1.0 + (before - 0.5) / (before - now).max(1e-9);
            return (half / 1.67).clamp(BLUR_PX[0], BLUR_PX[1]);
        }
        before = now;
    }
    BLUR_PX[1]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    /// Log-compressed speckle of a known blur and range between black bars, one of which is grey, with letters in a corner.
    fn frame(blur: f32, range_db: f32) -> Vec<f32> {
        let (height, width) = (160, 200);
        let mut rng = Rng::stream(5, "test", [0, 0]);
        let [re, im] = [(); 2].map(|()| {
            let noise: Vec<f32> = (0..height * width).map(|_| rng.normal() as f32).collect();
            gauss(&noise, width, blur, blur)
        });
        let mean = re.iter().map(|v| v * v).sum::<f32>() / re.len() as f32;
        let place = |p: usize| (p / width, p % width);
        (0..height * width)
            .map(|p| match place(p) {
                (2..6, 185..195) => 1.0,
                (_, 0..20) => 0.45,
                (_, 40..170) => {
                    (0.5 + 10.0 * ((re[p] * re[p] + im[p] * im[p]) / mean).log10() / range_db).clamp(0.0, 1.0)
                }
                _ => 0.0,
            })
            .collect()
    }

    #[test]
    fn a_frame_tells_its_scan_area_its_range_and_its_blur() {
        let screen = RealScreen::of(&frame(1.8, 60.0), 160, 200).unwrap();
        let [left, top, right, bottom] = screen.bounds;
        assert!(left.abs_diff(40) <= 6 && right.abs_diff(169) <= 6 && top <= 1 && bottom >= 158, "{:?}", screen.bounds);
        assert!(!screen.area[3 * 200 + 190], "letters are no tissue");
        let coarse = RealScreen::of(&frame(2.6, 60.0), 160, 200).unwrap();
        assert!(coarse.blur_px.0 > 1.2 * screen.blur_px.0, "{:?} {:?}", coarse.blur_px, screen.blur_px);
        let wide = RealScreen::of(&frame(1.8, 90.0), 160, 200).unwrap();
        assert!(wide.range_db > 1.2 * screen.range_db, "{} {}", wide.range_db, screen.range_db);
        assert!(RealScreen::of(&vec![0.0; 160 * 200], 160, 200).is_none());
    }
}
