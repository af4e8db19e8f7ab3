//! Frames of an evaluation in bins: by what is true of their needle or object, or by what the data say of them.

use std::collections::BTreeMap;

use super::traits::Traits;

/// A trait that frames are sorted by, with its own bins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Angle of the true needle to the horizontal of the picture.
    Angle,
    /// Its length.
    Length,
    /// How deep its middle lies.
    Depth,
    /// How much brighter it is than what is beside it.
    Contrast,
    /// Where it begins.
    Entry,
    /// How large the object of a mask is.
    Size,
}

/// What a frame is sorted by.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number; one that is not finite is not known.
    Number(f64),
    /// A word.
    Word(String),
    /// There is none, because there is no needle or no object; the name of the bin.
    Nothing(&'static str),
    /// Nobody says it.
    Unknown,
}

/// Frames that are alike in one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bin {
    /// As it is shown.
    pub name: String,
    /// Positions of the frames in what was sorted, rising.
    pub frames: Vec<usize>,
}

/// Bins that numbers of unknown kind are cut into, at most.
const MOST_NUMBERS: usize = 6;
/// Words that get a bin of their own, at most; the others share one.
const MOST_WORDS: usize = 20;
/// The bin of frames of which a trait or a column is not known.
pub const UNKNOWN: &str = "not known";
/// The bin of frames without a needle.
pub const NO_NEEDLE: &str = "no needle";
/// The bin of frames without an object.
pub const NO_OBJECT: &str = "no object";

impl By {
    /// Those of frames whose label is a needle.
    pub const OF_NEEDLES: [Self; 5] = [Self::Angle, Self::Length, Self::Depth, Self::Contrast, Self::Entry];
    /// Those of frames whose label is a mask.
    pub const OF_MASKS: [Self; 1] = [Self::Size];

    /// The trait with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::OF_NEEDLES.into_iter().chain(Self::OF_MASKS).find(|by| by.name() == name)
    }

    /// Its name, as people ask for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Angle => "angle",
            Self::Length => "length",
            Self::Depth => "depth",
            Self::Contrast => "contrast",
            Self::Entry => "entry",
            Self::Size => "size",
        }
    }

    /// What it is, with its unit.
    pub fn label(self) -> &'static str {
        match self {
            Self::Angle => "angle of the needle to the horizontal, degrees",
            Self::Length => "length of the needle, px of 224",
            Self::Depth => "depth of the needle's middle, % of the height",
            Self::Contrast => "contrast of the needle to what is beside it, grey levels of 255",
            Self::Entry => "where the needle begins",
            Self::Size => "size of the object, % of the picture",
        }
    }

    /// Where one bin ends and the next one begins; the first and the last one are open.
    fn edges(self) -> &'static [f64] {
        match self {
            Self::Angle => &[15.0, 30.0, 45.0, 60.0, 75.0],
            Self::Length => &[25.0, 50.0, 75.0, 100.0, 150.0],
            Self::Depth => &[20.0, 40.0, 60.0, 80.0],
            Self::Contrast => &[0.0, 10.0, 20.0, 40.0, 80.0],
            Self::Entry => &[],
            Self::Size => &[1.0, 3.0, 10.0, 30.0],
        }
    }

    /// The ends of the first and the last bin, where no value lies beyond them.
    fn ends(self) -> [Option<f64>; 2] {
        match self {
            Self::Angle => [Some(0.0), Some(90.0)],
            Self::Depth | Self::Size => [Some(0.0), Some(100.0)],
            Self::Length => [Some(0.0), None],
            Self::Contrast | Self::Entry => [None, None],
        }
    }

    /// What a frame with these traits is sorted by.
    pub fn value(self, traits: &Traits) -> Value {
        match (self, traits) {
            (Self::Size, Traits::Object(share)) if *share > 0.0 => Value::Number(100.0 * share),
            (Self::Size, Traits::Object(_)) => Value::Nothing(NO_OBJECT),
            (Self::Size, _) | (_, Traits::Object(_)) => Value::Unknown,
            (_, Traits::NoNeedle) => Value::Nothing(NO_NEEDLE),
            (Self::Angle, Traits::Needle(needle)) => Value::Number(needle.angle_deg),
            (Self::Length, Traits::Needle(needle)) => Value::Number(needle.length_px),
            (Self::Depth, Traits::Needle(needle)) => Value::Number(100.0 * needle.depth),
            (Self::Contrast, Traits::Needle(needle)) => Value::Number(needle.contrast_levels),
            (Self::Entry, Traits::Needle(needle)) => Value::Word(needle.entry.name().into()),
        }
    }

    /// Frames with these traits in bins, those without any frame left out: rising, then those without a needle or object,
    /// then those of which it is not known.
    pub fn bins(self, traits: &[Traits]) -> Vec<Bin> {
        let values: Vec<Value> = traits.iter().map(|traits| self.value(traits)).collect();
        let edges = self.edges();
        let [low, high] = self.ends();
        let place = |number: f64| edges.partition_point(|&edge| edge <= number);
        let name = |bin: usize| match (bin.checked_sub(1).map(|at| edges[at]).or(low), edges.get(bin).copied().or(high))
        {
            (Some(low), Some(high)) => format!("{low} to {high}"),
            (Some(low), None) => format!("from {low}"),
            (None, Some(high)) => format!("below {high}"),
            (None, None) => "all".into(),
        };
        sorted(&values, place, name)
    }
}

/// Frames in bins by what a column says of them. Where all that it says is numbers, they are cut at quantiles into at most
/// 6 bins of about as many frames; up to 6 different numbers are bins of their own. Words are bins of their own, up to 20,
/// the most frequent ones; all others share one.
pub fn bins_of_column(cells: &[Option<&str>]) -> Vec<Bin> {
    let said = || cells.iter().flatten().map(|cell| cell.trim()).filter(|cell| !cell.is_empty());
    let numbers: Option<Vec<f64>> = said().map(finite).collect();
    let mut numbers = numbers.unwrap_or_default();
    let values: Vec<Value> = cells
        .iter()
        .map(|cell| match cell.map(str::trim).filter(|cell| !cell.is_empty()) {
            Some(cell) => match finite(cell).filter(|_| !numbers.is_empty()) {
                Some(number) => Value::Number(number),
                None => Value::Word(cell.to_owned()),
            },
            None => Value::Unknown,
        })
        .collect();
    numbers.sort_by(f64::total_cmp);
    let starts = starts(&numbers);
    let place = |number: f64| starts.partition_point(|&start| start <= number).max(1) - 1;
    let name = |bin: usize| {
        let inside = || numbers.iter().copied().filter(|&number| place(number) == bin);
        let (low, high) = (inside().fold(f64::INFINITY, f64::min), inside().fold(f64::NEG_INFINITY, f64::max));
        if low == high { short(low) } else { format!("{} to {}", short(low), short(high)) }
    };
    sorted(&gathered(values), place, name)
}

fn finite(cell: &str) -> Option<f64> {
    cell.parse().ok().filter(|number: &f64| number.is_finite())
}

/// The smallest number of every bin, rising.
fn starts(numbers: &[f64]) -> Vec<f64> {
    let mut different = numbers.to_vec();
    different.dedup();
    if different.len() <= MOST_NUMBERS {
        return different;
    }
    // Equal numbers are never parted, so that a number that is very frequent takes a bin, or more, for itself.
    let mut starts: Vec<f64> = (0..MOST_NUMBERS).map(|bin| numbers[bin * numbers.len() / MOST_NUMBERS]).collect();
    starts.dedup();
    starts
}

/// A number with up to six digits that count.
fn short(number: f64) -> String {
    let digits = 5 - number.abs().max(1e-9).log10().floor() as i32;
    let text = format!("{number:.*}", digits.clamp(0, 12) as usize);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// The words that are left over when the most frequent ones have their bins become one.
fn gathered(mut values: Vec<Value>) -> Vec<Value> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for value in &values {
        if let Value::Word(word) = value {
            *counts.entry(word).or_default() += 1;
        }
    }
    if counts.len() <= MOST_WORDS {
        return values;
    }
    let mut order: Vec<(usize, String)> = counts.into_iter().map(|(word, count)| (count, word.to_owned())).collect();
    order.sort_by(|(count, word), (other, second)| other.cmp(count).then(word.cmp(second)));
    let left = order.split_off(MOST_WORDS - 1);
    let others = format!("{} others", left.len());
    for value in &mut values {
        if let Value::Word(word) = value
            && left.iter().any(|(_, other)| other == word)
        {
            word.clone_from(&others);
        }
    }
    values
}

/// Values in bins: those of numbers by `place` and called by `name`, those of words in their order, those of nothing, those
/// that are not known.
fn sorted(values: &[Value], place: impl Fn(f64) -> usize, name: impl Fn(usize) -> String) -> Vec<Bin> {
    #[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
    enum Key<'a> {
        Number(usize),
        Word(&'a str),
        Nothing(&'static str),
        Unknown,
    }
    let mut bins: BTreeMap<Key<'_>, Vec<usize>> = BTreeMap::new();
    for (frame, value) in values.iter().enumerate() {
        let key = match value {
            Value::Number(number) if number.is_finite() => Key::Number(place(*number)),
            Value::Word(word) => Key::Word(word),
            Value::Nothing(what) => Key::Nothing(what),
            Value::Number(_) | Value::Unknown => Key::Unknown,
        };
        bins.entry(key).or_default().push(frame);
    }
    let named = |(key, frames): (Key<'_>, Vec<usize>)| {
        let name = match key {
            Key::Number(bin) => name(bin),
            Key::Word(word) => word.to_owned(),
            Key::Nothing(what) => what.to_owned(),
            Key::Unknown => UNKNOWN.to_owned(),
        };
        Bin { name, frames }
    };
    bins.into_iter().map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::super::traits::{NeedleTraits, Side};
    use super::*;

    fn shown(bins: &[Bin]) -> Vec<(&str, &[usize])> {
        bins.iter().map(|bin| (bin.name.as_str(), bin.frames.as_slice())).collect()
    }

    fn needle(angle_deg: f64, contrast_levels: f64) -> Traits {
        let (length_px, depth) = (angle_deg * 2.0, 0.5);
        Traits::Needle(NeedleTraits { angle_deg, length_px, depth, contrast_levels, entry: Side::Left })
    }

    #[test]
    fn needles_are_sorted_by_their_traits_and_frames_without_one_stand_apart() {
        let frames =
            [needle(0.0, -3.0), needle(90.0, 80.0), Traits::NoNeedle, needle(15.0, 0.0), needle(14.999, f64::NAN)];
        assert_eq!(
            shown(&By::Angle.bins(&frames)),
            [("0 to 15", &[0, 4][..]), ("15 to 30", &[3]), ("75 to 90", &[1]), ("no needle", &[2])]
        );
        assert_eq!(
            shown(&By::Contrast.bins(&frames)),
            [("below 0", &[0][..]), ("0 to 10", &[3]), ("from 80", &[1]), ("no needle", &[2]), ("not known", &[4])]
        );
        assert_eq!(shown(&By::Length.bins(&frames))[0].0, "0 to 25");
        assert_eq!(shown(&By::Depth.bins(&frames)), [("40 to 60", &[0, 1, 3, 4][..]), ("no needle", &[2])]);
        assert_eq!(shown(&By::Entry.bins(&frames)), [("left", &[0, 1, 3, 4][..]), ("no needle", &[2])]);
        assert_eq!(shown(&By::Size.bins(&frames)), [("not known", &[0, 1, 2, 3, 4][..])]);
        let masks = [Traits::Object(0.0), Traits::Object(0.02), Traits::Object(1.0)];
        assert_eq!(shown(&By::Size.bins(&masks)), [("1 to 3", &[1][..]), ("30 to 100", &[2]), ("no object", &[0])]);
        for by in By::OF_NEEDLES.into_iter().chain(By::OF_MASKS) {
            assert_eq!(By::named(by.name()), Some(by));
        }
        assert_eq!(By::named("angel"), None);
    }

    #[test]
    fn numbers_of_a_column_are_cut_into_six_and_equal_ones_are_never_parted() {
        let cells: Vec<String> = (0..12).map(|at| format!("{}.5", (at * 7) % 12)).collect();
        let cells: Vec<Option<&str>> = cells.iter().map(|cell| Some(cell.as_str())).chain([None, Some(" ")]).collect();
        let bins = bins_of_column(&cells);
        let names: Vec<&str> = bins.iter().map(|bin| bin.name.as_str()).collect();
        assert_eq!(
            names,
            ["0.5 to 1.5", "2.5 to 3.5", "4.5 to 5.5", "6.5 to 7.5", "8.5 to 9.5", "10.5 to 11.5", "not known"]
        );
        assert!(bins[..6].iter().all(|bin| bin.frames.len() == 2) && bins[6].frames == [12, 13]);
        // Eight of ten are 3.
        let cells = ["1", "3", "3", "3", "3", "3", "3", "3", "3", "9", "10", "11", "12", "13"].map(Some);
        let bins = bins_of_column(&cells);
        assert_eq!(shown(&bins)[..2], [("1", &[0][..]), ("3", &[1, 2, 3, 4, 5, 6, 7, 8])]);
        assert_eq!(bins.iter().map(|bin| bin.frames.len()).sum::<usize>(), 14);
        assert_eq!(shown(&bins_of_column(&["2", "10", "2.0"].map(Some))), [("2", &[0, 2][..]), ("10", &[1])]);
        assert_eq!([0.1234567, 1234567.8, 30.0, 0.0, -2.5].map(short), ["0.123457", "1234568", "30", "0", "-2.5"]);
    }

    #[test]
    fn words_are_bins_of_their_own_and_one_word_makes_words_of_all() {
        assert_eq!(
            shown(&bins_of_column(&[Some("b"), Some("2"), None, Some("b ")])),
            [("2", &[1][..]), ("b", &[0, 3]), ("not known", &[2])]
        );
        let many: Vec<String> = (0..25).map(|at| format!("w{at:02}")).collect();
        let mut cells: Vec<Option<&str>> = many.iter().map(|cell| Some(cell.as_str())).collect();
        cells.push(Some("w24"));
        let bins = bins_of_column(&cells);
        assert_eq!((bins.len(), bins[0].name.as_str(), bins[0].frames.len()), (20, "6 others", 6));
        assert!(bins.iter().any(|bin| bin.name == "w24" && bin.frames == [24, 25]));
        assert!(bins_of_column(&[]).is_empty());
    }
}
