//! Pictures side by side.

use sonoseg_imaging::geometry::Image;

/// Grey pictures of one size in rows of `columns`, on white, `gap` pixels apart. Panics without a picture.
pub fn grid(pictures: &[Image], columns: usize, gap: usize) -> Image {
    assert!(!pictures.is_empty() && columns > 0, "a grid shows at least one picture");
    let (height, width) = (pictures[0].height, pictures[0].width);
    let columns = columns.min(pictures.len());
    let rows = pictures.len().div_ceil(columns);
    let whole = [rows * (height + gap) - gap, columns * (width + gap) - gap];
    let mut pixels = vec![1.0; whole[0] * whole[1]];
    for (index, picture) in pictures.iter().enumerate() {
        assert_eq!([picture.height, picture.width], [height, width], "pictures of a grid have one size");
        let (top, left) = (index / columns * (height + gap), index % columns * (width + gap));
        for (row, line) in picture.pixels.chunks_exact(width).enumerate() {
            let start = (top + row) * whole[1] + left;
            pixels[start..start + width].copy_from_slice(line);
        }
    }
    Image::grey(whole[0], whole[1], pixels)
}
