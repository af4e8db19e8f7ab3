//! DICOM images: what the attributes say about frames, time and millimetres. The pixels themselves: `pixels.rs`.

mod about;
mod attributes;
mod codecs;
mod elements;
#[cfg(test)]
pub(super) mod fixtures;
mod frames;
mod grey;
mod heads;
mod jpeg2000;
mod palette;
mod pixels;
mod rle;
mod samples;
pub mod video;

use super::{Refusal, check_size};
use crate::geometry::{Image, Scale};
use attributes::{number, required, text};
use dicom_dictionary_std::{tags, uids};
use elements::{Elements, PixelData};
use frames::Frames;
use grey::Levels;
use heads::EXPLICIT_BIG_ENDIAN;
use pixels::{Compression, Format, Photometric};
use std::borrow::Cow;
use std::sync::OnceLock;

/// An opened DICOM object with at least one frame.
#[derive(Debug)]
pub struct Dicom {
    elements: Elements,
    format: Format,
    frames: Frames,
    /// The levels of grey pixels that are stretched by their own range, once somebody asks for a frame.
    stretched: OnceLock<Levels>,
    times_us: Option<Vec<u64>>,
    scale: Scale,
    notes: Vec<String>,
}

impl Dicom {
    /// Walk the data set and check that every frame's bytes are there; decode nothing, but frames of deep colours.
    pub(super) fn open(bytes: Vec<u8>) -> Result<Self, Refusal> {
        let mut elements = Elements::read(bytes)?;
        let compression = compression(&elements)?;
        match elements.pixels {
            PixelData::Absent => {
                return Err(Refusal::unreadable(
                    "There are no pixel data in it: it is cut short, or a report, a waveform or the like.",
                ));
            }
            PixelData::Float => {
                return Err(Refusal::unsupported(
                    "Its pixels are floating point numbers, which are not read. Export it as a plain image.",
                ));
            }
            _ => {}
        }
        let mut notes = std::mem::take(&mut elements.notes);
        let main = &elements.main;
        let (height, width) = (required(main, tags::ROWS, "Rows")?, required(main, tags::COLUMNS, "Columns")?);
        check_size(height.into(), width.into())?;
        let mut format = Format::of(&elements, height as usize, width as usize, compression, &mut notes)?;
        let told = number(main, tags::NUMBER_OF_FRAMES).filter(|&told| told != 0.0);
        if let Some(told) = told.filter(|told| !(1.0..=f64::from(u32::MAX)).contains(told)) {
            return Err(Refusal::Unreadable(format!("It says that it has {told} frames. Export it again.")));
        }
        let told = told.map(|told| told as usize);
        let frames = match &elements.pixels {
            PixelData::Native(data) => frames::native(&data.range, &format, told, &mut notes)?,
            PixelData::Encapsulated { offsets, fragments } => {
                frames::encapsulated(&elements.bytes, offsets, fragments, told, &mut notes)?
            }
            PixelData::Absent | PixelData::Float => Vec::new(),
        };
        notes.extend(about::times_note(main, frames.len()));
        let times_us = about::frame_times_us(main, frames.len());
        let scale = about::scale(&elements, f64::from(height), f64::from(width));
        if elements.big_endian
            && format.sample_bytes() == 1
            && let PixelData::Native(data) = &elements.pixels
            && data.words
        {
            // Two samples share a word, whose high byte comes first.
            let swapped = elements.bytes.get_mut(data.range.clone()).unwrap_or_default();
            swapped.chunks_exact_mut(2).for_each(|word| word.swap(0, 1));
        }
        if let Some(first) = frames.first().filter(|_| matches!(compression, Compression::Stream { .. })) {
            notes.extend(codecs::colour_note(&joined(&elements, first), format.says_rgb()));
        }
        if format.is_deep_colour() {
            let brightest = range(&elements, &format, &frames, |_| true).map_or(0, |[_, high]| high.max(0) as u32);
            notes.extend(format.stretch_colours(brightest));
        }
        Ok(Self { elements, format, frames, stretched: OnceLock::new(), times_us, scale, notes })
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
        about::person(&self.elements.main)
    }

    pub(super) fn frame_times_us(&self) -> Option<Vec<u64>> {
        self.times_us.clone()
    }

    pub(super) fn scale(&self) -> &Scale {
        &self.scale
    }

    pub(super) fn frame(&self, index: usize) -> Result<Image, Refusal> {
        let image = pixels::decode(&self.format, &joined(&self.elements, &self.frames[index]), self.stretched())?;
        Ok(image.with_scale(self.scale.clone()))
    }

    /// The levels of pixels that are stretched by their own range, which takes all frames to know.
    fn stretched(&self) -> Option<&Levels> {
        let Photometric::Grey { levels: Levels::OwnRange(own), .. } = &self.format.photometric else { return None };
        Some(
            self.stretched.get_or_init(|| {
                own.settled(range(&self.elements, &self.format, &self.frames, |value| own.counts(value)))
            }),
        )
    }
}

/// The bytes of a frame.
fn joined<'a>(elements: &'a Elements, pieces: &[std::ops::Range<usize>]) -> Cow<'a, [u8]> {
    if let [piece] = pieces {
        return Cow::Borrowed(&elements.bytes[piece.clone()]);
    }
    let pieces: Vec<&[u8]> = pieces.iter().map(|piece| &elements.bytes[piece.clone()]).collect();
    Cow::Owned(pieces.concat())
}

/// The smallest and the largest value of all frames that can be decoded.
fn range(elements: &Elements, format: &Format, frames: &Frames, counts: impl Fn(i32) -> bool) -> Option<[i32; 2]> {
    let ranges = frames.iter().filter_map(|pieces| format.range(&joined(elements, pieces), &counts));
    ranges.reduce(|[low, high], [from, to]| [low.min(from), high.max(to)])
}

/// How the pixels are packed, or that nothing here unpacks them.
fn compression(elements: &Elements) -> Result<Compression, Refusal> {
    let encapsulated = matches!(elements.pixels, PixelData::Encapsulated { .. });
    let unsupported = |what: &str, how: &str| {
        let name = elements.transfer_syntax_name();
        Err(Refusal::Unsupported(format!("Its transfer syntax ({name}) {what}. {how}")))
    };
    let compression = match elements.transfer_syntax.as_str() {
        uids::IMPLICIT_VR_LITTLE_ENDIAN
        | uids::EXPLICIT_VR_LITTLE_ENDIAN
        | EXPLICIT_BIG_ENDIAN
        | uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN => Compression::None { big_endian: elements.big_endian },
        uids::RLE_LOSSLESS => Compression::Rle,
        uid if let Some(lossy) = stream(uid) => Compression::Stream { lossy },
        uid if video::codec(uid).is_some() => {
            return unsupported("is a video inside DICOM", "Take the video out: `gdcmraw IN clip.mp4`.");
        }
        _ => return unsupported("is not read", samples::CONVERT),
    };
    let packed = !matches!(compression, Compression::None { .. });
    if !matches!(elements.pixels, PixelData::Absent) && packed != encapsulated {
        return Err(Refusal::unreadable(
            "Its pixel data are packed in another way than its transfer syntax says. Export it again.",
        ));
    }
    Ok(compression)
}

/// Whether a transfer syntax is one of the JPEG family, and whether that may be lossy.
fn stream(transfer_syntax: &str) -> Option<bool> {
    match transfer_syntax.strip_prefix("1.2.840.10008.1.2.4.")?.parse().ok()? {
        // JPEG, most of these processes retired.
        50..=56 | 59..=64 => Some(true),
        57 | 58 | 65 | 66 | 70 => Some(false),
        // JPEG-LS and JPEG 2000, in both pairs the first lossless.
        80 | 90 => Some(false),
        81 | 91 => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::fixtures::{BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, Value, file, image, ultrasound};
    use super::*;
    use crate::formats::open;
    use crate::geometry::Spacing;
    use dicom_core::Tag;

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
        for nobody in
            ["", "Anonymous", "ANON", "anonymous^^", "0000", "xxx", "Unknown patient", "SIMULATED", "N/A", "-"]
        {
            assert_eq!(of(nobody).as_deref(), Some("1.2.3"), "{nobody}");
        }
        // A study's number behind the word is somebody's.
        for somebody in ["ANON0001", "ANON-12", "anon_2", "Anonymous 7", "none3", "X1", "unknown^B", "Noah"] {
            assert_eq!(of(somebody).as_deref(), Some(somebody));
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
            (refused("1.2.840.10008.1.2.4.90", &[]), "packed in another way"),
            (refused("1.2.840.10008.1.2.4.92", &[]), "JPEG 2000"),
            (refused("1.2.840.10008.1.2.4.201", &[]), "is not read"),
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

    #[test]
    fn a_preamble_of_a_tiff_changes_nothing() {
        let mut bytes = file(EXPLICIT, &ultrasound(), &[]);
        for magic in [
            &b"II*\0\x08\0\0\0"[..],
            b"MM\0*\0\0\0\x08",
            b"II+\0",
            b"\x89PNG\r\n\x1a\n",
            b"\xff\xd8\xff\xe0",
            b"GIF89a",
        ] {
            bytes[..magic.len()].copy_from_slice(magic);
            for name in ["a.dcm", "a.tif", "a"] {
                let clip = open(name, bytes.clone()).unwrap();
                assert_eq!((clip.len(), clip.frame(2).unwrap().to_bytes()), (3, vec![160, 180, 200, 220]));
            }
        }
    }

    #[test]
    fn retired_ultrasound_classes_are_read_and_known_as_ultrasound() {
        for class in ["1.2.840.10008.5.1.4.1.1.3", "1.2.840.10008.5.1.4.1.1.6"] {
            let spacing = (tags::PIXEL_SPACING, Value::Text("0.5\\0.25"));
            let none = (tags::SEQUENCE_OF_ULTRASOUND_REGIONS, Value::Items(Vec::new()));
            let more = [(tags::SOP_CLASS_UID, Value::Text(class)), (tags::MODALITY, Value::Text("OT")), spacing, none];
            let clip = open("a.dcm", file(EXPLICIT, &ultrasound(), &more)).unwrap();
            assert_eq!((clip.len(), clip.scale()), (3, &Scale::Unknown));
            assert_eq!(clip.frame(0).unwrap().to_bytes(), [0, 20, 40, 60]);
        }
    }

    #[test]
    fn deep_colours_that_use_a_part_of_their_bits_are_shown_by_it() {
        let colours = |pixels: Vec<u16>| {
            let elements = image("RGB", [1, 2, 3, 16], Value::Short(pixels));
            open("a.dcm", file(EXPLICIT, &elements, &[])).unwrap()
        };
        let twelve = colours(vec![4095, 0, 0, 0, 2047, 4095]);
        assert_eq!(twelve.frame(0).unwrap().to_bytes(), [255, 0, 0, 0, 127, 255]);
        assert!(twelve.notes()[0].contains("more than 12"), "{:?}", twelve.notes());
        let whole = colours(vec![65535, 0, 0, 0, 32767, 65535]);
        assert_eq!((whole.frame(0).unwrap().to_bytes(), whole.notes().len()), (vec![255, 0, 0, 0, 127, 255], 0));
    }

    #[test]
    fn the_value_representation_decides_the_byte_order_and_not_the_bits() {
        // Words of two pixels each: the high byte comes first, and is the second pixel. The frames share the second word.
        let words = |pixels: &[u8]| Value::Short(pixels.chunks(2).map(|p| u16::from_le_bytes([p[0], p[1]])).collect());
        let pixels = [10, 20, 30, 40, 50, 60];
        let told = [(tags::NUMBER_OF_FRAMES, Value::Text("2"))];
        for value in [words(&pixels), Value::Bytes(pixels.to_vec())] {
            for syntax in [BIG_ENDIAN, EXPLICIT] {
                let clip =
                    open("a.dcm", file(syntax, &image("MONOCHROME2", [1, 3, 1, 8], value.clone()), &told)).unwrap();
                assert_eq!(clip.frame(0).unwrap().to_bytes(), [10, 20, 30], "{syntax}");
                assert_eq!(clip.frame(1).unwrap().to_bytes(), [40, 50, 60], "{syntax}");
            }
        }
        let colours = image("RGB", [1, 2, 3, 8], words(&[255, 0, 0, 0, 0, 255]));
        let shown = open("a.dcm", file(BIG_ENDIAN, &colours, &[])).unwrap().frame(0).unwrap().to_bytes();
        assert_eq!(shown, [255, 0, 0, 0, 0, 255]);
        // Palettes in words and in bytes.
        let indices = image("PALETTE COLOR", [1, 2, 1, 8], Value::Bytes(vec![0, 1]));
        for value in [words(&[7, 200]), Value::Bytes(vec![7, 200])] {
            let descriptor = Value::Short(vec![2, 0, 8]);
            let more = [
                (tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR, descriptor.clone()),
                (tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR, descriptor.clone()),
                (tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR, descriptor),
                (tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DATA, value.clone()),
                (tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA, value.clone()),
                (tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA, value),
            ];
            let shown = open("a.dcm", file(BIG_ENDIAN, &indices, &more)).unwrap().frame(0).unwrap().to_bytes();
            assert_eq!(shown, [7, 200]);
        }
    }
}
