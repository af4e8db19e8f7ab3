//! JPEG 2000 frames (ISO/IEC 15444-1): the headers are read before the decoder sees them, so that no damaged one makes it take
//! memory, and no cut one comes back as a blurred picture.

use super::codecs::CONVERT;
use super::pixels::{Samples, Unpacked};
use crate::formats::Refusal;
use hayro_jpeg2000::{DecodeSettings, DecoderContext, Image};

/// Most samples of a frame: the decoder takes some twenty bytes for each.
const MAX_SAMPLES: usize = 48_000_000;

const CODESTREAM: &[u8] = &[0xff, 0x4f, 0xff, 0x51];
const BOXES: &[u8] = b"\0\0\0\x0cjP  ";

/// True for the first bytes of a JPEG 2000 codestream, bare or in its file format.
pub(super) fn is_stream(bytes: &[u8]) -> bool {
    bytes.starts_with(CODESTREAM) || bytes.starts_with(BOXES)
}

/// What the main header says.
#[derive(Debug, PartialEq)]
struct Head {
    size: [usize; 3],
    precision: u32,
    signed: bool,
}

/// Decode a frame that has to have the given height, width and samples a pixel. Colour differences come back as red,
/// green, blue where the stream itself made them.
pub(super) fn decode(bytes: &[u8], size: [usize; 3]) -> Result<Unpacked, Refusal> {
    let stream = codestream(bytes).ok_or_else(cut)?;
    let mut walk = Walk { bytes: stream, at: 2 };
    let head = walk.head()?;
    if head.size != size {
        return Err(Refusal::unreadable(
            "A JPEG 2000 frame has another size or colour than the DICOM header says. Copy or export the file again.",
        ));
    }
    let differences = walk.rest(&head)?;
    let settings = DecodeSettings { resolve_palette_indices: false, strict: true, target_resolution: None };
    let damaged = |error: hayro_jpeg2000::DecodeError| {
        Refusal::Unreadable(format!("A JPEG 2000 frame is damaged ({error}). Copy or export the file again."))
    };
    let image = Image::new(stream, &settings).map_err(damaged)?;
    let mut context = DecoderContext::default();
    let decoded = image.decode(&mut context).map_err(damaged)?;
    let planes = decoded.components();
    let [height, width, samples] = size;
    if planes.len() != samples || planes.iter().any(|plane| plane.samples().len() != height * width) {
        return Err(Refusal::unreadable(
            "A JPEG 2000 frame holds another number of pixels than it says. Copy or export the file again.",
        ));
    }
    // The decoder takes all samples for unsigned and lifts them by half the range.
    let [low, high] = [0, (1_i32 << head.precision) - 1];
    let lifted = if head.signed { 1_i32 << (head.precision - 1) } else { 0 };
    let word = |value: f32| ((value.round() as i32).clamp(low, high) - lifted) as u16;
    let pixels = (0..height * width).flat_map(|pixel| planes.iter().map(move |plane| plane.samples()[pixel]));
    let samples = if head.precision <= 8 && !head.signed {
        Samples::Bytes(pixels.map(|value| word(value) as u8).collect())
    } else {
        Samples::Words(pixels.map(word).collect())
    };
    Ok(Unpacked { samples, channels: size[2], precision: Some(head.precision), rgb: differences })
}

fn cut() -> Refusal {
    Refusal::unreadable("A JPEG 2000 frame is cut short. Copy or export the file again.")
}

fn not_read(what: &str) -> Refusal {
    Refusal::Unsupported(format!("Its JPEG 2000 frames {what}, which is not read. {CONVERT}"))
}

/// The codestream without the boxes that some writers put around it.
fn codestream(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes;
    while !rest.starts_with(CODESTREAM) {
        let length = u32::from_be_bytes(rest.get(..4)?.try_into().ok()?) as usize;
        let (kind, length, head) = match length {
            1 => (rest.get(4..8)?, usize::try_from(u64::from_be_bytes(rest.get(8..16)?.try_into().ok()?)).ok()?, 16),
            0 => (rest.get(4..8)?, rest.len(), 8),
            _ => (rest.get(4..8)?, length, 8),
        };
        rest = if kind == b"jp2c" { rest.get(head..)? } else { rest.get(length.max(head)..)? };
        if kind == b"jp2c" && !rest.starts_with(CODESTREAM) {
            return None;
        }
    }
    Some(rest)
}

struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Walk<'a> {
    /// The next marker and its segment without the length.
    fn segment(&mut self) -> Result<(u16, &'a [u8]), Refusal> {
        let word = |at: usize| {
            let pair = self.bytes.get(at..at + 2).ok_or_else(cut)?;
            Ok(u16::from_be_bytes([pair[0], pair[1]]))
        };
        let (marker, length) = (word(self.at)?, usize::from(word(self.at + 2)?));
        let segment = self.bytes.get(self.at + 4..self.at + 2 + length.max(2)).ok_or_else(cut)?;
        self.at += 2 + length.max(2);
        Ok((marker, segment))
    }

    /// The first segment: sizes.
    fn head(&mut self) -> Result<Head, Refusal> {
        let (_, segment) = self.segment()?;
        let long = |at: usize| -> Result<usize, Refusal> {
            let four: [u8; 4] = segment.get(at..at + 4).and_then(|four| four.try_into().ok()).ok_or_else(cut)?;
            Ok(u32::from_be_bytes(four) as usize)
        };
        let [width, height, left, top] = [long(2)?, long(6)?, long(10)?, long(14)?];
        let [tile_width, tile_height] = [long(18)?, long(22)?];
        let count = segment.get(34..36).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).ok_or_else(cut)?;
        let components = segment.get(36..).unwrap_or_default().chunks_exact(3).take(count.into());
        let Some(&[kind, ..]) = components.clone().next() else { return Err(cut()) };
        if components.len() != usize::from(count) || components.clone().any(|c| c != [kind, 1, 1]) {
            return Err(not_read("have components of different sizes or depths"));
        }
        let precision = u32::from(kind & 0x7f) + 1;
        if precision > 16 {
            return Err(not_read(&format!("have {precision} bits a sample")));
        }
        let (height, width) = (height.saturating_sub(top), width.saturating_sub(left));
        let samples = height.saturating_mul(width).saturating_mul(count.into());
        if samples > MAX_SAMPLES {
            return Err(not_read("have more than 48 million samples"));
        }
        // A tile takes fourteen bytes at least, a start of it and of its data.
        let tiles = height.div_ceil(tile_height.max(1)).saturating_mul(width.div_ceil(tile_width.max(1)));
        if tiles > self.bytes.len() / 14 {
            return Err(cut());
        }
        Ok(Head { size: [height, width, count.into()], precision, signed: kind & 0x80 != 0 })
    }

    /// The other segments and the tiles, which have to be there to their ends. True when the stream made luminance and
    /// colour differences itself.
    fn rest(&mut self, head: &Head) -> Result<bool, Refusal> {
        let mut differences = false;
        loop {
            let start = self.at;
            if self.bytes.get(start..start + 2) == Some(&[0xff, 0xd9]) {
                return Ok(differences);
            }
            let (marker, segment) = match self.segment() {
                // Some writers forget the end marker. A byte of padding may stand in its place.
                Err(_) if start > 2 && self.bytes.len() - start.min(self.bytes.len()) <= 1 => return Ok(differences),
                other => other?,
            };
            match (marker, segment) {
                (0xff52, [style, _, _, _, transform, coding @ ..]) => {
                    differences = *transform == 1;
                    self.check_precincts(style & 1 == 1, coding, head)?;
                }
                (0xff53, segment) => {
                    // One component's own coding, behind its number of one or two bytes.
                    let wide = if head.size[2] < 257 { 1 } else { 2 };
                    let Some([style, coding @ ..]) = segment.get(wide..) else { return Err(cut()) };
                    self.check_precincts(style & 1 == 1, coding, head)?;
                }
                (0xff90, [_, _, a, b, c, d, ..]) => {
                    let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
                    // The last one may leave its length open; then the end marker has to stand at the end.
                    let end = if length == 0 { self.end()? } else { start + length.max(14) };
                    if end > self.bytes.len() {
                        return Err(cut());
                    }
                    self.at = end;
                }
                (0xff52 | 0xff90, _) => return Err(cut()),
                _ => {}
            }
        }
    }

    /// Where the end marker stands, with a byte of padding behind it or none.
    fn end(&self) -> Result<usize, Refusal> {
        let at =
            |back: usize| self.bytes.len().checked_sub(back).filter(|&at| self.bytes[at..].starts_with(&[0xff, 0xd9]));
        at(2).or_else(|| at(3)).ok_or_else(cut)
    }

    /// Refuse precincts so small that their number would take more memory than the stream can stand for: each costs a bit
    /// at least. `coding` is levels, code blocks and transform, then the sizes for each level.
    fn check_precincts(&self, given: bool, coding: &[u8], head: &Head) -> Result<(), Refusal> {
        let [levels, _, _, _, _, sizes @ ..] = coding else { return Err(cut()) };
        if !given {
            return Ok(());
        }
        let [height, width, components] = head.size;
        let mut precincts = 0_usize;
        for (level, size) in sizes.iter().enumerate().take(usize::from(*levels) + 1) {
            let shrunk = (usize::from(*levels) - level).min(31) as u32;
            let along = |side: usize, exponent: u8| (side >> shrunk >> exponent) + 1;
            precincts = precincts.saturating_add(along(width, size & 15).saturating_mul(along(height, size >> 4)));
        }
        if precincts.saturating_mul(components) > 8 * self.bytes.len() + 64 {
            return Err(cut());
        }
        Ok(())
    }
}
