//! The headers of a JPEG stream, read before a decoder sees it, and the decoders for JPEG inside DICOM.

use super::decode::decode;
use super::{Refusal, check_size};
use image::{DynamicImage, ImageFormat};
use std::io::Cursor;

/// What the headers of a JPEG say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Layout {
    /// The last digit of the frame marker: 0 baseline, 1 extended, 2 progressive, 3 lossless.
    pub process: u8,
    /// Bits a sample.
    pub precision: u8,
    pub height: u16,
    pub width: u16,
    pub components: u8,
    /// True when no component is subsampled.
    pub full_resolution: bool,
    /// True when an Adobe marker tells which colours the components are.
    pub adobe: bool,
    /// Components in the first scan, its predictor (lossless) and its point transform.
    pub scan_components: u8,
    pub predictor: u8,
    pub point_transform: u8,
    /// Where the compressed data begin.
    pub data: usize,
}

impl Layout {
    /// Read the segments up to the first scan. The error is a sentence.
    pub(super) fn of(bytes: &[u8]) -> Result<Self, String> {
        let cut = || "The JPEG stream ends inside its headers; it is cut short. Copy or export it again.".to_owned();
        if !bytes.starts_with(&[0xff, 0xd8]) {
            return Err("The JPEG stream does not begin with its start marker. Copy or export it again.".to_owned());
        }
        let (mut at, mut adobe, mut frame) = (2, false, None);
        loop {
            let marker = loop {
                // Any number of fill bytes may stand before a marker.
                match bytes.get(at..at + 2).ok_or_else(cut)? {
                    [0xff, 0xff] => at += 1,
                    [0xff, marker] => break *marker,
                    _ => at += 1,
                }
            };
            at += 2;
            if matches!(marker, 0x00 | 0x01 | 0xd0..=0xd8) {
                continue;
            }
            let length = bytes.get(at..at + 2).ok_or_else(cut)?;
            let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
            let segment = bytes.get(at + 2..at + length.max(2)).ok_or_else(cut)?;
            match marker {
                0xee => adobe |= segment.starts_with(b"Adobe"),
                0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) && frame.is_none() => {
                    let [precision, h1, h0, w1, w0, components, rest @ ..] = segment else { return Err(cut()) };
                    let sampling = rest.chunks_exact(3).take((*components).into()).map(|c| c[1]);
                    frame = Some(Self {
                        process: marker - 0xc0,
                        precision: *precision,
                        height: u16::from_be_bytes([*h1, *h0]),
                        width: u16::from_be_bytes([*w1, *w0]),
                        components: *components,
                        full_resolution: sampling.clone().count() == usize::from(*components)
                            && sampling.clone().all(|s| s == 0x11),
                        adobe: false,
                        scan_components: 0,
                        predictor: 0,
                        point_transform: 0,
                        data: 0,
                    });
                }
                0xda => {
                    let (Some(layout), [count, rest @ ..]) = (frame, segment) else { return Err(cut()) };
                    let [.., predictor, _, approximation] = rest else { return Err(cut()) };
                    return Ok(Self {
                        adobe,
                        scan_components: *count,
                        predictor: *predictor,
                        point_transform: approximation & 15,
                        data: at + length,
                        ..layout
                    });
                }
                0xd9 => return Err(cut()),
                _ => {}
            }
            at += length.max(2);
        }
    }

    /// Refuse a stream whose end marker is missing: decoders fill the rest with grey instead of telling. The scan has
    /// to hold at least one bit for 512 pixels, too.
    pub(super) fn check_complete(&self, bytes: &[u8]) -> Result<(), String> {
        check_size(self.height.into(), self.width.into()).map_err(|refusal| match refusal {
            Refusal::Unreadable(reason) | Refusal::Unsupported(reason) => reason,
        })?;
        let data = bytes.get(self.data..).unwrap_or_default();
        let pixels = usize::from(self.height) * usize::from(self.width);
        if pixels / 4096 > data.len() || !data.windows(2).any(|pair| pair == [0xff, 0xd9]) {
            return Err("The JPEG stream ends before its end marker; it is cut short. Copy or export it again.".into());
        }
        Ok(())
    }
}

/// The decoded samples of a frame, interleaved by component.
#[derive(Debug, PartialEq)]
pub(super) enum Samples {
    Bytes(Vec<u8>),
    Words(Vec<u16>),
}

/// Decode a baseline, extended or progressive stream of 8 bits to grey or red, green, blue. `stored_as_rgb` is true
/// when the file says that the components are red, green and blue already.
pub(super) fn decode_lossy(bytes: &[u8], layout: &Layout, stored_as_rgb: bool) -> Result<(Samples, usize), Refusal> {
    if layout.precision != 8 || layout.process > 2 {
        return Err(Refusal::Unsupported(format!(
            "Its JPEG frames have {} bits a sample (process {}), and only 8-bit sequential JPEG is read. \
             Convert it: `dcmdjpeg IN OUT` or `gdcmconv --raw IN OUT`.",
            layout.precision, layout.process
        )));
    }
    let decoded = if stored_as_rgb && layout.components == 3 && !layout.adobe {
        // Without an Adobe marker every decoder takes three components for YCbCr, so put the marker in.
        let marker = [0xff, 0xee, 0, 14, b'A', b'd', b'o', b'b', b'e', 0, 100, 0, 0, 0, 0, 0];
        decode(ImageFormat::Jpeg, Cursor::new([&bytes[..2], &marker, &bytes[2..]].concat()))?
    } else {
        decode(ImageFormat::Jpeg, Cursor::new(bytes))?
    };
    match decoded {
        DynamicImage::ImageLuma8(grey) => Ok((Samples::Bytes(grey.into_raw()), 1)),
        other => Ok((Samples::Bytes(other.into_rgb8().into_raw()), 3)),
    }
}

/// Decode a lossless stream (process 14), 2 to 16 bits, to its components as they are stored.
pub(super) fn decode_lossless(bytes: &[u8], layout: &Layout) -> Result<(Samples, usize), Refusal> {
    let sound = layout.process == 3
        && (2..=16).contains(&layout.precision)
        && matches!(layout.components, 1 | 3)
        && layout.full_resolution
        && layout.scan_components == layout.components
        && (1..=7).contains(&layout.predictor)
        && layout.point_transform + 1 < layout.precision;
    // A second frame or scan would make the decoder do everything again, once per marker in the bytes.
    let again = bytes[layout.data.min(bytes.len())..].windows(2).any(|pair| matches!(pair, [0xff, 0xc0..=0xcf | 0xda]));
    if !sound || again {
        return Err(Refusal::unsupported(
            "Its lossless JPEG frames are of a variant that is not read. \
             Convert it: `dcmdjpeg IN OUT` or `gdcmconv --raw IN OUT`.",
        ));
    }
    let damaged = |e: &dyn std::fmt::Display| {
        Refusal::Unreadable(format!("A lossless JPEG frame is damaged ({e}). Copy or export the file again."))
    };
    let decoded = jpeg_decoder::Decoder::new(bytes).decode().map_err(|e| damaged(&e))?;
    let count = usize::from(layout.height) * usize::from(layout.width) * usize::from(layout.components);
    let samples = if layout.precision == 8 {
        Samples::Bytes(decoded)
    } else {
        Samples::Words(decoded.chunks_exact(2).map(|pair| u16::from_ne_bytes([pair[0], pair[1]])).collect())
    };
    let held = match &samples {
        Samples::Bytes(b) => b.len(),
        Samples::Words(w) => w.len(),
    };
    if held != count {
        return Err(damaged(&"it holds another number of pixels than it says"));
    }
    Ok((samples, layout.components.into()))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use image::{ExtendedColorType, codecs::jpeg::JpegEncoder};

    fn jpeg(width: u32, height: u32, colour: ExtendedColorType, pixels: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, 95).encode(pixels, width, height, colour).unwrap();
        bytes
    }

    #[test]
    fn headers_tell_the_layout_and_a_cut_stream_is_noticed() {
        let bytes = jpeg(5, 3, ExtendedColorType::Rgb8, &[90; 45]);
        let layout = Layout::of(&bytes).unwrap();
        assert_eq!((layout.process, layout.height, layout.width, layout.components), (0, 3, 5, 3));
        assert!(layout.check_complete(&bytes).is_ok());
        assert!(layout.check_complete(&bytes[..bytes.len() - 3]).is_err());
        for end in 0..layout.data - 1 {
            assert!(Layout::of(&bytes[..end]).is_err(), "{end} bytes");
        }
    }

    #[test]
    fn components_said_to_be_rgb_are_not_converted() {
        // 60, 128, 128 stands for a dark grey in YCbCr and for a blueish colour in RGB.
        let grey = jpeg(8, 8, ExtendedColorType::Rgb8, &[60; 192]);
        let layout = Layout::of(&grey).unwrap();
        let first = |rgb| match decode_lossy(&grey, &layout, rgb).unwrap().0 {
            Samples::Bytes(bytes) => [bytes[0], bytes[1], bytes[2]],
            Samples::Words(_) => panic!("8-bit frames give bytes"),
        };
        assert!(first(false).iter().all(|v| v.abs_diff(60) <= 1), "{:?}", first(false));
        assert!(first(true)[0].abs_diff(60) <= 1 && first(true)[1].abs_diff(128) <= 1, "{:?}", first(true));
    }

    /// A grey lossless JPEG stream (process 14, the left pixel predicts) of 2 to 16 bits.
    pub(crate) fn lossless(width: u16, height: u16, precision: u8, pixels: &[u16]) -> Vec<u8> {
        let mut bytes = vec![0xff, 0xd8, 0xff, 0xc3, 0, 11, precision];
        bytes.extend([height.to_be_bytes(), width.to_be_bytes()].concat());
        bytes.extend([1, 1, 0x11, 0]);
        // Seventeen codes of five bits, for differences of 0 to 16 bits.
        bytes.extend([0xff, 0xc4, 0, 36, 0, 0, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend(0..17);
        bytes.extend([0xff, 0xda, 0, 8, 1, 1, 0, 1, 0, 0]);
        let (mut bits, width) = (Vec::new(), usize::from(width));
        for (index, &pixel) in pixels.iter().enumerate() {
            let predicted = match index {
                0 => 1 << (precision - 1),
                _ if index % width == 0 => i32::from(pixels[index - width]),
                _ => i32::from(pixels[index - 1]),
            };
            let difference = i32::from(pixel) - predicted;
            let size = 32 - difference.unsigned_abs().leading_zeros();
            let extra = if difference < 0 { difference - 1 } else { difference };
            bits.extend((0..5).rev().map(|b| size >> b & 1 == 1));
            bits.extend((0..size).rev().map(|b| extra >> b & 1 == 1));
        }
        bits.resize(bits.len().next_multiple_of(8), true);
        for byte in bits.chunks(8) {
            let byte = byte.iter().fold(0, |byte, &bit| byte << 1 | u8::from(bit));
            bytes.push(byte);
            if byte == 0xff {
                bytes.push(0);
            }
        }
        bytes.extend([0xff, 0xd9]);
        bytes
    }

    #[test]
    fn lossless_streams_come_back_bit_by_bit_and_odd_ones_are_refused() {
        let stream = lossless(2, 2, 8, &[255, 0, 7, 9]);
        let layout = Layout::of(&stream).unwrap();
        assert_eq!(decode_lossless(&stream, &layout).unwrap(), (Samples::Bytes(vec![255, 0, 7, 9]), 1));
        for change in
            [Layout { predictor: 9, ..layout }, Layout { precision: 1, ..layout }, Layout { components: 4, ..layout }]
        {
            assert!(decode_lossless(&stream, &change).is_err(), "{change:?}");
        }
        let twice = [&stream[..], &stream[stream.len() - 20..], &[0xff, 0xda]].concat();
        assert!(decode_lossless(&twice, &layout).is_err());
    }
}
