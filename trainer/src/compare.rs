//! `sonoseg compare`: several runs side by side: where their recipes differ, and what came of it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use burn::tensor::Device;
use sonoseg_imaging::metrics::measure::Metric;
use sonoseg_imaging::metrics::{known, order};

use crate::args::Compare;
use crate::files;
use crate::plot::{self, Panel, Series, Stroke, Values};
use crate::report::curves::by_epoch;
use crate::report::document::{Block, Document};
use crate::report::history::{History, LOSS};
use crate::report::markdown;
use crate::report::origins::leaves;
use crate::report::run_folder::RunFolder;
use crate::table::{Table, duration, number};
use crate::terminal::say;

pub(crate) fn run(verb: &Compare) -> Result<()> {
    let runs = verb.runs.iter().map(|path| RunFolder::open(path)).collect::<Result<Vec<_>>>()?;
    let entries = entries(&runs);
    say(table(&entries).to_text());
    let remarks = remarks(&runs);
    remarks.iter().for_each(say);
    let Some(out) = &verb.out else {
        say("with --out DIR: compare.md, compare.csv and compare.svg, with the curves over each other");
        return Ok(());
    };
    let mut blocks = vec![Block::Table(table(&entries))];
    blocks.extend(remarks.into_iter().map(Block::Text));
    if let Some(svg) = curves(&runs)? {
        files::write(&out.join("compare.svg"), svg.as_bytes())?;
        blocks.push(Block::Plot { file: "compare.svg".into(), alt: "Curves of the runs".into(), svg });
    }
    let document = Document { title: "Runs side by side".into(), blocks };
    files::write(&out.join("compare.md"), markdown::write(&document).as_bytes())?;
    files::write(&out.join("compare.csv"), &rows(&entries)?)?;
    say(format!("written: compare.md, compare.csv and the curves in {}", out.display()));
    Ok(())
}

/// One run: its name, the values in which it differs, and figures under their names.
struct Entry {
    name: String,
    differing: Vec<(String, String)>,
    figures: Vec<(String, String)>,
}

fn entries(runs: &[RunFolder]) -> Vec<Entry> {
    let recipes: Vec<BTreeMap<String, String>> = runs
        .iter()
        .map(|run| leaves(&run.recipe).into_iter().map(|(key, value)| (key, value.to_string())).collect())
        .collect();
    let keys: BTreeSet<&String> = recipes.iter().flat_map(BTreeMap::keys).collect();
    let differs = |key: &&&String| recipes.iter().any(|recipe| recipe.get(**key) != recipes[0].get(**key));
    let keys: Vec<&String> = keys.iter().filter(differs).copied().collect();
    let value = |recipe: &BTreeMap<String, String>, key: &String| recipe.get(key).map_or("–", |v| v).to_owned();
    let device = Device::flex();
    let scores = scores(runs);
    let each = runs.iter().zip(names(runs)).zip(&recipes);
    each.map(|((run, name), recipe)| Entry {
        name,
        differing: keys.iter().map(|&key| (key.clone(), value(recipe, key))).collect(),
        figures: figures(run, &scores, &device),
    })
    .collect()
}

/// The folders' own names, with as many of those above them as it takes to tell them apart.
fn names(runs: &[RunFolder]) -> Vec<String> {
    let parts: Vec<Vec<String>> = runs
        .iter()
        .map(|run| {
            let path = std::path::absolute(&run.path).unwrap_or_else(|_| run.path.clone());
            path.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect()
        })
        .collect();
    let longest = parts.iter().map(Vec::len).max().unwrap_or(1);
    let name = |parts: &Vec<String>, count: usize| parts[parts.len().saturating_sub(count)..].join("/");
    let distinct = |count: &usize| {
        let names: BTreeSet<String> = parts.iter().map(|parts| name(parts, *count)).collect();
        names.len() == parts.len()
    };
    let count = (1..=longest).find(distinct).unwrap_or(1);
    parts.iter().map(|parts| name(parts, count)).collect()
}

/// The metrics that any of the runs measured, without the loss.
fn scores(runs: &[RunFolder]) -> Vec<Metric> {
    let mut scores: Vec<Metric> = Vec::new();
    for metric in runs.iter().flat_map(|run| run.history.scores()) {
        if !scores.contains(&metric) {
            scores.push(metric);
        }
    }
    scores.sort_by_key(|metric| order(&metric.name));
    scores
}

fn figures(run: &RunFolder, scores: &[Metric], device: &Device) -> Vec<(String, String)> {
    let History { epochs, seconds, .. } = &run.history;
    let best = run.history.best();
    // A run that makes weights for others has no predictor; what cannot be read is not known.
    let parameters = run.weights().and_then(|path| files::load_model(&path, device));
    let mut figures = vec![
        ("epochs".to_owned(), epochs.len().to_string()),
        ("best epoch".into(), best.map_or_else(|| "–".into(), |epoch| (epoch.epoch + 1).to_string())),
        ("lowest val loss".into(), number(run.history.lowest_val_loss(), 4)),
    ];
    figures.extend(scores.iter().map(|metric| {
        let value = best.map_or(f64::NAN, |epoch| epoch.value(&metric.name));
        (format!("{} at best", metric.label), number(value, metric.digits))
    }));
    figures.push(("training time".into(), duration(*seconds)));
    let count = parameters.map_or_else(|_| "–".into(), |predictor| predictor.summary().parameters.to_string());
    figures.push(("parameters".into(), count));
    figures
}

/// A column per run: recipes have more keys than people compare runs.
fn table(entries: &[Entry]) -> Table {
    let mut table = Table { columns: vec![String::new()], words: 1, rows: Vec::new() };
    table.columns.extend(entries.iter().map(|entry| entry.name.clone()));
    let Some(first) = entries.first() else { return table };
    for (index, (key, _)) in first.differing.iter().enumerate() {
        table.rows.push(std::iter::once(key).chain(entries.iter().map(|e| &e.differing[index].1)).cloned().collect());
    }
    for (index, (name, _)) in first.figures.iter().enumerate() {
        let values = entries.iter().map(|entry| entry.figures[index].1.clone());
        table.rows.push(std::iter::once(name.clone()).chain(values).collect());
    }
    table
}

/// A row per run, for programs.
fn rows(entries: &[Entry]) -> Result<Vec<u8>> {
    let table = table(entries);
    let mut writer = csv::Writer::from_writer(Vec::new());
    for (column, name) in table.columns.iter().enumerate() {
        let head = if column == 0 { "run" } else { name };
        let blank = |cell: &str| if cell == "–" { String::new() } else { cell.to_owned() };
        writer
            .write_record(std::iter::once(head.to_owned()).chain(table.rows.iter().map(|row| blank(&row[column]))))?;
    }
    Ok(writer.into_inner()?)
}

/// What the reader must know before believing a difference.
fn remarks(runs: &[RunFolder]) -> Vec<String> {
    let mut remarks =
        vec!["Figures of the held-out procedures, pooled over their frames. Not for clinical use.".into()];
    let measured = |run: &RunFolder| (run.split.val.clone(), run.split.stretches.clone(), run.data(None).ok());
    if runs.iter().any(|run| measured(run) != measured(&runs[0])) {
        let remark = "The runs were not measured on the same frames of the same data: a difference may come from that.";
        remarks.push(remark.into());
    }
    remarks
}

/// Held-out loss and scores of all runs over each other.
fn curves(runs: &[RunFolder]) -> Result<Option<String>> {
    let names = names(runs);
    let panel = |metric: &Metric| {
        let each = runs.iter().zip(&names).enumerate();
        let series = each.map(|(hue, (run, name))| {
            let points = by_epoch(&run.history, &metric.name);
            Series { name: name.clone(), hue, stroke: Stroke::Line, points }
        });
        let title = format!("Held-out {}, pooled", metric.label);
        Panel { title, values: Values::of(metric), series: series.collect() }
    };
    let panels: Vec<Panel> = std::iter::once(known(LOSS)).chain(scores(runs)).map(|metric| panel(&metric)).collect();
    plot::draw("Curves of the runs: held-out loss and scores over epochs", &panels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(path: &str, recipe: &str, iou: &str) -> RunFolder {
        let line = format!("{{\"epoch\":0,\"train_loss\":1.0,\"val_loss\":0.5{iou},\"seconds\":71.0}}\n");
        RunFolder {
            path: path.into(),
            recipe: recipe.parse().unwrap(),
            history: History::parse(line.as_bytes()),
            origins: BTreeMap::new(),
            environment: serde_json::Map::new(),
            split: Default::default(),
        }
    }

    fn two() -> [RunFolder; 2] {
        [
            run("runs/a", "seed = 1\n[train]\nepochs = 3\nbatch = 8", ",\"val_iou\":0.25"),
            run("runs/b", "seed = 1\n[train]\nepochs = 4\nbatch = 8\nsteps = 9", ""),
        ]
    }

    #[test]
    fn only_what_differs_is_shown_and_what_is_unknown_is_a_dash() {
        let table = table(&entries(&two()));
        assert_eq!(table.columns, ["", "a", "b"]);
        let text: Vec<String> = table.rows.iter().map(|row| row.join("|")).collect();
        assert_eq!(text[..2], ["train.epochs|3|4", "train.steps|–|9"]);
        for row in ["best epoch|1|1", "lowest val loss|0.5000|0.5000", "IoU at best|0.2500|–", "parameters|–|–"] {
            assert!(text.iter().any(|line| line == row), "{row} is not in {text:?}");
        }
        let csv = String::from_utf8(rows(&entries(&two())).unwrap()).unwrap();
        assert!(
            csv.starts_with("run,train.epochs,train.steps,epochs,best epoch,") && csv.contains("\na,3,,1,1,0.5000,")
        );
    }

    #[test]
    fn equal_names_are_told_apart_and_other_data_are_remarked() {
        let mut runs = two();
        assert_eq!(remarks(&runs).len(), 1);
        runs[0].path = "x/run".into();
        runs[1].path = "y/run".into();
        runs[1].split.val.insert("p9".into());
        assert_eq!((names(&runs), remarks(&runs).len()), (vec!["x/run".to_owned(), "y/run".to_owned()], 2));
        let svg = curves(&runs).unwrap().unwrap();
        assert!(svg.contains("x/run") && svg.contains("Held-out loss"));
    }
}
