//! The list of opened files: which can be read, the place of the open one among them, and which comes next.

use crate::messages::{ClipId, FileNumber};

/// Whether a file of the list can be read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Readable {
    /// Nobody looked yet.
    Unknown,
    /// It can, and is this clip.
    Yes(ClipId),
    /// It cannot, for this reason.
    No(String),
}

/// A line of the file list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileLine {
    /// Its number.
    pub file: FileNumber,
    /// File name.
    pub name: String,
    /// Whether it can be read.
    pub readable: Readable,
}

impl FileLine {
    fn can_be_gone_to(&self) -> bool {
        !matches!(self.readable, Readable::No(_))
    }
}

/// The files that can be gone to, in the order of the list.
fn to_go_to(lines: &[FileLine]) -> impl Iterator<Item = FileNumber> {
    lines.iter().filter(|line| line.can_be_gone_to()).map(|line| line.file)
}

/// Place of a file among those that can be gone to, from 1, and how many there are.
pub fn place(lines: &[FileLine], file: FileNumber) -> Option<(usize, usize)> {
    let at = to_go_to(lines).position(|other| other == file)?;
    Some((at + 1, to_go_to(lines).count()))
}

/// The file that lies `by` places after another one among those that can be gone to.
pub fn neighbour(lines: &[FileLine], file: FileNumber, by: i8) -> Option<FileNumber> {
    let at = to_go_to(lines).position(|other| other == file)?;
    to_go_to(lines).nth(at.checked_add_signed(isize::from(by))?)
}

/// The next other file that can be gone to and is wanted, round in a circle.
pub fn next_round(lines: &[FileLine], file: FileNumber, wanted: impl Fn(&FileLine) -> bool) -> Option<FileNumber> {
    let at = lines.iter().position(|line| line.file == file)?;
    let mut others = lines[at + 1..].iter().chain(&lines[..at]);
    others.find(|line| line.can_be_gone_to() && wanted(line)).map(|line| line.file)
}

/// One message about all files that cannot be opened, with the reason of each, which names the file.
pub fn refusals(reasons: &[String]) -> String {
    match reasons {
        [only] => only.clone(),
        _ => format!("{} files cannot be opened:\n{}", reasons.len(), reasons.join("\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines() -> Vec<FileLine> {
        let line = |file, readable| FileLine { file, name: format!("{file}.png"), readable };
        let read = |byte| Readable::Yes(ClipId([byte; 32]));
        let refused = Readable::No("2.png: it is empty.".to_owned());
        vec![line(1, read(1)), line(2, refused), line(3, Readable::Unknown), line(7, read(7))]
    }

    #[test]
    fn the_place_of_a_file_does_not_count_refused_ones() {
        assert_eq!(place(&lines(), 1), Some((1, 3)));
        assert_eq!(place(&lines(), 7), Some((3, 3)));
        assert_eq!(place(&lines(), 2), None);
        assert_eq!(place(&[], 1), None);
    }

    #[test]
    fn the_neighbours_of_a_file_are_those_that_can_be_read() {
        assert_eq!(neighbour(&lines(), 1, 1), Some(3));
        assert_eq!(neighbour(&lines(), 3, -1), Some(1));
        assert_eq!(neighbour(&lines(), 1, -1), None);
        assert_eq!(neighbour(&lines(), 7, 1), None);
    }

    #[test]
    fn the_next_wanted_file_is_looked_for_round_in_a_circle() {
        assert_eq!(next_round(&lines(), 1, |_| true), Some(3));
        assert_eq!(next_round(&lines(), 7, |_| true), Some(1));
        assert_eq!(next_round(&lines(), 3, |line| line.file == 3), None, "it is another one");
    }

    #[test]
    fn forty_refused_files_are_one_message_that_names_each() {
        let reasons: Vec<String> = (0..40).map(|file| format!("{file}.png: it is empty.")).collect();
        let text = refusals(&reasons);
        assert!(text.starts_with("40 files cannot be opened:\n") && text.lines().count() == 41, "{text}");
        assert!(reasons.iter().all(|reason| text.contains(reason)));
        assert_eq!(refusals(&reasons[..1]), reasons[0]);
    }
}
