//! A linear layer with the initial values of MAE's public code.

use burn::nn::{Initializer, Linear};
use burn::tensor::Device;

/// `input` numbers to `output` numbers: weights from Xavier's uniform distribution over the whole matrix, biases 0.
/// (Burn's and PyTorch's own default draws narrower weights, and biases too.)
pub fn linear([input, output]: [usize; 2], device: &Device) -> Linear {
    Linear {
        weight: Initializer::XavierUniform { gain: 1.0 }.init_with([input, output], Some(input), Some(output), device),
        bias: Some(Initializer::Zeros.init([output], device)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_fill_xaviers_range_and_biases_are_zero() {
        // The joint projection of ViT-B counts as one matrix of 768 to 2304: bound 0.0441942.
        let layer = linear([768, 2304], &Device::flex());
        let weights: Vec<f32> = layer.weight.val().into_data().try_into_vec().unwrap();
        let largest = weights.iter().fold(0.0_f32, |largest, weight| largest.max(weight.abs()));
        assert!((0.044_19..=0.044_194_2).contains(&largest), "the largest weight is {largest}");
        let biases: Vec<f32> = layer.bias.unwrap().val().into_data().try_into_vec().unwrap();
        assert!(biases.iter().all(|&bias| bias == 0.0));
    }
}
