//! One DICOM frame: from its bytes, packed or not, to an [`Image`] (PS3.3 C.7.6.3, PS3.5 annex A).

use super::elements::{Elements, PixelData, number, text};
use super::rle;
use crate::formats::jpeg::{self, Layout, Samples};
use crate::formats::{Refusal, image_from};
use crate::geometry::Image;
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

    pub(super) fn is_lossy(&self) -> bool {
        self.compression == Compression::JpegLossy
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
        Compression::Rle => {
            let plane = format.height * format.width;
            let samples = rle::decode(bytes, plane, format.samples, format.sample_bytes).map_err(damaged)?;
            (samples, format.samples, false)
        }
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

#[cfg(test)]
mod tests {
    use super::super::fixtures::{BIG_ENDIAN, EXPLICIT, LOSSLESS, Value, file, image};
    use super::*;
    use crate::formats::jpeg::tests::lossless;
    use crate::formats::open;

    fn first(syntax: &str, elements: &[(Tag, Value)], more: &[(Tag, Value)]) -> Image {
        open("a.dcm", file(syntax, elements, more)).unwrap().frame(0).unwrap()
    }

    #[test]
    fn colours_interleaved_in_planes_and_as_ybr() {
        let rgb = image("RGB", [1, 2, 3, 8], Value::Bytes(vec![255, 0, 0, 0, 0, 255]));
        assert_eq!(first(EXPLICIT, &rgb, &[]).to_bytes(), [255, 0, 0, 0, 0, 255]);
        let planar = [
            (tags::PLANAR_CONFIGURATION, Value::Short(vec![1])),
            (tags::PIXEL_DATA, Value::Bytes(vec![255, 0, 0, 0, 0, 255])),
        ];
        assert_eq!(first(BIG_ENDIAN, &rgb, &planar).to_bytes(), [255, 0, 0, 0, 0, 255]);
        // Pure red is Y 76, Cb 85, Cr 255.
        let ybr = image("YBR_FULL", [1, 2, 3, 8], Value::Bytes(vec![76, 85, 255, 90, 128, 128]));
        assert_eq!(first(EXPLICIT, &ybr, &[]).to_bytes(), [254, 0, 0, 90, 90, 90]);
        // Equal samples are not grey here, and an odd last column has a pair of its own.
        let shared = image("YBR_FULL_422", [1, 3, 3, 8], Value::Bytes(vec![76, 10, 85, 255, 128, 0, 128, 128]));
        let pixels = first(EXPLICIT, &shared, &[]).to_bytes();
        assert_eq!((&pixels[..3], &pixels[6..]), (&[254, 0, 0][..], &[128, 128, 128][..]));
    }

    #[test]
    fn palettes_of_words_and_of_bytes() {
        let indices = image("PALETTE COLOR", [1, 4, 1, 8], Value::Bytes(vec![0, 10, 11, 200]));
        let descriptor = |bits| Value::Short(vec![2, 10, bits]);
        for (bits, red, blue) in [
            (16, Value::Short(vec![0xff00, 0]), Value::Short(vec![0, 0x8000])),
            (8, Value::Bytes(vec![255, 0]), Value::Bytes(vec![0, 128])),
            (16, Value::Short(vec![255, 0]), Value::Short(vec![0, 128])),
        ] {
            let more = [
                (tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR, descriptor(bits)),
                (tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR, descriptor(bits)),
                (tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR, descriptor(bits)),
                (tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DATA, red),
                (tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA, Value::Bytes(vec![0; 4])),
                (tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA, blue),
            ];
            let shown = first(EXPLICIT, &indices, &more).to_bytes();
            assert_eq!(shown, [255, 0, 0, 255, 0, 0, 0, 0, 128, 0, 0, 128], "{bits} bits");
            assert!(open("a.dcm", file(EXPLICIT, &indices, &more[..5])).is_err());
        }
    }

    #[test]
    fn grey_by_range_by_window_and_inverted() {
        let levels = |image: &Image| image.pixels.iter().map(|v| (v * 1000.0).round()).collect::<Vec<_>>();
        let stored = (tags::BITS_STORED, Value::Short(vec![12]));
        let words = image("MONOCHROME2", [1, 3, 1, 16], Value::Short(vec![0, 0xf800, 0x0fff]));
        assert_eq!(levels(&first(EXPLICIT, &words, std::slice::from_ref(&stored))), [0.0, 500.0, 1000.0]);
        assert_eq!(levels(&first(BIG_ENDIAN, &words, std::slice::from_ref(&stored))), [0.0, 500.0, 1000.0]);
        let inverted = (tags::PHOTOMETRIC_INTERPRETATION, Value::Text("MONOCHROME1"));
        assert_eq!(levels(&first(EXPLICIT, &words, &[stored.clone(), inverted])), [1000.0, 500.0, 0.0]);
        let signed = (tags::PIXEL_REPRESENTATION, Value::Short(vec![1]));
        assert_eq!(levels(&first(EXPLICIT, &words, &[stored.clone(), signed.clone()])), [500.0, 0.0, 500.0]);
        // Stored -2048, -1 and 0 stand for -4096, -2 and 0: the window runs from -5 to 4.
        let window = [
            stored,
            signed,
            (tags::RESCALE_SLOPE, Value::Text("2")),
            (tags::WINDOW_CENTER, Value::Text("0")),
            (tags::WINDOW_WIDTH, Value::Text("10")),
        ];
        assert_eq!(levels(&first(EXPLICIT, &words, &window)), [556.0, 0.0, 333.0]);
    }

    #[test]
    fn lossless_jpeg_gives_every_bit_and_pieces_are_joined() {
        let stream = lossless(3, 2, 12, &[0, 4095, 17, 2048, 2047, 1]);
        let (left, right) = stream.split_at(stream.len() / 2 / 2 * 2);
        let pieces = Value::Pieces(vec![vec![], left.to_vec(), right.to_vec()]);
        let elements = image("MONOCHROME2", [2, 3, 1, 16], pieces);
        let frame = first(LOSSLESS, &elements, &[(tags::BITS_STORED, Value::Short(vec![12]))]);
        let stored: Vec<f32> = frame.pixels.iter().map(|v| (v * 4095.0).round()).collect();
        assert_eq!(stored, [0.0, 4095.0, 17.0, 2048.0, 2047.0, 1.0]);
    }
}
