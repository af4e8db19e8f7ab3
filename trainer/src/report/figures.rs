//! Figures of an evaluation as tables: model beside baseline, by difficulty, by procedure.

use std::collections::BTreeMap;

use sonoseg_imaging::metrics::bootstrap::Interval;
use sonoseg_imaging::metrics::needle::{GroupSummary, NeedleSummary, Statistic, Tally};
use sonoseg_imaging::metrics::overlap::OverlapSummary;

use super::document::{Table, number};
use crate::evaluate::measure::{ALL, Figures};

/// What a line of the headline table says of one method.
struct Reading {
    value: f64,
    interval: Option<Interval>,
    /// Frames on which the figure is not defined, where it is one of single frames.
    undefined: Option<u64>,
}

impl Reading {
    /// A figure that is pooled over frames.
    fn pooled(value: f64, interval: Interval) -> Self {
        Self { value, interval: Some(interval), undefined: None }
    }

    /// A figure that every frame has, or lacks.
    fn of_frames(value: f64, interval: Interval, undefined: u64) -> Self {
        Self { value, interval: Some(interval), undefined: Some(undefined) }
    }

    /// The median over the needles found.
    fn median(statistic: &Statistic) -> Self {
        Self::of_frames(statistic.median, of_median(statistic), statistic.undefined)
    }
}

/// Name, digits after the point, and how to read it.
type Line = (&'static str, usize, fn(&Figures) -> Reading);

const OVERLAP: [Line; 6] = [
    ("IoU, pooled", 3, |f| Reading::pooled(f.overlap.iou, f.overlap_intervals.iou)),
    ("Dice, pooled", 3, |f| Reading::pooled(f.overlap.dice, f.overlap_intervals.dice)),
    ("Precision, pooled", 3, |f| Reading::pooled(f.overlap.precision, f.overlap_intervals.precision)),
    ("Recall, pooled", 3, |f| Reading::pooled(f.overlap.recall, f.overlap_intervals.recall)),
    ("IoU, mean of the frames with a needle", 3, |f| {
        Reading::of_frames(f.overlap.mean_iou_ignore, f.overlap_intervals.mean_iou_ignore, f.overlap.empty_frames)
    }),
    ("IoU, mean of all frames (nothing found where nothing is = 1)", 3, |f| {
        Reading::of_frames(f.overlap.mean_iou_one, f.overlap_intervals.mean_iou_one, 0)
    }),
];

const PIXELS: [Line; 6] = [
    ("Tip error of all needles, px (a missed one is infinitely far)", 2, |f| {
        Reading::of_frames(f.needle.tip_px_median_misses_infinite, f.needle.intervals.tip_px_median_misses_infinite, 0)
    }),
    ("Tip error, px", 2, |f| Reading::median(&f.needle.tip_px)),
    ("Entry error, px", 2, |f| Reading::median(&f.needle.entry_px)),
    ("Angle error, degrees", 2, |f| Reading::median(&f.needle.angle_deg)),
    ("Offset of the shaft, px", 2, |f| Reading::median(&f.needle.offset_px)),
    ("Error of the length, px", 2, |f| Reading::median(&f.needle.length_px)),
];

const MILLIMETRES: [Line; 7] = [
    ("Tip error, mm", 2, |f| Reading::median(&f.needle.tip_mm)),
    ("Entry error, mm", 2, |f| Reading::median(&f.needle.entry_mm)),
    ("Offset of the shaft, mm", 2, |f| Reading::median(&f.needle.offset_mm)),
    ("Error of the length, mm", 2, |f| Reading::median(&f.needle.length_mm)),
    ("Share of needles whose tip is found to less than 1 mm", 3, |f| {
        Reading::pooled(f.needle.success_1mm, f.needle.intervals.success_1mm)
    }),
    ("Share of needles whose tip is found to less than 2 mm", 3, |f| {
        Reading::pooled(f.needle.success_2mm, f.needle.intervals.success_2mm)
    }),
    ("Share of needles whose tip is found to less than 3 mm", 3, |f| {
        Reading::pooled(f.needle.success_3mm, f.needle.intervals.success_3mm)
    }),
];

const ALARMS: [Line; 3] = [
    ("Share of visible needles that were missed", 3, |f| {
        Reading::pooled(f.needle.tally.miss_rate(), f.needle.intervals.miss_rate)
    }),
    ("Share of needle-free frames with a false needle", 3, |f| {
        Reading::pooled(f.needle.tally.false_positive_rate(), f.needle.intervals.false_positive_rate)
    }),
    ("Pixels marked on needle-free frames", 0, |f| Reading {
        value: f.overlap.false_positive_pixels as f64,
        interval: None,
        undefined: None,
    }),
];

/// Every figure of all frames, the model beside the baseline.
pub(super) fn headline(model: &Figures, baseline: &Figures) -> Table {
    let mut table = Table::new(&["", "model", "95 % interval", "baseline", "95 % interval", "undefined"], 1);
    let scaled = model.needle.tip_mm.count + baseline.needle.tip_mm.count > 0 || !model.needle.success_3mm.is_nan();
    // Masks of a class have no tip.
    let needles = model.needle.tally.frames > 0;
    let of_needles = PIXELS.iter().chain(MILLIMETRES.iter().filter(|_| scaled)).chain(&ALARMS);
    let lines = OVERLAP.iter().chain(of_needles.filter(|_| needles));
    for &(name, digits, read) in lines {
        let readings = [read(model), read(baseline)];
        let mut row = vec![name.to_owned()];
        for Reading { value, interval, .. } in &readings {
            row.push(number(*value, digits));
            row.push(interval.map_or_else(String::new, |interval| range(interval, digits)));
        }
        row.push(match readings.map(|reading| reading.undefined) {
            [Some(model), Some(baseline)] if model != baseline => format!("{model}; baseline {baseline}"),
            [Some(both), _] => both.to_string(),
            _ => String::new(),
        });
        table.rows.push(row);
    }
    table
}

/// The main figures by difficulty; `None` when there is only one.
pub(super) fn by_difficulty(model: &BTreeMap<&str, Figures>, baseline: &BTreeMap<&str, Figures>) -> Option<Table> {
    let sets: Vec<&str> = model.keys().copied().filter(|&set| set != ALL).collect();
    if sets.len() < 2 {
        return None;
    }
    let columns = ["difficulty", "method", "frames", "IoU", "recall", "precision", "tip px", "missed", "false needles"];
    let mut table = Table::new(&columns, 2);
    for set in sets {
        for (method, figures) in [("model", model.get(set)), ("baseline", baseline.get(set))] {
            let Some(Figures { overlap, needle, .. }) = figures else { continue };
            table.rows.push(vec![
                set.to_owned(),
                method.to_owned(),
                overlap.frames.to_string(),
                number(overlap.iou, 3),
                number(overlap.recall, 3),
                number(overlap.precision, 3),
                number(needle.tip_px_median_misses_infinite, 2),
                missed(&needle.tally),
                false_needles(&needle.tally),
            ]);
        }
    }
    Some(table)
}

/// The model's figures by procedure, all of them together, and how sure that is.
pub(super) fn by_procedure(model: &Figures) -> Table {
    let columns = [
        "procedure",
        "frames",
        "IoU",
        "Dice",
        "precision",
        "recall",
        "tip px",
        "tip mm",
        "angle",
        "offset px",
        "tip < 3 mm",
        "missed",
        "false needles",
    ];
    let mut table = Table::new(&columns, 1);
    let NeedleSummary { groups, tally, tip_px, tip_mm, angle_deg, offset_px, success_3mm, intervals, .. } =
        &model.needle;
    for (name, overlap) in &model.overlap_groups {
        let needle = groups.iter().find(|group| group.group == *name);
        table.rows.push(match needle {
            Some(group) => procedure_row(overlap, group),
            None => procedure_row(overlap, &GroupSummary { group: name.clone(), ..without_needles() }),
        });
    }
    let all = GroupSummary {
        group: "all".into(),
        tally: *tally,
        tip_px: tip_px.median,
        tip_mm: tip_mm.median,
        angle_deg: angle_deg.median,
        offset_px: offset_px.median,
        success_3mm: *success_3mm,
    };
    table.rows.push(procedure_row(&model.overlap, &all));
    let overlap = &model.overlap_intervals;
    let ends = [
        (overlap.iou, 3),
        (overlap.dice, 3),
        (overlap.precision, 3),
        (overlap.recall, 3),
        (of_median(tip_px), 2),
        (of_median(tip_mm), 2),
        (of_median(angle_deg), 2),
        (of_median(offset_px), 2),
        (intervals.success_3mm, 3),
        (intervals.miss_rate, 3),
        (intervals.false_positive_rate, 3),
    ];
    for (name, end) in [("95 % from", (|i| i.low) as fn(Interval) -> f64), ("95 % to", |i| i.high)] {
        let cells = ends.iter().map(|&(interval, digits)| number(end(interval), digits));
        table.rows.push([name.to_owned(), String::new()].into_iter().chain(cells).collect());
    }
    if tally.frames == 0 {
        table.columns.truncate(OVERLAP_COLUMNS);
        table.rows.iter_mut().for_each(|row| row.truncate(OVERLAP_COLUMNS));
    }
    table
}

/// Columns of [`by_procedure`] that masks have, too.
const OVERLAP_COLUMNS: usize = 6;

fn without_needles() -> GroupSummary {
    GroupSummary {
        group: String::new(),
        tally: Tally::default(),
        tip_px: f64::NAN,
        tip_mm: f64::NAN,
        angle_deg: f64::NAN,
        offset_px: f64::NAN,
        success_3mm: f64::NAN,
    }
}

fn procedure_row(overlap: &OverlapSummary, group: &GroupSummary) -> Vec<String> {
    vec![
        group.group.clone(),
        overlap.frames.to_string(),
        number(overlap.iou, 3),
        number(overlap.dice, 3),
        number(overlap.precision, 3),
        number(overlap.recall, 3),
        number(group.tip_px, 2),
        number(group.tip_mm, 2),
        number(group.angle_deg, 2),
        number(group.offset_px, 2),
        number(group.success_3mm, 3),
        missed(&group.tally),
        false_needles(&group.tally),
    ]
}

fn missed(tally: &Tally) -> String {
    format!("{}/{}", tally.missed, tally.missed + tally.found)
}

fn false_needles(tally: &Tally) -> String {
    format!("{}/{}", tally.false_positive, tally.false_positive + tally.empty)
}

fn of_median(statistic: &Statistic) -> Interval {
    Interval { low: statistic.median_low, high: statistic.median_high }
}

/// An interval, or a dash where there is none.
fn range(interval: Interval, digits: usize) -> String {
    if interval.low.is_nan() {
        return "–".into();
    }
    format!("{} to {}", number(interval.low, digits), number(interval.high, digits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sonoseg_imaging::geometry::{Needle, Point};
    use sonoseg_imaging::metrics::needle::{NeedleError, NeedleScores};
    use sonoseg_imaging::metrics::overlap::{Counts, OverlapIntervals};

    fn figures(tip_x: f64) -> Figures {
        let needle = |x| Needle { entry: Point { x: 0.0, y: 0.0 }, tip: Point { x, y: 40.0 } };
        let mut needles = NeedleScores::default();
        for group in ["p1", "p2"] {
            needles.push(group, NeedleError::new(Some(&needle(tip_x)), Some(&needle(40.0)), None), 10);
        }
        needles.push("p2", NeedleError::new(None, None, None), 0);
        let counts = Counts { tp: 3, fp: 1, fn_: 0, tn: 6 };
        let empty = Counts { tn: 10, ..Counts::default() };
        let groups = [("p1", vec![counts]), ("p2", vec![counts, empty])];
        Figures {
            overlap: OverlapSummary::new(&[counts, counts, empty]),
            overlap_intervals: OverlapIntervals::new(&groups.clone().map(|(_, counts)| counts), 0),
            overlap_groups: groups.into_iter().map(|(name, c)| (name.to_owned(), OverlapSummary::new(&c))).collect(),
            needle: needles.summary(0),
        }
    }

    #[test]
    fn undefined_values_are_dashes_with_a_count_and_millimetres_need_a_scale() {
        let table = headline(&figures(42.0), &figures(50.0));
        let row = |start: &str| table.rows.iter().find(|row| row[0].starts_with(start)).unwrap().join("|");
        assert_eq!(row("IoU, pooled"), "IoU, pooled|0.750|0.750 to 0.750|0.750|0.750 to 0.750|");
        assert!(row("IoU, mean of the frames with").ends_with("|1"));
        assert!(row("Tip error, px").contains("|2.00|2.00 to 2.00|10.00|10.00 to 10.00|0"));
        assert!(row("Share of needle-free").contains("|0.000|–|0.000|–|"), "one procedure has no interval");
        assert!(table.rows.iter().all(|row| row.len() == table.columns.len() && !row[0].contains("mm")));
    }

    #[test]
    fn every_procedure_has_a_row_and_the_last_are_for_all() {
        let table = by_procedure(&figures(42.0));
        let names: Vec<&str> = table.rows.iter().map(|row| row[0].as_str()).collect();
        assert_eq!(names, ["p1", "p2", "all", "95 % from", "95 % to"]);
        assert_eq!(table.rows[1][1..7], ["2", "0.750", "0.857", "0.750", "1.000", "2.00"].map(str::to_owned));
        assert_eq!(table.rows[2][11..], ["0/2".to_owned(), "0/1".to_owned()]);
        assert_eq!(table.rows[4][2..7], ["0.750", "0.857", "0.750", "1.000", "2.00"].map(str::to_owned));
        assert!(table.rows.iter().all(|row| row.len() == table.columns.len()));
    }

    #[test]
    fn one_difficulty_needs_no_table() {
        let sets = |names: &[&'static str]| names.iter().map(|&name| (name, figures(42.0))).collect::<BTreeMap<_, _>>();
        assert!(by_difficulty(&sets(&[ALL, "hard"]), &sets(&[ALL, "hard"])).is_none());
        let table = by_difficulty(&sets(&[ALL, "hard", "simple"]), &sets(&[ALL, "hard", "simple"])).unwrap();
        assert_eq!((table.rows.len(), table.rows[0].len()), (4, table.columns.len()));
    }
}
