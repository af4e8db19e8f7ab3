//! Losses between pixels of several classes and their true class, on logits: softmax over the background and the classes.
//!
//! The cross-entropy is that of PyTorch, and so is its mean over pixels; what mmsegmentation has instead of that mean is
//! [`MeanOver::All`]. Focusing and Dice are MONAI's with softmax, but for the number of classes that its focal loss is divided by.

use burn::tensor::{Tensor, activation};

use super::overlap::{DiceFocalConfig, MeanOver, dice_planes};

/// Smallest probability of another class, so that its power has a gradient.
const LEAST: f32 = 1e-12;

/// 1 in the map of the class that a pixel is of, 0 in the others.
///
/// # Shapes
/// - `target`: class numbers `[batch, 1, height, width]`
/// - output: `[batch, classes, height, width]`
fn one_hot(target: &Tensor<4>, classes: usize) -> Tensor<4> {
    Tensor::cat((0..classes).map(|class| target.clone().equal_elem(class as f32).float()).collect(), 1)
}

/// Cross-entropy over classes, focused where `gamma` is not 0, and the Dice of all classes, with the weights of `config`. With
/// `dice_weight` and `gamma` 0 it is the cross-entropy alone. Pixels that nobody judged have no part in it but for what
/// [`MeanOver`] says; a batch without any judged pixel costs nothing.
/// `batch_dice` is for one class.
///
/// # Shapes
/// - `logits`: `[batch, classes, height, width]`, the background first
/// - `target`: class numbers `[batch, 1, height, width]`, any where nobody judged
/// - `judged`: 1 where somebody judged and 0 elsewhere, `[batch, 1, height, width]`; none where all of it is judged
/// - output: `[1]`
pub fn class_loss(
    logits: Tensor<4>,
    target: &Tensor<4>,
    judged: Option<Tensor<4>>,
    config: &DiceFocalConfig,
) -> Tensor<1> {
    let [batch, classes, height, width] = logits.dims();
    assert_eq!(target.dims(), [batch, 1, height, width], "every pixel has one class");
    let truth = one_hot(target, classes);
    let log_probability = activation::log_softmax(logits, 1);
    let mut pixels = (log_probability.clone() * truth.clone()).sum_dim(1).neg();
    if config.gamma != 0.0 {
        let others = log_probability.clone().exp() * (truth.clone().neg() + 1.0);
        pixels = pixels * others.sum_dim(1).clamp_min(LEAST).powf_scalar(config.gamma as f32);
    }
    let pixels = match (&judged, config.mean_over) {
        (None, _) => pixels.mean(),
        (Some(judged), MeanOver::All) => (pixels * judged.clone()).mean(),
        (Some(judged), MeanOver::Judged) => (pixels * judged.clone()).sum() / judged.clone().sum().clamp_min(1.0),
    };
    if config.dice_weight == 0.0 {
        return pixels * config.focal_weight;
    }
    let judged = judged.map_or_else(|| truth.ones_like(), |judged| judged.repeat_dim(1, classes));
    let planes = dice_planes(log_probability.exp() * judged.clone(), truth * judged.clone(), config.smooth);
    let counted = judged.reshape([batch * classes, height * width]).sum_dim(1).clamp_max(1.0);
    let dice = (planes * counted.clone()).sum() / counted.sum().clamp_min(1.0);
    dice * config.dice_weight + pixels * config.focal_weight
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    const CLASSES: usize = 3;
    const PIXELS: usize = 8;

    fn logits() -> Vec<f64> {
        (0..2 * CLASSES * PIXELS).map(|at| f64::from((at as f32 * 0.7).sin() * 3.0)).collect()
    }

    const TARGET: [usize; 2 * PIXELS] = [0, 1, 2, 0, 0, 2, 1, 1, 2, 2, 2, 0, 1, 0, 0, 1];
    const JUDGED: [f64; 2 * PIXELS] = [1., 1., 0., 1., 1., 1., 0., 1., 1., 0., 0., 1., 1., 1., 1., 0.];

    /// Probability of every class at a pixel, slowly and simply.
    fn probabilities(logits: &[f64], at: usize) -> Vec<f64> {
        let (picture, pixel) = (at / PIXELS, at % PIXELS);
        let of = |class: usize| logits[(picture * CLASSES + class) * PIXELS + pixel].exp();
        let all: f64 = (0..CLASSES).map(of).sum();
        (0..CLASSES).map(|class| of(class) / all).collect()
    }

    fn expected(logits: &[f64], config: &DiceFocalConfig, judged: &[f64]) -> f64 {
        let (mut pixels, mut dice) = (0.0, 0.0);
        for (at, &class) in TARGET.iter().enumerate() {
            let p = probabilities(logits, at)[class];
            pixels -= judged[at] * p.ln() * (1.0 - p).powf(config.gamma);
        }
        pixels /= match config.mean_over {
            MeanOver::All => judged.len() as f64,
            MeanOver::Judged => judged.iter().sum(),
        };
        for picture in 0..2 {
            for class in 0..CLASSES {
                let (mut both, mut all) = (0.0, 0.0);
                for at in picture * PIXELS..(picture + 1) * PIXELS {
                    let (p, y) = (probabilities(logits, at)[class], f64::from(u8::from(TARGET[at] == class)));
                    both += judged[at] * p * y;
                    all += judged[at] * (p + y);
                }
                dice += 1.0 - (2.0 * both + config.smooth) / (all + config.smooth);
            }
        }
        pixels * config.focal_weight + config.dice_weight * dice / (2 * CLASSES) as f64
    }

    fn loss_and_gradient(logits: &[f64], config: &DiceFocalConfig, judged: Option<&[f64]>) -> (f32, Vec<f32>) {
        let device = Device::flex().autodiff();
        let maps = |numbers: Vec<f32>, channels: usize| {
            Tensor::<1>::from_floats(numbers.as_slice(), &device).reshape([2, channels, 2, PIXELS / 2])
        };
        let narrow = |numbers: &[f64]| numbers.iter().map(|&number| number as f32).collect::<Vec<_>>();
        let logits = maps(narrow(logits), CLASSES).require_grad();
        let target = maps(TARGET.iter().map(|&class| class as f32).collect(), 1);
        let loss = class_loss(logits.clone(), &target, judged.map(|judged| maps(narrow(judged), 1)), config);
        let gradient = logits.grad(&loss.backward()).unwrap().into_data().try_into_vec().unwrap();
        (loss.into_scalar::<f32>(), gradient)
    }

    #[test]
    fn loss_and_gradient_are_those_of_a_simple_computation() {
        let cross_entropy = DiceFocalConfig { gamma: 0.0, dice_weight: 0.0, ..DiceFocalConfig::default() };
        let configs = [
            cross_entropy.clone(),
            DiceFocalConfig { mean_over: MeanOver::All, ..cross_entropy },
            DiceFocalConfig { focal_weight: 3.0, ..DiceFocalConfig::default() },
            DiceFocalConfig { gamma: 1.5, dice_weight: 0.5, smooth: 1e-5, ..DiceFocalConfig::default() },
        ];
        for config in configs {
            for judged in [None, Some(&JUDGED[..])] {
                let (loss, gradient) = loss_and_gradient(&logits(), &config, judged);
                let truth = |logits: &[f64]| expected(logits, &config, judged.unwrap_or(&[1.0; 2 * PIXELS]));
                assert!((f64::from(loss) - truth(&logits())).abs() < 2e-6, "{config:?}: {loss}");
                for (at, &slope) in gradient.iter().enumerate() {
                    let moved = |by: f64| {
                        let mut logits = logits();
                        logits[at] += by;
                        truth(&logits)
                    };
                    let expected = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                    assert!((f64::from(slope) - expected).abs() < 1e-5, "{config:?}, {at}: {slope} not {expected}");
                    let pixel = at / (CLASSES * PIXELS) * PIXELS + at % PIXELS;
                    assert!(judged.is_none_or(|judged| judged[pixel] > 0.0) || slope == 0.0, "nobody judged {at}");
                }
            }
        }
    }

    #[test]
    fn what_nobody_judged_counts_in_the_mean_only_where_asked() {
        let config = DiceFocalConfig { gamma: 0.0, dice_weight: 0.0, ..DiceFocalConfig::default() };
        let (judged, _) = loss_and_gradient(&logits(), &config, Some(&JUDGED));
        let all = DiceFocalConfig { mean_over: MeanOver::All, ..config };
        let (over_all, _) = loss_and_gradient(&logits(), &all, Some(&JUDGED));
        let share = JUDGED.iter().sum::<f64>() / JUDGED.len() as f64;
        assert!((f64::from(over_all) - share * f64::from(judged)).abs() < 1e-6, "{over_all} of {judged}");
        let (nothing, gradient) = loss_and_gradient(&logits(), &config, Some(&[0.0; 2 * PIXELS]));
        assert_eq!((nothing, gradient), (0.0, vec![0.0; 2 * CLASSES * PIXELS]));
    }
}
