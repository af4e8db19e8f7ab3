//! The report of a cross-validation: means over folds with their spread, a figure over the blocks that learn,
//! and answers side by side.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use burn::tensor::Device;
use sonoseg_core::models::layer_set::{Direction, LayerSet};
use sonoseg_imaging::dataset::sample::Source;
use sonoseg_imaging::metrics::folds::FoldSummary;
use sonoseg_imaging::metrics::measure::Metric;
use sonoseg_imaging::metrics::overlap::mean_defined;

use super::done::{BASELINE, Done, caveats, csv, figure, metrics};
use super::plan::{Folds, Picture, Place, Planned, Shown};
use crate::files;
use crate::folder::Folder;
use crate::plot::{self, Panel, Series, Stroke, Values};
use crate::report::document::Block;
use crate::report::worst::{ONE_OF_MANY, Tile, draw_sample, sheet};
use crate::table::{Table, duration, number};

/// A row: the runs that differ in their fold only.
struct Row<'a> {
    name: &'a str,
    /// By fold.
    runs: BTreeMap<&'a str, &'a Done<'a>>,
}

impl Row<'_> {
    /// A figure over the folds, of `model` or `baseline`.
    fn figure(&self, metric: &Metric, method: &str) -> FoldSummary {
        FoldSummary::new(&self.by_fold(metric, method).into_values().collect::<Vec<_>>())
    }

    /// A figure of the held-out images of every fold.
    fn by_fold(&self, metric: &Metric, method: &str) -> BTreeMap<&str, f64> {
        let value = |run: &Done<'_>| figure(&run.metrics[method]["all"], &metric.name).0;
        self.runs.iter().map(|(&fold, run)| (fold, value(run))).collect()
    }

    fn blocks(&self) -> Option<(&'static [Direction], usize)> {
        self.name.parse::<LayerSet>().ok()?.blocks()
    }
}

/// The table, the figures, and what they say. Pictures are written into the study's folder.
pub(super) fn blocks(
    folds: &Folds,
    shown: &Shown,
    done: &[Done<'_>],
    planned: &[Planned],
    place: &Place<'_>,
) -> Result<Vec<Block>> {
    let rows = rows(folds, done);
    let metrics = metrics(shown);
    let mut blocks = vec![Block::Heading("Over the folds".into())];
    blocks.extend(caveats(done));
    blocks.push(Block::Text(
        "Figures of a fold, then their mean over the folds; SD is the deviation between folds, SEM that of their mean. \
         Published: the paper's own data, with a spread of which it does not say which one it is."
            .into(),
    ));
    let table = table(folds.published.get(place.scale), &metrics, &rows);
    files::write(&place.out.join("table.csv"), &csv(&table)?)?;
    blocks.push(Block::Table(table));
    if let Some(first) = metrics.first()
        && let Some(svg) = over_blocks(&rows, first)?
    {
        let Picture { heading, file } = &folds.blocks;
        files::write(&place.out.join(file), svg.as_bytes())?;
        blocks.push(Block::Heading(heading.clone()));
        blocks.push(Block::Text("Bars: the mean over folds plus and minus its standard error.".into()));
        let alt = format!("{} over the number of blocks that learn, from either end", first.label);
        blocks.push(Block::Plot { file: file.clone(), alt, svg });
        blocks.push(Block::Text(verdict(&rows, first)));
        blocks.push(Block::Table(differences(&rows, first)));
    }
    let Picture { heading, file } = &shown.answers;
    if let Some((png, text)) = answers(folds, &rows, planned, place)? {
        files::write(&place.out.join(file), &png)?;
        blocks.push(Block::Heading(heading.clone()));
        blocks.push(Block::Text(text));
        blocks.push(Block::Picture { file: file.clone(), alt: heading.clone(), png });
    }
    Ok(blocks)
}

fn rows<'a>(folds: &Folds, done: &'a [Done<'a>]) -> Vec<Row<'a>> {
    let mut rows: Vec<Row<'a>> = Vec::new();
    for run in done {
        let cell = &run.planned.run.cell;
        let (Some(name), Some(fold)) = (cell.get(&folds.layers), cell.get(&folds.over)) else { continue };
        match rows.iter_mut().find(|row| row.name == name) {
            Some(row) => {
                row.runs.insert(fold, run);
            }
            None => rows.push(Row { name, runs: BTreeMap::from([(fold.as_str(), run)]) }),
        }
    }
    rows
}

fn table(published: Option<&BTreeMap<String, Vec<f64>>>, metrics: &[Metric], rows: &[Row<'_>]) -> Table {
    let mut table = Table::new(&["layers that learn", "folds"], 1);
    let labels = || metrics.iter().map(|metric| metric.label.clone().into_owned());
    table.columns.extend(labels().flat_map(|label| [label, "SD".into(), "SEM".into()]));
    table.columns.push("time".into());
    table.columns.extend(labels().map(|label| format!("published {label}")));
    let figures = |name: &str, row: &Row<'_>, method: &str| {
        let mut cells = vec![name.to_owned(), row.runs.len().to_string()];
        for metric in metrics {
            let FoldSummary { mean, sd, sem, .. } = row.figure(metric, method);
            cells.extend([mean, sd, sem].map(|value| number(value, metric.digits)));
        }
        cells
    };
    // It says the same of every choice of layers, where all folds are done.
    if let Some(row) = rows.iter().max_by_key(|row| row.runs.len()) {
        table.rows.push(figures(BASELINE, row, "baseline"));
    }
    for row in rows {
        let mut cells = figures(row.name, row, "model");
        cells.push(duration(row.runs.values().map(|run| run.history.seconds).sum()));
        if let Some(published) = published.and_then(|rows| rows.get(row.name)) {
            let spread =
                |spread: f64| if spread.is_nan() { String::new() } else { format!(" ± {}", number(spread, 2)) };
            cells.extend(published.chunks_exact(2).map(|pair| number(pair[0], 2) + &spread(pair[1])));
        }
        table.rows.push(cells);
    }
    table.rows.iter_mut().for_each(|row| row.resize(table.columns.len(), String::new()));
    table
}

/// Rows of one direction with the number of their blocks, in order.
fn direction<'a, 'b>(rows: &'b [Row<'a>], direction: Direction) -> Vec<(usize, &'b Row<'a>)> {
    let of_row = |row: &'b Row<'a>| row.blocks().filter(|(all, _)| all.contains(&direction)).map(|(_, n)| (n, row));
    let mut found: Vec<(usize, &Row<'a>)> = rows.iter().filter_map(of_row).collect();
    found.sort_by_key(|(blocks, _)| *blocks);
    found
}

/// A figure over the number of blocks, from both ends.
fn over_blocks(rows: &[Row<'_>], metric: &Metric) -> Result<Option<String>> {
    let mut series = Vec::new();
    // Side by side, so that the bars of both directions can be told apart.
    for (hue, way, name, aside) in [
        (0, Direction::Shallow, "from the image: shallow first", -0.1),
        (1, Direction::Deep, "from the masks: deep first", 0.0),
    ] {
        let summaries: Vec<(f64, FoldSummary)> = direction(rows, way)
            .into_iter()
            .map(|(blocks, row)| (blocks as f64 + aside, row.figure(metric, "model")))
            .collect();
        let line = summaries.iter().map(|(x, folds)| (*x, folds.mean)).collect();
        let bars = summaries.iter().flat_map(|(x, folds)| [(*x, folds.mean - folds.sem), (*x, folds.mean + folds.sem)]);
        series.push(Series { name: name.into(), hue, stroke: Stroke::Line, points: line });
        series.push(Series { name: String::new(), hue, stroke: Stroke::Bars, points: bars.collect() });
    }
    let panel = Panel { title: format!("{}, held-out folds", metric.label), values: Values::FromZero, series };
    let title = format!("{} over the number of blocks that learn", metric.label);
    plot::draw_over("blocks that learn", &title, &[panel])
}

/// Shallow first minus deep first with the same number of blocks, by number and fold.
fn paired(rows: &[Row<'_>], metric: &Metric) -> BTreeMap<usize, BTreeMap<String, f64>> {
    let deep: BTreeMap<usize, &Row<'_>> = direction(rows, Direction::Deep).into_iter().collect();
    let mut paired = BTreeMap::new();
    for (blocks, shallow) in direction(rows, Direction::Shallow) {
        let Some(deep) = deep.get(&blocks).filter(|deep| deep.name != shallow.name) else { continue };
        let other = deep.by_fold(metric, "model");
        let differences = shallow.by_fold(metric, "model").into_iter();
        let differences = differences.filter_map(|(fold, value)| Some((fold.to_owned(), value - other.get(fold)?)));
        paired.insert(blocks, differences.collect());
    }
    paired
}

fn differences(rows: &[Row<'_>], metric: &Metric) -> Table {
    let difference = format!("{}, shallow first minus deep first", metric.label);
    let mut table = Table::new(&["blocks", &difference, "SEM", "folds"], 0);
    for (blocks, differences) in paired(rows, metric) {
        let summary = FoldSummary::new(&differences.into_values().collect::<Vec<_>>());
        let cells = [
            blocks.to_string(),
            number(summary.mean, metric.digits),
            number(summary.sem, metric.digits),
            summary.folds.to_string(),
        ];
        table.rows.push(cells.to_vec());
    }
    table
}

/// Whether shallow first is better here, in a sentence.
fn verdict(rows: &[Row<'_>], metric: &Metric) -> String {
    let mut folds: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (fold, difference) in paired(rows, metric).into_values().flatten() {
        folds.entry(fold).or_default().push(difference);
    }
    let means: Vec<f64> = folds.into_values().map(mean_defined).collect();
    let FoldSummary { mean, sem, folds, .. } = FoldSummary::new(&means);
    let figures = format!(
        "{} of shallow first minus deep first, averaged over the numbers of blocks: {} with a standard error of {} over \
         {folds} folds.",
        metric.label,
        number(mean, metric.digits),
        number(sem, metric.digits)
    );
    let verdict = if sem.is_nan() {
        "These are too few folds to tell."
    } else if mean.abs() <= 2.0 * sem {
        "Less than two standard errors: no direction is better here."
    } else if metric.improves(mean, 0.0) {
        "Shallow first is better here."
    } else {
        "Deep first is better here."
    };
    format!("{figures} {verdict}")
}

/// The first held-out image of every fold with the answers of its networks, and what stands where.
fn answers(
    folds: &Folds,
    rows: &[Row<'_>],
    planned: &[Planned],
    place: &Place<'_>,
) -> Result<Option<(Vec<u8>, String)>> {
    let chosen: Vec<&Row<'_>> =
        folds.answers.iter().filter_map(|name| rows.iter().find(|row| row.name == name)).collect();
    let Some(first) = chosen.first() else { return Ok(None) };
    let start = first.runs.values().next().and_then(|run| run.planned.run.init.as_ref());
    let start = start.and_then(|name| planned.iter().find(|run| run.run.name == *name));
    let names = start.map(|run| run.run.label.clone()).into_iter();
    let names: Vec<String> = names.chain(chosen.iter().map(|row| row.name.to_owned())).collect();
    let device = Device::flex();
    let mut tiles: Vec<Tile> = Vec::new();
    for (fold, run) in &first.runs {
        let Some(id) = run.frames.keys().next() else { continue };
        // A row of pictures is whole or is not there: what stands in a column is told once.
        let Some(runs) = chosen.iter().map(|row| row.runs.get(fold)).collect::<Option<Vec<_>>>() else { continue };
        let mut row = Vec::new();
        for model in start.map(Planned::model).into_iter().chain(runs.iter().map(|run| run.planned.model())) {
            let predictor = files::load_model(&model, &device)?;
            let data = Folder::for_recipe(Path::new(place.data), &predictor.header().recipe)?;
            let Some(index) = (0..data.len()).find(|&index| data.id(index) == *id) else { break };
            row.push(draw_sample(index, &predictor, &data, ONE_OF_MANY)?);
        }
        if row.len() == names.len() {
            tiles.extend(row);
        }
    }
    if tiles.is_empty() {
        return Ok(None);
    }
    let text = format!(
        "The first held-out image of every fold. Columns from the left: {}. Outlined: the truth; tinted: the answer.",
        names.join(", ")
    );
    Ok(Some((sheet(&tiles, names.len()).png()?, text)))
}
