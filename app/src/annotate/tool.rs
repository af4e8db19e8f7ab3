//! The tools.

use sonoseg_imaging::dataset::finding::Finding;

/// What a pointer does on the picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tool {
    /// It moves the picture.
    #[default]
    Look,
    /// It draws the shaft and moves its ends.
    Line,
    /// It paints.
    Brush,
    /// It takes away what was painted.
    Eraser,
    /// It fills an area of one class.
    Fill,
}

/// Smallest and largest brush: its diameter in pixels of the frame.
pub const SIZES: [f64; 2] = [1.0, 200.0];

impl Tool {
    /// All, in the order of their buttons.
    pub const ALL: [Self; 5] = [Self::Look, Self::Line, Self::Brush, Self::Eraser, Self::Fill];

    /// The tools for what a model finds: an area has no line.
    pub fn choices(finding: &Finding) -> Vec<Self> {
        Self::ALL.into_iter().filter(|&tool| finding.is_needles() || tool != Self::Line).collect()
    }

    /// Its name on the button.
    pub fn name(self) -> &'static str {
        match self {
            Self::Look => "Look",
            Self::Line => "Line",
            Self::Brush => "Brush",
            Self::Eraser => "Eraser",
            Self::Fill => "Fill",
        }
    }

    /// Its key, as the sheet of keys has it.
    pub fn key(self) -> &'static str {
        match self {
            Self::Look => "H",
            Self::Line => "L",
            Self::Brush => "B",
            Self::Eraser => "E",
            Self::Fill => "G",
        }
    }

    /// What it does, in a sentence.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Look => "Drag to move the picture.",
            Self::Line => {
                "Click the entry, then the tip, or drag from one to the other; drag an end or the line to move it."
            }
            Self::Brush => "Paint. Hold Ctrl to erase.",
            Self::Eraser => "Erase. Hold Ctrl to paint.",
            Self::Fill => "Fill an area of one class. Hold Ctrl to empty it.",
        }
    }

    /// Whether it changes what is marked.
    pub fn marks(self) -> bool {
        self != Self::Look
    }

    /// Whether it has the size of the brush.
    pub fn is_round(self) -> bool {
        matches!(self, Self::Brush | Self::Eraser)
    }

    /// The class that it leaves behind; holding the key for the inverse turns painting into erasing and back.
    pub fn class(self, class: u8, inverse: bool) -> u8 {
        if (self == Self::Eraser) == inverse { class } else { 0 }
    }
}

/// The brush one step larger (+1) or smaller (-1): by a fifth, and by a pixel at least.
pub fn next_size(size: f64, by: i8) -> f64 {
    let step = (size / 5.0).round().max(1.0);
    (size + step * f64::from(by)).clamp(SIZES[0], SIZES[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_area_has_no_line_and_the_inverse_of_painting_is_erasing() {
        assert_eq!(Tool::choices(&Finding::Needles), Tool::ALL);
        assert!(!Tool::choices(&Finding::Classes(vec!["nerve".to_owned()])).contains(&Tool::Line));
        let left = |tool: Tool| [tool.class(3, false), tool.class(3, true)];
        assert_eq!((left(Tool::Brush), left(Tool::Eraser), left(Tool::Fill)), ([3, 0], [0, 3], [3, 0]));
    }

    #[test]
    fn the_brush_grows_and_shrinks_within_its_bounds() {
        assert_eq!((next_size(1.0, 1), next_size(1.0, -1)), (2.0, 1.0));
        assert_eq!((next_size(20.0, 1), next_size(200.0, 1)), (24.0, 200.0));
        let mut size = 200.0;
        (0..60).for_each(|_| size = next_size(size, -1));
        assert_eq!(size, 1.0);
    }
}
