//! What is marked on the frame on the screen, by a person or by the model.

use std::collections::BTreeMap;
use std::sync::Arc;

use leptos::prelude::*;
use sonoseg_imaging::annotation::{ClipRecord, Entry, Predicted, Project};
use sonoseg_imaging::dataset::finding::Finding;
use sonoseg_imaging::geometry::{Detection, Mask, Needle, Spacing};

use super::Viewer;
use super::annotations::Drawn;
use crate::annotate::{Frame, Hand, Shown, Standing, Tool};
use crate::messages::ClipInfo;
use crate::overlay::grown_mask;
use crate::timeline::FrameState;

/// The line that is shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Line {
    pub(crate) needle: Needle,
    /// Millimetres, where the file has a scale at both ends.
    pub(crate) spacing: Option<Spacing>,
    /// The model's own, where no person drew it.
    pub(crate) detection: Option<Detection>,
}

impl Viewer {
    /// The frame on the screen, to be answered for. Reacts.
    pub(crate) fn frame(&self) -> Option<Frame> {
        let (number, needles) = (self.view.frame.get(), self.findings.finding.with(Finding::is_needles));
        self.media.clip.with(|clip| {
            let clip = clip.as_ref()?;
            Some(Frame { clip: clip.id.to_string(), number, size: [clip.height, clip.width], needles })
        })
    }

    /// The tool in hand: one that the finding has no use for is put down. Reacts.
    pub(crate) fn tool(&self) -> Tool {
        let tool = self.tools.tool.get();
        let fits = self.findings.finding.with(|finding| Tool::choices(finding).contains(&tool));
        if fits { tool } else { Tool::Look }
    }

    /// What a pointer does at the moment: while a key for it is held, it moves the picture. Reacts.
    pub(crate) fn pointer_tool(&self) -> Tool {
        if self.tools.moving.get() { Tool::Look } else { self.tool() }
    }

    /// How many classes can be painted. Reacts.
    pub(crate) fn classes(&self) -> u8 {
        self.findings.finding.with(|finding| match finding {
            Finding::Needles => 1,
            Finding::Classes(names) => names.len().max(1) as u8,
        })
    }

    /// Where the frame on the screen stands; `None` without a clip. Reacts.
    pub(crate) fn standing(&self) -> Option<Standing> {
        let (frame, state) = (self.frame()?, self.shown_state()?);
        let status = self.annotations.project.with(|project| project.status(&frame.clip, frame.number));
        Some(Standing::of(status, state))
    }

    /// A person's answer for the frame on the screen. Reacts.
    pub(crate) fn drawn(&self) -> Option<Arc<Drawn>> {
        let clip = self.media.shown()?;
        self.annotations.drawn(clip, self.view.frame.get())
    }

    /// Whether the hand draws on the frame on the screen. Reacts.
    pub(crate) fn hand_is_here(&self) -> bool {
        let place = self.tools.place.get();
        place.is_some() && place == self.frame()
    }

    /// The line on the screen: the one that is being drawn, a person's, or the model's where no person answered. Reacts.
    pub(crate) fn line(&self) -> Option<Line> {
        let drawing = self.tools.hand.with(|hand| hand.needle()).filter(|_| self.hand_is_here());
        let drawn = self.drawn();
        let by_hand = match (drawing, drawn) {
            (Some(needle), _) => Some(needle),
            (None, Some(drawn)) => Some(drawn.needle?),
            (None, None) => None,
        };
        if let Some(needle) = by_hand {
            return Some(Line { needle, spacing: self.spacing(&needle), detection: None });
        }
        let (detection, spacing) = self.detection()?;
        Some(Line { needle: detection.needle, spacing, detection: Some(detection) })
    }

    /// The needle that the model found in the frame on the screen, in this visit or before. Reacts.
    pub(crate) fn detection(&self) -> Option<(Detection, Option<Spacing>)> {
        if let Some(found) = self.shown() {
            return found.needle();
        }
        let detection = detected(&self.remembered(self.view.frame.get())?)?;
        Some((detection, self.spacing(&detection.needle)))
    }

    /// Millimetres along a line on the screen. Reacts to the frame.
    fn spacing(&self, needle: &Needle) -> Option<Spacing> {
        let ends = [needle.entry, needle.tip].map(|end| (end.x, end.y));
        let frame = self.view.frame.get();
        self.media.pixels.with_value(|all| all.get(&frame)?.scale.at(&ends))
    }

    /// What the model found in a frame before the page was loaded again, while it has not looked at it anew. Its line comes
    /// back; its mask is found again. Reacts.
    pub(crate) fn remembered(&self, frame: usize) -> Option<Predicted> {
        let waits = self.findings.states.with(|states| states.get(frame) == Some(&FrameState::Waiting));
        let all = |all: &BTreeMap<usize, Predicted>| all.get(&frame).filter(|before| self.is_of_model(before)).cloned();
        if waits { self.recall(all).flatten() } else { None }
    }

    /// What the model said of a frame, in this visit or before. Reacts.
    pub(crate) fn state_of(&self, frame: usize) -> Option<FrameState> {
        let state = self.findings.states.with(|states| states.get(frame).copied())?;
        Some(self.remembered(frame).map_or(state, |before| state_before(&before)))
    }

    /// The same of all frames of the clip on the screen. Reacts.
    pub(crate) fn all_states(&self) -> Vec<FrameState> {
        let mut states = self.findings.states.get();
        if states.contains(&FrameState::Waiting) {
            self.recall(|all| {
                for (&frame, before) in all.iter().filter(|(_, before)| self.is_of_model(before)) {
                    if let Some(state) = states.get_mut(frame).filter(|state| **state == FrameState::Waiting) {
                        *state = state_before(before);
                    }
                }
            });
        }
        states
    }

    /// Read what models found in the needles of the clip on the screen, as the project has it. Reacts.
    fn recall<T>(&self, read: impl FnOnce(&BTreeMap<usize, Predicted>) -> T) -> Option<T> {
        let clip = self.media.shown().filter(|_| self.findings.finding.with(Finding::is_needles))?;
        self.annotations.project.with(|project| project.predictions(&clip.to_string()).map(read))
    }

    /// Whether the model in use, or the one that is awaited, found this. Reacts.
    fn is_of_model(&self, before: &Predicted) -> bool {
        self.findings.model.with(|model| model.as_ref().is_none_or(|model| model.name == before.model))
    }

    /// What the model found in a frame, as a person sees and may accept it: a needle is its line, whose mask is drawn.
    pub(crate) fn found_in(&self, frame: usize) -> Option<Shown> {
        let Some(found) = self.findings.found.with_value(|all| all.get(frame).cloned().flatten()) else {
            let needle = untrack(|| self.remembered(frame))?.needle;
            return Some(Shown { needle, mask: None });
        };
        if self.findings.finding.with_untracked(Finding::is_needles) {
            let needle = found.needle().map(|(detection, _)| detection.needle);
            return Some(Shown { needle, mask: None });
        }
        let mask = self.media.with_clip(|clip| whole(clip, &found.mask(self.view.threshold.get_untracked())));
        Some(Shown { needle: None, mask: mask.map(Arc::new) })
    }

    /// The mask to paint on: a person's, or else the model's, or else an empty one.
    pub(crate) fn ground(&self) -> Option<Arc<Mask>> {
        let clip = self.media.clip.get_untracked()?;
        let empty = || Arc::new(Mask::empty(clip.height, clip.width));
        Some(match (untrack(|| self.drawn()), untrack(|| self.shown())) {
            (Some(drawn), _) => drawn.mask.clone().unwrap_or_else(empty),
            (None, Some(found)) => Arc::new(whole(&clip, &found.mask(self.view.threshold.get_untracked()))),
            (None, None) => empty(),
        })
    }

    /// How many frames of the clip on the screen a person answered for. Reacts.
    pub(crate) fn answered(&self) -> usize {
        let Some(frame) = self.frame() else { return 0 };
        let of = |record: &ClipRecord| record.answers.len();
        self.annotations.project.with(|project| project.document().clips.get(&frame.clip).map_or(0, of))
    }

    /// Let something happen in the project; false, and said, when it does not fit.
    pub(crate) fn change(&self, entry: Entry) -> bool {
        self.put_in();
        let refused = self.annotations.apply(entry).err();
        if let Some(refused) = &refused {
            self.notices.problem(refused.to_string());
        }
        refused.is_none()
    }

    /// Another project is open. What was being drawn belongs to the one before, and is given up.
    pub(crate) fn open_project(&self, project: Project) {
        self.tools.hand.set(Hand::default());
        self.annotations.restore(project);
    }

    /// The project takes up the clip on the screen, with all that the model found in it.
    pub(crate) fn take_up(&self) {
        self.put_in();
        (0..self.media.frame_count()).for_each(|frame| self.learn(frame));
    }

    /// The project learns what the model found in a frame of the clip on the screen. It changes no person's answer.
    pub(crate) fn learn(&self, frame: usize) {
        let model = self.findings.model.with_untracked(|model| model.as_ref().map(|model| model.name.clone()));
        let found = self.findings.found.with_value(|all| all.get(frame).cloned().flatten());
        let (Some(model), Some(found), Some(clip)) = (model, found, self.media.with_clip(|clip| clip.id.to_string()))
        else {
            return;
        };
        let needle = found.needle().map(|(found, _)| found);
        let predicted = Predicted {
            model,
            needle: needle.map(|found| found.needle),
            confidence: needle.map(|found| found.confidence),
            tip_spread_px: needle.map(|found| found.tip_spread_px),
            unlike_training: found.unlike_training,
        };
        let known = |project: &Project| project.predicted(&clip, frame) == Some(&predicted);
        if !self.annotations.project.with_untracked(known) {
            self.change(Entry::Predicted { clip, frame, predicted: Some(predicted) });
        }
    }

    /// The clip on the screen is in the project.
    fn put_in(&self) {
        let Some(clip) = self.media.clip.get_untracked() else { return };
        let key = clip.id.to_string();
        if self.annotations.project.with_untracked(|project| project.document().clips.contains_key(&key)) {
            return;
        }
        let (name, answers) = (clip.name.clone(), Default::default());
        let record = ClipRecord { name, frames: clip.frames, height: clip.height, width: clip.width, answers };
        if let Err(refused) = self.annotations.apply(Entry::Opened { clip: key, record }) {
            self.notices.problem(refused.to_string());
        }
    }
}

/// What the model said then.
fn state_before(before: &Predicted) -> FrameState {
    match detected(before) {
        _ if before.unlike_training => FrameState::Unlike,
        Some(found) => FrameState::Seen(found.confidence),
        None => FrameState::NotSeen,
    }
}

/// A needle that was found before.
fn detected(before: &Predicted) -> Option<Detection> {
    let Predicted { needle, confidence, tip_spread_px, .. } = before;
    let (confidence, tip_spread_px) = ((*confidence)?, tip_spread_px.unwrap_or_default());
    Some(Detection { needle: (*needle)?, confidence, tip_spread_px, pixels: 0 })
}

/// A mask of the shown picture at the size of the frame.
fn whole(clip: &ClipInfo, mask: &Mask) -> Mask {
    grown_mask(mask, clip.shrink, [clip.height, clip.width])
}
