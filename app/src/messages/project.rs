//! Requests about projects: what people say of frames, kept in this browser, taken out of it and brought back.

use serde::{Deserialize, Serialize};
use sonoseg_imaging::dataset::finding::Finding;

use super::ClipId;

/// A project is known by the name of its folder in the browser's storage, whatever people call it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProjectId(pub String);

/// Where a user is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// The clip on the screen.
    pub clip: ClipId,
    /// Its frame.
    pub frame: usize,
    /// Canvas pixels per image pixel, and the position of the image's left and top edge; none where all of it is shown.
    pub zoom: Option<[f64; 3]>,
}

/// The model that a project is looked at with, where it is not the one that comes with the app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptModel {
    /// The hash of its file, under which it is kept as files of clips are.
    pub id: ClipId,
    /// File name.
    pub name: String,
}

/// When a project was taken out as a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenOut {
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// Entries that its journal had then.
    pub entries: usize,
}

/// All projects that are kept in this browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListProjects {}

/// The projects, and the room for them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProjectList {
    /// The one that was changed last first.
    pub projects: Vec<ProjectLine>,
    /// Bytes that the page keeps in this browser, where the browser tells.
    pub used: Option<f64>,
    /// Bytes that it may keep.
    pub quota: Option<f64>,
}

/// A line of the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectLine {
    /// Which project.
    pub id: ProjectId,
    /// What people call it.
    pub name: String,
    /// When it was changed last, in milliseconds since 1970.
    pub changed_ms: u64,
}

/// Keep a new project from now on, instead of the one before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MakeProject {
    /// What people call it.
    pub name: String,
    /// The lines of its journal so far.
    pub lines: Vec<String>,
}

/// Open a project, and keep it from now on instead of the one before. The project is buffer 0, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenProject {
    /// Which.
    pub id: ProjectId,
}

/// A project that is kept from now on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OpenedProject {
    /// Which.
    pub id: ProjectId,
    /// What people call it.
    pub name: String,
    /// Entries of its journal.
    pub entries: usize,
    /// Where its user was.
    pub place: Option<Place>,
    /// When it was taken out last.
    pub taken_out: Option<TakenOut>,
    /// The model that it was looked at with, where it is not the one that comes with the app.
    pub model: Option<KeptModel>,
    /// What is wrong with its files, a sentence each.
    pub notes: Vec<String>,
}

/// Write entries to the end of the journal of the open project. The answer is the number of its entries then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppendEntries {
    /// The open project.
    pub id: ProjectId,
    /// Number of the first of these entries. Those that are there already are not written again.
    pub first: usize,
    /// Their lines.
    pub lines: Vec<String>,
}

/// Remember where the user of the open project is, and with which model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeepPlace {
    /// The open project.
    pub id: ProjectId,
    /// Where.
    pub place: Place,
    /// The model, where it is not the one that comes with the app.
    pub model: Option<KeptModel>,
}

/// Call a project otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenameProject {
    /// Which.
    pub id: ProjectId,
    /// What people call it from now on.
    pub name: String,
}

/// Delete a project, and the files that no other one needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteProject {
    /// Which.
    pub id: ProjectId,
}

/// Keep the file of a clip, where it fits. The file travels beside the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeepMedia {
    /// File name for messages.
    pub name: String,
    /// The clip that it holds.
    pub clip: ClipId,
}

/// What is taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Output {
    /// All of the project, as a zip in the trainer's layout.
    Project,
    /// All lines, as a table.
    Geometry,
    /// All masks, as a zip of PNG files.
    Masks,
}

/// Take something out of a project. Beside the request travel the project as JSON, the files of `clips`, and the file of the
/// model. A job: it tells
/// the bytes of the file in their order, and how far it is. The answer names what is left out, a sentence each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakeOut {
    /// What.
    pub output: Output,
    /// What people call the project.
    pub name: String,
    /// What is marked in it.
    pub finding: Finding,
    /// The clips whose files are here.
    pub clips: Vec<ClipId>,
    /// The name of the model in use, where its file is here.
    pub model: Option<String>,
}

/// What a job on an archive tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Packing {
    /// It is doing this.
    Doing(String),
    /// The next bytes (buffer 0).
    Piece,
}

/// Make a project of an archive, and keep it from now on instead of the one before. The archive travels beside the
/// request; the project is buffer 0, as JSON. A job: it tells how far it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BringBack {
    /// File name for messages.
    pub name: String,
}
