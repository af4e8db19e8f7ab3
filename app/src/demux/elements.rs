//! The first elements of a WebM or Matroska file, which `matroska-demuxer` cannot be trusted with: it panics where a table of
//! contents names two others, follows one that names itself for ever, and stays at a checksum at the beginning.

/// The table of contents, which the file is as well read without, and a name that nobody reads in its place.
const SEEK_HEAD: [u8; 4] = [0x11, 0x4d, 0x9b, 0x74];
const NOTHING: [u8; 4] = [0x1f, 0xff, 0xff, 0xfe];
const SEGMENT: [u8; 4] = [0x18, 0x53, 0x80, 0x67];
const CHECKSUM: u8 = 0xbf;
/// The name of padding.
const VOID: u8 = 0xec;
/// The size of an element that ends where the next of its kind begins, as far as the demuxer knows it.
const UNKNOWN: u64 = u64::MAX;

/// Take away what the demuxer stumbles on. True for a file that ends before it should by its own word.
pub(super) fn prepare(bytes: &mut [u8]) -> bool {
    prepared(bytes).unwrap_or(false)
}

fn prepared(bytes: &mut [u8]) -> Option<bool> {
    let header = element(bytes, 0)?;
    let end = header.end();
    let mut at = header.content as u64;
    while at < end {
        let child = element(bytes, usize::try_from(at).ok()?)?;
        if child.size == UNKNOWN {
            at = child.content as u64;
            break;
        }
        at = child.end();
    }
    let segment = element(bytes, usize::try_from(at).ok()?)?;
    if bytes[segment.name..segment.size_at] != SEGMENT {
        return None;
    }
    if let Some(first) = element(bytes, segment.content) {
        match &mut bytes[first.name..first.size_at] {
            name if *name == SEEK_HEAD => name.copy_from_slice(&NOTHING),
            [name] if *name == CHECKSUM => *name = VOID,
            _ => {}
        }
    }
    Some(!segment.live && segment.end() > bytes.len() as u64)
}

struct Element {
    /// Where its name begins.
    name: usize,
    size_at: usize,
    content: usize,
    size: u64,
    /// Written without knowing its size: all digits are ones.
    live: bool,
}

impl Element {
    fn end(&self) -> u64 {
        (self.content as u64).saturating_add(self.size)
    }
}

/// The element at a place, found as the demuxer does: it passes over bytes that begin no name.
fn element(bytes: &[u8], at: usize) -> Option<Element> {
    let name = at + bytes.get(at..)?.iter().position(|byte| byte & 0xf0 != 0)?;
    let size_at = name + bytes[name].leading_zeros() as usize + 1;
    let first = *bytes.get(size_at)?;
    let length = first.leading_zeros() as usize;
    let digits = bytes.get(size_at + 1..)?.get(..length).filter(|_| length < 8)?;
    let first = u64::from(first) & (0x7f >> length);
    let size = digits.iter().fold(first, |size, &digit| size << 8 | u64::from(digit));
    let live = size == (1 << (7 * (length + 1))) - 1;
    let size = if bytes[size_at] == 0xff { UNKNOWN } else { size };
    Some(Element { name, size_at, content: size_at + 1 + length, size, live })
}
