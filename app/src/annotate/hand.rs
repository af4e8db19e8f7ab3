//! The hand on the picture: from a pointer that is pressed, moved and released to a line or a mask. Points are in pixels of
//! the frame, so that nothing depends on the zoom.

use std::sync::Arc;

use sonoseg_imaging::annotation::{Brush, Handle, fill};
use sonoseg_imaging::geometry::{Mask, Needle, Point};

use crate::overlay::changed;

/// What a hand needs to know of the picture under it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Picture {
    /// Rows and columns.
    pub size: [usize; 2],
    /// The line that can be taken and moved.
    pub needle: Option<Needle>,
    /// True when it is the model's, and nobody has answered yet. Such a line gives way: only its ends can be taken.
    pub proposed: bool,
    /// How far from a line is still on it. A shorter line is none yet.
    pub reach: f64,
}

impl Picture {
    /// The nearest point of the picture.
    fn nearest(&self, point: Point) -> Point {
        let [height, width] = self.size.map(|size| size as f64 - 0.5);
        Point { x: point.x.clamp(-0.5, width), y: point.y.clamp(-0.5, height) }
    }
}

/// What was drawn.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The line is here now.
    Line(Needle),
    /// A mask was painted: as it was, and as it is now.
    Painted([Arc<Mask>; 2]),
}

/// What is being drawn.
#[derive(Clone, Debug, PartialEq)]
enum Draft {
    /// A new line: its entry is set, its tip follows the pointer, which may be up between two clicks.
    Line { needle: Needle, pressed: bool },
    /// A part of a line is moved: by the pointer from a place, or without one by keys.
    Move { handle: Handle, start: Needle, from: Option<Point>, needle: Needle },
    /// A stroke.
    Stroke { brush: Brush, before: Arc<Mask>, mask: Arc<Mask>, last: Point },
}

/// The hand: what it is drawing, and the part of the line that keys move.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hand {
    draft: Option<Draft>,
    taken: Option<Handle>,
}

impl Hand {
    /// Press on a picture with the tool for lines: take a part of its line, or begin a new one. The second of two clicks
    /// sets the tip. Of the model's line only the ends can be taken: who draws along it wants another.
    pub fn press_line(&mut self, at: Point, picture: &Picture) {
        if let Some(Draft::Line { needle, pressed }) = &mut self.draft {
            (needle.tip, *pressed) = (picture.nearest(at), true);
            return;
        }
        let taken = picture.needle.and_then(|needle| Some((needle, Handle::at(&needle, at, picture.reach)?)));
        let taken = taken.filter(|(_, handle)| !(picture.proposed && *handle == Handle::Whole));
        self.taken = taken.map(|(_, handle)| handle);
        let end = picture.nearest(at);
        self.draft = Some(match taken {
            Some((start, handle)) => Draft::Move { handle, start, from: Some(at), needle: start },
            None => Draft::Line { needle: Needle { entry: end, tip: end }, pressed: true },
        });
    }

    /// Begin a stroke on a mask.
    pub fn press_brush(&mut self, at: Point, brush: Brush, before: Arc<Mask>) {
        let mut mask = before.clone();
        brush.paint(Arc::make_mut(&mut mask), &[at]);
        self.draft = Some(Draft::Stroke { brush, before, mask, last: at });
    }

    /// Fill an area of a mask.
    pub fn press_fill(&mut self, at: Point, class: u8, before: Arc<Mask>) -> Option<Change> {
        let mut mask = before.clone();
        fill(Arc::make_mut(&mut mask), at, class).map(|_| Change::Painted([before, mask]))
    }

    /// The pointer has come along these points.
    pub fn moved(&mut self, points: &[Point], picture: &Picture) {
        let Some(&at) = points.last() else { return };
        match &mut self.draft {
            Some(Draft::Line { needle, .. }) => needle.tip = picture.nearest(at),
            Some(Draft::Move { handle, start, from: Some(from), needle }) => {
                *needle = handle.moved(start, [at.x - from.x, at.y - from.y], picture.size[0], picture.size[1]);
            }
            Some(Draft::Stroke { brush, mask, last, .. }) => {
                let way: Vec<Point> = std::iter::once(*last).chain(points.iter().copied()).collect();
                brush.paint(Arc::make_mut(mask), &way);
                *last = at;
            }
            Some(Draft::Move { from: None, .. }) | None => {}
        }
    }

    /// The pointer is up. A click without a way sets the first end of a line, and the second is waited for.
    pub fn released(&mut self, picture: &Picture) -> Option<Change> {
        match &mut self.draft {
            Some(Draft::Line { needle, pressed }) if *pressed => {
                if needle.length_px() <= picture.reach {
                    *pressed = false;
                    return None;
                }
                self.taken = Some(Handle::Tip);
                let needle = *needle;
                self.draft = None;
                Some(Change::Line(needle))
            }
            Some(Draft::Line { .. }) => None,
            Some(Draft::Move { handle, start, from: Some(from), needle }) if *handle != Handle::Whole => {
                let (from, needle, start) = (*from, *needle, *start);
                let moved = |a: Point, b: Point| Point { x: from.x + b.x - a.x, y: from.y + b.y - a.y };
                let to = if *handle == Handle::Tip {
                    moved(start.tip, needle.tip)
                } else {
                    moved(start.entry, needle.entry)
                };
                // An end that is dropped on the other one: a new line was meant, from where the pointer was pressed.
                let collapsed = needle.length_px() <= (2.0 * picture.reach).max(0.25 * start.length_px());
                let new = Needle { entry: picture.nearest(from), tip: picture.nearest(to) };
                if picture.proposed && needle == start {
                    self.draft = Some(Draft::Line { needle: new, pressed: false });
                    return None;
                }
                if !collapsed || needle == start {
                    return self.settle();
                }
                self.draft = None;
                (picture.proposed && new.length_px() > picture.reach).then(|| {
                    self.taken = Some(Handle::Tip);
                    Change::Line(new)
                })
            }
            _ => self.settle(),
        }
    }

    /// Keys move the part of the line that is taken, by `[right, down]` pixels; false when none is. Many of them are one
    /// change, which [`Hand::settle`] gives.
    pub fn nudge(&mut self, [right, down]: [f64; 2], picture: &Picture) -> bool {
        let (start, needle) = match (&self.draft, picture.needle) {
            (Some(Draft::Move { start, from: None, needle, .. }), _) => (*start, *needle),
            (None, Some(needle)) => (needle, needle),
            _ => return false,
        };
        let Some(handle) = self.taken else { return false };
        let needle = handle.moved(&needle, [right, down], picture.size[0], picture.size[1]);
        self.draft = Some(Draft::Move { handle, start, from: None, needle });
        true
    }

    /// Come to an end, as another frame or another tool is wanted: what was drawn counts, a line without its second end
    /// does not.
    pub fn settle(&mut self) -> Option<Change> {
        match self.draft.take()? {
            Draft::Move { start, needle, .. } if needle != start => Some(Change::Line(needle)),
            Draft::Stroke { before, mask, .. } if changed(&before, &mask).is_some() => {
                Some(Change::Painted([before, mask]))
            }
            _ => None,
        }
    }

    /// Forget what is being drawn; true when there was something.
    pub fn cancel(&mut self) -> bool {
        self.draft.take().is_some()
    }

    /// True while something is being drawn.
    pub fn is_drawing(&self) -> bool {
        self.draft.is_some()
    }

    /// True while keys move a part of the line.
    pub fn is_nudged(&self) -> bool {
        matches!(self.draft, Some(Draft::Move { from: None, .. }))
    }

    /// The line that is being drawn or moved.
    pub fn needle(&self) -> Option<Needle> {
        match &self.draft {
            Some(Draft::Line { needle, .. } | Draft::Move { needle, .. }) => Some(*needle),
            _ => None,
        }
    }

    /// The mask that is being painted.
    pub fn mask(&self) -> Option<&Arc<Mask>> {
        match &self.draft {
            Some(Draft::Stroke { mask, .. }) => Some(mask),
            _ => None,
        }
    }

    /// The part of the line that keys move.
    pub fn taken(&self) -> Option<Handle> {
        self.taken
    }

    /// Take a part of the line for the keys, or none.
    pub fn take(&mut self, handle: Option<Handle>) {
        self.taken = handle;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEEDLE: Needle = Needle { entry: Point { x: 10.0, y: 5.0 }, tip: Point { x: 40.0, y: 25.0 } };

    fn at(x: f64, y: f64) -> Point {
        Point { x, y }
    }

    fn picture(needle: Option<Needle>) -> Picture {
        Picture { size: [40, 60], needle, proposed: false, reach: 4.0 }
    }

    #[test]
    fn a_line_comes_of_two_clicks_or_of_a_drag() {
        let mut hand = Hand::default();
        let none = picture(None);
        let expected = Some(Change::Line(Needle { entry: at(3.0, 4.0), tip: at(30.0, 20.0) }));
        hand.press_line(at(3.0, 4.0), &none);
        assert_eq!(hand.released(&none), None, "the second end is waited for");
        hand.moved(&[at(99.0, 99.0)], &none);
        assert_eq!(hand.needle().unwrap().tip, at(59.5, 39.5), "it ends at the edge of the picture");
        hand.press_line(at(29.0, 20.0), &none);
        hand.moved(&[at(30.0, 20.0)], &none);
        assert_eq!(hand.released(&none), expected);
        assert_eq!((hand.is_drawing(), hand.taken()), (false, Some(Handle::Tip)));
        hand.press_line(at(3.0, 4.0), &none);
        hand.moved(&[at(10.0, 10.0), at(30.0, 20.0)], &none);
        assert_eq!(hand.released(&none), expected);
        hand.press_line(at(3.0, 4.0), &none);
        hand.released(&none);
        assert_eq!(hand.settle(), None, "half a line is none");
        assert!(!hand.cancel());
    }

    #[test]
    fn an_end_or_the_whole_line_is_dragged_and_a_click_changes_nothing() {
        let mut hand = Hand::default();
        let there = picture(Some(NEEDLE));
        let mut drag = |from: Point, to: Point| {
            hand.press_line(from, &there);
            hand.moved(&[to], &there);
            hand.released(&there)
        };
        let moved = |needle| Some(Change::Line(needle));
        assert_eq!(drag(at(41.0, 25.0), at(46.0, 22.0)), moved(Needle { tip: at(45.0, 22.0), ..NEEDLE }));
        assert_eq!(drag(at(10.0, 5.0), at(11.0, 5.0)), moved(Needle { entry: at(11.0, 5.0), ..NEEDLE }));
        let whole = Needle { entry: at(12.0, 6.0), tip: at(42.0, 26.0) };
        assert_eq!(drag(at(25.0, 15.0), at(27.0, 16.0)), moved(whole));
        assert_eq!(drag(at(25.0, 15.0), at(25.0, 15.0)), None);
        assert!(matches!(drag(at(50.0, 5.0), at(20.0, 30.0)), Some(Change::Line(_))), "away from it a new one begins");
    }

    #[test]
    fn keys_move_what_is_taken_and_many_of_them_are_one_change() {
        let mut hand = Hand::default();
        let there = picture(Some(NEEDLE));
        assert!(!hand.nudge([1.0, 0.0], &there), "nothing is taken");
        hand.take(Some(Handle::Tip));
        for _ in 0..3 {
            assert!(hand.nudge([1.0, 0.0], &there));
        }
        assert!(hand.nudge([0.0, -10.0], &there) && hand.is_nudged());
        hand.moved(&[at(0.0, 0.0)], &there);
        let moved = Needle { tip: at(43.0, 15.0), ..NEEDLE };
        assert_eq!(hand.needle(), Some(moved));
        assert_eq!(hand.settle(), Some(Change::Line(moved)));
        assert!(!hand.nudge([1.0, 0.0], &picture(None)));
    }

    #[test]
    fn a_stroke_is_one_change_and_can_be_given_up() {
        let mut hand = Hand::default();
        let (there, empty) = (picture(None), Arc::new(Mask::empty(40, 60)));
        let brush = Brush { radius_px: 2.0, class: 1, only_over: None };
        hand.press_brush(at(10.0, 10.0), brush, empty.clone());
        hand.moved(&[at(15.0, 10.0), at(20.0, 12.0)], &there);
        hand.moved(&[at(30.0, 12.0)], &there);
        let mut expected = Mask::empty(40, 60);
        brush.paint(&mut expected, &[at(10.0, 10.0), at(15.0, 10.0), at(20.0, 12.0), at(30.0, 12.0)]);
        assert_eq!(hand.mask().map(Arc::as_ref), Some(&expected));
        assert_eq!(hand.released(&there), Some(Change::Painted([empty.clone(), Arc::new(expected)])));
        hand.press_brush(at(10.0, 10.0), brush, empty.clone());
        assert!(hand.cancel() && hand.released(&there).is_none());
        hand.press_brush(at(10.0, 10.0), Brush { class: 0, ..brush }, empty.clone());
        assert_eq!(hand.released(&there), None, "erasing nothing changes nothing");
        let full = hand.press_fill(at(1.0, 1.0), 2, empty.clone());
        assert!(
            matches!(full, Some(Change::Painted([before, after])) if before == empty && after.classes == [2; 2400])
        );
        assert_eq!(hand.press_fill(at(-3.0, 1.0), 2, empty), None);
    }

    #[test]
    fn the_line_of_a_model_gives_way_to_one_that_is_drawn() {
        let proposed = Picture { proposed: true, ..picture(Some(NEEDLE)) };
        // From near its entry to near its tip: a new line, not one without length.
        let mut hand = Hand::default();
        hand.press_line(at(11.0, 6.0), &proposed);
        hand.moved(&[at(41.0, 26.0)], &proposed);
        let new = Needle { entry: at(11.0, 6.0), tip: at(41.0, 26.0) };
        assert_eq!(hand.released(&proposed), Some(Change::Line(new)));
        // Along it, and by two clicks.
        let mut hand = Hand::default();
        hand.press_line(at(25.0, 15.0), &proposed);
        hand.moved(&[at(55.0, 30.0)], &proposed);
        let along = Needle { entry: at(25.0, 15.0), tip: at(55.0, 30.0) };
        assert_eq!(hand.released(&proposed), Some(Change::Line(along)));
        let mut hand = Hand::default();
        for (place, change) in [(at(10.0, 5.0), None), (at(50.0, 30.0), Some(()))] {
            hand.press_line(place, &proposed);
            assert_eq!(hand.released(&proposed).map(drop), change);
        }
        // An end of it can be set right.
        let mut hand = Hand::default();
        hand.press_line(at(40.0, 25.0), &proposed);
        hand.moved(&[at(45.0, 28.0)], &proposed);
        assert_eq!(hand.released(&proposed), Some(Change::Line(Needle { tip: at(45.0, 28.0), ..NEEDLE })));
        // A person's own line never loses its length by a slip.
        let mine = picture(Some(NEEDLE));
        hand.press_line(at(10.0, 5.0), &mine);
        hand.moved(&[at(39.0, 25.0)], &mine);
        assert_eq!(hand.released(&mine), None);
        assert!(!hand.is_drawing());
    }
}
