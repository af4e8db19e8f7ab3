//! Losses between a predicted and a true mask, all on logits, as MONAI defines them.

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
}

impl Default for DiceFocalConfig {
    fn default() -> Self {
        Self { smooth: 1.0, gamma: 2.0, dice_weight: 1.0, focal_weight: 1.0 }
    }
}

/// Soft Dice of each (sample, channel), averaged: `1 - (2 sum(p y) + s) / (sum p + sum y + s)`.
///
/// # Shapes
/// - `logits`, `target`: `[batch, channels, height, width]`
/// - output: `[1]`
pub fn dice(logits: Tensor<4>, target: Tensor<4>, smooth: f64) -> Tensor<1> {
    let [batch, channels, height, width] = logits.dims();
    assert_eq!(target.dims(), logits.dims(), "Dice compares maps of one size");
    let rows = [batch * channels, height * width];
    let probability = activation::sigmoid(logits).reshape(rows);
    let target = target.reshape(rows);
    let both = (probability.clone() * target.clone()).sum_dim(1);
    let all = (probability + target).sum_dim(1);
    let overlap: Tensor<2> = (both * 2.0 + smooth) / (all + smooth);
    (overlap.neg() + 1.0).mean()
}

/// Sigmoid focal loss, mean over all elements: `BCE * (1 - p_t)^gamma`, times `alpha` where the target is 1 and
/// `1 - alpha` elsewhere, if given.
///
/// # Shapes
/// - `logits`, `target`: `[batch, channels, height, width]`
/// - output: `[1]`
pub fn focal(logits: Tensor<4>, target: Tensor<4>, gamma: f64, alpha: Option<f64>) -> Tensor<1> {
    assert_eq!(target.dims(), logits.dims(), "the focal loss compares maps of one size");
    // With s = +1 where the target is 1 and -1 elsewhere: BCE = -log sigmoid(s x) and 1 - p_t = sigmoid(-s x).
    let signed = logits * (target.clone() * 2.0 - 1.0);
    let cross_entropy = activation::log_sigmoid(signed.clone()).neg();
    let weight = activation::log_sigmoid(signed.neg()).mul_scalar(gamma).exp();
    let loss = cross_entropy * weight;
    match alpha {
        Some(alpha) => (loss * (target * (2.0 * alpha - 1.0) + (1.0 - alpha))).mean(),
        None => loss.mean(),
    }
}

/// Binary cross-entropy, mean over all elements.
///
/// # Shapes
/// - `logits`, `target`: `[batch, channels, height, width]`
/// - output: `[1]`
pub fn binary_cross_entropy(logits: Tensor<4>, target: Tensor<4>) -> Tensor<1> {
    assert_eq!(target.dims(), logits.dims(), "the cross-entropy compares maps of one size");
    // As in `focal`, but for targets between 0 and 1 too: -log sigmoid(x) + (1 - y) x.
    (activation::log_sigmoid(logits.clone()).neg() + logits * (target.neg() + 1.0)).mean()
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
    dice(logits, target, config.smooth) * config.dice_weight + pixels * config.focal_weight
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn map(values: [f32; 4]) -> Tensor<4> {
        Tensor::<1>::from_floats(values, &Device::flex()).reshape([1, 1, 2, 2])
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
}
