//! The classical baseline beside every model figure: the search for the brightest line.
//!
//! Local contrast -> oriented ridge filter at the width of a needle -> candidate pixels -> Hough accumulation ->
//! RANSAC and total least squares for each peak -> the best run along each line, tolerant of gaps -> the best line.
//! No training and no memory of other frames; its settings were chosen on simulated frames.

use serde::{Deserialize, Serialize};

use crate::geometry::line::{Line, Pixel, total_least_squares};
use crate::geometry::resize::bilinear_antialiased;
use crate::geometry::{Needle, with_deeper_tip};
use crate::rng::Rng;

/// Settings of the search. Pixels are those of the working size, contrasts are in local standard deviations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BaselineConfig {
    /// Larger images are shrunk until their longer side has this many pixels.
    pub working_side: usize,
    /// Radius of the neighbourhood whose mean and deviation define local contrast.
    pub contrast_radius_px: usize,
    /// Length of the line over which the ridge filter averages.
    pub filter_length_px: usize,
    /// Distance from the line to the two parallel lines that it must outshine.
    pub side_offset_px: f64,
    /// Directions of the ridge filter over 180 degrees.
    pub directions: usize,
    /// Least angle to the probe face: fascia lies nearly parallel to it.
    pub min_angle_deg: f64,
    /// Greatest angle to the probe face.
    pub max_angle_deg: f64,
    /// Share of the pixels, by ridge strength, that may vote.
    pub candidate_share: f64,
    /// Peaks of the Hough accumulator that are refined.
    pub peaks: usize,
    /// Random pairs of candidates that are tried for each peak.
    pub ransac_draws: usize,
    /// Contrast that counts as nothing: a run grows above it and shrinks below it.
    pub floor: f64,
    /// Most that a pixel along the line may take from a run, so that drop-outs are bridged.
    pub gap_cost: f64,
    /// Most that a pixel along the line may add to a run, so that a bright spot is not a line.
    pub gain_limit: f64,
    /// Least sum over a run; below it no needle is reported.
    pub min_score: f64,
    /// Least length of a run.
    pub min_length_px: f64,
    /// Seed of the random pairs.
    pub seed: u64,
}

impl Default for BaselineConfig {
    fn default() -> Self {
        Self {
            working_side: 224,
            contrast_radius_px: 100,
            filter_length_px: 21,
            side_offset_px: 7.0,
            directions: 24,
            min_angle_deg: 12.0,
            max_angle_deg: 80.0,
            candidate_share: 0.06,
            peaks: 16,
            ransac_draws: 40,
            floor: 0.4,
            gap_cost: 0.6,
            gain_limit: 2.0,
            min_score: 30.0,
            min_length_px: 20.0,
            seed: 0,
        }
    }
}

/// The line that the search settled on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BrightestLine {
    /// Its ends, in pixels of the image; the tip is the deeper one.
    pub needle: Needle,
    /// Sum of contrast along it, comparable between images.
    pub score: f64,
}

/// Search a grey image for its brightest line; `None` when no line is bright and long enough.
///
/// # Shapes
/// `pixels`: `[height, width]`
pub fn brightest_line(pixels: &[f32], height: usize, width: usize, config: &BaselineConfig) -> Option<BrightestLine> {
    assert_eq!(pixels.len(), height * width, "a {height}x{width} image needs as many pixels");
    if height.min(width) < 8 || config.working_side < 8 {
        return None;
    }
    let shrink = (config.working_side as f64 / height.max(width) as f64).min(1.0);
    let size = [height, width].map(|side| ((side as f64 * shrink).round() as usize).max(8));
    let clean: Vec<f32> = pixels.iter().map(|&p| if p.is_finite() { p } else { 0.0 }).collect();
    let contrast = Plane::new(bilinear_antialiased(&clean, [height, width], size), size).local_contrast(config);
    let ridges = ridge_filter(&contrast, config);
    let mut candidates = candidates(&ridges, config);
    let mut rng = Rng::stream(config.seed, "baseline", [0, 0]);
    let mut votes = Votes::new(size);
    candidates.iter().for_each(|candidate| votes.add(candidate, 1.0));
    let mut best: Option<BrightestLine> = None;
    for _ in 0..config.peaks {
        let Some(peak) = votes.take_peak() else { break };
        let line = ransac(peak, &candidates, config, &mut rng);
        let Some(run) = best_run(&contrast, &line, config) else { continue };
        // What a line explains votes for no other, least of all a fascia for a needle that crosses it flatly.
        candidates.retain(|candidate| {
            let explained = run.needle.distance_px(candidate.pixel.point()) <= 3.0 && candidate.follows(&line);
            if explained {
                votes.add(candidate, -1.0);
            }
            !explained
        });
        let angle = run.needle.angle_deg(None);
        let likely = (config.min_angle_deg..=config.max_angle_deg).contains(&angle)
            && run.needle.length_px() >= config.min_length_px
            && run.score >= config.min_score;
        if likely && best.is_none_or(|best| run.score > best.score) {
            best = Some(run);
        }
    }
    let BrightestLine { needle, score } = best?;
    Some(BrightestLine { needle: with_deeper_tip(needle.scaled(size, [height, width]), width), score })
}

/// A plane of numbers that reads as 0 outside.
struct Plane {
    values: Vec<f32>,
    height: usize,
    width: usize,
}

impl Plane {
    fn new(values: Vec<f32>, [height, width]: [usize; 2]) -> Self {
        Self { values, height, width }
    }

    /// Bilinear sample.
    fn sample(&self, x: f64, y: f64) -> f64 {
        let at = |x: f64, y: f64| {
            let inside = x >= 0.0 && y >= 0.0 && x < self.width as f64 && y < self.height as f64;
            if inside { f64::from(self.values[y as usize * self.width + x as usize]) } else { 0.0 }
        };
        let (left, top) = (x.floor(), y.floor());
        let (u, v) = (x - left, y - top);
        let row = |y: f64| (1.0 - u) * at(left, y) + u * at(left + 1.0, y);
        (1.0 - v) * row(top) + v * row(top + 1.0)
    }

    /// Means over squares of the given radius, cut at the border.
    fn box_mean(&self, radius: usize) -> Vec<f64> {
        let Self { height, width, .. } = *self;
        let stride = width + 1;
        let mut sums = vec![0.0_f64; (height + 1) * stride];
        for y in 0..height {
            let mut row = 0.0;
            for x in 0..width {
                row += f64::from(self.values[y * width + x]);
                sums[(y + 1) * stride + x + 1] = sums[y * stride + x + 1] + row;
            }
        }
        let mut means = Vec::with_capacity(height * width);
        for y in 0..height {
            let (top, bottom) = (y.saturating_sub(radius), (y + radius + 1).min(height));
            for x in 0..width {
                let (left, right) = (x.saturating_sub(radius), (x + radius + 1).min(width));
                let sum = sums[bottom * stride + right] + sums[top * stride + left]
                    - sums[top * stride + right]
                    - sums[bottom * stride + left];
                means.push(sum / ((bottom - top) * (right - left)) as f64);
            }
        }
        means
    }

    /// (pixel - local mean) / local deviation, after a 3 x 3 mean against speckle. Half of the deviation of the whole
    /// image is added to the local one, so that dark noise stays dark.
    fn local_contrast(self, config: &BaselineConfig) -> Self {
        let smooth: Vec<f32> = self.box_mean(1).into_iter().map(|mean| mean as f32).collect();
        let smooth = Self { values: smooth, ..self };
        let squares = Self { values: smooth.values.iter().map(|value| value * value).collect(), ..smooth };
        let (means, squares) =
            (smooth.box_mean(config.contrast_radius_px), squares.box_mean(config.contrast_radius_px));
        let count = smooth.values.len() as f64;
        let mean = smooth.values.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
        let variance = smooth.values.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>() / count;
        let values = smooth.values.iter().zip(means.iter().zip(&squares)).map(|(&value, (&mean, &square))| {
            let deviation = (square - mean * mean).max(0.0) + 0.25 * variance;
            ((f64::from(value) - mean) / deviation.sqrt().max(1e-6)) as f32
        });
        Self { values: values.collect(), ..smooth }
    }
}

/// Strongest ridge at each pixel and its direction (index of `directions`).
struct Ridges {
    strength: Plane,
    direction: Vec<u8>,
    directions: usize,
}

/// Mean over a line minus the greater of the means over its two neighbours, for every direction: an edge gives nothing.
fn ridge_filter(contrast: &Plane, config: &BaselineConfig) -> Ridges {
    let Plane { height, width, .. } = *contrast;
    let directions = config.directions.clamp(4, 180);
    let half = (config.filter_length_px / 2) as isize;
    let side = config.side_offset_px.max(1.0);
    // The line means are needed as far outside the image as the side lines lie, and read as far again as the line is long.
    let margin = side.ceil() as usize;
    let border = margin + half as usize + 1;
    let (inner_width, outer_width) = (width + 2 * margin, width + 2 * border);
    let (inner_height, outer_height) = (height + 2 * margin, height + 2 * border);
    let mut padded = vec![0.0_f32; outer_height * outer_width];
    for (y, row) in contrast.values.chunks_exact(width).enumerate() {
        let start = (y + border) * outer_width + border;
        padded[start..start + width].copy_from_slice(row);
    }
    let mut strength = vec![0.0_f32; height * width];
    let mut direction = vec![0_u8; height * width];
    let mut means = vec![0.0_f32; inner_height * inner_width];
    let scale = 1.0 / (2 * half + 1) as f32;
    for index in 0..directions {
        let (sin, cos) = (std::f64::consts::PI * index as f64 / directions as f64).sin_cos();
        means.fill(0.0);
        for tap in -half..=half {
            let shift = |axis: f64| (border - margin) as isize + (tap as f64 * axis).round() as isize;
            let (dx, dy) = (shift(cos) as usize, shift(sin) as usize);
            for (y, row) in means.chunks_exact_mut(inner_width).enumerate() {
                let start = (y + dy) * outer_width + dx;
                for (mean, value) in row.iter_mut().zip(&padded[start..start + inner_width]) {
                    *mean += scale * value;
                }
            }
        }
        let (nx, ny) = ((-sin * side).round() as isize, (cos * side).round() as isize);
        for y in 0..height {
            let row = |dx: isize, dy: isize| {
                let start = (y + margin).strict_add_signed(dy) * inner_width + margin.strict_add_signed(dx);
                &means[start..start + width]
            };
            let (line, left, right) = (row(0, 0), row(nx, ny), row(-nx, -ny));
            let at = y * width..(y + 1) * width;
            let best = strength[at.clone()].iter_mut().zip(&mut direction[at]);
            for ((best, direction), ((line, left), right)) in best.zip(line.iter().zip(left).zip(right)) {
                let response = line - left.max(*right);
                if response > *best {
                    (*best, *direction) = (response, index as u8);
                }
            }
        }
    }
    Ridges { strength: Plane { values: strength, height, width }, direction, directions }
}

/// A pixel that may lie on a needle; `p` is its ridge strength.
struct Candidate {
    pixel: Pixel,
    angle: f64,
}

impl Candidate {
    /// Whether its ridge runs along the line, to within 12 degrees.
    fn follows(&self, line: &Line) -> bool {
        (line.dx * self.angle.cos() + line.dy * self.angle.sin()).abs() > 0.978
    }
}

/// The strongest pixels that are also strongest across their ridge.
fn candidates(ridges: &Ridges, config: &BaselineConfig) -> Vec<Candidate> {
    let Plane { values, height, width } = &ridges.strength;
    let mut sorted = values.clone();
    let rank = ((1.0 - config.candidate_share.clamp(0.0, 1.0)) * (sorted.len() - 1) as f64) as usize;
    let (_, &mut limit, _) = sorted.select_nth_unstable_by(rank, f32::total_cmp);
    let mut found = Vec::new();
    for y in 1..height - 1 {
        for x in 1..width - 1 {
            let (index, strength) = (y * width + x, values[y * width + x]);
            if strength <= 0.0 || strength < limit {
                continue;
            }
            let angle = std::f64::consts::PI * f64::from(ridges.direction[index]) / ridges.directions as f64;
            let (sin, cos) = angle.sin_cos();
            let step = cos.round() as isize * *width as isize - sin.round() as isize;
            let across = [index.strict_add_signed(step), index.strict_add_signed(-step)];
            if across.iter().all(|&other| values[other] <= strength) {
                found.push(Candidate { pixel: Pixel { x: x as f64, y: y as f64, p: f64::from(strength) }, angle });
            }
        }
    }
    found
}

/// Hough accumulator over direction (degrees) and offset (pixels); each candidate votes for the directions within
/// 6 degrees of its ridge.
struct Votes {
    sums: Vec<f64>,
    offsets: usize,
    turns: Vec<(f64, f64)>,
}

impl Votes {
    fn new([height, width]: [usize; 2]) -> Self {
        let offsets = 2 * ((height as f64).hypot(width as f64).ceil() as usize + 2);
        let turns = (0..180).map(|degree| f64::from(degree).to_radians().sin_cos()).collect();
        Self { sums: vec![0.0; 180 * offsets], offsets, turns }
    }

    fn add(&mut self, candidate: &Candidate, sign: f64) {
        let centre = candidate.angle.to_degrees().round() as usize;
        for degree in (centre + 174..=centre + 186).map(|degree| degree % 180) {
            let (sin, cos) = self.turns[degree];
            let offset = candidate.pixel.y * cos - candidate.pixel.x * sin + 0.5 * self.offsets as f64;
            let bin = degree * self.offsets + offset.round() as usize;
            for (bin, share) in [(bin - 1, 0.5), (bin, 1.0), (bin + 1, 0.5)] {
                self.sums[bin] += sign * share * candidate.pixel.p;
            }
        }
    }

    /// The line with the most votes, which then counts for nothing; `None` when no votes are left.
    fn take_peak(&mut self) -> Option<Line> {
        let (index, &sum) = self.sums.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1))?;
        let (degree, offset) = (index / self.offsets, index % self.offsets);
        for degree in degree.saturating_sub(2)..(degree + 3).min(180) {
            let row = &mut self.sums[degree * self.offsets..(degree + 1) * self.offsets];
            row[offset.saturating_sub(2)..(offset + 3).min(self.offsets)].fill(f64::NEG_INFINITY);
        }
        let ((sin, cos), offset) = (self.turns[degree], offset as f64 - 0.5 * self.offsets as f64);
        (sum > 1e-6).then_some(Line { x: -offset * sin, y: offset * cos, dx: cos, dy: sin })
    }
}

/// The line through two of the candidates near a peak that most of them agree with, then least squares over those.
fn ransac(peak: Line, candidates: &[Candidate], config: &BaselineConfig, rng: &mut Rng) -> Line {
    let near: Vec<Pixel> = candidates
        .iter()
        .filter(|c| peak.across(&c.pixel).abs() <= 6.0)
        .filter(|c| c.follows(&peak))
        .map(|c| c.pixel)
        .collect();
    let agreement = |line: &Line| -> f64 {
        near.iter().map(|pixel| pixel.p * (1.0 - line.across(pixel).abs() / 2.0).max(0.0)).sum()
    };
    let mut best = (agreement(&peak), peak);
    for _ in 0..config.ransac_draws {
        let (a, b) = (rng.below(near.len()), rng.below(near.len()));
        let (Some(a), Some(b)) = (near.get(a), near.get(b)) else { break };
        let length = (b.x - a.x).hypot(b.y - a.y);
        if length < 15.0 {
            continue;
        }
        let line = Line { x: a.x, y: a.y, dx: (b.x - a.x) / length, dy: (b.y - a.y) / length };
        let sum = agreement(&line);
        if sum > best.0 {
            best = (sum, line);
        }
    }
    let line = best.1;
    let weight = |pixel: &Pixel| pixel.p * (1.0 - line.across(pixel).abs() / 2.5).max(0.0);
    let fitted = total_least_squares(&near, weight).map(|(line, _)| line);
    fitted.filter(|fitted| agreement(fitted) >= 0.95 * best.0).unwrap_or(line)
}

/// The run along a line with the greatest sum of contrast over the floor, bridging drop-outs.
fn best_run(contrast: &Plane, line: &Line, config: &BaselineConfig) -> Option<BrightestLine> {
    let (start, count) = crossing(contrast, line)?;
    let lane = |offset: f64| -> Vec<f64> {
        let means = (0..count).map(|step| {
            let point = line.at(start + step as f64);
            let at = |by: f64| contrast.sample(point.x - (offset + by) * line.dy, point.y + (offset + by) * line.dx);
            (at(-1.0) + at(0.0) + at(1.0)) / 3.0
        });
        smoothed(&means.collect::<Vec<_>>(), 5)
    };
    let (centre, left, right) = (lane(0.0), lane(-config.side_offset_px), lane(config.side_offset_px));
    let ridge: Vec<f64> = (0..count).map(|i| centre[i] - left[i].max(right[i])).collect();
    // Greatest sum of consecutive gains (Kadane).
    let mut best = (0.0, 0, 0);
    let (mut sum, mut first) = (0.0, 0);
    for (index, value) in ridge.iter().enumerate() {
        if sum <= 0.0 {
            (sum, first) = (0.0, index);
        }
        sum += (value - config.floor).clamp(-config.gap_cost, config.gain_limit);
        if sum > best.0 {
            best = (sum, first, index);
        }
    }
    let (score, mut first, mut last) = best;
    // The ends lie where the contrast falls to half of that along the run.
    let half = 0.5 * ridge.get(first..=last)?.iter().sum::<f64>() / (last - first + 1) as f64;
    while first < last && ridge[first] < half {
        first += 1;
    }
    while last > first && ridge[last] < half {
        last -= 1;
    }
    let [entry, tip] = [first, last].map(|index| line.at(start + index as f64));
    Some(BrightestLine { needle: Needle { entry, tip }, score })
}

/// Where a line enters the image and how many whole pixels it stays inside.
fn crossing(plane: &Plane, line: &Line) -> Option<(f64, usize)> {
    let (mut start, mut end) = (f64::NEG_INFINITY, f64::INFINITY);
    for (at, step, size) in [(line.x, line.dx, plane.width), (line.y, line.dy, plane.height)] {
        let limit = size as f64 - 1.0;
        if step.abs() < 1e-9 {
            if at < 0.0 || at > limit {
                return None;
            }
            continue;
        }
        let (a, b) = (-at / step, (limit - at) / step);
        (start, end) = (start.max(a.min(b)), end.min(a.max(b)));
    }
    (end - start >= 1.0).then(|| (start, (end - start) as usize + 1))
}

/// Running mean over `2 * radius + 1` values, cut at the ends.
fn smoothed(values: &[f64], radius: usize) -> Vec<f64> {
    let window = |index: usize| &values[index.saturating_sub(radius)..(index + radius + 1).min(values.len())];
    (0..values.len()).map(|index| window(index).iter().sum::<f64>() / window(index).len() as f64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Point;

    /// Speckle over tissue with nearly horizontal bands, and a needle with a drop-out.
    fn frame(seed: u64, side: usize, needle: Option<&Needle>) -> Vec<f32> {
        let mut rng = Rng::stream(seed, "baseline test", [0, 0]);
        let bands = [0; 3].map(|_| (rng.uniform(0.1, 0.9) * side as f64, rng.uniform(-0.08, 0.08)));
        let gap = rng.uniform(0.2, 0.8);
        let pixel = |index: usize| {
            let point = Point { x: (index % side) as f64, y: (index / side) as f64 };
            let mut grey = 0.35 + 0.1 * (0.05 * point.x).sin() + 0.08 * rng.normal();
            for (depth, slope) in bands {
                let distance = point.y - depth - slope * point.x - 3.0 * (0.04 * point.x).sin();
                grey += 0.3 * (-0.125 * distance * distance).exp();
            }
            if let Some(needle) = needle {
                let along = needle.entry.distance_px(point) / needle.length_px();
                let across = needle.distance_px(point) * 224.0 / (1.6 * side as f64);
                grey += if (along - gap).abs() < 0.05 { 0.0 } else { 0.3 * (-0.5 * across * across).exp() };
            }
            grey.clamp(0.0, 1.0) as f32
        };
        (0..side * side).map(pixel).collect()
    }

    fn insertion(seed: u64, side: f64) -> Needle {
        let mut rng = Rng::stream(seed, "baseline needle", [0, 0]);
        let angle = rng.uniform(20.0, 60.0_f64).to_radians();
        let length = rng.uniform(0.3, 0.7) * side;
        let entry = Point { x: rng.uniform(0.02, 0.3) * side, y: rng.uniform(0.05, 0.35) * side };
        let tip = Point { x: entry.x + length * angle.cos(), y: entry.y + length * angle.sin() };
        let needle = Needle { entry, tip };
        if rng.chance(0.5) { needle.flipped(side as usize) } else { needle }
    }

    #[test]
    fn finds_most_plain_needles_and_is_deterministic() {
        let config = BaselineConfig::default();
        let mut close = 0;
        for seed in 0..20 {
            let truth = insertion(seed, 224.0);
            let pixels = frame(seed, 224, Some(&truth));
            let found = brightest_line(&pixels, 224, 224, &config);
            if found.is_some_and(|found| found.needle.tip.distance_px(truth.tip) < 6.0) {
                close += 1;
            }
            if seed == 0 {
                assert_eq!(found, brightest_line(&pixels, 224, 224, &config));
            }
        }
        assert!(close >= 15, "{close} of 20 tips within 6 px");
    }

    #[test]
    fn larger_images_are_searched_at_the_working_size() {
        let truth = insertion(3, 448.0);
        let found = brightest_line(&frame(3, 448, Some(&truth)), 448, 448, &BaselineConfig::default());
        let error = found.map(|found| found.needle.tip.distance_px(truth.tip));
        assert!(error.is_some_and(|error| error < 16.0), "{error:?}");
    }

    #[test]
    fn frames_without_a_needle_rarely_give_one_and_odd_images_never_fail() {
        let config = BaselineConfig::default();
        let alarm = |seed: &u64| brightest_line(&frame(*seed, 224, None), 224, 224, &config).is_some();
        let alarms = (100..115).filter(alarm).count();
        assert!(alarms <= 3, "{alarms} false alarms of 15");
        for (height, width, value) in [(0, 0, 0.0), (1, 1, 1.0), (8, 300, 0.5), (224, 224, f32::NAN), (500, 9, 1.0)] {
            assert_eq!(brightest_line(&vec![value; height * width], height, width, &config), None);
        }
    }
}
