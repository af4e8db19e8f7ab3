//! The volume: voxels in space, with their spacing and the way they lie in the patient.

use super::{Image, Scale, Spacing};

/// A 3-D picture, for example of CT, MR or a swept probe. Axes are in the order `[z, y, x]`: x changes fastest in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Volume {
    /// Values of a voxel.
    pub channels: usize,
    /// Voxels along `[z, y, x]`.
    pub extent: [usize; 3],
    /// Row-major `[channels, z, y, x]`, in the units of the file (Hounsfield units of CT, for example).
    pub voxels: Vec<f32>,
    /// Millimetres from one voxel to the next along `[z, y, x]`; none where the file does not tell.
    pub spacing_mm: Option<[f64; 3]>,
    /// How the axes lie in the patient; none where the file does not tell.
    pub orientation: Option<Orientation>,
}

/// Unit vectors of the axes `[z, y, x]` in the frame of the patient: to the left, to the back, to the head (LPS, as DICOM
/// has it).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Orientation(pub [[f64; 3]; 3]);

impl Orientation {
    /// The slices of a transverse scan as a radiologist looks at them: z to the head, y to the back, x to the left.
    pub const STANDARD: Self = Self([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]);

    /// Which axis takes each place of the standard order, and whether it runs the other way there: the closest way to
    /// stand the volume up by exchanging and reversing axes alone.
    fn to_standard(self) -> [(usize, bool); 3] {
        // Every axis goes where it points most; the clearest one chooses first.
        let mut places = [None; 3];
        let mut left: Vec<usize> = vec![0, 1, 2];
        while !left.is_empty() {
            let free: Vec<usize> = (0..3).filter(|&place| places[place].is_none()).collect();
            // The standard's place 0 (z) is along the third component, place 2 (x) along the first.
            let along = |axis: usize, place: usize| self.0[axis][2 - place];
            let all = left.iter().flat_map(|&axis| free.iter().map(move |&place| (axis, place)));
            let best = all.max_by(|a, b| along(a.0, a.1).abs().total_cmp(&along(b.0, b.1).abs()));
            let Some((axis, place)) = best else { break };
            places[place] = Some((axis, along(axis, place) < 0.0));
            left.retain(|&other| other != axis);
        }
        places.map(|place| place.unwrap_or_default())
    }
}

impl Volume {
    /// The same volume with its axes exchanged and reversed so that slices stand as people expect them; unchanged where
    /// the orientation is unknown. No voxel is resampled.
    #[must_use]
    pub fn standing(self) -> Self {
        let Some(orientation) = self.orientation else { return self };
        let order = orientation.to_standard();
        if order == [(0, false), (1, false), (2, false)] {
            return self;
        }
        let extent = order.map(|(axis, _)| self.extent[axis]);
        let [_, height, width] = self.extent;
        let step = [height * width, width, 1];
        let count = self.extent.iter().product::<usize>();
        let mut voxels = Vec::with_capacity(self.voxels.len());
        for channel in 0..self.channels {
            for z in 0..extent[0] {
                for y in 0..extent[1] {
                    for x in 0..extent[2] {
                        let place = |(at, (axis, reversed)): (usize, (usize, bool))| {
                            step[axis] * if reversed { self.extent[axis] - 1 - at } else { at }
                        };
                        let at: usize = [z, y, x].into_iter().zip(order).map(place).sum();
                        voxels.push(self.voxels[channel * count + at]);
                    }
                }
            }
        }
        let vectors = order.map(|(axis, reversed)| {
            let sign = if reversed { -1.0 } else { 1.0 };
            orientation.0[axis].map(|component| sign * component)
        });
        let spacing_mm = self.spacing_mm.map(|spacing| order.map(|(axis, _)| spacing[axis]));
        Self { channels: self.channels, extent, voxels, spacing_mm, orientation: Some(Orientation(vectors)) }
    }

    /// Slice `z` as an image; values up to `window[0]` become 0, those from `window[1]` on 1. Panics when there is no such
    /// slice or the volume has neither 1 nor 3 channels.
    ///
    /// # Shapes
    /// - output: `[channels, y, x]`
    pub fn slice(&self, z: usize, window: [f32; 2]) -> Image {
        let [slices, height, width] = self.extent;
        assert!(z < slices, "there is no slice {z} of {slices}");
        assert!([1, 3].contains(&self.channels), "{} channels make no picture", self.channels);
        let (plane, [low, high]) = (height * width, window);
        let span = (high - low).max(f32::MIN_POSITIVE);
        let level = |value: f32| if value.is_nan() { 0.0 } else { ((value - low) / span).clamp(0.0, 1.0) };
        let channel = |channel: usize| {
            let start = (channel * slices + z) * plane;
            self.voxels[start..start + plane].iter().map(|&value| level(value))
        };
        let pixels = (0..self.channels).flat_map(channel).collect();
        let scale = match self.spacing_mm {
            Some([_, y_mm, x_mm]) => Scale::Everywhere(Spacing { x_mm, y_mm }),
            None => Scale::Unknown,
        };
        Image { channels: self.channels, height, width, pixels, scale }
    }

    /// The window that shows all but the lowest and the highest half percent of the finite voxels, as MR is shown: a few
    /// bright ones do not darken the rest.
    pub fn window(&self) -> [f32; 2] {
        let mut values: Vec<f32> = self.voxels.iter().copied().filter(|value| value.is_finite()).collect();
        if values.is_empty() {
            return [0.0, 1.0];
        }
        let last = values.len() - 1;
        let mut at =
            |share: f64| *values.select_nth_unstable_by((last as f64 * share).round() as usize, f32::total_cmp).1;
        let (low, high) = (at(0.005), at(0.995));
        if low < high { [low, high] } else { [at(0.0), at(1.0)] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two slices of 2 x 3, the voxel at (z, y, x) having the value zyx.
    fn volume(orientation: Option<Orientation>) -> Volume {
        let voxels = (0..2).flat_map(|z| (0..2).flat_map(move |y| (0..3).map(move |x| (100 * z + 10 * y + x) as f32)));
        Volume {
            channels: 1,
            extent: [2, 2, 3],
            voxels: voxels.collect(),
            spacing_mm: Some([5.0, 2.0, 1.0]),
            orientation,
        }
    }

    #[test]
    fn a_slice_has_its_rows_its_window_and_its_scale() {
        let image = volume(None).slice(1, [100.0, 112.0]);
        assert_eq!((image.height, image.width), (2, 3));
        assert_eq!(image.pixels, [0.0, 1.0 / 12.0, 2.0 / 12.0, 10.0 / 12.0, 11.0 / 12.0, 1.0]);
        assert_eq!(image.scale, Scale::Everywhere(Spacing { x_mm: 1.0, y_mm: 2.0 }));
        assert_eq!(volume(None).window(), [0.0, 112.0]);
    }

    #[test]
    fn a_volume_is_stood_up_by_exchanging_and_reversing_axes() {
        assert_eq!(volume(Some(Orientation::STANDARD)).standing(), volume(Some(Orientation::STANDARD)));
        // As NIfTI has it: x to the right, y to the front.
        let turned = Orientation([[0.0, 0.0, 1.0], [0.0, -1.0, 0.0], [-1.0, 0.0, 0.0]]);
        let standing = volume(Some(turned)).standing();
        assert_eq!(standing.voxels[..6], [12.0, 11.0, 10.0, 2.0, 1.0, 0.0]);
        assert_eq!(standing.orientation, Some(Orientation::STANDARD));
        // A sagittal scan: its slices go to the left, its rows to the feet, its columns to the back; a little oblique.
        let sagittal = Orientation([[0.99, 0.1, 0.0], [0.0, 0.0, -1.0], [-0.1, 0.99, 0.0]]);
        let standing = volume(Some(sagittal)).standing();
        assert_eq!((standing.extent, standing.spacing_mm), ([2, 3, 2], Some([2.0, 1.0, 5.0])));
        assert_eq!(standing.voxels[..6], [10.0, 110.0, 11.0, 111.0, 12.0, 112.0]);
        assert_eq!(standing.orientation, Some(Orientation([[0.0, 0.0, 1.0], [-0.1, 0.99, 0.0], [0.99, 0.1, 0.0]])));
    }
}
