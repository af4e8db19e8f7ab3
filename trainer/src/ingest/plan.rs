//! The procedures that will be made: every clip is one, and every group of pictures is one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::Result;
use sonoseg_core::data::DataError;
use sonoseg_core::data::likeness::Thumbnail;

use super::alike;
use super::group::{GroupBy, Rule, natural};
use super::pairs::{Pairs, Still};
use super::sources::{ClipFile, ClipKind, Found, Remark, Sources};
use crate::args::Ingest;
use crate::failure::Usage;
use crate::terminal::say;

/// Lines of a list that are printed; the rest is counted.
const SHOWN: usize = 20;

/// A procedure to make.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    pub(super) id: String,
    pub(super) group: String,
    rule: Rule,
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

/// All that will be done.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) procedures: Vec<Planned>,
    pub(super) tables: Vec<Found>,
    pub(super) class_names: Option<PathBuf>,
    pub(super) skipped: Vec<Remark>,
    pub(super) failed: Vec<Remark>,
    /// What was found, for people.
    notes: Vec<String>,
}

impl Plan {
    pub(super) fn make(verb: &Ingest) -> Result<Self> {
        let by: GroupBy = verb.group_by.parse().map_err(Usage)?;
        let found = Sources::find(&verb.sources, &verb.out)?;
        let mut plan = Self {
            tables: found.tables,
            class_names: found.class_names,
            skipped: found.skipped,
            failed: found.failed,
            ..Self::default()
        };
        plan.describe_clips(&found.clips);
        let pairs = Pairs::find(found.pictures);
        plan.skipped.extend(pairs.skipped);
        plan.failed.extend(pairs.failed);
        let masked = pairs.stills.iter().filter(|still| !still.masks.is_empty()).count();
        if !pairs.stills.is_empty() {
            let ways = if pairs.ways.is_empty() { String::new() } else { format!(" ({})", pairs.ways.join("; ")) };
            plan.notes.push(format!("{} pictures, {masked} of them with masks{ways}", pairs.stills.len()));
        }
        let mut drafts = plan.clips(&by, found.clips);
        drafts.extend(plan.stills(&by, pairs.stills)?);
        plan.procedures = named(drafts);
        Ok(plan)
    }

    fn describe_clips(&mut self, clips: &[ClipFile]) {
        let kinds =
            [(ClipKind::Video, "videos"), (ClipKind::Dicom, "DICOM files"), (ClipKind::Stack, "GIF or TIFF stacks")];
        for (kind, name) in kinds {
            let count = clips.iter().filter(|clip| clip.kind == kind).count();
            if count > 0 {
                self.notes.push(format!("{count} {name}, each a procedure"));
            }
        }
    }

    fn clips(&mut self, by: &GroupBy, clips: Vec<ClipFile>) -> Vec<Draft> {
        let mut drafts = Vec::new();
        for clip in clips {
            let (stem, below) = (clip.file.stem(), clip.file.below());
            match by.group(&stem, &clip.file.folders, &below) {
                Ok(group) => drafts.push(Draft { short: stem, long: below, group, content: Content::Clip(clip) }),
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
        self.split_no_video(by, &mut groups)?;
        let draft = |(key, mut stills): (Key, Vec<Still>)| {
            stills.sort_by_cached_key(|still| natural(&still.file.below()));
            let first = &stills[0];
            let numbers: Option<Vec<usize>> = stills.iter().map(Still::number).collect();
            let in_a_row = numbers.is_some_and(|numbers| numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]));
            let (short, group) = match key {
                Key::Named(name) => (name.clone(), Some((name, Rule::Name))),
                Key::Folder(path) => {
                    let name = path.last().cloned().unwrap_or_else(|| "pictures".into());
                    (name.clone(), Some((name, Rule::Folder)))
                }
                Key::Own(_) => (first.stem.clone(), None),
            };
            let long = first.file.below();
            Draft { short, long, group, content: Content::Stills { stills, in_a_row } }
        };
        Ok(groups.into_iter().map(draft).collect())
    }

    /// Pictures that are alone in their group are compared: frames of one video become one group, or are refused where a
    /// person asked for groups of one, and copies of one picture share a group.
    fn split_no_video(&mut self, by: &GroupBy, groups: &mut BTreeMap<Key, Vec<Still>>) -> Result<()> {
        let mut alone: Vec<(Key, Still)> =
            groups.iter().filter(|(_, stills)| stills.len() == 1).map(|(key, s)| (key.clone(), s[0].clone())).collect();
        alone.sort_by_cached_key(|(_, still)| natural(&still.file.below()));
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
            if !matches!(by, GroupBy::Auto) {
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
        for (first, second) in alike::pairs(&thumbnails) {
            // Keys change as pictures join: two that are alike to a third end in one group.
            let [one, two] = [first, second].map(|index| alone[index].0.clone());
            if videos.contains(&first) || videos.contains(&second) || one == two {
                continue;
            }
            if let Some(stills) = groups.remove(&two) {
                let [a, b] = [first, second].map(|index| alone[index].1.file.below());
                self.notes.push(format!("{a} and {b} look alike: they share a group"));
                groups.entry(one.clone()).or_default().extend(stills);
                alone.iter_mut().filter(|(key, _)| *key == two).for_each(|(key, _)| *key = one.clone());
            }
        }
        Ok(())
    }

    /// Print what was found, how it is grouped, and what is left aside.
    pub(super) fn tell(&self) {
        say_some("found", self.notes.iter().cloned());
        say_some("skipped", self.skipped.iter().map(|remark| format!("{}: {}", remark.path, remark.reason)));
        let mut groups: BTreeMap<&str, (usize, usize, Rule)> = BTreeMap::new();
        for planned in &self.procedures {
            let entry = groups.entry(&planned.group).or_insert((0, 0, planned.rule));
            entry.0 += 1;
            entry.1 += match &planned.content {
                Content::Clip(_) => 0,
                Content::Stills { stills, .. } => stills.len(),
            };
        }
        say(format!("{} procedures in {} groups; a split never cuts a group:", self.procedures.len(), groups.len()));
        say_some(
            "group",
            groups.iter().map(|(group, (procedures, pictures, rule))| {
                let from = match rule {
                    Rule::Name => "named in the file or folder",
                    Rule::Folder => "one folder",
                    Rule::Own => "by itself",
                };
                let what = if *pictures > 0 { format!(", {pictures} pictures") } else { String::new() };
                format!("{group}: {procedures} procedures{what} ({from})")
            }),
        );
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

/// A procedure before it has a name of its own.
struct Draft {
    short: String,
    long: String,
    group: Option<(String, Rule)>,
    content: Content,
}

/// Give every procedure a name that no other has: the short one, else the one with its folders, else a numbered one. The
/// group of a procedure that has none is the procedure.
fn named(drafts: Vec<Draft>) -> Vec<Planned> {
    let mut shorts: BTreeMap<String, usize> = BTreeMap::new();
    for draft in &drafts {
        *shorts.entry(plain(&draft.short).to_lowercase()).or_default() += 1;
    }
    let mut taken = BTreeSet::new();
    let mut planned: Vec<Planned> = drafts
        .into_iter()
        .map(|draft| {
            let short = plain(&draft.short);
            let name = if shorts[&short.to_lowercase()] == 1 { short } else { plain(&draft.long.replace('/', "-")) };
            let mut id = name.clone();
            let mut number = 2;
            while !taken.insert(id.to_lowercase()) {
                id = format!("{name}-{number}");
                number += 1;
            }
            let (group, rule) = match (draft.group, &draft.content) {
                // Pictures are one procedure a group, and two folders of one name are two.
                (Some((_, rule)), Content::Stills { .. }) => (id.clone(), rule),
                (Some((group, rule)), Content::Clip(_)) => (plain(&group), rule),
                (None, _) => (id.clone(), Rule::Own),
            };
            Planned { id, group, rule, content: draft.content }
        })
        .collect();
    planned.sort_by_cached_key(|planned| natural(&planned.id));
    planned
}

/// A name for a folder on every system.
fn plain(text: &str) -> String {
    let kept: String =
        text.chars().take(100).map(|c| if c.is_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect();
    let kept = kept.trim_start_matches('.');
    if kept.is_empty() { "unnamed".into() } else { kept.to_owned() }
}
