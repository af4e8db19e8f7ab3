//! A project and its frames become an archive, piece by piece.

use super::described::Described;
use super::left_out::{self, LeftOut};
use super::manifest::{ArchivedClip, MANIFEST, Manifest};
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
        Self { packer: Packer::new(), manifest, left_out: LeftOut::default(), open: None }
    }

    /// Put in the labels of a clip; its frames come next, all of them in their order.
    ///
    /// # Errors
    /// When the project has no such clip, or a file cannot be written.
    pub fn clip(&mut self, key: &str, facts: ClipFacts) -> Result<Vec<u8>, DataError> {
        let Self { packer, manifest, left_out, open } = self;
        let Some(record) = manifest.project.document().clips.get(key) else {
            return Err(DataError::Inconsistent(format!("The clip {key} is not in this project.")));
        };
        let taken = manifest.clips.iter().map(|clip| clip.procedure.as_str()).collect();
        let Described { procedure, meta, table, masks } =
            Described::new(record, &facts, &manifest.finding, &taken, left_out)?;
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

    /// Put in a file that is none of the project's, for example of a run that learned from it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn file(&mut self, path: &str, bytes: &[u8]) -> Result<Vec<u8>, DataError> {
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

    /// A clip has no frames in the archive, for the reason in this sentence. What was said of it stays in `project.json`.
    pub fn without_frames(&mut self, sentence: String) {
        self.left_out.sentence(sentence);
    }

    /// The rest of the archive, and what is left out of it, a sentence each.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> Result<(Vec<u8>, Vec<String>), DataError> {
        let sentences = self.left_out.sentences();
        let mut piece = self.packer.add("left-out.txt", left_out::text(&sentences).as_bytes())?;
        piece.extend(self.packer.add(MANIFEST, &self.manifest.encode()?)?);
        piece.extend(self.packer.finish()?);
        Ok((piece, sentences))
    }
}
