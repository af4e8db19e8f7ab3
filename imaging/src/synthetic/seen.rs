//! Whether a needle stands out from what is beside it: a label of what nobody can see teaches a network to guess.

use crate::geometry::Mask;

/// A needle that adds less than this to the grey levels is not seen (1 = white).
const LEAST_GAIN: f32 = 0.06;
/// What counts as beside a needle, pixels.
const BESIDE: usize = 8;
/// How far the blur of a needle reaches beyond its mask, pixels.
const HALO: usize = 2;

/// Whether a needle that makes its pixels brighter by `gain` is seen where grey levels deviate by `deviation`:
/// `least_contrast` standard deviations are needed.
pub(super) fn stands_out(gain: f32, deviation: f32, least_contrast: f64) -> bool {
    gain >= LEAST_GAIN.max(least_contrast as f32 * deviation)
}

/// Mean and standard deviation of grey levels; zeros of none.
pub(super) fn mean_and_deviation(levels: impl Iterator<Item = f32> + Clone) -> (f32, f32) {
    let count = levels.clone().count().max(1) as f32;
    let mean = levels.clone().sum::<f32>() / count;
    (mean, (levels.map(|level| (level - mean).powi(2)).sum::<f32>() / count).sqrt())
}

/// The pixels at a mask and beside it, row by row.
pub(super) fn around(mask: &Mask) -> Vec<bool> {
    grown(mask, BESIDE)
}

/// The pixels beside a mask, without its halo.
pub(super) fn beside(mask: &Mask) -> Vec<bool> {
    around(mask).into_iter().zip(grown(mask, HALO)).map(|(around, halo)| around && !halo).collect()
}

fn grown(mask: &Mask, reach: usize) -> Vec<bool> {
    let (height, width) = (mask.height, mask.width);
    let mut grown = vec![false; height * width];
    for at in (0..height * width).filter(|&at| mask.classes[at] == 1) {
        let (row, column) = (at / width, at % width);
        for row in row.saturating_sub(reach)..(row + reach + 1).min(height) {
            grown[row * width..][column.saturating_sub(reach)..(column + reach + 1).min(width)].fill(true);
        }
    }
    grown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beside_a_mask_is_neither_it_nor_its_halo() {
        let mut mask = Mask::empty(30, 40);
        mask.classes[15 * 40 + 20] = 1;
        let count = |pixels: Vec<bool>| pixels.into_iter().filter(|on| *on).count();
        assert_eq!(count(around(&mask)), 17 * 17);
        assert_eq!(count(beside(&mask)), 17 * 17 - 5 * 5);
        let (mean, deviation) = mean_and_deviation([1.0f32, 3.0].into_iter());
        assert!((mean - 2.0).abs() < 1e-6 && (deviation - 1.0).abs() < 1e-6);
    }
}
