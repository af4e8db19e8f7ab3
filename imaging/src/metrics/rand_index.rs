//! Rand index and adjusted Rand index of two labellings (Rand, 1971; Hubert and Arabie, 1985), with
//! scikit-learn's rules for masks of one label.
//!
//! Labels only say what belongs together: a perfectly inverted mask agrees perfectly.

use std::collections::BTreeMap;

use super::overlap::Counts;

/// Ordered pairs of different pixels, by whether each labelling puts both into one class. Exact: a million pixels make
/// products of pairs that 64 bits do not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pairs {
    /// Together in both.
    pub tp: i128,
    /// Together in the first labelling only.
    pub fp: i128,
    /// Together in the second labelling only.
    pub fn_: i128,
    /// Apart in both.
    pub tn: i128,
}

impl Counts {
    /// Adjusted Rand index of the two pixel labels; 1 when both masks are empty, and when one is the other inverted.
    pub fn adjusted_rand(&self) -> f64 {
        Pairs::of_counts(self).adjusted_rand()
    }
}

impl Pairs {
    /// Pairs of pixels with any labels. Panics when the labellings have different lengths.
    pub fn of_labels<L: Ord + Copy>(first: &[L], second: &[L]) -> Self {
        let (left, right) = (first.len(), second.len());
        assert_eq!(left, right, "{left} labels cannot be compared with {right}");
        let mut table: BTreeMap<(L, L), i128> = BTreeMap::new();
        for pair in first.iter().copied().zip(second.iter().copied()) {
            *table.entry(pair).or_default() += 1;
        }
        let (mut rows, mut columns) = (BTreeMap::new(), BTreeMap::new());
        for (&(row, column), &count) in &table {
            *rows.entry(row).or_default() += count;
            *columns.entry(column).or_default() += count;
        }
        Self::new(squares(table.values()), squares(rows.values()), squares(columns.values()), left as i128)
    }

    /// Pairs of pixels of two masks.
    pub fn of_counts(counts: &Counts) -> Self {
        let [tp, fp, fn_, tn] = [counts.tp, counts.fp, counts.fn_, counts.tn].map(i128::from);
        Self::new(
            squares(&[tp, fp, fn_, tn]),
            squares(&[tp + fp, fn_ + tn]),
            squares(&[tp + fn_, fp + tn]),
            tp + fp + fn_ + tn,
        )
    }

    /// From the sums of squares of the contingency table and of its margins, and the number of pixels.
    fn new(cells: i128, rows: i128, columns: i128, pixels: i128) -> Self {
        Self {
            tp: cells - pixels,
            fp: rows - cells,
            fn_: columns - cells,
            tn: pixels * pixels - rows - columns + cells,
        }
    }

    /// Share of the pairs on which both labellings agree; 1 when there is no pair.
    pub fn rand(&self) -> f64 {
        let (agreeing, all) = (self.tp + self.tn, self.tp + self.fp + self.fn_ + self.tn);
        if agreeing == all { 1.0 } else { agreeing as f64 / all as f64 }
    }

    /// The Rand index, shifted and scaled so that chance gives 0 and equal partitions 1; two constant labellings are
    /// equal, and a constant one against another gives 0.
    pub fn adjusted_rand(&self) -> f64 {
        let Self { tp, fp, fn_, tn } = *self;
        if fp == 0 && fn_ == 0 {
            return 1.0;
        }
        let agreement = 2 * (tp * tn - fn_ * fp);
        let scale = (tp + fn_) * (fn_ + tn) + (tp + fp) * (fp + tn);
        agreement as f64 / scale as f64
    }
}

fn squares<'a>(counts: impl IntoIterator<Item = &'a i128>) -> i128 {
    counts.into_iter().map(|count| count * count).sum()
}

/// [`Pairs::adjusted_rand`] of any labels. Panics when the labellings have different lengths.
pub fn adjusted_rand<L: Ord + Copy>(first: &[L], second: &[L]) -> f64 {
    Pairs::of_labels(first, second).adjusted_rand()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn counts(tp: u64, fp: u64, fn_: u64, tn: u64) -> Counts {
        Counts { tp, fp, fn_, tn }
    }

    fn close(found: f64, expected: f64, tolerance: f64) {
        assert!((found - expected).abs() < tolerance, "{found} instead of {expected}");
    }

    #[test]
    fn closed_form_values_of_the_specification() {
        assert_eq!(adjusted_rand(&[0, 0, 1, 1], &[0, 1, 0, 1]), -0.5);
        close(adjusted_rand(&[0, 0, 1, 2], &[0, 0, 1, 1]), 0.571_429, 1e-6);
        assert_eq!(adjusted_rand(&[3; 9], &[7; 9]), 1.0);
        assert_eq!(adjusted_rand(&[0; 4], &[0, 0, 1, 1]), 0.0);
        let small = counts(30, 10, 5, 955);
        close(small.adjusted_rand(), 0.779_418_2, 1e-7);
        assert_eq!((small.dice(), small.pixel_error()), (0.8, 1.5));
        let large = counts(1400, 500, 400, 63_236);
        close(large.adjusted_rand(), 0.738_802_8, 1e-7);
        close(large.dice(), 0.756_756_8, 1e-7);
        close(large.pixel_error(), 1.3733, 1e-4);
    }

    #[test]
    fn empty_full_and_inverted_masks() {
        for equal in [counts(0, 0, 0, 0), counts(0, 0, 0, 65_536), counts(65_536, 0, 0, 0), counts(0, 9, 4, 0)] {
            assert_eq!((equal.adjusted_rand(), Pairs::of_counts(&equal).rand()), (1.0, 1.0), "{equal:?}");
        }
        for constant in [counts(0, 5, 0, 60), counts(0, 0, 5, 60), counts(5, 60, 0, 0)] {
            assert_eq!(constant.adjusted_rand(), 0.0, "{constant:?}");
        }
    }

    #[test]
    fn huge_masks_do_not_overflow() {
        // Products of pairs reach 1e34 here; a scaled-down mask has nearly the same index.
        let [large, small] = [1000, 1].map(|k| counts(400 * k, 100 * k, 100 * k, 400_000 * k).adjusted_rand());
        close(large, small, 1e-5);
    }

    #[test]
    fn masks_are_labels_and_neither_order_nor_names_matter() {
        let mut rng = Rng::stream(5, "rand index", [0, 0]);
        for classes in [2, 3, 5] {
            let first: Vec<usize> = (0..200).map(|_| rng.below(classes)).collect();
            let second: Vec<usize> =
                first.iter().map(|&label| if rng.chance(0.6) { label } else { rng.below(classes) }).collect();
            let index = adjusted_rand(&first, &second);
            assert!(index > 0.1 && index < 0.9, "{index}");
            assert_eq!(index, adjusted_rand(&second, &first));
            let renamed: Vec<usize> = second.iter().map(|&label| (label + 1) % classes).collect();
            assert_eq!(index, adjusted_rand(&first, &renamed));
            if classes == 2 {
                let counts = Counts::new(first.iter().map(|&l| l == 1), second.iter().map(|&l| l == 1));
                assert_eq!(Pairs::of_counts(&counts), Pairs::of_labels(&first, &second));
            }
        }
    }

    #[test]
    fn dice_and_pixel_error_of_paper_002_imply_its_rand_index() {
        // With as many false as missed pixels, Dice and the share of wrong pixels leave one mask of a given size; its
        // index is the published one, so Amiri 2019 compares pixel labels, not outlines.
        let pixels = 1e8;
        for (dice, error, expected, published) in
            [(0.80, 1.4, 0.781, 0.78), (0.72, 1.9, 0.696, 0.71), (0.98, 1.1, 0.955, 0.95), (0.98, 1.3, 0.948, 0.95)]
        {
            let wrong = error / 200.0 * pixels;
            let right = dice * wrong / (1.0 - dice);
            let [wrong, right] = [wrong, right].map(|count: f64| count.round() as u64);
            let counts = counts(right, wrong, wrong, pixels as u64 - right - 2 * wrong);
            close(counts.dice(), dice, 1e-6);
            close(counts.pixel_error(), error, 1e-5);
            close(counts.adjusted_rand(), expected, 6e-4);
            close(counts.adjusted_rand(), published, 0.02);
        }
    }
}
