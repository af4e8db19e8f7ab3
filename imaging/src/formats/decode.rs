//! The decoders of the `image` crate, held to a size: for pictures, and for pictures inside other files.

use super::{MAX_PIXELS, Refusal, check_size};
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use std::io::Seek;

/// Why the `image` crate does not read a picture.
pub(super) fn unreadable(error: image::ImageError) -> Refusal {
    match error {
        image::ImageError::Unsupported(e) => {
            Refusal::Unsupported(format!("This variant is not read ({e}). Save it as plain PNG."))
        }
        image::ImageError::Limits(_) => {
            Refusal::unsupported("It needs more memory than a picture of 100 megapixels. Scale it down first.")
        }
        e => Refusal::Unreadable(format!("The picture is damaged or cut short ({e}). Copy or export it again.")),
    }
}

/// What a picture of [`MAX_PIXELS`] may take.
pub(super) fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_image_width = u32::try_from(MAX_PIXELS).ok();
    limits.max_image_height = u32::try_from(MAX_PIXELS).ok();
    // Eight bytes a pixel is 16-bit colour with alpha; as much again for the decoder's own buffers.
    limits.max_alloc = Some(2 * 8 * MAX_PIXELS);
    limits
}

/// A decoder within the limits.
pub(super) fn decoder<'a, R: std::io::BufRead + Seek + 'a>(
    format: ImageFormat,
    source: R,
) -> Result<impl ImageDecoder + 'a, Refusal> {
    let mut reader = ImageReader::with_format(source, format);
    reader.limits(limits());
    reader.into_decoder().map_err(unreadable)
}

/// Decode one picture of at most [`MAX_PIXELS`].
pub(super) fn decode<R: std::io::BufRead + Seek>(format: ImageFormat, source: R) -> Result<DynamicImage, Refusal> {
    let decoder = decoder(format, source)?;
    let (width, height) = decoder.dimensions();
    check_size(height.into(), width.into())?;
    DynamicImage::from_decoder(decoder).map_err(unreadable)
}
