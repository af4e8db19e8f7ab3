//! Videos: the containers that the browser takes apart, and what the trainer reads beside ffmpeg. The first byte chooses.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sonoseg_app::demux::{avi::Pictures, mp4, track::Track, webm};

// The trainer is a program and no library.
#[path = "../../trainer/src/video/avi.rs"]
mod avi;
#[path = "../../trainer/src/video/log.rs"]
mod log;
#[path = "../../trainer/src/video/packets.rs"]
mod packets;

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    match kind % 4 {
        0 => check(mp4::track(bytes.to_vec())),
        1 => check(webm::track(bytes.to_vec())),
        2 => {
            index(bytes);
            pictures(bytes);
        }
        _ => words(bytes),
    }
});

/// Errors are sentences; the frames of a track lie in its bytes.
fn check(track: Result<Track, String>) {
    match track {
        Ok(track) => {
            assert!(track.chunks.iter().all(|chunk| track.data.get(chunk.bytes.clone()).is_some()));
            assert!(track.shown_times_us().iter().all(|time| time.is_finite()));
        }
        Err(error) => assert!(error.ends_with('.'), "{error}"),
    }
}

fn pictures(bytes: &[u8]) {
    match Pictures::open("fuzz.avi", bytes.to_vec()) {
        Ok(pictures) => (0..pictures.order.len().min(100)).for_each(|frame| drop(pictures.frame(frame))),
        Err(error) => assert!(error.ends_with('.'), "{error}"),
    }
}

fn index(bytes: &[u8]) {
    let path = std::env::temp_dir().join(format!("sonoseg-fuzz-{}.avi", std::process::id()));
    std::fs::write(&path, bytes).expect("the folder for temporary files can be written to");
    let places = avi::index(&path, 0).unwrap_or_default();
    let size = |place: u64| {
        let end = usize::try_from(place).ok()?;
        bytes.get(end.checked_sub(4)?..end).map(|size| u64::from(u32::from_le_bytes([size[0], size[1], size[2], size[3]])))
    };
    let packets: Vec<packets::Packet> = places
        .iter()
        .map(|&place| packets::Packet { pos: Some(place), size: size(place).unwrap_or(0), ..Default::default() })
        .collect();
    assert!(avi::in_a_row(&path, &packets) <= packets.len());
}

fn words(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (mut stream, mut log) = (packets::Stream::default(), log::Log::default());
    for line in text.lines() {
        stream.line(line);
        log.line(&stream.format.clone(), line);
    }
    let _ = (stream.has_table(), stream.keeps_times());
}
