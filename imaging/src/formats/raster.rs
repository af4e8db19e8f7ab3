//! Pictures: PNG, JPEG, BMP and GIF through the `image` crate, TIFF through `super::tiff`; animated GIF and PNG and TIFF
//! stacks are clips.

use super::decode::{decode, decoder, limits, unreadable};
use super::samples::{self, Facts, Levels, PLAIN, Stored};
use super::tiff::Tiff;
use super::{Refusal, check_png, check_size, image_from, jpeg, orientation};
use crate::geometry::Image;
use image::codecs::gif::GifDecoder;
use image::codecs::png::PngDecoder;
use image::metadata::Orientation;
use image::{AnimationDecoder, ImageDecoder, ImageFormat};
use std::io::Cursor;

/// Largest memory for the decoded frames of an animation, which can only be decoded in order.
const MAX_ANIMATION_BYTES: usize = 1 << 30;

/// An opened picture, animation or stack.
#[derive(Debug)]
pub struct Raster {
    /// Height and width as people see them.
    size: [usize; 2],
    content: Content,
    /// How the file's pixels lie; 1 where the content turns its pages itself.
    orientation: u8,
    notes: Vec<String>,
}

#[derive(Debug)]
enum Content {
    /// One picture, decoded when asked for.
    Still { format: ImageFormat, bytes: Vec<u8>, levels: Levels },
    /// A TIFF, each page decoded when asked for.
    Tiff(Tiff),
    /// Decoded frames: colour bytes `[height, width, 3]`, or grey `[height, width]`, and when each is shown.
    Animation { stored: [usize; 2], frames: Vec<Vec<u8>>, times_us: Vec<u64> },
}

impl Raster {
    /// Read the sizes; decode nothing but animations, and pictures whose levels depend on what is in them.
    pub(super) fn open(format: ImageFormat, bytes: Vec<u8>) -> Result<Self, Refusal> {
        if format == ImageFormat::Tiff {
            let tiff = Tiff::open(bytes)?;
            let (size, notes) = (tiff.size(), tiff.notes().to_vec());
            return Ok(Self { size, content: Content::Tiff(tiff), orientation: orientation::UPRIGHT, notes });
        }
        let mut decoder = decoder(format, Cursor::new(&bytes))?;
        let ((width, height), colour) = (decoder.dimensions(), decoder.color_type());
        check_size(height.into(), width.into())?;
        let stored = [height as usize, width as usize];
        let orientation = match format {
            ImageFormat::Png => orientation::of_png(&bytes),
            _ => decoder.orientation().map_or(orientation::UPRIGHT, Orientation::to_exif),
        };
        drop(decoder);
        let size = orientation::size(stored, orientation);
        let mut notes: Vec<String> =
            (orientation != orientation::UPRIGHT).then(|| orientation::NOTE.to_owned()).into_iter().collect();
        if format == ImageFormat::Png {
            check_png(&bytes, stored[0], stored[1])?;
        }
        let animated = match format {
            ImageFormat::Gif => true,
            ImageFormat::Png => PngDecoder::new(Cursor::new(&bytes)).and_then(|d| d.is_apng()).map_err(unreadable)?,
            _ => false,
        };
        if animated {
            let (content, note) = animation(format, &bytes, stored)?;
            notes.extend(note.map(str::to_owned));
            return Ok(Self { size, content, orientation, notes });
        }
        if format == ImageFormat::Jpeg {
            jpeg::Layout::of(&bytes).and_then(|layout| layout.check_complete(&bytes)).map_err(Refusal::Unreadable)?;
        }
        let mut levels = PLAIN;
        if colour.has_alpha() || colour.bytes_per_pixel() > colour.channel_count() {
            let mut facts = Facts::default();
            facts.add(&Stored::of(decode(format, Cursor::new(&bytes))?));
            let (found, doubts) = facts.levels();
            levels = found;
            notes.extend(doubts);
        }
        Ok(Self { size, content: Content::Still { format, bytes, levels }, orientation, notes })
    }

    pub(super) fn len(&self) -> usize {
        match &self.content {
            Content::Still { .. } => 1,
            Content::Tiff(tiff) => tiff.len(),
            Content::Animation { frames, .. } => frames.len(),
        }
    }

    pub(super) fn size(&self) -> (usize, usize) {
        (self.size[0], self.size[1])
    }

    pub(super) fn notes(&self) -> &[String] {
        &self.notes
    }

    pub(super) fn is_lossy(&self) -> bool {
        match &self.content {
            Content::Still { format, .. } => *format == ImageFormat::Jpeg,
            Content::Tiff(tiff) => tiff.is_lossy(),
            Content::Animation { .. } => false,
        }
    }

    pub(super) fn frame_times_us(&self) -> Option<Vec<u64>> {
        match &self.content {
            Content::Animation { times_us, .. } if times_us.len() > 1 => Some(times_us.clone()),
            _ => None,
        }
    }

    pub(super) fn frame(&self, index: usize) -> Result<Image, Refusal> {
        let image = match &self.content {
            Content::Still { format, bytes, levels } => {
                let picture = decode(*format, Cursor::new(bytes))?;
                if *format == ImageFormat::Jpeg {
                    let again = |longer: &[u8]| decode(*format, Cursor::new(longer)).ok();
                    jpeg::Layout::of(bytes)
                        .and_then(|layout| layout.check_filled(bytes, &picture, again))
                        .map_err(Refusal::Unreadable)?;
                }
                Stored::of(picture).image(levels)
            }
            Content::Tiff(tiff) => tiff.frame(index)?,
            Content::Animation { stored: [height, width], frames, .. } => {
                let frame = &frames[index];
                let stride = if frame.len() == height * width { 1 } else { 3 };
                image_from(*height, *width, frame, stride, |level| f32::from(level) / 255.0)
            }
        };
        let image = orientation::turn_image(image, self.orientation);
        if (image.height, image.width) != self.size() {
            return Err(Refusal::unreadable("Its pixels have another size than it says. Copy or export it again."));
        }
        Ok(image)
    }
}

/// All frames of a GIF or animated PNG, laid over black. Where all of them are black and transparent in different ways, they
/// lie in the alpha channel, which is a note.
fn animation(
    format: ImageFormat,
    bytes: &[u8],
    stored: [usize; 2],
) -> Result<(Content, Option<&'static str>), Refusal> {
    let (content, alpha) = frames(format, bytes, stored, over_black)?;
    let Content::Animation { frames: shown, .. } = &content else { return Ok((content, None)) };
    if alpha.is_none_or(|[low, high]| low == high) || shown.iter().flatten().any(|&level| level != 0) {
        return Ok((content, None));
    }
    let only_alpha = |rgba: &[u8]| rgba.iter().skip(3).step_by(4).copied().collect();
    Ok((frames(format, bytes, stored, only_alpha)?.0, Some(samples::IN_ALPHA)))
}

/// The frames of an animation, and the lowest and the highest alpha in them.
fn frames(
    format: ImageFormat,
    bytes: &[u8],
    stored: [usize; 2],
    kept: impl Fn(&[u8]) -> Vec<u8>,
) -> Result<(Content, Option<[u8; 2]>), Refusal> {
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
    let mut alpha: Option<[u8; 2]> = None;
    for frame in decoded {
        let frame = frame.map_err(unreadable)?;
        let (numerator, denominator) = frame.delay().numer_denom_ms();
        let delay_us = u64::from(numerator) * 1000 / u64::from(denominator.max(1));
        let rgba = frame.into_buffer();
        if [rgba.height() as usize, rgba.width() as usize] != stored {
            return Err(Refusal::unreadable("A frame of the animation has another size than the first."));
        }
        alpha = rgba.pixels().fold(alpha, |seen, pixel| {
            let [low, high] = seen.unwrap_or([255, 0]);
            Some([low.min(pixel.0[3]), high.max(pixel.0[3])])
        });
        let image = kept(&rgba);
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
    Ok((Content::Animation { stored, frames, times_us }, alpha))
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

#[cfg(test)]
mod tests {
    use crate::formats::orientation::tests::{SEEN, exif, tagged};
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
                Rgb([255, 120 + 10 * x as u8, 20 * y as u8])
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
    fn pictures_are_turned_as_their_tag_says() {
        let png = encode::encode_png_grey(2, 3, &[1, 2, 3, 4, 5, 6]).unwrap();
        let blocks = image::GrayImage::from_fn(24, 16, |x, y| image::Luma([40 * (1 + x / 8 + 3 * (y / 8)) as u8]));
        let jpeg = written(&blocks.into(), ImageFormat::Jpeg).unwrap();
        for (tag, (size, seen)) in (1..).zip(SEEN) {
            for last in [false, true] {
                let clip = open("a.png", tagged(&png, tag, last)).unwrap();
                assert_eq!((clip.size(), clip.frame(0).unwrap().to_bytes()), ((size[0], size[1]), seen.to_vec()));
                assert_eq!(clip.notes().len(), usize::from(tag != 1));
            }
            let data = [b"Exif\0\0".to_vec(), exif(tag)].concat();
            let length = (data.len() as u16 + 2).to_be_bytes();
            let bytes = [&jpeg[..2], &[0xff, 0xe1], &length, &data, &jpeg[2..]].concat();
            let clip = open("a.jpg", bytes).unwrap();
            assert_eq!(clip.size(), (8 * size[0], 8 * size[1]));
            let image = clip.frame(0).unwrap();
            let levels = image.to_bytes();
            // The middle of every block, whose level is 40 times its number.
            let middle = |i: usize| levels[(8 * (i / size[1]) + 4) * image.width + 8 * (i % size[1]) + 4];
            let read: Vec<u8> = (0..6).map(|i| ((u16::from(middle(i)) + 20) / 40) as u8).collect();
            assert_eq!(read, seen, "orientation {tag}");
        }
    }

    #[test]
    fn a_cut_jpeg_is_refused_with_an_end_marker_too_and_bytes_behind_a_whole_one_harm_nothing() {
        let noise = image::GrayImage::from_fn(64, 64, |x, y| image::Luma([((x * x * 7 + y * 131) >> 2) as u8]));
        for picture in [DynamicImage::ImageLuma8(noise.clone()), DynamicImage::ImageLuma8(noise).to_rgb8().into()] {
            let whole = written(&picture, ImageFormat::Jpeg).unwrap();
            let pixels = open("a.jpg", whole.clone()).unwrap().frame(0).unwrap();
            // A preview or a second picture behind it, as telephones store.
            let followed = open("a.jpg", [&whole[..], &whole, b"more"].concat()).unwrap().frame(0).unwrap();
            assert_eq!(followed, pixels);
            for share in [2, 3, 9] {
                let cut = [&whole[..whole.len() - whole.len() / share], &[0xff, 0xd9]].concat();
                let message = open("a.jpg", cut).and_then(|clip| clip.frame(0)).unwrap_err().to_string();
                assert!(message.contains("a.jpg") && message.contains("cut short"), "{message}");
            }
        }
    }

    #[test]
    fn sixteen_bits_and_alpha_of_a_png_are_read_with_a_note() {
        let twelve = image::ImageBuffer::<image::Luma<u16>, _>::from_raw(3, 1, vec![0, 1000, 4095]).unwrap();
        let clip = open("a.png", written(&twelve.into(), ImageFormat::Png).unwrap()).unwrap();
        assert_eq!(clip.frame(0).unwrap().pixels, [0.0, 1000.0 / 4095.0, 1.0]);
        assert!(clip.notes()[0].contains("use 12 of them"), "{:?}", clip.notes());
        let black = image::GrayAlphaImage::from_raw(3, 1, vec![0, 10, 0, 200, 0, 0]).unwrap();
        let clip = open("a.png", written(&DynamicImage::from(black), ImageFormat::Png).unwrap()).unwrap();
        assert_eq!(clip.frame(0).unwrap().to_bytes(), [10, 200, 0]);
        assert!(clip.notes()[0].contains("alpha channel"), "{:?}", clip.notes());
    }

    #[test]
    fn an_animation_in_the_alpha_channel_is_read() {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 2, 1);
        encoder.set_color(png::ColorType::GrayscaleAlpha);
        encoder.set_animated(2, 0).unwrap();
        let mut writer = encoder.write_header().unwrap();
        writer.set_blend_op(png::BlendOp::Source).unwrap();
        writer.write_image_data(&[0, 30, 0, 0]).unwrap();
        writer.write_image_data(&[0, 0, 0, 40]).unwrap();
        writer.finish().unwrap();
        let clip = open("a.png", bytes).unwrap();
        assert_eq!([0, 1].map(|index| clip.frame(index).unwrap().to_bytes()), [[30, 0], [0, 40]]);
        assert_eq!(clip.notes().len(), 1);
    }
}
