//! Splits by group: frames of one procedure, patient or video never lie on both sides. Where there is only one group, whole
//! stretches of its time are held out.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::DataError;
use crate::rng::Rng;

/// Groups of each side.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// Groups to learn from.
    pub train: BTreeSet<String>,
    /// Groups to measure on; empty where nothing is held out, or stretches of time only.
    pub val: BTreeSet<String>,
    /// Stretches to measure on, of recordings from whose other frames is learned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stretches: Vec<Stretch>,
}

/// Frames in a row of one recording that are held out, by their numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stretch {
    /// The procedure that they are of.
    pub procedure: String,
    /// First frame.
    pub first: usize,
    /// Last frame (inside).
    pub last: usize,
    /// Frames before and behind that belong to neither side, because neighbours are near twins.
    pub gap: usize,
}

/// How data are to be split.
#[derive(Clone, Copy, Debug)]
pub struct SplitConfig {
    /// Share of the groups, or of the samples of a single one, that is held out; 0 = nothing.
    pub val_share: f64,
    /// Every n-th window of a procedure is a sample.
    pub stride: usize,
    /// Folds of a cross-validation; 0 = none.
    pub folds: usize,
    /// Which of them is held out.
    pub fold: usize,
    /// Seed of what is drawn.
    pub seed: u64,
    /// Whether what is not labelled can neither teach nor measure.
    pub labels_count: bool,
}

/// A side of a split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// To learn from.
    Train,
    /// To measure on.
    Val,
}

impl Split {
    /// Draw `val_share` of the groups (at least one, and at least one stays) for measuring.
    pub fn draw(groups: &BTreeSet<String>, val_share: f64, seed: u64) -> Result<Self, DataError> {
        if groups.len() < 2 {
            return Err(DataError::Inconsistent(format!(
                "a split by procedure needs at least 2 procedures, and there are {}: add procedures, or name a split of \
                 your own",
                groups.len()
            )));
        }
        let names: Vec<&String> = groups.iter().collect();
        let order = Rng::stream(seed, "split", [0, 0]).permutation(names.len());
        let val_count = ((names.len() as f64 * val_share).round() as usize).clamp(1, names.len() - 1);
        let pick = |indices: &[usize]| indices.iter().map(|&i| names[i].clone()).collect();
        Ok(Self { val: pick(&order[..val_count]), train: pick(&order[val_count..]), ..Self::default() })
    }

    /// Learn from all groups and hold nothing out.
    pub fn all(groups: &BTreeSet<String>) -> Self {
        Self { train: groups.clone(), ..Self::default() }
    }

    /// Learn from all groups but for `val_share` of the samples of the given recordings (at least one of each), in up to
    /// three stretches of neighbours with gaps of a quarter of their length on both sides. A recording is a procedure with
    /// the numbers of the first frames of its samples, windows of `window` frames, in rising order; one that is too short
    /// for both sides is learned whole.
    pub fn within(
        groups: &BTreeSet<String>,
        recordings: &[(String, Vec<usize>)],
        val_share: f64,
        window: usize,
        seed: u64,
    ) -> Self {
        let mut split = Self::all(groups);
        for (index, (procedure, samples)) in recordings.iter().enumerate() {
            let held = ((samples.len() as f64 * val_share).round() as usize).max(1);
            // Several stretches show more of a long recording than one does.
            let count = (held / 10).clamp(1, 3);
            let (length, segment) = (held / count, samples.len() / count);
            let apart = length.div_ceil(4);
            // Windows that reach into a gap are not used either, and one at least is to be learned.
            let step = samples.windows(2).map(|pair| pair[1] - pair[0]).min().unwrap_or(1);
            if segment <= length + 2 * (apart + (window - 1).div_ceil(step)) {
                continue;
            }
            for part in 0..count {
                let mut rng = Rng::stream(seed, "stretch", [index as u64, part as u64]);
                let first = part * segment + rng.permutation(segment - length + 1)[0];
                let last = first + length - 1;
                // In frames, of which some may be no samples; the shorter side, so that not too many are lost.
                let before = first.checked_sub(apart).map(|at| samples[first] - samples[at]);
                let behind = samples.get(last + apart).map(|at| at - samples[last]);
                let gap = before.into_iter().chain(behind).min().unwrap_or(apart);
                let (first, last) = (samples[first], samples[last] + window - 1);
                split.stretches.push(Stretch { procedure: procedure.clone(), first, last, gap });
            }
        }
        split
    }

    /// False where there is nothing to measure on.
    pub fn holds_out(&self) -> bool {
        !(self.val.is_empty() && self.stretches.is_empty())
    }

    /// Number of frames in all stretches that are held out.
    pub fn held_frames(&self) -> usize {
        self.stretches.iter().map(|one| (one.last - one.first).saturating_add(1)).fold(0, usize::saturating_add)
    }

    /// The side of the frames `first` to `last` of a procedure of a group; none for those that are not used.
    pub fn side(&self, group: &str, procedure: &str, [first, last]: [usize; 2]) -> Option<Side> {
        let stretches = || self.stretches.iter().filter(|stretch| stretch.procedure == procedure);
        let near = |stretch: &Stretch| {
            first <= stretch.last.saturating_add(stretch.gap) && last.saturating_add(stretch.gap) >= stretch.first
        };
        if self.val.contains(group) || stretches().any(|stretch| stretch.first <= first && last <= stretch.last) {
            return Some(Side::Val);
        }
        (self.train.contains(group) && !stretches().any(near)).then_some(Side::Train)
    }

    /// The side of a group, of which stretches of frames may be held out all the same: [`Split::side`] tells.
    pub fn group_side(&self, group: &str) -> Option<Side> {
        if self.train.contains(group) {
            return Some(Side::Train);
        }
        self.val.contains(group).then_some(Side::Val)
    }

    /// What whoever reads figures of a model that learned with this split has to know, if anything.
    pub fn caveat(&self) -> Option<&'static str> {
        if !self.holds_out() {
            return Some(
                "Nothing is held out: there is no best epoch, the last weights are the result, and no figure says how well \
                 they do on anything else.",
            );
        }
        (!self.stretches.is_empty()).then_some(
            "The held-out frames come from the same recording as those learned from, a gap of time apart: expect less on \
             other recordings and other patients.",
        )
    }

    /// Fold `fold` of `folds`: its groups to measure on, all others to learn from. `strata` says of what kind each group
    /// is; every fold has its share of every kind, and as many groups as the others, give or take one.
    pub fn fold(strata: &BTreeMap<String, String>, [fold, folds]: [usize; 2], seed: u64) -> Result<Self, DataError> {
        assert!(fold < folds, "fold {fold} of {folds} is counted from 0");
        if strata.len() < folds {
            return Err(DataError::Inconsistent(format!(
                "{folds} folds need at least as many procedures or patients, and there are {}: add some, or lower \
                 data.folds",
                strata.len()
            )));
        }
        let mut kinds: BTreeMap<&str, Vec<&String>> = BTreeMap::new();
        for (group, kind) in strata {
            kinds.entry(kind).or_default().push(group);
        }
        // Dealt out like cards, every kind going on where the one before has ended.
        let dealt = kinds.values().enumerate().flat_map(|(kind, groups)| {
            let order = Rng::stream(seed, "folds", [kind as u64, 0]).permutation(groups.len());
            order.into_iter().map(|index| groups[index].clone()).collect::<Vec<_>>()
        });
        let mut split = Self::default();
        for (place, group) in dealt.enumerate() {
            (if place % folds == fold { &mut split.val } else { &mut split.train }).insert(group);
        }
        Ok(split)
    }

    /// The split is refused when a group lies on both sides, or there is nothing to learn from.
    pub fn check(&self) -> Result<(), DataError> {
        let refused = |message: String| Err(DataError::Inconsistent(message));
        if let Some(group) = self.train.intersection(&self.val).next() {
            return refused(format!("{group} is in both train and val: a split must keep every procedure on one side"));
        }
        if self.train.is_empty() {
            return refused("train of the split names no procedure: put at least one there".into());
        }
        if let Some(Stretch { procedure, first, last, .. }) = self.stretches.iter().find(|one| one.first > one.last) {
            return refused(format!(
                "a stretch of {procedure} in the split goes from {first} to {last}: turn them round"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_cover_every_group_once_and_share_out_every_kind() {
        let strata: BTreeMap<String, String> =
            (0..23).map(|i| (format!("p{i:02}"), if i % 3 == 0 { "malignant" } else { "benign" }.to_owned())).collect();
        let folds: Vec<Split> = (0..5).map(|fold| Split::fold(&strata, [fold, 5], 7).unwrap()).collect();
        let mut seen = BTreeSet::new();
        for split in &folds {
            split.check().unwrap();
            assert_eq!(split.train.len() + split.val.len(), 23);
            let malignant = split.val.iter().filter(|group| strata[*group] == "malignant").count();
            assert!((4..=5).contains(&split.val.len()) && (1..=2).contains(&malignant), "{split:?}");
            seen.extend(split.val.iter().cloned());
        }
        assert_eq!(seen.len(), 23);
        assert_eq!(folds[3], Split::fold(&strata, [3, 5], 7).unwrap());
        assert_ne!(folds[3], Split::fold(&strata, [3, 5], 8).unwrap());
        assert!(Split::fold(&strata, [0, 24], 7).unwrap_err().to_string().contains("24 folds"));
    }

    #[test]
    fn every_group_lies_on_exactly_one_side() {
        let groups: BTreeSet<String> = (0..10).map(|i| format!("p{i}")).collect();
        let split = Split::draw(&groups, 0.25, 3).unwrap();
        split.check().unwrap();
        assert_eq!((split.val.len(), split.train.len()), (3, 7));
        assert_eq!(split, Split::draw(&groups, 0.25, 3).unwrap());
        assert!(Split::draw(&groups.iter().take(1).cloned().collect(), 0.5, 3).is_err());
        let leaky = Split { train: groups.clone(), val: groups.clone(), ..Split::default() };
        assert!(leaky.check().unwrap_err().to_string().contains("both train and val"));
        let all = Split::all(&groups);
        all.check().unwrap();
        assert!(all.caveat().unwrap().contains("Nothing is held out") && split.caveat().is_none());
        let none = Split { train: BTreeSet::new(), val: groups, ..Split::default() };
        assert!(none.check().unwrap_err().to_string().contains("train of the split names no procedure"));
    }

    #[test]
    fn one_recording_is_held_out_by_stretches_of_time_with_gaps() {
        let groups = BTreeSet::from(["anna".to_owned()]);
        let cases = [
            (20, 1, 1, 1),
            (20, 3, 1, 1),
            (300, 1, 1, 3),
            (300, 3, 2, 3),
            (60, 1, 10, 1),
            (60, 3, 10, 1),
            (4, 1, 1, 1),
        ];
        for (count, window, stride, stretches) in cases {
            let starts: Vec<usize> = (10..10 + count + 1 - window).step_by(stride).collect();
            let recordings = [("clip".to_owned(), starts.clone())];
            let split = Split::within(&groups, &recordings, 0.2, window, 5);
            split.check().unwrap();
            assert_eq!(split.stretches.len(), stretches, "{count} frames");
            assert!(split.caveat().unwrap().contains("same recording"));
            let sides: Vec<_> = starts.iter().map(|&at| split.side("anna", "clip", [at, at + window - 1])).collect();
            let of = |side: Side| sides.iter().filter(|&&other| other == Some(side)).count();
            let held = (starts.len() as f64 * 0.2).round() as usize;
            assert!(of(Side::Val).abs_diff(held.max(1)) < stretches && of(Side::Train) >= 1, "{sides:?}");
            // Whatever is learned ends before a gap, and no frame lies on both sides.
            let windows =
                |side| starts.iter().zip(&sides).filter(move |(_, one)| **one == Some(side)).map(|(at, _)| *at);
            for (val, train) in windows(Side::Val).flat_map(|val| windows(Side::Train).map(move |train| (val, train))) {
                let gap = split.stretches[0].gap;
                assert!(gap >= stride && val.abs_diff(train) > gap + window - 1, "{val} {train} {gap}");
            }
            assert_eq!(split, Split::within(&groups, &recordings, 0.2, window, 5));
        }
        let short = [("clip".to_owned(), vec![3, 4])];
        assert_eq!(Split::within(&groups, &short, 0.2, 1, 5), Split::all(&groups));
        let mut to_the_end = Split::all(&groups);
        to_the_end.stretches.push(Stretch { procedure: "clip".into(), first: 20, last: usize::MAX, gap: 5 });
        let sides = [[10, 14], [14, 15], [19, 21], [20, 99]].map(|frames| to_the_end.side("anna", "clip", frames));
        assert_eq!(sides, [Some(Side::Train), None, None, Some(Side::Val)]);
        let mut turned = Split::all(&groups);
        turned.stretches.push(Stretch { procedure: "clip".into(), first: 4, last: 3, gap: 0 });
        assert!(turned.check().unwrap_err().to_string().contains("from 4 to 3"));
        let text = serde_json::to_string(&Split::all(&groups)).unwrap();
        assert_eq!(text, "{\"train\":[\"anna\"],\"val\":[]}", "older versions read it");
    }
}
