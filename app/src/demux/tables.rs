//! The tables of a track in an MP4 file, which say where its frames lie and when they are shown, and its codec's settings: whether
//! `re_mp4` can go through them without a place that is not there.

use super::part::{Part, damaged, number, shown, too_short};

/// Bytes of the fixed fields that begin the description of pictures.
pub(super) const DESCRIPTION: usize = 78;
/// Bytes of a decoder's settings; those of sound files have a few hundred.
const MOST_SETTINGS: usize = 1 << 20;

/// Descriptions of pictures that `re_mp4` reads.
pub(super) fn is_video(name: [u8; 4]) -> bool {
    [b"avc1", b"hvc1", b"hev1", b"av01", b"vp08", b"vp09"].contains(&&name)
}

/// Descriptions that it reads, too, and that are not needed.
pub(super) fn is_sound_or_text(name: [u8; 4]) -> bool {
    [b"mp4a", b"tx3g"].contains(&&name)
}

/// The tables of a track, the last of each kind: that is the one which counts.
#[derive(Default)]
pub(super) struct Tables {
    sizes: Option<Part>,
    durations: Option<Part>,
    offsets: Option<Part>,
    runs: Option<Part>,
    places: Option<Part>,
    long_places: Option<Part>,
}

impl Tables {
    /// Keep a box, if it is a table.
    pub(super) fn note(&mut self, part: Part) {
        let table = match &part.name {
            b"stsz" => &mut self.sizes,
            b"stts" => &mut self.durations,
            b"ctts" => &mut self.offsets,
            b"stsc" => &mut self.runs,
            b"stco" => &mut self.places,
            b"co64" => &mut self.long_places,
            _ => return,
        };
        *table = Some(part);
    }

    /// The number of frames, once every one of them is found in every table. A table that is missing is not spoken of: `re_mp4`
    /// names it. An empty table of offsets is emptied of its meaning, too.
    ///
    /// # Errors
    ///
    /// A sentence that says which table does not fit.
    pub(super) fn check(&self, bytes: &mut [u8]) -> Result<u64, String> {
        let places = self.places.as_ref().or(self.long_places.as_ref());
        let (Some(sizes), Some(durations), Some(runs), Some(places)) =
            (&self.sizes, &self.durations, &self.runs, places)
        else {
            return Ok(0);
        };
        if sizes.content.len() < 12 {
            return Err(too_short(sizes));
        }
        let (size, frames) = (number(bytes, sizes.content.start + 4), number(bytes, sizes.content.start + 8));
        if size == 0 {
            fits(sizes, 12, frames, 4)?;
        }
        let frames = u64::from(frames);
        let counts = entries(bytes, durations, 8)?.map(|entry| u64::from(number(entry, 0)));
        // A duration is taken for the frame before, so that the first of each run belongs to the run before.
        let (mut next, mut last) = (0, 0);
        for count in counts {
            last += count;
            next = last.max(next) + 1;
        }
        every(frames, if frames <= next { frames } else { last }, durations)?;
        if let Some(offsets) = &self.offsets {
            let counts = entries(bytes, offsets, 8)?.map(|entry| u64::from(number(entry, 0)));
            let (mut next, mut last) = (0, 0);
            for count in counts {
                last += count;
                next = last.max(next + 1);
            }
            if next > 0 {
                every(frames, next, offsets)?;
            }
        }
        let width = if self.places.is_some() { 4 } else { 8 };
        let chunks = entries(bytes, places, width)?.count() as u64;
        every(frames, placed(bytes, runs, chunks, frames)?, runs)?;
        let empty = self.offsets.as_ref().filter(|offsets| number(bytes, offsets.content.start + 4) == 0);
        if let Some(name) = empty.map(|offsets| offsets.at + 4) {
            bytes[name..name + 4].copy_from_slice(b"free");
        }
        Ok(frames)
    }
}

/// The entries of a table of `width` bytes each, behind version and count.
fn entries<'a>(
    bytes: &'a [u8],
    table: &Part,
    width: usize,
) -> Result<impl Iterator<Item = &'a [u8]> + use<'a>, String> {
    if table.content.len() < 8 {
        return Err(too_short(table));
    }
    let count = number(bytes, table.content.start + 4);
    fits(table, 8, count, width)?;
    let start = table.content.start + 8;
    Ok(bytes[start..start + count as usize * width].chunks_exact(width))
}

fn fits(table: &Part, before: usize, count: u32, width: usize) -> Result<(), String> {
    let room = (table.content.len() - before) / width;
    if count as usize <= room {
        return Ok(());
    }
    Err(damaged(&format!("its table {} speaks of {count} entries and has room for {room}", shown(table.name))))
}

fn every(frames: u64, known: u64, table: &Part) -> Result<(), String> {
    if frames <= known {
        return Ok(());
    }
    Err(damaged(&format!("it speaks of {frames} frames, and its table {} knows of {known}", shown(table.name))))
}

/// How many frames find a place in the chunks, each of which holds as many as its run says. At most about `frames`.
fn placed(bytes: &[u8], runs: &Part, chunks: u64, frames: u64) -> Result<u64, String> {
    let mut runs = entries(bytes, runs, 12)?.map(|entry| (number(entry, 0), u64::from(number(entry, 4)))).peekable();
    let (mut chunk, mut filled, mut placed) = (0, 0_u64, 0);
    while let Some((_, each)) = runs.next() {
        // A run ends before the first chunk of the next; one that would not begin after it takes a chunk all the same.
        let end = runs.peek().map_or(u64::MAX, |(first, _)| u64::from(*first).wrapping_sub(1));
        loop {
            if chunk == chunks || placed >= frames {
                return Ok(placed);
            }
            chunk += 1;
            filled += each;
            // In a browser, `re_mp4` counts them with 32 bits.
            if u32::try_from(filled).is_err() {
                return Ok(placed);
            }
            // A chunk of no frames is given one.
            placed = filled.max(placed + 1);
            if chunk >= end {
                break;
            }
        }
    }
    Ok(placed)
}

/// Go through a decoder's settings as `re_mp4` does.
///
/// # Errors
///
/// A sentence for settings that claim more than their box holds.
pub(super) fn configuration(part: &Part, content: &[u8]) -> Result<(), String> {
    if content.len() > MOST_SETTINGS {
        return Err(damaged(&format!("its decoder's settings ({}) have {} bytes", shown(part.name), content.len())));
    }
    let whole = match &part.name {
        b"avcC" => avc(content),
        b"hvcC" => hevc(content),
        _ => Some(()),
    };
    whole.ok_or_else(|| too_short(part))
}

fn avc(content: &[u8]) -> Option<()> {
    let (count, mut rest) = content.get(5..)?.split_first()?;
    for _ in 0..count & 0x1f {
        rest = behind_unit(rest)?;
    }
    let (count, mut rest) = rest.split_first()?;
    for _ in 0..*count {
        rest = behind_unit(rest)?;
    }
    Some(())
}

fn hevc(content: &[u8]) -> Option<()> {
    let (arrays, mut rest) = content.get(22..)?.split_first()?;
    for _ in 0..*arrays {
        let (head, units) = rest.split_first_chunk::<3>()?;
        rest = units;
        for _ in 0..u16::from_be_bytes([head[1], head[2]]) {
            rest = behind_unit(rest)?;
        }
    }
    Some(())
}

/// What follows a unit, which begins with its length.
fn behind_unit(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.get(usize::from(u16::from_be_bytes(*length))..)
}

#[cfg(test)]
mod tests {
    use super::super::boxes;
    use super::super::movie::{movie, set};

    fn error(name: &[u8; 4], place: usize, value: u32) -> String {
        let mut bytes = movie();
        set(&mut bytes, name, place, value);
        boxes::check(&mut bytes).expect_err("a damaged file")
    }

    #[test]
    fn a_table_that_does_not_know_every_frame_is_named() {
        for (name, place, value, known) in
            [(b"stts", 8, 1, 2), (b"ctts", 32, 1, 4), (b"stco", 4, 2, 4), (b"stsc", 4, 0, 0)]
        {
            let said = error(name, place, value);
            let table = if name == b"stco" { "stsc" } else { std::str::from_utf8(name).unwrap() };
            assert!(said.contains(&format!("speaks of 5 frames, and its table {table} knows of {known}.")), "{said}");
        }
    }

    #[test]
    fn a_table_that_claims_more_than_it_holds_is_named() {
        for (name, place, room) in [(b"stts", 4, 2), (b"ctts", 4, 4), (b"stsz", 8, 5), (b"stco", 4, 3), (b"stsc", 4, 2)]
        {
            let said = error(name, place, u32::MAX);
            assert!(said.contains(&format!("4294967295 entries and has room for {room}")), "{said}");
        }
    }

    #[test]
    fn an_empty_table_of_offsets_says_nothing_and_is_not_read() {
        let mut bytes = movie();
        set(&mut bytes, b"ctts", 4, 0);
        boxes::check(&mut bytes).unwrap();
        assert!(!bytes.windows(4).any(|word| word == b"ctts"));
    }

    #[test]
    fn settings_that_claim_more_than_their_box_holds_are_refused() {
        for (place, value) in [(4, 0xffff_0002), (4, 0xffe1_ffff), (8, 0x0707_ff00)] {
            assert!(error(b"avcC", place, value).contains("box avcC is too short"));
        }
    }
}
