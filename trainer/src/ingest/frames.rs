//! Frames of a planned procedure, one after the other, so that a long clip is never held in memory.

use std::collections::BTreeMap;
use std::fs;
use std::slice::Iter;

use sonoseg_imaging::DataError;
use sonoseg_imaging::formats::classes::ClassMap;
use sonoseg_imaging::formats::{self, Clip};
use sonoseg_imaging::geometry::{Image, Mask, Scale};

use super::masks;
use super::pairs::Still;
use super::plan::Content;
use super::sources::{ClipKind, Remark};
use crate::args::Ingest;
use crate::files;
use crate::video::{self, Video};

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
    /// Frames per second, where the source tells.
    pub(super) fps: Option<f64>,
    /// Pictures that could not be read; those after them are.
    pub(super) failed: Vec<Remark>,
    /// What is doubtful about files that are read, and about how many of them.
    pub(super) notes: BTreeMap<String, usize>,
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
        let (source, lossy, fps) = match content {
            Content::Clip(clip) if clip.kind == ClipKind::Video => {
                let path = &clip.file.path;
                let video = Video::open(path)?;
                let fps = video.fps();
                (Source::Video(Box::new(video)), video::is_lossy(path), fps)
            }
            Content::Clip(clip) => {
                let clip = open(&clip.file.path)?;
                notes.extend(clip.notes().iter().map(|note| (note.clone(), 1)));
                let (lossy, fps, times_us) = (clip.is_lossy(), clip.fps(), clip.frame_times_us());
                (Source::Clip { clip: Box::new(clip), times_us }, lossy, fps)
            }
            Content::Stills { stills, .. } => {
                let lossy = |still: &Still| {
                    let end = still.file.path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
                    end == "jpg" || end == "jpeg"
                };
                (Source::Stills(stills.iter()), stills.iter().any(lossy), None)
            }
        };
        Ok(Self { source, verb, classes, next: 0, lossy, fps, failed: Vec::new(), notes })
    }

    /// The next frame, or none at the end. A clip that fails in the middle is an error; of pictures, the others go on.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, DataError> {
        loop {
            let number = self.next;
            self.next += 1;
            let frame = |image: Image, time_s| Frame { image, number, time_s, mask: None };
            match &mut self.source {
                Source::Video(video) => {
                    let time_s = self.fps.map(|fps| number as f64 / fps);
                    return Ok(video.next()?.map(|image| frame(image, time_s)));
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

fn open(path: &std::path::Path) -> Result<Clip, DataError> {
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
    let clip = open(&still.file.path)?;
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
            return Err(DataError::Inconsistent(format!("the mask {name} is {sizes}: a mask has its picture's size")));
        }
        let Some(classes) = classes else { continue };
        let mask = classes.apply(&stored).map_err(|e| DataError::unreadable(name, e))?;
        let mask = if verb.fill { mask.filled() } else { mask };
        match &mut whole {
            Some(whole) => whole.classes.iter_mut().zip(mask.classes).for_each(|(a, b)| *a = (*a).max(b)),
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
