//! Resampling of feature maps by one constant matrix per axis, because bilinear interpolation has no gradient on GPU
//! devices in Burn 0.22 (issue 3863 of tracel-ai/burn).

use burn::tensor::{Device, Tensor, TensorData};

/// How positions between pixels are filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    /// Linear along each axis, corners not aligned, no antialias: PyTorch's `bilinear`.
    Bilinear,
    /// The pixel at `floor(i * input / output)`: PyTorch's `nearest`.
    Nearest,
}

/// Bring maps to another size.
///
/// # Shapes
/// - `x`: `[batch, channels, height, width]`
/// - output: `[batch, channels, size[0], size[1]]`
pub fn resize(x: Tensor<4>, size: [usize; 2], interpolation: Interpolation) -> Tensor<4> {
    let [_, _, height, width] = x.dims();
    let device = x.device();
    let rows = matrix(height, size[0], interpolation, &device);
    let columns = matrix(width, size[1], interpolation, &device);
    rows.unsqueeze::<4>().matmul(x).matmul(columns.transpose().unsqueeze())
}

/// Weights `[output, input]` of one axis.
fn matrix(input: usize, output: usize, interpolation: Interpolation, device: &Device) -> Tensor<2> {
    let mut weights = vec![0.0_f32; input * output];
    for (index, row) in weights.chunks_exact_mut(input).enumerate() {
        match interpolation {
            Interpolation::Nearest => row[index * input / output] = 1.0,
            Interpolation::Bilinear => {
                let position = ((index as f64 + 0.5) * input as f64 / output as f64 - 0.5).max(0.0);
                let first = (position as usize).min(input - 1);
                let share = position - first as f64;
                row[first] += (1.0 - share) as f32;
                row[(first + 1).min(input - 1)] += share as f32;
            }
        }
    }
    Tensor::from_data(TensorData::new(weights, [output, input]), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ramp_stays_a_ramp_inside() {
        let device = Device::flex();
        let x = Tensor::<1>::from_floats([0.0, 1.0, 2.0, 3.0], &device).reshape([1, 1, 1, 4]);
        let read = |mode| -> Vec<f32> { resize(x.clone(), [1, 8], mode).into_data().try_into_vec().unwrap() };
        assert_eq!(read(Interpolation::Bilinear), [0.0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.0]);
        assert_eq!(read(Interpolation::Nearest), [0.0, 0.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0]);
    }
}
