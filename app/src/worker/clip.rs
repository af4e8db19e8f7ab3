//! An opened clip of any kind, its frames decoded when they are asked for.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use sha2::{Digest, Sha256};
use sonoseg_imaging::archive::{Archive, ArchivedClip, ClipFacts};
use sonoseg_imaging::formats::{self, DicomVideo, FileKind, VideoCodec};
use sonoseg_imaging::geometry::{Image, Scale};

use super::decode::{self, Video};
use super::reader::Pixels;
use crate::demux::avi::{self, Pictures};
use crate::demux::track::Track;
use crate::demux::{foreign, mp4, webm};
use crate::messages::{ClipId, ClipInfo, Fault};
use crate::playback::ASSUMED_FRAME_US;

/// Longest edge of a picture on the page; bigger frames are shown smaller.
const LONGEST_SHOWN: usize = 2048;
/// Decoded frames that are kept, for windows of several frames that are predicted side by side.
const KEPT: usize = 8;

/// The clip that is shown.
pub(super) struct OpenClip {
    /// What the page knows about it.
    pub(super) info: ClipInfo,
    decoder: Decoder,
    kept: RefCell<VecDeque<(usize, Rc<Image>)>>,
}

/// Where its frames come from.
enum Decoder {
    File(formats::Clip),
    Video(Video, Scale),
    Pictures(Pictures),
    /// Frames that came back in an archive of one clip.
    Archive(Box<RefCell<Archive>>, ArchivedClip),
}

impl OpenClip {
    /// Open a file, with its first frame. The error names the file and the reason. `go_on` may say no.
    pub(super) async fn open(
        id: ClipId,
        name: &str,
        bytes: Vec<u8>,
        go_on: &impl Fn() -> Result<(), Fault>,
    ) -> Result<Self, String> {
        let (decoder, info) = match source(name, bytes)? {
            Source::Video(track, header) => {
                let video = Video::open(track, go_on).await.map_err(|reason| format!("{name}: {reason}"))?;
                let (info, scale) = info_of_video(id, name, &video, header.as_ref());
                (Decoder::Video(video, scale), info)
            }
            Source::Pictures(pictures) => {
                let info = info_of_pictures(id, name, &pictures)?;
                (Decoder::Pictures(pictures), info)
            }
            Source::File(clip) => {
                let info = info_of_file(id, name, &clip);
                (Decoder::File(clip), info)
            }
            Source::Archive(archive, clip) => {
                let info = info_of_archive(id, name, &archive, &clip);
                (Decoder::Archive(Box::new(RefCell::new(*archive)), clip), info)
            }
        };
        let clip = Self { info, decoder, kept: RefCell::default() };
        // A file whose first frame cannot be decoded is refused at the door; a video has one that can.
        if let Decoder::File(_) | Decoder::Archive(..) = clip.decoder {
            clip.frame(0, go_on).await.map_err(|fault| fault.to_string())?;
        }
        Ok(clip)
    }

    /// What is known about it beside its frames.
    pub(super) fn facts(&self) -> ClipFacts {
        let times_us = self.info.times_known.then(|| self.info.times_us.clone());
        let (scale, group) = match &self.decoder {
            Decoder::File(clip) => (clip.scale().clone(), clip.person().map(|person| patient(&person))),
            Decoder::Video(_, scale) => (scale.clone(), None),
            Decoder::Pictures(_) => (Scale::Unknown, None),
            Decoder::Archive(_, clip) => (clip.scale.clone(), clip.group.clone()),
        };
        ClipFacts { times_us, scale, group }
    }

    /// True for a frame of a damaged video that is known to be not there.
    pub(super) fn is_lost(&self, index: usize) -> bool {
        match &self.decoder {
            Decoder::File(_) | Decoder::Archive(..) => false,
            Decoder::Video(video, _) => video.is_lost(index),
            Decoder::Pictures(pictures) => pictures.order.chunk(index).is_none(),
        }
    }

    /// A frame. The error names the file and the reason.
    pub(super) async fn frame(&self, index: usize, go_on: &impl Fn() -> Result<(), Fault>) -> Result<Rc<Image>, Fault> {
        if let Some((_, image)) = self.kept.borrow().iter().find(|(kept, _)| *kept == index) {
            return Ok(image.clone());
        }
        let image = match &self.decoder {
            Decoder::File(clip) => clip.frame(index).map_err(|error| Fault::Refused(error.to_string()))?,
            Decoder::Archive(archive, clip) => {
                archive.borrow_mut().frame(clip, index).map_err(|error| Fault::Refused(error.to_string()))?
            }
            Decoder::Pictures(pictures) => {
                pictures.frame(index).map_err(|reason| Fault::Refused(format!("{}: {reason}", self.info.name)))?
            }
            Decoder::Video(video, scale) => {
                let Pixels { channels, bytes } = &*self.of_video(video, index, go_on).await?;
                let read = if *channels == 3 { Image::from_rgb8 } else { Image::from_grey8 };
                read(video.height, video.width, bytes).with_scale(scale.clone())
            }
        };
        let image = Rc::new(image);
        // A frame of an 8000 x 8000 picture has 256 MB; one of those is enough.
        let most = ((64 << 20) / image.pixels.len().max(1)).clamp(1, KEPT);
        let mut kept = self.kept.borrow_mut();
        while kept.len() >= most {
            kept.pop_front();
        }
        kept.push_back((index, image.clone()));
        Ok(image)
    }

    /// A frame for the screen, as its bytes `[height, width, channels]`, and what is known of its millimetres.
    pub(super) async fn pixels(
        &self,
        index: usize,
        go_on: &impl Fn() -> Result<(), Fault>,
    ) -> Result<(Pixels, Scale), Fault> {
        match &self.decoder {
            Decoder::File(_) | Decoder::Pictures(_) | Decoder::Archive(..) => {
                let image = self.frame(index, go_on).await?;
                Ok((Pixels { channels: image.channels, bytes: image.to_bytes() }, image.scale.clone()))
            }
            Decoder::Video(video, scale) => {
                let pixels = self.of_video(video, index, go_on).await?;
                Ok((Pixels { channels: pixels.channels, bytes: pixels.bytes.clone() }, scale.clone()))
            }
        }
    }

    async fn of_video(
        &self,
        video: &Video,
        index: usize,
        go_on: &impl Fn() -> Result<(), Fault>,
    ) -> Result<Rc<Pixels>, Fault> {
        video.frame(index, go_on).await.map_err(|fault| match fault {
            Fault::Refused(reason) => Fault::Refused(format!("{}: {reason}", self.info.name)),
            fault => fault,
        })
    }
}

/// Say whether a file can be read, without decoding all of it, and which clip it is; `id` is the hash of its content. The
/// error names the file and the reason.
pub(super) async fn check(id: ClipId, name: &str, bytes: Vec<u8>) -> Result<ClipId, String> {
    match source(name, bytes)? {
        Source::Video(track, _) => {
            decode::check(&track).await.map(|_| id).map_err(|reason| format!("{name}: {reason}"))
        }
        Source::Pictures(pictures) => first(&pictures).map(|_| id).map_err(|reason| format!("{name}: {reason}")),
        Source::File(clip) => clip.frame(0).map(|_| id).map_err(|error| error.to_string()),
        Source::Archive(mut archive, clip) => {
            archive.frame(&clip, 0).map_err(|error| error.to_string())?;
            Ok(original(&clip).unwrap_or(id))
        }
    }
}

/// The clip that the frames of an archive were decoded from.
fn original(clip: &ArchivedClip) -> Option<ClipId> {
    ClipId::parse(&clip.clip)
}

/// A word for a patient, as `sonoseg ingest` makes it: it does not show their number.
fn patient(person: &str) -> String {
    let hash = Sha256::digest(person.as_bytes());
    format!("patient-{}", hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect::<String>())
}

/// What a file is to the decoders.
enum Source {
    File(formats::Clip),
    /// A video, and what the DICOM object says that wraps it.
    Video(Track, Option<DicomVideo>),
    Pictures(Pictures),
    /// An archive of one clip.
    Archive(Box<Archive>, ArchivedClip),
}

/// Take a file apart. The error names the file and the reason.
fn source(name: &str, bytes: Vec<u8>) -> Result<Source, String> {
    let named = |reason| format!("{name}: {reason}");
    if Archive::is_zip(&bytes) {
        let archive = Archive::open(name, bytes).map_err(|error| error.to_string())?;
        let [clip] = archive.clips() else {
            return Err(named(format!(
                "it is the project {}: bring it back as a project (Bring back) rather than as a clip.",
                archive.name()
            )));
        };
        let clip = clip.clone();
        return Ok(Source::Archive(Box::new(archive), clip));
    }
    if let Some(demux) = video_track(name, &bytes) {
        return Ok(Source::Video(demux(bytes).map_err(named)?, None));
    }
    if avi::is_avi(&bytes) {
        return Pictures::open(name, bytes).map(Source::Pictures).map_err(named);
    }
    if matches!(formats::kind(name, &bytes), Ok(FileKind::Video)) {
        return Err(named(foreign::refusal(name, &bytes)));
    }
    if let Some(mut video) = formats::dicom_video(name, &bytes).map_err(|error| error.to_string())? {
        let stream = std::mem::take(&mut video.stream);
        let Some(demux) = video_track("", &stream) else { return Err(named(bare(video.codec))) };
        return Ok(Source::Video(demux(stream).map_err(named)?, Some(video)));
    }
    formats::open(name, bytes).map(Source::File).map_err(|error| error.to_string())
}

/// What to say about a video in a DICOM object that lies there without a container that is read here.
fn bare(codec: VideoCodec) -> String {
    let codec = match codec {
        VideoCodec::Mpeg2 => "MPEG-2",
        VideoCodec::H264 => "H.264",
        VideoCodec::Hevc => "HEVC",
    };
    format!(
        "The {codec} video inside it is not in an MP4, and is not read in the browser. `sonoseg predict` reads it, or take it \
         out and convert it, for example with `gdcmraw IN OUT.raw` and `ffmpeg -i OUT.raw -c:v libx264 OUT.mp4`."
    )
}

type Demux = fn(Vec<u8>) -> Result<Track, String>;

fn video_track(name: &str, bytes: &[u8]) -> Option<Demux> {
    let ending = name.rsplit('.').next().unwrap_or_default().to_lowercase();
    if webm::is_webm(bytes) {
        Some(webm::track)
    } else if mp4::is_mp4(bytes) || (matches!(ending.as_str(), "mp4" | "mov" | "m4v") && !bytes.is_empty()) {
        Some(mp4::track)
    } else {
        None
    }
}

/// What the page is to know of a file, and of a video below.
fn info_of_file(id: ClipId, name: &str, clip: &formats::Clip) -> ClipInfo {
    let scale_known = *clip.scale() != Scale::Unknown;
    info(id, name, clip.len(), clip.size(), clip.frame_times_us(), scale_known, clip.notes())
}

fn info_of_pictures(id: ClipId, name: &str, pictures: &Pictures) -> Result<ClipInfo, String> {
    let Image { height, width, .. } = first(pictures).map_err(|reason| format!("{name}: {reason}"))?;
    let (count, times) = (pictures.order.len(), Some(pictures.order.times_us()));
    Ok(info(id, name, count, (height, width), times, false, &pictures.order.notes))
}

/// The first picture that can be decoded.
fn first(pictures: &Pictures) -> Result<Image, String> {
    let mut frames = (0..pictures.order.len()).map(|frame| pictures.frame(frame));
    frames.find(Result::is_ok).unwrap_or_else(|| Err("None of its frames can be decoded: copy it again.".to_owned()))
}

/// A video has the times and the scale of the DICOM object that wraps it, where they fit it.
fn info_of_video(id: ClipId, name: &str, video: &Video, header: Option<&DicomVideo>) -> (ClipInfo, Scale) {
    let (count, size) = (video.order.len(), (video.height, video.width));
    let (mut notes, mut times, mut scale) = (video.order.notes.clone(), video.order.times_us(), Scale::Unknown);
    if let Some(header) = header {
        if let Some(told) = header.frame_times_us.as_ref().filter(|told| told.len() == count) {
            times.clone_from(told);
        } else if let Some(frames) = header.frames.filter(|&frames| frames != count) {
            notes.push(format!(
                "Its header speaks of {frames} frames, and the video inside has {count}; the video's own times are used."
            ));
        }
        if (header.height, header.width) == size {
            scale = header.scale.clone();
        } else {
            notes.push(format!(
                "Its header speaks of {}x{} pixels, and the video inside has {}x{}: no millimetres are known.",
                header.width, header.height, video.width, video.height
            ));
        }
    }
    (info(id, name, count, size, Some(times), scale != Scale::Unknown, &notes), scale)
}

fn info_of_archive(id: ClipId, name: &str, archive: &Archive, clip: &ArchivedClip) -> ClipInfo {
    let record = archive.record(clip);
    let (frames, size) = record.map_or((0, (0, 0)), |record| (record.frames, (record.height, record.width)));
    let (id, scale_known) = (original(clip).unwrap_or(id), clip.scale != Scale::Unknown);
    info(id, name, frames, size, clip.times_us.clone(), scale_known, &[])
}

fn info(
    id: ClipId,
    name: &str,
    frames: usize,
    (height, width): (usize, usize),
    times: Option<Vec<u64>>,
    scale_known: bool,
    notes: &[String],
) -> ClipInfo {
    let note = (!notes.is_empty()).then(|| format!("{name}: {}", notes.join(" ")));
    let times_known = times.is_some();
    let times_us = times.unwrap_or_else(|| (0..frames as u64).map(|frame| frame * ASSUMED_FRAME_US).collect());
    let shrink = height.max(width).div_ceil(LONGEST_SHOWN).max(1);
    let name = name.to_owned();
    ClipInfo { id, name, frames, height, width, shrink, times_us, times_known, scale_known, note }
}
