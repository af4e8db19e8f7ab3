//! One procedure from its source to its folder: made beside the data set, then moved into it whole.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sonoseg_imaging::DataError;
use sonoseg_imaging::dataset::duplicates::DuplicateFilter;
use sonoseg_imaging::dataset::labels::from_shares;
use sonoseg_imaging::formats::classes::ClassMap;
use sonoseg_imaging::formats::encode::{encode_png_grey, encode_png_mask};
use sonoseg_imaging::geometry::{Mask, Spacing};

use super::endpoints::Labels;
use super::frames::{Frame, FrameReader, spacing};
use super::plan::{Content, Planned};
use super::signature::Signature;
use super::sources::Remark;
use crate::args::{Ingest, Unlisted};
use crate::files;
use crate::folder::{Ingested, LabelRow, Meta, read_meta, write_labels};
use crate::lock;
use crate::table::count;

/// Mean difference in grey levels up to which a frame of a lossy source repeats another. Yang 2024 drops
/// identical frames; compression makes the same picture differ a little.
const LOSSY_TOLERANCE: f64 = 0.5;

/// What became of a procedure, for `ingest.json` and for people.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Written {
    pub(super) id: String,
    pub(super) group: String,
    pub(super) source: String,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) frames: usize,
    pub(super) labelled: usize,
    #[serde(flatten)]
    pub(super) how: Ingested,
    pub(super) notes: Vec<String>,
}

/// A procedure that was made, and the pictures that could not be part of it.
pub(super) struct Made {
    pub(super) written: Written,
    pub(super) failed: Vec<Remark>,
}

/// A row of `frames.csv`: where a stored frame comes from.
#[derive(Serialize)]
struct FrameRow<'a> {
    frame: usize,
    source: &'a str,
    source_frame: usize,
    /// Seconds from the first frame of the source, where it tells.
    time_s: Option<f64>,
}

/// Make a procedure. None when an earlier run made it from the same files with the same settings.
pub(super) fn write(
    verb: &Ingest,
    planned: &Planned,
    classes: Option<&ClassMap>,
    labels: &Labels,
) -> Result<Option<Made>> {
    let target = verb.out.join("procedures").join(&planned.id);
    let names = classes.map_or(&[][..], |map| &map.names);
    let signature = Signature::new(verb, planned, labels)?;
    if target.exists() {
        let stored = read_meta(&target)?.ingest.map(|ingest| ingest.signature);
        if stored.is_some_and(|stored| signature.made(&stored, names)) {
            return Ok(None);
        }
        let name = files::absolute(&target);
        let message = format!(
            "{name} exists already, from other files or with other settings: remove it to make it anew, or choose another \
             --out"
        );
        return Err(DataError::Inconsistent(message).into());
    }
    let mut making = Making::new(verb, planned, classes, labels)?;
    while let Some(frame) = making.frames.next()? {
        making.frame(&frame)?;
    }
    making.finish(signature.of(names)).map(Some)
}

/// What became of a frame of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// This stored frame shows it.
    By(usize),
    /// `--fps` leaves it out.
    Thinned,
    /// It could not be read.
    Lost,
}

/// A procedure in the making.
struct Making<'a> {
    verb: &'a Ingest,
    planned: &'a Planned,
    classes: Option<&'a ClassMap>,
    labels: &'a Labels,
    frames: FrameReader<'a>,
    folder: Unfinished,
    tolerance: f64,
    filter: DuplicateFilter,
    /// Source number of every kept frame, and its time where the source tells.
    kept: Vec<(usize, Option<f64>)>,
    /// What shows each frame of the source.
    shown_by: Vec<Shown>,
    read: usize,
    dropped: usize,
    masked: usize,
    /// Frames of whose mask nobody judged any pixel.
    unjudged: usize,
    size: Option<(usize, usize)>,
    /// Height and width of every kept frame.
    sizes: Vec<(usize, usize)>,
    /// None before the first frame; then the spacing, if it is known and the same in all frames.
    spacing: Option<Option<Spacing>>,
    partly_scaled: bool,
    last_slot: Option<f64>,
}

impl<'a> Making<'a> {
    fn new(verb: &'a Ingest, planned: &'a Planned, classes: Option<&'a ClassMap>, labels: &'a Labels) -> Result<Self> {
        let frames = FrameReader::open(verb, &planned.content, classes)?;
        let tolerance = verb.tolerance.unwrap_or(if frames.lossy { LOSSY_TOLERANCE } else { 0.0 });
        Ok(Self {
            folder: Unfinished::new(&verb.out, &planned.id)?,
            filter: DuplicateFilter::new(tolerance),
            verb,
            planned,
            classes,
            labels,
            frames,
            tolerance,
            kept: Vec::new(),
            shown_by: Vec::new(),
            read: 0,
            dropped: 0,
            masked: 0,
            unjudged: 0,
            size: None,
            sizes: Vec::new(),
            spacing: None,
            partly_scaled: false,
            last_slot: None,
        })
    }

    fn frame(&mut self, frame: &Frame) -> Result<()> {
        // What could not be read leaves a gap in the numbers.
        self.shown_by.resize(frame.number, Shown::Lost);
        self.read += 1;
        if !self.in_time(frame)? {
            self.shown_by.push(Shown::Thinned);
            return Ok(());
        }
        let (height, width) = (frame.image.height, frame.image.width);
        let pixels = frame.image.to_grey().to_bytes();
        if !self.filter.keep(width, &pixels) {
            self.dropped += 1;
            self.shown_by.push(Shown::By(self.kept.len().saturating_sub(1)));
            return Ok(());
        }
        let name = format!("{:06}.png", self.kept.len());
        self.folder.write(&format!("frames/{name}"), &encode_png_grey(height, width, &pixels)?)?;
        if let Some(mask) = &frame.mask {
            if mask.is_judged() {
                self.folder.write(&format!("masks/{name}"), &encode_png_mask(mask)?)?;
                self.masked += 1;
            } else {
                self.unjudged += 1;
            }
        }
        let (known, in_part) = spacing(&frame.image);
        self.partly_scaled |= in_part;
        self.spacing = Some(self.spacing.map_or(known, |before| before.filter(|_| before == known)));
        self.size.get_or_insert((height, width));
        self.sizes.push((height, width));
        self.shown_by.push(Shown::By(self.kept.len()));
        self.kept.push((frame.number, frame.time_s));
        Ok(())
    }

    /// Whether `--fps` keeps the frame: the first of every slot of time.
    fn in_time(&mut self, frame: &Frame) -> Result<bool> {
        let Some(fps) = self.verb.fps.filter(|_| matches!(self.planned.content, Content::Clip(_))) else {
            return Ok(true);
        };
        let Some(time_s) = frame.time_s else {
            // A clip of one frame has no time, and needs none.
            if frame.number == 0 {
                return Ok(true);
            }
            let reason = "does not tell its frame rate, so that --fps cannot thin it out: leave --fps out for it";
            return Err(DataError::unreadable(source(self.planned), reason).into());
        };
        let slot = (time_s * fps + 1e-6).floor();
        let new = self.last_slot.is_none_or(|last| slot > last);
        if new {
            self.last_slot = Some(slot);
        }
        Ok(new)
    }

    fn finish(mut self, signature: String) -> Result<Made> {
        let failed = std::mem::take(&mut self.frames.failed);
        let Some((height, width)) = self.size else {
            let first =
                failed.first().map(|remark| format!(": {}: {}", remark.path, remark.reason)).unwrap_or_default();
            return Err(
                DataError::unreadable(source(self.planned), format!("holds no frame that can be read{first}")).into()
            );
        };
        let several = |(note, files): (String, usize)| if files > 1 { format!("{note} ({files} files)") } else { note };
        let mut notes: Vec<String> = std::mem::take(&mut self.frames.notes).into_iter().map(several).collect();
        self.shown_by.resize(self.shown_by.len().max(self.frames.total()), Shown::Lost);
        let rows = self.label_rows(&mut notes)?;
        let labelled = rows.len().max(self.masked);
        if !rows.is_empty() {
            write_labels(&self.folder.path.join("labels.csv"), rows)?;
        }
        self.write_frame_table()?;
        let how = Ingested {
            signature,
            frames_read: self.read,
            frames_dropped: self.dropped,
            drop_ratio: self.dropped as f64 / self.read as f64,
            tolerance: self.tolerance,
            lossy: self.frames.lossy,
        };
        if self.partly_scaled {
            notes.push("its scale holds in a part of the frame only, so that no millimetres are stored".into());
        }
        if self.unjudged > 0 {
            let frames = count(self.unjudged, "frame");
            notes.push(format!("the mask of {frames} is ignored everywhere, which is no label: none is stored"));
        }
        let planned = self.planned;
        let classes = self.classes.filter(|_| self.masked > 0);
        let meta = Meta {
            fps: self.mean_fps(),
            spacing: self.spacing.flatten(),
            origin: Some(format!("sonoseg ingest: {}", source(planned))),
            group: (planned.group != planned.id).then(|| planned.group.clone()),
            stratum: planned.stratum.clone(),
            stills: matches!(planned.content, Content::Stills { in_a_row: false, .. }),
            classes: classes.map(|map| map.names.clone()).unwrap_or_default(),
            ignore: classes.filter(|map| map.ignores()).map(|_| Mask::IGNORE),
            ingest: Some(how.clone()),
            ..Meta::default()
        };
        self.folder.write("meta.json", serde_json::to_string_pretty(&meta)?.as_bytes())?;
        self.folder.finish(&self.verb.out.join("procedures").join(&planned.id))?;
        let written = Written {
            id: planned.id.clone(),
            group: planned.group.clone(),
            source: source(planned),
            height,
            width,
            frames: self.kept.len(),
            labelled,
            how,
            notes,
        };
        Ok(Made { written, failed })
    }

    /// Mean number of stored frames per second, by their own times.
    fn mean_fps(&self) -> Option<f64> {
        let (first, last) = (self.kept.first()?.1?, self.kept.last()?.1?);
        (last > first).then(|| (self.kept.len() - 1) as f64 / (last - first))
    }

    /// Labels by stored frame. That of a repeated frame goes to the frame that shows the same.
    fn label_rows(&self, notes: &mut Vec<String>) -> Result<Vec<LabelRow>> {
        if self.labels.is_empty() {
            return Ok(Vec::new());
        }
        let mut by_frame = BTreeMap::new();
        let (mut thinned, mut lost, mut differing) = (0, 0, 0);
        for (&number, needle) in self.labels {
            match self.shown_by.get(number) {
                Some(&Shown::By(frame)) => match by_frame.get(&frame) {
                    Some(other) if *other != needle => differing += 1,
                    Some(_) => {}
                    None => {
                        by_frame.insert(frame, needle);
                    }
                },
                Some(Shown::Thinned) => thinned += 1,
                Some(Shown::Lost) => lost += 1,
                None => {
                    let frames = self.shown_by.len();
                    let first = self.verb.first_frame;
                    let reason = format!(
                        "has {frames} frames ({first} to {}), and a label is about frame {}: does the table count from \
                         another number (--first-frame)?",
                        first + frames - 1,
                        number + first
                    );
                    return Err(DataError::unreadable(source(self.planned), reason).into());
                }
            }
        }
        if differing > 0 {
            notes.push(format!(
                "{differing} labels of repeated frames differ from that of the frame kept, and are left out"
            ));
        }
        if thinned > 0 {
            notes.push(format!("{thinned} labels are of frames that --fps leaves out"));
        }
        if lost > 0 {
            notes.push(format!("{lost} labels are of frames that could not be read"));
        }
        let unlisted = self.kept.len() - by_frame.len();
        if unlisted > 0 && self.verb.unlisted == Unlisted::NoNeedle {
            (0..self.kept.len()).for_each(|frame| {
                by_frame.entry(frame).or_insert(&None);
            });
            notes.push(format!("{unlisted} frames without a row count as showing no needle"));
        } else if unlisted > 0 {
            notes.push(format!(
                "{unlisted} frames without a row stay unlabelled; if they show no needle, say --unlisted no-needle"
            ));
        }
        let mut outside = 0;
        let rows = by_frame.into_iter().map(|(frame, needle)| {
            let (height, width) = self.sizes[frame];
            let needle = needle.map(|needle| match self.verb.normalised {
                true => from_shares(&needle, height, width),
                false => needle,
            });
            outside += usize::from(needle.is_some_and(|needle| !needle.is_inside(height, width)));
            LabelRow::new(frame, needle.as_ref())
        });
        let rows = rows.collect();
        if outside > 0 {
            notes.push(format!("{outside} labels lie outside of their picture: is the table about these pixels?"));
        }
        Ok(rows)
    }

    /// `frames.csv`: which file and number every stored frame comes from, and when it was shown.
    fn write_frame_table(&self) -> Result<()> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let clip = source(self.planned);
        for (frame, &(number, time_s)) in self.kept.iter().enumerate() {
            // Digits beyond the microsecond are those of the arithmetic.
            let time_s = time_s.map(|time| (time * 1e6).round() / 1e6);
            let row = match &self.planned.content {
                Content::Clip(_) => FrameRow { frame, source: &clip, source_frame: number, time_s },
                Content::Stills { stills, .. } => {
                    FrameRow { frame, source: &stills[number].file.below(), source_frame: 0, time_s }
                }
            };
            writer.serialize(row)?;
        }
        self.folder.write("frames.csv", &writer.into_inner().context("writing frames.csv")?)
    }
}

/// The source as people know it: the clip's path below what they named, or the folder of the pictures.
pub(super) fn source(planned: &Planned) -> String {
    match &planned.content {
        Content::Clip(clip) => clip.file.below(),
        Content::Stills { stills, .. } => match stills.as_slice() {
            [one] => one.file.below(),
            [first, ..] => format!("{} and {} more pictures", first.file.below(), stills.len() - 1),
            [] => String::new(),
        },
    }
}

/// Where unfinished procedures lie: beside the data set's own, so that they can be moved there. One program at a time.
pub(super) fn workplace(out: &Path) -> PathBuf {
    out.join(".ingest")
}

/// The workplace of this program, as long as it works.
pub(super) struct Workplace {
    path: PathBuf,
    _lock: fs::File,
}

impl Workplace {
    /// An error while another program works there. What a program that was killed has left behind is removed.
    pub(super) fn open(out: &Path) -> Result<Self> {
        let path = workplace(out);
        let place = Self { _lock: lock::take(&path, false)?, path };
        let left = place.path.join("procedures");
        if left.exists() {
            fs::remove_dir_all(&left).with_context(|| files::absolute(&left))?;
        }
        Ok(place)
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        // Only what is empty goes; what cannot be removed does no harm.
        let _ = fs::remove_dir(self.path.join("procedures"));
        let _ = fs::remove_file(self.path.join("lock"));
        let _ = fs::remove_dir(&self.path);
        if let Some(out) = self.path.parent() {
            let _ = fs::remove_dir(out);
        }
    }
}

/// A folder that is moved to its place when it is finished, and goes away when it is not.
struct Unfinished {
    path: PathBuf,
}

impl Unfinished {
    fn new(out: &Path, id: &str) -> Result<Self> {
        let path = workplace(out).join("procedures").join(id);
        for folder in ["frames", ""] {
            let folder = path.join(folder);
            fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", files::absolute(&folder)))?;
        }
        Ok(Self { path })
    }

    /// Write a file. No file of an unfinished folder is of use, so that it need not be replaced as a whole.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path.join(name);
        let failed = || format!("{} cannot be written: is the disk full?", files::absolute(&path));
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(failed)?;
        }
        fs::write(&path, bytes).with_context(failed)
    }

    fn finish(&self, target: &Path) -> Result<()> {
        let failed = || format!("{} cannot be written", files::absolute(target));
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder).with_context(failed)?;
        }
        fs::rename(&self.path, target).with_context(failed)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Gone already when it is finished.
        let _ = fs::remove_dir_all(&self.path);
    }
}
