//! Where a vision transformer looks: the attention of one patch to all others, in the blocks whose maps the decoder reads.

use burn::tensor::Tensor;

use super::{PredictError, Predictor, Prepared};
use crate::models::Network;

/// Attention of a patch, one map for each tapped block: the mean over its heads, `[grid * grid]`, scaled so that the most
/// attended patch is 1.
pub type Maps = Vec<Vec<f32>>;

/// Where `predictor` looks for the patch that lies at `at`, from 0 to 1 from the left and from the top. None for a network that
/// has no attention.
///
/// # Errors
/// When the device fails.
pub async fn attention(predictor: &Predictor, prepared: &Prepared, at: [f64; 2]) -> Result<Option<Maps>, PredictError> {
    let Network::Unetr(network) = predictor.network() else { return Ok(None) };
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
        let numbers: Vec<f32> = data.try_into_vec().map_err(|e| failed(&e))?;
        let most = numbers.iter().fold(f32::MIN_POSITIVE, |most, &number| most.max(number));
        maps.push(numbers.into_iter().map(|number| number / most).collect());
    }
    Ok(Some(maps))
}

#[cfg(test)]
mod tests {
    use super::super::ModelHeader;
    use super::*;
    use crate::recipe::Recipe;
    use burn::tensor::Device;
    use sonoseg_imaging::geometry::Image;

    #[test]
    fn every_tapped_block_has_a_map_of_each_patch_and_a_unet_has_none() {
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
        let unet = predictor("name = \"u\"\n[network]\narchitecture = \"unet\"\nwidth = 4\n[preparation]\nsize = 48\n");
        assert_eq!(look(&unet, [0.5, 0.5]), None);
    }
}
