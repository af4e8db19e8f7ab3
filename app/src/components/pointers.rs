//! Pointers on the picture: mouse, pen and fingers move and zoom it, or draw on it with the tool in hand.

use std::collections::BTreeMap;

use leptos::prelude::*;
use sonoseg_imaging::geometry::Point;
use wasm_bindgen::JsCast;
use web_sys::PointerEvent;

use crate::marking;
use crate::paint::density;
use crate::viewer::Viewer;

/// The middle button among those that are down.
const MIDDLE: u16 = 4;

/// What is on the picture at the moment. Cheap to copy.
#[derive(Clone, Copy)]
pub(super) struct Pointers {
    /// Pointers that are down, in canvas pixels.
    down: StoredValue<BTreeMap<i32, (f64, f64)>>,
    /// The one that draws.
    drawing: StoredValue<Option<i32>>,
    /// A pen was there: fingers then only move the picture, and a palm draws nothing.
    pen: StoredValue<bool>,
}

impl Pointers {
    pub(super) fn new() -> Self {
        Self { down: StoredValue::new(BTreeMap::new()), drawing: StoredValue::new(None), pen: StoredValue::new(false) }
    }

    /// A pointer is pressed: the first one draws when a tool is in hand, and moves the picture otherwise. A second one ends
    /// the drawing.
    pub(super) fn pressed(&self, viewer: Viewer, event: &PointerEvent) {
        let id = event.pointer_id();
        self.down.update_value(|all| {
            if event.is_primary() {
                // The first of its kind: of others that are still here the end was not heard.
                all.clear();
            }
            all.insert(id, at(event));
        });
        if event.pointer_type() == "pen" {
            self.pen.set_value(true);
        }
        if self.down.with_value(|all| all.len() > 1) {
            if self.drawing.get_value().is_some() {
                self.drawing.set_value(None);
                marking::cancel(viewer);
            }
            return;
        }
        let finger = event.pointer_type() == "touch" && self.pen.get_value();
        if event.button() == 0 && !finger && untrack(|| viewer.pointer_tool()).marks() {
            self.drawing.set_value(Some(id));
            marking::press(viewer, point(viewer, event), event.ctrl_key() || event.meta_key());
        }
    }

    /// A pointer has moved, pressed or not.
    pub(super) fn moved(&self, viewer: Viewer, event: &PointerEvent) {
        let id = event.pointer_id();
        viewer.tools.pointer.set(Some(point(viewer, event)));
        if event.buttons() & (1 | MIDDLE) == 0 {
            self.released(viewer, event);
            marking::drag(viewer, &[point(viewer, event)]);
        } else if self.drawing.get_value() == Some(id) {
            // Between two pictures there may be many places, and a stroke goes through all of them.
            let places = event.get_coalesced_events();
            let places = places.iter().filter_map(|place| place.dyn_into::<PointerEvent>().ok());
            let mut points: Vec<Point> = places.map(|place| point_beside(viewer, event, &place)).collect();
            points.push(point(viewer, event));
            marking::drag(viewer, &points);
        } else {
            self.move_picture(viewer, event);
        }
    }

    /// A pointer is up, or the browser took it away: what it drew counts.
    pub(super) fn released(&self, viewer: Viewer, event: &PointerEvent) {
        let id = event.pointer_id();
        self.down.update_value(|all| {
            all.remove(&id);
        });
        if self.drawing.get_value() == Some(id) {
            self.drawing.set_value(None);
            marking::release(viewer);
        }
    }

    /// One pointer moves the picture, two also zoom it.
    fn move_picture(&self, viewer: Viewer, event: &PointerEvent) {
        let (id, now_at) = (event.pointer_id(), at(event));
        let Some((was_at, other)) = self.down.with_value(|all| {
            let other = all.iter().find(|(other, _)| **other != id).map(|(_, at)| *at);
            all.get(&id).map(|was| (*was, other))
        }) else {
            return;
        };
        self.down.update_value(|all| {
            all.insert(id, now_at);
        });
        viewer.tools.moved.set_value(true);
        match other {
            None => viewer.move_view(|view| view.panned((now_at.0 - was_at.0, now_at.1 - was_at.1))),
            Some(other) => {
                let distance = |point: (f64, f64)| (point.0 - other.0).hypot(point.1 - other.1).max(1.0);
                let middle = ((now_at.0 + other.0) / 2.0, (now_at.1 + other.1) / 2.0);
                let by = ((now_at.0 - was_at.0) / 2.0, (now_at.1 - was_at.1) / 2.0);
                viewer.move_view(|view| view.panned(by).zoomed(distance(now_at) / distance(was_at), middle));
            }
        }
    }
}

/// A place in the layout of the canvas, in its own pixels.
pub(super) fn position(x: f64, y: f64) -> (f64, f64) {
    (x * density(), y * density())
}

fn at(event: &PointerEvent) -> (f64, f64) {
    position(event.offset_x(), event.offset_y())
}

/// The place in pixels of the frame.
fn point(viewer: Viewer, event: &PointerEvent) -> Point {
    point_beside(viewer, event, event)
}

/// The place of another event in pixels of the frame. Not all browsers say where those on the way lie in the canvas, so it
/// goes by the distance to the last one.
fn point_beside(viewer: Viewer, event: &PointerEvent, other: &PointerEvent) -> Point {
    let (dx, dy) = (other.client_x() - event.client_x(), other.client_y() - event.client_y());
    let at = position(event.offset_x() + dx, event.offset_y() + dy);
    let (x, y) = viewer.view.transform.with_untracked(|transform| transform.image(at));
    Point { x, y }
}
