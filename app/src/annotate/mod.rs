//! Marking by hand: what tools do with the way of a pointer, and what answers are made of it. No browser, tested natively.
//!
//! | part | file |
//! |---|---|
//! | the tools, and the size of the brush | `tool` |
//! | a pointer pressed, moved and released: lines, strokes, areas | `hand` |
//! | an answer as a step of the project | `answers` |
//! | where a frame stands, by a person's word or the model's | `standing` |

mod answers;
mod hand;
mod standing;
mod tool;

pub use answers::{Frame, Reply, Shown};
pub use hand::{Change, Hand, Picture};
pub use standing::Standing;
pub use tool::{SIZES, Tool, next_size};
