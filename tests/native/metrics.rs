//! Every figure of `sonoseg evaluate` against a slow and simple computation from the masks and tables that it leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use sonoseg_imaging::formats::encode::{encode_png_grey, encode_png_mask};
use sonoseg_imaging::geometry::Mask;
use sonoseg_imaging::rng::splitmix64;

use crate::workspace::{Workspace, succeeds, text};

/// Height and width of the network's input in the workspace's recipe.
const SIZE: usize = 32;

/// Half the thickness of a needle, in pixels of the network's input and of the pictures drawn here.
const RADIUS: f64 = 3.0;

/// How needles are labelled.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Labels {
    Ends,
    Masks,
}

/// A line between two points, `[x, y]`.
#[derive(Clone, Copy, Debug)]
struct Line {
    entry: [f64; 2],
    tip: [f64; 2],
}

impl Line {
    fn map(self, change: impl Fn([f64; 2]) -> [f64; 2]) -> Self {
        Self { entry: change(self.entry), tip: change(self.tip) }
    }

    fn length(self) -> f64 {
        distance(self.entry, self.tip)
    }

    /// Degrees, any direction.
    fn direction(self) -> f64 {
        (self.tip[1] - self.entry[1]).atan2(self.tip[0] - self.entry[0]).to_degrees()
    }

    /// The point of the endless line that is nearest to another, as a share of the way from entry to tip.
    fn share(self, point: [f64; 2]) -> f64 {
        let along = |to: [f64; 2]| {
            (to[0] - self.entry[0]) * (self.tip[0] - self.entry[0])
                + (to[1] - self.entry[1]) * (self.tip[1] - self.entry[1])
        };
        along(point) / along(self.tip)
    }

    fn at(self, share: f64) -> [f64; 2] {
        [0, 1].map(|axis| self.entry[axis] + share * (self.tip[axis] - self.entry[axis]))
    }

    /// Pixels within the radius, `[height, width]`.
    fn pixels(self, [height, width]: [usize; 2]) -> Vec<bool> {
        let points = (0..height * width).map(|i| [(i % width) as f64, (i / width) as f64]);
        points.map(|point| distance(point, self.at(self.share(point).clamp(0.0, 1.0))) <= RADIUS).collect()
    }
}

fn distance(a: [f64; 2], b: [f64; 2]) -> f64 {
    ((a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2)).sqrt()
}

/// A needle somewhere in a picture.
fn line(seed: u64, [height, width]: [usize; 2]) -> Line {
    let share = |index: u64| (splitmix64(seed * 4 + index) >> 11) as f64 / (1_u64 << 53) as f64;
    let (height, width) = (height as f64, width as f64);
    Line {
        entry: [width * (0.1 + 0.25 * share(0)), height * (0.1 + 0.2 * share(1))],
        tip: [width * (0.6 + 0.25 * share(2)), height * (0.5 + 0.35 * share(3))],
    }
}

/// A frame to be written: what the picture shows, and what its label says.
struct Frame {
    shown: Option<Line>,
    labelled: Option<Line>,
}

struct Procedure {
    name: &'static str,
    group: &'static str,
    difficulty: &'static str,
    extent: [usize; 2],
    /// Millimetres from column to column and from row to row.
    spacing: Option<[f64; 2]>,
    frames: Vec<Frame>,
}

impl Procedure {
    fn write(&self, data: &Path, labels: Labels) {
        let folder = data.join("procedures").join(self.name);
        for part in ["frames", "masks"] {
            fs::create_dir_all(folder.join(part)).unwrap();
        }
        let [height, width] = self.extent;
        let spacing = self.spacing.map(|[x, y]| json!({ "x_mm": x, "y_mm": y }));
        let mut meta = json!({ "group": self.group, "difficulty": self.difficulty, "spacing": spacing });
        let mut table = "frame,x1,y1,x2,y2\n".to_owned();
        for (index, frame) in self.frames.iter().enumerate() {
            let noise = (0..height * width).map(|i| (splitmix64((index * height * width + i) as u64) % 50) as u8);
            let mut picture: Vec<u8> = noise.collect();
            for at in pixels(frame.shown, self.extent) {
                picture[at] = 230;
            }
            let name = format!("{index:06}.png");
            fs::write(folder.join("frames").join(&name), encode_png_grey(height, width, &picture).unwrap()).unwrap();
            match labels {
                Labels::Ends => table += &row(index, frame.labelled),
                Labels::Masks => fs::write(folder.join("masks").join(&name), self.mask(frame)).unwrap(),
            }
        }
        match labels {
            Labels::Ends => fs::write(folder.join("labels.csv"), table).unwrap(),
            Labels::Masks => meta["classes"] = json!(["background", "bone", "vessel"]),
        }
        fs::write(folder.join("meta.json"), meta.to_string()).unwrap();
    }

    /// The needle as class 2, and something else as class 1.
    fn mask(&self, frame: &Frame) -> Vec<u8> {
        let [height, width] = self.extent;
        let mut mask = Mask::empty(height, width);
        mask.classes[(height - 3) * width..].fill(1);
        for at in pixels(frame.labelled, self.extent) {
            mask.classes[at] = 2;
        }
        encode_png_mask(&mask).unwrap()
    }

    /// What evaluation has to compare with, in pixels of the network's input.
    fn truth(&self, frame: &Frame, labels: Labels) -> (Option<Line>, Vec<bool>) {
        let [height, width] = self.extent;
        let [across, down] = [SIZE as f64 / width as f64, SIZE as f64 / height as f64];
        match labels {
            Labels::Ends => {
                let small =
                    frame.labelled.map(|line| line.map(|[x, y]| [(x + 0.5) * across - 0.5, (y + 0.5) * down - 0.5]));
                (small, small.map_or_else(|| vec![false; SIZE * SIZE], |line| line.pixels([SIZE, SIZE])))
            }
            Labels::Masks => {
                let large = frame.labelled.map(|line| line.pixels(self.extent));
                let under = |i: usize| {
                    let row = ((i / SIZE) as f64 + 0.5) / down;
                    let column = ((i % SIZE) as f64 + 0.5) / across;
                    row as usize * width + column as usize
                };
                (None, (0..SIZE * SIZE).map(|i| large.as_ref().is_some_and(|mask| mask[under(i)])).collect())
            }
        }
    }
}

fn pixels(line: Option<Line>, extent: [usize; 2]) -> Vec<usize> {
    let inside = line.map(|line| line.pixels(extent)).unwrap_or_default();
    inside.iter().enumerate().filter(|(_, inside)| **inside).map(|(at, _)| at).collect()
}

fn row(frame: usize, line: Option<Line>) -> String {
    match line {
        Some(Line { entry: [x1, y1], tip: [x2, y2] }) => format!("{frame},{x1},{y1},{x2},{y2}\n"),
        None => format!("{frame},,,,\n"),
    }
}

/// What one method said about one frame, beside the truth. Undefined figures are NaN here.
struct Answer {
    group: &'static str,
    difficulty: &'static str,
    scaled: bool,
    /// Predicted and true, true only, predicted only, neither.
    both: f64,
    only_true: f64,
    only_found: f64,
    neither: f64,
    /// A needle is visible; none where the truth is a mask. And one is reported.
    visible: Option<bool>,
    reported: bool,
    /// Name of the figure and its value.
    errors: BTreeMap<&'static str, f64>,
}

impl Answer {
    fn new(procedure: &Procedure, frame: &Frame, labels: Labels, mask: &[bool], found: Option<Line>) -> Self {
        let (line, truth) = procedure.truth(frame, labels);
        let count = |f: bool, t: bool| mask.iter().zip(&truth).filter(|pair| *pair == (&f, &t)).count() as f64;
        let [height, width] = procedure.extent.map(|side| side as f64 / SIZE as f64);
        let spacing = procedure.spacing.map(|[x, y]| [x * width, y * height]);
        let mut errors = BTreeMap::new();
        let names = ["tip_px", "entry_px", "offset_px", "length_px", "angle_deg"];
        errors.extend(names.into_iter().chain(["tip_mm", "entry_mm", "offset_mm", "length_mm"]).map(|n| (n, f64::NAN)));
        if let (Some(found), Some(line)) = (found, line) {
            errors.extend(names.into_iter().zip(compared(found, line)));
            if let Some([x_mm, y_mm]) = spacing {
                let mm = |line: Line| line.map(|[x, y]| [x * x_mm, y * y_mm]);
                let names = ["tip_mm", "entry_mm", "offset_mm", "length_mm", "angle_deg"];
                errors.extend(names.into_iter().zip(compared(mm(found), mm(line))));
            }
        }
        Self {
            group: procedure.group,
            difficulty: procedure.difficulty,
            scaled: spacing.is_some(),
            both: count(true, true),
            only_true: count(false, true),
            only_found: count(true, false),
            neither: count(false, false),
            visible: (labels == Labels::Ends).then_some(line.is_some()),
            reported: found.is_some(),
            errors,
        }
    }

    fn outcome(&self) -> &'static str {
        match (self.visible, self.reported) {
            (None, _) => "",
            (Some(true), true) => "Found",
            (Some(true), false) => "Missed",
            (Some(false), true) => "FalsePositive",
            (Some(false), false) => "Empty",
        }
    }

    fn iou(&self) -> f64 {
        self.both / (self.both + self.only_true + self.only_found)
    }

    fn nothing_true(&self) -> bool {
        self.both + self.only_true == 0.0
    }
}

/// Distances of tips, of entries, of the true middle from the found line, difference of lengths, and angle.
fn compared(found: Line, line: Line) -> [f64; 5] {
    let middle = line.at(0.5);
    let turn = (found.direction() - line.direction()).abs() % 180.0;
    [
        distance(found.tip, line.tip),
        distance(found.entry, line.entry),
        distance(middle, found.at(found.share(middle))),
        (found.length() - line.length()).abs(),
        turn.min(180.0 - turn),
    ]
}

/// A figure of a JSON file is the expected one; what is undefined or infinite is null.
fn same(file: &Value, path: &str, expected: f64) {
    let found = file.pointer(path).unwrap_or_else(|| panic!("no {path} in {file}"));
    match found.as_f64() {
        Some(found) => {
            assert!((found - expected).abs() <= 1e-6 * (1.0 + expected.abs()), "{path}: {found}, {expected}");
        }
        None => assert!(found.is_null() && !expected.is_finite(), "{path}: {found} instead of {expected}"),
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let count = values.len();
    if count == 0 { f64::NAN } else { (values[(count - 1) / 2] + values[count / 2]) / 2.0 }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn check_overlap(file: &Value, at: &str, answers: &[&Answer]) {
    let sum = |read: fn(&Answer) -> f64| answers.iter().map(|a| read(a)).sum::<f64>();
    let (both, missing, extra) = (sum(|a| a.both), sum(|a| a.only_true), sum(|a| a.only_found));
    let all = both + missing + extra + sum(|a| a.neither);
    let shown: Vec<f64> = answers.iter().filter(|a| !a.nothing_true()).map(|a| a.iou()).collect();
    let one = |a: &&Answer| if a.nothing_true() && a.only_found == 0.0 { 1.0 } else { a.iou() };
    let empty: Vec<&&Answer> = answers.iter().filter(|a| a.nothing_true()).collect();
    for (name, expected) in [
        ("counts/tp", both),
        ("counts/fn", missing),
        ("counts/fp", extra),
        ("iou", both / (both + missing + extra)),
        ("dice", 2.0 * both / (2.0 * both + missing + extra)),
        ("precision", both / (both + extra)),
        ("recall", both / (both + missing)),
        ("pixel_error", 100.0 * (missing + extra) / all),
        ("mean_iou_ignore", mean(&shown)),
        ("mean_iou_one", mean(&answers.iter().map(one).collect::<Vec<_>>())),
        ("frames", answers.len() as f64),
        ("empty_frames", empty.len() as f64),
        ("false_positive_frames", empty.iter().filter(|a| a.only_found > 0.0).count() as f64),
        ("false_positive_pixels", empty.iter().map(|a| a.only_found).sum()),
    ] {
        same(file, &format!("{at}/{name}"), expected);
    }
}

fn check_needles(file: &Value, at: &str, answers: &[&Answer]) {
    let count = |outcome: &str| answers.iter().filter(|a| a.outcome() == outcome).count() as f64;
    let visible: Vec<&&Answer> = answers.iter().filter(|a| a.visible == Some(true)).collect();
    let tip = |a: &&&Answer| if a.reported { a.errors["tip_px"] } else { f64::INFINITY };
    let free = answers.iter().filter(|a| a.visible == Some(false));
    let mut expected = vec![
        ("tally/frames".to_owned(), answers.iter().filter(|a| a.visible.is_some()).count() as f64),
        ("tally/found".into(), count("Found")),
        ("tally/missed".into(), count("Missed")),
        ("tally/false_positive".into(), count("FalsePositive")),
        ("tally/empty".into(), count("Empty")),
        ("false_positive_pixels".into(), free.map(|a| a.both + a.only_found).sum()),
        ("tip_px_median_misses_infinite".into(), median(visible.iter().map(tip).collect())),
    ];
    for limit in [1.0, 2.0, 3.0] {
        let near: Vec<f64> = visible
            .iter()
            .filter(|a| a.scaled)
            .map(|a| if a.reported && a.errors["tip_mm"] < limit { 1.0 } else { 0.0 })
            .collect();
        expected.push((format!("success_{limit}mm"), mean(&near)));
    }
    for name in answers[0].errors.keys() {
        let values: Vec<f64> = visible.iter().map(|a| a.errors[name]).filter(|value| !value.is_nan()).collect();
        let (mean, count) = (mean(&values), values.len() as f64);
        let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
        let sd = if count > 1.0 { (squares / (count - 1.0)).sqrt() } else { f64::NAN };
        let undefined = visible.len() as f64 - count;
        let parts =
            [("count", count), ("undefined", undefined), ("mean", mean), ("sd", sd), ("median", median(values))];
        expected.extend(parts.map(|(part, value)| (format!("{name}/{part}"), value)));
    }
    for (name, expected) in expected {
        same(file, &format!("{at}/{name}"), expected);
    }
}

/// The frames to be measured: needles that are seen and labelled (a little off), seen only, labelled only, and neither.
fn measured() -> Vec<Procedure> {
    let kinds = [(true, true), (true, true), (true, false), (false, true), (false, false), (true, true)];
    let frames = |seed: u64, extent: [usize; 2]| -> Vec<Frame> {
        let frame = |(index, &(shown, labelled)): (usize, &(bool, bool))| {
            let line = line(seed + index as u64, extent);
            let off = line.map(|[x, y]| [x + 1.25, y - 0.75]);
            Frame { shown: shown.then_some(line), labelled: labelled.then_some(off) }
        };
        kinds.iter().enumerate().map(frame).collect()
    };
    let [first, second, third] = [[40, 48], [36, 30], [32, 32]];
    vec![
        Procedure {
            name: "p0",
            group: "p0",
            difficulty: "simple",
            extent: first,
            spacing: Some([0.5, 0.4]),
            frames: frames(100, first),
        },
        Procedure {
            name: "p1",
            group: "patient",
            difficulty: "simple",
            extent: second,
            spacing: None,
            frames: frames(200, second),
        },
        Procedure {
            name: "p2",
            group: "patient",
            difficulty: "hard",
            extent: third,
            spacing: Some([0.3, 0.3]),
            frames: frames(300, third).into_iter().skip(2).take(3).collect(),
        },
    ]
}

/// Pictures of bright needles, every fourth without one.
fn learned() -> Vec<Procedure> {
    let extent = [40, 48];
    let shown = |seed: u64| (!seed.is_multiple_of(4)).then(|| line(seed, extent));
    let frames =
        |from: u64| (from..from + 24).map(|seed| Frame { shown: shown(seed), labelled: shown(seed) }).collect();
    let procedure =
        |name, from| Procedure { name, group: name, difficulty: "simple", extent, spacing: None, frames: frames(from) };
    vec![procedure("p0", 0), procedure("p1", 24)]
}

fn column(row: &BTreeMap<String, String>, name: &str) -> f64 {
    row[name].parse().unwrap_or(f64::NAN)
}

/// Learn, measure, and compare every figure but the intervals, which depend on random draws. Gives `metrics.json`.
fn figures_match(labels: Labels) -> Value {
    let workspace = Workspace::new();
    let (data, more) = (workspace.path("data"), workspace.path("more"));
    learned().iter().for_each(|procedure| procedure.write(&data, labels));
    let procedures = measured();
    procedures.iter().for_each(|procedure| procedure.write(&more, labels));
    // A threshold at which the network sees some of the bright needles only, and nothing on some dark frames.
    let threshold = if labels == Labels::Ends { "needle.threshold=0.2" } else { "needle.threshold=0.5" };
    let epochs = if labels == Labels::Ends { "train.epochs=4" } else { "train.epochs=10" };
    let settings = [epochs, threshold, "train.updates_per_epoch=99", "train.batch=1", "train.accumulate=1"];
    let quick = ["train.optimiser.learning_rate=0.01", "train.optimiser.layer_decay=1.0"];
    let mut words: Vec<&str> = settings.into_iter().chain(quick).flat_map(|word| ["--set", word]).collect();
    words.extend(["--set", "data.val_share=0.5"]);
    if labels == Labels::Masks {
        words.extend(["--set", "data.class=vessel"]);
    }
    let run = workspace.train(&data, "run", &words);
    let (model, out) = (run.join("last.safetensors"), workspace.path("out"));
    let device = ["--device", "flex"];
    succeeds(
        &[&["evaluate", text(&model), "--data", text(&more), "--out", text(&out), "--masks"], &device[..]].concat(),
    );
    let file: Value = serde_json::from_str(&fs::read_to_string(out.join("metrics.json")).unwrap()).unwrap();
    let mut rows: Vec<BTreeMap<String, String>> =
        csv::Reader::from_path(out.join("per_frame.csv")).unwrap().deserialize().map(Result::unwrap).collect();

    for method in ["model", "baseline"] {
        let mut answers = Vec::new();
        for (procedure, (index, frame)) in
            procedures.iter().flat_map(|p| p.frames.iter().enumerate().map(move |f| (p, f)))
        {
            let id = format!("{}/{index:06}", procedure.name);
            let place = rows.iter().position(|row| row["method"] == method && row["frame"] == id);
            let row = rows.swap_remove(place.unwrap_or_else(|| panic!("{id} of {method}")));
            let found = (!row["tip_x"].is_empty()).then(|| Line {
                entry: ["entry_x", "entry_y"].map(|name| column(&row, name)),
                tip: ["tip_x", "tip_y"].map(|name| column(&row, name)),
            });
            let mask = match (method, found) {
                ("model", _) => {
                    let mask = image::open(out.join(format!("masks/{id}.png"))).unwrap().into_luma8();
                    assert_eq!(mask.dimensions(), (SIZE as u32, SIZE as u32));
                    mask.into_raw().into_iter().map(|level| level > 127).collect()
                }
                (_, Some(line)) => line.pixels([SIZE, SIZE]),
                // Of a class that is no needle, the baseline says that it is everywhere.
                (_, None) => vec![labels == Labels::Masks; SIZE * SIZE],
            };
            let answer = Answer::new(procedure, frame, labels, &mask, found);
            assert_eq!(row["outcome"], answer.outcome(), "{id} of {method}");
            let counts =
                [("tp", answer.both), ("fn", answer.only_true), ("fp", answer.only_found), ("tn", answer.neither)];
            let iou = if answer.nothing_true() && answer.only_found == 0.0 { 1.0 } else { answer.iou() };
            let errors = ["tip_px", "tip_mm", "angle_deg", "offset_px"].map(|name| (name, answer.errors[name]));
            for (name, expected) in counts.into_iter().chain([("iou", iou)]).chain(errors) {
                let found = column(&row, name);
                let equal = (found - expected).abs() <= 1e-6 || found.is_nan() && expected.is_nan();
                assert!(equal, "{name} of {id}: {found} instead of {expected}");
            }
            answers.push(answer);
        }
        for set in ["all", "simple", "hard"] {
            let chosen: Vec<&Answer> = answers.iter().filter(|a| set == "all" || a.difficulty == set).collect();
            check_overlap(&file, &format!("/{method}/{set}/overlap"), &chosen);
            check_needles(&file, &format!("/{method}/{set}/needle"), &chosen);
            for group in chosen.iter().map(|a| a.group).collect::<BTreeSet<_>>() {
                let of_group: Vec<&Answer> = chosen.iter().copied().filter(|a| a.group == group).collect();
                check_overlap(&file, &format!("/{method}/{set}/overlap_groups/{group}"), &of_group);
            }
        }
    }
    assert!(rows.is_empty(), "frames that are not in the data: {rows:?}");
    file
}

#[test]
fn needle_figures_match_a_simple_computation_and_undefined_ones_are_counted() {
    let file = figures_match(Labels::Ends);
    let needle = &file["model"]["all"]["needle"];
    for outcome in ["found", "missed", "false_positive", "empty"] {
        assert!(needle["tally"][outcome].as_u64() > Some(0), "the test needs frames that are {outcome}: {needle}");
    }
    assert!(needle["tip_mm"]["undefined"].as_u64() > needle["tip_px"]["undefined"].as_u64(), "a scale is missing");
    // Of the hard needle nothing is known: it was not seen.
    let hard = &file["model"]["hard"]["needle"]["tip_px"];
    assert!(hard["median"].is_null() && hard["count"] == 0 && hard["undefined"] == 1, "{hard}");
}

#[test]
fn mask_figures_match_a_simple_computation_and_masks_have_no_tip() {
    let file = figures_match(Labels::Masks);
    let overlap = &file["model"]["all"]["overlap"];
    assert!(overlap["empty_frames"].as_u64() > overlap["false_positive_frames"].as_u64(), "{overlap}");
    assert!(overlap["false_positive_frames"].as_u64() > Some(0), "{overlap}");
    assert_eq!(file["model"]["all"]["needle"]["tally"]["frames"], 0);
}
