//! 95 % intervals of the shares of an evaluation, by bootstrap over groups.

use serde::Serialize;

use super::{NeedleError, Tally, median_interval, with_misses};
use crate::metrics::bootstrap::{Interval, interval};

/// Intervals of those figures of a `NeedleSummary` that have none beside them.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct NeedleIntervals {
    /// Of `tip_px_median_misses_infinite`.
    pub tip_px_median_misses_infinite: Interval,
    /// Of the share of visible needles that were missed.
    pub miss_rate: Interval,
    /// Of the share of needle-free frames on which a needle was reported.
    pub false_positive_rate: Interval,
    /// Of `success_1mm`.
    pub success_1mm: Interval,
    /// Of `success_2mm`.
    pub success_2mm: Interval,
    /// Of `success_3mm`.
    pub success_3mm: Interval,
}

impl NeedleIntervals {
    /// The intervals of frames in their groups.
    pub(super) fn new(groups: &[&[NeedleError]], seed: u64) -> Self {
        let tallies: Vec<Tally> = groups.iter().map(|frames| Tally::new(frames)).collect();
        let missed = tallies.iter().map(|tally| (tally.missed, tally.found + tally.missed));
        let alarms = tallies.iter().map(|tally| (tally.false_positive, tally.false_positive + tally.empty));
        let successes = |limit_mm| share(groups.iter().map(|frames| successes(frames, limit_mm)), seed);
        let tips: Vec<Vec<f64>> = groups.iter().map(|frames| with_misses(frames)).collect();
        Self {
            tip_px_median_misses_infinite: median_interval(&tips, seed),
            miss_rate: share(missed, seed),
            false_positive_rate: share(alarms, seed),
            success_1mm: successes(1.0),
            success_2mm: successes(2.0),
            success_3mm: successes(3.0),
        }
    }
}

/// Frames whose tip was found to less than the limit, and frames on which that can be said.
fn successes(frames: &[NeedleError], limit_mm: f64) -> (u64, u64) {
    let known = frames.iter().filter_map(|error| error.success(limit_mm));
    known.fold((0, 0), |(part, whole), success| (part + u64::from(success), whole + 1))
}

/// The interval of a share that is pooled over groups of `(part, whole)`.
fn share(groups: impl Iterator<Item = (u64, u64)>, seed: u64) -> Interval {
    let groups: Vec<(u64, u64)> = groups.collect();
    let pooled = |drawn: &[&(u64, u64)]| {
        let (part, whole) = drawn.iter().fold((0, 0), |(part, whole), group| (part + group.0, whole + group.1));
        part as f64 / whole as f64
    };
    interval(&groups, pooled, seed)
}
