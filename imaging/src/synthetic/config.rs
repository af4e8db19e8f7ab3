//! Settings of the needle simulator: every range of the domain randomisation, with its unit.
//!
//! A range `[low, high]` is drawn uniformly once per procedure unless its sentence says otherwise. Decibels are
//! amplitudes (20 log10) relative to average tissue, which has 0 dB.

use serde::{Deserialize, Serialize};

use crate::rng::Rng;

/// A range `[low, high]`.
pub type Range = [f64; 2];

/// How hard the needle is to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Difficulty {
    /// Bright shaft, nearly whole, few look-alikes.
    Simple,
    /// Drop-outs, some look-alikes, the tip leaves the plane now and then.
    Medium,
    /// A faint, broken shaft among look-alikes, often partly out of the plane.
    Hard,
}

impl Difficulty {
    /// All difficulties, easiest first.
    pub const ALL: [Self; 3] = [Self::Simple, Self::Medium, Self::Hard];
}

/// What a difficulty changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DifficultyConfig {
    /// Peak echo of the shaft when it lies across the beam, dB above average tissue.
    pub shaft_db: Range,
    /// The shaft is never fainter than this because of its angle, dB above average tissue.
    pub least_shaft_db: f64,
    /// Share of the shaft that drops out.
    pub dropout_share: Range,
    /// Depth of a drop-out, dB.
    pub dropout_db: Range,
    /// Strength of the beads along the shaft: 0 is an even line, 1 is full speckle.
    pub beads: Range,
    /// Bright straight streaks at needle-like angles that are tissue, number.
    pub streaks: [usize; 2],
    /// Their echo, dB above average tissue.
    pub streak_db: Range,
    /// Share of the time that the tip is out of the plane.
    pub tip_out_share: f64,
    /// Share of the time that the whole needle is out of the plane.
    pub needle_out_share: f64,
    /// Probability that the part of the shaft next to the entry is out of the plane.
    pub entry_hidden_share: f64,
    /// Probability that a procedure never shows a needle.
    pub no_needle_share: f64,
}

/// Settings of [`simulate_procedure`](super::simulate_procedure).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NeedleSimConfig {
    /// One difficulty for all procedures; without it each procedure draws its own.
    pub difficulty: Option<Difficulty>,
    /// What `simple` means.
    pub simple: DifficultyConfig,
    /// What `medium` means.
    pub medium: DifficultyConfig,
    /// What `hard` means.
    pub hard: DifficultyConfig,

    /// Frames per second of the ultrasound machine.
    pub machine_fps: f64,
    /// Share of the procedures that were captured at twice the machine's rate, so that half of the frames repeat.
    pub double_capture_share: f64,

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

    /// Relative frequency of linear, trapezoid and convex probes.
    pub probe_weights: [f64; 3],
    /// Aperture of linear and trapezoid probes, mm.
    pub linear_width_mm: Range,
    /// Depth shown by linear and trapezoid probes, mm (kept within 0.6 to 1.7 of the aperture where possible).
    pub linear_depth_mm: Range,
    /// Centre frequency of linear and trapezoid probes, MHz.
    pub linear_mhz: Range,
    /// Half opening angle of trapezoid probes, degrees.
    pub trapezoid_deg: Range,
    /// Radius of convex probes, mm.
    pub convex_radius_mm: Range,
    /// Opening angle of convex probes, degrees.
    pub convex_opening_deg: Range,
    /// Depth shown by convex probes, mm.
    pub convex_depth_mm: Range,
    /// Centre frequency of convex probes, MHz.
    pub convex_mhz: Range,

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

    /// Slow change of the tissue's echo, largest deviation, dB.
    pub patchiness_db: Range,
    /// Texture along the fibres, largest deviation, dB.
    pub texture_db: Range,
    /// Vessels, number.
    pub vessels: [usize; 2],
    /// Radius of a vessel, mm.
    pub vessel_radius_mm: Range,
    /// Probability of a bone.
    pub bone_share: f64,
    /// Probability of a nerve.
    pub nerve_share: f64,
    /// Probability of a phantom: even speckle, hardly any layer.
    pub phantom_share: f64,
    /// Probability of a phantom in a water bath: dark water above its bright rim, often a bright plate below it.
    pub bath_share: f64,
    /// Angle between the rim of such a phantom and the probe face, degrees, to either side.
    pub rim_deg: Range,
    /// Echo of the rim, dB.
    pub rim_db: Range,
    /// Specular sheets that are no needles: long, thin or thick, bright, at any angle, a little curved; number.
    pub sheets: [usize; 2],
    /// Their echo, dB.
    pub sheet_db: Range,
    /// Height of a sheet's arc over its length. A needle bends less than 0.02.
    pub sheet_bow: Range,
    /// Straight streaks at any angle from 0 to 85 degrees that are shorter or thicker than needles, number.
    pub stubs: [usize; 2],

    /// Longest straight streak that is tissue, mm where 45 mm of depth are shown; longer ones bend. Straight, thin and
    /// longer than that is a needle: what nobody can tell apart nobody can learn.
    pub straight_streak_mm: f64,

    /// Outer diameter of the needle, mm (25 to 18 gauge).
    pub gauge_mm: Range,
    /// Angle between the needle and the probe face, degrees, to either side.
    pub angle_deg: Range,
    /// Probability that the needle begins and ends inside the picture: what comes before is out of the plane.
    pub floating_share: f64,
    /// Visible length of such a needle as a share of the way from the picture's edge to the target.
    pub floating_length: Range,
    /// Probability that the needle is meant to go right through the picture, so that its tip ends up outside.
    pub through_share: f64,
    /// Loss of echo when the needle lies 60 degrees off the normal of the beam, dB.
    pub angle_loss_db: Range,
    /// Probability that the machine steers its beams towards the needle.
    pub steering_share: f64,
    /// Their steering angle, degrees.
    pub steering_deg: Range,
    /// Probability of reverberation copies below the shaft.
    pub reverberation_share: f64,
    /// Probability of such copies where the needle lies within 20 degrees of across the beam.
    pub shallow_reverberation_share: f64,
    /// Distance between the copies, mm along the beam.
    pub reverberation_mm: Range,
    /// Probability of a comet tail below the shaft.
    pub comet_share: f64,
    /// Probability of a shadow below the shaft.
    pub shadow_share: f64,
    /// Probability of an echogenic needle: evenly spaced bright spots on its last 20 mm.
    pub echogenic_share: f64,
    /// Probability that fluid is injected while the needle rests: a dark pocket grows at the tip.
    pub injection_share: f64,
    /// Probability that both walls of the shaft are seen.
    pub double_wall_share: f64,
    /// Extra echo of the tip, dB.
    pub tip_db: Range,
    /// Largest distance between a bent shaft of 40 mm and its chord, mm (at most 2 pixels are drawn).
    // A label is a straight line: a stronger bend would make it wrong.
    pub bow_mm: Range,
    /// Speed of insertion, mm/s.
    pub speed_mm_s: Range,
    /// Shortest visible shaft that is labelled, mm; a shorter one (or one of less than 6 pixels) is no needle.
    pub least_visible_mm: f64,
    /// And as a share of the depth shown.
    pub least_visible_share: f64,
    /// A needle is drawn and labelled only where it is brighter than what is beside it by so many of the standard
    /// deviations there (and by 15 of 255 grey levels); 0 draws all in simulated tissue.
    pub least_contrast: f64,

    /// Hand jitter of the needle, mm.
    pub jitter_mm: Range,
    /// Speed at which the probe slides, mm/s.
    pub drift_mm_s: Range,
    /// Rate at which the speckle changes through motion across the plane, rad/s (pi/2 is a new pattern).
    pub decorrelation: Range,

    /// Share of the images with marks of the machine's screen.
    pub marks_share: f64,
    /// Share of the images with a blur, a sharpening or a resampling.
    pub resampling_share: f64,
    /// Share of the images with compression blocks.
    pub jpeg_share: f64,
}

impl Default for NeedleSimConfig {
    fn default() -> Self {
        Self {
            difficulty: None,
            simple: DifficultyConfig {
                shaft_db: [20.0, 33.0],
                least_shaft_db: 15.0,
                dropout_share: [0.0, 0.08],
                dropout_db: [4.0, 10.0],
                beads: [0.0, 0.4],
                streaks: [0, 1],
                streak_db: [4.0, 14.0],
                tip_out_share: 0.02,
                needle_out_share: 0.03,
                entry_hidden_share: 0.05,
                no_needle_share: 0.04,
            },
            medium: DifficultyConfig {
                shaft_db: [15.0, 29.0],
                least_shaft_db: 11.0,
                dropout_share: [0.05, 0.3],
                dropout_db: [6.0, 16.0],
                beads: [0.1, 0.7],
                streaks: [0, 3],
                streak_db: [8.0, 20.0],
                tip_out_share: 0.12,
                needle_out_share: 0.07,
                entry_hidden_share: 0.15,
                no_needle_share: 0.1,
            },
            hard: DifficultyConfig {
                shaft_db: [11.0, 25.0],
                least_shaft_db: 8.5,
                dropout_share: [0.1, 0.45],
                dropout_db: [8.0, 22.0],
                beads: [0.2, 0.9],
                streaks: [0, 4],
                streak_db: [10.0, 24.0],
                tip_out_share: 0.2,
                needle_out_share: 0.1,
                entry_hidden_share: 0.3,
                no_needle_share: 0.14,
            },
            machine_fps: 15.0,
            double_capture_share: 0.5,
            image_side_px: [224.0, 360.0],
            border_share: 0.5,
            border: [0.0, 0.25],
            letterbox_share: 0.15,
            letterbox: [0.05, 0.33],
            stretched_share: 0.3,
            stretch: [0.75, 1.35],
            crop_share: 0.25,
            crop: [0.3, 0.15, 0.35],
            background: [0.02, 0.2],
            probe_weights: [0.62, 0.08, 0.3],
            linear_width_mm: [25.0, 52.0],
            linear_depth_mm: [22.0, 65.0],
            linear_mhz: [5.5, 15.0],
            trapezoid_deg: [8.0, 18.0],
            convex_radius_mm: [12.0, 65.0],
            convex_opening_deg: [50.0, 80.0],
            convex_depth_mm: [55.0, 140.0],
            convex_mhz: [2.5, 6.0],
            pulse_cycles: [1.2, 3.2],
            f_number: [1.4, 4.0],
            focus: [0.2, 0.75],
            focal_range: [0.25, 0.9],
            dynamic_range_db: [35.0, 80.0],
            tissue_level: [0.08, 0.65],
            gamma: [0.8, 1.3],
            tgc_error_db: [0.0, 6.0],
            attenuation_db: [-4.0, 16.0],
            noise_db: [-50.0, -18.0],
            near_field_db: [0.0, 22.0],
            compounding: [0.0, 1.0],
            despeckle: [0.0, 0.65],
            smoothing: [0.0, 1.2],
            patchiness_db: [2.0, 11.0],
            texture_db: [1.5, 13.0],
            vessels: [0, 3],
            vessel_radius_mm: [1.0, 6.0],
            bone_share: 0.35,
            nerve_share: 0.3,
            phantom_share: 0.12,
            bath_share: 0.12,
            rim_deg: [0.0, 45.0],
            rim_db: [12.0, 34.0],
            sheets: [0, 2],
            sheet_db: [4.0, 25.0],
            sheet_bow: [0.08, 0.25],
            stubs: [0, 2],
            straight_streak_mm: 3.0,
            gauge_mm: [0.5, 1.3],
            angle_deg: [0.0, 85.0],
            floating_share: 0.3,
            floating_length: [0.2, 0.85],
            through_share: 0.1,
            angle_loss_db: [3.0, 18.0],
            steering_share: 0.3,
            steering_deg: [10.0, 35.0],
            reverberation_share: 0.45,
            shallow_reverberation_share: 0.65,
            reverberation_mm: [0.8, 3.5],
            comet_share: 0.3,
            shadow_share: 0.4,
            echogenic_share: 0.15,
            injection_share: 0.25,
            double_wall_share: 0.2,
            tip_db: [-3.0, 9.0],
            bow_mm: [0.0, 0.6],
            speed_mm_s: [3.0, 18.0],
            least_visible_mm: 3.0,
            least_visible_share: 0.08,
            least_contrast: 1.2,
            jitter_mm: [0.0, 0.25],
            drift_mm_s: [0.0, 1.2],
            decorrelation: [0.02, 0.9],
            marks_share: 0.4,
            resampling_share: 0.5,
            jpeg_share: 0.3,
        }
    }
}

impl NeedleSimConfig {
    /// The settings of a difficulty.
    pub fn of(&self, difficulty: Difficulty) -> &DifficultyConfig {
        match difficulty {
            Difficulty::Simple => &self.simple,
            Difficulty::Medium => &self.medium,
            Difficulty::Hard => &self.hard,
        }
    }
}

/// Uniform in a range.
pub(super) fn draw(rng: &mut Rng, range: Range) -> f64 {
    rng.uniform(range[0], range[1])
}

/// Uniform among the whole numbers of a range, both ends included.
pub(super) fn draw_count(rng: &mut Rng, range: [usize; 2]) -> usize {
    range[0] + rng.below(range[1].saturating_sub(range[0]) + 1)
}

/// Whether something of this probability happens. Where it never does nothing is drawn, so that settings from before it
/// was there still give their pictures.
pub(super) fn happens(rng: &mut Rng, probability: f64) -> bool {
    probability > 0.0 && rng.chance(probability)
}

/// A fair sign.
pub(super) fn draw_sign(rng: &mut Rng) -> f64 {
    if rng.chance(0.5) { 1.0 } else { -1.0 }
}

/// The amplitude of a level in decibels.
pub(super) fn amplitude(db: f64) -> f64 {
    10f64.powf(db / 20.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_are_refused_and_missing_ones_have_defaults() {
        let config: NeedleSimConfig = toml::from_str("difficulty = \"hard\"\njpeg_share = 0.0").unwrap();
        assert_eq!(config.difficulty, Some(Difficulty::Hard));
        assert_eq!(config.gauge_mm, NeedleSimConfig::default().gauge_mm);
        assert!(toml::from_str::<NeedleSimConfig>("jpg_share = 0.0").is_err());
    }

    #[test]
    fn draws_stay_in_their_ranges() {
        let mut rng = Rng::stream(1, "test", [0, 0]);
        for _ in 0..100 {
            assert!((2..=4).contains(&draw_count(&mut rng, [2, 4])));
            assert!((1.0..3.0).contains(&draw(&mut rng, [1.0, 3.0])));
        }
        assert!((amplitude(20.0) - 10.0).abs() < 1e-9);
    }
}
