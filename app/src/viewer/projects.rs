//! Which project is open, whether it is kept, and when it was taken out.

use leptos::prelude::*;

use crate::messages::{ProjectLine, TakenOut};

/// Whether what people said is written to this browser's storage.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Saved {
    /// Nothing was said yet.
    Nothing,
    /// It is being written.
    Writing,
    /// All of it, at this time in milliseconds since 1970.
    At(f64),
    /// It is not, for this reason.
    Failed(String),
}

impl Saved {
    /// The state in a word, for the tests.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Writing => "writing",
            Self::At(_) => "saved",
            Self::Failed(_) => "failed",
        }
    }
}

/// The store. Cheap to copy.
#[derive(Clone, Copy)]
pub(crate) struct Projects {
    /// All that are kept in this browser, the one that was changed last first.
    pub(crate) list: RwSignal<Vec<ProjectLine>>,
    /// The one that is kept now; none before the first word of a person.
    pub(crate) open: RwSignal<Option<ProjectLine>>,
    pub(crate) saved: RwSignal<Saved>,
    /// Number of its entries.
    pub(crate) entries: RwSignal<usize>,
    pub(crate) taken_out: RwSignal<Option<TakenOut>>,
    /// Bytes that are used of the browser's storage, and that may be.
    pub(crate) room: RwSignal<(Option<f64>, Option<f64>)>,
    /// Whether the browser promised to keep it.
    pub(crate) lasting: RwSignal<Option<bool>>,
    /// What taking out or bringing back is doing.
    pub(crate) doing: RwSignal<Option<String>>,
}

impl Projects {
    pub(crate) fn new() -> Self {
        Self {
            list: RwSignal::new(Vec::new()),
            open: RwSignal::new(None),
            saved: RwSignal::new(Saved::Nothing),
            entries: RwSignal::new(0),
            taken_out: RwSignal::new(None),
            room: RwSignal::new((None, None)),
            lasting: RwSignal::new(None),
            doing: RwSignal::new(None),
        }
    }

    /// Another project is kept from now on, or none yet.
    pub(crate) fn set_open(&self, project: Option<ProjectLine>, entries: usize, taken_out: Option<TakenOut>) {
        self.saved.set(project.as_ref().map_or(Saved::Nothing, |project| Saved::At(project.changed_ms as f64)));
        self.open.set(project);
        self.entries.set(entries);
        self.taken_out.set(taken_out);
    }
}
