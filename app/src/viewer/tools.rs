//! The tool in hand, and what it is drawing.

use leptos::prelude::*;
use sonoseg_imaging::geometry::Point;

use crate::annotate::{Frame, Hand, Tool};

/// The store. Cheap to copy.
#[derive(Clone, Copy)]
pub(crate) struct Tools {
    pub(crate) tool: RwSignal<Tool>,
    /// Diameter of the brush in pixels of the frame.
    pub(crate) brush: RwSignal<f64>,
    /// Diameter of the eraser.
    pub(crate) eraser: RwSignal<f64>,
    /// The class that is painted.
    pub(crate) class: RwSignal<u8>,
    pub(crate) hand: RwSignal<Hand>,
    /// The frame that the hand draws on.
    pub(crate) place: RwSignal<Option<Frame>>,
    /// Where the pointer is over the picture, in pixels of the frame.
    pub(crate) pointer: RwSignal<Option<Point>>,
    /// The picture is moved while a key is held, whatever the tool.
    pub(crate) moving: RwSignal<bool>,
    /// It was moved so since that key is down.
    pub(crate) moved: StoredValue<bool>,
    /// What was done last, in words.
    pub(crate) said: RwSignal<String>,
}

impl Tools {
    pub(crate) fn new() -> Self {
        Self {
            tool: RwSignal::new(Tool::Look),
            brush: RwSignal::new(8.0),
            eraser: RwSignal::new(16.0),
            class: RwSignal::new(1),
            hand: RwSignal::new(Hand::default()),
            place: RwSignal::new(None),
            pointer: RwSignal::new(None),
            moving: RwSignal::new(false),
            moved: StoredValue::new(false),
            said: RwSignal::new(String::new()),
        }
    }

    /// The diameter that belongs to a tool: the eraser has one of its own.
    pub(crate) fn size(&self, tool: Tool) -> RwSignal<f64> {
        if tool == Tool::Eraser { self.eraser } else { self.brush }
    }
}
