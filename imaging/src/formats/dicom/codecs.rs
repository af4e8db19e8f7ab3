//! Frames of the JPEG family inside DICOM. The stream says which of them it is: files call a stream lossless that is not,
//! and the other way round.

use super::jpeg2000;
use super::samples::{CONVERT, Samples, Unpacked};
use crate::formats::Refusal;
use crate::formats::jpeg::{Colours, Layout};
use openreadout_codecs::{JpegColor, Raster};
use std::borrow::Cow;

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
    let wanted = if rgb { Colours::Rgb } else { Colours::Ybr };
    let unsound = layout.app14.is_some() && layout.adobe.is_none();
    let stream = if unsound || (layout.components == 3 && layout.decoded_as() != wanted) {
        // The decoder goes by an Adobe marker, so give it the right one in place of its own, which may be too short.
        let marker = [0xff, 0xee, 0, 14, b'A', b'd', b'o', b'b', b'e', 0, 100, 0, 0, 0, 0, u8::from(!rgb)];
        let adobe = layout.app14.map_or(2..2, |(from, to)| from..to);
        Cow::Owned([&bytes[..2], &marker, &bytes[2..adobe.start], &bytes[adobe.end..]].concat())
    } else {
        Cow::Borrowed(bytes)
    };
    let channels = usize::from(layout.components);
    let pixels = zune(&stream, channels).map_err(|e| damaged("JPEG", &e))?;
    let again = |longer: &[u8]| zune(longer, channels).ok();
    Layout::of(&stream).and_then(|layout| layout.check_filled(&stream, &pixels, again)).map_err(Refusal::Unreadable)?;
    Ok(Samples::Bytes(pixels))
}

/// Decode to grey or red, green, blue, with an error for damage that other decoders hide behind grey.
fn zune(stream: &[u8], channels: usize) -> Result<Vec<u8>, String> {
    use zune_jpeg::zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions};
    let out = if channels == 1 { ColorSpace::Luma } else { ColorSpace::RGB };
    let options =
        DecoderOptions::default().set_max_width(usize::MAX).set_max_height(usize::MAX).jpeg_set_out_colorspace(out);
    let decode = |strict| {
        let options = options.set_strict_mode(strict);
        zune_jpeg::JpegDecoder::new_with_options(ZCursor::new(stream), options).decode().map_err(|e| e.to_string())
    };
    match decode(true) {
        // Bytes between two segments of the header harm nothing.
        Err(reason) if reason.contains("between headers") => decode(false),
        other => other,
    }
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
    use super::super::fixtures::{Value, file, hex, image, lossless};
    use super::*;
    use crate::formats::open;
    use dicom_dictionary_std::tags;
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

    const BASELINE: &str = "1.2.840.10008.1.2.4.50";

    /// A colour picture of 8 x 8 with the given segments behind the start, without JFIF's own, and names of components.
    fn named(pixel: [u8; 3], segments: &[u8], names: [u8; 3]) -> Vec<u8> {
        let mut bytes = jpeg(8, 8, ExtendedColorType::Rgb8, &pixel.repeat(64));
        let jfif = 4 + usize::from(bytes[5]);
        bytes.splice(2..jfif, segments.iter().copied());
        let frame = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        let scan = bytes.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap();
        for (index, name) in names.into_iter().enumerate() {
            bytes[frame + 10 + 3 * index] = name;
            bytes[scan + 5 + 2 * index] = name;
        }
        bytes
    }

    #[test]
    fn the_streams_own_word_on_colours_wins_over_the_headers() {
        const JFIF: &[u8] = b"\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0";
        const PLAIN: &[u8] = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0";
        const TURNED: &[u8] = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\x01";
        // 200, 40, 40 is stored as Y 88, Cb 101, Cr 208; the same three taken for red, green and blue.
        let (red, stored) = ([200, 40, 40], [88, 101, 208]);
        type Case<'a> = (&'a [u8], [u8; 3], &'static str, [i32; 3], bool);
        // A marker that ends before its word says nothing.
        const SHORT: &[u8] = b"\xff\xee\0\x0cAdobe\0\0\0\0\0";
        let cases: [Case<'_>; 12] = [
            (SHORT, [1, 2, 3], "RGB", stored, false),
            (SHORT, [1, 2, 3], "YBR_FULL", red, false),
            (JFIF, [1, 2, 3], "RGB", red, true),
            (JFIF, [1, 2, 3], "YBR_FULL_422", red, false),
            (TURNED, [1, 2, 3], "RGB", red, true),
            (PLAIN, [1, 2, 3], "RGB", stored, false),
            (PLAIN, [1, 2, 3], "YBR_FULL", stored, true),
            (&[JFIF, PLAIN].concat(), [1, 2, 3], "RGB", red, true),
            (&[], *b"RGB", "YBR_FULL", stored, true),
            (&[], *b"RGB", "RGB", stored, false),
            // Without a word of its own the header's counts.
            (&[], [1, 2, 3], "RGB", stored, false),
            (&[], [0, 1, 2], "YBR_FULL_422", red, false),
        ];
        for (number, (segments, names, header, wanted, noted)) in cases.into_iter().enumerate() {
            let pieces = Value::Pieces(vec![vec![], named([200, 40, 40], segments, names)]);
            let clip = open("a.dcm", file(BASELINE, &image(header, [8, 8, 3, 8], pieces), &[])).unwrap();
            let pixel: Vec<i32> = clip.frame(0).unwrap().to_bytes()[..3].iter().map(|&v| v.into()).collect();
            assert!(pixel.iter().zip(wanted).all(|(a, b)| (a - b).abs() <= 3), "case {number}: {pixel:?}");
            assert_eq!(clip.notes().iter().any(|note| note.contains("colours")), noted, "case {number}");
        }
    }

    #[test]
    fn a_cut_frame_inside_a_clip_is_an_error_and_the_others_are_read() {
        let noise: Vec<u8> = (0..64 * 64_u32).map(|v| (v.wrapping_mul(v * 7919) >> 7) as u8).collect();
        let whole = jpeg(64, 64, ExtendedColorType::L8, &noise);
        // Cut in the middle, before its end marker, and in the middle with an end marker all the same.
        let half = &whole[..whole.len() / 2];
        for cut in [half.to_vec(), whole[..whole.len() - 2].to_vec(), [half, &[0xff, 0xd9]].concat()] {
            let pieces = vec![vec![], whole.clone(), cut, whole.clone()];
            let elements = image("MONOCHROME2", [64, 64, 1, 8], Value::Pieces(pieces));
            let more = [(tags::NUMBER_OF_FRAMES, Value::Text("3"))];
            let clip = open("a.dcm", file(BASELINE, &elements, &more)).unwrap();
            assert_eq!((clip.len(), clip.frame(0).is_ok(), clip.frame(2).is_ok()), (3, true, true));
            let message = clip.frame(1).unwrap_err().to_string();
            assert!(message.contains("a.dcm") && message.contains("cut short"), "{message}");
        }
    }

    /// A flat 12-bit picture of 8 x 8: one difference of the mean, and no other coefficient.
    fn flat(level: u16) -> Vec<u8> {
        let mut bytes = vec![0xff, 0xd8, 0xff, 0xdb, 0, 67, 0];
        bytes.extend([1; 64]);
        bytes.extend([0xff, 0xc1, 0, 11, 12, 0, 8, 0, 8, 1, 1, 0x11, 0]);
        // One code of one bit each: a difference of 14 bits, and the end of the block.
        bytes.extend([0xff, 0xc4, 0, 20, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 14]);
        bytes.extend([0xff, 0xc4, 0, 20, 0x10, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend([0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0]);
        // The mean is eight times the level above the middle, at least 8192 here so that it takes fourteen bits.
        let mean = 8 * (u32::from(level) - 2048);
        let bits = mean << 17;
        bytes.extend([(bits >> 24) as u8, (bits >> 16) as u8, 0xff, 0xd9]);
        bytes
    }

    #[test]
    fn twelve_bits_are_read_by_their_number() {
        let elements = image("MONOCHROME2", [8, 8, 1, 16], Value::Pieces(vec![vec![], flat(3072)]));
        let more = [
            (tags::BITS_STORED, Value::Short(vec![12])),
            (tags::WINDOW_CENTER, Value::Text("2048")),
            (tags::WINDOW_WIDTH, Value::Text("4096")),
        ];
        let frame = open("a.dcm", file("1.2.840.10008.1.2.4.51", &elements, &more)).unwrap().frame(0).unwrap();
        assert!(frame.pixels.iter().all(|&v| (v * 4095.0 - 3072.0).abs() < 0.01), "{:?}", frame.pixels);
    }

    #[test]
    fn jpeg_ls_comes_back_bit_by_bit_and_colours_of_it_are_refused() {
        // 16 x 16 pixels that count from 0, and the same times 16 in 12 bits, made with CharLS.
        const BYTES: &str = "ffd8fff7000b080010001001011100ffda0008010100000000adb6fdbffe0134afff0027ff78f7ff79cfff735fff6c7fff2dff7ea7ff7a5fff687fff7bff7f9fff7cff7fd7ff7ebfff40ffd9";
        const DEEP: &str = "ffd8fff7000b0c0010001001011100ffda0008010100000000afdfbf77bbf77be77d73c6fb402060bde75c6da6585d6735ac0010318c62d6b5ad6a5294bcff294ccccccaaaaaaf1fcaaaaaaaaaaaaaae9faaaaaaaaaaaaad387e24924924924d9f69249249249347d24aaaaaac9f2aaaaaaac1f0aaaffb9eefff763d9fff78f57fff53d1ff7f4f37ff7c00ffd9";
        let of = |stream: &[u8]| decode(stream, [16, 16, 1], false).map(|frame| frame.samples);
        assert_eq!(of(&hex(BYTES)).unwrap(), Samples::Bytes((0..=255).collect()));
        assert_eq!(of(&hex(DEEP)).unwrap(), Samples::Words((0..256).map(|v| v * 16).collect()));
        for end in 0..hex(BYTES).len() - 2 {
            assert!(of(&hex(BYTES)[..end]).is_err(), "cut at {end}");
        }
        let mut colour = hex(BYTES);
        colour.splice(
            5..19,
            [17, 8, 0, 16, 0, 16, 3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0, 0xff, 0xda, 0, 12, 3, 1, 0, 2, 0, 3, 0],
        );
        let message = match decode(&colour, [16, 16, 3], true).unwrap_err() {
            Refusal::Unsupported(message) | Refusal::Unreadable(message) => message,
        };
        assert!(message.contains("JPEG-LS") && message.contains("dcmdjpls"), "{message}");
    }
}
