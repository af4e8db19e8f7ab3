//! To which patient or procedure a file belongs: from its name, its folder, or a pattern that the person gives.
//!
//! `auto`: the first word with a number in the name, or else in the nearest folder, that stands for a person or a
//! recording: `pid2_..`, `patient-07`, `case_0001`, `vid0033_..`, `S1_..`. Without such a word every file is a group of
//! its own, unless it is a DICOM file, which names a patient or an examination, or neighbours look alike (`alike.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex::Regex;

/// How files are grouped.
#[derive(Clone, Debug)]
pub(super) enum GroupBy {
    Auto,
    /// The same, and what names begin with where they say nothing else.
    Beginning,
    /// Every file is a group.
    File,
    /// The folder that holds the file.
    Parent,
    /// The name up to its first `_`, `-` or space.
    Prefix,
    /// The first group of a regular expression, or all that it matches, in the path below the source.
    Pattern(Regex),
}

/// Where a group's name comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rule {
    /// A word of the name or of a folder, the prefix, or the pattern.
    Name,
    /// The folder.
    Folder,
    /// What a DICOM file says of its patient or examination.
    Header,
    /// The file alone.
    Own,
}

impl std::str::FromStr for GroupBy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "auto" => Self::Auto,
            "file" => Self::File,
            "parent" => Self::Parent,
            "prefix" => Self::Prefix,
            pattern => Self::Pattern(Regex::new(pattern).map_err(|e| {
                let lines = e.to_string();
                let reason = lines.lines().last().unwrap_or_default().trim_start_matches("error: ");
                format!("{pattern} is neither auto, file, parent nor prefix, nor a regular expression: {reason}")
            })?),
        })
    }
}

/// Words for a person or a recording. A number follows, and no letter stands before.
static WORD: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let words = "patient|pat|pid|subject|subj|sub|volunteer|case|study|exam|procedure|proc|insertion|video|vid|clip|scan|\
                 series|sequence|seq";
    Regex::new(&format!(r"(?i)(?:^|[^a-z])((?:{words})[-_ ]?\d+)")).ok()
});

/// `S1_..` and `P03-..` at the beginning of a name.
static LETTER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^([SPsp]\d+)(?:[^A-Za-z0-9]|$)").ok());

impl GroupBy {
    /// The group of a file. `folders`: from the source down, those that only say "images" left out. None with `auto` when
    /// the name says nothing.
    pub(super) fn group(&self, stem: &str, folders: &[String], below: &str) -> Result<Option<(String, Rule)>, String> {
        let named = |group: &str| Ok(Some((group.to_owned(), Rule::Name)));
        match self {
            Self::Auto => {
                let words = std::iter::once(stem).chain(folders.iter().skip(1).rev().map(String::as_str));
                Ok(words.filter_map(word).next().map(|group| (group, Rule::Name)))
            }
            Self::Beginning => match Self::Auto.group(stem, folders, below)? {
                Some(found) => Ok(Some(found)),
                None => Ok(beginning(stem).map(|begin| (begin.to_owned(), Rule::Name))),
            },
            Self::File => Ok(None),
            Self::Parent => match folders.last() {
                Some(folder) => Ok(Some((folder.clone(), Rule::Folder))),
                None => Err("has no folder below the source that could name its group".into()),
            },
            Self::Prefix => named(stem.split(['_', '-', ' ']).next().unwrap_or(stem)),
            Self::Pattern(pattern) => match pattern.captures(below) {
                Some(found) => named(found.get(1).map_or(&found[0], |group| group.as_str())),
                None => Err(format!("is not matched by {pattern}")),
            },
        }
    }
}

/// Whether names begin alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Beginnings {
    /// Most do, with a number: an example.
    Clear(String),
    /// Most do, with a word, which may be a patient or a kind: an example.
    Doubtful(String),
    /// Most do not, or all begin with the same.
    Apart,
}

/// Look at names that say nothing of a patient otherwise.
pub(super) fn beginnings(stems: &BTreeSet<&str>) -> Beginnings {
    let shared = |begin: &dyn Fn(&str) -> Option<String>| {
        let mut members: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for stem in stems {
            members.entry(begin(stem).unwrap_or_else(|| (*stem).to_owned())).or_default().push(stem);
        }
        let several = members.values().filter(|members| members.len() > 1);
        let sharing: usize = several.clone().map(Vec::len).sum();
        let example = several.clone().next().map(|members| members[..2].join(", "));
        // One beginning for all tells nobody apart.
        example.filter(|_| 2 * sharing > stems.len() && members.len() > 1)
    };
    if let Some(example) = shared(&|stem| beginning(stem).map(str::to_owned)) {
        return Beginnings::Clear(example);
    }
    match shared(&|stem| Some(stem.split(['_', '-', ' ']).next().unwrap_or(stem).to_owned())) {
        Some(example) => Beginnings::Doubtful(example),
        None => Beginnings::Apart,
    }
}

/// A name up to the end of its first word with a number, where more follows: `001` of `001_2HC`, `IMG_12` of `IMG_12_3`,
/// `7` of `7b`. A year is none.
fn beginning(stem: &str) -> Option<&str> {
    let begin = BEGINNING.as_ref()?.captures(stem)?.iter().skip(1).flatten().next()?;
    let year = begin.as_str().len() == 4 && ["19", "20"].iter().any(|century| begin.as_str().starts_with(century));
    let digits = begin.as_str().bytes().all(|byte| byte.is_ascii_digit());
    (!(year && digits)).then_some(begin.as_str())
}

static BEGINNING: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^([^0-9]*(?:[0-9]+[A-Za-z0-9]*))[^A-Za-z0-9)].*$|^([^0-9]*[0-9]+)[A-Za-z]$").ok());

fn word(text: &str) -> Option<String> {
    let find = |pattern: &Option<Regex>| Some(pattern.as_ref()?.captures(text)?[1].to_owned());
    find(&WORD).or_else(|| find(&LETTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(by: &str, path: &str) -> Result<Option<String>, String> {
        let parts: Vec<&str> = path.split('/').collect();
        let (name, folders) = parts.split_last().unwrap();
        let folders: Vec<String> = folders.iter().map(|&folder| folder.to_owned()).collect();
        let stem = name.rsplit_once('.').map_or(*name, |(stem, _)| stem);
        let by: GroupBy = by.parse().unwrap();
        Ok(by.group(stem, &folders, parts[1..].join("/").as_str())?.map(|(group, _)| group))
    }

    #[test]
    fn names_tell_patients_and_recordings() {
        let cases = [
            ("lung/regular/pid2_Reg_pat3Image_134711.mpeg", Some("pid2")),
            ("carotid/vid0033_slice_295.png", Some("vid0033")),
            ("muscle/S10/S10_L20_step_025.png", Some("S10")),
            ("set/patient-07/0001.png", Some("patient-07")),
            ("nnunet/case_0001.png", Some("case_0001")),
            ("hip/substandard/poor_substandard_0.png", None),
            ("nerve/0001.png", None),
            ("case7/0001.png", None),
            ("set/step_025.png", None),
            ("set/psp12.png", None),
        ];
        for (path, expected) in cases {
            assert_eq!(group("auto", path).unwrap().as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn names_that_begin_alike_are_of_one_patient_where_they_begin_with_a_number() {
        let of = |stems: &[&str]| beginnings(&stems.iter().copied().collect());
        let clear = |example: &str| Beginnings::Clear(example.to_owned());
        assert_eq!(of(&["001_HC", "001_2HC", "001_3HC", "002_HC", "002_2HC"]), clear("001_2HC, 001_3HC"));
        assert_eq!(of(&["7a", "7b", "8a", "8b"]), clear("7a, 7b"));
        assert_eq!(of(&["IMG_12_1", "IMG_12_2", "IMG_13_1"]), clear("IMG_12_1, IMG_12_2"));
        assert!(matches!(of(&["anna_1", "anna_2", "bert_1"]), Beginnings::Doubtful(_)));
        for apart in [
            &["scan_0", "scan_1", "scan_2"][..],
            &["benign (1)", "benign (2)"],
            &["0001", "0002"],
            &["3fa85f64-57", "3ab11f64-45", "3cc99f64-17"],
            &["12_1", "12_2", "12_3"],
        ] {
            assert_eq!(of(apart), Beginnings::Apart, "{apart:?}");
        }
        let by = GroupBy::Beginning;
        let group = |stem: &str| by.group(stem, &[], stem).unwrap().map(|(group, _)| group);
        assert_eq!(
            (group("001_2HC"), group("001_HC"), group("004"), group("pid2_a")),
            (Some("001".into()), Some("001".into()), None, Some("pid2".into()))
        );
    }

    #[test]
    fn people_say_otherwise() {
        assert_eq!(group("parent", "set/a/1.png").unwrap().unwrap(), "a");
        assert_eq!(group("prefix", "set/anna-3_1.png").unwrap().unwrap(), "anna");
        assert_eq!(group(r"^(\w+)/", "set/a/1.png").unwrap().unwrap(), "a");
        assert_eq!(group(r"\d", "set/x7y8.png").unwrap().unwrap(), "7");
        assert_eq!(group("file", "set/pid2.png").unwrap(), None);
        assert!(group("x+", "set/a.png").unwrap_err().contains("x+"));
        assert!("(".parse::<GroupBy>().unwrap_err().contains("neither auto"));
    }
}
