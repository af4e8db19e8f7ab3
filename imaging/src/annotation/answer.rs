//! What is said of a frame, and by whom.

use serde::{Deserialize, Serialize};

use crate::geometry::{Mask, Needle};

/// What a person said of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// What the model found is right as it is.
    Accepted,
    /// Drawn, moved or painted by a person.
    Corrected,
    /// There is nothing to be found.
    Nothing,
    /// The frame is of no use: nobody learns from it or is measured on it.
    Excluded,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 4] = [Self::Accepted, Self::Corrected, Self::Nothing, Self::Excluded];

    /// True for what is learned from and measured on.
    pub fn counts(self) -> bool {
        self != Self::Excluded
    }
}

/// Where a frame stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Nobody said anything yet.
    Open,
    /// A model did, and no person.
    Predicted,
    /// A person did.
    Answered(Verdict),
}

/// Who answered, when, and what was there to see.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    /// The name that the person gave; empty without one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Milliseconds since 1970, UTC.
    pub at_ms: u64,
    /// The model whose answer was shown, by name or hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

/// A person's answer for a frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// What is said.
    pub verdict: Verdict,
    /// The visible shaft, in pixels of the frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needle: Option<Needle>,
    /// The painted mask, of the size of the frame. A needle without one is drawn as a line.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "super::patch::whole")]
    pub mask: Option<Mask>,
    /// Who said it.
    pub by: By,
}

impl Answer {
    /// An answer without anything in it.
    pub fn bare(verdict: Verdict, by: By) -> Self {
        Self { verdict, needle: None, mask: None, by }
    }
}

/// What a model found in a frame. Its mask is not kept: it is found again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Predicted {
    /// The model, by name or hash.
    pub model: String,
    /// The shaft, where one was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needle: Option<Needle>,
    /// How sure the model is of it, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// Radius of uncertainty round its tip in pixels of the frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tip_spread_px: Option<f64>,
    /// The picture is unlike anything that the model learned from.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unlike_training: bool,
}
