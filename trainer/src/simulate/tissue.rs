//! `sonoseg simulate needle --tissue`: which file of which folder is the ground of a procedure, and its frames.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use sonoseg_imaging::DataError;
use sonoseg_imaging::rng::Rng;
use sonoseg_imaging::synthetic::{NeedleSimConfig, Procedure, simulate_in_tissue};

use crate::args::SimulateNeedle;
use crate::files;
use crate::ingest::GroundFile;
use crate::terminal::warn;

/// The folders that were given.
pub(super) struct Tissue {
    folders: Vec<Folder>,
    /// Files that could not be used, with the reason.
    unusable: Mutex<BTreeMap<String, String>>,
}

struct Folder {
    /// As it was given, for messages.
    path: String,
    name: String,
    /// In the order in which they are used.
    files: Vec<GroundFile>,
}

/// Where the tissue of a procedure comes from.
pub(super) struct TissueFrom {
    /// Name of the folder that was given.
    pub(super) folder: String,
    /// Path of the file below it.
    file: String,
}

impl TissueFrom {
    /// One source file is one group: splits never cut it.
    pub(super) fn group(&self) -> String {
        format!("{}/{}", self.folder, self.file)
    }
}

impl Tissue {
    /// Look for pictures and clips in all folders.
    pub(super) fn find(verb: &SimulateNeedle) -> Result<Self> {
        let folder = |(number, path): (usize, &std::path::PathBuf)| -> Result<Folder> {
            let found = GroundFile::find(path, &verb.out)?;
            let mut rng = Rng::stream(verb.seed, "order of tissue", [number as u64, 0]);
            let files = rng.permutation(found.len()).into_iter().map(|at| found[at].clone()).collect();
            let whole = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            let whole = whole.canonicalize().unwrap_or(whole);
            let name = whole.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Ok(Folder { path: files::absolute(path), name, files })
        };
        let folders = verb.tissue.iter().enumerate().map(folder).collect::<Result<_>>()?;
        Ok(Self { folders, unusable: Mutex::default() })
    }

    /// Procedure `index`: folders take turns, and in each its files. A file that cannot be used leaves its turn to the next.
    pub(super) fn procedure(
        &self,
        verb: &SimulateNeedle,
        config: &NeedleSimConfig,
        index: u64,
    ) -> Result<(Procedure, TissueFrom)> {
        let folder = &self.folders[index as usize % self.folders.len()];
        let turn = index as usize / self.folders.len();
        let mut first = None;
        for attempt in 0..folder.files.len() {
            let file = &folder.files[(turn + attempt) % folder.files.len()];
            let place = Rng::stream(verb.seed, "place in a clip", [index, 0]).uniform(0.0, 1.0);
            let made = file
                .frames(verb.frames, place)
                .and_then(|ground| simulate_in_tissue(config, verb.seed, index, &ground, verb.frames));
            match made {
                Ok(procedure) => {
                    return Ok((procedure, TissueFrom { folder: folder.name.clone(), file: file.below.clone() }));
                }
                Err(error) => {
                    let reason = error.to_string();
                    first.get_or_insert_with(|| format!("{}: {reason}", file.below));
                    let mut unusable = self.unusable.lock().unwrap_or_else(PoisonError::into_inner);
                    unusable.insert(files::absolute(&file.path), reason);
                }
            }
        }
        let message = format!(
            "{}: none of its {} pictures and clips can be used ({}): give a folder of ultrasound frames",
            folder.path,
            folder.files.len(),
            first.unwrap_or_default()
        );
        Err(DataError::Inconsistent(message).into())
    }

    /// Say which files were passed over.
    pub(super) fn tell_unusable(&self) {
        for (name, reason) in self.unusable.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let told = reason.strip_prefix(&format!("{name}: ")).unwrap_or(reason);
            warn(format!("{name} was passed over: {told}"));
        }
    }
}
