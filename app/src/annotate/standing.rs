//! Where a frame stands: a person's word counts for more than the model's.

use sonoseg_imaging::annotation::{Status, Verdict};
use sonoseg_imaging::dataset::finding::Finding;

use crate::finding;
use crate::timeline::FrameState;

/// Where a frame stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody looked at it yet.
    Open,
    /// The model did.
    Predicted,
    /// The model did, and the picture is unlike anything that it learned from.
    Unlike,
    /// It could not be decoded or predicted.
    Failed,
    /// A person answered for it.
    Answered(Verdict),
}

impl Standing {
    /// From what the project says of a frame and how far the model has come with it.
    pub fn of(status: Status, state: FrameState) -> Self {
        match (status, state) {
            (Status::Answered(verdict), _) => Self::Answered(verdict),
            (_, FrameState::Failed) => Self::Failed,
            (_, FrameState::Unlike) => Self::Unlike,
            (Status::Predicted, _) | (_, FrameState::Seen(_) | FrameState::NotSeen) => Self::Predicted,
            (Status::Open, FrameState::Waiting) => Self::Open,
        }
    }

    /// Its name for the tests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Predicted => "predicted",
            Self::Unlike => "unlike",
            Self::Failed => "failed",
            Self::Answered(Verdict::Accepted) => "accepted",
            Self::Answered(Verdict::Corrected) => "corrected",
            Self::Answered(Verdict::Nothing) => "nothing",
            Self::Answered(Verdict::Excluded) => "excluded",
        }
    }

    /// What is said of it.
    pub fn words(self, of: &Finding) -> &'static str {
        match self {
            Self::Open => "Not looked at",
            Self::Predicted => "Predicted",
            Self::Unlike => finding::UNLIKE,
            Self::Failed => "Failed",
            Self::Answered(Verdict::Accepted) => "Accepted",
            Self::Answered(Verdict::Corrected) => "Corrected",
            Self::Answered(Verdict::Nothing) => finding::nothing(of),
            Self::Answered(Verdict::Excluded) => "Excluded",
        }
    }

    /// Its sign, so that colour is not all that tells them apart.
    pub fn glyph(self) -> &'static str {
        match self {
            Self::Open => "\u{b7}",
            Self::Predicted => "\u{25c7}",
            Self::Unlike => "?",
            Self::Failed => "!",
            Self::Answered(Verdict::Accepted) => "\u{2713}",
            Self::Answered(Verdict::Corrected) => "\u{270e}",
            Self::Answered(Verdict::Nothing) => "\u{2205}",
            Self::Answered(Verdict::Excluded) => "\u{2715}",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_persons_word_counts_for_more_than_the_models() {
        for verdict in Verdict::ALL {
            for state in [FrameState::Waiting, FrameState::Failed, FrameState::Unlike, FrameState::Seen(1.0)] {
                assert_eq!(Standing::of(Status::Answered(verdict), state), Standing::Answered(verdict));
            }
        }
        assert_eq!(Standing::of(Status::Predicted, FrameState::Waiting), Standing::Predicted, "after a reload");
        assert_eq!(Standing::of(Status::Predicted, FrameState::Unlike), Standing::Unlike);
        assert_eq!(Standing::of(Status::Open, FrameState::Failed), Standing::Failed);
        assert_eq!(Standing::of(Status::Open, FrameState::NotSeen), Standing::Predicted);
        assert_eq!(Standing::of(Status::Open, FrameState::Waiting), Standing::Open);
    }

    #[test]
    fn every_standing_has_a_sign_and_a_name_of_its_own() {
        let all = [Standing::Open, Standing::Predicted, Standing::Unlike, Standing::Failed];
        let all: Vec<Standing> = all.into_iter().chain(Verdict::ALL.map(Standing::Answered)).collect();
        for (at, one) in all.iter().enumerate() {
            for other in &all[at + 1..] {
                assert_ne!(one.glyph(), other.glyph());
                assert_ne!(one.name(), other.name());
                assert_ne!(one.words(&Finding::Needles), other.words(&Finding::Needles));
            }
        }
    }
}
