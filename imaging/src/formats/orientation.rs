//! How a picture lies: the orientation tag of EXIF and TIFF, 1 to 8, and turning pixels as it says.

use crate::geometry::Image;
use image::metadata::Orientation;

/// What is told about a picture that is turned.
pub(super) const NOTE: &str =
    "Its orientation tag says that it is stored turned or mirrored: it is read as viewers show it.";

/// The orientation of a picture whose pixels lie as people see them.
pub(super) const UPRIGHT: u8 = 1;

/// The orientation that the chunk `eXIf` of a PNG tells, wherever it stands.
pub(super) fn of_png(bytes: &[u8]) -> u8 {
    let mut rest = bytes.get(8..).unwrap_or_default();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        let (Some(kind), Some(data)) = (after.get(..4), after.get(4..4_usize.saturating_add(length))) else { break };
        if kind == b"eXIf" {
            return Orientation::from_exif_chunk(data).map_or(UPRIGHT, Orientation::to_exif);
        }
        // Four bytes of check sum come after the data.
        rest = after.get(length + 8..).unwrap_or_default();
    }
    UPRIGHT
}

/// Height and width after turning.
pub(super) fn size([height, width]: [usize; 2], orientation: u8) -> [usize; 2] {
    if orientation >= 5 { [width, height] } else { [height, width] }
}

/// A plane `[height, width]` as people see it.
pub(super) fn turn<T: Copy>(plane: &[T], stored: [usize; 2], orientation: u8) -> Vec<T> {
    let [height, width] = stored;
    let [rows, columns] = size(stored, orientation);
    let from = |y: usize, x: usize| match orientation {
        2 => [y, width - 1 - x],
        3 => [height - 1 - y, width - 1 - x],
        4 => [height - 1 - y, x],
        5 => [x, y],
        6 => [height - 1 - x, y],
        7 => [height - 1 - x, width - 1 - y],
        8 => [x, width - 1 - y],
        _ => [y, x],
    };
    let places = (0..rows).flat_map(|y| (0..columns).map(move |x| (y, x)));
    places
        .map(|(y, x)| {
            let [row, column] = from(y, x);
            plane[row * width + column]
        })
        .collect()
}

/// A picture as people see it.
pub(super) fn turn_image(image: Image, orientation: u8) -> Image {
    if !(2..=8).contains(&orientation) {
        return image;
    }
    let stored = [image.height, image.width];
    let [height, width] = size(stored, orientation);
    let planes = image.pixels.chunks_exact((image.height * image.width).max(1));
    let pixels = planes.flat_map(|plane| turn(plane, stored, orientation)).collect();
    Image { height, width, pixels, ..image }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What people see of the rows 1 2 3 and 4 5 6, by orientation from 1 on: size and pixels as the TIFF specification
    /// names the visual sides of row 0 and column 0.
    pub(crate) const SEEN: [([usize; 2], [u8; 6]); 8] = [
        ([2, 3], [1, 2, 3, 4, 5, 6]),
        ([2, 3], [3, 2, 1, 6, 5, 4]),
        ([2, 3], [6, 5, 4, 3, 2, 1]),
        ([2, 3], [4, 5, 6, 1, 2, 3]),
        ([3, 2], [1, 4, 2, 5, 3, 6]),
        ([3, 2], [4, 1, 5, 2, 6, 3]),
        ([3, 2], [6, 3, 5, 2, 4, 1]),
        ([3, 2], [3, 6, 2, 5, 1, 4]),
    ];

    /// The data of an EXIF segment with one tag.
    pub(crate) fn exif(tag: u8) -> Vec<u8> {
        let head = *b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0";
        [&head[..], &[tag, 0, 0, 0, 0, 0, 0]].concat()
    }

    /// A PNG with an orientation, before its pixels or after them.
    pub(crate) fn tagged(png: &[u8], tag: u8, last: bool) -> Vec<u8> {
        let data = [b"eXIf".to_vec(), exif(tag)].concat();
        let length = (data.len() as u32 - 4).to_be_bytes();
        let chunk = [&length[..], &data, &crc32fast::hash(&data).to_be_bytes()].concat();
        // The header ends after 33 bytes, and the end mark has 12.
        let at = if last { png.len() - 12 } else { 33 };
        [&png[..at], &chunk, &png[at..]].concat()
    }

    #[test]
    fn all_eight_orientations_turn_pixels_as_viewers_do() {
        for (number, (seen_size, seen)) in (1..).zip(SEEN) {
            assert_eq!(size([2, 3], number), seen_size);
            assert_eq!(turn(&[1_u8, 2, 3, 4, 5, 6], [2, 3], number), seen, "orientation {number}");
        }
        let colour = Image {
            channels: 3,
            height: 1,
            width: 2,
            pixels: vec![0.1, 0.2, 0.3, 0.4, 0.5, 0.6],
            scale: crate::geometry::Scale::Unknown,
        };
        let turned = turn_image(colour, 6);
        assert_eq!((turned.height, turned.width), (2, 1));
        assert_eq!(turn_image(turned, 3).pixels, [0.2, 0.1, 0.4, 0.3, 0.6, 0.5]);
    }
}
