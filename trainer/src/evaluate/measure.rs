//! A model and the classical baseline on the same frames, at the network's size.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use sonoseg_core::inference::Predictor;
use sonoseg_imaging::DataError;
use sonoseg_imaging::evaluate::calibration::{Call, Reliability};
use sonoseg_imaging::evaluate::{Figures, Frame, Reference, Score, Traits};
use sonoseg_imaging::formats::encode::encode_png_mask;
use sonoseg_imaging::geometry::Mask;

use super::Chosen;
use crate::files;
use crate::folder::Folder;
use crate::terminal::bar;

/// The set of all frames.
pub(crate) const ALL: &str = "all";

/// Whose answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// The network.
    Model,
    /// What learned nothing: the brightest line, every pixel, or none where classes are told apart.
    Baseline,
}

impl Method {
    fn score(self, frame: &Frame) -> &Score {
        match self {
            Self::Model => &frame.model,
            Self::Baseline => &frame.baseline,
        }
    }

    /// Its figures on some frames.
    pub(crate) fn figures(self, frames: &[&Frame]) -> Figures {
        let scores = frames.iter().map(|frame| (&*frame.group, self.score(frame)));
        Figures::new(&scores.collect::<Vec<_>>())
    }
}

/// All that was measured.
#[derive(Debug)]
pub(crate) struct Evaluation {
    /// Height and width of the network's input; the figures are in its pixels.
    pub(crate) size: usize,
    pub(crate) frames: Vec<Frame>,
    /// Frames left out because nobody labelled them, or a neighbour that the network reads with them.
    pub(crate) unlabelled: usize,
}

impl Evaluation {
    /// Measure on the chosen frames. The model's masks, at the network's size, go into the folder `masks` if there is
    /// one.
    pub(crate) fn measure(predictor: &Predictor, data: &Folder, chosen: &Chosen, masks: Option<&Path>) -> Result<Self> {
        let samples = data.samples(chosen.side.as_ref().map(|(split, side)| (split, *side)), 1);
        let size = predictor.header().recipe.preparation.size;
        let progress = bar(samples.len() as u64, "evaluating");
        let count = samples.len();
        let mut frames = Vec::with_capacity(count);
        for sample in samples {
            frames.extend(measure_frame(predictor, data, sample, masks)?);
            progress.inc(1);
        }
        progress.finish_and_clear();
        if frames.is_empty() {
            let names = chosen.groups.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            let message = format!(
                "none of the {count} frames of the procedures chosen ({names}) is labelled: label them in \
                 labels.csv or masks/"
            );
            return Err(DataError::Inconsistent(message).into());
        }
        let unlabelled = count - frames.len();
        Ok(Self { size, frames, unlabelled })
    }

    /// Whether the truth is needles; masks of a class have no tip.
    pub(crate) fn has_needles(&self) -> bool {
        self.frames.iter().any(|frame| frame.model.error.is_some())
    }

    /// Whether classes are told apart.
    pub(crate) fn has_classes(&self) -> bool {
        self.frames.iter().any(|frame| frame.model.tells_classes())
    }

    /// Figures of a method on all frames, and on those of each difficulty.
    pub(crate) fn figures(&self, method: Method) -> BTreeMap<&str, Figures> {
        let mut sets: BTreeMap<&str, Vec<&Frame>> = BTreeMap::new();
        for frame in &self.frames {
            sets.entry(ALL).or_default().push(frame);
            sets.entry(&frame.difficulty).or_default().push(frame);
        }
        sets.into_iter().map(|(name, frames)| (name, method.figures(&frames))).collect()
    }

    /// The needles that the model called, with the groups of their frames.
    pub(crate) fn calls(&self) -> Vec<(&str, Call)> {
        self.frames.iter().filter_map(|frame| Some((&*frame.group, Call::new(&frame.model, self.size)?))).collect()
    }

    /// How honest the model's confidences are; `None` where the truth is masks, of which nothing is called.
    pub(crate) fn reliability(&self) -> Option<Reliability> {
        let calls: Vec<Call> = self.calls().into_iter().map(|(_, call)| call).collect();
        self.has_needles().then(|| Reliability::new(&calls))
    }
}

/// Both answers on a frame; `None` when it has no label.
fn measure_frame(predictor: &Predictor, data: &Folder, index: usize, masks: Option<&Path>) -> Result<Option<Frame>> {
    let sample = data.sample(index)?;
    let recipe = &predictor.header().recipe;
    let size = recipe.preparation.size;
    let Some(reference) = Reference::new(&sample, size, recipe.needle.radius_px, &recipe.data.classes) else {
        return Ok(None);
    };
    let Some(traits) = Traits::new(&sample) else { return Ok(None) };
    let baseline = reference.score(&reference.baseline(&sample.frames[sample.frames.len() / 2]));
    let answer = pollster::block_on(predictor.answer(&sample))?;
    let model = reference.score(&answer);
    if let Some(folder) = masks {
        let mask = Mask { height: size, width: size, classes: answer.mask };
        files::write(&folder.join(format!("{}.png", sample.id)), &encode_png_mask(&mask)?)?;
    }
    let difficulty = data.procedure(index).meta.difficulty.clone().unwrap_or_else(|| "unknown".into());
    Ok(Some(Frame { sample: index, difficulty, traits, model, baseline, id: sample.id, group: sample.group }))
}
