//! MP4 and MOV: the first video track, its compressed frames and their presentation times.

use re_mp4::{Mp4, StsdBoxContent, TrackKind};

use super::track::{Chunk, Track};
use crate::rotation::QuarterTurns;

/// True for the first bytes of an MP4 or MOV file that is a video (HEIC and AVIF pictures use the same container).
pub(super) fn is_mp4(bytes: &[u8]) -> bool {
    let (kind, brand) = (bytes.get(4..8), bytes.get(8..12));
    let picture = [b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis"].iter().any(|b| brand == Some(b.as_slice()));
    match kind {
        Some(b"ftyp") => !picture,
        Some(b"moov" | b"mdat" | b"wide" | b"free" | b"skip" | b"pnot") => true,
        _ => false,
    }
}

/// The video track of a file. The error is a sentence without the file's name.
pub(super) fn track(bytes: Vec<u8>) -> Result<Track, String> {
    let mp4 = Mp4::read_bytes(&bytes)
        .map_err(|error| format!("It is not a whole MP4 or MOV file ({error}). It may be cut short: copy it again."))?;
    let Some(video) = mp4.tracks().values().find(|track| track.kind == Some(TrackKind::Video)) else {
        return Err(foreign_codec(&mp4).unwrap_or_else(|| "It has no video track.".to_owned()));
    };
    if video.samples.is_empty() {
        return Err("Its video track has no frames.".to_owned());
    }
    let Some(codec) = video.codec_string(&mp4) else {
        return Err(foreign_codec(&mp4).unwrap_or_else(|| "Its video track names no codec.".to_owned()));
    };
    let mut chunks = Vec::with_capacity(video.samples.len());
    let mut damage = None;
    for sample in &video.samples {
        let range = sample.byte_range();
        if range.end > bytes.len() || range.start > range.end {
            damage =
                Some(format!("The file is cut short: {} of {} frames are there.", chunks.len(), video.samples.len()));
            break;
        }
        let timestamp_us = sample.composition_timestamp as f64 * 1e6 / sample.timescale.max(1) as f64;
        chunks.push(Chunk { bytes: range, timestamp_us, key: sample.is_sync });
    }
    let description = match &video.trak(&mp4).mdia.minf.stbl.stsd.contents {
        // VP8 and VP9 need none, and what the container has is refused.
        StsdBoxContent::Vp08(_) | StsdBoxContent::Vp09(_) => None,
        _ => video.raw_codec_config(&mp4),
    };
    let (height, width) = (u32::from(video.height), u32::from(video.width));
    let matrix = &video.trak(&mp4).tkhd.matrix;
    let turns = QuarterTurns::of([matrix.a, matrix.b, matrix.c, matrix.d]);
    if turns.is_none() {
        let note = "It asks to be mirrored or turned by an odd angle, and is shown as it was recorded.";
        damage.get_or_insert_with(|| note.to_owned());
    }
    let turns = turns.unwrap_or_default();
    Ok(Track { codec, description, height, width, turns, chunks, data: bytes, damage })
}

/// What to say about the first video track whose codec the demuxer does not know.
fn foreign_codec(mp4: &Mp4) -> Option<String> {
    let video = mp4.moov.traks.iter().filter(|track| &track.mdia.hdlr.handler_type.value == b"vide");
    let name = video.into_iter().find_map(|track| match &track.mdia.minf.stbl.stsd.contents {
        StsdBoxContent::Unknown(name) => Some(String::from_utf8_lossy(&name.value).into_owned()),
        _ => None,
    })?;
    Some(format!(
        "Its video codec ({name}) is not one that browsers decode. Convert it to H.264, for example with \
         `ffmpeg -i IN -c:v libx264 OUT.mp4`."
    ))
}
