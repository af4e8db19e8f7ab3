//! A clip as a DICOM Ultrasound Multi-frame Image (PS3.3 A.7), with JPEG baseline frames.

use crate::DataError;
use crate::geometry::{Image, ScaleRegion};
use crate::rng::splitmix64;
use dicom_core::value::{DataSetSequence, PixelFragmentSequence};
use dicom_core::{DataElement, PrimitiveValue, Tag, VR, dicom_value};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;

/// What is written besides the frames.
#[derive(Clone, Debug, PartialEq)]
pub struct DicomClipOptions {
    /// Frames per second, more than 0.
    pub fps: f64,
    /// Where millimetres are known, and how large a pixel is there.
    pub region: Option<ScaleRegion>,
    /// JPEG quality from 1 to 100. About 85 keeps speckle; 256 x 256 pixels then take 8 to 30 kB.
    pub quality: u8,
    /// The unique identifiers are made from it, so that equal clips are equal files.
    pub seed: u64,
}

/// Write grey 2-D frames of one size (colour becomes grey) as a DICOM file. Nothing in it names a person.
pub fn write_dicom_clip(frames: &[Image], options: &DicomClipOptions) -> Result<Vec<u8>, DataError> {
    let wrong = |reason: String| DataError::Inconsistent(format!("The DICOM clip cannot be written: {reason}"));
    let Some(first) = frames.first() else { return Err(wrong("it has no frames.".to_owned())) };
    let size = (first.height, first.width);
    let (Ok(rows), Ok(columns)) = (u16::try_from(size.0), u16::try_from(size.1)) else {
        return Err(wrong(format!("{} x {} pixels are more than DICOM can hold.", size.1, size.0)));
    };
    if !options.fps.is_finite() || options.fps <= 0.0 {
        return Err(wrong(format!("{} frames per second make no clip.", options.fps)));
    }
    let mut fragments = Vec::with_capacity(frames.len());
    for (index, frame) in frames.iter().enumerate() {
        if (frame.height, frame.width) != size {
            return Err(wrong(format!("frame {index} has another size than the first.")));
        }
        let mut jpeg = Vec::new();
        JpegEncoder::new_with_quality(&mut jpeg, options.quality.clamp(1, 100))
            .encode(&frame.to_grey().to_bytes(), columns.into(), rows.into(), ExtendedColorType::L8)
            .map_err(|e| wrong(format!("frame {index} cannot be compressed ({e}).")))?;
        if jpeg.len() % 2 == 1 {
            jpeg.push(0);
        }
        fragments.push(jpeg);
    }
    let stored: usize = fragments.iter().map(Vec::len).sum();
    let ratio = (frames.len() * size.0 * size.1) as f64 / stored.max(1) as f64;
    let identity = Identity { seed: options.seed };
    let instance = identity.uid("instance");
    let mut object = InMemDicomObject::new_empty();
    let mut put = |tag: Tag, vr: VR, value: PrimitiveValue| {
        object.put(DataElement::new(tag, vr, value));
    };
    for (tag, vr, value) in texts(&identity, &instance, frames.len(), options.fps, ratio) {
        put(tag, vr, PrimitiveValue::from(value));
    }
    // The frame time says when the next frame comes.
    put(tags::FRAME_INCREMENT_POINTER, VR::AT, PrimitiveValue::Tags([tags::FRAME_TIME].as_slice().into()));
    for (tag, value) in [
        (tags::SAMPLES_PER_PIXEL, 1),
        (tags::ROWS, rows),
        (tags::COLUMNS, columns),
        (tags::BITS_ALLOCATED, 8),
        (tags::BITS_STORED, 8),
        (tags::HIGH_BIT, 7),
        (tags::PIXEL_REPRESENTATION, 0),
        (tags::ULTRASOUND_COLOR_DATA_PRESENT, 0),
    ] {
        put(tag, VR::US, PrimitiveValue::from(value));
    }
    if let Some(region) = &options.region {
        let item = region_item(region);
        let items: DataSetSequence<_> = vec![item].into();
        object.put(DataElement::new(tags::SEQUENCE_OF_ULTRASOUND_REGIONS, VR::SQ, items));
    }
    let mut offset = 0;
    let offsets: Vec<u32> = fragments
        .iter()
        .map(|fragment| {
            let start = offset;
            offset += fragment.len() as u32 + 8;
            start
        })
        .collect();
    let pixels = PixelFragmentSequence::new(offsets, fragments);
    object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, pixels));
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(uids::JPEG_BASELINE8_BIT)
        .media_storage_sop_class_uid(uids::ULTRASOUND_MULTI_FRAME_IMAGE_STORAGE)
        .media_storage_sop_instance_uid(instance);
    let file = object.with_meta(meta).map_err(|e| wrong(format!("its header is not accepted ({e}).")))?;
    let mut bytes = Vec::new();
    file.write_all(&mut bytes).map_err(|e| wrong(format!("{e}.")))?;
    Ok(bytes)
}

/// Identifiers under the root for random UUIDs (PS3.5 B.2), made from a seed.
struct Identity {
    seed: u64,
}

impl Identity {
    fn uid(&self, purpose: &str) -> String {
        let start = purpose.bytes().fold(self.seed, |state, byte| splitmix64(state ^ u64::from(byte)));
        let value = (u128::from(splitmix64(start)) << 64) | u128::from(splitmix64(start.wrapping_add(1)));
        // Version 4 and variant 1, as ISO/IEC 9834-8 asks of a random UUID.
        let value = (value & !(0xf << 76) & !(0b11 << 62)) | (4 << 76) | (0b10 << 62);
        format!("2.25.{value}")
    }
}

/// The attributes that are text. Attributes of type 2 are there and empty.
fn texts(identity: &Identity, instance: &str, frames: usize, fps: f64, ratio: f64) -> Vec<(Tag, VR, String)> {
    let own = |text: &str| text.to_owned();
    vec![
        (tags::SPECIFIC_CHARACTER_SET, VR::CS, own("ISO_IR 192")),
        (tags::IMAGE_TYPE, VR::CS, own("DERIVED\\SECONDARY")),
        (tags::SOP_CLASS_UID, VR::UI, own(uids::ULTRASOUND_MULTI_FRAME_IMAGE_STORAGE)),
        (tags::SOP_INSTANCE_UID, VR::UI, own(instance)),
        (tags::STUDY_DATE, VR::DA, String::new()),
        (tags::STUDY_TIME, VR::TM, String::new()),
        (tags::ACCESSION_NUMBER, VR::SH, String::new()),
        (tags::MODALITY, VR::CS, own("US")),
        (tags::MANUFACTURER, VR::LO, own("sonoseg")),
        (tags::REFERRING_PHYSICIAN_NAME, VR::PN, String::new()),
        (tags::PATIENT_NAME, VR::PN, own("Simulated^Clip")),
        (tags::PATIENT_ID, VR::LO, own("SIMULATED")),
        (tags::PATIENT_BIRTH_DATE, VR::DA, String::new()),
        (tags::PATIENT_SEX, VR::CS, String::new()),
        (tags::FRAME_TIME, VR::DS, decimal(1000.0 / fps)),
        (tags::RECOMMENDED_DISPLAY_FRAME_RATE, VR::IS, format!("{}", fps.round().max(1.0) as u32)),
        (tags::STUDY_INSTANCE_UID, VR::UI, identity.uid("study")),
        (tags::SERIES_INSTANCE_UID, VR::UI, identity.uid("series")),
        (tags::STUDY_ID, VR::SH, String::new()),
        (tags::SERIES_NUMBER, VR::IS, own("1")),
        (tags::INSTANCE_NUMBER, VR::IS, own("1")),
        (tags::PATIENT_ORIENTATION, VR::CS, String::new()),
        (tags::PHOTOMETRIC_INTERPRETATION, VR::CS, own("MONOCHROME2")),
        (tags::NUMBER_OF_FRAMES, VR::IS, frames.to_string()),
        (tags::LOSSY_IMAGE_COMPRESSION, VR::CS, own("01")),
        (tags::LOSSY_IMAGE_COMPRESSION_RATIO, VR::DS, decimal(ratio)),
        (tags::LOSSY_IMAGE_COMPRESSION_METHOD, VR::CS, own("ISO_10918_1")),
    ]
}

/// A decimal string of at most 16 bytes.
fn decimal(value: f64) -> String {
    let text = format!("{value:.6}");
    if text.len() > 16 { format!("{value:.6e}") } else { text }
}

/// Tissue in two dimensions, measured in centimetres (PS3.3 C.8.5.5).
fn region_item(region: &ScaleRegion) -> InMemDicomObject {
    let pixel = |value: f64| PrimitiveValue::from(value.round().max(0.0) as u32);
    let short = |value: u16| PrimitiveValue::from(value);
    InMemDicomObject::from_element_iter([
        DataElement::new(tags::REGION_SPATIAL_FORMAT, VR::US, short(1)),
        DataElement::new(tags::REGION_DATA_TYPE, VR::US, short(1)),
        DataElement::new(tags::REGION_FLAGS, VR::UL, dicom_value!(U32, [2])),
        DataElement::new(tags::REGION_LOCATION_MIN_X0, VR::UL, pixel(region.left)),
        DataElement::new(tags::REGION_LOCATION_MIN_Y0, VR::UL, pixel(region.top)),
        DataElement::new(tags::REGION_LOCATION_MAX_X1, VR::UL, pixel(region.right)),
        DataElement::new(tags::REGION_LOCATION_MAX_Y1, VR::UL, pixel(region.bottom)),
        DataElement::new(tags::PHYSICAL_UNITS_X_DIRECTION, VR::US, short(3)),
        DataElement::new(tags::PHYSICAL_UNITS_Y_DIRECTION, VR::US, short(3)),
        DataElement::new(tags::PHYSICAL_DELTA_X, VR::FD, PrimitiveValue::from(region.spacing.x_mm / 10.0)),
        DataElement::new(tags::PHYSICAL_DELTA_Y, VR::FD, PrimitiveValue::from(region.spacing.y_mm / 10.0)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::open;
    use crate::geometry::{Scale, Spacing};

    fn options() -> DicomClipOptions {
        let spacing = Spacing { x_mm: 0.15, y_mm: 0.125 };
        let region = ScaleRegion { left: 2.0, top: 3.0, right: 37.0, bottom: 30.0, spacing };
        DicomClipOptions { fps: 15.0, region: Some(region), quality: 90, seed: 5 }
    }

    #[test]
    fn a_written_clip_reads_back() {
        let frames: Vec<Image> = (0..4)
            .map(|t| {
                let pixels = (0..40 * 32).map(|i| ((i % 40) * 5 + t * 10) as u8).collect::<Vec<_>>();
                Image::from_grey8(32, 40, &pixels)
            })
            .collect();
        let bytes = write_dicom_clip(&frames, &options()).unwrap();
        assert_eq!(bytes, write_dicom_clip(&frames, &options()).unwrap());
        let clip = open("clip.dcm", bytes).unwrap();
        assert_eq!((clip.len(), clip.size()), (4, (32, 40)));
        assert!((clip.fps().unwrap() - 15.0).abs() < 1e-3);
        let Scale::Regions(regions) = clip.scale() else { panic!("the regions are lost: {:?}", clip.scale()) };
        let wanted = options().region.unwrap();
        assert_eq!((regions[0].left, regions[0].bottom), (wanted.left, wanted.bottom));
        assert!((regions[0].spacing.x_mm - 0.15).abs() < 1e-12);
        for (index, frame) in frames.iter().enumerate() {
            let read = clip.frame(index).unwrap();
            let worst = read.pixels.iter().zip(&frame.pixels).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 0.03, "frame {index} is {worst} off");
        }
    }

    #[test]
    fn identifiers_are_valid_and_differ() {
        let identity = Identity { seed: 9 };
        let uids = ["study", "series", "instance"].map(|purpose| identity.uid(purpose));
        assert!(uids.iter().all(|uid| uid.len() <= 64 && uid.starts_with("2.25.")), "{uids:?}");
        assert!(uids[0] != uids[1] && uids[1] != uids[2] && uids[0] != Identity { seed: 10 }.uid("study"));
    }

    #[test]
    fn frames_that_make_no_clip_are_refused() {
        let frames = [Image::from_grey8(1, 1, &[0]), Image::from_grey8(1, 2, &[0, 0])];
        assert!(write_dicom_clip(&frames, &options()).is_err());
        assert!(write_dicom_clip(&[], &options()).is_err());
        assert!(write_dicom_clip(&frames[..1], &DicomClipOptions { fps: 0.0, ..options() }).is_err());
    }
}
