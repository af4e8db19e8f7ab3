//! How many frames are predicted side by side, and which comes next.

use crate::timeline::FrameState;

/// Helpers of the worker at most: more of them wait for memory, not for cores.
const MOST: usize = 4;
/// Memory of the machine that one of them is worth, in GB.
const GB_EACH: f64 = 1.0;

/// Frames that a machine predicts side by side on its CPU; 1 where it has no cores or memory to spare. Browsers that do not
/// tell the memory in GB run on machines with enough.
pub fn on_cpu(cores: usize, memory_gb: Option<f64>) -> usize {
    let fit = memory_gb.map_or(MOST, |memory| (memory / GB_EACH) as usize / 2);
    cores.min(fit).clamp(1, MOST)
}

/// The frame to predict next: the one on the screen, then those after it, round in a circle, without those that are `asked`
/// for already.
pub fn next_to_predict(states: &[FrameState], shown: usize, asked: impl Fn(usize) -> bool) -> Option<usize> {
    let count = states.len();
    let waits = |frame: &usize| states[*frame] == FrameState::Waiting && !asked(*frame);
    (0..count).map(|ahead| (shown + ahead) % count).find(waits)
}

#[cfg(test)]
mod tests {
    use super::FrameState::{NotSeen, Seen, Waiting};
    use super::*;

    #[test]
    fn as_many_as_cores_and_memory_allow() {
        assert_eq!([1, 2, 3, 4, 16].map(|cores| on_cpu(cores, None)), [1, 2, 3, 4, 4]);
        assert_eq!([1.0, 2.0, 4.0, 8.0].map(|memory| on_cpu(8, Some(memory))), [1, 1, 2, 4]);
        assert_eq!(on_cpu(0, Some(0.25)), 1);
    }

    #[test]
    fn prediction_starts_at_the_shown_frame_and_goes_round() {
        let states = [Waiting, NotSeen, Seen(0.9), Waiting];
        let next = |shown| next_to_predict(&states, shown, |_| false);
        assert_eq!(next(1), Some(3));
        assert_eq!(next(0), Some(0));
        assert_eq!(next_to_predict(&[NotSeen], 0, |_| false), None);
        assert_eq!(next_to_predict(&[], 0, |_| false), None);
    }

    #[test]
    fn frames_that_are_asked_for_are_not_asked_for_again() {
        let states = [Waiting; 4];
        assert_eq!(next_to_predict(&states, 2, |frame| frame == 2), Some(3));
        assert_eq!(next_to_predict(&states, 2, |frame| frame != 1), Some(1));
        assert_eq!(next_to_predict(&states, 2, |_| true), None);
    }
}
