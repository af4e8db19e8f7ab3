//! The pictures of a folder without anything that is said about them: the ground for simulated needles.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;
use sonoseg_imaging::DataError;
use sonoseg_imaging::geometry::Image;

use super::frames::{Reading, open_clip, open_picture};
use super::layout::{Role, bare_mask};
use super::sources::{ClipKind, Found, Sources};
use crate::args::Damaged;
use crate::failure::Usage;
use crate::files;

/// A file with pictures of tissue.
#[derive(Clone, Debug)]
pub(crate) struct GroundFile {
    pub(crate) path: PathBuf,
    /// Its path below the source, with `/` on every system.
    pub(crate) below: String,
    /// None for a single picture.
    clip: Option<ClipKind>,
}

/// Frames of a clip that are passed over at most before those that are read.
const MOST_SKIPPED: usize = 300;

impl GroundFile {
    /// The pictures and clips of a folder, or of one file, in the order of their names. Masks, tables and drawings are left
    /// aside.
    pub(crate) fn find(source: &Path, out: &Path) -> Result<Vec<Self>> {
        if source.join("procedures").is_dir() {
            let name = files::absolute(source);
            let message = format!("{name} is a data set of sonoseg already: give the folder that it was made from");
            return Err(Usage(message).into());
        }
        let found = Sources::find(&[source.to_owned()], out)?;
        let named: BTreeSet<(Vec<String>, String)> =
            found.pictures.iter().map(|file| (file.folders.clone(), file.stem())).collect();
        let is_mask = |file: &Found| {
            let of_masks = |folder: &String| matches!(Role::of(folder), Role::Masks(_) | Role::Aside(_));
            let beside = |bare: String| named.contains(&(file.folders.clone(), bare));
            file.folders.iter().skip(1).any(of_masks) || bare_mask(&file.stem()).into_iter().any(beside)
        };
        let pictures = found.pictures.iter().filter(|file| !is_mask(file)).map(|file| (file, None));
        let clips = found.clips.iter().map(|clip| (&clip.file, Some(clip.kind)));
        let mut all: Vec<Self> = pictures
            .chain(clips)
            .map(|(file, clip)| Self { path: file.path.clone(), below: file.below(), clip })
            .collect();
        all.sort_by(|a, b| a.below.cmp(&b.below));
        if all.is_empty() {
            let failed = found.failed.first().map(|failed| format!(" ({}: {})", failed.path, failed.reason));
            let name = files::absolute(source);
            let message = format!(
                "{name} holds no pictures or clips of tissue{}: give a folder of PNG, JPEG, DICOM or video files",
                failed.unwrap_or_default()
            );
            return Err(DataError::Inconsistent(message).into());
        }
        Ok(all)
    }

    /// At most `count` frames in a row; where more are there, `place` (0 to 1) says which. A single picture is one frame. A damaged
    /// video is refused: beside what is lost, frames are no neighbours.
    pub(crate) fn frames(&self, count: usize, place: f64) -> Result<Vec<Image>, DataError> {
        let Some(kind) = self.clip else {
            return Ok(vec![open_picture(&self.path)?.frame(0)?]);
        };
        let skipped = |total: usize| ((place * (total.saturating_sub(count) + 1) as f64) as usize).min(MOST_SKIPPED);
        match open_clip(&self.path, kind, Damaged::Refuse)? {
            Reading::Video(mut video) => {
                let skipped = skipped(video.total());
                let mut frames = Vec::new();
                let mut passed = 0;
                while frames.len() < count
                    && let Some(frame) = video.next()?
                {
                    if passed >= skipped {
                        frames.push(frame.image);
                    }
                    passed += 1;
                }
                Ok(frames)
            }
            Reading::Clip(clip) => {
                let first = skipped(clip.len());
                (first..clip.len().min(first + count)).map(|number| clip.frame(number)).collect()
            }
        }
    }
}
