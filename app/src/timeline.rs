//! What is known about each frame of a clip, and which frame to fetch next.

use std::collections::BTreeMap;
use std::ops::Range;

use sonoseg_imaging::annotation::{Answer, Verdict};

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
            states[behind(column, columns, states.len())]
                .iter()
                .max_by(|a, b| weight(a).total_cmp(&weight(b)))
                .copied()
                .unwrap_or_default()
        })
        .collect()
}

/// What people said of the frames behind each of `columns` columns of the strip, of which there are `frames`: what is
/// rarest where several share a column.
pub fn answer_columns(answers: &BTreeMap<usize, Answer>, frames: usize, columns: usize) -> Vec<Option<Verdict>> {
    let weight = |verdict: &Verdict| match verdict {
        Verdict::Accepted => 0,
        Verdict::Nothing => 1,
        Verdict::Corrected => 2,
        Verdict::Excluded => 3,
    };
    let of = |column| answers.range(behind(column, columns, frames)).map(|(_, answer)| answer.verdict);
    (0..columns).map(|column| of(column).max_by_key(weight)).collect()
}

/// The frames behind a column of the strip.
fn behind(column: usize, columns: usize, frames: usize) -> Range<usize> {
    let first = column * frames / columns;
    let last = ((column + 1) * frames).div_ceil(columns).max(first + 1);
    first.min(frames)..last.min(frames)
}

/// The next frame after the shown one that nobody answered for, round in a circle.
pub fn next_open(count: usize, shown: usize, answered: impl Fn(usize) -> bool) -> Option<usize> {
    (1..=count).map(|ahead| (shown + ahead) % count).find(|&frame| !answered(frame))
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
    fn answers_share_the_columns_and_the_next_open_frame_is_found_round_in_a_circle() {
        let answer = |verdict| Answer::bare(verdict, sonoseg_imaging::annotation::By::default());
        let said = [(0, Verdict::Accepted), (1, Verdict::Corrected), (5, Verdict::Nothing)];
        let answers: BTreeMap<usize, Answer> = said.map(|(frame, verdict)| (frame, answer(verdict))).into();
        assert_eq!(answer_columns(&answers, 6, 3), [Some(Verdict::Corrected), None, Some(Verdict::Nothing)]);
        let open = |shown| next_open(6, shown, |frame| answers.contains_key(&frame));
        assert_eq!((open(0), open(2), open(4)), (Some(2), Some(3), Some(2)));
        assert_eq!(next_open(2, 0, |_| true), None);
        assert_eq!(next_open(2, 0, |frame| frame == 1), Some(0), "the shown one is the last to be looked at");
        assert_eq!(next_open(0, 0, |_| false), None);
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
