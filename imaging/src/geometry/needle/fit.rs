//! Finding the shaft in a probability map or a mask.
//!
//! Connected components, a line through each (Hough, then total least squares weighted by probability and closeness),
//! collinear pieces joined across drop-outs, the best line-like one kept, its ends placed by fitting a capsule.

use serde::{Deserialize, Serialize};

use super::line::{Line, Map, Pixel, components, hough, total_least_squares};
use super::{Needle, Point};
use crate::geometry::Mask;

/// How to look for a needle. Lengths are in pixels of the map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FitConfig {
    /// Pixels strictly above this probability count.
    pub threshold: f64,
    /// Radius of the capsule that the mask was drawn with; the fitted radius may be 0.4 to 2.5 times as large.
    pub radius_px: f64,
    /// Shortest shaft that is reported.
    pub min_length_px: f64,
    /// Widest drop-out between two pieces of one shaft. A piece is joined only across at most twice its own length.
    pub max_gap_px: f64,
    /// Least line-likeness that is reported (see [`Detection::confidence`]).
    pub min_likeness: f64,
}

impl Default for FitConfig {
    fn default() -> Self {
        Self { threshold: 0.5, radius_px: 3.0, min_length_px: 8.0, max_gap_px: 30.0, min_likeness: 0.35 }
    }
}

/// A needle that was found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    /// The shaft. The tip is the deeper end; within 5 degrees of horizontal, the end farther from its side edge.
    pub needle: Needle,
    /// Mean probability along the shaft times line-likeness, 0 to 1. Line-likeness is the share of the component's
    /// probability within 1.5 radii of the line, times 1 - width / length (as standard deviations) of that share. What a
    /// predictor says is this after the calibration in its model file, where there is one.
    pub confidence: f64,
    /// Radius of uncertainty round the tip in pixels: half the distance over which the probability falls from 0.75 to
    /// 0.25 along the shaft, at least half a pixel.
    pub tip_spread_px: f64,
    /// Pixels above the threshold that belong to the shaft.
    pub pixels: usize,
}

/// Find the needle in a probability map; `None` when no needle is seen. Undefined values count as 0.
///
/// # Shapes
/// `probability`: `[height, width]`
pub fn fit(probability: &[f32], height: usize, width: usize, config: &FitConfig) -> Option<Detection> {
    assert_eq!(probability.len(), height * width, "a {height}x{width} map needs as many values");
    let map = Map { probability, height, width };
    let radius = if config.radius_px.is_finite() { config.radius_px.max(0.5) } else { 3.0 };
    let mut pieces: Vec<Piece> =
        components(&map, config.threshold).into_iter().filter_map(|pixels| Piece::new(pixels, radius)).collect();
    pieces.sort_by(|a, b| b.score().total_cmp(&a.score()));
    pieces.truncate(MOST_PIECES);
    let best = (0..pieces.len().min(MOST_SEEDS))
        .map(|seed| join(seed, &pieces, radius, config))
        .max_by(|a, b| a.score().total_cmp(&b.score()))?;
    if best.likeness < config.min_likeness {
        return None;
    }
    let ends = [best.start + radius, best.end - radius].map(|along| map.clamped(best.line.at(along)));
    if best.end - best.start <= 2.0 * radius {
        return None;
    }
    let (shaft, radius) = refine(&map, Needle { entry: ends[0], tip: ends[1] }, radius, config.threshold);
    if shaft.length_px() < config.min_length_px {
        return None;
    }
    let needle = with_deeper_tip(shaft, width);
    Some(Detection {
        needle,
        confidence: (map.mean_along(&needle) * best.likeness).clamp(0.0, 1.0),
        tip_spread_px: tip_spread(&map, &needle, radius),
        pixels: best.inliers,
    })
}

/// Find the needle in the pixels of `class` of a 2-D mask.
pub fn fit_mask(mask: &Mask, class: u8, config: &FitConfig) -> Option<Detection> {
    let probability: Vec<f32> = mask.classes.iter().map(|&c| if c == class { 1.0 } else { 0.0 }).collect();
    fit(&probability, mask.height, mask.width, config)
}

/// Components that are looked at, and those from which a shaft is grown: noise must not cost time.
const MOST_PIECES: usize = 64;
const MOST_SEEDS: usize = 6;

/// Pixels that decide where a shaft lies on a mask that a person painted: every stroke waits for it.
const MOST_SAMPLES: usize = 2000;

/// Pixels that may be one shaft, and the line through them.
struct Piece {
    pixels: Vec<Pixel>,
    line: Line,
    /// First and last position along the line of its longest run.
    start: f64,
    end: f64,
    likeness: f64,
    /// Probability of the pixels close to the line.
    mass: f64,
    /// Number of pixels close to the line.
    inliers: usize,
}

impl Piece {
    fn new(pixels: Vec<Pixel>, radius: f64) -> Option<Self> {
        let line = hough(&pixels, radius)?;
        Self::around(pixels, line, radius)
    }

    /// Refine a first line by weighted total least squares: Tukey's biweight forgets what is 2.5 radii away.
    fn around(pixels: Vec<Pixel>, mut line: Line, radius: f64) -> Option<Self> {
        let mut spread = [0.0; 2];
        for _ in 0..8 {
            let weight = |pixel: &Pixel| {
                let u = line.across(pixel) / (2.5 * radius);
                if u.abs() < 1.0 { pixel.p * (1.0 - u * u).powi(2) } else { 0.0 }
            };
            (line, spread) = total_least_squares(&pixels, weight)?;
        }
        let close = || pixels.iter().filter(|pixel| line.across(pixel).abs() <= 1.5 * radius);
        let mass: f64 = close().map(|pixel| pixel.p).sum();
        let total: f64 = pixels.iter().map(|pixel| pixel.p).sum();
        let mut along: Vec<f64> =
            pixels.iter().filter(|pixel| line.across(pixel).abs() <= radius).map(|pixel| line.along(pixel)).collect();
        along.sort_by(f64::total_cmp);
        let (&start, &end) = (along.first()?, along.last()?);
        let likeness = mass / total * (1.0 - spread[1] / spread[0].max(1e-9)).max(0.0);
        let inliers = close().count();
        Some(Self { pixels, line, start, end, likeness, mass, inliers })
    }

    fn score(&self) -> f64 {
        self.mass * self.likeness
    }
}

/// Grow a piece by the pieces on the same line, across drop-outs.
fn join(seed: usize, pieces: &[Piece], radius: f64, config: &FitConfig) -> Piece {
    let first = &pieces[seed];
    let mut shaft = Piece { pixels: first.pixels.clone(), ..*first };
    let mut free: Vec<usize> = (0..pieces.len()).filter(|&index| index != seed).collect();
    while let Some((position, joined)) = free.iter().enumerate().find_map(|(position, &index)| {
        let piece = &pieces[index];
        let along = |pixel: &Pixel| shaft.line.along(pixel);
        let low = piece.pixels.iter().map(along).fold(f64::INFINITY, f64::min);
        let high = piece.pixels.iter().map(along).fold(f64::NEG_INFINITY, f64::max);
        let gap = (low - shaft.end).max(shaft.start - high).max(0.0);
        if gap > config.max_gap_px || gap > 2.0 * (high - low) {
            return None;
        }
        // The direction of a short piece is uncertain, so the band widens with the distance beyond its end.
        let length = (shaft.end - shaft.start).max(1.0);
        let slack = radius * (1.5 + (gap + high - low) / length).min(2.5);
        let on_line: f64 = piece.pixels.iter().filter(|q| shaft.line.across(q).abs() <= slack).map(|q| q.p).sum();
        let all: f64 = piece.pixels.iter().map(|q| q.p).sum();
        if on_line < 0.7 * all {
            return None;
        }
        let pixels: Vec<Pixel> = shaft.pixels.iter().chain(&piece.pixels).copied().collect();
        let line = shaft.line;
        let joined = Piece::around(pixels, line, radius)?;
        // What fits is kept: the new line still holds what the two held.
        (joined.mass >= 0.95 * (shaft.mass + 0.7 * all)).then_some((position, joined))
    }) {
        shaft = joined;
        free.remove(position);
    }
    shaft
}

/// Move both ends and the radius until the capsule covers the map best (least squares, pattern search). This places an
/// end well below a pixel, and also where the border of the image cuts the capsule.
fn refine(map: &Map<'_>, first: Needle, radius: f64, threshold: f64) -> (Needle, f64) {
    let mut pixels = Vec::new();
    first.for_each_pixel_near(2.0 * radius + 3.0, map.height, map.width, |x, y| {
        let p = map.at(x, y);
        // A capsule covers what is above the threshold: stretch so that the threshold lies half way.
        let covered =
            if p > threshold { 0.5 + 0.5 * (p - threshold) / (1.0 - threshold).max(1e-6) } else { 0.5 * p / threshold };
        pixels.push(Pixel { x: x as f64, y: y as f64, p: covered });
    });
    cover(&pixels, 1.0, first, radius, [map.height, map.width])
}

/// A needle that is known roughly, placed on the pixels of `class` of a mask as [`fit`] places it on a map. Of wide and
/// long shafts a sample of the pixels decides.
pub(crate) fn refine_on(mask: &Mask, class: u8, first: Needle, radius: f64) -> Needle {
    let mut pixels = Vec::new();
    first.for_each_pixel_near(2.0 * radius + 3.0, mask.height, mask.width, |x, y| {
        let p = f64::from(u8::from(mask.classes[y * mask.width + x] == class));
        pixels.push(Pixel { x: x as f64, y: y as f64, p });
    });
    let stride = pixels.len().div_ceil(MOST_SAMPLES).max(1);
    let sample: Vec<Pixel> = pixels.into_iter().step_by(stride).collect();
    cover(&sample, stride as f64, first, radius, [mask.height, mask.width]).0
}

/// The capsule that covers these pixels best, each of which stands for `weight`.
fn cover(pixels: &[Pixel], weight: f64, first: Needle, radius: f64, [height, width]: [usize; 2]) -> (Needle, f64) {
    let cost = |shaft: &Needle, radius: f64| -> f64 {
        // Far inside and far outside the distance does not matter, and takes longest.
        let [inner, outer] = [(radius - 1.0).max(0.0).powi(2), (radius + 1.0).powi(2)];
        let inside = |q: &Pixel| match shaft.offset(q.point()) {
            [x, y] if x * x + y * y >= outer => 0.0,
            [x, y] if x * x + y * y < inner => 1.0,
            [x, y] => (radius + 0.5 - x.hypot(y)).clamp(0.0, 1.0),
        };
        weight * pixels.iter().map(|q| (q.p - inside(q)).powi(2)).sum::<f64>()
    };
    let [dx, dy] = first.step(None).map(|step| step / first.length_px().max(1e-9));
    let mut best = ([0.0; 5], cost(&first, radius));
    // Entry along and across, tip along and across, radius.
    let moved = |by: &[f64; 5]| {
        let end = |point: Point, along: f64, across: f64| Point {
            x: point.x + along * dx - across * dy,
            y: point.y + along * dy + across * dx,
        };
        let shaft = Needle { entry: end(first.entry, by[0], by[1]), tip: end(first.tip, by[2], by[3]) };
        (shaft, (radius + by[4]).clamp(0.4 * radius, 2.5 * radius))
    };
    let [bottom, right] = [height, width].map(|size| size as f64 - 1.0);
    let inside = |shaft: &Needle| {
        [shaft.entry, shaft.tip].iter().all(|end| (0.0..=right).contains(&end.x) && (0.0..=bottom).contains(&end.y))
    };
    let mut step = 1.0;
    while step > 0.05 {
        let mut improved = false;
        for (axis, sign) in (0..5).flat_map(|axis| [(axis, 1.0), (axis, -1.0)]) {
            let mut by = best.0;
            by[axis] += sign * step;
            let (shaft, radius) = moved(&by);
            let cost = cost(&shaft, radius);
            if inside(&shaft) && cost < best.1 - 1e-9 {
                best = (by, cost);
                improved = true;
            }
        }
        if !improved {
            step *= 0.5;
        }
    }
    // Close to the border, above all in a corner, the mask may not tell where the shaft ends: then it leaves the image.
    for (axis, sign) in [(0, -0.25), (2, 0.25)] {
        let mut by = best.0;
        while inside(&moved(&by).0) && (by[axis] - best.0[axis]).abs() <= radius {
            by[axis] += sign;
        }
        let leaves = !inside(&moved(&by).0);
        by[axis] -= sign;
        let (shaft, radius) = moved(&by);
        if leaves && cost(&shaft, radius) <= best.1 + 1.0 {
            best.0 = by;
        }
    }
    moved(&best.0)
}

/// The same shaft with its tip at the deeper end; within 5 degrees of horizontal, the end farther from its side edge.
pub(crate) fn with_deeper_tip(shaft: Needle, width: usize) -> Needle {
    let from_edge = |point: Point| point.x.min(width as f64 - 1.0 - point.x);
    let swap = if shaft.angle_deg(None) > 5.0 {
        shaft.entry.y > shaft.tip.y
    } else {
        from_edge(shaft.entry) > from_edge(shaft.tip)
    };
    if swap { Needle { entry: shaft.tip, tip: shaft.entry } } else { shaft }
}

/// See [`Detection::tip_spread_px`].
fn tip_spread(map: &Map<'_>, needle: &Needle, radius: f64) -> f64 {
    let length = needle.length_px();
    let [dx, dy] = needle.step(None).map(|step| step / length);
    let beyond = (2.0 * radius).max(0.5 * length).min(40.0);
    // Highest probability across the shaft at each pixel along it, beginning at the entry.
    let profile: Vec<f64> = (0..=(length + beyond) as usize)
        .map(|along| {
            let at = |offset: f64| {
                let x = (needle.entry.x + along as f64 * dx - offset * dy).round();
                let y = (needle.entry.y + along as f64 * dy + offset * dx).round();
                let inside = x >= 0.0 && y >= 0.0 && x < map.width as f64 && y < map.height as f64;
                if inside { map.at(x as usize, y as usize) } else { 0.0 }
            };
            [-1.0, 0.0, 1.0].map(at).into_iter().fold(0.0, f64::max)
        })
        .collect();
    let tip = (length as usize).min(profile.len() - 1);
    let reach = profile[tip..].iter().take_while(|&&p| p >= 0.25).count();
    let sure = profile[..tip + reach].iter().rposition(|&p| p >= 0.75).map_or(0, |index| index + 1);
    (0.5 * (tip + reach - sure) as f64).max(0.5)
}

#[cfg(test)]
mod tests {
    use super::super::draw_capsule;
    use super::*;
    use crate::rng::Rng;

    const SIDE: usize = 224;

    fn random_needle(rng: &mut Rng, side: f64) -> Needle {
        loop {
            let mut coordinate = || rng.uniform(-0.2 * side, 1.2 * side).clamp(0.0, side - 1.0);
            let ends = [(); 2].map(|()| Point { x: coordinate(), y: coordinate() });
            let needle = with_deeper_tip(Needle { entry: ends[0], tip: ends[1] }, side as usize);
            if needle.length_px() > 12.0 {
                return needle;
            }
        }
    }

    fn map_of(needle: &Needle) -> Vec<f32> {
        draw_capsule(needle, 3.0, SIDE, SIDE).classes.iter().map(|&class| f32::from(class)).collect()
    }

    fn worst_end(found: &Needle, truth: &Needle) -> f64 {
        let error = |a: &Needle| a.entry.distance_px(truth.entry).max(a.tip.distance_px(truth.tip));
        error(found).min(error(&Needle { entry: found.tip, tip: found.entry }))
    }

    #[test]
    fn drawn_needles_are_found_to_three_quarters_of_a_pixel() {
        let mut rng = Rng::stream(3, "fit test", [0, 0]);
        for index in 0..150 {
            let truth = random_needle(&mut rng, SIDE as f64);
            let found = fit(&map_of(&truth), SIDE, SIDE, &FitConfig::default());
            let found = found.unwrap_or_else(|| panic!("needle {index} {truth:?} not found"));
            let error = worst_end(&found.needle, &truth);
            assert!(error < 0.75, "needle {index} {truth:?}: {found:?}, {error} px");
            assert!(found.tip_spread_px < 3.0 && found.confidence > 0.3, "needle {index} {truth:?}: {found:?}");
        }
    }

    #[test]
    fn noise_drop_outs_and_other_blobs_do_not_mislead() {
        let mut rng = Rng::stream(4, "fit test", [0, 0]);
        for index in 0..60 {
            let truth = loop {
                let needle = random_needle(&mut rng, SIDE as f64);
                if needle.length_px() > 70.0 {
                    break needle;
                }
            };
            let mut map = map_of(&truth);
            let [dx, dy] = truth.step(None);
            let t = rng.uniform(0.35, 0.65);
            let gap = Point { x: truth.entry.x + t * dx, y: truth.entry.y + t * dy };
            let blob = Point { x: rng.uniform(20.0, 200.0), y: rng.uniform(20.0, 200.0) };
            for (i, p) in map.iter_mut().enumerate() {
                let here = Point { x: (i % SIDE) as f64, y: (i / SIDE) as f64 };
                let shaft = truth.distance_px(here);
                if gap.distance_px(here) < 7.0 {
                    *p = 0.0;
                }
                if blob.distance_px(here) < 9.0 && truth.distance_px(blob) > 14.0 {
                    *p = 1.0;
                }
                // Soft edges, and specks away from the shaft.
                *p = if shaft > 6.0 && rng.chance(0.002) { 0.9 } else { *p * 0.8 + rng.uniform(0.0, 0.2) as f32 };
            }
            let found = fit(&map, SIDE, SIDE, &FitConfig::default());
            let found = found.unwrap_or_else(|| panic!("needle {index} {truth:?} not found"));
            let error = worst_end(&found.needle, &truth);
            // A shaft along the border shows half its width, which costs the most.
            assert!(error < 1.5, "needle {index} {truth:?}: {found:?}, {error} px");
        }
    }

    #[test]
    fn maps_without_a_needle_give_none() {
        let config = FitConfig::default();
        for value in [0.0, 0.5, 1.0, 0.9, f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for (height, width) in [(224, 224), (30, 60), (1, 1), (0, 0), (7, 5)] {
                let map = vec![value; height * width];
                assert_eq!(fit(&map, height, width, &config), None, "{value} {height}x{width}");
            }
        }
        let centre = Point { x: 100.0, y: 90.0 };
        let disc = draw_capsule(&Needle { entry: centre, tip: centre }, 15.0, SIDE, SIDE);
        assert_eq!(fit_mask(&disc, 1, &config), None);
        let mut rng = Rng::stream(5, "fit test", [0, 0]);
        let noise: Vec<f32> = (0..SIDE * SIDE).map(|_| rng.uniform(0.0, 1.0) as f32).collect();
        assert_eq!(fit(&noise, SIDE, SIDE, &config), None);
    }

    #[test]
    fn the_tip_is_the_deeper_end_or_the_one_inside() {
        let ends = [Point { x: 0.0, y: 100.0 }, Point { x: 120.0, y: 98.0 }];
        let level = Needle { entry: ends[1], tip: ends[0] };
        let mask = draw_capsule(&level, 3.0, SIDE, SIDE);
        let found = fit_mask(&mask, 1, &FitConfig::default()).map(|found| found.needle.tip.x.round());
        assert_eq!(found, Some(120.0));
        let steep = Needle { entry: Point { x: 200.0, y: 150.0 }, tip: Point { x: 120.0, y: 20.0 } };
        let mask = draw_capsule(&steep, 3.0, SIDE, SIDE);
        let found = fit_mask(&mask, 1, &FitConfig::default()).map(|found| found.needle.tip.y.round());
        assert_eq!(found, Some(150.0));
    }
}
