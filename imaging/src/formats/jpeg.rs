//! The headers of a JPEG stream, read before a decoder sees it.

use super::{Refusal, check_size};

/// What the three components of a stream are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Colours {
    Rgb,
    Ybr,
}

/// What the headers of a JPEG say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Layout {
    /// The last digit of the frame marker: 0 baseline, 1 extended, 2 progressive, 3 lossless; and [`Self::JPEG_LS`].
    pub process: u8,
    /// Bits a sample.
    pub precision: u8,
    pub height: u16,
    pub width: u16,
    pub components: u8,
    /// True when no component is subsampled.
    pub full_resolution: bool,
    /// True when the stream calls itself JFIF, whose three components are luminance and colour differences.
    pub jfif: bool,
    /// An Adobe marker's word on colours: 0 none done, 1 to differences.
    pub adobe: Option<u8>,
    /// Where a segment for Adobe's marker begins and ends, whether sound or not.
    pub app14: Option<(usize, usize)>,
    /// Names of the first three components.
    pub names: [u8; 3],
    /// Components in the first scan, its predictor (lossless) and its point transform.
    pub scan_components: u8,
    pub predictor: u8,
    pub point_transform: u8,
    /// Where the compressed data begin.
    pub data: usize,
}

impl Layout {
    /// The process of JPEG-LS.
    pub(super) const JPEG_LS: u8 = 0xf7 - 0xc0;

    /// Read the segments up to the first scan. The error is a sentence.
    pub(super) fn of(bytes: &[u8]) -> Result<Self, String> {
        let cut = || "The JPEG stream ends inside its headers; it is cut short. Copy or export it again.".to_owned();
        if !bytes.starts_with(&[0xff, 0xd8]) {
            return Err("The JPEG stream does not begin with its start marker. Copy or export it again.".to_owned());
        }
        let (mut at, mut jfif, mut adobe, mut app14, mut frame) = (2, false, None, None, None);
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
                0xe0 => jfif |= segment.starts_with(b"JFIF\0"),
                0xee => {
                    app14 = Some((at - 2, at + length.max(2)));
                    let transform = segment.get(11).filter(|_| segment.starts_with(b"Adobe"));
                    adobe = transform.copied().or(adobe);
                }
                0xc0..=0xcf | 0xf7 if !matches!(marker, 0xc4 | 0xc8 | 0xcc) && frame.is_none() => {
                    let [precision, h1, h0, w1, w0, components, rest @ ..] = segment else { return Err(cut()) };
                    let sampling = rest.chunks_exact(3).take((*components).into()).map(|c| c[1]);
                    let mut names = [0; 3];
                    names.iter_mut().zip(rest.chunks_exact(3)).for_each(|(name, component)| *name = component[0]);
                    frame = Some(Self {
                        process: marker - 0xc0,
                        precision: *precision,
                        height: u16::from_be_bytes([*h1, *h0]),
                        width: u16::from_be_bytes([*w1, *w0]),
                        components: *components,
                        full_resolution: sampling.clone().count() == usize::from(*components)
                            && sampling.clone().all(|s| s == 0x11),
                        jfif: false,
                        adobe: None,
                        app14: None,
                        names,
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
                        jfif,
                        adobe,
                        app14,
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

    /// What the components of a stream of three are by its own word; none when it does not say. A JFIF stream has
    /// differences by its standard, then an Adobe marker counts, as for libjpeg.
    pub(super) fn colours(&self) -> Option<Colours> {
        match (self.names == *b"RGB", self.jfif, self.adobe) {
            (true, ..) => Some(Colours::Rgb),
            (_, true, _) => Some(Colours::Ybr),
            (_, _, Some(transform)) => Some(if transform == 0 { Colours::Rgb } else { Colours::Ybr }),
            _ => None,
        }
    }

    /// What the `image` crate takes three components for.
    pub(super) fn decoded_as(&self) -> Colours {
        let rgb = self.names == *b"RGB" || self.adobe == Some(0);
        if rgb { Colours::Rgb } else { Colours::Ybr }
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

    /// Refuse a baseline stream that ends before its picture does although it has an end marker: decoders fill up what is
    /// missing. If other bits before the marker change the picture, they were read in place of missing ones.
    pub(super) fn check_filled<P: PartialEq>(
        &self,
        bytes: &[u8],
        picture: &P,
        decode: impl Fn(&[u8]) -> Option<P>,
    ) -> Result<(), String> {
        if self.process > 1 {
            return Ok(());
        }
        let marker = |pair: &[u8]| pair == [0xff, 0xd9];
        // In one scan no other bytes look like the marker; something else may follow it.
        let end = match self.scan_components == self.components {
            true => {
                let data = bytes.get(self.data..).unwrap_or_default();
                data.windows(2).position(marker).map(|at| self.data + at)
            }
            false => bytes.windows(2).rposition(marker),
        };
        let end = end.unwrap_or(bytes.len());
        let longer = [&bytes[..end], &[0x55; 64], &[0xaa; 64], &bytes[end..]].concat();
        if decode(&longer).as_ref() == Some(picture) {
            return Ok(());
        }
        Err("The JPEG stream ends before its picture does; it is cut short. Copy or export it again.".into())
    }
}

#[cfg(test)]
mod tests {
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
}
