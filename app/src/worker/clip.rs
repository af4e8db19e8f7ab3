//! An opened clip of any kind, its frames decoded when they are asked for.

use std::collections::VecDeque;
use std::rc::Rc;

use sonoseg_imaging::formats;
use sonoseg_imaging::geometry::{Image, Scale};

use super::decode::{self, Video};
use super::{mp4, webm};
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
    Video(Video),
}

impl OpenClip {
    /// Open a file. The error names the file and the reason. `go_on` hears how many frames are decoded, and may say no.
    pub(super) async fn open(
        id: ClipId,
        name: &str,
        bytes: Vec<u8>,
        go_on: impl Fn(usize) -> bool,
    ) -> Result<Self, String> {
        let decoder = match video_track(name, &bytes) {
            Some(demux) => {
                let named = |reason| format!("{name}: {reason}");
                let track = demux(bytes).map_err(named)?;
                Decoder::Video(decode::decode(&track, go_on).await.map_err(named)?)
            }
            None => Decoder::File(formats::open(name, bytes).map_err(|error| error.to_string())?),
        };
        let mut clip = Self { info: info(id, name, &decoder), decoder, kept: VecDeque::new() };
        // A file whose first frame cannot be decoded is refused at the door.
        clip.frame(0)?;
        Ok(clip)
    }

    /// A frame. The error names the file and the reason.
    pub(super) fn frame(&mut self, index: usize) -> Result<Rc<Image>, String> {
        if let Some((_, image)) = self.kept.iter().find(|(kept, _)| *kept == index) {
            return Ok(image.clone());
        }
        let image = match &self.decoder {
            Decoder::File(clip) => clip.frame(index).map_err(|error| error.to_string())?,
            Decoder::Video(video) => {
                let frame =
                    video.frames.get(index).ok_or_else(|| format!("{}: there is no frame {index}.", self.info.name))?;
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
pub(super) async fn check(name: &str, bytes: Vec<u8>) -> Result<(), String> {
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

fn info(id: ClipId, name: &str, decoder: &Decoder) -> ClipInfo {
    let (frames, (height, width), times, scale_known, note) = match decoder {
        Decoder::File(clip) => {
            let note = (!clip.notes().is_empty()).then(|| format!("{name}: {}", clip.notes().join(" ")));
            (clip.len(), clip.size(), clip.frame_times_us(), *clip.scale() != Scale::Unknown, note)
        }
        Decoder::Video(video) => {
            let note = video.note.as_ref().map(|note| format!("{name}: {note}"));
            (video.frames.len(), (video.height, video.width), Some(video.times_us.clone()), false, note)
        }
    };
    let times_known = times.is_some();
    let times_us = times.unwrap_or_else(|| (0..frames as u64).map(|frame| frame * ASSUMED_FRAME_US).collect());
    let shrink = height.max(width).div_ceil(LONGEST_SHOWN).max(1);
    let name = name.to_owned();
    ClipInfo { id, name, frames, height, width, shrink, times_us, times_known, scale_known, note }
}
