//! `labels.csv`: the ends of the visible shaft of every labelled frame.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sonoseg_core::data::DataError;
use sonoseg_core::needle::{Needle, Point};

use crate::files;

/// A row of `labels.csv`: the ends of the visible shaft in pixels of the stored frame; blank = no needle visible.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LabelRow {
    pub(crate) frame: usize,
    /// Entry.
    pub(crate) x1: Option<f64>,
    pub(crate) y1: Option<f64>,
    /// Tip.
    pub(crate) x2: Option<f64>,
    pub(crate) y2: Option<f64>,
}

impl LabelRow {
    pub(crate) fn new(frame: usize, needle: Option<&Needle>) -> Self {
        let ends = needle.map(|needle| (needle.entry, needle.tip));
        Self {
            frame,
            x1: ends.map(|e| e.0.x),
            y1: ends.map(|e| e.0.y),
            x2: ends.map(|e| e.1.x),
            y2: ends.map(|e| e.1.y),
        }
    }

    pub(crate) fn needle(&self) -> Result<Option<Needle>, String> {
        match (self.x1, self.y1, self.x2, self.y2) {
            (None, None, None, None) => Ok(None),
            (Some(x1), Some(y1), Some(x2), Some(y2)) if [x1, y1, x2, y2].iter().all(|v| v.is_finite()) => {
                Ok(Some(Needle { entry: Point { x: x1, y: y1 }, tip: Point { x: x2, y: y2 } }))
            }
            _ => Err("give all four coordinates as numbers, or leave all four blank".into()),
        }
    }
}

/// One row as read: its line in the file, and the frame with its label or what is wrong with it.
pub(crate) type ReadRow = (usize, Result<(usize, Option<Needle>), String>);

/// Every row of a `labels.csv`, the wrong ones with their reason. It fails only when the file cannot be read at all.
pub(crate) fn read_rows(path: &Path) -> Result<Vec<ReadRow>> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(Cursor::new(files::read(path)?));
    let row = |row: Result<LabelRow, csv::Error>| -> Result<(usize, Option<Needle>), String> {
        let row = row.map_err(|e| e.to_string())?;
        Ok((row.frame, row.needle()?))
    };
    Ok(reader.deserialize().enumerate().map(|(index, read)| (index + 2, row(read))).collect())
}

/// The labels by frame. The first wrong row is an error.
pub(crate) fn read_labels(path: &Path) -> Result<BTreeMap<usize, Option<Needle>>> {
    let bad = |line: usize, e: String| DataError::unreadable(files::absolute(path), format!("line {line}: {e}"));
    let rows = read_rows(path)?.into_iter().map(|(line, row)| row.map_err(|e| bad(line, e)));
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Write `labels.csv`.
pub(crate) fn write_labels(path: &Path, rows: impl IntoIterator<Item = LabelRow>) -> Result<()> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.serialize(row)?;
    }
    files::write(path, &writer.into_inner().context("writing labels")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_whole_or_blank() {
        let row = |x1, y2| LabelRow { frame: 0, x1, y1: Some(1.0), x2: Some(2.0), y2 };
        assert!(row(Some(0.0), Some(3.0)).needle().unwrap().is_some());
        assert!(row(None, Some(3.0)).needle().is_err());
        assert!(row(Some(f64::NAN), Some(3.0)).needle().is_err());
        assert!(LabelRow::new(4, None).needle().unwrap().is_none());
    }
}
