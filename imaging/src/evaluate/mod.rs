//! How well answers are: from the scores of single frames to figures with a name, a value and an interval. Reports,
//! comparisons, studies and the app show figures without knowing which there are.

pub mod balance;
pub mod bins;
pub mod calibration;
mod figure;
mod figures;
mod frame;
mod gate;
pub mod traits;
mod truth;

pub use calibration::Calibration;
pub use figure::Figure;
pub use figures::{Figures, Score, metric};
pub use frame::{Answer, Frame, Reference};
pub use gate::{Gate, Line, Pair};
pub use traits::Traits;
pub use truth::{Truth, truth};
