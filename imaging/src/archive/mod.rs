//! A project as plain files: one zip in the layout that `sonoseg check`, `train` and `evaluate` read, and back.
//!
//! ```text
//! project.json                          all that was said, by whom and when, undo and redo included
//! splits.json                           what is held out, drawn as `sonoseg ingest` draws it, anew for every archive
//! models/                               the model that was in use
//! left-out.txt                          what is not in the other files, and why
//! procedures/<id>/meta.json             what is known about all frames of a clip
//! procedures/<id>/frames/%06d.png       its frames
//! procedures/<id>/labels.csv            ends of needles
//! procedures/<id>/masks/%06d.png        painted masks
//! ```
//!
//! | part | file |
//! |---|---|
//! | a project and its frames become an archive | `export` |
//! | an archive becomes a project and its frames | `import` |
//! | a clip as the folder of a procedure, its frames aside | `described` |
//! | a project as the data set that the trainer reads from its archive, in memory | `marked` |
//! | what `project.json` says | `manifest` |
//! | an answer as the row and the mask that the trainer reads | `label` |
//! | all lines as one table, all masks as pictures | `geometry` |
//! | what is held out | `held_out` |
//! | what is left out, in sentences | `left_out` |
//! | zips written piece by piece, and read | `pack`, `unpack` |
//!
//! Where labels or masks were changed outside, the files are believed: the change is a step that can be undone.

mod described;
mod export;
mod geometry;
mod held_out;
mod import;
mod label;
mod left_out;
mod manifest;
mod marked;
mod pack;
mod unpack;

pub use export::{ClipFacts, Export};
pub use geometry::{geometry_csv, masks_zip};
pub use import::Archive;
pub use manifest::{ArchivedClip, ArchivedModel, MANIFEST};
pub use marked::Marked;

#[cfg(test)]
mod tests;
