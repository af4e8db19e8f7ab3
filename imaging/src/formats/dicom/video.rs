//! Videos that lie inside DICOM objects: MPEG-2, H.264 and HEVC (PS3.5 annex A.4.5 to A.4.9). They are taken out, not decoded.

use super::elements::{Elements, PixelData, number};
use super::{frame_times_us, person, required, scale};
use crate::DataError;
use crate::formats::{Refusal, check_size, sniff};
use crate::geometry::Scale;
use dicom_dictionary_std::tags;

/// How the frames of a video are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VideoCodec {
    /// MPEG-2 (H.262).
    Mpeg2,
    /// MPEG-4 AVC (H.264).
    H264,
    /// HEVC (H.265), of 8 or 10 bits.
    Hevc,
}

/// A video taken out of a DICOM object, for the same decoders as video files.
#[derive(Clone, Debug)]
pub struct DicomVideo {
    /// The bytes of the video, its pieces joined: a file as ffmpeg reads it. Most are an MP4 or an MPEG transport stream,
    /// some the bare stream of the codec; the first bytes tell.
    pub stream: Vec<u8>,
    /// What the transfer syntax says about the coding.
    pub codec: VideoCodec,
    /// Frames by the header's word, where it says so. The stream decides.
    pub frames: Option<usize>,
    /// When each frame is shown by the header's word, in microseconds from the first; one for each of `frames`.
    pub frame_times_us: Option<Vec<u64>>,
    /// Millimetres, where the header tells.
    pub scale: Scale,
    /// Height of a frame in pixels by the header's word.
    pub height: usize,
    /// Width of a frame in pixels by the header's word.
    pub width: usize,
    /// A word for the person, as [`Clip::person`](crate::formats::Clip::person) gives it.
    pub person: Option<String>,
}

/// Take the video out of a DICOM object that wraps one. `None` for every other file: [`open`](crate::formats::open) reads it.
/// Cheap for files that wrap no video: only their first bytes are looked at.
///
/// # Errors
/// When the object says that it wraps a video, and is damaged or holds none.
pub fn dicom_video(name: &str, bytes: &[u8]) -> Result<Option<DicomVideo>, DataError> {
    if !matches!(sniff::kind(name, bytes), Ok(sniff::Kind::Dicom)) {
        return Ok(None);
    }
    let Some(codec) = Elements::transfer_syntax_of(bytes).and_then(|uid| codec(&uid)) else { return Ok(None) };
    unwrap(bytes, codec).map(Some).map_err(|refusal| refusal.of(name))
}

/// The codec that a transfer syntax stands for, when it is one of video.
pub(super) fn codec(transfer_syntax: &str) -> Option<VideoCodec> {
    let number = transfer_syntax.strip_prefix("1.2.840.10008.1.2.4.")?;
    // Those that end in .1 may be cut into several pieces.
    match number.strip_suffix(".1").unwrap_or(number) {
        "100" | "101" => Some(VideoCodec::Mpeg2),
        "102" | "103" | "104" | "105" | "106" => Some(VideoCodec::H264),
        "107" | "108" => Some(VideoCodec::Hevc),
        _ => None,
    }
}

fn unwrap(bytes: &[u8], codec: VideoCodec) -> Result<DicomVideo, Refusal> {
    let elements = Elements::read(bytes.to_vec())?;
    let PixelData::Encapsulated { fragments, .. } = &elements.pixels else {
        return Err(Refusal::unreadable(
            "Its transfer syntax says that it wraps a video, but there is none in it. Copy or export it again.",
        ));
    };
    let mut stream = Vec::with_capacity(fragments.iter().map(ExactSizeIterator::len).sum());
    for fragment in fragments {
        stream.extend_from_slice(&bytes[fragment.clone()]);
    }
    if stream.is_empty() {
        return Err(Refusal::unreadable("The video inside it is empty. Copy or export it again."));
    }
    let main = &elements.main;
    let (height, width) = (required(main, tags::ROWS, "Rows")?, required(main, tags::COLUMNS, "Columns")?);
    check_size(height.into(), width.into())?;
    // No clip has more frames than its stream has bytes.
    let frames = number(main, tags::NUMBER_OF_FRAMES).filter(|&count| count >= 1.0 && count <= stream.len() as f64);
    let frames = frames.map(|count| count as usize);
    Ok(DicomVideo {
        codec,
        frames,
        frame_times_us: frame_times_us(main, frames.unwrap_or(0)),
        scale: scale(&elements, height.into(), width.into()),
        height: height.into(),
        width: width.into(),
        person: person(main),
        stream,
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{EXPLICIT, Value, file, image, ultrasound};
    use super::*;
    use crate::formats::open;

    #[test]
    fn a_wrapped_video_comes_out_whole_with_its_times_and_size() {
        let pieces = Value::Pieces(vec![vec![], b"\0\0\0\x18ftypmp42".to_vec(), b"the rest".to_vec()]);
        let mut elements = image("YBR_PARTIAL_420", [4, 6, 3, 8], pieces);
        elements.extend([
            (tags::NUMBER_OF_FRAMES, Value::Text("3")),
            (tags::FRAME_TIME, Value::Text("40.0")),
            (tags::PATIENT_ID, Value::Text("A7")),
        ]);
        for (syntax, codec) in [
            ("1.2.840.10008.1.2.4.100", VideoCodec::Mpeg2),
            ("1.2.840.10008.1.2.4.101.1", VideoCodec::Mpeg2),
            ("1.2.840.10008.1.2.4.102", VideoCodec::H264),
            ("1.2.840.10008.1.2.4.106.1", VideoCodec::H264),
            ("1.2.840.10008.1.2.4.108", VideoCodec::Hevc),
        ] {
            let bytes = file(syntax, &elements, &[]);
            let video = dicom_video("a.dcm", &bytes).unwrap().unwrap();
            assert_eq!((video.codec, video.frames, video.height, video.width), (codec, Some(3), 4, 6), "{syntax}");
            assert_eq!(video.stream, b"\0\0\0\x18ftypmp42the rest");
            assert_eq!(video.frame_times_us.unwrap(), [0, 40_000, 80_000]);
            assert_eq!(video.person.as_deref(), Some("A7"));
            assert!(open("a.dcm", bytes).unwrap_err().to_string().contains("video"));
        }
    }

    #[test]
    fn what_wraps_no_video_is_left_to_the_reader_and_a_damaged_one_is_an_error() {
        assert!(dicom_video("a.dcm", &file(EXPLICIT, &ultrasound(), &[])).unwrap().is_none());
        assert!(dicom_video("a.png", b"\x89PNG\r\n\x1a\n....").unwrap().is_none());
        assert!(dicom_video("a.dcm", b"").unwrap().is_none());
        let syntax = "1.2.840.10008.1.2.4.102";
        let empty = image("YBR_PARTIAL_420", [4, 6, 3, 8], Value::Pieces(vec![vec![]]));
        let native = image("YBR_PARTIAL_420", [4, 6, 3, 8], Value::Bytes(vec![0; 4]));
        let sound =
            file(syntax, &image("YBR_PARTIAL_420", [4, 6, 3, 8], Value::Pieces(vec![vec![], vec![1; 90]])), &[]);
        for bytes in [file(syntax, &empty, &[]), file(syntax, &native, &[]), sound[..sound.len() - 20].to_vec()] {
            let message = dicom_video("a.dcm", &bytes).unwrap_err().to_string();
            assert!(message.starts_with("a.dcm: "), "{message}");
        }
    }
}
