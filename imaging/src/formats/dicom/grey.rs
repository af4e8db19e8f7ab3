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

#[cfg(test)]
mod tests {
    use super::super::fixtures::{EXPLICIT, Value, file, image};
    use super::*;
    use crate::formats::open;
    use dicom_core::Tag;

    /// Levels in thousandths, and whether there is a note that holds `word`.
    fn levels(stored: &[u16], bits: u16, more: &[(Tag, Value)], word: &str) -> (Vec<f32>, bool) {
        let columns = stored.len() as u16;
        let pixels = match bits {
            8 => Value::Bytes(stored.iter().map(|&v| v as u8).collect()),
            _ => Value::Short(stored.to_vec()),
        };
        let clip = open("a.dcm", file(EXPLICIT, &image("MONOCHROME2", [1, columns, 1, bits], pixels), more)).unwrap();
        let pixels = clip.frame(0).unwrap().pixels;
        let noted = clip.notes().iter().any(|note| note.contains(word));
        (pixels.iter().map(|v| (v * 1000.0).round()).collect(), noted)
    }

    #[test]
    fn deep_pixels_without_a_window_are_stretched_by_the_values_of_all_frames() {
        // Two frames in one run; the first goes from 1000 to 2000, the second up to 3000.
        let pixels = Value::Short(vec![1000, 2000, 2500, 3000]);
        let stored = (tags::BITS_STORED, Value::Short(vec![12]));
        let clip = |more: &[(Tag, Value)]| {
            open("a.dcm", file(EXPLICIT, &image("MONOCHROME2", [1, 2, 1, 16], pixels.clone()), more)).unwrap()
        };
        for more in [vec![], vec![stored]] {
            let clip = clip(&more);
            assert_eq!(clip.frame(0).unwrap().pixels, [0.0, 0.5]);
            assert_eq!(clip.frame(1).unwrap().pixels, [0.75, 1.0]);
            assert!(clip.notes().iter().any(|note| note.contains("no window")), "{:?}", clip.notes());
        }
        // Eight bits show as they are, with no word about it.
        assert_eq!(levels(&[51, 102], 8, &[], "window"), (vec![200.0, 400.0], false));
    }

    #[test]
    fn padding_and_the_range_of_a_series_count_where_they_are_true() {
        let series = |low, high| {
            [
                (tags::SMALLEST_PIXEL_VALUE_IN_SERIES, Value::Short(vec![low])),
                (tags::LARGEST_PIXEL_VALUE_IN_SERIES, Value::Short(vec![high])),
            ]
        };
        let of = |stored: &[u16], more: &[(Tag, Value)]| levels(stored, 16, more, "").0;
        assert_eq!(of(&[100, 300], &series(0, 400)), [250.0, 750.0]);
        // Untrue: it does not hold the values, or they fill nothing of it.
        assert_eq!(of(&[100, 300], &series(200, 400)), [0.0, 1000.0]);
        assert_eq!(of(&[100, 300], &series(0, 65535)), [0.0, 1000.0]);
        let padding = (tags::PIXEL_PADDING_VALUE, Value::Short(vec![9000]));
        assert_eq!(of(&[100, 200, 300, 9000], &[padding]), [0.0, 500.0, 1000.0, 1000.0]);
        // Signed, and falling where the slope is negative.
        let signed = (tags::PIXEL_REPRESENTATION, Value::Short(vec![1]));
        let falling = (tags::RESCALE_SLOPE, Value::Text("-1"));
        assert_eq!(of(&[0xff9c, 0, 100], std::slice::from_ref(&signed)), [0.0, 500.0, 1000.0]);
        assert_eq!(of(&[0xff9c, 0, 100], &[signed, falling]), [1000.0, 500.0, 0.0]);
    }

    #[test]
    fn windows_of_every_function_and_the_first_of_several() {
        let window =
            |centre, width| [(tags::WINDOW_CENTER, Value::Text(centre)), (tags::WINDOW_WIDTH, Value::Text(width))];
        let of = |centre, width, function| {
            let mut more = window(centre, width).to_vec();
            more.extend(Option::map(function, |name| (tags::VOILUT_FUNCTION, Value::Text(name))));
            levels(&[0, 100, 200], 16, &more, "window")
        };
        assert_eq!(of("100.5\\40", "201\\400", None), (vec![0.0, 500.0, 1000.0], false));
        assert_eq!(of("100", "200", Some("LINEAR_EXACT")), (vec![0.0, 500.0, 1000.0], false));
        assert_eq!(of("100", "200", Some("SIGMOID")), (vec![119.0, 500.0, 881.0], false));
        // One that cannot be is not used, and that is said.
        assert_eq!(of("100", "0", None), (vec![0.0, 500.0, 1000.0], true));
        assert_eq!(of("wide", "200", None), (vec![0.0, 500.0, 1000.0], true));
    }

    #[test]
    fn tables_stand_for_rescaling_and_for_the_window() {
        let lut = |descriptor: [u16; 3], data: Vec<u16>| {
            Value::Items(vec![vec![
                (tags::LUT_DESCRIPTOR, Value::Short(descriptor.to_vec())),
                (tags::LUT_DATA, Value::Short(data)),
            ]])
        };
        let voi = (tags::VOILUT_SEQUENCE, lut([3, 10, 8], vec![0, 51, 255]));
        let of = |more: &[(Tag, Value)]| levels(&[0, 11, 12, 99], 16, more, "LUT");
        assert_eq!(of(std::slice::from_ref(&voi)), (vec![0.0, 200.0, 1000.0, 1000.0], false));
        // Stored 0 to 3 stand for 12 to 9 by the table, and these for levels by the other.
        let modality = (tags::MODALITY_LUT_SEQUENCE, lut([4, 0, 16], vec![12, 11, 10, 9]));
        let both = levels(&[0, 1, 2, 3], 16, &[modality.clone(), voi], "LUT");
        assert_eq!(both, (vec![1000.0, 200.0, 0.0, 0.0], false));
        let alone = levels(&[0, 1, 2, 3], 16, &[modality], "Modality LUT");
        assert_eq!(alone, (vec![1000.0, 667.0, 333.0, 0.0], true));
        let short = (tags::VOILUT_SEQUENCE, lut([9, 10, 8], vec![0, 51]));
        assert_eq!(of(&[short]), (vec![0.0, 111.0, 121.0, 1000.0], true));
    }
}
