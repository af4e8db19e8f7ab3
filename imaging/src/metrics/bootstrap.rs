//! Intervals by bootstrap over groups (Efron, 1979): frames of a group are alike, so whole groups are drawn.

use serde::{Deserialize, Serialize};

use crate::rng::Rng;

/// Bootstrap samples behind an interval.
pub const RESAMPLES: usize = 1000;

/// A 95 % percentile interval; both ends are NaN when there is none.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// How far `statistic` moves when as many groups as there are get drawn with replacement, [`RESAMPLES`] times. The same
/// seed gives the same interval.
///
/// The statistic gets whole groups and pools them as it likes, so that a pooled ratio stays a ratio of sums. A group on
/// which it is NaN (a procedure without any needle, for the share of needles missed) says nothing about it and is not
/// drawn; with fewer than two groups left there is no interval.
pub fn interval<G>(groups: &[G], mut statistic: impl FnMut(&[&G]) -> f64, seed: u64) -> Interval {
    let groups: Vec<&G> = groups.iter().filter(|group| !statistic(&[*group]).is_nan()).collect();
    if groups.len() < 2 {
        return Interval { low: f64::NAN, high: f64::NAN };
    }
    let mut rng = Rng::stream(seed, "bootstrap", [0, 0]);
    let mut drawn = Vec::with_capacity(groups.len());
    let mut values: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            drawn.clear();
            drawn.extend((0..groups.len()).map(|_| groups[rng.below(groups.len())]));
            statistic(&drawn)
        })
        .collect();
    values.sort_by(f64::total_cmp);
    let [low, high] = [0.025, 0.975].map(|share| values[(share * (RESAMPLES - 1) as f64).round() as usize]);
    Interval { low, high }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(values: &[&f64]) -> f64 {
        values.iter().copied().sum::<f64>() / values.len() as f64
    }

    #[test]
    fn the_interval_of_a_mean_is_that_of_the_normal_law() {
        let groups: Vec<f64> = (0..100).map(f64::from).collect();
        let found = interval(&groups, mean, 3);
        // 1.96 standard errors of 0..100, whose standard deviation is 28.87, on either side of 49.5.
        assert!((found.low - 43.8).abs() < 0.8 && (found.high - 55.2).abs() < 0.8, "{found:?}");
        let again = interval(&groups, mean, 3);
        assert_eq!((found.low, found.high), (again.low, again.high));
        assert_ne!(found.low, interval(&groups, mean, 4).low);
    }

    #[test]
    fn groups_without_a_value_are_not_drawn_and_one_group_has_no_interval() {
        assert!(interval(&[1.0], mean, 0).low.is_nan() && interval(&[], mean, 0).high.is_nan());
        assert!(interval(&[f64::NAN, 5.0], mean, 1).low.is_nan());
        let found = interval(&[f64::NAN, 5.0, 7.0], mean, 1);
        assert_eq!((found.low, found.high), (5.0, 7.0));
    }

    #[test]
    fn equal_groups_leave_nothing_to_chance() {
        let found = interval(&[0.25; 7], mean, 9);
        assert_eq!((found.low, found.high), (0.25, 0.25));
        let infinite = interval(&[f64::INFINITY, 1.0], mean, 9);
        assert_eq!((infinite.low, infinite.high), (1.0, f64::INFINITY));
    }
}
