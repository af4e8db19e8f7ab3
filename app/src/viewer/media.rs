//! Files, the clip on the screen, and the pixels of its frames.

use std::collections::HashMap;
use std::sync::Arc;

use leptos::prelude::*;
use sonoseg_imaging::geometry::Scale;

use crate::listing::{FileLine, Readable};
use crate::messages::{ClipId, ClipInfo, FileNumber};
use crate::timeline;

/// Memory for the pixels of frames that wait to be shown.
const PIXEL_BUDGET: usize = 256 << 20;

/// The pixels of a frame.
#[derive(Debug)]
pub(crate) struct Pixels {
    pub(crate) channels: usize,
    pub(crate) bytes: Vec<u8>,
    /// What is known about millimetres in the frame.
    pub(crate) scale: Scale,
}

/// Frames that are fetched ahead of the shown one at most.
const MOST_AHEAD: usize = 48;

/// The store. Cheap to copy.
#[derive(Clone, Copy)]
pub(crate) struct Media {
    pub(crate) files: RwSignal<Vec<FileLine>>,
    pub(crate) clip: RwSignal<Option<Arc<ClipInfo>>>,
    pub(crate) pixels: StoredValue<HashMap<usize, Arc<Pixels>>>,
    /// The clip that comes with the app.
    pub(crate) example: StoredValue<Option<FileNumber>>,
}

impl Media {
    pub(crate) fn new() -> Self {
        Self {
            files: RwSignal::new(Vec::new()),
            clip: RwSignal::new(None),
            pixels: StoredValue::new(HashMap::new()),
            example: StoredValue::new(None),
        }
    }

    /// Something of the clip on the screen, without reacting.
    pub(crate) fn with_clip<T>(&self, read: impl FnOnce(&ClipInfo) -> T) -> Option<T> {
        self.clip.with_untracked(|clip| clip.as_deref().map(read))
    }

    /// True when this clip is on the screen.
    pub(crate) fn shows(&self, id: ClipId) -> bool {
        self.with_clip(|clip| clip.id == id) == Some(true)
    }

    /// The clip of a file that was read.
    pub(crate) fn clip_of(&self, file: FileNumber) -> Option<ClipId> {
        self.files.with_untracked(|files| {
            files.iter().find(|line| line.file == file).and_then(|line| match line.readable {
                Readable::Yes(id) => Some(id),
                _ => None,
            })
        })
    }

    /// The line of a clip in the list.
    pub(crate) fn line_of(&self, id: ClipId) -> Option<FileLine> {
        self.files.with_untracked(|files| files.iter().find(|line| line.readable == Readable::Yes(id)).cloned())
    }

    /// The file of the clip on the screen, without reacting.
    pub(crate) fn shown_file(&self) -> Option<FileNumber> {
        self.line_of(self.with_clip(|clip| clip.id)?).map(|line| line.file)
    }

    /// Whether the clip that comes with the app is on the screen.
    pub(crate) fn shows_example(&self) -> bool {
        self.clip.track();
        self.shown_file().is_some_and(|file| self.example.get_value() == Some(file))
    }

    /// Remember whether a file can be read.
    pub(crate) fn mark(&self, file: FileNumber, readable: Readable) {
        self.files.update(|files| {
            if let Some(line) = files.iter_mut().find(|line| line.file == file) {
                line.readable = readable;
            }
        });
    }

    /// Keep the pixels of a frame, forgetting others when memory is full.
    pub(crate) fn keep_pixels(&self, frame: usize, shown: usize, pixels: Pixels) {
        let count = self.frame_count();
        self.pixels.update_value(|all| {
            let most = (PIXEL_BUDGET / pixels.bytes.len().max(1)).max(4);
            all.insert(frame, Arc::new(pixels));
            while all.len() > most {
                let kept = all.keys().copied().filter(|&kept| kept != frame);
                let Some(oldest) = timeline::next_to_forget(kept, count, shown) else { break };
                all.remove(&oldest);
            }
        });
    }

    /// True when the pixels of a frame are here.
    pub(crate) fn has_pixels(&self, frame: usize) -> bool {
        self.pixels.with_value(|pixels| pixels.contains_key(&frame))
    }

    /// Frames that may be fetched ahead of the shown one without pushing others out, here or in the worker's memory.
    pub(crate) fn frames_ahead(&self) -> usize {
        // Each may be in colour.
        let bytes = self.with_clip(|clip| 3 * clip.shown_height() * clip.shown_width()).unwrap_or(1);
        (PIXEL_BUDGET / bytes.max(1) / 4).clamp(2, MOST_AHEAD)
    }

    /// The clip on the screen. Reacts.
    pub(crate) fn shown(&self) -> Option<ClipId> {
        self.clip.with(|clip| clip.as_ref().map(|clip| clip.id))
    }

    /// Number of its frames. Reacts.
    pub(crate) fn frames(&self) -> usize {
        self.clip.with(|clip| clip.as_ref().map_or(0, |clip| clip.frames))
    }

    /// The same, without reacting.
    pub(crate) fn frame_count(&self) -> usize {
        self.with_clip(|clip| clip.frames).unwrap_or(0)
    }

    /// Size of the image `(width, height)` in pixels.
    pub(crate) fn image_size(&self) -> Option<(f64, f64)> {
        self.with_clip(|clip| (clip.width as f64, clip.height as f64))
    }
}
