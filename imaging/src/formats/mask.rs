//! Masks as files store them: a number or a colour per pixel, before anybody says which of them is which class.

use std::collections::BTreeMap;
use std::io::Cursor;

use image::ImageFormat;

use super::samples::{Samples, Stored};
use super::sniff::{self, Kind};
use super::tiff::Tiff;
use super::{MAX_PIXELS, Refusal, check_png, check_size, open, orientation};
use crate::DataError;
use crate::geometry::Mask;

/// Most classes of a mask, background included. More values than this are a picture, not a mask.
pub const MAX_CLASSES: usize = 64;

/// Most grey levels of a mask that is read as it is; with more, it has soft edges.
const MAX_LEVELS: usize = 32;

/// Share of the pixels near black or white from which on a grey picture is a mask of two levels with soft edges.
const TWO_LEVEL_SHARE: f64 = 0.9;

/// Levels below this in all three channels are black with the traces of a lossy format.
const NEARLY_BLACK: u8 = 64;

/// What the values of a mask are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Coding {
    /// Entries of a palette, with the colour of every entry.
    Palette(Vec<[u8; 3]>),
    /// Grey levels as stored.
    Grey,
    /// Colours, `0xRRGGBB`.
    Colour,
}

/// A mask before its values have become classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMask {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Row-major `[height, width]`.
    pub values: Vec<u32>,
    /// What the values are.
    pub coding: Coding,
    /// True when soft or lossy edges were cut at the middle level, which leaves 0 and 255.
    pub thresholded: bool,
    /// True when the file's colours show nothing and the values are those of its alpha channel.
    pub from_alpha: bool,
}

impl StoredMask {
    /// Every value with its number of pixels.
    pub fn counts(&self) -> BTreeMap<u32, usize> {
        let mut counts = BTreeMap::new();
        // Masks are areas, so that runs of one value are long.
        for run in self.values.chunk_by(|a, b| a == b) {
            *counts.entry(run[0]).or_default() += run.len();
        }
        counts
    }

    /// The value of ignored pixels in a mask with one object.
    pub const ONE_OBJECT_IGNORED: u32 = 128;

    /// The same mask with one object in it, 255 where anything but background is: 0, the values of `background`, and
    /// colours that are nearly black, because lossy formats leave them around what was painted. Values that are `ignored`
    /// become [`StoredMask::ONE_OBJECT_IGNORED`].
    pub fn one_object(mut self, background: &[u32], ignored: impl Fn(&Self, u32) -> bool) -> Self {
        let painted = self.coding == Coding::Colour;
        let black = |value: u32| painted && value.to_be_bytes().into_iter().all(|level| level < NEARLY_BLACK);
        let object = |value: u32| value != 0 && !background.contains(&value) && !black(value);
        let value = |value: u32| if object(value) { 255 } else { 0 };
        let table: BTreeMap<u32, u32> = self
            .counts()
            .into_keys()
            .map(|stored| (stored, if ignored(&self, stored) { Self::ONE_OBJECT_IGNORED } else { value(stored) }))
            .collect();
        self.values.iter_mut().for_each(|value| *value = table.get(value).copied().unwrap_or(0));
        Self { coding: Coding::Grey, ..self }
    }
}

/// Read a mask as it is stored: palette entries and grey levels keep their numbers, those of 16 bits too. JPEG masks, and
/// grey ones with soft edges, are cut at the middle level. Where the colours show nothing, the mask lies in the alpha
/// channel. A mask with an orientation tag is turned as pictures are.
///
/// # Errors
/// For a file that is damaged, not read, no mask, or of more than one picture.
pub fn read_mask(name: &str, bytes: Vec<u8>) -> Result<StoredMask, DataError> {
    let kind = sniff::kind(name, &bytes).map_err(|refusal| refusal.of(name))?;
    let mask = match kind {
        Kind::Raster(ImageFormat::Png) => stored_png(&bytes).map(|mask| (mask, false)),
        Kind::Raster(ImageFormat::Tiff) => stored_tiff(bytes),
        _ => Ok((decoded(name, bytes)?, kind == Kind::Raster(ImageFormat::Jpeg))),
    };
    mask.and_then(|(mask, lossy)| soften(mask, lossy)).map_err(|refusal| refusal.of(name))
}

fn one_picture(count: usize) -> Result<(), Refusal> {
    match count {
        1 => Ok(()),
        _ => Err(Refusal::Unsupported(format!(
            "It holds {count} pictures, and a mask is one. Save every mask as a file of its own."
        ))),
    }
}

/// Read a mask of the native layout: the stored numbers of an 8-bit PNG, grey or with a palette, are the classes, and a
/// mask of 0 and 255 has class 1 where it is 255. Pixels of the value `ignore`, which `meta.json` names, are
/// [`Mask::IGNORE`].
pub fn read_class_mask(name: &str, bytes: &[u8], ignore: Option<u8>) -> Result<Mask, DataError> {
    const ADVICE: &str =
        "Masks are 8-bit PNG files whose values are class numbers; `sonoseg ingest` makes them from others.";
    let refused = |what: String| DataError::unsupported(name, format!("{what} {ADVICE}"));
    match sniff::kind(name, bytes).map_err(|refusal| refusal.of(name))? {
        Kind::Raster(ImageFormat::Png) => {}
        _ => return Err(refused("It is no PNG.".into())),
    }
    let stored = stored_png(bytes).map_err(|refusal| refusal.of(name))?;
    if stored.coding == Coding::Colour {
        return Err(refused("It is a colour picture.".into()));
    }
    let ignore = ignore.map(u32::from);
    let white = stored.values.iter().all(|&value| value == 0 || value == 255 || Some(value) == ignore);
    let class = |value: u32| -> Result<u8, DataError> {
        if Some(value) == ignore {
            return Ok(Mask::IGNORE);
        }
        let class = if white { u32::from(value > 0) } else { value };
        match u8::try_from(class) {
            Ok(class) if usize::from(class) < MAX_CLASSES => Ok(class),
            _ => Err(refused(format!(
                "It holds the value {value}, which is no class number below {MAX_CLASSES}. If nobody judged these pixels, \
                 write \"ignore\": {value} into meta.json."
            ))),
        }
    };
    let classes = stored.values.iter().map(|&value| class(value)).collect::<Result<Vec<u8>, _>>()?;
    Ok(Mask { height: stored.height, width: stored.width, classes })
}

/// A PNG without any change of its numbers. Transparent pixels are background.
fn stored_png(bytes: &[u8]) -> Result<StoredMask, Refusal> {
    let damaged = |e: png::DecodingError| {
        Refusal::Unreadable(format!("The picture is damaged or cut short ({e}). Copy or export it again."))
    };
    let limits = png::Limits { bytes: 8 * MAX_PIXELS as usize };
    let mut reader = png::Decoder::new_with_limits(Cursor::new(bytes), limits).read_info().map_err(damaged)?;
    let (height, width) = (reader.info().height, reader.info().width);
    check_size(height.into(), width.into())?;
    let (height, width) = (height as usize, width as usize);
    check_png(bytes, height, width)?;
    one_picture(reader.info().animation_control.map_or(1, |animation| animation.num_frames.max(1) as usize))?;
    let palette = reader.info().palette.as_deref().map(|p| p.as_chunks::<3>().0.to_vec()).unwrap_or_default();
    let size =
        reader.output_buffer_size().ok_or_else(|| Refusal::unsupported("It is too large. Scale it down first."))?;
    let mut raw = vec![0; size];
    let info = reader.next_frame(&mut raw).map_err(damaged)?;
    let sample = |at: usize| -> u32 {
        match info.bit_depth {
            png::BitDepth::Sixteen => u32::from(raw[2 * at]) << 8 | u32::from(raw[2 * at + 1]),
            _ => u32::from(raw[at]),
        }
    };
    // Colour counts in 8 bits; grey keeps its 16, because some writers put class numbers there.
    let eight = |at: usize| sample(at) >> if info.bit_depth == png::BitDepth::Sixteen { 8 } else { 0 };
    let colour = |at: usize| eight(at) << 16 | eight(at + 1) << 8 | eight(at + 2);
    let pixels = 0..height * width;
    let (values, coding): (Vec<u32>, Coding) = match info.color_type {
        png::ColorType::Grayscale => (packed(&raw, info.bit_depth, width, info.line_size, &sample), Coding::Grey),
        png::ColorType::Indexed => {
            (packed(&raw, info.bit_depth, width, info.line_size, &sample), Coding::Palette(palette))
        }
        png::ColorType::GrayscaleAlpha => (pixels.clone().map(|i| sample(2 * i)).collect(), Coding::Grey),
        png::ColorType::Rgb => (pixels.clone().map(|i| colour(3 * i)).collect(), Coding::Colour),
        png::ColorType::Rgba => (pixels.clone().map(|i| colour(4 * i)).collect(), Coding::Colour),
    };
    let alpha: Vec<u32> = match info.color_type {
        png::ColorType::GrayscaleAlpha => pixels.map(|i| sample(2 * i + 1)).collect(),
        png::ColorType::Rgba => pixels.map(|i| sample(4 * i + 3)).collect(),
        _ => Vec::new(),
    };
    let mask = StoredMask { height, width, values, coding, thresholded: false, from_alpha: false };
    Ok(turned(grey_where_colourless(with_alpha(mask, alpha)), orientation::of_png(bytes)))
}

/// Make transparent pixels background. Where that leaves one value everywhere, the mask is the alpha channel itself, and so
/// it is where one colour has class numbers for its alpha. Where all pixels are transparent alike, alpha tells nothing.
fn with_alpha(mut mask: StoredMask, alpha: Vec<u32>) -> StoredMask {
    let (Some(&lowest), Some(&highest)) = (alpha.iter().min(), alpha.iter().max()) else { return mask };
    if lowest == highest {
        return mask;
    }
    let constant = |values: &[u32]| values.iter().all(|value| *value == values[0]);
    let numbered = constant(&mask.values) && highest < 128 && alpha.iter().any(|level| ![0, highest].contains(level));
    // Masks that were laid over their picture are half transparent where they show something.
    let shown = |(&value, &alpha): (&u32, &u32)| if alpha > highest / 2 { value } else { 0 };
    let values: Vec<u32> = mask.values.iter().zip(&alpha).map(shown).collect();
    if numbered || constant(&values) {
        return StoredMask { values: alpha, coding: Coding::Grey, from_alpha: true, ..mask };
    }
    mask.values = values;
    mask
}

fn turned(mask: StoredMask, tag: u8) -> StoredMask {
    let stored = [mask.height, mask.width];
    let [height, width] = orientation::size(stored, tag);
    StoredMask { height, width, values: orientation::turn(&mask.values, stored, tag), ..mask }
}

/// A TIFF of one page without any change of its numbers, and whether it went through a lossy codec.
fn stored_tiff(bytes: Vec<u8>) -> Result<(StoredMask, bool), Refusal> {
    let tiff = Tiff::open(bytes)?;
    one_picture(tiff.len())?;
    let (stored, tag) = tiff.numbers(0)?;
    let Stored { height, width, stride, samples, top, inverted, palette, .. } = stored;
    let coloured = stride >= 3;
    let mut numbers: Vec<u32> = match samples {
        Samples::Eight(v) => v.into_iter().map(u32::from).collect(),
        // Colour counts in 8 bits; grey keeps its 16, because some writers put class numbers there.
        Samples::Sixteen(v) => v.into_iter().map(|v| u32::from(if coloured { v >> 8 } else { v })).collect(),
        Samples::Float(v) => whole(&v)?,
    };
    if inverted {
        let white = if numbers.iter().all(|&v| v <= u32::from(top)) { u32::from(top) } else { 65535 };
        numbers.iter_mut().for_each(|v| *v = white.saturating_sub(*v));
    }
    let pixels = numbers.chunks_exact(stride);
    let value = |p: &[u32]| if coloured { p[0] << 16 | p[1] << 8 | p[2] } else { p[0] };
    let values = pixels.clone().map(value).collect();
    let alpha = if stride.is_multiple_of(2) { pixels.map(|p| p[stride - 1]).collect() } else { Vec::new() };
    let coding = match palette {
        Some(colours) => Coding::Palette(colours),
        None if coloured => Coding::Colour,
        None => Coding::Grey,
    };
    let mask = StoredMask { height, width, values, coding, thresholded: false, from_alpha: false };
    Ok((turned(grey_where_colourless(with_alpha(mask, alpha)), tag), tiff.is_lossy()))
}

/// Numbers with a fraction are class numbers where they have none, and levels from 0 to 1 otherwise.
fn whole(numbers: &[f32]) -> Result<Vec<u32>, Refusal> {
    let class = |v: &f32| (*v >= 0.0 && *v < 4e9 && v.fract() == 0.0).then_some(*v as u32);
    if let Some(classes) = numbers.iter().map(class).collect() {
        return Ok(classes);
    }
    let level = |v: &f32| (0.0..=1.0).contains(v).then(|| (255.0 * v).round() as u32);
    numbers.iter().map(level).collect::<Option<_>>().ok_or_else(|| {
        Refusal::unsupported(
            "Its numbers are neither class numbers from 0 on nor levels from 0 to 1. Save the mask as PNG of 8 bits.",
        )
    })
}

/// The samples of a grey or palette picture, of which several may share a byte.
fn packed(raw: &[u8], depth: png::BitDepth, width: usize, line: usize, sample: &impl Fn(usize) -> u32) -> Vec<u32> {
    let bits = depth as usize;
    if bits >= 8 {
        return (0..raw.len() * 8 / bits).map(sample).collect();
    }
    let rows = raw.chunks_exact(line);
    rows.flat_map(|row| {
        (0..width).map(move |column| {
            let shift = 8 - bits - column * bits % 8;
            u32::from(row[column * bits / 8] >> shift) & ((1 << bits) - 1)
        })
    })
    .collect()
}

/// A mask in another format than PNG, by its decoded colours.
fn decoded(name: &str, bytes: Vec<u8>) -> Result<StoredMask, DataError> {
    let clip = open(name, bytes)?;
    one_picture(clip.len()).map_err(|refusal| refusal.of(name))?;
    let image = clip.frame(0)?;
    let levels = image.to_bytes();
    let (values, coding) = if image.channels == 1 {
        (levels.into_iter().map(u32::from).collect(), Coding::Grey)
    } else {
        let colour = |p: &[u8; 3]| u32::from(p[0]) << 16 | u32::from(p[1]) << 8 | u32::from(p[2]);
        (levels.as_chunks::<3>().0.iter().map(colour).collect(), Coding::Colour)
    };
    Ok(StoredMask { height: image.height, width: image.width, values, coding, thresholded: false, from_alpha: false })
}

fn grey_where_colourless(mut mask: StoredMask) -> StoredMask {
    let level = |value: u32| value & 0xff;
    if mask.coding == Coding::Colour && mask.values.iter().all(|&v| v == level(v) * 0x01_01_01) {
        mask.values.iter_mut().for_each(|value| *value = level(*value));
        mask.coding = Coding::Grey;
    }
    mask
}

/// Cut soft edges at the middle level.
fn soften(mut mask: StoredMask, lossy: bool) -> Result<StoredMask, Refusal> {
    if mask.coding == Coding::Colour && lossy {
        // A grey JPEG whose colours are off by a few levels.
        let spread = |v: u32| {
            let [_, r, g, b] = v.to_be_bytes();
            r.max(g).max(b) - r.min(g).min(b)
        };
        if mask.values.iter().any(|&value| spread(value) > 32) {
            return Err(Refusal::unsupported(
                "It is a colour mask in a lossy format, whose edges have colours of no class. Save masks as PNG.",
            ));
        }
        mask.values.iter_mut().for_each(|value| *value = *value >> 8 & 0xff);
        mask.coding = Coding::Grey;
    }
    let counts = if mask.coding == Coding::Grey { mask.counts() } else { BTreeMap::new() };
    if counts.len() > MAX_LEVELS || (lossy && mask.coding == Coding::Grey) {
        let white = *counts.keys().next_back().unwrap_or(&0);
        let near = (white / 16).max(16);
        let ends = counts.range(..=near).chain(counts.range(white.saturating_sub(near)..));
        let ends: usize = ends.map(|(_, count)| count).sum();
        if (ends as f64) < TWO_LEVEL_SHARE * mask.values.len() as f64 {
            return Err(Refusal::Unsupported(format!(
                "It has {} grey levels, so that it is no mask. A mask has one value per class and hard edges.",
                counts.len()
            )));
        }
        // A JPEG of nothing but black may have a few levels of noise: that is no object.
        let middle = (white / 2).max(127);
        mask.values.iter_mut().for_each(|value| *value = if *value > middle { 255 } else { 0 });
        mask.thresholded = true;
    }
    Ok(mask)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::encode::{encode_png_grey, encode_png_mask, encode_png_rgb};

    fn png(colour: png::ColorType, depth: png::BitDepth, size: [u32; 2], data: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, size[1], size[0]);
        encoder.set_color(colour);
        encoder.set_depth(depth);
        let palette: Vec<u8> = (0..48).collect();
        if colour == png::ColorType::Indexed {
            encoder.set_palette(palette);
        }
        encoder.write_header().unwrap().write_image_data(data).unwrap();
        bytes
    }

    #[test]
    fn numbers_are_kept_as_stored_at_every_depth() {
        use png::{BitDepth, ColorType};
        let values = |bytes| read_mask("m.png", bytes).unwrap().values;
        // Two rows of three pixels: every row begins a byte of its own.
        let one = png(ColorType::Grayscale, BitDepth::One, [2, 3], &[0b1010_0000, 0b0110_0000]);
        assert_eq!(values(one), [1, 0, 1, 0, 1, 1]);
        let two = png(ColorType::Indexed, BitDepth::Two, [2, 3], &[0b0011_1000, 0b0100_0000]);
        assert_eq!(values(two), [0, 3, 2, 1, 0, 0]);
        let four = png(ColorType::Indexed, BitDepth::Four, [1, 3], &[0x12, 0xf0]);
        assert_eq!(values(four), [1, 2, 15]);
        let sixteen = png(ColorType::Grayscale, BitDepth::Sixteen, [1, 2], &[0, 2, 1, 0]);
        assert_eq!(values(sixteen), [2, 256]);
        let clear = png(ColorType::Rgba, BitDepth::Eight, [1, 2], &[255, 0, 0, 255, 255, 0, 0, 0]);
        assert_eq!(values(clear), [0xff_00_00, 0]);
        let grey = encode_png_rgb(1, 2, &[0, 0, 0, 3, 3, 3]).unwrap();
        let grey = read_mask("m.png", grey).unwrap();
        assert_eq!((grey.values, grey.coding), (vec![0, 3], Coding::Grey));
    }

    #[test]
    fn a_mask_in_the_alpha_channel_is_read_and_other_alpha_hides_or_tells_nothing() {
        use png::{BitDepth, ColorType};
        let read = |colour, data: &[u8], samples: usize| {
            let mask =
                read_mask("m.png", png(colour, BitDepth::Eight, [1, (data.len() / samples) as u32], data)).unwrap();
            (mask.values, mask.coding, mask.from_alpha)
        };
        let black = read(ColorType::Rgba, &[0, 0, 0, 255, 0, 0, 0, 0, 0, 0, 0, 255], 4);
        assert_eq!(black, (vec![255, 0, 255], Coding::Grey, true));
        assert_eq!(read(ColorType::GrayscaleAlpha, &[0, 0, 0, 2, 0, 1], 2), (vec![0, 2, 1], Coding::Grey, true));
        let white = read(ColorType::GrayscaleAlpha, &[255, 0, 255, 1, 255, 2], 2);
        assert_eq!(white, (vec![0, 1, 2], Coding::Grey, true), "class numbers in the alpha of white");
        let painted = read(ColorType::Rgba, &[255, 0, 0, 90, 0, 255, 0, 90, 9, 9, 9, 0], 4);
        assert_eq!(painted, (vec![0xff_00_00, 0x00_ff_00, 0], Coding::Colour, false), "half transparent");
        let clear = read(ColorType::Rgba, &[255, 0, 0, 0, 0, 0, 0, 0], 4);
        assert_eq!(clear, (vec![0xff_00_00, 0], Coding::Colour, false), "transparent everywhere");
        assert_eq!(read(ColorType::GrayscaleAlpha, &[0, 255, 0, 255], 2), (vec![0, 0], Coding::Grey, false));
        let native = png(ColorType::Rgba, BitDepth::Eight, [1, 2], &[0, 0, 0, 255, 0, 0, 0, 0]);
        assert_eq!(read_class_mask("m.png", &native, None).unwrap().classes, [1, 0]);
    }

    #[test]
    fn masks_are_turned_as_their_tag_says_and_animations_are_none() {
        for (tag, (size, seen)) in (1..).zip(orientation::tests::SEEN) {
            let plain = png(png::ColorType::Grayscale, png::BitDepth::Eight, [2, 3], &[1, 2, 3, 4, 5, 6]);
            for last in [false, true] {
                let bytes = orientation::tests::tagged(&plain, tag, last);
                let mask = read_mask("m.png", bytes.clone()).unwrap();
                assert_eq!(([mask.height, mask.width], mask.values), (size, seen.map(u32::from).to_vec()));
                let mask = read_class_mask("m.png", &bytes, None).unwrap();
                assert_eq!(([mask.height, mask.width], mask.classes), (size, seen.to_vec()));
            }
        }
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 1, 1);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_animated(2, 0).unwrap();
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(&[1]).unwrap();
        writer.write_image_data(&[0]).unwrap();
        writer.finish().unwrap();
        assert!(read_mask("m.png", bytes).unwrap_err().to_string().contains("2 pictures"));
    }

    #[test]
    fn soft_edges_are_cut_and_photographs_are_refused() {
        let ramp: Vec<u8> = (0..600).map(|i| (i as u8).wrapping_mul(4)).collect();
        let soft: Vec<u8> = [vec![0; 4000], ramp.clone(), vec![255; 4000]].concat();
        let mask = read_mask("m.png", encode_png_grey(86, 100, &soft).unwrap()).unwrap();
        assert!(mask.thresholded && mask.counts().keys().eq([&0, &255]));
        let message = read_mask("m.png", encode_png_grey(6, 100, &ramp).unwrap()).unwrap_err().to_string();
        assert!(message.contains("64 grey levels"), "{message}");
        let mut jpeg = Cursor::new(Vec::new());
        let picture = image::GrayImage::from_fn(32, 32, |x, _| image::Luma([if x < 13 { 0 } else { 255 }]));
        picture.write_to(&mut jpeg, ImageFormat::Jpeg).unwrap();
        let mask = read_mask("m.jpg", jpeg.into_inner()).unwrap();
        assert_eq!(mask.counts(), BTreeMap::from([(0, 13 * 32), (255, 19 * 32)]));
        let mut coloured = Cursor::new(Vec::new());
        let picture = image::RgbImage::from_fn(32, 32, |x, _| image::Rgb([if x < 13 { 0 } else { 255 }, 0, 0]));
        picture.write_to(&mut coloured, ImageFormat::Jpeg).unwrap();
        assert!(read_mask("m.jpg", coloured.into_inner()).unwrap_err().to_string().contains("Save masks as PNG"));
    }

    #[test]
    fn one_object_is_all_but_the_background() {
        let object = |bytes: Vec<u8>| read_mask("m.png", bytes).unwrap().one_object(&[2], |_, value| value == 7).values;
        assert_eq!(object(encode_png_grey(1, 4, &[0, 1, 2, 3]).unwrap()), [0, 255, 0, 255], "a trimap");
        assert_eq!(object(encode_png_grey(1, 4, &[0, 7, 2, 3]).unwrap()), [0, 128, 0, 255], "ignored");
        let painted = encode_png_rgb(1, 4, &[0, 0, 2, 5, 0, 3, 19, 164, 201, 166, 255, 71]).unwrap();
        assert_eq!(object(painted), [0, 0, 255, 255], "colours with the traces of a lossy format");
    }

    #[test]
    fn native_masks_are_class_numbers_or_black_and_white() {
        let read = |bytes: Vec<u8>| read_class_mask("m.png", &bytes, None);
        let mask = Mask { height: 1, width: 4, classes: vec![0, 1, 2, 5] };
        assert_eq!(read(encode_png_mask(&mask).unwrap()).unwrap(), mask);
        assert_eq!(read(encode_png_grey(1, 3, &[0, 255, 255]).unwrap()).unwrap().classes, [0, 1, 1]);
        assert_eq!(read(encode_png_grey(1, 3, &[0, 2, 1]).unwrap()).unwrap().classes, [0, 2, 1]);
        assert!(read(encode_png_grey(1, 2, &[1, 255]).unwrap()).unwrap_err().to_string().contains("255"));
        let ignoring = |levels: &[u8], ignore: u8| {
            read_class_mask("m.png", &encode_png_grey(1, 3, levels).unwrap(), Some(ignore)).map(|mask| mask.classes)
        };
        assert_eq!(ignoring(&[0, 255, 255], 255).unwrap(), [0, 255, 255], "no object where 255 is ignored");
        assert_eq!(ignoring(&[255, 1, 2], 255).unwrap(), [255, 1, 2]);
        assert_eq!(ignoring(&[0, 255, 9], 9).unwrap(), [0, 1, 255]);
        assert!(ignoring(&[0, 255, 1], 9).is_err());
        assert!(read(encode_png_rgb(1, 1, &[1, 2, 3]).unwrap()).unwrap_err().to_string().contains("colour"));
        assert!(read(b"GIF89a".to_vec()).unwrap_err().to_string().contains("no PNG"));
        assert!(read(encode_png_grey(1, 2, &[1, 2]).unwrap()[..50].to_vec()).is_err(), "cut short");
    }
}
