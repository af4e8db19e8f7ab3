//! The report of a cross-validation: means over folds with their spread, a figure over the blocks that learn,
//! and answers side by side.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use burn::tensor::Device;
use sonoseg_core::models::unet::layer_set::{Direction, LayerSet};
use sonoseg_imaging::dataset::sample::Source;
use sonoseg_imaging::metrics::folds::{FoldFigures, FoldSummary};
use sonoseg_imaging::metrics::overlap::{Counts, mean_defined};

use super::done::{BASELINE, Done, Frames, csv};
use super::plan::{Folds, Picture, Place, Planned};
use crate::files;
use crate::folder::Folder;
use crate::report::document::Block;
use crate::report::plot::{self, Panel, Series, Stroke, Values};
use crate::report::worst::{ONE_OF_MANY, Tile, draw_sample, sheet};
use crate::table::{Table, duration, number};

/// A row: the runs that differ in their fold only.
struct Row<'a> {
    name: &'a str,
    /// By fold.
    runs: BTreeMap<&'a str, &'a Done<'a>>,
}

impl Row<'_> {
    /// Of the frames that `of` picks from every run: those of the network, or those of the baseline.
    fn figures(&self, of: for<'d> fn(&'d Done<'_>) -> &'d Frames) -> FoldFigures {
        let fold = |run: &&Done<'_>| of(run).values().copied().collect();
        FoldFigures::new(&self.runs.values().map(fold).collect::<Vec<_>>())
    }

    /// Mean Dice over the images of every fold.
    fn dice(&self) -> BTreeMap<&str, f64> {
        let mean = |run: &Done<'_>| mean_defined(run.frames.values().map(Counts::dice_one));
        self.runs.iter().map(|(&fold, run)| (fold, mean(run))).collect()
    }

    fn blocks(&self) -> Option<(&'static [Direction], usize)> {
        self.name.parse::<LayerSet>().ok()?.blocks()
    }
}

/// The table, the figures, and what they say. Pictures are written into the study's folder.
pub(super) fn blocks(
    folds: &Folds,
    shown: Option<&Picture>,
    done: &[Done<'_>],
    planned: &[Planned],
    place: &Place<'_>,
) -> Result<Vec<Block>> {
    let rows = rows(folds, done);
    let mut blocks = vec![Block::Heading("Over the folds".into())];
    blocks.push(Block::Text(
        "Means over the images of a fold, then over the folds; SD is the deviation between folds, SEM that of their mean. An \
         empty prediction on an empty mask has the Dice coefficient 1. Published: the paper's own data, with a spread of \
         which it does not say which one it is."
            .into(),
    ));
    let table = table(folds.published.get(place.scale), &rows);
    files::write(&place.out.join("table.csv"), &csv(&table)?)?;
    blocks.push(Block::Table(table));
    if let Some(svg) = figure(&rows)? {
        let Picture { heading, file } = &folds.blocks;
        files::write(&place.out.join(file), svg.as_bytes())?;
        blocks.push(Block::Heading(heading.clone()));
        blocks.push(Block::Text("Bars: the mean over folds plus and minus its standard error.".into()));
        let alt = "Dice coefficient over the number of blocks that learn, from either end".into();
        blocks.push(Block::Plot { file: file.clone(), alt, svg });
        blocks.push(Block::Text(verdict(&rows)));
        blocks.push(Block::Table(differences(&rows)));
    }
    if let Some(Picture { heading, file }) = shown
        && let Some((png, text)) = answers(folds, &rows, planned, place)?
    {
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

fn table(published: Option<&BTreeMap<String, [f64; 6]>>, rows: &[Row<'_>]) -> Table {
    let columns = [
        "layers that learn",
        "folds",
        "Dice",
        "SD",
        "SEM",
        "pixel error %",
        "SD",
        "SEM",
        "adjusted Rand",
        "SD",
        "SEM",
        "time",
        "published: Dice",
        "pixel error %",
        "adjusted Rand",
    ];
    let mut table = Table::new(&columns, 1);
    let figures = |name: &str, folds: usize, figures: FoldFigures| {
        let mut cells = vec![name.to_owned(), folds.to_string()];
        for (summary, digits) in [(figures.dice, 3), (figures.pixel_error, 2), (figures.adjusted_rand, 3)] {
            cells.extend([summary.mean, summary.sd, summary.sem].map(|value| number(value, digits)));
        }
        cells
    };
    // It says the same of every choice of layers, where all folds are done.
    if let Some(row) = rows.iter().max_by_key(|row| row.runs.len()) {
        let mut cells = figures(BASELINE, row.runs.len(), row.figures(|run| &run.baseline));
        cells.resize(columns.len(), String::new());
        table.rows.push(cells);
    }
    for row in rows {
        let mut cells = figures(row.name, row.runs.len(), row.figures(|run| &run.frames));
        cells.push(duration(row.runs.values().map(|run| run.history.seconds).sum()));
        if let Some(published) = published.and_then(|rows| rows.get(row.name)) {
            let spread =
                |spread: f64| if spread.is_nan() { String::new() } else { format!(" ± {}", number(spread, 2)) };
            cells.extend(published.chunks_exact(2).map(|pair| number(pair[0], 2) + &spread(pair[1])));
        }
        cells.resize(columns.len(), String::new());
        table.rows.push(cells);
    }
    table
}

/// Rows of one direction with the number of their blocks, in order.
fn direction<'a, 'b>(rows: &'b [Row<'a>], direction: Direction) -> Vec<(usize, &'b Row<'a>)> {
    let of_row = |row: &'b Row<'a>| row.blocks().filter(|(all, _)| all.contains(&direction)).map(|(_, n)| (n, row));
    let mut found: Vec<(usize, &Row<'a>)> = rows.iter().filter_map(of_row).collect();
    found.sort_by_key(|(blocks, _)| *blocks);
    found
}

/// Dice over the number of blocks, from both ends.
fn figure(rows: &[Row<'_>]) -> Result<Option<String>> {
    let mut series = Vec::new();
    // Side by side, so that the bars of both directions can be told apart.
    for (hue, way, name, aside) in [
        (0, Direction::Shallow, "from the image: shallow first", -0.1),
        (1, Direction::Deep, "from the masks: deep first", 0.0),
    ] {
        let summaries: Vec<(f64, FoldSummary)> = direction(rows, way)
            .into_iter()
            .map(|(blocks, row)| (blocks as f64 + aside, row.figures(|run| &run.frames).dice))
            .collect();
        let line = summaries.iter().map(|(x, dice)| (*x, dice.mean)).collect();
        let bars = summaries.iter().flat_map(|(x, dice)| [(*x, dice.mean - dice.sem), (*x, dice.mean + dice.sem)]);
        series.push(Series { name: name.into(), hue, stroke: Stroke::Line, points: line });
        series.push(Series { name: String::new(), hue, stroke: Stroke::Bars, points: bars.collect() });
    }
    let panel = Panel { title: "Dice coefficient, held-out folds".into(), values: Values::FromZero, series };
    plot::draw_over("blocks that learn", "Dice coefficient over the number of blocks that learn", &[panel])
}

/// Shallow first minus deep first with the same number of blocks, by number and fold.
fn paired(rows: &[Row<'_>]) -> BTreeMap<usize, BTreeMap<String, f64>> {
    let deep: BTreeMap<usize, &Row<'_>> = direction(rows, Direction::Deep).into_iter().collect();
    let mut paired = BTreeMap::new();
    for (blocks, shallow) in direction(rows, Direction::Shallow) {
        let Some(deep) = deep.get(&blocks).filter(|deep| deep.name != shallow.name) else { continue };
        let other = deep.dice();
        let differences = shallow.dice().into_iter();
        let differences = differences.filter_map(|(fold, dice)| Some((fold.to_owned(), dice - other.get(fold)?)));
        paired.insert(blocks, differences.collect());
    }
    paired
}

fn differences(rows: &[Row<'_>]) -> Table {
    let mut table = Table::new(&["blocks", "Dice, shallow first minus deep first", "SEM", "folds"], 0);
    for (blocks, differences) in paired(rows) {
        let summary = FoldSummary::new(&differences.into_values().collect::<Vec<_>>());
        let cells = [blocks.to_string(), number(summary.mean, 3), number(summary.sem, 3), summary.folds.to_string()];
        table.rows.push(cells.to_vec());
    }
    table
}

/// Whether shallow first is better here, in a sentence.
fn verdict(rows: &[Row<'_>]) -> String {
    let mut folds: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (fold, difference) in paired(rows).into_values().flatten() {
        folds.entry(fold).or_default().push(difference);
    }
    let means: Vec<f64> = folds.into_values().map(mean_defined).collect();
    let FoldSummary { mean, sem, folds, .. } = FoldSummary::new(&means);
    let figures = format!(
        "Dice of shallow first minus deep first, averaged over the numbers of blocks: {} with a standard error of {} over {folds} \
         folds.",
        number(mean, 3),
        number(sem, 3)
    );
    let verdict = if sem.is_nan() {
        "These are too few folds to tell."
    } else if mean.abs() <= 2.0 * sem {
        "Less than two standard errors: no direction is better here."
    } else if mean > 0.0 {
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
