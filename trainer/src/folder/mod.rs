//! Data on disk: reads the files of a data set, whose meaning `sonoseg_imaging::dataset` knows.

pub(crate) mod contents;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rayon::prelude::*;
use sonoseg_core::recipe::Recipe;
use sonoseg_imaging::DataError;
use sonoseg_imaging::dataset::folder::Listed;
pub(crate) use sonoseg_imaging::dataset::folder::Numbered;
pub(crate) use sonoseg_imaging::dataset::labels::LabelRow;
use sonoseg_imaging::dataset::labels::{self, ReadRow};
pub(crate) use sonoseg_imaging::dataset::meta::{Ingested, Meta};
use sonoseg_imaging::dataset::procedure::Procedure;
use sonoseg_imaging::dataset::sample::{Sample, Source};
use sonoseg_imaging::dataset::split::{Split, SplitConfig};
use sonoseg_imaging::dataset::windows::Windows;
use sonoseg_imaging::formats::mask::read_class_mask;
use sonoseg_imaging::geometry::Mask;

use crate::files;

/// A data set on disk.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    windows: Windows,
}

impl Deref for Folder {
    type Target = Windows;

    fn deref(&self) -> &Windows {
        &self.windows
    }
}

/// The folders of all procedures of a data set, in the order of their names.
pub(crate) fn procedure_folders(root: &Path) -> Result<Vec<PathBuf>> {
    let folder = root.join("procedures");
    let entries = fs::read_dir(&folder).map_err(|e| {
        DataError::unreadable(
            files::absolute(&folder),
            format!("{e}; a data set is a folder with procedures/<id>/{{meta.json, frames, labels.csv or masks}}"),
        )
    })?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    paths.sort();
    Ok(paths)
}

/// The numbered pictures of a folder.
pub(crate) fn numbered(folder: &Path) -> Result<Numbered> {
    let entries = fs::read_dir(folder).map_err(|e| DataError::unreadable(files::absolute(folder), e))?;
    Ok(Numbered::of(entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned())))
}

/// The `meta.json` of a procedure's folder.
pub(crate) fn read_meta(procedure: &Path) -> Result<Meta> {
    let path = procedure.join("meta.json");
    Ok(Meta::parse(&files::absolute(&path), &files::read_text(&path)?)?)
}

/// The keys of a `meta.json` that nothing reads.
pub(crate) fn unknown_keys(procedure: &Path) -> Result<Vec<String>> {
    let path = procedure.join("meta.json");
    Ok(Meta::unknown_keys(&files::absolute(&path), &files::read_text(&path)?)?)
}

/// Every row of a `labels.csv`, the wrong ones with their reason. It fails only when the file cannot be read at all.
pub(crate) fn read_rows(path: &Path) -> Result<Vec<ReadRow>> {
    Ok(labels::read_labels(&files::read(path)?))
}

/// Write `labels.csv`.
pub(crate) fn write_labels(path: &Path, rows: impl IntoIterator<Item = LabelRow>) -> Result<()> {
    files::write(path, &labels::write_labels(rows).context("writing labels")?)
}

fn procedure(path: &Path) -> Result<Procedure> {
    let id = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (masks, rows) = (path.join("masks"), path.join("labels.csv"));
    let listed = Listed {
        meta: read_meta(path)?,
        frames: numbered(&path.join("frames"))?,
        masks: if masks.is_dir() { numbered(&masks)? } else { Numbered::default() },
        labels: if rows.exists() { read_rows(&rows)? } else { Vec::new() },
    };
    let procedure = Procedure::new(id, listed, |file| files::absolute(&path.join(file)))?;
    Ok(procedure.without_unjudged(|file| read(path, file))?)
}

/// A file of a procedure's folder, with its name for messages.
fn read(procedure: &Path, file: &str) -> Result<(String, Vec<u8>), DataError> {
    let path = procedure.join(file);
    let name = files::absolute(&path);
    let bytes = fs::read(&path).map_err(|e| DataError::unreadable(name.clone(), e))?;
    Ok((name, bytes))
}

/// How a recipe splits data.
pub(crate) fn split_config(recipe: &Recipe) -> SplitConfig {
    let data = &recipe.data;
    SplitConfig {
        val_share: data.val_share,
        stride: data.stride,
        folds: data.folds,
        fold: data.fold,
        seed: recipe.seed,
        labels_count: recipe.reads().labels,
    }
}

impl Folder {
    /// Open a data set; frames are read later, when asked for.
    pub(crate) fn open(root: &Path, window: usize) -> Result<Self> {
        let procedures = procedure_folders(root)?.par_iter().map(|path| procedure(path)).collect::<Result<Vec<_>>>()?;
        Ok(Self { root: root.to_owned(), windows: Windows::new(files::absolute(root), procedures, window)? })
    }

    /// The data as a run sees them: windows as long as its task reads, and what it is to find.
    pub(crate) fn for_recipe(root: &Path, recipe: &Recipe) -> Result<Self> {
        let data = Self::open(root, recipe.reads().frames)?;
        Ok(Self { windows: data.windows.with_finding(&recipe.finding())?, ..data })
    }

    /// The fold that a recipe asks for; else the split stored with the data, or one that is drawn.
    pub(crate) fn split(&self, recipe: &Recipe) -> Result<Split> {
        let path = self.root.join("splits.json");
        let stored = if path.exists() { Some((files::absolute(&path), files::read_text(&path)?)) } else { None };
        let stored = stored.as_ref().map(|(name, text)| (&**name, &**text));
        Ok(self.windows.split(&split_config(recipe), stored, || self.kinds())?)
    }

    /// Of what kind every group is: what `meta.json` says, or the classes that its masks hold.
    fn kinds(&self) -> Result<BTreeMap<String, String>, DataError> {
        let mut kinds: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for procedure in &self.procedures {
            let kinds = kinds.entry(procedure.group().to_owned()).or_default();
            if let Some(stratum) = &procedure.meta.stratum {
                kinds.insert(stratum.clone());
                continue;
            }
            for file in procedure.mask_files() {
                let (name, bytes) = self.read(procedure, &file)?;
                let classes = read_class_mask(&name, &bytes, procedure.meta.ignore)?.classes;
                kinds.extend(classes.into_iter().filter(|&class| Mask::shows(class)).map(|class| class.to_string()));
            }
        }
        let joined = |kinds: BTreeSet<String>| kinds.into_iter().collect::<Vec<_>>().join("+");
        Ok(kinds.into_iter().map(|(group, kinds)| (group, joined(kinds))).collect())
    }

    /// A file of a procedure, with its name for messages.
    fn read(&self, procedure: &Procedure, file: &str) -> Result<(String, Vec<u8>), DataError> {
        read(&self.root.join("procedures").join(&procedure.id), file)
    }

    /// Where the data lie.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A sample; nothing has to be waited for.
    pub(crate) fn sample(&self, index: usize) -> Result<Sample, DataError> {
        pollster::block_on(self.load(index))
    }
}

impl Source for Folder {
    fn len(&self) -> usize {
        self.windows.len()
    }

    fn group(&self, index: usize) -> &str {
        self.windows.procedure(index).group()
    }

    async fn load(&self, index: usize) -> Result<Sample, DataError> {
        self.windows.load(index, |procedure, file| self.read(procedure, file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sonoseg_imaging::dataset::sample::Target;
    use sonoseg_imaging::formats::encode::{encode_png_grey, encode_png_mask};

    #[test]
    fn a_data_set_is_read_from_its_folder() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, bytes: &[u8]| files::write(&root.path().join("procedures").join(path), bytes).unwrap();
        for (id, frames) in [("a", [0, 1, 3]), ("b", [0, 1, 2])] {
            for frame in frames {
                let png = encode_png_grey(2, 3, &[frame, 1, 2, 3, 4, 5]).unwrap();
                write(&format!("{id}/frames/{frame:06}.png"), &png);
            }
        }
        let mask = Mask { height: 2, width: 3, classes: vec![0, 1, 2, 2, 0, 1] };
        write("a/masks/000003.png", &encode_png_mask(&mask).unwrap());
        write("a/meta.json", br#"{"classes": ["background", "nerve", "vessel"]}"#);
        write("b/meta.json", br#"{"group": "anna"}"#);
        write("b/labels.csv", b"frame,x1,y1,x2,y2\n1,0,0,2,1\n");
        let folder = Folder::open(root.path(), 1).unwrap();
        let labelled = folder.labelled_samples(None, 1);
        let names: Vec<String> = labelled.iter().map(|&index| folder.id(index)).collect();
        assert_eq!(names, ["a/000003", "b/000001"]);
        let [one, two] = [0, 1].map(|at| folder.sample(labelled[at]).unwrap());
        assert!(one.targets == [Target::Mask(mask)] && one.group == "a" && two.group == "anna");
        assert!(matches!(two.targets[..], [Target::Needle(Some(_))]));
        let kinds = folder.kinds().unwrap();
        assert_eq!((kinds["a"].as_str(), kinds["anna"].as_str()), ("1+2", ""));

        write("a/masks/000003.png", &encode_png_mask(&Mask::empty(3, 3)).unwrap());
        let message = folder.sample(labelled[0]).unwrap_err().to_string();
        assert!(message.contains("000003.png") && message.contains("3x3"), "{message}");
    }
}
