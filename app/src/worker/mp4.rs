//! MP4 and MOV: the first video track, its compressed frames and their presentation times.

use std::iter::{repeat, repeat_n};
use std::ops::Range;

use re_mp4::{Mp4, StsdBoxContent, TrackKind, TrakBox};

use super::track::{Chunk, Track};
use crate::rotation::QuarterTurns;

/// Frames among which the one that is shown first is looked for.
const REORDERED: usize = 64;

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
    let mp4 = Mp4::read(std::io::Cursor::new(&bytes), end_of_boxes(&bytes))
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
    let trak = video.trak(&mp4);
    let cut = cut(trak, u64::from(mp4.moov.mvhd.timescale));
    let (mut chunks, mut missing_us, mut notes) = (Vec::with_capacity(video.samples.len()), Vec::new(), Vec::new());
    let mut leans_on_missing = false;
    for sample in &video.samples {
        leans_on_missing &= !sample.is_sync;
        let (time, range) = (sample.composition_timestamp, sample.byte_range());
        let timestamp_us = time as f64 * 1e6 / sample.timescale.max(1) as f64;
        let shown = cut.as_ref().is_none_or(|cut| cut.contains(&time));
        if range.end <= bytes.len() && range.start <= range.end && !leans_on_missing {
            chunks.push(Chunk { bytes: range, timestamp_us, key: sample.is_sync, shown });
        } else {
            leans_on_missing = true;
            missing_us.extend(shown.then_some(timestamp_us));
        }
    }
    if chunks.is_empty() {
        return Err("It is cut short before its first frame: copy it again.".to_owned());
    }
    if !missing_us.is_empty() {
        notes.push("The file is cut short: copy it again.".to_owned());
    }
    let description = match &trak.mdia.minf.stbl.stsd.contents {
        // VP8 and VP9 need none, and what the container has is refused.
        StsdBoxContent::Vp08(_) | StsdBoxContent::Vp09(_) => None,
        _ => video.raw_codec_config(&mp4),
    };
    let (height, width) = (u32::from(video.height), u32::from(video.width));
    let matrix = &trak.tkhd.matrix;
    let turns = QuarterTurns::of([matrix.a, matrix.b, matrix.c, matrix.d]);
    if turns.is_none() {
        notes.push("It asks to be mirrored or turned by an odd angle, and is shown as it was recorded.".to_owned());
    }
    let turns = turns.unwrap_or_default();
    Ok(Track { codec, description, height, width, turns, chunks, missing_us, data: bytes, notes })
}

/// Where the last box of a file ends by its own word: beyond the file where that is cut short in its pictures, which may
/// still be read up to there.
fn end_of_boxes(bytes: &[u8]) -> u64 {
    let (length, mut at) = (bytes.len() as u64, 0_u64);
    let number = |at: u64, count: usize| {
        let from = usize::try_from(at).ok()?;
        let digits = bytes.get(from..from.checked_add(count)?)?;
        Some(digits.iter().fold(0_u64, |number, &digit| number << 8 | u64::from(digit)))
    };
    while let Some(size) = number(at, 4) {
        let size = if size == 1 { number(at + 8, 8).unwrap_or(0) } else { size };
        match at.checked_add(size) {
            Some(next) if size >= 8 => at = next,
            _ => return length,
        }
    }
    at.max(length)
}

/// The times that an edit list shows, in ticks from the first frame of the track. None where it shows all, or is more than
/// one cut.
fn cut(trak: &TrakBox, movie_timescale: u64) -> Option<Range<i64>> {
    let list = trak.edts.as_ref()?.elst.as_ref()?;
    // An edit of no media, -1 in either version of the box, delays what follows.
    let mut edits = list.entries.iter().filter(|entry| ![u64::MAX, u64::from(u32::MAX)].contains(&entry.media_time));
    let edit = edits.next().filter(|_| edits.next().is_none())?;
    let table = &trak.mdia.minf.stbl;
    let steps = table
        .stts
        .entries
        .iter()
        .flat_map(|entry| repeat_n(i64::from(entry.sample_delta), entry.sample_count as usize));
    let offsets = table.ctts.iter().flat_map(|ctts| &ctts.entries);
    let offsets = offsets.flat_map(|entry| repeat_n(i64::from(entry.sample_offset), entry.sample_count as usize));
    // No frame is shown first that is decoded after more than a few others.
    let shown = steps.zip(offsets.chain(repeat(0))).take(REORDERED).scan(0_i64, |at, (step, offset)| {
        let time = *at + offset;
        *at += step;
        Some(time)
    });
    let begin = i64::try_from(edit.media_time).ok()?.saturating_sub(shown.min()?);
    let ticks = u128::from(edit.segment_duration) * u128::from(trak.mdia.mdhd.timescale);
    let ticks = i64::try_from(ticks.div_ceil(u128::from(movie_timescale.max(1)))).ok().filter(|&ticks| ticks > 0);
    Some(begin..ticks.map_or(i64::MAX, |ticks| begin.saturating_add(ticks)))
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
