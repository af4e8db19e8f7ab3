//! `--by`: the frames of an evaluation in bins, by what is true of their needle or object, or by what the data or a table of
//! the user say of them.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};
use sonoseg_imaging::DataError;
use sonoseg_imaging::dataset::columns::{Column, Columns};
use sonoseg_imaging::evaluate::bins::{Bin, By, bins_of_column};
use sonoseg_imaging::evaluate::{Figures, Frame, Traits};

use super::Chosen;
use super::measure::{Evaluation, Method};
use crate::failure::Usage;
use crate::files;
use crate::folder::Folder;
use crate::terminal::warn;

/// Something that frames are sorted by.
#[derive(Clone, Debug)]
pub(crate) enum Sorting {
    /// What is true of their needle or object.
    Trait(By),
    /// What is said of them.
    Column(Column),
}

/// The frames of an evaluation in bins, with the figures of both methods.
#[derive(Debug)]
pub(crate) struct Sorted {
    /// What they are sorted by.
    pub(crate) name: String,
    /// The same with its unit.
    pub(crate) label: String,
    pub(crate) bins: Vec<Measured>,
}

/// A bin with its figures.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) bin: Bin,
    pub(crate) model: Figures,
    pub(crate) baseline: Figures,
}

impl Sorting {
    /// What the names stand for: traits of labels before columns of meta.json, of `frames.csv` and `labels.csv` beside it, and
    /// of the `table` of the user.
    ///
    /// # Errors
    /// When there is nothing with a name; the message lists what there is.
    pub(crate) fn named(names: &[String], table: Option<&Path>, data: &Folder, chosen: &Chosen) -> Result<Vec<Self>> {
        let traits = of_labels(data, &chosen.groups);
        let columns = if names.is_empty() { Columns::default() } else { columns(table, data, &chosen.groups)? };
        let sorting = |name: &String| -> Result<Self> {
            let asked = plain(name);
            if let Some(by) = By::named(&asked).filter(|by| traits.contains(by)) {
                if columns.get(&asked).is_some() {
                    warn(format!(
                        "--by {asked} is what the labels say; the column of this name is not looked at: call it otherwise"
                    ));
                }
                return Ok(Self::Trait(by));
            }
            columns.get(&asked).cloned().map(Self::Column).ok_or_else(|| {
                let of_labels: Vec<&str> = traits.iter().map(|by| by.name()).collect();
                let said: Vec<&str> = columns.names().collect();
                let said = if said.is_empty() { "no columns".into() } else { said.join(", ") };
                Usage(format!(
                    "--by: frames cannot be sorted by {name}. Of their labels there are {}; the data say {said}; --table \
                     FILE gives columns of your own",
                    of_labels.join(", ")
                ))
                .into()
            })
        };
        let mut asked = BTreeSet::new();
        names.iter().filter(|name| !plain(name).is_empty() && asked.insert(plain(name))).map(sorting).collect()
    }

    /// All traits of the labels of the chosen data.
    pub(crate) fn of_labels(data: &Folder, chosen: &Chosen) -> Vec<Self> {
        of_labels(data, &chosen.groups).into_iter().map(Self::Trait).collect()
    }

    fn name(&self) -> &str {
        match self {
            Self::Trait(by) => by.name(),
            Self::Column(column) => &column.name,
        }
    }

    /// The frames in bins, with the figures of each.
    pub(crate) fn sort(&self, evaluation: &Evaluation) -> Sorted {
        let bins = match self {
            Self::Trait(by) => {
                let traits: Vec<Traits> = evaluation.frames.iter().map(|frame| frame.traits).collect();
                by.bins(&traits)
            }
            Self::Column(column) => {
                let cells: Vec<Option<&str>> = evaluation.frames.iter().map(|frame| cell(column, frame)).collect();
                bins_of_column(&cells)
            }
        };
        let label = match self {
            Self::Trait(by) => by.label(),
            Self::Column(column) => &column.name,
        };
        let measured = |bin: Bin| {
            let frames: Vec<&Frame> = bin.frames.iter().map(|&at| &evaluation.frames[at]).collect();
            let [model, baseline] = [Method::Model, Method::Baseline].map(|method| method.figures(&frames));
            Measured { bin, model, baseline }
        };
        let bins = bins.into_iter().map(measured).collect();
        Sorted { name: self.name().to_owned(), label: label.to_owned(), bins }
    }
}

impl Sorted {
    /// For `metrics.json`: a bin with its frames and the figures of both methods.
    pub(crate) fn json(&self) -> Value {
        let bin = |measured: &Measured| {
            let Measured { bin, model, baseline } = measured;
            let groups = model.overlap_groups.len();
            json!({
                "bin": bin.name, "frames": bin.frames.len(), "procedures": groups, "model": model.figures,
                "baseline": baseline.figures,
            })
        };
        self.bins.iter().map(bin).collect()
    }

    /// The name of the bin of every frame of an evaluation.
    pub(crate) fn of_frames(&self, frames: usize) -> Vec<&str> {
        let mut names = vec![""; frames];
        for Measured { bin, .. } in &self.bins {
            bin.frames.iter().for_each(|&at| names[at] = &bin.name);
        }
        names
    }
}

/// A name without the blanks and capitals that do not count.
fn plain(name: &str) -> String {
    name.trim().to_ascii_lowercase()
}

/// What a column says of a frame, which is called like `p003/000017`.
fn cell<'a>(column: &'a Column, frame: &Frame) -> Option<&'a str> {
    let (procedure, number) = frame.id.rsplit_once('/')?;
    column.cell(procedure, number.parse().ok()?)
}

/// The traits that the labels of some groups have.
fn of_labels(data: &Folder, groups: &BTreeSet<String>) -> Vec<By> {
    let chosen = || data.procedures.iter().filter(|one| groups.contains(one.group()));
    let needles = chosen().any(|one| !one.end_points().is_empty());
    let masks = chosen().any(|one| one.end_points().is_empty() && one.mask_files().next().is_some());
    let needles = By::OF_NEEDLES.into_iter().filter(|_| needles);
    needles.chain(By::OF_MASKS.into_iter().filter(|_| masks)).collect()
}

/// Everything that the data of some groups, and the table of the user, say of frames.
fn columns(table: Option<&Path>, data: &Folder, groups: &BTreeSet<String>) -> Result<Columns> {
    let mut columns = Columns::default();
    let mut known = BTreeSet::new();
    for procedure in data.procedures.iter().filter(|one| groups.contains(one.group())) {
        let folder = data.root().join("procedures").join(&procedure.id);
        let path = folder.join("meta.json");
        let meta = serde_json::from_str(&files::read_text(&path)?)
            .map_err(|e| DataError::unreadable(files::absolute(&path), e))?;
        columns.add_meta(&procedure.id, &meta);
        for path in ["frames.csv", "labels.csv"].map(|name| folder.join(name)).iter().filter(|path| path.exists()) {
            let added = columns.add_table(Some(&procedure.id), &files::read(path)?);
            added.map_err(|reason| DataError::unreadable(files::absolute(path), reason))?;
        }
        known.insert(procedure.id.clone());
    }
    if let Some(path) = table {
        let unusable = |reason: String| DataError::unreadable(files::absolute(path), reason);
        let about = columns.add_table(None, &files::read(path)?).map_err(unusable)?;
        if about.is_disjoint(&known) {
            let first = about.first().map_or("it has no rows".into(), |name| format!("it begins with {name}"));
            let reason = format!("no row of it is about a procedure that is evaluated: {first}");
            return Err(unusable(reason).into());
        }
    }
    Ok(columns)
}
