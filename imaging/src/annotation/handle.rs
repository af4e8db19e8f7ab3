//! The parts of a needle's line that a hand takes and moves.

use crate::geometry::{Needle, Point};

/// What of a line is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handle {
    /// The end nearest the skin.
    Entry,
    /// The deepest end.
    Tip,
    /// All of it.
    Whole,
}

impl Handle {
    /// What lies within `reach` pixels of a point: an end wins over the line between them, and the nearer end over the other.
    pub fn at(needle: &Needle, point: Point, reach: f64) -> Option<Self> {
        let (entry, tip) = (needle.entry.distance_px(point), needle.tip.distance_px(point));
        if entry.min(tip) <= reach {
            return Some(if tip <= entry { Self::Tip } else { Self::Entry });
        }
        (needle.distance_px(point) <= reach).then_some(Self::Whole)
    }

    /// The needle with this part moved by `[dx, dy]` pixels, so that no end leaves a picture of this size. All of it stops
    /// as one at the edge: its length and direction stay.
    #[must_use]
    pub fn moved(self, needle: &Needle, [dx, dy]: [f64; 2], height: usize, width: usize) -> Needle {
        let (right, bottom) = (width as f64 - 0.5, height as f64 - 0.5);
        let shifted = |end: Point| Point { x: (end.x + dx).clamp(-0.5, right), y: (end.y + dy).clamp(-0.5, bottom) };
        match self {
            Self::Entry => Needle { entry: shifted(needle.entry), ..*needle },
            Self::Tip => Needle { tip: shifted(needle.tip), ..*needle },
            Self::Whole => {
                let within = |step: f64, a: f64, b: f64, last: f64| {
                    let (low, high) = (a.min(b), a.max(b));
                    step.max((-0.5 - low).min(0.0)).min((last - high).max(0.0))
                };
                let dx = within(dx, needle.entry.x, needle.tip.x, right);
                let dy = within(dy, needle.entry.y, needle.tip.y, bottom);
                let shifted = |end: Point| Point { x: end.x + dx, y: end.y + dy };
                Needle { entry: shifted(needle.entry), tip: shifted(needle.tip) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEEDLE: Needle = Needle { entry: Point { x: 10.0, y: 5.0 }, tip: Point { x: 40.0, y: 25.0 } };

    #[test]
    fn ends_win_over_the_line() {
        let at = |x, y| Handle::at(&NEEDLE, Point { x, y }, 4.0);
        assert_eq!(at(12.0, 6.0), Some(Handle::Entry));
        assert_eq!(at(38.0, 25.0), Some(Handle::Tip));
        assert_eq!(at(25.0, 15.5), Some(Handle::Whole));
        assert_eq!(at(25.0, 30.0), None);
        let short = Needle { tip: Point { x: 13.0, y: 5.0 }, ..NEEDLE };
        assert_eq!(Handle::at(&short, Point { x: 12.0, y: 5.0 }, 4.0), Some(Handle::Tip), "the nearer one");
    }

    #[test]
    fn nothing_moves_out_of_the_picture_and_a_whole_needle_keeps_its_shape() {
        let tip = Handle::Tip.moved(&NEEDLE, [100.0, -100.0], 30, 50);
        assert_eq!((tip.entry, tip.tip), (NEEDLE.entry, Point { x: 49.5, y: -0.5 }));
        for step in [[100.0, 3.0], [-100.0, -100.0], [0.5, 100.0], [2.0, -1.0]] {
            let moved = Handle::Whole.moved(&NEEDLE, step, 30, 50);
            assert!(moved.is_inside(30, 50), "{step:?}: {moved:?}");
            assert_eq!(moved.step(None), NEEDLE.step(None));
        }
        assert_eq!(Handle::Whole.moved(&NEEDLE, [2.0, -1.0], 30, 50).entry, Point { x: 12.0, y: 4.0 });
    }
}
