//! `sonoseg inspect --embed`: how networks see the frames of data sets, as maps, and in numbers that a map cannot show.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;
use sonoseg_core::inference::Predictor;
use sonoseg_imaging::DataError;
use sonoseg_imaging::dataset::meta::Meta;
use sonoseg_imaging::dataset::sample::{Sample, Target};
use sonoseg_imaging::geometry::{Image, Mask};
use sonoseg_imaging::metrics::cka::linear_cka;
use sonoseg_imaging::metrics::purity::purity;

use super::map;
use crate::args::{Colour, Inspect};
use crate::device;
use crate::files;
use crate::folder::Folder;
use crate::plot::{Map, draw_maps};
use crate::table::number;
use crate::terminal::{bar, say};

/// Neighbours of which purity is the share.
const NEIGHBOURS: usize = 10;
/// The same seed for all maps.
const SEED: u64 = 0;

/// Why maps are not compared by eye.
const NOTE: &str = "Distances between two maps, and within one between far groups, say nothing: t-SNE keeps who is whose \
                    neighbour, and turns, stretches and tears all else; purity and CKA compare the features themselves.";

/// A frame that was looked at.
struct Point {
    data: usize,
    id: String,
    group: String,
    label: String,
}

/// Features of each frame, `[frames]`, each `[features]`.
type Features = Vec<Vec<f32>>;

/// A network and what it saw.
struct Seen {
    name: String,
    file: String,
    features: Features,
}

#[derive(Serialize)]
struct Account {
    frames: usize,
    seed: u64,
    note: &'static str,
    models: Vec<ModelAccount>,
    /// Linear CKA of every two networks on the same frames.
    cka: Vec<Alike>,
}

#[derive(Serialize)]
struct ModelAccount {
    name: String,
    file: String,
    features: usize,
    purity: Vec<PurityAccount>,
}

#[derive(Serialize)]
struct PurityAccount {
    by: &'static str,
    neighbours: usize,
    purity: f64,
    chance: f64,
    points: usize,
}

#[derive(Serialize)]
struct Alike {
    a: String,
    b: String,
    cka: f64,
}

pub(super) fn run(verb: &Inspect) -> Result<()> {
    let device = device::choose(verb.device)?.device;
    let files: Vec<&PathBuf> = std::iter::once(&verb.model).chain(&verb.against).collect();
    let predictors: Vec<Predictor> =
        files.iter().map(|file| files::load_model(file, &device)).collect::<Result<_>>()?;
    let window = predictors.iter().map(Predictor::window).max().unwrap_or(1);
    let folders: Vec<Folder> = verb.embed.iter().map(|root| Folder::open(root, window)).collect::<Result<_>>()?;
    let (points, features) = look(verb, &folders, &predictors)?;
    let seen: Vec<Seen> = (files.iter().zip(features).enumerate())
        .map(|(number, (file, features))| Seen { name: named(&files, number), file: files::absolute(file), features })
        .collect();

    let data: Vec<usize> = points.iter().map(|point| point.data).collect();
    let (labels, names) = numbered(points.iter().map(|point| point.label.clone()));
    let (groups, group_names) = numbered(points.iter().map(|point| point.group.clone()));
    let models = seen.iter().map(|seen| account(seen, &labels, &data, &groups, folders.len())).collect();
    let pairs = (0..seen.len()).flat_map(|b| (0..b).map(move |a| (a, b)));
    let cka = pairs
        .map(|(a, b)| Alike {
            a: seen[a].name.clone(),
            b: seen[b].name.clone(),
            cka: linear_cka(&seen[a].features, &seen[b].features),
        })
        .collect();
    let account = Account { frames: points.len(), seed: SEED, note: NOTE, models, cka };

    let colours = match verb.colour.unwrap_or(if folders.len() > 1 { Colour::Data } else { Colour::Label }) {
        Colour::Label => (labels, names),
        Colour::Data => (data, verb.embed.iter().map(|root| files::absolute(root)).collect()),
        Colour::Procedure => (groups, group_names),
    };
    let places: Vec<Vec<[f64; 2]>> =
        seen.iter().map(|seen| map::places(&seen.features, SEED)).collect::<Result<_>>()?;
    let mut maps: Vec<Map> = (seen.iter().zip(&places).zip(&account.models))
        .map(|((seen, places), account)| one_map(&seen.name, below(account), places, &colours))
        .collect();
    maps.extend(joint(&seen)?);
    let title = "Maps of the frames by the features of networks";
    files::write(&verb.out.join("map.svg"), draw_maps(title, &maps).as_bytes())?;
    files::write(&verb.out.join("points.csv"), &table(verb, &points, &seen, &places)?)?;
    files::write(&verb.out.join("embedding.json"), serde_json::to_string_pretty(&account)?.as_bytes())?;
    let text = told(&account);
    files::write(&verb.out.join("embedding.txt"), text.as_bytes())?;
    text.lines().for_each(say);
    say(format!("map.svg, points.csv, embedding.json and embedding.txt in {}", verb.out.display()));
    Ok(())
}

/// The frames of all data sets, evenly chosen, and the features that each network has of each.
fn look(verb: &Inspect, folders: &[Folder], predictors: &[Predictor]) -> Result<(Vec<Point>, Vec<Features>)> {
    let samples: Vec<(usize, usize)> =
        folders.iter().enumerate().flat_map(|(data, folder)| (0..folder.len()).map(move |at| (data, at))).collect();
    let taken = samples.len().min(verb.frames);
    if taken < map::LEAST {
        let names: Vec<String> = verb.embed.iter().map(|root| files::absolute(root)).collect();
        let message = format!(
            "{}: {taken} frames make no map: at least {} are needed, by the data and by --frames",
            names.join(", "),
            map::LEAST
        );
        return Err(DataError::Inconsistent(message).into());
    }
    let progress = bar(taken as u64, "looking");
    let mut points = Vec::with_capacity(taken);
    let mut features = vec![Vec::with_capacity(taken); predictors.len()];
    for at in 0..taken {
        let (data, index) = samples[at * samples.len() / taken];
        let folder = &folders[data];
        let sample = folder.sample(index)?;
        for (predictor, features) in predictors.iter().zip(&mut features) {
            // Networks with a shorter window look at its middle.
            let from = (sample.frames.len() - predictor.window()) / 2;
            let frames: Vec<&Image> = sample.frames[from..from + predictor.window()].iter().collect();
            features.push(pollster::block_on(predictor.forward(&predictor.prepare(&frames)))?.features);
        }
        points.push(Point {
            data,
            id: sample.id.clone(),
            group: format!("{}/{}", verb.embed[data].display(), sample.group),
            label: label(&sample, &folder.procedure(index).meta),
        });
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok((points, features))
}

/// What the label of the middle frame says, in a word or two.
fn label(sample: &Sample, meta: &Meta) -> String {
    let name = |class: u8| meta.classes.get(usize::from(class)).cloned().unwrap_or_else(|| format!("class {class}"));
    match sample.targets.get(sample.targets.len() / 2) {
        None | Some(Target::Unknown) => "no label".into(),
        Some(Target::Needle(Some(_))) => "needle".into(),
        Some(Target::Needle(None)) => "no needle".into(),
        Some(Target::Class(class)) => name(*class),
        Some(Target::Mask(mask)) => {
            let mut classes: Vec<u8> = mask.classes.iter().copied().filter(|&class| Mask::shows(class)).collect();
            classes.sort_unstable();
            classes.dedup();
            let names: Vec<String> = classes.into_iter().map(name).collect();
            if names.is_empty() { "nothing marked".into() } else { names.join(" + ") }
        }
        Some(other) if other.shows_something() => other.what().into(),
        Some(_) => "nothing marked".into(),
    }
}

/// A number for each name, in the order of the names, and the names.
fn numbered(names: impl Iterator<Item = String>) -> (Vec<usize>, Vec<String>) {
    let names: Vec<String> = names.collect();
    let mut known: BTreeMap<String, usize> = names.iter().map(|name| (name.clone(), 0)).collect();
    known.values_mut().enumerate().for_each(|(at, number)| *number = at);
    (names.iter().map(|name| known[name]).collect(), known.into_keys().collect())
}

/// The name of a model among others: that of its file or folder, with its number where others are called so, too.
fn named(files: &[&PathBuf], number: usize) -> String {
    let name = |file: &Path| file.file_stem().unwrap_or(file.as_os_str()).to_string_lossy().into_owned();
    let own = name(files[number]);
    let alike = files.iter().filter(|file| name(file) == own).count();
    if alike > 1 { format!("{own} ({})", number + 1) } else { own }
}

fn account(seen: &Seen, labels: &[usize], data: &[usize], groups: &[usize], sets: usize) -> ModelAccount {
    let by = |by, labels: &[usize]| {
        let found = purity(&seen.features, labels, groups, NEIGHBOURS);
        let (purity, chance, points) = (found.purity, found.chance, found.points);
        PurityAccount { by, neighbours: NEIGHBOURS, purity, chance, points }
    };
    let mut purity = vec![by("label", labels)];
    if sets > 1 {
        purity.push(by("data set", data));
    }
    let features = seen.features.first().map_or(0, Vec::len);
    ModelAccount { name: seen.name.clone(), file: seen.file.clone(), features, purity }
}

fn below(account: &ModelAccount) -> String {
    let one = |one: &PurityAccount| {
        format!("purity by {} {} (by chance {})", one.by, number(one.purity, 3), number(one.chance, 3))
    };
    account.purity.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn one_map(title: &str, below: String, places: &[[f64; 2]], (labels, names): &(Vec<usize>, Vec<String>)) -> Map {
    let points = places.iter().copied().zip(labels.iter().copied()).collect();
    Map { title: title.to_owned(), below, labels: names.clone(), points }
}

/// All networks in one map, as Tang 2023 has them (figure 7), where their features can be put side by side.
fn joint(seen: &[Seen]) -> Result<Option<Map>> {
    let width = |seen: &Seen| seen.features[0].len();
    if seen.len() < 2 || seen.iter().any(|one| width(one) != width(&seen[0])) {
        return Ok(None);
    }
    let all: Features = seen.iter().flat_map(|seen| seen.features.iter().cloned()).collect();
    let labels = seen.iter().enumerate().flat_map(|(number, seen)| seen.features.iter().map(move |_| number)).collect();
    let names = seen.iter().map(|seen| seen.name.clone()).collect();
    let below = "apart even where both see the same: their features have no axis in common".to_owned();
    Ok(Some(one_map("in one map", below, &map::places(&all, SEED)?, &(labels, names))))
}

fn table(verb: &Inspect, points: &[Point], seen: &[Seen], places: &[Vec<[f64; 2]>]) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["model", "data", "frame", "label", "x", "y"])?;
    for (seen, places) in seen.iter().zip(places) {
        for (point, [x, y]) in points.iter().zip(places) {
            let data = verb.embed[point.data].display().to_string();
            let [x, y] = [x, y].map(|one| format!("{one:.6}"));
            writer.write_record([&*seen.name, &*data, &*point.id, &*point.label, &*x, &*y])?;
        }
    }
    writer.into_inner().context("writing points.csv")
}

fn told(account: &Account) -> String {
    let mut text = format!("{} frames, {} nearest neighbours of other procedures\n", account.frames, NEIGHBOURS);
    for model in &account.models {
        // A string takes all that is written to it.
        let _ = writeln!(text, "{}: {} features, {}", model.name, model.features, below(model));
    }
    for Alike { a, b, cka } in &account.cka {
        let _ = writeln!(text, "{a} and {b}: linear CKA {} (1: the same but for a rotation)", number(*cka, 3));
    }
    text + NOTE + "\nNot for clinical use.\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_told_in_words() {
        let meta = Meta { classes: ["background", "recess"].map(str::to_owned).to_vec(), ..Meta::default() };
        let of = |target: Target| {
            label(&Sample { id: "a".into(), group: "a".into(), frames: vec![], targets: vec![target] }, &meta)
        };
        let mask = |classes: &[u8]| Target::Mask(Mask { height: 1, width: classes.len(), classes: classes.to_vec() });
        assert_eq!(of(mask(&[0, 1, 2, 1, 255])), "recess + class 2");
        assert_eq!([of(mask(&[0, 255])), of(Target::Needle(None))], ["nothing marked", "no needle"]);
        assert_eq!([of(Target::Class(1)), of(Target::Unknown)], ["recess", "no label"]);
        let (numbers, names) = numbered(["b", "a", "b"].map(str::to_owned).into_iter());
        assert_eq!((numbers, names), (vec![1, 0, 1], vec!["a".to_owned(), "b".to_owned()]));
        let [a, b] = ["runs/a", "other/a"].map(PathBuf::from);
        assert_eq!([named(&[&a, &b], 1), named(&[&a], 0)], ["a (2)", "a"]);
    }
}
