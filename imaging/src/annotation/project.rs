//! A project as its journal says: answers, predictions, undo and redo.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::{ClipKey, ClipRecord, Document, Edit, Predicted, Refused, Status};

/// So many steps can be undone.
pub const STEPS: usize = 200;

/// Edits that are made, undone and redone as one: a stroke, a frame's answer, a propagation over many frames.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// What it is called in "Undo ...".
    pub name: String,
    /// In their order.
    pub edits: Vec<Edit>,
}

/// What happens in a project, and is written to its journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// A person changes something.
    Do(Step),
    /// The last step that was made is taken back.
    Undo,
    /// The last step that was taken back is made again.
    Redo,
    /// A clip is opened, and in the project from now on. It is no step: what people said before can still be undone.
    Opened {
        /// Which.
        clip: ClipKey,
        /// The clip, without answers. One that is in the project already stays as it is.
        record: ClipRecord,
    },
    /// A model answers for a frame, which no person's answer is touched by. None: its answer is of no use any more.
    Predicted {
        /// In which clip.
        clip: ClipKey,
        /// Its number.
        frame: usize,
        /// What it found.
        predicted: Option<Predicted>,
    },
    /// Where a journal begins anew: everything so far.
    Start(Box<Project>),
}

/// A project.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Project {
    document: Document,
    predicted: BTreeMap<ClipKey, BTreeMap<usize, Predicted>>,
    /// What takes back the steps that were made, the last one last.
    done: VecDeque<Step>,
    /// What makes again the steps that were taken back, the last one last.
    undone: Vec<Step>,
}

impl Project {
    /// What people said.
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// What the model found in a frame.
    pub fn predicted(&self, clip: &str, frame: usize) -> Option<&Predicted> {
        self.predicted.get(clip)?.get(&frame)
    }

    /// What the model found in all frames of a clip, by number.
    pub fn predictions(&self, clip: &str) -> Option<&BTreeMap<usize, Predicted>> {
        self.predicted.get(clip)
    }

    /// Where a frame stands: a person's answer counts for more than a model's.
    pub fn status(&self, clip: &str, frame: usize) -> Status {
        match (self.document.answer(clip, frame), self.predicted(clip, frame)) {
            (Some(answer), _) => Status::Answered(answer.verdict),
            (None, Some(_)) => Status::Predicted,
            (None, None) => Status::Open,
        }
    }

    /// The name of the step that would be undone.
    pub fn to_undo(&self) -> Option<&str> {
        self.done.back().map(|step| step.name.as_str())
    }

    /// The name of the step that would be redone.
    pub fn to_redo(&self) -> Option<&str> {
        self.undone.last().map(|step| step.name.as_str())
    }

    /// Where something changes when the last step is undone: the clip, and the first frame.
    pub fn place_of_undo(&self) -> Option<(&ClipKey, Option<usize>)> {
        self.done.back()?.edits.last().map(Edit::place)
    }

    /// Where something changes when the last step that was undone is made again.
    pub fn place_of_redo(&self) -> Option<(&ClipKey, Option<usize>)> {
        self.undone.last()?.edits.first().map(Edit::place)
    }

    /// Let something happen. With nothing to undo or redo, nothing does.
    ///
    /// # Errors
    /// When a step or a prediction does not fit; the project then stays as it was.
    pub fn apply(&mut self, entry: Entry) -> Result<(), Refused> {
        match entry {
            Entry::Do(step) => {
                let back = make(&mut self.document, step)?;
                if !back.edits.is_empty() {
                    self.undone.clear();
                    self.done.push_back(back);
                    while self.done.len() > STEPS {
                        self.done.pop_front();
                    }
                }
            }
            Entry::Undo => {
                if let Some(step) = self.done.back().cloned() {
                    self.undone.push(make(&mut self.document, step)?);
                    self.done.pop_back();
                }
            }
            Entry::Redo => {
                if let Some(step) = self.undone.last().cloned() {
                    self.done.push_back(make(&mut self.document, step)?);
                    self.undone.pop();
                }
            }
            Entry::Opened { clip, record } => {
                if !self.document.clips.contains_key(&clip) {
                    record.check()?;
                    // A step that took it out cannot be undone any more: there is a new one in its place.
                    let about = |step: &Step| step.edits.iter().any(|edit| edit.place() == (&clip, None));
                    if self.done.iter().chain(&self.undone).any(about) {
                        self.done.clear();
                        self.undone.clear();
                    }
                    self.document.clips.insert(clip, record);
                }
            }
            Entry::Predicted { clip, frame, predicted } => {
                let Some(record) = self.document.clips.get(&clip) else { return Err(Refused::NoClip(clip)) };
                if frame >= record.frames {
                    return Err(Refused::NoFrame { name: record.name.clone(), frames: record.frames, frame });
                }
                let of_clip = self.predicted.entry(clip).or_default();
                match predicted {
                    Some(predicted) => of_clip.insert(frame, predicted),
                    None => of_clip.remove(&frame),
                };
            }
            Entry::Start(project) => {
                project.document.clips.values().try_for_each(ClipRecord::check)?;
                *self = *project;
            }
        }
        Ok(())
    }
}

/// Make all edits of a step or none. Gives the step that takes it back.
fn make(document: &mut Document, step: Step) -> Result<Step, Refused> {
    let mut back = Vec::with_capacity(step.edits.len());
    for edit in step.edits {
        match document.apply(edit) {
            Ok(edit) => back.push(edit),
            Err(refused) => {
                for edit in back.into_iter().rev() {
                    document.apply(edit)?;
                }
                return Err(refused);
            }
        }
    }
    back.reverse();
    Ok(Step { name: step.name, edits: back })
}
