//! The loss of masked auto-encoders: hidden patches of the image against the prediction (He 2022, as in its
//! public code).

use burn::tensor::{Tensor, TensorData};

use crate::blocks::masking::Masking;

/// Added to a patch's variance before the root, when patches are normalised.
pub const VARIANCE_EPSILON: f64 = 1e-6;

/// Images as patches. Inside a patch the channel changes fastest, then the column, then the row; the weight of the
/// patch embedding, by contrast, has its channels outermost.
///
/// # Shapes
/// - `images`: `[batch, channels, rows * patch_size, columns * patch_size]`
/// - output: `[batch, rows * columns, patch_size * patch_size * channels]`
pub fn patchify(images: Tensor<4>, patch_size: usize) -> Tensor<3> {
    let [batch, channels, height, width] = images.dims();
    assert!(
        height.is_multiple_of(patch_size) && width.is_multiple_of(patch_size),
        "images of {height}x{width} cannot be cut into patches of {patch_size}"
    );
    let (rows, columns) = (height / patch_size, width / patch_size);
    images.reshape([batch, channels, rows, patch_size, columns, patch_size]).permute([0, 2, 4, 3, 5, 1]).reshape([
        batch,
        rows * columns,
        patch_size * patch_size * channels,
    ])
}

/// What is to be predicted: the pixels of the patches, or, when `normalised`, what is left of them after the patch's
/// own mean is taken away and divided by its own deviation (unbiased variance).
///
/// # Shapes
/// - `images`: `[batch, channels, rows * patch_size, columns * patch_size]`
/// - output: `[batch, rows * columns, patch_size * patch_size * channels]`
pub fn patch_target(images: Tensor<4>, patch_size: usize, normalised: bool) -> Tensor<3> {
    let patches = patchify(images, patch_size);
    if !normalised {
        return patches;
    }
    let [_, _, numbers] = patches.dims();
    assert!(numbers > 1, "a patch of {numbers} number has no deviation");
    let centred = patches.clone() - patches.mean_dim(2);
    let variance = centred.clone().square().sum_dim(2) / (numbers - 1) as f64;
    centred / (variance + VARIANCE_EPSILON).sqrt()
}

/// Mean squared error of every hidden patch, averaged over all hidden patches of the batch. `normalised` as in
/// [`patch_target`].
///
/// # Shapes
/// - `images`: `[batch, channels, rows * patch_size, columns * patch_size]`
/// - `prediction`: `[batch, rows * columns, patch_size * patch_size * channels]`
/// - output: `[1]`
pub fn masked_mse(
    images: Tensor<4>,
    prediction: Tensor<3>,
    masking: &Masking,
    patch_size: usize,
    normalised: bool,
) -> Tensor<1> {
    let target = patch_target(images, patch_size, normalised);
    assert_eq!(prediction.dims(), target.dims(), "one number is predicted for each of the images");
    let [batch, patches, _] = target.dims();
    assert_eq!([masking.batch, masking.patches], [batch, patches], "the masking is of other images");
    let mask = TensorData::new(masking.mask.clone(), [batch, patches, 1]);
    let mask = Tensor::<3>::from_data(mask, &prediction.device());
    let errors = (prediction - target).square().mean_dim(2);
    (errors * mask).sum() / masking.hidden() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn images<const N: usize>(values: [f32; N], shape: [usize; 4]) -> Tensor<4> {
        Tensor::<1>::from_floats(values, &Device::flex()).reshape(shape)
    }

    fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().try_into_vec().unwrap()
    }

    #[test]
    fn a_patch_is_row_then_column_then_channel() {
        // Two channels of 2x4 pixels, the second one 10 more: two patches side by side.
        let values = [0., 1., 2., 3., 4., 5., 6., 7., 10., 11., 12., 13., 14., 15., 16., 17.];
        let patches = patchify(images(values, [1, 2, 2, 4]), 2);
        assert_eq!(patches.dims(), [1, 2, 8]);
        assert_eq!(read(patches), [0., 10., 1., 11., 4., 14., 5., 15., 2., 12., 3., 13., 6., 16., 7., 17.]);
    }

    #[test]
    fn a_normalised_patch_has_the_unbiased_variance_1() {
        let target = patch_target(images([1.0, 2.0, 3.0, 6.0], [1, 1, 2, 2]), 2, true);
        // Mean 3, unbiased variance (4 + 1 + 0 + 9) / 3.
        let deviation = (14.0_f32 / 3.0 + 1e-6).sqrt();
        for (found, expected) in read(target).into_iter().zip([-2.0, -1.0, 0.0, 3.0]) {
            assert!((found - expected / deviation).abs() < 1e-6, "{found}");
        }
        let flat = patch_target(images([0.7; 4], [1, 1, 2, 2]), 2, true);
        assert!(read(flat).iter().all(|&x| x.abs() < 1e-3), "a patch without contrast stays finite");
    }

    #[test]
    fn only_hidden_patches_count_and_each_of_them_alike() {
        // Four patches of one pixel in two images; patch 1 of the first and patch 0 of the second are hidden.
        let masking = Masking::from_noise(&[0.1, 0.9, 0.9, 0.1], 2, 0.5);
        let images = images([1.0, 2.0, 3.0, 4.0], [2, 1, 1, 2]);
        let loss = |prediction: [f32; 4]| {
            let prediction = Tensor::<1>::from_floats(prediction, &Device::flex()).reshape([2, 2, 1]);
            read(masked_mse(images.clone(), prediction, &masking, 1, false))[0]
        };
        assert_eq!(loss([9.0, 2.0, 3.0, 9.0]), 0.0, "visible patches cost nothing");
        assert_eq!(loss([1.0, 5.0, 2.0, 4.0]), 5.0, "(9 + 1) / 2");
    }

    #[test]
    fn the_mean_of_a_normalised_patch_costs_nearly_1() {
        let masking = Masking::from_noise(&[0.1, 0.9], 2, 0.5);
        let images = images([0.0, 0.0, 1.0, 5.0, 0.0, 0.0, 2.0, 9.0], [1, 1, 2, 4]);
        let nothing = Tensor::zeros([1, 2, 4], &Device::flex());
        // The mean of the squares is the biased variance over the unbiased one: 3 / 4.
        let loss = read(masked_mse(images, nothing, &masking, 2, true))[0];
        assert!((loss - 0.75).abs() < 1e-6, "{loss}");
    }
}
