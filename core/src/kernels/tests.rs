//! The kernels against Burn's own operations: values and every gradient, on shapes that leave remainders everywhere.

use burn::nn::conv::Conv2dConfig;
use burn::nn::{GroupNormConfig, LayerNormConfig, LinearConfig, PaddingConfig2d};
use burn::tensor::{Device, Distribution, Gradients, Tensor};

use super::*;

fn device() -> Device {
    Device::flex().autodiff()
}

fn random<const D: usize>(shape: [usize; D], seed: u64) -> Tensor<D> {
    let mut rng = sonoseg_imaging::rng::Rng::stream(seed, "kernels", [0, 0]);
    let numbers: Vec<f32> = (0..shape.iter().product()).map(|_| rng.uniform(-2.0, 2.0) as f32).collect();
    Tensor::<1>::from_floats(numbers.as_slice(), &device()).reshape(shape)
}

fn numbers<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.into_data().try_to_vec().unwrap()
}

/// Value of `operation` at `x`, gradient of `x` and of `others`, for a gradient of the output that is not even.
fn results<const D: usize, const E: usize>(
    x: &Tensor<D>,
    operation: &dyn Fn(Tensor<D>) -> Tensor<E>,
    others: &dyn Fn(&Gradients) -> Vec<Vec<f32>>,
) -> Vec<Vec<f32>> {
    let x = x.clone().detach().require_grad();
    let y = operation(x.clone());
    let gradients = (y.clone() * random(y.dims(), 9)).sum().backward();
    let mut all = vec![numbers(y), numbers(x.grad(&gradients).unwrap())];
    all.extend(others(&gradients));
    all
}

fn agree<const D: usize, const E: usize>(
    x: &Tensor<D>,
    ours: impl Fn(Tensor<D>) -> Tensor<E>,
    composed: impl Fn(Tensor<D>) -> Tensor<E>,
    others: impl Fn(&Gradients) -> Vec<Vec<f32>>,
) {
    let (found, expected) = (results(x, &ours, &others), results(x, &composed, &others));
    assert_eq!(found.len(), expected.len());
    for (which, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert_eq!(found.len(), expected.len(), "result {which}");
        let scale = expected.iter().fold(1.0_f32, |scale, x| scale.max(x.abs()));
        for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
            assert!((found - expected).abs() <= 1e-5 * scale, "result {which} at {at}: {found}, not {expected}");
        }
    }
    // Without gradients the same numbers come out.
    assert_eq!(numbers(ours(x.clone().inner())), found[0]);
}

#[test]
fn gelu_agrees() {
    agree(&random([3, 37, 5], 1), gelu, composed::gelu, |_| vec![]);
    agree(&random([70, 90], 2).transpose().narrow(0, 3, 80), gelu, composed::gelu, |_| vec![]);
}

#[test]
fn group_norm_with_gelu_agrees() {
    for (shape, groups) in [([2, 6, 5, 7], 3), ([1, 4, 1, 3], 1), ([3, 8, 33, 31], 8)] {
        let mut norm = GroupNormConfig::new(groups, shape[1]).with_epsilon(1e-5).init(&device());
        norm.gamma = norm.gamma.map(|gamma| gamma.map(|_| random([shape[1]], 3).require_grad()));
        norm.beta = norm.beta.map(|beta| beta.map(|_| random([shape[1]], 4).require_grad()));
        let others = |gradients: &Gradients| {
            let of = |param: &Option<burn::module::Param<Tensor<1>>>| {
                numbers(param.as_ref().unwrap().val().grad(gradients).unwrap())
            };
            vec![of(&norm.gamma), of(&norm.beta)]
        };
        let composed = |x| composed::gelu(norm.forward(x));
        agree(&random(shape, 5), |x| group_norm_gelu(&norm, x), composed, others);
        agree(&random(shape, 5).flip([3]), |x| group_norm_gelu(&norm, x), composed, others);
    }
}

#[test]
fn layer_norm_agrees() {
    for shape in [[2, 5, 12], [1, 1, 3], [3, 67, 130]] {
        let mut norm = LayerNormConfig::new(shape[2]).with_epsilon(1e-6).init(&device());
        norm.gamma = norm.gamma.map(|_| random([shape[2]], 3).require_grad());
        norm.beta = norm.beta.map(|beta| beta.map(|_| random([shape[2]], 4).require_grad()));
        let others = |gradients: &Gradients| {
            let beta = norm.beta.as_ref().unwrap().val();
            vec![numbers(norm.gamma.val().grad(gradients).unwrap()), numbers(beta.grad(gradients).unwrap())]
        };
        agree(&random(shape, 5), |x| layer_norm(&norm, 1e-6, x), |x| norm.forward(x), others);
        let across = random([shape[0], shape[2], shape[1]], 6).swap_dims(1, 2);
        agree(&across, |x| layer_norm(&norm, 1e-6, x), |x| norm.forward(x), others);
    }
}

#[test]
fn convolution_agrees() {
    let cases = [(3, 5, [9, 7], false), (17, 8, [40, 33], false), (2, 1, [1, 1], true), (3, 5, [9, 7], true)];
    for (input, output, [height, width], bias) in cases {
        let conv = Conv2dConfig::new([input, output], [3, 3])
            .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
            .with_bias(bias)
            .init(&device());
        let others = |gradients: &Gradients| {
            let bias = conv.bias.iter().map(|bias| numbers(bias.val().grad(gradients).unwrap()));
            [numbers(conv.weight.val().grad(gradients).unwrap())].into_iter().chain(bias).collect()
        };
        let ours = |x| conv3x3(&conv, x);
        agree(&random([2, input, height, width], 1), ours, |x| conv.forward(x), others);
        agree(&random([2, input, width, height], 2).swap_dims(2, 3), ours, |x| conv.forward(x), others);
    }
}

#[test]
fn linear_layers_agree() {
    for ([batch, rows, input, output], bias) in [([2, 3, 5, 7], true), ([1, 1, 1, 1], false), ([2, 19, 40, 70], true)] {
        let layer = LinearConfig::new(input, output).with_bias(bias).init(&device());
        let others = |gradients: &Gradients| {
            let bias = layer.bias.iter().map(|bias| numbers(bias.val().grad(gradients).unwrap()));
            [numbers(layer.weight.val().grad(gradients).unwrap())].into_iter().chain(bias).collect()
        };
        let ours = |x| quick_linear(&layer, x);
        agree(&random([batch, rows, input], 1), ours, |x| layer.forward(x), others);
        agree(&random([batch, input, rows], 2).swap_dims(1, 2), ours, |x| layer.forward(x), others);
    }
}

#[test]
fn matrix_products_agree() {
    for [batch, other, rows, depth, width] in [[1, 3, 9, 5, 7], [3, 1, 33, 600, 34], [2, 2, 300, 3, 65]] {
        let b = random([other, depth, width], 2).require_grad();
        let others = |gradients: &Gradients| vec![numbers(b.grad(gradients).unwrap())];
        let a = random([batch, rows, depth], 1);
        agree(&a, |a| quick_matmul(a, b.clone()), |a| a.matmul(b.clone()), others);
        let turned = random([batch, depth, rows], 1).swap_dims(1, 2).flip([2]);
        agree(&turned, |a| quick_matmul(a, b.clone()), |a| a.matmul(b.clone()), others);
        let turned = random([width, depth], 3).transpose();
        agree(&random([rows, depth], 1), |a| quick_matmul(a, turned.clone()), |a| a.matmul(turned.clone()), |_| vec![]);
    }
}

#[test]
fn attention_agrees() {
    for (batch, tokens, heads, head) in [(2, 5, 3, 4), (1, 1, 1, 7), (2, 37, 2, 24)] {
        let qkv = random([batch, tokens, 3 * heads * head], 1);
        agree(&qkv, |x| attention(x, heads), |x| composed::attention(x, heads), |_| vec![]);
    }
}

#[test]
fn interleaving_agrees() {
    for [batch, maps, height, width] in [[2, 12, 3, 5], [1, 4, 1, 1], [2, 8, 40, 33]] {
        let bias = random([maps / 4], 2).require_grad();
        let others = |gradients: &Gradients| vec![numbers(bias.grad(gradients).unwrap())];
        let ours = |x| interleave(x, Some(bias.clone()));
        agree(&random([batch, maps, height, width], 1), ours, |x| composed::interleave(x, bias.clone()), others);
    }
}

#[test]
fn adamw_agrees_and_leaves_shared_numbers_alone() {
    let step = AdamWStep { betas: [0.9, 0.95], keep: 0.99, rate: 0.1, root: 1.3, epsilon: 1e-8 };
    let [param, grad, mean] = [1, 2, 3].map(|seed| random([37, 300], seed).inner());
    let square = random([37, 300], 4).inner().abs();
    let expected = composed::adamw_step(param.clone(), grad.clone(), [mean.clone(), square.clone()], step);
    let before = numbers(param.clone());
    let found = adamw_step(param.clone(), grad.clone(), Some([mean, square]), step);
    for (found, expected) in found.into_iter().zip(expected) {
        for (found, expected) in numbers(found).iter().zip(numbers(expected)) {
            assert!((found - expected).abs() < 2e-6 * (1.0 + expected.abs()), "{found}, not {expected}");
        }
    }
    assert_eq!(numbers(param), before);
    // Without moments: as if they were zero.
    let zeros = || Tensor::zeros([37, 300], &Device::flex());
    let param = random([37, 300], 1).inner();
    let [found, ..] = adamw_step(param.clone(), grad.clone().transpose().transpose(), None, step);
    let [expected, ..] = adamw_step(param, grad, Some([zeros(), zeros()]), step);
    assert_eq!(numbers(found), numbers(expected));
}

#[test]
fn a_network_gives_the_same_bits_every_time() {
    let config = crate::models::unetr::UnetrConfig {
        encoder: crate::models::vit::VitConfig { image_size: 64, ..crate::models::vit::VitConfig::new(32, 3, 2) },
        taps: [1, 2, 3],
        feature_size: 8,
        groups: 4,
        group_norm_epsilon: 1e-5,
        out_channels: 1,
    };
    let model = config.init(&device());
    let images = Tensor::<4>::random([3, 3, 64, 64], Distribution::Default, &device());
    let run = || {
        let y = model.forward(images.clone());
        let gradients = y.clone().square().sum().backward();
        let weight = model.encoder.blocks[0].attn.qkv.weight.val().grad(&gradients).unwrap();
        (numbers(y), numbers(weight))
    };
    assert_eq!(run(), run());
}
