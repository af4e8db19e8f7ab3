//! Figures of merit. An undefined figure stays NaN and is counted, never replaced.

pub mod bootstrap;
pub mod folds;
pub mod measure;
pub mod needle;
pub mod overlap;
pub mod rand_index;
