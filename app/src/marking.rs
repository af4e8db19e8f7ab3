//! What tools and answers do to the page: from points on the picture and keys to entries of the project.

use leptos::prelude::*;
use sonoseg_imaging::annotation::{Brush, By, Entry, Handle, Project, Step, Verdict};
use sonoseg_imaging::dataset::finding::Finding;
use sonoseg_imaging::geometry::{Needle, Point};

use crate::annotate::{Change, Frame, Picture, Reply, Shown, Standing, Tool, next_size};
use crate::clock::date_ms;
use crate::paint::density;
use crate::timeline::{self, FrameState};
use crate::viewer::Viewer;

/// How near to a line is on it, in pixels of the layout.
const REACH: f64 = 12.0;

/// Where the name of the person is kept.
const NAME: &str = "sonoseg.name";

/// The pointer is pressed on the picture; `inverse` while the key for it is held.
pub(crate) fn press(viewer: Viewer, at: Point, inverse: bool) {
    here(viewer);
    settle_keys(viewer);
    let (Some(frame), Some(picture)) = (untrack(|| viewer.frame()), picture(viewer)) else { return };
    viewer.view.playing.set(false);
    let tools = viewer.tools;
    tools.place.set(Some(frame));
    let tool = untrack(|| viewer.tool());
    let size = tools.size(tool).get_untracked();
    let class = tool.class(tools.class.get_untracked().min(untrack(|| viewer.classes())), inverse);
    match tool {
        Tool::Look => {}
        Tool::Line => tools.hand.update(|hand| hand.press_line(at, &picture)),
        Tool::Brush | Tool::Eraser => {
            let brush = Brush { radius_px: size / 2.0, class, only_over: None };
            if let Some(mask) = viewer.ground() {
                tools.hand.update(|hand| hand.press_brush(at, brush, mask));
            }
        }
        Tool::Fill => {
            let mask = viewer.ground();
            let filled = tools.hand.try_update(|hand| hand.press_fill(at, class, mask?));
            commit(viewer, filled.flatten());
        }
    }
}

/// The pointer has come along these points, pressed or not.
pub(crate) fn drag(viewer: Viewer, points: &[Point]) {
    here(viewer);
    let drawing = viewer.tools.hand.with_untracked(|hand| hand.is_drawing());
    if let (true, Some(picture)) = (drawing, picture(viewer)) {
        viewer.tools.hand.update(|hand| hand.moved(points, &picture));
    }
}

/// The pointer is up.
pub(crate) fn release(viewer: Viewer) {
    here(viewer);
    let Some(picture) = picture(viewer) else { return };
    let change = viewer.tools.hand.try_update(|hand| hand.released(&picture));
    commit(viewer, change.flatten());
}

/// What is being drawn comes to its end.
pub(crate) fn settle(viewer: Viewer) {
    if viewer.tools.hand.with_untracked(|hand| hand.is_drawing()) {
        let change = viewer.tools.hand.try_update(|hand| hand.settle());
        commit(viewer, change.flatten());
    }
}

/// The key that moved a part of the line is up. What a pointer draws goes on.
pub(crate) fn settle_keys(viewer: Viewer) {
    if viewer.tools.hand.with_untracked(|hand| hand.is_nudged()) {
        settle(viewer);
    }
}

/// Give up what is being drawn; false when there is nothing.
pub(crate) fn cancel(viewer: Viewer) -> bool {
    viewer.tools.hand.try_update(|hand| hand.cancel()) == Some(true)
}

/// Take a tool in hand. The one for lines, taken twice, takes the whole line for the arrows.
pub(crate) fn choose(viewer: Viewer, tool: Tool) {
    settle(viewer);
    if !viewer.findings.finding.with_untracked(|finding| Tool::choices(finding).contains(&tool)) {
        return viewer.tools.said.set("An area has no line: paint it.".to_owned());
    }
    let again = viewer.tools.tool.get_untracked() == tool;
    viewer.tools.tool.set(tool);
    if again && tool == Tool::Line {
        take(viewer, Handle::Whole);
    } else {
        viewer.tools.hand.update(|hand| hand.take(None));
    }
}

/// Take a part of the line for the arrows.
pub(crate) fn take(viewer: Viewer, handle: Handle) {
    settle(viewer);
    if !viewer.findings.finding.with_untracked(Finding::is_needles) {
        return choose(viewer, Tool::Line);
    }
    let what = match handle {
        Handle::Tip => "The tip",
        Handle::Entry => "The entry",
        Handle::Whole => "The whole line",
    };
    let there = picture(viewer).is_some_and(|picture| picture.needle.is_some());
    let rest = if there { "is taken: arrows move it." } else { "is not there: Enter puts a line into the middle." };
    viewer.tools.said.set(format!("{what} {rest}"));
    viewer.tools.tool.set(Tool::Line);
    viewer.tools.place.set(untrack(|| viewer.frame()));
    viewer.tools.hand.update(|hand| hand.take(there.then_some(handle)));
}

/// Whether arrows move a part of the line on the screen.
pub(crate) fn is_taken(viewer: Viewer) -> bool {
    let taken = viewer.tools.hand.with_untracked(|hand| hand.taken().is_some());
    taken && untrack(|| viewer.hand_is_here() && viewer.line().is_some())
}

/// Arrows move what is taken. It counts when the key is up.
pub(crate) fn nudge(viewer: Viewer, by: [f64; 2]) {
    here(viewer);
    if let Some(picture) = picture(viewer) {
        viewer.view.playing.set(false);
        viewer.tools.hand.update(|hand| _ = hand.nudge(by, &picture));
    }
}

/// Put a line into the middle of a picture that has none, and take its tip.
pub(crate) fn place_line(viewer: Viewer) {
    settle(viewer);
    let (Some(frame), Some(picture)) = (untrack(|| viewer.frame()), picture(viewer)) else { return };
    if picture.needle.is_none() {
        let [height, width] = picture.size.map(|size| size as f64);
        let at = |share: f64| Point { x: (share * width).round(), y: (share * height).round() };
        let needle = Needle { entry: at(0.35), tip: at(0.65) };
        viewer.tools.place.set(Some(frame));
        commit(viewer, Some(Change::Line(needle)));
    }
    take(viewer, Handle::Tip);
}

/// Exchange entry and tip of the line on the screen.
pub(crate) fn turn(viewer: Viewer) {
    settle(viewer);
    let needle = picture(viewer).and_then(|picture| picture.needle);
    let (Some(frame), Some(needle)) = (untrack(|| viewer.frame()), needle) else { return };
    let turned = Needle { entry: needle.tip, tip: needle.entry };
    let by = by(viewer);
    let step =
        of_project(viewer, |project| frame.turn(turned, project.document().answer(&frame.clip, frame.number), by));
    make(viewer, &frame, step);
}

/// Answer for the frame on the screen; true when the next one may come.
pub(crate) fn reply(viewer: Viewer, reply: Reply) -> bool {
    settle(viewer);
    let Some(frame) = untrack(|| viewer.frame()) else { return false };
    let (said, by) = (verdict(viewer, &frame, frame.number), by(viewer));
    let step = match reply {
        // What a person drew is right as it is.
        Reply::Accept if matches!(said, Some(Verdict::Accepted | Verdict::Corrected)) => return true,
        Reply::Accept => viewer.found_in(frame.number).map(|found| frame.accept(&found, by)),
        Reply::Nothing => Some(frame.say(Verdict::Nothing, by)),
        Reply::Exclude => Some(frame.say(Verdict::Excluded, by)),
        Reply::Repeat => before(viewer, &frame).map(|(said, shown)| frame.repeat(said, &shown, by)),
        Reply::TakeBack => said.map(|_| frame.reopen()),
    };
    let Some(step) = step else {
        let why = match reply {
            Reply::Accept => "The model has said nothing of this frame yet.",
            Reply::Repeat => "Nothing is known of the frame before.",
            _ => "There is no answer to take back.",
        };
        viewer.tools.said.set(why.to_owned());
        return false;
    };
    make(viewer, &frame, step) && reply != Reply::TakeBack
}

/// Go to the next frame of the clip without a person's word; false where there is no other one.
pub(crate) fn next_open(viewer: Viewer) -> bool {
    settle(viewer);
    let Some(frame) = untrack(|| viewer.frame()) else { return false };
    let next = of_project(viewer, |project| {
        let answered = |number| project.document().answer(&frame.clip, number).is_some();
        timeline::next_open(viewer.media.frame_count(), frame.number, answered)
    });
    let next = next.filter(|&next| next != frame.number);
    viewer.view.playing.set(false);
    next.into_iter().for_each(|next| viewer.go_to(next));
    next.is_some()
}

/// Make the brush, or the eraser where that is in hand, larger or smaller.
pub(crate) fn resize(viewer: Viewer, by: i8) {
    let tool = untrack(|| viewer.tool());
    let size = viewer.tools.size(tool);
    size.update(|size| *size = next_size(*size, by));
    let name = if tool == Tool::Eraser { tool.name() } else { Tool::Brush.name() };
    viewer.tools.said.set(format!("{name}: {:.0} px.", size.get_untracked()));
}

/// Undo the last step, or make it again, and show where.
pub(crate) fn undo(viewer: Viewer, again: bool) {
    settle(viewer);
    let (name, place) = of_project(viewer, |project| {
        let (name, place) = if again {
            (project.to_redo(), project.place_of_redo())
        } else {
            (project.to_undo(), project.place_of_undo())
        };
        (name.map(str::to_owned), place.map(|(clip, frame)| (clip.clone(), frame)))
    });
    let (Some(name), Some((clip, frame))) = (name, place) else {
        viewer.tools.said.set(if again { "Nothing to redo." } else { "Nothing to undo." }.to_owned());
        return;
    };
    if !viewer.change(if again { Entry::Redo } else { Entry::Undo }) {
        return;
    }
    let what = if again { "Redone" } else { "Undone" };
    let shown = viewer.media.with_clip(|clip| clip.id.to_string());
    if shown.as_ref() == Some(&clip) {
        viewer.view.playing.set(false);
        frame.into_iter().for_each(|frame| viewer.go_to(frame));
        viewer.tools.said.set(format!("{what}: {name}."));
    } else {
        let record = |project: &Project| project.document().clips.get(&clip).map(|record| record.name.clone());
        let file = of_project(viewer, record).unwrap_or(clip);
        viewer.tools.said.set(format!("{what} in {file}: {name}."));
    }
}

/// The name that the person gave before.
pub(crate) fn recall_name(viewer: Viewer) {
    let kept = window().local_storage().ok().flatten().and_then(|storage| storage.get_item(NAME).ok().flatten());
    viewer.annotations.name.set(kept.unwrap_or_default());
}

/// The person's name from now on.
pub(crate) fn set_name(viewer: Viewer, name: String) {
    let storage = window().local_storage().ok().flatten();
    if storage.is_none_or(|storage| storage.set_item(NAME, &name).is_err()) {
        viewer.notices.info("This browser keeps nothing for this page: your name is forgotten when it is closed.");
    }
    viewer.annotations.name.set(name);
}

/// What was drawn on another frame counts there, before the hand draws on this one.
fn here(viewer: Viewer) {
    let idle = viewer.tools.hand.with_untracked(|hand| !hand.is_drawing() && hand.taken().is_none());
    if !idle && !untrack(|| viewer.hand_is_here()) {
        settle(viewer);
        viewer.tools.hand.update(|hand| hand.take(None));
    }
}

fn picture(viewer: Viewer) -> Option<Picture> {
    let size = untrack(|| viewer.frame())?.size;
    // Without what is being drawn: that is the hand's own.
    let (needle, proposed) = untrack(|| match viewer.drawn() {
        Some(drawn) => (drawn.needle, false),
        None => (viewer.detection().map(|(found, _)| found.needle), true),
    });
    let reach = REACH * density() / viewer.view.transform.with_untracked(|transform| transform.scale);
    Some(Picture { size, needle, proposed, reach })
}

/// What was drawn becomes the answer for the frame that it was drawn on.
fn commit(viewer: Viewer, change: Option<Change>) {
    let (Some(change), Some(frame)) = (change, viewer.tools.place.get_untracked()) else { return };
    let by = by(viewer);
    let step =
        of_project(viewer, |project| frame.drawn(&change, project.document().answer(&frame.clip, frame.number), by));
    if let Some(step) = step {
        make(viewer, &frame, step);
    }
}

/// Make a step, and say where its frame stands now.
fn make(viewer: Viewer, frame: &Frame, step: Step) -> bool {
    let made = viewer.change(Entry::Do(step));
    if made {
        let standing = verdict(viewer, frame, frame.number).map_or(Standing::Open, Standing::Answered);
        let words = viewer.findings.finding.with_untracked(|finding| standing.words(finding));
        let words = if standing == Standing::Open { "no answer" } else { words };
        viewer.tools.said.set(format!("Frame {}: {}.", frame.number + 1, words.to_lowercase()));
    }
    made
}

/// What is known of the frame before: what a person said, or what the model found.
fn before(viewer: Viewer, frame: &Frame) -> Option<(Option<Verdict>, Shown)> {
    let number = frame.number.checked_sub(1)?;
    let said = of_project(viewer, |project| {
        let answer = project.document().answer(&frame.clip, number)?;
        Some((Some(answer.verdict), Shown::of(answer)))
    });
    said.or_else(|| Some((None, viewer.found_in(number)?)))
}

fn verdict(viewer: Viewer, frame: &Frame, number: usize) -> Option<Verdict> {
    of_project(viewer, |project| Some(project.document().answer(&frame.clip, number)?.verdict))
}

/// Who answers now, having seen what the model found.
fn by(viewer: Viewer) -> By {
    let seen = untrack(|| viewer.shown_state()).is_some_and(|state| state != FrameState::Waiting);
    let model = viewer.findings.model.with_untracked(|model| model.as_ref().map(|model| model.name.clone()));
    let name = viewer.annotations.name.get_untracked().trim().to_owned();
    By { name, at_ms: date_ms(), model: model.filter(|_| seen) }
}

fn of_project<T>(viewer: Viewer, read: impl FnOnce(&Project) -> T) -> T {
    viewer.annotations.project.with_untracked(read)
}
