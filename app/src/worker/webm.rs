//! WebM and Matroska: the first video track, its compressed frames and their presentation times.

use std::io::Cursor;

use matroska_demuxer::{Frame, MatroskaFile, TrackType};

use super::track::{Chunk, Track};
use crate::rotation::QuarterTurns;

/// True for the first bytes of a WebM or Matroska file.
pub(super) fn is_webm(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1a, 0x45, 0xdf, 0xa3])
}

/// The video track of a file. The error is a sentence without the file's name.
pub(super) fn track(bytes: Vec<u8>) -> Result<Track, String> {
    let mut file = MatroskaFile::open(Cursor::new(bytes)).map_err(|error| {
        format!("It is not a whole WebM or Matroska file ({error}). It may be cut short: copy it again.")
    })?;
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
    loop {
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
                notes.push(format!(
                    "The file is damaged after {} frames ({error}); what follows is lost. Copy it again.",
                    chunks.len()
                ));
                break;
            }
        }
    }
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
