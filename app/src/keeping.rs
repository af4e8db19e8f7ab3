//! How projects are kept in the browser's own file system: names of files, what they say, what is not written yet, and
//! what to say when the browser refuses. Rules without a browser.
//!
//! ```text
//! projects/<id>/journal      every entry, one line each (sonoseg_imaging::annotation::Journal)
//! projects/<id>/about.json   name, place, when it was taken out: what may be lost without harm
//! media/<SHA-256>            files of clips
//! runs/<id>/                 a run that learns or has learned, as the trainer's run folders are, with run.json of the page's own
//! ```

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sonoseg_imaging::annotation::{Entry, Journal, Project, encode};

use crate::messages::{KeptModel, Place, TakenOut};

/// The folder of all projects.
pub const PROJECTS: &str = "projects";
/// The folder of all runs.
pub const RUNS: &str = "runs";
/// What a run says of itself.
pub const RUN: &str = "run.json";
/// The model that a run began from.
pub const BEFORE: &str = "before.safetensors";
/// The answers that a run began with.
pub const ANSWERS: &str = "project.json";
/// How a run's model did against the one before.
pub const GATE: &str = "gate.json";
/// The folder of all files of clips.
pub const MEDIA: &str = "media";
/// The journal of a project.
pub const JOURNAL: &str = "journal";
/// What the journal becomes, written beside it first. While it is there the journal may be half written.
pub const ANEW: &str = "journal-anew";
/// How the names of copies of damaged journals begin; when they were made follows.
pub const DAMAGED: &str = "journal-damaged-";
/// What else is known about a project.
pub const ABOUT: &str = "about.json";
/// What a project is called whose `about.json` is damaged.
pub const UNNAMED: &str = "Project without a name";
/// How the file names of archives end.
pub const ARCHIVE_ENDING: &str = ".sonoseg.zip";

/// A journal of fewer bytes is read fast enough as it is.
const SHORT: usize = 1 << 20;

/// Share of the room for all files that files of clips leave free: answers are worth more than what can be opened again.
const SPARE: f64 = 0.1;

/// What `about.json` says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// What people call the project.
    pub name: String,
    /// Where its user was.
    #[serde(default)]
    pub place: Option<Place>,
    /// When it was taken out last.
    #[serde(default)]
    pub taken_out: Option<TakenOut>,
    /// The model that it was looked at with, where it is not the one that comes with the app.
    #[serde(default)]
    pub model: Option<KeptModel>,
    /// Entries that its journal had when it began anew, beyond the one that it then began with.
    #[serde(default)]
    pub before: usize,
}

impl About {
    /// Of a new project.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Read the file. A damaged one says nothing but that the project has no name.
    pub fn parse(bytes: &[u8]) -> Self {
        let read = serde_json::from_slice::<Self>(bytes).ok();
        read.filter(|about| !about.name.trim().is_empty()).unwrap_or_else(|| Self::new(UNNAMED))
    }

    /// The text of the file.
    pub fn encode(&self) -> Vec<u8> {
        // Names, numbers and digits are always written.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// Whether a folder of [`PROJECTS`] is one of ours.
pub fn is_project_id(name: &str) -> bool {
    name.len() == 36 && name.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

/// A name that no other project has: with a number behind it where it is taken.
pub fn free_name(name: &str, taken: &[String]) -> String {
    let name = if name.trim().is_empty() { UNNAMED } else { name.trim() };
    let numbered = (2..).map(|number| format!("{name} ({number})"));
    let free = |name: &String| !taken.contains(name);
    std::iter::once(name.to_owned()).chain(numbered).find(free).unwrap_or_default()
}

/// The name of a file that is taken out of a project: letters that every system takes.
pub fn file_name(project: &str, ending: &str) -> String {
    let plain = |letter: char| if letter.is_alphanumeric() || " -_.()".contains(letter) { letter } else { '-' };
    let name: String = project.trim().chars().take(80).map(plain).collect();
    let name = name.trim_matches([' ', '.']);
    format!("{}{ending}", if name.is_empty() { "project" } else { name })
}

/// Number of the entries in the sound part of a journal: its lines but the first.
pub fn entries(sound: &[u8]) -> usize {
    sound.iter().filter(|&&byte| byte == b'\n').count().saturating_sub(1)
}

/// What a journal becomes that is to begin anew, because it is long and most of it is past: of `sound` bytes that make this
/// project. Steps that can be undone stay.
pub fn anew(sound: usize, project: &Project) -> Option<String> {
    if sound < SHORT {
        return None;
    }
    let start = encode(&Entry::Start(Box::new(project.clone()))).ok()?;
    Some([Journal::head(), &start].concat()).filter(|text| text.len() < sound / 2)
}

/// What a journal was to become when the page ended while it was written, where that is whole and not written yet.
pub fn interrupted<'a>(anew: &'a [u8], journal: &[u8]) -> Option<&'a [u8]> {
    let read = Journal::read("", anew).ok()?;
    let whole = read.sound == anew.len() && entries(anew) == 1;
    // Once it was written, entries may follow.
    Some(anew).filter(|anew| whole && !journal.starts_with(anew))
}

/// The lines that a journal of `there` entries still lacks. `None` when entries between are missing.
pub fn missing(there: usize, first: usize, lines: &[String]) -> Option<&[String]> {
    let known = there.checked_sub(first)?;
    Some(lines.get(known..).unwrap_or_default())
}

/// Whether a file of so many bytes is kept, when the browser says how much it holds and may hold. The error says why not.
pub fn fits(bytes: f64, used: Option<f64>, quota: Option<f64>) -> Result<(), String> {
    let (Some(used), Some(quota)) = (used, quota) else { return Ok(()) };
    let free = (quota * (1.0 - SPARE) - used).max(0.0);
    if bytes <= free {
        return Ok(());
    }
    Err(format!("it has {}, and this browser has room for {} more", size(bytes), size(free)))
}

/// A number of bytes in words.
pub fn size(bytes: f64) -> String {
    match bytes {
        bytes if bytes >= 1e9 => format!("{:.1} GB", bytes / 1e9),
        bytes if bytes >= 1e6 => format!("{:.0} MB", bytes / 1e6),
        bytes => format!("{:.0} kB", (bytes / 1e3).ceil()),
    }
}

/// A time that has passed, in words.
pub fn ago(milliseconds: f64) -> String {
    let plural = |count: f64, noun: &str| format!("{count:.0} {noun}{} ago", if count == 1.0 { "" } else { "s" });
    match (milliseconds / 1e3).max(0.0).floor() {
        seconds if seconds < 60.0 => format!("{seconds:.0} s ago"),
        seconds if seconds < 3600.0 => plural((seconds / 60.0).floor(), "minute"),
        seconds if seconds < 86_400.0 => plural((seconds / 3600.0).floor(), "hour"),
        seconds => plural((seconds / 86_400.0).floor(), "day"),
    }
}

/// What to say when the browser's file system refuses something, by the name of its error. `what` begins the sentence, like
/// `The project Study`.
pub fn refusal(what: &str, error: &str, message: &str) -> String {
    match error {
        "QuotaExceededError" => format!(
            "{what} cannot be kept: this browser's storage is full. Take the project out as a file, then delete projects that \
             are not needed, or free disk space."
        ),
        "NoModificationAllowedError" | "InvalidStateError" => {
            format!("{what} is open in another tab: go on there, or close it and try again.")
        }
        "NotFoundError" => {
            format!("{what} is not in this browser any more: it was deleted, or the browser cleared its storage.")
        }
        "SecurityError" | "NotAllowedError" | "TypeError" => format!(
            "{what} cannot be kept: this browser lets the page store nothing (a private window, or storage is switched off). \
             Take the project out as a file before you leave."
        ),
        _ => format!("{what} cannot be kept or read ({message}). Take the project out as a file."),
    }
}

/// The files of clips and models that no project needs any more.
pub fn unused<'a>(media: &'a [String], projects: &[(Project, About)]) -> Vec<&'a str> {
    let of = |(project, about): &(Project, About)| {
        let model = about.model.iter().map(|model| model.id.to_string());
        project.document().clips.keys().cloned().chain(model).collect::<Vec<_>>()
    };
    let used: BTreeSet<String> = projects.iter().flat_map(of).collect();
    media.iter().map(String::as_str).filter(|file| !used.contains(*file)).collect()
}

/// The entries that are not in the journal yet, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outbox {
    /// Entries that are in the journal.
    kept: usize,
    lines: Vec<String>,
    /// Number of entries up to the last one that a person made.
    words: usize,
    sending: bool,
}

impl Outbox {
    /// Of a project whose journal has so many entries.
    pub fn new(kept: usize) -> Self {
        Self { kept, ..Self::default() }
    }

    /// Something happened; `word` when a person did it.
    pub fn push(&mut self, line: String, word: bool) {
        self.lines.push(line);
        if word {
            self.words = self.entries();
        }
    }

    /// What is to be written now, and the number of its first entry; nothing while an answer is awaited.
    pub fn send(&mut self) -> Option<(usize, Vec<String>)> {
        if self.sending || self.lines.is_empty() {
            return None;
        }
        self.sending = true;
        Some((self.kept, self.lines.clone()))
    }

    /// The journal has so many entries now.
    pub fn kept(&mut self, entries: usize) {
        let written = entries.saturating_sub(self.kept).min(self.lines.len());
        self.lines.drain(..written);
        self.kept += written;
        self.sending = false;
    }

    /// They could not be written, and are kept here.
    pub fn failed(&mut self) {
        self.sending = false;
    }

    /// True while something that a person did is not written. What models found is no loss: they find it again.
    pub fn owes_words(&self) -> bool {
        self.words > self.kept
    }

    /// True while an answer is awaited.
    pub fn is_sending(&self) -> bool {
        self.sending
    }

    /// Number of all entries, written or not.
    pub fn entries(&self) -> usize {
        self.kept + self.lines.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::ClipId;
    use sonoseg_imaging::annotation::{Answer, By, ClipRecord, Edit, Step, Verdict};

    #[test]
    fn a_damaged_file_costs_the_name_and_no_answer() {
        let place = Place { clip: ClipId([7; 32]), frame: 3, zoom: Some([2.0, -1.5, 0.0]) };
        let taken_out = Some(TakenOut { at_ms: 5, entries: 6 });
        let model = Some(KeptModel { id: ClipId([9; 32]), name: "m.safetensors".into() });
        let about = About { name: "Study".into(), place: Some(place), taken_out, model, before: 7 };
        assert_eq!(About::parse(&about.encode()), about);
        for bytes in [&b""[..], b"{\"name\":\"Stu", b"{\"name\":\" \"}", b"[]"] {
            assert_eq!(About::parse(bytes), About::new(UNNAMED));
        }
        assert_eq!(About::parse(b"{\"name\":\"A\",\"later\":1}"), About::new("A"), "one of a later version");
    }

    #[test]
    fn names_are_free_and_fit_every_system() {
        let taken = ["Study".to_owned(), "Study (2)".to_owned()];
        assert_eq!(free_name(" Study ", &taken), "Study (3)");
        assert_eq!((free_name("Other", &taken), free_name(" ", &[])), ("Other".into(), UNNAMED.into()));
        assert_eq!(file_name("Anna's / \u{dc}bung.", ARCHIVE_ENDING), "Anna-s - \u{dc}bung.sonoseg.zip");
        assert_eq!(file_name("..", ".csv"), "project.csv");
        assert!(is_project_id("0f8fad5b-d9cb-469f-a165-70867728950e") && !is_project_id("..") && !is_project_id(""));
    }

    #[test]
    fn entries_are_written_once_whatever_happens_between() {
        let mut outbox = Outbox::new(0);
        let line = |text: &str| text.to_owned();
        assert_eq!(outbox.send(), None);
        outbox.push(line("a"), true);
        assert_eq!(outbox.send(), Some((0, vec![line("a")])));
        outbox.push(line("b"), true);
        assert_eq!(outbox.send(), None, "one after the other");
        outbox.kept(1);
        assert_eq!(outbox.send(), Some((1, vec![line("b")])));
        outbox.push(line("c"), true);
        outbox.failed();
        assert_eq!(outbox.send(), Some((1, vec![line("b"), line("c")])));
        // The worker wrote one of them and died before it said so.
        outbox.kept(2);
        assert_eq!((outbox.send(), outbox.entries()), (Some((2, vec![line("c")])), 3));
        outbox.kept(3);
        assert!(!outbox.owes_words());
        outbox.push(line("d"), false);
        assert!(!outbox.owes_words() && !outbox.is_sending(), "a model found it");
        assert_eq!((outbox.send(), outbox.is_sending()), (Some((3, vec![line("d")])), true));
        let lines = [line("b"), line("c")];
        assert_eq!(missing(2, 1, &lines), Some(&lines[1..]));
        assert_eq!(missing(5, 1, &lines), Some(&lines[..0]));
        assert_eq!(missing(0, 1, &lines), None, "there is a gap");
    }

    #[test]
    fn entries_are_counted_as_the_journal_reads_them() {
        let mut bytes = Journal::head().as_bytes().to_vec();
        assert_eq!((entries(b""), entries(&bytes)), (0, 0));
        bytes.extend(encode(&Entry::Undo).unwrap().as_bytes());
        bytes.extend(encode(&Entry::Redo).unwrap().as_bytes());
        let read = Journal::read("p", &bytes[..bytes.len() - 1]).unwrap();
        assert_eq!((entries(&bytes), entries(&bytes[..read.sound])), (2, 1));
    }

    #[test]
    fn a_long_journal_begins_anew_and_is_whole_wherever_that_is_cut() {
        let record = ClipRecord { name: "a".into(), frames: 9, height: 1, width: 1, answers: Default::default() };
        let opened = Entry::Opened { clip: "aa".into(), record };
        let answer = |at_ms| Answer::bare(Verdict::Nothing, By { at_ms, ..By::default() });
        let say = |at_ms| {
            let edit = Edit::Answer { clip: "aa".into(), frame: (at_ms % 9) as usize, answer: Some(answer(at_ms)) };
            Entry::Do(Step { name: "nothing there".into(), edits: vec![edit] })
        };
        let mut journal = [Journal::head(), &encode(&opened).unwrap()].concat();
        (0..200).for_each(|at_ms| journal.push_str(&encode(&say(at_ms)).unwrap()));
        let short = Journal::read("p", journal.as_bytes()).unwrap();
        assert_eq!(anew(short.sound, &short.project), None);
        while journal.len() < 3 * SHORT / 2 {
            journal.push_str(&encode(&say(journal.len() as u64)).unwrap());
        }
        let long = Journal::read("p", journal.as_bytes()).unwrap();
        let text = anew(long.sound, &long.project).unwrap();
        assert!(text.len() < SHORT / 4, "{}", text.len());
        let again = Journal::read("p", text.as_bytes()).unwrap();
        assert_eq!((again.project.clone(), again.note), (long.project, None));
        assert!(again.project.to_undo().is_some(), "steps stay");
        assert_eq!(anew(3 * text.len(), &again.project), None, "one that begins with all of it is left alone");
        let text = text.as_bytes();
        for cut in [0, 5, 18, 100, text.len() - 1] {
            assert_eq!(interrupted(&text[..cut], journal.as_bytes()), None, "{cut} bytes: the old one is whole");
            assert_eq!(interrupted(text, &text[..cut]), Some(text), "{cut} bytes were written");
        }
        assert_eq!(interrupted(text, &[text, b"and more"].concat()), None, "it went on");
    }

    #[test]
    fn files_are_kept_where_answers_still_fit() {
        assert!(fits(1e12, None, None).is_ok(), "the browser does not tell, and is tried");
        assert!(fits(80e6, Some(10e6), Some(100e6)).is_ok());
        let reason = fits(81e6, Some(10e6), Some(100e6)).unwrap_err();
        assert_eq!(reason, "it has 81 MB, and this browser has room for 80 MB more");
        assert!(fits(1.0, Some(0.0), Some(0.0)).unwrap_err().contains("room for 0 kB"));
        assert_eq!((size(2.34e9), size(1.0)), ("2.3 GB".into(), "1 kB".into()));
    }

    #[test]
    fn what_is_refused_says_what_to_do() {
        let say = |error| refusal("The project Study", error, "odd");
        assert!(say("QuotaExceededError").contains("full") && say("SecurityError").contains("private window"));
        assert!(say("NoModificationAllowedError").contains("another tab") && say("NotFoundError").contains("deleted"));
        assert!(say("OddError").contains("(odd)"));
    }

    #[test]
    fn times_are_told_as_people_do() {
        let told = [2e3, 59.9e3, 61e3, 300e3, 3600e3, 50e6, 86_400e3, -5.0].map(ago);
        let words = ["2 s", "59 s", "1 minute", "5 minutes", "1 hour", "13 hours", "1 day", "0 s"];
        assert_eq!(told, words.map(|words| format!("{words} ago")));
    }

    #[test]
    fn files_that_a_project_needs_stay() {
        let mut project = Project::default();
        let record = ClipRecord { name: "a".into(), frames: 1, height: 1, width: 1, answers: Default::default() };
        let edits = vec![Edit::Clip { clip: "aa".into(), record: Some(record) }];
        project.apply(Entry::Do(Step { name: String::new(), edits })).unwrap();
        let model = KeptModel { id: ClipId([7; 32]), name: "m".into() };
        let media = ["aa".to_owned(), "bb".to_owned(), model.id.to_string()];
        let bare = || (Project::default(), About::default());
        assert_eq!(unused(&media, &[bare(), (project.clone(), About::default())]), [&media[1], &media[2]]);
        let with_model = About { model: Some(model), ..About::default() };
        assert_eq!(unused(&media, &[bare(), (project, with_model)]), ["bb"]);
    }
}
