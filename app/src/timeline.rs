//! What is known about each frame of a clip, and which frame to fetch next.

/// What the model said about a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum FrameState {
    /// Not looked at yet.
    #[default]
    Waiting,
    /// What the model looks for is seen, with this confidence.
    Seen(f64),
    /// It is not seen.
    NotSeen,
    /// The picture is unlike anything that the model learned from: what it says of it cannot be trusted.
    Unlike,
    /// The frame could not be decoded or predicted.
    Failed,
}

/// The state of the frames behind each of `columns` columns of the strip: the most telling one where several share a
/// column. One `(first column, states)` for the whole clip.
pub fn columns(states: &[FrameState], columns: usize) -> Vec<FrameState> {
    let weight = |state: &FrameState| match state {
        FrameState::Waiting => 0.0,
        FrameState::NotSeen => 1.0,
        FrameState::Seen(confidence) => 2.0 + confidence,
        FrameState::Unlike => 3.5,
        FrameState::Failed => 4.0,
    };
    (0..columns)
        .map(|column| {
            let first = column * states.len() / columns;
            let last = ((column + 1) * states.len()).div_ceil(columns).max(first + 1);
            states[first.min(states.len())..last.min(states.len())]
                .iter()
                .max_by(|a, b| weight(a).total_cmp(&weight(b)))
                .copied()
                .unwrap_or_default()
        })
        .collect()
}

/// The next frames to fetch for display: the first run of missing ones at or after the shown frame, at most `ahead`
/// frames away and `most` long. `have` is true for frames that are here or on their way.
pub fn next_to_fetch(
    count: usize,
    shown: usize,
    ahead: usize,
    most: usize,
    have: impl Fn(usize) -> bool,
) -> Option<(usize, usize)> {
    let ahead = ahead.min(count);
    let first = (0..ahead).map(|step| (shown + step) % count).find(|&frame| !have(frame))?;
    let run = (first..count).take(most).take_while(|&frame| !have(frame)).count();
    Some((first, run))
}

/// The frame to forget when the memory for frames is full: the one that is shown last from now on.
pub fn next_to_forget(kept: impl Iterator<Item = usize>, count: usize, shown: usize) -> Option<usize> {
    kept.max_by_key(|&frame| (frame + count - shown) % count)
}

/// Counts for the summary under the strip: looked at, seen in.
pub fn tally(states: &[FrameState]) -> (usize, usize) {
    let seen = states.iter().filter(|state| matches!(state, FrameState::Seen(_))).count();
    let waiting = states.iter().filter(|state| **state == FrameState::Waiting).count();
    (states.len() - waiting, seen)
}

#[cfg(test)]
mod tests {
    use super::FrameState::{Failed, NotSeen, Seen, Unlike, Waiting};
    use super::*;

    #[test]
    fn columns_show_the_most_telling_frame() {
        let states = [Waiting, Seen(0.4), NotSeen, Waiting];
        assert_eq!(columns(&states, 2), [Seen(0.4), NotSeen]);
        assert_eq!(columns(&states[..2], 4), [Waiting, Waiting, Seen(0.4), Seen(0.4)]);
        assert_eq!(
            columns(&[Seen(0.9), Failed, NotSeen], 1),
            [Failed],
            "a failed frame is not hidden by its neighbours"
        );
        assert_eq!(columns(&[Seen(0.9), Unlike], 1), [Unlike]);
        assert_eq!(columns(&[], 1), [Waiting]);
    }

    #[test]
    fn frames_are_fetched_in_runs_ahead_of_the_shown_one() {
        assert_eq!(next_to_fetch(10, 3, 8, 4, |_| false), Some((3, 4)));
        assert_eq!(next_to_fetch(10, 3, 8, 4, |f| f == 5), Some((3, 2)));
        assert_eq!(next_to_fetch(10, 8, 8, 4, |f| f >= 8), Some((0, 4)));
        assert_eq!(next_to_fetch(10, 0, 4, 4, |f| f < 4), None);
    }

    #[test]
    fn the_frame_just_shown_is_forgotten_first() {
        assert_eq!(next_to_forget([0, 1, 2, 3].into_iter(), 10, 2), Some(1));
        assert_eq!(next_to_forget(std::iter::empty(), 10, 2), None);
    }

    #[test]
    fn the_tally_counts_what_was_looked_at() {
        assert_eq!(tally(&[Waiting, NotSeen, Seen(0.5)]), (2, 1));
    }
}
