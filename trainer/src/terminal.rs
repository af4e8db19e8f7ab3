//! All that is printed: progress, tables, complaints.

use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Set when a line could not be written.
static UNSAID: AtomicBool = AtomicBool::new(false);

/// A line for people and for logs.
pub(crate) fn say(line: impl std::fmt::Display) {
    match writeln!(std::io::stdout(), "{line}") {
        // A closed pipe (`sonoseg .. | head`) is nobody's error.
        Err(error) if error.kind() != ErrorKind::BrokenPipe && !UNSAID.swap(true, Ordering::Relaxed) => {
            tell("error: standard output cannot be written", error);
        }
        _ => {}
    }
}

/// A line on standard error. Where that cannot be written either, nobody is listening.
fn tell(what: &str, line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{what}: {line}");
}

/// Whether all lines have been written.
pub(crate) fn all_said() -> bool {
    !UNSAID.load(Ordering::Relaxed)
}

/// An error with its causes, once.
pub(crate) fn complain(error: &anyhow::Error) {
    tell("error", format_args!("{error:#}"));
}

/// Something that went wrong while the rest goes on.
pub(crate) fn warn(line: impl std::fmt::Display) {
    tell("warning", line);
}

/// A bar on a terminal; nothing where the output is a file or a pipe.
pub(crate) fn bar(total: u64, what: &'static str) -> ProgressBar {
    let target =
        if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(total), target);
    let style = ProgressStyle::with_template("{prefix:>10} {wide_bar} {pos}/{len} {eta} {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_prefix(what);
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}
