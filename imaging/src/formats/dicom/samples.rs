//! The samples of a frame, as decoders leave them.

/// What to do with a variant that is not read.
pub(super) const CONVERT: &str =
    "Convert it: `gdcmconv --raw IN OUT`, or with DCMTK `dcmdjpeg`, `dcmdjpls` or `dcmdjp2k`.";

/// The samples of a frame, interleaved by component.
#[derive(Debug, PartialEq)]
pub(super) enum Samples {
    Bytes(Vec<u8>),
    Words(Vec<u16>),
}

impl Samples {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Words(words) => words.len(),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u16> {
        let (bytes, words) = match self {
            Self::Bytes(bytes) => (bytes.as_slice(), [].as_slice()),
            Self::Words(words) => ([].as_slice(), words.as_slice()),
        };
        bytes.iter().map(|&byte| byte.into()).chain(words.iter().copied())
    }
}

/// A frame with its samples unpacked.
#[derive(Debug)]
pub(super) struct Unpacked {
    pub samples: Samples,
    pub channels: usize,
    /// Bits of a sample by the stream's own word, where there is one.
    pub precision: Option<u32>,
    /// True when the samples are red, green and blue, whatever the header says.
    pub rgb: bool,
}
