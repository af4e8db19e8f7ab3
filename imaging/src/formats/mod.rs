//! Files that hold images: bytes in, frames out. `open` decides what a file is and refuses what it cannot read.
//!
//! | kind | file |
//! |---|---|
//! | PNG, JPEG, BMP, TIFF, GIF | [`raster`] |
//! | DICOM | [`dicom`] (a folder: attributes, the data set, frames, pixels, video), `jpeg` (one frame), [`dicom_write`] |
//! | NIfTI volumes | `nifti` |
//! | masks | [`mask`] (values as stored), [`classes`] (which value is which class) |
//! | PNG to write | [`encode`] |
//!
//! A frame is decoded when it is asked for, so a long clip costs its file's bytes only. Nothing here panics on any
//! bytes: sizes are checked against [`MAX_PIXELS`] and against the bytes at hand before memory is taken.

pub mod classes;
mod decode;
pub mod dicom;
pub mod dicom_write;
pub mod encode;
mod jpeg;
pub mod mask;
mod nifti;
pub mod raster;
mod sniff;

use crate::DataError;
use crate::geometry::{Image, Scale, Volume};
pub use dicom::video::{DicomVideo, VideoCodec, dicom_video};
use sniff::Kind;

/// Largest frame that is read: 100 megapixels.
pub const MAX_PIXELS: u64 = 100_000_000;

/// Why a file cannot be read, as a sentence without the file's name.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The bytes are cut short or are not what they claim to be.
    Unreadable(String),
    /// The file is sound but of a kind that is not read.
    Unsupported(String),
}

impl Refusal {
    fn unreadable(reason: impl std::fmt::Display) -> Self {
        Self::Unreadable(reason.to_string())
    }

    fn unsupported(reason: impl std::fmt::Display) -> Self {
        Self::Unsupported(reason.to_string())
    }

    fn of(self, name: &str) -> DataError {
        match self {
            Self::Unreadable(reason) => DataError::unreadable(name, reason),
            Self::Unsupported(reason) => DataError::unsupported(name, reason),
        }
    }
}

/// An opened file: one or several frames of one size.
#[derive(Debug)]
pub struct Clip {
    name: String,
    frames: Frames,
}

#[derive(Debug)]
enum Frames {
    Raster(raster::Raster),
    Dicom(Box<dicom::Dicom>),
    Slices(Box<Slices>),
}

/// A volume that is looked at slice by slice, standing as people expect it.
#[derive(Debug)]
struct Slices {
    volume: Volume,
    window: [f32; 2],
    scale: Scale,
}

/// What a file holds.
#[derive(Debug)]
pub enum Content {
    /// A picture or several.
    Frames(Clip),
    /// A volume, its axes as stored.
    Volume(Volume),
}

/// What a file is, so that a program knows how to read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A picture, or an animation or stack of pictures: [`open`] reads it.
    Picture,
    /// A DICOM object: [`open`] reads it.
    Dicom,
    /// A volume: [`open`] reads it.
    Volume,
    /// A video, for ffmpeg or the browser.
    Video,
    /// Nothing that sonoseg knows: notes, tables, programs.
    Other,
}

/// Bytes at the start of a file that tell its kind: the header of a volume, also behind the long name that gzip stored.
pub const TELLING_BYTES: u64 = 4096;

/// Tell the kind of a file from its name and its first [`TELLING_BYTES`]. It fails for a file that should be read and
/// cannot: damaged, or of a kind that is refused.
pub fn kind(name: &str, first_bytes: &[u8]) -> Result<FileKind, DataError> {
    match sniff::kind(name, first_bytes).map_err(|refusal| refusal.of(name))? {
        Kind::Raster(_) => Ok(FileKind::Picture),
        Kind::Dicom => Ok(FileKind::Dicom),
        Kind::Nifti => Ok(FileKind::Volume),
        Kind::Video => Ok(FileKind::Video),
        Kind::Other => Ok(FileKind::Other),
    }
}

/// Open a file from its bytes. The first bytes decide what it is; the name's ending only helps to word the refusal.
pub fn read(name: &str, bytes: Vec<u8>) -> Result<Content, DataError> {
    let frames = match sniff::kind(name, &bytes) {
        Ok(Kind::Raster(format)) => raster::Raster::open(format, bytes).map(Frames::Raster),
        Ok(Kind::Dicom) => dicom::Dicom::open(bytes).map(|dicom| Frames::Dicom(Box::new(dicom))),
        Ok(Kind::Nifti) => return nifti::read(&bytes).map(Content::Volume).map_err(|refusal| refusal.of(name)),
        Ok(other) => Err(other.refusal()),
        Err(refusal) => Err(refusal),
    };
    Ok(Content::Frames(Clip { name: name.to_owned(), frames: frames.map_err(|refusal| refusal.of(name))? }))
}

/// Open a file as frames: those of a volume are its slices from the feet to the head, as [`Volume::standing`] turns them
/// and with the window of [`Volume::window`].
pub fn open(name: &str, bytes: Vec<u8>) -> Result<Clip, DataError> {
    let volume = match read(name, bytes)? {
        Content::Frames(clip) => return Ok(clip),
        Content::Volume(volume) => volume.standing(),
    };
    let [_, height, width] = volume.extent;
    check_size(height as u64, width as u64).map_err(|refusal| refusal.of(name))?;
    let window = volume.window();
    let scale = volume.slice(0, window).scale;
    Ok(Clip { name: name.to_owned(), frames: Frames::Slices(Box::new(Slices { volume, window, scale })) })
}

impl Clip {
    /// The name that the file was opened under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Number of frames, at least 1.
    pub fn len(&self) -> usize {
        match &self.frames {
            Frames::Raster(raster) => raster.len(),
            Frames::Dicom(dicom) => dicom.len(),
            Frames::Slices(slices) => slices.volume.extent[0],
        }
    }

    /// Never true: a file without frames is refused by [`open`].
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Height and width of every frame in pixels.
    pub fn size(&self) -> (usize, usize) {
        match &self.frames {
            Frames::Raster(raster) => raster.size(),
            Frames::Dicom(dicom) => dicom.size(),
            Frames::Slices(slices) => (slices.volume.extent[1], slices.volume.extent[2]),
        }
    }

    /// When each frame is shown, in microseconds from the first. None for stills and where the file does not tell.
    pub fn frame_times_us(&self) -> Option<Vec<u64>> {
        match &self.frames {
            Frames::Raster(raster) => raster.frame_times_us(),
            Frames::Dicom(dicom) => dicom.frame_times_us(),
            Frames::Slices(_) => None,
        }
    }

    /// Mean frames per second. None for stills and where the file does not tell.
    pub fn fps(&self) -> Option<f64> {
        let times = self.frame_times_us()?;
        let span = times.last().copied().filter(|&last| last > 0)?;
        Some((times.len() - 1) as f64 * 1e6 / span as f64)
    }

    /// A word for the person that the file shows, the same in all files of one patient or at least of one examination.
    /// None for all but DICOM. It may be a real number of a real patient: not for showing or storing as it is.
    pub fn person(&self) -> Option<String> {
        match &self.frames {
            Frames::Raster(_) | Frames::Slices(_) => None,
            Frames::Dicom(dicom) => dicom.person(),
        }
    }

    /// What is doubtful about the file though it is read, a sentence each without the file's name: what was left out, what
    /// the file says in two ways, what had to be guessed. Whoever opens a file shows them.
    pub fn notes(&self) -> &[String] {
        match &self.frames {
            Frames::Raster(raster) => raster.notes(),
            Frames::Dicom(dicom) => dicom.notes(),
            Frames::Slices(_) => &[],
        }
    }

    /// Millimetres, where the file tells.
    pub fn scale(&self) -> &Scale {
        match &self.frames {
            Frames::Raster(_) => &Scale::Unknown,
            Frames::Dicom(dicom) => dicom.scale(),
            Frames::Slices(slices) => &slices.scale,
        }
    }

    /// True when the pixels went through a lossy codec, so that equal pictures may differ a little.
    pub fn is_lossy(&self) -> bool {
        match &self.frames {
            Frames::Raster(raster) => raster.is_lossy(),
            Frames::Dicom(dicom) => dicom.is_lossy(),
            Frames::Slices(_) => false,
        }
    }

    /// Decode frame `index` (from 0): grey or colour, `[channels, height, width]` in [0, 1], with the scale.
    pub fn frame(&self, index: usize) -> Result<Image, DataError> {
        let count = self.len();
        if index >= count {
            return Err(DataError::unreadable(&self.name, format!("There is no frame {index}; it has {count}.")));
        }
        let image = match &self.frames {
            Frames::Raster(raster) => raster.frame(index),
            Frames::Dicom(dicom) => dicom.frame(index),
            Frames::Slices(slices) => Ok(slices.volume.slice(index, slices.window)),
        };
        image.map_err(|refusal| refusal.of(&self.name))
    }
}

/// Refuse a frame without pixels or with more than [`MAX_PIXELS`].
fn check_size(height: u64, width: u64) -> Result<(), Refusal> {
    if height == 0 || width == 0 {
        return Err(Refusal::Unreadable(format!("The image is {width} x {height} pixels, so there is nothing in it.")));
    }
    if height.saturating_mul(width) > MAX_PIXELS {
        return Err(Refusal::Unsupported(format!(
            "The image is {width} x {height} pixels; more than 100 megapixels are not read. Scale it down first."
        )));
    }
    Ok(())
}

/// Refuse a PNG whose bytes cannot hold its pixels: decoders take the picture's memory before they notice. Deflate packs
/// 1032 bytes into one at most (zlib's documentation), and the 26th byte tells how many samples a pixel has.
fn check_png(bytes: &[u8], height: usize, width: usize) -> Result<(), Refusal> {
    let (Some(&depth), Some(&colour)) = (bytes.get(24), bytes.get(25)) else {
        return Err(Refusal::unreadable("The picture is cut short. Copy or export it again."));
    };
    let samples = match colour {
        2 => 3,
        4 => 2,
        6 => 4,
        _ => 1,
    };
    let bits = height as u64 * width as u64 * samples * u64::from(depth);
    if bits / 8 / 1032 > bytes.len() as u64 {
        return Err(Refusal::Unreadable(format!(
            "It says that it is {width} x {height} pixels, which its {} bytes cannot hold. Copy or export it again.",
            bytes.len()
        )));
    }
    Ok(())
}

/// An image from interleaved samples `[height, width, stride]`: 1 grey, 2 grey and alpha, 3 colour, 4 colour and alpha.
/// Transparency is laid over black, and colour without any colour becomes grey. `level` maps a sample to [0, 1].
fn image_from<T: Copy + PartialEq>(
    height: usize,
    width: usize,
    samples: &[T],
    stride: usize,
    level: impl Fn(T) -> f32,
) -> Image {
    let coloured = stride >= 3 && !samples.chunks_exact(stride).all(|p| p[0] == p[1] && p[1] == p[2]);
    let channels = if coloured { 3 } else { 1 };
    let mut pixels = Vec::with_capacity(channels * height * width);
    for channel in 0..channels {
        let plane = samples.chunks_exact(stride);
        if stride.is_multiple_of(2) {
            pixels.extend(plane.map(|p| level(p[channel]) * level(p[stride - 1])));
        } else {
            pixels.extend(plane.map(|p| level(p[channel])));
        }
    }
    Image { channels, height, width, pixels, scale: Scale::Unknown }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use std::io::Read as _;

    #[test]
    fn a_volume_opens_as_its_standing_slices() {
        let bytes = nifti::tests::packed(&nifti::tests::file(false));
        assert_eq!(kind("volume", &bytes).unwrap(), FileKind::Volume);
        assert!(matches!(read("volume", bytes.clone()), Ok(Content::Volume(volume)) if volume.extent == [2, 2, 3]));
        let clip = open("volume", bytes).unwrap();
        assert_eq!((clip.len(), clip.size(), clip.frame_times_us()), (2, (2, 3), None));
        // -1 is the darkest voxel and 223 the brightest; rows run to the back, which the file stores the other way.
        let first = clip.frame(0).unwrap();
        assert_eq!(first.pixels[..3], [20.0, 22.0, 24.0].map(|above: f32| above / 224.0));
        assert_eq!(clip.frame(1).unwrap().pixels[2], 1.0);
        assert!(matches!(first.scale, Scale::Everywhere(spacing) if (spacing.x_mm - 0.5).abs() < 1e-6));
        assert!(clip.frame(2).is_err());
    }

    #[test]
    fn a_volume_is_told_by_its_first_bytes_behind_a_long_name_and_without_compression() {
        let name = "a long folder/".repeat(40);
        let file = nifti::tests::file(false);
        let packed = flate2::GzBuilder::new().filename(name).read(&file[..], Compression::none());
        let mut first = Vec::new();
        packed.take(TELLING_BYTES).read_to_end(&mut first).unwrap();
        assert_eq!(kind("scan.nii.gz", &first).unwrap(), FileKind::Volume);
    }

    #[test]
    fn what_cannot_be_read_is_refused_by_name_and_reason() {
        let cases: [(&str, &[u8], &str); 12] = [
            ("a.png", b"", "empty"),
            ("a.png", b"<!DOCTYPE html>", "not"),
            ("notes.txt", b"hello there, this is text", "PNG"),
            ("a.mp4", b"\0\0\0\x20ftypisom\0\0\0\0", "video"),
            ("a.webm", b"\x1a\x45\xdf\xa3.......", "video"),
            ("a.mpeg", b"\0\0\x01\xba.......", "video"),
            ("a.webp", b"RIFF\0\0\0\0WEBPVP8 ", "WebP"),
            ("a.heic", b"\0\0\0\x20ftypheic\0\0\0\0", "HEIC"),
            ("scan.nii.gz", b"\x1f\x8b\x08\0\0\0\0\0", "volumes"),
            ("scan.nrrd", b"NRRD0004\ntype: int", "volumes"),
            ("scan.mha", b"ObjectType = Image\nNDims = 3\n", "volumes"),
            ("a.dcm", b"not a dicom file at all", "DICOM"),
        ];
        for (name, bytes, word) in cases {
            let message = open(name, bytes.to_vec()).expect_err(name).to_string();
            assert!(message.starts_with(name) && message.contains(word), "{message}");
        }
    }

    #[test]
    fn a_png_whose_bytes_cannot_hold_its_pixels_is_refused_before_memory_is_taken() {
        let mut bytes = encode::encode_png_grey(3, 3, &[7; 9]).unwrap();
        for (at, side) in [(16, 9000_u32), (20, 8000)] {
            bytes[at..at + 4].copy_from_slice(&side.to_be_bytes());
        }
        let sum = crc32fast::hash(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&sum.to_be_bytes());
        let messages = [open("a.png", bytes.clone()).unwrap_err(), mask::read_class_mask("a.png", &bytes).unwrap_err()];
        for message in messages.map(|error| error.to_string()) {
            assert!(message.contains("9000 x 8000 pixels, which its"), "{message}");
        }
    }

    #[test]
    fn alpha_lies_over_black_and_grey_colour_becomes_grey() {
        let image = image_from(1, 2, &[10_u8, 10, 10, 255, 40, 40, 40, 0], 4, |v| f32::from(v) / 255.0);
        assert_eq!((image.channels, image.to_bytes()), (1, vec![10, 0]));
        assert_eq!(image_from(1, 1, &[1_u8, 2, 3], 3, f32::from).pixels, [1.0, 2.0, 3.0]);
    }

    /// Small files of every kind.
    fn zoo() -> Vec<Vec<u8>> {
        use crate::geometry::{ScaleRegion, Spacing};
        use dicom::fixtures;
        use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
        let picture = DynamicImage::ImageRgb8(RgbImage::from_fn(9, 5, |x, y| Rgb([x as u8 * 25, y as u8 * 40, 7])));
        let formats = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Bmp, ImageFormat::Tiff, ImageFormat::Gif];
        let mut files: Vec<Vec<u8>> = formats
            .iter()
            .map(|&format| {
                let mut bytes = std::io::Cursor::new(Vec::new());
                picture.write_to(&mut bytes, format).unwrap();
                bytes.into_inner()
            })
            .collect();
        for syntax in [fixtures::EXPLICIT, fixtures::IMPLICIT, fixtures::BIG_ENDIAN, fixtures::DEFLATED] {
            files.push(fixtures::file(syntax, &fixtures::ultrasound(), &[]));
        }
        let stream = jpeg::tests::lossless(3, 2, 8, &[1, 2, 3, 4, 5, 200]);
        let pieces = fixtures::Value::Pieces(vec![vec![], stream]);
        files.push(fixtures::file(fixtures::LOSSLESS, &fixtures::image("MONOCHROME2", [2, 3, 1, 8], pieces), &[]));
        let spacing = Spacing { x_mm: 0.1, y_mm: 0.1 };
        let region = Some(ScaleRegion { left: 0.0, top: 0.0, right: 8.0, bottom: 4.0, spacing });
        let options = dicom_write::DicomClipOptions { fps: 15.0, region, quality: 80, seed: 1 };
        let frames = [Image::from_grey8(5, 9, &[50; 45]), Image::from_grey8(5, 9, &[90; 45])];
        files.push(dicom_write::write_dicom_clip(&frames, &options).unwrap());
        files.extend([
            nifti::tests::file(false),
            nifti::tests::file(true),
            nifti::tests::packed(&nifti::tests::file(false)),
        ]);
        files
    }

    #[test]
    fn damaged_files_are_refused_or_read_but_never_panic() {
        let files = zoo();
        for (number, file) in files.iter().enumerate() {
            assert!(open("sound", file.clone()).unwrap().frame(0).is_ok(), "file {number}");
            for round in 0..400 {
                let mut rng = crate::rng::Rng::stream(17, "damage", [number as u64, round]);
                let mut bytes = file.clone();
                for _ in 0..=rng.below(4) {
                    let at = rng.below(bytes.len());
                    match rng.below(5) {
                        0 => bytes[at] = rng.below(256) as u8,
                        1 => bytes[at] = [0, 1, 127, 255][rng.below(4)],
                        2 => bytes[at..].iter_mut().take(4).for_each(|byte| *byte = 255),
                        3 => bytes.truncate(at.max(1)),
                        _ => bytes.insert(at, rng.below(256) as u8),
                    }
                }
                let image = open("damaged", bytes).and_then(|clip| clip.frame(clip.len() - 1));
                if let Ok(image) = image {
                    assert_eq!(image.pixels.len(), image.channels * image.height * image.width);
                }
            }
        }
    }
}
