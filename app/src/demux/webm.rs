//! WebM and Matroska: the first video track, its compressed frames and their presentation times.

use std::cell::Cell;
use std::io::Cursor;

use matroska_demuxer::{Frame, MatroskaFile, TrackType};

use super::bounded::Bounded;
use super::elements;
use super::track::{Chunk, MOST_FRAMES, Track};
use crate::rotation::QuarterTurns;

/// Bytes that may be read before the first frame: every one of them may become twenty in memory.
const MOST_BEFORE_FRAMES: u64 = 32 << 20;

/// True for the first bytes of a WebM or Matroska file.
pub fn is_webm(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1a, 0x45, 0xdf, 0xa3])
}

/// The video track of a file, whose times are in microseconds.
///
/// # Errors
///
/// A sentence without the file's name, which says what is wrong and what to do.
pub fn track(mut bytes: Vec<u8>) -> Result<Track, String> {
    let cut = elements::prepare(&mut bytes);
    // Sound files are read about once. A small one may be read more often than a large one.
    let often = bytes.len() as u64 * 4 + (1 << 16);
    let left = Cell::new(often.min(MOST_BEFORE_FRAMES));
    let mut file = MatroskaFile::open(Bounded::new(Cursor::new(bytes), &left)).map_err(|error| match left.get() {
        0 => "It is damaged: its parts claim to lie within each other. Copy it again, or repair it, for example with \
              `ffmpeg -i IN -c copy OUT.mkv`."
            .to_owned(),
        _ => format!("It is not a whole WebM or Matroska file ({error}). It may be cut short: copy it again."),
    })?;
    left.set(often);
    let entry = file.tracks().iter().find(|track| track.track_type() == TrackType::Video);
    let Some((number, codec_id, private, size)) = entry.map(|track| {
        let size = track.video().map_or((0, 0), |video| (video.pixel_height().get(), video.pixel_width().get()));
        (track.track_number().get(), track.codec_id().to_owned(), track.codec_private().map(<[u8]>::to_vec), size)
    }) else {
        return Err("It has no video track.".to_owned());
    };
    let (codec, description) = codec(&codec_id, private)?;
    let tick_us = file.info().timestamp_scale().get() as f64 / 1000.0;
    let (mut chunks, mut data, mut frame, mut notes) = (Vec::new(), Vec::new(), Frame::default(), Vec::new());
    let mut fault = None;
    loop {
        // Many empty frames fit into few bytes.
        if chunks.len() as u64 >= MOST_FRAMES {
            fault = Some("no more are read".to_owned());
            break;
        }
        match file.next_frame(&mut frame) {
            Ok(true) if frame.track == number => {
                let start = data.len();
                data.extend_from_slice(&frame.data);
                let key = frame.is_keyframe.unwrap_or_else(|| is_key(&codec_id, &frame.data));
                chunks.push(Chunk {
                    bytes: start..data.len(),
                    timestamp_us: frame.timestamp as f64 * tick_us,
                    key,
                    shown: true,
                });
            }
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                fault = Some(error.to_string());
                break;
            }
        }
    }
    if left.get() == 0 {
        fault = Some("its parts claim to lie within each other".to_owned());
    } else if cut {
        notes.push("The file is cut short: copy it again.".to_owned());
        fault = None;
    }
    notes.extend(fault.map(|why| {
        format!("The file is damaged after {} frames ({why}); what follows is lost. Copy it again.", chunks.len())
    }));
    if chunks.is_empty() {
        return Err("Its video track has no readable frames.".to_owned());
    }
    Ok(Track {
        codec,
        description,
        height: size.0 as u32,
        width: size.1 as u32,
        turns: QuarterTurns::default(),
        chunks,
        missing_us: Vec::new(),
        data,
        notes,
    })
}

/// The name of a codec in WebCodecs, and what its decoder must know beforehand.
fn codec(id: &str, private: Option<Vec<u8>>) -> Result<(String, Option<Vec<u8>>), String> {
    match (id, private) {
        ("V_VP8", _) => Ok(("vp8".to_owned(), None)),
        // Profile 0, level 4, 8 bits: browsers take the details from the frames.
        ("V_VP9", _) => Ok(("vp09.00.40.08".to_owned(), None)),
        ("V_AV1", _) => Ok(("av01.0.08M.08".to_owned(), None)),
        ("V_MPEG4/ISO/AVC", Some(avcc)) if avcc.len() > 3 => {
            Ok((format!("avc1.{:02x}{:02x}{:02x}", avcc[1], avcc[2], avcc[3]), Some(avcc)))
        }
        _ => Err(format!(
            "Its video codec {id} is not one that browsers decode. Convert it to VP9 or H.264, for example with \
             `ffmpeg -i IN -c:v libx264 OUT.mp4`."
        )),
    }
}

/// Whether a frame of a block group can be decoded on its own, read from its first byte.
fn is_key(codec_id: &str, data: &[u8]) -> bool {
    let first = data.first().copied().unwrap_or(0xff);
    match codec_id {
        "V_VP8" => first & 1 == 0,
        // Frame marker 2 bits, profile 2 bits, show-existing 1 bit, then 0 for a key frame.
        "V_VP9" => first & 0b1000 == 0 && first & 0b0100 == 0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An element with a size of four digits.
    fn element(name: &[u8], content: &[u8]) -> Vec<u8> {
        let size = (u32::try_from(content.len()).unwrap() | 0x1000_0000).to_be_bytes();
        [name, &size, content].concat()
    }

    fn header() -> Vec<u8> {
        let fields = [element(&[0x42, 0x82], b"webm"), element(&[0x42, 0x87], &[4]), element(&[0x42, 0x85], &[2])];
        element(&[0x1a, 0x45, 0xdf, 0xa3], &fields.concat())
    }

    /// A file of two frames, with something before everything else in it.
    fn file(first: &[u8]) -> Vec<u8> {
        with_tracks(first, &[])
    }

    fn with_tracks(first: &[u8], more: &[u8]) -> Vec<u8> {
        let info = [element(&[0x4d, 0x80], b"m"), element(&[0x57, 0x41], b"w")];
        let video = element(&[0xe0], &[element(&[0xb0], &[64]), element(&[0xba], &[48])].concat());
        let track = [element(&[0xd7], &[1]), element(&[0x73, 0xc5], &[1]), element(&[0x83], &[1])];
        let track = [track.concat(), element(&[0x86], b"V_VP8"), video].concat();
        let frames = [
            element(&[0xe7], &[0]),
            element(&[0xa3], &[0x81, 0, 0, 0x80, 0, 7]),
            element(&[0xa3], &[0x81, 0, 40, 0, 1, 8]),
        ];
        let parts = [
            first.to_vec(),
            element(&[0x15, 0x49, 0xa9, 0x66], &info.concat()),
            element(&[0x16, 0x54, 0xae, 0x6b], &[&element(&[0xae], &track), more].concat()),
            element(&[0x1f, 0x43, 0xb6, 0x75], &frames.concat()),
        ];
        [header(), element(&[0x18, 0x53, 0x80, 0x67], &parts.concat())].concat()
    }

    /// An entry of a table of contents that names another table of contents, at the beginning.
    fn circle() -> Vec<u8> {
        let fields = [element(&[0x53, 0xab], &[0x11, 0x4d, 0x9b, 0x74]), element(&[0x53, 0xac], &[0])];
        element(&[0x4d, 0xbb], &fields.concat())
    }

    #[test]
    fn frames_are_found_whatever_stands_before_them() {
        let contents = |entries: &[Vec<u8>]| element(&[0x11, 0x4d, 0x9b, 0x74], &entries.concat());
        let starts = [
            Vec::new(),
            element(&[0xec], &[0; 3]),
            // A checksum, a table of contents that names itself, and one that does so twice.
            element(&[0xbf], &[0; 4]),
            contents(&[circle()]),
            contents(&[circle(), circle()]),
            [vec![0, 0], contents(&[circle(), circle()])].concat(),
        ];
        for first in starts {
            let track = track(file(&first)).unwrap();
            assert_eq!((track.codec.as_str(), track.height, track.width), ("vp8", 48, 64));
            let frames: Vec<(&[u8], f64, bool)> = track
                .chunks
                .iter()
                .map(|chunk| (&track.data[chunk.bytes.clone()], chunk.timestamp_us, chunk.key))
                .collect();
            assert_eq!(frames, [(&[0, 7][..], 0.0, true), (&[1, 8][..], 40_000.0, false)]);
            assert!(track.notes.is_empty(), "{:?}", track.notes);
        }
    }

    #[test]
    fn a_file_that_ends_too_early_says_so() {
        let whole = file(&[]);
        for lost in [3, 11] {
            let track = track(whole[..whole.len() - lost].to_vec()).unwrap();
            assert_eq!(track.chunks.len(), 1);
            assert_eq!(track.notes, ["The file is cut short: copy it again."]);
        }
    }

    #[test]
    fn tracks_that_claim_to_hold_each_other_are_not_read_for_ever() {
        // Each says that its video goes on to the end of the tracks, where the size of all their pictures stands.
        let (fields, size) =
            ([0xd7, 0x81, 1, 0x73, 0xc5, 0x81, 1, 0x83, 0x81, 1, 0x86, 0x81, b'V'], [0xb0, 0x81, 64, 0xba, 0x81, 48]);
        let count = 5_000;
        let tracks = (0..count).flat_map(|at| {
            let rest = u32::try_from((count - 1 - at) * 20 + size.len()).unwrap() | 0x1000_0000;
            [&[0xae, 0x92][..], &fields, &[0xe0], &rest.to_be_bytes()].concat()
        });
        let tracks: Vec<u8> = tracks.chain(size).collect();
        let said = track(with_tracks(&[], &tracks)).unwrap_err();
        assert!(said.contains("claim to lie within each other"), "{said}");
    }

    #[test]
    fn any_byte_may_be_replaced_and_any_end_be_lost_without_a_panic() {
        let sound = file(&element(&[0x11, 0x4d, 0x9b, 0x74], &circle()));
        for at in 0..sound.len() {
            for value in 0..=255 {
                let mut bytes = sound.clone();
                bytes[at] = value;
                if let Err(said) = track(bytes) {
                    assert!(said.ends_with('.'), "{said}");
                }
            }
            if let Err(said) = track(sound[..at].to_vec()) {
                assert!(said.ends_with('.'), "{said}");
            }
        }
    }
}
