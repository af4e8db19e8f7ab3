//! An opened clip of any kind, its frames decoded when they are asked for.

use std::collections::VecDeque;
use std::rc::Rc;

use sonoseg_imaging::formats;
use sonoseg_imaging::geometry::{Image, Scale};

use super::decode::{self, Video};
use super::{mp4, webm};
use crate::messages::ClipReport;
use crate::playback::ASSUMED_FRAME_US;

/// Longest edge of a picture on the page; bigger frames are shown smaller.
const LONGEST_SHOWN: usize = 2048;
/// Decoded frames that are kept, for windows of several frames.
const KEPT: usize = 4;

/// The clip that is shown.
pub struct OpenClip {
    /// What the page knows about it.
    pub report: ClipReport,
    /// What is missing, though the rest is shown.
    pub note: Option<String>,
    kind: Kind,
    kept: VecDeque<(usize, Rc<Image>)>,
}

enum Kind {
    File(formats::Clip),
    Video(Video),
}

impl OpenClip {
    /// Open a file. The error names the file and the reason.
    pub async fn open(file: u32, name: &str, bytes: Vec<u8>, progress: impl Fn(usize)) -> Result<Self, String> {
        let kind = match video_track(name, &bytes) {
            Some(demux) => {
                let named = |reason| format!("{name}: {reason}");
                let track = demux(bytes).map_err(named)?;
                Kind::Video(decode::decode(&track, progress).await.map_err(named)?)
            }
            None => Kind::File(formats::open(name, bytes).map_err(|error| error.to_string())?),
        };
        let mut clip = Self { report: report(file, name, &kind), note: None, kind, kept: VecDeque::new() };
        if let Kind::Video(video) = &clip.kind {
            clip.note = video.note.as_ref().map(|note| format!("{name}: {note}"));
        }
        // A file whose first frame cannot be decoded is refused at the door.
        clip.frame(0)?;
        Ok(clip)
    }

    /// A frame. The error names the file and the reason.
    pub fn frame(&mut self, index: usize) -> Result<Rc<Image>, String> {
        if let Some((_, image)) = self.kept.iter().find(|(kept, _)| *kept == index) {
            return Ok(image.clone());
        }
        let image = match &self.kind {
            Kind::File(clip) => clip.frame(index).map_err(|error| error.to_string())?,
            Kind::Video(video) => {
                let frame = video
                    .frames
                    .get(index)
                    .ok_or_else(|| format!("{}: there is no frame {index}.", self.report.name))?;
                Image::from_grey8(video.height, video.width, frame)
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

/// Say whether a file can be read, without decoding all of it. The error names the file and the reason.
pub async fn check(name: &str, bytes: Vec<u8>) -> Result<(), String> {
    match video_track(name, &bytes) {
        Some(demux) => {
            let named = |reason| format!("{name}: {reason}");
            decode::check(&demux(bytes).map_err(named)?).await.map(drop).map_err(named)
        }
        None => {
            let clip = formats::open(name, bytes).map_err(|error| error.to_string())?;
            clip.frame(0).map(drop).map_err(|error| error.to_string())
        }
    }
}

type Demux = fn(Vec<u8>) -> Result<super::track::Track, String>;

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

fn report(file: u32, name: &str, kind: &Kind) -> ClipReport {
    let (frames, (height, width), times, scale_known) = match kind {
        Kind::File(clip) => (clip.len(), clip.size(), clip.frame_times_us(), *clip.scale() != Scale::Unknown),
        Kind::Video(video) => (video.frames.len(), (video.height, video.width), Some(video.times_us.clone()), false),
    };
    let times_known = times.is_some();
    let times_us = times.unwrap_or_else(|| (0..frames as u64).map(|frame| frame * ASSUMED_FRAME_US).collect());
    let shrink = height.max(width).div_ceil(LONGEST_SHOWN).max(1);
    ClipReport { file, name: name.to_owned(), frames, height, width, shrink, times_us, times_known, scale_known }
}
