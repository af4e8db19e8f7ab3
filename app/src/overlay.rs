//! The mask over the picture: bits on its way, coloured pixels or an outline on the canvas.

use sonoseg_imaging::dataset::finding::Finding;
use sonoseg_imaging::geometry::Mask;
use sonoseg_imaging::geometry::resize::bilinear;

/// The colours of classes in turn, and of what a person drew.
pub const CLASSES: [[u8; 3]; 5] = [[255, 122, 217], [122, 199, 255], [255, 209, 102], [157, 240, 130], [200, 160, 255]];

/// The colour of a class from 1 on, as style sheets write it.
pub fn css_colour(class: u8) -> String {
    let [red, green, blue] = CLASSES[usize::from(class.saturating_sub(1)) % CLASSES.len()];
    format!("#{red:02x}{green:02x}{blue:02x}")
}

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

    /// The overlays for what a model finds: an area has no line.
    pub fn choices(finding: &Finding) -> Vec<Self> {
        let drawn = |overlay: &Self| finding.is_needles() || *overlay != Self::Line;
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

/// A mask on its way and in memory: for each class from 1 a plane of one bit per pixel, lowest bit first.
pub fn pack(mask: &Mask, classes: u8) -> Vec<u8> {
    let plane = |class: u8| {
        let byte = move |eight: &[u8]| {
            eight.iter().enumerate().fold(0, |byte, (bit, &pixel)| byte | (u8::from(pixel == class) << bit))
        };
        mask.classes.chunks(8).map(byte)
    };
    (1..=classes).flat_map(plane).collect()
}

/// Bytes of the plane of a class.
pub fn plane_bytes([height, width]: [usize; 2]) -> usize {
    (height * width).div_ceil(8).max(1)
}

/// The pixels of one class alone.
pub fn only(mask: &Mask, class: u8) -> Mask {
    let classes = mask.classes.iter().map(|&other| u8::from(other == class)).collect();
    Mask { classes, ..*mask }
}

/// The mask of `[height, width]` pixels that was packed. Missing bits are not set.
pub fn unpack(height: usize, width: usize, planes: &[u8]) -> Mask {
    let mut mask = Mask::empty(height, width);
    for (class, plane) in (1..=u8::MAX).zip(planes.chunks(plane_bytes([height, width]))) {
        for (index, pixel) in mask.classes.iter_mut().enumerate() {
            if plane.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1) {
                *pixel = class;
            }
        }
    }
    mask
}

/// What is surer than a threshold: probabilities of a square of `size` pixels from 0 to 255, brought to `[height, width]`.
pub fn above(probability: &[u8], size: usize, [height, width]: [usize; 2], threshold: f64) -> Mask {
    if probability.len() != size * size || probability.is_empty() {
        return Mask::empty(height, width);
    }
    let sure: Vec<f32> = probability.iter().map(|&p| f32::from(p)).collect();
    let threshold = (255.0 * threshold) as f32;
    let sure = bilinear(&sure, [size, size], [height, width]);
    Mask { height, width, classes: sure.into_iter().map(|p| u8::from(p > threshold)).collect() }
}

/// The mask as red, green, blue, alpha bytes, its classes in these colours in turn; background = transparent.
pub fn coloured(mask: &Mask, colours: &[[u8; 3]]) -> Vec<u8> {
    let colour = |class: u8| colours[usize::from(class - 1) % colours.len()];
    let pixel = |&class: &u8| match class {
        0 => [0; 4],
        class => {
            let [red, green, blue] = colour(class);
            [red, green, blue, 255]
        }
    };
    mask.classes.iter().flat_map(pixel).collect()
}

/// The edges between classes and background as straight runs `[x0, y0, x1, y1]` in pixels, first pixel edge at -0.5.
pub fn outline(mask: &Mask) -> Vec<[f64; 4]> {
    let (height, width) = (mask.height, mask.width);
    let set = |x: usize, y: usize| x < width && y < height && mask.classes[y * width + x] != 0;
    let (mut runs, half) = (Vec::new(), 0.5);
    // Horizontal edges: between row y - 1 and row y; then vertical ones: between column x - 1 and column x.
    for y in 0..=height {
        let edge = |x: usize| x < width && set(x, y) != (y > 0 && set(x, y - 1));
        for (start, end) in runs_of(width, edge) {
            runs.push([start as f64 - half, y as f64 - half, end as f64 - half, y as f64 - half]);
        }
    }
    for x in 0..=width {
        let edge = |y: usize| y < height && set(x, y) != (x > 0 && set(x - 1, y));
        for (start, end) in runs_of(height, edge) {
            runs.push([x as f64 - half, start as f64 - half, x as f64 - half, end as f64 - half]);
        }
    }
    runs
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

/// A mask of the shown picture at the size of the frame, `[height, width]`: each pixel has become a square of `shrink`.
pub fn grown_mask(mask: &Mask, shrink: usize, [height, width]: [usize; 2]) -> Mask {
    let shown = |row: usize, column: usize| mask.classes[row / shrink * mask.width + column / shrink];
    let classes = (0..height).flat_map(|row| (0..width).map(move |column| shown(row, column))).collect();
    Mask { height, width, classes }
}

/// The smallest rectangle, `[top, left]` and `[height, width]`, outside which two masks of one size are the same. None where
/// they are the same everywhere.
pub fn changed(before: &Mask, after: &Mask) -> Option<[[usize; 2]; 2]> {
    let width = after.width.max(1);
    let rows = || before.classes.chunks(width).zip(after.classes.chunks(width));
    let top = rows().position(|(a, b)| !same(a, b))?;
    let bottom = rows().rposition(|(a, b)| !same(a, b))?;
    let within = || rows().skip(top).take(bottom + 1 - top).filter(|(a, b)| !same(a, b));
    let differs = |(a, b): (&u8, &u8)| a != b;
    let left = within().filter_map(|(a, b)| a.iter().zip(b).position(differs)).min()?;
    let right = within().filter_map(|(a, b)| a.iter().zip(b).rposition(differs)).max()?;
    Some([[top, left], [bottom + 1 - top, right + 1 - left]])
}

/// Whether two rows are the same, eight pixels at a time: the comparison of slices looks at one after the other in wasm.
fn same(before: &[u8], after: &[u8]) -> bool {
    let ((before, rest_before), (after, rest_after)) = (before.as_chunks::<8>(), after.as_chunks::<8>());
    let words = before.iter().zip(after).all(|(a, b)| u64::from_ne_bytes(*a) == u64::from_ne_bytes(*b));
    words && rest_before == rest_after
}

/// A rectangle of a mask, which lies in it.
pub fn cut(mask: &Mask, [top, left]: [usize; 2], [height, width]: [usize; 2]) -> Mask {
    let row = |row: usize| &mask.classes[row * mask.width + left..][..width];
    Mask { height, width, classes: (top..top + height).flat_map(row).copied().collect() }
}

/// Grey or colour bytes as red, green, blue, alpha for the canvas, each value as the table of [`crate::tone`] has it.
pub fn rgba(bytes: &[u8], channels: usize, tone: &[u8; 256]) -> Vec<u8> {
    let mut rgba = Vec::with_capacity(bytes.len() / channels * 4);
    for pixel in bytes.chunks_exact(channels) {
        let (red, green, blue) =
            if channels == 3 { (pixel[0], pixel[1], pixel[2]) } else { (pixel[0], pixel[0], pixel[0]) };
        let [red, green, blue] = [red, green, blue].map(|value: u8| tone[usize::from(value)]);
        rgba.extend_from_slice(&[red, green, blue, 255]);
    }
    rgba
}

/// Channels and bytes of red, green, blue, alpha bytes without their alpha: one channel where there is no colour, else three.
pub fn colours(rgba: &[u8]) -> (usize, Vec<u8>) {
    let pixels = rgba.chunks_exact(4);
    if pixels.clone().all(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2]) {
        return (1, pixels.map(|pixel| pixel[0]).collect());
    }
    let mut bytes = Vec::with_capacity(rgba.len() / 4 * 3);
    pixels.for_each(|pixel| bytes.extend_from_slice(&pixel[..3]));
    (3, bytes)
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

/// A mask whose squares of `shrink` pixels have become one, of a class that is in it.
pub fn shrunk_mask(mask: &Mask, shrink: usize) -> Mask {
    let mut small = Mask::empty(mask.height.div_ceil(shrink), mask.width.div_ceil(shrink));
    for (index, &class) in mask.classes.iter().enumerate().filter(|(_, class)| **class != 0) {
        small.classes[index / mask.width / shrink * small.width + index % mask.width / shrink] = class;
    }
    small
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(height: usize, width: usize, classes: &[u8]) -> Mask {
        Mask { height, width, classes: classes.to_vec() }
    }

    #[test]
    fn an_area_has_no_line_to_show() {
        let round = |finding: Finding| {
            let choices = Overlay::choices(&finding);
            let first = Overlay::Line.among(&choices);
            [first, first.next(&choices), first.next(&choices).next(&choices)]
        };
        assert_eq!(round(Finding::Needles), [Overlay::Line, Overlay::Hidden, Overlay::Mask]);
        let area = Finding::Classes(vec![Finding::ANY_CLASS.to_owned()]);
        assert_eq!(round(area), [Overlay::Outline, Overlay::Hidden, Overlay::Mask]);
    }

    #[test]
    fn masks_survive_the_way_and_are_coloured() {
        let one = mask(3, 4, &[0, 1, 1, 0, 0, 0, 1, 0, 0, 1, 0, 0]);
        assert_eq!(pack(&one, 1), [0b0100_0110, 0b10]);
        assert_eq!(unpack(3, 4, &pack(&one, 1)), one);
        let two = mask(1, 3, &[0, 2, 1]);
        assert_eq!((pack(&two, 2).len(), plane_bytes([1, 3]), unpack(1, 3, &pack(&two, 2))), (2, 1, two.clone()));
        assert_eq!((only(&two, 2).classes, css_colour(2)), (vec![0, 1, 0], "#7ac7ff".to_owned()));
        let rgba = coloured(&one, &[[1, 2, 3]]);
        assert_eq!(rgba[4..8], [1, 2, 3, 255]);
        assert_eq!(rgba[0..4], [0; 4]);
        let classes = coloured(&mask(1, 3, &[1, 2, 3]), &[[1; 3], [2; 3]]);
        assert_eq!((classes[4], classes[8]), (2, 1), "colours come in turn");
        let three = mask(2, 5, &[0, 1, 2, 3, 0, 3, 3, 0, 1, 2]);
        assert_eq!(unpack(2, 5, &pack(&three, 3)), three);
        assert_eq!(unpack(3, 4, &[]), Mask::empty(3, 4));
    }

    #[test]
    fn a_lower_threshold_marks_more() {
        let sure = [255, 128, 10, 0];
        assert_eq!(above(&sure, 2, [2, 2], 0.6), mask(2, 2, &[1, 0, 0, 0]));
        assert_eq!(above(&sure, 2, [2, 2], 0.03), mask(2, 2, &[1, 1, 1, 0]));
        assert_eq!(above(&sure, 2, [2, 4], 0.5).classes[..4], [1, 1, 1, 1], "it is brought to the size of the picture");
        assert_eq!(above(&[], 0, [2, 2], 0.5), Mask::empty(2, 2));
    }

    #[test]
    fn the_outline_of_a_square_has_four_runs_at_pixel_edges() {
        let mut runs = outline(&mask(4, 4, &[0, 0, 0, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0]));
        runs.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
        assert_eq!(runs, [[0.5, 0.5, 0.5, 2.5], [0.5, 0.5, 2.5, 0.5], [0.5, 2.5, 2.5, 2.5], [2.5, 0.5, 2.5, 2.5]]);
        let whole = outline(&mask(1, 1, &[1]));
        assert_eq!(whole.len(), 4, "a mask that fills the image still has an outline");
    }

    #[test]
    fn big_pictures_are_averaged_and_thin_masks_are_kept() {
        assert_eq!(shrunk(&[10, 20, 30, 40, 50, 60], 2, 3, 1, 2), [30, 45]);
        assert_eq!(shrunk_mask(&mask(2, 3, &[0, 0, 0, 1, 0, 0]), 2), mask(1, 2, &[1, 0]));
        assert_eq!(shrunk_mask(&mask(2, 3, &[0, 0, 2, 0, 0, 0]), 2), mask(1, 2, &[0, 2]));
    }

    #[test]
    fn a_mask_grows_back_and_what_changed_is_a_rectangle() {
        let small = mask(1, 2, &[1, 0]);
        assert_eq!(grown_mask(&small, 2, [2, 3]), mask(2, 3, &[1, 1, 0, 1, 1, 0]));
        let before = Mask::empty(4, 5);
        let mut after = before.clone();
        assert_eq!(changed(&before, &after), None);
        (after.classes[5 + 3], after.classes[2 * 5 + 1]) = (1, 2);
        assert_eq!(changed(&before, &after), Some([[1, 1], [2, 3]]));
        assert_eq!(cut(&after, [1, 1], [2, 3]), mask(2, 3, &[0, 0, 1, 2, 0, 0]));
        for at in 0..2 * 21 {
            let mut after = Mask::empty(2, 21);
            after.classes[at] = 1;
            let found = changed(&Mask::empty(2, 21), &after);
            assert_eq!(found, Some([[at / 21, at % 21], [1, 1]]), "wherever it is in the row");
        }
    }

    #[test]
    fn grey_becomes_colour_for_the_canvas_and_comes_back_as_grey() {
        assert_eq!(colours(&[7, 7, 7, 255, 9, 9, 9, 255]), (1, vec![7, 9]));
        assert_eq!(colours(&[7, 7, 7, 255, 9, 8, 9, 255]), (3, vec![7, 7, 7, 9, 8, 9]));
        let plain: [u8; 256] = std::array::from_fn(|value| value as u8);
        assert_eq!(rgba(&[7], 1, &plain), [7, 7, 7, 255]);
        assert_eq!(rgba(&[1, 2, 3], 3, &plain), [1, 2, 3, 255]);
        assert_eq!(rgba(&[7], 1, &[9; 256]), [9, 9, 9, 255]);
    }
}
