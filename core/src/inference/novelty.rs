//! Whether a picture is unlike anything that a network learned from: the Mahalanobis distance of its features from theirs.
//!
//! Lee, Lee, Lee and Shin, "A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial Attacks",
//! NeurIPS 2018, section 2.1, with one class: what the network knows. Its features are the means of the channels of maps
//! ([`Network::forward_with_features`](crate::models::Network::forward_with_features)).

use serde::{Deserialize, Serialize};

/// How the features of pictures that a network learned from are spread. A model file holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Novelty {
    /// Their mean, `[features]`.
    pub mean: Vec<f32>,
    /// The lower triangle, row by row, of the Cholesky factor of their covariance, `[features * (features + 1) / 2]`.
    pub factor: Vec<f32>,
    /// Distance beyond which a picture is unlike them.
    pub limit: f64,
    /// Pictures that it was made from.
    pub pictures: u64,
}

impl Novelty {
    /// What is wrong with it, if anything.
    pub fn problem(&self) -> Option<String> {
        let (features, held) = (self.mean.len(), self.factor.len());
        if features == 0 || held != features * (features + 1) / 2 {
            return Some(format!("{held} numbers are no triangle of {features} features"));
        }
        let diagonal = |row: usize| self.factor[row * (row + 3) / 2];
        if !self.mean.iter().chain(&self.factor).all(|number| number.is_finite())
            || !(0..features).all(|row| diagonal(row) > 0.0)
        {
            return Some("its covariance is none".into());
        }
        (!(self.limit.is_finite() && self.limit > 0.0)).then(|| format!("its limit is {}", self.limit))
    }

    /// How far features are from those that the network learned from, divided by the limit: above 1 they are unlike them.
    /// Panics where they are of another number.
    ///
    /// # Shapes
    /// - `features`: `[features]`
    pub fn of(&self, features: &[f32]) -> f64 {
        self.distance(features) / self.limit
    }

    /// The root of the mean square of what the features are off, after their spread is taken out: 1 for a picture like those
    /// that it was made from. Panics where they are of another number.
    ///
    /// # Shapes
    /// - `features`: `[features]`
    pub fn distance(&self, features: &[f32]) -> f64 {
        assert_eq!(features.len(), self.mean.len(), "the features of another network");
        // Forward substitution: the factor times `whitened` is what they are off.
        let mut whitened: Vec<f64> = Vec::with_capacity(features.len());
        for (row, (feature, mean)) in features.iter().zip(&self.mean).enumerate() {
            let factor = &self.factor[row * (row + 1) / 2..][..=row];
            let known: f64 = factor.iter().zip(&whitened).map(|(&factor, white)| f64::from(factor) * white).sum();
            whitened.push((f64::from(*feature) - f64::from(*mean) - known) / f64::from(factor[row]));
        }
        (whitened.iter().map(|white| white * white).sum::<f64>() / features.len() as f64).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two features of deviations 2 and 1, correlated by 0.6: the factor is (2), (0.6, 0.8).
    fn novelty() -> Novelty {
        Novelty { mean: vec![1.0, -1.0], factor: vec![2.0, 0.6, 0.8], limit: 2.0, pictures: 9 }
    }

    #[test]
    fn distances_are_those_of_the_covariance() {
        let covariance = [[4.0, 1.2], [1.2, 1.0]];
        let determinant = covariance[0][0] * covariance[1][1] - covariance[0][1] * covariance[1][0];
        for off in [[0.0, 0.0], [2.0, 0.0], [1.0, -3.0]] {
            let [a, b]: [f64; 2] = off;
            let square =
                (covariance[1][1] * a * a - 2.0 * covariance[0][1] * a * b + covariance[0][0] * b * b) / determinant;
            let found = novelty().distance(&[1.0 + a as f32, -1.0 + b as f32]);
            assert!((found - (square / 2.0).sqrt()).abs() < 1e-6, "{off:?}: {found}");
            assert!((novelty().of(&[1.0 + a as f32, -1.0 + b as f32]) - found / 2.0).abs() < 1e-12);
        }
    }

    #[test]
    fn what_is_damaged_is_told() {
        assert_eq!(novelty().problem(), None);
        let damaged: [fn(&mut Novelty); 5] = [
            |novelty| novelty.mean.push(0.0),
            |novelty| (novelty.mean, novelty.factor) = (vec![], vec![]),
            |novelty| novelty.factor[2] = 0.0,
            |novelty| novelty.factor[1] = f32::NAN,
            |novelty| novelty.limit = 0.0,
        ];
        for damage in damaged {
            let mut novelty = novelty();
            damage(&mut novelty);
            assert!(novelty.problem().is_some(), "{novelty:?}");
        }
    }
}
