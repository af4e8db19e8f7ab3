//! Settings of the ultrasound machine that both simulators have: picture, beam, grey levels, marks, files.

use serde::{Deserialize, Serialize};

use super::config::{NeedleSimConfig, Range};

/// What does not depend on what is looked at. The default is that of the simulator of the knee, for which a file has a table of
/// it; the simulator of needles has the same settings among its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MachineConfig {
    /// Longer side of the scan area, pixels.
    pub image_side_px: Range,
    /// Share of the images with borders around the scan area.
    pub border_share: f64,
    /// Width of each border as a share of the scan area's side.
    pub border: Range,
    /// Share of the images with broad black bars beside, or above and below the scan area (a whole screen).
    pub letterbox_share: f64,
    /// Width of such a bar as a share of the picture's side; the two bars differ.
    pub letterbox: Range,
    /// Share of the images whose pixels are not square.
    pub stretched_share: f64,
    /// Width over height of such a pixel, in image pixels per mm.
    pub stretch: Range,
    /// Share of the images cropped into the scan area, so that its edges are not in the picture.
    pub crop_share: f64,
    /// Most that is cut away: from the left and the right each, from the top, from the bottom, as shares of the scan area.
    pub crop: [f64; 3],
    /// Grey level outside the scan area where it is not black (one image in five).
    pub background: Range,

    /// Length of the pulse, wave cycles (full width at half maximum of the two-way envelope, times two).
    pub pulse_cycles: Range,
    /// Aperture ratio: the lateral width at the focus is this times the wavelength.
    pub f_number: Range,
    /// Depth of the focus as a share of the depth shown.
    pub focus: Range,
    /// Distance from the focus at which the beam is 1.4 times as wide, as a share of the depth shown.
    pub focal_range: Range,
    /// Dynamic range of the log compression, dB.
    pub dynamic_range_db: Range,
    /// Grey level of average tissue, 1 = white.
    pub tissue_level: Range,
    /// Exponent of the tone curve.
    pub gamma: Range,
    /// Size of the slow gain error over depth (time gain compensation), dB.
    pub tgc_error_db: Range,
    /// Loss of signal from top to bottom that the machine does not compensate, dB.
    pub attenuation_db: Range,
    /// Electronic noise at the bottom, dB.
    pub noise_db: Range,
    /// Echo of the fixed bands under the probe face, dB.
    pub near_field_db: Range,
    /// How much of the speckle is averaged away by compounding: 0 none, 1 all that two looks can do.
    pub compounding: Range,
    /// How much of the remaining speckle further looks average away.
    pub despeckle: Range,
    /// Speckle-reducing blur of the compressed beams, in beam cells.
    pub smoothing: Range,

    /// Share of the images with marks of the machine's screen.
    pub marks_share: f64,
    /// Share of the images with a blur, a sharpening or a resampling.
    pub resampling_share: f64,
    /// Share of the images with compression blocks.
    pub jpeg_share: f64,
}

impl Default for MachineConfig {
    fn default() -> Self {
        Self {
            dynamic_range_db: [48.0, 72.0],
            tissue_level: [0.3, 0.55],
            tgc_error_db: [0.0, 4.0],
            attenuation_db: [-3.0, 10.0],
            noise_db: [-52.0, -30.0],
            near_field_db: [0.0, 14.0],
            despeckle: [0.1, 0.65],
            letterbox_share: 0.1,
            stretched_share: 0.15,
            crop: [0.1, 0.03, 0.12],
            ..Self::from(&NeedleSimConfig::default())
        }
    }
}

impl From<&NeedleSimConfig> for MachineConfig {
    fn from(config: &NeedleSimConfig) -> Self {
        Self {
            image_side_px: config.image_side_px,
            border_share: config.border_share,
            border: config.border,
            letterbox_share: config.letterbox_share,
            letterbox: config.letterbox,
            stretched_share: config.stretched_share,
            stretch: config.stretch,
            crop_share: config.crop_share,
            crop: config.crop,
            background: config.background,
            pulse_cycles: config.pulse_cycles,
            f_number: config.f_number,
            focus: config.focus,
            focal_range: config.focal_range,
            dynamic_range_db: config.dynamic_range_db,
            tissue_level: config.tissue_level,
            gamma: config.gamma,
            tgc_error_db: config.tgc_error_db,
            attenuation_db: config.attenuation_db,
            noise_db: config.noise_db,
            near_field_db: config.near_field_db,
            compounding: config.compounding,
            despeckle: config.despeckle,
            smoothing: config.smoothing,
            marks_share: config.marks_share,
            resampling_share: config.resampling_share,
            jpeg_share: config.jpeg_share,
        }
    }
}
