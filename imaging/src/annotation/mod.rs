//! What people say about frames: answers, the commands that change them, undo, and the journal that keeps it all.
//!
//! | part | file |
//! |---|---|
//! | a frame's answer: what is there, who said so | `answer` |
//! | all answers of a project, and the edits that change them | `document` |
//! | document, predictions, undo and redo | `project` |
//! | what of it a model can learn from | `tally` |
//! | brush, eraser, filling: from strokes to changed pixels | `brush` |
//! | a changed rectangle of a mask, as run lengths | `patch` |
//! | ends of a line taken and moved | `handle` |
//! | the mask of a line, the line of a painted mask | `line` |
//! | the append-only file, which may be cut at any byte | `journal` |
//!
//! A project is what its journal says, entry by entry: the page applies an [`Entry`] and appends it, and reads all of them
//! after a reload. Predictions of models lie beside the answers and never change one.

mod answer;
mod brush;
mod document;
mod handle;
mod journal;
mod line;
mod patch;
mod project;
mod tally;

pub use answer::{Answer, By, Predicted, Status, Verdict};
pub use brush::{Brush, fill};
pub use document::{ClipKey, ClipRecord, Document, Edit, Refused};
pub use handle::Handle;
pub use journal::{Journal, encode};
pub use line::{line_mask, line_of};
pub use patch::Patch;
pub use project::{Entry, Project, STEPS, Step};
pub use tally::Tally;

#[cfg(test)]
mod tests;
