//! What `sonoseg check` tells: a table of procedures, their balance, and the list of problems.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use sonoseg_imaging::dataset::split::{Side, Split};
use sonoseg_imaging::geometry::{Mask, Spacing};

use super::problem::{Level, Problem};
use super::scan::{NETWORK_PX, Scanned, widths};
use crate::files;
use crate::terminal::say;

/// Lines about one kind of problem.
const SHOWN_OF_A_KIND: usize = 5;

/// Everything, as the JSON file has it.
#[derive(Serialize)]
pub(super) struct Report {
    data: String,
    procedures: Vec<ProcedureRow>,
    totals: Totals,
    problems: Vec<Problem>,
}

#[derive(Serialize)]
struct ProcedureRow {
    id: String,
    group: String,
    /// `train`, `val`, or neither.
    side: Option<&'static str>,
    frames: usize,
    labelled: usize,
    /// Frames with end points, and those among them that show a needle.
    end_points: usize,
    needles: usize,
    masks: usize,
    repeated: usize,
    /// Width and height, as often as they differ.
    sizes: Vec<[usize; 2]>,
    spacing: Option<Spacing>,
    /// Share of the judged pixels of all masks, by class.
    class_shares: BTreeMap<u8, f64>,
    /// Pixels of the masks that are ignored.
    ignored_pixels: u64,
}

#[derive(Serialize)]
struct Totals {
    procedures: usize,
    groups: usize,
    frames: usize,
    labelled: usize,
    end_points: usize,
    needles: usize,
    masks: usize,
    repeated: usize,
    class_shares: BTreeMap<String, f64>,
    ignored_pixels: u64,
    ignored_share: f64,
    /// Width of the objects in pixels of a network of 224 x 224, by class: 5 %, median, 95 %.
    object_widths_px: BTreeMap<String, [f64; 3]>,
}

impl Report {
    pub(super) fn new(root: &Path, scanned: &[Scanned], split: Option<&Split>, problems: Vec<Problem>) -> Self {
        let rows: Vec<ProcedureRow> = scanned.iter().map(|one| ProcedureRow::new(one, split)).collect();
        let sum = |of: fn(&ProcedureRow) -> usize| rows.iter().map(of).sum();
        let mut pixels: BTreeMap<u8, u64> = BTreeMap::new();
        scanned.iter().for_each(|one| add_classes(one, &mut pixels));
        let names = scanned.iter().map(|one| &one.meta.classes).max_by_key(|names| names.len());
        let name = |class: u8| match names.and_then(|names| names.get(usize::from(class))) {
            Some(name) => name.clone(),
            None => format!("class {class}"),
        };
        let totals = Totals {
            procedures: rows.len(),
            groups: scanned.iter().map(Scanned::group).collect::<std::collections::BTreeSet<_>>().len(),
            frames: sum(|row| row.frames),
            labelled: sum(|row| row.labelled),
            end_points: sum(|row| row.end_points),
            needles: sum(|row| row.needles),
            masks: sum(|row| row.masks),
            repeated: sum(|row| row.repeated),
            ignored_pixels: ignored(&pixels),
            ignored_share: ignored(&pixels) as f64 / pixels.values().sum::<u64>().max(1) as f64,
            class_shares: shares(&pixels).into_iter().map(|(class, share)| (name(class), share)).collect(),
            object_widths_px: widths(scanned)
                .into_iter()
                .map(|(class, widths)| (name(class), [5, 50, 95].map(|part| widths[(widths.len() - 1) * part / 100])))
                .collect(),
        };
        Self { data: files::absolute(root), procedures: rows, totals, problems }
    }

    pub(super) fn count(&self, level: Level) -> usize {
        self.problems.iter().filter(|problem| problem.level == level).map(|problem| problem.places.len()).sum()
    }

    /// Print the table, of at most `shown` procedures, the totals, and all problems.
    pub(super) fn print(&self, shown: usize) {
        let wide = self.procedures.iter().take(shown).map(|row| row.id.chars().count()).max().unwrap_or(0).clamp(9, 48);
        say(format!(
            "{:<wide$}  side   frames  labelled  needles  masks  repeated  size       spacing mm     classes %",
            "procedure"
        ));
        for row in self.procedures.iter().take(shown) {
            say(row.line(wide));
        }
        if self.procedures.len() > shown {
            say(format!(".. and {} more procedures", self.procedures.len() - shown));
        }
        let totals = &self.totals;
        say(format!(
            "{} procedures in {} groups, {} frames, {} labelled: {} by end points ({} show a needle), {} by masks",
            totals.procedures,
            totals.groups,
            totals.frames,
            totals.labelled,
            totals.end_points,
            totals.needles,
            totals.masks
        ));
        if !totals.class_shares.is_empty() {
            let shares = totals.class_shares.iter().map(|(name, share)| format!("{name} {:.2} %", 100.0 * share));
            say(format!("pixels of the masks: {}", shares.collect::<Vec<_>>().join(", ")));
        }
        if totals.ignored_pixels > 0 {
            say(format!(
                "ignored: {} pixels, {:.2} % of the masks: neither learned nor counted",
                totals.ignored_pixels,
                100.0 * totals.ignored_share
            ));
        }
        for (name, [low, middle, high]) in &totals.object_widths_px {
            say(format!(
                "width of {name} in pixels of a network of {NETWORK_PX}x{NETWORK_PX}: median {middle:.1}, 5 % below {low:.1}, 5 % \
                 above {high:.1}"
            ));
        }
        lines(&self.problems).iter().for_each(say);
        say(format!("{} errors, {} warnings", self.count(Level::Error), self.count(Level::Warning)));
    }
}

/// The problems for people: what is the same in several procedures is told once, and no kind fills the screen.
fn lines(problems: &[Problem]) -> Vec<String> {
    let mut kinds: Vec<Vec<Problem>> = Vec::new();
    for problem in problems {
        let kind = kinds.iter_mut().find(|kind| (kind[0].level, kind[0].kind) == (problem.level, problem.kind));
        match kind {
            Some(kind) => match kind.iter_mut().find(|other| other.what == problem.what) {
                Some(same) => same.places.extend(problem.places.iter().cloned()),
                None => kind.push(problem.clone()),
            },
            None => kinds.push(vec![problem.clone()]),
        }
    }
    let told = |kind: Vec<Problem>| {
        let more = kind.len().saturating_sub(SHOWN_OF_A_KIND);
        let rest =
            (more > 0).then(|| format!("         {:<16} .. and {more} more like these: see --json", kind[0].kind));
        kind.into_iter().take(SHOWN_OF_A_KIND).map(|problem| problem.to_string()).chain(rest).collect::<Vec<_>>()
    };
    kinds.into_iter().flat_map(told).collect()
}

impl ProcedureRow {
    fn new(scanned: &Scanned, split: Option<&Split>) -> Self {
        let group = scanned.group().to_owned();
        let side = split.and_then(|split| split.group_side(&group)).map(|side| match side {
            Side::Train => "train",
            Side::Val => "val",
        });
        let mut pixels = BTreeMap::new();
        add_classes(scanned, &mut pixels);
        Self {
            id: scanned.id.clone(),
            group,
            side,
            frames: scanned.frames.len(),
            labelled: scanned.labelled(),
            end_points: scanned.labels.len(),
            needles: scanned.labels.values().filter(|needle| needle.is_some()).count(),
            masks: scanned.frames.iter().filter(|frame| frame.is_masked()).count(),
            repeated: scanned.repeated(),
            sizes: scanned.sizes().into_iter().map(|(height, width)| [width, height]).collect(),
            spacing: scanned.meta.spacing,
            class_shares: shares(&pixels),
            ignored_pixels: ignored(&pixels),
        }
    }

    fn line(&self, wide: usize) -> String {
        let size = match self.sizes.as_slice() {
            [] => "-".into(),
            [[width, height]] => format!("{width}x{height}"),
            many => format!("{} sizes", many.len()),
        };
        let spacing = self.spacing.map_or("-".into(), |s| format!("{:.4} {:.4}", s.x_mm, s.y_mm));
        let classes: Vec<String> = self
            .class_shares
            .iter()
            .filter(|(class, _)| **class > 0)
            .map(|(_, s)| format!("{:.2}", 100.0 * s))
            .collect();
        let mut id: String = self.id.chars().take(wide).collect();
        if id.len() < self.id.len() {
            id.pop();
            id.push('…');
        }
        format!(
            "{id:<wide$}  {:<5}  {:>6}  {:>8}  {:>7}  {:>5}  {:>8}  {size:<9}  {spacing:<13}  {}",
            self.side.unwrap_or("-"),
            self.frames,
            self.labelled,
            self.needles,
            self.masks,
            self.repeated,
            classes.join(" ")
        )
    }
}

fn add_classes(scanned: &Scanned, pixels: &mut BTreeMap<u8, u64>) {
    for (&class, count) in scanned.frames.iter().filter_map(|frame| frame.classes.as_ref()).flatten() {
        *pixels.entry(class).or_default() += count;
    }
}

fn ignored(pixels: &BTreeMap<u8, u64>) -> u64 {
    pixels.get(&Mask::IGNORE).copied().unwrap_or(0)
}

/// Of the pixels that somebody judged.
fn shares(pixels: &BTreeMap<u8, u64>) -> BTreeMap<u8, f64> {
    let judged = || pixels.iter().filter(|(class, _)| **class != Mask::IGNORE);
    let all: u64 = judged().map(|(_, count)| count).sum();
    judged().map(|(&class, &count)| (class, count as f64 / all.max(1) as f64)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_problems_of_a_kind_take_few_lines() {
        let problem = |what: String, place: &str| Problem {
            level: Level::Warning,
            kind: "unlabelled",
            places: vec![place.to_owned()],
            what,
            advice: "label it",
        };
        let same: Vec<Problem> = ["a", "b", "c"].map(|place| problem("no label".into(), place)).into();
        assert_eq!(lines(&same), ["warning  unlabelled       a (and 2 more): no label: label it"]);
        let different: Vec<Problem> = (0..9).map(|number| problem(format!("{number} labels"), "a")).collect();
        let lines = lines(&different);
        assert_eq!(lines.len(), SHOWN_OF_A_KIND + 1);
        assert!(lines[SHOWN_OF_A_KIND].contains("4 more"), "{}", lines[SHOWN_OF_A_KIND]);
    }
}
