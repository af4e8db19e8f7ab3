//! How well answers are: from the scores of single frames to figures with a name, a value and an interval. Reports,
//! comparisons, studies and the app show figures without knowing which there are.

mod figure;
mod figures;
mod frame;

pub use figure::Figure;
pub use figures::{Figures, Score, metric};
pub use frame::{Answer, Frame, Reference, Truth, truth};
