//! Activation maximisation and feature maps (Amiri 2019, figure 5): images that make the activation of a filter largest,
//! found by gradient ascent from grey noise, and the activations of all filters of a layer on one image.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};

use crate::models::Network;
use sonoseg_imaging::geometry::Image;
use sonoseg_imaging::prepare::Preparation;
use sonoseg_imaging::rng::Rng;

/// Grey level that the ascent begins at, and how far its noise goes.
const START: (f64, f64) = (0.5, 0.1);

/// Settings of the gradient ascent.
#[derive(Clone, Debug)]
pub struct AscentConfig {
    /// Frames that the network reads; a network of one frame and several channels reads it in each of them.
    pub frames: usize,
    /// Channels that it reads.
    pub channels: usize,
    /// How the network's images are prepared; they are found at this size, in grey levels from 0 to 1.
    pub preparation: Preparation,
    /// Steps of the ascent.
    pub steps: usize,
    /// Length of a step: the root mean square of its change, in grey levels from 0 to 1.
    pub rate: f64,
    /// Weight of the penalty on squared distances to grey.
    pub l2: f64,
    /// Weight of the penalty on differences of neighbours, squared.
    pub total_variation: f64,
    /// Seed of the noise.
    pub seed: u64,
}

impl Default for AscentConfig {
    /// Amiri 2019 (section 3) took Keras-Vis and gives no settings. The activations of a filter grow with its weights, so
    /// they are divided by their own size before the penalties are taken away.
    fn default() -> Self {
        let preparation = Preparation { size: 64, mean: [0.0; 3], std: [1.0; 3] };
        Self { frames: 1, channels: 1, preparation, steps: 200, rate: 0.02, l2: 0.1, total_variation: 1.0, seed: 0 }
    }
}

/// A layer or a device that does not do what is asked.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// There is no such layer, or it has too few filters.
    #[error("{0}")]
    Layer(String),
    /// The device failed.
    #[error("the device failed: {0}")]
    Device(String),
}

/// The activations of a layer.
///
/// # Shapes
/// - `images`: `[batch, channels, height, width]`
/// - output: `[batch, filters, rows, columns]`
fn activations(network: &Network, layer: &str, images: Tensor<4>) -> Result<Tensor<4>, FilterError> {
    let (mut found, mut names) = (None, Vec::new());
    network.forward_with_hook(images, &mut |name, activations| {
        if name == layer {
            found = Some(activations.clone());
        }
        names.push(name.to_owned());
    });
    found.ok_or_else(|| FilterError::Layer(format!("there is no layer {layer}; there are {}", names.join(", "))))
}

/// Images that maximise the activations of the given filters of `layer`, one for each; none where a filter has no activation
/// on all that was tried, as dead ones do. `device` is the plain one of `network`.
pub async fn maximise(
    network: &Network,
    layer: &str,
    filters: &[usize],
    config: &AscentConfig,
    device: &Device,
) -> Result<Vec<Option<Image>>, FilterError> {
    let learning = device.clone().autodiff();
    // Frozen, so that dropout is off and only the images have gradients.
    let network = network.clone().train().freeze();
    let (count, size) = (filters.len(), config.preparation.size);
    let AscentConfig { frames, channels, .. } = *config;
    assert!(frames == channels || frames == 1, "{frames} frames are no input of {channels} channels");
    let shape = [count, frames, size, size];
    let mut noise = Vec::with_capacity(count * frames * size * size);
    for filter in filters {
        let mut rng = Rng::stream(config.seed, "filters", [*filter as u64, 0]);
        let (grey, range) = START;
        noise.extend((0..frames * size * size).map(|_| rng.uniform(grey - range, grey + range) as f32));
    }
    let mut images = Tensor::<4>::from_data(TensorData::new(noise, shape), device);
    let by_channel = |numbers: &[f64]| {
        let numbers: Vec<f32> = numbers[..channels].iter().map(|&number| number as f32).collect();
        Tensor::<4>::from_data(TensorData::new(numbers, [1, channels, 1, 1]), &learning)
    };
    let (centre, spread) = (by_channel(&config.preparation.mean), by_channel(&config.preparation.std));
    let activations_on = |x: Tensor<4>| {
        let x = x.repeat_dim(1, channels / frames);
        activations(&network, layer, (x - centre.clone()) / spread.clone())
    };
    let [_, all, rows, columns] = activations_on(Tensor::from_inner(images.clone()))?.dims();
    if let Some(filter) = filters.iter().find(|&&filter| filter >= all) {
        return Err(FilterError::Layer(format!("{layer} has {all} filters, counted from 0, and no filter {filter}")));
    }
    let one = |&filter: &usize| (0..all).map(move |other| f32::from(u8::from(other == filter)));
    let own: Vec<f32> = filters.iter().flat_map(one).collect();
    let own = Tensor::<4>::from_data(TensorData::new(own, [count, all, 1, 1]), &learning);
    // The mean activation of every filter on its own image.
    let mean_activations = |x: Tensor<4>| -> Result<Tensor<4>, FilterError> {
        Ok((activations_on(x)? * own.clone()).sum_dim(1).sum_dim(2).sum_dim(3) / (rows * columns) as f64)
    };
    for _ in 0..config.steps {
        let x = Tensor::from_inner(images.clone()).require_grad();
        let mean = mean_activations(x.clone())?;
        let scale = mean.clone().detach().abs() + 1e-6;
        let distance = (x.clone() - START.0).square().mean_dim(1).mean_dim(2).mean_dim(3);
        let value = mean / scale - distance * config.l2 - variation(&x) * config.total_variation;
        let gradients = value.sum().backward();
        let Some(gradient) = x.grad(&gradients) else { break };
        let length = gradient.clone().square().mean_dim(1).mean_dim(2).mean_dim(3).sqrt() + 1e-12;
        images = (images + gradient / length * config.rate).clamp(0.0, 1.0);
    }
    let means = numbers(mean_activations(Tensor::from_inner(images.clone()))?).await?;
    let pixels = numbers(images).await?;
    // Of the frames of a clip the first one is shown.
    let images = pixels.chunks_exact(frames * size * size).zip(means);
    Ok(images.map(|(pixels, mean)| (mean != 0.0).then(|| stretched(size, size, &pixels[..size * size]))).collect())
}

/// Read back.
async fn numbers(tensor: Tensor<4>) -> Result<Vec<f32>, FilterError> {
    let data = tensor.into_data_async().await.map_err(|e| FilterError::Device(format!("{e:?}")))?;
    data.try_into_vec().map_err(|e| FilterError::Device(format!("{e:?}")))
}

/// Mean squared difference of neighbours.
///
/// # Shapes
/// - `images`: `[batch, channels, height, width]`
/// - output: `[batch, 1, 1, 1]`
fn variation(images: &Tensor<4>) -> Tensor<4> {
    let [_, _, height, width] = images.dims();
    let along = |axis: usize, length: usize| {
        let difference = images.clone().narrow(axis, 1, length - 1) - images.clone().narrow(axis, 0, length - 1);
        difference.square().mean_dim(1).mean_dim(2).mean_dim(3)
    };
    along(2, height) + along(3, width)
}

/// The activations of all filters of `layer` on one network input, each from black, its smallest, to white, its largest.
///
/// # Shapes
/// - `input`: `[1, channels, height, width]`
pub async fn feature_maps(network: &Network, layer: &str, input: Tensor<4>) -> Result<Vec<Image>, FilterError> {
    let maps = activations(network, layer, input)?;
    let [_, _, rows, columns] = maps.dims();
    Ok(numbers(maps).await?.chunks_exact(rows * columns).map(|map| stretched(rows, columns, map)).collect())
}

/// Numbers as a picture from black to white; grey where they are all alike.
fn stretched(height: usize, width: usize, numbers: &[f32]) -> Image {
    let low = numbers.iter().copied().fold(f32::INFINITY, f32::min);
    let range = numbers.iter().copied().fold(f32::NEG_INFINITY, f32::max) - low;
    let grey = |number: &f32| if range > 0.0 { (number - low) / range } else { 0.5 };
    Image::grey(height, width, numbers.iter().map(grey).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::grid::grid;
    use crate::models::fcn::FcnConfig;
    use crate::models::resnet::{ResnetConfig, ResnetPreset};
    use crate::models::unet::tests::seeded;
    use crate::models::unet::{Unet, UnetConfig};

    fn unet() -> Unet {
        seeded(&UnetConfig { image_size: 16, base: 4, ..UnetConfig::default() }, &Device::flex())
    }

    fn network() -> Network {
        Network::Unet(unet())
    }

    fn mean_activation(network: &Network, layer: &str, filter: usize, input: Vec<f32>) -> f32 {
        let x = Tensor::from_data(TensorData::new(input, [1, 1, 16, 16]), &Device::flex());
        let mean = activations(network, layer, x).unwrap().narrow(1, filter, 1).mean();
        mean.into_data().try_into_vec::<f32>().unwrap()[0]
    }

    #[test]
    fn the_activation_of_a_filter_is_larger_on_its_image_than_on_noise() {
        let network = network();
        for (mean, std) in [(0.0, 1.0), (0.45, 0.2)] {
            let preparation = Preparation { size: 16, mean: [mean; 3], std: [std; 3] };
            let config = AscentConfig { preparation, steps: 20, ..AscentConfig::default() };
            for layer in ["enc1.conva", "enc2.convb", "dec9.convb"] {
                let find = |steps| {
                    let config = AscentConfig { steps, ..config.clone() };
                    pollster::block_on(maximise(&network, layer, &[0, 3], &config, &Device::flex())).unwrap()
                };
                let (noise, found) = (find(0), find(config.steps));
                assert_eq!(find(config.steps), found, "the seed decides");
                let mut alive = 0;
                for (filter, images) in [0, 3].into_iter().zip(noise.iter().zip(&found)) {
                    // A filter without any activation has no gradient to climb.
                    let (Some(before), Some(after)) = images else {
                        assert_eq!(images.1, &None, "{layer} {filter} at {mean} came to life by itself");
                        assert_eq!(images.0, &None, "{layer} {filter} at {mean} died on the way");
                        continue;
                    };
                    let activation = |image: &Image| {
                        let input = config.preparation.normalise(std::slice::from_ref(&image.pixels), 1);
                        mean_activation(&network, layer, filter, input)
                    };
                    assert!(activation(after) > activation(before), "{layer} {filter} at {mean}");
                    alive += 1;
                }
                assert!(alive > 0, "{layer}");
            }
        }
    }

    #[test]
    fn a_filter_without_activation_has_no_image() {
        let mut network = unet();
        let layer = &mut network.enc1.conva;
        layer.weight = layer.weight.clone().map(|weight| weight.zeros_like());
        let config = AscentConfig { steps: 2, ..AscentConfig::default() };
        let network = Network::Unet(network);
        let found = pollster::block_on(maximise(&network, "enc1.conva", &[0], &config, &Device::flex())).unwrap();
        assert_eq!(found, [None]);
    }

    #[test]
    fn blocks_of_a_residual_network_have_filters_too() {
        let backbone = ResnetConfig { image_size: 32, ..ResnetConfig::preset(ResnetPreset::Resnet18, Some(4)) };
        let network = Network::Fcn(FcnConfig::new(backbone, 1).init(&Device::flex()));
        let preparation = Preparation { size: 32, ..AscentConfig::default().preparation };
        let config = AscentConfig { channels: 3, preparation, steps: 2, ..AscentConfig::default() };
        let layer = "backbone.layer1.1";
        let found = pollster::block_on(maximise(&network, layer, &[0, 3], &config, &Device::flex())).unwrap();
        let images: Vec<&Image> = found.iter().flatten().collect();
        assert!(!images.is_empty() && images.iter().all(|image| (image.height, image.width) == (32, 32)));
        let maps = pollster::block_on(feature_maps(&network, layer, Tensor::zeros([1, 3, 32, 32], &Device::flex())));
        assert_eq!(maps.unwrap().len(), 4);
    }

    #[test]
    fn unknown_layers_and_filters_are_named() {
        let (network, config) = (network(), AscentConfig { steps: 1, ..AscentConfig::default() });
        let fail = |layer: &str, filter| {
            let found = pollster::block_on(maximise(&network, layer, &[filter], &config, &Device::flex()));
            found.unwrap_err().to_string()
        };
        assert!(fail("enc7.conva", 0).contains("there are enc1.conva, enc1.convb"));
        assert!(fail("enc1.conva", 4).contains("4 filters"));
    }

    #[test]
    fn maps_have_the_size_of_their_layer_and_fill_a_grid() {
        let input = Tensor::from_data(
            TensorData::new((0..256).map(|i| i as f32 / 256.0).collect(), [1, 1, 16, 16]),
            &Device::flex(),
        );
        let maps = pollster::block_on(feature_maps(&network(), "enc2.conva", input)).unwrap();
        assert_eq!((maps.len(), maps[0].height, maps[0].width), (8, 8, 8));
        assert!(maps.iter().all(|map| map.pixels.iter().all(|pixel| (0.0..=1.0).contains(pixel))));
        let grid = grid(&maps, 3, 2);
        assert_eq!((grid.height, grid.width), (3 * 8 + 2 * 2, 3 * 8 + 2 * 2));
        assert_eq!(grid.pixels[8], 1.0, "white between the pictures");
    }
}
