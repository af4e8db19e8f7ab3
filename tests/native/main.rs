//! Tests that need files, programs or the source tree itself.

#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

mod archive;
mod by;
mod circles;
mod classes;
mod cli;
mod data;
mod fcn;
mod ignore;
mod import;
mod knee;
mod layers;
mod layouts;
mod learn;
mod metrics;
mod misuse;
mod old_files;
mod one_recording;
mod pictures;
mod report;
mod resume;
mod shipped;
mod study;
mod tidy;
mod tissue;
mod unsound;
mod video;
mod workspace;
mod wrapped;
