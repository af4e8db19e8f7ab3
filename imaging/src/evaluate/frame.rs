//! One frame: what is true, what a method says, and how far that is off, all at the network's size.

use super::figures::Score;
use super::traits::Traits;
use super::truth::{Truth, truth};
use crate::baseline::{BaselineConfig, brightest_line};
use crate::dataset::sample::Sample;
use crate::geometry::{Image, Mask, Needle, Spacing, draw_capsule, resize};
use crate::metrics::classes::class_measures;
use crate::metrics::needle::NeedleError;
use crate::metrics::overlap::Counts;
use crate::metrics::shape_measures;

/// What a method says about one frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The class of every pixel, 1 where only one is looked for, `[size, size]`.
    pub mask: Vec<u8>,
    /// The needle that is reported.
    pub needle: Option<Needle>,
    /// How sure it is of that; each method has its own scale.
    pub confidence: f64,
}

/// One frame with both answers.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Its number in the data.
    pub sample: usize,
    /// Its name.
    pub id: String,
    /// Procedure or patient.
    pub group: String,
    /// How hard it is, as the data say.
    pub difficulty: String,
    /// What is true of it.
    pub traits: Traits,
    /// The network.
    pub model: Score,
    /// What learned nothing.
    pub baseline: Score,
}

/// What answers about a frame are compared with.
#[derive(Clone, Debug)]
pub struct Reference {
    size: usize,
    radius_px: f64,
    /// The class of every pixel, or [`Mask::IGNORE`] where nobody judged, `[size, size]`; without classes 1 where something
    /// is.
    mask: Vec<u8>,
    /// What is told apart, numbered from 1.
    classes: Vec<String>,
    /// None where the truth is a mask.
    needle: Option<Option<Needle>>,
    spacing: Option<Spacing>,
}

impl Reference {
    /// The truth about a sample's middle frame on a square of `size` pixels, needles being `radius_px` thick on either
    /// side; `None` when it has no label. `classes` are those that are told apart, numbered from 1; without any, all are one.
    pub fn new(sample: &Sample, size: usize, radius_px: f64, classes: &[String]) -> Option<Self> {
        let frame = &sample.frames[sample.frames.len() / 2];
        let (extent, square) = ([frame.height, frame.width], [size, size]);
        let (mask, needle) = match truth(sample)? {
            Truth::Needle(_) if !classes.is_empty() => return None,
            Truth::Needle(needle) => {
                let needle = needle.map(|needle| needle.scaled(extent, square));
                let drawn = needle.map(|needle| draw_capsule(&needle, radius_px, size, size).classes);
                (drawn.unwrap_or_else(|| vec![0; size * size]), Some(needle))
            }
            Truth::Mask(mask) => {
                let mask = Mask { height: size, width: size, classes: resize::nearest(&mask.classes, extent, square) };
                // What was judged may vanish between the pixels of the square.
                mask.is_judged().then_some(())?;
                (if classes.is_empty() { as_one(&mask.classes) } else { mask.classes }, None)
            }
        };
        let classes = classes.to_vec();
        Some(Self { size, radius_px, mask, classes, needle, spacing: square_spacing(frame, size) })
    }

    /// How an answer compares.
    pub fn score(&self, answer: &Answer) -> Score {
        let shape = if self.classes.is_empty() {
            let judged = answer.mask.iter().zip(&self.mask).map(|(&class, &truth)| class == 1 && truth != Mask::IGNORE);
            let predicted: Vec<bool> = judged.collect();
            let truth: Vec<bool> = self.mask.iter().map(|&class| class == 1).collect();
            shape_measures(&predicted, &truth, [self.size, self.size])
        } else {
            class_measures(&answer.mask, &self.mask, &self.classes)
        };
        let error = |truth: &Option<Needle>| NeedleError::new(answer.needle.as_ref(), truth.as_ref(), self.spacing);
        Score {
            needle: answer.needle,
            counts: Counts::from_classes(&as_one(&answer.mask), &as_one(&self.mask), 1),
            shape,
            error: self.needle.as_ref().map(error),
            confidence: answer.confidence,
        }
    }

    /// What can be said about `frame` without learning: a needle is the brightest line; of an object all that is known is that
    /// it is somewhere; of several classes that most pixels belong to none.
    pub fn baseline(&self, frame: &Image) -> Answer {
        let (size, square) = (self.size, [self.size, self.size]);
        if self.needle.is_none() {
            let everywhere = u8::from(self.classes.is_empty());
            return Answer { mask: vec![everywhere; size * size], needle: None, confidence: 0.0 };
        }
        let grey = frame.to_grey();
        let pixels = resize::bilinear_antialiased(&grey.pixels, [frame.height, frame.width], square);
        let found = brightest_line(&pixels, size, size, &BaselineConfig::default());
        let drawn = found.as_ref().map(|line| draw_capsule(&line.needle, self.radius_px, size, size).classes);
        Answer {
            mask: drawn.unwrap_or_else(|| vec![0; size * size]),
            needle: found.as_ref().map(|line| line.needle),
            confidence: found.map_or(0.0, |line| line.score),
        }
    }
}

/// All classes as one; what nobody judged stays so.
fn as_one(classes: &[u8]) -> Vec<u8> {
    let one = |&class: &u8| if class == Mask::IGNORE { class } else { u8::from(class > 0) };
    classes.iter().map(one).collect()
}

/// Size of a pixel of the resized square.
fn square_spacing(frame: &Image, size: usize) -> Option<Spacing> {
    let corners = [(0.0, 0.0), (frame.width as f64 - 1.0, frame.height as f64 - 1.0)];
    let spacing = frame.scale.at(&corners)?;
    Some(Spacing {
        x_mm: spacing.x_mm * frame.width as f64 / size as f64,
        y_mm: spacing.y_mm * frame.height as f64 / size as f64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::sample::Target;

    #[test]
    fn a_frame_without_label_has_no_reference_and_masks_have_no_needle() {
        let sample = |target| Sample {
            id: "p/0".into(),
            group: "p".into(),
            frames: vec![Image::grey(8, 8, vec![0.5; 64])],
            targets: vec![target],
        };
        assert!(Reference::new(&sample(Target::Unknown), 4, 1.0, &[]).is_none());
        let mut mask = Mask::empty(8, 8);
        mask.classes[..32].fill(2);
        let reference = Reference::new(&sample(Target::Mask(mask)), 4, 1.0, &[]).unwrap();
        let score = reference.score(&reference.baseline(&Image::grey(8, 8, vec![0.5; 64])));
        assert_eq!((score.counts, score.error.is_none()), (Counts { tp: 8, fp: 8, fn_: 0, tn: 0 }, true));

        let mut mask = Mask::empty(8, 8);
        mask.classes[..16].fill(1);
        mask.classes[16..48].fill(Mask::IGNORE);
        let reference = Reference::new(&sample(Target::Mask(mask.clone())), 8, 1.0, &[]).unwrap();
        let answer = |from: usize| {
            let mask = (0..64).map(|at| u8::from((from..48).contains(&at))).collect();
            reference.score(&Answer { mask, needle: None, confidence: 0.0 })
        };
        // Of the 32 judged pixels 8 are found, and nothing that is marked in the other 32 counts.
        assert_eq!(answer(8).counts, Counts { tp: 8, fp: 0, fn_: 8, tn: 16 });
        assert_eq!((answer(16).counts.tp, answer(16).counts.fp, answer(16).shape), (0, 0, answer(64).shape));
        assert_eq!(reference.score(&reference.baseline(&Image::grey(8, 8, vec![0.5; 64]))).counts.fp, 16);
        mask.classes.fill(Mask::IGNORE);
        assert!(Reference::new(&sample(Target::Mask(mask)), 8, 1.0, &[]).is_none(), "nobody judged any of it");
    }

    #[test]
    fn classes_are_told_apart_beside_the_background() {
        let mut mask = Mask::empty(8, 8);
        mask.classes[..16].fill(1);
        mask.classes[16..24].fill(2);
        mask.classes[24..32].fill(Mask::IGNORE);
        let frame = Image::grey(8, 8, vec![0.5; 64]);
        let sample = Sample {
            id: "p/0".into(),
            group: "p".into(),
            frames: vec![frame.clone()],
            targets: vec![Target::Mask(mask.clone())],
        };
        let classes = ["nerve", "vessel"].map(str::to_owned);
        let reference = Reference::new(&sample, 8, 1.0, &classes).unwrap();
        let score = |mask: Vec<u8>| reference.score(&Answer { mask, needle: None, confidence: 0.0 });
        let wrong_class = score((0..64).map(|at| u8::from(at < 24)).collect());
        assert_eq!(wrong_class.counts, Counts { tp: 24, fp: 0, fn_: 0, tn: 32 }, "objects of any class");
        let iou = |class: &str| wrong_class.shape.value(&format!("iou_{class}"));
        assert_eq!((iou("background"), iou("nerve"), iou("vessel")), (Some(1.0), Some(2.0 / 3.0), Some(0.0)));
        let nothing = reference.score(&reference.baseline(&frame));
        assert_eq!(nothing.shape.value("miou"), Some(32.0 / 56.0 / 3.0));
        let needle = Sample { targets: vec![Target::Needle(None)], ..sample };
        assert!(Reference::new(&needle, 8, 1.0, &classes).is_none(), "a needle has no class");
    }
}
