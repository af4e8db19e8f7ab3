//! A data set: its procedures as windows of consecutive frames, what is to be found in them, and the split by `splits.json`
//! or by drawing. The files are read by others.

use std::collections::{BTreeMap, BTreeSet};

use super::finding::Finding;
use super::procedure::Procedure;
use super::sample::Sample;
use super::split::{Side, Split, SplitConfig, Stretch};
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

    /// The same data with what is to be found in them as the foreground of the masks. Classes, given by name or number, are
    /// numbered from 1 in their order. Where needles are to be found every class counts, or the one that `meta.json`
    /// chooses.
    pub fn with_finding(mut self, finding: &Finding) -> Result<Self, DataError> {
        let Finding::Classes(wanted) = finding else { return Ok(self) };
        let names: BTreeSet<&str> = self.procedures.iter().flat_map(Procedure::class_names).collect();
        let known = |one: &str| one.parse::<u8>().is_ok() || one == Finding::ANY_CLASS || names.contains(one);
        if let Some(unknown) = wanted.iter().find(|one| !known(one)) {
            let names = names.into_iter().collect::<Vec<_>>().join(", ");
            let names = if names.is_empty() { "meta.json names none".into() } else { format!("there are {names}") };
            return Err(DataError::Inconsistent(format!("{}: no mask has a class {unknown}; {names}", self.name)));
        }
        let elsewhere = |wanted: &String| {
            self.procedures.iter().find_map(|one| Some((one.class_number(wanted)?, one.meta.classes.clone())))
        };
        let elsewhere: Vec<_> = wanted.iter().map(elsewhere).collect();
        for procedure in &mut self.procedures {
            procedure.choose_classes(wanted, &elsewhere)?;
        }
        Ok(self)
    }

    /// All groups: patients where `meta.json` says so, else procedures.
    pub fn groups(&self) -> BTreeSet<String> {
        self.procedures.iter().map(|procedure| procedure.group().to_owned()).collect()
    }

    /// A split by group; by stretches of time where only one can measure; nothing is held out where `val_share` is 0.
    /// Where labels count, groups of which nothing is labelled do not measure anything: they are for learning, unless that
    /// is true of all.
    pub fn drawn(&self, wanted: &SplitConfig) -> Result<Split, DataError> {
        let SplitConfig { val_share, stride, seed, labels_count, .. } = *wanted;
        let groups = self.groups();
        if val_share == 0.0 {
            return Ok(Split::all(&groups));
        }
        let labelled: BTreeSet<String> =
            self.procedures.iter().filter(|one| one.any_labelled()).map(|one| one.group().to_owned()).collect();
        let by_label = labels_count && !labelled.is_empty();
        let measuring = if by_label { &labelled } else { &groups };
        if measuring.len() < 2 {
            let samples = if by_label { self.labelled_samples(None, stride) } else { self.samples(None, stride) };
            let mut starts = vec![Vec::new(); self.procedures.len()];
            for sample in samples {
                let (p, first) = self.windows[sample];
                starts[p].push(self.procedures[p].number(first));
            }
            let recordings: Vec<_> = self.procedures.iter().map(|one| one.id.clone()).zip(starts).collect();
            return Ok(Split::within(&groups, &recordings, val_share, self.window, seed));
        }
        if measuring.len() == groups.len() {
            return Split::draw(&groups, val_share, seed);
        }
        let mut split = Split::draw(&labelled, val_share, seed)?;
        split.train.extend(groups.difference(&labelled).cloned());
        Ok(split)
    }

    /// The fold that is asked for, by kinds that `kinds` gives of every group; all to learn from where nothing is to be held
    /// out; else the split stored with the data, of which the name and the text are given; else one that is drawn.
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
        let split: Split = match stored.filter(|_| wanted.val_share > 0.0) {
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
        let there = |stretch: &&Stretch| self.procedures.iter().any(|one| one.id == stretch.procedure);
        if let Some(Stretch { procedure, .. }) = split.stretches.iter().find(|stretch| !there(stretch)) {
            let message = format!("the split holds out a stretch of {procedure}, which {} does not have", self.name);
            return Err(DataError::Inconsistent(message));
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

    /// Frames of a sample.
    pub fn window(&self) -> usize {
        self.window
    }

    /// Never true: a data set without samples is refused.
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// A window with its frames and what is known of each. `read` gives a file of a procedure: its name for messages, and its
    /// bytes.
    ///
    /// # Errors
    /// Of `read`, and when a file cannot be decoded or does not fit the others.
    pub fn load(
        &self,
        index: usize,
        read: impl Fn(&Procedure, &str) -> Result<(String, Vec<u8>), DataError>,
    ) -> Result<Sample, DataError> {
        let (procedure, positions) = self.frames(index);
        let loaded = positions.map(|position| procedure.load(position, |file| read(procedure, file)));
        let (frames, targets) = loaded.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
        Ok(Sample { id: self.id(index), group: procedure.group().to_owned(), frames, targets })
    }

    /// The procedure of a sample, and the positions of its frames there.
    pub fn frames(&self, index: usize) -> (&Procedure, std::ops::Range<usize>) {
        let (p, first) = self.windows[index];
        (&self.procedures[p], first..first + self.window)
    }
}

#[cfg(test)]
mod tests {
    use super::super::folder::{Listed, Numbered};
    use super::super::labels::read_labels;
    use super::super::meta::Meta;
    use super::super::sample::Target;
    use super::*;
    use crate::formats::encode::{encode_png_grey, encode_png_mask};
    use crate::geometry::Mask;

    const CLASSES: &str = r#"{"group": "anna", "classes": ["background", "nerve", "vessel"]}"#;

    /// The procedure `a`, with a mask of its frame 3, as `meta` describes it, and `b` with end points of its frame 1.
    fn data(meta: [&str; 2], window: usize) -> Result<Windows, DataError> {
        let numbered = |numbers: &[usize]| Numbered::of(numbers.iter().map(|number| format!("{number:06}.png")));
        let meta = meta.map(|text| Meta::parse("meta.json", text).unwrap());
        let [a, b] = [&[0, 1, 3], &[0, 1, 2]].map(|numbers| numbered(numbers));
        let a = Listed { meta: meta[0].clone(), frames: a, masks: numbered(&[3]), labels: vec![] };
        let labels = read_labels(b"frame,x1,y1,x2,y2\n1,0,0,2,1\n");
        let b = Listed { meta: meta[1].clone(), frames: b, masks: Numbered::default(), labels };
        let procedures = [("a", a), ("b", b)].map(|(id, listed)| Procedure::new(id.into(), listed, str::to_owned));
        let procedures = procedures.into_iter().collect::<Result<_, _>>()?;
        Windows::new("data".into(), procedures, window)
    }

    /// The mask of frame 3 of `a`, from files of 3 x 2 pixels.
    fn mask_of(data: &Windows) -> Vec<u8> {
        let read = |name: &str| {
            let mask = Mask { height: 2, width: 3, classes: vec![0, 1, 2, 2, 0, 1] };
            let bytes = if name.starts_with("masks") { encode_png_mask(&mask) } else { encode_png_grey(2, 3, &[5; 6]) };
            Ok((name.to_owned(), bytes?))
        };
        let (procedure, positions) = data.frames(2);
        let (_, target) = procedure.load(positions.start, read).unwrap();
        match target {
            Target::Mask(mask) => mask.classes,
            other => panic!("{}", other.what()),
        }
    }

    #[test]
    fn masks_and_labels_go_by_the_numbers_of_the_frames() {
        let anna = [CLASSES, r#"{"group": "anna"}"#];
        let all = data(anna, 1).unwrap();
        assert_eq!(all.groups(), BTreeSet::from(["anna".to_owned()]));
        let names: Vec<String> = all.labelled_samples(None, 1).iter().map(|&index| all.id(index)).collect();
        assert_eq!(names, ["a/000003", "b/000001"]);
        assert_eq!((all.samples(None, 1).len(), all.samples(None, 2).len()), (6, 4));
        let otto = Split { train: BTreeSet::from(["otto".to_owned()]), ..Split::default() };
        assert!(all.labelled_samples(Some((&otto, Side::Train)), 1).is_empty());
        // A window does not reach over the gap between frames 1 and 3, nor from one single picture to another.
        assert_eq!(data(anna, 2).unwrap().len(), 3);
        let stills = [CLASSES, r#"{"stills": true}"#];
        assert_eq!((data(stills, 1).unwrap().len(), data(stills, 2).unwrap().len()), (6, 1));
        assert!(data(anna, 4).unwrap_err().to_string().contains("no 4 frames in a row"));
    }

    #[test]
    fn what_is_to_be_found_is_the_foreground_of_the_masks() {
        let data = |meta| data([meta, "{}"], 1).unwrap();
        let found = |names: &[&str]| {
            data(CLASSES).with_finding(&Finding::Classes(names.iter().map(|&name| name.to_owned()).collect()))
        };
        assert_eq!(mask_of(&data(CLASSES).with_finding(&Finding::Needles).unwrap()), [0, 1, 2, 2, 0, 1]);
        assert_eq!(mask_of(&found(&["vessel"]).unwrap()), [0, 0, 1, 1, 0, 0]);
        assert_eq!(mask_of(&found(&["1"]).unwrap()), [0, 1, 0, 0, 0, 1]);
        assert_eq!(mask_of(&found(&["any"]).unwrap()), [0, 1, 1, 1, 0, 1]);
        assert_eq!(mask_of(&found(&["vessel", "nerve"]).unwrap()), [0, 2, 1, 1, 0, 2]);
        let vessel = found(&["vessel"]).unwrap();
        let labelled: Vec<String> = vessel.labelled_samples(None, 1).iter().map(|&index| vessel.id(index)).collect();
        assert_eq!(labelled, ["a/000003"], "end points of a needle are no label of a vessel");
        let message = found(&["bone"]).unwrap_err().to_string();
        assert!(message.contains("nerve, vessel"), "{message}");
        assert!(found(&["3"]).unwrap_err().to_string().contains("there is no class 3"));
        let chosen = r#"{"classes": ["background", "nerve", "vessel"], "class": "nerve"}"#;
        assert_eq!(mask_of(&data(chosen)), [0, 1, 0, 0, 0, 1], "meta.json chooses");
    }

    #[test]
    fn a_stored_split_names_what_is_there() {
        let data = data([CLASSES, r#"{"group": "anna"}"#], 1).unwrap();
        let wanted = SplitConfig { val_share: 0.2, stride: 1, folds: 0, fold: 0, seed: 1, labels_count: true };
        let split = |text| data.split(&wanted, Some(("splits.json", text)), || Ok(BTreeMap::new()));
        assert_eq!(split(r#"{"train": ["anna"], "val": []}"#).unwrap(), Split::all(&data.groups()));
        let stored =
            r#"{"train": ["anna"], "val": [], "stretches": [{"procedure": "b", "first": 0, "last": 0, "gap": 1}]}"#;
        assert!(split(stored).unwrap().holds_out());
        let nothing = SplitConfig { val_share: 0.0, ..wanted };
        let split_of_all = data.split(&nothing, Some(("splits.json", stored)), || Ok(BTreeMap::new()));
        assert_eq!(split_of_all.unwrap(), Split::all(&data.groups()), "nothing is held out when that is asked for");
        let message = split(r#"{"train": ["anna"], "val": ["otto"]}"#).unwrap_err().to_string();
        assert!(message.contains("names otto"), "{message}");
        let stretch =
            r#"{"train": ["anna"], "val": [], "stretches": [{"procedure": "c", "first": 0, "last": 1, "gap": 1}]}"#;
        assert!(split(stretch).unwrap_err().to_string().contains("a stretch of c"));
        assert!(data.split(&SplitConfig { folds: 2, ..wanted }, None, || Ok(BTreeMap::new())).is_err());
    }
}
