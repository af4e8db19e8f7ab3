//! Removal of repeated frames: recorders deliver one picture of the scanner several times (Yang 2024,
//! section 3.1).

/// Lets a frame pass when it differs from the last one that passed.
///
/// Compared with the last *kept* frame, so that a slow drift, each step of it below the tolerance, is not lost.
#[derive(Clone, Debug)]
pub struct DuplicateFilter {
    tolerance_levels: f64,
    last: Option<(usize, Vec<u8>)>,
}

impl DuplicateFilter {
    /// `tolerance_levels`: the mean difference over the whole frame, in grey levels of 255, up to which two frames count
    /// as the same: 0 for lossless sources, 0.5 for compressed ones.
    pub fn new(tolerance_levels: f64) -> Self {
        Self { tolerance_levels, last: None }
    }

    /// Whether the frame `[height, width]` is new. A frame of another size always is.
    pub fn keep(&mut self, width: usize, pixels: &[u8]) -> bool {
        let same = self.last.as_ref().is_some_and(|(last_width, last)| {
            (*last_width, last.len()) == (width, pixels.len()) && mean_difference(last, pixels) <= self.tolerance_levels
        });
        if !same {
            self.last = Some((width, pixels.to_vec()));
        }
        !same
    }
}

/// Mean absolute difference of two frames of one size, in grey levels.
fn mean_difference(a: &[u8], b: &[u8]) -> f64 {
    let sum: u64 = a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / a.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_are_dropped_and_a_slow_drift_is_not() {
        let mut exact = DuplicateFilter::new(0.0);
        let kept: Vec<bool> =
            [[1, 2], [1, 2], [1, 3], [1, 3], [1, 2]].iter().map(|frame| exact.keep(2, frame)).collect();
        assert_eq!(kept, [true, false, true, false, true]);
        // Steps of 0.25 levels: every third frame is more than half a level from the last kept one.
        let mut lossy = DuplicateFilter::new(0.5);
        let kept: Vec<bool> = (0..7).map(|step| lossy.keep(4, &[step, 0, 0, 0])).collect();
        assert_eq!(kept, [true, false, false, true, false, false, true]);
        assert!(lossy.keep(2, &[6, 0, 0, 0]), "the same bytes in another shape are another frame");
    }
}
