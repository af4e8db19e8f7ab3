//! The procedures that will be made: every clip is one, and every group of pictures is one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use alphanumeric_sort::compare_str;
use anyhow::Result;
use sha2::{Digest, Sha256};
use sonoseg_imaging::DataError;
use sonoseg_imaging::dataset::likeness::Thumbnail;
use sonoseg_imaging::formats;

use super::alike;
use super::drawings::Drawings;
use super::group::{self, Beginnings, GroupBy, Rule};
use super::pairs::{Given, Pairs, Still};
use super::sources::{ClipFile, ClipKind, Found, Remark, Sources};
use super::suspects;
use crate::args::Ingest;
use crate::failure::Usage;
use crate::files;
use crate::table::count;
use crate::terminal::say;

/// Bytes of the longest name of a procedure or group.
const LONGEST_NAME: usize = 100;

/// Lines of a list that are printed; the rest is counted.
const SHOWN: usize = 20;

/// A procedure to make.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    pub(super) id: String,
    pub(super) group: String,
    rule: Rule,
    /// Its kind, where the person said how kinds are told.
    pub(super) stratum: Option<String>,
    pub(super) content: Content,
}

/// Where its frames come from.
#[derive(Clone, Debug)]
pub(super) enum Content {
    Clip(ClipFile),
    /// In the order of their names. In a row: their numbers follow each other, so that they are neighbours in time.
    Stills {
        stills: Vec<Still>,
        in_a_row: bool,
    },
}

impl Content {
    /// What `rule` calls it, by its first file.
    fn named_by(&self, rule: &GroupBy) -> Result<Option<String>> {
        let (stem, folders, below) = match self {
            Self::Clip(clip) => (clip.file.stem(), clip.file.folders.clone(), clip.file.below()),
            Self::Stills { stills, .. } => {
                let first = &stills[0];
                (first.stem.clone(), first.folders().cloned().collect(), first.file.below())
            }
        };
        match rule.group(&stem, &folders, &below) {
            Ok(name) => Ok(name.map(|(name, _)| name)),
            Err(reason) => Err(Usage(format!("--stratum-by: {below} {reason}")).into()),
        }
    }
}

/// All that will be done.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) procedures: Vec<Planned>,
    pub(super) tables: Vec<Found>,
    pub(super) class_names: Option<PathBuf>,
    pub(super) colour_names: Option<PathBuf>,
    /// Classes of drawn objects, in the order of their numbers.
    pub(super) drawn_classes: Vec<String>,
    pub(super) skipped: Vec<Remark>,
    pub(super) failed: Vec<Remark>,
    /// What was found, for people.
    notes: Vec<String>,
}

impl Plan {
    pub(super) fn make(verb: &Ingest) -> Result<Self> {
        let rule = |option: &str, text: &str| text.parse::<GroupBy>().map_err(|e| Usage(format!("{option}: {e}")));
        let by = rule("--group-by", &verb.group_by)?;
        let kinds = verb.stratum_by.as_ref().map(|text| rule("--stratum-by", text)).transpose()?;
        let mut sources = verb.sources.clone();
        let given = verb.masks.iter().map(|masks| Given::of(masks)).collect::<Result<Vec<_>, _>>()?;
        // Masks may lie elsewhere than the pictures.
        let inside = |path: &Path| {
            let full = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
            verb.sources.iter().any(|source| full(path).starts_with(full(source)))
        };
        sources.extend(verb.masks.iter().filter(|masks| masks.is_dir() && !inside(masks)).cloned());
        let found = Sources::find(&sources, &verb.out)?;
        let mut plan = Self {
            tables: found.tables,
            class_names: found.class_names,
            colour_names: found.colour_names,
            skipped: found.skipped,
            failed: found.failed,
            ..Self::default()
        };
        plan.describe_clips(&found.clips);
        let mut pairs = Pairs::find(found.pictures, &given);
        let drawings = Drawings::assign(verb, &found.drawings, &mut pairs.stills)?;
        plan.drawn_classes = drawings.classes;
        plan.skipped.extend(drawings.skipped);
        plan.failed.extend(drawings.failed);
        if !verb.no_masks {
            plan.notes.extend(suspects::question(&pairs.stills)?);
        }
        plan.skipped.extend(pairs.skipped);
        plan.failed.extend(pairs.failed);
        let masked = pairs.stills.iter().filter(|still| still.is_labelled()).count();
        if !pairs.stills.is_empty() {
            let ways = if pairs.ways.is_empty() {
                String::new()
            } else {
                format!(" ({})", pairs.ways.iter().copied().collect::<Vec<_>>().join("; "))
            };
            plan.notes.push(format!("{}, {masked} of them with masks{ways}", count(pairs.stills.len(), "picture")));
        }
        plan.notes.extend(drawings.notes);
        let by = plan.by_beginning(by, &pairs.stills);
        let mut drafts = plan.clips(&by, found.clips);
        drafts.extend(plan.stills(&by, pairs.stills)?);
        plan.procedures = named(drafts);
        if let Some(kinds) = kinds {
            for planned in &mut plan.procedures {
                planned.stratum = planned.content.named_by(&kinds)?;
            }
        }
        Ok(plan)
    }

    /// Where nothing else tells patients apart and most names begin like another, those that do are one group, if they begin
    /// with a number; else it is told.
    fn by_beginning(&mut self, by: GroupBy, stills: &[Still]) -> GroupBy {
        if !matches!(by, GroupBy::Auto) {
            return by;
        }
        let unknown = |still: &&Still| {
            let folders: Vec<String> = still.folders().cloned().collect();
            matches!(by.group(&still.stem, &folders, &still.file.below()), Ok(None))
        };
        let stems: BTreeSet<&str> = stills.iter().filter(unknown).map(|still| still.stem.as_str()).collect();
        match group::beginnings(&stems) {
            Beginnings::Clear(example) => {
                self.notes.push(format!(
                    "most names begin like another ({example}): what begins alike is one group, as if of one patient. If it is \
                     not, say --group-by file"
                ));
                GroupBy::Beginning
            }
            Beginnings::Doubtful(example) => {
                self.notes.push(format!(
                    "most names begin like another ({example}): if that tells patients apart, say --group-by prefix"
                ));
                by
            }
            Beginnings::Apart => by,
        }
    }

    fn describe_clips(&mut self, clips: &[ClipFile]) {
        let kinds =
            [(ClipKind::Video, "video"), (ClipKind::Dicom, "DICOM file"), (ClipKind::Stack, "GIF or TIFF stack")];
        for (kind, name) in kinds {
            let found = clips.iter().filter(|clip| clip.kind == kind).count();
            if found > 0 {
                self.notes.push(format!("{}, each a procedure", count(found, name)));
            }
        }
    }

    fn clips(&mut self, by: &GroupBy, clips: Vec<ClipFile>) -> Vec<Draft> {
        let mut drafts = Vec::new();
        for clip in clips {
            let (stem, below) = (clip.file.stem(), clip.file.below());
            match by.group(&stem, &clip.file.folders, &below) {
                Ok(group) => {
                    // What a file says of itself is worth more than its name.
                    let asked = matches!(by, GroupBy::Auto | GroupBy::Beginning) && clip.kind == ClipKind::Dicom;
                    let person = asked.then(|| person(&clip)).flatten();
                    let group = person.map(|person| (person, Rule::Header)).or(group);
                    let group = group.map_or(Group::Itself(Rule::Own), |(group, rule)| Group::Named(group, rule));
                    drafts.push(Draft { short: stem, long: below, key: None, group, content: Content::Clip(clip) });
                }
                Err(reason) => self.failed.push(Remark::new(below, reason)),
            }
        }
        drafts
    }

    fn stills(&mut self, by: &GroupBy, stills: Vec<Still>) -> Result<Vec<Draft>> {
        let mut groups: BTreeMap<Key, Vec<Still>> = BTreeMap::new();
        for still in stills {
            let folders: Vec<String> = still.folders().cloned().collect();
            match by.group(&still.stem, &folders, &still.file.below()) {
                Ok(group) => groups.entry(Key::of(group, &still)).or_default().push(still),
                Err(reason) => self.failed.push(Remark::new(still.file.below(), reason)),
            }
        }
        let copies = self.split_no_video(by, &mut groups)?;
        let draft = |(key, mut stills): (Key, Vec<Still>)| {
            stills.sort_by(|a, b| compare_str(a.file.below(), b.file.below()));
            let first = &stills[0];
            let numbers: Option<Vec<usize>> = stills.iter().map(Still::number).collect();
            let in_a_row = numbers.is_some_and(|numbers| numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]));
            let (short, rule) = match &key {
                Key::Named(name) => (name.clone(), Rule::Name),
                Key::Folder(path) => (path.last().cloned().unwrap_or_else(|| "pictures".into()), Rule::Folder),
                Key::Own(_) => (first.stem.clone(), Rule::Own),
            };
            let long = first.file.below();
            let group = match copies.get(&key) {
                Some(first) => Group::Of(first.clone()),
                None => Group::Itself(rule),
            };
            Draft { short, long, key: Some(key), group, content: Content::Stills { stills, in_a_row } }
        };
        Ok(groups.into_iter().map(draft).collect())
    }

    /// Pictures that are alone in their group are compared: frames of one video become one group, or are refused where a
    /// person asked for groups of one. Copies of one picture come back, each with the first of them: they share a group.
    fn split_no_video(&mut self, by: &GroupBy, groups: &mut BTreeMap<Key, Vec<Still>>) -> Result<BTreeMap<Key, Key>> {
        let mut alone: Vec<(Key, Still)> =
            groups.iter().filter(|(_, stills)| stills.len() == 1).map(|(key, s)| (key.clone(), s[0].clone())).collect();
        alone.sort_by(|(_, a), (_, b)| compare_str(a.file.below(), b.file.below()));
        let thumbnails = alike::thumbnails(&alone.iter().map(|(_, still)| still).collect::<Vec<_>>());
        let mut folders: BTreeMap<Vec<String>, Vec<usize>> = BTreeMap::new();
        for (index, (_, still)) in alone.iter().enumerate() {
            folders.entry(still.folders().cloned().collect()).or_default().push(index);
        }
        let mut videos = BTreeSet::new();
        for (folder, members) in folders {
            let seen: Vec<&Thumbnail> = members.iter().filter_map(|&index| thumbnails[index].as_ref()).collect();
            if !alike::is_video(&seen) {
                continue;
            }
            let name = folder.join("/");
            if !matches!(by, GroupBy::Auto | GroupBy::Beginning) {
                return Err(DataError::Inconsistent(format!(
                    "the {} pictures in {name} look like frames of one video, and --group-by makes a group of every one: \
                     their split would be by frame. Name the procedures with --group-by, or leave it out",
                    members.len()
                ))
                .into());
            }
            self.notes.push(format!(
                "the {} pictures in {name} look like frames of one video: they are one group. If they are not, say \
                 --group-by prefix or give a pattern",
                members.len()
            ));
            for index in members {
                let (key, still) = &alone[index];
                groups.remove(key);
                groups.entry(Key::Folder(folder.clone())).or_default().push(still.clone());
                videos.insert(index);
            }
        }
        // The picture that a picture is a copy of, or that one's, and so on: the first of them gives the group.
        let mut first_of: Vec<usize> = (0..alone.len()).collect();
        for (first, second) in alike::pairs(&thumbnails) {
            let [one, two] = [first, second].map(|index| first_of[index]);
            if videos.contains(&first) || videos.contains(&second) || one == two {
                continue;
            }
            let [a, b] = [first, second].map(|index| alone[index].1.file.below());
            self.notes.push(format!("{a} and {b} look alike: they share a group"));
            first_of.iter_mut().filter(|index| **index == two).for_each(|index| *index = one);
        }
        let copies = first_of.iter().enumerate().filter(|&(index, &first)| index != first);
        Ok(copies.map(|(index, &first)| (alone[index].0.clone(), alone[first].0.clone())).collect())
    }

    /// Print what was found, how it is grouped, and what is left aside.
    pub(super) fn tell(&self) {
        say_some("found", self.notes.iter().cloned());
        say_some("skipped", self.skipped.iter().map(|remark| format!("{}: {}", remark.path, remark.reason)));
        let mut groups: BTreeMap<&str, Vec<&Planned>> = BTreeMap::new();
        for planned in &self.procedures {
            groups.entry(&planned.group).or_default().push(planned);
        }
        // In the order that people count in.
        let mut groups: Vec<(&str, Vec<&Planned>)> = groups.into_iter().collect();
        groups.sort_by(|a, b| compare_str(a.0, b.0));
        say(format!(
            "{} in {}; a split never cuts a group",
            count(self.procedures.len(), "procedure"),
            count(groups.len(), "group")
        ));
        let (alone, several): (Vec<_>, Vec<_>) = groups
            .into_iter()
            .map(|(_, members)| members)
            .partition(|members| matches!(members.as_slice(), [one] if one.rule == Rule::Own));
        let line = |members: Vec<&Planned>| {
            let from = match members[0].rule {
                Rule::Name => "by a word of the names",
                Rule::Folder => "by the folder",
                Rule::Header => "by what the files say of their patient",
                Rule::Own => "alike",
            };
            let pictures: usize = members.iter().map(|planned| planned.pictures()).sum();
            let pictures = if pictures > 0 { format!(", {}", count(pictures, "picture")) } else { String::new() };
            format!("{}: {}{pictures} ({from})", members[0].group, count(members.len(), "procedure"))
        };
        say_some("group", several.into_iter().map(line).collect::<Vec<_>>().into_iter());
        if let (Some(first), Some(last)) = (alone.first(), alone.last()) {
            let names =
                if alone.len() > 1 { format!("{} to {}", first[0].id, last[0].id) } else { first[0].id.clone() };
            let what = if alone.len() > 1 { "are groups by themselves" } else { "is a group by itself" };
            say(format!("  group    {} {what}: {names}", count(alone.len(), "procedure")));
        }
    }
}

impl Planned {
    fn pictures(&self) -> usize {
        match &self.content {
            Content::Clip(_) => 0,
            Content::Stills { stills, .. } => stills.len(),
        }
    }
}

/// Print the first lines of a list and how many follow.
pub(super) fn say_some(what: &str, lines: impl ExactSizeIterator<Item = String>) {
    let more = lines.len().saturating_sub(SHOWN);
    for line in lines.take(SHOWN) {
        say(format!("  {what:<8} {line}"));
    }
    if more > 0 {
        say(format!("  {what:<8} .. and {more} more"));
    }
}

/// What makes two pictures members of one group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Named(String),
    Folder(Vec<String>),
    Own(PathBuf),
}

impl Key {
    fn of(group: Option<(String, Rule)>, still: &Still) -> Self {
        match group {
            Some((_, Rule::Folder)) => Self::Folder(still.folders().cloned().collect()),
            Some((name, _)) => Self::Named(name),
            None => Self::Own(still.file.path.clone()),
        }
    }
}

/// A word for the patient or examination of a DICOM file, for groups. It does not show their number, but whoever tries all
/// numbers finds it: this makes nothing anonymous. None for files that do not say; of what cannot be read, the reading
/// itself tells later.
fn person(clip: &ClipFile) -> Option<String> {
    let bytes = fs::read(&clip.file.path).ok()?;
    let name = files::absolute(&clip.file.path);
    let person = match formats::dicom_video(&name, &bytes).ok()? {
        Some(video) => video.person?,
        None => formats::open(&name, bytes).ok()?.person()?,
    };
    let hash = Sha256::digest(person.as_bytes());
    Some(format!("patient-{}", hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect::<String>()))
}

/// A procedure before it has a name of its own.
struct Draft {
    short: String,
    long: String,
    /// What its pictures have in common.
    key: Option<Key>,
    group: Group,
    content: Content,
}

/// The group of a draft, before procedures have names.
enum Group {
    /// A patient, by name.
    Named(String, Rule),
    /// The procedure is a group.
    Itself(Rule),
    /// That of the procedure with this key, which shows the same.
    Of(Key),
}

/// Give every procedure a name that no other has: the short one, else the one with its folders, else a numbered one.
fn named(drafts: Vec<Draft>) -> Vec<Planned> {
    let mut shorts: BTreeMap<String, usize> = BTreeMap::new();
    for draft in &drafts {
        *shorts.entry(plain(&draft.short).to_lowercase()).or_default() += 1;
    }
    let mut taken = BTreeSet::new();
    let mut id = |draft: &Draft| {
        let short = plain(&draft.short);
        let name = if shorts[&short.to_lowercase()] == 1 { short } else { plain(&draft.long.replace('/', "-")) };
        let mut id = name.clone();
        let mut number = 2;
        while !taken.insert(id.to_lowercase()) {
            id = format!("{name}-{number}");
            number += 1;
        }
        id
    };
    let ids: Vec<String> = drafts.iter().map(&mut id).collect();
    let by_key: BTreeMap<Key, String> =
        drafts.iter().zip(&ids).filter_map(|(draft, id)| Some((draft.key.clone()?, id.clone()))).collect();
    let plan = |(draft, id): (Draft, String)| {
        let (group, rule) = match draft.group {
            Group::Named(group, rule) => (plain(&group), rule),
            Group::Itself(rule) => (id.clone(), rule),
            Group::Of(first) => (by_key.get(&first).unwrap_or(&id).clone(), Rule::Own),
        };
        Planned { id, group, rule, stratum: None, content: draft.content }
    };
    let mut planned: Vec<Planned> = drafts.into_iter().zip(ids).map(plan).collect();
    planned.sort_by(|a, b| compare_str(&a.id, &b.id));
    planned
}

/// A name for a folder on every system.
fn plain(text: &str) -> String {
    let safe = text.chars().map(|c| if c.is_alphanumeric() || "._-".contains(c) { c } else { '_' });
    let kept: String = safe.skip_while(|&c| c == '.').collect();
    if kept.len() <= LONGEST_NAME {
        return if kept.is_empty() { "unnamed".into() } else { kept };
    }
    // Systems count the bytes of a name. A hash of all of it keeps apart what only differs behind the cut.
    let hash = Sha256::digest(text.as_bytes());
    let hash: String = hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let cut = (0..=LONGEST_NAME - 9).rev().find(|&at| kept.is_char_boundary(at)).unwrap_or(0);
    format!("{}-{hash}", &kept[..cut])
}
