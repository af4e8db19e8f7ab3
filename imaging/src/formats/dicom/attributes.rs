//! Attributes of a data set: the few that matter, as texts or numbers.

use crate::formats::Refusal;
use dicom_core::Tag;
use dicom_dictionary_std::tags;
use std::collections::BTreeMap;

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    Numbers(Vec<f64>),
}

/// The attributes of one level.
pub(super) type Attributes = BTreeMap<Tag, Value>;

/// How a value is stored.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Storage {
    Text,
    U8,
    U16,
    I16,
    U32,
    I32,
    F32,
    F64,
}

/// What is read, and how it is stored where the file does not tell.
const WANTED: [(Tag, Storage); 47] = [
    (tags::SOP_CLASS_UID, Storage::Text),
    (tags::MODALITY, Storage::Text),
    (tags::PATIENT_ID, Storage::Text),
    (tags::STUDY_INSTANCE_UID, Storage::Text),
    (tags::ROWS, Storage::U16),
    (tags::COLUMNS, Storage::U16),
    (tags::NUMBER_OF_FRAMES, Storage::Text),
    (tags::SAMPLES_PER_PIXEL, Storage::U16),
    (tags::PHOTOMETRIC_INTERPRETATION, Storage::Text),
    (tags::PLANAR_CONFIGURATION, Storage::U16),
    (tags::BITS_ALLOCATED, Storage::U16),
    (tags::BITS_STORED, Storage::U16),
    (tags::HIGH_BIT, Storage::U16),
    (tags::PIXEL_REPRESENTATION, Storage::U16),
    (tags::SMALLEST_IMAGE_PIXEL_VALUE, Storage::U16),
    (tags::LARGEST_IMAGE_PIXEL_VALUE, Storage::U16),
    (tags::SMALLEST_PIXEL_VALUE_IN_SERIES, Storage::U16),
    (tags::LARGEST_PIXEL_VALUE_IN_SERIES, Storage::U16),
    (tags::PIXEL_PADDING_VALUE, Storage::U16),
    (tags::PIXEL_PADDING_RANGE_LIMIT, Storage::U16),
    (tags::PIXEL_PRESENTATION, Storage::Text),
    (tags::RESCALE_SLOPE, Storage::Text),
    (tags::RESCALE_INTERCEPT, Storage::Text),
    (tags::WINDOW_CENTER, Storage::Text),
    (tags::WINDOW_WIDTH, Storage::Text),
    (tags::VOILUT_FUNCTION, Storage::Text),
    (tags::LUT_DESCRIPTOR, Storage::U16),
    (tags::LUT_DATA, Storage::U16),
    (tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR, Storage::U16),
    (tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR, Storage::U16),
    (tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR, Storage::U16),
    (tags::PIXEL_SPACING, Storage::Text),
    (tags::FRAME_TIME, Storage::Text),
    (tags::FRAME_TIME_VECTOR, Storage::Text),
    (tags::RECOMMENDED_DISPLAY_FRAME_RATE, Storage::Text),
    (tags::CINE_RATE, Storage::Text),
    (tags::LOSSY_IMAGE_COMPRESSION, Storage::Text),
    (tags::REGION_SPATIAL_FORMAT, Storage::U16),
    (tags::REGION_DATA_TYPE, Storage::U16),
    (tags::REGION_LOCATION_MIN_X0, Storage::U32),
    (tags::REGION_LOCATION_MIN_Y0, Storage::U32),
    (tags::REGION_LOCATION_MAX_X1, Storage::U32),
    (tags::REGION_LOCATION_MAX_Y1, Storage::U32),
    (tags::PHYSICAL_UNITS_X_DIRECTION, Storage::U16),
    (tags::PHYSICAL_UNITS_Y_DIRECTION, Storage::U16),
    (tags::PHYSICAL_DELTA_X, Storage::F64),
    (tags::PHYSICAL_DELTA_Y, Storage::F64),
];

/// Longest value that is read into memory. The longest one needed is a frame time vector.
const MAX_VALUE_BYTES: usize = 1 << 22;

/// Read a value, when it is one that matters. `vr` is the value representation, where the file gives it.
pub(super) fn value(tag: Tag, vr: Option<[u8; 2]>, bytes: &[u8], big_endian: bool) -> Option<Value> {
    let (_, usual) = WANTED.iter().find(|(wanted, _)| *wanted == tag)?;
    if bytes.len() > MAX_VALUE_BYTES {
        return None;
    }
    let storage = match vr.as_ref() {
        Some(b"US" | b"OW") => Storage::U16,
        Some(b"SS") => Storage::I16,
        Some(b"UL" | b"OL") => Storage::U32,
        Some(b"SL") => Storage::I32,
        Some(b"FL" | b"OF") => Storage::F32,
        Some(b"FD" | b"OD") => Storage::F64,
        Some(b"OB") => Storage::U8,
        None | Some(b"UN") => *usual,
        Some(_) => Storage::Text,
    };
    let numbers = |size: usize, of: &dyn Fn(u64) -> f64| {
        let word = |bytes: &[u8]| {
            let put = |word: u64, byte: &u8| word << 8 | u64::from(*byte);
            if big_endian { bytes.iter().fold(0, put) } else { bytes.iter().rev().fold(0, put) }
        };
        Value::Numbers(bytes.chunks_exact(size).map(|bytes| of(word(bytes))).collect())
    };
    Some(match storage {
        Storage::Text => Value::Text(words(bytes)),
        Storage::U8 => numbers(1, &|v| v as f64),
        Storage::U16 => numbers(2, &|v| v as f64),
        Storage::I16 => numbers(2, &|v| f64::from(v as u16 as i16)),
        Storage::U32 => numbers(4, &|v| v as f64),
        Storage::I32 => numbers(4, &|v| f64::from(v as u32 as i32)),
        Storage::F32 => numbers(4, &|v| f64::from(f32::from_bits(v as u32))),
        Storage::F64 => numbers(8, &f64::from_bits),
    })
}

/// A text without padding. What is not UTF-8 is taken byte by byte, so that different bytes stay different texts.
fn words(bytes: &[u8]) -> String {
    let text =
        std::str::from_utf8(bytes).map_or_else(|_| bytes.iter().map(|&b| char::from(b)).collect(), str::to_owned);
    text.trim_matches(['\0', ' ']).to_owned()
}

/// The first number of an attribute, when it is there and finite.
pub(super) fn number(attributes: &Attributes, tag: Tag) -> Option<f64> {
    let first = match attributes.get(&tag)? {
        Value::Text(text) => text.split('\\').next()?.trim_matches(['\0', ' ']).parse().ok()?,
        Value::Numbers(numbers) => *numbers.first()?,
    };
    Some(first).filter(|value: &f64| value.is_finite())
}

/// A whole number of sixteen bits that has to be there, as `name`.
pub(super) fn required(attributes: &Attributes, tag: Tag, name: &str) -> Result<u16, Refusal> {
    let value = number(attributes, tag).filter(|v| (0.0..=65535.0).contains(v));
    value.map(|v| v as u16).ok_or_else(|| Refusal::Unreadable(format!("It does not say its {name}. Export it again.")))
}

/// All numbers of an attribute; none when it is absent or one of them is not a number.
pub(super) fn numbers(attributes: &Attributes, tag: Tag) -> Vec<f64> {
    match attributes.get(&tag) {
        Some(Value::Text(text)) => {
            let each = text.split('\\').map(|number| number.trim_matches(['\0', ' ']).parse().ok());
            each.collect::<Option<_>>().unwrap_or_default()
        }
        Some(Value::Numbers(numbers)) => numbers.clone(),
        None => Vec::new(),
    }
}

/// The text of an attribute without padding; empty when absent.
pub(super) fn text(attributes: &Attributes, tag: Tag) -> &str {
    match attributes.get(&tag) {
        Some(Value::Text(text)) => text,
        _ => "",
    }
}

/// A number of sixteen bits that is signed when the pixels are, though the file may call it unsigned.
pub(super) fn as_pixel(number: f64, signed: bool) -> i32 {
    if signed { i32::from(number as i32 as u16 as i16) } else { number as i32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_by_their_representation_or_as_is_usual() {
        let of = |tag, vr, bytes: &[u8], big| Attributes::from([(tag, value(tag, vr, bytes, big).unwrap())]);
        let rows = of(tags::ROWS, None, &[1, 2], false);
        assert_eq!(number(&rows, tags::ROWS), Some(513.0));
        assert_eq!(number(&of(tags::ROWS, Some(*b"US"), &[1, 2], true), tags::ROWS), Some(258.0));
        assert_eq!(number(&of(tags::ROWS, Some(*b"IS"), b"12 ", true), tags::ROWS), Some(12.0));
        let delta = of(tags::PHYSICAL_DELTA_X, Some(*b"UN"), &(-0.5_f64).to_le_bytes(), false);
        assert_eq!(number(&delta, tags::PHYSICAL_DELTA_X), Some(-0.5));
        let descriptor = of(tags::LUT_DESCRIPTOR, Some(*b"SS"), &[0, 1, 0xff, 0xff, 8, 0], false);
        assert_eq!(numbers(&descriptor, tags::LUT_DESCRIPTOR), [256.0, -1.0, 8.0]);
        let centre = of(tags::WINDOW_CENTER, Some(*b"DS"), b"+40\\ 400 ", false);
        assert_eq!(
            (number(&centre, tags::WINDOW_CENTER), numbers(&centre, tags::WINDOW_CENTER)),
            (Some(40.0), vec![40.0, 400.0])
        );
        let spoilt = of(tags::WINDOW_CENTER, Some(*b"DS"), b"40\\wide", false);
        assert_eq!(
            (number(&spoilt, tags::WINDOW_CENTER), numbers(&spoilt, tags::WINDOW_CENTER).len()),
            (Some(40.0), 0)
        );
        assert_eq!(value(tags::PIXEL_DATA, None, &[0], false), None);
        assert_eq!((as_pixel(65535.0, true), as_pixel(-1.0, true), as_pixel(65535.0, false)), (-1, -1, 65535));
    }

    #[test]
    fn names_that_differ_in_one_byte_stay_different() {
        let of = |bytes: &[u8]| value(tags::PATIENT_ID, Some(*b"LO"), bytes, false);
        assert_ne!(of(b"M\xfcller"), of(b"M\xf6ller"));
        assert_eq!(of("Müller ".as_bytes()), Some(Value::Text("Müller".to_owned())));
    }
}
