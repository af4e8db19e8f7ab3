//! An archive becomes a project and its frames.

use std::collections::{BTreeMap, BTreeSet};

use super::label::Label;
use super::left_out::ranges;
use super::manifest::{ArchivedClip, ArchivedModel, MANIFEST, Manifest, SPLITS};
use super::pack::Packer;
use super::unpack::Packed;
use crate::DataError;
use crate::annotation::{ClipRecord, Edit, Entry, Project, Step};
use crate::dataset::finding::Finding;
use crate::dataset::folder::Numbered;
use crate::dataset::labels::read_labels;
use crate::dataset::meta::Meta;
use crate::formats::mask::read_class_mask;
use crate::formats::open;
use crate::geometry::Image;

/// What the step is called that holds what was changed outside.
const CHANGED: &str = "changes in the archive's files";

/// An archive that was opened.
pub struct Archive {
    packed: Packed,
    manifest: Manifest,
}

impl Archive {
    /// Whether these bytes may be an archive: a zip.
    pub fn is_zip(bytes: &[u8]) -> bool {
        bytes.starts_with(b"PK\x03\x04")
    }

    /// Open an archive.
    ///
    /// # Errors
    /// A sentence when it is none, is of a later version, damaged, or contradicts itself.
    pub fn open(name: &str, bytes: Vec<u8>) -> Result<Self, DataError> {
        let mut packed = Packed::open(name, bytes, MANIFEST)?;
        let text = packed.read(MANIFEST)?.unwrap_or_default();
        let manifest = Manifest::parse(name, &text)?;
        Ok(Self { packed, manifest })
    }

    /// The name of the project.
    pub fn name(&self) -> &str {
        &self.manifest.name
    }

    /// What is marked in it.
    pub fn finding(&self) -> &Finding {
        &self.manifest.finding
    }

    /// The clips whose frames are in it.
    pub fn clips(&self) -> &[ArchivedClip] {
        &self.manifest.clips
    }

    /// The record of a clip.
    pub fn record(&self, clip: &ArchivedClip) -> Option<&ClipRecord> {
        self.manifest.project.document().clips.get(&clip.clip)
    }

    /// The project, with all that its files say, and what is worth knowing about them, a sentence each.
    ///
    /// # Errors
    /// When files are damaged, or what they say does not fit the pictures.
    pub fn project(&mut self) -> Result<(Project, Vec<String>), DataError> {
        let name = self.packed.name().to_owned();
        let misfit = |refused: crate::annotation::Refused| DataError::unreadable(name.clone(), refused);
        let mut project = Project::default();
        project.apply(Entry::Start(Box::new(self.manifest.project.clone()))).map_err(misfit)?;
        let (mut edits, mut notes) = (Vec::new(), self.foreign());
        for clip in self.manifest.clips.clone() {
            let Some(record) = project.document().clips.get(&clip.clip) else { continue };
            self.check_frames(&clip, record)?;
            let changes = self.changes(&clip, record)?;
            if !changes.is_empty() {
                let frames: Vec<usize> = changes.iter().map(|(frame, _)| *frame).collect();
                notes.push(format!(
                    "{name}: labels or masks of procedures/{} were changed outside for the frames {}: they count, and undo \
                     takes them back.",
                    clip.procedure,
                    ranges(&frames)
                ));
            }
            let edit = |(frame, label): (usize, Label)| {
                let answer = label.answer(record.answers.get(&frame));
                Edit::Answer { clip: clip.clip.clone(), frame, answer }
            };
            edits.extend(changes.into_iter().map(edit));
        }
        if !edits.is_empty() {
            project.apply(Entry::Do(Step { name: CHANGED.to_owned(), edits })).map_err(misfit)?;
        }
        Ok((project, notes))
    }

    /// A frame of a clip.
    ///
    /// # Errors
    /// When it is not there, or damaged.
    pub fn frame(&mut self, clip: &ArchivedClip, index: usize) -> Result<Image, DataError> {
        let path = format!("procedures/{}/frames/{index:06}.png", clip.procedure);
        let place = format!("{}, {path}", self.packed.name());
        let bytes = self.packed.read(&path)?.ok_or_else(|| DataError::unreadable(place.clone(), "it is not there"))?;
        Ok(open(&place, bytes)?.frame(0)?.with_scale(clip.scale.clone()))
    }

    /// The model that was in use, and its file; none where it is not in the archive.
    ///
    /// # Errors
    /// When its file is missing or damaged.
    pub fn model(&mut self) -> Result<Option<(String, Vec<u8>)>, DataError> {
        let Some(ArchivedModel { name, file }) = self.manifest.model.clone() else { return Ok(None) };
        let place = format!("{}, {file}", self.packed.name());
        let bytes = self.packed.read(&file)?.ok_or_else(|| DataError::unreadable(place, "it is not there"))?;
        Ok(Some((name, bytes)))
    }

    /// An archive of the frames of one clip alone, without any answer: how a clip is kept whose own file is not here.
    ///
    /// # Errors
    /// When a frame is damaged.
    pub fn alone(&mut self, clip: &ArchivedClip) -> Result<Vec<u8>, DataError> {
        let Some(record) = self.record(clip) else { return Ok(Vec::new()) };
        let record = ClipRecord { answers: BTreeMap::new(), ..record.clone() };
        let (mut packer, mut bytes) = (Packer::new(), Vec::new());
        for index in 0..record.frames {
            let path = format!("procedures/{}/frames/{index:06}.png", clip.procedure);
            let frame = self.packed.read(&path)?.unwrap_or_default();
            bytes.extend(packer.add(&path, &frame)?);
        }
        let mut project = Project::default();
        let edits = vec![Edit::Clip { clip: clip.clip.clone(), record: Some(record) }];
        let put = Entry::Do(Step { name: String::new(), edits });
        project.apply(put).map_err(|refused| DataError::unreadable(self.packed.name(), refused))?;
        let mut manifest = Manifest::new(&self.manifest.name, &self.manifest.finding, project);
        manifest.clips.push(clip.clone());
        bytes.extend(packer.add(MANIFEST, &manifest.encode()?)?);
        bytes.extend(packer.finish()?);
        Ok(bytes)
    }

    /// The files that nothing reads.
    fn foreign(&self) -> Vec<String> {
        let known: BTreeSet<&str> = self.manifest.clips.iter().map(|clip| clip.procedure.as_str()).collect();
        let model = self.manifest.model.as_ref();
        let is_model = |file: &&str| model.is_some_and(|model| model.file == **file);
        let foreign = |file: &&str| match file.strip_prefix("procedures/").and_then(|rest| rest.split_once('/')) {
            Some((procedure, _)) => !known.contains(procedure),
            None => ![MANIFEST, SPLITS, "left-out.txt"].contains(file) && !is_model(file),
        };
        let files: Vec<&str> = self.packed.names().filter(foreign).collect();
        let Some(first) = files.first() else { return Vec::new() };
        let more = if files.len() > 1 { format!(" and {} more", files.len() - 1) } else { String::new() };
        vec![format!("{}: {first}{more} is not part of the project and is left out.", self.packed.name())]
    }

    /// Whether the frames of a clip are all there and of its size.
    fn check_frames(&mut self, clip: &ArchivedClip, record: &ClipRecord) -> Result<(), DataError> {
        let folder = format!("procedures/{}/frames", clip.procedure);
        let place = format!("{}, {folder}", self.packed.name());
        let names: BTreeSet<String> = self.packed.folder(&folder).into_iter().collect();
        if !names.iter().cloned().eq((0..record.frames).map(|frame| format!("{frame:06}.png"))) {
            let reason = format!(
                "it holds {} files, and must hold the {} frames from 000000.png on",
                names.len(),
                record.frames
            );
            return Err(DataError::unreadable(place, reason));
        }
        let mut sizes = BTreeSet::new();
        for name in &names {
            let bytes = self.packed.read(&format!("{folder}/{name}"))?.unwrap_or_default();
            let size = png_size(&bytes)
                .ok_or_else(|| DataError::unreadable(format!("{place}/{name}"), "it is no PNG: export it again"))?;
            sizes.insert(size);
        }
        let told = |[width, height]: &[usize; 2]| format!("{width}x{height}");
        let all = sizes.iter().map(told).collect::<Vec<_>>().join(", ");
        if sizes.len() > 1 {
            let reason = format!("its frames have {} sizes ({all}), and those of a clip have one", sizes.len());
            return Err(DataError::unreadable(place, reason));
        }
        if sizes.iter().any(|size| *size != [record.width, record.height]) {
            let reason = format!("its frames are {all}, and {MANIFEST} says {}", told(&[record.width, record.height]));
            return Err(DataError::unreadable(place, reason));
        }
        Ok(())
    }

    /// The frames whose files say something else than the answers were written as.
    fn changes(&mut self, clip: &ArchivedClip, record: &ClipRecord) -> Result<Vec<(usize, Label)>, DataError> {
        let mut labels = self.labels(clip)?;
        let mut changes = Vec::new();
        let beyond = labels.split_off(&record.frames);
        for frame in 0..record.frames {
            let files = labels.remove(&frame).unwrap_or_default();
            let answer = record.answers.get(&frame);
            let written =
                answer.and_then(|answer| Label::of(answer, [record.height, record.width], &self.manifest.finding).ok());
            if files != written.unwrap_or_default() {
                changes.push((frame, files));
            }
        }
        // The project refuses them by name.
        changes.extend(beyond);
        Ok(changes)
    }

    /// What the files of a procedure say of its frames.
    fn labels(&mut self, clip: &ArchivedClip) -> Result<BTreeMap<usize, Label>, DataError> {
        let folder = format!("procedures/{}", clip.procedure);
        let place = |file: &str| format!("{}, {folder}/{file}", self.packed.name());
        let (meta, table, masks) = (place("meta.json"), place("labels.csv"), place("masks"));
        let text = self.packed.read(&format!("{folder}/meta.json"))?.unwrap_or_else(|| b"{}".to_vec());
        let text = String::from_utf8(text).map_err(|error| DataError::unreadable(meta.clone(), error))?;
        let meta = Meta::parse(&meta, &text)?;
        let mut labels: BTreeMap<usize, Label> = BTreeMap::new();
        if let Some(bytes) = self.packed.read(&format!("{folder}/labels.csv"))? {
            for (line, row) in read_labels(&bytes) {
                let wrong = |reason: String| DataError::unreadable(table.clone(), format!("line {line}: {reason}"));
                let (frame, needle) = row.map_err(wrong)?;
                if labels.insert(frame, Label { row: Some(needle), mask: None }).is_some() {
                    return Err(wrong(format!("frame {frame} has a row already; remove one of them")));
                }
            }
        }
        let Numbered { files, odd } = Numbered::of(self.packed.folder(&format!("{folder}/masks")));
        if let Some(odd) = odd.first() {
            let reason = "a mask's name is its frame's number, like 000012.png, and every number occurs once";
            return Err(DataError::unreadable(format!("{masks}/{odd}"), reason));
        }
        for (frame, file) in files {
            let bytes = self.packed.read(&format!("{folder}/masks/{file}"))?.unwrap_or_default();
            let mask = read_class_mask(&format!("{masks}/{file}"), &bytes, meta.ignore)?;
            labels.entry(frame).or_default().mask = Some(mask);
        }
        Ok(labels)
    }
}

/// Width and height of a PNG, from its first chunk.
fn png_size(bytes: &[u8]) -> Option<[usize; 2]> {
    let head = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n")?;
    let number = |at: usize| Some(u32::from_be_bytes(head.get(at..at + 4)?.try_into().ok()?) as usize);
    (head.get(4..8)? == b"IHDR").then_some([number(8)?, number(12)?])
}
