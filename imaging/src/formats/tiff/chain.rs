//! The directories of a TIFF, classic or BigTIFF, in either byte order: where its pages are and what they say of themselves.

use super::super::Refusal;
use std::collections::{BTreeMap, BTreeSet};

/// Tags that are read here.
pub(super) mod tag {
    pub(in super::super) const WIDTH: u16 = 256;
    pub(in super::super) const HEIGHT: u16 = 257;
    pub(in super::super) const BITS: u16 = 258;
    pub(in super::super) const COMPRESSION: u16 = 259;
    pub(in super::super) const PHOTOMETRIC: u16 = 262;
    pub(in super::super) const FILL_ORDER: u16 = 266;
    pub(in super::super) const DESCRIPTION: u16 = 270;
    pub(in super::super) const STRIPS: u16 = 273;
    pub(in super::super) const ORIENTATION: u16 = 274;
    pub(in super::super) const SAMPLES: u16 = 277;
    pub(in super::super) const STRIP_BYTES: u16 = 279;
    pub(in super::super) const PLANAR: u16 = 284;
    pub(in super::super) const TILE_WIDTH: u16 = 322;
    pub(in super::super) const TILE_HEIGHT: u16 = 323;
    pub(in super::super) const TILES: u16 = 324;
    pub(in super::super) const TILE_BYTES: u16 = 325;
    pub(in super::super) const COLOURS: u16 = 320;
    pub(in super::super) const EXTRA_SAMPLES: u16 = 338;
    pub(in super::super) const SAMPLE_FORMAT: u16 = 339;
    pub(in super::super) const SUBSAMPLING: u16 = 530;
}

/// The bytes of a TIFF with its byte order and its flavour.
#[derive(Clone, Copy, Debug)]
pub(super) struct File<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) big_endian: bool,
    /// True for BigTIFF, whose offsets have 64 bits.
    pub(super) big: bool,
}

/// A field of a directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    /// Type of the values: 3 is a number of 16 bits.
    pub(super) kind: u64,
    pub(super) count: usize,
    /// Where the values are.
    pub(super) at: usize,
}

/// The fields of a page by tag.
#[derive(Clone, Debug)]
pub(super) struct Directory {
    pub(super) at: usize,
    pub(super) fields: BTreeMap<u16, Field>,
}

/// All directories, and why there may be more.
pub(super) struct Chain {
    pub(super) directories: Vec<Directory>,
    /// True when the chain leads out of the file.
    pub(super) cut: bool,
}

impl<'a> File<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let big_endian = bytes.starts_with(b"MM");
        let mut file = Self { bytes, big_endian, big: false };
        file.big = file.number(2, 2) == Some(43);
        file
    }

    /// Bytes of an offset.
    pub(super) fn offset_size(&self) -> usize {
        if self.big { 8 } else { 4 }
    }

    /// Where the header names the first directory.
    pub(super) fn first(&self) -> usize {
        if self.big { 8 } else { 4 }
    }

    /// A number of 1, 2, 4 or 8 bytes.
    pub(super) fn number(&self, at: usize, size: usize) -> Option<u64> {
        let bytes = self.bytes.get(at..at.checked_add(size)?)?;
        let add = |number: u64, &byte: &u8| number << 8 | u64::from(byte);
        Some(if self.big_endian { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) })
    }

    fn offset(&self, at: usize) -> Option<usize> {
        usize::try_from(self.number(at, self.offset_size())?).ok()
    }

    /// The whole numbers of a field, where the file holds them.
    pub(super) fn numbers(&self, field: &Field) -> Option<Vec<u64>> {
        let size = size_of(field.kind).filter(|_| matches!(field.kind, 1 | 3 | 4 | 13 | 16 | 18))?;
        let end = field.at.checked_add(field.count.checked_mul(size)?)?;
        self.bytes.get(field.at..end)?;
        (0..field.count).map(|index| self.number(field.at + index * size, size)).collect()
    }

    /// The directory at a place with the number of its entries, and the place of the next, 0 after the last. None where the
    /// file ends before it does.
    fn directory(&self, at: usize) -> Option<(Directory, usize, usize)> {
        let (count_size, entry_size) = if self.big { (8, 20) } else { (2, 12) };
        let count = usize::try_from(self.number(at, count_size)?).ok()?;
        let first = at.checked_add(count_size)?;
        let end = first.checked_add(count.checked_mul(entry_size)?)?;
        let next = self.offset(end)?;
        let mut fields = BTreeMap::new();
        for entry in (first..end).step_by(entry_size) {
            let tag = self.number(entry, 2)? as u16;
            let kind = self.number(entry + 2, 2)?;
            let count = self.offset(entry + 4)?;
            let value = entry + 4 + self.offset_size();
            let within =
                size_of(kind).and_then(|size| size.checked_mul(count)).is_some_and(|n| n <= self.offset_size());
            let at = if within { value } else { self.offset(value)? };
            fields.entry(tag).or_insert(Field { kind, count, at });
        }
        Some((Directory { at, fields }, count, next))
    }

    /// Follow the chain of directories. It fails where there is none, and where the chain crosses itself.
    pub(super) fn chain(&self) -> Result<Chain, Refusal> {
        let crossed = || {
            Refusal::unreadable(
                "The list of its pages leads back into itself, so that nobody knows how many there are. Export it again.",
            )
        };
        let mut chain = Chain { directories: Vec::new(), cut: false };
        let mut seen = BTreeSet::new();
        // Directories that lie apart cannot hold more entries than this.
        let mut left = self.bytes.len() / 12 + 1;
        let mut next = self.offset(self.first()).unwrap_or(0);
        while next != 0 || chain.directories.is_empty() {
            let Some((directory, entries, after)) = self.directory(next).filter(|_| next != 0) else {
                chain.cut = true;
                break;
            };
            left = left.checked_sub(entries.max(1)).filter(|_| seen.insert(next)).ok_or_else(crossed)?;
            chain.directories.push(directory);
            next = after;
        }
        if chain.directories.is_empty() {
            return Err(Refusal::unreadable(
                "The picture is damaged or cut short: its first page is not in the file. Copy or export it again.",
            ));
        }
        Ok(chain)
    }
}

/// Bytes of a value by the type of its field.
fn size_of(kind: u64) -> Option<usize> {
    match kind {
        1 | 2 | 6 | 7 => Some(1),
        3 | 8 => Some(2),
        4 | 9 | 11 | 13 => Some(4),
        5 | 10 | 12 | 16..=18 => Some(8),
        _ => None,
    }
}

impl Directory {
    /// The first number of a field.
    pub(super) fn number(&self, file: File<'_>, tag: u16) -> Option<u64> {
        let field = self.fields.get(&tag).filter(|field| field.count > 0)?;
        file.numbers(&Field { count: 1, ..*field })?.first().copied()
    }

    /// Height and width as stored.
    pub(super) fn size(&self, file: File<'_>) -> Option<[usize; 2]> {
        let side = |tag| usize::try_from(self.number(file, tag)?).ok();
        Some([side(tag::HEIGHT)?, side(tag::WIDTH)?])
    }

    /// 1 to 8; 1 where the page does not say.
    pub(super) fn orientation(&self, file: File<'_>) -> u8 {
        let stored = self.number(file, tag::ORIENTATION).and_then(|number| u8::try_from(number).ok());
        stored.filter(|number| (1..=8).contains(number)).unwrap_or(1)
    }

    /// What the page's writer wrote about it.
    pub(super) fn description<'a>(&self, file: File<'a>) -> &'a [u8] {
        let text = self.fields.get(&tag::DESCRIPTION).filter(|field| matches!(field.kind, 1 | 2 | 7));
        text.and_then(|field| file.bytes.get(field.at..field.at.checked_add(field.count)?)).unwrap_or_default()
    }
}
