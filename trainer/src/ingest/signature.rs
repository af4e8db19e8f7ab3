//! What a procedure is made from, as a hash: an ingest that goes on knows by it what it has made already.

use std::fs::{self, File};
use std::path::PathBuf;

use anyhow::Result;
use sha2::{Digest, Sha256};
use sonoseg_imaging::DataError;

use super::endpoints::Labels;
use super::pairs::Still;
use super::plan::{Content, Planned};
use crate::args::{Damaged, Ingest};
use crate::files;

/// All that decides what a procedure becomes, but the names of the classes.
pub(super) struct Signature<'a> {
    verb: &'a Ingest,
    planned: &'a Planned,
    labels: &'a Labels,
    /// Names and contents of its files.
    contents: Sha256,
    /// Names and sizes of its files, by which earlier versions knew them.
    sizes: Sha256,
}

impl<'a> Signature<'a> {
    pub(super) fn new(verb: &'a Ingest, planned: &'a Planned, labels: &'a Labels) -> Result<Self> {
        let paths: Vec<&PathBuf> = match &planned.content {
            Content::Clip(clip) => vec![&clip.file.path],
            Content::Stills { stills, .. } => {
                stills.iter().flat_map(|still| std::iter::once(&still.file.path).chain(&still.masks)).collect()
            }
        };
        let (mut contents, mut sizes) = (Sha256::new(), Sha256::new());
        for path in paths {
            let name = files::absolute(path);
            let unreadable = |e: std::io::Error| DataError::unreadable(name.clone(), e);
            sizes.update(format!("{name}\n{}\n", fs::metadata(path).map_err(unreadable)?.len()));
            contents.update(format!("{name}\n"));
            let mut file = Sha256::new();
            std::io::copy(&mut File::open(path).map_err(unreadable)?, &mut file).map_err(unreadable)?;
            contents.update(file.finalize());
        }
        Ok(Self { verb, planned, labels, contents, sizes })
    }

    /// The signature where the classes have these names.
    pub(super) fn of(&self, names: &[String]) -> String {
        self.finish(self.contents.clone(), names)
    }

    /// Whether a procedure with this signature was made from the same, with the first of the names: sources that came later
    /// may have added classes behind those that were known then.
    pub(super) fn made(&self, stored: &str, names: &[String]) -> bool {
        (0..=names.len()).map(|known| &names[..known]).any(|known| {
            [&self.contents, &self.sizes].into_iter().any(|files| self.finish(files.clone(), known) == stored)
        })
    }

    fn finish(&self, mut hash: Sha256, names: &[String]) -> String {
        let Self { verb, planned, labels, .. } = self;
        let masks = matches!(&planned.content, Content::Stills { stills, .. } if stills.iter().any(Still::is_labelled));
        let names = masks.then_some(names);
        let objects = verb.one_class.then_some(&verb.background);
        let settings = (verb.tolerance, verb.fps, verb.unlisted, verb.fill, objects, names, &planned.group);
        hash.update(format!("{settings:?}{labels:?}"));
        if verb.normalised {
            hash.update("normalised");
        }
        if let Content::Stills { stills, .. } = &planned.content {
            stills.iter().filter_map(|still| still.drawn.as_ref()).for_each(|drawn| hash.update(format!("{drawn:?}")));
        }
        if let Some(stratum) = &planned.stratum {
            hash.update(stratum);
        }
        if masks && !verb.ignore.is_empty() {
            hash.update(format!("{:?}", verb.ignore));
        }
        if verb.damaged == Damaged::Keep {
            hash.update("damaged videos are kept");
        }
        hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}
