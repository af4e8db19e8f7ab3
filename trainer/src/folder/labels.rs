//! `labels.csv` of a procedure on disk.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use sonoseg_imaging::DataError;
pub(crate) use sonoseg_imaging::dataset::labels::LabelRow;
use sonoseg_imaging::dataset::labels::{self, ReadRow};
use sonoseg_imaging::geometry::Needle;

use crate::files;

/// Every row of a `labels.csv`, the wrong ones with their reason. It fails only when the file cannot be read at all.
pub(crate) fn read_rows(path: &Path) -> Result<Vec<ReadRow>> {
    Ok(labels::read_labels(&files::read(path)?))
}

/// The labels by frame. The first wrong row is an error.
pub(crate) fn read_labels(path: &Path) -> Result<BTreeMap<usize, Option<Needle>>> {
    let bad = |line: usize, e: String| DataError::unreadable(files::absolute(path), format!("line {line}: {e}"));
    let rows = read_rows(path)?.into_iter().map(|(line, row)| row.map_err(|e| bad(line, e)));
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Write `labels.csv`.
pub(crate) fn write_labels(path: &Path, rows: impl IntoIterator<Item = LabelRow>) -> Result<()> {
    files::write(path, &labels::write_labels(rows).context("writing labels")?)
}
