//! A procedure: numbered frames, their masks and their end points. Files are known by their names; whoever can read them
//! hands over their bytes.

use std::collections::{BTreeMap, BTreeSet};

use super::finding::Finding;
use super::folder::Listed;
use super::meta::Meta;
use super::sample::Target;
use crate::DataError;
use crate::formats::mask::read_class_mask;
use crate::formats::open;
use crate::geometry::{Image, Mask, Needle, Scale};

/// One procedure.
#[derive(Clone, Debug)]
pub struct Procedure {
    /// Name of its folder.
    pub id: String,
    /// What is known about all of its frames.
    pub meta: Meta,
    /// Frames in the order of their numbers.
    frames: Vec<Frame>,
    labels: BTreeMap<usize, Option<Needle>>,
    /// What of the masks counts as foreground; every class as it is, and needles before masks, when none.
    foreground: Option<Foreground>,
}

/// What of the masks counts as foreground.
#[derive(Clone, Debug)]
enum Foreground {
    /// Every class, as one.
    Any,
    /// The classes of these numbers, which become 1, 2 and so on.
    Classes(Vec<u8>),
}

/// A frame's number and the names of its files.
#[derive(Clone, Debug)]
struct Frame {
    number: usize,
    file: String,
    mask: Option<String>,
}

impl Procedure {
    /// The procedure in the folder `id`. `place` gives the name of a file of it, for messages.
    pub fn new(id: String, listed: Listed, place: impl Fn(&str) -> String) -> Result<Self, DataError> {
        let Listed { meta, frames, mut masks, labels } = listed;
        if let Some(odd) = frames.odd.first() {
            let reason = "a frame's name is its number, like 000012.png, and every number occurs once";
            return Err(DataError::unreadable(place(&format!("frames/{odd}")), reason));
        }
        let frame = |(number, file)| Frame { number, file, mask: masks.files.remove(&number) };
        let frames = frames.files.into_iter().map(frame).collect();
        let bad = |line: usize, e: String| DataError::unreadable(place("labels.csv"), format!("line {line}: {e}"));
        let rows = labels.into_iter().map(|(line, row)| row.map_err(|e| bad(line, e)));
        let labels = rows.collect::<Result<_, _>>()?;
        let mut procedure = Self { id, frames, labels, foreground: None, meta };
        if let Some(class) = procedure.meta.class.clone() {
            procedure.foreground = Some(procedure.foreground(&[class], &[])?);
        }
        Ok(procedure)
    }

    /// The group that splits keep together.
    pub fn group(&self) -> &str {
        self.meta.group.as_deref().unwrap_or(&self.id)
    }

    /// The number of a class given by name or number, where the masks of the procedure may hold it.
    pub(crate) fn class_number(&self, wanted: &str) -> Option<u8> {
        self.meta.class_number(wanted).filter(|_| self.frames.iter().any(|frame| frame.mask.is_some()))
    }

    /// From now on the given classes of the masks, by name or number, are the foreground, and end points are no label any
    /// more. `elsewhere`: the number of each in another procedure and the classes there, which may go on where those of this
    /// one end.
    pub(crate) fn choose_classes(
        &mut self,
        wanted: &[String],
        elsewhere: &[Option<(u8, Vec<String>)>],
    ) -> Result<(), DataError> {
        self.labels.clear();
        if self.frames.iter().any(|frame| frame.mask.is_some()) {
            self.foreground = Some(self.foreground(wanted, elsewhere)?);
        }
        Ok(())
    }

    fn foreground(&self, wanted: &[String], elsewhere: &[Option<(u8, Vec<String>)>]) -> Result<Foreground, DataError> {
        if wanted == [Finding::ANY_CLASS] {
            return Ok(Foreground::Any);
        }
        let mine = &self.meta.classes;
        let number = |(index, one): (usize, &String)| {
            let absent = elsewhere.get(index).and_then(Option::as_ref);
            let absent = absent.filter(|(_, names)| !mine.is_empty() && names.starts_with(mine));
            self.meta.class_number(one).or(absent.map(|(number, _)| *number)).ok_or_else(|| {
                let known = match mine.get(1..) {
                    Some(names) if !names.is_empty() => format!("its classes are {}", names.join(", ")),
                    _ => "meta.json names no classes, so that only numbers from 1 on can be chosen".into(),
                };
                DataError::Inconsistent(format!("{}: there is no class {one}; {known}", self.id))
            })
        };
        wanted.iter().enumerate().map(number).collect::<Result<_, _>>().map(Foreground::Classes)
    }

    /// First frames of all windows of `length` frames in a row, by position. Single pictures make windows of 1 only.
    pub(crate) fn windows(&self, length: usize) -> impl Iterator<Item = usize> {
        let starts = if self.meta.stills && length > 1 { 0 } else { (self.frames.len() + 1).saturating_sub(length) };
        let number = |at: usize| self.frames[at].number;
        (0..starts).filter(move |&first| number(first + length - 1) - number(first) == length - 1)
    }

    /// Whether every frame of the window has a mask or end points.
    pub(crate) fn is_labelled(&self, first: usize, length: usize) -> bool {
        let frames = &self.frames[first..first + length];
        frames.iter().all(|frame| self.needle(frame).is_some() || frame.mask.is_some())
    }

    /// Whether any frame has a mask or end points.
    pub(crate) fn any_labelled(&self) -> bool {
        (0..self.frames.len()).any(|index| self.is_labelled(index, 1))
    }

    /// End points are the better label of a needle, because the mask can be drawn from them after every change of the
    /// picture. Where a class of the masks is chosen, only masks count.
    fn needle(&self, frame: &Frame) -> Option<Target> {
        let label = self.labels.get(&frame.number).filter(|_| self.foreground.is_none());
        label.map(|needle| Target::Needle(*needle))
    }

    /// How many frames there are.
    pub fn frame_count(&self) -> usize {
        self.frames.len()
    }

    /// End points by the number of the frame, where they are labels.
    pub fn end_points(&self) -> &BTreeMap<usize, Option<Needle>> {
        &self.labels
    }

    /// Number of the frame at a position.
    pub fn number(&self, index: usize) -> usize {
        self.frames[index].number
    }

    /// The names of a frame's picture and of its mask, in the folder of the procedure.
    pub fn files(&self, index: usize) -> (String, Option<String>) {
        let frame = &self.frames[index];
        (format!("frames/{}", frame.file), frame.mask.as_ref().map(|mask| format!("masks/{mask}")))
    }

    /// Take masks that nobody judged anywhere for no label. Only where `meta.json` names an ignored value are masks read.
    pub fn without_unjudged(
        mut self,
        read: impl Fn(&str) -> Result<(String, Vec<u8>), DataError>,
    ) -> Result<Self, DataError> {
        if self.meta.ignore.is_none() {
            return Ok(self);
        }
        for frame in &mut self.frames {
            let Some(mask) = &frame.mask else { continue };
            let (name, bytes) = read(&format!("masks/{mask}"))?;
            if !read_class_mask(&name, &bytes, self.meta.ignore)?.is_judged() {
                frame.mask = None;
            }
        }
        Ok(self)
    }

    /// The names of all masks, in the folder of the procedure.
    pub fn mask_files(&self) -> impl Iterator<Item = String> {
        self.frames.iter().filter_map(|frame| Some(format!("masks/{}", frame.mask.as_ref()?)))
    }

    /// A frame by its position, with what is known about it. `read` gives the name of a file for messages, and its bytes.
    pub fn load(
        &self,
        index: usize,
        read: impl Fn(&str) -> Result<(String, Vec<u8>), DataError>,
    ) -> Result<(Image, Target), DataError> {
        let (picture, mask) = self.files(index);
        let (name, bytes) = read(&picture)?;
        let picture = open(&name, bytes)?;
        if picture.len() > 1 {
            let reason = format!("holds {} frames, and a frame of a procedure is a file of its own", picture.len());
            return Err(DataError::unsupported(name, reason));
        }
        let image = picture.frame(0)?;
        let image = match self.meta.spacing {
            Some(spacing) => image.with_scale(Scale::Everywhere(spacing)),
            None => image,
        };
        let target = match (self.needle(&self.frames[index]), mask) {
            (Some(needle), _) => needle,
            (None, Some(mask)) => {
                let (name, bytes) = read(&mask)?;
                Target::Mask(self.mask(&name, &bytes, &image)?)
            }
            (None, None) => Target::Unknown,
        };
        Ok((image, target))
    }

    fn mask(&self, name: &str, bytes: &[u8], image: &Image) -> Result<Mask, DataError> {
        let mut mask = read_class_mask(name, bytes, self.meta.ignore)?;
        if [mask.height, mask.width] != [image.height, image.width] {
            let sizes = format!("{}x{}, and its frame {}x{}", mask.width, mask.height, image.width, image.height);
            return Err(DataError::Inconsistent(format!("{name} is {sizes}: a mask has its frame's size")));
        }
        let chosen = |pixel: u8| match &self.foreground {
            None => pixel,
            Some(_) if pixel == Mask::IGNORE => pixel,
            Some(Foreground::Any) => u8::from(pixel > 0),
            // At most 255 numbers are found among the classes.
            Some(Foreground::Classes(numbers)) => {
                numbers.iter().position(|&number| number == pixel).map_or(0, |at| at as u8 + 1)
            }
        };
        mask.classes.iter_mut().for_each(|pixel| *pixel = chosen(*pixel));
        Ok(mask)
    }

    /// Classes that the procedure's masks name.
    pub(crate) fn class_names(&self) -> BTreeSet<&str> {
        self.meta.classes.iter().skip(1).map(String::as_str).collect()
    }
}
