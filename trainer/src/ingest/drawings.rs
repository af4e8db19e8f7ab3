//! Objects that people drew (LabelMe, COCO, YOLO): which picture they belong to.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use sonoseg_imaging::outlines::json::{self, Json};
use sonoseg_imaging::outlines::{Drawing, yolo};

use super::layout::Role;
use super::pairs::{Still, nearness};
use super::sources::{Found, Remark};
use crate::args::{Ingest, Unlisted};
use crate::files;
use crate::table::count;

/// What drawings there are.
#[derive(Debug, Default)]
pub(super) struct Drawings {
    /// The names of the classes in the order in which the files number them.
    pub(super) classes: Vec<String>,
    pub(super) skipped: Vec<Remark>,
    pub(super) failed: Vec<Remark>,
    pub(super) notes: Vec<String>,
}

impl Drawings {
    /// Read the files and give every picture what was drawn in it.
    pub(super) fn assign(verb: &Ingest, found: &[Found], stills: &mut [Still]) -> Result<Self> {
        let mut drawings = Self::default();
        let mut names: BTreeSet<String> = BTreeSet::new();
        let (mut label_me, mut coco_files, mut yolo_files) = (0, 0, 0);
        let ending = |file: &Found| file.path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        for file in found.iter().filter(|file| ending(file) == "json") {
            match json::read(&files::read(&file.path)?) {
                Ok(Json::LabelMe(drawing)) => {
                    names.extend(drawing.classes().into_iter().map(str::to_owned));
                    label_me += 1;
                    drawings.put(file, drawing, stills);
                }
                Ok(Json::Coco(coco)) => {
                    coco_files += 1;
                    coco.classes.iter().for_each(|name| add(&mut drawings.classes, name));
                    drawings.notes.extend(coco.notes.iter().map(|note| format!("{}: {note}", file.below())));
                    drawings.coco(verb, file, coco.drawings, stills);
                }
                Ok(Json::Foreign(what)) => drawings.failed.push(Remark::new(files::absolute(&file.path), what)),
                Ok(Json::Other) => {
                    drawings.skipped.push(Remark::new(files::absolute(&file.path), "no annotations that are known"));
                }
                Err(reason) => drawings.failed.push(Remark::new(files::absolute(&file.path), reason)),
            }
        }
        yolo_files += drawings.yolo(found, stills)?;
        for file in found.iter().filter(|file| ending(file) == "xml") {
            let text = String::from_utf8_lossy(&files::read(&file.path)?).into_owned();
            let name = files::absolute(&file.path);
            if text.contains("<bndbox>") && !text.contains("<polygon>") {
                drawings.skipped.push(Remark::new(name, "boxes of Pascal VOC, which are no masks and are not read"));
            } else if text.contains("<annotations>") || text.contains("<polygon>") {
                let reason = "annotations in XML (CVAT, LabelMe's old web page), which are not read: export them as COCO 1.0, \
                              or as Segmentation mask 1.1";
                drawings.failed.push(Remark::new(name, reason));
            } else {
                drawings.skipped.push(Remark::new(name, "no annotations that are known"));
            }
        }
        names.iter().for_each(|name| add(&mut drawings.classes, name));
        for (files, kind) in [(label_me, "LabelMe"), (coco_files, "COCO"), (yolo_files, "YOLO")] {
            if files > 0 {
                drawings.notes.push(format!("outlines of {kind} in {}", count(files, "file")));
            }
        }
        Ok(drawings)
    }

    /// One drawing for one picture.
    fn put(&mut self, file: &Found, drawing: Drawing, stills: &mut [Still]) {
        let name = files::absolute(&file.path);
        let owner = match drawing.picture.as_str() {
            "" => owner(file, &file.stem(), stills),
            picture => owner(file, picture, stills),
        };
        match owner {
            Ok(at) => self.give(file, drawing, &mut stills[at]),
            Err(reason) => self.failed.push(Remark::new(name, reason)),
        }
    }

    fn give(&mut self, file: &Found, drawing: Drawing, still: &mut Still) {
        let name = files::absolute(&file.path);
        self.notes.extend(drawing.notes.iter().map(|note| format!("{}: {note}", file.below())));
        if let Some(reason) = &drawing.refused {
            return self.failed.push(Remark::new(name, format!("{}: {reason}", still.file.below())));
        }
        if !still.masks.is_empty() {
            let reason = format!("{} has a mask in a file, which is used", still.file.below());
            return self.skipped.push(Remark::new(name, reason));
        }
        match &mut still.drawn {
            Some((other, _)) if *other == file.path => {
                let reason = format!("it says twice what is in {}: the first is kept", still.file.below());
                self.failed.push(Remark::new(name, reason));
            }
            Some((other, _)) => {
                let reason =
                    format!("{} has objects in {}, too: give one of them", still.file.below(), other.display());
                self.failed.push(Remark::new(name, reason));
            }
            none => *none = Some((file.path.clone(), Arc::new(drawing))),
        }
    }

    fn coco(&mut self, verb: &Ingest, file: &Found, drawings: Vec<Drawing>, stills: &mut [Still]) {
        let (mut without, mut missing) = (0, BTreeMap::new());
        let mut by_name: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (at, still) in stills.iter().enumerate() {
            by_name.entry(still.file.name()).or_default().push(at);
        }
        for drawing in drawings {
            if drawing.objects.is_empty() && drawing.refused.is_none() && verb.unlisted == Unlisted::Unlabelled {
                without += 1;
                continue;
            }
            match owner_among(file, &drawing.picture, stills, &by_name) {
                Ok(at) => self.give(file, drawing, &mut stills[at]),
                Err(reason) => {
                    missing.entry(reason).or_insert((drawing.picture, 0)).1 += 1;
                }
            }
        }
        if without > 0 {
            self.notes.push(format!(
                "{} lists {} without objects, which stay unlabelled; if they show none, say --unlisted nothing",
                file.below(),
                count(without, "picture")
            ));
        }
        for (reason, (_, times)) in missing {
            let times = if times > 1 { format!(" ({times} times)") } else { String::new() };
            self.failed.push(Remark::new(files::absolute(&file.path), format!("{reason}{times}")));
        }
    }

    /// Text files beside pictures, or in `labels/`; how many there are.
    fn yolo(&mut self, found: &[Found], stills: &mut [Still]) -> Result<usize> {
        let (mut names, mut lists): (Vec<String>, Vec<&Found>) = (Vec::new(), Vec::new());
        let mut texts = Vec::new();
        for file in found {
            let name = file.name().to_lowercase();
            if name.ends_with(".yaml") || name.ends_with(".yml") {
                match yolo::names(&files::read(&file.path)?) {
                    Ok(Some(listed)) => {
                        if names.is_empty() || names == listed {
                            names = listed;
                        } else {
                            let reason =
                                "its names of classes are others than those of another such file: give one of them";
                            self.failed.push(Remark::new(files::absolute(&file.path), reason));
                        }
                    }
                    Ok(None) => self.skipped.push(Remark::new(files::absolute(&file.path), "names no classes")),
                    Err(reason) => self.failed.push(Remark::new(files::absolute(&file.path), reason)),
                }
            } else if ["classes.txt", "obj.names", "names.txt"].contains(&name.as_str()) {
                lists.push(file);
            } else if name.ends_with(".txt") {
                texts.push((file, files::read(&file.path)?));
            }
        }
        for list in lists.into_iter().filter(|_| names.is_empty()).collect::<Vec<_>>() {
            names = yolo::listed(&files::read(&list.path)?);
        }
        let filled = |bytes: &[u8]| bytes.iter().any(|byte| !byte.is_ascii_whitespace());
        let any = texts.iter().any(|(_, bytes)| filled(bytes) && yolo::is_labels(bytes));
        let mut used = 0;
        for (file, bytes) in texts {
            // What is no table of numbers is a note or a licence, and an empty file says something beside others only.
            if !any || !yolo::is_labels(&bytes) {
                let beside = Role::of(file.folders.last().map_or("", String::as_str)).is_surely_masks();
                let what = "no picture, DICOM file, video or table";
                if beside && filled(&bytes) && owner(file, &file.stem(), stills).is_ok() {
                    let reason =
                        "a text beside a picture that is no outline of YOLO (a class and points in every line)";
                    self.failed.push(Remark::new(files::absolute(&file.path), reason));
                } else {
                    self.skipped.push(Remark::new(files::absolute(&file.path), what));
                }
                continue;
            }
            match yolo::read(&bytes, &names) {
                Ok(drawing) => {
                    used += 1;
                    drawing
                        .classes()
                        .into_iter()
                        .filter(|_| names.is_empty())
                        .for_each(|name| add(&mut self.classes, name));
                    self.put(file, drawing, stills);
                }
                Err(reason) => self.failed.push(Remark::new(files::absolute(&file.path), reason)),
            }
        }
        if used > 0 {
            names.iter().for_each(|name| add(&mut self.classes, name));
        }
        Ok(used)
    }
}

fn add(names: &mut Vec<String>, name: &str) {
    if !names.iter().any(|known| known == name) {
        names.push(name.to_owned());
    }
}

/// The picture that a file calls `picture`: by its path, or by its name with or without the ending.
fn owner(file: &Found, picture: &str, stills: &[Still]) -> Result<usize, String> {
    let name = picture.rsplit(['/', '\\']).next().unwrap_or(picture);
    let stem = Path::new(name).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut by_name: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (at, still) in stills.iter().enumerate() {
        if still.file.name() == name {
            by_name.entry(name.to_owned()).or_default().push(at);
        } else if still.stem == stem || still.stem == name || still.file.stem() == stem {
            by_name.entry(stem.clone()).or_default().push(at);
        }
    }
    if !by_name.contains_key(name)
        && let Some(found) = by_name.remove(&stem)
    {
        by_name.insert(name.to_owned(), found);
    }
    owner_among(file, picture, stills, &by_name)
}

fn owner_among(
    file: &Found,
    picture: &str,
    stills: &[Still],
    by_name: &BTreeMap<String, Vec<usize>>,
) -> Result<usize, String> {
    let path = picture.replace('\\', "/");
    let name = path.rsplit('/').next().unwrap_or(&path);
    let found = by_name.get(name).map(Vec::as_slice).unwrap_or_default();
    // Most of the path as it is written, then the nearest, then the one whose folder the file's name tells (train, val).
    let folder = file.path.parent().unwrap_or(Path::new(""));
    let written: PathBuf = folder.join(&path);
    let of_split = |at: usize| {
        let file_name = file.name().to_lowercase();
        let folders = &stills[at].file.folders;
        folders.iter().skip(1).any(|part| file_name.contains(&part.to_lowercase()))
    };
    let mut ranked: Vec<((usize, usize), bool, usize)> = found
        .iter()
        .map(|&at| {
            let near = |path: &Path| path.parent().map(Path::to_owned).unwrap_or_default();
            (nearness(&near(&written), &near(&stills[at].file.path)), of_split(at), at)
        })
        .collect();
    ranked.sort_by_key(|&((end, begin), split, _)| std::cmp::Reverse((end, split, begin)));
    match ranked[..] {
        [] => {
            Err(format!("names the picture {picture}, which is not among the sources: add it, or take its entry out"))
        }
        [(.., at)] => Ok(at),
        [(near, split, at), (other, other_split, second), ..] => {
            if (near, split) == (other, other_split) {
                let [a, b] = [at, second].map(|at| stills[at].file.below());
                return Err(format!("names the picture {picture}, which may be {a} or {b}: write its path"));
            }
            Ok(at)
        }
    }
}
