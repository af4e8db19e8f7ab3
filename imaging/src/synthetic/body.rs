//! The echoes of a body: what the point-spread function makes of its structures and its scatterers.

use super::degrade::gauss;
use super::field::{Field, Psf};
use crate::rng::Rng;

/// The echo fields of a body, after the point-spread function. Each has `margin` more beams on either side than the probe.
pub(super) struct Body {
    pub(super) margin: usize,
    /// Fascia, bone, fibres: echoes that stay when the probe moves across the plane.
    pub(super) structure: Field,
    /// Two slices of speckle, to be mixed.
    pub(super) slices: [Field; 2],
    /// Mean power per cell: what endless averaging of speckle would show.
    pub(super) mean_power: Vec<f32>,
}

impl Body {
    /// Of structures and of the amplitude of the scatterers per cell.
    pub(super) fn draw(margin: usize, structure: &Field, level: &[f32], psf: &Psf, rng: &mut Rng) -> Self {
        let slices = [(); 2].map(|()| {
            let mut slice = Field::noise(structure.beams, structure.samples, rng);
            for ((re, im), level) in slice.re.iter_mut().zip(&mut slice.im).zip(level) {
                *re *= level;
                *im *= level;
            }
            psf.convolve(&slice)
        });
        let power: Vec<f32> = level.iter().map(|level| level * level).collect();
        Self::new(margin, psf.convolve(structure), slices, gauss(&power, structure.samples, 1.0, 1.5))
    }

    /// Of fields after the point-spread function, and of the mean power of the speckle.
    pub(super) fn new(margin: usize, structure: Field, slices: [Field; 2], speckle_power: Vec<f32>) -> Self {
        let mut mean_power = speckle_power;
        for ((power, re), im) in mean_power.iter_mut().zip(&structure.re).zip(&structure.im) {
            *power += re * re + im * im;
        }
        Self { margin, structure, slices, mean_power }
    }

    /// One look at it: both slices mixed, and the structures that all slices share.
    pub(super) fn mix(&self, first: f32, second: f32) -> (Vec<f32>, Vec<f32>) {
        let [one, two] = &self.slices;
        let plane = |structure: &[f32], one: &[f32], two: &[f32]| {
            structure.iter().zip(one).zip(two).map(|((s, a), b)| s + first * a + second * b).collect()
        };
        let structure = &self.structure;
        (plane(&structure.re, &one.re, &two.re), plane(&structure.im, &one.im, &two.im))
    }
}
