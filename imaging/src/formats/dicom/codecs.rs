//! Frames of the JPEG family inside DICOM. The stream says which of them it is: files call a stream lossless that is not,
//! and the other way round.

use super::jpeg2000;
use super::pixels::{Samples, Unpacked};
use crate::formats::Refusal;
use crate::formats::decode::decode as decode_picture;
use crate::formats::jpeg::{Colours, Layout};
use image::{DynamicImage, ImageFormat};
use openreadout_codecs::{JpegColor, Raster};
use std::borrow::Cow;
use std::io::Cursor;

/// What to do with a variant that is not read.
pub(super) const CONVERT: &str =
    "Convert it: `gdcmconv --raw IN OUT`, or with DCMTK `dcmdjpeg`, `dcmdjpls` or `dcmdjp2k`.";

/// Decode a stream that has to have the given height, width and samples a pixel. `says_rgb` is true when the header says
/// that the components are red, green and blue, which counts where the stream does not say it.
pub(super) fn decode(bytes: &[u8], size: [usize; 3], says_rgb: bool) -> Result<Unpacked, Refusal> {
    if jpeg2000::is_stream(bytes) {
        return jpeg2000::decode(bytes, size);
    }
    let layout = Layout::of(bytes).map_err(Refusal::Unreadable)?;
    if [usize::from(layout.height), layout.width.into(), layout.components.into()] != size {
        return Err(Refusal::unreadable(
            "A JPEG frame has another size or colour than the DICOM header says. Copy or export the file again.",
        ));
    }
    // What stands behind a cut is made up by decoders: grey, said nothing.
    layout.check_complete(bytes).map_err(Refusal::Unreadable)?;
    let rgb = layout.colours().map_or(says_rgb, |colours| colours == Colours::Rgb);
    let precision = Some(layout.precision.into());
    let channels = layout.components.into();
    Ok(match (layout.process, layout.precision) {
        (Layout::JPEG_LS, _) => Unpacked { samples: near_lossless(bytes, &layout)?, channels, precision, rgb: false },
        (3, _) => Unpacked { samples: lossless(bytes, &layout)?, channels, precision, rgb: false },
        (0..=2, 8) => Unpacked { samples: lossy(bytes, &layout, rgb)?, channels, precision, rgb: channels == 3 },
        (0..=1, 12) => Unpacked { samples: deep(bytes, size)?, channels, precision, rgb },
        (process, precision) => {
            return Err(Refusal::Unsupported(format!(
                "Its JPEG frames have {precision} bits a sample (process {process}), which is not read. {CONVERT}"
            )));
        }
    })
}

/// Whether the stream of a frame and the header disagree about colours, as a sentence.
pub(super) fn colour_note(bytes: &[u8], says_rgb: bool) -> Option<String> {
    let layout = Layout::of(bytes).ok().filter(|layout| layout.components == 3 && layout.process <= 2)?;
    let (header, stream) = match (layout.colours()?, says_rgb) {
        (Colours::Ybr, true) => ("red, green and blue", "luminance and colour differences"),
        (Colours::Rgb, false) => ("luminance and colour differences", "red, green and blue"),
        _ => return None,
    };
    Some(format!(
        "Its header says that its colours are {header}, its JPEG frames say {stream}; the frames are believed."
    ))
}

/// A baseline, extended or progressive stream of 8 bits, to grey or red, green, blue. `rgb` is true when the components
/// are red, green and blue already.
fn lossy(bytes: &[u8], layout: &Layout, rgb: bool) -> Result<Samples, Refusal> {
    let stream = if layout.components == 3 && layout.decoded_as() != if rgb { Colours::Rgb } else { Colours::Ybr } {
        // The decoder goes by an Adobe marker, so give it the right one in place of its own.
        let marker = [0xff, 0xee, 0, 14, b'A', b'd', b'o', b'b', b'e', 0, 100, 0, 0, 0, 0, u8::from(!rgb)];
        let adobe = layout.adobe.map_or(2..2, |(at, _)| at..at + 16);
        Cow::Owned([&bytes[..2], &marker, &bytes[2..adobe.start], &bytes[adobe.end..]].concat())
    } else {
        Cow::Borrowed(bytes)
    };
    let decoded = decode_picture(ImageFormat::Jpeg, Cursor::new(&stream[..]))?;
    Ok(Samples::Bytes(match decoded {
        DynamicImage::ImageLuma8(grey) => grey.into_raw(),
        other => other.into_rgb8().into_raw(),
    }))
}

/// A lossless stream (process 14), 2 to 16 bits, to its components as they are stored.
fn lossless(bytes: &[u8], layout: &Layout) -> Result<Samples, Refusal> {
    let sound = (2..=16).contains(&layout.precision)
        && matches!(layout.components, 1 | 3)
        && layout.full_resolution
        && layout.scan_components == layout.components
        && (1..=7).contains(&layout.predictor)
        && layout.point_transform + 1 < layout.precision;
    // A second frame or scan would make the decoder do everything again, once per marker in the bytes.
    let again = bytes[layout.data.min(bytes.len())..].windows(2).any(|pair| matches!(pair, [0xff, 0xc0..=0xcf | 0xda]));
    if !sound || again {
        return Err(Refusal::Unsupported(format!(
            "Its lossless JPEG frames are of a variant that is not read. {CONVERT}"
        )));
    }
    let mut decoder = jpeg_decoder::Decoder::new(bytes);
    decoder.set_color_transform(jpeg_decoder::ColorTransform::None);
    let decoded = decoder.decode().map_err(|e| damaged("lossless JPEG", &e))?;
    let count = usize::from(layout.height) * usize::from(layout.width) * usize::from(layout.components);
    if layout.precision == 8 && decoded.len() == count {
        return Ok(Samples::Bytes(decoded));
    }
    if decoded.len() != 2 * count {
        return Err(damaged("lossless JPEG", &"it holds another number of pixels than it says"));
    }
    Ok(Samples::Words(decoded.chunks_exact(2).map(|pair| u16::from_ne_bytes([pair[0], pair[1]])).collect()))
}

/// A baseline or extended stream of 12 bits, to its components as they are stored.
fn deep(bytes: &[u8], [height, width, samples]: [usize; 3]) -> Result<Samples, Refusal> {
    let raster =
        openreadout_codecs::jpeg_decode_tiff_limited(bytes, None, JpegColor::AsCoded, 2 * height * width * samples);
    of_raster(raster, "12-bit JPEG")
}

/// A grey JPEG-LS stream, lossless or near it.
fn near_lossless(bytes: &[u8], layout: &Layout) -> Result<Samples, Refusal> {
    if layout.components != 1 || layout.scan_components != 1 {
        return Err(Refusal::Unsupported(format!(
            "Its JPEG-LS frames are in colour, and only grey ones are read. {CONVERT}"
        )));
    }
    let limit = 2 * usize::from(layout.height) * usize::from(layout.width);
    of_raster(openreadout_codecs::jpegls_decode_limited(bytes, limit), "JPEG-LS")
}

fn of_raster(raster: openreadout_codecs::Result<Raster>, name: &str) -> Result<Samples, Refusal> {
    match raster {
        Ok(Raster { bits_per_sample: 8, data, .. }) => Ok(Samples::Bytes(data)),
        Ok(Raster { data, .. }) => {
            Ok(Samples::Words(data.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect()))
        }
        Err(e @ openreadout_codecs::CodecError::Unsupported { .. }) => {
            Err(Refusal::Unsupported(format!("Its {name} frames are of a variant that is not read ({e}). {CONVERT}")))
        }
        Err(e) => Err(damaged(name, &e)),
    }
}

fn damaged(name: &str, error: &dyn std::fmt::Display) -> Refusal {
    Refusal::Unreadable(format!("A {name} frame is damaged ({error}). Copy or export the file again."))
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::lossless;
    use super::*;
    use image::{ExtendedColorType, codecs::jpeg::JpegEncoder};

    fn jpeg(width: u32, height: u32, colour: ExtendedColorType, pixels: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, 95).encode(pixels, width, height, colour).unwrap();
        bytes
    }

    #[test]
    fn components_said_to_be_rgb_are_not_converted() {
        // 60, 128, 128 stands for a dark grey in YCbCr and for a blueish colour in RGB.
        let grey = jpeg(8, 8, ExtendedColorType::Rgb8, &[60; 192]);
        let layout = Layout::of(&grey).unwrap();
        let first = |rgb| match lossy(&grey, &layout, rgb).unwrap() {
            Samples::Bytes(bytes) => [bytes[0], bytes[1], bytes[2]],
            Samples::Words(_) => panic!("8-bit frames give bytes"),
        };
        assert!(first(false).iter().all(|v| v.abs_diff(60) <= 1), "{:?}", first(false));
        assert!(first(true)[0].abs_diff(60) <= 1 && first(true)[1].abs_diff(128) <= 1, "{:?}", first(true));
    }

    #[test]
    fn lossless_streams_come_back_bit_by_bit_and_odd_ones_are_refused() {
        let stream = lossless(2, 2, 8, &[255, 0, 7, 9]);
        let layout = Layout::of(&stream).unwrap();
        assert_eq!(super::lossless(&stream, &layout).unwrap(), Samples::Bytes(vec![255, 0, 7, 9]));
        for change in
            [Layout { predictor: 9, ..layout }, Layout { precision: 1, ..layout }, Layout { components: 4, ..layout }]
        {
            assert!(super::lossless(&stream, &change).is_err(), "{change:?}");
        }
        let twice = [&stream[..], &stream[stream.len() - 20..], &[0xff, 0xda]].concat();
        assert!(super::lossless(&twice, &layout).is_err());
    }
}
