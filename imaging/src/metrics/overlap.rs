//! Overlap of binary masks: pooled counts, the ratios made of them, and the two conventions for frames without target.

use serde::{Deserialize, Serialize};

use super::bootstrap::{Interval, interval};
use crate::geometry::Mask;

/// A pixel of a target of 0 and 1 that nobody judged: it is neither learned nor counted.
pub const NOT_JUDGED: f32 = -1.0;

/// Pixels by prediction and truth. Counts add up, so pooled figures come from the sum over a whole evaluation set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Predicted and true.
    pub tp: u64,
    /// Predicted only.
    pub fp: u64,
    /// True only.
    #[serde(rename = "fn")]
    pub fn_: u64,
    /// Neither.
    pub tn: u64,
}

impl Counts {
    /// Count pixels. Panics when there are not as many predictions as truths.
    pub fn new(predicted: impl ExactSizeIterator<Item = bool>, truth: impl ExactSizeIterator<Item = bool>) -> Self {
        Self::of_judged(predicted, truth.map(Some))
    }

    /// Count the pixels of which the truth is known. Panics when there are not as many predictions as truths.
    fn of_judged(
        predicted: impl ExactSizeIterator<Item = bool>,
        truth: impl ExactSizeIterator<Item = Option<bool>>,
    ) -> Self {
        let (left, right) = (predicted.len(), truth.len());
        assert_eq!(left, right, "{left} predicted pixels cannot be compared with {right} true ones");
        let mut counts = Self::default();
        for pair in predicted.zip(truth) {
            match pair {
                (_, None) => {}
                (true, Some(true)) => counts.tp += 1,
                (true, Some(false)) => counts.fp += 1,
                (false, Some(true)) => counts.fn_ += 1,
                (false, Some(false)) => counts.tn += 1,
            }
        }
        counts
    }

    /// Count probabilities strictly above `threshold` against a target of 0 and 1, or [`NOT_JUDGED`]. An undefined
    /// probability is negative.
    pub fn from_probability(probability: &[f32], target: &[f32], threshold: f32) -> Self {
        let truth = target.iter().map(|&t| (t != NOT_JUDGED).then_some(t > 0.5));
        Self::of_judged(probability.iter().map(|&p| p > threshold), truth)
    }

    /// Count the pixels of one class of two masks, where the truth is not [`Mask::IGNORE`].
    pub fn from_classes(predicted: &[u8], truth: &[u8], class: u8) -> Self {
        let truth = truth.iter().map(|&c| (c != Mask::IGNORE).then_some(c == class));
        Self::of_judged(predicted.iter().map(|&c| c == class), truth)
    }

    /// Counts of every `(sample, channel)` plane.
    ///
    /// # Shapes
    /// `probability`, `target`: `[planes, plane]`
    pub fn per_plane(probability: &[f32], target: &[f32], plane: usize, threshold: f32) -> Vec<Self> {
        assert!(plane > 0, "a plane without pixels cannot be counted");
        let planes = probability.chunks(plane).zip(target.chunks(plane));
        planes.map(|(probability, target)| Self::from_probability(probability, target, threshold)).collect()
    }

    /// Intersection over union; NaN when both masks are empty.
    pub fn iou(&self) -> f64 {
        ratio(self.tp, self.tp + self.fp + self.fn_)
    }

    /// Share of the prediction that is true; NaN when nothing is predicted.
    pub fn precision(&self) -> f64 {
        ratio(self.tp, self.tp + self.fp)
    }

    /// Share of the truth that is predicted; NaN when there is none.
    pub fn recall(&self) -> f64 {
        ratio(self.tp, self.tp + self.fn_)
    }

    /// Dice coefficient; NaN when both masks are empty.
    pub fn dice(&self) -> f64 {
        ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn_)
    }

    /// Percentage of pixels that are wrong.
    pub fn pixel_error(&self) -> f64 {
        100.0 * ratio(self.fp + self.fn_, self.tp + self.fp + self.fn_ + self.tn)
    }

    /// True when the truth holds no pixel.
    pub fn target_is_empty(&self) -> bool {
        self.tp + self.fn_ == 0
    }

    /// IoU of a frame, NaN where the target is empty.
    pub fn iou_ignore(&self) -> f64 {
        if self.target_is_empty() { f64::NAN } else { self.iou() }
    }

    /// Dice of a frame, NaN where the target is empty.
    pub fn dice_ignore(&self) -> f64 {
        if self.target_is_empty() { f64::NAN } else { self.dice() }
    }

    /// IoU of a frame; 1 where both masks are empty, 0 where only the target is.
    pub fn iou_one(&self) -> f64 {
        if self.target_is_empty() && self.fp == 0 { 1.0 } else { self.iou() }
    }

    /// Dice of a frame; 1 where both masks are empty, 0 where only the target is.
    pub fn dice_one(&self) -> f64 {
        if self.target_is_empty() && self.fp == 0 { 1.0 } else { self.dice() }
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.tp += other.tp;
        self.fp += other.fp;
        self.fn_ += other.fn_;
        self.tn += other.tn;
    }
}

impl std::ops::Add for Counts {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

impl std::iter::Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), std::ops::Add::add)
    }
}

/// Mean of the values that are defined; NaN when none is.
pub fn mean_defined(values: impl IntoIterator<Item = f64>) -> f64 {
    let (sum, count) = values
        .into_iter()
        .filter(|value| !value.is_nan())
        .fold((0.0, 0_u64), |(sum, count), value| (sum + value, count + 1));
    sum / count as f64
}

fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

/// Overlap over an evaluation set: pooled figures, per-frame means, and what was seen where nothing is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct OverlapSummary {
    /// Sum over all frames.
    pub counts: Counts,
    /// Pooled intersection over union.
    pub iou: f64,
    /// Pooled precision.
    pub precision: f64,
    /// Pooled recall.
    pub recall: f64,
    /// Pooled Dice coefficient.
    pub dice: f64,
    /// Pooled percentage of wrong pixels.
    pub pixel_error: f64,
    /// Mean over the frames that have a target.
    pub mean_iou_ignore: f64,
    /// Mean over all frames; an empty prediction on an empty target counts 1.
    pub mean_iou_one: f64,
    /// Mean Dice coefficient over all frames; an empty prediction on an empty target counts 1.
    pub mean_dice_one: f64,
    /// Mean percentage of wrong pixels over all frames.
    pub mean_pixel_error: f64,
    /// Mean adjusted Rand index over all frames.
    pub mean_adjusted_rand: f64,
    /// Frames evaluated.
    pub frames: u64,
    /// Frames without target.
    pub empty_frames: u64,
    /// Frames without target on which something was predicted.
    pub false_positive_frames: u64,
    /// Pixels predicted on frames without target.
    pub false_positive_pixels: u64,
}

impl OverlapSummary {
    /// Summarise the counts of the frames.
    pub fn new(frames: &[Counts]) -> Self {
        let counts: Counts = frames.iter().copied().sum();
        let empty = || frames.iter().filter(|frame| frame.target_is_empty());
        Self {
            counts,
            iou: counts.iou(),
            precision: counts.precision(),
            recall: counts.recall(),
            dice: counts.dice(),
            pixel_error: counts.pixel_error(),
            mean_iou_ignore: mean_defined(frames.iter().map(Counts::iou_ignore)),
            mean_iou_one: mean_defined(frames.iter().map(Counts::iou_one)),
            mean_dice_one: mean_defined(frames.iter().map(Counts::dice_one)),
            mean_pixel_error: mean_defined(frames.iter().map(Counts::pixel_error)),
            mean_adjusted_rand: mean_defined(frames.iter().map(Counts::adjusted_rand)),
            frames: frames.len() as u64,
            empty_frames: empty().count() as u64,
            false_positive_frames: empty().filter(|frame| frame.fp > 0).count() as u64,
            false_positive_pixels: empty().map(|frame| frame.fp).sum(),
        }
    }
}

/// 95 % intervals of an `OverlapSummary`, by bootstrap over groups.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct OverlapIntervals {
    /// Of the pooled intersection over union.
    pub iou: Interval,
    /// Of the pooled precision.
    pub precision: Interval,
    /// Of the pooled recall.
    pub recall: Interval,
    /// Of the pooled Dice coefficient.
    pub dice: Interval,
    /// Of the mean over the frames that have a target.
    pub mean_iou_ignore: Interval,
    /// Of the mean over all frames.
    pub mean_iou_one: Interval,
}

impl OverlapIntervals {
    /// The intervals of frames in their groups. Counts are summed over the groups drawn, then divided.
    pub fn new(groups: &[Vec<Counts>], seed: u64) -> Self {
        let sums: Vec<Counts> = groups.iter().map(|group| group.iter().copied().sum()).collect();
        let pooled =
            |ratio: fn(&Counts) -> f64| interval(&sums, |drawn| ratio(&drawn.iter().copied().copied().sum()), seed);
        let mean = |read: fn(&Counts) -> f64| {
            interval(groups, |drawn| mean_defined(drawn.iter().flat_map(|group| group.iter().map(read))), seed)
        };
        Self {
            iou: pooled(Counts::iou),
            precision: pooled(Counts::precision),
            recall: pooled(Counts::recall),
            dice: pooled(Counts::dice),
            mean_iou_ignore: mean(Counts::iou_ignore),
            mean_iou_one: mean(Counts::iou_one),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hand_computed_ratios() {
        let counts = Counts::from_probability(&[0.5, 0.6, 0.9, 0.1, f32::NAN], &[1.0, 1.0, 0.0, 0.0, 1.0], 0.5);
        assert_eq!(counts, Counts { tp: 1, fp: 1, fn_: 2, tn: 1 });
        assert_eq!((counts.iou(), counts.precision(), counts.recall()), (0.25, 0.5, 1.0 / 3.0));
        assert_eq!((counts.dice(), counts.pixel_error()), (0.4, 60.0));
        assert_eq!(Counts::from_classes(&[2, 0, 1], &[2, 2, 1], 2), Counts { tp: 1, fp: 0, fn_: 1, tn: 1 });
        let ignoring = Counts::from_probability(&[0.9, 0.9, 0.1, 0.1], &[NOT_JUDGED, 1.0, NOT_JUDGED, 0.0], 0.5);
        assert_eq!(ignoring, Counts { tp: 1, fp: 0, fn_: 0, tn: 1 });
        assert_eq!(Counts::from_classes(&[1, 1, 0, 0], &[255, 1, 255, 0], 1), ignoring);
    }

    #[test]
    fn empty_targets_are_ignored_or_count_one() {
        let nothing = Counts { tn: 9, ..Counts::default() };
        let spurious = Counts { fp: 4, tn: 5, ..Counts::default() };
        let half = Counts { tp: 1, fn_: 1, tn: 7, fp: 0 };
        assert!(nothing.iou().is_nan() && nothing.iou_ignore().is_nan() && spurious.dice_ignore().is_nan());
        assert_eq!((nothing.iou_one(), spurious.iou_one(), half.iou_one()), (1.0, 0.0, 0.5));
        assert_eq!((nothing.dice_one(), spurious.dice_one(), half.iou_ignore()), (1.0, 0.0, 0.5));
        let summary = OverlapSummary::new(&[nothing, spurious, half]);
        assert_eq!((summary.iou, summary.mean_iou_ignore, summary.mean_iou_one), (1.0 / 6.0, 0.5, 0.5));
        assert_eq!((summary.empty_frames, summary.false_positive_frames, summary.false_positive_pixels), (2, 1, 4));
        assert_eq!(summary.mean_dice_one, (1.0 + 0.0 + 2.0 / 3.0) / 3.0);
        assert_eq!(summary.mean_pixel_error, (0.0 + 400.0 / 9.0 + 100.0 / 9.0) / 3.0);
        assert!(OverlapSummary::new(&[]).iou.is_nan() && OverlapSummary::new(&[]).mean_adjusted_rand.is_nan());
    }

    #[test]
    fn planes_are_counted_one_by_one() {
        let planes = Counts::per_plane(&[1.0, 0.0, 0.0, 1.0], &[1.0, 1.0, 0.0, 0.0], 2, 0.5);
        assert_eq!(planes, [Counts { tp: 1, fp: 0, fn_: 1, tn: 0 }, Counts { tp: 0, fp: 1, fn_: 0, tn: 1 }]);
        let pooled: Counts = planes.into_iter().sum();
        assert_eq!(pooled, Counts { tp: 1, fp: 1, fn_: 1, tn: 1 });
    }

    #[test]
    fn intervals_pool_whole_groups() {
        // Two frames of IoU 0.5, and one of IoU 0 that is much smaller: a draw of both pools to 100 / 210.
        let large = vec![Counts { tp: 50, fp: 50, fn_: 0, tn: 0 }; 2];
        let small = vec![Counts { tp: 0, fp: 10, fn_: 0, tn: 90 }];
        let found = OverlapIntervals::new(&[large.clone(), small.clone()], 2);
        assert_eq!((found.iou.low, found.iou.high), (0.0, 0.5));
        assert!(found.recall.low.is_nan(), "only one group has a target: {found:?}");
        // Among twenty large groups a small one hardly counts for the pooled figure, and a little for the mean of frames.
        let mut groups = vec![large.clone(); 20];
        groups.push(small);
        let found = OverlapIntervals::new(&groups, 2);
        assert!(found.iou.low > 0.492 && found.iou.high <= 0.5, "{:?}", found.iou);
        assert!(found.mean_iou_one.low < 0.485 && found.mean_iou_one.high == 0.5, "{:?}", found.mean_iou_one);
        assert!(OverlapIntervals::new(&[large], 2).iou.low.is_nan());
    }
}
