//! The DICOM data set, walked with `dicom-parser` without trusting a single length.
//!
//! The ready-made readers of `dicom-object` take memory for whatever length a header claims and recurse into nested
//! sequences, so a damaged file could end a browser tab. Here every length is held against the bytes that are left,
//! only the attributes that matter are read, and pixel data stay where they are: as ranges of the file.

use crate::formats::Refusal;
use dicom_core::header::Header;
use dicom_core::{PrimitiveValue, Tag};
use dicom_dictionary_std::{tags, uids};
use dicom_parser::dataset::LazyDataToken;
use dicom_parser::dataset::lazy_read::LazyDataSetReader;
use dicom_parser::stateful::decode::StatefulDecode;
use dicom_transfer_syntax_registry::{TransferSyntaxIndex, TransferSyntaxRegistry, entries};
use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::ops::Range;

/// Longest value that is read into memory. The longest one needed is a frame time vector.
const MAX_VALUE_BYTES: u32 = 1 << 22;
/// Largest data set that a deflated file may unfold to.
const MAX_INFLATED_BYTES: u64 = 1 << 30;

/// The retired big endian transfer syntax, which old files use.
pub(super) const EXPLICIT_BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";

/// The attributes of one level.
pub(super) type Attributes = BTreeMap<Tag, PrimitiveValue>;

/// Where the pixels are.
#[derive(Debug, Default)]
pub(super) enum PixelData {
    /// There are none.
    #[default]
    Absent,
    /// One run of bytes with all frames.
    Native(Range<usize>),
    /// Compressed pieces, and for each frame the byte offset of its first piece, where given.
    Encapsulated { offsets: Vec<u32>, fragments: Vec<Range<usize>> },
}

/// What is needed of a data set.
#[derive(Debug, Default)]
pub(super) struct Elements {
    /// UID of the transfer syntax.
    pub transfer_syntax: String,
    /// The whole file, or the unfolded data set of a deflated one.
    pub bytes: Vec<u8>,
    /// True when words of two bytes are stored high byte first.
    pub big_endian: bool,
    /// The main level, with the shared functional groups of enhanced objects mixed in.
    pub main: Attributes,
    /// The items of the Sequence of Ultrasound Regions.
    pub regions: Vec<Attributes>,
    /// Red, green and blue palette data.
    pub palette: [Option<Range<usize>>; 3],
    /// True when the palette is stored in segments.
    pub segmented_palette: bool,
    pub pixels: PixelData,
}

impl Elements {
    /// Walk a file, with or without preamble and file meta group.
    pub(super) fn read(bytes: Vec<u8>) -> Result<Self, Refusal> {
        let (transfer_syntax, start) = meta_group(&bytes)?;
        let transfer_syntax = match transfer_syntax {
            Some(uid) => uid,
            // No meta group: the first value representation tells, two capital letters when it is explicit.
            None if bytes.get(start + 4..start + 6).is_some_and(|vr| vr.iter().all(u8::is_ascii_uppercase)) => {
                uids::EXPLICIT_VR_LITTLE_ENDIAN.to_owned()
            }
            None => uids::IMPLICIT_VR_LITTLE_ENDIAN.to_owned(),
        };
        let mut elements = Self { transfer_syntax, bytes, ..Self::default() };
        let mut start = start;
        if elements.transfer_syntax == uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN {
            elements.bytes = inflate(elements.bytes.get(start..).unwrap_or_default())?;
            start = 0;
        }
        elements.walk(start)?;
        Ok(elements)
    }

    /// The transfer syntax that the first bytes of a file name.
    pub(super) fn transfer_syntax_of(bytes: &[u8]) -> Option<String> {
        meta_group(bytes).ok()?.0
    }

    /// The name of the transfer syntax, for people.
    pub(super) fn transfer_syntax_name(&self) -> String {
        let uid = self.transfer_syntax.as_str();
        TransferSyntaxRegistry.get(uid).map_or_else(|| format!("unknown, {uid}"), |ts| format!("{}, {uid}", ts.name()))
    }

    fn walk(&mut self, start: usize) -> Result<(), Refusal> {
        let syntax = match self.transfer_syntax.as_str() {
            uids::IMPLICIT_VR_LITTLE_ENDIAN => entries::IMPLICIT_VR_LITTLE_ENDIAN.erased(),
            EXPLICIT_BIG_ENDIAN => entries::EXPLICIT_VR_BIG_ENDIAN.erased(),
            _ => entries::EXPLICIT_VR_LITTLE_ENDIAN.erased(),
        };
        self.big_endian = self.transfer_syntax == EXPLICIT_BIG_ENDIAN;
        let total = self.bytes.len() as u64;
        let mut cursor = Cursor::new(self.bytes.as_slice());
        cursor.set_position(start as u64);
        let mut reader = LazyDataSetReader::new_with_ts(cursor, &syntax).map_err(|e| damaged(&e))?;
        // The open sequences and items; the reader panics on closing marks without an opening one.
        let mut open: Vec<Level> = Vec::new();
        let mut first_item = true;
        while let Some(token) = reader.advance() {
            match token.map_err(|e| damaged(&e))? {
                LazyDataToken::ElementHeader(_) => {}
                LazyDataToken::SequenceStart { tag, .. } => open.push(Level::Sequence(tag)),
                LazyDataToken::PixelSequenceStart => {
                    if open.is_empty() {
                        self.pixels = PixelData::Encapsulated { offsets: Vec::new(), fragments: Vec::new() };
                        first_item = true;
                    }
                    open.push(Level::Sequence(tags::PIXEL_DATA));
                }
                LazyDataToken::ItemStart { .. } => {
                    if matches!(open[..], [Level::Sequence(tags::SEQUENCE_OF_ULTRASOUND_REGIONS)]) {
                        self.regions.push(Attributes::new());
                    }
                    if !matches!(open.last(), Some(Level::Sequence(_))) {
                        return Err(damaged(&"an item stands outside any sequence"));
                    }
                    open.push(Level::Item);
                }
                LazyDataToken::ItemEnd => {
                    if !matches!(open.pop(), Some(Level::Item)) {
                        return Err(damaged(&"an item ends that did not begin"));
                    }
                    if matches!(open[..], [Level::Sequence(tags::PIXEL_DATA)]) {
                        first_item = false;
                    }
                }
                LazyDataToken::SequenceEnd => {
                    if !matches!(open.pop(), Some(Level::Sequence(_))) {
                        return Err(damaged(&"a sequence ends that did not begin"));
                    }
                    if open.is_empty() && !first_item {
                        // Nothing that is needed comes after the pixel data.
                        return Ok(());
                    }
                }
                LazyDataToken::LazyItemValue { len, decoder } => {
                    let range = value_range(decoder.position(), len, total)?;
                    match &mut self.pixels {
                        PixelData::Encapsulated { offsets, fragments } if open.len() == 2 => {
                            if first_item {
                                let table = self.bytes.get(range).unwrap_or_default().chunks_exact(4);
                                *offsets = table.map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
                            } else {
                                fragments.push(range);
                            }
                        }
                        _ => {}
                    }
                    decoder.skip_bytes(len).map_err(|e| damaged(&e))?;
                }
                LazyDataToken::LazyValue { header, decoder } => {
                    let range = value_range(decoder.position(), header.len.0, total)?;
                    let tag = header.tag();
                    let target = match open[..] {
                        [] => Some(&mut self.main),
                        [Level::Sequence(tags::SEQUENCE_OF_ULTRASOUND_REGIONS), Level::Item] => self.regions.last_mut(),
                        [Level::Sequence(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE), ..] => Some(&mut self.main),
                        _ => None,
                    };
                    let mut skip = true;
                    if open.is_empty() {
                        match tag {
                            tags::PIXEL_DATA => self.pixels = PixelData::Native(range),
                            tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DATA => self.palette[0] = Some(range),
                            tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA => self.palette[1] = Some(range),
                            tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA => self.palette[2] = Some(range),
                            tags::SEGMENTED_RED_PALETTE_COLOR_LOOKUP_TABLE_DATA => self.segmented_palette = true,
                            _ => {}
                        }
                    }
                    if let Some(target) = target.filter(|_| WANTED.contains(&tag) && header.len.0 <= MAX_VALUE_BYTES) {
                        let value = decoder.read_value_preserved(&header).map_err(|e| damaged(&e))?;
                        target.insert(tag, value);
                        skip = false;
                    }
                    if skip {
                        decoder.skip_bytes(header.len.0).map_err(|e| damaged(&e))?;
                    }
                }
                _ => return Err(damaged(&"it holds a kind of element that is not known")),
            }
        }
        if !open.is_empty() && !matches!(self.pixels, PixelData::Native(_)) {
            return Err(damaged(&"it ends inside a sequence"));
        }
        Ok(())
    }
}

/// One step of nesting.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Level {
    Sequence(Tag),
    Item,
}

/// What is read of the main level, of ultrasound regions and of shared functional groups.
const WANTED: [Tag; 36] = [
    tags::SOP_CLASS_UID,
    tags::MODALITY,
    tags::PATIENT_ID,
    tags::STUDY_INSTANCE_UID,
    tags::ROWS,
    tags::COLUMNS,
    tags::NUMBER_OF_FRAMES,
    tags::SAMPLES_PER_PIXEL,
    tags::PHOTOMETRIC_INTERPRETATION,
    tags::PLANAR_CONFIGURATION,
    tags::BITS_ALLOCATED,
    tags::BITS_STORED,
    tags::HIGH_BIT,
    tags::PIXEL_REPRESENTATION,
    tags::RESCALE_SLOPE,
    tags::RESCALE_INTERCEPT,
    tags::WINDOW_CENTER,
    tags::WINDOW_WIDTH,
    tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
    tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
    tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
    tags::PIXEL_SPACING,
    tags::FRAME_TIME,
    tags::FRAME_TIME_VECTOR,
    tags::RECOMMENDED_DISPLAY_FRAME_RATE,
    tags::CINE_RATE,
    tags::REGION_SPATIAL_FORMAT,
    tags::REGION_DATA_TYPE,
    tags::REGION_LOCATION_MIN_X0,
    tags::REGION_LOCATION_MIN_Y0,
    tags::REGION_LOCATION_MAX_X1,
    tags::REGION_LOCATION_MAX_Y1,
    tags::PHYSICAL_UNITS_X_DIRECTION,
    tags::PHYSICAL_UNITS_Y_DIRECTION,
    tags::PHYSICAL_DELTA_X,
    tags::PHYSICAL_DELTA_Y,
];

fn damaged(error: &dyn std::fmt::Display) -> Refusal {
    Refusal::Unreadable(format!("The DICOM data are damaged or cut short ({error}). Copy or export it again."))
}

/// The bytes of a value, when they are all there.
fn value_range(position: u64, length: u32, total: u64) -> Result<Range<usize>, Refusal> {
    let end = position + u64::from(length);
    if end > total {
        return Err(Refusal::Unreadable(format!(
            "It is cut short: a value of {length} bytes begins {} bytes before the end. Copy or export it again.",
            total.saturating_sub(position)
        )));
    }
    Ok(position as usize..end as usize)
}

/// The transfer syntax in the file meta group (always explicit little endian), and where the data set begins.
fn meta_group(bytes: &[u8]) -> Result<(Option<String>, usize), Refusal> {
    let cut = || Refusal::unreadable("It is cut short inside the DICOM header. Copy or export it again.");
    let start = if bytes.get(128..132) == Some(b"DICM") {
        132
    } else if bytes.starts_with(b"DICM") {
        4
    } else {
        0
    };
    let (mut at, mut uid) = (start, None);
    while bytes.get(at..at + 2) == Some(&[2, 0]) {
        let head = bytes.get(at..at + 8).ok_or_else(cut)?;
        let long = matches!(&head[4..6], b"OB" | b"OW" | b"OF" | b"OD" | b"OL" | b"SQ" | b"UC" | b"UR" | b"UT" | b"UN");
        let (length, value) = if long {
            let length = bytes.get(at + 8..at + 12).ok_or_else(cut)?;
            (u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize, at + 12)
        } else {
            (usize::from(u16::from_le_bytes([head[6], head[7]])), at + 8)
        };
        let content = bytes.get(value..value.checked_add(length).ok_or_else(cut)?).ok_or_else(cut)?;
        if head[2..4] == [0x10, 0] {
            let text = String::from_utf8_lossy(content);
            uid = Some(text.trim_matches(['\0', ' ']).to_owned());
        }
        at = value + length;
    }
    if at >= bytes.len() {
        return Err(cut());
    }
    Ok((uid, at))
}

fn inflate(bytes: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut out = Vec::new();
    let count = flate2::read::DeflateDecoder::new(bytes).take(MAX_INFLATED_BYTES).read_to_end(&mut out);
    match count.map_err(|e| damaged(&e))? as u64 {
        MAX_INFLATED_BYTES => Err(Refusal::unsupported(
            "The deflated data set unfolds to more than 1 GB, which is not read. Convert it: `dcmconv +te IN OUT`.",
        )),
        _ => Ok(out),
    }
}

/// The first number of an attribute, when it is there and finite.
pub(super) fn number(attributes: &Attributes, tag: Tag) -> Option<f64> {
    attributes.get(&tag)?.to_float64().ok().filter(|value| value.is_finite())
}

/// The text of an attribute without padding; empty when absent.
pub(super) fn text(attributes: &Attributes, tag: Tag) -> String {
    attributes.get(&tag).map(|value| value.to_str().trim_matches(['\0', ' ']).to_owned()).unwrap_or_default()
}
