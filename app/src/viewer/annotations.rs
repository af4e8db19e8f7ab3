//! What people say of frames: the project, and who keeps what happens to it.

use std::rc::Rc;

use leptos::prelude::*;
use sonoseg_imaging::annotation::{Entry, Project, Refused};

/// Who keeps what happens.
type Keeper = Rc<dyn Fn(Entry)>;

/// The store. Cheap to copy.
#[derive(Clone, Copy)]
pub(crate) struct Annotations {
    pub(crate) project: RwSignal<Project>,
    keeper: StoredValue<Option<Keeper>, LocalStorage>,
}

impl Annotations {
    pub(crate) fn new() -> Self {
        Self { project: RwSignal::new(Project::default()), keeper: StoredValue::new_local(None) }
    }

    /// Let something happen, and have it kept.
    ///
    /// # Errors
    /// When it does not fit the project, which then stays as it was.
    #[expect(dead_code, reason = "the tools that mark frames call it")]
    pub(crate) fn apply(&self, entry: Entry) -> Result<(), Refused> {
        let kept = entry.clone();
        self.project.try_update(|project| project.apply(entry)).unwrap_or(Ok(()))?;
        if let Some(keeper) = self.keeper.get_value() {
            keeper(kept);
        }
        Ok(())
    }

    /// Show another project, as it was kept.
    pub(crate) fn restore(&self, project: Project) {
        self.project.set(project);
    }

    /// From now on everything that happens is given to this keeper.
    pub(crate) fn keep_with(&self, keeper: impl Fn(Entry) + 'static) {
        self.keeper.set_value(Some(Rc::new(keeper)));
    }
}
