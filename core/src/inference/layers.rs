//! What a network says of a frame, as layers: each can be shown, stored and measured without the others.

use sonoseg_imaging::evaluate::Answer;
use sonoseg_imaging::geometry::{Detection, Mask, shaft_of};

/// One kind of answer, at the size of the picture that the prediction is about.
#[derive(Clone, Debug, PartialEq)]
pub enum Layer {
    /// Probability of what is to be found, of any class where several are, row-major `[height, width]`.
    Probability(Vec<f32>),
    /// The class of every pixel.
    Classes(Mask),
    /// The needle, if one is seen; only of networks that look for needles.
    Needle(Option<Detection>),
}

/// What is seen in one frame: a layer of a kind, or none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prediction {
    /// The layers, those that others are made from first.
    pub layers: Vec<Layer>,
    /// How far the picture is from those that the network learned from, where the model file tells; above 1 it is unlike them.
    pub novelty: Option<f64>,
}

/// How far the tip of a needle that is called seen may be off, as a share of the picture's edge.
const TIP_IS_KNOWN: f64 = 1.0 / 24.0;

impl Prediction {
    /// Whether the picture is unlike anything that the network learned from: then nothing that it says can be trusted.
    pub fn is_unlike_training(&self) -> bool {
        self.novelty.is_some_and(|novelty| novelty > 1.0)
    }

    /// The probability of every pixel, row-major `[height, width]`.
    pub fn probability(&self) -> Option<&[f32]> {
        self.layers.iter().find_map(|layer| match layer {
            Layer::Probability(probability) => Some(&probability[..]),
            _ => None,
        })
    }

    /// The class of every pixel.
    pub fn mask(&self) -> Option<&Mask> {
        self.layers.iter().find_map(|layer| match layer {
            Layer::Classes(mask) => Some(mask),
            _ => None,
        })
    }

    /// The needle, if one is looked for and seen.
    pub fn needle(&self) -> Option<&Detection> {
        self.layers.iter().find_map(|layer| match layer {
            Layer::Needle(found) => found.as_ref(),
            _ => None,
        })
    }

    /// What is said, to be compared with a label of the same size.
    pub fn answer(&self) -> Answer {
        let found = self.needle();
        Answer {
            mask: self.mask().map(|mask| mask.classes.clone()).unwrap_or_default(),
            needle: found.map(|found| found.needle),
            confidence: found.map_or(0.0, |found| found.confidence),
        }
    }

    /// The needle, where it can be called seen: its tip is known.
    pub fn seen(&self) -> Option<&Detection> {
        let edge = self.mask().map_or(0.0, |mask| ((mask.height * mask.width) as f64).sqrt());
        self.needle().filter(|found| found.tip_spread_px <= TIP_IS_KNOWN * edge)
    }

    /// The mask of what is called seen: of classes all of it, of a needle the parts that it runs through.
    pub fn marked(&self) -> Option<Mask> {
        let mask = self.mask()?;
        let looked_for = self.layers.iter().any(|layer| matches!(layer, Layer::Needle(_)));
        Some(match self.seen() {
            Some(found) => shaft_of(mask, &found.needle),
            None if looked_for => Mask::empty(mask.height, mask.width),
            None => mask.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sonoseg_imaging::geometry::{Needle, Point};

    #[test]
    fn nothing_is_marked_where_nothing_is_called_seen() {
        let mut mask = Mask::empty(32, 32);
        (4..20).for_each(|x| mask.classes[10 * 32 + x] = 1);
        let shaft = mask.clone();
        mask.classes[30 * 32 + 30] = 1;
        let needle = Needle { entry: Point { x: 4.0, y: 10.0 }, tip: Point { x: 19.0, y: 10.0 } };
        let found = |tip_spread_px| Detection { needle, confidence: 0.9, tip_spread_px, pixels: 16 };
        let said = |needle: Option<Layer>| Prediction {
            layers: std::iter::once(Layer::Classes(mask.clone())).chain(needle).collect(),
            novelty: None,
        };
        let sure = said(Some(Layer::Needle(Some(found(1.0)))));
        assert!(sure.seen().is_some());
        assert_eq!(sure.marked().unwrap(), shaft, "a blob elsewhere is no part of the needle");
        for vague in [said(Some(Layer::Needle(Some(found(9.0))))), said(Some(Layer::Needle(None)))] {
            assert!(vague.seen().is_none() && vague.marked().unwrap().is_empty());
        }
        assert_eq!(said(None).marked().unwrap(), mask, "classes are shown as they are");
    }
}
