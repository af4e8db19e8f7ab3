//! Vision transformers: their sizes as the tensors tell them, and the weights that a network of these sizes has.

use serde::{Deserialize, Serialize};

use super::{ImportOptions, Reader, Sizes, Weight};
use crate::models::vit::VitConfig;

/// Sizes of MAE's decoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecoderSizes {
    /// Numbers per token.
    pub width: usize,
    /// Transformer blocks.
    pub depth: usize,
    /// Attention heads.
    pub heads: usize,
    /// The MLP's inner width as a multiple of the width.
    pub mlp_ratio: usize,
}

/// What a file seems to hold: sizes, all weights of such a network, and what the tensors do not say but must be known.
pub(super) type Understood = (Sizes, Vec<Weight>, Option<String>);

/// The encoder in a file; none if it has no likeness to one.
pub(super) fn encoder(file: &Reader, options: &ImportOptions) -> Option<Understood> {
    let (config, problem) = encoder_sizes(file, options)?;
    let weights = encoder_weights(&config);
    Some((Sizes::Vit(config), weights, problem))
}

/// Encoder and decoder in a file; none if it has no likeness to them.
pub(super) fn auto_encoder(file: &Reader, options: &ImportOptions) -> Option<Understood> {
    let (encoder, problem) = encoder_sizes(file, options)?;
    let width = file.length("decoder_embed.bias").or_else(|| file.length("decoder_norm.weight")).unwrap_or(512);
    let (heads, guess_failed) = heads(width, 32, options.decoder_heads, "decoder-heads");
    let decoder = DecoderSizes {
        width,
        depth: file.count("decoder_blocks.").max(1),
        heads,
        mlp_ratio: ratio(file.length("decoder_blocks.0.mlp.fc1.bias"), width),
    };
    let mut weights = encoder_weights(&encoder);
    weights.extend(decoder_weights(&encoder, &decoder));
    Some((Sizes::Mae { encoder, decoder }, weights, problem.or(guess_failed)))
}

/// The sizes are taken from vectors, whose meaning is plain; where a tensor is missing its usual size stands in, because
/// the import fails anyway and should name everything at once.
fn encoder_sizes(file: &Reader, options: &ImportOptions) -> Option<(VitConfig, Option<String>)> {
    let token = file.shape("cls_token").and_then(|shape| shape.last().copied());
    let width = file.length("patch_embed.proj.bias").or_else(|| file.length("norm.weight")).or(token)?;
    let patches = file.shape("patch_embed.proj.weight").filter(|shape| shape.len() == 4 && shape[3] > 0);
    let (channels, patch_size) = patches.map_or((3, 16), |shape| (shape[1], shape[3]));
    let image_size = options.image_size.or_else(|| {
        let tokens = file.shape("pos_embed").filter(|shape| shape.len() == 3)?[1].checked_sub(1)?;
        let grid = tokens.isqrt();
        (grid > 0 && grid * grid == tokens).then_some(())?;
        grid.checked_mul(patch_size)
    });
    let (heads, heads_problem) = heads(width, if width == 1280 { 80 } else { 64 }, options.heads, "heads");
    let config = VitConfig {
        image_size: image_size.unwrap_or(patch_size.saturating_mul(14)),
        patch_size,
        channels,
        mlp_ratio: ratio(file.length("blocks.0.mlp.fc1.bias"), width),
        ..VitConfig::new(width, file.count("blocks.").max(1), heads)
    };
    let impossible = config.problem().map(|problem| format!("holds a network that is not possible here: {problem}"));
    Some((config, heads_problem.or(impossible)))
}

/// How often the width goes into the inner width of the MLP; 4 where it does not.
fn ratio(inner: Option<usize>, width: usize) -> usize {
    inner.and_then(|inner| inner.checked_div(width)).filter(|&ratio| ratio > 0).unwrap_or(4)
}

/// The number of heads is not in the tensors: given, or one for each `share` of the width.
fn heads(width: usize, share: usize, given: Option<usize>, flag: &str) -> (usize, Option<String>) {
    let heads = given.unwrap_or(width / share);
    if heads > 0 && width.is_multiple_of(heads) && (given.is_some() || width.is_multiple_of(share)) {
        return (heads, None);
    }
    let problem = match given {
        Some(heads) => format!("has the width {width}, which {heads} heads do not divide: give another --{flag}"),
        None => format!("does not say how many attention heads share its width of {width}: give --{flag}"),
    };
    (heads, Some(problem))
}

/// What a vision transformer consists of.
pub(super) fn encoder_weights(config: &VitConfig) -> Vec<Weight> {
    let VitConfig { patch_size, channels, width, depth, mlp_ratio, .. } = *config;
    let grid = config.grid();
    let mut weights = vec![
        ("cls_token".into(), vec![1, 1, width]),
        ("pos_embed".into(), vec![1, grid.saturating_mul(grid).saturating_add(1), width]),
        ("patch_embed.proj.weight".into(), vec![width, channels, patch_size, patch_size]),
        ("patch_embed.proj.bias".into(), vec![width]),
    ];
    weights.extend((0..depth).flat_map(|index| block(&format!("blocks.{index}"), width, mlp_ratio)));
    weights.extend(layer("norm", vec![width]));
    weights
}

/// What MAE's decoder consists of.
pub(super) fn decoder_weights(encoder: &VitConfig, decoder: &DecoderSizes) -> Vec<Weight> {
    let (grid, width) = (encoder.grid(), decoder.width);
    let patch = encoder.patch_size.saturating_mul(encoder.patch_size).saturating_mul(encoder.channels);
    let mut weights = vec![
        ("mask_token".into(), vec![1, 1, width]),
        ("decoder_pos_embed".into(), vec![1, grid.saturating_mul(grid).saturating_add(1), width]),
    ];
    weights.extend(layer("decoder_embed", vec![width, encoder.width]));
    weights.extend((0..decoder.depth).flat_map(|i| block(&format!("decoder_blocks.{i}"), width, decoder.mlp_ratio)));
    weights.extend(layer("decoder_norm", vec![width]));
    weights.extend(layer("decoder_pred", vec![patch, width]));
    weights
}

/// What a transformer block consists of.
fn block(name: &str, width: usize, mlp_ratio: usize) -> Vec<Weight> {
    let inner = width.saturating_mul(mlp_ratio);
    [
        ("norm1", vec![width]),
        ("attn.qkv", vec![width.saturating_mul(3), width]),
        ("attn.proj", vec![width, width]),
        ("norm2", vec![width]),
        ("mlp.fc1", vec![inner, width]),
        ("mlp.fc2", vec![width, inner]),
    ]
    .into_iter()
    .flat_map(|(part, shape)| layer(&format!("{name}.{part}"), shape))
    .collect()
}

/// Weight and bias of a layer or a norm.
fn layer(name: &str, shape: Vec<usize>) -> [Weight; 2] {
    let outputs = vec![shape[0]];
    [(format!("{name}.weight"), shape), (format!("{name}.bias"), outputs)]
}
