//! The exact GELU and its slope, written so that the compiler vectorises them.

use super::parallel::{each, fma};

/// Numbers in a portion: fits the first cache twice.
const PORTION: usize = 4096;

/// Where `exp(-x^2 / 2)` has reached the smallest normal numbers.
const FAR: f32 = 13.0;

/// The smaller one; `x` when it is no number. (`f32::min` prefers numbers, for which wasm has no instruction.)
#[inline(always)]
fn least(x: f32, most: f32) -> f32 {
    if x > most { most } else { x }
}

/// `1 - Phi(|x|)` and `exp(-x^2 / 2)`, where `Phi` is the normal distribution function; relative error about 2e-7.
///
/// `erfc(z) = exp(-z^2) t P(t)` with `t = 1 / (1 + 0.325 z)`, `P` by interpolation at Chebyshev nodes for z in 0..=6.5.
#[inline(always)]
fn tail(x: f32) -> (f32, f32) {
    let x = least(x.abs(), FAR);
    let exp = exp_negative(-0.5 * x * x);
    let t = 1.0 / fma(x, 0.325 * std::f32::consts::FRAC_1_SQRT_2, 1.0);
    let mut p = -0.156_049_67;
    p = fma(p, t, 0.576_247_6);
    p = fma(p, t, -0.540_901_1);
    p = fma(p, t, 0.578_058_35);
    p = fma(p, t, -0.042_990_808);
    p = fma(p, t, 0.226_265_39);
    p = fma(p, t, 0.175_503_22);
    p = fma(p, t, 0.183_867);
    (0.5 * exp * t * p, exp)
}

/// `exp(y)` for y in -87..=0; relative error about 1e-7.
#[inline(always)]
pub(super) fn exp_negative(y: f32) -> f32 {
    // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let y = if y < -87.0 { -87.0 } else { y };
    let shifted = fma(y, std::f32::consts::LOG2_E, ROUND);
    let k = shifted - ROUND;
    let r = fma(k, -0.693_359_4, y);
    let r = fma(k, 2.121_944_4e-4, r);
    let mut p = 1.987_569_1e-4;
    p = fma(p, r, 1.398_199_9e-3);
    p = fma(p, r, 8.333_452e-3);
    p = fma(p, r, 4.166_579_6e-2);
    p = fma(p, r, 0.166_666_66);
    p = fma(p, r, 0.5);
    let mantissa = fma(p * r, r, r) + 1.0;
    mantissa * f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000))
}

/// `x * Phi(x)`.
#[inline(always)]
pub(super) fn value(x: f32) -> f32 {
    let (tail, _) = tail(x);
    if x < 0.0 { -least(-x, FAR) * tail } else { x * (1.0 - tail) }
}

/// `Phi(x) + x * phi(x)`.
#[inline(always)]
pub(super) fn slope(x: f32) -> f32 {
    const DENSITY: f32 = 0.398_942_3;
    let (tail, exp) = tail(x);
    fma(x.clamp(-FAR, FAR) * DENSITY, exp, if x < 0.0 { tail } else { 1.0 - tail })
}

/// GELU of every number of `x`, written to `out` of the same length.
pub(super) fn forward(x: &[f32], out: &mut [f32]) {
    let tasks = x.chunks(PORTION).zip(out.chunks_mut(PORTION)).collect();
    each(tasks, x.len(), |_, (x, out): (&[f32], &mut [f32])| {
        for (out, &x) in out.iter_mut().zip(x) {
            *out = value(x);
        }
    });
}

/// GELU in place.
pub(super) fn forward_in_place(x: &mut [f32]) {
    let numbers = x.len();
    each(x.chunks_mut(PORTION).collect(), numbers, |_, x: &mut [f32]| {
        for x in x {
            *x = value(*x);
        }
    });
}

/// Replace `grad` (of the output) by the gradient of the input `x`.
pub(super) fn backward(x: &[f32], grad: &mut [f32]) {
    let tasks = x.chunks(PORTION).zip(grad.chunks_mut(PORTION)).collect();
    each(tasks, x.len(), |_, (x, grad): (&[f32], &mut [f32])| {
        for (grad, &x) in grad.iter_mut().zip(x) {
            *grad *= slope(x);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_slopes_over_the_whole_range() {
        // Phi by summing its density in f64, from a start so low that nothing is missing.
        let density = |x: f64| (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let (mut phi, mut x, step) = (0.0_f64, -14.0_f64, 1e-3);
        while x < 14.0 {
            let middle = density(x + 0.5 * step);
            phi += step / 6.0 * (density(x) + 4.0 * middle + density(x + step));
            x += step;
            let y = x as f32;
            assert!((f64::from(value(y)) - x * phi).abs() < 4e-7 * (1.0 + x.abs()), "gelu({x}) = {}", value(y));
            assert!((f64::from(slope(y)) - phi - x * density(x)).abs() < 1e-6, "slope at {x}: {}", slope(y));
        }
        assert_eq!(value(f32::MAX), f32::MAX);
        assert!(value(f32::MIN).abs() < 1e-30 && slope(f32::MAX) == 1.0 && slope(f32::MIN).abs() < 1e-30);
        assert!(value(f32::NAN).is_nan());
    }
}
