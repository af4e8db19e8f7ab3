//! A box of an MP4 or MOV file, and sentences about damaged ones.

use std::ops::Range;

/// A box: where it begins, its name, and where its content lies.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) at: usize,
    pub(super) name: [u8; 4],
    pub(super) content: Range<usize>,
}

impl Part {
    /// The box at a place, if all of it lies before `end`.
    pub(super) fn at(bytes: &[u8], at: usize, end: usize) -> Option<Self> {
        let (name, content, size) = header(bytes, at, end)?;
        let next = usize::try_from(size).ok()?.checked_add(at).filter(|&next| next <= end)?;
        Some(Self { at, name, content: content..next })
    }
}

/// Name, start of the content and whole size of the box at a place, which may go beyond `end`. None where its size cannot be.
pub(super) fn header(bytes: &[u8], at: usize, end: usize) -> Option<([u8; 4], usize, u64)> {
    let head = bytes.get(at..end)?.get(..8)?;
    let name = [head[4], head[5], head[6], head[7]];
    match number(bytes, at) {
        0 => Some((name, at + 8, (end - at) as u64)),
        1 => {
            let size: [u8; 8] = bytes.get(at + 8..end)?.get(..8)?.try_into().ok()?;
            let size = u64::from_be_bytes(size);
            // No file is that large, and sums with its places must not overflow.
            (16..1 << 62).contains(&size).then_some((name, at + 16, size))
        }
        2..=7 => None,
        size => Some((name, at + 8, u64::from(size))),
    }
}

/// The big-endian number at a place that is there.
pub(super) fn number(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().fold(0, |number, &byte| number << 8 | u32::from(byte))
}

/// A sentence about damage.
pub(super) fn damaged(what: &str) -> String {
    format!("It is damaged: {what}. Copy it again, or repair it, for example with `ffmpeg -i IN -c copy OUT.mp4`.")
}

pub(super) fn too_short(part: &Part) -> String {
    damaged(&format!("its box {} is too short", shown(part.name)))
}

/// The name of a box for a sentence.
pub(super) fn shown(name: [u8; 4]) -> String {
    name.escape_ascii().to_string()
}
