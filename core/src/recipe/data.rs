//! The data of a recipe: how they are split, and what is to be found in them.

use serde::{Deserialize, Serialize};
use sonoseg_imaging::dataset::finding::Finding;
use sonoseg_imaging::evaluate::bins::By;
use sonoseg_imaging::geometry::Mask;
use sonoseg_imaging::metrics::classes::BACKGROUND;

/// How a run splits its data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataRecipe {
    /// Share of the procedures that is held out, where the data name no split of their own.
    pub val_share: f64,
    /// Train on every n-th sample of a procedure: neighbouring frames are near twins.
    pub stride: usize,
    /// Learn from so many samples only, drawn by the seed; none = from all that are not held out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub samples: Option<usize>,
    /// The class of the masks that is to be found, by name or number, or `any`; such a network finds no needles. None =
    /// needles, or every class of the masks, or what the data choose.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "name_or_number")]
    pub class: Option<String>,
    /// The classes of the masks that are told apart, by name or number: the network has a map for the background and one for each,
    /// by softmax, and in its answers they are numbered from 1 in this order. Empty = one mask, see `class`.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "names_or_numbers")]
    pub classes: Vec<String>,
    /// Folds of a cross-validation by group, in place of `val_share` and of any split of the data; 0 = none.
    pub folds: usize,
    /// Which of the folds is held out, counted from 0.
    pub fold: usize,
    /// Learn from the held-out fold, too, as a paper does that splits what it has augmented already. The figures then
    /// say nothing about other patients.
    pub leaky_folds: bool,
    /// What rare and common kinds of frames are to come equally often by, as `evaluate --by` sorts them: `angle`, `length`,
    /// `depth`, `contrast`, `entry` of needles, `size` of objects.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub balance: Vec<String>,
    /// Simulated needles in every update, so that what was learned from the simulator is not forgotten; none = only the data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub simulated: Option<SimulatedRecipe>,
}

/// Samples from the simulator beside those of the data.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SimulatedRecipe {
    /// Share of what is learned from, below 1, the same in every update.
    pub share: f64,
    /// Number of simulated insertions, each with one sample. All have their turn before any comes again, changed anew.
    pub samples: usize,
    /// Seed of the simulator.
    pub seed: u64,
}

impl Default for SimulatedRecipe {
    fn default() -> Self {
        Self { share: 0.5, samples: 64, seed: 77 }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Class {
    Name(String),
    Number(u8),
}

impl From<Class> for String {
    fn from(class: Class) -> Self {
        match class {
            Class::Name(name) => name,
            Class::Number(number) => number.to_string(),
        }
    }
}

fn name_or_number<'a, D: serde::Deserializer<'a>>(text: D) -> Result<Option<String>, D::Error> {
    Ok(Some(Class::deserialize(text)?.into()))
}

fn names_or_numbers<'a, D: serde::Deserializer<'a>>(list: D) -> Result<Vec<String>, D::Error> {
    Ok(Vec::<Class>::deserialize(list)?.into_iter().map(String::from).collect())
}

impl DataRecipe {
    /// What the network is to find.
    pub fn finding(&self) -> Finding {
        match &self.class {
            Some(class) => Finding::Classes(vec![class.clone()]),
            None if self.classes.is_empty() => Finding::Needles,
            None => Finding::Classes(self.classes.clone()),
        }
    }

    /// What [`DataRecipe::balance`] names.
    pub fn balanced_by(&self) -> Vec<By> {
        self.balance.iter().filter_map(|name| By::named(name)).collect()
    }

    pub(super) fn problem(&self) -> Option<String> {
        let Self { val_share, folds, fold, leaky_folds, .. } = *self;
        if !(0.0..1.0).contains(&val_share) {
            return Some("data.val_share must lie in [0, 1): 0 holds nothing out".into());
        }
        if self.samples == Some(0) {
            return Some("data.samples must be at least 1: leave it out to learn from all".into());
        }
        if let Some(unknown) = self.balance.iter().find(|name| By::named(name).is_none()) {
            let known: Vec<&str> = By::OF_NEEDLES.iter().chain(&By::OF_MASKS).map(|by| by.name()).collect();
            return Some(format!("data.balance: nothing is known as {unknown}; there are {}", known.join(", ")));
        }
        if let Some(problem) = self.class_problem() {
            return Some(problem);
        }
        if let Some(simulated) = &self.simulated {
            if !(0.0..1.0).contains(&simulated.share) {
                return Some("data.simulated.share must lie in a range from 0 to below 1".into());
            }
            if simulated.samples == 0 {
                return Some("data.simulated.samples must be at least 1: leave data.simulated out for none".into());
            }
        }
        if folds == 1 {
            return Some("data.folds = 1 leaves nothing to learn from: write at least 2, or 0 for none".into());
        }
        if folds > 0 && fold >= folds {
            return Some(format!("data.fold counts from 0: of {folds} folds the last one is {}", folds - 1));
        }
        (folds == 0 && (fold > 0 || leaky_folds)).then(|| "data.fold and data.leaky_folds need data.folds".into())
    }

    fn class_problem(&self) -> Option<String> {
        let classes = &self.classes;
        if self.class.is_some() && !classes.is_empty() {
            return Some("data.class is one mask, data.classes are several told apart: leave one of them out".into());
        }
        if classes.len() >= usize::from(Mask::IGNORE) {
            return Some(format!(
                "data.classes may be at most {}, because a mask has a byte a pixel",
                Mask::IGNORE - 1
            ));
        }
        let reserved = |class: &&String| [Finding::ANY_CLASS, BACKGROUND].contains(&class.as_str());
        if let Some(reserved) = classes.iter().find(reserved) {
            return Some(format!(
                "data.classes: {reserved} is no class of its own; name the others, and what belongs to none is background"
            ));
        }
        let twice = classes.iter().enumerate().find(|&(at, class)| classes[..at].contains(class));
        twice.map(|(_, class)| format!("data.classes names {class} twice"))
    }
}

impl Default for DataRecipe {
    fn default() -> Self {
        Self {
            val_share: 0.2,
            stride: 1,
            samples: None,
            class: None,
            classes: Vec::new(),
            folds: 0,
            fold: 0,
            leaky_folds: false,
            balance: Vec::new(),
            simulated: None,
        }
    }
}
