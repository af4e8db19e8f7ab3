//! One procedure on disk: numbered frames, their masks and their end points.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use sonoseg_core::recipe::DataRecipe;
use sonoseg_imaging::DataError;
use sonoseg_imaging::dataset::sample::Target;
use sonoseg_imaging::formats;
use sonoseg_imaging::formats::mask::read_class_mask;
use sonoseg_imaging::geometry::Needle;
use sonoseg_imaging::geometry::{Image, Mask, Scale};

use super::labels::read_labels;
use super::meta::Meta;
use crate::files;

/// One procedure on disk.
#[derive(Clone, Debug)]
pub(crate) struct ProcedureFolder {
    pub(crate) id: String,
    pub(crate) meta: Meta,
    /// Frames in the order of their numbers.
    frames: Vec<Frame>,
    labels: BTreeMap<usize, Option<Needle>>,
    /// What of the masks counts as foreground; every class, and needles before masks, when none.
    class: Option<Class>,
}

/// What of the masks counts as foreground.
#[derive(Clone, Copy, Debug)]
enum Class {
    /// Every class.
    Any,
    /// The class of this number.
    Number(u8),
}

/// A frame's number and files.
#[derive(Clone, Debug)]
struct Frame {
    number: usize,
    path: PathBuf,
    mask: Option<PathBuf>,
}

/// The PNG files of a folder: by the number that is their name, and those with another name or a number twice.
pub(crate) struct Numbered {
    pub(crate) files: BTreeMap<usize, PathBuf>,
    pub(crate) odd: Vec<PathBuf>,
}

impl Numbered {
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let entries = fs::read_dir(folder).map_err(|e| DataError::unreadable(files::absolute(folder), e))?;
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        let (mut files, mut odd) = (BTreeMap::new(), Vec::new());
        for path in paths.into_iter().filter(|path| path.extension().is_some_and(|end| end == "png")) {
            let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<usize>().ok());
            match number {
                Some(number) if !files.contains_key(&number) => {
                    files.insert(number, path);
                }
                _ => odd.push(path),
            }
        }
        Ok(Self { files, odd })
    }
}

impl ProcedureFolder {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let id = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let meta = Meta::read(path)?;
        let frames = Numbered::read(&path.join("frames"))?;
        if let Some(odd) = frames.odd.first() {
            let reason = "a frame's name is its number, like 000012.png, and every number occurs once";
            return Err(DataError::unreadable(files::absolute(odd), reason).into());
        }
        let mask_folder = path.join("masks");
        let mut masks = if mask_folder.is_dir() { Numbered::read(&mask_folder)?.files } else { BTreeMap::new() };
        let frames = frames.files.into_iter().map(|(number, path)| Frame { number, path, mask: masks.remove(&number) });
        let labels_path = path.join("labels.csv");
        let labels = if labels_path.exists() { read_labels(&labels_path)? } else { BTreeMap::new() };
        let mut procedure = Self { id, frames: frames.collect(), labels, class: None, meta };
        if let Some(class) = procedure.meta.class.clone() {
            procedure.class = Some(procedure.class(&class)?);
        }
        Ok(procedure)
    }

    /// The group that splits keep together.
    pub(crate) fn group(&self) -> &str {
        self.meta.group.as_deref().unwrap_or(&self.id)
    }

    /// The number of a class given by name or number, where the masks of the procedure may hold it.
    pub(super) fn class_number(&self, wanted: &str) -> Option<u8> {
        self.meta.class_number(wanted).filter(|_| self.frames.iter().any(|frame| frame.mask.is_some()))
    }

    /// From now on the given class of the masks, by name or number, is the foreground. `elsewhere`: its number in
    /// another procedure and the classes there, which may go on where those of this one end.
    pub(super) fn choose_class(
        &mut self,
        wanted: &str,
        elsewhere: Option<&(u8, Vec<String>)>,
    ) -> Result<(), DataError> {
        if self.frames.iter().any(|frame| frame.mask.is_some()) {
            let mine = &self.meta.classes;
            let absent = elsewhere.filter(|(_, names)| !mine.is_empty() && names.starts_with(mine));
            self.class = Some(self.class(wanted).or_else(|error| absent.map(|(n, _)| Class::Number(*n)).ok_or(error))?);
        }
        Ok(())
    }

    fn class(&self, wanted: &str) -> Result<Class, DataError> {
        if wanted == DataRecipe::ANY_CLASS {
            return Ok(Class::Any);
        }
        self.meta.class_number(wanted).map(Class::Number).ok_or_else(|| {
            let known = match self.meta.classes.get(1..) {
                Some(names) if !names.is_empty() => format!("its classes are {}", names.join(", ")),
                _ => "meta.json names no classes, so that only numbers from 1 on can be chosen".into(),
            };
            DataError::Inconsistent(format!("{}: there is no class {wanted}; {known}", self.id))
        })
    }

    /// First frames of all windows of `length` frames in a row, by position. Single pictures make windows of 1 only.
    pub(super) fn windows(&self, length: usize) -> impl Iterator<Item = usize> {
        let starts = if self.meta.stills && length > 1 { 0 } else { (self.frames.len() + 1).saturating_sub(length) };
        let number = |at: usize| self.frames[at].number;
        (0..starts).filter(move |&first| number(first + length - 1) - number(first) == length - 1)
    }

    /// Whether every frame of the window has a mask or end points.
    pub(super) fn is_labelled(&self, first: usize, length: usize) -> bool {
        let frames = &self.frames[first..first + length];
        frames.iter().all(|frame| self.needle(frame).is_some() || frame.mask.is_some())
    }

    /// Whether any frame has a mask or end points.
    pub(super) fn any_labelled(&self) -> bool {
        (0..self.frames.len()).any(|index| self.is_labelled(index, 1))
    }

    /// End points are the better label of a needle, because the mask can be drawn from them after every change of the
    /// picture. Where a class of the masks is chosen, only masks count.
    fn needle(&self, frame: &Frame) -> Option<Target> {
        let label = self.labels.get(&frame.number).filter(|_| self.class.is_none());
        label.map(|needle| Target::Needle(*needle))
    }

    /// Numbers of the frames, or of those that are labelled, in rising order.
    pub(super) fn frame_numbers(&self, labelled: bool) -> Vec<usize> {
        (0..self.frames.len()).filter(|&at| !labelled || self.is_labelled(at, 1)).map(|at| self.number(at)).collect()
    }

    /// Number of the frame at a position.
    pub(super) fn number(&self, index: usize) -> usize {
        self.frames[index].number
    }

    /// A frame by its position, with what is known about it.
    pub(super) fn load(&self, index: usize) -> Result<(Image, Target), DataError> {
        let frame = &self.frames[index];
        let name = files::absolute(&frame.path);
        let bytes = fs::read(&frame.path).map_err(|e| DataError::unreadable(name.clone(), e))?;
        let image = formats::open(&name, bytes)?.frame(0)?;
        let image = match self.meta.spacing {
            Some(spacing) => image.with_scale(Scale::Everywhere(spacing)),
            None => image,
        };
        let target = match (self.needle(frame), &frame.mask) {
            (Some(needle), _) => needle,
            (None, Some(path)) => Target::Mask(self.mask(path, &image)?),
            (None, None) => Target::Unknown,
        };
        Ok((image, target))
    }

    fn mask(&self, path: &Path, image: &Image) -> Result<Mask, DataError> {
        let name = files::absolute(path);
        let bytes = fs::read(path).map_err(|e| DataError::unreadable(name.clone(), e))?;
        let mut mask = read_class_mask(&name, &bytes)?;
        if [mask.height, mask.width] != [image.height, image.width] {
            let sizes = format!("{}x{}, and its frame {}x{}", mask.width, mask.height, image.width, image.height);
            return Err(DataError::Inconsistent(format!("{name} is {sizes}: a mask has its frame's size")));
        }
        let chosen = |pixel: u8| match self.class {
            None => pixel,
            Some(Class::Any) => u8::from(pixel > 0),
            Some(Class::Number(class)) => u8::from(pixel == class),
        };
        mask.classes.iter_mut().for_each(|pixel| *pixel = chosen(*pixel));
        Ok(mask)
    }

    /// Classes that occur in the masks, whatever is chosen of them.
    pub(super) fn classes_seen(&self) -> Result<BTreeSet<u8>> {
        let mut seen = BTreeSet::new();
        for path in self.frames.iter().filter_map(|frame| frame.mask.as_ref()) {
            let mask = read_class_mask(&files::absolute(path), &files::read(path)?)?;
            seen.extend(mask.classes.into_iter().filter(|&class| class > 0));
        }
        Ok(seen)
    }

    /// Classes that the procedure's masks name.
    pub(super) fn class_names(&self) -> BTreeSet<&str> {
        self.meta.classes.iter().skip(1).map(String::as_str).collect()
    }
}
