//! Splits by group: frames of one procedure, patient or video never lie on both sides.

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
    /// Groups to measure on.
    pub val: BTreeSet<String>,
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
        Ok(Self { val: pick(&order[..val_count]), train: pick(&order[val_count..]) })
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

    /// The split is refused when a group lies on both sides, or a side is empty.
    pub fn check(&self) -> Result<(), DataError> {
        let refused = |message: String| Err(DataError::Inconsistent(message));
        if let Some(group) = self.train.intersection(&self.val).next() {
            return refused(format!("{group} is in both train and val: a split must keep every procedure on one side"));
        }
        for (side, groups) in [("train", &self.train), ("val", &self.val)] {
            if groups.is_empty() {
                return refused(format!("{side} of the split names no procedure: put at least one there"));
            }
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
        let leaky = Split { train: groups.clone(), val: groups.clone() };
        assert!(leaky.check().unwrap_err().to_string().contains("both train and val"));
        let all = Split { train: groups, val: BTreeSet::new() };
        assert!(all.check().unwrap_err().to_string().contains("val of the split names no procedure"));
    }
}
