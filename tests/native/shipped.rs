//! The model and the example that come with the app: what the page says of them is true.

use std::fs;
use std::path::{Path, PathBuf};

use crate::workspace::{Workspace, succeeds, text};

fn asset(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../app/assets").join(name)
}

/// The rows of a table by the names of its columns; what is no number is none.
fn rows<const N: usize>(path: &Path, columns: [&str; N]) -> Vec<[Option<f64>; N]> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    let headers = reader.headers().unwrap().clone();
    let places = columns.map(|column| headers.iter().position(|header| header == column).unwrap());
    reader.records().map(|row| row.unwrap()).map(|row| places.map(|place| row[place].parse().ok())).collect()
}

#[test]
fn the_example_shows_needles_that_the_model_finds_and_some_that_it_misses() {
    assert!(fs::metadata(asset("demo.safetensors")).unwrap().len() <= 6_000_000, "what a page loads at first");
    let workspace = Workspace::new();
    let out = workspace.path("predicted");
    let (model, clip) = (asset("demo.safetensors"), asset("demo.dcm"));
    succeeds(&["predict", text(&model), text(&clip), "--out", text(&out), "--device", "flex"]);
    let found = rows(&out.join("geometry.csv"), ["tip_x", "tip_y"]);
    let truth = rows(&asset("demo-labels.csv"), ["x2", "y2"]);
    assert_eq!(found.len(), truth.len());
    let (mut hits, mut misses, mut shown) = (0, 0, 0);
    for (found, truth) in found.iter().zip(&truth) {
        let [Some(x), Some(y)] = *truth else { continue };
        shown += 1;
        match *found {
            [Some(tip_x), Some(tip_y)] => hits += usize::from((tip_x - x).hypot(tip_y - y) <= 5.0),
            _ => misses += 1,
        }
    }
    assert!(4 * hits >= 3 * shown && misses >= 2, "of {shown} needles {hits} are found and {misses} missed");
}
