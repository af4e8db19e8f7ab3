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
    /// The bytes that the chunks lie in.
    pub(super) data: Vec<u8>,
    /// What is wrong with the file, though a part can be shown.
    pub(super) damage: Option<String>,
}
