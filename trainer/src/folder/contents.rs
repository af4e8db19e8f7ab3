//! What a data set holds, as a hash of every procedure's pictures and one of its labels: a run knows by it what it learned
//! from, whatever the files are called.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sonoseg_imaging::DataError;
use sonoseg_imaging::dataset::procedure::Procedure;

use super::Folder;
use crate::files;

/// Where a run keeps it.
pub(crate) const CONTENTS: &str = "data.json";

/// The procedures that a run uses, by name.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Contents {
    /// Version of the rule by which they are made.
    format: u32,
    procedures: BTreeMap<String, Hashes>,
}

/// Hashes in hexadecimal.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Hashes {
    /// Of the bytes of all frames in their order, with their numbers.
    pictures: String,
    /// Of the end points, the bytes of the masks, and what `meta.json` says of their values.
    labels: String,
}

const FORMAT: u32 = 1;

impl Contents {
    /// Of the procedures of these groups.
    pub(crate) fn of(data: &Folder, groups: &BTreeSet<String>) -> Result<Self> {
        let used: Vec<&Procedure> = data.procedures.iter().filter(|one| groups.contains(one.group())).collect();
        let hashed = used.par_iter().map(|procedure| Ok((procedure.id.clone(), Hashes::of(data, procedure)?)));
        Ok(Self { format: FORMAT, procedures: hashed.collect::<Result<_>>()? })
    }

    /// Those of a run; none where it began before there were any.
    pub(crate) fn of_run(run: &Path) -> Result<Option<Self>> {
        let path = run.join(CONTENTS);
        if !path.exists() {
            return Ok(None);
        }
        let read: Self = serde_json::from_str(&files::read_text(&path)?)
            .map_err(|e| DataError::unreadable(files::absolute(&path), e))?;
        Ok(Some(read).filter(|read| read.format == FORMAT))
    }

    /// What of these contents is otherwise in `now`, in words; procedures that only `now` has do not matter, and labels only
    /// where they `count`.
    pub(crate) fn changed(&self, now: &Self, count: bool) -> Option<String> {
        let (mut gone, mut pictures, mut labels) = (Vec::new(), Vec::new(), Vec::new());
        for (id, then) in &self.procedures {
            match now.procedures.get(id) {
                None => gone.push(id),
                Some(now) if now.pictures != then.pictures => pictures.push(id),
                Some(now) if count && now.labels != then.labels => labels.push(id),
                Some(_) => {}
            }
        }
        let parts = [("the pictures of", "are others", pictures), ("the labels of", "are others", labels)];
        let parts = parts.into_iter().chain([("", "is not there", gone)]).filter(|(_, _, ids)| !ids.is_empty());
        let told: Vec<String> = parts
            .map(|(what, verb, ids)| {
                let more = if ids.len() > 1 { format!(" and {} more", ids.len() - 1) } else { String::new() };
                format!("{what} {}{more} {verb}", ids[0]).trim_start().to_owned()
            })
            .collect();
        (!told.is_empty()).then(|| told.join(", and "))
    }

    /// Those of other contents that these have, too: what is not measured is not compared.
    pub(crate) fn among(mut self, others: &Self) -> Self {
        self.procedures.retain(|id, _| others.procedures.contains_key(id));
        self
    }
}

impl Hashes {
    fn of(data: &Folder, procedure: &Procedure) -> Result<Self, DataError> {
        let hash = |file: &str| -> Result<String, DataError> {
            let (_, bytes) = data.read(procedure, file)?;
            Ok(format!("{:x}", Sha256::digest(&bytes)))
        };
        let line = |index: usize| -> Result<[String; 2], DataError> {
            let number = procedure.number(index);
            let (picture, mask) = procedure.files(index);
            let mask = mask.map(|mask| Ok::<_, DataError>(format!("{number} {}\n", hash(&mask)?))).transpose()?;
            Ok([format!("{number} {}\n", hash(&picture)?), mask.unwrap_or_default()])
        };
        let lines = (0..procedure.frame_count()).into_par_iter().map(line).collect::<Result<Vec<_>, _>>()?;
        let (mut pictures, mut labels) = (Sha256::new(), Sha256::new());
        for [picture, mask] in lines {
            pictures.update(picture);
            labels.update(mask);
        }
        let meta = &procedure.meta;
        labels.update(format!("{:?} {:?} {:?} {:?}", procedure.end_points(), meta.classes, meta.class, meta.ignore));
        Ok(Self { pictures: format!("{:x}", pictures.finalize()), labels: format!("{:x}", labels.finalize()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_told_by_name() {
        let contents = |procedures: &[(&str, &str, &str)]| Contents {
            format: FORMAT,
            procedures: procedures
                .iter()
                .map(|&(id, pictures, labels)| {
                    (id.to_owned(), Hashes { pictures: pictures.to_owned(), labels: labels.to_owned() })
                })
                .collect(),
        };
        let then = contents(&[("a", "1", "1"), ("b", "1", "1"), ("c", "1", "1")]);
        let more = contents(&[("a", "1", "1"), ("b", "1", "1"), ("c", "1", "1"), ("d", "1", "1")]);
        assert_eq!(then.changed(&more, true), None);
        let other = contents(&[("a", "1", "2"), ("b", "1", "2")]);
        let told = then.changed(&other, true).unwrap();
        assert_eq!(told, "the labels of a and 1 more are others, and c is not there");
        assert_eq!(then.changed(&other, false).unwrap(), "c is not there");
        assert_eq!(then.among(&other).changed(&other, false), None);
    }
}
