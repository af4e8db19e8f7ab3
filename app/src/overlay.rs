//! The mask over the picture: one bit per pixel on its way, coloured pixels on the canvas.

use crate::sought::Sought;

/// How what the model found is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overlay {
    /// Mask and tip.
    #[default]
    Mask,
    /// Edge of the mask, and tip: a needle is a few pixels wide, and a filled mask hides it.
    Outline,
    /// Shaft line and tip.
    Line,
    /// The picture alone.
    Hidden,
}

impl Overlay {
    /// All, in the order of the key that cycles them.
    pub const ALL: [Self; 4] = [Self::Mask, Self::Outline, Self::Line, Self::Hidden];

    /// The overlays for what a model looks for: an area has no line.
    pub fn choices(sought: &Sought) -> Vec<Self> {
        let drawn = |overlay: &Self| *sought == Sought::Needle || *overlay != Self::Line;
        Self::ALL.into_iter().filter(drawn).collect()
    }

    /// This one, or the outline where it is none of the choices.
    #[must_use]
    pub fn among(self, choices: &[Self]) -> Self {
        if choices.contains(&self) { self } else { Self::Outline }
    }

    /// The next one of the choices, round in a circle.
    #[must_use]
    pub fn next(self, choices: &[Self]) -> Self {
        let at = choices.iter().position(|choice| *choice == self.among(choices)).unwrap_or_default();
        choices[(at + 1) % choices.len()]
    }

    /// Its name on the button.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mask => "Mask",
            Self::Outline => "Outline",
            Self::Line => "Line",
            Self::Hidden => "Hide",
        }
    }
}

/// One bit per pixel, lowest bit first, from pixels that are set when not 0.
pub fn pack(pixels: &[u8]) -> Vec<u8> {
    pixels
        .chunks(8)
        .map(|eight| eight.iter().enumerate().fold(0, |byte, (bit, &pixel)| byte | (u8::from(pixel != 0) << bit)))
        .collect()
}

/// A mask of `[height, width]` pixels, one bit each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bits {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    bits: Vec<u8>,
}

impl Bits {
    /// A mask from packed bits. Missing bits are not set.
    pub fn new(height: usize, width: usize, mut bits: Vec<u8>) -> Self {
        bits.resize((height * width).div_ceil(8), 0);
        Self { height, width, bits }
    }

    fn at(&self, index: usize) -> bool {
        self.bits[index / 8] >> (index % 8) & 1 == 1
    }

    /// Number of set pixels.
    pub fn count(&self) -> usize {
        self.bits.iter().map(|byte| byte.count_ones() as usize).sum()
    }

    /// The mask as red, green, blue, alpha bytes in one colour; not set = transparent.
    pub fn coloured(&self, colour: [u8; 3]) -> Vec<u8> {
        let mut rgba = vec![0; 4 * self.height * self.width];
        for (index, pixel) in rgba.chunks_exact_mut(4).enumerate() {
            if self.at(index) {
                pixel.copy_from_slice(&[colour[0], colour[1], colour[2], 255]);
            }
        }
        rgba
    }

    /// The edges between set and unset pixels as straight runs `[x0, y0, x1, y1]` in pixels, first pixel edge at -0.5.
    pub fn outline(&self) -> Vec<[f64; 4]> {
        let set = |x: usize, y: usize| x < self.width && y < self.height && self.at(y * self.width + x);
        let (mut runs, half) = (Vec::new(), 0.5);
        // Horizontal edges: between row y - 1 and row y; then vertical ones: between column x - 1 and column x.
        for y in 0..=self.height {
            let edge = |x: usize| x < self.width && set(x, y) != (y > 0 && set(x, y - 1));
            for (start, end) in runs_of(self.width, edge) {
                runs.push([start as f64 - half, y as f64 - half, end as f64 - half, y as f64 - half]);
            }
        }
        for x in 0..=self.width {
            let edge = |y: usize| y < self.height && set(x, y) != (x > 0 && set(x - 1, y));
            for (start, end) in runs_of(self.height, edge) {
                runs.push([x as f64 - half, start as f64 - half, x as f64 - half, end as f64 - half]);
            }
        }
        runs
    }
}

/// The maximal runs `[start, end)` of positions below `count` where `is` holds.
fn runs_of(count: usize, is: impl Fn(usize) -> bool) -> Vec<(usize, usize)> {
    let (mut runs, mut start) = (Vec::new(), None);
    for position in 0..=count {
        match (position < count && is(position), start) {
            (true, None) => start = Some(position),
            (false, Some(first)) => {
                runs.push((first, position));
                start = None;
            }
            _ => {}
        }
    }
    runs
}

/// Grey or colour bytes as red, green, blue, alpha for the canvas.
pub fn rgba(bytes: &[u8], channels: usize) -> Vec<u8> {
    let mut rgba = Vec::with_capacity(bytes.len() / channels * 4);
    for pixel in bytes.chunks_exact(channels) {
        let (red, green, blue) =
            if channels == 3 { (pixel[0], pixel[1], pixel[2]) } else { (pixel[0], pixel[0], pixel[0]) };
        rgba.extend_from_slice(&[red, green, blue, 255]);
    }
    rgba
}

/// Grey or colour bytes `[height, width, channels]`, averaged over squares of `shrink` pixels.
pub fn shrunk(bytes: &[u8], height: usize, width: usize, channels: usize, shrink: usize) -> Vec<u8> {
    let (rows, columns) = (height.div_ceil(shrink), width.div_ceil(shrink));
    let mut small = Vec::with_capacity(rows * columns * channels);
    for row in 0..rows {
        for column in 0..columns {
            for channel in 0..channels {
                let (mut sum, mut count) = (0_u32, 0_u32);
                for y in row * shrink..((row + 1) * shrink).min(height) {
                    for x in column * shrink..((column + 1) * shrink).min(width) {
                        sum += u32::from(bytes[(y * width + x) * channels + channel]);
                        count += 1;
                    }
                }
                small.push((sum / count.max(1)) as u8);
            }
        }
    }
    small
}

/// A mask of `[height, width]` classes, set where any pixel of a square of `shrink` pixels is set, one byte each.
pub fn shrunk_mask(classes: &[u8], height: usize, width: usize, shrink: usize) -> Vec<u8> {
    let columns = width.div_ceil(shrink);
    let mut small = vec![0; height.div_ceil(shrink) * columns];
    for (index, _) in classes.iter().enumerate().filter(|(_, class)| **class != 0) {
        small[index / width / shrink * columns + index % width / shrink] = 1;
    }
    small
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_area_has_no_line_to_show() {
        let round = |sought: Sought| {
            let choices = Overlay::choices(&sought);
            let first = Overlay::Line.among(&choices);
            [first, first.next(&choices), first.next(&choices).next(&choices)]
        };
        assert_eq!(round(Sought::Needle), [Overlay::Line, Overlay::Hidden, Overlay::Mask]);
        assert_eq!(round(Sought::Class("any".into())), [Overlay::Outline, Overlay::Hidden, Overlay::Mask]);
    }

    #[test]
    fn bits_survive_the_way_and_are_counted_and_coloured() {
        let pixels = [0, 1, 1, 0, 0, 0, 1, 0, 0, 1, 0, 0];
        let bits = Bits::new(3, 4, pack(&pixels));
        assert_eq!(bits.count(), 4);
        let rgba = bits.coloured([1, 2, 3]);
        assert_eq!(rgba[4..8], [1, 2, 3, 255]);
        assert_eq!(rgba[0..4], [0; 4]);
        assert_eq!(rgba.iter().skip(3).step_by(4).filter(|&&alpha| alpha == 255).count(), 4);
    }

    #[test]
    fn the_outline_of_a_square_has_four_runs_at_pixel_edges() {
        let bits = Bits::new(4, 4, pack(&[0, 0, 0, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0]));
        let mut runs = bits.outline();
        runs.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
        assert_eq!(runs, [[0.5, 0.5, 0.5, 2.5], [0.5, 0.5, 2.5, 0.5], [0.5, 2.5, 2.5, 2.5], [2.5, 0.5, 2.5, 2.5]]);
        let whole = Bits::new(1, 1, vec![1]).outline();
        assert_eq!(whole.len(), 4, "a mask that fills the image still has an outline");
    }

    #[test]
    fn big_pictures_are_averaged_and_thin_masks_are_kept() {
        assert_eq!(shrunk(&[10, 20, 30, 40, 50, 60], 2, 3, 1, 2), [30, 45]);
        assert_eq!(shrunk_mask(&[0, 0, 0, 1, 0, 0], 2, 3, 2), [1, 0]);
        assert_eq!(shrunk_mask(&[0, 0, 1, 0, 0, 0], 2, 3, 2), [0, 1]);
    }

    #[test]
    fn grey_becomes_colour_for_the_canvas() {
        assert_eq!(rgba(&[7], 1), [7, 7, 7, 255]);
        assert_eq!(rgba(&[1, 2, 3], 3), [1, 2, 3, 255]);
    }
}
