//! The project: what people said of frames, and what the model found in them. Everything that changes it passes here.

use std::rc::Rc;
use std::sync::Arc;

use leptos::prelude::*;
use sonoseg_imaging::annotation::{Entry, Project, Refused, line_mask};
use sonoseg_imaging::geometry::{Mask, Needle};

use crate::messages::ClipId;

/// Writes an entry down.
type Keep = Rc<dyn Fn(Entry)>;

/// Clip, frame, and how often answers had changed: what is drawn is made once for each.
type Key = (ClipId, usize, u64);

/// A person's answer as it is drawn.
#[derive(Debug)]
pub(crate) struct Drawn {
    pub(crate) needle: Option<Needle>,
    /// At the size of the frame: the painted one, or that of the line.
    pub(crate) mask: Option<Arc<Mask>>,
    pub(crate) mask_pixels: usize,
}

/// The store. Cheap to copy.
#[derive(Clone, Copy)]
pub(crate) struct Annotations {
    pub(crate) project: RwSignal<Project>,
    /// What the person calls themselves; may be empty.
    pub(crate) name: RwSignal<String>,
    keep: StoredValue<Option<Keep>, LocalStorage>,
    /// Counts changes of answers.
    changes: StoredValue<u64>,
    drawn: StoredValue<Option<(Key, Arc<Drawn>)>>,
}

impl Annotations {
    pub(crate) fn new() -> Self {
        Self {
            project: RwSignal::new(Project::default()),
            name: RwSignal::new(String::new()),
            keep: StoredValue::new_local(None),
            changes: StoredValue::new(0),
            drawn: StoredValue::new(None),
        }
    }

    /// Let something happen in the project, and have it written down.
    ///
    /// # Errors
    /// When it does not fit the project, which then stays as it was; nothing is written.
    pub(crate) fn apply(&self, entry: Entry) -> Result<(), Refused> {
        let written = self.keep.get_value().map(|keep| (keep, entry.clone()));
        let counts = !matches!(entry, Entry::Predicted { .. });
        self.project.try_update(|project| project.apply(entry)).unwrap_or(Ok(()))?;
        if counts {
            self.changes.update_value(|changes| *changes += 1);
        }
        if let Some((keep, entry)) = written {
            keep(entry);
        }
        Ok(())
    }

    /// Go on with a project as it was kept.
    pub(crate) fn restore(&self, project: Project) {
        self.changes.update_value(|changes| *changes += 1);
        self.project.set(project);
    }

    /// Have every entry from now on written down by this.
    pub(crate) fn keep_with(&self, keep: impl Fn(Entry) + 'static) {
        self.keep.set_value(Some(Rc::new(keep)));
    }

    /// A person's answer for a frame, as it is drawn. Reacts.
    pub(crate) fn drawn(&self, clip: ClipId, frame: usize) -> Option<Arc<Drawn>> {
        self.project.track();
        let key: Key = (clip, frame, self.changes.get_value());
        let made = self.drawn.with_value(|made| made.as_ref().filter(|made| made.0 == key).map(|made| made.1.clone()));
        if made.is_some() {
            return made;
        }
        let drawn = self.project.with(|project| {
            let record = project.document().clips.get(&clip.to_string())?;
            let answer = record.answers.get(&frame)?;
            let line = || Some(line_mask(&answer.needle?, [record.height, record.width]));
            let mask = answer.mask.clone().or_else(line);
            let mask_pixels = mask.as_ref().map_or(0, Mask::pixels);
            Some(Arc::new(Drawn { needle: answer.needle, mask: mask.map(Arc::new), mask_pixels }))
        })?;
        self.drawn.set_value(Some((key, drawn.clone())));
        Some(drawn)
    }
}
