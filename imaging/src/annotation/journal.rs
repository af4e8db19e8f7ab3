//! The file that a project is kept in: one line for each entry, written once and never changed.
//!
//! A line is the CRC-32 of its JSON in eight hexadecimal digits, a space, and the JSON. The first line says what the file
//! is. A program that ends while it writes leaves a line that is cut short, which is left out when the file is read.

use super::{Entry, Project, Refused};
use crate::DataError;

/// The first line of a journal.
const HEAD: &str = "sonoseg journal 1\n";

/// A line of a journal, its end included.
///
/// # Errors
/// When an entry cannot be written as JSON: a coordinate that is no number.
pub fn encode(entry: &Entry) -> Result<String, DataError> {
    let text = serde_json::to_string(entry)
        .map_err(|error| DataError::Inconsistent(format!("an entry of a journal: {error}")))?;
    Ok(format!("{:08x} {text}\n", crc32fast::hash(text.as_bytes())))
}

/// A journal as read.
#[derive(Clone, Debug, PartialEq)]
pub struct Journal {
    /// The project as far as the file goes.
    pub project: Project,
    /// The bytes that are sound: what follows is to be cut off before more is written.
    pub sound: usize,
    /// What is wrong with the file, in a sentence.
    pub note: Option<String>,
}

impl Journal {
    /// What an empty journal holds.
    pub const fn head() -> &'static str {
        HEAD
    }

    /// Read a journal as far as it goes. An empty one, or one whose first line is cut short, is a new project.
    ///
    /// # Errors
    /// When the file is no journal, or one of a later version: nothing must be written to it.
    pub fn read(name: &str, bytes: &[u8]) -> Result<Self, DataError> {
        let mut project = Project::default();
        if bytes.len() < HEAD.len() && HEAD.as_bytes().starts_with(bytes) {
            return Ok(Self { project, sound: 0, note: None });
        }
        let Some(body) = bytes.strip_prefix(HEAD.as_bytes()) else {
            let reason = "it is no journal of a project, or one of a later version of sonoseg: reload the page to have the newest";
            return Err(DataError::unreadable(name, reason));
        };
        let (mut sound, mut note) = (HEAD.len(), None);
        for line in body.split_inclusive(|&byte| byte == b'\n') {
            match entry(line).map(|entry| project.apply(entry)) {
                Some(Ok(())) => sound += line.len(),
                Some(Err(refused)) => {
                    note = Some(lost(name, &bytes[sound..], Some(&refused)));
                    break;
                }
                // The last line alone may be cut short: that happens when a tab is closed.
                None if !line.ends_with(b"\n") => {
                    note = Some(format!("{name}: the last change was not written to its end and is lost."));
                    break;
                }
                None => {
                    note = Some(lost(name, &bytes[sound..], None));
                    break;
                }
            }
        }
        Ok(Self { project, sound, note })
    }
}

/// The entry of a line, when the line is whole.
fn entry(line: &[u8]) -> Option<Entry> {
    let line = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let (sum, text) = line.split_once(' ')?;
    let same = sum.len() == 8 && u32::from_str_radix(sum, 16) == Ok(crc32fast::hash(text.as_bytes()));
    serde_json::from_str(text).ok().filter(|_| same)
}

/// What to say of a journal that is damaged.
fn lost(name: &str, rest: &[u8], refused: Option<&Refused>) -> String {
    let count = rest.split_inclusive(|&byte| byte == b'\n').count();
    let why = refused.map_or(String::new(), |refused| format!(" ({refused})"));
    format!("{name}: it is damaged{why}; it is opened as it was before its last {count} changes, which are lost.")
}
