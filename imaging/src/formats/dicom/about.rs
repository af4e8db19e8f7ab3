//! What the attributes of a DICOM object say about the person, the time and millimetres.

use super::attributes::{Attributes, number, numbers, text};
use super::elements::Elements;
use crate::geometry::{Scale, ScaleRegion, Spacing};
use dicom_dictionary_std::tags;

/// What programs write in place of a patient's number that they have taken away. A number behind it, as in ANON0001, is
/// the number that a study gives to the patient.
const NOBODY: [&str; 22] = [
    "anon",
    "anonym",
    "anonymous",
    "anonymized",
    "anonymised",
    "anonymizer",
    "patient",
    "id",
    "name",
    "no",
    "not",
    "none",
    "null",
    "na",
    "unknown",
    "undefined",
    "unidentified",
    "deidentified",
    "removed",
    "redacted",
    "hidden",
    "simulated",
];

/// The patient's number, or the examination's where the patient's is taken away.
pub(super) fn person(main: &Attributes) -> Option<String> {
    let id = text(main, tags::PATIENT_ID);
    let id = if is_placeholder(id) { text(main, tags::STUDY_INSTANCE_UID) } else { id };
    Some(id.to_owned()).filter(|id| !id.is_empty())
}

fn is_placeholder(id: &str) -> bool {
    let small = id.to_lowercase().replace("de-identified", "deidentified").replace("n/a", "na");
    let mut words = small.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.all(|word| NOBODY.contains(&word) || word.chars().all(|c| matches!(c, '0' | 'x')))
}

/// Frame Time Vector, Frame Time, Recommended Display Frame Rate, Cine Rate: the first that is there (PS3.3 C.7.6.5).
pub(super) fn frame_times_us(main: &Attributes, count: usize) -> Option<Vec<u64>> {
    if count < 2 {
        return None;
    }
    // An hour between two frames is not a clip.
    let sound = |step_ms: f64| (step_ms.is_finite() && step_ms > 0.0 && step_ms <= 3.6e6).then_some(step_ms);
    let steps = numbers(main, tags::FRAME_TIME_VECTOR);
    if steps.len() == count && steps[1..].iter().all(|&step| sound(step).is_some()) {
        let mut now = 0.0;
        let later = steps[1..].iter().map(|step| {
            now += step;
            (now * 1000.0).round() as u64
        });
        return Some(std::iter::once(0).chain(later).collect());
    }
    let step_ms = number(main, tags::FRAME_TIME)
        .and_then(sound)
        .or_else(|| number(main, tags::RECOMMENDED_DISPLAY_FRAME_RATE).and_then(|rate| sound(1000.0 / rate)))
        .or_else(|| number(main, tags::CINE_RATE).and_then(|rate| sound(1000.0 / rate)))?;
    Some((0..count).map(|index| (index as f64 * step_ms * 1000.0).round() as u64).collect())
}

/// That the file gives times for another number of frames, which makes them useless.
pub(super) fn times_note(main: &Attributes, count: usize) -> Option<String> {
    let steps = numbers(main, tags::FRAME_TIME_VECTOR).len();
    (count > 1 && steps > 0 && steps != count)
        .then(|| format!("It gives the times of {steps} frames and holds {count}, so these times are not used."))
}

/// Millimetres from the ultrasound regions, else from the pixel spacing of other modalities. Ultrasound has a scale
/// inside its regions only, and a detector's spacing (Imager Pixel Spacing) is not the patient's.
///
/// A region that reaches out of the image belongs to an image of another size: somebody scaled or cropped the pixels
/// and left the regions alone, so that no length in the file can be trusted.
pub(super) fn scale(elements: &Elements, height: f64, width: f64) -> Scale {
    let regions: Vec<ScaleRegion> = elements.regions.iter().filter_map(region).collect();
    if regions.iter().any(|r| r.right > width || r.bottom > height) {
        return Scale::Unknown;
    }
    if !regions.is_empty() {
        return Scale::Regions(regions);
    }
    let main = &elements.main;
    if is_ultrasound(text(main, tags::MODALITY), text(main, tags::SOP_CLASS_UID)) {
        return Scale::Unknown;
    }
    // Pixel Spacing: from row to row, then from column to column.
    match numbers(main, tags::PIXEL_SPACING)[..] {
        [y_mm, x_mm] if plausible(x_mm) && plausible(y_mm) => Scale::Everywhere(Spacing { x_mm, y_mm }),
        _ => Scale::Unknown,
    }
}

/// Ultrasound by its modality or by its class: multi-frame (3.1), still (6.1), volume (6.2), and the retired 3 and 6.
fn is_ultrasound(modality: &str, class: &str) -> bool {
    let storage = class.strip_prefix("1.2.840.10008.5.1.4.1.1.").unwrap_or_default();
    matches!(modality, "US" | "IVUS")
        || matches!(storage, "3" | "6")
        || storage.starts_with("3.1")
        || storage.starts_with("6.")
}

fn plausible(spacing_mm: f64) -> bool {
    spacing_mm.is_finite() && spacing_mm > 0.0 && spacing_mm < 1000.0
}

/// A region of tissue in two dimensions, measured in centimetres (PS3.3 C.8.5.5).
fn region(item: &Attributes) -> Option<ScaleRegion> {
    let is = |tag, code: f64| number(item, tag) == Some(code);
    let two_dimensional_tissue = is(tags::REGION_SPATIAL_FORMAT, 1.0) && is(tags::REGION_DATA_TYPE, 1.0);
    let centimetres = is(tags::PHYSICAL_UNITS_X_DIRECTION, 3.0) && is(tags::PHYSICAL_UNITS_Y_DIRECTION, 3.0);
    if !two_dimensional_tissue || !centimetres {
        return None;
    }
    let (left, top) = (number(item, tags::REGION_LOCATION_MIN_X0)?, number(item, tags::REGION_LOCATION_MIN_Y0)?);
    let (right, bottom) = (number(item, tags::REGION_LOCATION_MAX_X1)?, number(item, tags::REGION_LOCATION_MAX_Y1)?);
    let x_mm = 10.0 * number(item, tags::PHYSICAL_DELTA_X)?.abs();
    let y_mm = 10.0 * number(item, tags::PHYSICAL_DELTA_Y)?.abs();
    let sound = left <= right && top <= bottom && plausible(x_mm) && plausible(y_mm);
    sound.then_some(ScaleRegion { left, top, right, bottom, spacing: Spacing { x_mm, y_mm } })
}
