//! One class a pixel.

/// One class number per pixel, `[height, width]`; 0 is background.
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
    /// An all-background mask.
    pub fn empty(height: usize, width: usize) -> Self {
        Self { height, width, classes: vec![0; height * width] }
    }

    /// True when every pixel is background.
    pub fn is_empty(&self) -> bool {
        self.classes.iter().all(|&class| class == 0)
    }

    /// The mask with its holes filled: background that no path through background joins to the edge (up, down, left,
    /// right) takes the class to its left. It turns drawn outlines into areas.
    #[must_use]
    pub fn filled(&self) -> Self {
        let (height, width) = (self.height, self.width);
        let mut outside = vec![false; self.classes.len()];
        let rim = (0..height).flat_map(|row| (0..width).map(move |column| (row, column)));
        let mut open: Vec<(usize, usize)> =
            rim.filter(|&(row, column)| row == 0 || column == 0 || row + 1 == height || column + 1 == width).collect();
        while let Some((row, column)) = open.pop() {
            let at = row * width + column;
            if self.classes[at] != 0 || std::mem::replace(&mut outside[at], true) {
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
            left = *class;
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
    }
}
