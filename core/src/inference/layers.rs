//! What a network says of a frame, as layers: each can be shown, stored and measured without the others.

use sonoseg_imaging::geometry::{Detection, Mask};

/// One kind of answer, at the size of the picture that the prediction is about.
#[derive(Clone, Debug, PartialEq)]
pub enum Layer {
    /// Probability of what is to be found, row-major `[height, width]`.
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
}
