//! A rectangle of a mask as run lengths: what a stroke changed, and how masks are kept.

use serde::{Deserialize, Serialize};

use crate::formats::MAX_PIXELS;
use crate::geometry::Mask;

/// The new classes of a rectangle of a mask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patch {
    /// First row.
    pub top: usize,
    /// First column.
    pub left: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Class and number of pixels in turn, row by row.
    runs: Vec<(u8, u32)>,
}

impl Patch {
    /// A rectangle of a mask as it is. Panics when the rectangle reaches out of the mask.
    pub fn of(mask: &Mask, [top, left]: [usize; 2], [height, width]: [usize; 2]) -> Self {
        let mut runs: Vec<(u8, u32)> = Vec::new();
        for row in top..top + height {
            for &class in &mask.classes[row * mask.width + left..][..width] {
                match runs.last_mut() {
                    Some((last, length)) if *last == class && *length < u32::MAX => *length += 1,
                    _ => runs.push((class, 1)),
                }
            }
        }
        Self { top, left, height, width, runs }
    }

    /// Whether its runs make up its rectangle, and that lies in a mask of this size.
    pub fn fits(&self, height: usize, width: usize) -> bool {
        let inside = |first: usize, count: usize, of: usize| first.checked_add(count).is_some_and(|end| end <= of);
        let pixels = self.runs.iter().map(|&(_, length)| u64::from(length)).sum::<u64>();
        inside(self.top, self.height, height)
            && inside(self.left, self.width, width)
            && Some(pixels) == (self.height as u64).checked_mul(self.width as u64)
    }

    /// Put it into a mask. Gives what was there before, or None, and changes nothing, where it does not fit.
    pub fn apply(&self, mask: &mut Mask) -> Option<Self> {
        if !self.fits(mask.height, mask.width) {
            return None;
        }
        let before = Self::of(mask, [self.top, self.left], [self.height, self.width]);
        let mut at = 0;
        for &(class, length) in &self.runs {
            let mut left = length as usize;
            while left > 0 {
                let (row, column) = (at / self.width, at % self.width);
                let count = left.min(self.width - column);
                let first = (self.top + row) * mask.width + self.left + column;
                mask.classes[first..first + count].fill(class);
                (at, left) = (at + count, left - count);
            }
        }
        Some(before)
    }
}

/// Masks as whole patches.
pub(super) mod whole {
    use serde::de::Error;
    use serde::{Deserializer, Serializer};

    use super::{Deserialize, MAX_PIXELS, Mask, Patch, Serialize};

    #[expect(clippy::ref_option, reason = "serde's signature")]
    pub(in super::super) fn serialize<S: Serializer>(mask: &Option<Mask>, to: S) -> Result<S::Ok, S::Error> {
        mask.as_ref().map(|mask| Patch::of(mask, [0, 0], [mask.height, mask.width])).serialize(to)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Mask>, D::Error> {
        let Some(patch) = Option::<Patch>::deserialize(from)? else { return Ok(None) };
        let (height, width) = (patch.height, patch.width);
        let small = (height as u64).checked_mul(width as u64).is_some_and(|pixels| pixels <= MAX_PIXELS);
        if !small || !patch.fits(height, width) {
            return Err(D::Error::custom("the run lengths of a mask do not make up its size"));
        }
        let mut mask = Mask::empty(height, width);
        patch.apply(&mut mask);
        Ok(Some(mask))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_and_what_was_there_before_undo_each_other() {
        let mut mask = Mask { height: 4, width: 5, classes: (0..20).map(|at| (at / 3 % 3) as u8).collect() };
        let start = mask.clone();
        let other = Mask { height: 4, width: 5, classes: vec![7; 20] };
        let patch = Patch::of(&other, [1, 2], [2, 3]);
        let before = patch.apply(&mut mask).unwrap();
        assert_eq!(mask.classes.iter().filter(|&&class| class == 7).count(), 6);
        assert_eq!(mask.classes[7..10], [7, 7, 7], "row 1, columns 2 to 4");
        assert_eq!(before.apply(&mut mask), Some(patch));
        assert_eq!(mask, start);
    }

    #[test]
    fn a_patch_that_does_not_fit_changes_nothing() {
        let mut mask = Mask::empty(4, 5);
        let patch = |top, width, length| Patch { top, left: 2, height: 2, width, runs: vec![(1, length)] };
        for wrong in [patch(3, 3, 6), patch(0, 4, 8), patch(0, 3, 5), patch(usize::MAX, 3, 6)] {
            assert_eq!(wrong.apply(&mut mask), None, "{wrong:?}");
        }
        assert!(mask.is_empty());
        assert!(patch(2, 3, 6).apply(&mut mask).is_some());
    }
}
