//! Data on disk: `procedures/<id>/{meta.json, frames/%06d.png, labels.csv, masks/%06d.png}`, and a split by group.
//!
//! A frame is labelled by a row of `labels.csv` (end points of a needle), by a mask (class numbers), or not at all, which
//! is enough for learning without labels.

mod labels;
mod meta;
mod procedure;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use sonoseg_core::recipe::{DataRecipe, Recipe};
use sonoseg_imaging::DataError;
use sonoseg_imaging::dataset::sample::{Sample, Source};
use sonoseg_imaging::dataset::split::{Side, Split};

pub(crate) use labels::{LabelRow, read_rows, write_labels};
pub(crate) use meta::{Ingested, KEYS, Meta};
pub(crate) use procedure::{Numbered, ProcedureFolder};

use crate::files;

/// A data set on disk, as windows of consecutive frames.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    pub(crate) procedures: Vec<ProcedureFolder>,
    root: PathBuf,
    /// Procedure and first frame of every sample.
    windows: Vec<(usize, usize)>,
    window: usize,
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

impl Folder {
    /// Open a data set; frames are read later, when asked for.
    pub(crate) fn open(root: &Path, window: usize) -> Result<Self> {
        let paths = procedure_folders(root)?;
        let procedures = paths.iter().map(|path| ProcedureFolder::open(path)).collect::<Result<Vec<_>>>()?;
        let windows: Vec<(usize, usize)> = procedures
            .iter()
            .enumerate()
            .flat_map(|(p, procedure)| procedure.windows(window).map(move |first| (p, first)))
            .collect();
        if windows.is_empty() {
            let what = if window > 1 { format!("holds no {window} frames in a row") } else { "holds no frames".into() };
            return Err(DataError::unreadable(files::absolute(&root.join("procedures")), what).into());
        }
        Ok(Self { procedures, root: root.to_owned(), windows, window })
    }

    /// The data as a run sees them: windows as long as its network reads, and the class that it looks for.
    pub(crate) fn for_recipe(root: &Path, recipe: &Recipe) -> Result<Self> {
        let data = Self::open(root, recipe.network.settings().frames().window())?;
        Ok(match &recipe.data.class {
            Some(class) => data.with_class(class)?,
            None => data,
        })
    }

    /// The same data with one class of the masks as the foreground, by name or number. Without it every class is, or the
    /// one that `meta.json` chooses.
    pub(crate) fn with_class(mut self, wanted: &str) -> Result<Self, DataError> {
        let known = |name: &str| self.procedures.iter().any(|p| p.class_names().contains(name));
        if wanted.parse::<u8>().is_err() && wanted != DataRecipe::ANY_CLASS && !known(wanted) {
            let names: BTreeSet<&str> = self.procedures.iter().flat_map(ProcedureFolder::class_names).collect();
            let names = names.into_iter().collect::<Vec<_>>().join(", ");
            let names = if names.is_empty() { "meta.json names none".into() } else { format!("there are {names}") };
            let root = files::absolute(&self.root);
            return Err(DataError::Inconsistent(format!("{root}: no mask has a class {wanted}; {names}")));
        }
        let elsewhere =
            self.procedures.iter().find_map(|one| Some((one.class_number(wanted)?, one.meta.classes.clone())));
        for procedure in &mut self.procedures {
            procedure.choose_class(wanted, elsewhere.as_ref())?;
        }
        Ok(self)
    }

    /// All groups: patients where `meta.json` says so, else procedures.
    pub(crate) fn groups(&self) -> BTreeSet<String> {
        self.procedures.iter().map(|procedure| procedure.group().to_owned()).collect()
    }

    /// Of what kind every group is: what `meta.json` says, or the classes that its masks hold.
    fn strata(&self) -> Result<BTreeMap<String, String>> {
        let mut kinds: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for procedure in &self.procedures {
            let kinds = kinds.entry(procedure.group().to_owned()).or_default();
            match &procedure.meta.stratum {
                Some(stratum) => kinds.extend([stratum.clone()]),
                None => kinds.extend(procedure.classes_seen()?.iter().map(u8::to_string)),
            }
        }
        let joined = |kinds: BTreeSet<String>| kinds.into_iter().collect::<Vec<_>>().join("+");
        Ok(kinds.into_iter().map(|(group, kinds)| (group, joined(kinds))).collect())
    }

    /// A split by group; by stretches of time where only one can measure; nothing is held out where `val_share` is 0.
    /// Where labels count, groups of which nothing is labelled do not measure anything: they are for learning.
    pub(crate) fn drawn(&self, val_share: f64, seed: u64, labels_count: bool) -> Result<Split, DataError> {
        let groups = self.groups();
        if val_share == 0.0 {
            return Ok(Split::all(&groups));
        }
        let labelled: BTreeSet<String> =
            self.procedures.iter().filter(|one| one.any_labelled()).map(|one| one.group().to_owned()).collect();
        let measuring = if labels_count { &labelled } else { &groups };
        if measuring.len() < 2 {
            let recordings = self.procedures.iter().filter(|one| measuring.contains(one.group()));
            let recordings: Vec<_> = recordings.map(|one| (one.id.clone(), one.frame_numbers(labels_count))).collect();
            return Ok(Split::within(&groups, &recordings, val_share, self.window, seed));
        }
        if measuring.len() == groups.len() {
            return Split::draw(&groups, val_share, seed);
        }
        let mut split = Split::draw(&labelled, val_share, seed)?;
        split.train.extend(groups.difference(&labelled).cloned());
        Ok(split)
    }

    /// The fold that a recipe asks for; else the split stored with the data, or one drawn by group.
    pub(crate) fn split(&self, recipe: &Recipe) -> Result<Split> {
        let Recipe { data, seed, task, .. } = recipe;
        if data.folds > 0 {
            return Ok(Split::fold(&self.strata()?, [data.fold, data.folds], *seed)?);
        }
        let path = self.root.join("splits.json");
        let groups = self.groups();
        let split: Split = if path.exists() {
            serde_json::from_str(&files::read_text(&path)?)
                .map_err(|e| DataError::unreadable(files::absolute(&path), e))?
        } else {
            self.drawn(data.val_share, *seed, task.reads_labels())?
        };
        split.check()?;
        if let Some(unknown) = split.train.union(&split.val).find(|name| !groups.contains(*name)) {
            let message = format!("the split names {unknown}, which {} does not have", files::absolute(&self.root));
            return Err(DataError::Inconsistent(message).into());
        }
        Ok(split)
    }

    /// Numbers of the samples of one side of a split, or of all; every `stride`-th of each procedure, labelled or not.
    pub(crate) fn samples(&self, side: Option<(&Split, Side)>, stride: usize) -> Vec<usize> {
        let chosen = |&(p, first): &(usize, usize)| {
            let procedure = &self.procedures[p];
            let frames = [first, first + self.window - 1].map(|position| procedure.number(position));
            let there =
                side.is_none_or(|(split, side)| split.side(procedure.group(), &procedure.id, frames) == Some(side));
            there && first.is_multiple_of(stride.max(1))
        };
        self.windows.iter().enumerate().filter(|(_, window)| chosen(window)).map(|(index, _)| index).collect()
    }

    /// Those of [`Folder::samples`] whose frames are all labelled.
    pub(crate) fn labelled_samples(&self, side: Option<(&Split, Side)>, stride: usize) -> Vec<usize> {
        let labelled = |index: &usize| {
            let (p, first) = self.windows[*index];
            self.procedures[p].is_labelled(first, self.window)
        };
        self.samples(side, stride).into_iter().filter(labelled).collect()
    }

    /// Where the data lie.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Name of a sample: its procedure and the number of its middle frame.
    pub(crate) fn id(&self, index: usize) -> String {
        let (p, first) = self.windows[index];
        let procedure = &self.procedures[p];
        format!("{}/{:06}", procedure.id, procedure.number(first + self.window / 2))
    }

    /// Procedure of a sample.
    pub(crate) fn procedure(&self, index: usize) -> &ProcedureFolder {
        &self.procedures[self.windows[index].0]
    }
}

impl Source for Folder {
    fn len(&self) -> usize {
        self.windows.len()
    }

    fn group(&self, index: usize) -> &str {
        self.procedure(index).group()
    }

    fn load(&self, index: usize) -> Result<Sample, DataError> {
        let (p, first) = self.windows[index];
        let procedure = &self.procedures[p];
        let mut frames = Vec::with_capacity(self.window);
        let mut targets = Vec::with_capacity(self.window);
        for position in first..first + self.window {
            let (image, target) = procedure.load(position)?;
            frames.push(image);
            targets.push(target);
        }
        Ok(Sample { id: self.id(index), group: procedure.group().to_owned(), frames, targets })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sonoseg_imaging::dataset::sample::Target;
    use sonoseg_imaging::formats::encode::{encode_png_grey, encode_png_mask};
    use sonoseg_imaging::geometry::Mask;

    /// Two procedures of 3 x 2 pixels: `a` with masks and `b` with end points for one frame of its three.
    fn made_up() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, bytes: &[u8]| files::write(&root.path().join("procedures").join(path), bytes).unwrap();
        for (id, frames) in [("a", [0, 1, 3]), ("b", [0, 1, 2])] {
            for frame in frames {
                let png = encode_png_grey(2, 3, &[frame, 1, 2, 3, 4, 5]).unwrap();
                write(&format!("{id}/frames/{frame:06}.png"), &png);
            }
        }
        let classes = vec![0, 1, 2, 2, 0, 1];
        let mask = encode_png_mask(&Mask { height: 2, width: 3, classes }).unwrap();
        write("a/masks/000003.png", &mask);
        write("a/meta.json", br#"{"group": "anna", "classes": ["background", "nerve", "vessel"]}"#);
        write("b/meta.json", br#"{"group": "anna"}"#);
        write("b/labels.csv", b"frame,x1,y1,x2,y2\n1,0,0,2,1\n");
        root
    }

    fn mask_of(folder: &Folder) -> Vec<u8> {
        let sample = folder.load(2).unwrap();
        match &sample.targets[0] {
            Target::Mask(mask) => mask.classes.clone(),
            other => panic!("{} has {}", sample.id, other.what()),
        }
    }

    #[test]
    fn masks_and_labels_go_by_the_numbers_of_the_frames() {
        let root = made_up();
        let folder = Folder::open(root.path(), 1).unwrap();
        assert_eq!(folder.groups(), BTreeSet::from(["anna".to_owned()]));
        let labelled = folder.labelled_samples(None, 1);
        let names: Vec<String> = labelled.iter().map(|&index| folder.load(index).unwrap().id).collect();
        assert_eq!(names, ["a/000003", "b/000001"]);
        assert_eq!(folder.samples(None, 1).len(), 6);
        assert_eq!(mask_of(&folder), [0, 1, 2, 2, 0, 1]);
        let otto = Split { train: BTreeSet::from(["otto".to_owned()]), ..Split::default() };
        assert!(folder.labelled_samples(Some((&otto, Side::Train)), 1).is_empty());
        // A window does not reach over the gap between frames 1 and 3.
        assert_eq!(Folder::open(root.path(), 2).unwrap().len(), 3);
    }

    #[test]
    fn a_class_is_chosen_by_name_or_number() {
        let root = made_up();
        let folder = || Folder::open(root.path(), 1).unwrap();
        assert_eq!(mask_of(&folder().with_class("vessel").unwrap()), [0, 0, 1, 1, 0, 0]);
        assert_eq!(mask_of(&folder().with_class("1").unwrap()), [0, 1, 0, 0, 0, 1]);
        let message = folder().with_class("bone").unwrap_err().to_string();
        assert!(message.contains("nerve, vessel"), "{message}");
        assert_eq!(mask_of(&folder().with_class("any").unwrap()), [0, 1, 1, 1, 0, 1]);
        assert!(folder().with_class("3").unwrap_err().to_string().contains("there is no class 3"));
        let meta = root.path().join("procedures/a/meta.json");
        files::write(&meta, br#"{"classes": ["background", "nerve", "vessel"], "class": "nerve"}"#).unwrap();
        assert_eq!(mask_of(&folder()), [0, 1, 0, 0, 0, 1], "meta.json chooses");
    }

    #[test]
    fn a_mask_of_another_size_is_refused_by_name() {
        let root = made_up();
        let path = root.path().join("procedures/a/masks/000003.png");
        files::write(&path, &encode_png_mask(&Mask::empty(3, 3)).unwrap()).unwrap();
        let message = Folder::open(root.path(), 1).unwrap().load(2).unwrap_err().to_string();
        assert!(message.contains("000003.png") && message.contains("3x3"), "{message}");
    }

    #[test]
    fn single_pictures_make_no_windows() {
        let root = made_up();
        files::write(&root.path().join("procedures/b/meta.json"), br#"{"stills": true}"#).unwrap();
        assert_eq!(Folder::open(root.path(), 1).unwrap().len(), 6);
        assert_eq!(Folder::open(root.path(), 2).unwrap().len(), 1, "frames 0 and 1 of procedure a");
    }
}
