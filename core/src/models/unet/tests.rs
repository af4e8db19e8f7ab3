//! Tests of the U-Net.

use super::*;
use crate::checkpoint::{StateNames, read_state, write_state};
use burn::module::ModuleVisitor;
use burn::tensor::{Gradients, Int, TensorData};
use sonoseg_imaging::rng::Rng;

/// A network with He's distribution from a stream of its own: Burn's is shared with tests that run meanwhile.
pub(crate) fn seeded(config: &UnetConfig, device: &Device) -> Unet {
    let unet = config.init(device);
    let mut state = pollster::block_on(read_state(&unet)).unwrap();
    let mut rng = Rng::stream(8, "unet", [0, 0]);
    for (shape, numbers) in state.values_mut().filter(|(shape, _)| shape.len() == 4) {
        let deviation = (2.0 / shape[1..].iter().product::<usize>() as f64).sqrt();
        numbers.fill_with(|| (deviation * rng.normal()) as f32);
    }
    write_state("seeded", state, unet).unwrap()
}

fn tiny(variant: UnetVariant) -> UnetConfig {
    UnetConfig { image_size: 32, in_channels: 2, base: 4, out_channels: 3, variant, ..UnetConfig::default() }
}

fn values(tensor: Tensor<4>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

fn waves(device: &Device) -> Tensor<4> {
    let pixels: Vec<f32> = (0..2 * 2 * 32 * 32).map(|i| (i as f32 * 0.37).sin()).collect();
    Tensor::from_data(TensorData::new(pixels, [2, 2, 32, 32]), device)
}

#[test]
fn parameter_counts_of_the_paper_and_of_the_variant() {
    // Nothing is drawn: parameters come into being when they are first used.
    let count = |config: UnetConfig| config.init(&Device::flex()).num_params();
    let variant = UnetConfig { variant: UnetVariant::UpConv2x2, ..UnetConfig::default() };
    assert_eq!(count(UnetConfig::default()), 31_377_793);
    let least = UnetConfig::default().least_weights();
    assert!(least < 31_030_593.0 && least > 0.75 * 31_377_793.0, "{least}");
    assert_eq!(count(variant), 31_030_593);
    assert_eq!(count(UnetConfig { in_channels: 3, ..UnetConfig::default() }), 31_377_793 + 1152);
    let unet = UnetConfig::default().init(&Device::flex());
    let blocks = [unet.enc1, unet.enc2, unet.enc3, unet.enc4, unet.enc5, unet.dec6, unet.dec7, unet.dec8, unet.dec9]
        .map(|block| block.num_params());
    let expected = [37_568, 221_440, 885_248, 3_539_968, 14_157_824, 9_438_208, 2_359_808, 590_080, 147_649 - 65];
    assert_eq!(blocks, expected);
    assert_eq!(unet.out.num_params(), 65);
}

#[test]
fn names_are_the_documented_ones() {
    let state = pollster::block_on(read_state(&tiny(UnetVariant::UpConv2x2).init(&Device::flex()))).unwrap();
    assert_eq!(state.len(), 2 * (9 * 2 + 4 + 1));
    for (name, shape) in [
        ("enc1.conva.weight", vec![4, 2, 3, 3]),
        ("enc5.convb.bias", vec![64]),
        ("dec6.up.weight", vec![32, 64, 2, 2]),
        ("dec9.conva.weight", vec![4, 8, 3, 3]),
        ("out.weight", vec![3, 4, 1, 1]),
    ] {
        assert_eq!(state[name].0, shape, "{name}");
    }
}

#[test]
fn initial_weights_are_hes_and_biases_zero() {
    let config = UnetConfig { base: 16, ..UnetConfig::default() };
    let state = pollster::block_on(read_state(&config.init(&Device::flex()))).unwrap();
    for (name, (shape, numbers)) in state {
        if name.ends_with("bias") {
            assert!(numbers.iter().all(|&bias| bias == 0.0), "{name}");
        } else if numbers.len() > 30_000 {
            let fan_in: usize = shape[1..].iter().product();
            let squares: f64 = numbers.iter().map(|&w| f64::from(w).powi(2)).sum();
            let relative = squares / numbers.len() as f64 * fan_in as f64 / 2.0;
            assert!((relative - 1.0).abs() < 0.06, "{name}: {relative} times the variance 2 / {fan_in}");
        }
    }
}

/// Names of the parameters that no gradient reaches.
struct Unreached<'a>(StateNames, &'a Gradients, Vec<String>);

impl ModuleVisitor for Unreached<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.0.enter(name, container);
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.0.exit();
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let sum = param.val().grad(self.1).map(|gradient| gradient.abs().sum().into_scalar::<f32>());
        if sum.is_none_or(|sum| sum == 0.0) {
            self.2.push(self.0.name());
        }
    }
}

#[test]
fn the_output_has_the_inputs_size_and_gradients_reach_every_parameter() {
    let device = Device::flex().autodiff();
    let plain = tiny(UnetVariant::Plain);
    let faster = UnetConfig { base: 8, norm: UnetNorm::Group, pixel_shuffle: true, ..plain };
    for config in [tiny(UnetVariant::Plain), tiny(UnetVariant::UpConv2x2), faster] {
        let unet = seeded(&UnetConfig { dropout: 0.0, ..config.clone() }, &device);
        let logits = unet.forward(waves(&device));
        assert_eq!(logits.dims(), [2, 3, 32, 32]);
        let gradients = logits.square().mean().backward();
        let mut unreached = Unreached(StateNames::default(), &gradients, vec![]);
        unet.visit(&mut unreached);
        assert!(unreached.2.is_empty(), "{config:?}: {:?}", unreached.2);
    }
}

#[test]
fn four_channels_of_a_position_are_its_pixels_row_by_row() {
    let device = Device::flex();
    let x = Tensor::<1, Int>::arange(0..2 * 4 * 6, &device).float().reshape([1, 2, 4, 6]);
    let cells = pixel_unshuffle(x.clone());
    assert_eq!(cells.dims(), [1, 8, 2, 3]);
    let first = cells.clone().slice([0..1, 0..8, 1..2, 0..1]);
    assert_eq!(values(first), [12.0, 13.0, 18.0, 19.0, 36.0, 37.0, 42.0, 43.0]);
    assert_eq!(values(interleave(cells, None)), values(x));
}

#[test]
fn a_normalised_network_does_not_see_how_large_the_numbers_are() {
    let device = Device::flex();
    let config = UnetConfig { base: 8, norm: UnetNorm::Group, pixel_shuffle: true, ..tiny(UnetVariant::Plain) };
    let unet = seeded(&config, &device).valid();
    let (once, tenfold) = (values(unet.forward(waves(&device))), values(unet.forward(waves(&device) * 10.0)));
    let gap = once.iter().zip(&tenfold).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let most = once.iter().fold(0.0, |most, x| x.abs().max(most));
    assert!(most > 0.01 && gap < 1e-3 * most, "{gap} of {most}");
}

#[test]
fn dropout_is_for_learning_only() {
    let device = Device::flex();
    let learning = device.clone().autodiff();
    let unet = seeded(&tiny(UnetVariant::Plain), &learning);
    let learn = || values(unet.forward(waves(&learning)).inner());
    let plain = || values(unet.valid().forward(waves(&device)));
    assert_ne!(learn(), learn());
    assert_ne!(plain(), learn());
    assert_eq!(plain(), plain());
}

#[test]
fn the_convolution_2x2_looks_down_and_to_the_right() {
    let device = Device::flex();
    let block = UnetBlock::new(Some([1, 1]), [2, 1], UnetNorm::None, &device);
    let up = block.up.unwrap();
    let taps = Tensor::<1>::from_floats([1.0, 10.0, 100.0, 1000.0], &device).reshape([1, 1, 2, 2]);
    let up = Conv2d { weight: Param::from_tensor(taps), ..up };
    let x = Tensor::<1>::from_floats([1.0, 2.0, 3.0, 4.0], &device).reshape([1, 1, 2, 2]);
    assert_eq!(values(up.forward(x)), [4321.0, 402.0, 43.0, 4.0]);
}

#[test]
fn impossible_sizes_are_named() {
    let problem = |change: fn(&mut UnetConfig)| {
        let mut config = tiny(UnetVariant::Plain);
        change(&mut config);
        config.problem().unwrap()
    };
    assert!(problem(|c| c.image_size = 40).contains("image_size"));
    assert!(problem(|c| c.image_size = 0).contains("image_size"));
    assert!(problem(|c| c.base = 0).contains("base"));
    assert!(problem(|c| c.norm = UnetNorm::Group).contains("multiple of 8"));
    assert!(problem(|c| (c.pixel_shuffle, c.image_size) = (true, 48)).contains("multiple of 32"));
    assert!(problem(|c| c.dropout = 1.0).contains("dropout"));
    assert!(problem(|c| c.dropout = f64::NAN).contains("dropout"));
    assert_eq!(UnetConfig::default().problem(), None);
}
