//! An answer as the trainer reads it: a row of `labels.csv`, a mask, or both.

use crate::annotation::{Answer, By, Verdict};
use crate::dataset::finding::Finding;
use crate::geometry::{Mask, Needle};

/// The label of a frame.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Label {
    /// The row of `labels.csv`, blank where no needle is visible.
    pub(super) row: Option<Option<Needle>>,
    /// The mask.
    pub(super) mask: Option<Mask>,
}

impl Label {
    /// What an answer says, for a frame of this height and width. The error says why it is no label.
    pub(super) fn of(answer: &Answer, size: [usize; 2], finding: &Finding) -> Result<Self, &'static str> {
        let Answer { verdict, needle, mask, .. } = answer;
        match (verdict, needle, mask) {
            (Verdict::Excluded, ..) => Err("excluded, so that nobody learns from it"),
            (_, Some(_), _) => Ok(Self { row: Some(*needle), mask: mask.clone() }),
            (Verdict::Accepted | Verdict::Corrected, None, Some(_)) => Ok(Self { row: None, mask: mask.clone() }),
            (_, None, _) if finding.is_needles() => Ok(Self { row: Some(None), mask: mask.clone() }),
            (Verdict::Nothing, None, _) => {
                let empty = || Mask::empty(size[0], size[1]);
                Ok(Self { row: None, mask: Some(mask.clone().unwrap_or_else(empty)) })
            }
            _ => Err("answered for without a mask"),
        }
    }

    /// The answer of a frame whose files say this, and not what `before` was written as.
    pub(super) fn answer(self, before: Option<&Answer>) -> Option<Answer> {
        let Self { row, mask } = self;
        if row.is_none() && mask.is_none() {
            return None;
        }
        let shows = row.is_some_and(|needle| needle.is_some()) || mask.as_ref().is_some_and(|mask| !mask.is_empty());
        let verdict = if shows { Verdict::Corrected } else { Verdict::Nothing };
        let by = before.map_or_else(By::default, |answer| answer.by.clone());
        Some(Answer { needle: row.flatten(), mask, ..Answer::bare(verdict, by) })
    }
}
