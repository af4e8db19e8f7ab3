//! Cases of single layers and losses.

use burn::module::Module;
use burn::nn::conv::{Conv2dConfig, ConvTranspose2dConfig};
use burn::nn::{GroupNormConfig, PaddingConfig2d};
use burn::tensor::Tensor;
use sonoseg_core::blocks::interpolate::{Interpolation, resize};
use sonoseg_core::blocks::up::apply_double_size;
use sonoseg_core::losses::overlap::{DiceFocalConfig, dice, dice_focal, focal};

use crate::case::Case;

/// Compare output and gradients of `sum(y * cot)`.
async fn check<M: Module>(case: &mut Case, module: &M, x: &Tensor<4>, y: Tensor<4>) {
    let gradients = (y.clone() * case.tensor("in.cot.y")).sum().backward();
    case.compare_tensor("out.y", y.inner()).await;
    case.compare_gradient("x", x, &gradients).await;
    case.compare_gradients(module, &gradients).await;
}

fn channels(case: &Case) -> [usize; 2] {
    [case.size("in_channels"), case.size("out_channels")]
}

pub(crate) async fn conv2d(case: &mut Case) {
    let [y, x] = case.pair("padding");
    let layer = Conv2dConfig::new(channels(case), case.pair("kernel"))
        .with_stride(case.pair("stride"))
        .with_padding(PaddingConfig2d::Explicit(y, x, y, x))
        .with_dilation(case.pair("dilation"))
        .with_groups(case.size("groups"))
        .with_bias(case.config["bias"].as_bool().unwrap())
        .init(&case.device);
    let layer = case.fill(layer);
    let x = case.tensor::<4>("in.x").require_grad();
    check(case, &layer, &x, layer.forward(x.clone())).await;
}

pub(crate) async fn conv_transpose2d(case: &mut Case) {
    let layer = ConvTranspose2dConfig::new(channels(case), case.pair("kernel"))
        .with_stride(case.pair("stride"))
        .with_padding(case.pair("padding"))
        .with_padding_out(case.pair("output_padding"))
        .with_bias(case.config["bias"].as_bool().unwrap())
        .init(&case.device);
    let layer = case.fill(layer);
    let x = case.tensor::<4>("in.x").require_grad();
    let doubling = case.pair("kernel") == [2, 2] && case.pair("stride") == [2, 2] && case.pair("padding") == [0, 0];
    // Our own form of the layer where the networks use it.
    let y = if doubling { apply_double_size(&layer, x.clone()) } else { layer.forward(x.clone()) };
    check(case, &layer, &x, y).await;
}

pub(crate) async fn group_norm(case: &mut Case) {
    let config = GroupNormConfig::new(case.size("groups"), case.size("channels")).with_epsilon(case.number("eps"));
    let layer = case.fill(config.init(&case.device));
    let x = case.tensor::<4>("in.x").require_grad();
    check(case, &layer, &x, layer.forward(x.clone())).await;
}

pub(crate) async fn interpolate(case: &mut Case) {
    let mode = match case.config["mode"].as_str().unwrap() {
        "bilinear" => Interpolation::Bilinear,
        "nearest" => Interpolation::Nearest,
        other => panic!("mode {other}"),
    };
    let x = case.tensor::<4>("in.x").require_grad();
    let y = resize(x.clone(), case.pair("size"), mode);
    let gradients = (y.clone() * case.tensor("in.cot.y")).sum().backward();
    case.compare_tensor("out.y", y.inner()).await;
    case.compare_gradient("x", &x, &gradients).await;
}

pub(crate) async fn loss(case: &mut Case) {
    let logits = case.tensor::<4>("in.logits").require_grad();
    let target = case.tensor::<4>("in.target");
    let loss = match case.kind.as_str() {
        "dice_loss" => dice(logits.clone(), target, case.number("smooth")),
        "focal_loss" => focal(logits.clone(), target, case.number("gamma"), case.config["alpha"].as_f64()),
        _ => {
            let config = DiceFocalConfig {
                smooth: case.number("smooth"),
                gamma: case.number("gamma"),
                dice_weight: case.number("lambda_dice"),
                focal_weight: case.number("lambda_focal"),
                ..DiceFocalConfig::default()
            };
            dice_focal(logits.clone(), target, &config)
        }
    };
    let gradients = loss.clone().backward();
    case.compare_tensor("out.loss", loss.inner()).await;
    case.compare_gradient("logits", &logits, &gradients).await;
}
