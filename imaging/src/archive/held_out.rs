//! What a data set that is taken out holds out for measuring.

use crate::DataError;
use crate::dataset::folder::{Listed, Numbered};
use crate::dataset::labels::read_labels;
use crate::dataset::meta::Meta;
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
    /// A procedure of so many frames, with the text of its `labels.csv` and the frames that have a mask.
    pub(super) fn add(
        &mut self,
        id: &str,
        meta: Meta,
        frames: usize,
        table: &[u8],
        masks: &[usize],
    ) -> Result<(), DataError> {
        let names = |numbers: &mut dyn Iterator<Item = usize>| {
            Numbered::of(numbers.map(|number| format!("{number:06}.png")).collect::<Vec<_>>())
        };
        let (frames, masks) = (names(&mut (0..frames)), names(&mut masks.iter().copied()));
        let labels = if table.is_empty() { Vec::new() } else { read_labels(table) };
        let listed = Listed { meta, frames, masks, labels };
        self.procedures.push(Procedure::new(id.to_owned(), listed, |file| format!("procedures/{id}/{file}"))?);
        Ok(())
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
