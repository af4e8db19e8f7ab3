//! The visible parts of the page, one a file.

pub mod answer;
pub mod canvas;
pub mod display;
pub mod files;
pub mod gate;
pub mod header;
pub mod keys;
pub mod learn;
pub mod model;
pub mod notices;
pub mod place;
mod pointers;
pub mod progress;
pub mod project;
pub mod readout;
pub mod speed;
pub mod strip;
pub mod tools;
pub mod transport;
mod words;
