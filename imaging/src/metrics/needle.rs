//! How well the needle was found: tip, entry, angle, offset and length, success in millimetres, misses and false alarms.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::bootstrap::{Interval, interval};
use super::overlap::mean_defined;
use crate::geometry::Spacing;
use crate::geometry::{Needle, Point};

mod intervals;

pub use intervals::NeedleIntervals;

/// What happened on a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A needle is visible and one was reported.
    Found,
    /// A needle is visible and none was reported.
    Missed,
    /// No needle is visible and one was reported.
    FalsePositive,
    /// No needle is visible and none was reported.
    Empty,
}

/// The errors on one frame. Errors are NaN unless the needle was found; those in millimetres unless the scale is known.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct NeedleError {
    /// What happened.
    pub outcome: Outcome,
    /// True when the frame has a scale.
    pub scaled: bool,
    /// Distance between predicted and true tip.
    pub tip_px: f64,
    /// The same in millimetres.
    pub tip_mm: f64,
    /// Distance between predicted and true entry.
    pub entry_px: f64,
    /// The same in millimetres.
    pub entry_mm: f64,
    /// Angle between the two undirected lines, 0 to 90 degrees; that of the body where the scale is known.
    pub angle_deg: f64,
    /// Perpendicular shaft offset (rho): distance from the middle of the true shaft to the predicted line.
    pub offset_px: f64,
    /// The same in millimetres.
    pub offset_mm: f64,
    /// Absolute difference of the visible lengths.
    pub length_px: f64,
    /// The same in millimetres.
    pub length_mm: f64,
}

impl NeedleError {
    /// Compare the needle that was reported with the visible one.
    pub fn new(predicted: Option<&Needle>, truth: Option<&Needle>, spacing: Option<Spacing>) -> Self {
        let outcome = match (predicted, truth) {
            (Some(_), Some(_)) => Outcome::Found,
            (None, Some(_)) => Outcome::Missed,
            (Some(_), None) => Outcome::FalsePositive,
            (None, None) => Outcome::Empty,
        };
        let both = predicted.zip(truth);
        let px = |error: fn(&Needle, &Needle) -> f64| both.map_or(f64::NAN, |(p, t)| error(p, t));
        let mm = |error: fn(&Needle, &Needle) -> f64| {
            both.zip(spacing)
                .map_or(f64::NAN, |((p, t), spacing)| error(&in_millimetres(p, spacing), &in_millimetres(t, spacing)))
        };
        let tip = |p: &Needle, t: &Needle| p.tip.distance_px(t.tip);
        let entry = |p: &Needle, t: &Needle| p.entry.distance_px(t.entry);
        let length = |p: &Needle, t: &Needle| (p.length_px() - t.length_px()).abs();
        Self {
            outcome,
            scaled: spacing.is_some(),
            tip_px: px(tip),
            tip_mm: mm(tip),
            entry_px: px(entry),
            entry_mm: mm(entry),
            angle_deg: if spacing.is_some() { mm(angle_between_deg) } else { px(angle_between_deg) },
            offset_px: px(shaft_offset),
            offset_mm: mm(shaft_offset),
            length_px: px(length),
            length_mm: mm(length),
        }
    }

    /// Whether the tip was found to less than `limit_mm`. A missed needle is a failure; `None` without a visible needle
    /// or without a scale.
    pub fn success(&self, limit_mm: f64) -> Option<bool> {
        match self.outcome {
            Outcome::Found | Outcome::Missed if self.scaled => Some(self.tip_mm < limit_mm),
            _ => None,
        }
    }
}

/// The needle with millimetres for pixels.
fn in_millimetres(needle: &Needle, spacing: Spacing) -> Needle {
    let point = |point: Point| Point { x: point.x * spacing.x_mm, y: point.y * spacing.y_mm };
    Needle { entry: point(needle.entry), tip: point(needle.tip) }
}

/// Angle between two undirected lines, 0 to 90 degrees; NaN when one has no length.
fn angle_between_deg(a: &Needle, b: &Needle) -> f64 {
    let ([ax, ay], [bx, by]) = (a.step(None), b.step(None));
    let (cross, dot) = (ax * by - ay * bx, ax * bx + ay * by);
    if cross == 0.0 && dot == 0.0 { f64::NAN } else { cross.abs().atan2(dot.abs()).to_degrees() }
}

/// Distance from the middle of the true shaft to the predicted line; NaN when that has no length.
fn shaft_offset(predicted: &Needle, truth: &Needle) -> f64 {
    let ([dx, dy], middle) = (predicted.step(None), truth.middle());
    let (x, y) = (middle.x - predicted.entry.x, middle.y - predicted.entry.y);
    (x * dy - y * dx).abs() / dx.hypot(dy)
}

/// Collects the frames of an evaluation.
#[derive(Clone, Debug, Default)]
pub struct NeedleScores {
    groups: BTreeMap<String, Vec<NeedleError>>,
    false_positive_pixels: u64,
}

impl NeedleScores {
    /// Add a frame of the group (procedure). `predicted_pixels` is the size of the predicted mask: it is what is
    /// reported for frames without a needle.
    pub fn push(&mut self, group: &str, error: NeedleError, predicted_pixels: u64) {
        if matches!(error.outcome, Outcome::FalsePositive | Outcome::Empty) {
            self.false_positive_pixels += predicted_pixels;
        }
        self.groups.entry(group.to_owned()).or_default().push(error);
    }

    /// Summarise what was collected; `seed` is that of the bootstrap.
    pub fn summary(&self, seed: u64) -> NeedleSummary {
        let groups: Vec<&[NeedleError]> = self.groups.values().map(Vec::as_slice).collect();
        let frames: Vec<NeedleError> = groups.concat();
        let statistic = |read: fn(&NeedleError) -> f64| Statistic::new(&groups, read, seed);
        let success = |limit_mm| success_share(&frames, limit_mm);
        let tally = Tally::new(&frames);
        NeedleSummary {
            tally,
            false_positive_pixels: self.false_positive_pixels,
            success_1mm: success(1.0),
            success_2mm: success(2.0),
            success_3mm: success(3.0),
            tip_px_median_misses_infinite: median(&mut with_misses(&frames)),
            intervals: NeedleIntervals::new(&groups, seed),
            tip_px: statistic(|error| error.tip_px),
            tip_mm: statistic(|error| error.tip_mm),
            entry_px: statistic(|error| error.entry_px),
            entry_mm: statistic(|error| error.entry_mm),
            angle_deg: statistic(|error| error.angle_deg),
            offset_px: statistic(|error| error.offset_px),
            offset_mm: statistic(|error| error.offset_mm),
            length_px: statistic(|error| error.length_px),
            length_mm: statistic(|error| error.length_mm),
            groups: self.groups.iter().map(|(name, frames)| GroupSummary::new(name, frames)).collect(),
        }
    }
}

/// How many frames ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// All frames.
    pub frames: u64,
    /// Visible needles that were reported.
    pub found: u64,
    /// Visible needles that were not.
    pub missed: u64,
    /// Needle-free frames on which one was reported.
    pub false_positive: u64,
    /// Needle-free frames on which none was.
    pub empty: u64,
}

impl Tally {
    fn new(frames: &[NeedleError]) -> Self {
        let count = |outcome| frames.iter().filter(|error| error.outcome == outcome).count() as u64;
        Self {
            frames: frames.len() as u64,
            found: count(Outcome::Found),
            missed: count(Outcome::Missed),
            false_positive: count(Outcome::FalsePositive),
            empty: count(Outcome::Empty),
        }
    }

    /// Share of the visible needles that were missed; NaN without any.
    pub fn miss_rate(&self) -> f64 {
        self.missed as f64 / (self.found + self.missed) as f64
    }

    /// Share of the needle-free frames on which a needle was reported; NaN without any.
    pub fn false_positive_rate(&self) -> f64 {
        self.false_positive as f64 / (self.false_positive + self.empty) as f64
    }
}

/// One figure over the frames on which it is defined.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Statistic {
    /// Frames on which it is defined.
    pub count: u64,
    /// Frames with a visible needle on which it is not.
    pub undefined: u64,
    /// Median over frames.
    pub median: f64,
    /// Lower end of the 95 % interval of the median: bootstrap over groups, because frames of a group are alike.
    pub median_low: f64,
    /// Upper end.
    pub median_high: f64,
    /// Mean over frames.
    pub mean: f64,
    /// Standard deviation over frames (n - 1).
    pub sd: f64,
}

impl Statistic {
    fn new(groups: &[&[NeedleError]], read: fn(&NeedleError) -> f64, seed: u64) -> Self {
        let needles = groups.iter().flat_map(|group| group.iter());
        let needles = needles.filter(|error| matches!(error.outcome, Outcome::Found | Outcome::Missed)).count();
        let defined: Vec<Vec<f64>> =
            groups.iter().map(|group| defined(group, read)).filter(|values| !values.is_empty()).collect();
        let mut values = defined.concat();
        let mean = mean_defined(values.iter().copied());
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let Interval { low: median_low, high: median_high } = median_interval(&defined, seed);
        Self {
            count: values.len() as u64,
            undefined: (needles - values.len()) as u64,
            median: median(&mut values),
            median_low,
            median_high,
            mean,
            sd: if values.len() > 1 { (squares / (values.len() - 1) as f64).sqrt() } else { f64::NAN },
        }
    }
}

/// One group (procedure).
#[derive(Clone, Debug, Serialize)]
pub struct GroupSummary {
    /// Its name.
    pub group: String,
    /// How its frames ended.
    pub tally: Tally,
    /// Median tip error in pixels.
    pub tip_px: f64,
    /// Median tip error in millimetres.
    pub tip_mm: f64,
    /// Median angle error in degrees.
    pub angle_deg: f64,
    /// Median perpendicular offset in pixels.
    pub offset_px: f64,
    /// Share of the visible needles whose tip was found to less than 3 mm.
    pub success_3mm: f64,
}

impl GroupSummary {
    fn new(group: &str, frames: &[NeedleError]) -> Self {
        let median = |read| median(&mut defined(frames, read));
        Self {
            group: group.to_owned(),
            tally: Tally::new(frames),
            tip_px: median(|error| error.tip_px),
            tip_mm: median(|error| error.tip_mm),
            angle_deg: median(|error| error.angle_deg),
            offset_px: median(|error| error.offset_px),
            success_3mm: success_share(frames, 3.0),
        }
    }
}

/// An evaluation in figures.
#[derive(Clone, Debug, Serialize)]
pub struct NeedleSummary {
    /// How the frames ended.
    pub tally: Tally,
    /// Pixels predicted on frames without a needle.
    pub false_positive_pixels: u64,
    /// Share of the visible needles with a known scale whose tip was found to less than 1 mm; misses are failures.
    pub success_1mm: f64,
    /// The same for 2 mm.
    pub success_2mm: f64,
    /// The same for 3 mm.
    pub success_3mm: f64,
    /// Median tip error over all visible needles, a missed one counting as infinitely far.
    pub tip_px_median_misses_infinite: f64,
    /// How sure the figures above are.
    pub intervals: NeedleIntervals,
    /// Tip error in pixels, over the needles found.
    pub tip_px: Statistic,
    /// Tip error in millimetres.
    pub tip_mm: Statistic,
    /// Entry error in pixels.
    pub entry_px: Statistic,
    /// Entry error in millimetres.
    pub entry_mm: Statistic,
    /// Angle error in degrees.
    pub angle_deg: Statistic,
    /// Perpendicular offset in pixels.
    pub offset_px: Statistic,
    /// Perpendicular offset in millimetres.
    pub offset_mm: Statistic,
    /// Length error in pixels.
    pub length_px: Statistic,
    /// Length error in millimetres.
    pub length_mm: Statistic,
    /// Every group, by name.
    pub groups: Vec<GroupSummary>,
}

/// The defined values of a figure.
fn defined(frames: &[NeedleError], read: fn(&NeedleError) -> f64) -> Vec<f64> {
    frames.iter().map(read).filter(|value| !value.is_nan()).collect()
}

/// Tip errors in pixels over the visible needles, infinite where missed.
fn with_misses(frames: &[NeedleError]) -> Vec<f64> {
    let visible = frames.iter().filter_map(|error| match error.outcome {
        Outcome::Found => Some(error.tip_px),
        Outcome::Missed => Some(f64::INFINITY),
        Outcome::FalsePositive | Outcome::Empty => None,
    });
    visible.collect()
}

/// Share of the frames with needle and scale whose tip was found to less than the limit; NaN without any.
fn success_share(frames: &[NeedleError], limit_mm: f64) -> f64 {
    mean_defined(frames.iter().filter_map(|error| error.success(limit_mm)).map(|success| f64::from(u8::from(success))))
}

/// The median; the mean of the middle two of an even number; NaN of nothing. Reorders the values.
fn median(values: &mut [f64]) -> f64 {
    let half = values.len() / 2;
    if values.is_empty() {
        return f64::NAN;
    }
    let even = values.len().is_multiple_of(2);
    let (below, &mut upper, _) = values.select_nth_unstable_by(half, f64::total_cmp);
    if even { 0.5 * (below.iter().copied().fold(f64::NEG_INFINITY, f64::max) + upper) } else { upper }
}

/// Interval of the median over the frames of groups.
fn median_interval(groups: &[Vec<f64>], seed: u64) -> Interval {
    let mut frames = Vec::new();
    let pooled = |drawn: &[&Vec<f64>]| {
        frames.clear();
        drawn.iter().for_each(|group| frames.extend_from_slice(group));
        median(&mut frames)
    };
    interval(groups, pooled, seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needle(entry: (f64, f64), tip: (f64, f64)) -> Needle {
        Needle { entry: Point { x: entry.0, y: entry.1 }, tip: Point { x: tip.0, y: tip.1 } }
    }

    const SPACING: Spacing = Spacing { x_mm: 0.5, y_mm: 0.25 };

    #[test]
    fn hand_computed_errors() {
        let truth = needle((0.0, 0.0), (40.0, 40.0));
        let predicted = needle((0.0, 4.0), (37.0, 40.0));
        let error = NeedleError::new(Some(&predicted), Some(&truth), Some(SPACING));
        assert_eq!((error.outcome, error.tip_px, error.entry_px), (Outcome::Found, 3.0, 4.0));
        assert_eq!((error.tip_mm, error.entry_mm), (1.5, 1.0));
        let angle = (20.0_f64 / 2.0).atan2(20.0) - (36.0_f64 * 0.25).atan2(37.0 * 0.5);
        assert!((error.angle_deg - angle.abs().to_degrees()).abs() < 1e-9);
        assert_eq!((error.success(1.0), error.success(2.0)), (Some(false), Some(true)));
        // A parallel line three rows lower is off by 3 cos 45 degrees, and its direction does not matter.
        let parallel = needle((50.0, 53.0), (10.0, 13.0));
        let error = NeedleError::new(Some(&parallel), Some(&truth), None);
        assert!((error.offset_px - 3.0 * 0.5_f64.sqrt()).abs() < 1e-12 && error.angle_deg.abs() < 1e-9);
        assert!(error.length_px.abs() < 1e-12 && error.tip_mm.is_nan() && error.success(3.0).is_none());
        // A line straight across it.
        let across = needle((0.0, 40.0), (40.0, 0.0));
        assert!((NeedleError::new(Some(&across), Some(&truth), None).angle_deg - 90.0).abs() < 1e-9);
    }

    #[test]
    fn misses_fail_and_false_alarms_are_counted() {
        let truth = needle((0.0, 0.0), (40.0, 40.0));
        let near = needle((0.0, 0.0), (41.0, 40.0));
        let mut scores = NeedleScores::default();
        for (group, predicted, visible, spacing, pixels) in [
            ("a", Some(&near), Some(&truth), Some(SPACING), 200),
            ("a", None, Some(&truth), Some(SPACING), 0),
            ("b", Some(&truth), Some(&truth), None, 200),
            ("b", Some(&near), None, None, 150),
            ("c", None, None, Some(SPACING), 7),
        ] {
            scores.push(group, NeedleError::new(predicted, visible, spacing), pixels);
        }
        let summary = scores.summary(1);
        assert_eq!(summary.tally, Tally { frames: 5, found: 2, missed: 1, false_positive: 1, empty: 1 });
        assert_eq!((summary.false_positive_pixels, summary.tally.false_positive_rate()), (157, 0.5));
        assert_eq!((summary.success_1mm, summary.groups.len()), (0.5, 3));
        assert_eq!((summary.tip_px.count, summary.tip_px.undefined, summary.tip_px.median), (2, 1, 0.5));
        assert_eq!((summary.tip_mm.count, summary.tip_mm.undefined, summary.tip_mm.median), (1, 2, 0.5));
        assert_eq!(summary.tip_px_median_misses_infinite, 1.0);
        let shares = summary.intervals;
        assert_eq!((shares.false_positive_rate.low, shares.false_positive_rate.high), (0.0, 1.0));
        assert_eq!((shares.miss_rate.low, shares.miss_rate.high), (0.0, 0.5));
        assert!(shares.success_1mm.low.is_nan(), "only one group has a scale: {shares:?}");
        assert!(summary.groups[2].tip_px.is_nan() && summary.groups[1].success_3mm.is_nan());
        assert!(NeedleScores::default().summary(1).tip_px.median.is_nan());
    }

    #[test]
    fn the_interval_comes_from_the_groups() {
        let groups: Vec<Vec<f64>> = (0..20).map(|group| vec![f64::from(group); 30]).collect();
        let Interval { low, high } = median_interval(&groups, 5);
        assert!(low < 9.5 && high > 9.5 && low > 2.0 && high < 17.0, "{low} to {high}");
        assert!(median_interval(&groups[..1], 5).low.is_nan());
        assert_eq!((median(&mut [3.0, 1.0]), median(&mut [5.0, 1.0, 4.0])), (2.0, 4.0));
    }
}
