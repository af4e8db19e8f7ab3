//! Residual networks in torchvision's names: their sizes as the tensors tell them, and the weights of such a trunk,
//! running statistics of the batch norms included.

use serde::{Deserialize, Serialize};

use super::vit::Understood;
use super::{Reader, Sizes, Weight};
use crate::models::resnet::{ResnetBlock, ResnetConfig};

/// Sizes of a residual network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResnetSizes {
    /// Kind of its blocks.
    pub block: ResnetBlock,
    /// Input channels.
    pub channels: usize,
    /// Channels of the first convolution.
    pub stem: usize,
    /// Blocks of each stage.
    pub layers: [usize; 4],
    /// Width of each stage.
    pub planes: [usize; 4],
}

impl ResnetSizes {
    /// Of the same tensors, the network that we have, for images of 224 pixels; none where its first convolution has another
    /// width than its first stage.
    pub fn network(&self) -> Option<ResnetConfig> {
        let Self { block, channels, stem, layers, planes } = self.clone();
        (stem == planes[0]).then_some(ResnetConfig { block, channels, layers, planes, ..ResnetConfig::resnet50() })
    }
}

/// The trunk in a file; none if it has no likeness to one.
pub(super) fn trunk(file: &Reader) -> Option<Understood> {
    let stem = file.length("bn1.weight")?;
    let first: [Option<usize>; 4] = [1, 2, 3, 4].map(|stage| file.length(&format!("layer{stage}.0.bn1.weight")));
    first.iter().any(Option::is_some).then_some(())?;
    let bottleneck = file.shape("layer1.0.conv3.weight").is_some() || file.shape("layer1.0.bn3.weight").is_some();
    let sizes = ResnetSizes {
        block: if bottleneck { ResnetBlock::Bottleneck } else { ResnetBlock::Basic },
        channels: file.shape("conv1.weight").filter(|shape| shape.len() == 4).map_or(3, |shape| shape[1]),
        stem,
        layers: [1, 2, 3, 4].map(|stage| file.count(&format!("layer{stage}.")).max(1)),
        planes: [0, 1, 2, 3].map(|stage| first[stage].unwrap_or(stem << stage)),
    };
    let weights = weights(&sizes);
    Some((Sizes::Resnet(sizes), weights, None))
}

fn weights(sizes: &ResnetSizes) -> Vec<Weight> {
    let mut weights = convolution("conv1", "bn1", [sizes.stem, sizes.channels], 7);
    let mut inputs = sizes.stem;
    for (stage, (&blocks, &planes)) in sizes.layers.iter().zip(&sizes.planes).enumerate() {
        let outputs = planes.saturating_mul(sizes.block.expansion());
        for index in 0..blocks {
            let name = format!("layer{}.{index}", stage + 1);
            let part = |number: usize, channels: [usize; 2], kernel: usize| {
                convolution(&format!("{name}.conv{number}"), &format!("{name}.bn{number}"), channels, kernel)
            };
            match sizes.block {
                ResnetBlock::Basic => {
                    weights.extend(part(1, [planes, inputs], 3));
                    weights.extend(part(2, [planes, planes], 3));
                }
                ResnetBlock::Bottleneck => {
                    weights.extend(part(1, [planes, inputs], 1));
                    weights.extend(part(2, [planes, planes], 3));
                    weights.extend(part(3, [outputs, planes], 1));
                }
            }
            // The first block of a stage halves the map, except in the first stage, or changes the channels.
            if index == 0 && (stage > 0 || inputs != outputs) {
                let [projection, norm] = [0, 1].map(|part| format!("{name}.downsample.{part}"));
                weights.extend(convolution(&projection, &norm, [outputs, inputs], 1));
            }
            inputs = outputs;
        }
    }
    weights
}

/// A convolution without bias, `[outputs, inputs]`, and the batch norm behind it.
fn convolution(name: &str, norm: &str, [outputs, inputs]: [usize; 2], kernel: usize) -> Vec<Weight> {
    let mut weights = vec![(format!("{name}.weight"), vec![outputs, inputs, kernel, kernel])];
    for part in ["weight", "bias", "running_mean", "running_var"] {
        weights.push((format!("{norm}.{part}"), vec![outputs]));
    }
    weights
}
