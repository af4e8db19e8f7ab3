//! Whether a confidence is what it says: of the needles called 80 % sure, 80 % are to be right.
//!
//! Reliability in bins, expected and maximum calibration error: Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural
//! Networks", ICML 2017, section 2. A confidence is made honest by a monotone table, isotonic regression, which the pool
//! adjacent violators algorithm fits exactly (Ayer et al. 1955; for probabilities Zadrozny and Elkan, "Transforming Classifier
//! Scores into Accurate Multiclass Probability Estimates", KDD 2002). Guo's temperature is not used: it scales the logit of a
//! softmax, and our confidence is none but a mean probability times how like a line the shaft is
//! ([`Detection::confidence`](crate::geometry::Detection::confidence)). All that is known of it is that more is better, and
//! that is all that isotonic regression takes. So that a few right calls in a row are not 100 % sure, the truths are 1 and 0
//! drawn in a little, as Platt ("Probabilistic Outputs for Support Vector Machines", 1999, section 2.2) does it: (R + 1) / (R + 2)
//! for each of R right calls, 1 / (W + 2) for each of W wrong ones.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::figures::Score;
use super::traits::SIDE;
use crate::metrics::needle::Outcome;

/// A needle whose tip is at most this far off is right, millimetres: where the scale is known.
pub const RIGHT_MM: f64 = 3.0;
/// The same in pixels of a square of [`SIDE`]: where it is not.
pub const RIGHT_PX: f64 = 5.0;
/// Bins of a reliability picture.
const BINS: usize = 10;
/// Fewer calls do not make a calibration.
pub const LEAST_CALLS: usize = 30;
/// Parts of which each is judged by what was fitted on the others.
const FOLDS: usize = 5;

/// A needle that was called.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Call {
    /// How sure the method says it is, 0 to 1.
    pub confidence: f64,
    /// Whether a needle is there, with its tip within [`RIGHT_MM`] or [`RIGHT_PX`].
    pub right: bool,
}

impl Call {
    /// What a method called on a frame, at the `size` x `size` pixels of the network's input; `None` where it called
    /// nothing, or where the truth is a mask.
    pub fn new(score: &Score, size: usize) -> Option<Self> {
        let error = score.error?;
        let right = match error.outcome {
            Outcome::Found if error.scaled => error.tip_mm <= RIGHT_MM,
            Outcome::Found => error.tip_px * SIDE as f64 / size as f64 <= RIGHT_PX,
            Outcome::FalsePositive => false,
            Outcome::Missed | Outcome::Empty => return None,
        };
        Some(Self { confidence: score.confidence, right })
    }
}

/// Calls whose confidences lie between two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ReliabilityBin {
    /// Lower end; it belongs to the first bin only.
    pub from: f64,
    /// Upper end (inside).
    pub to: f64,
    /// Calls.
    pub calls: u64,
    /// Those that are right.
    pub right: u64,
    /// Mean of their confidences; NaN without any.
    pub confidence: f64,
    /// Share of them that is right; NaN without any.
    pub share_right: f64,
}

/// How honest confidences are.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reliability {
    /// Calls.
    pub calls: u64,
    /// Those that are right.
    pub right: u64,
    /// Mean over the calls of how far the confidence of a bin is from its share of right ones; NaN without any call.
    pub expected_error: f64,
    /// The largest of these distances.
    pub maximum_error: f64,
    /// 10 bins of equal width, from 0 to 1.
    pub bins: Vec<ReliabilityBin>,
}

impl Reliability {
    /// Of calls. A confidence below 0 or above 1 counts as 0 or 1.
    pub fn new(calls: &[Call]) -> Self {
        let mut bins: Vec<Vec<Call>> = vec![Vec::new(); BINS];
        for call in calls {
            let confidence = call.confidence.clamp(0.0, 1.0);
            let bin = ((confidence * BINS as f64).ceil() as usize).clamp(1, BINS) - 1;
            bins[bin].push(Call { confidence, ..*call });
        }
        let bin = |(index, calls): (usize, &Vec<Call>)| {
            let (count, right) = (calls.len() as f64, calls.iter().filter(|call| call.right).count());
            ReliabilityBin {
                from: index as f64 / BINS as f64,
                to: (index + 1) as f64 / BINS as f64,
                calls: calls.len() as u64,
                right: right as u64,
                confidence: calls.iter().map(|call| call.confidence).sum::<f64>() / count,
                share_right: right as f64 / count,
            }
        };
        let bins: Vec<ReliabilityBin> = bins.iter().enumerate().map(bin).collect();
        let gaps = || {
            let held = bins.iter().filter(|bin| bin.calls > 0);
            held.map(|bin| (bin.calls as f64, (bin.confidence - bin.share_right).abs()))
        };
        Self {
            calls: calls.len() as u64,
            right: bins.iter().map(|bin| bin.right).sum(),
            expected_error: gaps().map(|(calls, gap)| calls * gap).sum::<f64>() / calls.len() as f64,
            maximum_error: gaps().map(|(_, gap)| gap).fold(f64::NAN, f64::max),
            bins,
        }
    }
}

/// A monotone table from the confidence that a network says to the share of such calls that is right. Between two lines
/// it is straight, beyond the ends it stays as it is there. A model file holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Confidences as the network says them, 0 to 1, rising.
    pub said: Vec<f64>,
    /// The share of right ones at each, 0 to 1, never falling.
    pub right: Vec<f64>,
    /// Calls that it was fitted on.
    pub calls: u64,
}

impl Calibration {
    /// Fit to calls.
    ///
    /// # Errors
    /// What is missing, where there are fewer than [`LEAST_CALLS`], or a confidence is no number.
    pub fn fit(calls: &[Call]) -> Result<Self, String> {
        if calls.len() < LEAST_CALLS {
            return Err(format!(
                "{} needles were called, and a calibration takes {LEAST_CALLS} at least: give more data",
                calls.len()
            ));
        }
        if calls.iter().any(|call| !call.confidence.is_finite()) {
            return Err("a confidence is no number".into());
        }
        let right = calls.iter().filter(|call| call.right).count() as f64;
        let wrong = calls.len() as f64 - right;
        let truth = |call: &Call| if call.right { (right + 1.0) / (right + 2.0) } else { 1.0 / (wrong + 2.0) };
        let points: Vec<(f64, f64)> = calls.iter().map(|call| (call.confidence.clamp(0.0, 1.0), truth(call))).collect();
        let (mut said, mut shares) = (Vec::new(), Vec::new());
        for Block { first, last, sum, weight } in isotonic(&points) {
            said.push(first);
            shares.push(sum / weight);
            if last > first {
                said.push(last);
                shares.push(sum / weight);
            }
        }
        Ok(Self { said, right: shares, calls: calls.len() as u64 })
    }

    /// The honest confidence for one that the network says.
    pub fn apply(&self, confidence: f64) -> f64 {
        let after = self.said.partition_point(|&said| said <= confidence);
        let (Some(before), true) = (after.checked_sub(1), after < self.said.len()) else {
            return self.right[after.saturating_sub(1)];
        };
        let along = (confidence - self.said[before]) / (self.said[after] - self.said[before]);
        self.right[before] + along * (self.right[after] - self.right[before])
    }

    /// What is wrong with one that was read from a file; `None` for a sound one.
    pub fn problem(&self) -> Option<String> {
        let shares = |values: &[f64]| values.iter().all(|value| (0.0..=1.0).contains(value));
        if self.said.is_empty() || self.said.len() != self.right.len() {
            return Some(format!("{} confidences for {} shares", self.said.len(), self.right.len()));
        }
        if !shares(&self.said) || !shares(&self.right) {
            return Some("a number of it lies outside of 0 to 1".into());
        }
        let rises = self.said.windows(2).all(|pair| pair[0] < pair[1]);
        let falls = self.right.windows(2).any(|pair| pair[0] > pair[1]);
        (!rises || falls).then(|| "it is not monotone".into())
    }
}

/// The calls, each with the confidence that a calibration says which was fitted without its group: how honest confidences
/// will be on groups that nobody has seen. Groups are dealt into 5 parts, or as many as there are.
///
/// # Errors
/// What is missing, where there are fewer than two groups or the rest has too few calls.
pub fn cross_fitted(calls: &[(&str, Call)]) -> Result<Vec<Call>, String> {
    let mut parts: BTreeMap<&str, usize> = calls.iter().map(|(group, _)| (*group, 0)).collect();
    if parts.len() < 2 {
        return Err("all calls are of one procedure".into());
    }
    parts.values_mut().enumerate().for_each(|(at, part)| *part = at % FOLDS);
    let mut judged = Vec::with_capacity(calls.len());
    for fold in 0..FOLDS.min(parts.len()) {
        let (held, rest): (Vec<_>, Vec<_>) = calls.iter().copied().partition(|(group, _)| parts[group] == fold);
        let rest: Vec<Call> = rest.into_iter().map(|(_, call)| call).collect();
        let calibration = Calibration::fit(&rest)?;
        let honest = |call: Call| Call { confidence: calibration.apply(call.confidence.clamp(0.0, 1.0)), ..call };
        judged.extend(held.into_iter().map(|(_, call)| honest(call)));
    }
    Ok(judged)
}

/// Points with one value.
struct Block {
    /// Smallest and largest x.
    first: f64,
    last: f64,
    /// Sum of the y and number of points.
    sum: f64,
    weight: f64,
}

/// The rising steps that fit points `(x, y)` best, by least squares: pool adjacent violators. Points of equal x are one.
fn isotonic(points: &[(f64, f64)]) -> Vec<Block> {
    let mut points = points.to_vec();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut blocks: Vec<Block> = Vec::new();
    for points in points.chunk_by(|a, b| a.0 == b.0) {
        let (x, weight) = (points[0].0, points.len() as f64);
        let mut block = Block { first: x, last: x, sum: points.iter().map(|point| point.1).sum(), weight };
        while let Some(before) = blocks.pop_if(|before| before.sum * block.weight >= block.sum * before.weight) {
            block = Block {
                first: before.first,
                last: block.last,
                sum: before.sum + block.sum,
                weight: before.weight + block.weight,
            };
        }
        blocks.push(block);
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Needle, Point, Spacing};
    use crate::metrics::measure::Measures;
    use crate::metrics::needle::NeedleError;
    use crate::metrics::overlap::Counts;

    fn call(confidence: f64, right: bool) -> Call {
        Call { confidence, right }
    }

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-9, "{found} instead of {expected}");
    }

    #[test]
    fn a_call_is_right_when_its_tip_is_near_enough() {
        let needle = |x| Needle { entry: Point { x: 0.0, y: 0.0 }, tip: Point { x, y: 40.0 } };
        let judged = |found: Option<f64>, truth: Option<f64>, mm: Option<f64>, size| {
            let spacing = mm.map(|mm| Spacing { x_mm: mm, y_mm: mm });
            let (found, truth) = (found.map(needle), truth.map(needle));
            let error = Some(NeedleError::new(found.as_ref(), truth.as_ref(), spacing));
            let (counts, shape) = (Counts::default(), Measures::default());
            Call::new(&Score { needle: found, counts, error, confidence: 0.75, shape }, size).map(|call| call.right)
        };
        assert_eq!(judged(Some(45.0), Some(40.0), None, 224), Some(true));
        assert_eq!(judged(Some(45.1), Some(40.0), None, 224), Some(false));
        assert_eq!(judged(Some(47.0), Some(40.0), None, 448), Some(true), "3.5 pixels of 224");
        assert_eq!(judged(Some(45.0), Some(40.0), Some(1.0), 224), Some(false), "5 mm");
        assert_eq!(judged(Some(70.0), Some(40.0), Some(0.1), 224), Some(true), "3 mm");
        assert_eq!(judged(Some(45.0), None, None, 224), Some(false));
        assert_eq!([judged(None, Some(40.0), None, 224), judged(None, None, None, 224)], [None, None]);
    }

    #[test]
    fn the_expected_error_is_the_mean_gap_between_saying_and_being_right() {
        let calls = [
            call(0.0, false),
            call(0.1, true),
            call(0.82, true),
            call(0.84, true),
            call(0.86, false),
            call(0.9, true),
            call(1.0, true),
            call(1.7, false),
        ];
        let found = Reliability::new(&calls);
        // The first bin says 0.05 and is right in 1 of 2, the ninth says 0.855 with 3 of 4, the last says 1 with 1 of 2.
        let gaps = [0.45, 0.105, 0.5];
        close(found.expected_error, (2.0 * gaps[0] + 4.0 * gaps[1] + 2.0 * gaps[2]) / 8.0);
        close(found.maximum_error, 0.5);
        let counts: Vec<[u64; 2]> = found.bins.iter().map(|bin| [bin.calls, bin.right]).collect();
        assert_eq!(counts, [[2, 1], [0, 0], [0, 0], [0, 0], [0, 0], [0, 0], [0, 0], [0, 0], [4, 3], [2, 1]]);
        assert_eq!((found.calls, found.right, found.bins[8].from, found.bins[8].to), (8, 5, 0.8, 0.9));
        close(found.bins[8].confidence, 0.855);
        assert!(found.bins[4].confidence.is_nan() && found.bins[4].share_right.is_nan());
        let none = Reliability::new(&[]);
        assert!(none.expected_error.is_nan() && none.maximum_error.is_nan());
    }

    #[test]
    fn the_isotonic_fit_is_that_of_scikit_learn() {
        let (x, y): (Vec<f64>, Vec<f64>) = SAID.iter().zip(RIGHT).map(|(&x, y)| (x, f64::from(y))).unzip();
        let points: Vec<(f64, f64)> = x.iter().copied().zip(y).collect();
        let blocks = isotonic(&points);
        for (x, expected) in x.iter().zip(FITTED) {
            let block = blocks.iter().find(|block| (block.first..=block.last).contains(x)).unwrap();
            close(block.sum / block.weight, expected);
        }
        // In between it is straight, beyond the ends level.
        let (said, right) =
            blocks.iter().flat_map(|one| [(one.first, one.sum / one.weight), (one.last, one.sum / one.weight)]).unzip();
        let table = Calibration { said, right, calls: 0 };
        for (x, expected) in PREDICTED {
            close(table.apply(x), expected);
        }
    }

    #[test]
    fn a_calibration_makes_confidences_honest_and_none_certain() {
        // Says 0.9 and is right in 3 of 5, says 0.3 and is right in 1 of 5.
        let calls: Vec<Call> =
            (0..50).map(|at| if at % 2 == 0 { call(0.9, at % 10 < 6) } else { call(0.3, at % 10 == 1) }).collect();
        let right = calls.iter().filter(|call| call.right).count() as f64;
        let calibration = Calibration::fit(&calls).unwrap();
        assert_eq!((calibration.said.as_slice(), calibration.calls), (&[0.3, 0.9][..], 50));
        let [one, none] = [(right + 1.0) / (right + 2.0), 1.0 / (52.0 - right)];
        close(calibration.apply(0.95), 0.6 * one + 0.4 * none);
        close(calibration.apply(0.0), 0.2 * one + 0.8 * none);
        close(calibration.apply(0.6), 0.4 * one + 0.6 * none);
        assert_eq!(calibration.problem(), None);
        let before = Reliability::new(&calls);
        let honest: Vec<Call> = calls.iter().map(|one| call(calibration.apply(one.confidence), one.right)).collect();
        let after = Reliability::new(&honest);
        assert!(before.expected_error > 0.19 && after.expected_error < 0.02, "{before:?} {after:?}");
        let groups: Vec<(&str, Call)> =
            calls.iter().zip(["a", "b", "c"].iter().cycle()).map(|(c, g)| (*g, *c)).collect();
        let judged = cross_fitted(&groups).unwrap();
        assert_eq!(judged.len(), 50);
        assert!(Reliability::new(&judged).expected_error < 0.1);

        let sure = Calibration::fit(&[call(0.5, true); 40]).unwrap();
        close(sure.apply(0.5), 41.0 / 42.0);
        assert!(Calibration::fit(&calls[..20]).unwrap_err().contains("20 needles were called"));
        assert!(cross_fitted(&groups[..1]).is_err());
    }

    #[test]
    fn a_damaged_calibration_is_told() {
        let table = |said: &[f64], right: &[f64]| Calibration { said: said.into(), right: right.into(), calls: 1 };
        assert_eq!(table(&[0.1, 0.4], &[0.0, 0.0]).problem(), None);
        let wrong = [
            table(&[], &[]),
            table(&[0.1], &[0.1, 0.2]),
            table(&[0.1, f64::NAN], &[0.1, 0.2]),
            table(&[0.1, 0.2], &[0.1, 1.2]),
            table(&[0.2, 0.2], &[0.1, 0.2]),
            table(&[0.1, 0.2], &[0.2, 0.1]),
        ];
        assert!(wrong.iter().all(|one| one.problem().is_some()));
    }

    // `IsotonicRegression(out_of_bounds="clip").fit(SAID, RIGHT)` of scikit-learn 1.9.1: its values at SAID and elsewhere.
    const SAID: [f64; 24] = [
        0.84, 0.85, 0.61, 0.43, 0.24, 0.51, 0.53, 0.43, 0.24, 1.0, 0.72, 0.39, 0.43, 0.98, 0.92, 0.88, 0.51, 0.59,
        0.74, 0.25, 0.64, 0.42, 0.9, 0.25,
    ];
    const RIGHT: [u8; 24] = [1, 0, 1, 0, 0, 1, 0, 1, 0, 1, 1, 0, 0, 1, 1, 1, 0, 0, 1, 0, 0, 0, 1, 0];
    const FITTED: [f64; 24] = [
        0.75,
        0.75,
        0.5,
        0.2857142857142857,
        0.0,
        0.2857142857142857,
        0.2857142857142857,
        0.2857142857142857,
        0.0,
        1.0,
        0.75,
        0.0,
        0.2857142857142857,
        1.0,
        1.0,
        1.0,
        0.2857142857142857,
        0.2857142857142857,
        0.75,
        0.0,
        0.5,
        0.0,
        1.0,
        0.0,
    ];
    const PREDICTED: [(f64, f64); 8] = [
        (0.0, 0.0),
        (0.3, 0.0),
        (0.47, 0.2857142857142857),
        (0.555, 0.2857142857142857),
        (0.7, 0.6874999999999999),
        (0.785, 0.75),
        (0.9, 1.0),
        (1.0, 1.0),
    ];
}
