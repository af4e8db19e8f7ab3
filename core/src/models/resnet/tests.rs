//! Tests of residual networks; `tests/both` compares them with torchvision's.

use super::*;
use crate::checkpoint::{State, read_state};
use crate::models::parameters;
use burn::module::Module;
use burn::tensor::TensorData;

fn tiny(preset: ResnetPreset) -> ResnetConfig {
    ResnetConfig { image_size: 64, ..ResnetConfig::preset(preset, Some(2)) }
}

fn waves(shape: [usize; 4], device: &Device) -> Tensor<4> {
    let count = shape.iter().product::<usize>();
    Tensor::from_data(TensorData::new((0..count).map(|i| (i as f32 * 0.37).sin()).collect(), shape), device)
}

fn state<M: Module>(network: &M) -> State {
    pollster::block_on(read_state(network)).unwrap()
}

#[test]
fn trunks_have_the_parameters_of_torchvisions() {
    // Nothing is drawn: parameters come into being when they are first used.
    for (config, expected) in [(ResnetConfig::resnet18(), 11_176_512), (ResnetConfig::resnet50(), 23_508_032)] {
        assert_eq!(parameters(&config.init(&Device::flex())), expected);
        let least = config.least_weights();
        assert!(least < expected as f64 && least > 0.2 * expected as f64, "{least}");
    }
}

#[test]
fn maps_have_their_sizes_with_and_without_dilation() {
    let device = Device::flex();
    for (stride, sizes) in [(32, [16, 8, 4, 2]), (16, [16, 8, 4, 4]), (8, [16, 8, 8, 8])] {
        for preset in [ResnetPreset::Resnet18, ResnetPreset::Resnet50] {
            let config = ResnetConfig { output_stride: stride, ..tiny(preset) };
            let mut names = Vec::new();
            let maps = config.init(&device).forward_stages(waves([1, 3, 64, 64], &device), &mut |name, _| {
                names.push(name.to_owned());
            });
            for (stage, (map, size)) in maps.iter().zip(sizes).enumerate() {
                assert_eq!(map.dims(), [1, config.outputs(stage), size, size], "{preset:?} with {stride}");
            }
            assert_eq!(names.len(), 1 + config.layers.iter().sum::<usize>());
            assert_eq!(
                (names[0].as_str(), names[3].as_str()),
                ("conv1", if preset == ResnetPreset::Resnet18 { "layer2.0" } else { "layer1.2" })
            );
        }
    }
    // The first block of a dilated stage is dilated half as much.
    let network = ResnetConfig { output_stride: 8, ..tiny(ResnetPreset::Resnet50) }.init(&device);
    let dilations = |stage: &[Block]| stage.iter().map(|block| block.conv2.dilation[0]).collect::<Vec<_>>();
    assert_eq!(dilations(&network.layer3), [1, 2, 2, 2, 2, 2]);
    assert_eq!(dilations(&network.layer4), [2, 4, 4]);
}

#[test]
fn every_parameter_gets_a_gradient_and_statistics_follow() {
    let device = Device::flex().autodiff();
    for preset in [ResnetPreset::Resnet18, ResnetPreset::Resnet50] {
        let network = tiny(preset).init(&device);
        let before = state(&network);
        let y = network.forward(waves([2, 3, 64, 64], &device));
        let gradients = (y.clone() * waves(y.dims(), &device)).sum().backward();
        let count = burn::optim::GradientsParams::from_grads(gradients, &network).len();
        let running = before.keys().filter(|name| name.contains("running")).count();
        assert_eq!(count, before.len() - running, "{preset:?}");
        let after = state(&network);
        assert!(before.keys().all(|name| (before[name] != after[name]) == name.contains("running")));
    }
}

#[test]
fn one_group_is_the_whole_batch_and_two_are_not() {
    let device = Device::flex().autodiff();
    let network = tiny(ResnetPreset::Resnet18).init(&device);
    let images = waves([4, 3, 64, 64], &device);
    let read = |map: Tensor<4>| map.into_data().try_into_vec::<f32>().unwrap();
    let whole = read(network.forward(images.clone()));
    assert_eq!(read(network.forward_in_groups(images.clone(), 1)), whole);
    assert_ne!(read(network.forward_in_groups(images, 2)), whole);
}

#[test]
fn initial_values_have_the_spread_that_is_asked_for() {
    let device = Device::flex();
    let config = ResnetConfig::preset(ResnetPreset::Resnet50, Some(16));
    for (fan_in, fan) in [(false, 64.0), (true, 16.0)] {
        let network = config.init_as(ResnetInit { fan_in, zero_residual: fan_in }, &device);
        let Some(conv) = &network.layer1[1].conv3 else { panic!("a bottleneck") };
        let weights: Vec<f32> = conv.weight.val().into_data().try_into_vec().unwrap();
        let square = weights.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>() / weights.len() as f64;
        // 1,024 numbers: their variance is off by 4 % or so.
        assert!((square * fan / 2.0 - 1.0).abs() < 0.25, "{square}");
        let Some(last) = &network.layer4[2].bn3 else { panic!("a bottleneck") };
        let factors: Vec<f32> = last.weight.val().into_data().try_into_vec().unwrap();
        assert_eq!(factors.iter().sum::<f32>() == 0.0, fan_in);
    }
}

#[test]
fn impossible_sizes_are_named() {
    let with = |change: fn(&mut ResnetConfig)| {
        let mut config = tiny(ResnetPreset::Resnet18);
        change(&mut config);
        config.problem().unwrap_or_default()
    };
    assert_eq!(with(|_| ()), "");
    assert!(with(|config| config.output_stride = 4).contains("8, 16 or 32"));
    assert!(with(|config| config.image_size = 32).contains("larger than the output stride"));
    assert!(with(|config| config.layers[1] = 0).contains("layers must be at least 1"));
    assert!(with(|config| config.planes[3] = 1 << 20).contains("width 1048576 is larger"));
}

#[test]
fn stages_are_layers_below_the_heads() {
    let rules = ResnetConfig::rules("backbone.");
    let above = |name: &str| rules(name, 4).layers_above;
    assert_eq!(above("decode_head.conv_seg.weight"), 0);
    assert_eq!(above("backbone.layer4.0.conv1.weight"), 1);
    assert_eq!(above("backbone.layer1.2.bn1.bias"), 4);
    assert_eq!(above("backbone.conv1.weight"), 5);
}
