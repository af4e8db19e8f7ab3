//! A figure over the folds of a cross-validation, each of which counts alike.

use serde::{Deserialize, Serialize};

use super::overlap::mean_defined;

/// Mean and spread of one figure over folds. Papers often do not say which spread they print, so both are here.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FoldSummary {
    /// Mean over the folds that have the figure; NaN when none has.
    pub mean: f64,
    /// Standard deviation between the folds (of a sample: divided by one less than their number); NaN below two folds.
    pub sd: f64,
    /// Standard error of the mean: the deviation divided by the root of the number of folds.
    pub sem: f64,
    /// Folds that have the figure.
    pub folds: usize,
    /// Folds on which it is undefined.
    pub undefined: usize,
}

impl FoldSummary {
    /// Summarise one figure of every fold.
    pub fn new(figures: &[f64]) -> Self {
        let mean = mean_defined(figures.iter().copied());
        let defined = figures.iter().filter(|figure| !figure.is_nan());
        let folds = defined.clone().count();
        let squares: f64 = defined.map(|figure| (figure - mean).powi(2)).sum();
        let sd = if folds < 2 { f64::NAN } else { (squares / (folds - 1) as f64).sqrt() };
        Self { mean, sd, sem: sd / (folds as f64).sqrt(), folds, undefined: figures.len() - folds }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hand_computed_spread() {
        // Mean 5, squared distances 9 + 1 + 1 + 0 + 0 + 4 + 16 + 1 = 32 of 8 folds.
        let found = FoldSummary::new(&[2.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0, 4.0]);
        assert_eq!((found.mean, found.folds, found.undefined), (5.0, 8, 0));
        assert!((found.sd - (32.0_f64 / 7.0).sqrt()).abs() < 1e-12, "{found:?}");
        assert!((found.sem - (32.0_f64 / 56.0).sqrt()).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn undefined_folds_are_counted_and_one_fold_has_no_spread() {
        let found = FoldSummary::new(&[0.5, f64::NAN]);
        assert_eq!((found.mean, found.folds, found.undefined), (0.5, 1, 1));
        assert!(found.sd.is_nan() && found.sem.is_nan());
        assert!(FoldSummary::new(&[]).mean.is_nan());
    }
}
