//! MP4 and MOV: the first video track, its compressed frames and their presentation times.

use std::iter::{repeat, repeat_n};
use std::ops::Range;

use re_mp4::{Mp4, StsdBoxContent, TrackKind, TrakBox};

use super::boxes::{self, Boxes};
use super::track::{Chunk, Track};
use crate::rotation::QuarterTurns;

/// Frames among which the one that is shown first is looked for.
const REORDERED: usize = 64;

/// True for the first bytes of an MP4 or MOV file that is a video (HEIC and AVIF pictures use the same container).
pub fn is_mp4(bytes: &[u8]) -> bool {
    let (kind, brand) = (bytes.get(4..8), bytes.get(8..12));
    let picture = [b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis"].iter().any(|b| brand == Some(b.as_slice()));
    match kind {
        Some(b"ftyp") => !picture,
        Some(b"moov" | b"mdat" | b"wide" | b"free" | b"skip" | b"pnot") => true,
        _ => false,
    }
}

/// The video track of a file, whose times are in microseconds.
///
/// # Errors
///
/// A sentence without the file's name, which says what is wrong and what to do.
pub fn track(mut bytes: Vec<u8>) -> Result<Track, String> {
    let Boxes { end, mut notes } = boxes::check(&mut bytes)?;
    let mp4 = Mp4::read(std::io::Cursor::new(&bytes), end)
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
    let (mut chunks, mut missing_us) = (Vec::with_capacity(video.samples.len()), Vec::new());
    let mut leans_on_missing = false;
    for sample in &video.samples {
        leans_on_missing &= !sample.is_sync;
        let mut time = sample.composition_timestamp;
        // In fragments, offsets below zero are taken for very large ones.
        if time.wrapping_sub(sample.decode_timestamp) > i64::from(i32::MAX) {
            time = time.wrapping_sub(1 << 32);
        }
        let timestamp_us = time as f64 * 1e6 / sample.timescale.max(1) as f64;
        let shown = cut.as_ref().is_none_or(|cut| cut.contains(&time));
        // In a browser, places in a file are numbers of 32 bits, and those in an MP4 of 64.
        let end = sample.offset.checked_add(sample.size).filter(|&end| end <= bytes.len() as u64);
        match end {
            Some(end) if !leans_on_missing => {
                let range = sample.offset as usize..end as usize;
                chunks.push(Chunk { bytes: range, timestamp_us, key: sample.is_sync, shown });
            }
            _ => {
                leans_on_missing = true;
                missing_us.extend(shown.then_some(timestamp_us));
            }
        }
    }
    if chunks.is_empty() {
        return Err("It is cut short before its first frame: copy it again.".to_owned());
    }
    if !missing_us.is_empty() && notes.is_empty() {
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

#[cfg(test)]
mod tests {
    use super::super::movie::{fragmented, movie, set};
    use super::*;

    #[test]
    fn frames_are_found_with_their_times_and_the_settings_of_their_codec() {
        let track = track(movie()).unwrap();
        assert_eq!((track.codec.as_str(), track.height, track.width), ("avc1.42C00A", 48, 64));
        assert_eq!(track.description.as_ref().map(Vec::len), Some(14));
        let frames: Vec<&[u8]> = track.chunks.iter().map(|chunk| &track.data[chunk.bytes.clone()]).collect();
        assert_eq!(frames.concat(), (0..20).collect::<Vec<u8>>());
        let times: Vec<f64> = track.chunks.iter().map(|chunk| chunk.timestamp_us / 1000.0).collect();
        assert_eq!(times, [0.0, 40.0, 40.0, 70.0, 90.0]);
        assert_eq!(track.chunks.iter().filter(|chunk| chunk.key).count(), 1);
        // The edit list ends after 80 ms.
        assert_eq!(track.shown_times_us(), [0.0, 40_000.0, 40_000.0, 70_000.0]);
    }

    #[test]
    fn frames_of_fragments_follow_those_of_the_movie() {
        let track = track(fragmented()).unwrap();
        assert_eq!((track.chunks.len(), track.missing_us.len()), (7, 0));
        let times: Vec<f64> = track.chunks[5..].iter().map(|chunk| chunk.timestamp_us / 1000.0).collect();
        assert_eq!(times, [120.0, 100.0], "the second has an offset of -20 ms");
    }

    #[test]
    fn a_frame_beyond_the_file_is_missing_even_where_its_place_has_more_than_32_bits() {
        let mut bytes = movie();
        set(&mut bytes, b"stco", 12, u32::MAX - 1);
        let track = track(bytes).unwrap();
        // What follows leans on the two frames that are there no more.
        assert_eq!((track.chunks.len(), track.notes.len()), (2, 1));
        assert!(track.notes[0].contains("cut short"), "{:?}", track.notes);
    }

    #[test]
    fn any_number_may_be_replaced_and_any_end_be_lost_without_a_panic() {
        for sound in [movie(), fragmented()] {
            for at in 0..sound.len() - 4 {
                for value in [0, 1, 2, 9, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
                    let mut bytes = sound.clone();
                    bytes[at..at + 4].copy_from_slice(&u32::to_be_bytes(value));
                    if let Err(said) = track(bytes) {
                        assert!(said.ends_with('.'), "{said}");
                    }
                }
                assert!(track(sound[..at].to_vec()).is_err() || at > movie().len());
            }
        }
    }
}
