//! Requests about files and the frames in them.

use std::fmt;

use serde::{Deserialize, Serialize};
use sonoseg_imaging::geometry::Scale;

use super::Fault;

/// A clip is known by the hash of its file's content (SHA-256), whatever the file is called and however often it is opened.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ClipId(pub [u8; 32]);

impl ClipId {
    /// From the digits that it is shown as.
    pub fn parse(digits: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if digits.len() != 64 || !digits.is_ascii() {
            return None;
        }
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for ClipId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for ClipId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// A file that the page knows, by the order in which it was opened.
pub type FileNumber = u32;

/// Open a file as the clip. A job: it tells how far it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenFile {
    /// File name for messages.
    pub name: String,
}

/// So much of a large file is read, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading(pub f64);

/// Say whether a file can be read, without showing it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckFile {
    /// File name for messages.
    pub name: String,
}

/// Take the files out of a zip. A job: it tells each file. The answer is a sentence for each that could not be taken out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnpackFile {
    /// File name for messages.
    pub name: String,
}

/// A file that was taken out of a zip (buffer 0: its bytes).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unpacked {
    /// Its path in the zip.
    pub path: String,
}

/// A clip that was opened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClipInfo {
    /// Which clip it is.
    pub id: ClipId,
    /// File name.
    pub name: String,
    /// Frames, at least 1.
    pub frames: usize,
    /// Rows of a frame.
    pub height: usize,
    /// Columns of a frame.
    pub width: usize,
    /// Frames are shown smaller by this whole number, so that huge images fit into memory.
    pub shrink: usize,
    /// When each frame is shown, in microseconds from the first; empty for stills.
    pub times_us: Vec<u64>,
    /// False where the file does not tell the times and 15 frames per second are assumed.
    pub times_known: bool,
    /// True when the file has a millimetre scale for at least a part of the image.
    pub scale_known: bool,
    /// What is missing, though the rest is shown.
    pub note: Option<String>,
}

impl ClipInfo {
    /// Rows of the shown picture.
    pub fn shown_height(&self) -> usize {
        self.height.div_ceil(self.shrink)
    }

    /// Columns of the shown picture.
    pub fn shown_width(&self) -> usize {
        self.width.div_ceil(self.shrink)
    }
}

/// Frames of the clip for display. A job: it tells each frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadFrames {
    /// The clip that they belong to.
    pub clip: ClipId,
    /// First frame, from 0.
    pub first: usize,
    /// How many.
    pub count: usize,
}

/// A frame, or why there is none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FrameRead {
    /// The frame, from 0.
    pub frame: usize,
    /// Its pixels (buffer 0: `[shown height, shown width, channels]`, one byte each).
    pub pixels: Result<PixelInfo, Fault>,
}

/// How to read the bytes of a frame, and what is known of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PixelInfo {
    /// 1 grey or 3 colour.
    pub channels: usize,
    /// Milliseconds to decode it.
    pub decode_ms: f64,
    /// Millimetres in pixels of the frame.
    pub scale: Scale,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clip_is_known_by_its_digits() {
        let id = ClipId(std::array::from_fn(|at| 8 * at as u8));
        assert_eq!(ClipId::parse(&id.to_string()), Some(id));
        assert_eq!((ClipId::parse("aa"), ClipId::parse(&"x".repeat(64))), (None, None));
    }
}
