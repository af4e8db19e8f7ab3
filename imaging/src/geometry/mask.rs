//! One class a pixel.

/// One class number per pixel, `[height, width]`; 0 is background, and [`Mask::IGNORE`] is judged by nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Row-major `[height, width]`.
    pub classes: Vec<u8>,
}

impl Mask {
    /// A pixel that nobody judged (`ignore` in nnU-Net, the border in Pascal VOC): it is neither learned nor counted.
    /// Class numbers end far below it.
    pub const IGNORE: u8 = 255;

    /// An all-background mask.
    pub fn empty(height: usize, width: usize) -> Self {
        Self { height, width, classes: vec![0; height * width] }
    }

    /// True when no pixel shows an object.
    pub fn is_empty(&self) -> bool {
        !self.classes.iter().any(|&class| Self::shows(class))
    }

    /// Number of pixels that show an object. Background is passed over by the eight, as it is nearly all of a mask.
    pub fn pixels(&self) -> usize {
        let (words, rest) = self.classes.as_chunks::<8>();
        let marked = words.iter().filter(|word| u64::from_ne_bytes(**word) != 0).flatten();
        marked.chain(rest).filter(|&&class| Self::shows(class)).count()
    }

    /// True when some pixel was judged. A mask without one is no label.
    pub fn is_judged(&self) -> bool {
        self.classes.iter().any(|&class| class != Self::IGNORE)
    }

    /// True for the class of an object: neither background nor ignored.
    pub fn shows(class: u8) -> bool {
        class != 0 && class != Self::IGNORE
    }

    /// The class of every pixel, which is the one that a map says most of; the first of those that say as much.
    ///
    /// # Shapes
    /// - `maps`: row-major `[classes, height, width]`, at most 255 classes, the background first
    pub fn most_likely(maps: &[f32], height: usize, width: usize) -> Self {
        let plane = height * width;
        let mut mask = Self::empty(height, width);
        let mut most = maps[..plane].to_vec();
        for (class, map) in (1..Self::IGNORE).zip(maps.chunks_exact(plane).skip(1)) {
            for ((most, chosen), &value) in most.iter_mut().zip(&mut mask.classes).zip(map) {
                if value > *most {
                    (*most, *chosen) = (value, class);
                }
            }
        }
        mask
    }

    /// Put another mask of the same picture over this one: the higher class wins, and a class wins over a pixel that the
    /// other mask does not judge. Panics when the sizes differ.
    pub fn join(&mut self, other: &Self) {
        assert_eq!([self.height, self.width], [other.height, other.width], "masks of one picture have one size");
        for (class, &other) in self.classes.iter_mut().zip(&other.classes) {
            *class = match (*class, other) {
                (Self::IGNORE, other) if Self::shows(other) => other,
                (class, Self::IGNORE) if Self::shows(class) => class,
                (class, other) => class.max(other),
            };
        }
    }

    /// The mask with its holes filled: background that no path through background joins to the edge (up, down, left,
    /// right) takes the class to its left. It turns drawn outlines into areas. Ignored pixels enclose nothing and stay.
    #[must_use]
    pub fn filled(&self) -> Self {
        let (height, width) = (self.height, self.width);
        let mut outside = vec![false; self.classes.len()];
        let rim = (0..height).flat_map(|row| (0..width).map(move |column| (row, column)));
        let mut open: Vec<(usize, usize)> =
            rim.filter(|&(row, column)| row == 0 || column == 0 || row + 1 == height || column + 1 == width).collect();
        while let Some((row, column)) = open.pop() {
            let at = row * width + column;
            if Self::shows(self.classes[at]) || std::mem::replace(&mut outside[at], true) {
                continue;
            }
            let steps =
                [(row.wrapping_sub(1), column), (row + 1, column), (row, column.wrapping_sub(1)), (row, column + 1)];
            open.extend(steps.into_iter().filter(|&(row, column)| row < height && column < width));
        }
        let mut filled = self.clone();
        // A hole never lies in the first column, so that its left neighbour is of the same row.
        let mut left = 0;
        for (class, outside) in filled.classes.iter_mut().zip(outside) {
            if *class == 0 && !outside {
                *class = left;
            }
            if *class != Self::IGNORE {
                left = *class;
            }
        }
        filled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_filled_and_bays_are_not() {
        let mask = |text: &str| Mask {
            height: 4,
            width: 6,
            classes: text.bytes().filter(u8::is_ascii_digit).map(|digit| digit - b'0').collect(),
        };
        let ring = mask("022200 020201 022201 000001");
        assert_eq!(ring.filled(), mask("022200 022201 022201 000001"));
        let bay = mask("020200 020201 022201 000001");
        assert_eq!(bay.filled(), bay);
        let void = Mask { height: 3, width: 3, classes: vec![255, 255, 255, 255, 0, 255, 255, 255, 255] };
        assert_eq!(void.filled(), void, "what nobody judged is no outline");
        let ring = Mask { height: 3, width: 4, classes: vec![2, 2, 2, 2, 2, 255, 0, 2, 2, 2, 2, 2] };
        assert_eq!(ring.filled().classes, [2, 2, 2, 2, 2, 255, 2, 2, 2, 2, 2, 2]);
    }

    #[test]
    fn the_class_of_a_pixel_is_the_most_likely_one() {
        let maps = [0.5, 0.2, 0.2, 0.4, 0.3, 0.5, 0.2, 0.4, 0.2, 0.3, 0.6, 0.2];
        assert_eq!(Mask::most_likely(&maps, 2, 2).classes, [0, 1, 2, 0]);
        assert_eq!(Mask::most_likely(&maps[..4], 1, 4).classes, [0; 4]);
    }

    #[test]
    fn ignored_pixels_show_nothing_and_give_way_to_classes() {
        let mask = |classes: [u8; 4]| Mask { height: 1, width: 4, classes: classes.to_vec() };
        let mut joined = mask([255, 255, 1, 0]);
        joined.join(&mask([2, 0, 255, 1]));
        assert_eq!(joined, mask([2, 255, 1, 1]));
        assert!(mask([0, 255, 0, 255]).is_empty() && mask([0, 255, 0, 255]).is_judged());
        assert!(!mask([255; 4]).is_judged() && !joined.is_empty());
        let classes: Vec<u8> = (0..43).map(|at| [0, 0, 0, 0, 0, 0, 0, 0, 2, 255, 0, 1][at % 12]).collect();
        assert_eq!((joined.pixels(), Mask { height: 1, width: 43, classes }.pixels()), (3, 6));
    }
}
