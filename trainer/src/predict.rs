//! `sonoseg predict`: needles in images, DICOM files, videos and folders of them.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::path::{Component, Path, PathBuf};
use std::{fs, io};

use anyhow::{Context, Result};
use serde::Serialize;
use sha2::{Digest, Sha256};
use sonoseg_core::inference::{Predictor, window};
use sonoseg_imaging::DataError;
use sonoseg_imaging::formats;
use sonoseg_imaging::formats::encode::{colour_over_grey, encode_png_mask, encode_png_rgb};
use sonoseg_imaging::geometry::Image;
use walkdir::WalkDir;

use crate::args::{Damaged, Predict};
use crate::device;
use crate::failure::SomeFailed;
use crate::files;
use crate::overlay;
use crate::terminal::{bar, say, warn};
use crate::video::{Video, is_video};

/// Longest name of a file on common systems, and what the name of a result adds to that of its input while it is written.
const NAME_BYTES: usize = 255;
const RESULT_ENDING: usize = ".png.part".len();

/// A file and what its results are called.
type Input = (PathBuf, String);

/// A file or folder and why there is nothing of it.
type Failure = (String, String);

/// One row of `geometry.csv`. Lengths in pixels of the input; millimetres only where the file says its scale.
#[derive(Serialize)]
struct Row<'a> {
    input: &'a str,
    /// Number of the frame in its file, those counted that are damaged.
    frame: u64,
    needle: bool,
    /// None where the picture is unlike the training data: then it says nothing.
    confidence: Option<f64>,
    entry_x: Option<f64>,
    entry_y: Option<f64>,
    tip_x: Option<f64>,
    tip_y: Option<f64>,
    tip_spread_px: Option<f64>,
    angle_deg: Option<f64>,
    length_px: Option<f64>,
    length_mm: Option<f64>,
    mask_pixels: usize,
    /// How far the picture is from those that the model learned from, where its file tells; above 1 it is unlike them.
    novelty: Option<f64>,
    /// Whether it is.
    unlike_training: bool,
    /// Seconds from the first frame, where the file tells.
    time_s: Option<f64>,
}

pub(crate) fn run(verb: &Predict) -> Result<()> {
    let chosen = device::choose(verb.device)?;
    let predictor = files::load_model(&verb.model, &chosen.device)?;
    let (inputs, mut failures) = inputs(&verb.inputs, &verb.out)?;
    failures.iter().for_each(|(place, reason)| warn(format!("{place}: {reason}")));
    let unseen = failures.len();
    let mut work = Work {
        predictor,
        out: &verb.out,
        every: verb.every,
        damaged: verb.damaged,
        rows: csv::Writer::from_writer(Vec::new()),
    };
    write_classes(&work.predictor, &verb.out)?;
    let mut predicted = 0;
    let progress = bar(inputs.len() as u64, "predicting");
    for (path, label) in &inputs {
        progress.set_message(label.clone());
        match work.file(path, label) {
            Ok(frames) => predicted += frames,
            Err(error) => {
                // A full disk or a lost device is nobody's input: it ends the command.
                if error.chain().all(|cause| !cause.is::<DataError>() && !is_name(cause)) {
                    return Err(error);
                }
                progress.suspend(|| warn(format!("{error:#}")));
                failures.push((label.clone(), format!("{error:#}")));
            }
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    files::write(&verb.out.join("geometry.csv"), &work.rows.into_inner()?)?;
    say(format!(
        "{predicted} frames of {} files on {}: {}",
        inputs.len() + unseen - failures.len(),
        chosen.name,
        verb.out.display()
    ));
    let failures_path = verb.out.join("failures.csv");
    if failures.is_empty() {
        // Of an earlier command, about what can be read now.
        if failures_path.exists() {
            fs::remove_file(&failures_path).with_context(|| files::absolute(&failures_path))?;
        }
        return Ok(());
    }
    let mut list = csv::Writer::from_writer(Vec::new());
    list.write_record(["input", "reason"])?;
    for (label, reason) in &failures {
        list.write_record([label, reason])?;
    }
    files::write(&failures_path, &list.into_inner()?)?;
    say(format!("what could not be read, and why: {}", failures_path.display()));
    Err(SomeFailed { failed: failures.len(), total: inputs.len() + unseen }.into())
}

/// What the numbers in the masks mean, where classes are told apart: `classes.csv`, with the colours of the overlays.
fn write_classes(predictor: &Predictor, out: &Path) -> Result<()> {
    let classes = &predictor.header().recipe.data.classes;
    if classes.is_empty() {
        return Ok(());
    }
    let mut rows = csv::Writer::from_writer(Vec::new());
    rows.write_record(["class", "name", "red", "green", "blue"])?;
    for (class, name) in (1..).zip(classes) {
        let colour = colour_over_grey(class);
        rows.serialize((class, name, colour))?;
    }
    files::write(&out.join("classes.csv"), &rows.into_inner()?)
}

/// Whether a name was too long for the place of the results, or not allowed there: that is one input's trouble.
fn is_name(cause: &(dyn Error + 'static)) -> bool {
    cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::InvalidFilename)
}

/// All files with their labels, no two of them alike: results of one must not take the place of another's. Second, what
/// could not be looked into, each with the reason.
fn inputs(given: &[PathBuf], out: &Path) -> Result<(Vec<Input>, Vec<Failure>)> {
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for input in given {
        collect(input, out, &mut found, &mut failures);
    }
    found.sort();
    found.dedup_by(|(a, _), (b, _)| a == b);
    if found.is_empty() && failures.is_empty() {
        let given: Vec<String> = given.iter().map(|input| files::absolute(input)).collect();
        return Err(DataError::unreadable(given.join(", "), "holds no files").into());
    }
    let mut often: BTreeMap<PathBuf, usize> = BTreeMap::new();
    for (_, below) in &found {
        *often.entry(below.clone()).or_default() += 1;
    }
    let labelled = |(path, below): (PathBuf, PathBuf)| {
        let whole = std::path::absolute(&path).unwrap_or_else(|_| path.clone());
        let parts = whole.components().filter(|part| matches!(part, Component::Normal(_)));
        let label = if often[&below] > 1 { label(&parts.collect::<PathBuf>()) } else { label(&below) };
        (path, label)
    };
    Ok((found.into_iter().map(labelled).collect(), failures))
}

/// A file by its name, a folder by all files below it but the results; each with its path below what was given. Links to
/// folders are not followed, because they may lead back to where they stand.
fn collect(input: &Path, out: &Path, found: &mut Vec<(PathBuf, PathBuf)>, failures: &mut Vec<Failure>) {
    if !input.is_dir() {
        found.push((input.to_owned(), input.file_name().unwrap_or_default().into()));
        return;
    }
    let results = |path: &Path| path.is_dir() && files::same(path, out);
    let walk = WalkDir::new(input).into_iter();
    for entry in walk.filter_entry(|entry| entry.depth() == 0 || !results(entry.path())) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(e) => {
                let path = e.path().map(files::absolute).unwrap_or_default();
                failures.push((path, format!("cannot be looked into: {e}")));
                continue;
            }
        };
        let path = entry.path();
        if path.is_dir() {
            if entry.depth() > 0 && entry.path_is_symlink() {
                warn(format!(
                    "{}: a link to a folder, which is not followed: name it to read it",
                    files::absolute(path)
                ));
            }
        } else if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            let below = path.strip_prefix(input).unwrap_or(path).to_owned();
            found.push((entry.into_path(), below));
        }
    }
}

/// What the results of a file are called: its path, as text that no other path has, and so short that a result's name fits.
fn label(below: &Path) -> String {
    let text = below.to_string_lossy();
    let name = text.rsplit('/').next().unwrap_or(&text);
    if matches!(text, Cow::Borrowed(_)) && name.len() + RESULT_ENDING <= NAME_BYTES {
        return text.into_owned();
    }
    let hash = Sha256::digest(below.as_os_str().as_encoded_bytes());
    let hash: String = hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let mut room = NAME_BYTES - RESULT_ENDING - hash.len() - 1;
    while !name.is_char_boundary(room.min(name.len())) {
        room -= 1;
    }
    let folders = &text[..text.len() - name.len()];
    format!("{folders}{}-{hash}", &name[..room.min(name.len())])
}

struct Work<'a> {
    predictor: Predictor,
    out: &'a Path,
    every: u64,
    damaged: Damaged,
    rows: csv::Writer<Vec<u8>>,
}

/// A frame with its number in the file and its time.
#[derive(Clone)]
struct Frame {
    image: Image,
    number: u64,
    time_s: Option<f64>,
}

impl Work<'_> {
    /// Predict a file; the number of frames done.
    fn file(&mut self, path: &Path, label: &str) -> Result<u64> {
        if is_video(path) {
            // A missing file is to be called so, not a broken video.
            fs::metadata(path).map_err(|e| DataError::unreadable(files::absolute(path), e))?;
            return self.video(label, Video::open(path, self.damaged)?);
        }
        let (name, bytes) = (files::absolute(path), files::read(path)?);
        if let Some(video) = formats::dicom_video(&name, &bytes)? {
            return self.video(label, Video::of_dicom(&name, &video, self.damaged)?);
        }
        let clip = formats::open(&name, bytes)?;
        clip.notes().iter().for_each(|note| warn(format!("{label}: {note}")));
        let times = clip.frame_times_us().unwrap_or_default();
        let mut next = 0;
        self.frames(label, clip.len() > 1, || {
            if next >= clip.len() {
                return Ok(None);
            }
            let time_s = times.get(next).map(|&us| us as f64 / 1e6);
            let frame = Frame { image: clip.frame(next)?, number: next as u64, time_s };
            next += 1;
            Ok(Some(frame))
        })
    }

    fn video(&mut self, label: &str, mut video: Video) -> Result<u64> {
        video.notes().iter().for_each(|note| warn(format!("{label}: {note}")));
        self.frames(label, true, || {
            let next = video.next()?;
            Ok(next.map(|next| Frame { image: next.image, number: next.number as u64, time_s: next.time_s }))
        })
    }

    /// Slide the network's window over the frames. At the ends of a clip, and of each stretch of it between frames that are
    /// lost, the first and the last frame repeat.
    fn frames(
        &mut self,
        label: &str,
        numbered: bool,
        mut next: impl FnMut() -> Result<Option<Frame>, DataError>,
    ) -> Result<u64> {
        let half = self.predictor.window() / 2;
        let mut window: VecDeque<Frame> = VecDeque::new();
        let Some(first) = next()? else {
            return Err(DataError::unreadable(label, "holds no frames").into());
        };
        window.extend(std::iter::repeat_n(first, half + 1));
        let (mut done, mut left) = (0, half);
        let mut failure = None;
        loop {
            while window.len() < 2 * half + 1 {
                let more = if failure.is_none() {
                    next().unwrap_or_else(|e| {
                        failure = Some(e);
                        None
                    })
                } else {
                    None
                };
                match more {
                    Some(frame) => window.push_back(frame),
                    None if left > 0 => {
                        left -= 1;
                        window.extend(window.back().cloned());
                    }
                    None => {
                        return match failure {
                            Some(error) => Err(error.into()),
                            None => Ok(done),
                        };
                    }
                }
            }
            if window[half].number.is_multiple_of(self.every) {
                self.frame(label, numbered, &window)?;
                done += 1;
            }
            window.pop_front();
        }
    }

    fn frame(&mut self, label: &str, numbered: bool, around: &VecDeque<Frame>) -> Result<()> {
        let half = around.len() / 2;
        // At the ends of a clip a frame stands there several times.
        let follows = |at: usize| around[at + 1].number <= around[at].number + 1;
        let frames: Vec<&Image> = window(half, half, follows).map(|at| &around[at].image).collect();
        let frame = frames[half];
        let Frame { number: index, time_s, .. } = around[half];
        let prediction = pollster::block_on(self.predictor.predict(&frames))?;
        let stem = if numbered { format!("{label}/{index:06}.png") } else { format!("{label}.png") };
        if let Some(mask) = prediction.mask() {
            files::write(&self.out.join("masks").join(&stem), &encode_png_mask(mask)?)?;
        }
        let apart = !self.predictor.header().recipe.data.classes.is_empty();
        let overlay = encode_png_rgb(frame.height, frame.width, &overlay::draw(frame, &prediction, apart))?;
        files::write(&self.out.join("overlays").join(&stem), &overlay)?;
        let found = prediction.needle();
        let needle = found.map(|f| f.needle);
        let spacing = needle.and_then(|n| frame.scale.at(&[(n.entry.x, n.entry.y), (n.tip.x, n.tip.y)]));
        self.rows.serialize(Row {
            input: label,
            frame: index,
            needle: found.is_some(),
            confidence: found.filter(|_| !prediction.is_unlike_training()).map(|f| f.confidence),
            entry_x: needle.map(|n| n.entry.x),
            entry_y: needle.map(|n| n.entry.y),
            tip_x: needle.map(|n| n.tip.x),
            tip_y: needle.map(|n| n.tip.y),
            tip_spread_px: found.map(|f| f.tip_spread_px),
            angle_deg: needle.map(|n| n.angle_deg(spacing)),
            length_px: needle.map(|n| n.length_px()),
            length_mm: needle.zip(spacing).map(|(n, spacing)| n.length_mm(spacing)),
            mask_pixels: prediction.mask().map_or(0, |mask| mask.classes.iter().filter(|&&class| class > 0).count()),
            novelty: prediction.novelty.map(|novelty| (novelty * 1e4).round() / 1e4),
            unlike_training: prediction.is_unlike_training(),
            time_s: time_s.map(|time| (time * 1e6).round() / 1e6),
        })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_paths_unless_the_results_would_not_fit() {
        assert_eq!(label(Path::new("a/b.png")), "a/b.png");
        let long = |end: char| format!("folder/{}{end}.png", "é".repeat(123));
        let labels = [label(Path::new(&long('a'))), label(Path::new(&long('b')))];
        assert_ne!(labels[0], labels[1]);
        for label in labels {
            let name = label.strip_prefix("folder/éé").unwrap();
            assert!(name.len() + 4 + RESULT_ENDING <= NAME_BYTES, "{label}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn names_that_are_no_text_keep_apart_and_links_to_folders_are_not_followed() {
        use std::os::unix::ffi::OsStrExt;
        let root = tempfile::tempdir().unwrap();
        let name = |byte: u8| root.path().join(std::ffi::OsStr::from_bytes(&[b'a', byte, b'.', b'p']));
        for byte in [0xe8, 0xe9] {
            fs::write(name(byte), b"x").unwrap();
        }
        fs::create_dir(root.path().join("sub")).unwrap();
        fs::write(root.path().join("sub/b.p"), b"x").unwrap();
        for (link, to) in [("self", "."), ("sub/up", ".."), ("c.p", "sub/b.p")] {
            std::os::unix::fs::symlink(to, root.path().join(link)).unwrap();
        }
        let (found, failures) = inputs(&[root.path().to_owned()], &root.path().join("out")).unwrap();
        let mut labels: Vec<&str> = found.iter().map(|(_, label)| label.as_str()).collect();
        assert_eq!(failures.len(), 0);
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), 4, "two odd names, a file below and a link to a file: {labels:?}");
        assert!(labels.contains(&"sub/b.p") && labels.contains(&"c.p"));
    }
}
