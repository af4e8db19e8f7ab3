//! DICOM files made up for tests, written byte by byte so that they do not share a mistake with the reader.

use dicom_core::Tag;
use dicom_dictionary_std::tags;

pub(crate) const IMPLICIT: &str = "1.2.840.10008.1.2";
pub(crate) const EXPLICIT: &str = "1.2.840.10008.1.2.1";
pub(crate) const DEFLATED: &str = "1.2.840.10008.1.2.1.99";
pub(crate) const BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";
pub(crate) const RLE: &str = "1.2.840.10008.1.2.5";
pub(crate) const LOSSLESS: &str = "1.2.840.10008.1.2.4.70";

/// A value of an attribute.
#[derive(Clone)]
pub(crate) enum Value {
    Text(&'static str),
    Short(Vec<u16>),
    Long(u32),
    Double(f64),
    Bytes(Vec<u8>),
    Items(Vec<Vec<(Tag, Value)>>),
    /// Compressed pieces, the offset table first.
    Pieces(Vec<Vec<u8>>),
}

/// The attributes of an image with the given pixels.
pub(crate) fn image(
    photometric: &'static str,
    [rows, columns, samples, bits]: [u16; 4],
    pixels: Value,
) -> Vec<(Tag, Value)> {
    vec![
        (tags::MODALITY, Value::Text("OT")),
        (tags::SAMPLES_PER_PIXEL, Value::Short(vec![samples])),
        (tags::PHOTOMETRIC_INTERPRETATION, Value::Text(photometric)),
        (tags::ROWS, Value::Short(vec![rows])),
        (tags::COLUMNS, Value::Short(vec![columns])),
        (tags::BITS_ALLOCATED, Value::Short(vec![bits])),
        (tags::PIXEL_DATA, pixels),
    ]
}

/// A file with preamble, meta group and data set. `more` replaces or adds attributes.
pub(crate) fn file(syntax: &str, elements: &[(Tag, Value)], more: &[(Tag, Value)]) -> Vec<u8> {
    let mut bytes = vec![0; 128];
    bytes.extend(b"DICM");
    let mut uid = syntax.as_bytes().to_vec();
    uid.resize(uid.len().next_multiple_of(2), 0);
    bytes.extend([2, 0, 0x10, 0, b'U', b'I', uid.len() as u8, 0]);
    bytes.extend(uid);
    let mut all: Vec<(Tag, Value)> =
        elements.iter().filter(|(t, _)| more.iter().all(|(m, _)| m != t)).cloned().collect();
    all.extend(more.iter().cloned());
    all.sort_by_key(|(tag, _)| *tag);
    let set = data_set(syntax, &all);
    if syntax == DEFLATED {
        use std::io::Read;
        flate2::read::DeflateEncoder::new(set.as_slice(), flate2::Compression::fast()).read_to_end(&mut bytes).unwrap();
    } else {
        bytes.extend(set);
    }
    bytes
}

fn data_set(syntax: &str, elements: &[(Tag, Value)]) -> Vec<u8> {
    let big = syntax == BIG_ENDIAN;
    let short = |v: u16| if big { v.to_be_bytes() } else { v.to_le_bytes() };
    let long = |v: u32| if big { v.to_be_bytes() } else { v.to_le_bytes() };
    let mut bytes = Vec::new();
    for (tag, value) in elements {
        let lut = tag.0 == 0x28 && tag.1 >> 8 == 0x12;
        let (vr, mut content): (&[u8; 2], Vec<u8>) = match value {
            Value::Text(text) => (if tag.0 == 8 || tag.1 == 4 { b"CS" } else { b"DS" }, text.as_bytes().to_vec()),
            Value::Short(v) if lut || *tag == tags::PIXEL_DATA => (b"OW", v.iter().flat_map(|&v| short(v)).collect()),
            Value::Short(v) => (b"US", v.iter().flat_map(|&v| short(v)).collect()),
            Value::Long(v) => (b"UL", long(*v).to_vec()),
            Value::Double(v) => (b"FD", if big { v.to_be_bytes().to_vec() } else { v.to_le_bytes().to_vec() }),
            Value::Bytes(v) => (b"OB", v.clone()),
            Value::Items(items) => (
                b"SQ",
                items
                    .iter()
                    .flat_map(|item| {
                        let item = data_set(syntax, item);
                        [&short(0xfffe)[..], &short(0xe000), &long(item.len() as u32), &item].concat()
                    })
                    .collect(),
            ),
            Value::Pieces(pieces) => {
                let piece = |p: &Vec<u8>| [&[0xfe, 0xff, 0, 0xe0][..], &long(p.len() as u32), p].concat();
                let mut content: Vec<u8> = pieces.iter().flat_map(piece).collect();
                content.extend([0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0]);
                (b"OB", content)
            }
        };
        if content.len() % 2 == 1 {
            content.push(if matches!(value, Value::Text(_)) { b' ' } else { 0 });
        }
        let open = matches!(value, Value::Pieces(_));
        let length = if open { u32::MAX } else { content.len() as u32 };
        bytes.extend(short(tag.0));
        bytes.extend(short(tag.1));
        if syntax == IMPLICIT {
            bytes.extend(long(length));
        } else if matches!(vr, b"OB" | b"OW" | b"SQ") {
            bytes.extend(vr);
            bytes.extend([0, 0]);
            bytes.extend(long(length));
        } else {
            bytes.extend(vr);
            bytes.extend(short(length as u16));
        }
        bytes.extend(content);
    }
    bytes
}

/// A tiny ultrasound clip of three frames in which every kind of attribute occurs.
pub(crate) fn ultrasound() -> Vec<(Tag, Value)> {
    let mut elements = image("MONOCHROME2", [2, 2, 1, 8], Value::Bytes((0..12).map(|v| v * 20).collect()));
    let region = vec![
        (tags::REGION_SPATIAL_FORMAT, Value::Short(vec![1])),
        (tags::REGION_DATA_TYPE, Value::Short(vec![1])),
        (tags::REGION_LOCATION_MIN_X0, Value::Long(0)),
        (tags::REGION_LOCATION_MIN_Y0, Value::Long(0)),
        (tags::REGION_LOCATION_MAX_X1, Value::Long(1)),
        (tags::REGION_LOCATION_MAX_Y1, Value::Long(1)),
        (tags::PHYSICAL_UNITS_X_DIRECTION, Value::Short(vec![3])),
        (tags::PHYSICAL_UNITS_Y_DIRECTION, Value::Short(vec![3])),
        (tags::PHYSICAL_DELTA_X, Value::Double(0.01)),
        (tags::PHYSICAL_DELTA_Y, Value::Double(-0.02)),
    ];
    elements[0].1 = Value::Text("US");
    elements.push((tags::SEQUENCE_OF_ULTRASOUND_REGIONS, Value::Items(vec![region])));
    elements.push((tags::NUMBER_OF_FRAMES, Value::Text("3")));
    elements.push((tags::FRAME_TIME, Value::Text("40.0")));
    elements.sort_by_key(|(tag, _)| *tag);
    elements
}
