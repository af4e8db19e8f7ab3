//! All answers of a project, and the edits that change them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Answer, Patch, Verdict};
use crate::geometry::Mask;

/// A clip is known by the SHA-256 of its content, in hexadecimal digits.
pub type ClipKey = String;

/// A clip of a project.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClipRecord {
    /// The name of its file.
    pub name: String,
    /// Number of its frames.
    pub frames: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// What people said of its frames, by number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub answers: BTreeMap<usize, Answer>,
}

/// The answers of a project.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// Its clips.
    pub clips: BTreeMap<ClipKey, ClipRecord>,
}

/// One change of a document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Edit {
    /// Put a clip into the project, or take it out with all its answers.
    Clip {
        /// Which.
        clip: ClipKey,
        /// The clip, or None to take it out.
        record: Option<ClipRecord>,
    },
    /// Answer for a frame, or take the answer back.
    Answer {
        /// In which clip.
        clip: ClipKey,
        /// Its number.
        frame: usize,
        /// The answer, or None to take it back.
        answer: Option<Answer>,
    },
    /// Say something else of a frame that has an answer. Its mask stays, whatever `answer` holds.
    Amend {
        /// In which clip.
        clip: ClipKey,
        /// Its number.
        frame: usize,
        /// What is said now, without a mask.
        answer: Answer,
    },
    /// Change pixels of the mask of a frame that has one.
    Paint {
        /// In which clip.
        clip: ClipKey,
        /// Its number.
        frame: usize,
        /// The new pixels.
        patch: Patch,
    },
}

/// Why an edit is not made. The document stays as it was.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refused {
    /// No such clip.
    #[error("The clip {0} is not in this project: open its file first.")]
    NoClip(ClipKey),
    /// The clip is in it already.
    #[error("The clip {0} is in this project already.")]
    TwoOfOne(ClipKey),
    /// No such frame.
    #[error("{name} has {frames} frames, and there is none of number {frame}.")]
    NoFrame {
        /// The clip's name.
        name: String,
        /// How many it has.
        frames: usize,
        /// The one that was asked for.
        frame: usize,
    },
    /// An answer that does not fit the picture or itself.
    #[error("{name}, frame {frame}: {reason}.")]
    Unfit {
        /// The clip's name.
        name: String,
        /// The frame.
        frame: usize,
        /// What does not fit.
        reason: &'static str,
    },
}

impl Edit {
    /// The clip that it changes, and the frame where it changes only one.
    pub fn place(&self) -> (&ClipKey, Option<usize>) {
        match self {
            Self::Clip { clip, .. } => (clip, None),
            Self::Answer { clip, frame, .. } | Self::Amend { clip, frame, .. } | Self::Paint { clip, frame, .. } => {
                (clip, Some(*frame))
            }
        }
    }
}

impl Document {
    /// Make an edit; gives the one that takes it back.
    ///
    /// # Errors
    /// When the edit does not fit the document, which then stays as it was.
    pub fn apply(&mut self, edit: Edit) -> Result<Edit, Refused> {
        match edit {
            Edit::Clip { clip, record } => self.put(clip, record),
            Edit::Answer { clip, frame, answer } => {
                let record = self.frame(&clip, frame)?;
                if let Some(reason) = answer.as_ref().and_then(|answer| record.unfit(answer)) {
                    return Err(Refused::Unfit { name: record.name.clone(), frame, reason });
                }
                let before = match answer {
                    Some(answer) => record.answers.insert(frame, answer),
                    None => record.answers.remove(&frame),
                };
                Ok(Edit::Answer { clip, frame, answer: before })
            }
            Edit::Amend { clip, frame, answer } => {
                let record = self.frame(&clip, frame)?;
                let refused = |name: &str, reason| Refused::Unfit { name: name.to_owned(), frame, reason };
                let Some(mut before) = record.answers.remove(&frame) else {
                    return Err(refused(&record.name, "it has no answer to change"));
                };
                let amended = Answer { mask: before.mask.take(), ..answer };
                let reason = record.unfit(&amended);
                if let Some(reason) = reason {
                    record.answers.insert(frame, Answer { mask: amended.mask, ..before });
                    return Err(refused(&record.name, reason));
                }
                record.answers.insert(frame, amended);
                Ok(Edit::Amend { clip, frame, answer: before })
            }
            Edit::Paint { clip, frame, patch } => {
                let record = self.frame(&clip, frame)?;
                let mask = record.answers.get_mut(&frame).and_then(|answer| answer.mask.as_mut());
                let reason = if mask.is_some() {
                    "the painted part lies outside the picture"
                } else {
                    "it has no mask to paint on"
                };
                match mask.and_then(|mask| patch.apply(mask)) {
                    Some(patch) => Ok(Edit::Paint { clip, frame, patch }),
                    None => Err(Refused::Unfit { name: record.name.clone(), frame, reason }),
                }
            }
        }
    }

    /// The answer for a frame.
    pub fn answer(&self, clip: &str, frame: usize) -> Option<&Answer> {
        self.clips.get(clip)?.answers.get(&frame)
    }

    fn put(&mut self, clip: ClipKey, record: Option<ClipRecord>) -> Result<Edit, Refused> {
        let before = match record {
            None => Some(self.clips.remove(&clip).ok_or_else(|| Refused::NoClip(clip.clone()))?),
            Some(_) if self.clips.contains_key(&clip) => return Err(Refused::TwoOfOne(clip)),
            Some(record) => {
                record.check()?;
                self.clips.insert(clip.clone(), record);
                None
            }
        };
        Ok(Edit::Clip { clip, record: before })
    }

    fn frame(&mut self, clip: &ClipKey, frame: usize) -> Result<&mut ClipRecord, Refused> {
        let record = self.clips.get_mut(clip).ok_or_else(|| Refused::NoClip(clip.clone()))?;
        if frame < record.frames {
            Ok(record)
        } else {
            Err(Refused::NoFrame { name: record.name.clone(), frames: record.frames, frame })
        }
    }
}

impl ClipRecord {
    /// Whether all its answers fit its frames.
    ///
    /// # Errors
    /// The first that does not.
    pub(super) fn check(&self) -> Result<(), Refused> {
        self.answers.iter().try_for_each(|(&frame, answer)| {
            let reason = if frame < self.frames { self.unfit(answer) } else { Some("there is no such frame") };
            reason.map_or(Ok(()), |reason| Err(Refused::Unfit { name: self.name.clone(), frame, reason }))
        })
    }

    /// What about an answer does not fit a frame of this clip, or itself.
    fn unfit(&self, answer: &Answer) -> Option<&'static str> {
        let outside = answer.needle.is_some_and(|needle| !needle.is_inside(self.height, self.width));
        let other_size = |mask: &Mask| [mask.height, mask.width] != [self.height, self.width];
        let bare = matches!(answer.verdict, Verdict::Nothing | Verdict::Excluded);
        if outside {
            Some("the needle reaches out of the picture")
        } else if answer.mask.as_ref().is_some_and(other_size) {
            Some("the mask has another size than the picture")
        } else if bare && answer.needle.is_some() {
            Some("a frame without a needle, or one that is left out, has none")
        } else if answer.verdict == Verdict::Nothing && answer.mask.as_ref().is_some_and(|mask| !mask.is_empty()) {
            Some("a frame that shows nothing has an empty mask")
        } else {
            None
        }
    }
}
