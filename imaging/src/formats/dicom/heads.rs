//! Heads of DICOM elements: tag, value representation and length, in the forms that there are (PS3.5 7.1).

use crate::formats::Refusal;
use dicom_core::Tag;
use dicom_dictionary_std::{tags, uids};

/// The retired big endian transfer syntax, which old files use.
pub(super) const EXPLICIT_BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";

/// How elements are written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Coding {
    /// With a value representation in two letters.
    pub explicit: bool,
    pub big: bool,
}

pub(super) const IMPLICIT: Coding = Coding { explicit: false, big: false };

/// The head of an element or of an item.
pub(super) struct Head {
    pub tag: Tag,
    pub vr: Option<[u8; 2]>,
    /// None when the length is undefined.
    pub length: Option<usize>,
    pub value: usize,
}

pub(super) fn damaged(what: &str) -> Refusal {
    Refusal::Unreadable(format!("The DICOM data are damaged or cut short ({what}). Copy or export it again."))
}

const VALUE_REPRESENTATIONS: [&[u8; 2]; 34] = [
    b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"OB", b"OD", b"OF", b"OL",
    b"OV", b"OW", b"PN", b"SH", b"SL", b"SQ", b"SS", b"ST", b"SV", b"TM", b"UC", b"UI", b"UL", b"UN", b"UR", b"US",
    b"UT", b"UV",
];

/// True when a data set begins with an element that names its value representation.
pub(super) fn is_explicit(bytes: &[u8]) -> bool {
    bytes.get(4..6).is_some_and(|vr| VALUE_REPRESENTATIONS.iter().any(|known| known.as_slice() == vr))
}

/// How a data set is written: as its transfer syntax says, unless its first element shows that this is not so.
pub(super) fn coding(transfer_syntax: Option<&str>, bytes: &[u8]) -> Coding {
    let big = match transfer_syntax {
        Some(uid) => uid == EXPLICIT_BIG_ENDIAN,
        None => bytes.starts_with(&[0, 8]),
    };
    let letters = bytes.get(4..6).is_some_and(|vr| vr.iter().all(u8::is_ascii_uppercase));
    let explicit = if transfer_syntax == Some(uids::IMPLICIT_VR_LITTLE_ENDIAN) { is_explicit(bytes) } else { letters };
    Coding { explicit, big }
}

/// The head of an element at `at`, in explicit or implicit form; items have no representation in either.
pub(super) fn head(bytes: &[u8], at: usize, coding: Coding) -> Result<Head, Refusal> {
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
pub(super) fn meta_group(bytes: &[u8]) -> Result<(Option<String>, usize), Refusal> {
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
