//! A data set: its procedures as windows of consecutive frames, the class that is looked for, and the split by group. What
//! `procedures/<id>/{meta.json, frames/%06d.png, labels.csv or masks/%06d.png}` and `splits.json` mean; the files are read by
//! others.

use std::collections::{BTreeMap, BTreeSet};

use super::finding::Finding;
use super::procedure::Procedure;
use super::split::{Side, Split};
use crate::DataError;

/// A data set as windows of consecutive frames.
#[derive(Clone, Debug)]
pub struct Windows {
    /// Where the data lie, for messages.
    name: String,
    /// The procedures in the order of their names.
    pub procedures: Vec<Procedure>,
    /// Procedure and first frame of every sample.
    windows: Vec<(usize, usize)>,
    window: usize,
}

/// How data are to be split.
#[derive(Clone, Copy, Debug)]
pub struct SplitConfig {
    /// Share of the groups, or of the frames of a single one, that is held out; 0 = nothing.
    pub val_share: f64,
    /// Folds of a cross-validation; 0 = none.
    pub folds: usize,
    /// Which of them is held out.
    pub fold: usize,
    /// Seed of what is drawn.
    pub seed: u64,
    /// Whether what is not labelled can neither teach nor measure.
    pub labels_count: bool,
}

impl Windows {
    /// Windows of `window` frames in a row. There must be one.
    pub fn new(name: String, procedures: Vec<Procedure>, window: usize) -> Result<Self, DataError> {
        let all = procedures.iter().enumerate();
        let windows: Vec<(usize, usize)> =
            all.flat_map(|(p, procedure)| procedure.windows(window).map(move |first| (p, first))).collect();
        if windows.is_empty() {
            let what = if window > 1 { format!("holds no {window} frames in a row") } else { "holds no frames".into() };
            return Err(DataError::unreadable(format!("{name}/procedures"), what));
        }
        Ok(Self { name, procedures, windows, window })
    }

    /// The same data with one class of the masks as the foreground, by name or number. Without it every class is, or the
    /// one that `meta.json` chooses.
    pub fn with_class(mut self, wanted: &str) -> Result<Self, DataError> {
        let known = |name: &str| self.procedures.iter().any(|p| p.class_names().contains(name));
        if wanted.parse::<u8>().is_err() && wanted != Finding::ANY_CLASS && !known(wanted) {
            let names: BTreeSet<&str> = self.procedures.iter().flat_map(Procedure::class_names).collect();
            let names = names.into_iter().collect::<Vec<_>>().join(", ");
            let names = if names.is_empty() { "meta.json names none".into() } else { format!("there are {names}") };
            let root = &self.name;
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
    pub fn groups(&self) -> BTreeSet<String> {
        self.procedures.iter().map(|procedure| procedure.group().to_owned()).collect()
    }

    /// A split by group; by stretches of time where only one can measure; nothing is held out where `val_share` is 0.
    /// Where labels count, groups of which nothing is labelled do not measure anything: they are for learning.
    pub fn drawn(&self, wanted: &SplitConfig) -> Result<Split, DataError> {
        let SplitConfig { val_share, seed, labels_count, .. } = *wanted;
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

    /// The fold that is asked for, by kinds that `kinds` gives of every group; else the split stored with the data, of which
    /// the name and the text are given; else one that is drawn.
    pub fn split(
        &self,
        wanted: &SplitConfig,
        stored: Option<(&str, &str)>,
        kinds: impl FnOnce() -> Result<BTreeMap<String, String>, DataError>,
    ) -> Result<Split, DataError> {
        if wanted.folds > 0 {
            return Split::fold(&kinds()?, [wanted.fold, wanted.folds], wanted.seed);
        }
        let groups = self.groups();
        let split: Split = match stored {
            Some((name, text)) => serde_json::from_str(text).map_err(|e| DataError::unreadable(name, e))?,
            None => self.drawn(wanted)?,
        };
        split.check()?;
        if let Some(unknown) = split.train.union(&split.val).find(|name| !groups.contains(*name)) {
            return Err(DataError::Inconsistent(format!(
                "the split names {unknown}, which {} does not have",
                self.name
            )));
        }
        Ok(split)
    }

    /// Numbers of the samples of one side of a split, or of all; every `stride`-th of each procedure, labelled or not.
    pub fn samples(&self, side: Option<(&Split, Side)>, stride: usize) -> Vec<usize> {
        let chosen = |&(p, first): &(usize, usize)| {
            let procedure = &self.procedures[p];
            let frames = [first, first + self.window - 1].map(|position| procedure.number(position));
            let there =
                side.is_none_or(|(split, side)| split.side(procedure.group(), &procedure.id, frames) == Some(side));
            there && first.is_multiple_of(stride.max(1))
        };
        self.windows.iter().enumerate().filter(|(_, window)| chosen(window)).map(|(index, _)| index).collect()
    }

    /// Those of [`Windows::samples`] whose frames are all labelled.
    pub fn labelled_samples(&self, side: Option<(&Split, Side)>, stride: usize) -> Vec<usize> {
        let labelled = |index: &usize| {
            let (p, first) = self.windows[*index];
            self.procedures[p].is_labelled(first, self.window)
        };
        self.samples(side, stride).into_iter().filter(labelled).collect()
    }

    /// Name of a sample: its procedure and the number of its middle frame.
    pub fn id(&self, index: usize) -> String {
        let (p, first) = self.windows[index];
        let procedure = &self.procedures[p];
        format!("{}/{:06}", procedure.id, procedure.number(first + self.window / 2))
    }

    /// Procedure of a sample.
    pub fn procedure(&self, index: usize) -> &Procedure {
        &self.procedures[self.windows[index].0]
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.windows.len()
    }

    /// Never true: a data set without samples is refused.
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// The procedure of a sample, and the positions of its frames there.
    pub fn frames(&self, index: usize) -> (&Procedure, std::ops::Range<usize>) {
        let (p, first) = self.windows[index];
        (&self.procedures[p], first..first + self.window)
    }
}
