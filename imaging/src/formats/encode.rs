//! Pictures to write: PNG, always lossless.

use crate::DataError;
use crate::geometry::Mask;

/// Colours of the classes of a mask: background black, the first class white, then colours that stay apart for
/// people who see no red or green (Okabe and Ito).
const CLASS_COLOURS: [[u8; 3]; 9] = [
    [0, 0, 0],
    [255, 255, 255],
    [230, 159, 0],
    [86, 180, 233],
    [0, 158, 115],
    [240, 228, 66],
    [0, 114, 178],
    [213, 94, 0],
    [204, 121, 167],
];

/// The colour of a class over a grey picture, where several are told apart: that of a mask, but that the first class, which is
/// white there, is bright pink. After the eighth they come again.
pub fn colour_over_grey(class: u8) -> [u8; 3] {
    match class {
        0 | 1 => [255, 102, 196],
        class => CLASS_COLOURS[2..][usize::from(class - 2) % (CLASS_COLOURS.len() - 2)],
    }
}

/// The colour of pixels that nobody judged.
const IGNORED: [u8; 3] = [128; 3];

/// A grey PNG of bytes `[height, width]`.
pub fn encode_png_grey(height: usize, width: usize, pixels: &[u8]) -> Result<Vec<u8>, DataError> {
    encode(height, width, pixels, png::ColorType::Grayscale, None)
}

/// A colour PNG of bytes `[height, width, 3]`.
pub fn encode_png_rgb(height: usize, width: usize, pixels: &[u8]) -> Result<Vec<u8>, DataError> {
    encode(height, width, pixels, png::ColorType::Rgb, None)
}

/// A mask as an indexed PNG of its first slice: the stored value of a pixel is its class, and viewers show the
/// classes in colours of their own (class 1 is white, ignored pixels are grey).
pub fn encode_png_mask(mask: &Mask) -> Result<Vec<u8>, DataError> {
    let slice = mask.classes.get(..mask.height * mask.width).unwrap_or(&mask.classes);
    let used = slice.iter().max().map_or(1, |&class| usize::from(class)).max(1) + 1;
    let palette = CLASS_COLOURS.iter().chain(CLASS_COLOURS[2..].iter().cycle()).take(used);
    let mut palette: Vec<[u8; 3]> = palette.copied().collect();
    if let Some(ignored) = palette.get_mut(usize::from(Mask::IGNORE)) {
        *ignored = IGNORED;
    }
    encode(mask.height, mask.width, slice, png::ColorType::Indexed, Some(palette.concat()))
}

fn encode(
    height: usize,
    width: usize,
    pixels: &[u8],
    colour: png::ColorType,
    palette: Option<Vec<u8>>,
) -> Result<Vec<u8>, DataError> {
    let failed = |e: &dyn std::fmt::Display| {
        DataError::Inconsistent(format!("A PNG of {width} x {height} pixels cannot be written: {e}."))
    };
    let (rows, columns) = (u32::try_from(height), u32::try_from(width));
    let (Ok(rows), Ok(columns)) = (rows, columns) else { return Err(failed(&"it is too large")) };
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, columns, rows);
    encoder.set_color(colour);
    encoder.set_depth(png::BitDepth::Eight);
    if let Some(palette) = palette {
        encoder.set_palette(palette);
    }
    let mut writer = encoder.write_header().map_err(|e| failed(&e))?;
    writer.write_image_data(pixels).map_err(|e| failed(&e))?;
    writer.finish().map_err(|e| failed(&e))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::open;

    #[test]
    fn pictures_come_back_as_they_went_out() {
        let grey = open("g.png", encode_png_grey(2, 3, &[0, 1, 2, 3, 4, 255]).unwrap()).unwrap();
        assert_eq!(grey.frame(0).unwrap().to_bytes(), [0, 1, 2, 3, 4, 255]);
        let colour = open("c.png", encode_png_rgb(1, 2, &[9, 8, 7, 1, 2, 3]).unwrap()).unwrap();
        assert_eq!(colour.frame(0).unwrap().to_bytes(), [9, 8, 7, 1, 2, 3]);
        assert!(encode_png_grey(2, 3, &[0]).is_err());
    }

    #[test]
    fn a_mask_stores_classes_and_shows_white() {
        let mask = Mask { height: 1, width: 3, classes: vec![0, 1, 12] };
        let bytes = encode_png_mask(&mask).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(&bytes)).read_info().unwrap();
        let mut raw = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut raw).unwrap();
        assert_eq!(raw, [0, 1, 12]);
        let shown = open("m.png", bytes).unwrap().frame(0).unwrap().to_bytes();
        assert_eq!(shown[..6], [0, 0, 0, 255, 255, 255]);
        assert_eq!(shown[6..], colour_over_grey(12), "the colours of masks and of overlays are the same");
        let ignored = encode_png_mask(&Mask { height: 1, width: 1, classes: vec![Mask::IGNORE] }).unwrap();
        assert_eq!(open("m.png", ignored).unwrap().frame(0).unwrap().to_bytes(), [128]);
    }
}
