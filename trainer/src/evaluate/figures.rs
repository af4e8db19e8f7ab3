//! Figures of an evaluation as tables: model beside baseline, by set of frames, by procedure.

use std::collections::BTreeMap;

use sonoseg_imaging::evaluate::calibration::{RIGHT_MM, RIGHT_PX, Reliability};
use sonoseg_imaging::evaluate::{Figure, Figures};
use sonoseg_imaging::metrics::bootstrap::Interval;

use super::by::Sorted;
use super::measure::ALL;
use crate::table::{Table, number};

/// Every figure of all frames, the model beside the baseline. Those that take a scale are left out where none is known.
pub(crate) fn headline(model: &Figures, baseline: &Figures) -> Table {
    let mut table = Table::new(&["", "model", "95 % interval", "baseline", "95 % interval", "undefined"], 1);
    for figure in &model.figures {
        let other = baseline.get(&figure.metric.name);
        let both = [Some(figure), other];
        if figure.scaled && both.iter().flatten().all(|figure| figure.value.is_nan()) {
            continue;
        }
        let mut row = vec![figure.metric.label.clone().into_owned()];
        for figure in both {
            row.push(figure.map_or_else(String::new, written));
            row.push(figure.and_then(|figure| Some(range(figure.interval?, figure.metric.digits))).unwrap_or_default());
        }
        row.push(match both.map(|figure| figure?.undefined) {
            [Some(model), Some(baseline)] if model != baseline => format!("{model}; baseline {baseline}"),
            [Some(both), _] => both.to_string(),
            _ => String::new(),
        });
        table.rows.push(row);
    }
    table
}

/// The main figures by difficulty; `None` when there is only one.
pub(crate) fn by_difficulty(model: &BTreeMap<&str, Figures>, baseline: &BTreeMap<&str, Figures>) -> Option<Table> {
    let sets: Vec<&str> = model.keys().copied().filter(|&set| set != ALL).collect();
    (sets.len() > 1).then(|| by_set(&sets, model, baseline))
}

/// The main figures of some sets of frames.
pub(crate) fn by_set(sets: &[&str], model: &BTreeMap<&str, Figures>, baseline: &BTreeMap<&str, Figures>) -> Table {
    let rows = sets.iter().map(|&set| (set, model.get(set), baseline.get(set)));
    few("set", &rows.collect::<Vec<_>>())
}

/// The main figures of every bin, with the number of its frames.
pub(crate) fn by_bin(sorted: &Sorted) -> Table {
    let rows = sorted.bins.iter().map(|one| (one.bin.name.as_str(), Some(&one.model), Some(&one.baseline)));
    few(&sorted.name, &rows.collect::<Vec<_>>())
}

/// The main figures of both methods in rows, under a head for the first column.
fn few(head: &str, rows: &[(&str, Option<&Figures>, Option<&Figures>)]) -> Table {
    let first = rows.first().and_then(|(_, model, _)| *model);
    let chosen: Vec<&Figure> =
        first.iter().flat_map(|figures| &figures.figures).filter(|figure| figure.by_set).collect();
    let mut columns = vec![head, "method", "frames"];
    columns.extend(chosen.iter().map(|figure| &*figure.short));
    let mut table = Table::new(&columns, 2);
    for &(name, model, baseline) in rows {
        for (method, figures) in [("model", model), ("baseline", baseline)] {
            let Some(figures) = figures else { continue };
            let mut row = vec![name.to_owned(), method.to_owned(), figures.overlap.frames.to_string()];
            row.extend(chosen.iter().map(|figure| figures.get(&figure.metric.name).map_or_else(String::new, counted)));
            table.rows.push(row);
        }
    }
    table
}

/// How honest confidences are, by bin of confidence; bins without any needle are left out.
pub(crate) fn reliability(reliability: &Reliability) -> Table {
    let mut table = Table::new(&["confidence", "needles", "mean confidence", "right"], 1);
    for bin in reliability.bins.iter().filter(|bin| bin.calls > 0) {
        let (said, right) = (number(bin.confidence, 3), number(bin.share_right, 3));
        table.rows.push(vec![format!("{} to {}", bin.from, bin.to), bin.calls.to_string(), said, right]);
    }
    table
}

/// The same in a sentence.
pub(crate) fn honesty(reliability: &Reliability) -> String {
    let Reliability { calls, right, expected_error, maximum_error, .. } = reliability;
    format!(
        "Confidence: of {calls} needles called {right} are right (a needle is there, and its tip within {RIGHT_MM} mm, or \
         {RIGHT_PX} px of 224 where no scale is known); expected calibration error {}, largest {}.",
        number(*expected_error, 3),
        number(*maximum_error, 3)
    )
}

/// The model's figures by procedure, all of them together, and how sure that is.
pub(crate) fn by_procedure(model: &Figures) -> Table {
    let chosen: Vec<&Figure> = model.figures.iter().filter(|figure| figure.by_group).collect();
    let mut columns = vec!["procedure", "frames"];
    columns.extend(chosen.iter().map(|figure| &*figure.short));
    let mut table = Table::new(&columns, 1);
    let row = |name: &str, frames: String, cell: &dyn Fn(&Figure) -> String| {
        [name.to_owned(), frames].into_iter().chain(chosen.iter().map(|figure| cell(figure))).collect()
    };
    for (name, figures) in &model.groups {
        let of_group = |figure: &Figure| {
            let found = figures.iter().find(|other| other.metric.name == figure.metric.name);
            found.map_or_else(String::new, counted)
        };
        let frames = model.overlap_groups.get(name).map_or_else(String::new, |group| group.frames.to_string());
        table.rows.push(row(name, frames, &of_group));
    }
    table.rows.push(row("all", model.overlap.frames.to_string(), &counted));
    for (name, end) in [("95 % from", (|i| i.low) as fn(Interval) -> f64), ("95 % to", |i| i.high)] {
        let bound = |figure: &Figure| {
            figure.interval.map_or_else(String::new, |interval| number(end(interval), figure.metric.digits))
        };
        table.rows.push(row(name, String::new(), &bound));
    }
    table
}

fn written(figure: &Figure) -> String {
    number(figure.value, figure.metric.digits)
}

/// As a count where it is one, for tables of few frames.
fn counted(figure: &Figure) -> String {
    figure.counts.map_or_else(|| written(figure), |[some, all]| format!("{some}/{all}"))
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
    use sonoseg_imaging::evaluate::Score;
    use sonoseg_imaging::geometry::{Needle, Point};
    use sonoseg_imaging::metrics::measure::Measures;
    use sonoseg_imaging::metrics::needle::NeedleError;
    use sonoseg_imaging::metrics::overlap::Counts;

    fn figures(tip_x: f64) -> Figures {
        let needle = |x| Needle { entry: Point { x: 0.0, y: 0.0 }, tip: Point { x, y: 40.0 } };
        let score = |found: Option<Needle>, truth: Option<Needle>, counts| Score {
            needle: found,
            counts,
            error: Some(NeedleError::new(found.as_ref(), truth.as_ref(), None)),
            confidence: 0.0,
            shape: Measures::default(),
        };
        let seen = score(Some(needle(tip_x)), Some(needle(40.0)), Counts { tp: 3, fp: 1, fn_: 0, tn: 6 });
        let empty = score(None, None, Counts { tn: 10, ..Counts::default() });
        Figures::new(&[("p1", &seen), ("p2", &seen), ("p2", &empty)])
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
        let cell = |row: usize, column: &str| {
            let at = table.columns.iter().position(|name| name == column).unwrap();
            table.rows[row][at].clone()
        };
        let cells = |row: usize| ["IoU", "Dice", "precision", "recall", "tip px"].map(|column| cell(row, column));
        assert_eq!(
            (cell(1, "frames"), cells(1)),
            ("2".into(), ["0.750", "0.857", "0.750", "1.000", "2.00"].map(str::to_owned))
        );
        assert_eq!((cell(2, "missed"), cell(2, "false needles")), ("0/2".into(), "0/1".into()));
        assert_eq!(cells(4), ["0.750", "0.857", "0.750", "1.000", "2.00"].map(str::to_owned));
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
