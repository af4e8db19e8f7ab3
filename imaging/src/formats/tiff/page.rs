//! The pixels of one page. The `tiff` crate unpacks them; what their numbers mean is decided here.

use super::super::decode::limits;
use super::super::jpeg::Layout;
use super::super::samples::{Samples, Stored};
use super::super::{Refusal, check_size};
use super::chain::{Directory, File, tag};
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use tiff::decoder::{Decoder, DecodingResult, Limits};
use tiff::{ColorType, TiffError};

/// Photometric interpretations.
const WHITE_IS_ZERO: u64 = 0;
const BLACK_IS_ZERO: u64 = 1;
const RGB: u64 = 2;
const PALETTE: u64 = 3;
const TRANSPARENCY: u64 = 4;
const CMYK: u64 = 5;
const YCBCR: u64 = 6;

/// Compressions.
const NONE: u64 = 1;
const JPEG: u64 = 7;

/// Extra samples: alpha that the colours have not been multiplied with.
const ALPHA: u64 = 2;

/// What a page says of its pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    photometric: u64,
    compression: u64,
    /// Samples of a pixel and bits of a sample.
    pub(super) samples: usize,
    bits: usize,
    /// What the first sample beyond the colours is.
    extra: Option<u64>,
    /// True for whole numbers without a sign.
    unsigned: bool,
}

impl Kind {
    /// It fails for what is not read, with the remedy.
    pub(super) fn of(file: File<'_>, page: &Directory) -> Result<Self, Refusal> {
        let number = |tag, otherwise: u64| page.number(file, tag).unwrap_or(otherwise);
        let kind = Self {
            photometric: number(tag::PHOTOMETRIC, u64::MAX),
            compression: number(tag::COMPRESSION, NONE),
            samples: number(tag::SAMPLES, 1) as usize,
            bits: number(tag::BITS, 1) as usize,
            extra: page.number(file, tag::EXTRA_SAMPLES),
            unsigned: number(tag::SAMPLE_FORMAT, 1) == 1,
        };
        let refused =
            |what: String| Err(Refusal::Unsupported(format!("{what} Save it as PNG, or as TIFF of 8 or 16 bits.")));
        if let Some(name) = foreign_compression(kind.compression) {
            return refused(format!("Its pixels are packed as {name}, which is not read in TIFF."));
        }
        if number(tag::FILL_ORDER, 1) == 2 {
            return refused("The bits of its bytes stand in reverse (fill order 2), which is not read.".into());
        }
        let rows = number(tag::TILE_HEIGHT, 0);
        let ragged = rows > 0 && number(tag::HEIGHT, 0) % rows != 0;
        // The crate takes the lowest tiles of the second colour for whole ones, and panics.
        if kind.samples > 1 && number(tag::PLANAR, 1) == 2 && ragged {
            return refused(
                "Its colours are tiles of planes that do not end with the picture, which is not read.".into(),
            );
        }
        if !matches!(kind.bits, 1 | 2 | 4 | 8 | 16 | 32 | 64) {
            return refused(format!("Its numbers have {} bits without padding, which is not read.", kind.bits));
        }
        let alpha = matches!(kind.extra, Some(1 | ALPHA));
        let known = match kind.photometric {
            WHITE_IS_ZERO | BLACK_IS_ZERO => kind.samples == 1 || kind.samples == 2 && alpha,
            RGB => matches!(kind.samples, 3 | 4),
            PALETTE => kind.samples == 1 && kind.bits <= 8,
            TRANSPARENCY => kind.samples == 1,
            CMYK => matches!(kind.samples, 4 | 5),
            YCBCR => kind.samples == 3 && kind.bits == 8,
            other if other == u64::MAX => {
                return refused("It does not say whether its numbers are grey levels or colours.".into());
            }
            other => {
                return refused(format!(
                    "Its colours are of kind {other} (photometric interpretation), which is not read."
                ));
            }
        };
        if !known {
            return refused(format!(
                "Its pixels have {} numbers of {} bits of kind {} (photometric interpretation); grey, colour and palette with \
                 or without alpha are read.",
                kind.samples, kind.bits, kind.photometric
            ));
        }
        let whole = page.fields.get(&tag::SUBSAMPLING).and_then(|field| file.numbers(field));
        if kind.photometric == YCBCR && kind.compression != JPEG && whole.is_none_or(|parts| parts != [1, 1]) {
            return refused(
                "Its colours have fewer pixels than its brightness (YCbCr without JPEG), which is not read.".into(),
            );
        }
        Ok(kind)
    }

    /// True when the page went through a lossy codec.
    pub(super) fn is_lossy(&self) -> bool {
        self.compression == JPEG
    }

    /// True for whole numbers of 16 bits without alpha, which cannot be larger than 65535.
    pub(super) fn is_sixteen(&self) -> bool {
        self.bits == 16 && self.unsigned && self.extra.is_none()
    }

    /// True when nothing has to be found out about the page's levels: 8 bits or fewer, without alpha.
    pub(super) fn is_plain(&self) -> bool {
        self.bits <= 8 && self.unsigned && self.extra.is_none()
    }
}

/// The name of a compression that is not read.
fn foreign_compression(number: u64) -> Option<String> {
    Some(match number {
        NONE | 4 | 5 | JPEG | 8 | 32773 | 32946 => return None,
        2 | 3 => "fax of group 3".into(),
        6 => "JPEG of the old kind".into(),
        33003..=33005 | 34712 => "JPEG 2000".into(),
        34887 => "LERC".into(),
        34925 => "LZMA".into(),
        50000 => "Zstandard".into(),
        50001 => "WebP".into(),
        50002 => "JPEG XL".into(),
        other => format!("compression {other}"),
    })
}

/// Where the pixels of an uncompressed page lie, if they do so in one piece.
pub(super) fn pixels(file: File<'_>, page: &Directory, kind: &Kind) -> Option<Range<usize>> {
    if kind.compression != NONE || kind.bits < 8 {
        return None;
    }
    let starts = file.numbers(page.fields.get(&tag::STRIPS)?)?;
    let lengths = file.numbers(page.fields.get(&tag::STRIP_BYTES)?)?;
    let together = starts.windows(2).zip(&lengths).all(|(pair, &length)| pair[0].checked_add(length) == Some(pair[1]));
    let [height, width] = page.size(file)?;
    let length = width.checked_mul(height)?.checked_mul(kind.samples)?.checked_mul(kind.bits / 8)?;
    let start = usize::try_from(*starts.first()?).ok()?;
    together.then_some(start..start.checked_add(length)?)
}

/// Decode a page. With `shift`, its pixels are read so many bytes after the range where it says that they are.
pub(super) fn decode(
    file: File<'_>,
    page: &Directory,
    shift: Option<(Range<usize>, usize)>,
) -> Result<Stored, Refusal> {
    let [height, width] =
        page.size(file).ok_or_else(|| Refusal::unreadable("A page does not say its size. Copy or export it again."))?;
    check_size(height as u64, width as u64)?;
    let kind = Kind::of(file, page)?;
    if kind.compression == JPEG {
        check_jpeg(file, page, &kind)?;
    }
    let mut seen = Seen { bytes: file.bytes, patches: Vec::new(), shift, position: 0 };
    seen.patch(file, file.first(), file.offset_size(), page.at as u64);
    // Levels are inverted and palettes looked up here, where the crate refuses some of them.
    if matches!(kind.photometric, WHITE_IS_ZERO | PALETTE | TRANSPARENCY) {
        seen.patch_field(file, page, tag::PHOTOMETRIC, BLACK_IS_ZERO);
    }
    // The crate takes pixels apart wrongly where it is not told what the last sample is.
    seen.patch_field(file, page, tag::EXTRA_SAMPLES, ALPHA);
    let mut decoder = Decoder::new(BufReader::new(seen)).map_err(refusal)?.with_limits(tiff_limits(file, &kind));
    let colour = decoder.colortype().map_err(refusal)?;
    let mut numbers = DecodingResult::U8(Vec::new());
    let layout = decoder.read_image_to_buffer(&mut numbers).map_err(refusal)?;
    if numbers.as_buffer(0).as_bytes().len() < layout.complete_len {
        return Err(refusal(TiffError::LimitsExceeded));
    }
    let stride = usize::from(colour.num_samples());
    let planes = layout.planes.max(1);
    let samples = match numbers {
        DecodingResult::U8(v) if kind.bits < 8 => Samples::Eight(unpacked(&v, width * stride / planes, kind.bits)),
        DecodingResult::U8(v) => Samples::Eight(v),
        DecodingResult::U16(v) => Samples::Sixteen(v),
        DecodingResult::U32(v) => whole(&v),
        DecodingResult::U64(v) => whole(&v),
        DecodingResult::I8(v) => Samples::Float(v.into_iter().map(f32::from).collect()),
        DecodingResult::I16(v) => Samples::Float(v.into_iter().map(f32::from).collect()),
        DecodingResult::I32(v) => Samples::Float(v.into_iter().map(|v| v as f32).collect()),
        DecodingResult::I64(v) => Samples::Float(v.into_iter().map(|v| v as f32).collect()),
        DecodingResult::F16(v) => Samples::Float(v.into_iter().map(|v| v.to_f32()).collect()),
        DecodingResult::F32(v) => Samples::Float(v),
        DecodingResult::F64(v) => Samples::Float(v.into_iter().map(|v| v as f32).collect()),
    };
    let samples = match samples {
        samples if planes == 1 => samples,
        Samples::Eight(v) => Samples::Eight(interleaved(&v, planes)),
        Samples::Sixteen(v) => Samples::Sixteen(interleaved(&v, planes)),
        Samples::Float(v) => Samples::Float(interleaved(&v, planes)),
    };
    let count = match &samples {
        Samples::Eight(v) => v.len(),
        Samples::Sixteen(v) => v.len(),
        Samples::Float(v) => v.len(),
    };
    // A field that stands twice, or in an odd type, is read by the crate in another way.
    if count != height * width * stride {
        return Err(Refusal::unreadable("A page has another size than it says. Copy or export it again."));
    }
    let stored = Stored {
        height,
        width,
        stride,
        samples,
        top: if kind.bits < 8 { (1 << kind.bits) - 1 } else { 255 },
        inverted: kind.photometric == WHITE_IS_ZERO,
        premultiplied: kind.extra != Some(ALPHA),
        palette: None,
    };
    match (kind.photometric, colour) {
        (PALETTE, _) => with_palette(file, page, stored),
        (CMYK, _) => without_ink(stored),
        (_, ColorType::YCbCr(_)) => Ok(from_ycbcr(stored)),
        _ => Ok(stored),
    }
}

/// Refuse a page with a JPEG stream that is cut short, which decoders fill with grey, or that holds something else.
fn check_jpeg(file: File<'_>, page: &Directory, kind: &Kind) -> Result<(), Refusal> {
    let numbers = |tag| page.fields.get(&tag).and_then(|field| file.numbers(field)).unwrap_or_default();
    let tiled = page.fields.contains_key(&tag::TILES);
    let (starts, lengths, width) = if tiled {
        (numbers(tag::TILES), numbers(tag::TILE_BYTES), page.number(file, tag::TILE_WIDTH))
    } else {
        (numbers(tag::STRIPS), numbers(tag::STRIP_BYTES), page.number(file, tag::WIDTH))
    };
    let planar = page.number(file, tag::PLANAR) == Some(2);
    let components = if planar { 1 } else { kind.samples };
    for (start, length) in starts.into_iter().zip(lengths) {
        let end = start.saturating_add(length).min(file.bytes.len() as u64);
        let stream = file.bytes.get(start as usize..end as usize).unwrap_or_default();
        let layout = Layout::of(stream).map_err(Refusal::Unreadable)?;
        layout.check_complete(stream).map_err(Refusal::Unreadable)?;
        if usize::from(layout.components) != components || Some(u64::from(layout.width)) != width {
            return Err(Refusal::unreadable(
                "A JPEG stream in it has other colours or another width than the page. Export it again.",
            ));
        }
    }
    Ok(())
}

fn tiff_limits(file: File<'_>, kind: &Kind) -> Limits {
    let mut allowed = Limits::default();
    allowed.decoding_buffer_size = limits().max_alloc.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
    // Nothing is taken for pixels that are not packed, whatever length the file claims for them.
    allowed.intermediate_buffer_size = if kind.compression == NONE { usize::MAX } else { file.bytes.len() };
    allowed.ifd_value_size = file.bytes.len();
    allowed
}

fn refusal(error: TiffError) -> Refusal {
    match error {
        TiffError::UnsupportedError(e) => {
            Refusal::Unsupported(format!("This variant of TIFF is not read ({e}). Save it as PNG."))
        }
        TiffError::LimitsExceeded => Refusal::unsupported(
            "It is damaged, or needs more memory than a picture of 100 megapixels. Export it again, or scale it down first.",
        ),
        e => Refusal::Unreadable(format!("The picture is damaged or cut short ({e}). Copy or export it again.")),
    }
}

/// Numbers of fewer bits than eight, of which several share a byte; every row begins a byte of its own.
fn unpacked(bytes: &[u8], row: usize, bits: usize) -> Vec<u8> {
    let mask = (1_u8 << bits) - 1;
    let rows = bytes.chunks_exact((row * bits).div_ceil(8).max(1));
    rows.flat_map(|line| (0..row).map(move |i| line[i * bits / 8] >> (8 - bits - i * bits % 8) & mask)).collect()
}

/// Whole numbers of many bits, in 16 where they fit.
fn whole<T: Copy + Into<u64>>(numbers: &[T]) -> Samples {
    match numbers.iter().map(|&v| u16::try_from(v.into()).ok()).collect() {
        Some(numbers) => Samples::Sixteen(numbers),
        None => Samples::Float(numbers.iter().map(|&v| v.into() as f32).collect()),
    }
}

/// Planes one after another to samples pixel by pixel.
fn interleaved<T: Copy>(numbers: &[T], planes: usize) -> Vec<T> {
    let plane = numbers.len() / planes;
    (0..plane).flat_map(|pixel| (0..planes).map(move |p| numbers[p * plane + pixel])).collect()
}

fn with_palette(file: File<'_>, page: &Directory, stored: Stored) -> Result<Stored, Refusal> {
    let damaged = || Refusal::unreadable("Its palette is damaged or lacks colours that it uses. Export it again.");
    let field = page.fields.get(&tag::COLOURS).ok_or_else(damaged)?;
    let levels = file.numbers(field).ok_or_else(damaged)?;
    // 16 bits a level; some writers put 8 there.
    let shift = if levels.iter().all(|&level| level < 256) { 0 } else { 8 };
    let count = levels.len() / 3;
    let level = |at: usize| (levels[at] >> shift) as u8;
    let palette: Vec<[u8; 3]> = (0..count).map(|i| [level(i), level(count + i), level(2 * count + i)]).collect();
    match &stored.samples {
        Samples::Eight(v) if v.iter().all(|&v| usize::from(v) < count) => {
            Ok(Stored { palette: Some(palette), ..stored })
        }
        _ => Err(damaged()),
    }
}

/// Cyan, magenta, yellow and black as colours.
fn without_ink(stored: Stored) -> Result<Stored, Refusal> {
    let stride = stored.stride;
    let samples = match &stored.samples {
        Samples::Eight(v) => {
            let mix = |ink: u8, black: u8| ((255 - u32::from(ink)) * (255 - u32::from(black)) + 127) / 255;
            let pixels = v.chunks_exact(stride);
            Samples::Eight(pixels.flat_map(|p| [p[0], p[1], p[2]].map(|ink| mix(ink, p[3]) as u8)).collect())
        }
        Samples::Sixteen(v) => {
            let mix = |ink: u16, black: u16| (65535 - u64::from(ink)) * (65535 - u64::from(black)) / 65535;
            let pixels = v.chunks_exact(stride);
            Samples::Sixteen(pixels.flat_map(|p| [p[0], p[1], p[2]].map(|ink| mix(ink, p[3]) as u16)).collect())
        }
        Samples::Float(_) => {
            return Err(Refusal::unsupported("Its inks are fractions, which is not read. Save it as PNG."));
        }
    };
    Ok(Stored { stride: 3, samples, premultiplied: false, ..stored })
}

/// Brightness and two differences of colour, as JPEG stores them, as colours (ITU-R BT.601).
fn from_ycbcr(stored: Stored) -> Stored {
    let Samples::Eight(v) = &stored.samples else { return stored };
    let colour = |p: &[u8]| {
        let [y, blue, red] = [f32::from(p[0]), f32::from(p[1]) - 128.0, f32::from(p[2]) - 128.0];
        [y + 1.402 * red, y - 0.344_136 * blue - 0.714_136 * red, y + 1.772 * blue].map(|v| v.round() as u8)
    };
    let samples = Samples::Eight(v.chunks_exact(3).flat_map(colour).collect());
    Stored { samples, ..stored }
}

/// The bytes of a file as the `tiff` crate is to see them, without a copy of the file: with some numbers changed, and with
/// a range that shows what lies further on.
struct Seen<'a> {
    bytes: &'a [u8],
    patches: Vec<(usize, Vec<u8>)>,
    shift: Option<(Range<usize>, usize)>,
    position: u64,
}

impl Seen<'_> {
    fn patch(&mut self, file: File<'_>, at: usize, size: usize, number: u64) {
        let bytes = if file.big_endian {
            number.to_be_bytes()[8 - size..].to_vec()
        } else {
            number.to_le_bytes()[..size].to_vec()
        };
        self.patches.push((at, bytes));
    }

    /// Change a field of one number.
    fn patch_field(&mut self, file: File<'_>, page: &Directory, tag: u16, number: u64) {
        if let Some(field) = page.fields.get(&tag).filter(|field| field.count == 1) {
            let size = if field.kind == 4 { 4 } else { 2 };
            self.patch(file, field.at, size, number);
        }
    }

    /// What is seen from a place on; not all of it.
    fn from(&self, start: usize) -> &[u8] {
        let mut end = self.bytes.len();
        for (at, bytes) in &self.patches {
            match start.checked_sub(*at) {
                Some(inside) if inside < bytes.len() => return &bytes[inside..],
                Some(_) => {}
                None => end = end.min(*at),
            }
        }
        if let Some((range, by)) = &self.shift {
            if range.contains(&start) {
                let ends = self.bytes.len().min(range.end + by);
                return self.bytes.get(start + by..ends).unwrap_or_default();
            }
            if start < range.start {
                end = end.min(range.start);
            }
        }
        self.bytes.get(start..end).unwrap_or_default()
    }
}

impl Read for Seen<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let source = self.from(usize::try_from(self.position).unwrap_or(usize::MAX));
        let count = source.len().min(buffer.len());
        buffer[..count].copy_from_slice(&source[..count]);
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Seen<'_> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => (self.bytes.len() as u64).checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = target.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}
