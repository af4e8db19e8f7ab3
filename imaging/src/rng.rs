//! The one source of randomness: counter-based streams from one seed, the same natively and in the browser.
//!
//! Every use names its purpose and its counters (epoch, sample), so the numbers do not depend on the order in which
//! threads ask for them.

use rand::{Rng as _, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A seeded stream of random numbers.
#[derive(Clone, Debug)]
pub struct Rng(ChaCha8Rng);

impl Rng {
    /// The stream of `purpose` (for example `"augment"`) at the given counters (for example epoch and sample).
    pub fn stream(seed: u64, purpose: &str, counters: [u64; 2]) -> Self {
        // FNV-1a over the purpose, then splitmix to spread the four words of the key.
        let purpose = purpose
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        let mut key = [0; 32];
        let words = [seed, purpose, counters[0], counters[1]];
        for (bytes, word) in key.chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&splitmix64(word).to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(key))
    }

    /// Uniform in `[low, high)`; `low` when the range is empty.
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.0.random::<f64>()
    }

    /// Uniform integer in `[0, bound)`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        if bound == 0 { 0 } else { self.0.random_range(0..bound as u64) as usize }
    }

    /// True with the given probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.uniform(0.0, 1.0) < probability
    }

    /// A normal number with mean 0 and standard deviation 1 (Box-Muller).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform(0.0, 1.0)).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform(0.0, 1.0)).cos()
    }

    /// A random order of `0..length` (Fisher-Yates).
    pub fn permutation(&mut self, length: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..length).collect();
        for index in (1..length).rev() {
            order.swap(index, self.below(index + 1));
        }
        order
    }
}

/// One step of splitmix64, the mixing function that the reference fixtures use too.
pub fn splitmix64(value: u64) -> u64 {
    let mut x = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_counters_give_the_same_numbers_and_others_do_not() {
        let draw = |seed, purpose, counters| Rng::stream(seed, purpose, counters).uniform(0.0, 1.0);
        assert_eq!(draw(1, "a", [2, 3]), draw(1, "a", [2, 3]));
        for other in [draw(2, "a", [2, 3]), draw(1, "b", [2, 3]), draw(1, "a", [3, 2])] {
            assert_ne!(draw(1, "a", [2, 3]), other);
        }
    }

    #[test]
    fn normal_has_unit_variance_and_permutation_keeps_everything() {
        let mut rng = Rng::stream(7, "test", [0, 0]);
        let draws: Vec<f64> = (0..20_000).map(|_| rng.normal()).collect();
        let variance = draws.iter().map(|x| x * x).sum::<f64>() / draws.len() as f64;
        assert!((variance - 1.0).abs() < 0.05, "variance {variance}");
        let mut order = rng.permutation(100);
        assert_ne!(order, (0..100).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..100).collect::<Vec<_>>());
    }
}
