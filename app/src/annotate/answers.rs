//! From what a person says or draws to a step of the project.

use std::sync::Arc;

use sonoseg_imaging::annotation::{Answer, By, ClipKey, Edit, Patch, Step, Verdict, line_of};
use sonoseg_imaging::geometry::{Mask, Needle};

use super::Change;
use crate::overlay::changed;

/// What a person can say of a frame by one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// What the model found is right.
    Accept,
    /// There is nothing to be found.
    Nothing,
    /// The frame is of no use.
    Exclude,
    /// It is as the frame before.
    Repeat,
    /// No answer any more.
    TakeBack,
}

/// What is shown on a frame, by a person or by the model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shown {
    /// The line.
    pub needle: Option<Needle>,
    /// The mask at the size of the frame, where it is not the line's.
    pub mask: Option<Arc<Mask>>,
}

impl Shown {
    /// What a person said.
    pub fn of(answer: &Answer) -> Self {
        Self { needle: answer.needle, mask: answer.mask.clone().map(Arc::new) }
    }

    /// As an answer. Where it is empty there is nothing to be found.
    fn answer(&self, verdict: Verdict, by: By) -> Answer {
        let mask = self.mask.as_deref().filter(|mask| !mask.is_empty()).cloned();
        let bare = self.needle.is_none() && mask.is_none();
        Answer { needle: self.needle, mask, ..Answer::bare(if bare { Verdict::Nothing } else { verdict }, by) }
    }
}

/// The frame that an answer is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Of which clip.
    pub clip: ClipKey,
    /// Its number.
    pub number: usize,
    /// Rows and columns.
    pub size: [usize; 2],
    /// Needles are looked for: a line is fitted to what is painted.
    pub needles: bool,
}

impl Frame {
    /// What the model found is right.
    pub fn accept(&self, found: &Shown, by: By) -> Step {
        self.step("accept", Some(found.answer(Verdict::Accepted, by)))
    }

    /// There is nothing to be found, or the frame is of no use.
    pub fn say(&self, verdict: Verdict, by: By) -> Step {
        let name = if verdict == Verdict::Excluded { "exclude" } else { "nothing there" };
        self.step(name, Some(Answer::bare(verdict, by)))
    }

    /// The same as on another frame, whose answer this is, or what the model found there.
    pub fn repeat(&self, verdict: Option<Verdict>, shown: &Shown, by: By) -> Step {
        let answer = match verdict {
            Some(verdict @ (Verdict::Nothing | Verdict::Excluded)) => Answer::bare(verdict, by),
            Some(Verdict::Accepted | Verdict::Corrected) | None => shown.answer(Verdict::Corrected, by),
        };
        self.step("same as before", Some(answer))
    }

    /// Take the answer back.
    pub fn reopen(&self) -> Step {
        self.step("take back", None)
    }

    /// The line has its ends exchanged; what was painted stays.
    pub fn turn(&self, turned: Needle, so_far: Option<&Answer>, by: By) -> Step {
        let answer = Answer { needle: Some(turned), ..Answer::bare(Verdict::Corrected, by) };
        if so_far.is_none() {
            return self.step("turn round", Some(answer));
        }
        let edit = Edit::Amend { clip: self.clip.clone(), frame: self.number, answer };
        Step { edits: vec![edit], ..self.step("turn round", None) }
    }

    /// What was drawn on the frame, whose answer so far this is. A line is fitted to a mask that is painted for a needle,
    /// and a line that is drawn has its own mask.
    pub fn drawn(&self, change: &Change, so_far: Option<&Answer>, by: By) -> Option<Step> {
        let corrected = |needle| Answer { needle, ..Answer::bare(Verdict::Corrected, by) };
        let [before, mask] = match change {
            Change::Line(needle) => return Some(self.step("line", Some(corrected(Some(*needle))))),
            Change::Painted(masks) => masks,
        };
        let [corner, size] = changed(before, mask)?;
        let answer = corrected(self.fitted(mask, so_far.and_then(|answer| answer.needle)));
        if so_far.is_none_or(|answer| answer.mask.is_none()) {
            return Some(self.step("paint", Some(Answer { mask: Some(Mask::clone(mask)), ..answer })));
        }
        // The answer first: one that says that nothing is there may not have a painted mask, not even on the way back.
        let (clip, frame, patch) = (self.clip.clone(), self.number, Patch::of(mask, corner, size));
        let edits = vec![Edit::Amend { clip: clip.clone(), frame, answer }, Edit::Paint { clip, frame, patch }];
        Some(Step { edits, ..self.step("paint", None) })
    }

    /// The line of a painted mask; its tip stays at the end where a person had it.
    fn fitted(&self, mask: &Mask, so_far: Option<Needle>) -> Option<Needle> {
        let found = self.needles.then(|| line_of(mask)).flatten()?;
        let turned = so_far.is_some_and(|needle| {
            let ([ax, ay], [bx, by]) = (needle.step(None), found.step(None));
            ax * bx + ay * by < 0.0
        });
        Some(if turned { Needle { entry: found.tip, tip: found.entry } } else { found })
    }

    fn step(&self, name: &str, answer: Option<Answer>) -> Step {
        let edit = Edit::Answer { clip: self.clip.clone(), frame: self.number, answer };
        Step { name: format!("{name}, frame {}", self.number + 1), edits: vec![edit] }
    }
}

#[cfg(test)]
mod tests {
    use sonoseg_imaging::annotation::{Brush, ClipRecord, Entry, Project, line_mask};
    use sonoseg_imaging::geometry::Point;

    use super::super::Hand;
    use super::*;

    const NEEDLE: Needle = Needle { entry: Point { x: 10.0, y: 5.0 }, tip: Point { x: 40.0, y: 25.0 } };

    fn frame() -> Frame {
        Frame { clip: "aa".to_owned(), number: 1, size: [60, 80], needles: true }
    }

    fn project() -> Project {
        let record = ClipRecord {
            name: "clip".into(),
            frames: 2,
            height: 60,
            width: 80,
            answers: std::collections::BTreeMap::new(),
        };
        let mut project = Project::default();
        project.apply(Entry::Opened { clip: "aa".into(), record }).unwrap();
        project
    }

    fn answer(project: &Project) -> &Answer {
        project.document().answer("aa", 1).unwrap()
    }

    #[test]
    fn what_is_accepted_is_what_was_found_and_nothing_found_is_nothing_there() {
        let by = By { name: "Ada".into(), at_ms: 7, model: Some("m".into()) };
        let mut project = project();
        let found = Shown { needle: Some(NEEDLE), mask: None };
        let step = frame().accept(&found, by.clone());
        assert_eq!(step.name, "accept, frame 2");
        project.apply(Entry::Do(step)).unwrap();
        let said = answer(&project);
        assert_eq!((said.verdict, said.needle, &said.by), (Verdict::Accepted, Some(NEEDLE), &by));
        let empty = Shown { needle: None, mask: Some(Arc::new(Mask::empty(60, 80))) };
        project.apply(Entry::Do(frame().accept(&empty, by.clone()))).unwrap();
        assert_eq!(answer(&project), &Answer::bare(Verdict::Nothing, by.clone()));
        project.apply(Entry::Do(frame().repeat(Some(Verdict::Accepted), &found, by.clone()))).unwrap();
        assert_eq!((answer(&project).verdict, answer(&project).needle), (Verdict::Corrected, Some(NEEDLE)));
        project.apply(Entry::Do(frame().repeat(Some(Verdict::Excluded), &Shown::default(), by.clone()))).unwrap();
        assert_eq!(answer(&project).verdict, Verdict::Excluded);
        project.apply(Entry::Do(frame().say(Verdict::Nothing, by))).unwrap();
        project.apply(Entry::Do(frame().reopen())).unwrap();
        assert_eq!(project.document().answer("aa", 1), None);
        assert_eq!(project.to_undo(), Some("take back, frame 2"));
    }

    #[test]
    fn a_line_is_fitted_to_what_is_painted_and_a_stroke_is_one_step() {
        let (mut project, mut hand) = (project(), Hand::default());
        let mut stroke = |project: &mut Project, class: u8, before: Arc<Mask>, way: &[Point]| {
            hand.press_brush(way[0], Brush { radius_px: 1.5, class, only_over: None }, before);
            hand.moved(way, &super::super::Picture { size: [60, 80], needle: None, proposed: false, reach: 4.0 });
            let change = hand.settle().unwrap();
            let step = frame().drawn(&change, project.document().answer("aa", 1), By::default()).unwrap();
            project.apply(Entry::Do(step.clone())).unwrap();
            step
        };
        stroke(&mut project, 1, Arc::new(Mask::empty(60, 80)), &[NEEDLE.entry, NEEDLE.tip]);
        let first = answer(&project).clone();
        let ends = |needle: &Needle| needle.tip.distance_px(NEEDLE.tip).max(needle.entry.distance_px(NEEDLE.entry));
        assert!(ends(&first.needle.unwrap()) < 1.5, "{first:?}");
        let longer = Point { x: 55.0, y: 35.0 };
        let step = stroke(&mut project, 1, Arc::new(first.mask.clone().unwrap()), &[NEEDLE.tip, longer]);
        assert!(matches!(step.edits[..], [Edit::Amend { .. }, Edit::Paint { .. }]), "{step:?}");
        let second = answer(&project).clone();
        assert!(second.needle.unwrap().tip.distance_px(longer) < 1.5, "the line follows");
        stroke(
            &mut project,
            0,
            Arc::new(second.mask.clone().unwrap()),
            &[Point { x: 0.0, y: 0.0 }, longer, NEEDLE.entry],
        );
        project.apply(Entry::Undo).unwrap();
        assert_eq!(answer(&project), &second);
        project.apply(Entry::Undo).unwrap();
        assert_eq!(answer(&project), &first);
        let turned = Needle { entry: NEEDLE.tip, tip: NEEDLE.entry };
        project.apply(Entry::Do(frame().turn(turned, Some(&first), By::default()))).unwrap();
        assert_eq!((answer(&project).needle, &answer(&project).mask), (Some(turned), &first.mask));
        let line = frame().drawn(&Change::Line(NEEDLE), Some(&first), By::default()).unwrap();
        project.apply(Entry::Do(line)).unwrap();
        assert_eq!((answer(&project).needle, &answer(&project).mask), (Some(NEEDLE), &None));
    }

    #[test]
    fn a_line_that_was_turned_round_stays_so_when_it_is_painted() {
        let turned = Needle { entry: NEEDLE.tip, tip: NEEDLE.entry };
        let fitted = |so_far| frame().fitted(&line_mask(&NEEDLE, [60, 80]), Some(so_far)).unwrap();
        assert!(fitted(NEEDLE).tip.distance_px(NEEDLE.tip) < 1.0);
        assert!(fitted(turned).tip.distance_px(NEEDLE.entry) < 1.0);
        let area = Frame { needles: false, ..frame() };
        assert_eq!(area.fitted(&line_mask(&NEEDLE, [60, 80]), None), None);
    }
}
