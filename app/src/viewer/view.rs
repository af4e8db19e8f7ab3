//! The frame on the screen, and how it is shown: time, overlay, zoom, and what lies over the page.

use leptos::prelude::*;

use crate::overlay::Overlay;
use crate::playback::Clock;
use crate::tone::Tone;
use crate::transform::Transform;

/// The store. Cheap to copy.
#[derive(Clone, Copy)]
pub(crate) struct View {
    pub(crate) frame: RwSignal<usize>,
    pub(crate) playing: RwSignal<bool>,
    pub(crate) speed: RwSignal<f64>,
    /// Hold each frame until the model has looked at it; where the user has not chosen, the length of the clip decides.
    pub(crate) wait: RwSignal<Option<bool>>,
    pub(crate) clock: StoredValue<Clock>,
    pub(crate) overlay: RwSignal<Overlay>,
    pub(crate) opacity: RwSignal<f64>,
    /// What the model is surer of than this is shown; none: its own threshold decides.
    pub(crate) threshold: RwSignal<Option<f64>>,
    /// Window, level and gamma of the picture.
    pub(crate) tone: RwSignal<Tone>,
    /// The overlay is hidden while a key is held.
    pub(crate) peek: RwSignal<bool>,
    pub(crate) transform: RwSignal<Transform>,
    /// Size of the canvas in its own pixels, `(width, height)`.
    pub(crate) canvas: RwSignal<(f64, f64)>,
    /// Single letters are keys.
    pub(crate) letters: RwSignal<bool>,
    /// The sheet of keys is open.
    pub(crate) help: RwSignal<bool>,
    /// The page has the whole screen.
    pub(crate) full_screen: RwSignal<bool>,
    /// Files are being dragged over the page.
    pub(crate) dropping: RwSignal<bool>,
}

impl View {
    pub(crate) fn new() -> Self {
        Self {
            frame: RwSignal::new(0),
            playing: RwSignal::new(false),
            speed: RwSignal::new(1.0),
            wait: RwSignal::new(None),
            clock: StoredValue::new(Clock::default()),
            overlay: RwSignal::new(Overlay::Mask),
            opacity: RwSignal::new(0.6),
            threshold: RwSignal::new(None),
            tone: RwSignal::new(Tone::default()),
            peek: RwSignal::new(false),
            transform: RwSignal::new(Transform::default()),
            canvas: RwSignal::new((0.0, 0.0)),
            letters: RwSignal::new(true),
            help: RwSignal::new(false),
            full_screen: RwSignal::new(false),
            dropping: RwSignal::new(false),
        }
    }

    /// Time begins anew at the frame on the screen.
    pub(crate) fn restart_clock(&self) {
        self.clock.update_value(Clock::restart);
    }

    /// Show the whole image of this size.
    pub(crate) fn fit(&self, image: (f64, f64)) {
        self.transform.set(Transform::fit(image, self.canvas.get_untracked()));
    }

    /// Change zoom or place, never losing the image of this size.
    pub(crate) fn move_image(&self, image: (f64, f64), change: impl FnOnce(&Transform) -> Transform) {
        let canvas = self.canvas.get_untracked();
        self.transform.update(|view| *view = change(view).kept_in_sight(image, canvas, 48.0));
    }
}
