//! Leakage: what a network is measured on must not resemble what it learned from.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rayon::prelude::*;
use sonoseg_imaging::dataset::split::{Side, Split, Stretch};

use super::problem::Problems;
use super::scan::{FrameFacts, Scanned};
use crate::files;

/// The split of a data set, and what is wrong with it.
pub(super) fn split(root: &Path, scanned: &[Scanned], problems: &mut Problems) -> Option<Split> {
    const FILE: &str = "splits.json";
    let path = root.join(FILE);
    if !path.exists() {
        let advice = "training draws one by group, or stretches of time of a single one";
        problems.warning("no-split", FILE, "is missing", advice);
        return None;
    }
    let read = files::read_text(&path).map_err(|e| format!("{e:#}"));
    let split: Split = match read.and_then(|text| serde_json::from_str(&text).map_err(|e| e.to_string())) {
        Ok(split) => split,
        Err(what) => {
            problems.error("bad-split", FILE, what, "it holds two lists of groups, train and val");
            return None;
        }
    };
    let groups: BTreeSet<&str> = scanned.iter().map(Scanned::group).collect();
    for group in split.train.intersection(&split.val) {
        let what = format!("the group {group} is in train and in val");
        problems.error("leak-group", FILE, what, "keep every group on one side");
    }
    for group in split.train.union(&split.val).filter(|group| !groups.contains(group.as_str())) {
        let what = match scanned.iter().find(|procedure| procedure.id == **group) {
            Some(procedure) => format!("names the procedure {group}, whose group is {}", procedure.group()),
            None => format!("names {group}, which is not there"),
        };
        problems.error("split-unknown", FILE, what, "name groups: that of meta.json, else the procedure's folder");
    }
    for group in groups.iter().filter(|&&group| !split.train.contains(group) && !split.val.contains(group)) {
        let what = format!("names neither train nor val for the group {group}");
        problems.warning("split-incomplete", FILE, what, "it is not used: add it to one side");
    }
    for Stretch { procedure, first, last, .. } in split.stretches.iter().filter(|one| one.first > one.last) {
        let what = format!("holds out a stretch of {procedure} from {first} to {last}");
        problems.error("bad-split", FILE, what, "turn the two numbers round");
    }
    for stretch in split.stretches.iter().filter(|one| scanned.iter().all(|other| other.id != one.procedure)) {
        let what = format!("holds out a stretch of {}, which is not there", stretch.procedure);
        problems.error("split-unknown", FILE, what, "name the procedure's folder");
    }
    if split.train.is_empty() {
        problems.error("split-empty", FILE, "train has no group".to_owned(), "move a group there");
    }
    if !split.holds_out() {
        let advice = "no figure will say how well a model does: move a group there, or leave splits.json out";
        problems.warning("split-empty", FILE, "val has no group".to_owned(), advice);
    }
    Some(split)
}

/// Frames on both sides of the split that are the same, and frames of one group that are the same as, or look like, those of
/// another.
pub(super) fn frames(scanned: &[Scanned], split: Option<&Split>, problems: &mut Problems) {
    let side = |procedure: &Scanned, frame: usize| {
        split.and_then(|split| split.side(procedure.group(), &procedure.id, [frame, frame]))
    };
    let identical = identical(scanned, &side, problems);
    let sampled = |wanted: Side| -> Vec<(usize, &FrameFacts)> {
        let frames = scanned.iter().enumerate().flat_map(|(p, procedure)| procedure.frames.iter().map(move |f| (p, f)));
        frames.filter(|(p, frame)| side(&scanned[*p], frame.number) == Some(wanted)).collect()
    };
    let (train, val) = (sampled(Side::Train), sampled(Side::Val));
    let like = |&(p, frame): &(usize, &FrameFacts)| -> Option<(usize, usize, usize, usize)> {
        let thumbnail = frame.thumbnail.as_ref()?;
        let (q, other) = train.iter().find(|(q, other)| {
            scanned[*q].group() != scanned[p].group()
                && other.thumbnail.as_ref().is_some_and(|other| thumbnail.is_like(other))
        })?;
        Some((p, frame.number, *q, other.number))
    };
    let mut told = BTreeSet::new();
    for (p, frame, q, other) in val.par_iter().filter_map(like).collect::<Vec<_>>() {
        if !identical.contains(&(p.min(q), p.max(q))) && told.insert((p, q)) {
            let what = format!("looks like {} of train", place(&scanned[q], other));
            let advice = "if they show one patient, give both procedures the same group in meta.json";
            problems.warning("leak-alike", place(&scanned[p], frame), what, advice);
        }
    }
}

fn place(procedure: &Scanned, frame: usize) -> String {
    format!("{}/frames/{frame:06}.png", procedure.id)
}

/// Frames that occur on both sides of the split, which is an error, or in two groups, which is a warning. The pairs of
/// procedures come back.
fn identical(
    scanned: &[Scanned],
    side: &impl Fn(&Scanned, usize) -> Option<Side>,
    problems: &mut Problems,
) -> BTreeSet<(usize, usize)> {
    // Of every picture the first frame in a group and on a side.
    type Place = (usize, usize, Option<Side>);
    let mut first: BTreeMap<[u8; 32], Vec<Place>> = BTreeMap::new();
    let mut pairs = BTreeSet::new();
    for (p, procedure) in scanned.iter().enumerate() {
        for frame in procedure.frames.iter().filter(|frame| !frame.flat) {
            let (here, mine) = (place(procedure, frame.number), side(procedure, frame.number));
            let others = first.entry(frame.hash).or_default();
            let same_group = |q: usize| scanned[q].group() == procedure.group();
            let across = others.iter().find(|(.., its)| its.is_some() && mine.is_some() && *its != mine);
            let elsewhere = others.iter().find(|(q, ..)| !same_group(*q));
            if let Some(&(q, other, _)) = across.or(elsewhere) {
                pairs.insert((q, p));
                let what = format!("is the same picture as {}", place(&scanned[q], other));
                let advice = if same_group(q) {
                    "put both on one side in splits.json, or remove one of them"
                } else {
                    "give both procedures the same group in meta.json, or remove one of them"
                };
                if across.is_some() {
                    problems.error("leak-frame", here, format!("{what}, on the other side of the split"), advice);
                } else {
                    problems.warning("same-frame", here, format!("{what}, of another group"), advice);
                }
            }
            if !others.iter().any(|(q, _, its)| same_group(*q) && *its == mine) {
                others.push((p, frame.number, mine));
            }
        }
    }
    pairs
}
