//! What the session knows of the project that it keeps.

use std::collections::BTreeSet;

use crate::keeping::Outbox;
use crate::messages::{ClipId, KeptModel, Place};

/// What the session knows of the project.
#[derive(Default)]
pub(super) struct Keeper {
    /// Entries that are not written yet.
    pub(super) outbox: Outbox,
    /// A person said something, so that there is a project to be kept.
    pub(super) said: bool,
    /// The last project was looked for.
    pub(super) looked: bool,
    /// A project is being opened or made: nothing is written meanwhile.
    pub(super) busy: bool,
    /// What models found is written in a moment, all at once.
    pub(super) soon: bool,
    /// Writing is tried again in a moment.
    pub(super) again: bool,
    /// Why writing did not work, as the user was told.
    pub(super) told: Option<String>,
    /// A file is being kept.
    pub(super) keeping: bool,
    /// Clips, and models, whose files were kept, or could not be.
    pub(super) tried: BTreeSet<ClipId>,
    /// Where the user was, until that clip is on the screen again.
    pub(super) place: Option<Place>,
    /// The place that was written last, and the model.
    pub(super) written_place: Option<(Place, Option<KeptModel>)>,
}
