//! Reconstructions of a masked auto-encoder as a picture, like figures 5 and 6 of Yang 2024: a row for each image, with
//! the original, what the network saw, what it painted, and its painting with the visible patches put back.
//!
//! A network that predicts normalised patches says nothing about their brightness and contrast: those are taken from
//! the original patch, as in MAE's own pictures. Such a row looks better than what the network alone could paint.

use crate::inspect::grid::grid;
use crate::losses::pixels::VARIANCE_EPSILON;
use sonoseg_imaging::geometry::Image;
use sonoseg_imaging::prepare::Preparation;

/// White pixels between the pictures.
const GAP: usize = 4;
/// Brightness of a hidden patch.
const HIDDEN: f32 = 0.5;

/// One image, and what the network made of it.
#[derive(Clone, Copy, Debug)]
pub struct Reconstruction<'a> {
    /// Network input, row-major `[3, size, size]`, normalised. One frame three times: the channels are shown as their
    /// mean.
    pub input: &'a [f32],
    /// `[patches, patch_size * patch_size * 3]`, channel fastest.
    pub prediction: &'a [f32],
    /// `[patches]`: 1 = hidden, 0 = visible.
    pub mask: &'a [f32],
}

/// How the numbers are to be read.
#[derive(Clone, Debug)]
pub struct PanelConfig {
    /// How images became network input.
    pub preparation: Preparation,
    /// Edge of a patch, in pixels.
    pub patch_size: usize,
    /// Whether the network predicts patches without their own mean and deviation.
    pub normalised: bool,
}

/// All rows as one grey image: `[original | visible | reconstruction | reconstruction with the visible patches]`.
/// Panics when there is no image, or when sizes do not fit together.
pub fn panel(rows: &[Reconstruction<'_>], config: &PanelConfig) -> Image {
    assert!(!rows.is_empty(), "a panel shows at least one image");
    let size = config.preparation.size;
    let pictures: Vec<Image> = rows
        .iter()
        .flat_map(|reconstruction| tiles(reconstruction, config))
        .map(|tile| Image::grey(size, size, tile))
        .collect();
    grid(&pictures, 4, GAP)
}

/// The four pictures of a row, each `[size, size]` in [0, 1].
fn tiles(row: &Reconstruction<'_>, config: &PanelConfig) -> [Vec<f32>; 4] {
    let PanelConfig { preparation, patch_size, normalised } = config;
    let (size, patch_size) = (preparation.size, *patch_size);
    assert!(
        patch_size > 0 && size.is_multiple_of(patch_size),
        "images of {size} pixels cannot be cut into patches of {patch_size}"
    );
    let patches = (size / patch_size).pow(2);
    let found = [row.input.len(), row.prediction.len(), row.mask.len()];
    assert_eq!(found, [3 * size * size, 3 * size * size, patches], "numbers of input, prediction and mask");

    let mut painted = vec![0.0; row.input.len()];
    let numbers = 3 * patch_size * patch_size;
    for (patch, prediction) in row.prediction.chunks_exact(numbers).enumerate() {
        let places: Vec<usize> = places(patch, size, patch_size).collect();
        let (mean, deviation) = if *normalised { mean_and_deviation(row.input, &places) } else { (0.0, 1.0) };
        for (place, number) in places.into_iter().zip(prediction) {
            painted[place] = (f64::from(*number) * deviation + mean) as f32;
        }
    }
    let show = |input: &[f32]| -> Vec<f32> {
        let pixels = preparation.denormalise(input);
        let (first, rest) = pixels.split_at(size * size);
        let (second, third) = rest.split_at(size * size);
        let mean = |((a, b), c): ((&f32, &f32), &f32)| ((a + b + c) / 3.0).clamp(0.0, 1.0);
        first.iter().zip(second).zip(third).map(mean).collect()
    };
    let (original, painted) = (show(row.input), show(&painted));
    let hidden = |place: usize| {
        let (line, column) = (place / size / patch_size, place % size / patch_size);
        row.mask[line * (size / patch_size) + column] > 0.5
    };
    let visible = original.iter().enumerate().map(|(i, &pixel)| if hidden(i) { HIDDEN } else { pixel }).collect();
    let both = painted.iter().zip(&original).enumerate();
    let both = both.map(|(i, (&painted, &original))| if hidden(i) { painted } else { original }).collect();
    [original, visible, painted, both]
}

/// Where in `[3, size, size]` the numbers of a patch lie, in the patch's order: row, column, channel.
fn places(patch: usize, size: usize, patch_size: usize) -> impl Iterator<Item = usize> {
    let (top, left) = (patch / (size / patch_size) * patch_size, patch % (size / patch_size) * patch_size);
    (0..patch_size * patch_size * 3).map(move |number| {
        let (pixel, channel) = (number / 3, number % 3);
        channel * size * size + (top + pixel / patch_size) * size + left + pixel % patch_size
    })
}

/// Mean, and root of the unbiased variance, of the numbers at some places.
fn mean_and_deviation(numbers: &[f32], places: &[usize]) -> (f64, f64) {
    let at = |&place: &usize| f64::from(numbers[place]);
    let mean = places.iter().map(at).sum::<f64>() / places.len() as f64;
    let squares: f64 = places.iter().map(|place| (at(place) - mean).powi(2)).sum();
    (mean, (squares / (places.len() - 1) as f64 + VARIANCE_EPSILON).sqrt())
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor, TensorData};

    use super::*;
    use crate::losses::pixels::patch_target;

    const SIZE: usize = 4;

    /// A slope from dark to bright, as network input, and the target of a network that paints it.
    fn slope(normalised: bool) -> (PanelConfig, Vec<f32>, Vec<f32>) {
        let preparation = Preparation { size: SIZE, ..Default::default() };
        let square: Vec<f32> = (0..SIZE * SIZE).map(|i| i as f32 / 16.0).collect();
        let input = preparation.normalise(&[square], 3);
        let images = Tensor::from_data(TensorData::new(input.clone(), [1, 3, SIZE, SIZE]), &Device::flex());
        let target = patch_target(images, 2, normalised).into_data().try_into_vec().unwrap();
        (PanelConfig { preparation, patch_size: 2, normalised }, input, target)
    }

    fn tile(image: &Image, row: usize, column: usize) -> Vec<f32> {
        let start = |line: usize| (row * (SIZE + GAP) + line) * image.width + column * (SIZE + GAP);
        (0..SIZE).flat_map(|line| image.pixels[start(line)..start(line) + SIZE].iter().copied()).collect()
    }

    #[test]
    fn a_perfect_prediction_gives_the_original_back_normalised_or_not() {
        for normalised in [false, true] {
            let (config, input, target) = slope(normalised);
            let row = Reconstruction { input: &input, prediction: &target, mask: &[1.0, 0.0, 0.0, 1.0] };
            let image = panel(&[row, row], &config);
            assert_eq!([image.channels, image.height, image.width], [1, 2 * SIZE + GAP, 4 * SIZE + 3 * GAP]);
            for (row, column) in [(0, 0), (0, 2), (0, 3), (1, 2)] {
                for (i, pixel) in tile(&image, row, column).into_iter().enumerate() {
                    assert!((pixel - i as f32 / 16.0).abs() < 1e-5, "{normalised} {row} {column} {i}: {pixel}");
                }
            }
            assert_eq!(image.pixels[SIZE], 1.0, "white between the pictures");
        }
    }

    #[test]
    fn hidden_patches_are_grey_and_the_visible_ones_are_put_back() {
        let (config, input, target) = slope(false);
        let black: Vec<f32> = target.iter().map(|_| -10.0).collect();
        let row = Reconstruction { input: &input, prediction: &black, mask: &[1.0, 0.0, 0.0, 0.0] };
        let image = panel(&[row], &config);
        let [original, visible, painted, both] = [0, 1, 2, 3].map(|column| tile(&image, 0, column));
        assert!(painted.iter().all(|&pixel| pixel == 0.0));
        for i in 0..SIZE * SIZE {
            let hidden = i % SIZE < 2 && i / SIZE < 2;
            assert_eq!(visible[i], if hidden { HIDDEN } else { original[i] });
            assert_eq!(both[i], if hidden { 0.0 } else { original[i] });
        }
    }

    #[test]
    #[should_panic(expected = "numbers of input, prediction and mask")]
    fn sizes_that_do_not_fit_are_refused() {
        let (config, input, target) = slope(false);
        panel(&[Reconstruction { input: &input, prediction: &target[1..], mask: &[0.0; 4] }], &config);
    }
}
