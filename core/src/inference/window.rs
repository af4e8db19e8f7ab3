//! Which frames a network of several frames reads.

/// The `2 * half + 1` places that are read for the frame at `middle`, in their order. `follows(at)` says whether the frame at
/// place `at + 1` is there and directly follows the one at `at`. At the ends of a clip, and beside frames that are lost, the
/// first and the last frame stand in for those beyond: nothing is read across a gap.
pub fn window(middle: usize, half: usize, follows: impl Fn(usize) -> bool) -> impl Iterator<Item = usize> {
    let begin = (middle.saturating_sub(half)..middle).rev().find(|&at| !follows(at)).map_or(0, |at| at + 1);
    let end = (middle..middle + half).find(|&at| !follows(at)).unwrap_or(middle + half);
    (0..=2 * half).map(move |at| (middle + at).saturating_sub(half).clamp(begin, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_reads_nothing_across_lost_frames_or_beyond_the_ends() {
        let read = |lost: &[usize], middle| -> Vec<usize> {
            let there = |at: usize| at < 12 && !lost.contains(&at);
            window(middle, 2, |at| there(at) && there(at + 1)).collect()
        };
        assert_eq!(read(&[], 6), [4, 5, 6, 7, 8]);
        assert_eq!(read(&[], 0), [0, 0, 0, 1, 2]);
        assert_eq!(read(&[], 1), [0, 0, 1, 2, 3]);
        assert_eq!(read(&[], 11), [9, 10, 11, 11, 11]);
        assert_eq!(read(&[6, 7], 5), [3, 4, 5, 5, 5]);
        assert_eq!(read(&[6, 7], 4), [2, 3, 4, 5, 5]);
        assert_eq!(read(&[6, 7], 8), [8, 8, 8, 9, 10]);
        assert_eq!(read(&[4, 6], 5), [5, 5, 5, 5, 5]);
        assert_eq!(window(7, 0, |_| true).collect::<Vec<_>>(), [7]);
    }
}
