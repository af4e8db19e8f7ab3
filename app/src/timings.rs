//! Recent durations and their percentiles, for the speed panel.

use std::collections::VecDeque;

/// Number of durations that are remembered.
const REMEMBERED: usize = 120;

/// The last durations of one kind in milliseconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Durations {
    recent: VecDeque<f64>,
}

impl Durations {
    /// Add a duration in milliseconds; the oldest is forgotten when there are too many.
    pub fn add(&mut self, milliseconds: f64) {
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(milliseconds);
    }

    /// The duration that `share` (0 to 1) of the remembered ones do not exceed (nearest rank); `None` without any.
    pub fn percentile(&self, share: f64) -> Option<f64> {
        let mut sorted: Vec<f64> = self.recent.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        let rank = (share * sorted.len() as f64).ceil().max(1.0) as usize;
        sorted.get(rank - 1).copied()
    }

    /// Median and 95th percentile.
    pub fn typical_and_slow(&self) -> Option<(f64, f64)> {
        Some((self.percentile(0.5)?, self.percentile(0.95)?))
    }
}

/// How often something happens.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rate {
    moments_ms: VecDeque<f64>,
}

impl Rate {
    /// It happened at this moment (milliseconds of any steady clock).
    pub fn tick(&mut self, now_ms: f64) {
        self.moments_ms.push_back(now_ms);
        self.forget(now_ms);
    }

    /// Times per second over the last five seconds; `None` when it happened less than twice.
    pub fn per_second(&mut self, now_ms: f64) -> Option<f64> {
        self.forget(now_ms);
        let (first, last) = (self.moments_ms.front()?, self.moments_ms.back()?);
        (last > first).then(|| (self.moments_ms.len() - 1) as f64 * 1000.0 / (last - first))
    }

    fn forget(&mut self, now_ms: f64) {
        while self.moments_ms.front().is_some_and(|&moment| now_ms - moment > 5000.0) {
            self.moments_ms.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks_of_the_recent_durations() {
        let mut durations = Durations::default();
        assert_eq!(durations.typical_and_slow(), None);
        for milliseconds in (1..=20).rev() {
            durations.add(f64::from(milliseconds));
        }
        assert_eq!(durations.typical_and_slow(), Some((10.0, 19.0)));
        for _ in 0..REMEMBERED {
            durations.add(7.0);
        }
        assert_eq!(durations.typical_and_slow(), Some((7.0, 7.0)));
    }

    #[test]
    fn a_rate_counts_the_last_five_seconds() {
        let mut rate = Rate::default();
        assert_eq!(rate.per_second(0.0), None);
        for step in 0..=80 {
            rate.tick(f64::from(step) * 100.0);
        }
        assert_eq!(rate.per_second(8000.0), Some(10.0));
        assert_eq!(rate.per_second(14000.0), None);
    }
}
