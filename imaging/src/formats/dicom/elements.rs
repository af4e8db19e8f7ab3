//! The DICOM data set, walked without trusting a single length.
//!
//! The ready-made readers take memory for whatever length a header claims, recurse into nested sequences, or stop at what
//! scanners do write. Here every length is held against the bytes that are left, only the attributes that matter are read,
//! and pixel data stay where they are: as ranges of the file.

use super::attributes::{Attributes, value};
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

/// The retired big endian transfer syntax, which old files use.
pub(super) const EXPLICIT_BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";

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

/// How elements are written.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Coding {
    /// With a value representation in two letters.
    explicit: bool,
    big: bool,
}

const IMPLICIT: Coding = Coding { explicit: false, big: false };

/// One step of nesting. `end` is where it ends, when its length is given.
#[derive(Clone, Copy, Debug)]
struct Level {
    /// The tag of a sequence; an item has its sequence's.
    tag: Tag,
    item: bool,
    end: Option<usize>,
    coding: Coding,
}

/// The head of an element or of an item.
struct Head {
    tag: Tag,
    vr: Option<[u8; 2]>,
    /// None when the length is undefined.
    length: Option<usize>,
    value: usize,
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

fn damaged(what: &str) -> Refusal {
    Refusal::Unreadable(format!("The DICOM data are damaged or cut short ({what}). Copy or export it again."))
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

const VALUE_REPRESENTATIONS: [&[u8; 2]; 34] = [
    b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"OB", b"OD", b"OF", b"OL",
    b"OV", b"OW", b"PN", b"SH", b"SL", b"SQ", b"SS", b"ST", b"SV", b"TM", b"UC", b"UI", b"UL", b"UN", b"UR", b"US",
    b"UT", b"UV",
];

/// True when a data set begins with an element that names its value representation.
fn is_explicit(bytes: &[u8]) -> bool {
    bytes.get(4..6).is_some_and(|vr| VALUE_REPRESENTATIONS.iter().any(|known| known.as_slice() == vr))
}

/// How a data set is written: as its transfer syntax says, unless its first element shows that this is not so.
fn coding(transfer_syntax: Option<&str>, bytes: &[u8]) -> Coding {
    let big = match transfer_syntax {
        Some(uid) => uid == EXPLICIT_BIG_ENDIAN,
        None => bytes.starts_with(&[0, 8]),
    };
    let letters = bytes.get(4..6).is_some_and(|vr| vr.iter().all(u8::is_ascii_uppercase));
    let explicit = if transfer_syntax == Some(uids::IMPLICIT_VR_LITTLE_ENDIAN) { is_explicit(bytes) } else { letters };
    Coding { explicit, big }
}

/// The head of an element at `at`, in explicit or implicit form; items have no representation in either.
fn head(bytes: &[u8], at: usize, coding: Coding) -> Result<Head, Refusal> {
    let cut = || Refusal::unreadable("The DICOM data are cut short inside an element. Copy or export it again.");
    let head: [u8; 8] = bytes.get(at..at + 8).and_then(|head| head.try_into().ok()).ok_or_else(cut)?;
    let short = |a: u8, b: u8| if coding.big { u16::from_be_bytes([a, b]) } else { u16::from_le_bytes([a, b]) };
    let long = |four: [u8; 4]| if coding.big { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) };
    let tag = Tag(short(head[0], head[1]), short(head[2], head[3]));
    let vr = [head[4], head[5]];
    // A head without two letters among explicit ones was written by a program that forgot the representation.
    let explicit = coding.explicit && tag.0 != 0xfffe && vr.iter().all(u8::is_ascii_uppercase);
    let (vr, length, value) = if !explicit {
        (None, long([head[4], head[5], head[6], head[7]]), at + 8)
    } else if is_long(vr) {
        let four = bytes.get(at + 8..at + 12).and_then(|four| four.try_into().ok()).ok_or_else(cut)?;
        (Some(vr), long(four), at + 12)
    } else {
        (Some(vr), u32::from(short(head[6], head[7])), at + 8)
    };
    let length = if length == u32::MAX { None } else { Some(length as usize) };
    Ok(Head { tag, vr, length, value })
}

/// Representations whose length takes four bytes: all but those of the first standard.
fn is_long(vr: [u8; 2]) -> bool {
    !matches!(
        &vr,
        b"AE"
            | b"AS"
            | b"AT"
            | b"CS"
            | b"DA"
            | b"DS"
            | b"DT"
            | b"FD"
            | b"FL"
            | b"IS"
            | b"LO"
            | b"LT"
            | b"PN"
            | b"SH"
            | b"SL"
            | b"SS"
            | b"ST"
            | b"TM"
            | b"UI"
            | b"UL"
            | b"US"
    )
}

/// The transfer syntax in the file meta group (always little endian), and where the data set begins.
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
        let Head { tag, length, value, .. } =
            head(bytes, at, Coding { explicit: true, big: false }).map_err(|_| cut())?;
        let end = length.and_then(|length| value.checked_add(length)).ok_or_else(cut)?;
        let content = bytes.get(value..end).ok_or_else(cut)?;
        if tag == tags::TRANSFER_SYNTAX_UID {
            let text = String::from_utf8_lossy(content);
            uid = Some(text.trim_matches(['\0', ' ']).to_owned()).filter(|uid| !uid.is_empty());
        }
        at = end;
    }
    if at >= bytes.len() {
        return Err(cut());
    }
    Ok((uid, at))
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
