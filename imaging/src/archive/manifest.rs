//! `project.json`: all of a project that the trainer does not ask for.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::DataError;
use crate::annotation::{ClipKey, Project};
use crate::dataset::finding::Finding;
use crate::geometry::Scale;

/// Name of the file, which only the archives of projects have.
pub const MANIFEST: &str = "project.json";

/// Name of the file that says what is held out.
pub(super) const SPLITS: &str = "splits.json";

/// Version that is written.
const FORMAT: u32 = 1;

/// What the file says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// Version of its layout.
    pub(super) format: u32,
    /// Name of the project.
    pub(super) name: String,
    /// What is marked.
    pub(super) finding: Finding,
    /// The clips whose frames are in the archive.
    pub(super) clips: Vec<ArchivedClip>,
    /// The model that was in use, where it is in the archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) model: Option<ArchivedModel>,
    /// All that was said.
    pub(super) project: Project,
}

/// A clip whose frames are in the archive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArchivedClip {
    /// SHA-256 of the file that its frames were decoded from.
    pub clip: ClipKey,
    /// Name of its folder in `procedures`.
    pub procedure: String,
    /// When each frame is shown, in microseconds from the first, where the file told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times_us: Option<Vec<u64>>,
    /// Millimetres, where known.
    #[serde(default)]
    pub scale: Scale,
    /// A word for the person, where the file told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

/// A model whose file is in the archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchivedModel {
    /// The name of its file, as the person had it.
    pub name: String,
    /// Where it lies in the archive.
    pub file: String,
}

/// What is read before the rest, which another version may write otherwise.
#[derive(Deserialize)]
struct Version {
    format: u32,
}

impl Manifest {
    /// Of a project without any frames yet.
    pub(super) fn new(name: &str, finding: &Finding, project: Project) -> Self {
        let (name, finding) = (name.to_owned(), finding.clone());
        Self { format: FORMAT, name, finding, clips: Vec::new(), model: None, project }
    }

    /// The text of the file.
    pub(super) fn encode(&self) -> Result<Vec<u8>, DataError> {
        serde_json::to_vec(self)
            .map_err(|error| DataError::Inconsistent(format!("{MANIFEST} cannot be written: {error}.")))
    }

    /// Read it; `name` is that of the archive.
    pub(super) fn parse(name: &str, bytes: &[u8]) -> Result<Self, DataError> {
        let place = format!("{name}, {MANIFEST}");
        let unreadable = |error: serde_json::Error| {
            DataError::unreadable(place.clone(), format!("it is of another program, or was damaged ({error})"))
        };
        let Version { format } = serde_json::from_slice(bytes).map_err(unreadable)?;
        if format != FORMAT {
            let reason =
                format!("it is of version {format}, and {FORMAT} is read: reload the page to have the newest sonoseg");
            return Err(DataError::unsupported(place, reason));
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(unreadable)?;
        manifest.check().map_err(|reason| DataError::unreadable(place, reason))?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), String> {
        let (mut keys, mut folders) = (BTreeSet::new(), BTreeSet::new());
        for ArchivedClip { clip, procedure, times_us, .. } in &self.clips {
            if !keys.insert(clip) {
                return Err(format!("two of its procedures are of the same clip, {clip}: take one out"));
            }
            if !folders.insert(procedure) {
                return Err(format!("two of its clips are the procedure {procedure}: take one out"));
            }
            let Some(record) = self.project.document().clips.get(clip) else {
                return Err(format!("the procedure {procedure} is of a clip that it does not describe, {clip}"));
            };
            if times_us.as_ref().is_some_and(|times| times.len() != record.frames) {
                return Err(format!("{} has {} frames, and times of another number", record.name, record.frames));
            }
        }
        Ok(())
    }
}
