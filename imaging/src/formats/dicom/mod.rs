//! DICOM images: what the attributes say about frames, time and millimetres. The pixels themselves: `pixels.rs`.

mod elements;
#[cfg(test)]
pub(super) mod fixtures;
mod pixels;
mod rle;
pub mod video;

use super::{Refusal, check_size};
use crate::geometry::{Image, Scale, ScaleRegion, Spacing};
use dicom_core::Tag;
use dicom_dictionary_std::{tags, uids};
use elements::{Attributes, EXPLICIT_BIG_ENDIAN, Elements, PixelData, number, text};
use pixels::{Compression, Format};
use std::ops::Range;

/// An opened DICOM object with at least one frame.
#[derive(Debug)]
pub struct Dicom {
    elements: Elements,
    format: Format,
    /// For each frame the ranges of the file that hold it.
    frames: Vec<Vec<Range<usize>>>,
    times_us: Option<Vec<u64>>,
    scale: Scale,
    notes: Vec<String>,
}

impl Dicom {
    /// Walk the data set and check that every frame's bytes are there; decode nothing.
    pub(super) fn open(bytes: Vec<u8>) -> Result<Self, Refusal> {
        let elements = Elements::read(bytes)?;
        let compression = compression(&elements)?;
        if matches!(elements.pixels, PixelData::Absent) {
            return Err(Refusal::unreadable(
                "There are no pixel data in it: it is cut short, or a report, a waveform or the like.",
            ));
        }
        let main = &elements.main;
        let (height, width) = (required(main, tags::ROWS, "Rows")?, required(main, tags::COLUMNS, "Columns")?);
        check_size(height.into(), width.into())?;
        let format = Format::of(&elements, height as usize, width as usize, compression)?;
        let count = number(main, tags::NUMBER_OF_FRAMES).unwrap_or(1.0);
        if !(1.0..=f64::from(u32::MAX)).contains(&count) {
            return Err(Refusal::Unreadable(format!("It says that it has {count} frames. Export it again.")));
        }
        let frames = match &elements.pixels {
            PixelData::Native(range) => native_frames(range, &format, count as usize)?,
            PixelData::Encapsulated { offsets, fragments } => {
                encapsulated_frames(&elements.bytes, offsets, fragments, count as usize)?
            }
            PixelData::Absent => Vec::new(),
        };
        let times_us = frame_times_us(main, frames.len());
        let scale = scale(&elements, f64::from(height), f64::from(width));
        Ok(Self { elements, format, frames, times_us, scale, notes: Vec::new() })
    }

    pub(super) fn len(&self) -> usize {
        self.frames.len()
    }

    pub(super) fn size(&self) -> (usize, usize) {
        (self.format.height, self.format.width)
    }

    pub(super) fn notes(&self) -> &[String] {
        &self.notes
    }

    pub(super) fn is_lossy(&self) -> bool {
        self.format.is_lossy() || text(&self.elements.main, tags::LOSSY_IMAGE_COMPRESSION) == "01"
    }

    pub(super) fn person(&self) -> Option<String> {
        person(&self.elements.main)
    }

    pub(super) fn frame_times_us(&self) -> Option<Vec<u64>> {
        self.times_us.clone()
    }

    pub(super) fn scale(&self) -> &Scale {
        &self.scale
    }

    pub(super) fn frame(&self, index: usize) -> Result<Image, Refusal> {
        let pieces = &self.frames[index];
        let image = if let [piece] = pieces.as_slice() {
            pixels::decode(&self.format, &self.elements.bytes[piece.clone()])?
        } else {
            let joined: Vec<&[u8]> = pieces.iter().map(|piece| &self.elements.bytes[piece.clone()]).collect();
            pixels::decode(&self.format, &joined.concat())?
        };
        Ok(image.with_scale(self.scale.clone()))
    }
}

/// How the pixels are packed, or that nothing here unpacks them.
fn compression(elements: &Elements) -> Result<Compression, Refusal> {
    let encapsulated = matches!(elements.pixels, PixelData::Encapsulated { .. });
    let unsupported = |what: &str, how: &str| {
        let name = elements.transfer_syntax_name();
        Err(Refusal::Unsupported(format!("Its transfer syntax ({name}) {what}. {how}")))
    };
    const CONVERT: &str = "Convert it: `gdcmconv --raw IN OUT`, or with DCMTK `dcmdjpeg`, `dcmdjpls` or `dcmdjp2k`.";
    let compression = match elements.transfer_syntax.as_str() {
        uids::IMPLICIT_VR_LITTLE_ENDIAN
        | uids::EXPLICIT_VR_LITTLE_ENDIAN
        | EXPLICIT_BIG_ENDIAN
        | uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN => Compression::None { big_endian: elements.big_endian },
        uids::RLE_LOSSLESS => Compression::Rle,
        uids::JPEG_BASELINE8_BIT | uids::JPEG_EXTENDED12_BIT => Compression::JpegLossy,
        uids::JPEG_LOSSLESS | uids::JPEG_LOSSLESS_SV1 => Compression::JpegLossless,
        uid if video::codec(uid).is_some() => {
            return unsupported("is a video inside DICOM", "Take the video out: `gdcmraw IN clip.mp4`.");
        }
        _ => return unsupported("is not read", CONVERT),
    };
    let packed = !matches!(compression, Compression::None { .. });
    if !matches!(elements.pixels, PixelData::Absent) && packed != encapsulated {
        return Err(Refusal::unreadable(
            "Its pixel data are packed in another way than its transfer syntax says. Export it again.",
        ));
    }
    Ok(compression)
}

fn required(attributes: &Attributes, tag: Tag, name: &str) -> Result<u16, Refusal> {
    let value = number(attributes, tag).filter(|v| (0.0..=65535.0).contains(v));
    value.map(|v| v as u16).ok_or_else(|| Refusal::Unreadable(format!("It does not say its {name}. Export it again.")))
}

fn native_frames(range: &Range<usize>, format: &Format, count: usize) -> Result<Vec<Vec<Range<usize>>>, Refusal> {
    let frame = format.native_bytes();
    let held = range.len() / frame;
    if held < count {
        return Err(Refusal::Unreadable(format!(
            "It says that it has {count} frames of {frame} bytes, but holds {} bytes of pixels. Export it again.",
            range.len()
        )));
    }
    Ok((0..count)
        .map(|index| range.start + index * frame)
        .map(|start| std::iter::once(start..start + frame).collect())
        .collect())
}

/// Which compressed pieces make up each frame: one each, or by the offset table, or by where JPEG streams begin.
fn encapsulated_frames(
    bytes: &[u8],
    offsets: &[u32],
    fragments: &[Range<usize>],
    count: usize,
) -> Result<Vec<Vec<Range<usize>>>, Refusal> {
    let held = fragments.len();
    if held < count {
        return Err(Refusal::Unreadable(format!(
            "It says that it has {count} frames, but holds {held} compressed pieces. Copy or export it again."
        )));
    }
    if held == count {
        return Ok(fragments.iter().map(|fragment| vec![fragment.clone()]).collect());
    }
    if count == 1 {
        return Ok(vec![fragments.to_vec()]);
    }
    // Offsets count from the first byte after the offset table, item headers of eight bytes included.
    let first = fragments[0].start;
    let begins = |fragment: &Range<usize>| {
        if offsets.len() == count {
            u32::try_from(fragment.start - first).is_ok_and(|offset| offsets.binary_search(&offset).is_ok())
        } else {
            bytes[fragment.clone()].starts_with(&[0xff, 0xd8])
        }
    };
    let mut frames: Vec<Vec<Range<usize>>> = Vec::new();
    for fragment in fragments {
        match frames.last_mut() {
            Some(frame) if !begins(fragment) => frame.push(fragment.clone()),
            _ => frames.push(vec![fragment.clone()]),
        }
    }
    if frames.len() != count {
        return Err(Refusal::Unreadable(format!(
            "It says that it has {count} frames, but its pieces make up {}. Export it again.",
            frames.len()
        )));
    }
    Ok(frames)
}

/// The patient's number, or the examination's where that is taken away.
fn person(main: &Attributes) -> Option<String> {
    let id = text(main, tags::PATIENT_ID);
    let small = id.to_lowercase();
    // What programs write in place of a number that they have taken away.
    let nobody = ["anon", "unknown", "none", "simulated"].iter().any(|word| small.starts_with(word))
        || small.chars().all(|c| matches!(c, '0' | 'x' | ' '));
    let id = if nobody { text(main, tags::STUDY_INSTANCE_UID) } else { id };
    Some(id).filter(|id| !id.is_empty())
}

/// Frame Time Vector, Frame Time, Recommended Display Frame Rate, Cine Rate: the first that is there (PS3.3 C.7.6.5).
fn frame_times_us(main: &Attributes, count: usize) -> Option<Vec<u64>> {
    if count < 2 {
        return None;
    }
    // An hour between two frames is not a clip.
    let sound = |step_ms: f64| (step_ms.is_finite() && step_ms > 0.0 && step_ms <= 3.6e6).then_some(step_ms);
    let vector = main.get(&tags::FRAME_TIME_VECTOR).and_then(|value| value.to_multi_float64().ok());
    if let Some(steps) = vector.filter(|steps| steps.len() == count && steps[1..].iter().all(|&s| sound(s).is_some())) {
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

/// Millimetres from the ultrasound regions, else from the pixel spacing of other modalities. Ultrasound has a scale
/// inside its regions only, and a detector's spacing (Imager Pixel Spacing) is not the patient's.
///
/// A region that reaches out of the image belongs to an image of another size: somebody scaled or cropped the pixels
/// and left the regions alone, so that no length in the file can be trusted.
fn scale(elements: &Elements, height: f64, width: f64) -> Scale {
    let regions: Vec<ScaleRegion> = elements.regions.iter().filter_map(region).collect();
    if regions.iter().any(|r| r.right > width || r.bottom > height) {
        return Scale::Unknown;
    }
    if !regions.is_empty() {
        return Scale::Regions(regions);
    }
    let main = &elements.main;
    let ultrasound = matches!(text(main, tags::MODALITY).as_str(), "US" | "IVUS")
        || text(main, tags::SOP_CLASS_UID).starts_with("1.2.840.10008.5.1.4.1.1.3.1")
        || text(main, tags::SOP_CLASS_UID).starts_with("1.2.840.10008.5.1.4.1.1.6.");
    if ultrasound {
        return Scale::Unknown;
    }
    // Pixel Spacing: from row to row, then from column to column.
    match main.get(&tags::PIXEL_SPACING).and_then(|value| value.to_multi_float64().ok()).as_deref() {
        Some(&[y_mm, x_mm]) if plausible(x_mm) && plausible(y_mm) => Scale::Everywhere(Spacing { x_mm, y_mm }),
        _ => Scale::Unknown,
    }
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

#[cfg(test)]
mod tests {
    use super::fixtures::{BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, Value, file, ultrasound};
    use super::*;
    use crate::formats::open;

    #[test]
    fn every_plain_transfer_syntax_gives_the_same_clip() {
        for syntax in [EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED] {
            let bytes = file(syntax, &ultrasound(), &[]);
            let clip = open("a.dcm", bytes.clone()).unwrap();
            assert_eq!((clip.len(), clip.size(), clip.fps()), (3, (2, 2), Some(25.0)), "{syntax}");
            assert_eq!(clip.frame_times_us().unwrap(), [0, 40_000, 80_000]);
            assert_eq!(clip.frame(2).unwrap().to_bytes(), [160, 180, 200, 220]);
            let spacing = clip.scale().at(&[(0.0, 0.0), (1.0, 1.0)]).unwrap();
            assert!((spacing.x_mm - 0.1).abs() < 1e-12 && (spacing.y_mm - 0.2).abs() < 1e-12, "{spacing:?}");
            assert!(clip.frame(3).is_err());
            // Every cut is noticed, and the data set alone is enough.
            for end in 0..bytes.len() - 1 {
                assert!(open("a.dcm", bytes[..end].to_vec()).is_err(), "{syntax} cut at {end}");
            }
            if matches!(syntax, EXPLICIT | IMPLICIT) {
                let start = 132 + 8 + syntax.len().next_multiple_of(2);
                assert_eq!(open("a.dcm", bytes[start..].to_vec()).unwrap().len(), 3);
                assert!(open("no extension", bytes[132..].to_vec()).is_err());
            }
        }
    }

    #[test]
    fn a_patient_or_else_an_examination_keeps_files_together() {
        let person = |more: &[(Tag, Value)]| open("a.dcm", file(EXPLICIT, &ultrasound(), more)).unwrap().person();
        let of = |id: &'static str| {
            person(&[(tags::PATIENT_ID, Value::Text(id)), (tags::STUDY_INSTANCE_UID, Value::Text("1.2.3"))])
        };
        assert_eq!(of("A7 ").as_deref(), Some("A7"));
        for nobody in ["", "Anonymous", "ANON-12", "0000", "xxx"] {
            assert_eq!(of(nobody).as_deref(), Some("1.2.3"), "{nobody}");
        }
        assert_eq!(person(&[]), None);
    }

    #[test]
    fn millimetres_only_where_the_file_can_be_trusted() {
        let scale_with =
            |more: &[(Tag, Value)]| open("a.dcm", file(EXPLICIT, &ultrasound(), more)).unwrap().scale().clone();
        let mut items =
            ultrasound().into_iter().find(|(tag, _)| *tag == tags::SEQUENCE_OF_ULTRASOUND_REGIONS).unwrap().1;
        let mut with = |tag: Tag, value: Value| {
            let Value::Items(regions) = &mut items else { panic!("regions are items") };
            let mut region = regions[0].clone();
            region.iter_mut().find(|(t, _)| *t == tag).unwrap().1 = value;
            scale_with(&[(tags::SEQUENCE_OF_ULTRASOUND_REGIONS, Value::Items(vec![region]))])
        };
        // Seconds, a Doppler trace, no size, and a region that reaches out of the image.
        assert_eq!(with(tags::PHYSICAL_UNITS_X_DIRECTION, Value::Short(vec![4])), Scale::Unknown);
        assert_eq!(with(tags::REGION_SPATIAL_FORMAT, Value::Short(vec![3])), Scale::Unknown);
        assert_eq!(with(tags::PHYSICAL_DELTA_X, Value::Double(0.0)), Scale::Unknown);
        assert_eq!(with(tags::REGION_LOCATION_MAX_X1, Value::Long(40)), Scale::Unknown);
        // Pixel Spacing counts for other modalities than ultrasound, rows first.
        let spacing = (tags::PIXEL_SPACING, Value::Text("0.5\\0.25"));
        let none = (tags::SEQUENCE_OF_ULTRASOUND_REGIONS, Value::Items(Vec::new()));
        assert_eq!(scale_with(&[spacing.clone(), none.clone()]), Scale::Unknown);
        let everywhere = Scale::Everywhere(Spacing { x_mm: 0.25, y_mm: 0.5 });
        assert_eq!(scale_with(&[spacing, none, (tags::MODALITY, Value::Text("MR"))]), everywhere);
    }

    #[test]
    fn what_does_not_fit_is_refused_in_words() {
        let refused = |syntax: &str, more: &[(Tag, Value)]| {
            open("a.dcm", file(syntax, &ultrasound(), more)).expect_err("refused").to_string()
        };
        let cases = [
            (refused(EXPLICIT, &[(tags::NUMBER_OF_FRAMES, Value::Text("4000000000"))]), "4000000000 frames"),
            (refused(EXPLICIT, &[(tags::NUMBER_OF_FRAMES, Value::Text("-1"))]), "-1 frames"),
            (refused(EXPLICIT, &[(tags::ROWS, Value::Short(vec![0]))]), "2 x 0 pixels"),
            (
                refused(
                    EXPLICIT,
                    &[(tags::ROWS, Value::Short(vec![60_000])), (tags::COLUMNS, Value::Short(vec![60_000]))],
                ),
                "100 megapixels",
            ),
            (refused(EXPLICIT, &[(tags::BITS_ALLOCATED, Value::Short(vec![1]))]), "1 bits"),
            (refused(EXPLICIT, &[(tags::BITS_STORED, Value::Short(vec![12]))]), "does not fit"),
            (refused("1.2.840.10008.1.2.4.90", &[]), "JPEG 2000"),
            (refused("1.2.840.10008.1.2.4.80", &[]), "JPEG-LS"),
            (refused("1.2.840.10008.1.2.4.102", &[]), "video"),
            (refused("1.2.3", &[]), "unknown, 1.2.3"),
            (refused("1.2.840.10008.1.2.5", &[]), "packed in another way"),
        ];
        for (message, words) in cases {
            assert!(message.starts_with("a.dcm: ") && message.contains(words), "{message}");
        }
    }

    #[test]
    fn frame_times_may_differ_and_rates_stand_in() {
        let more = [(tags::FRAME_TIME_VECTOR, Value::Text("0\\40\\60"))];
        let clip = open("a.dcm", file(EXPLICIT, &ultrasound(), &more)).unwrap();
        assert_eq!(clip.frame_times_us().unwrap(), [0, 40_000, 100_000]);
        assert_eq!(clip.fps(), Some(20.0));
        let more = [(tags::FRAME_TIME, Value::Text("0")), (tags::CINE_RATE, Value::Text("50"))];
        let clip = open("a.dcm", file(EXPLICIT, &ultrasound(), &more)).unwrap();
        assert_eq!(clip.fps(), Some(50.0));
    }
}
