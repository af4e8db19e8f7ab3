//! A video track as both containers give it: a codec and compressed frames with time stamps.

use std::ops::Range;

use crate::rotation::QuarterTurns;

/// Frames of a file that are read: a day and a half at 30 a second.
pub(super) const MOST_FRAMES: u64 = 1 << 22;

/// A compressed frame.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// Where its bytes lie in the file, or in the track's own bytes.
    pub bytes: Range<usize>,
    /// When it is shown, in microseconds.
    pub timestamp_us: f64,
    /// True when it can be decoded on its own.
    pub key: bool,
    /// False for what is decoded for the sake of others only: it lies outside the cut of an edit list.
    pub shown: bool,
}

/// A video track.
#[derive(Clone, Debug)]
pub struct Track {
    /// The codec as WebCodecs names it, for example `avc1.64001f`.
    pub codec: String,
    /// What the decoder must know beforehand.
    pub description: Option<Vec<u8>>,
    /// Rows.
    pub height: u32,
    /// Columns.
    pub width: u32,
    /// How its pictures are turned to be shown.
    pub turns: QuarterTurns,
    /// In decoding order.
    pub chunks: Vec<Chunk>,
    /// Times of frames that the file speaks of, and whose bytes are not there, in microseconds.
    pub missing_us: Vec<f64>,
    /// The bytes that the chunks lie in.
    pub data: Vec<u8>,
    /// What is doubtful about the file, though it is shown, a sentence each.
    pub notes: Vec<String>,
}

impl Track {
    /// When its frames are shown, those included whose bytes are not there, in that order and in microseconds.
    pub fn shown_times_us(&self) -> Vec<f64> {
        let shown = self.chunks.iter().filter(|chunk| chunk.shown).map(|chunk| chunk.timestamp_us);
        let mut times: Vec<f64> = shown.chain(self.missing_us.iter().copied()).collect();
        times.sort_by(f64::total_cmp);
        times
    }
}
