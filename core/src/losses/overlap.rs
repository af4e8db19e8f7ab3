//! Losses between a predicted and a true mask, all on logits, as MONAI defines them. Pixels that nobody judged can be left
//! out: then each loss is that of the other pixels alone.

use burn::tensor::{Tensor, activation};
use serde::{Deserialize, Serialize};

/// Settings of [`dice_focal`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DiceFocalConfig {
    /// Added to numerator and denominator of Dice. With 1 an empty prediction on an empty mask costs nothing;
    /// MONAI's 1e-5 makes every needle-free frame cost 1 without any gradient.
    pub smooth: f64,
    /// Focusing exponent of the focal loss; 0 makes it the binary cross-entropy, the usual loss of a U-Net with
    /// one mask (Amiri 2019 names none).
    pub gamma: f64,
    /// Weight of the Dice term; 0 leaves it out.
    pub dice_weight: f64,
    /// Weight of the focal term.
    pub focal_weight: f64,
    /// Whether the pictures of a batch have one Dice together (MONAI's `batch`, nnU-Net's `batch_dice`). Alone, a picture without
    /// any object hardly moves what is wrongly marked in it: of `n` marked pixels each has a gradient of `1 / n^2`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub batch_dice: bool,
    /// Where pixels are that nobody judged: what the focal term is a mean over.
    #[serde(skip_serializing_if = "MeanOver::is_judged")]
    pub mean_over: MeanOver,
}

/// The pixels that a mean is taken over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MeanOver {
    /// Those that somebody judged.
    #[default]
    Judged,
    /// All; those that nobody judged are 0. So does mmsegmentation, where a picture counts the less the less of it is judged.
    All,
}

impl MeanOver {
    fn is_judged(&self) -> bool {
        *self == Self::Judged
    }
}

impl Default for DiceFocalConfig {
    fn default() -> Self {
        Self {
            smooth: 1.0,
            gamma: 2.0,
            dice_weight: 1.0,
            focal_weight: 1.0,
            batch_dice: false,
            mean_over: MeanOver::Judged,
        }
    }
}

/// Soft Dice of each (sample, channel), averaged: `1 - (2 sum(p y) + s) / (sum p + sum y + s)`.
///
/// # Shapes
/// - `logits`, `target`: `[batch, channels, height, width]`
/// - output: `[1]`
pub fn dice(logits: Tensor<4>, target: Tensor<4>, smooth: f64) -> Tensor<1> {
    dice_planes(activation::sigmoid(logits), target, smooth).mean()
}

/// The planes of a channel in all pictures of a batch as one.
///
/// # Shapes
/// - `maps`: `[batch, channels, height, width]`
/// - output: `[1, channels, batch * height, width]`
fn joined(maps: Tensor<4>) -> Tensor<4> {
    let [batch, channels, height, width] = maps.dims();
    maps.swap_dims(0, 1).reshape([1, channels, batch * height, width])
}

/// Soft Dice of each plane, `[batch * channels, 1]`.
pub(super) fn dice_planes(probability: Tensor<4>, target: Tensor<4>, smooth: f64) -> Tensor<2> {
    let [batch, channels, height, width] = probability.dims();
    assert_eq!(target.dims(), probability.dims(), "Dice compares maps of one size");
    let rows = [batch * channels, height * width];
    let probability = probability.reshape(rows);
    let target = target.reshape(rows);
    let both = (probability.clone() * target.clone()).sum_dim(1);
    let all = (probability + target).sum_dim(1);
    let overlap: Tensor<2> = (both * 2.0 + smooth) / (all + smooth);
    overlap.neg() + 1.0
}

/// Sigmoid focal loss, mean over all elements: `BCE * (1 - p_t)^gamma`, times `alpha` where the target is 1 and
/// `1 - alpha` elsewhere, if given.
///
/// # Shapes
/// - `logits`, `target`: `[batch, channels, height, width]`
/// - output: `[1]`
pub fn focal(logits: Tensor<4>, target: Tensor<4>, gamma: f64, alpha: Option<f64>) -> Tensor<1> {
    focal_pixels(logits, target, gamma, alpha).mean()
}

/// [`focal`] of every pixel.
fn focal_pixels(logits: Tensor<4>, target: Tensor<4>, gamma: f64, alpha: Option<f64>) -> Tensor<4> {
    assert_eq!(target.dims(), logits.dims(), "the focal loss compares maps of one size");
    // With s = +1 where the target is 1 and -1 elsewhere: BCE = -log sigmoid(s x) and 1 - p_t = sigmoid(-s x).
    let signed = logits * (target.clone() * 2.0 - 1.0);
    let cross_entropy = activation::log_sigmoid(signed.clone()).neg();
    let weight = activation::log_sigmoid(signed.neg()).mul_scalar(gamma).exp();
    let loss = cross_entropy * weight;
    match alpha {
        Some(alpha) => loss * (target * (2.0 * alpha - 1.0) + (1.0 - alpha)),
        None => loss,
    }
}

/// Binary cross-entropy, mean over all elements.
///
/// # Shapes
/// - `logits`, `target`: `[batch, channels, height, width]`
/// - output: `[1]`
pub fn binary_cross_entropy(logits: Tensor<4>, target: Tensor<4>) -> Tensor<1> {
    cross_entropy_pixels(logits, target).mean()
}

/// [`binary_cross_entropy`] of every pixel.
fn cross_entropy_pixels(logits: Tensor<4>, target: Tensor<4>) -> Tensor<4> {
    assert_eq!(target.dims(), logits.dims(), "the cross-entropy compares maps of one size");
    // As in `focal`, but for targets between 0 and 1 too: -log sigmoid(x) + (1 - y) x.
    activation::log_sigmoid(logits.clone()).neg() + logits * (target.neg() + 1.0)
}

/// [`dice`] and [`focal`] summed with their weights: the loss of Yang 2024 (section 2.4). With the weight 0 for Dice
/// and a focal loss that does not focus it is the binary cross-entropy.
///
/// # Shapes
/// - `logits`, `target`: `[batch, channels, height, width]`
/// - output: `[1]`
pub fn dice_focal(logits: Tensor<4>, target: Tensor<4>, config: &DiceFocalConfig) -> Tensor<1> {
    let pixels = if config.gamma == 0.0 {
        binary_cross_entropy(logits.clone(), target.clone())
    } else {
        focal(logits.clone(), target.clone(), config.gamma, None)
    };
    if config.dice_weight == 0.0 {
        return pixels * config.focal_weight;
    }
    let join = |maps| if config.batch_dice { joined(maps) } else { maps };
    dice(join(logits), join(target), config.smooth) * config.dice_weight + pixels * config.focal_weight
}

/// What the Dice of each channel is made of: the pixels that prediction and target have in common, those that either has, and
/// those that somebody judged. The sums of parts of a batch add up to those of the batch.
///
/// # Shapes
/// - `logits`, `target`, `judged`: `[batch, channels, height, width]`, as for [`judged_dice_focal`]
/// - output: `[3, channels]`
pub fn dice_sums(logits: Tensor<4>, target: Tensor<4>, judged: Option<Tensor<4>>) -> Tensor<2> {
    let judged = judged.unwrap_or_else(|| target.ones_like());
    let probability = activation::sigmoid(logits) * judged.clone();
    let target = target * judged.clone();
    let each = |maps: Tensor<4>| -> Tensor<2> {
        let [batch, channels, height, width] = maps.dims();
        maps.swap_dims(0, 1).reshape([channels, batch * height * width]).sum_dim(1).swap_dims(0, 1)
    };
    Tensor::cat(vec![each(probability.clone() * target.clone()), each(probability + target), each(judged)], 0)
}

/// [`dice_focal`] or [`judged_dice_focal`] of a batch that has one Dice together, for one of its `parts`: the mean over the parts
/// is the loss of the batch, and so is the mean of their gradients.
///
/// # Shapes
/// - `logits`, `target`, `judged`: `[batch, channels, height, width]`, those of the part
/// - `whole`: `[3, channels]`, [`dice_sums`] of all parts, added up
/// - output: `[1]`
pub fn part_dice_focal(
    logits: Tensor<4>,
    target: Tensor<4>,
    judged: Option<Tensor<4>>,
    whole: Tensor<2>,
    parts: usize,
    config: &DiceFocalConfig,
) -> Tensor<1> {
    let pixels = focal_pixels_of(logits.clone(), target.clone(), config.gamma);
    let pixels = match &judged {
        Some(judged) => pixels * judged.clone(),
        None => pixels,
    };
    let pixels = pixels.sum() * parts as f64 / whole.clone().narrow(0, 2, 1).sum().clamp_min(1.0);
    let own = dice_sums(logits, target, judged);
    // The numbers are those of the batch, of which this part's own can be changed.
    let sums = own.clone() - own.detach() + whole;
    let row = |at: usize| sums.clone().narrow(0, at, 1);
    let planes: Tensor<2> = ((row(0) * 2.0 + config.smooth) / (row(1) + config.smooth)).neg() + 1.0;
    let counted = row(2).clamp_max(1.0);
    let dice = (planes * counted.clone()).sum() / counted.sum().clamp_min(1.0);
    // Each part has its own share of the gradient, and the loss of all.
    let dice = dice.clone() * parts as f64 - dice.detach() * (parts as f64 - 1.0);
    dice * config.dice_weight + pixels * config.focal_weight
}

/// The focal loss of every pixel, and where it does not focus the binary cross-entropy.
fn focal_pixels_of(logits: Tensor<4>, target: Tensor<4>, gamma: f64) -> Tensor<4> {
    if gamma == 0.0 { cross_entropy_pixels(logits, target) } else { focal_pixels(logits, target, gamma, None) }
}

/// [`dice_focal`] of the judged pixels alone. A plane without any has no Dice, and a batch without any costs nothing.
///
/// # Shapes
/// - `logits`, `target`: `[batch, channels, height, width]`
/// - `judged`: the same, 1 where somebody judged and 0 elsewhere
/// - output: `[1]`
pub fn judged_dice_focal(
    logits: Tensor<4>,
    target: Tensor<4>,
    judged: Tensor<4>,
    config: &DiceFocalConfig,
) -> Tensor<1> {
    assert_eq!(judged.dims(), logits.dims(), "every pixel is judged or not");
    let pixels = focal_pixels_of(logits.clone(), target.clone(), config.gamma);
    let pixels = match config.mean_over {
        MeanOver::All => (pixels * judged.clone()).mean(),
        MeanOver::Judged => (pixels * judged.clone()).sum() / judged.clone().sum().clamp_min(1.0),
    };
    if config.dice_weight == 0.0 {
        return pixels * config.focal_weight;
    }
    let join = |maps| if config.batch_dice { joined(maps) } else { maps };
    let (logits, target, judged) = (join(logits), join(target), join(judged));
    let [batch, channels, height, width] = logits.dims();
    let planes = dice_planes(activation::sigmoid(logits) * judged.clone(), target * judged.clone(), config.smooth);
    let counted = judged.reshape([batch * channels, height * width]).sum_dim(1).clamp_max(1.0);
    let dice = (planes * counted.clone()).sum() / counted.sum().clamp_min(1.0);
    dice * config.dice_weight + pixels * config.focal_weight
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn map(values: [f32; 4]) -> Tensor<4> {
        Tensor::<1>::from_floats(values, &Device::flex()).reshape([1, 1, 2, 2])
    }

    #[test]
    fn parts_of_a_batch_have_its_loss_and_its_gradients_together() {
        let device = Device::flex().autodiff();
        let numbers = |factor: f32| -> Vec<f32> { (0..96).map(|at| (at as f32 * factor).sin() * 3.0).collect() };
        let maps = |numbers: Vec<f32>| Tensor::<1>::from_floats(numbers.as_slice(), &device).reshape([4, 2, 3, 4]);
        let bits =
            |factor: f32| maps(numbers(factor).into_iter().map(|number| f32::from(u8::from(number > 1.5))).collect());
        let (logits, target, judged) = (maps(numbers(0.7)).require_grad(), bits(1.3), bits(0.37));
        for gamma in [0.0, 2.0] {
            let config = DiceFocalConfig { gamma, batch_dice: true, focal_weight: 10.0, ..DiceFocalConfig::default() };
            for judged in [None, Some(judged.clone())] {
                let all = match judged.clone() {
                    Some(judged) => judged_dice_focal(logits.clone(), target.clone(), judged, &config),
                    None => dice_focal(logits.clone(), target.clone(), &config),
                };
                // Three pictures and one: parts need not be of one size.
                let parts = [(0, 3), (3, 1)].map(|(first, count)| {
                    let cut = |maps: &Tensor<4>| maps.clone().narrow(0, first, count);
                    (cut(&logits), cut(&target), judged.as_ref().map(cut))
                });
                let sums = |(logits, target, judged): &(Tensor<4>, Tensor<4>, Option<Tensor<4>>)| {
                    dice_sums(logits.clone(), target.clone(), judged.clone()).detach()
                };
                let whole = sums(&parts[0]) + sums(&parts[1]);
                let part = |(logits, target, judged): (Tensor<4>, Tensor<4>, Option<Tensor<4>>)| {
                    part_dice_focal(logits, target, judged, whole.clone(), 2, &config)
                };
                let [first, second] = parts.map(part);
                let mean = (first + second) / 2.0;
                let [all, mean] = [all, mean].map(|loss| {
                    let gradient = logits.grad(&loss.backward()).unwrap().into_data().try_into_vec::<f32>().unwrap();
                    (loss.into_scalar::<f32>(), gradient)
                });
                assert!((all.0 - mean.0).abs() < 1e-5, "{gamma}: {} and {}", all.0, mean.0);
                let apart = all.1.iter().zip(&mean.1).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(apart < 1e-6 && all.1.iter().any(|gradient| gradient.abs() > 1e-3), "{gamma}: {apart}");
            }
        }
    }

    #[test]
    fn closed_form_values_of_the_specification() {
        let (logits, target) = (map([2.0, -1.0, 0.5, -3.0]), map([1.0, 0.0, 0.0, 1.0]));
        let close = |loss: Tensor<1>, expected: f32| {
            let loss = loss.into_data().try_into_vec::<f32>().unwrap()[0];
            assert!((loss - expected).abs() < 2e-6, "{loss} instead of {expected}");
        };
        close(dice(logits.clone(), target.clone(), 1e-5), 0.513_970_2);
        close(focal(logits.clone(), target.clone(), 2.0, None), 0.792_038_4);
        let config = DiceFocalConfig { smooth: 1e-5, ..Default::default() };
        close(dice_focal(logits.clone(), target.clone(), &config), 1.306_008_6);
        close(binary_cross_entropy(logits.clone(), target.clone()), 1.115_713_5);
        close(focal(logits.clone(), target.clone(), 0.0, None), 1.115_713_5);
        let config = DiceFocalConfig { dice_weight: 0.0, gamma: 0.0, ..Default::default() };
        close(dice_focal(logits.clone(), target, &config), 1.115_713_5);
        close(dice(logits, map([0.0; 4]), 1e-5), 0.999_994_5);
        close(dice(map([-40.0; 4]), map([0.0; 4]), 1.0), 0.0);
    }

    #[test]
    fn the_dice_of_a_batch_is_that_of_its_pictures_side_by_side() {
        let device = Device::flex();
        let numbers = |shift: f32| (0..16).map(|at| (at as f32 * 0.7 + shift).sin()).collect::<Vec<f32>>();
        // Two pictures of two channels, [2, 2, 2, 2], and both beside each other, [1, 2, 2, 4].
        let apart = |numbers: &[f32]| Tensor::<1>::from_floats(numbers, &device).reshape([2, 2, 2, 2]);
        let beside = |numbers: &[f32]| {
            let pictures = apart(numbers);
            Tensor::cat(vec![pictures.clone().narrow(0, 0, 1), pictures.narrow(0, 1, 1)], 3)
        };
        let (logits, truth) =
            (numbers(0.0), numbers(1.0).iter().map(|&x| f32::from(u8::from(x > 0.3))).collect::<Vec<_>>());
        let value = |loss: Tensor<1>| loss.into_data().try_into_vec::<f32>().unwrap()[0];
        let config = DiceFocalConfig { batch_dice: true, ..Default::default() };
        let each = value(dice_focal(apart(&logits), apart(&truth), &DiceFocalConfig::default()));
        let together = value(dice_focal(apart(&logits), apart(&truth), &config));
        let one = value(dice_focal(beside(&logits), beside(&truth), &DiceFocalConfig::default()));
        assert!((together - one).abs() < 1e-6 && (together - each).abs() > 1e-4, "{together}, {one}, {each}");
        let judged = apart(&[1.0; 16]);
        assert!((value(judged_dice_focal(apart(&logits), apart(&truth), judged, &config)) - together).abs() < 1e-6);
    }

    #[test]
    fn a_loss_of_judged_pixels_is_the_loss_of_a_picture_of_them_alone() {
        let device = Device::flex();
        let tensor = |numbers: &[f32], shape: [usize; 4]| Tensor::<1>::from_floats(numbers, &device).reshape(shape);
        let (logits, target) = ([2.0, -1.0, 0.5, -3.0, 30.0, -30.0], [1.0, 0.0, 0.0, 1.0, 0.0, 1.0]);
        let value = |loss: Tensor<1>| loss.into_data().try_into_vec::<f32>().unwrap()[0];
        for config in [
            DiceFocalConfig::default(),
            DiceFocalConfig { smooth: 1e-5, ..Default::default() },
            DiceFocalConfig { gamma: 0.0, dice_weight: 0.0, ..Default::default() },
            DiceFocalConfig { batch_dice: true, ..Default::default() },
        ] {
            let alone = dice_focal(tensor(&logits[..4], [1, 1, 2, 2]), tensor(&target[..4], [1, 1, 2, 2]), &config);
            // Two pixels that nobody judged, far off, and a second picture of them.
            let (mut all, mut truth, mut judged) =
                (logits.to_vec(), target.to_vec(), vec![1.0, 1.0, 1.0, 1.0, 0.0, 0.0]);
            all.extend([9.0; 6]);
            truth.extend([0.0; 6]);
            judged.extend([0.0; 6]);
            let of_judged = |all: &[f32]| {
                let logits = tensor(all, [2, 1, 2, 3]).detach();
                let device = Device::flex().autodiff();
                let logits = Tensor::<4>::from_data(logits.into_data(), &device).require_grad();
                let on = |numbers: &[f32]| Tensor::<1>::from_floats(numbers, &device).reshape([2, 1, 2, 3]);
                let loss = judged_dice_focal(logits.clone(), on(&truth), on(&judged), &config);
                let gradients = loss.backward();
                let gradient = logits.grad(&gradients).unwrap().into_data().try_into_vec::<f32>().unwrap();
                (value(loss.inner()), gradient)
            };
            let (loss, gradient) = of_judged(&all);
            assert!((loss - value(alone.clone())).abs() < 1e-6, "{loss} instead of {}", value(alone));
            assert!(gradient[..4].iter().all(|&g| g != 0.0) && gradient[4..].iter().all(|&g| g == 0.0), "{gradient:?}");
            all[4..].fill(-5.0);
            assert_eq!(of_judged(&all), (loss, gradient), "what nobody judged has no part in it");
            let everything = tensor(&[1.0; 4], [1, 1, 2, 2]);
            let (x, y) = (tensor(&logits[..4], [1, 1, 2, 2]), tensor(&target[..4], [1, 1, 2, 2]));
            assert!((value(judged_dice_focal(x.clone(), y.clone(), everything.clone(), &config)) - loss).abs() < 1e-6);
            assert_eq!(value(judged_dice_focal(x, y, everything * 0.0, &config)), 0.0);
        }
    }
}
