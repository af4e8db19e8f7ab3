//! Cases of whole networks and their blocks.

use burn::module::Module;
use burn::tensor::{Tensor, activation};
use sonoseg_core::blocks::masking::Masking;
use sonoseg_core::blocks::transformer::Block;
use sonoseg_core::losses::overlap::{DiceFocalConfig, binary_cross_entropy, dice_focal};
use sonoseg_core::losses::pixels::{masked_mse, patch_target};
use sonoseg_core::models::mae::{MaeConfig, from_public_names, to_public_names};
use sonoseg_core::models::unet::{UnetConfig, UnetVariant};
use sonoseg_core::models::unetr::UnetrConfig;
use sonoseg_core::models::vit::VitConfig;

use crate::case::Case;

pub(crate) async fn vit_block(case: &mut Case) {
    let block =
        Block::new(case.size("dim"), case.size("heads"), case.size("mlp_ratio"), case.number("ln_eps"), &case.device);
    let block = case.fill(block);
    let x = case.tensor::<3>("in.x").require_grad();
    let y = block.forward(x.clone());
    let gradients = (y.clone() * case.tensor("in.cot.y")).sum().backward();
    case.compare_tensor("out.y", y.inner()).await;
    case.compare_gradient("x", &x, &gradients).await;
    case.compare_gradients(&block, &gradients).await;
}

fn vit(case: &Case) -> VitConfig {
    VitConfig {
        image_size: case.size("img_size"),
        patch_size: case.size("patch_size"),
        channels: case.size("in_chans"),
        width: case.size("embed_dim"),
        depth: case.size("depth"),
        heads: case.size("heads"),
        mlp_ratio: case.size("mlp_ratio"),
        norm_epsilon: case.number("ln_eps"),
    }
}

fn taps(case: &Case) -> Vec<usize> {
    case.config["taps"].as_array().unwrap().iter().map(|tap| tap.as_u64().unwrap() as usize).collect()
}

pub(crate) async fn vit_encoder_taps(case: &mut Case) {
    let network = case.fill(vit(case).init(&case.device));
    let x = case.tensor::<4>("in.x").require_grad();
    let taps = taps(case);
    let features = network.forward_taps(x.clone(), &taps);
    let weighted = |sum: Tensor<1>, y: &Tensor<4>, name: &str| sum + (y.clone() * case.tensor(name)).sum();
    let mut scalar = (features.class.clone() * case.tensor("in.cot.cls")).sum();
    scalar = weighted(scalar, &features.last, "in.cot.final");
    for (tap, map) in taps.iter().zip(&features.taps) {
        scalar = weighted(scalar, map, &format!("in.cot.tap.{tap}"));
    }
    let gradients = scalar.backward();
    for (tap, map) in taps.iter().zip(features.taps) {
        case.compare_tensor(&format!("out.tap.{tap}"), map.inner()).await;
    }
    case.compare_tensor("out.final", features.last.inner()).await;
    case.compare_tensor("out.cls", features.class.inner()).await;
    case.compare_gradient("x", &x, &gradients).await;
    case.compare_gradients(&network, &gradients).await;
}

pub(crate) async fn unetr(case: &mut Case) {
    let config = UnetrConfig {
        encoder: vit(case),
        taps: taps(case).try_into().unwrap(),
        feature_size: case.size("feature_size"),
        groups: case.size("groups"),
        group_norm_epsilon: case.number("gn_eps"),
        out_channels: case.size("out_channels"),
    };
    let network = case.fill(config.init(&case.device));
    let x = case.tensor::<4>("in.x").require_grad();
    let logits = network.forward(x.clone());
    let settings = DiceFocalConfig { smooth: case.number("smooth"), gamma: case.number("gamma"), ..Default::default() };
    let loss = dice_focal(logits.clone(), case.tensor("in.target"), &settings);
    let gradients = loss.clone().backward();
    case.compare_tensor("out.logits", logits.inner()).await;
    case.compare_tensor("out.loss", loss.inner()).await;
    case.compare_gradient("x", &x, &gradients).await;
    case.compare_gradients(&network, &gradients).await;
    assert!(network.num_params() > 0, "a network without parameters proves nothing");
}

pub(crate) async fn unet(case: &mut Case) {
    assert_eq!(case.config["upsample"], "nearest");
    assert_eq!(case.config["concat"], serde_json::json!(["up", "skip"]));
    let config = UnetConfig {
        image_size: case.size("height"),
        in_channels: case.size("in_chans"),
        base: case.size("base"),
        out_channels: case.size("out_channels"),
        dropout: case.number("dropout"),
        variant: UnetVariant::Plain,
        ..UnetConfig::default()
    };
    let network = case.fill(config.init(&case.device));
    let x = case.tensor::<4>("in.x").require_grad();
    let logits = network.forward(x.clone());
    let loss = binary_cross_entropy(logits.clone(), case.tensor("in.target"));
    let gradients = loss.clone().backward();
    case.compare_tensor("out.logits", logits.clone().inner()).await;
    case.compare_tensor("out.prob", activation::sigmoid(logits).inner()).await;
    case.compare_tensor("out.loss", loss.inner()).await;
    case.compare_gradient("x", &x, &gradients).await;
    case.compare_gradients(&network, &gradients).await;
}

pub(crate) async fn mae_forward(case: &mut Case) {
    let config = MaeConfig {
        encoder: vit(case),
        decoder_width: case.size("decoder_embed_dim"),
        decoder_depth: case.size("decoder_depth"),
        decoder_heads: case.size("decoder_heads"),
        mask_ratio: case.number("mask_ratio"),
    };
    let network = case.fill_renamed(config.init(&case.device), from_public_names);
    let images = case.tensor::<4>("in.imgs");
    let masking = Masking::from_noise(&case.numbers("in.noise").f32(), config.patches(), config.mask_ratio);
    let integers = |list: &[i32]| list.iter().map(|&index| f64::from(index)).collect::<Vec<_>>();
    case.compare("out.ids_keep", &integers(&masking.keep));
    case.compare("out.ids_restore", &integers(&masking.restore));
    case.compare("out.mask", &masking.mask.iter().map(|&hidden| f64::from(hidden)).collect::<Vec<_>>());
    let (patch_size, normalised) = (config.encoder.patch_size, case.config["norm_pix"].as_bool().unwrap());
    let latent = network.encode(images.clone(), &masking.to_device(&case.device));
    let prediction = network.forward(images.clone(), &masking);
    let loss = masked_mse(images.clone(), prediction.clone(), &masking, patch_size, normalised);
    let gradients = loss.clone().backward();
    case.compare_tensor("out.target", patch_target(images, patch_size, normalised).inner()).await;
    case.compare_tensor("out.latent", latent.inner()).await;
    case.compare_tensor("out.pred", prediction.inner()).await;
    case.compare_tensor("out.loss", loss.inner()).await;
    case.compare_gradients_renamed(&network, &gradients, to_public_names).await;
}
