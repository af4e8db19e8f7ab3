//! An opened clip of any kind, its frames decoded when they are asked for.

use std::collections::VecDeque;
use std::rc::Rc;

use sha2::{Digest, Sha256};
use sonoseg_imaging::archive::{Archive, ArchivedClip, ClipFacts};
use sonoseg_imaging::formats::{self, DicomVideo, VideoCodec};
use sonoseg_imaging::geometry::{Image, Scale};

use super::decode::{self, Video};
use crate::demux::track::Track;
use crate::demux::{mp4, webm};
use crate::messages::{ClipId, ClipInfo};
use crate::playback::ASSUMED_FRAME_US;

/// Longest edge of a picture on the page; bigger frames are shown smaller.
const LONGEST_SHOWN: usize = 2048;
/// Decoded frames that are kept, for windows of several frames.
const KEPT: usize = 4;

/// The clip that is shown.
pub(super) struct OpenClip {
    /// What the page knows about it.
    pub(super) info: ClipInfo,
    decoder: Decoder,
    kept: VecDeque<(usize, Rc<Image>)>,
}

/// Where its frames come from.
enum Decoder {
    File(formats::Clip),
    Video(Video, Scale),
    /// Frames that came back in an archive of one clip.
    Archive(Box<Archive>, ArchivedClip),
}

impl OpenClip {
    /// Open a file. The error names the file and the reason. `go_on` hears how many frames are decoded, and may say no.
    pub(super) async fn open(
        id: ClipId,
        name: &str,
        bytes: Vec<u8>,
        go_on: impl Fn(usize) -> bool,
    ) -> Result<Self, String> {
        let decoder = match source(name, bytes)? {
            Source::Video(track, header) => {
                let mut video = decode::decode(&track, go_on).await.map_err(|reason| format!("{name}: {reason}"))?;
                let scale = header.map_or(Scale::Unknown, |header| apply(&header, &mut video));
                Decoder::Video(video, scale)
            }
            Source::File(clip) => Decoder::File(clip),
            Source::Archive(archive, clip) => Decoder::Archive(archive, clip),
        };
        let mut clip = Self { info: info(id, name, &decoder), decoder, kept: VecDeque::new() };
        // A file whose first frame cannot be decoded is refused at the door; a video has one that can.
        if !matches!(clip.decoder, Decoder::Video(..)) {
            clip.frame(0)?;
        }
        Ok(clip)
    }

    /// What is known about it beside its frames.
    pub(super) fn facts(&self) -> ClipFacts {
        let times_us = self.info.times_known.then(|| self.info.times_us.clone());
        let (scale, group) = match &self.decoder {
            Decoder::File(clip) => (clip.scale().clone(), clip.person().map(|person| patient(&person))),
            Decoder::Video(_, scale) => (scale.clone(), None),
            Decoder::Archive(_, clip) => (clip.scale.clone(), clip.group.clone()),
        };
        ClipFacts { times_us, scale, group }
    }

    /// True for a frame of a damaged video that is not there.
    pub(super) fn is_lost(&self, index: usize) -> bool {
        matches!(&self.decoder, Decoder::Video(video, _) if video.frames.get(index).is_some_and(Option::is_none))
    }

    /// A frame. The error names the file and the reason.
    pub(super) fn frame(&mut self, index: usize) -> Result<Rc<Image>, String> {
        if let Some((_, image)) = self.kept.iter().find(|(kept, _)| *kept == index) {
            return Ok(image.clone());
        }
        let image = match &mut self.decoder {
            Decoder::Archive(archive, clip) => archive.frame(clip, index).map_err(|error| error.to_string())?,
            Decoder::File(clip) => clip.frame(index).map_err(|error| error.to_string())?,
            Decoder::Video(video, scale) => {
                let name = &self.info.name;
                let frame = video.frames.get(index).ok_or_else(|| format!("{name}: there is no frame {index}."))?;
                let frame = frame.as_ref().ok_or_else(|| format!("{name}: frame {index} is lost."))?;
                Image { scale: scale.clone(), ..Image::from_grey8(video.height, video.width, frame) }
            }
        };
        let image = Rc::new(image);
        // A frame of an 8000 x 8000 picture has 256 MB; one of those is enough.
        let most = if image.pixels.len() > 16 << 20 { 1 } else { KEPT };
        while self.kept.len() >= most {
            self.kept.pop_front();
        }
        self.kept.push_back((index, image.clone()));
        Ok(image)
    }
}

/// Say whether a file can be read, without decoding all of it, and which clip it is; `id` is the hash of its content. The
/// error names the file and the reason.
pub(super) async fn check(id: ClipId, name: &str, bytes: Vec<u8>) -> Result<ClipId, String> {
    match source(name, bytes)? {
        Source::Video(track, _) => {
            decode::check(&track).await.map_err(|reason| format!("{name}: {reason}")).map(|_| id)
        }
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

/// Give a video the times and the scale of the DICOM object that wraps it, where they fit it.
fn apply(header: &DicomVideo, video: &mut Video) -> Scale {
    match &header.frame_times_us {
        Some(times) if times.len() == video.frames.len() => video.times_us.clone_from(times),
        _ => {
            if let Some(frames) = header.frames.filter(|&frames| frames != video.frames.len()) {
                video.notes.push(format!(
                    "Its header speaks of {frames} frames, and the video inside has {}; the video's own times are used.",
                    video.frames.len()
                ));
            }
        }
    }
    if (header.height, header.width) == (video.height, video.width) {
        return header.scale.clone();
    }
    video.notes.push(format!(
        "Its header speaks of {}x{} pixels, and the video inside has {}x{}: no millimetres are known.",
        header.width, header.height, video.width, video.height
    ));
    Scale::Unknown
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

fn info(id: ClipId, name: &str, decoder: &Decoder) -> ClipInfo {
    let (frames, (height, width), times, scale_known, notes) = match decoder {
        Decoder::File(clip) => {
            (clip.len(), clip.size(), clip.frame_times_us(), *clip.scale() != Scale::Unknown, clip.notes())
        }
        Decoder::Video(video, scale) => {
            let (times, known) = (Some(video.times_us.clone()), *scale != Scale::Unknown);
            (video.frames.len(), (video.height, video.width), times, known, &video.notes[..])
        }
        Decoder::Archive(archive, clip) => {
            let (frames, size) =
                archive.record(clip).map_or((0, (0, 0)), |record| (record.frames, (record.height, record.width)));
            (frames, size, clip.times_us.clone(), clip.scale != Scale::Unknown, &[][..])
        }
    };
    let id = if let Decoder::Archive(_, clip) = decoder { original(clip).unwrap_or(id) } else { id };
    let note = (!notes.is_empty()).then(|| format!("{name}: {}", notes.join(" ")));
    let times_known = times.is_some();
    let times_us = times.unwrap_or_else(|| (0..frames as u64).map(|frame| frame * ASSUMED_FRAME_US).collect());
    let shrink = height.max(width).div_ceil(LONGEST_SHOWN).max(1);
    let name = name.to_owned();
    ClipInfo { id, name, frames, height, width, shrink, times_us, times_known, scale_known, note }
}
