//! The frame on the screen in words: for the eye in a few, in full for those who do not see it, and who said so.

use leptos::prelude::*;
use wasm_bindgen::JsValue;

use crate::annotate::Standing;
use crate::finding;
use crate::timeline::FrameState;
use crate::viewer::Viewer;
use crate::viewer::notices::Stage;

/// The state of the frame in a word for the style and in words for people.
pub(super) fn verdict(viewer: Viewer) -> (&'static str, String) {
    let words = match (viewer.notices.stage.get(), viewer.standing(), viewer.shown_state().unwrap_or_default()) {
        (Stage::Stopped(reason), ..) => return ("stopped", reason),
        (Stage::Starting(what), None, _) => return ("starting", format!("{what}\u{2026}")),
        (_, None, _) => ("empty", "Open or drop ultrasound images, DICOM or video"),
        (_, Some(standing @ Standing::Answered(_)), _) => {
            let words = viewer.findings.finding.with(|finding| standing.words(finding));
            return (standing.name(), format!("{} {words}", standing.glyph()));
        }
        (_, _, FrameState::Seen(confidence)) => {
            return ("seen", viewer.findings.finding.with(|finding| finding::seen_by(finding, confidence)));
        }
        (_, _, FrameState::Unlike) => ("unlike", finding::UNLIKE),
        (_, _, FrameState::NotSeen) => ("none", viewer.findings.finding.with(finding::not_seen)),
        (_, _, FrameState::Failed) => ("failed", "This frame failed"),
        (Stage::Starting(what), ..) => return ("starting", format!("{what}\u{2026}")),
        (Stage::Ready, ..) if viewer.findings.model.with(Option::is_none) => ("no-model", "No model: pictures only"),
        _ => ("waiting", "Looking\u{2026}"),
    };
    (words.0, words.1.to_owned())
}

/// The frame in words, for those who do not see it.
pub(super) fn describe(viewer: Viewer) -> String {
    let Some(clip) = viewer.media.clip.get() else { return "No picture".to_owned() };
    let frame = viewer.view.frame.get() + 1;
    let standing = viewer.standing().map_or("", |standing| viewer.findings.finding.with(|of| standing.words(of)));
    let unlike = viewer.shown_state() == Some(FrameState::Unlike);
    let found = match viewer.line().filter(|line| line.detection.is_none() || !unlike) {
        Some(line) => {
            let (tip, angle) = (line.needle.tip, line.needle.angle_deg(line.spacing));
            let (x, y) = (tip.x, tip.y);
            let sure = line.detection.map_or_else(String::new, |found| {
                format!(", model confidence {:.0} percent", found.confidence * 100.0)
            });
            format!("{standing}, needle, tip at {x:.0}, {y:.0}, angle {angle:.0} degrees{sure}")
        }
        None => verdict(viewer).1,
    };
    format!("{}, frame {frame} of {}: {found}", clip.name, clip.frames)
}

/// Who answered for the frame on the screen, when, and what was there to see; or which model predicted it.
pub(super) fn provenance(viewer: Viewer) -> String {
    let Some(frame) = viewer.frame() else { return String::new() };
    viewer.annotations.project.with(|project| {
        if let Some(answer) = project.document().answer(&frame.clip, frame.number) {
            let who = match answer.by.name.as_str() {
                "" => "Answered".to_owned(),
                name => format!("By {name},"),
            };
            let when = js_sys::Date::new(&JsValue::from_f64(answer.by.at_ms as f64));
            let when: String = when.to_locale_string("default", &JsValue::UNDEFINED).into();
            let model = answer.by.model.as_ref().map_or_else(String::new, |model| format!(", with {model}"));
            return format!("{who} {when}{model}");
        }
        let model = project.predicted(&frame.clip, frame.number).map(|predicted| predicted.model.as_str());
        model.map_or_else(String::new, |model| format!("By the model {model}"))
    })
}
