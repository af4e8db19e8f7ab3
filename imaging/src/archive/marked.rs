//! A project as a data set in memory: the procedures, windows, labels and samples that the trainer reads from its archive, so
//! that a run goes on there with the same numbers.

use std::collections::{BTreeMap, BTreeSet};

use super::ClipFacts;
use super::described::Described;
use super::left_out::LeftOut;
use crate::DataError;
use crate::annotation::{ClipKey, Project};
use crate::dataset::finding::Finding;
use crate::dataset::sample::{Sample, Source};
use crate::dataset::split::{Side, Split, SplitConfig};
use crate::dataset::windows::Windows;
use crate::formats::encode::{encode_png_grey, encode_png_rgb};
use crate::geometry::Image;

/// Labelled frames that lie farther apart than this are no near twins: nothing between them has to be left out.
const TWINS: usize = 4;

/// A project as a data set.
#[derive(Clone, Debug)]
pub struct Marked {
    windows: Windows,
    clips: BTreeMap<String, Files>,
}

/// The files of a procedure.
#[derive(Clone, Debug)]
struct Files {
    clip: ClipKey,
    masks: BTreeMap<usize, Vec<u8>>,
    /// Pictures by number, as far as they were put in.
    frames: BTreeMap<usize, Vec<u8>>,
}

impl Marked {
    /// The data set of the clips of a project of which `facts` are known, as windows of `window` frames. The pictures are put
    /// in later.
    ///
    /// # Errors
    /// When there are no frames, or labels that fit nothing.
    pub fn new(
        project: &Project,
        facts: &BTreeMap<ClipKey, ClipFacts>,
        finding: &Finding,
        window: usize,
    ) -> Result<Self, DataError> {
        let (mut clips, mut procedures) = (BTreeMap::new(), Vec::new());
        // In the order in which an archive names them.
        for (clip, record) in &project.document().clips {
            let Some(facts) = facts.get(clip) else { continue };
            let taken: BTreeSet<&str> = clips.keys().map(String::as_str).collect();
            let described = Described::new(record, facts, finding, &taken, &mut LeftOut::default())?;
            let procedure = described.read(record.frames, |file| format!("{}, {file}", record.name))?;
            let Described { procedure: id, masks, .. } = described;
            let files = Files { clip: clip.clone(), masks, frames: BTreeMap::new() };
            procedures.push(procedure.without_unjudged(|file| files.read(file))?);
            clips.insert(id, files);
        }
        // As folders are listed.
        procedures.sort_by(|a, b| a.id.cmp(&b.id));
        let windows = Windows::new("the project".to_owned(), procedures, window)?.with_finding(finding)?;
        Ok(Self { windows, clips })
    }

    /// Its windows.
    pub fn windows(&self) -> &Windows {
        &self.windows
    }

    /// The clip of a sample, and the number of the frame in its middle.
    pub fn place(&self, index: usize) -> (&ClipKey, usize) {
        let (procedure, positions) = self.windows.frames(index);
        (&self.clips[&procedure.id].clip, procedure.number((positions.start + positions.end) / 2))
    }

    /// The frames that labelled windows consist of, by clip: what is to be put in.
    pub fn wanted(&self) -> BTreeMap<ClipKey, BTreeSet<usize>> {
        let mut wanted: BTreeMap<ClipKey, BTreeSet<usize>> = BTreeMap::new();
        for sample in self.windows.labelled_samples(None, 1) {
            let (procedure, positions) = self.windows.frames(sample);
            let clip = &self.clips[&procedure.id].clip;
            wanted.entry(clip.clone()).or_default().extend(positions.map(|position| procedure.number(position)));
        }
        wanted
    }

    /// Put in a picture, with the levels that it has in a file.
    ///
    /// # Errors
    /// When it cannot be written as one.
    pub fn put(&mut self, clip: &str, frame: usize, image: &Image) -> Result<(), DataError> {
        let encode = if image.channels == 3 { encode_png_rgb } else { encode_png_grey };
        let png = encode(image.height, image.width, &image.to_bytes())?;
        if let Some(files) = self.clips.values_mut().find(|files| files.clip == clip) {
            files.frames.insert(frame, png);
        }
        Ok(())
    }

    /// A split as a run draws it, unless that holds out more than a third of the few labels that there are: then another
    /// recording is held out, or stretches of all. Of stretches, frames between labelled ones that lie far apart are gap enough.
    ///
    /// # Errors
    /// When nothing can be drawn.
    pub fn split(&self, wanted: &SplitConfig) -> Result<Split, DataError> {
        let labelled = self.windows.labelled_samples(None, wanted.stride);
        let mut split = self.windows.drawn(wanted)?;
        if split.stretches.is_empty() && 3 * self.sides(&split, wanted.stride)[1].len() > labelled.len() {
            split = self.sparing(wanted, &labelled);
        }
        for stretch in &mut split.stretches {
            let of_it = labelled.iter().filter_map(|&sample| {
                let (procedure, positions) = self.windows.frames(sample);
                let ends = [procedure.number(positions.start), procedure.number(positions.end - 1)];
                (procedure.id == stretch.procedure).then_some(ends)
            });
            let apart = of_it.filter_map(|[first, last]| {
                stretch.first.checked_sub(last).or_else(|| first.checked_sub(stretch.last)).filter(|&apart| apart > 0)
            });
            if let Some(nearest) = apart.min().filter(|&nearest| nearest > TWINS) {
                stretch.gap = stretch.gap.min(nearest - 1);
            }
        }
        Ok(split)
    }

    /// Hold out the recording with the most labels up to a third of all; where there is none, stretches.
    fn sparing(&self, wanted: &SplitConfig, labelled: &[usize]) -> Split {
        let (mut counts, mut starts) = (BTreeMap::new(), BTreeMap::new());
        for &sample in labelled {
            let (procedure, positions) = self.windows.frames(sample);
            *counts.entry(procedure.group().to_owned()).or_insert(0) += 1;
            let of_it: &mut Vec<usize> = starts.entry(procedure.id.clone()).or_default();
            of_it.push(procedure.number(positions.start));
        }
        let groups = self.windows.groups();
        let small = counts.iter().filter(|(_, count)| 3 * **count <= labelled.len());
        match small.max_by_key(|(_, count)| **count) {
            Some((group, _)) => {
                let mut split = Split::all(&groups);
                split.train.remove(group);
                split.val.insert(group.clone());
                split
            }
            None => {
                let recordings: Vec<(String, Vec<usize>)> = starts.into_iter().collect();
                Split::within(&groups, &recordings, wanted.val_share, self.windows.window(), wanted.seed)
            }
        }
    }

    /// Numbers of the samples to learn from and of those that are held out.
    pub fn sides(&self, split: &Split, stride: usize) -> [Vec<usize>; 2] {
        [Side::Train, Side::Val].map(|side| self.windows.labelled_samples(Some((split, side)), stride))
    }
}

impl Files {
    /// A file by its place in the folder, with its name for messages.
    fn read(&self, file: &str) -> Result<(String, Vec<u8>), DataError> {
        let (folder, number) = file.split_once('/').unwrap_or_default();
        let files = if folder == "masks" { &self.masks } else { &self.frames };
        let number = number.strip_suffix(".png").and_then(|number| number.parse().ok());
        let missing = || DataError::unreadable(file, "it is not here: open the file of its clip");
        Ok((file.to_owned(), number.and_then(|number: usize| files.get(&number)).cloned().ok_or_else(missing)?))
    }
}

impl Source for Marked {
    fn len(&self) -> usize {
        self.windows.len()
    }

    fn group(&self, index: usize) -> &str {
        self.windows.procedure(index).group()
    }

    async fn load(&self, index: usize) -> Result<Sample, DataError> {
        self.windows.load(index, |procedure, file| self.clips[&procedure.id].read(file))
    }
}
