//! What the user is told: how far start-up has come, and messages that stay until they are closed.

use leptos::prelude::*;

use crate::listing;

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
pub(crate) enum Severity {
    /// Worth knowing.
    Info,
    /// Something did not work.
    Problem,
}

/// A message to the user that stays until it is closed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Notice {
    pub(crate) number: u32,
    pub(crate) severity: Severity,
    pub(crate) text: String,
    /// Why files cannot be opened, where it is about those.
    refused: Vec<String>,
}

/// The store. Cheap to copy.
#[derive(Clone, Copy)]
pub(crate) struct Notices {
    pub(crate) stage: RwSignal<Stage>,
    pub(crate) open: RwSignal<Vec<Notice>>,
    /// A new version of the app waits to be used.
    pub(crate) update: RwSignal<bool>,
    /// How many there were so far.
    pub(crate) count: RwSignal<u32>,
}

impl Notices {
    pub(crate) fn new() -> Self {
        Self {
            stage: RwSignal::new(Stage::Starting("Starting the worker".to_owned())),
            open: RwSignal::new(Vec::new()),
            update: RwSignal::new(false),
            count: RwSignal::new(0),
        }
    }

    /// Start-up, or opening a file, is doing this.
    pub(crate) fn starting(&self, what: impl Into<String>) {
        self.stage.set(Stage::Starting(what.into()));
    }

    /// Worth knowing.
    pub(crate) fn info(&self, text: impl Into<String>) {
        self.add(Severity::Info, text.into());
    }

    /// Something did not work.
    pub(crate) fn problem(&self, text: impl Into<String>) {
        self.add(Severity::Problem, text.into());
    }

    /// The same text is not shown twice at once.
    fn add(&self, severity: Severity, text: String) {
        if !self.open.with_untracked(|notices| notices.iter().any(|notice| notice.text == text)) {
            let number = self.next_number();
            self.open.update(|notices| notices.push(Notice { number, severity, text, refused: Vec::new() }));
        }
    }

    /// A file cannot be opened, for this reason, which names it. One notice is about all of them until it is closed.
    pub(crate) fn refused(&self, reason: String) {
        let number = self.next_number();
        self.open.update(|notices| {
            let about_files = notices.iter().position(|notice| !notice.refused.is_empty());
            let mut refused = about_files.map(|at| notices.remove(at).refused).unwrap_or_default();
            if !refused.contains(&reason) {
                refused.push(reason);
            }
            let text = listing::refusals(&refused);
            notices.push(Notice { number, severity: Severity::Problem, text, refused });
        });
    }

    fn next_number(&self) -> u32 {
        self.count.update(|number| *number += 1);
        self.count.get_untracked()
    }

    /// Close a notice.
    pub(crate) fn close(&self, number: u32) {
        self.open.update(|notices| notices.retain(|notice| notice.number != number));
    }
}
