//! The index at the end of an AVI file. AVI stores no times: a frame's place is the number of its chunk, which only the
//! index still tells when chunks are lost.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::packets::Packet;

/// Where the chunks of a stream lie, in the order of decoding. Empty chunks, which repeat the frame before, are left out.
/// None where there is no index, or one that does not fit the file.
pub(super) fn index(path: &Path, stream: usize) -> Option<Vec<u64>> {
    let mut file = File::open(path).ok()?;
    let size = file.metadata().ok()?.len();
    let mut head = [0; 12];
    file.read_exact(&mut head).ok()?;
    if &head[..4] != b"RIFF" || &head[8..] != b"AVI " {
        return None;
    }
    let (mut at, mut movi) = (12, None);
    while at + 8 <= size {
        let mut head = [0; 12];
        file.seek(SeekFrom::Start(at)).ok()?;
        // An empty chunk may stand at the very end.
        file.read_exact(&mut head[..8]).ok()?;
        let length = u64::from(u32::from_le_bytes(head[4..8].try_into().ok()?));
        if &head[..4] == b"LIST" && file.read_exact(&mut head[8..]).is_ok() && &head[8..] == b"movi" {
            movi = Some(at + 8);
        }
        if &head[..4] == b"idx1" {
            if length > size - at - 8 {
                return None;
            }
            let mut entries = vec![0; length as usize];
            file.seek(SeekFrom::Start(at + 8)).ok()?;
            file.read_exact(&mut entries).ok()?;
            return places(&mut file, &entries, stream, movi?);
        }
        at = at.checked_add(8 + length + length % 2)?;
    }
    None
}

/// How many packets follow each other without a gap, from the first on: chunks of other streams may lie between them. For
/// files without an index, which end before it.
pub(super) fn in_a_row(path: &Path, packets: &[Packet]) -> usize {
    let Ok(mut file) = File::open(path) else { return 0 };
    let mut next = |packet: &Packet| {
        let mut at = packet.pos? + packet.size + packet.size % 2;
        loop {
            let mut head = [0; 8];
            file.seek(SeekFrom::Start(at)).ok()?;
            file.read_exact(&mut head).ok()?;
            let length = u64::from(u32::from_le_bytes(head[4..].try_into().ok()?));
            match &head[..4] {
                // A list of chunks that belong together.
                b"LIST" => at += 12,
                [b'0'..=b'9', b'0'..=b'9', b'd', b'b' | b'c'] if length > 0 => return Some(at + 8),
                [b'0'..=b'9', b'0'..=b'9', b'a'..=b'z', b'a'..=b'z'] | b"JUNK" | [b'i', b'x', ..] => {
                    at += 8 + length + length % 2;
                }
                _ => return None,
            }
        }
    };
    let joined = packets.windows(2).take_while(|pair| pair[1].pos.is_some() && next(&pair[0]) == pair[1].pos).count();
    (joined + 1).min(packets.len())
}

fn places(file: &mut File, entries: &[u8], stream: usize, movi: u64) -> Option<Vec<u64>> {
    let number = |entry: &[u8], at: usize| u32::from_le_bytes([entry[at], entry[at + 1], entry[at + 2], entry[at + 3]]);
    let id = format!("{stream:02}");
    let ours = |entry: &&[u8]| entry.starts_with(id.as_bytes()) && matches!(&entry[2..4], b"dc" | b"db");
    let ours: Vec<&[u8]> = entries.chunks_exact(16).filter(ours).filter(|entry| number(entry, 12) > 0).collect();
    // Offsets count from the word `movi` or from the start of the file, as the writer likes.
    let first = ours.first()?;
    let begins = |base: u64, file: &mut File| {
        let mut word = [0; 4];
        file.seek(SeekFrom::Start(base + u64::from(number(first, 8)))).ok()?;
        file.read_exact(&mut word).ok()?;
        (word == first[..4]).then_some(base)
    };
    let base = begins(movi, file).or_else(|| begins(0, file)).or_else(|| {
        // The first chunk itself may be damaged: what counts from `movi` begins within it.
        (u64::from(number(first, 8)) < movi).then_some(movi)
    })?;
    // ffprobe says where a packet's data begin, which is behind the eight bytes of its chunk.
    Some(ours.iter().map(|entry| base + u64::from(number(entry, 8)) + 8).collect())
}
