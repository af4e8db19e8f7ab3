//! The built app in Chromium, from end to end. `cargo xtask test browser` builds the app and runs this.

#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

mod access;
mod chromium;
mod faults;
mod files;
mod learn;
mod learner;
mod mark;
mod page;
mod process;
mod projects;
mod scenarios;
mod server;
mod session;
mod trained;
