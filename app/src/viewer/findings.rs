//! The model, what it found in each frame, and how long that took.

use std::collections::HashMap;
use std::sync::Arc;

use leptos::prelude::*;
use sonoseg_imaging::dataset::finding::Finding;
use sonoseg_imaging::geometry::{Detection, Mask, Spacing, shaft_of};

use crate::messages::{ClipId, ClipInfo, DeviceChoice, DeviceInfo, Layer, Measured, ModelInfo, Predicted};
use crate::overlay::{above, plane_bytes, unpack};
use crate::timeline::FrameState;
use crate::timings::{Durations, Rate};

/// What the model found in a frame.
#[derive(Debug)]
pub(crate) struct Found {
    layers: Vec<Layer>,
    /// The mask at the size of the shown picture, packed: a clip has many.
    packed: Vec<u8>,
    /// How sure the model is of each pixel, from 0 to 255, and the edge of the square that they make.
    sure: (Vec<u8>, usize),
    /// Rows and columns of the shown picture, and of the frame.
    size: [usize; 2],
    whole: [usize; 2],
    mask_pixels: usize,
    /// Whether the picture is unlike anything that the model learned from.
    pub(crate) unlike_training: bool,
}

impl Found {
    /// From an answer of the worker about a frame of this clip.
    pub(crate) fn new(clip: &ClipInfo, predicted: Predicted, mut buffers: Vec<Vec<u8>>) -> Self {
        let (mut packed, mut sure) = (Vec::new(), (Vec::new(), 0));
        let mut take = |at: usize| buffers.get_mut(at).map(std::mem::take).unwrap_or_default();
        for layer in &predicted.layers {
            match *layer {
                Layer::Mask { buffer } => packed = take(buffer),
                Layer::Probability { buffer, size } => sure = (take(buffer), size),
                Layer::Needle { .. } => {}
            }
        }
        let mask_pixels = packed.iter().map(|byte| byte.count_ones() as usize).sum();
        let size = [clip.shown_height(), clip.shown_width()];
        let whole = [clip.height, clip.width];
        let Predicted { layers, unlike_training, .. } = predicted;
        Self { layers, packed, sure, size, whole, mask_pixels, unlike_training }
    }

    /// Marked pixels of the shown picture of each class.
    fn pixels(&self) -> impl Iterator<Item = usize> {
        let plane = |plane: &[u8]| plane.iter().map(|byte| byte.count_ones() as usize).sum::<usize>();
        self.packed.chunks(plane_bytes(self.size)).map(plane)
    }

    /// Whether several classes are told apart. Then no threshold decides, but which of them is the most likely.
    pub(crate) fn tells_classes(&self) -> bool {
        self.packed.len() > plane_bytes(self.size)
    }

    /// Of all pixels of the frame the share of each class, from 0 to 1.
    pub(crate) fn class_shares(&self) -> Vec<f64> {
        self.pixels().map(|pixels| pixels as f64 / (self.size[0] * self.size[1]).max(1) as f64).collect()
    }

    /// The mask at the size of the shown picture: the model's own, or what is surer than another threshold.
    pub(crate) fn mask(&self, threshold: Option<f64>) -> Mask {
        let Some(threshold) = threshold.filter(|_| !self.tells_classes()) else {
            return unpack(self.size[0], self.size[1], &self.packed);
        };
        let (sure, edge) = &self.sure;
        let mask = above(sure, *edge, self.size, threshold);
        match self.needle() {
            Some((found, _)) => shaft_of(&mask, &found.needle.scaled(self.whole, self.size)),
            None => mask,
        }
    }

    /// Marked pixels of the shown picture.
    pub(crate) fn marked(&self, threshold: Option<f64>) -> usize {
        match threshold {
            None => self.mask_pixels,
            Some(_) => self.mask(threshold).pixels(),
        }
    }

    /// The needle and its spacing, where one is seen.
    pub(crate) fn needle(&self) -> Option<(Detection, Option<Spacing>)> {
        self.layers.iter().find_map(|layer| match layer {
            Layer::Needle { detection, spacing } => Some((*detection, *spacing)),
            Layer::Mask { .. } | Layer::Probability { .. } => None,
        })
    }

    /// Marked pixels among all pixels of the frame, from 0 to 1.
    pub(crate) fn marked_share(&self, threshold: Option<f64>) -> f64 {
        self.marked(threshold) as f64 / (self.size[0] * self.size[1]).max(1) as f64
    }
}

/// Durations of the parts of the work.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Speeds {
    pub(crate) decode: Durations,
    pub(crate) prepare: Durations,
    pub(crate) model: Durations,
    pub(crate) fit: Durations,
    pub(crate) draw: Durations,
    pub(crate) shown: Rate,
    pub(crate) predicted: Rate,
}

/// What was found in the frames of a clip.
#[derive(Debug, Default)]
struct Results {
    states: Vec<FrameState>,
    found: Vec<Option<Arc<Found>>>,
}

/// The store. Cheap to copy.
#[derive(Clone, Copy)]
pub(crate) struct Findings {
    pub(crate) device: RwSignal<Option<DeviceInfo>>,
    /// Whether the worker has a GPU beside the CPU.
    pub(crate) has_gpu: RwSignal<bool>,
    /// The device that the user pinned.
    pub(crate) pinned: RwSignal<DeviceChoice>,
    /// How long the model takes on both.
    pub(crate) measured: RwSignal<Option<Measured>>,
    pub(crate) model: RwSignal<Option<ModelInfo>>,
    /// The model is the one that comes with the app.
    pub(crate) bundled: RwSignal<bool>,
    /// What the results on the page are about; they outlive the model that gave them.
    pub(crate) finding: RwSignal<Finding>,
    pub(crate) states: RwSignal<Vec<FrameState>>,
    pub(crate) found: StoredValue<Vec<Option<Arc<Found>>>>,
    pub(crate) speeds: StoredValue<Speeds>,
    /// What was found in clips that are not on the screen.
    aside: RwSignal<HashMap<ClipId, Results>>,
}

impl Findings {
    pub(crate) fn new() -> Self {
        Self {
            device: RwSignal::new(None),
            has_gpu: RwSignal::new(false),
            pinned: RwSignal::new(DeviceChoice::Auto),
            measured: RwSignal::new(None),
            model: RwSignal::new(None),
            bundled: RwSignal::new(true),
            finding: RwSignal::new(Finding::default()),
            states: RwSignal::new(Vec::new()),
            found: StoredValue::new(Vec::new()),
            speeds: StoredValue::new(Speeds::default()),
            aside: RwSignal::new(HashMap::new()),
        }
    }

    /// Forget everything about all frames, of which `count` are on the screen, and how long the work took.
    pub(crate) fn forget(&self, count: usize) {
        self.aside.update(HashMap::clear);
        self.change_clip(None, None, count);
    }

    /// Put what was found in one clip aside, and take up what was found in another one, of `count` frames.
    pub(crate) fn change_clip(&self, from: Option<ClipId>, to: Option<ClipId>, count: usize) {
        self.forget_speeds();
        let old = Results {
            states: self.states.get_untracked(),
            found: self.found.try_update_value(std::mem::take).unwrap_or_default(),
        };
        let mut new = None;
        self.aside.update(|aside| {
            new = to.and_then(|clip| aside.remove(&clip));
            if let Some(clip) = from {
                aside.insert(clip, old);
            }
        });
        let fresh = || Results { states: vec![FrameState::Waiting; count], found: vec![None; count] };
        let Results { states, found } = new.filter(|results| results.states.len() == count).unwrap_or_else(fresh);
        self.found.set_value(found);
        self.states.set(states);
    }

    /// Forget what was found in a clip that is not on the screen.
    pub(crate) fn forget_clip(&self, clip: ClipId) {
        self.aside.update(|aside| drop(aside.remove(&clip)));
    }

    /// The states of the frames of a clip that is not on the screen. Reacts.
    pub(crate) fn with_aside<T>(&self, clip: ClipId, read: impl FnOnce(&[FrameState]) -> T) -> Option<T> {
        self.aside.with(|aside| aside.get(&clip).map(|results| read(&results.states)))
    }

    /// Forget how long the work took on another device, with another model or for another clip.
    pub(crate) fn forget_speeds(&self) {
        self.speeds.set_value(Speeds::default());
    }

    /// Remember what the model found in a frame.
    pub(crate) fn keep(&self, frame: usize, found: Found) {
        let needles = self.finding.with_untracked(Finding::is_needles);
        let state = match found.needle() {
            _ if found.unlike_training => FrameState::Unlike,
            Some((detection, _)) if needles => FrameState::Seen(detection.confidence),
            _ if !needles && found.mask_pixels > 0 => FrameState::Seen(1.0),
            _ => FrameState::NotSeen,
        };
        self.found.update_value(|all| {
            if let Some(slot) = all.get_mut(frame) {
                *slot = Some(Arc::new(found));
            }
        });
        self.set_state(frame, state);
    }

    /// Remember the state of a frame.
    pub(crate) fn set_state(&self, frame: usize, state: FrameState) {
        self.states.update(|states| {
            if let Some(slot) = states.get_mut(frame) {
                *slot = state;
            }
        });
    }
}
