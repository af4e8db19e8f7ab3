//! One procedure, looked at frame by frame: sizes, hashes, masks, end points, and what is wrong with them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use sonoseg_imaging::dataset::labels::{look_like_shares, upward};
use sonoseg_imaging::dataset::likeness::Thumbnail;
use sonoseg_imaging::formats;
use sonoseg_imaging::formats::mask::read_class_mask;
use sonoseg_imaging::geometry::width::object_widths;
use sonoseg_imaging::geometry::{Image, Mask, Needle};

use super::problem::Problems;
use crate::files;
use sonoseg_imaging::dataset::meta::KEYS;

use crate::folder::{Meta, Numbered, numbered, read_meta, read_rows, unknown_keys};

/// Height and width of the input of a network, where a recipe says nothing else (`sonoseg_imaging::prepare`).
pub(super) const NETWORK_PX: usize = 224;

/// Millimetres that a pixel of an ultrasound image can be wide.
const PLAUSIBLE_MM: std::ops::RangeInclusive<f64> = 0.001..=5.0;

/// What is known about a procedure after looking at all of it.
pub(super) struct Scanned {
    pub(super) id: String,
    pub(super) meta: Meta,
    pub(super) frames: Vec<FrameFacts>,
    /// Rows of `labels.csv` of frames that are there, by frame.
    pub(super) labels: BTreeMap<usize, Option<Needle>>,
    pub(super) problems: Problems,
}

/// What is known about a frame that could be read.
pub(super) struct FrameFacts {
    pub(super) number: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    /// Of size and pixels.
    pub(super) hash: [u8; 32],
    /// All pixels are the same.
    pub(super) flat: bool,
    /// Pixels of every class, where there is a mask.
    pub(super) classes: Option<BTreeMap<u8, u64>>,
    pub(super) thumbnail: Option<Thumbnail>,
    /// Width of every object of the mask in pixels of a network, by class.
    pub(super) widths: Vec<(u8, f64)>,
}

impl FrameFacts {
    /// Whether it has a mask of which somebody judged a pixel.
    pub(super) fn is_masked(&self) -> bool {
        self.classes.as_ref().is_some_and(|classes| classes.keys().any(|&class| class != Mask::IGNORE))
    }
}

impl Scanned {
    pub(super) fn group(&self) -> &str {
        self.meta.group.as_deref().unwrap_or(&self.id)
    }

    /// Frames with a mask or a row of `labels.csv`.
    pub(super) fn labelled(&self) -> usize {
        let labelled = |frame: &&FrameFacts| frame.is_masked() || self.labels.contains_key(&frame.number);
        self.frames.iter().filter(labelled).count()
    }

    /// Frames that are the same as the one before.
    pub(super) fn repeated(&self) -> usize {
        self.frames.windows(2).filter(|pair| !pair[0].flat && pair[0].hash == pair[1].hash).count()
    }

    pub(super) fn sizes(&self) -> BTreeSet<(usize, usize)> {
        self.frames.iter().map(|frame| (frame.height, frame.width)).collect()
    }

    /// Look at a procedure's folder. About `compared` of its frames are prepared for comparing with other groups.
    pub(super) fn read(folder: &Path, compared: usize, progress: &ProgressBar) -> Self {
        let id = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut scan = Scan { folder, id: &id, problems: Problems::default() };
        let meta = scan.meta();
        let frames = scan.numbered("frames");
        if frames.is_empty() {
            scan.problems.error(
                "no-frames",
                scan.place("frames"),
                "holds no frames",
                "add frames/%06d.png or remove it",
            );
        }
        scan.gaps(&frames);
        let masks = if folder.join("masks").exists() { scan.numbered("masks") } else { BTreeMap::new() };
        for (number, path) in masks.iter().filter(|(number, _)| !frames.contains_key(number)) {
            let what = format!("a mask of frame {number}, which is not there");
            scan.problems.error("mask-without-frame", scan.file(path), what, "add the frame or remove the mask");
        }
        progress.inc_length(frames.len() as u64);
        let every = frames.len().div_ceil(compared).max(1);
        let in_order: Vec<(&usize, &PathBuf)> = frames.iter().collect();
        let read: Vec<(Option<FrameFacts>, Vec<Found>)> = in_order
            .into_par_iter()
            .enumerate()
            .map(|(index, (&number, path))| {
                let facts = frame(number, path, masks.get(&number), &meta, index.is_multiple_of(every));
                progress.inc(1);
                facts
            })
            .collect();
        let mut facts = Vec::new();
        for (frame, found) in read {
            facts.extend(frame);
            for Found { path, kind, what, advice, warning } in found {
                let place = scan.file(&path);
                if warning {
                    scan.problems.warning(kind, place, what, advice);
                } else {
                    scan.problems.error(kind, place, what, advice);
                }
            }
        }
        let labels = scan.labels(&frames, &facts);
        let problems = scan.problems;
        let mut scanned = Self { id, meta, frames: facts, labels, problems };
        scanned.judge();
        scanned
    }

    /// Problems of the procedure as a whole.
    fn judge(&mut self) {
        let place = self.id.clone();
        let repeated = self.repeated();
        if repeated > 0 {
            let what = format!("{repeated} of {} frames are the same as the one before", self.frames.len());
            self.problems.warning(
                "repeated-frame",
                &place,
                what,
                "networks learn them twice: sonoseg ingest drops them",
            );
        }
        let sizes = self.sizes();
        if sizes.len() > 1 {
            let sizes: Vec<String> = sizes.iter().map(|(height, width)| format!("{width}x{height}")).collect();
            let what = format!("frames of {}", sizes.join(", "));
            self.problems.warning("mixed-sizes", &place, what, "networks that read several frames refuse it");
        }
        if self.labelled() == 0 && !self.frames.is_empty() {
            self.problems.warning(
                "unlabelled",
                &place,
                "no frame is labelled",
                "of use for learning without labels only",
            );
        }
        if let Some(spacing) = self.meta.spacing
            && !(PLAUSIBLE_MM.contains(&spacing.x_mm) && PLAUSIBLE_MM.contains(&spacing.y_mm))
        {
            let what = format!("pixels of {} x {} mm", spacing.x_mm, spacing.y_mm);
            let advice = "correct spacing in meta.json, or remove it where it is not known";
            self.problems.error("spacing", format!("{place}/meta.json"), what, advice);
        }
        if let Some(class) = self.meta.class.as_ref().filter(|class| self.meta.class_number(class).is_none()) {
            let what = format!("chooses the class {class}, which is not in its classes");
            self.problems.error(
                "class-unknown",
                format!("{place}/meta.json"),
                what,
                "name one of classes but the first",
            );
        }
    }
}

/// Widths of all objects in pixels of a network by class, in rising order.
pub(super) fn widths(scanned: &[Scanned]) -> BTreeMap<u8, Vec<f64>> {
    let mut widths: BTreeMap<u8, Vec<f64>> = BTreeMap::new();
    for &(class, width) in scanned.iter().flat_map(|one| &one.frames).flat_map(|frame| &frame.widths) {
        widths.entry(class).or_default().push(width);
    }
    widths.values_mut().for_each(|widths| widths.sort_by(f64::total_cmp));
    widths
}

/// A problem of a file, found on some thread.
struct Found {
    path: PathBuf,
    kind: &'static str,
    what: String,
    advice: &'static str,
    warning: bool,
}

impl Found {
    fn error(path: &Path, kind: &'static str, what: impl std::fmt::Display, advice: &'static str) -> Self {
        Self { path: path.to_owned(), kind, what: what.to_string(), advice, warning: false }
    }

    fn warning(path: &Path, kind: &'static str, what: impl std::fmt::Display, advice: &'static str) -> Self {
        Self { warning: true, ..Self::error(path, kind, what, advice) }
    }
}

/// A procedure being looked at.
struct Scan<'a> {
    folder: &'a Path,
    id: &'a str,
    problems: Problems,
}

impl Scan<'_> {
    fn place(&self, name: &str) -> String {
        format!("{}/{name}", self.id)
    }

    /// A file of the procedure as people find it: below `procedures`.
    fn file(&self, path: &Path) -> String {
        let below = path.strip_prefix(self.folder).unwrap_or(path);
        self.place(&below.display().to_string().replace('\\', "/"))
    }

    /// The reason of an error without the path that it begins with.
    fn reason(&self, error: &anyhow::Error, path: &Path) -> String {
        let text = format!("{error:#}");
        text.strip_prefix(&format!("{}: ", files::absolute(path))).unwrap_or(&text).to_owned()
    }

    fn meta(&mut self) -> Meta {
        let path = self.folder.join("meta.json");
        if !path.exists() {
            let advice = "write {} where nothing is known";
            self.problems.error("no-meta", self.file(&path), "is missing", advice);
            return Meta::default();
        }
        for key in unknown_keys(self.folder).unwrap_or_default() {
            let what = format!(
                "only `sonoseg evaluate --by` reads its `{key}`; the keys that mean something: {}",
                KEYS.join(", ")
            );
            self.problems.warning(
                "unknown-key",
                self.file(&path),
                what,
                "write it as one of them, if it was meant to be one",
            );
        }
        read_meta(self.folder).unwrap_or_else(|error| {
            let what = self.reason(&error, &path);
            self.problems.error("bad-meta", self.file(&path), what, "correct it");
            Meta::default()
        })
    }

    fn numbered(&mut self, name: &str) -> BTreeMap<usize, PathBuf> {
        let folder = self.folder.join(name);
        match numbered(&folder) {
            Ok(Numbered { files, odd }) => {
                for path in odd {
                    let advice = "name frames and masks by their number, like 000012.png, every number once";
                    self.problems.error(
                        "bad-name",
                        self.file(&folder.join(path)),
                        "its name is no number of its own",
                        advice,
                    );
                }
                files.into_iter().map(|(number, name)| (number, folder.join(name))).collect()
            }
            Err(error) => {
                let what = self.reason(&error, &folder);
                self.problems.error("no-folder", self.file(&folder), what, "add it or remove the procedure");
                BTreeMap::new()
            }
        }
    }

    fn gaps(&mut self, frames: &BTreeMap<usize, PathBuf>) {
        let mut expected = 0;
        for &number in frames.keys() {
            if number != expected {
                let what = if number == expected + 1 {
                    format!("frame {expected} is missing")
                } else {
                    format!("frames {expected} to {} are missing", number - 1)
                };
                let advice = "renumber frames, masks and labels from 0 without gaps, or make two procedures of it";
                self.problems.error("gap", self.place("frames"), what, advice);
            }
            expected = number + 1;
        }
    }

    fn labels(&mut self, frames: &BTreeMap<usize, PathBuf>, facts: &[FrameFacts]) -> BTreeMap<usize, Option<Needle>> {
        let path = self.folder.join("labels.csv");
        let mut labels = BTreeMap::new();
        if !path.exists() {
            return labels;
        }
        let rows = match read_rows(&path) {
            Ok(rows) => rows,
            Err(error) => {
                let what = self.reason(&error, &path);
                self.problems.error("bad-labels", self.file(&path), what, "correct it");
                return labels;
            }
        };
        let sizes: BTreeMap<usize, (usize, usize)> =
            facts.iter().map(|frame| (frame.number, (frame.height, frame.width))).collect();
        let needles: Vec<Needle> = rows.iter().filter_map(|(_, row)| row.as_ref().ok()?.1).collect();
        if look_like_shares(&needles) {
            let what = "all end points lie between 0 and 1, like shares of the picture's width and height";
            let advice = "write them in pixels; sonoseg ingest --normalised does so";
            self.problems.warning("label-shares", self.file(&path), what, advice);
        } else if let Some(what) = upward(&needles) {
            let advice = "the entry is the end at the skin: exchange x1, y1 and x2, y2 where they are swapped";
            self.problems.warning("label-upward", self.file(&path), what, advice);
        }
        for (line, row) in rows {
            let place = format!("{} line {line}", self.file(&path));
            let (frame, needle) = match row {
                Ok(row) => row,
                Err(what) => {
                    let advice =
                        "frame,x1,y1,x2,y2 are numbers; all four coordinates are blank where no needle is visible";
                    self.problems.error("bad-label", place, what, advice);
                    continue;
                }
            };
            if !frames.contains_key(&frame) {
                let what = format!("frame {frame} is not there");
                self.problems.error("label-no-frame", place, what, "add the frame or remove the row");
                continue;
            }
            if let (Some(needle), Some(&size)) = (&needle, sizes.get(&frame))
                && let Some(what) = outside(needle, size)
            {
                let advice = "end points are pixels of the stored frame, from 0, x to the right and y down";
                self.problems.error("label-outside", &place, what, advice);
            }
            if labels.insert(frame, needle).is_some() {
                self.problems.error(
                    "label-twice",
                    place,
                    format!("frame {frame} has a row already"),
                    "remove one of them",
                );
            }
        }
        labels
    }
}

/// What is wrong with end points that are not in the frame. The edge of the outer pixels belongs to it.
fn outside(needle: &Needle, (height, width): (usize, usize)) -> Option<String> {
    let ends = [("x1", "y1", needle.entry), ("x2", "y2", needle.tip)];
    ends.into_iter().find_map(|(x, y, end)| {
        let in_x = (-0.5..=width as f64 - 0.5).contains(&end.x);
        let in_y = (-0.5..=height as f64 - 0.5).contains(&end.y);
        (!in_x || !in_y).then(|| format!("{x}, {y} = {}, {} lies outside of {width}x{height} pixels", end.x, end.y))
    })
}

fn frame(
    number: usize,
    path: &Path,
    mask: Option<&PathBuf>,
    meta: &Meta,
    compared: bool,
) -> (Option<FrameFacts>, Vec<Found>) {
    let mut found = Vec::new();
    let image = match load(path) {
        Ok((image, doubts)) => {
            let advice = "see whether it looks right, and export it anew where it does not";
            found.extend(doubts.into_iter().map(|doubt| Found::warning(path, "doubtful-frame", doubt, advice)));
            image
        }
        Err(what) => {
            found.push(Found::error(path, "bad-frame", what, "ingest or export the source again"));
            return (None, found);
        }
    };
    if image.channels != 1 {
        found.push(Found::warning(
            path,
            "colour-frame",
            "is in colour",
            "frames are read as grey; ingest stores them so",
        ));
    }
    let pixels = image.to_grey().to_bytes();
    let flat = pixels.iter().all(|&pixel| pixel == pixels[0]);
    if flat {
        let what = format!("every pixel is {}", pixels[0]);
        found.push(Found::warning(path, "empty-frame", what, "remove it, or renumber the frames after it"));
    }
    let size = format!("{}x{};", image.width, image.height);
    let hash = Sha256::new().chain_update(size).chain_update(&pixels).finalize().into();
    let (mut classes, mut widths) = (None, Vec::new());
    if let Some(path) = mask {
        match load_mask(path, meta.ignore) {
            Ok(mask) => {
                if !mask.is_judged() {
                    let advice = "it counts as no label: remove the mask, or judge some of it";
                    found.push(Found::warning(path, "ignored-mask", "every pixel is ignored", advice));
                }
                found.extend(wrong_mask(path, &mask, &image, meta));
                classes = Some(count(&mask));
                widths = object_widths(&mask, NETWORK_PX);
            }
            Err(what) => found.push(Found::error(path, "bad-mask", what, "export it again")),
        }
    }
    let thumbnail = (compared && !flat).then(|| Thumbnail::of(&image));
    (
        Some(FrameFacts { number, height: image.height, width: image.width, hash, flat, classes, thumbnail, widths }),
        found,
    )
}

/// Read a file, and give the reason without the file's name.
fn bytes(path: &Path) -> Result<(String, Vec<u8>), String> {
    Ok((files::absolute(path), std::fs::read(path).map_err(|e| e.to_string())?))
}

fn without_name(error: &sonoseg_imaging::DataError, name: &str) -> String {
    let text = error.to_string();
    text.strip_prefix(&format!("{name}: ")).unwrap_or(&text).to_owned()
}

/// A frame, and what is doubtful about its file.
fn load(path: &Path) -> Result<(Image, Vec<String>), String> {
    let (name, bytes) = bytes(path)?;
    let clip = formats::open(&name, bytes).map_err(|error| without_name(&error, &name))?;
    let mut doubts = clip.notes().to_vec();
    if clip.len() > 1 {
        doubts.push(format!("It holds {} pictures, and a frame is one: only the first is read.", clip.len()));
    }
    Ok((clip.frame(0).map_err(|error| without_name(&error, &name))?, doubts))
}

fn load_mask(path: &Path, ignore: Option<u8>) -> Result<Mask, String> {
    let (name, bytes) = bytes(path)?;
    read_class_mask(&name, &bytes, ignore).map_err(|error| without_name(&error, &name))
}

fn wrong_mask(path: &Path, mask: &Mask, image: &Image, meta: &Meta) -> Option<Found> {
    if [mask.height, mask.width] != [image.height, image.width] {
        let what = format!("is {}x{}, and its frame {}x{}", mask.width, mask.height, image.width, image.height);
        return Some(Found::error(path, "mask-size", what, "a mask has its frame's size"));
    }
    let judged = mask.classes.iter().copied().filter(|&class| class != Mask::IGNORE);
    let beyond = judged.max().filter(|&class| usize::from(class) >= meta.classes.len());
    beyond.filter(|_| !meta.classes.is_empty()).map(|class| {
        let what = format!("holds class {class}, and meta.json names {} classes", meta.classes.len());
        Found::error(path, "mask-class", what, "name the class in meta.json or correct the mask")
    })
}

fn count(mask: &Mask) -> BTreeMap<u8, u64> {
    let mut counts = BTreeMap::new();
    for run in mask.classes.chunk_by(|a, b| a == b) {
        *counts.entry(run[0]).or_default() += run.len() as u64;
    }
    counts
}
