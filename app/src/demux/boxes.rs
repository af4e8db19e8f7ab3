//! The boxes of an MP4 or MOV file, looked through before `re_mp4` reads them. That crate trusts sizes and counts: a box of
//! no size holds it for ever, a table that is too short makes it panic, which ends the worker, and a count without bytes
//! behind it takes all memory. What it reads and nobody needs (sound, subtitles, tags) is called `free`, and so skipped.

use std::collections::BTreeSet;
use std::ops::Range;

use super::part::{Part, damaged, header, number, shown, too_short};
use super::tables::{self, Tables};
use super::track::MOST_FRAMES;

/// Tracks of a file that are read.
const MOST_TRACKS: usize = 1000;

/// What a file holds by its boxes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Boxes {
    /// Where the last box ends that is to be read, in bytes from the start: beyond the file where that is cut short in its
    /// pictures, which may still be read up to there.
    pub(super) end: u64,
    /// What is doubtful, a sentence each.
    pub(super) notes: Vec<String>,
}

/// Look through a file and make it fit for `re_mp4`: boxes that must not be read get the name `free`, sizes that stand for
/// "up to the end" are written out, and bytes behind the last box within another become part of it.
///
/// # Errors
///
/// A sentence without the file's name for a file whose boxes do not fit each other.
pub(super) fn check(bytes: &mut [u8]) -> Result<Boxes, String> {
    let (mut walk, mut at, mut notes) = (Walk { bytes, ..Walk::default() }, 0, Vec::new());
    let length = walk.bytes.len();
    let (mut movie, mut end) = (false, None);
    while at < length {
        let Some((name, content, size)) = header(walk.bytes, at, length) else {
            if !movie {
                return Err(damaged(&format!("the box at byte {at} has no size")));
            }
            // Padding and the like behind a whole file is no damage, but fragments would be lost.
            if walk.fragmented && walk.bytes[at..].iter().any(|&byte| byte != 0) {
                notes.push(format!("The file is damaged at byte {at}; what follows is lost. Copy it again."));
            }
            break;
        };
        let next = at as u64 + size;
        if next > length as u64 {
            match &name {
                b"moov" => return Err("It is cut short in its list of frames: copy it again.".to_owned()),
                b"moof" => notes.push("The file is cut short: copy it again.".to_owned()),
                b"ftyp" => return Err("It is cut short at its very beginning: copy it again.".to_owned()),
                b"emsg" => end = Some(at as u64),
                _ => end = Some(next),
            }
            break;
        }
        let part = Part { at, name, content: content..next as usize };
        walk.write_out(&part);
        match &name {
            b"moov" => {
                movie = true;
                walk.each(&part, Walk::in_moov)?;
            }
            b"emsg" => walk.free(&part),
            _ => {}
        }
        at = next as usize;
    }
    // Fragments come last: which tracks are read is known now.
    let (end, mut at) = (end.unwrap_or(at as u64), 0);
    while let Some(part) = walk.part(at, length) {
        if &part.name == b"moof" && part.content.end as u64 <= end {
            walk.each(&part, Walk::in_moof)?;
        }
        at = part.content.end;
    }
    Ok(Boxes { end, notes })
}

/// What is known so far, of the file and of the part of it that is looked through.
#[derive(Default)]
struct Walk<'a> {
    bytes: &'a mut [u8],
    /// The tracks that are read, by their numbers.
    kept: BTreeSet<u32>,
    tracks: usize,
    defaults: usize,
    fragmented: bool,
    frames: u64,
    track: TrackSeen,
    tables: Tables,
    fragment: Fragment,
}

#[derive(Default)]
struct TrackSeen {
    number: Option<u32>,
    handler: Option<[u8; 4]>,
    /// How its frames are compressed, by the name of their description.
    codec: Option<[u8; 4]>,
    frames: u64,
    /// Why it cannot be read, which matters for pictures only.
    fault: Option<String>,
}

#[derive(Default)]
struct Fragment {
    track: Option<u32>,
    frames: u64,
}

impl TrackSeen {
    fn is_video(&self) -> bool {
        let named = self.handler.as_ref() == Some(b"vide");
        self.codec.map_or(named, |codec| tables::is_video(codec) || (named && !tables::is_sound_or_text(codec)))
    }

    fn blame(&mut self, fault: Result<u64, String>) {
        match fault {
            Ok(frames) => self.frames = self.frames.saturating_add(frames),
            Err(fault) => {
                self.fault.get_or_insert(fault);
            }
        }
    }
}

impl Walk<'_> {
    /// Go through the boxes within another.
    fn each(&mut self, parent: &Part, visit: fn(&mut Self, &Part) -> Result<(), String>) -> Result<(), String> {
        let Range { start: mut at, end } = parent.content;
        let mut last = None;
        while end - at >= 8 {
            let Some(part) = self.part(at, end) else {
                return Err(damaged(&format!(
                    "the box at byte {at} does not fit into its parent ({})",
                    shown(parent.name)
                )));
            };
            self.write_out(&part);
            at = part.content.end;
            last = Some(part);
        }
        match last {
            Some(last) if at < end => self.resize(&last, end - last.at),
            None if at < end => return Err(too_short(parent)),
            _ => {}
        }
        at = parent.content.start;
        while let Some(part) = self.part(at, end) {
            at = part.content.end;
            visit(self, &part)?;
        }
        Ok(())
    }

    fn part(&self, at: usize, end: usize) -> Option<Part> {
        Part::at(self.bytes, at, end)
    }

    /// Write the size into a box that goes "up to the end".
    fn write_out(&mut self, part: &Part) {
        if number(self.bytes, part.at) == 0 {
            self.resize(part, part.content.end - part.at);
        }
    }

    fn resize(&mut self, part: &Part, size: usize) {
        let at = part.at;
        if part.content.start - at == 16 {
            self.bytes[at + 8..at + 16].copy_from_slice(&(size as u64).to_be_bytes());
        } else if let Ok(size) = u32::try_from(size) {
            self.bytes[at..at + 4].copy_from_slice(&size.to_be_bytes());
        }
    }

    fn free(&mut self, part: &Part) {
        self.bytes[part.at + 4..part.at + 8].copy_from_slice(b"free");
    }

    /// The number at a place of a box's content.
    fn field(&self, part: &Part, place: usize) -> Result<u32, String> {
        let at = part.content.start + place;
        if at + 4 <= part.content.end { Ok(number(self.bytes, at)) } else { Err(too_short(part)) }
    }

    fn in_moov(&mut self, part: &Part) -> Result<(), String> {
        match &part.name {
            b"meta" | b"udta" => self.free(part),
            b"trak" => self.trak(part)?,
            b"mvex" => {
                self.fragmented = true;
                self.each(part, Self::in_mvex)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn in_mvex(&mut self, part: &Part) -> Result<(), String> {
        self.defaults += usize::from(&part.name == b"trex");
        few(self.defaults)
    }

    fn trak(&mut self, part: &Part) -> Result<(), String> {
        self.tracks += 1;
        few(self.tracks)?;
        self.track = TrackSeen::default();
        let walked = self.each(part, Self::in_trak);
        let track = std::mem::take(&mut self.track);
        if !track.is_video() && (walked.is_ok() || track.handler.is_some()) {
            self.free(part);
            return Ok(());
        }
        walked?;
        if let Some(fault) = track.fault {
            return Err(fault);
        }
        self.kept.extend(track.number);
        self.count(track.frames)
    }

    fn count(&mut self, frames: u64) -> Result<(), String> {
        self.frames = self.frames.saturating_add(frames);
        if self.frames > MOST_FRAMES {
            return Err(format!(
                "It speaks of {} frames, and at most {MOST_FRAMES} are read. If it does not hold as many, it is damaged: copy \
                 it again. Else cut it, for example with `ffmpeg -i IN -t 3600 -c copy OUT.mp4`.",
                self.frames
            ));
        }
        Ok(())
    }

    fn in_trak(&mut self, part: &Part) -> Result<(), String> {
        match &part.name {
            b"tkhd" => {
                let version = self.field(part, 0)? >> 24;
                self.track.number = Some(self.field(part, if version == 1 { 20 } else { 12 })?);
            }
            // Its first box is read whether it is there or not.
            b"edts" if part.content.len() < 8 => self.free(part),
            b"edts" => self.each(part, |_, _| Ok(()))?,
            b"meta" => self.free(part),
            b"mdia" => self.each(part, Self::in_mdia)?,
            _ => {}
        }
        Ok(())
    }

    fn in_mdia(&mut self, part: &Part) -> Result<(), String> {
        match &part.name {
            b"hdlr" => self.track.handler = Some(self.field(part, 8)?.to_be_bytes()),
            b"minf" => self.each(part, Self::in_minf)?,
            _ => {}
        }
        Ok(())
    }

    fn in_minf(&mut self, part: &Part) -> Result<(), String> {
        match &part.name {
            b"dinf" => self.each(part, Self::in_dinf)?,
            b"stbl" => {
                self.tables = Tables::default();
                self.each(part, Self::in_stbl)?;
                let checked = std::mem::take(&mut self.tables).check(self.bytes);
                self.track.blame(checked);
            }
            _ => {}
        }
        Ok(())
    }

    fn in_dinf(&mut self, part: &Part) -> Result<(), String> {
        // Where else the frames may lie is not asked, so that nothing is read about it.
        if &part.name == b"dref" {
            self.field(part, 4)?;
            let count = part.content.start + 4;
            self.bytes[count..count + 4].fill(0);
        }
        Ok(())
    }

    fn in_stbl(&mut self, part: &Part) -> Result<(), String> {
        if &part.name == b"stsd" {
            let Some(entry) = self.part(part.content.start + 8, part.content.end) else {
                self.track.blame(Err(damaged("its pictures have no description (stsd)")));
                return Ok(());
            };
            self.write_out(&entry);
            self.track.codec = Some(entry.name);
            if tables::is_sound_or_text(entry.name) {
                self.free(&entry);
            } else if tables::is_video(entry.name) {
                let checked = self.configuration(&entry);
                self.track.blame(checked.map(|()| 0));
            }
        }
        self.tables.note(part.clone());
        Ok(())
    }

    /// What a decoder must know beforehand stands in a box behind the fixed fields of the description.
    fn configuration(&mut self, entry: &Part) -> Result<(), String> {
        let mut at = entry.content.start + tables::DESCRIPTION;
        loop {
            // Sizes of 64 bits are misread there.
            let part = self.part(at, entry.content.end).filter(|part| part.content.start - part.at == 8);
            let Some(part) = part else {
                return Err(damaged(&format!("its description ({}) lacks the decoder's settings", shown(entry.name))));
            };
            self.write_out(&part);
            if &entry.name != b"avc1" || &part.name == b"avcC" {
                return tables::configuration(&part, &self.bytes[part.content.clone()]);
            }
            at = part.content.end;
        }
    }

    fn in_moof(&mut self, part: &Part) -> Result<(), String> {
        if &part.name != b"traf" {
            return Ok(());
        }
        self.fragment = Fragment::default();
        self.each(part, Self::in_traf)?;
        let Fragment { track, frames } = std::mem::take(&mut self.fragment);
        if track.is_some_and(|track| self.kept.contains(&track)) {
            return self.count(frames);
        }
        self.free(part);
        Ok(())
    }

    fn in_traf(&mut self, part: &Part) -> Result<(), String> {
        match &part.name {
            b"tfhd" => self.fragment.track = Some(self.field(part, 4)?),
            b"trun" => self.fragment.frames += u64::from(self.field(part, 4)?),
            _ => {}
        }
        Ok(())
    }
}

fn few(tracks: usize) -> Result<(), String> {
    let fault = || damaged(&format!("it speaks of more than {MOST_TRACKS} tracks"));
    (tracks <= MOST_TRACKS).then_some(()).ok_or_else(fault)
}

#[cfg(test)]
mod tests {
    use super::super::movie::{boxed, find, fragmented, movie, numbers, set};
    use super::*;

    fn error(bytes: &mut [u8]) -> String {
        check(bytes).expect_err("a damaged file")
    }

    #[test]
    fn what_nobody_needs_is_called_free_and_the_rest_stays_as_it_is() {
        let (sound, mut bytes) = (movie(), movie());
        assert_eq!(check(&mut bytes), Ok(Boxes { end: sound.len() as u64, notes: Vec::new() }));
        let changed: Vec<usize> = (0..sound.len()).filter(|&at| sound[at] != bytes[at]).collect();
        // The track of sound with the name of its description, the tags, and how many files the frames lie in.
        assert!(changed.len() <= 4 + 4 + 4 + 1, "{changed:?}");
        assert_eq!(bytes.windows(4).filter(|word| word == b"trak").count(), 1);
        assert!(!bytes.windows(4).any(|word| word == b"udta" || word == b"mp4a"));
    }

    #[test]
    fn sizes_that_stand_for_the_rest_are_written_out() {
        let mut bytes = movie();
        let at = find(&bytes, b"moov") - 8;
        bytes[at..at + 4].fill(0);
        // The last box in the movie, and four bytes behind the last one in another: some writers end a list so.
        let last = find(&bytes, b"udta") - 8;
        bytes[last..last + 4].fill(0);
        let sound = movie();
        check(&mut bytes).unwrap();
        assert_eq!((&bytes[at..at + 4], &bytes[last..last + 4]), (&sound[at..at + 4], &sound[last..last + 4]));
        let mut bytes = [boxed(b"moov", &[&boxed(b"skip", &[]), &[0; 4]]), numbers(&[0])].concat();
        assert_eq!(check(&mut bytes).unwrap().end, 20);
        assert_eq!(number(&bytes, 8), 12, "four bytes more");
    }

    #[test]
    fn boxes_that_do_not_fit_are_named() {
        for (name, size) in [(b"mdhd", 0x1000), (b"stbl", 3), (b"tkhd", u32::MAX)] {
            let mut bytes = movie();
            let at = find(&bytes, name) - 8;
            bytes[at..at + 4].copy_from_slice(&size.to_be_bytes());
            let said = error(&mut bytes);
            assert!(said.contains(&format!("the box at byte {at} does not fit into its parent")), "{said}");
        }
        let said = error(&mut movie()[..300]);
        assert!(said.contains("cut short in its list of frames"), "{said}");
        assert!(error(&mut [0, 0, 0, 3, 1, 1, 1, 1]).contains("the box at byte 0 has no size"));
    }

    #[test]
    fn bytes_behind_the_last_box_are_no_damage_unless_they_were_fragments() {
        let mut bytes = [movie(), vec![0, 0, 0, 5, 9, 9, 9, 9, 9]].concat();
        assert_eq!(check(&mut bytes), Ok(Boxes { end: movie().len() as u64, notes: Vec::new() }));
        let mut bytes = [fragmented(), vec![0, 0, 0, 5, 9, 9, 9, 9, 9]].concat();
        let notes = check(&mut bytes).unwrap().notes;
        assert!(notes[0].contains(&format!("damaged at byte {}", fragmented().len())), "{notes:?}");
        let mut bytes = fragmented();
        bytes.truncate(find(&bytes, b"moof") + 20);
        assert_eq!(check(&mut bytes).unwrap().notes, ["The file is cut short: copy it again."]);
    }

    #[test]
    fn a_count_without_bytes_behind_it_is_refused() {
        let mut bytes = fragmented();
        set(&mut bytes, b"trun", 4, u32::MAX);
        assert!(error(&mut bytes).contains("speaks of 4294967300 frames"));
        let mut bytes = fragmented();
        set(&mut bytes, b"tfhd", 4, 2);
        check(&mut bytes).expect("nobody reads the fragments of another track");
        let mut bytes =
            [boxed(b"ftyp", &[&[0; 8]]), boxed(b"moov", &[&vec![boxed(b"trak", &[]); 1001].concat()])].concat();
        assert!(error(&mut bytes).contains("more than 1000 tracks"));
    }
}
