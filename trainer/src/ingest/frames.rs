//! Frames of a planned procedure, one after the other, so that a long clip is never held in memory.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::slice::Iter;

use sonoseg_imaging::DataError;
use sonoseg_imaging::formats::classes::ClassMap;
use sonoseg_imaging::formats::{self, Clip};
use sonoseg_imaging::geometry::{Image, Mask, Scale};

use super::masks;
use super::pairs::Still;
use super::plan::Content;
use super::sources::{ClipKind, Remark};
use crate::args::{Damaged, Ingest};
use crate::files;
use crate::video::Video;

/// One frame of a source.
pub(super) struct Frame {
    pub(super) image: Image,
    /// Number in the clip, or position among the pictures.
    pub(super) number: usize,
    /// Seconds from the clip's first frame, where the file tells.
    pub(super) time_s: Option<f64>,
    pub(super) mask: Option<Mask>,
}

/// The frames of a procedure.
pub(super) struct FrameReader<'a> {
    source: Source<'a>,
    verb: &'a Ingest,
    classes: Option<&'a ClassMap>,
    next: usize,
    pub(super) lossy: bool,
    /// Pictures that could not be read; those after them are.
    pub(super) failed: Vec<Remark>,
    /// What is doubtful about files that are read, and about how many of them.
    pub(super) notes: BTreeMap<String, usize>,
}

/// An opened clip.
pub(super) enum Reading {
    Video(Box<Video>),
    Clip(Box<Clip>),
}

enum Source<'a> {
    Video(Box<Video>),
    Clip { clip: Box<Clip>, times_us: Option<Vec<u64>> },
    Stills(Iter<'a, Still>),
}

impl<'a> FrameReader<'a> {
    pub(super) fn open(
        verb: &'a Ingest,
        content: &'a Content,
        classes: Option<&'a ClassMap>,
    ) -> Result<Self, DataError> {
        let mut notes = BTreeMap::new();
        let (source, lossy) = match content {
            Content::Clip(clip) => {
                let source = match open_clip(&clip.file.path, clip.kind, verb.damaged)? {
                    Reading::Video(video) => Source::Video(video),
                    Reading::Clip(clip) => Source::Clip { times_us: clip.frame_times_us(), clip },
                };
                let (told, lossy) = match &source {
                    Source::Video(video) => (video.notes(), video.is_lossy()),
                    Source::Clip { clip, .. } => (clip.notes(), clip.is_lossy()),
                    Source::Stills(_) => (&[][..], false),
                };
                notes.extend(told.iter().map(|note| (note.clone(), 1)));
                (source, lossy)
            }
            Content::Stills { stills, .. } => {
                let lossy = |still: &Still| {
                    let end = still.file.path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
                    end == "jpg" || end == "jpeg"
                };
                (Source::Stills(stills.iter()), stills.iter().any(lossy))
            }
        };
        Ok(Self { source, verb, classes, next: 0, lossy, failed: Vec::new(), notes })
    }

    /// Frames of the source, those included that a damaged video has lost.
    pub(super) fn total(&self) -> usize {
        match &self.source {
            Source::Video(video) => video.total(),
            Source::Clip { clip, .. } => clip.len(),
            Source::Stills(_) => self.next.saturating_sub(1),
        }
    }

    /// The next frame, or none at the end. A clip that fails in the middle is an error; of pictures, the others go on.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, DataError> {
        loop {
            let number = self.next;
            self.next += 1;
            let frame = |image: Image, time_s| Frame { image, number, time_s, mask: None };
            match &mut self.source {
                Source::Video(video) => {
                    let next = video.next()?;
                    return Ok(next.map(|next| Frame { number: next.number, ..frame(next.image, next.time_s) }));
                }
                Source::Clip { clip, times_us } => {
                    if number >= clip.len() {
                        return Ok(None);
                    }
                    let time_s = times_us.as_ref().and_then(|times| times.get(number)).map(|&us| us as f64 / 1e6);
                    return Ok(Some(frame(clip.frame(number)?, time_s)));
                }
                Source::Stills(stills) => {
                    let Some(still) = stills.next() else { return Ok(None) };
                    match picture(self.verb, still, self.classes, &mut self.notes) {
                        Ok((image, mask)) => return Ok(Some(Frame { mask, ..frame(image, None) })),
                        Err(error) => self.failed.push(Remark::of(&still.file.path, &error)),
                    }
                }
            }
        }
    }
}

/// A clip for the reader of its kind: a video that a DICOM object wraps is one for ffmpeg, too.
pub(super) fn open_clip(path: &Path, kind: ClipKind, damaged: Damaged) -> Result<Reading, DataError> {
    if kind == ClipKind::Video {
        return Ok(Reading::Video(Box::new(Video::open(path, damaged)?)));
    }
    let name = files::absolute(path);
    let bytes = fs::read(path).map_err(|e| DataError::unreadable(name.clone(), e))?;
    if let Some(video) = formats::dicom_video(&name, &bytes)? {
        return Ok(Reading::Video(Box::new(Video::of_dicom(&name, &video, damaged)?)));
    }
    Ok(Reading::Clip(Box::new(formats::open(&name, bytes)?)))
}

pub(super) fn open_picture(path: &Path) -> Result<Clip, DataError> {
    let name = files::absolute(path);
    let bytes = fs::read(path).map_err(|e| DataError::unreadable(name.clone(), e))?;
    formats::open(&name, bytes)
}

/// A picture and its mask: where it has several, the higher class wins.
fn picture(
    verb: &Ingest,
    still: &Still,
    classes: Option<&ClassMap>,
    notes: &mut BTreeMap<String, usize>,
) -> Result<(Image, Option<Mask>), DataError> {
    let clip = open_picture(&still.file.path)?;
    clip.notes().iter().for_each(|note| *notes.entry(note.clone()).or_default() += 1);
    if clip.len() > 1 {
        let reason = format!("is an animation of {} frames: turn it into a video", clip.len());
        return Err(DataError::unsupported(clip.name(), reason));
    }
    let image = clip.frame(0)?;
    let mut whole: Option<Mask> = None;
    for path in &still.masks {
        let name = files::absolute(path);
        let stored = masks::read(verb, path)?;
        if [stored.height, stored.width] != [image.height, image.width] {
            let sizes = format!("{}x{}, and its picture {}x{}", stored.width, stored.height, image.width, image.height);
            let turned = [stored.width, stored.height] == [image.height, image.width]
                && clip.notes().iter().any(|note| note.contains("orientation tag"));
            let advice = if turned {
                "the picture's orientation tag turns it; where the mask was drawn without it, take the tag out \
                 (exiftool -n -Orientation=1 FILE)"
            } else {
                "a mask has its picture's size"
            };
            return Err(DataError::Inconsistent(format!("the mask {name} is {sizes}: {advice}")));
        }
        let Some(classes) = classes else { continue };
        let mask = classes.apply(&stored).map_err(|e| DataError::unreadable(name, e))?;
        let mask = if verb.fill { mask.filled() } else { mask };
        match &mut whole {
            Some(whole) => whole.join(&mask),
            None => whole = Some(mask),
        }
    }
    if let Some((path, drawing)) = &still.drawn {
        let class = |name: &str| classes.map_or(0, |map| masks::class_of(verb, map, name));
        let painted = drawing.paint(image.height, image.width, class);
        let painted = painted.map_err(|e| DataError::unreadable(files::absolute(path), e))?;
        if painted.outside > 0 {
            let reason = format!(
                "{} of the objects in it lie outside of {}, which is {}x{}: were they drawn in another picture?",
                painted.outside,
                still.file.below(),
                image.width,
                image.height
            );
            return Err(DataError::unreadable(files::absolute(path), reason));
        }
        if painted.cut > 0 {
            *notes.entry("objects reach out of the picture, and are cut at its edge".into()).or_default() += 1;
        }
        whole = Some(if verb.fill { painted.mask.filled() } else { painted.mask });
    }
    Ok((image, whole))
}

/// The spacing that holds in the whole frame, and whether there is one in a part of it.
pub(super) fn spacing(image: &Image) -> (Option<sonoseg_imaging::geometry::Spacing>, bool) {
    let corners = [(0.0, 0.0), (image.width as f64 - 1.0, image.height as f64 - 1.0)];
    let whole = image.scale.at(&corners);
    (whole, whole.is_none() && image.scale != Scale::Unknown)
}
