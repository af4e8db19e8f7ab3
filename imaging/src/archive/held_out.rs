//! What a data set that is taken out holds out for measuring.

use crate::DataError;
use crate::dataset::procedure::Procedure;
use crate::dataset::split::{Split, SplitConfig};
use crate::dataset::windows::Windows;

/// Share of the groups, or of the labelled frames of the only one, as `sonoseg ingest` holds it out.
const SHARE: f64 = 0.2;

/// The procedures of the archive so far, as the trainer will read them.
#[derive(Default)]
pub(super) struct HeldOut {
    procedures: Vec<Procedure>,
}

impl HeldOut {
    /// One more procedure.
    pub(super) fn add(&mut self, procedure: Procedure) {
        self.procedures.push(procedure);
    }

    /// The split; none where there is too little to hold out some of it.
    pub(super) fn split(mut self) -> Result<Option<Split>, DataError> {
        if self.procedures.is_empty() {
            return Ok(None);
        }
        self.procedures.sort_by(|a, b| a.id.cmp(&b.id));
        let config = SplitConfig { val_share: SHARE, stride: 1, folds: 0, fold: 0, seed: 0, labels_count: true };
        let split = Windows::new("the project".to_owned(), self.procedures, 1)?.drawn(&config)?;
        Ok(Some(split).filter(Split::holds_out))
    }
}
