//! What a network is to find, and what is found with it.

use serde::{Deserialize, Serialize};

/// What a network is to find in a picture.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// The shaft of a needle: mask, line, tip.
    #[default]
    Needles,
    /// The classes of masks with these names, numbered from 1; 0 is what belongs to none.
    Classes(Vec<String>),
}

impl Finding {
    /// The name that stands for all classes of the masks together.
    pub const ANY_CLASS: &str = "any";

    /// True where a line is to be fitted to the mask.
    pub fn is_needles(&self) -> bool {
        matches!(self, Self::Needles)
    }

    /// What one of them is called in a sentence: `needle`, `nerve`, `object`.
    pub fn noun(&self) -> &str {
        match self {
            Self::Needles => "needle",
            Self::Classes(names) => match &names[..] {
                [name] if name != Self::ANY_CLASS => name,
                _ => "object",
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_has_a_word_for_sentences() {
        let classes = |names: &[&str]| Finding::Classes(names.iter().map(|&name| name.to_owned()).collect());
        assert_eq!(Finding::Needles.noun(), "needle");
        assert_eq!((classes(&["nerve"]).noun(), classes(&["any"]).noun()), ("nerve", "object"));
        assert_eq!(classes(&["nerve", "vessel"]).noun(), "object");
        assert!(!classes(&["nerve"]).is_needles());
    }
}
