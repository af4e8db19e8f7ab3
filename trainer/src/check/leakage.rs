//! Leakage: what a network is measured on must not resemble what it learned from.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rayon::prelude::*;
use sonoseg_imaging::dataset::split::Split;

use super::problem::Problems;
use super::scan::{FrameFacts, Scanned};
use crate::files;

/// The split of a data set, and what is wrong with it.
pub(super) fn split(root: &Path, scanned: &[Scanned], problems: &mut Problems) -> Option<Split> {
    const FILE: &str = "splits.json";
    let path = root.join(FILE);
    if !path.exists() {
        let advice = "training draws one by group; `sonoseg ingest` writes one";
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
    if split.train.is_empty() {
        problems.error("split-empty", FILE, "train has no group".to_owned(), "move a group there");
    }
    if split.val.is_empty() {
        let advice = "no figure will say how well a model does: move a group there, or leave splits.json out";
        problems.warning("split-empty", FILE, "val has no group".to_owned(), advice);
    }
    Some(split)
}

/// Frames of one group that are the same as, or look like, those of another.
pub(super) fn frames(scanned: &[Scanned], split: Option<&Split>, problems: &mut Problems) {
    let side = |procedure: &Scanned| split.and_then(|split| Side::of(split, procedure.group()));
    let identical = identical(scanned, &side, problems);
    let sampled = |wanted: Side| -> Vec<(usize, &FrameFacts)> {
        let procedures = scanned.iter().enumerate().filter(|(_, procedure)| side(procedure) == Some(wanted));
        procedures.flat_map(|(p, procedure)| procedure.frames.iter().map(move |frame| (p, frame))).collect()
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

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Train,
    Val,
}

impl Side {
    fn of(split: &Split, group: &str) -> Option<Self> {
        if split.train.contains(group) {
            return Some(Self::Train);
        }
        split.val.contains(group).then_some(Self::Val)
    }
}

fn place(procedure: &Scanned, frame: usize) -> String {
    format!("{}/frames/{frame:06}.png", procedure.id)
}

/// Frames that occur in two groups: an error between train and val, else a warning. The pairs of procedures come back.
fn identical(
    scanned: &[Scanned],
    side: &impl Fn(&Scanned) -> Option<Side>,
    problems: &mut Problems,
) -> BTreeSet<(usize, usize)> {
    let mut first: BTreeMap<[u8; 32], (usize, usize)> = BTreeMap::new();
    let mut pairs = BTreeSet::new();
    for (p, procedure) in scanned.iter().enumerate() {
        for frame in procedure.frames.iter().filter(|frame| !frame.flat) {
            let (q, other) = *first.entry(frame.hash).or_insert((p, frame.number));
            if scanned[q].group() == procedure.group() {
                continue;
            }
            pairs.insert((q, p));
            let what = format!("is the same picture as {}", place(&scanned[q], other));
            let advice = "give both procedures the same group in meta.json, or remove one of them";
            let here = place(procedure, frame.number);
            match (side(&scanned[q]), side(procedure)) {
                (Some(one), Some(two)) if one != two => {
                    problems.error("leak-frame", here, format!("{what}, on the other side of the split"), advice);
                }
                _ => problems.warning("same-frame", here, format!("{what}, of another group"), advice),
            }
        }
    }
    pairs
}
