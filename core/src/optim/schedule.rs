//! Learning rates as functions of the step.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// How the learning rate changes over a run. Steps are optimiser updates.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    /// The peak all along (Amiri 2019, which speaks of no other).
    Constant,
    /// Straight line from the peak to 0 at the end (Yang 2024, section 4.1).
    Linear,
    /// Warm-up from 0 over a share of the run, then half a cosine to `min_share` of the peak (He 2022).
    Cosine {
        /// Share of the run spent warming up.
        #[serde(default)]
        warmup: f64,
        /// Smallest rate as a share of the peak.
        #[serde(default)]
        min_share: f64,
    },
    /// Constant over a share of the run, then a cosine as long as the whole run (Chen 2021, its public code).
    HeldCosine {
        /// Share of the run at the peak.
        hold: f64,
    },
    /// `(1 - t)^power` of the way from the peak to `min_share` of it (mmsegmentation).
    Poly {
        /// Exponent; 0.9 there.
        power: f64,
        /// Smallest rate as a share of the peak.
        #[serde(default)]
        min_share: f64,
    },
}

impl Schedule {
    /// The rate at `step` of `total`, for a peak rate of 1.
    pub fn factor(&self, step: f64, total: f64) -> f64 {
        let t = step / total.max(1.0);
        match *self {
            Self::Constant => 1.0,
            Self::Linear => (1.0 - t).max(0.0),
            Self::Cosine { warmup, min_share } => {
                if t < warmup {
                    t / warmup
                } else {
                    let u = ((t - warmup) / (1.0 - warmup).max(f64::MIN_POSITIVE)).min(1.0);
                    min_share + (1.0 - min_share) * (1.0 + (PI * u).cos()) / 2.0
                }
            }
            Self::HeldCosine { hold } => (1.0 + (PI * (t - hold).max(0.0)).cos()) / 2.0,
            Self::Poly { power, min_share } => (1.0 - min_share) * (1.0 - t).max(0.0).powf(power) + min_share,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_values_of_mae() {
        let schedule = Schedule::Cosine { warmup: 0.4, min_share: 0.0 };
        for (epoch, expected) in
            [(5.0, 4.6875e-6), (20.0, 1.875e-5), (40.0, 3.75e-5), (55.0, 3.2008e-5), (99.0, 2.5696e-8)]
        {
            let rate = 3.75e-5 * schedule.factor(epoch, 100.0);
            assert!((rate / expected - 1.0).abs() < 1e-4, "epoch {epoch}: {rate} instead of {expected}");
        }
        assert_eq!((Schedule::Linear.factor(25.0, 100.0), Schedule::Constant.factor(99.0, 100.0)), (0.75, 1.0));
    }
}
