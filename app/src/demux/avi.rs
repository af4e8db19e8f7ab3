//! AVI with Motion JPEG: the first video stream, whose frames are pictures of their own.

use std::ops::Range;

use sonoseg_imaging::formats;
use sonoseg_imaging::geometry::Image;

use super::foreign::convert;
use super::order::Order;
use super::track::{Chunk, MOST_FRAMES, Track};
use crate::rotation::QuarterTurns;

/// How Motion JPEG is called in AVI files.
const MOTION_JPEG: [&[u8; 4]; 4] = [b"MJPG", b"mjpg", b"JPEG", b"jpeg"];

/// What tells a decoder that the tables that all of Motion JPEG share are left out.
const SHARED_TABLES: [u8; 18] = *b"\xff\xe0\x00\x10AVI1\0\0\0\0\0\0\0\0\0\0";

/// True for the first bytes of an AVI file.
pub fn is_avi(bytes: &[u8]) -> bool {
    bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"AVI ")
}

/// A video whose frames are pictures of their own.
#[derive(Debug)]
pub struct Pictures {
    track: Track,
    /// Its frames as they are shown.
    pub order: Order,
}

impl Pictures {
    /// The video stream of a file called `name`.
    ///
    /// # Errors
    ///
    /// A sentence without the file's name, which says what is wrong and what to do.
    pub fn open(name: &str, bytes: Vec<u8>) -> Result<Self, String> {
        let track = track(name, bytes)?;
        let order = Order::of(&track)?;
        Ok(Self { track, order })
    }

    /// A frame.
    ///
    /// # Errors
    ///
    /// A sentence without the file's name.
    pub fn frame(&self, index: usize) -> Result<Image, String> {
        let chunk = self.order.chunk(index).and_then(|chunk| self.track.chunks.get(chunk));
        let chunk = chunk.ok_or("Some of its frames are lost and passed over.")?;
        let mut jpeg = self.track.data[chunk.bytes.clone()].to_vec();
        let has_tables = jpeg.windows(2).take_while(|two| *two != [0xff, 0xda]).any(|two| two == [0xff, 0xc4]);
        if jpeg.starts_with(&[0xff, 0xd8]) && !has_tables {
            jpeg.splice(2..2, SHARED_TABLES);
        }
        formats::open("frame", jpeg)
            .and_then(|clip| clip.frame(0))
            .map_err(|_| "Some of its frames are damaged and passed over.".to_owned())
    }
}

/// The video stream, whose times are in microseconds.
fn track(name: &str, bytes: Vec<u8>) -> Result<Track, String> {
    let mut file =
        Riff { bytes: &bytes, stream: None, streams: 0, movi: None, frames: Vec::new(), index: Vec::new(), cut: false };
    file.walk(0, bytes.len());
    let frames = file.indexed().unwrap_or_else(|| file.frames.iter().cloned().map(Some).collect());
    let cut = file.cut;
    let Some(Stream { codec, frame_us, height, width, .. }) = file.stream else {
        return Err("It is an AVI file without a video stream, or is cut short: copy it again.".to_owned());
    };
    if !MOTION_JPEG.contains(&&codec) {
        let codec = codec.escape_ascii();
        return Err(format!("Its video codec ({codec}) is not one that browsers decode. {}", convert(name)));
    }
    let (mut chunks, mut missing_us) = (Vec::<Chunk>::with_capacity(frames.len()), Vec::new());
    for (number, frame) in frames.into_iter().enumerate() {
        // An empty frame repeats the one before.
        let last = chunks.last().map(|last| last.bytes.clone());
        let bytes = frame.and_then(|frame| if frame.is_empty() { last } else { Some(frame) });
        let timestamp_us = number as f64 * frame_us;
        match bytes {
            Some(bytes) => chunks.push(Chunk { bytes, timestamp_us, key: true, shown: true }),
            None => missing_us.push(timestamp_us),
        }
    }
    if chunks.is_empty() {
        return Err("It is cut short before its first frame: copy it again.".to_owned());
    }
    let notes = cut.then(|| "The file is cut short: copy it again.".to_owned()).into_iter().collect();
    let (codec, description, turns) = ("mjpeg".to_owned(), None, QuarterTurns::default());
    Ok(Track { codec, description, height, width, turns, chunks, missing_us, data: bytes, notes })
}

/// What the headers say of the first video stream.
struct Stream {
    number: usize,
    codec: [u8; 4],
    frame_us: f64,
    height: u32,
    width: u32,
}

/// A file that is walked through once, from the front.
struct Riff<'a> {
    bytes: &'a [u8],
    stream: Option<Stream>,
    /// Streams so far, of every kind.
    streams: usize,
    /// Where the name of the list of frames stands.
    movi: Option<usize>,
    /// The frames of the stream as they lie in the file.
    frames: Vec<Range<usize>>,
    /// What the index says of them: places and sizes.
    index: Vec<(usize, usize)>,
    cut: bool,
}

impl Riff<'_> {
    /// Go through the chunks between two places.
    fn walk(&mut self, start: usize, end: usize) {
        let mut at = start;
        while let Some(head) = self.bytes.get(at..at + 8).filter(|_| at + 8 <= end) {
            let name = [head[0], head[1], head[2], head[3]];
            let size = little(self.bytes, at + 4) as usize;
            let content = at + 8;
            let whole = content.checked_add(size).filter(|&next| next <= end);
            self.cut |= whole.is_none();
            let next = whole.unwrap_or(end);
            match &name {
                // The frames lie in a list of their own, whose end is known even where they are damaged.
                b"LIST" if self.movi.is_none() && self.bytes.get(content..content + 4) == Some(b"movi") => {
                    self.movi = Some(content);
                    self.walk(content + 4, next);
                }
                // The content begins with the name of the list: what is in it is walked through next.
                b"RIFF" | b"LIST" => {
                    at = (content + 4).min(end);
                    continue;
                }
                b"strh" => self.header(content, next),
                b"strf" => self.format(content, next),
                b"idx1" => self.places(content, next),
                _ => {
                    let whole = whole.filter(|_| self.is_ours(&name));
                    self.frames.extend(whole.map(|end| content..end));
                }
            }
            if self.frames.len() as u64 >= MOST_FRAMES {
                return;
            }
            at = next + size % 2;
        }
    }

    /// Whether a chunk of this name holds a frame of the stream.
    fn is_ours(&self, name: &[u8]) -> bool {
        let [tens @ b'0'..=b'9', ones @ b'0'..=b'9', b'd', b'b' | b'c'] = name else { return false };
        let number = 10 * usize::from(tens - b'0') + usize::from(ones - b'0');
        self.stream.as_ref().is_some_and(|stream| stream.number == number)
    }

    fn places(&mut self, content: usize, end: usize) {
        let entries = self.bytes.get(content..end).unwrap_or_default().chunks_exact(16);
        let ours = entries.filter(|entry| self.is_ours(&entry[..4]));
        self.index = ours.map(|entry| (little(entry, 8) as usize, little(entry, 12) as usize)).collect();
    }

    /// The frames by the index, those that are not where it says as none. Places count from the list of frames or from the
    /// start of the file.
    fn indexed(&self) -> Option<Vec<Option<Range<usize>>>> {
        let by = |base: usize| -> Vec<Option<Range<usize>>> {
            let lies = |&(place, size): &(usize, usize)| {
                let at = base.checked_add(place)?;
                let head = self.bytes.get(at..at.checked_add(8)?)?;
                let end = (at + 8).checked_add(size).filter(|&end| end <= self.bytes.len())?;
                (self.is_ours(&head[..4]) && little(head, 4) as usize == size).then_some(at + 8..end)
            };
            self.index.iter().map(lies).collect()
        };
        let found = |frames: &Vec<Option<Range<usize>>>| frames.iter().flatten().count();
        let best = [by(self.movi?), by(0)].into_iter().max_by_key(found)?;
        // An index of nothing, or of another file, is none. Files of more than a gigabyte go on without one.
        (found(&best) >= self.frames.len().max(1)).then_some(best)
    }

    fn header(&mut self, content: usize, end: usize) {
        let number = self.streams;
        self.streams += 1;
        let Some(header) = self.bytes.get(content..end).filter(|header| header.len() >= 28) else { return };
        if self.stream.is_none() && header.starts_with(b"vids") {
            let (scale, rate) = (little(header, 20), little(header, 24));
            let frame_us = 1e6 * f64::from(scale.max(1)) / f64::from(rate.max(1));
            let codec = [header[4], header[5], header[6], header[7]];
            self.stream = Some(Stream { number, codec, frame_us, height: 0, width: 0 });
        }
    }

    /// The format follows the header of its stream.
    fn format(&mut self, content: usize, end: usize) {
        let format = self.bytes.get(content..end).filter(|format| format.len() >= 20);
        let number = self.streams.wrapping_sub(1);
        let stream = self.stream.as_mut().filter(|stream| stream.number == number);
        if let (Some(format), Some(stream)) = (format, stream) {
            (stream.width, stream.height) = (little(format, 4), little(format, 8).cast_signed().unsigned_abs());
            stream.codec = [format[16], format[17], format[18], format[19]];
        }
    }
}

/// The little-endian number at a place that is there.
fn little(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().rev().fold(0, |number, &byte| number << 8 | u32::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
        let size = u32::try_from(content.len()).unwrap().to_le_bytes();
        let odd: &[u8] = if content.len() % 2 == 1 { &[0] } else { &[] };
        [&name[..], &size, content, odd].concat()
    }

    fn list(kind: &[u8; 4], chunks: &[Vec<u8>]) -> Vec<u8> {
        chunk(b"LIST", &[&kind[..], &chunks.concat()].concat())
    }

    /// Sound and pictures of 5x3 pixels at 20 a second, the second of which is empty.
    fn movie(codec: &[u8; 4], frame: &[u8]) -> Vec<u8> {
        let numbers = |numbers: &[u32]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>();
        let header = |kind: &[u8; 4]| chunk(b"strh", &[&kind[..], codec, &numbers(&[0, 0, 0, 1, 20, 0, 3])].concat());
        let format = [&numbers(&[40, 5, 3, 0])[..], codec, &[0; 20]].concat();
        let sound = list(b"strl", &[header(b"auds"), chunk(b"strf", &[0; 18])]);
        let pictures = list(b"strl", &[header(b"vids"), chunk(b"strf", &format)]);
        let data = [chunk(b"01dc", frame), chunk(b"00wb", &[1; 7]), chunk(b"01dc", &[]), chunk(b"01dc", frame)];
        let all = [list(b"hdrl", &[sound, pictures]), chunk(b"JUNK", &[0; 9]), list(b"movi", &data)];
        chunk(b"RIFF", &[b"AVI ", &all.concat()[..]].concat())
    }

    /// A grey picture, encoded without the tables that Motion JPEG leaves out.
    fn jpeg() -> Vec<u8> {
        // Quantisation of ones, 5x3 pixels of one component, one scan whose only block is of mean grey.
        let head = b"\xff\xd8\xff\xdb\x00\x43\x00".to_vec();
        let frame = b"\xff\xc0\x00\x0b\x08\x00\x03\x00\x05\x01\x01\x11\x00\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00";
        // Difference 0 of the mean is the code 00, the end of the block is 1010; ones fill the byte.
        [&head[..], &[1; 64], frame, &[0b0010_1011, 0xff, 0xd9]].concat()
    }

    #[test]
    fn frames_of_motion_jpeg_have_their_times_and_are_decoded() {
        let bytes = movie(b"MJPG", &jpeg());
        assert!(is_avi(&bytes));
        let pictures = Pictures::open("clip.avi", bytes).unwrap();
        assert_eq!((pictures.track.height, pictures.track.width), (3, 5));
        assert_eq!((pictures.order.times_us(), pictures.order.notes.len()), (vec![0, 50_000, 100_000], 0));
        let first = pictures.frame(0).unwrap();
        assert_eq!((first.height, first.width, first.channels), (3, 5, 1));
        assert!(first.to_bytes().iter().all(|&grey| grey == 128), "{:?}", first.to_bytes());
        assert_eq!(pictures.frame(1).unwrap(), first, "an empty frame repeats the one before");
        assert!(pictures.frame(3).is_err());
    }

    #[test]
    fn frames_behind_a_gap_keep_their_numbers_by_the_index() {
        let mut bytes = include_bytes!("../../../tests/reference/faults/15/clip.avi").to_vec();
        let pictures = Pictures::open("clip.avi", bytes.clone()).unwrap();
        assert_eq!(pictures.order.len(), 60);
        let lost: Vec<usize> = (0..60).filter(|&frame| pictures.frame(frame).is_err()).collect();
        assert_eq!(lost, [35, 36, 37]);
        // Without the index, what lies behind the gap cannot be told.
        let index = bytes.windows(4).position(|word| word == b"idx1").unwrap();
        bytes.truncate(index);
        assert!(Pictures::open("clip.avi", bytes).unwrap().order.len() < 60);
    }

    #[test]
    fn other_codecs_are_named_with_the_command_that_converts_them() {
        let said = track("lung.avi", movie(b"DIVX", &[1; 4])).unwrap_err();
        assert!(said.contains("DIVX") && said.contains("ffmpeg -i \"lung.avi\""), "{said}");
    }

    #[test]
    fn any_end_may_be_lost_and_any_number_be_replaced_without_a_panic() {
        let sound = movie(b"MJPG", &jpeg());
        let cut = Pictures::open("clip.avi", sound[..sound.len() - 4].to_vec()).unwrap();
        assert_eq!((cut.order.len(), cut.order.notes.len()), (2, 1));
        for at in 0..sound.len() - 4 {
            let _ = track("clip.avi", sound[..at].to_vec()).map_err(|said| assert!(said.ends_with('.'), "{said}"));
            for value in [0, 1, 7, 0x7fff_ffff, u32::MAX] {
                let mut bytes = sound.clone();
                bytes[at..at + 4].copy_from_slice(&u32::to_le_bytes(value));
                if let Ok(pictures) = Pictures::open("clip.avi", bytes) {
                    (0..pictures.order.len()).for_each(|index| drop(pictures.frame(index)));
                }
            }
        }
    }
}
