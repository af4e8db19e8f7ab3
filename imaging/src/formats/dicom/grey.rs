//! From stored values to grey levels in [0, 1]: rescale or Modality LUT, then VOI LUT or window (PS3.3 C.11.1 and C.11.2).
//!
//! Without either, eight bits show as they are. More than eight bits are stretched by the darkest and the brightest value of
//! the object: twelve bits stored in sixteen would be nearly black otherwise.

use super::attributes::{Attributes, as_pixel, number, numbers, text};
use super::elements::Elements;
use dicom_dictionary_std::tags;

/// How stored values become levels.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Levels {
    /// Straight from `black` to `white`.
    Linear { black: f64, white: f64 },
    /// A level for every value from `lowest` on.
    Table { lowest: i32, levels: Vec<f32> },
    /// Straight between the darkest and the brightest value of all frames.
    OwnRange(OwnRange),
}

/// What matters for the range of an object's own values.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct OwnRange {
    /// Values that stand for no pixel at all.
    padding: Option<[i32; 2]>,
    /// The range of the whole series, by its header.
    series: Option<[i32; 2]>,
    /// The whole range of the stored type.
    whole: [f64; 2],
    /// True when higher values are darker.
    falling: bool,
}

impl Levels {
    /// The levels of grey pixels, and notes on what is doubtful.
    pub(super) fn of(elements: &Elements, bits_stored: u32, signed: bool, notes: &mut Vec<String>) -> Self {
        let main = &elements.main;
        let top = 1_i32 << bits_stored;
        let [low, high] = if signed { [-top / 2, top / 2 - 1] } else { [0, top - 1] };
        let slope = number(main, tags::RESCALE_SLOPE).filter(|&slope| slope != 0.0).unwrap_or(1.0);
        let intercept = number(main, tags::RESCALE_INTERCEPT).unwrap_or(0.0);
        let modality = elements.modality_lut.as_ref().and_then(|lut| Lut::of(lut, signed));
        let voi = elements.voi_lut.as_ref().and_then(|lut| Lut::of(lut, signed));
        for (there, read, name) in [
            (elements.modality_lut.is_some(), modality.is_some(), "Modality LUT"),
            (elements.voi_lut.is_some(), voi.is_some(), "VOI LUT"),
        ] {
            if there && !read {
                notes.push(format!("Its {name} is incomplete and is not used."));
            }
        }
        let window = Window::of(main, notes);
        let rescaled = |value: f64| match &modality {
            Some(lut) => lut.at(value),
            None => value * slope + intercept,
        };
        let table = |level: &dyn Fn(f64) -> f64| Self::Table {
            lowest: low,
            levels: (low..=high).map(|value| level(rescaled(value.into())).clamp(0.0, 1.0) as f32).collect(),
        };
        match (&voi, window, &modality) {
            (Some(lut), _, _) => table(&|value| lut.level(value)),
            (None, Some(Window { black, white, sigmoid: false }), None) => {
                let stored = |level: f64| (level - intercept) / slope;
                Self::Linear { black: stored(black), white: stored(white) }
            }
            (None, Some(window), _) => table(&|value| window.level(value)),
            (None, None, Some(lut)) => {
                notes.push(
                    "It has no window: the darkest and the brightest value of its Modality LUT show as black and white."
                        .to_owned(),
                );
                let [darkest, brightest] = lut.range();
                table(&|value| (value - darkest) / (brightest - darkest).max(1.0))
            }
            (None, None, None) if bits_stored <= 8 => {
                let (low, high) = (f64::from(low), f64::from(high));
                if slope < 0.0 {
                    Self::Linear { black: high, white: low }
                } else {
                    Self::Linear { black: low, white: high }
                }
            }
            (None, None, None) => {
                notes.push(format!(
                    "Its pixels have {bits_stored} bits and no window to show them by: the darkest and the brightest value \
                     in it show as black and white, so that brightness is not comparable with other files."
                ));
                let pair = |from, to| {
                    let (from, to) = (number(main, from)?, number(main, to)?);
                    Some([as_pixel(from, signed), as_pixel(to, signed)])
                };
                let padding = number(main, tags::PIXEL_PADDING_VALUE).map(|value| {
                    let value = as_pixel(value, signed);
                    let limit = number(main, tags::PIXEL_PADDING_RANGE_LIMIT).map_or(value, |to| as_pixel(to, signed));
                    [value.min(limit), value.max(limit)]
                });
                Self::OwnRange(OwnRange {
                    padding,
                    series: pair(tags::SMALLEST_PIXEL_VALUE_IN_SERIES, tags::LARGEST_PIXEL_VALUE_IN_SERIES),
                    whole: [low.into(), high.into()],
                    falling: slope < 0.0,
                })
            }
        }
    }

    /// The level of a stored value, black is 0. Own ranges must be settled before.
    pub(super) fn level(&self, value: i32) -> f64 {
        match self {
            Self::Linear { black, white } => ((f64::from(value) - black) / (white - black)).clamp(0.0, 1.0),
            Self::Table { lowest, levels } => {
                let last = levels.len() as i32 - 1;
                levels.get((value - lowest).clamp(0, last) as usize).map_or(0.0, |&level| level.into())
            }
            Self::OwnRange(range) => range.settled(None).level(value),
        }
    }
}

impl OwnRange {
    /// True for a value that stands for a pixel.
    pub(super) fn counts(&self, value: i32) -> bool {
        self.padding.is_none_or(|[from, to]| !(from..=to).contains(&value))
    }

    /// The levels, when the values lie in `held`; of the whole type when nothing is known of them. The range of the series
    /// is used where it is true: it holds the values, and they fill a quarter of it at least.
    pub(super) fn settled(&self, held: Option<[i32; 2]>) -> Levels {
        let span = |[from, to]: [i32; 2]| f64::from(to) - f64::from(from);
        let [low, high] = match held {
            Some([low, high]) if low < high => {
                let sound = |series: &[i32; 2]| {
                    series[0] <= low && series[1] >= high && span(*series) <= 4.0 * span([low, high])
                };
                self.series.filter(sound).unwrap_or([low, high]).map(f64::from)
            }
            _ => self.whole,
        };
        if self.falling {
            Levels::Linear { black: high, white: low }
        } else {
            Levels::Linear { black: low, white: high }
        }
    }
}

/// A window over rescaled values.
#[derive(Clone, Copy, Debug)]
struct Window {
    black: f64,
    white: f64,
    sigmoid: bool,
}

impl Window {
    /// The first window of the file, when it is sound.
    fn of(main: &Attributes, notes: &mut Vec<String>) -> Option<Self> {
        let (centre, width) = (number(main, tags::WINDOW_CENTER), number(main, tags::WINDOW_WIDTH));
        let there = main.contains_key(&tags::WINDOW_CENTER) || main.contains_key(&tags::WINDOW_WIDTH);
        let window = centre.zip(width).and_then(|(centre, width)| match text(main, tags::VOILUT_FUNCTION) {
            // PS3.3 C.11.2.1.3.2: from centre - width / 2 to centre + width / 2.
            "LINEAR_EXACT" if width > 0.0 => {
                Some(Self { black: centre - width / 2.0, white: centre + width / 2.0, sigmoid: false })
            }
            "SIGMOID" if width > 0.0 => {
                Some(Self { black: centre - width / 2.0, white: centre + width / 2.0, sigmoid: true })
            }
            // PS3.3 C.11.2.1.2: from centre - 0.5 - (width - 1) / 2 to centre - 0.5 + (width - 1) / 2.
            _ if width >= 1.0 => {
                let half = (width - 1.0).max(1e-3) / 2.0;
                Some(Self { black: centre - 0.5 - half, white: centre - 0.5 + half, sigmoid: false })
            }
            _ => None,
        });
        let window = window.filter(|window| (window.white - window.black).is_normal());
        let blank = text(main, tags::WINDOW_CENTER).is_empty() && centre.is_none();
        if there && window.is_none() && !blank {
            notes.push("Its window has no sound centre and width and is not used.".to_owned());
        }
        window
    }

    fn level(&self, value: f64) -> f64 {
        let (centre, width) = ((self.black + self.white) / 2.0, self.white - self.black);
        // PS3.3 C.11.2.1.3.1.
        if self.sigmoid { 1.0 / (1.0 + (-4.0 * (value - centre) / width).exp()) } else { (value - self.black) / width }
    }
}

/// A table of values (PS3.3 C.11.1.1.1): the first entry belongs to `first`.
#[derive(Debug)]
struct Lut {
    first: f64,
    entries: Vec<f64>,
    bits: f64,
}

impl Lut {
    fn of(item: &Attributes, signed: bool) -> Option<Self> {
        let [count, first, bits] = numbers(item, tags::LUT_DESCRIPTOR)[..] else { return None };
        let count = if count == 0.0 { 65536 } else { (count as i64).rem_euclid(65536) as usize };
        let mut entries = numbers(item, tags::LUT_DATA);
        if entries.len() < count && 2 * entries.len() >= count {
            // Two entries of eight bits in a word.
            entries = entries.iter().flat_map(|&word| [word as u32 & 255, word as u32 >> 8]).map(f64::from).collect();
        }
        entries.truncate(count);
        let sound = entries.len() == count && (1.0..=16.0).contains(&bits) && count > 0;
        sound.then_some(Self { first: as_pixel(first, signed).into(), entries, bits })
    }

    /// What the table gives for a value; the ends go on outside.
    fn at(&self, value: f64) -> f64 {
        let index = (value - self.first).clamp(0.0, self.entries.len() as f64 - 1.0);
        self.entries.get(index as usize).copied().unwrap_or(0.0)
    }

    fn level(&self, value: f64) -> f64 {
        self.at(value) / (self.bits.exp2() - 1.0)
    }

    fn range(&self) -> [f64; 2] {
        self.entries.iter().fold([f64::MAX, f64::MIN], |[low, high], &v| [low.min(v), high.max(v)])
    }
}
