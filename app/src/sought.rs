//! What a model looks for, and how the page words what it finds.

/// The class that stands for all classes of the masks, as recipes call it. (The page does not know the core.)
pub const ANY_CLASS: &str = "any";

/// What a model looks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sought {
    /// The needle: a line with a tip.
    #[default]
    Needle,
    /// Pixels of this class of masks, [`ANY_CLASS`] for all classes: an area, without a tip or an angle.
    Class(String),
}

impl Sought {
    /// By the class of a model file, which a model for needles does not have.
    pub fn of(class: Option<String>) -> Self {
        class.map_or(Self::Needle, Self::Class)
    }

    /// What the results are about: the title of their panel.
    pub fn title(&self) -> &'static str {
        match self {
            Self::Needle => "Needle",
            Self::Class(_) => "Marked area",
        }
    }

    /// What is said of a frame where it is seen.
    pub fn seen(&self) -> String {
        match self {
            Self::Needle => "Needle seen".to_owned(),
            Self::Class(class) if class == ANY_CLASS => "Marked".to_owned(),
            Self::Class(class) => format!("Marked: {class}"),
        }
    }

    /// What is said of a frame where it is not seen.
    pub fn not_seen(&self) -> &'static str {
        match self {
            Self::Needle => "No needle seen",
            Self::Class(_) => "Nothing marked",
        }
    }

    /// What the bars of the strip mean.
    pub fn bars(&self) -> &'static str {
        match self {
            Self::Needle => "needle (height: confidence)",
            Self::Class(_) => "marked",
        }
    }

    /// In how many frames it was seen.
    pub fn seen_in(&self, frames: usize) -> String {
        match self {
            Self::Needle => format!("needle in {frames}"),
            Self::Class(_) => format!("marked in {frames}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_model_for_needles_speaks_of_needles() {
        assert_eq!(Sought::of(None), Sought::Needle);
        assert_eq!(Sought::Needle.not_seen(), "No needle seen");
        for class in ["any", "nerve"] {
            let sought = Sought::of(Some(class.to_owned()));
            let words =
                [sought.title(), &sought.seen(), sought.not_seen(), sought.bars(), &sought.seen_in(3)].join(" ");
            assert!(!words.to_lowercase().contains("needle"), "{words}");
            assert_eq!(words.contains(class), class != "any", "{words}");
        }
    }
}
