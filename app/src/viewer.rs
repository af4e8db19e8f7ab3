//! What the page shows: signals, and the rules that keep them consistent. No browser calls, no worker.

use std::collections::HashMap;
use std::sync::Arc;

use leptos::prelude::*;

use crate::messages::{ClipReport, DeviceReport, ModelReport, PredictionReport};
use crate::overlay::{Bits, Overlay};
use crate::playback::Clock;
use crate::sought::Sought;
use crate::timeline::FrameState;
use crate::timings::{Durations, Rate};
use crate::transform::Transform;

/// Memory for the pixels of frames that wait to be shown.
const PIXEL_BUDGET: usize = 256 << 20;

/// How far start-up has come.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Stage {
    /// Doing this.
    Starting(String),
    /// Everything that can run runs.
    Ready,
    /// It stopped for this reason.
    Stopped(String),
}

/// How serious a notice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    /// Worth knowing.
    Info,
    /// Something did not work.
    Problem,
}

/// A message to the user that stays until it is closed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Notice {
    pub(crate) number: u32,
    pub(crate) weight: Weight,
    pub(crate) text: String,
}

/// Whether a file of the list can be read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Readable {
    Unknown,
    Yes,
    No(String),
}

/// A line of the file list.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FileLine {
    pub(crate) file: u32,
    pub(crate) name: String,
    pub(crate) readable: Readable,
}

/// What the model found in a frame, ready to be drawn.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) report: PredictionReport,
    pub(crate) mask: Bits,
    pub(crate) mask_pixels: usize,
}

impl Found {
    /// Marked pixels among all pixels of the frame, from 0 to 1.
    pub(crate) fn marked_share(&self) -> f64 {
        self.mask_pixels as f64 / (self.mask.height * self.mask.width).max(1) as f64
    }
}

/// The pixels of a frame.
#[derive(Debug)]
pub(crate) struct Pixels {
    pub(crate) channels: usize,
    pub(crate) bytes: Vec<u8>,
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

/// The state of the page. Cheap to copy: every part is a handle.
#[derive(Clone, Copy)]
pub(crate) struct Viewer {
    pub(crate) stage: RwSignal<Stage>,
    pub(crate) device: RwSignal<Option<DeviceReport>>,
    pub(crate) model: RwSignal<Option<ModelReport>>,
    /// What the results on the page are about; they outlive the model that gave them.
    pub(crate) sought: RwSignal<Sought>,
    pub(crate) clip: RwSignal<Option<Arc<ClipReport>>>,
    pub(crate) files: RwSignal<Vec<FileLine>>,
    pub(crate) notices: RwSignal<Vec<Notice>>,
    pub(crate) notices_so_far: RwSignal<u32>,
    pub(crate) frame: RwSignal<usize>,
    pub(crate) playing: RwSignal<bool>,
    pub(crate) speed: RwSignal<f64>,
    pub(crate) wait: RwSignal<bool>,
    pub(crate) overlay: RwSignal<Overlay>,
    pub(crate) opacity: RwSignal<f64>,
    pub(crate) peek: RwSignal<bool>,
    pub(crate) letters: RwSignal<bool>,
    pub(crate) help: RwSignal<bool>,
    pub(crate) dropping: RwSignal<bool>,
    pub(crate) transform: RwSignal<Transform>,
    pub(crate) canvas: RwSignal<(f64, f64)>,
    pub(crate) states: RwSignal<Vec<FrameState>>,
    pub(crate) found: StoredValue<Vec<Option<Arc<Found>>>>,
    pub(crate) pixels: StoredValue<HashMap<usize, Arc<Pixels>>>,
    pub(crate) clock: StoredValue<Clock>,
    pub(crate) speeds: StoredValue<Speeds>,
}

impl Viewer {
    pub(crate) fn new() -> Self {
        Self {
            stage: RwSignal::new(Stage::Starting("Starting the worker".to_owned())),
            device: RwSignal::new(None),
            model: RwSignal::new(None),
            sought: RwSignal::new(Sought::default()),
            clip: RwSignal::new(None),
            files: RwSignal::new(Vec::new()),
            notices: RwSignal::new(Vec::new()),
            notices_so_far: RwSignal::new(0),
            frame: RwSignal::new(0),
            playing: RwSignal::new(false),
            speed: RwSignal::new(1.0),
            wait: RwSignal::new(true),
            overlay: RwSignal::new(Overlay::Mask),
            opacity: RwSignal::new(0.6),
            peek: RwSignal::new(false),
            letters: RwSignal::new(true),
            help: RwSignal::new(false),
            dropping: RwSignal::new(false),
            transform: RwSignal::new(Transform::default()),
            canvas: RwSignal::new((0.0, 0.0)),
            states: RwSignal::new(Vec::new()),
            found: StoredValue::new(Vec::new()),
            pixels: StoredValue::new(HashMap::new()),
            clock: StoredValue::new(Clock::default()),
            speeds: StoredValue::new(Speeds::default()),
        }
    }

    /// Tell the user. The same text is not shown twice at once.
    pub(crate) fn tell(&self, weight: Weight, text: impl Into<String>) {
        let text = text.into();
        if self.notices.with_untracked(|notices| notices.iter().any(|notice| notice.text == text)) {
            return;
        }
        self.notices_so_far.update(|number| *number += 1);
        let number = self.notices_so_far.get_untracked();
        self.notices.update(|notices| notices.push(Notice { number, weight, text }));
    }

    /// Show another clip from its first frame, playing it when it moves and `autoplay` is wanted. Zoom is kept for clips
    /// of the same size.
    pub(crate) fn show_clip(&self, clip: ClipReport, autoplay: bool) {
        let same_size = self
            .clip
            .with_untracked(|old| old.as_ref().is_some_and(|old| (old.height, old.width) == (clip.height, clip.width)));
        let moves = clip.frames > 1;
        self.pixels.update_value(HashMap::clear);
        self.clip.set(Some(Arc::new(clip)));
        self.forget_predictions();
        self.go_to(0);
        self.playing.set(moves && autoplay);
        if !same_size {
            self.fit();
        }
    }

    /// Take the clip from the screen, which cannot be read any more.
    pub(crate) fn close_clip(&self) {
        self.playing.set(false);
        self.clip.set(None);
        self.pixels.update_value(HashMap::clear);
        self.forget_predictions();
        self.go_to(0);
    }

    /// Forget how long the work took on another device, with another model or for another clip.
    pub(crate) fn forget_speeds(&self) {
        self.speeds.set_value(Speeds::default());
    }

    /// Forget what the old model said.
    pub(crate) fn forget_predictions(&self) {
        self.forget_speeds();
        let count = self.clip.with_untracked(|clip| clip.as_ref().map_or(0, |clip| clip.frames));
        self.found.set_value((0..count).map(|_| None).collect());
        self.states.set(vec![FrameState::Waiting; count]);
    }

    /// Remember what the model found in a frame.
    pub(crate) fn keep_found(&self, found: Found) {
        let frame = found.report.frame;
        let state = match (self.sought.get_untracked(), &found.report.needle) {
            (Sought::Needle, Some(needle)) => FrameState::Seen(needle.confidence),
            (Sought::Class(_), _) if found.mask_pixels > 0 => FrameState::Seen(1.0),
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

    /// What was found in the frame on the screen. Reacts to the frame and to new predictions.
    pub(crate) fn shown(&self) -> Option<Arc<Found>> {
        let frame = self.frame.get();
        self.states.with(|states| states.get(frame).copied());
        self.found.with_value(|all| all.get(frame).cloned().flatten())
    }

    /// The overlays that can be chosen.
    pub(crate) fn overlays(&self) -> Vec<Overlay> {
        self.sought.with(Overlay::choices)
    }

    /// The chosen overlay.
    pub(crate) fn chosen_overlay(&self) -> Overlay {
        self.overlay.get().among(&self.overlays())
    }

    /// Keep the pixels of a frame, forgetting others when memory is full.
    pub(crate) fn keep_pixels(&self, frame: usize, pixels: Pixels) {
        let (shown, count) = (self.frame.get_untracked(), self.frame_count());
        self.pixels.update_value(|all| {
            let most = (PIXEL_BUDGET / pixels.bytes.len().max(1)).max(4);
            all.insert(frame, Arc::new(pixels));
            while all.len() > most {
                let kept = all.keys().copied().filter(|&kept| kept != frame);
                let Some(oldest) = crate::timeline::next_to_forget(kept, count, shown) else { break };
                all.remove(&oldest);
            }
        });
    }

    /// Frames that may be fetched ahead of the shown one without pushing others out.
    pub(crate) fn frames_ahead(&self) -> usize {
        let bytes =
            self.clip.with_untracked(|clip| clip.as_ref().map_or(1, |clip| clip.shown_height() * clip.shown_width()));
        (PIXEL_BUDGET / bytes.max(1) / 4).max(2)
    }

    /// Number of frames of the clip.
    pub(crate) fn frame_count(&self) -> usize {
        self.clip.with_untracked(|clip| clip.as_ref().map_or(0, |clip| clip.frames))
    }

    /// Show a frame.
    pub(crate) fn go_to(&self, frame: usize) {
        self.frame.set(frame.min(self.frame_count().saturating_sub(1)));
        self.clock.update_value(Clock::restart);
    }

    /// Stop and move by some frames.
    pub(crate) fn step(&self, by: isize) {
        self.playing.set(false);
        let last = self.frame_count().saturating_sub(1);
        self.go_to(self.frame.get_untracked().saturating_add_signed(by).min(last));
    }

    /// Play or pause.
    pub(crate) fn toggle_playing(&self) {
        if self.frame_count() > 1 {
            self.playing.update(|playing| *playing = !*playing);
            self.clock.update_value(Clock::restart);
        }
    }

    /// The next frame, when it is due.
    pub(crate) fn advance(&self, now_ms: f64) {
        // A clip starts when the model is there, so that its first frames are not passed without an overlay.
        let starting = self.stage.with_untracked(|stage| matches!(stage, Stage::Starting(_)));
        let Some(clip) = self.clip.get_untracked().filter(|_| self.playing.get_untracked() && !starting) else {
            return;
        };
        let (frame, speed) = (self.frame.get_untracked(), self.speed.get_untracked());
        // Without a model there is nothing to wait for.
        let wait = self.wait.get_untracked() && self.model.with_untracked(Option::is_some);
        let has_pixels = |frame: usize| self.pixels.with_value(|pixels| pixels.contains_key(&frame));
        let is_known = |frame: usize| self.states.with_untracked(|s| s.get(frame) != Some(&FrameState::Waiting));
        let mut next = frame;
        self.clock.update_value(|clock| {
            next =
                clock.advance(now_ms, frame, &clip.times_us, speed, wait, |f| has_pixels(f) && (!wait || is_known(f)));
        });
        if next != frame {
            self.frame.set(next);
            self.speeds.update_value(|speeds| speeds.shown.tick(now_ms));
        }
    }

    /// Size of the image `(width, height)` in pixels.
    pub(crate) fn image_size(&self) -> Option<(f64, f64)> {
        self.clip.with_untracked(|clip| clip.as_ref().map(|clip| (clip.width as f64, clip.height as f64)))
    }

    /// Show the whole image.
    pub(crate) fn fit(&self) {
        if let Some(image) = self.image_size() {
            self.transform.set(Transform::fit(image, self.canvas.get_untracked()));
        }
    }

    /// Change zoom or place, never losing the image.
    pub(crate) fn move_view(&self, change: impl FnOnce(&Transform) -> Transform) {
        if let Some(image) = self.image_size() {
            let canvas = self.canvas.get_untracked();
            self.transform.update(|view| *view = change(view).kept_in_sight(image, canvas, 48.0));
        }
    }

    /// The canvas has another size now.
    pub(crate) fn resize_canvas(&self, size: (f64, f64)) {
        self.canvas.set(size);
        if self.transform.with_untracked(|view| view.fitted) {
            self.fit();
        } else {
            self.move_view(|view| *view);
        }
    }
}
