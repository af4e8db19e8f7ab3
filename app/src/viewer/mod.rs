//! What the page shows: eight stores, and the rules that keep them consistent. No browser calls, no worker.

pub(crate) mod annotations;
pub(crate) mod findings;
pub(crate) mod learning;
mod marks;
pub(crate) mod media;
pub(crate) mod notices;
pub(crate) mod projects;
pub(crate) mod tools;
pub(crate) mod view;

use std::sync::Arc;

use leptos::prelude::*;

use crate::annotate::Tool;
use crate::listing::{self, Readable};
use crate::messages::{ClipInfo, FileNumber, RunId};
use crate::overlay::Overlay;
use crate::playback::is_long;
use crate::timeline::FrameState;
use crate::transform::Transform;
use annotations::Annotations;
use findings::{Findings, Found};
use learning::Learning;
pub(crate) use marks::Line;
use media::Media;
use notices::{Notices, Stage};
use projects::Projects;
use tools::Tools;
use view::View;

/// The state of the page. Cheap to copy: every part is a handle.
#[derive(Clone, Copy)]
pub(crate) struct Viewer {
    /// Files, the clip on the screen, its pixels.
    pub(crate) media: Media,
    /// The frame on the screen, and how it is shown.
    pub(crate) view: View,
    /// The model, and what it found.
    pub(crate) findings: Findings,
    /// What people said.
    pub(crate) annotations: Annotations,
    /// Which project is open, and whether it is kept.
    pub(crate) projects: Projects,
    /// Learning from what was said.
    pub(crate) learning: Learning,
    /// The tool in hand.
    pub(crate) tools: Tools,
    /// What the user is told.
    pub(crate) notices: Notices,
}

impl Viewer {
    pub(crate) fn new() -> Self {
        Self {
            media: Media::new(),
            view: View::new(),
            findings: Findings::new(),
            annotations: Annotations::new(),
            projects: Projects::new(),
            learning: Learning::new(),
            tools: Tools::new(),
            notices: Notices::new(),
        }
    }

    /// Show another clip from its first frame, playing it when it moves and `autoplay` is wanted. Zoom is kept for clips
    /// of the same size.
    pub(crate) fn show_clip(&self, clip: ClipInfo, autoplay: bool) {
        let size = |clip: &ClipInfo| (clip.height, clip.width);
        let same_size = self.media.with_clip(|old| size(old) == size(&clip)) == Some(true);
        let moves = clip.frames > 1;
        self.change_clip(Some(clip));
        self.view.playing.set(moves && autoplay);
        if !same_size {
            self.fit();
        }
    }

    /// The run whose model is in use.
    pub(crate) fn used_run(&self) -> Option<RunId> {
        let model = self.findings.model.with(|model| model.as_ref().map(|model| model.id))?;
        self.learning.run_of(model)
    }

    /// Take the clip from the screen, with all that is known of it.
    pub(crate) fn close_clip(&self) {
        self.view.playing.set(false);
        let closed = self.media.with_clip(|clip| clip.id);
        self.change_clip(None);
        closed.into_iter().for_each(|clip| self.findings.forget_clip(clip));
    }

    /// What was found in the clip before is kept for when it comes back.
    fn change_clip(&self, clip: Option<ClipInfo>) {
        let from = self.media.with_clip(|clip| clip.id);
        let to = clip.as_ref().map(|clip| clip.id);
        self.media.pixels.update_value(|pixels| pixels.clear());
        self.media.clip.set(clip.map(Arc::new));
        self.findings.change_clip(from, to, self.media.frame_count());
        self.go_to(0);
        self.take_up();
    }

    /// The file on the screen: its number, its place in the list from 1, and how many files can be gone to. Reacts.
    pub(crate) fn place(&self) -> Option<(FileNumber, usize, usize)> {
        let clip = self.media.shown()?;
        self.media.files.with(|files| {
            let file = files.iter().find(|line| line.readable == Readable::Yes(clip))?.file;
            let (place, count) = listing::place(files, file)?;
            Some((file, place, count))
        })
    }

    /// Forget what the old model said.
    pub(crate) fn forget_predictions(&self) {
        self.findings.forget(self.media.frame_count());
    }

    /// The state of the frame on the screen; `None` without a clip. Reacts.
    pub(crate) fn shown_state(&self) -> Option<FrameState> {
        self.state_of(self.view.frame.get())
    }

    /// What was found in the frame on the screen. Reacts to the frame and to new predictions.
    pub(crate) fn shown(&self) -> Option<Arc<Found>> {
        self.shown_state()?;
        let frame = self.view.frame.get();
        self.findings.found.with_value(|all| all.get(frame).cloned().flatten())
    }

    /// The overlays that can be chosen.
    pub(crate) fn overlays(&self) -> Vec<Overlay> {
        self.findings.finding.with(Overlay::choices)
    }

    /// The chosen overlay.
    pub(crate) fn chosen_overlay(&self) -> Overlay {
        self.view.overlay.get().among(&self.overlays())
    }

    /// The overlay that is on the screen at the moment: what a tool draws is to be seen.
    pub(crate) fn shown_overlay(&self) -> Overlay {
        match (self.tool(), self.chosen_overlay()) {
            _ if self.view.peek.get() => Overlay::Hidden,
            (Tool::Brush | Tool::Eraser | Tool::Fill, Overlay::Line | Overlay::Hidden) => Overlay::Mask,
            (Tool::Line, Overlay::Hidden) => Overlay::Line,
            (_, overlay) => overlay,
        }
    }

    /// Show a frame.
    pub(crate) fn go_to(&self, frame: usize) {
        self.view.frame.set(frame.min(self.media.frame_count().saturating_sub(1)));
        self.view.restart_clock();
    }

    /// Stop and move by some frames.
    pub(crate) fn step(&self, by: isize) {
        self.view.playing.set(false);
        self.go_to(self.view.frame.get_untracked().saturating_add_signed(by));
    }

    /// Play or pause.
    pub(crate) fn toggle_playing(&self) {
        if self.media.frame_count() > 1 {
            self.view.playing.update(|playing| *playing = !*playing);
            self.view.restart_clock();
        }
    }

    /// Whether each frame is held until the model has looked at it: as the user chose, or else in clips that are not long.
    /// Reacts.
    pub(crate) fn waits(&self) -> bool {
        self.view.wait.get().unwrap_or_else(|| !is_long(self.media.frames()))
    }

    /// The next frame, when it is due.
    pub(crate) fn advance(&self, now_ms: f64) {
        let Self { media, view, findings, notices, .. } = self;
        // A clip starts when the model is there, so that its first frames are not passed without an overlay.
        let starting = notices.stage.with_untracked(|stage| matches!(stage, Stage::Starting(_)));
        let Some(clip) = media.clip.get_untracked().filter(|_| view.playing.get_untracked() && !starting) else {
            return;
        };
        let (frame, speed) = (view.frame.get_untracked(), view.speed.get_untracked());
        // Without a model there is nothing to wait for.
        let wait = untrack(|| self.waits()) && findings.model.with_untracked(Option::is_some);
        let is_known = |frame: usize| findings.states.with_untracked(|s| s.get(frame) != Some(&FrameState::Waiting));
        let ready = |frame: usize| media.has_pixels(frame) && (!wait || is_known(frame));
        let mut next = frame;
        view.clock.update_value(|clock| next = clock.advance(now_ms, frame, &clip.times_us, speed, wait, ready));
        if next != frame {
            view.frame.set(next);
            findings.speeds.update_value(|speeds| speeds.shown.tick(now_ms));
        }
    }

    /// Show the whole image.
    pub(crate) fn fit(&self) {
        if let Some(image) = self.media.image_size() {
            self.view.fit(image);
        }
    }

    /// Change zoom or place, never losing the image.
    pub(crate) fn move_view(&self, change: impl FnOnce(&Transform) -> Transform) {
        if let Some(image) = self.media.image_size() {
            self.view.move_image(image, change);
        }
    }

    /// The canvas has another size now.
    pub(crate) fn resize_canvas(&self, size: (f64, f64)) {
        self.view.canvas.set(size);
        if self.view.transform.with_untracked(|transform| transform.fitted) {
            self.fit();
        } else {
            self.move_view(|transform| *transform);
        }
    }
}
