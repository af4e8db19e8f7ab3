//! RLE Lossless, the run lengths of DICOM.

use crate::formats::jpeg::Samples;

/// RLE Lossless (PS3.5 annex G): a header of offsets, then one PackBits run of bytes for each byte of a sample, the
/// high bytes first. `plane` is the number of pixels; the samples come interleaved. The error is what is wrong, in words.
pub(super) fn decode(bytes: &[u8], plane: usize, samples: usize, sample_bytes: usize) -> Result<Samples, &'static str> {
    let word = |index: usize| -> Option<usize> {
        let four = bytes.get(4 * index..4 * index + 4)?;
        Some(u32::from_le_bytes([four[0], four[1], four[2], four[3]]) as usize)
    };
    let wanted = samples * sample_bytes;
    if word(0) != Some(wanted) || bytes.len() < 64 {
        return Err("An RLE frame has another number of segments than its pixels need");
    }
    let mut segments = Vec::with_capacity(wanted);
    for index in 0..wanted {
        let start = word(1 + index).unwrap_or(0);
        let end = if index + 1 < wanted { word(2 + index).unwrap_or(0) } else { bytes.len() };
        let packed = bytes.get(start..end).ok_or("An RLE segment lies outside its frame")?;
        segments.push(unpack_bits(packed, plane).ok_or("An RLE segment is cut short")?);
    }
    let order = (0..plane).flat_map(|pixel| (0..samples).map(move |sample| (pixel, sample)));
    Ok(if sample_bytes == 1 {
        Samples::Bytes(order.map(|(pixel, sample)| segments[sample][pixel]).collect())
    } else {
        let word = |(pixel, sample): (usize, usize)| {
            u16::from_be_bytes([segments[2 * sample][pixel], segments[2 * sample + 1][pixel]])
        };
        Samples::Words(order.map(word).collect())
    })
}

/// Exactly `count` bytes from a PackBits run, or none when it holds fewer.
fn unpack_bits(packed: &[u8], count: usize) -> Option<Vec<u8>> {
    // Two bytes unpack to 128 at most.
    if count / 64 > packed.len() {
        return None;
    }
    let mut bytes = Vec::with_capacity(count + 128);
    let mut at = 0;
    while bytes.len() < count {
        let control = *packed.get(at)?;
        let length = usize::from(control);
        at += 1;
        match control {
            0..=127 => {
                bytes.extend_from_slice(packed.get(at..at + length + 1)?);
                at += length + 1;
            }
            128 => {}
            129.. => {
                bytes.resize(bytes.len() + 257 - length, *packed.get(at)?);
                at += 1;
            }
        }
    }
    bytes.truncate(count);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{RLE, Value, file, image};
    use crate::formats::open;
    use dicom_dictionary_std::tags;

    #[test]
    fn run_lengths_of_bytes_and_words_over_frames() {
        let segment = |header: &[u32], data: &[u8]| {
            let mut bytes: Vec<u8> = header.iter().flat_map(|v| v.to_le_bytes()).collect();
            bytes.resize(64, 0);
            bytes.extend(data);
            bytes
        };
        // Bytes 7 7 7 1 2, with the do-nothing control in between; then the same picture as words 7 7 7 1 2.
        let bytes = segment(&[1, 64], &[254, 7, 128, 1, 1, 2]);
        let grey = image("MONOCHROME2", [1, 5, 1, 8], Value::Pieces(vec![vec![], bytes.clone(), bytes]));
        let two = (tags::NUMBER_OF_FRAMES, Value::Text("2"));
        let clip = open("a.dcm", file(RLE, &grey, std::slice::from_ref(&two))).unwrap();
        assert_eq!((clip.len(), clip.frame(1).unwrap().to_bytes()), (2, vec![7, 7, 7, 1, 2]));
        let words = segment(&[2, 64, 66], &[252, 0x40, 254, 7, 1, 1, 2, 0]);
        let deep = image("MONOCHROME2", [1, 5, 1, 16], Value::Pieces(vec![vec![], words]));
        let expected = f32::from(0x4007_u16) / 65535.0;
        assert!((open("a.dcm", file(RLE, &deep, &[])).unwrap().frame(0).unwrap().pixels[0] - expected).abs() < 1e-6);
        for broken in
            [segment(&[1, 64], &[254, 7]), segment(&[1, 99], &[254, 7]), segment(&[2, 64], &[252, 7]), vec![1]]
        {
            let grey = image("MONOCHROME2", [1, 5, 1, 8], Value::Pieces(vec![vec![], broken]));
            assert!(open("a.dcm", file(RLE, &grey, &[])).unwrap().frame(0).is_err());
        }
    }
}
