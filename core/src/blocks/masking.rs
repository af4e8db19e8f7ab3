//! Which patches of an image a masked auto-encoder sees (He 2022, as in its public code).
//!
//! The order is drawn on the CPU and uploaded: sorting on the device would read it back synchronously.

use burn::tensor::{Device, Int, Tensor, TensorData};

use sonoseg_imaging::rng::Rng;

/// The visible and the hidden patches of a batch of images, as many of each in every image.
#[derive(Clone, Debug, PartialEq)]
pub struct Masking {
    /// Images.
    pub batch: usize,
    /// Patches of an image.
    pub patches: usize,
    /// Visible patches of an image.
    pub kept: usize,
    /// `[batch, kept]`: the visible patches of each image, in shuffled order.
    pub keep: Vec<i32>,
    /// `[batch, patches]`: where each patch stands when the hidden ones follow the visible ones.
    pub restore: Vec<i32>,
    /// `[batch, patches]`: 1 = hidden, 0 = visible.
    pub mask: Vec<f32>,
}

/// A [`Masking`] on the device.
#[derive(Clone, Debug)]
pub struct DeviceMasking {
    /// `[batch, kept]`.
    pub keep: Tensor<2, Int>,
    /// `[batch, patches]`.
    pub restore: Tensor<2, Int>,
    /// `[batch, patches]`.
    pub mask: Tensor<2>,
}

impl Masking {
    /// How many of `patches` patches stay visible when the share `ratio` is hidden: truncated, not rounded.
    pub fn kept(patches: usize, ratio: f64) -> usize {
        (patches as f64 * (1.0 - ratio)) as usize
    }

    /// Hide the share `ratio` of the patches of every image at random. Panics when none would be visible or hidden.
    pub fn draw(rng: &mut Rng, batch: usize, patches: usize, ratio: f64) -> Self {
        Self::from_orders((0..batch).map(|_| rng.permutation(patches)), patches, ratio)
    }

    /// The masking that uniform noise gives, as MAE draws it: in every image the patches with the smallest numbers stay
    /// visible. Panics when none would be visible or hidden.
    ///
    /// # Shapes
    /// - `noise`: `[batch, patches]`
    pub fn from_noise(noise: &[f32], patches: usize, ratio: f64) -> Self {
        assert!(noise.len().is_multiple_of(patches), "{} random numbers for {patches} patches an image", noise.len());
        let orders = noise.chunks_exact(patches).map(|noise| {
            let mut order: Vec<usize> = (0..patches).collect();
            order.sort_by(|&a, &b| noise[a].total_cmp(&noise[b]));
            order
        });
        Self::from_orders(orders, patches, ratio)
    }

    /// From the shuffled patches of each image: the first ones are visible.
    fn from_orders(orders: impl Iterator<Item = Vec<usize>>, patches: usize, ratio: f64) -> Self {
        let kept = Self::kept(patches, ratio);
        assert!(kept > 0 && kept < patches, "a share of {ratio} hides all or none of {patches} patches");
        let (mut keep, mut restore, mut mask) = (Vec::new(), Vec::new(), Vec::new());
        let mut batch = 0;
        for order in orders {
            batch += 1;
            keep.extend(order[..kept].iter().map(|&patch| patch as i32));
            let start = restore.len();
            restore.resize(start + patches, 0);
            mask.resize(start + patches, 0.0);
            for (place, patch) in order.into_iter().enumerate() {
                restore[start + patch] = place as i32;
                mask[start + patch] = if place < kept { 0.0 } else { 1.0 };
            }
        }
        Self { batch, patches, kept, keep, restore, mask }
    }

    /// Hidden patches of all images together.
    pub fn hidden(&self) -> usize {
        self.batch * (self.patches - self.kept)
    }

    /// The same on the device.
    pub fn to_device(&self, device: &Device) -> DeviceMasking {
        let indices =
            |list: &[i32], each| Tensor::from_data(TensorData::new(list.to_vec(), [self.batch, each]), device);
        DeviceMasking {
            keep: indices(&self.keep, self.kept),
            restore: indices(&self.restore, self.patches),
            mask: Tensor::from_data(TensorData::new(self.mask.clone(), [self.batch, self.patches]), device),
        }
    }
}

/// Tokens by their indices, each image its own.
///
/// # Shapes
/// - `tokens`: `[batch, tokens, width]`
/// - `indices`: `[batch, wanted]`
/// - output: `[batch, wanted, width]`
pub fn pick(tokens: Tensor<3>, indices: Tensor<2, Int>) -> Tensor<3> {
    let [_, _, width] = tokens.dims();
    let [batch, wanted] = indices.dims();
    tokens.gather(1, indices.unsqueeze_dim::<3>(2).expand([batch, wanted, width]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_of_the_specification_are_truncated() {
        for (patches, ratio, kept) in [(196, 0.75, 49), (216, 0.4, 129), (512, 0.4, 307)] {
            let masking = Masking::draw(&mut Rng::stream(1, "masking", [0, 0]), 3, patches, ratio);
            assert_eq!((masking.kept, masking.hidden()), (kept, 3 * (patches - kept)));
            for mask in masking.mask.chunks_exact(patches) {
                assert_eq!(mask.iter().sum::<f32>() as usize, patches - kept);
            }
        }
    }

    #[test]
    fn the_smallest_noise_stays_visible_and_restore_undoes_the_order() {
        let masking = Masking::from_noise(&[0.4, 0.1, 0.3, 0.2, 0.0, 0.3, 0.2, 0.1], 4, 0.5);
        assert_eq!(masking.keep, [1, 3, 0, 3]);
        assert_eq!(masking.restore, [3, 0, 2, 1, 0, 3, 2, 1]);
        assert_eq!(masking.mask, [1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0]);
    }

    #[test]
    fn every_image_has_patches_of_its_own_and_every_seed_too() {
        let draw = |seed| Masking::draw(&mut Rng::stream(seed, "masking", [0, 0]), 2, 64, 0.75);
        let masking = draw(1);
        assert_eq!(masking, draw(1));
        assert_ne!(masking, draw(2));
        assert_ne!(masking.keep[..16], masking.keep[16..]);
    }

    #[test]
    fn picked_tokens_send_their_gradients_back() {
        let device = Device::flex().autodiff();
        let masking = Masking::from_noise(&[0.4, 0.1, 0.3, 0.2, 0.0, 0.3, 0.2, 0.1], 4, 0.5).to_device(&device);
        let numbers: Vec<f32> = (0..16).map(|i| i as f32).collect();
        let tokens = Tensor::<3>::from_data(TensorData::new(numbers, [2, 4, 2]), &device).require_grad();
        let picked = pick(tokens.clone(), masking.keep);
        let weights = Tensor::<3>::from_floats([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]], &device);
        let gradients = (picked.clone() * weights).sum().backward();
        let read = |tensor: Tensor<3>| tensor.into_data().try_into_vec::<f32>().unwrap();
        assert_eq!(read(picked.inner()), [2.0, 3.0, 6.0, 7.0, 8.0, 9.0, 14.0, 15.0]);
        let expected = [0.0, 0.0, 1.0, 2.0, 0.0, 0.0, 3.0, 4.0, 5.0, 6.0, 0.0, 0.0, 0.0, 0.0, 7.0, 8.0];
        assert_eq!(read(tokens.grad(&gradients).unwrap()), expected);
    }
}
