//! The DICOM data set, walked without trusting a single length.
//!
//! The ready-made readers take memory for whatever length a header claims, recurse into nested sequences, or stop at what
//! scanners do write. Here every length is held against the bytes that are left, only the attributes that matter are read,
//! and pixel data stay where they are: as ranges of the file.

use super::attributes::{Attributes, value};
use super::heads::{Coding, EXPLICIT_BIG_ENDIAN, Head, IMPLICIT, coding, damaged, head, is_explicit, meta_group};
use crate::formats::Refusal;
use dicom_core::Tag;
use dicom_dictionary_std::{tags, uids};
use dicom_transfer_syntax_registry::{TransferSyntaxIndex, TransferSyntaxRegistry};
use std::io::Read;
use std::ops::Range;

/// Largest data set that a deflated file may unfold to.
const MAX_INFLATED_BYTES: u64 = 1 << 30;
/// Deepest nesting of sequences and items. What people write has less than ten levels.
const MAX_DEPTH: usize = 100;

/// Marks of items and sequences.
const ITEM: Tag = Tag(0xfffe, 0xe000);
const ITEM_DELIMITATION_ITEM: Tag = Tag(0xfffe, 0xe00d);
const SEQUENCE_DELIMITATION_ITEM: Tag = Tag(0xfffe, 0xe0dd);

/// Where the pixels are.
#[derive(Debug, Default)]
pub(super) enum PixelData {
    /// There are none.
    #[default]
    Absent,
    /// Numbers with a point, of which no picture is made.
    Float,
    /// One run of bytes with all frames.
    Native(Data),
    /// Compressed pieces, and for each frame the byte offset of its first piece, where given.
    Encapsulated { offsets: Vec<u32>, fragments: Vec<Range<usize>> },
}

/// Bytes of a table, or of pixels that are not packed.
#[derive(Clone, Debug)]
pub(super) struct Data {
    pub range: Range<usize>,
    /// True when these are words (OW), whose bytes change places in a big endian file, also where two samples of eight
    /// bits share a word. Bytes (OB) never do.
    pub words: bool,
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
    /// The main level, with the shared functional groups of enhanced objects mixed in, and those that are the same for
    /// every frame.
    pub main: Attributes,
    /// The items of the Sequence of Ultrasound Regions.
    pub regions: Vec<Attributes>,
    /// The functional groups of each frame.
    frames: Vec<Attributes>,
    /// First item of the Modality LUT Sequence and of the VOI LUT Sequence.
    pub modality_lut: Option<Attributes>,
    pub voi_lut: Option<Attributes>,
    /// Red, green and blue palette data, and the same in segments.
    pub palette: [Option<Data>; 3],
    pub palette_segments: [Option<Data>; 3],
    pub pixels: PixelData,
    /// What is doubtful about it, in sentences.
    pub notes: Vec<String>,
}

/// One step of nesting. `end` is where it ends, when its length is given.
#[derive(Clone, Copy, Debug)]
struct Level {
    /// The tag of a sequence; an item has its sequence's.
    tag: Tag,
    item: bool,
    end: Option<usize>,
    coding: Coding,
}

impl Elements {
    /// Walk a file, with or without preamble and file meta group.
    pub(super) fn read(bytes: Vec<u8>) -> Result<Self, Refusal> {
        let (transfer_syntax, mut start) = meta_group(&bytes)?;
        let deflated = transfer_syntax.as_deref() == Some(uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN);
        let bytes = if deflated { inflate(bytes.get(start..).unwrap_or_default())? } else { bytes };
        if deflated {
            start = 0;
        }
        let coding = coding(transfer_syntax.as_deref(), bytes.get(start..).unwrap_or_default());
        let named = transfer_syntax.unwrap_or_else(|| {
            let uid = match coding {
                Coding { explicit: true, big: true } => EXPLICIT_BIG_ENDIAN,
                Coding { explicit: true, .. } => uids::EXPLICIT_VR_LITTLE_ENDIAN,
                _ => uids::IMPLICIT_VR_LITTLE_ENDIAN,
            };
            uid.to_owned()
        });
        let mut elements = Self { transfer_syntax: named, bytes, big_endian: coding.big, ..Self::default() };
        if coding.explicit == (elements.transfer_syntax == uids::IMPLICIT_VR_LITTLE_ENDIAN) {
            elements.notes.push(format!(
                "Its data are written with another form of elements than its transfer syntax says ({}); they are read as \
                 they are written.",
                elements.transfer_syntax_name()
            ));
        }
        elements.walk(start, coding)?;
        elements.merge_frames();
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

    fn walk(&mut self, start: usize, coding: Coding) -> Result<(), Refusal> {
        let bytes = std::mem::take(&mut self.bytes);
        let done = self.walk_bytes(&bytes, start, coding);
        self.bytes = bytes;
        done
    }

    fn walk_bytes(&mut self, bytes: &[u8], start: usize, whole: Coding) -> Result<(), Refusal> {
        let (mut at, mut open) = (start, Vec::<Level>::new());
        loop {
            while open.last().is_some_and(|level| level.end.is_some_and(|end| end <= at)) {
                open.pop();
            }
            if at == bytes.len() {
                // An undefined length lacks its end, and the pixels come after all sequences.
                return if open.is_empty() { Ok(()) } else { Err(damaged("it ends inside a sequence")) };
            }
            let now = open.last().map_or(whole, |level| level.coding);
            let Head { tag, vr, length, value: from } = head(bytes, at, now)?;
            let inside = |length: usize| value_range(from, length, bytes.len());
            match (tag, open.last().copied()) {
                (ITEM, Some(Level { tag, item: false, coding, .. })) => {
                    let end = length.map(|length| inside(length).map(|range| range.end)).transpose()?;
                    match end {
                        Some(end) if !DESCEND.contains(&tag) => at = end,
                        _ => {
                            self.begin_item(&open);
                            // What others kept as unknown is implicit inside by the standard, but not with every writer.
                            let coding = if whole.explicit
                                && coding == IMPLICIT
                                && is_explicit(bytes.get(from..).unwrap_or_default())
                            {
                                Coding { explicit: true, big: false }
                            } else {
                                coding
                            };
                            open.push(Level { tag, item: true, end, coding });
                            at = from;
                        }
                    }
                }
                (ITEM_DELIMITATION_ITEM, Some(Level { item: true, end: None, .. }))
                | (SEQUENCE_DELIMITATION_ITEM, Some(Level { item: false, end: None, .. })) => {
                    open.pop();
                    at = from;
                }
                (ITEM | ITEM_DELIMITATION_ITEM | SEQUENCE_DELIMITATION_ITEM, _) => {
                    return Err(damaged("an item or a sequence begins or ends where there is none"));
                }
                (_, Some(Level { item: false, .. })) => return Err(damaged("an element stands outside any item")),
                _ => match (length, kind_of(tag, vr, length)) {
                    (None, Kind::Pieces) => {
                        let (offsets, fragments, next) = self.pieces(bytes, from)?;
                        if open.is_empty() && tag == tags::PIXEL_DATA {
                            self.pixels = PixelData::Encapsulated { offsets, fragments };
                            return Ok(());
                        }
                        at = next;
                    }
                    (Some(length), Kind::Value | Kind::Pieces) => {
                        let range = inside(length)?;
                        at = range.end;
                        self.element(&open, tag, vr, range, bytes, now.big);
                        if open.is_empty() && tag == tags::PIXEL_DATA {
                            return Ok(());
                        }
                    }
                    (length, _) => {
                        if open.len() >= MAX_DEPTH {
                            return Err(damaged("its sequences are nested too deeply"));
                        }
                        let end = length.map(|length| inside(length).map(|range| range.end)).transpose()?;
                        let coding = if vr == Some(*b"UN") { IMPLICIT } else { now };
                        open.push(Level { tag, item: false, end, coding });
                        at = from;
                    }
                },
            }
        }
    }

    /// Make room for what an item of a sequence holds.
    fn begin_item(&mut self, open: &[Level]) {
        match open {
            [Level { tag: tags::SEQUENCE_OF_ULTRASOUND_REGIONS, .. }] => self.regions.push(Attributes::new()),
            [Level { tag: tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, .. }] => self.frames.push(Attributes::new()),
            _ => {}
        }
    }

    /// Keep an element that matters.
    fn element(&mut self, open: &[Level], tag: Tag, vr: Option<[u8; 2]>, range: Range<usize>, bytes: &[u8], big: bool) {
        if open.is_empty() {
            let data = Data { range: range.clone(), words: vr != Some(*b"OB") && vr != Some(*b"UN") };
            match tag {
                tags::PIXEL_DATA => self.pixels = PixelData::Native(data),
                tags::FLOAT_PIXEL_DATA | tags::DOUBLE_FLOAT_PIXEL_DATA => self.pixels = PixelData::Float,
                tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DATA => self.palette[0] = Some(data),
                tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA => self.palette[1] = Some(data),
                tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA => self.palette[2] = Some(data),
                tags::SEGMENTED_RED_PALETTE_COLOR_LOOKUP_TABLE_DATA => self.palette_segments[0] = Some(data),
                tags::SEGMENTED_GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA => self.palette_segments[1] = Some(data),
                tags::SEGMENTED_BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA => self.palette_segments[2] = Some(data),
                _ => {}
            }
        }
        let target = match (open.first().map(|level| level.tag), open.last().map(|level| level.tag)) {
            (None, _) => Some(&mut self.main),
            (Some(tags::SEQUENCE_OF_ULTRASOUND_REGIONS), _) if open.len() == 2 => self.regions.last_mut(),
            (Some(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE), _) => self.frames.last_mut(),
            (_, Some(tags::MODALITY_LUT_SEQUENCE)) => Some(self.modality_lut.get_or_insert_default()),
            (_, Some(tags::VOILUT_SEQUENCE)) => Some(self.voi_lut.get_or_insert_default()),
            (Some(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE), _) => Some(&mut self.main),
            _ => None,
        };
        let value = || value(tag, vr, bytes.get(range)?, big);
        if let Some(target) = target
            && let Some(value) = value()
        {
            let first_item_wins = matches!(tag, tags::LUT_DESCRIPTOR | tags::LUT_DATA) && target.contains_key(&tag);
            if !first_item_wins {
                target.insert(tag, value);
            }
        }
    }

    /// Compressed pieces from `at` on: the offset table, the pieces, and where they end.
    #[expect(clippy::type_complexity, reason = "three plain parts of one walk")]
    fn pieces(&mut self, bytes: &[u8], mut at: usize) -> Result<(Vec<u32>, Vec<Range<usize>>, usize), Refusal> {
        let (mut offsets, mut fragments, mut first) = (Vec::new(), Vec::new(), true);
        loop {
            // The pieces are little endian in every transfer syntax that packs.
            let Head { tag, length, value: from, .. } = head(bytes, at, IMPLICIT)?;
            match (tag, length) {
                (ITEM, Some(length)) => {
                    let range = value_range(from, length, bytes.len())?;
                    at = range.end;
                    if first {
                        let table = bytes.get(range).unwrap_or_default().chunks_exact(4);
                        offsets = table.map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
                    } else {
                        fragments.push(range);
                    }
                    first = false;
                }
                (SEQUENCE_DELIMITATION_ITEM, _) => return Ok((offsets, fragments, from)),
                _ => return Err(damaged("its compressed pixels hold something that is no piece")),
            }
        }
    }

    /// Take what the frames agree on for all of them, and note where they differ in how they are to be shown.
    fn merge_frames(&mut self) {
        let frames = std::mem::take(&mut self.frames);
        let Some((first, others)) = frames.split_first() else { return };
        let agreed = first.iter().filter(|(tag, value)| others.iter().all(|other| other.get(tag) == Some(value)));
        let agreed: Vec<_> = agreed.map(|(tag, value)| (*tag, value.clone())).collect();
        let shown = [tags::WINDOW_CENTER, tags::WINDOW_WIDTH, tags::RESCALE_SLOPE, tags::RESCALE_INTERCEPT];
        let differs = |tag: &Tag| {
            agreed.iter().all(|(known, _)| known != tag) && frames.iter().any(|frame| frame.contains_key(tag))
        };
        if shown.iter().any(differs) {
            self.notes.push(
                "Each of its frames has a window or a rescale slope of its own, which is not read: brightness is not \
                 comparable from frame to frame."
                    .to_owned(),
            );
        }
        for (tag, value) in agreed {
            self.main.entry(tag).or_insert(value);
        }
    }
}

/// Sequences that are looked into. Others with a given length are stepped over.
const DESCEND: [Tag; 8] = [
    tags::SEQUENCE_OF_ULTRASOUND_REGIONS,
    tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE,
    tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE,
    tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE,
    tags::FRAME_VOILUT_SEQUENCE,
    tags::PIXEL_MEASURES_SEQUENCE,
    tags::MODALITY_LUT_SEQUENCE,
    tags::VOILUT_SEQUENCE,
];

/// What an element holds.
enum Kind {
    Value,
    Sequence,
    /// Compressed pieces, when the length is undefined.
    Pieces,
}

fn kind_of(tag: Tag, vr: Option<[u8; 2]>, length: Option<usize>) -> Kind {
    match vr.as_ref() {
        _ if tag == tags::PIXEL_DATA => Kind::Pieces,
        Some(b"OB" | b"OW" | b"OF" | b"OD" | b"OL" | b"OV") => Kind::Pieces,
        // Without a representation, or with an unknown one, an undefined length is a sequence's.
        _ if length.is_none() || DESCEND.contains(&tag) => Kind::Sequence,
        _ => Kind::Value,
    }
}

/// The bytes of a value, when they are all there.
fn value_range(from: usize, length: usize, total: usize) -> Result<Range<usize>, Refusal> {
    match from.checked_add(length).filter(|&end| end <= total) {
        Some(end) => Ok(from..end),
        None => Err(Refusal::Unreadable(format!(
            "It is cut short: a value of {length} bytes begins {} bytes before the end. Copy or export it again.",
            total.saturating_sub(from)
        ))),
    }
}

fn inflate(bytes: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut out = Vec::new();
    let count = flate2::read::DeflateDecoder::new(bytes).take(MAX_INFLATED_BYTES).read_to_end(&mut out);
    match count.map_err(|e| damaged(&e.to_string()))? as u64 {
        MAX_INFLATED_BYTES => Err(Refusal::unsupported(
            "The deflated data set unfolds to more than 1 GB, which is not read. Convert it: `dcmconv +te IN OUT`.",
        )),
        _ => Ok(out),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{BIG_ENDIAN, EXPLICIT, IMPLICIT as IMPLICIT_UID, Value, file, image, ultrasound};
    use super::*;
    use crate::formats::open;

    /// The ultrasound clip with other elements before its own.
    fn with(syntax: &str, elements: &[u8]) -> Vec<u8> {
        let mut bytes = file(syntax, &ultrasound(), &[]);
        let start = 132 + 8 + syntax.len().next_multiple_of(2);
        bytes.splice(start..start, elements.iter().copied());
        bytes
    }

    const ITEM_OPEN: &[u8] = &[0xfe, 0xff, 0, 0xe0, 0xff, 0xff, 0xff, 0xff];
    const ITEM_END: &[u8] = &[0xfe, 0xff, 0x0d, 0xe0, 0, 0, 0, 0];
    const SEQUENCE_END: &[u8] = &[0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0];
    /// A private element of unknown representation and undefined length.
    const UNKNOWN: &[u8] = &[9, 0, 1, 0x10, b'U', b'N', 0, 0, 0xff, 0xff, 0xff, 0xff];
    /// Private elements with two letters and without.
    const TOLD: &[u8] = &[9, 0, 2, 0x10, b'L', b'O', 2, 0, b'a', b' '];
    const UNTOLD: &[u8] = &[9, 0, 2, 0x10, 2, 0, 0, 0, b'a', b' '];
    /// A sequence within, without letters, of undefined and of given length.
    const INNER: &[u8] = &[9, 0, 3, 0x10, 0xff, 0xff, 0xff, 0xff];
    const GIVEN: &[u8] = &[0xfe, 0xff, 0, 0xe0, 10, 0, 0, 0];

    #[test]
    fn unknown_sequences_of_undefined_length_are_stepped_over_nested_and_in_any_form() {
        let inner = [INNER, ITEM_OPEN, UNTOLD, ITEM_END, GIVEN, UNTOLD, SEQUENCE_END].concat();
        let deeper = [UNKNOWN, ITEM_OPEN, TOLD, ITEM_END, SEQUENCE_END].concat();
        let private: [&[&[u8]]; 7] = [
            &[UNKNOWN, SEQUENCE_END],
            &[UNKNOWN, ITEM_OPEN, ITEM_END, SEQUENCE_END],
            &[UNKNOWN, ITEM_OPEN, UNTOLD, ITEM_END, ITEM_OPEN, UNTOLD, ITEM_END, SEQUENCE_END],
            &[UNKNOWN, GIVEN, UNTOLD, SEQUENCE_END],
            &[UNKNOWN, GIVEN, b"no element", SEQUENCE_END],
            &[UNKNOWN, ITEM_OPEN, UNTOLD, &inner, UNTOLD, ITEM_END, SEQUENCE_END],
            // Writers who keep the two letters inside all the same.
            &[UNKNOWN, ITEM_OPEN, TOLD, &deeper, TOLD, ITEM_END, SEQUENCE_END],
        ];
        for (number, parts) in private.into_iter().enumerate() {
            let clip = open("a.dcm", with(EXPLICIT, &parts.concat())).unwrap_or_else(|e| panic!("{number}: {e}"));
            assert_eq!((clip.len(), clip.fps(), clip.notes().len()), (3, Some(25.0), 0), "{number}");
            assert_eq!(clip.frame(2).unwrap().to_bytes(), [160, 180, 200, 220], "{number}");
            // Its own end missing, it goes on to the end of the file.
            let open_ended = &parts[..parts.len() - 1];
            assert!(open("a.dcm", with(EXPLICIT, &open_ended.concat())).is_err(), "{number}");
        }
        // Inside it is little endian, also in a big endian file.
        let big =
            [&[0, 9, 0x10, 1, b'U', b'N', 0, 0, 0xff, 0xff, 0xff, 0xff][..], ITEM_OPEN, UNTOLD, ITEM_END, SEQUENCE_END];
        let mut big = big.concat();
        big[12..16].copy_from_slice(&[0xfe, 0xff, 0, 0xe0]);
        assert_eq!(open("a.dcm", with(BIG_ENDIAN, &big)).unwrap().len(), 3);
    }

    #[test]
    fn a_sequence_kept_as_unknown_is_looked_into_all_the_same() {
        // The regions as a program that did not know their tag would keep them.
        let regions = ultrasound().into_iter().find(|(tag, _)| *tag == tags::SEQUENCE_OF_ULTRASOUND_REGIONS);
        let implicit = file(IMPLICIT_UID, &[regions.unwrap()], &[]);
        let value = &implicit[132 + 8 + IMPLICIT_UID.len().next_multiple_of(2) + 8..];
        for length in [(value.len() as u32).to_le_bytes(), [0xff; 4]] {
            let end = if length == [0xff; 4] { SEQUENCE_END } else { &[] };
            let unknown = [&[0x18, 0, 0x11, 0x60, b'U', b'N', 0, 0][..], &length, value, end].concat();
            let mut elements = ultrasound();
            elements.retain(|(tag, _)| *tag != tags::SEQUENCE_OF_ULTRASOUND_REGIONS);
            let mut bytes = file(EXPLICIT, &elements, &[]);
            let start = 132 + 8 + EXPLICIT.len().next_multiple_of(2);
            bytes.splice(start..start, unknown);
            let clip = open("a.dcm", bytes).unwrap();
            assert!(clip.scale().at(&[(0.0, 0.0)]).is_some(), "{:?}", clip.scale());
        }
    }

    #[test]
    fn elements_in_another_form_than_the_transfer_syntax_says_are_read_with_a_note() {
        for (said, written) in [(EXPLICIT, IMPLICIT_UID), (IMPLICIT_UID, EXPLICIT)] {
            let head = 132 + 8 + said.len().next_multiple_of(2);
            let body = 132 + 8 + written.len().next_multiple_of(2);
            let bytes = [&file(said, &ultrasound(), &[])[..head], &file(written, &ultrasound(), &[])[body..]].concat();
            let clip = open("a.dcm", bytes).unwrap();
            assert_eq!((clip.len(), clip.frame(0).unwrap().to_bytes()[..2].to_vec()), (3, vec![0, 20]));
            assert!(clip.notes()[0].contains("another form"), "{:?}", clip.notes());
        }
    }

    #[test]
    fn what_frames_agree_on_holds_for_all_and_what_differs_is_noted() {
        let frame = |centre: &'static str| {
            let window = vec![(tags::WINDOW_CENTER, Value::Text(centre)), (tags::WINDOW_WIDTH, Value::Text("101"))];
            vec![(tags::FRAME_VOILUT_SEQUENCE, Value::Items(vec![window]))]
        };
        let clip = |centres: [&'static str; 2]| {
            let groups = Value::Items(centres.into_iter().map(frame).collect());
            let elements = image("MONOCHROME2", [1, 2, 1, 16], Value::Short(vec![0, 50, 100, 400]));
            let more =
                [(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, groups), (tags::NUMBER_OF_FRAMES, Value::Text("2"))];
            open("a.dcm", file(EXPLICIT, &elements, &more)).unwrap()
        };
        let agreed = clip(["50.5", "50.5"]);
        assert_eq!((agreed.frame(0).unwrap().pixels, agreed.notes().len()), (vec![0.0, 0.5], 0));
        let differing = clip(["50.5", "70.5"]);
        assert_eq!(differing.frame(1).unwrap().pixels, [0.25, 1.0]);
        assert!(differing.notes()[0].contains("of its own"), "{:?}", differing.notes());
    }

    #[test]
    fn nesting_without_end_and_marks_out_of_place_are_refused() {
        let deep = [UNKNOWN, ITEM_OPEN].concat().repeat(MAX_DEPTH);
        assert!(open("a.dcm", with(EXPLICIT, &deep)).unwrap_err().to_string().contains("nested"));
        for marks in [ITEM_OPEN, ITEM_END, SEQUENCE_END, &[UNKNOWN, TOLD].concat(), &[UNKNOWN, ITEM_END].concat()] {
            assert!(open("a.dcm", with(EXPLICIT, marks)).is_err(), "{marks:?}");
        }
    }
}
