//! One DICOM frame: from its bytes, packed or not, to an [`Image`] (PS3.3 C.7.6.3, PS3.5 annex A).

use super::attributes::{number, text};
use super::elements::{Elements, PixelData};
use super::grey::Levels;
use super::palette::Palette;
use super::samples::{Samples, Unpacked};
use super::{codecs, rle};
use crate::formats::{Refusal, image_from};
use crate::geometry::Image;
use dicom_dictionary_std::tags;

/// How the bytes of a frame are packed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Compression {
    None {
        big_endian: bool,
    },
    Rle,
    /// A stream of the JPEG family, which says itself which of them it is.
    Stream {
        lossy: bool,
    },
}

/// What the samples of a pixel are.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Photometric {
    /// Grey; `inverted` when 0 is white.
    Grey { inverted: bool, levels: Levels },
    /// Red, green and blue from 0 to `white`, else to the highest value of the stored bits.
    Rgb { white: Option<u32> },
    /// Luminance and two colour differences.
    Ybr,
    /// The same with the differences of two neighbouring pixels shared.
    Ybr422,
    /// One index into a table of colours.
    Palette(Palette),
}

/// How every frame of an object is stored.
#[derive(Clone, Debug)]
pub(super) struct Format {
    pub height: usize,
    pub width: usize,
    pub photometric: Photometric,
    compression: Compression,
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
        notes: &mut Vec<String>,
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
        let photometric = match (name, samples as usize) {
            ("MONOCHROME1" | "MONOCHROME2" | "", 1) => {
                if text(main, tags::PIXEL_PRESENTATION) == "COLOR" && elements.palette[0].is_some() {
                    notes.push(
                        "It has colours for some of its grey values, which are not read: it shows as grey.".into(),
                    );
                }
                let levels = Levels::of(elements, stored as u32, signed, notes);
                Photometric::Grey { inverted: name == "MONOCHROME1", levels }
            }
            ("PALETTE COLOR", 1) => Photometric::Palette(Palette::of(elements, signed)?),
            ("RGB" | "", 3) => Photometric::Rgb { white: None },
            ("YBR_FULL_422", 3) if matches!(compression, Compression::None { .. }) && allocated == 8.0 => {
                shared_differences(elements, height, width)
            }
            ("YBR_FULL" | "YBR_FULL_422", 3) => Photometric::Ybr,
            // The differences of these are in the stream, whose decoder undoes them.
            (_, 3) if matches!(compression, Compression::Stream { .. }) => Photometric::Ybr,
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
        self.compression == Compression::Stream { lossy: true }
    }

    /// Bytes of an unpacked frame, at least 1.
    pub(super) fn native_bytes(&self) -> usize {
        if self.photometric == Photometric::Ybr422 {
            return self.height * self.width.div_ceil(2) * 4;
        }
        self.height * self.width * self.samples * self.sample_bytes
    }

    /// True when colours have more than eight bits, so that their range is to be looked at.
    pub(super) fn is_deep_colour(&self) -> bool {
        matches!(self.photometric, Photometric::Rgb { .. }) && self.bits_stored > 8
    }

    /// Bytes of a stored sample.
    pub(super) fn sample_bytes(&self) -> usize {
        self.sample_bytes
    }

    /// Take for white what the brightest of deep colours needs, when that is less than half of what the header says.
    pub(super) fn stretch_colours(&mut self, brightest: u32) -> Option<String> {
        let needed = 32 - brightest.leading_zeros();
        if brightest == 0 || needed >= self.bits_stored {
            return None;
        }
        self.photometric = Photometric::Rgb { white: Some((1 << needed.max(8)) - 1) };
        Some(format!(
            "Its header says that colours have {} bits, but none needs more than {needed}: they are shown by that range.",
            self.bits_stored
        ))
    }

    /// The header says that the components of a stream are red, green and blue.
    pub(super) fn says_rgb(&self) -> bool {
        matches!(self.photometric, Photometric::Rgb { .. })
    }

    /// Where the stored bits are in a sample: the bits, and how many lie below them. A stream holds them at the bottom,
    /// unless it is deep enough for the whole word, and what it says of its depth is so.
    fn bits(&self, precision: Option<u32>) -> [u32; 2] {
        match precision {
            Some(precision) if precision < self.shift + self.bits_stored => [self.bits_stored, 0],
            Some(precision) if self.shift == 0 && !self.signed => [precision.max(self.bits_stored), 0],
            _ => [self.bits_stored, self.shift],
        }
    }

    /// The value of a stored word: the stored bits only, with their sign.
    fn value(&self, word: u16, [bits, shift]: [u32; 2]) -> i32 {
        let value = (u32::from(word) >> shift) & ((1 << bits) - 1);
        let negative = self.signed && value >> (bits - 1) == 1;
        if negative { value as i32 - (1 << bits) } else { value as i32 }
    }

    /// The smallest and the largest value of a frame for which `counts` is true.
    pub(super) fn range(&self, bytes: &[u8], counts: impl Fn(i32) -> bool) -> Option<[i32; 2]> {
        let unpacked = self.unpack(bytes).ok()?;
        let bits = self.bits(unpacked.precision);
        let values = unpacked.samples.iter().map(|word| self.value(word, bits)).filter(|&value| counts(value));
        values.fold(None, |range, value| {
            let [low, high] = range.unwrap_or([value; 2]);
            Some([low.min(value), high.max(value)])
        })
    }

    fn unpack(&self, bytes: &[u8]) -> Result<Unpacked, Refusal> {
        let pixels = self.height * self.width;
        let unpacked = match self.compression {
            Compression::None { big_endian } => {
                let frame = bytes.get(..self.native_bytes()).ok_or_else(|| damaged("A frame is cut short"))?;
                let samples = native(self, frame, big_endian);
                Unpacked { samples, channels: self.samples, precision: None, rgb: false }
            }
            Compression::Rle => {
                let samples = rle::decode(bytes, pixels, self.samples, self.sample_bytes).map_err(damaged)?;
                Unpacked { samples, channels: self.samples, precision: None, rgb: false }
            }
            Compression::Stream { .. } => {
                codecs::decode(bytes, [self.height, self.width, self.samples], self.says_rgb())?
            }
        };
        if unpacked.samples.len() != pixels * unpacked.channels || unpacked.channels != self.samples {
            return Err(damaged("A frame holds another number of pixels than the DICOM header says"));
        }
        Ok(unpacked)
    }
}

/// Some writers say YBR_FULL_422 and store three samples for every pixel: the bytes tell, by the header's number of frames
/// and else by which of the two goes into them.
fn shared_differences(elements: &Elements, height: usize, width: usize) -> Photometric {
    let PixelData::Native(data) = &elements.pixels else { return Photometric::Ybr422 };
    let (held, whole, shared) = (data.range.len(), 3 * height * width, height * width.div_ceil(2) * 4);
    let frames = number(&elements.main, tags::NUMBER_OF_FRAMES).unwrap_or(1.0).max(1.0);
    let fits = |frame: usize| held as f64 - frames * frame as f64;
    let divides = |frame: usize| held % frame <= 1;
    let told = [whole, shared].map(|frame| (0.0..2.0).contains(&fits(frame)));
    match (told, divides(whole) && !divides(shared)) {
        ([true, _], _) | ([_, false], true) => Photometric::Ybr,
        _ => Photometric::Ybr422,
    }
}

/// Decode a frame. `levels` stand for those of grey pixels when they are to be stretched by their own range.
pub(super) fn decode(format: &Format, bytes: &[u8], levels: Option<&Levels>) -> Result<Image, Refusal> {
    Ok(shown(format, format.unpack(bytes)?, levels))
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

/// Samples to what is shown.
fn shown(format: &Format, unpacked: Unpacked, settled: Option<&Levels>) -> Image {
    let (height, width) = (format.height, format.width);
    let Unpacked { samples, precision, rgb, .. } = unpacked;
    let bits = format.bits(precision);
    let value = |word: u16| format.value(word, bits);
    match &format.photometric {
        Photometric::Grey { inverted, levels } => {
            let levels = settled.unwrap_or(levels);
            let level = |word: u16| {
                let level = levels.level(value(word));
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
        Photometric::Palette(palette) => {
            let colours: Vec<u8> = samples.iter().flat_map(|word| palette.colour(value(word))).collect();
            image_from(height, width, &colours, 3, |v: u8| f32::from(v) / 255.0)
        }
        colour => {
            let convert = !rgb && matches!(colour, Photometric::Ybr | Photometric::Ybr422);
            let full = match colour {
                Photometric::Rgb { white: Some(white) } => *white as f32,
                _ => ((1_u32 << bits[0]) - 1) as f32,
            };
            let level = |word: u16| (value(word) as f32 / full).clamp(0.0, 1.0);
            // Black and white keep their place in the differences at half the scale.
            let middle = (1_u32 << (bits[0] - 1)) as f32 / full;
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
#[cfg(test)]
mod tests {
    use super::super::fixtures::{BIG_ENDIAN, EXPLICIT, LOSSLESS, Value, file, image, lossless};
    use super::*;
    use crate::formats::open;
    use dicom_core::Tag;

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
        assert_eq!(levels(&first(EXPLICIT, &words, &[stored.clone(), signed.clone()])), [1000.0, 0.0, 1000.0]);
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
