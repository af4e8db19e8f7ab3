//! Runs reported and compared by the real program: what the pages say is what was measured.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sonoseg_imaging::formats::encode::{encode_png_grey, encode_png_mask};
use sonoseg_imaging::geometry::Mask;

use crate::workspace::{Workspace, fails, succeeds, text};

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// As the report writes numbers.
fn written(value: &Value, digits: usize) -> String {
    value.as_f64().map_or("–".into(), |number| format!("{number:.digits$}"))
}

/// The cells of the row of a Markdown table that starts with a name.
fn row(page: &str, name: &str) -> Vec<String> {
    let start = format!("| {name} |");
    let line = page.lines().find(|line| line.starts_with(&start)).unwrap_or_else(|| panic!("no {name} in\n{page}"));
    line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect()
}

/// Parse a plot, and give back its words.
fn words_of_svg(text: &str) -> Vec<String> {
    let document = roxmltree::Document::parse(text).unwrap_or_else(|error| panic!("{error} in\n{text}"));
    let texts = document.descendants().filter(|node| node.has_tag_name("text"));
    texts.filter_map(|node| Some(node.text()?.trim().to_owned())).collect()
}

/// Every scalar of a TensorBoard file by tag and step, after its checksums were found right.
fn scalars(run: &Path) -> BTreeMap<(String, u64), f32> {
    let files: Vec<PathBuf> = fs::read_dir(run.join("tensorboard")).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let bytes = fs::read(&files[0]).unwrap();
    let (mut rest, mut found, mut records) = (bytes.as_slice(), BTreeMap::new(), 0);
    let check = |data: &[u8], stored: &[u8]| {
        let crc = crc32c::crc32c(data);
        let masked = crc.rotate_right(15).wrapping_add(0xa282_ead8);
        assert_eq!(masked.to_le_bytes(), stored, "checksum");
    };
    while !rest.is_empty() {
        let (length, after) = rest.split_at(8);
        let size = u64::from_le_bytes(length.try_into().unwrap()) as usize;
        check(length, &after[..4]);
        let (data, after) = after[4..].split_at(size);
        check(data, &after[..4]);
        rest = &after[4..];
        records += 1;
        let event = fields(data);
        let step = event.iter().find(|(field, _)| *field == 2).map_or(0, |(_, value)| value.number());
        for (_, summary) in event.iter().filter(|(field, _)| *field == 5) {
            for (_, value) in fields(summary.bytes()) {
                let value = fields(value.bytes());
                let tag = String::from_utf8(value[0].1.bytes().to_vec()).unwrap();
                let scalar = f32::from_le_bytes(value[1].1.bytes().try_into().unwrap());
                assert!(found.insert((tag.clone(), step), scalar).is_none(), "{tag} twice at {step}");
            }
        }
    }
    assert!(records > 1);
    found
}

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    fn number(&self) -> u64 {
        match self {
            Self::Number(number) => *number,
            Self::Bytes(_) => panic!("bytes where a number was expected"),
        }
    }

    fn bytes(&self) -> &'a [u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Number(_) => panic!("a number where bytes were expected"),
        }
    }
}

/// The fields of a protobuf message.
fn fields(mut rest: &[u8]) -> Vec<(u64, Field<'_>)> {
    fn varint(rest: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in 0.. {
            let byte = rest[0];
            *rest = &rest[1..];
            value |= u64::from(byte & 0x7f) << (7 * shift);
            if byte < 0x80 {
                break;
            }
        }
        value
    }
    let mut found = Vec::new();
    while !rest.is_empty() {
        let key = varint(&mut rest);
        let value = match key & 7 {
            0 => Field::Number(varint(&mut rest)),
            kind => {
                let size = match kind {
                    1 => 8,
                    5 => 4,
                    2 => varint(&mut rest) as usize,
                    other => panic!("wire type {other}"),
                };
                let (bytes, after) = rest.split_at(size);
                rest = after;
                Field::Bytes(bytes)
            }
        };
        found.push((key >> 3, value));
    }
    found
}

#[test]
fn the_report_says_what_was_measured_and_the_curves_what_was_learned() {
    let workspace = Workspace::new();
    let data = workspace.simulate("data <1>", "17");
    let run = workspace.train(&data, "run", &[]);
    let printed = succeeds(&["report", text(&run), "--device", "flex"]);
    assert!(printed.contains("report.html") && printed.contains("next: sonoseg predict"), "{printed}");

    // The same figures as `evaluate` gives, on the procedure that the run held out.
    let direct = workspace.path("direct");
    let by = ["--by", "angle,length,depth,contrast,entry"];
    let direct_words = ["evaluate", text(&run), "--data", text(&data), "--out", text(&direct), "--device", "flex"];
    succeeds(&[&direct_words[..], &by].concat());
    let metrics = read(run.join("evaluation/metrics.json"));
    assert_eq!(metrics, read(direct.join("metrics.json")));
    let metrics: Value = serde_json::from_str(&metrics).unwrap();
    let page = read(run.join("report.md"));
    for (name, key) in [("IoU", "iou"), ("Dice", "dice"), ("Precision", "precision"), ("Recall", "recall")] {
        let cells = row(&page, &format!("{name}, pooled"));
        for (column, method) in [(1, "model"), (3, "baseline")] {
            assert_eq!(cells[column], written(&metrics[method]["all"]["overlap"][key], 3), "{name} of the {method}");
        }
    }
    let offset = &metrics["baseline"]["all"]["needle"]["offset_px"];
    assert_eq!(row(&page, "Offset of the shaft, px")[3], written(&offset["median"], 2));
    let split: Value = serde_json::from_str(&read(run.join("splits.json"))).unwrap();
    let held = split["val"][0].as_str().unwrap();
    let group = &metrics["model"]["all"]["overlap_groups"][held];
    assert_eq!(row(&page, held)[1..4], ["4".to_owned(), written(&group["iou"], 3), written(&group["dice"], 3)]);
    assert!(page.contains("Only one procedure was held out") && page.contains("Not for clinical use"), "{page}");
    assert!(page.contains("| train.epochs | 2 |") && page.contains("data &lt;1&gt;"), "{page}");
    assert!(image::open(run.join("worst.png")).unwrap().width() >= 360);

    let html = read(run.join("report.html"));
    // Figures by bin come first, the curves last; without a call there is no picture of confidences.
    let plots: Vec<&str> = html.split("<svg").skip(1).map(|rest| &rest[..rest.find("</svg>").unwrap()]).collect();
    let plots: Vec<_> = plots.iter().map(|plot| words_of_svg(&format!("<svg{plot}</svg>"))).collect();
    assert_eq!(plots[0], words_of_svg(&read(run.join("evaluation/bins.svg"))));
    assert_eq!(plots.last(), Some(&words_of_svg(&read(run.join("curves.svg")))));
    assert!(plots[plots.len() - 1].iter().any(|word| word == "held out"));
    assert!(html.contains("data:image/png;base64,") && html.contains("data &lt;1&gt;") && !html.contains("<1>"));
    assert!(html.contains("Not for clinical use"));

    // TensorBoard and results.csv hold what metrics.jsonl holds.
    let mut expected = BTreeMap::new();
    let mut results = Vec::new();
    let mut rate = Value::Null;
    let lines = read(run.join("metrics.jsonl"));
    for line in lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let epoch = line["epoch"].as_u64().unwrap();
        let mut expect = |tag: &str, step: u64, value: &Value| {
            if let Some(value) = value.as_f64() {
                expected.insert((tag.to_owned(), step), value as f32);
            }
        };
        if let Some(step) = line["step"].as_u64() {
            expect("train/loss", epoch * 2 + step + 1, &line["loss"]);
            expect("train/learning_rate", epoch * 2 + step + 1, &line["rate"]);
            rate = line["rate"].clone();
        } else {
            for key in line.as_object().unwrap().keys().filter(|key| key.contains("_")) {
                expect(&format!("epoch/{key}"), (epoch + 1) * 2, &line[key]);
            }
            results.push((line, rate.clone()));
        }
    }
    assert_eq!((scalars(&run), results.len()), (expected, 2));
    let mut rows = csv::Reader::from_path(run.join("results.csv")).unwrap();
    let heads = rows.headers().unwrap().clone();
    for ((line, rate), row) in results.iter().zip(rows.records().map(Result::unwrap)) {
        for (head, cell) in heads.iter().zip(&row) {
            let value = match head {
                "epoch" => Value::from(line["epoch"].as_u64().unwrap() + 1),
                "learning_rate" => rate.clone(),
                other => line[other].clone(),
            };
            assert_eq!(cell.parse::<f64>().ok(), value.as_f64(), "{head}");
        }
    }
}

#[test]
fn runs_are_compared_where_they_differ() {
    let workspace = Workspace::new();
    let data = workspace.simulate("data", "14");
    let short = workspace.train(&data, "short", &["--set", "train.epochs=1"]);
    let long = workspace.train(&data, "long", &["--set", "train.epochs=3"]);
    let out = workspace.path("side by side");
    let printed = succeeds(&["compare", text(&short), text(&long), "--out", text(&out)]);
    assert!(printed.contains("train.epochs") && printed.contains("Not for clinical use"), "{printed}");
    assert!(!printed.contains("not measured on the same"), "{printed}");

    let page = read(out.join("compare.md"));
    assert_eq!(row(&page, "train.epochs")[1..], ["1", "3"]);
    assert!(!page.contains("train.batch"), "equal values are left out: {page}");
    let losses = |run: &Path| -> Vec<f64> {
        let lines = read(run.join("metrics.jsonl"));
        let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter_map(|line| line["val_loss"].as_f64()).collect()
    };
    for (column, run) in [(1, &short), (2, &long)] {
        let lowest = losses(run).into_iter().fold(f64::INFINITY, f64::min);
        assert_eq!(row(&page, "lowest val loss")[column], format!("{lowest:.4}"));
    }
    let sizes = row(&page, "parameters");
    assert!(sizes[1] == sizes[2] && sizes[1].parse::<u64>().unwrap() > 1000, "{sizes:?}");
    let words = words_of_svg(&read(out.join("compare.svg")));
    assert!(words.iter().any(|word| word == "short") && words.iter().any(|word| word == "long"), "{words:?}");
    let mut table = csv::Reader::from_path(out.join("compare.csv")).unwrap();
    let heads = table.headers().unwrap().clone();
    assert_eq!([&heads[0], &heads[1]], ["run", "train.epochs"]);
    assert_eq!(table.records().map(|row| row.unwrap()[0].to_owned()).collect::<Vec<_>>(), ["short", "long"]);
}

/// Pictures of a bright disc with its mask, in three procedures.
fn nerves(data: &Path) {
    for procedure in 0..3 {
        let folder = data.join(format!("procedures/p{procedure}"));
        for part in ["frames", "masks"] {
            fs::create_dir_all(folder.join(part)).unwrap();
        }
        for frame in 0..3 {
            let near = |i: usize| (i % 40).abs_diff(14 + 2 * frame) + (i / 40).abs_diff(16 + procedure) < 9;
            let classes: Vec<u8> = (0..1600).map(|i| u8::from(near(i))).collect();
            let pixels: Vec<u8> = (0..1600).map(|i| if near(i) { 200 } else { (i % 7) as u8 * 8 }).collect();
            let mask = Mask { height: 40, width: 40, classes };
            let name = format!("{frame:06}.png");
            fs::write(folder.join("frames").join(&name), encode_png_grey(40, 40, &pixels).unwrap()).unwrap();
            fs::write(folder.join("masks").join(&name), encode_png_mask(&mask).unwrap()).unwrap();
        }
        fs::write(folder.join("meta.json"), "{\"classes\": [\"background\", \"nerve\"]}").unwrap();
    }
}

#[test]
fn a_report_speaks_of_needles_only_where_a_run_looks_for_them() {
    let workspace = Workspace::new();
    let data = workspace.path("data");
    nerves(&data);
    let of_nerves = workspace.train(&data, "nerves", &["--set", "data.class=nerve"]);
    let pretrained = workspace.train(&data, "pretrained", &["--set", "task=mae"]);
    let threshold = "threshold of the masks";
    for (run, word) in
        [(&of_nerves, "marks every pixel"), (&of_nerves, threshold), (&pretrained, "others to start from")]
    {
        let printed = succeeds(&["report", text(run), "--device", "flex"]);
        let pages = ["report.md", "report.html"].map(|name| read(run.join(name)));
        assert!(pages.iter().all(|page| page.contains(word)), "{word} is not in\n{}", pages[0]);
        for text in pages.iter().chain([&printed]) {
            for said in text.to_lowercase().split(|c: char| !c.is_alphanumeric()) {
                let wrong = ["needle", "needles", "tip", "tips", "shaft", "shafts"].contains(&said);
                assert!(!wrong, "{said} is in\n{text}");
            }
        }
    }
}

#[test]
fn what_is_no_run_or_has_no_weights_is_answered_with_a_sentence() {
    let workspace = Workspace::new();
    let data = workspace.simulate("data", "13");
    let printed = fails(3, &["report", text(&data)]);
    assert!(printed.contains("is no run folder"), "{printed}");
    fails(3, &["compare", text(&data)]);
    fails(2, &["compare"]);

    let run = workspace.train(&data, "run", &["--set", "train.epochs=1"]);
    let split: Value = serde_json::from_str(&read(run.join("splits.json"))).unwrap();
    let held = split["val"][0].as_str().unwrap();
    let hidden = workspace.path("hidden");
    fs::rename(data.join("procedures").join(held), &hidden).unwrap();
    let printed = fails(3, &["report", text(&run)]);
    assert!(printed.contains(held) && printed.contains("--split all"), "{printed}");
    fs::rename(&hidden, data.join("procedures").join(held)).unwrap();
    // A frame that nobody labelled is left out, and said to be.
    let labels = data.join("procedures").join(held).join("labels.csv");
    let kept: Vec<String> = read(&labels).lines().take(4).map(str::to_owned).collect();
    fs::write(&labels, kept.join("\n") + "\n").unwrap();
    let printed = succeeds(&["report", text(&run), "--device", "flex"]);
    assert!(printed.contains("3 frames") && printed.contains("left out: 1 frame without"), "{printed}");
    assert!(read(run.join("report.md")).contains("Left out: 1 frame without a label"));

    for name in ["best", "best-loss", "last"] {
        let _ = fs::remove_file(run.join(name).with_extension("safetensors"));
    }
    let printed = fails(3, &["report", text(&run)]);
    assert!(printed.contains("no weights yet"), "{printed}");
    assert!(run.join("curves.svg").exists(), "the curves are there all the same");
}
