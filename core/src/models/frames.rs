//! Which frames of a clip a network reads, and for which of them it gives masks.

use serde::{Deserialize, Serialize};

/// Which frames a network reads and which masks it gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Frames {
    /// One frame, its mask (SF-UNETR).
    #[default]
    Single,
    /// Three frames, all their masks (Video UNETR).
    VideoAll,
    /// Three frames, the middle one's mask (Video UNETR).
    VideoMiddle,
}

impl Frames {
    /// Frames that one prediction reads.
    pub fn window(self) -> usize {
        match self {
            Self::Single => 1,
            Self::VideoAll | Self::VideoMiddle => 3,
        }
    }

    /// Masks that one prediction gives.
    pub fn masks(self) -> usize {
        match self {
            Self::Single | Self::VideoMiddle => 1,
            Self::VideoAll => 3,
        }
    }

    /// Which of the given masks belongs to the middle frame of the window.
    pub fn middle_mask(self) -> usize {
        self.masks() / 2
    }
}
