//! A video track as both containers give it: a codec and compressed frames with time stamps.

use std::ops::Range;

use crate::rotation::QuarterTurns;

/// A compressed frame.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    /// Where its bytes lie in the file, or in the track's own bytes.
    pub(super) bytes: Range<usize>,
    /// When it is shown, in microseconds.
    pub(super) timestamp_us: f64,
    /// True when it can be decoded on its own.
    pub(super) key: bool,
    /// False for what is decoded for the sake of others only: it lies outside the cut of an edit list.
    pub(super) shown: bool,
}

/// A video track.
#[derive(Clone, Debug)]
pub(super) struct Track {
    /// The codec as WebCodecs names it, for example `avc1.64001f`.
    pub(super) codec: String,
    /// What the decoder must know beforehand.
    pub(super) description: Option<Vec<u8>>,
    /// Rows.
    pub(super) height: u32,
    /// Columns.
    pub(super) width: u32,
    /// How its pictures are turned to be shown.
    pub(super) turns: QuarterTurns,
    /// In decoding order.
    pub(super) chunks: Vec<Chunk>,
    /// Times of frames that the file speaks of, and whose bytes are not there, in microseconds.
    pub(super) missing_us: Vec<f64>,
    /// The bytes that the chunks lie in.
    pub(super) data: Vec<u8>,
    /// What is doubtful about the file, though it is shown, a sentence each.
    pub(super) notes: Vec<String>,
}

impl Track {
    /// When its frames are shown, those included whose bytes are not there, in that order and in microseconds.
    pub(super) fn shown_times_us(&self) -> Vec<f64> {
        let shown = self.chunks.iter().filter(|chunk| chunk.shown).map(|chunk| chunk.timestamp_us);
        let mut times: Vec<f64> = shown.chain(self.missing_us.iter().copied()).collect();
        times.sort_by(f64::total_cmp);
        times
    }

    /// The place, in decoding order, of the frame that a decoder gives for a time in whole microseconds.
    pub(super) fn place(&self, time_us: f64) -> Option<usize> {
        self.chunks.iter().position(|chunk| (chunk.timestamp_us - time_us).abs() < 1.0)
    }
}
