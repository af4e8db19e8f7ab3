//! A project and its frames become an archive, piece by piece.

use std::collections::BTreeSet;

use super::described::{Described, folder_name};
use super::held_out::HeldOut;
use super::left_out::{self, LeftOut};
use super::manifest::{ArchivedClip, ArchivedModel, MANIFEST, Manifest, SPLITS};
use super::pack::Packer;
use crate::DataError;
use crate::annotation::Project;
use crate::dataset::finding::Finding;
use crate::formats::encode::{encode_png_grey, encode_png_rgb};
use crate::geometry::{Image, Scale};

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
    /// None once a split was put in.
    held_out: Option<HeldOut>,
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
        let (left_out, held_out) = (LeftOut::default(), Some(HeldOut::default()));
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
        let taken = manifest.clips.iter().map(|clip| clip.procedure.as_str()).collect();
        let described = Described::new(record, &facts, &manifest.finding, &taken, left_out)?;
        if let Some(held_out) = held_out {
            held_out.add(described.read(record.frames, |file| format!("procedures/{}/{file}", described.procedure))?);
        }
        let Described { procedure, meta, table, masks } = described;
        let (folder, mut piece) = (format!("procedures/{procedure}"), Vec::new());
        for (frame, mask) in masks {
            piece.extend(packer.add(&format!("{folder}/masks/{frame:06}.png"), &mask)?);
        }
        piece.extend(packer.add(&format!("{folder}/meta.json"), &meta)?);
        if let Some(table) = table {
            piece.extend(packer.add(&format!("{folder}/labels.csv"), &table)?);
        }
        *open = Some(Open { folder, name: record.name.clone(), size: [record.height, record.width] });
        let ClipFacts { times_us, scale, group } = facts;
        manifest.clips.push(ArchivedClip { clip: key.to_owned(), procedure, times_us, scale, group });
        Ok(piece)
    }

    /// Put in a file that is none of the project's, for example of a run that learned from it. A `splits.json` stands instead of
    /// the one that would be drawn.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn file(&mut self, path: &str, bytes: &[u8]) -> Result<Vec<u8>, DataError> {
        if path == SPLITS {
            self.held_out = None;
        }
        self.packer.add(path, bytes)
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
        let mut piece = match self.held_out.map(HeldOut::split).transpose()? {
            None => Vec::new(),
            Some(Some(split)) => {
                let text = serde_json::to_vec_pretty(&split)
                    .map_err(|error| DataError::Inconsistent(format!("{SPLITS} cannot be written: {error}.")))?;
                self.packer.add(SPLITS, &text)?
            }
            Some(None) => {
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
