//! The colours of a palette, listed (PS3.3 C.7.6.3.1.5) or in segments (C.7.9.2).

use super::attributes::{as_pixel, numbers};
use super::elements::{Data, Elements};
use crate::formats::Refusal;
use dicom_core::Tag;
use dicom_dictionary_std::tags;

/// A colour for every index; the first belongs to index `first`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Palette {
    first: i32,
    entries: Vec<[u8; 3]>,
}

const DESCRIPTORS: [Tag; 3] = [
    tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
    tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
    tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
];

impl Palette {
    pub(super) fn of(elements: &Elements, signed: bool) -> Result<Self, Refusal> {
        let incomplete = || Refusal::unreadable("Its palette is incomplete. Copy or export the file again.");
        let (mut first, mut entries) = (0, Vec::<[u8; 3]>::new());
        for (channel, descriptor) in DESCRIPTORS.into_iter().enumerate() {
            let [count, start, bits] = numbers(&elements.main, descriptor)[..] else { return Err(incomplete()) };
            let count = if count == 0.0 { 65536 } else { (count as i64).rem_euclid(65536) as usize };
            let levels = match (&elements.palette[channel], &elements.palette_segments[channel]) {
                (Some(data), _) if !data.range.is_empty() => {
                    let bytes = elements.bytes.get(data.range.clone()).ok_or_else(incomplete)?;
                    listed(bytes, count, bits, elements.big_endian, data).ok_or_else(incomplete)?
                }
                (_, Some(data)) => segmented(elements, data, count, bits)?,
                _ => return Err(incomplete()),
            };
            if channel == 0 {
                first = as_pixel(start, signed);
                entries = vec![[0; 3]; count];
            }
            if levels.len() != entries.len() || count == 0 {
                return Err(incomplete());
            }
            for (entry, level) in entries.iter_mut().zip(levels) {
                entry[channel] = level;
            }
        }
        Ok(Self { first, entries })
    }

    /// The colour of a stored value; the ends go on outside.
    pub(super) fn colour(&self, value: i32) -> [u8; 3] {
        let index = (value - self.first).clamp(0, self.entries.len() as i32 - 1);
        self.entries[index as usize]
    }
}

/// Words of two bytes, and bytes in the order of a little endian file.
fn words(bytes: &[u8], big_endian: bool) -> Vec<u16> {
    let word = |pair: &[u8]| {
        let pair = [pair[0], pair[1]];
        if big_endian { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) }
    };
    bytes.chunks_exact(2).map(word).collect()
}

fn in_order(bytes: &[u8], big_endian: bool, data: &Data) -> Vec<u8> {
    if !(big_endian && data.words) {
        return bytes.to_vec();
    }
    words(bytes, true).into_iter().flat_map(u16::to_le_bytes).collect()
}

/// The entries of one colour as bytes. Some writers store 8-bit entries in words, or call them 16-bit.
fn listed(bytes: &[u8], count: usize, bits: f64, big_endian: bool, data: &Data) -> Option<Vec<u8>> {
    if bytes.len() < 2 * count {
        let mut bytes = in_order(bytes, big_endian, data);
        return (bytes.len() >= count).then(|| {
            bytes.truncate(count);
            bytes
        });
    }
    let mut words = words(bytes, big_endian);
    words.truncate(count);
    Some(bytes_of(&words, bits))
}

fn bytes_of(words: &[u16], bits: f64) -> Vec<u8> {
    let low = bits <= 8.0 || words.iter().all(|&word| word < 256);
    words.iter().map(|&word| if low { word.min(255) as u8 } else { (word >> 8) as u8 }).collect()
}

/// The entries of one colour from its segments, which are bytes for 8-bit entries and words for others.
fn segmented(elements: &Elements, data: &Data, count: usize, bits: f64) -> Result<Vec<u8>, Refusal> {
    let bytes = elements.bytes.get(data.range.clone()).unwrap_or_default();
    let codes: Vec<u16> = if bits <= 8.0 {
        in_order(bytes, elements.big_endian, data).into_iter().map(u16::from).collect()
    } else {
        words(bytes, elements.big_endian)
    };
    let entries = unfold(&codes, count, bits <= 8.0).ok_or_else(|| {
        Refusal::unreadable("The segments of its palette do not make up its colours. Copy or export the file again.")
    })?;
    Ok(bytes_of(&entries, bits))
}

/// Unfold segments to exactly `count` entries: 0 lists its entries, 1 goes straight from the last entry to its own, and 2
/// repeats segments from a place in the table.
fn unfold(codes: &[u16], count: usize, bytes: bool) -> Option<Vec<u16>> {
    let mut entries = Vec::with_capacity(count);
    let mut at = 0;
    while entries.len() < count {
        let code = *codes.get(at)?;
        if code != 2 {
            at = segment(codes, at, count, &mut entries)?;
            continue;
        }
        let times = *codes.get(at + 1)?;
        let digits = codes.get(at + 2..at + if bytes { 6 } else { 4 })?;
        let radix = if bytes { 8 } else { 16 };
        let offset = digits.iter().rev().fold(0, |offset, &digit| offset << radix | u64::from(digit));
        // The offset counts bytes.
        let mut from = usize::try_from(if bytes { offset } else { offset / 2 }).ok()?;
        for _ in 0..times {
            from = segment(codes, from, count, &mut entries)?;
        }
        at += 2 + digits.len();
    }
    // What is left is a byte that makes the length even.
    (entries.len() == count && codes.len() - at <= 1).then_some(entries)
}

/// Unfold the discrete or linear segment at `at`, and give where it ends. None for anything else, as for one without
/// entries: it could go on for ever.
fn segment(codes: &[u16], at: usize, count: usize, entries: &mut Vec<u16>) -> Option<usize> {
    let length = usize::from(*codes.get(at + 1)?);
    if length == 0 || entries.len() + length > count {
        return None;
    }
    match codes.get(at)? {
        0 => {
            entries.extend_from_slice(codes.get(at + 2..at + 2 + length)?);
            Some(at + 2 + length)
        }
        1 => {
            let (from, to) = (f64::from(*entries.last()?), f64::from(*codes.get(at + 2)?));
            let step = (to - from) / length as f64;
            entries.extend((1..=length).map(|count| (from + step * count as f64).round_ties_even() as u16));
            Some(at + 3)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{BIG_ENDIAN, EXPLICIT, Value, file, image};
    use super::*;
    use crate::formats::open;

    #[test]
    fn segments_list_go_straight_and_repeat() {
        // Two listed, two straight to 300, then both segments again by their place in bytes (none) and the second alone.
        let words = [0, 2, 10, 100, 1, 2, 300, 2, 1, 0, 0, 2, 1, 8, 0];
        assert_eq!(unfold(&words, 8, false).unwrap(), [10, 100, 200, 300, 10, 100, 200, 300]);
        let bytes = [0, 2, 10, 100, 1, 2, 200, 2, 1, 0, 0, 0, 0, 2, 1, 4, 0, 0, 0, 0];
        assert_eq!(unfold(&bytes, 8, true).unwrap(), [10, 100, 150, 200, 10, 100, 150, 200]);
        // Down as well as up, rounded.
        assert_eq!(unfold(&[0, 1, 9, 1, 4, 0], 5, false).unwrap(), [9, 7, 4, 2, 0]);
    }

    #[test]
    fn segments_that_do_not_make_up_the_table_are_refused() {
        for (codes, count) in [
            (&[0, 2, 10][..], 2),
            (&[0, 2, 10, 11], 3),
            (&[0, 3, 10, 11, 12], 2),
            (&[0, 2, 10, 11, 0, 2, 10, 11], 2),
            (&[1, 2, 10], 2),
            (&[0, 0, 0, 0, 0, 0], 2),
            (&[3, 1, 1], 1),
            (&[2, 1, 0, 0], 1),
            // A repetition of itself, and one of a place behind the end.
            (&[0, 1, 5, 2, 65535, 6, 0], 9),
            (&[0, 1, 5, 2, 1, 600, 0], 2),
        ] {
            assert_eq!(unfold(codes, count, false), None, "{codes:?}");
        }
    }

    fn shown(syntax: &str, bits: u16, segments: &[Value; 3]) -> Vec<u8> {
        let indices = image("PALETTE COLOR", [1, 4, 1, 8], Value::Bytes(vec![0, 1, 2, 3]));
        let tables = [
            tags::SEGMENTED_RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
            tags::SEGMENTED_GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA,
            tags::SEGMENTED_BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        ];
        let more: Vec<(Tag, Value)> = DESCRIPTORS
            .into_iter()
            .map(|tag| (tag, Value::Short(vec![4, 0, bits])))
            .chain(tables.into_iter().zip(segments.iter().cloned()))
            .collect();
        open("a.dcm", file(syntax, &indices, &more)).unwrap().frame(0).unwrap().to_bytes()
    }

    #[test]
    fn segmented_palettes_of_words_and_of_bytes_in_both_byte_orders() {
        let wanted = [0, 255, 7, 85, 170, 7, 170, 85, 7, 255, 0, 7];
        for syntax in [EXPLICIT, BIG_ENDIAN] {
            let word = |low: u16| low << 8 | low;
            let words = [
                Value::Short(vec![0, 1, 0, 1, 3, word(255)]),
                Value::Short(vec![0, 1, word(255), 1, 3, 0]),
                Value::Short(vec![0, 2, word(7), word(7), 2, 1, 0, 0]),
            ];
            assert_eq!(shown(syntax, 16, &words), wanted, "{syntax}, words");
            // Two bytes of a table share a word, the first in its low half.
            let pairs =
                |bytes: &[u8]| Value::Short(bytes.chunks(2).map(|p| u16::from_le_bytes([p[0], p[1]])).collect());
            let bytes =
                [pairs(&[0, 1, 0, 1, 3, 255]), pairs(&[0, 1, 255, 1, 3, 0]), pairs(&[0, 2, 7, 7, 2, 1, 0, 0, 0, 0])];
            assert_eq!(shown(syntax, 8, &bytes), wanted, "{syntax}, bytes");
        }
    }
}
