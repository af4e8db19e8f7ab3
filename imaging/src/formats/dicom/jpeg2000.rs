//! JPEG 2000 frames (ISO/IEC 15444-1): the headers are read before the decoder sees them, so that no damaged one makes it take
//! memory, and no cut one comes back as a blurred picture.

use super::samples::{CONVERT, Samples, Unpacked};
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

#[cfg(test)]
mod tests {
    use super::super::fixtures::{Value, file, hex, image};
    use super::*;
    use crate::formats::open;
    use dicom_dictionary_std::tags;

    // 32 x 32 pixels whose value depends on the column, made with OpenJPEG 2.5.2: column * 8; column * 132 in 12 bits;
    // (column - 16) * 2000 with a sign; and red column * 8, green 255 - column * 8, blue 9, with and without differences.
    const GREY: &str = "ff4fff510029000000000020000000200000000000000000000000200000002000000000000000000001070101ff52000c00000001000504040001ff5c00134040484850484850484850484850484850ff640025000143726561746564206279204f70656e4a5045472076657273696f6e20322e352e32ff90000a00000000003c0001ff93c7d404082fcfc008045fc7da06000d0205c3ea0500221a085d8fc1f3870036a199ae63a35fc0f902805fa7c788b7ffd9";
    const DEEP: &str = "ff4fff5100290000000000200000002000000000000000000000002000000020000000000000000000010b0101ff52000c00000001000504040001ff5c00134060686870686870686870686870686870ff640025000143726561746564206279204f70656e4a5045472076657273696f6e20322e352e32ff90000a00000000004d0001ff93c7ec04086bcff006000446bfc7f208000d021203c3f60800221a085d8ebd7abfc1f9858036a199ae63a3478c75ca2cc0fc03005fa7c788ba97c40000c0434dffd9";
    const SIGNED: &str = "ff4fff5100290000000000200000002000000000000000000000002000000020000000000000000000018f0101ff52000c00000001000504040001ff5c00134080888890888890888890888890888890ff640025000143726561746564206279204f70656e4a5045472076657273696f6e20322e352e32ff90000a00000000005b0001ff93c7fe0c06084bafcffc480c04706ec7fe180a000d02f8698dc3ff030480221a105b41420d23fbc1ff4003c036a199c9ee8022befe52f2f0797296c07f21e05fa7c733fcb3700000c0431356a425ffd9";
    const DIFFERENCES: &str = "ff4fff51002f000000000020000000200000000000000000000000200000002000000000000000000003070101070101070101ff52000c00000001010504040001ff5c00134040484850484850484850484850484850ff640025000143726561746564206279204f70656e4a5045472076657273696f6e20322e352e32ff90000a0000000000930001ff93c3e704072fdf801005b7cfb408081fc3ea010006cfc008045fdf9810045fc1f383000e0a87c7da06000d0205cfc0100d02063fc0f90200216e065fc3ea0500221a085d8fc7da0c00221a085d6dbfc07c220035f597bfc1f3870036a199ae63a35fc3ea070036a199ae63a363c03a205efbc587c0f902805fa7c788b7c1f385005fa7c788bbffd9";
    const COLOUR: &str = "ff4fff51002f000000000020000000200000000000000000000000200000002000000000000000000003070101070101070101ff52000c00000001000504040001ff5c00134040484850484850484850484850484850ff640025000143726561746564206279204f70656e4a5045472076657273696f6e20322e352e32ff90000a0000000000740001ff93c7d404082fc7d404015fcfb408098fcfc008045fcfc008070f80c7da06000d0205c7da06000e0a8680c3ea0500221a085d8fc3ea0500216e065d7f80c1f3870036a199ae63a35fc1f3870035f597ae63a35f80c0f902805fa7c788b7c0f902805efbc588b780ffd9";

    fn words(stream: &str, samples: usize) -> Vec<i32> {
        match decode(&hex(stream), [32, 32, samples]).unwrap().samples {
            Samples::Bytes(bytes) => bytes.into_iter().map(i32::from).collect(),
            Samples::Words(words) => words.into_iter().map(|word| i32::from(word as i16)).collect(),
        }
    }

    #[test]
    fn lossless_streams_of_every_depth_come_back_bit_by_bit() {
        let columns = || (0..1024).map(|index| index % 32);
        assert_eq!(words(GREY, 1), columns().map(|c| c * 8).collect::<Vec<_>>());
        assert_eq!(words(DEEP, 1), columns().map(|c| c * 132).collect::<Vec<_>>());
        assert_eq!(words(SIGNED, 1), columns().map(|c| (c - 16) * 2000).collect::<Vec<_>>());
        let colours: Vec<i32> = columns().flat_map(|c| [c * 8, 255 - c * 8, 9]).collect();
        assert_eq!(words(DIFFERENCES, 3), colours);
        assert_eq!(words(COLOUR, 3), colours);
    }

    #[test]
    fn frames_in_dicom_with_and_without_boxes_and_whatever_the_header_calls_the_colours() {
        const SYNTAX: &str = "1.2.840.10008.1.2.4.90";
        let shown = |photometric, [samples, bits]: [u16; 2], stream: Vec<u8>, more: &[_]| {
            let elements = image(photometric, [32, 32, samples, bits], Value::Pieces(vec![vec![], stream]));
            open("a.dcm", file(SYNTAX, &elements, more)).unwrap().frame(0).unwrap()
        };
        let boxed = [BOXES, b"\r\n\x87\n", b"\0\0\0\0jp2c", &hex(GREY)].concat();
        for stream in [hex(GREY), boxed] {
            assert_eq!(shown("MONOCHROME2", [1, 8], stream, &[]).to_bytes()[..4], [0, 8, 16, 24]);
        }
        for (photometric, stream) in [("YBR_RCT", DIFFERENCES), ("RGB", COLOUR), ("RGB", DIFFERENCES)] {
            let pixels = shown(photometric, [3, 8], hex(stream), &[]).to_bytes();
            assert_eq!(pixels[..6], [0, 255, 9, 8, 247, 9], "{photometric}");
        }
        // Stored -32000 to 30000, which rescaled by 2 go from -64000 to 60000.
        let more = [
            (tags::PIXEL_REPRESENTATION, Value::Short(vec![1])),
            (tags::RESCALE_SLOPE, Value::Text("2")),
            (tags::WINDOW_CENTER, Value::Text("0.5")),
            (tags::WINDOW_WIDTH, Value::Text("64001")),
        ];
        let pixels = shown("MONOCHROME2", [1, 16], hex(SIGNED), &more).pixels;
        assert_eq!((pixels[8], pixels[16], pixels[24], pixels[31]), (0.0, 0.5, 1.0, 1.0));
    }

    #[test]
    fn a_cut_or_impossible_stream_is_refused_at_every_place() {
        let stream = hex(DIFFERENCES);
        for end in 0..stream.len() - 3 {
            assert!(decode(&stream[..end], [32, 32, 3]).is_err(), "cut at {end}");
        }
        assert!(decode(&stream, [32, 31, 3]).is_err() && decode(&stream, [32, 32, 1]).is_err());
        let with = |at: usize, bytes: &[u8]| {
            let mut stream = hex(GREY);
            stream[at..at + bytes.len()].copy_from_slice(bytes);
            stream
        };
        // Tiles of one pixel, components of half the size, and a frame too large for its memory.
        assert!(decode(&with(24, &[0, 0, 0, 1, 0, 0, 0, 1]), [32, 32, 1]).is_err());
        assert!(decode(&with(43, &[2, 2]), [32, 32, 1]).is_err());
        assert!(decode(&with(8, &[0, 0, 0x30, 0, 0, 0, 0x30, 0]), [0x3000, 0x3000, 1]).is_err());
        // Precincts of one pixel.
        let at = stream.windows(2).position(|pair| pair == [0xff, 0x52]).unwrap();
        let mut small = stream[..at].to_vec();
        small.extend([0xff, 0x52, 0, 18, 1, 0, 0, 1, 1, 5, 4, 4, 0, 1, 0, 0, 0, 0, 0, 0]);
        small.extend(&stream[at + 14..]);
        assert!(decode(&small, [32, 32, 3]).is_err());
    }
}
