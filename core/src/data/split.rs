//! Splits by group: frames of one procedure, patient or video never lie on both sides.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::DataError;
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

    /// The split is refused when a group lies on both sides.
    pub fn check(&self) -> Result<(), DataError> {
        match self.train.intersection(&self.val).next() {
            Some(group) => Err(DataError::Inconsistent(format!(
                "{group} is in both train and val: a split must keep every procedure on one side"
            ))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_lies_on_exactly_one_side() {
        let groups: BTreeSet<String> = (0..10).map(|i| format!("p{i}")).collect();
        let split = Split::draw(&groups, 0.25, 3).unwrap();
        split.check().unwrap();
        assert_eq!((split.val.len(), split.train.len()), (3, 7));
        assert_eq!(split, Split::draw(&groups, 0.25, 3).unwrap());
        assert!(Split::draw(&groups.iter().take(1).cloned().collect(), 0.5, 3).is_err());
        let leaky = Split { train: groups.clone(), val: groups };
        assert!(leaky.check().unwrap_err().to_string().contains("both train and val"));
    }
}
