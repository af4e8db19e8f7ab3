//! The network and its parts by name, as `bench/unetr.py` names them, so that both sides time the same work.

use burn::tensor::Tensor;
use sonoseg_core::blocks::conv::ConvBlock;
use sonoseg_core::blocks::up::{UpBlock, apply_double_size};
use sonoseg_core::models::unetr::Unetr;

/// Compute one part. `taps` are those of the network's configuration.
pub(crate) fn run(network: &Unetr, taps: &[usize], part: &str, inputs: &[Tensor<4>]) -> Result<Tensor<4>, String> {
    let decoder = &network.decoder;
    let raise = |blocks: &[UpBlock], x: &Tensor<4>| blocks.iter().fold(x.clone(), |x, block| block.forward(x));
    let refine = |blocks: &[ConvBlock], x| blocks.iter().fold(x, |x, block| block.forward(x));
    let join =
        |up, x: &Tensor<4>, skip: &Tensor<4>| Tensor::cat(vec![apply_double_size(up, x.clone()), skip.clone()], 1);
    Ok(match (part, inputs) {
        ("whole", [images]) => network.forward(images.clone()),
        ("encoder", [images]) => {
            let features = network.encoder.forward_taps(images.clone(), taps);
            Tensor::cat(features.taps.into_iter().chain([features.last]).collect(), 1)
        }
        ("skip9", [tap]) => raise(&decoder.skip9, tap),
        ("skip6", [tap]) => raise(&decoder.skip6, tap),
        ("skip3", [tap]) => raise(&decoder.skip3, tap),
        ("dec9", [below, skip]) => refine(&decoder.dec9, join(&decoder.up12, below, skip)),
        ("dec6", [below, skip]) => refine(&decoder.dec6, join(&decoder.up9, below, skip)),
        ("dec3", [below, skip]) => refine(&decoder.dec3, join(&decoder.up6, below, skip)),
        ("head", [below]) => decoder.out.forward(refine(&decoder.head, apply_double_size(&decoder.up3, below.clone()))),
        _ => return Err(format!("no part '{part}' with {} inputs", inputs.len())),
    })
}
