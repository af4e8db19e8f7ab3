//! The exact Gaussian error linear unit.

use burn::tensor::Tensor;

/// `x * Phi(x)` with the exact (erf) normal distribution function, as PyTorch's default GELU.
///
/// Written through `erf`, because the GPU backend differentiates its own `gelu` by the tanh approximation.
///
/// # Shapes
/// - any, to the same
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let erf = (x.clone() * std::f32::consts::FRAC_1_SQRT_2).erf();
    x * (erf * 0.5 + 0.5)
}
