//! Pictures through the `image` crate: PNG, JPEG, BMP, TIFF and GIF, with animated GIF and PNG and TIFF stacks as clips.

use super::decode::{decode, decoder, limits, unreadable};
use super::{Refusal, check_png, check_size, image_from, jpeg};
use crate::geometry::Image;
use image::codecs::gif::GifDecoder;
use image::codecs::png::PngDecoder;
use image::{AnimationDecoder, DynamicImage, ImageDecoder, ImageFormat};
use std::io::{Cursor, Read, Seek, SeekFrom};

/// Largest memory for the decoded frames of an animation, which can only be decoded in order.
const MAX_ANIMATION_BYTES: usize = 1 << 30;

/// An opened picture, animation or stack.
#[derive(Debug)]
pub struct Raster {
    height: usize,
    width: usize,
    content: Content,
    notes: Vec<String>,
}

#[derive(Debug)]
enum Content {
    /// One picture, decoded when asked for.
    Still { format: ImageFormat, bytes: Vec<u8> },
    /// Pages of one size in a TIFF, each decoded when asked for: where their directories begin.
    Pages { bytes: Vec<u8>, directories: Vec<u32> },
    /// Decoded frames: colour bytes `[height, width, 3]`, or grey `[height, width]`, and when each is shown.
    Animation { frames: Vec<Vec<u8>>, times_us: Vec<u64> },
}

impl Raster {
    /// Read the sizes; decode nothing but animations.
    pub(super) fn open(format: ImageFormat, bytes: Vec<u8>) -> Result<Self, Refusal> {
        let (width, height) = decoder(format, Cursor::new(&bytes))?.dimensions();
        check_size(height.into(), width.into())?;
        let (height, width) = (height as usize, width as usize);
        if format == ImageFormat::Png {
            check_png(&bytes, height, width)?;
        }
        let animated = match format {
            ImageFormat::Gif => true,
            ImageFormat::Png => PngDecoder::new(Cursor::new(&bytes)).and_then(|d| d.is_apng()).map_err(unreadable)?,
            _ => false,
        };
        if animated {
            let frames = animation(format, &bytes, height, width)?;
            return Ok(Self { height, width, content: frames, notes: Vec::new() });
        }
        if format == ImageFormat::Jpeg {
            jpeg::Layout::of(&bytes).and_then(|layout| layout.check_complete(&bytes)).map_err(Refusal::Unreadable)?;
        }
        let directories = if format == ImageFormat::Tiff { tiff_pages(&bytes, height, width) } else { Vec::new() };
        let content = if directories.len() > 1 {
            Content::Pages { bytes, directories }
        } else {
            Content::Still { format, bytes }
        };
        Ok(Self { height, width, content, notes: Vec::new() })
    }

    pub(super) fn len(&self) -> usize {
        match &self.content {
            Content::Still { .. } => 1,
            Content::Pages { directories, .. } => directories.len(),
            Content::Animation { frames, .. } => frames.len(),
        }
    }

    pub(super) fn size(&self) -> (usize, usize) {
        (self.height, self.width)
    }

    pub(super) fn notes(&self) -> &[String] {
        &self.notes
    }

    pub(super) fn is_lossy(&self) -> bool {
        matches!(&self.content, Content::Still { format: ImageFormat::Jpeg, .. })
    }

    pub(super) fn frame_times_us(&self) -> Option<Vec<u64>> {
        match &self.content {
            Content::Animation { times_us, .. } if times_us.len() > 1 => Some(times_us.clone()),
            _ => None,
        }
    }

    pub(super) fn frame(&self, index: usize) -> Result<Image, Refusal> {
        let decoded = match &self.content {
            Content::Still { format, bytes } => decode(*format, Cursor::new(bytes))?,
            Content::Pages { bytes, directories } => {
                let page = TiffPage::new(bytes, directories[index]);
                decode(ImageFormat::Tiff, std::io::BufReader::new(page))?
            }
            Content::Animation { frames, .. } => {
                let frame = &frames[index];
                let stride = if frame.len() == self.height * self.width { 1 } else { 3 };
                return Ok(image_from(self.height, self.width, frame, stride, level8));
            }
        };
        if (decoded.height() as usize, decoded.width() as usize) != self.size() {
            return Err(Refusal::unreadable("A page has another size than its directory says."));
        }
        let (height, width) = self.size();
        Ok(match &decoded {
            DynamicImage::ImageLuma8(b) => image_from(height, width, b, 1, level8),
            DynamicImage::ImageLumaA8(b) => image_from(height, width, b, 2, level8),
            DynamicImage::ImageRgb8(b) => image_from(height, width, b, 3, level8),
            DynamicImage::ImageRgba8(b) => image_from(height, width, b, 4, level8),
            DynamicImage::ImageLuma16(b) => image_from(height, width, b, 1, level16),
            DynamicImage::ImageLumaA16(b) => image_from(height, width, b, 2, level16),
            DynamicImage::ImageRgb16(b) => image_from(height, width, b, 3, level16),
            DynamicImage::ImageRgba16(b) => image_from(height, width, b, 4, level16),
            DynamicImage::ImageRgb32F(b) => image_from(height, width, b, 3, level_float),
            DynamicImage::ImageRgba32F(b) => image_from(height, width, b, 4, level_float),
            other => image_from(height, width, &other.to_rgb16(), 3, level16),
        })
    }
}

fn level8(value: u8) -> f32 {
    f32::from(value) / 255.0
}

fn level16(value: u16) -> f32 {
    f32::from(value) / 65535.0
}

fn level_float(value: f32) -> f32 {
    if value.is_nan() { 0.0 } else { value.clamp(0.0, 1.0) }
}

/// All frames of a GIF or animated PNG, laid over black.
fn animation(format: ImageFormat, bytes: &[u8], height: usize, width: usize) -> Result<Content, Refusal> {
    let source = Cursor::new(bytes);
    let decoded = if format == ImageFormat::Gif {
        let mut decoder = GifDecoder::new(source).map_err(unreadable)?;
        decoder.set_limits(limits()).map_err(unreadable)?;
        decoder.into_frames()
    } else {
        let decoder = PngDecoder::with_limits(source, limits()).map_err(unreadable)?;
        decoder.apng().map_err(unreadable)?.into_frames()
    };
    let (mut frames, mut times_us, mut now, mut taken) = (Vec::new(), Vec::new(), 0, 0);
    for frame in decoded {
        let frame = frame.map_err(unreadable)?;
        let (numerator, denominator) = frame.delay().numer_denom_ms();
        let delay_us = u64::from(numerator) * 1000 / u64::from(denominator.max(1));
        let rgba = frame.into_buffer();
        if (rgba.height() as usize, rgba.width() as usize) != (height, width) {
            return Err(Refusal::unreadable("A frame of the animation has another size than the first."));
        }
        let image = over_black(&rgba);
        taken += image.len();
        if taken > MAX_ANIMATION_BYTES {
            return Err(Refusal::unsupported(
                "The animation needs more than 1 GB of memory. Turn it into a video: `ffmpeg -i FILE clip.mp4`.",
            ));
        }
        frames.push(image);
        times_us.push(now);
        // As browsers do: a delay of 10 ms or less means that nobody set one.
        now += if delay_us <= 10_000 { 100_000 } else { delay_us };
    }
    if frames.is_empty() {
        return Err(Refusal::unreadable("There is no frame in it."));
    }
    Ok(Content::Animation { frames, times_us })
}

/// Red, green, blue and alpha to colour bytes, or to grey bytes where there is no colour.
fn over_black(rgba: &[u8]) -> Vec<u8> {
    let shown = |level: u8, alpha: u8| ((u16::from(level) * u16::from(alpha) + 127) / 255) as u8;
    let grey = rgba.chunks_exact(4).all(|p| p[3] == 0 || (p[0] == p[1] && p[1] == p[2]));
    let stride = if grey { 1 } else { 3 };
    let mut bytes = Vec::with_capacity(rgba.len() / 4 * stride);
    for pixel in rgba.chunks_exact(4) {
        bytes.extend(pixel[..stride].iter().map(|&level| shown(level, pixel[3])));
    }
    bytes
}

/// Where the directories of the pages of the first page's size begin. Other sizes are thumbnails and reduced copies.
/// Empty for BigTIFF and for chains that run out of the file: the first page is then read alone.
fn tiff_pages(bytes: &[u8], height: usize, width: usize) -> Vec<u32> {
    let big = bytes.starts_with(b"MM");
    let word = |at: usize| -> Option<u16> {
        let pair = bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if big { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) })
    };
    let long = |at: usize| -> Option<u32> {
        let four = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if big { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) })
    };
    let mut pages = Vec::new();
    if word(2) != Some(42) {
        return pages;
    }
    let mut next = long(4).unwrap_or(0);
    // An entry takes twelve bytes, so more of them than this means that the chain bites its tail or crosses itself.
    let mut left = bytes.len() / 12;
    while next != 0 {
        let start = next as usize;
        let Some(entries) = word(start) else { break };
        let Some(fewer) = left.checked_sub(usize::from(entries).max(1)) else { break };
        left = fewer;
        let (mut page_width, mut page_height) = (None, None);
        for entry in 0..usize::from(entries) {
            let at = start + 2 + 12 * entry;
            // Field type 3 is a 16-bit and 4 a 32-bit number; both are stored in the entry itself.
            let value = match word(at + 2) {
                Some(3) => word(at + 8).map(usize::from),
                Some(4) => long(at + 8).map(|v| v as usize),
                _ => None,
            };
            match word(at) {
                Some(256) => page_width = value,
                Some(257) => page_height = value,
                None => break,
                _ => {}
            }
        }
        if (page_height, page_width) == (Some(height), Some(width)) {
            pages.push(next);
        }
        next = long(start + 2 + 12 * usize::from(entries)).unwrap_or(0);
    }
    pages
}

/// The bytes of a TIFF with another page named first, without a copy of the file.
struct TiffPage<'a> {
    bytes: &'a [u8],
    header: [u8; 8],
    position: u64,
}

impl<'a> TiffPage<'a> {
    fn new(bytes: &'a [u8], directory: u32) -> Self {
        let mut header = [0; 8];
        header[..4].copy_from_slice(&bytes[..4]);
        let offset = if bytes.starts_with(b"MM") { directory.to_be_bytes() } else { directory.to_le_bytes() };
        header[4..].copy_from_slice(&offset);
        Self { bytes, header, position: 0 }
    }
}

impl Read for TiffPage<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let start = usize::try_from(self.position).unwrap_or(usize::MAX);
        let source = if start < 8 { &self.header[start..] } else { self.bytes.get(start..).unwrap_or_default() };
        let count = source.len().min(buffer.len());
        buffer[..count].copy_from_slice(&source[..count]);
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for TiffPage<'_> {
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

#[cfg(test)]
mod tests {
    use super::tiff_pages;
    use crate::formats::{encode, open};
    use image::codecs::gif::GifEncoder;
    use image::{Delay, DynamicImage, Frame, ImageFormat, Rgb, RgbImage};
    use std::io::Cursor;

    const FORMATS: [ImageFormat; 5] =
        [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Bmp, ImageFormat::Tiff, ImageFormat::Gif];

    fn written(picture: &DynamicImage, format: ImageFormat) -> Option<Vec<u8>> {
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).ok().map(|()| bytes.into_inner())
    }

    #[test]
    fn every_format_and_depth_from_one_pixel_on() {
        for (width, height) in [(1, 1), (7, 5)] {
            let rgb = DynamicImage::ImageRgb8(RgbImage::from_fn(width, height, |x, y| {
                Rgb([200, 20 * x as u8, 20 * y as u8])
            }));
            for format in FORMATS {
                let depths = [rgb.clone(), rgb.to_rgb16().into(), rgb.to_luma8().into(), rgb.to_luma16().into()];
                for picture in depths.iter().chain([&rgb.to_rgba8().into(), &rgb.to_luma_alpha8().into()]) {
                    let Some(bytes) = written(picture, format) else { continue };
                    let clip = open("picture", bytes.clone()).unwrap();
                    assert_eq!((clip.len(), clip.size()), (1, (height as usize, width as usize)));
                    let image = clip.frame(0).unwrap();
                    let [r, g, b] = picture.to_rgb8().get_pixel(0, 0).0.map(f32::from);
                    let grey = (0.299 * r + 0.587 * g + 0.114 * b) as u8;
                    let read = image.to_grey().to_bytes()[0];
                    assert!(read.abs_diff(grey) <= 14, "{format:?} {:?}: {read} for {grey}", picture.color());
                    let cut = open("cut", bytes[..bytes.len() * 2 / 3].to_vec()).and_then(|clip| clip.frame(0));
                    assert!(cut.is_err(), "{format:?} {:?} cut short", picture.color());
                }
            }
        }
    }

    #[test]
    fn large_pictures_open_and_larger_ones_are_refused() {
        let bytes = encode::encode_png_grey(8000, 8000, &vec![9; 64_000_000]).unwrap();
        let image = open("large.png", bytes).unwrap().frame(0).unwrap();
        assert_eq!((image.height, image.width, image.to_bytes()[63_999_999]), (8000, 8000, 9));
        let mut header = encode::encode_png_grey(1, 1, &[0]).unwrap();
        // Width and height are the first numbers of the first chunk, whose check sum comes after 13 bytes.
        header[16..24].copy_from_slice(&[0, 0, 0x80, 0, 0, 0, 0x80, 0]);
        let sum = crc(&header[12..29]);
        header[29..33].copy_from_slice(&sum.to_be_bytes());
        assert!(open("huge.png", header).unwrap_err().to_string().contains("100 megapixels"));
    }

    fn crc(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0, |sum: u32, &byte| {
            (0..8).fold(sum ^ u32::from(byte), |sum, _| (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg()))
        })
    }

    #[test]
    fn animations_have_frames_and_times() {
        let mut bytes = Vec::new();
        let mut encoder = GifEncoder::new(&mut bytes);
        for (level, delay) in [(10, 40), (90, 0), (200, 40)] {
            let picture = RgbImage::from_pixel(3, 2, Rgb([level; 3]));
            let picture = DynamicImage::ImageRgb8(picture).to_rgba8();
            encoder.encode_frame(Frame::from_parts(picture, 0, 0, Delay::from_numer_denom_ms(delay, 1))).unwrap();
        }
        drop(encoder);
        let clip = open("a.gif", bytes).unwrap();
        assert_eq!(clip.frame_times_us().unwrap(), [0, 40_000, 140_000]);
        assert_eq!(clip.frame(2).unwrap().to_bytes(), [200; 6]);
    }

    #[test]
    fn a_tiff_stack_has_its_pages_and_leaves_out_thumbnails() {
        let page = |level, width| {
            written(&RgbImage::from_pixel(width, 2, Rgb([level, 0, 0])).into(), ImageFormat::Tiff).unwrap()
        };
        // Put the pages one after another: every offset in the later ones moves by what stands before.
        let mut stack = page(50, 3);
        for (level, width) in [(100, 1), (150, 3)] {
            let last = chain_end(&stack);
            let base = stack.len() as u32;
            let next = moved(&page(level, width), base);
            stack[last..last + 4].copy_from_slice(&(long(&next, 4)).to_le_bytes());
            stack.extend(next);
        }
        let clip = open("stack.tif", stack).unwrap();
        assert_eq!((clip.len(), clip.size()), (2, (2, 3)));
        let reds = [0, 1].map(|index| clip.frame(index).unwrap().to_bytes()[0]);
        assert_eq!(reds, [50, 150]);
    }

    #[test]
    fn a_chain_of_pages_that_bites_its_tail_ends() {
        let mut page = written(&RgbImage::from_pixel(3, 2, Rgb([9, 0, 0])).into(), ImageFormat::Tiff).unwrap();
        let (first, last) = (long(&page, 4), chain_end(&page));
        page[last..last + 4].copy_from_slice(&first.to_le_bytes());
        let pages = tiff_pages(&page, 2, 3);
        assert!((1..=page.len() / 12).contains(&pages.len()), "{} pages", pages.len());
        assert!(open("loop.tif", page).err().unwrap().to_string().contains("cycle"));
    }

    fn long(bytes: &[u8], at: usize) -> u32 {
        u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
    }

    fn entries(bytes: &[u8], directory: usize) -> usize {
        usize::from(u16::from_le_bytes([bytes[directory], bytes[directory + 1]]))
    }

    /// Where the last directory names the next one.
    fn chain_end(bytes: &[u8]) -> usize {
        let mut at = 4;
        while long(bytes, at) != 0 {
            let directory = long(bytes, at) as usize;
            at = directory + 2 + 12 * entries(bytes, directory);
        }
        at
    }

    /// A one-page TIFF with all its offsets raised.
    fn moved(page: &[u8], by: u32) -> Vec<u8> {
        let mut bytes = page.to_vec();
        let directory = long(page, 4) as usize;
        let mut raise = |at: usize| bytes[at..at + 4].copy_from_slice(&(long(page, at) + by).to_le_bytes());
        raise(4);
        for entry in 0..entries(page, directory) {
            let at = directory + 2 + 12 * entry;
            let size = [0, 1, 1, 2, 4, 8][usize::from(page[at + 2]).min(5)] * long(page, at + 4);
            // Tag 273 is where the strips of pixels are; longer values are stored elsewhere as well.
            if size > 4 || page[at..at + 2] == [17, 1] {
                raise(at + 8);
            }
        }
        bytes
    }
}
