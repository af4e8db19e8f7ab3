//! One DICOM frame: from its bytes, packed or not, to an [`Image`] (PS3.3 C.7.6.3, PS3.5 annexes A and G).

use super::dicom::{number, text};
use super::elements::{Elements, PixelData};
use super::jpeg::{self, Layout, Samples};
use super::{Refusal, image_from};
use crate::data::image::Image;
use dicom_core::Tag;
use dicom_dictionary_std::tags;
use std::ops::Range;

/// How the bytes of a frame are packed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Compression {
    None { big_endian: bool },
    Rle,
    JpegLossy,
    JpegLossless,
}

/// What the samples of a pixel are.
#[derive(Clone, Debug, PartialEq)]
enum Photometric {
    /// Grey; `inverted` when 0 is white. Levels map from `black..=white` to [0, 1].
    Grey {
        inverted: bool,
        black: f64,
        white: f64,
    },
    Rgb,
    /// Luminance and two colour differences.
    Ybr,
    /// The same with the differences of two neighbouring pixels shared.
    Ybr422,
    /// One index into red, green and blue entries; the first entry belongs to index `first`.
    Palette {
        first: i32,
        entries: Vec<[u8; 3]>,
    },
}

/// How every frame of an object is stored.
#[derive(Clone, Debug)]
pub(super) struct Format {
    pub height: usize,
    pub width: usize,
    compression: Compression,
    photometric: Photometric,
    samples: usize,
    /// Bytes of a stored sample, 1 or 2.
    sample_bytes: usize,
    bits_stored: u32,
    /// Bits below the stored ones.
    shift: u32,
    signed: bool,
    planar: bool,
}

impl Format {
    pub(super) fn of(
        elements: &Elements,
        height: usize,
        width: usize,
        compression: Compression,
    ) -> Result<Self, Refusal> {
        let main = &elements.main;
        let samples = number(main, tags::SAMPLES_PER_PIXEL).unwrap_or(1.0);
        let allocated = number(main, tags::BITS_ALLOCATED).unwrap_or(8.0);
        let stored = number(main, tags::BITS_STORED).unwrap_or(allocated);
        let high = number(main, tags::HIGH_BIT).unwrap_or(stored - 1.0);
        if (allocated != 8.0 && allocated != 16.0) || (samples != 1.0 && samples != 3.0) {
            return Err(Refusal::Unsupported(format!(
                "Its pixels have {samples} samples of {allocated} bits; 1 or 3 samples of 8 or 16 bits are read. \
                 Export it as a plain image."
            )));
        }
        if !(1.0..=allocated).contains(&stored) || !(stored - 1.0..allocated).contains(&high) {
            return Err(Refusal::Unreadable(format!(
                "It says that {stored} bits up to bit {high} are stored in {allocated}, which does not fit. \
                 Export it again."
            )));
        }
        let signed = number(main, tags::PIXEL_REPRESENTATION) == Some(1.0);
        let name = text(main, tags::PHOTOMETRIC_INTERPRETATION);
        let photometric = match (name.as_str(), samples as usize) {
            ("MONOCHROME1" | "MONOCHROME2" | "", 1) => {
                let (black, white) = window(elements, stored as u32, signed);
                Photometric::Grey { inverted: name == "MONOCHROME1", black, white }
            }
            ("PALETTE COLOR", 1) => palette(elements)?,
            ("RGB" | "", 3) => Photometric::Rgb,
            ("YBR_FULL_422", 3) if matches!(compression, Compression::None { .. }) && allocated == 8.0 => {
                // Some writers name it so, but store three samples for every pixel.
                let frames = number(main, tags::NUMBER_OF_FRAMES).unwrap_or(1.0);
                let whole = frames * 3.0 * height as f64 * width as f64;
                match &elements.pixels {
                    PixelData::Native(range) if range.len() as f64 >= whole => Photometric::Ybr,
                    _ => Photometric::Ybr422,
                }
            }
            ("YBR_FULL" | "YBR_FULL_422", 3) => Photometric::Ybr,
            // The differences of these are in the JPEG stream, whose decoder undoes them.
            (_, 3) if compression == Compression::JpegLossy => Photometric::Ybr,
            _ => {
                return Err(Refusal::Unsupported(format!(
                    "Its colours ({name} with {samples} samples a pixel) are not read. Export it as RGB or greyscale."
                )));
            }
        };
        Ok(Self {
            height,
            width,
            compression,
            photometric,
            samples: samples as usize,
            sample_bytes: allocated as usize / 8,
            bits_stored: stored as u32,
            shift: high as u32 + 1 - stored as u32,
            signed,
            planar: number(main, tags::PLANAR_CONFIGURATION) == Some(1.0),
        })
    }

    /// Bytes of an unpacked frame, at least 1.
    pub(super) fn native_bytes(&self) -> usize {
        if self.photometric == Photometric::Ybr422 {
            return self.height * self.width.div_ceil(2) * 4;
        }
        self.height * self.width * self.samples * self.sample_bytes
    }

    /// The value of a stored word: the stored bits only, with their sign.
    fn value(&self, word: u16) -> i32 {
        let bits = (u32::from(word) >> self.shift) & ((1 << self.bits_stored) - 1);
        let negative = self.signed && bits >> (self.bits_stored - 1) == 1;
        if negative { bits as i32 - (1 << self.bits_stored) } else { bits as i32 }
    }
}

/// Decode a frame.
pub(super) fn decode(format: &Format, bytes: &[u8]) -> Result<Image, Refusal> {
    let pixels = format.height * format.width;
    let (samples, count, rgb) = match format.compression {
        Compression::None { big_endian } => {
            let frame = bytes.get(..format.native_bytes()).ok_or_else(|| damaged("A frame is cut short"))?;
            (native(format, frame, big_endian), format.samples, false)
        }
        Compression::Rle => (rle(format, bytes)?, format.samples, false),
        Compression::JpegLossy | Compression::JpegLossless => {
            let layout = Layout::of(bytes).map_err(Refusal::Unreadable)?;
            let size = (usize::from(layout.height), usize::from(layout.width));
            if size != (format.height, format.width) || usize::from(layout.components) != format.samples {
                return Err(damaged("A JPEG frame has another size or colour than the DICOM header says"));
            }
            // Files call a stream lossless that is not, and the other way round, so the stream decides.
            if layout.process == 3 {
                let (samples, count) = jpeg::decode_lossless(bytes, &layout)?;
                (samples, count, false)
            } else {
                let stored_as_rgb = format.photometric == Photometric::Rgb;
                let (samples, count) = jpeg::decode_lossy(bytes, &layout, stored_as_rgb)?;
                (samples, count, true)
            }
        }
    };
    let held = match &samples {
        Samples::Bytes(b) => b.len(),
        Samples::Words(w) => w.len(),
    };
    if held != pixels * count || count != format.samples {
        return Err(damaged("A frame holds another number of pixels than the DICOM header says"));
    }
    Ok(shown(format, samples, rgb))
}

fn damaged(what: &str) -> Refusal {
    Refusal::Unreadable(format!("{what}. Copy or export the file again."))
}

/// Unpacked samples, interleaved.
fn native(format: &Format, bytes: &[u8], big_endian: bool) -> Samples {
    if format.photometric == Photometric::Ybr422 {
        return Samples::Bytes(unshare(bytes, format.width));
    }
    let plane = format.height * format.width;
    if format.sample_bytes == 1 {
        return Samples::Bytes(interleave(bytes.to_vec(), plane, format));
    }
    let word = |pair: &[u8]| {
        let pair = [pair[0], pair[1]];
        if big_endian { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) }
    };
    Samples::Words(interleave(bytes.chunks_exact(2).map(word).collect(), plane, format))
}

/// From planes to pixels, when the samples are stored in planes.
fn interleave<T: Copy>(samples: Vec<T>, plane: usize, format: &Format) -> Vec<T> {
    if !format.planar || format.samples == 1 {
        return samples;
    }
    (0..plane).flat_map(|pixel| (0..format.samples).map(move |s| s * plane + pixel)).map(|i| samples[i]).collect()
}

/// YBR_FULL_422, two luminances and the differences that they share, to three samples a pixel. Rows of an odd width
/// are padded to an even one.
fn unshare(bytes: &[u8], width: usize) -> Vec<u8> {
    let mut pixels = Vec::with_capacity(bytes.len() * 3 / 2);
    for row in bytes.chunks_exact(width.div_ceil(2) * 4) {
        for column in 0..width {
            let group = &row[column / 2 * 4..column / 2 * 4 + 4];
            pixels.extend([group[column % 2], group[2], group[3]]);
        }
    }
    pixels
}

/// RLE Lossless (PS3.5 annex G): a header of offsets, then one PackBits run of bytes for each byte of a sample, the
/// high bytes first.
fn rle(format: &Format, bytes: &[u8]) -> Result<Samples, Refusal> {
    let word = |index: usize| -> Option<usize> {
        let four = bytes.get(4 * index..4 * index + 4)?;
        Some(u32::from_le_bytes([four[0], four[1], four[2], four[3]]) as usize)
    };
    let (plane, wanted) = (format.height * format.width, format.samples * format.sample_bytes);
    if word(0) != Some(wanted) || bytes.len() < 64 {
        return Err(damaged("An RLE frame has another number of segments than its pixels need"));
    }
    let mut segments = Vec::with_capacity(wanted);
    for index in 0..wanted {
        let start = word(1 + index).unwrap_or(0);
        let end = if index + 1 < wanted { word(2 + index).unwrap_or(0) } else { bytes.len() };
        let packed = bytes.get(start..end).ok_or_else(|| damaged("An RLE segment lies outside its frame"))?;
        segments.push(unpack_bits(packed, plane).ok_or_else(|| damaged("An RLE segment is cut short"))?);
    }
    let order = (0..plane).flat_map(|pixel| (0..format.samples).map(move |sample| (pixel, sample)));
    Ok(if format.sample_bytes == 1 {
        Samples::Bytes(order.map(|(pixel, sample)| segments[sample][pixel]).collect())
    } else {
        let word = |(pixel, sample): (usize, usize)| {
            u16::from_be_bytes([segments[2 * sample][pixel], segments[2 * sample + 1][pixel]])
        };
        Samples::Words(order.map(word).collect())
    })
}

/// Exactly `count` bytes from a PackBits run, or none when it holds fewer.
fn unpack_bits(packed: &[u8], count: usize) -> Option<Vec<u8>> {
    // Two bytes unpack to 128 at most.
    if count / 64 > packed.len() {
        return None;
    }
    let mut bytes = Vec::with_capacity(count + 128);
    let mut at = 0;
    while bytes.len() < count {
        let control = *packed.get(at)?;
        let length = usize::from(control);
        at += 1;
        match control {
            0..=127 => {
                bytes.extend_from_slice(packed.get(at..at + length + 1)?);
                at += length + 1;
            }
            128 => {}
            129.. => {
                bytes.resize(bytes.len() + 257 - length, *packed.get(at)?);
                at += 1;
            }
        }
    }
    bytes.truncate(count);
    Some(bytes)
}

/// Samples to what is shown. `rgb` is true when a JPEG decoder has turned the colours to red, green, blue already.
fn shown(format: &Format, samples: Samples, rgb: bool) -> Image {
    let (height, width) = (format.height, format.width);
    match &format.photometric {
        Photometric::Grey { inverted, black, white } => {
            let level = |word: u16| {
                let level = ((f64::from(format.value(word)) - black) / (white - black)).clamp(0.0, 1.0);
                (if *inverted { 1.0 - level } else { level }) as f32
            };
            match samples {
                Samples::Bytes(bytes) => {
                    let levels: Vec<f32> = (0..=255).map(level).collect();
                    image_from(height, width, &bytes, 1, |v: u8| levels[usize::from(v)])
                }
                Samples::Words(words) => image_from(height, width, &words, 1, level),
            }
        }
        Photometric::Palette { first, entries } => {
            let entry = |word: u16| {
                let index = (format.value(word) - first).clamp(0, entries.len() as i32 - 1);
                entries[index as usize]
            };
            let colours: Vec<u8> = match samples {
                Samples::Bytes(bytes) => bytes.into_iter().flat_map(|v| entry(v.into())).collect(),
                Samples::Words(words) => words.into_iter().flat_map(entry).collect(),
            };
            image_from(height, width, &colours, 3, |v: u8| f32::from(v) / 255.0)
        }
        colour => {
            let convert = !rgb && matches!(colour, Photometric::Ybr | Photometric::Ybr422);
            let full = ((1_u32 << format.bits_stored) - 1) as f32;
            let level = |word: u16| (format.value(word) as f32 / full).clamp(0.0, 1.0);
            // Black and white keep their place in the differences at half the scale.
            let middle = (1_u32 << (format.bits_stored - 1)) as f32 / full;
            let scaled = |levels: [f32; 3], top: f32| {
                let colour = if convert { rgb_from_ybr(levels, middle) } else { levels };
                colour.map(|v| (v.clamp(0.0, 1.0) * top).round())
            };
            match samples {
                Samples::Bytes(bytes) => {
                    let pixels =
                        bytes.chunks_exact(3).map(|p| [level(p[0].into()), level(p[1].into()), level(p[2].into())]);
                    let bytes: Vec<u8> = pixels.flat_map(|p| scaled(p, 255.0).map(|v| v as u8)).collect();
                    image_from(height, width, &bytes, 3, |v: u8| f32::from(v) / 255.0)
                }
                Samples::Words(words) => {
                    let pixels = words.chunks_exact(3).map(|p| [level(p[0]), level(p[1]), level(p[2])]);
                    let words: Vec<u16> = pixels.flat_map(|p| scaled(p, 65535.0).map(|v| v as u16)).collect();
                    image_from(height, width, &words, 3, |v: u16| f32::from(v) / 65535.0)
                }
            }
        }
    }
}

/// Full-range YCbCr (ITU-R BT.601, PS3.3 C.7.6.3.1.2) to red, green, blue.
fn rgb_from_ybr([y, cb, cr]: [f32; 3], middle: f32) -> [f32; 3] {
    let (cb, cr) = (cb - middle, cr - middle);
    [y + 1.402 * cr, y - 0.344_136 * cb - 0.714_136 * cr, y + 1.772 * cb]
}

/// The stored values that show as black and as white: by the window, else the whole range of the stored type.
fn window(elements: &Elements, bits_stored: u32, signed: bool) -> (f64, f64) {
    let top = f64::from(1_u32 << bits_stored);
    let whole = if signed { (-top / 2.0, top / 2.0 - 1.0) } else { (0.0, top - 1.0) };
    let main = &elements.main;
    let (Some(centre), Some(width)) = (number(main, tags::WINDOW_CENTER), number(main, tags::WINDOW_WIDTH)) else {
        return whole;
    };
    let slope = number(main, tags::RESCALE_SLOPE).filter(|&slope| slope != 0.0).unwrap_or(1.0);
    let intercept = number(main, tags::RESCALE_INTERCEPT).unwrap_or(0.0);
    // PS3.3 C.11.2.1.2: the window runs from centre - 0.5 - (width - 1) / 2 to centre - 0.5 + (width - 1) / 2.
    let half = (width - 1.0).max(1e-3) / 2.0;
    let stored = |level: f64| (level - intercept) / slope;
    let (black, white) = (stored(centre - 0.5 - half), stored(centre - 0.5 + half));
    let sound = width >= 1.0 && (white - black).is_normal();
    if sound { (black, white) } else { whole }
}

/// The palette as 8-bit colours (PS3.3 C.7.6.3.1.5).
fn palette(elements: &Elements) -> Result<Photometric, Refusal> {
    if elements.segmented_palette {
        return Err(Refusal::unsupported(
            "Its palette is stored in segments, which is not read. Convert it: `gdcmimg IN OUT` or export it as RGB.",
        ));
    }
    let descriptors: [Tag; 3] = [
        tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
        tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
        tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
    ];
    let incomplete = || damaged("Its palette is incomplete");
    let (mut first, mut entries) = (0, Vec::<[u8; 3]>::new());
    for (channel, descriptor) in descriptors.iter().enumerate() {
        let descriptor = elements.main.get(descriptor).and_then(|value| value.to_multi_float64().ok());
        let Some(&[count, start, bits]) = descriptor.as_deref() else { return Err(incomplete()) };
        let count = if count == 0.0 { 65536 } else { (count as i64).rem_euclid(65536) as usize };
        let range: Range<usize> = elements.palette[channel].clone().ok_or_else(incomplete)?;
        let data = elements.bytes.get(range).ok_or_else(incomplete)?;
        let levels = levels(data, count, bits, elements.big_endian).ok_or_else(incomplete)?;
        if channel == 0 {
            first = start as i32;
            entries = vec![[0; 3]; count];
        }
        if levels.len() != entries.len() || count == 0 {
            return Err(incomplete());
        }
        for (entry, level) in entries.iter_mut().zip(levels) {
            entry[channel] = level;
        }
    }
    Ok(Photometric::Palette { first, entries })
}

/// The entries of one colour of a palette as bytes. Some writers store 8-bit entries in words, or call them 16-bit.
fn levels(data: &[u8], count: usize, bits: f64, big_endian: bool) -> Option<Vec<u8>> {
    if data.len() < 2 * count {
        return Some(data.get(..count)?.to_vec());
    }
    let words = data.chunks_exact(2).take(count).map(|pair| {
        let pair = [pair[0], pair[1]];
        if big_endian { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) }
    });
    let low = bits <= 8.0 || words.clone().all(|word| word < 256);
    Some(words.map(|word| if low { word.min(255) as u8 } else { (word >> 8) as u8 }).collect())
}
