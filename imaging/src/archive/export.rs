//! A project and its frames become an archive, piece by piece.

use std::collections::BTreeSet;

use super::held_out::HeldOut;
use super::label::Label;
use super::left_out::{self, LeftOut};
use super::manifest::{ArchivedClip, ArchivedModel, MANIFEST, Manifest, SPLITS};
use super::pack::Packer;
use crate::DataError;
use crate::annotation::{ClipRecord, Project};
use crate::dataset::finding::Finding;
use crate::dataset::labels::{LabelRow, write_labels};
use crate::dataset::meta::Meta;
use crate::formats::encode::{encode_png_grey, encode_png_mask, encode_png_rgb};
use crate::geometry::{Image, Mask, Scale};

/// What is known about a clip beside its frames.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClipFacts {
    /// When each frame is shown, in microseconds from the first, where the file tells.
    pub times_us: Option<Vec<u64>>,
    /// Millimetres, where known.
    pub scale: Scale,
    /// A word for the person, the same in all clips of one. It is stored as it is: give none that names a patient.
    pub group: Option<String>,
}

/// An archive in the making. Every step gives the bytes that are final by then.
pub struct Export {
    packer: Packer,
    manifest: Manifest,
    left_out: LeftOut,
    held_out: HeldOut,
    open: Option<Open>,
}

/// The clip whose frames come now.
struct Open {
    folder: String,
    name: String,
    size: [usize; 2],
}

impl Export {
    /// An archive of a project of this name.
    pub fn new(name: &str, finding: &Finding, project: Project) -> Self {
        let manifest = Manifest::new(name, finding, project);
        let (left_out, held_out) = (LeftOut::default(), HeldOut::default());
        Self { packer: Packer::new(), manifest, left_out, held_out, open: None }
    }

    /// Put in the labels of a clip; its frames come next, all of them in their order.
    ///
    /// # Errors
    /// When the project has no such clip, or a file cannot be written.
    pub fn clip(&mut self, key: &str, facts: ClipFacts) -> Result<Vec<u8>, DataError> {
        let Self { packer, manifest, left_out, held_out, open } = self;
        let Some(record) = manifest.project.document().clips.get(key) else {
            return Err(DataError::Inconsistent(format!("The clip {key} is not in this project.")));
        };
        let ClipFacts { times_us, scale, group } = facts;
        let taken = manifest.clips.iter().map(|clip| clip.procedure.as_str()).collect();
        let procedure = folder_name(&record.name, &taken);
        let folder = format!("procedures/{procedure}");
        let (mut piece, mut rows, mut masked) = (Vec::new(), Vec::new(), Vec::new());
        let (mut highest, mut ignored) = (None, false);
        labels(record, &procedure, &manifest.finding, left_out, |frame, label| {
            rows.extend(label.row.map(|needle| LabelRow::new(frame, needle.as_ref())));
            let Some(mask) = label.mask else { return Ok(()) };
            masked.push(frame);
            let classes = mask.classes.iter().copied().filter(|&class| Mask::shows(class));
            highest = highest.max(Some(classes.max().unwrap_or(0)));
            ignored |= mask.classes.contains(&Mask::IGNORE);
            piece.extend(packer.add(&format!("{folder}/masks/{frame:06}.png"), &encode_png_mask(&mask)?)?);
            Ok(())
        })?;
        let meta = Meta {
            fps: times_us.as_deref().and_then(fps),
            spacing: if let Scale::Everywhere(spacing) = scale { Some(spacing) } else { None },
            origin: Some(format!("{}, marked in sonoseg", record.name)),
            group: group.clone(),
            classes: highest.map_or_else(Vec::new, |highest| class_names(&manifest.finding, highest)),
            ignore: ignored.then_some(Mask::IGNORE),
            ..Meta::default()
        };
        let unwritten = |error: &dyn std::fmt::Display| DataError::Inconsistent(format!("{folder}: {error}."));
        let text = serde_json::to_vec_pretty(&meta).map_err(|error| unwritten(&error))?;
        piece.extend(packer.add(&format!("{folder}/meta.json"), &text)?);
        let mut table = Vec::new();
        if !rows.is_empty() {
            table = write_labels(rows).map_err(|error| unwritten(&error))?;
            piece.extend(packer.add(&format!("{folder}/labels.csv"), &table)?);
        }
        held_out.add(&procedure, meta, record.frames, &table, &masked)?;
        *open = Some(Open { folder, name: record.name.clone(), size: [record.height, record.width] });
        manifest.clips.push(ArchivedClip { clip: key.to_owned(), procedure, times_us, scale, group });
        Ok(piece)
    }

    /// Put in a frame of the clip; a black one where it cannot be decoded.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn frame(&mut self, index: usize, image: Option<&Image>) -> Result<Vec<u8>, DataError> {
        let Some(Open { folder, name, size: [height, width] }) = &self.open else {
            return Err(DataError::Inconsistent("A frame of no clip cannot be written.".into()));
        };
        let png = match image {
            Some(image) if image.channels == 3 => encode_png_rgb(image.height, image.width, &image.to_bytes())?,
            Some(image) => encode_png_grey(image.height, image.width, &image.to_bytes())?,
            None => {
                self.left_out.frame(name, index, "could not be decoded, and stands here as a black picture");
                encode_png_grey(*height, *width, &vec![0; height * width])?
            }
        };
        self.packer.add(&format!("{folder}/frames/{index:06}.png"), &png)
    }

    /// Put in the file of the model that is in use.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn model(&mut self, name: &str, bytes: &[u8]) -> Result<Vec<u8>, DataError> {
        let file = format!("models/{}.safetensors", folder_name(name, &BTreeSet::new()));
        let piece = self.packer.add(&file, bytes)?;
        self.manifest.model = Some(ArchivedModel { name: name.to_owned(), file });
        Ok(piece)
    }

    /// Something is left out, for the reason in this sentence: the frames of a clip, what was said of which stays in
    /// `project.json`, or the model.
    pub fn without(&mut self, sentence: String) {
        self.left_out.sentence(sentence);
    }

    /// The rest of the archive, and what is left out of it, a sentence each.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> Result<(Vec<u8>, Vec<String>), DataError> {
        let mut piece = match self.held_out.split()? {
            Some(split) => {
                let text = serde_json::to_vec_pretty(&split)
                    .map_err(|error| DataError::Inconsistent(format!("{SPLITS} cannot be written: {error}.")))?;
                self.packer.add(SPLITS, &text)?
            }
            None => {
                self.left_out.sentence(format!("{SPLITS}: too little is labelled to hold out some of it."));
                Vec::new()
            }
        };
        let sentences = self.left_out.sentences();
        piece.extend(self.packer.add("left-out.txt", left_out::text(&sentences).as_bytes())?);
        piece.extend(self.packer.add(MANIFEST, &self.manifest.encode()?)?);
        piece.extend(self.packer.finish()?);
        Ok((piece, sentences))
    }
}

/// Give the label of every frame of a clip that has one. The others are left out by name, as those of this folder.
pub(super) fn labels(
    record: &ClipRecord,
    folder: &str,
    finding: &Finding,
    left_out: &mut LeftOut,
    mut give: impl FnMut(usize, Label) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let place = format!("{} ({folder})", record.name);
    for frame in 0..record.frames {
        let label = match record.answers.get(&frame) {
            None => Err("nobody answered for it"),
            Some(answer) => Label::of(answer, [record.height, record.width], finding),
        };
        match label {
            Ok(label) => give(frame, label)?,
            Err(reason) => left_out.frame(&place, frame, reason),
        }
    }
    Ok(())
}

/// A folder for the procedure of a file: its name in letters that every system takes, and a number where it is taken.
pub(super) fn folder_name(file: &str, taken: &BTreeSet<&str>) -> String {
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
    let words: String = stem.chars().take(60).map(plain).collect();
    let words: Vec<&str> = words.split('-').filter(|word| !word.is_empty()).collect();
    let name = if words.is_empty() { "clip".to_owned() } else { words.join("-") };
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    let free = |name: &String| !taken.contains(name.as_str());
    std::iter::once(name.clone()).chain(numbered).find(free).unwrap_or(name)
}

/// Names of all classes up to the highest that the masks hold.
fn class_names(finding: &Finding, highest: u8) -> Vec<String> {
    let mut names = vec!["background".to_owned()];
    match finding {
        Finding::Needles => names.push("needle".to_owned()),
        Finding::Classes(classes) => names.extend(classes.iter().cloned()),
    }
    for class in names.len()..=usize::from(highest) {
        names.push(format!("class {class}"));
    }
    names
}

/// Mean frames per second.
fn fps(times_us: &[u64]) -> Option<f64> {
    let span = times_us.last().copied().filter(|&last| last > 0)?;
    Some((times_us.len() - 1) as f64 * 1e6 / span as f64)
}
