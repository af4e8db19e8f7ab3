//! Where a network looks for a place of its picture: a vision transformer by the attention of the patch to all others, in the blocks
//! whose maps the decoder reads; a network of convolutions by how much each part of the picture changes the answer there (Simonyan,
//! Vedaldi and Zisserman, "Deep Inside Convolutional Networks", arXiv:1312.6034, section 3).

use burn::module::Module;
use burn::tensor::Tensor;

use super::{PredictError, Predictor, Prepared};
use crate::models::Network;

/// Maps `[grid * grid]`, scaled so that what is looked at most is 1: the attention of a patch, the mean over heads, for each tapped block;
/// or one map of the size of the gradient.
pub type Maps = Vec<Vec<f32>>;

/// Parts of a picture in a row and in a column that a network of convolutions is asked about.
const PARTS: usize = 28;

/// Where `predictor` looks for what lies at `at`, from 0 to 1 from the left and from the top. None where its pictures cannot be parted.
///
/// # Errors
/// When the device fails.
pub async fn attention(predictor: &Predictor, prepared: &Prepared, at: [f64; 2]) -> Result<Option<Maps>, PredictError> {
    let network = match predictor.network() {
        Network::Unetr(network) => network,
        Network::Unet(_) | Network::Fcn(_) => return gradient(predictor, prepared, at).await,
    };
    let mut maps = Vec::new();
    for weights in network.attention(predictor.input(prepared)) {
        let tokens = weights.dims()[2];
        let grid = (tokens - 1).isqrt();
        let place = |share: f64| ((share.clamp(0.0, 1.0) * grid as f64) as usize).min(grid - 1);
        // The class token comes first.
        let patch = 1 + place(at[1]) * grid + place(at[0]);
        let of_patch: Tensor<4> = weights.narrow(2, patch, 1).narrow(3, 1, tokens - 1).mean_dim(1);
        let failed = |e: &dyn std::fmt::Debug| PredictError::Device(format!("{e:?}"));
        let data = of_patch.into_data_async().await.map_err(|e| failed(&e))?;
        maps.push(scaled(data.try_into_vec().map_err(|e| failed(&e))?));
    }
    Ok(Some(maps))
}

fn scaled(numbers: Vec<f32>) -> Vec<f32> {
    let most = numbers.iter().fold(f32::MIN_POSITIVE, |most, &number| most.max(number));
    numbers.into_iter().map(|number| number / most).collect()
}

/// How much each part of the picture changes the answer in the part at `at`: the mean size of the gradient.
async fn gradient(predictor: &Predictor, prepared: &Prepared, at: [f64; 2]) -> Result<Option<Maps>, PredictError> {
    let size = prepared.size;
    if !size.is_multiple_of(PARTS) {
        return Ok(None);
    }
    let pixels = size / PARTS;
    let first = |share: f64| ((share.clamp(0.0, 1.0) * PARTS as f64) as usize).min(PARTS - 1) * pixels;
    // Frozen, so that dropout is off and only the picture has a gradient.
    let network = predictor.network().clone().train().freeze();
    let picture = Tensor::from_inner(predictor.input(prepared)).require_grad();
    let logits = network.forward(picture.clone());
    let answer = logits.narrow(2, first(at[1]), pixels).narrow(3, first(at[0]), pixels);
    let gradients = answer.sum().backward();
    let Some(gradient) = picture.grad(&gradients) else { return Ok(None) };
    let sizes: Tensor<4> = gradient.abs().mean_dim(1).reshape([PARTS, pixels, PARTS, pixels]);
    let parts = sizes.mean_dim(1).mean_dim(3);
    let failed = |e: &dyn std::fmt::Debug| PredictError::Device(format!("{e:?}"));
    let data = parts.into_data_async().await.map_err(|e| failed(&e))?;
    Ok(Some(vec![scaled(data.try_into_vec().map_err(|e| failed(&e))?)]))
}

#[cfg(test)]
mod tests {
    use super::super::ModelHeader;
    use super::*;
    use crate::recipe::Recipe;
    use burn::tensor::Device;
    use sonoseg_imaging::geometry::Image;

    #[test]
    fn every_tapped_block_has_a_map_of_each_patch() {
        let device = Device::flex();
        let predictor = |text: &str| {
            let header = ModelHeader::of(&Recipe::parse("t.toml", text, &[]).unwrap());
            Predictor::new(header.network.init(&device), header, &device)
        };
        let unetr = predictor(
            "name = \"t\"\n[network]\npreset = \"tiny\"\nwidth = 16\ndepth = 4\nheads = 2\ntaps = [1, 2, 3]\nfeature_size = 4\n\
             [preparation]\nsize = 48\n",
        );
        let frame = Image::from_grey8(48, 48, &(0..48 * 48).map(|at| (at * 7 % 256) as u8).collect::<Vec<_>>());
        let look = |predictor: &Predictor, at| {
            pollster::block_on(attention(predictor, &predictor.prepare(&[&frame]), at)).unwrap()
        };
        let maps = look(&unetr, [0.0, 0.0]).unwrap();
        assert_eq!(maps.iter().map(Vec::len).collect::<Vec<_>>(), [9, 9, 9]);
        assert!(maps.iter().all(|map| map.iter().all(|share| (0.0..=1.0).contains(share)) && map.contains(&1.0)));
        assert_ne!(look(&unetr, [0.99, 0.99]).unwrap(), maps, "another patch looks elsewhere");
        assert_eq!(look(&unetr, [0.2, 0.1]).unwrap(), maps, "the same patch looks the same way");
    }

    #[test]
    fn a_unet_looks_around_the_place() {
        let device = Device::flex();
        device.seed(3);
        let predictor = |size: usize| {
            let text =
                format!("name = \"u\"\n[network]\narchitecture = \"unet\"\nwidth = 4\n[preparation]\nsize = {size}\n");
            let header = ModelHeader::of(&Recipe::parse("t.toml", &text, &[]).unwrap());
            Predictor::new(header.network.init(&device), header, &device)
        };
        let unet = predictor(112);
        let frame = Image::from_grey8(112, 112, &(0..112 * 112).map(|at| (at * 7 % 256) as u8).collect::<Vec<_>>());
        let look = |at| pollster::block_on(attention(&unet, &unet.prepare(&[&frame]), at)).unwrap().unwrap();
        for at in [[0.2, 0.7], [0.8, 0.1]] {
            let maps = look(at);
            assert_eq!((maps.len(), maps[0].len()), (1, PARTS * PARTS));
            let most = maps[0].iter().position(|&share| share == 1.0).unwrap();
            let place = [most % PARTS, most / PARTS].map(|part| (part as f64 + 0.5) / PARTS as f64);
            assert!((0..2).all(|axis| (place[axis] - at[axis]).abs() < 0.15), "{place:?} for {at:?}");
        }
        let small = predictor(48);
        let prepared = small.prepare(&[&frame]);
        assert_eq!(pollster::block_on(attention(&small, &prepared, [0.5; 2])).unwrap(), None);
    }
}
