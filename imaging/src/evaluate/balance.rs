//! Rare kinds of frames as often as common ones: repeat-factor sampling.
//!
//! Gupta, Dollár, Girshick, "LVIS: A Dataset for Large Vocabulary Instance Segmentation", CVPR 2019, section 5.1, appendix; with
//! bins of [`By`] as categories. Their square root is left out, so that bins come equally often as far as [`MOST`] allows.

use super::Traits;
use super::bins::{By, Value};
use crate::rng::Rng;

/// How often a sample comes, at most, where one of an average bin comes once: what is seen too often is learned by heart.
pub const MOST: f64 = 4.0;

/// How often each of `samples` is to come: those of a bin that holds fewer than an average one more than once. Frames that show
/// nothing come once. What is left beyond a whole number is drawn by `seed`.
///
/// # Shapes
/// - `traits`: one for each sample; to indices into them, each at least once, rising
pub fn balanced(traits: &[Traits], by: &[By], seed: u64) -> Vec<usize> {
    let mut factors = vec![1.0_f64; traits.len()];
    for by in by {
        let sorted = |frame: &usize| match by.value(&traits[*frame]) {
            Value::Number(number) => number.is_finite(),
            Value::Word(_) => true,
            Value::Nothing(_) | Value::Unknown => false,
        };
        let bins: Vec<Vec<usize>> =
            by.bins(traits).into_iter().map(|bin| bin.frames.into_iter().filter(sorted).collect()).collect();
        let held = bins.iter().filter(|frames: &&Vec<usize>| !frames.is_empty());
        let (count, total) = held.fold((0, 0), |(count, total), frames| (count + 1, total + frames.len()));
        for frames in bins {
            let factor = total as f64 / count as f64 / frames.len().max(1) as f64;
            for frame in frames {
                factors[frame] = factors[frame].max(factor.min(MOST));
            }
        }
    }
    let mut rng = Rng::stream(seed, "balance", [0, 0]);
    let often = |(frame, factor): (usize, f64)| {
        let rest = usize::from(rng.chance(factor.fract()));
        std::iter::repeat_n(frame, factor as usize + rest)
    };
    factors.into_iter().enumerate().flat_map(often).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::traits::{NeedleTraits, Side};

    fn needle(angle_deg: f64, length_px: f64) -> Traits {
        Traits::Needle(NeedleTraits { angle_deg, length_px, depth: 0.5, contrast_levels: 30.0, entry: Side::Left })
    }

    #[test]
    fn rare_bins_come_as_often_as_common_ones_up_to_a_limit() {
        // 200 steep, 100 middling, 10 shallow needles, 90 frames without one.
        let angle = |at: usize| [10.0, 40.0, 80.0][usize::from(at >= 10) + usize::from(at >= 110)];
        let mut traits: Vec<Traits> = (0..310).map(|at| needle(angle(at), 120.0)).collect();
        traits.extend([Traits::NoNeedle; 90]);
        let samples = balanced(&traits, &[By::Angle], 3);
        let count = |from, to| samples.iter().filter(|&&at| (from..to).contains(&at)).count();
        // An average bin holds 103.3.
        assert_eq!((count(0, 10), count(110, 310), count(310, 400)), (40, 200, 90));
        assert!((100..=110).contains(&count(10, 110)), "{}", count(10, 110));
        assert!(samples.is_sorted() && (0..400).all(|at| samples.contains(&at)));
        assert_eq!(samples, balanced(&traits, &[By::Angle], 3));
        // All needles are equally long: nothing is rare.
        assert_eq!(balanced(&traits, &[By::Length], 3), (0..400).collect::<Vec<_>>());
        assert_eq!(balanced(&traits, &[By::Length, By::Angle], 3), samples);
        assert_eq!(balanced(&[Traits::NoNeedle; 3], &[By::Angle], 3), [0, 1, 2]);
    }
}
