//! Settings of the knee's simulator: every range, with its unit.
//!
//! A range `[low, high]` is drawn uniformly once per procedure. Decibels are amplitudes (20 log10) relative to average tissue,
//! which has 0 dB. Thicknesses are those of adults in the longitudinal view above the patella, a little wider than usual.

use serde::{Deserialize, Serialize};

use crate::synthetic::config::Range;
use crate::synthetic::machine::MachineConfig;

/// How much fluid the recess holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effusion {
    /// None: the walls of the recess lie on each other.
    None,
    /// A dark slit, as many healthy knees have it.
    Trace,
    /// A pocket.
    Much,
}

impl Effusion {
    /// All amounts, least first.
    pub const ALL: [Self; 3] = [Self::None, Self::Trace, Self::Much];

    /// As files name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Trace => "trace",
            Self::Much => "much",
        }
    }
}

/// Settings of [`KneeSim`](super::KneeSim).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KneeSimConfig {
    /// One amount of fluid for all procedures; without it each procedure draws its own.
    pub effusion: Option<Effusion>,
    /// Relative frequency of no fluid, a trace and much of it.
    pub effusion_weights: [f64; 3],
    /// Thickness of a trace of fluid where it is thickest, mm.
    pub trace_mm: Range,
    /// Thickness of much fluid where it is thickest, mm.
    pub much_mm: Range,

    /// Frames per second of the ultrasound machine.
    pub machine_fps: f64,
    /// How far the probe slides across the plane in a procedure, mm.
    pub sweep_mm: Range,
    /// Where the sweep is centred, mm from the middle of the patella.
    pub middle_mm: Range,
    /// How far the hand slips along the plane, mm.
    pub slip_mm: Range,
    /// Change of the thickness of all that is soft by the pressure of the hand, as a share.
    pub pressure: Range,

    /// Aperture of the linear probe, mm.
    pub width_mm: Range,
    /// Depth shown, mm; within it, such that the femur is in the picture where it can be.
    pub depth_mm: Range,
    /// Centre frequency, MHz; pictures deeper than 40 mm have one of the lower half.
    pub mhz: Range,
    /// Share of the procedures with the patella at the left of the picture.
    pub patella_left_share: f64,
    /// Tilt of the probe within the plane, degrees.
    pub tilt_deg: Range,

    /// Probability of a layer of gel between probe and skin, and its thickness, mm.
    pub gel_share: f64,
    /// Thickness of the gel, mm.
    pub gel_mm: Range,
    /// Thickness of the skin, mm.
    pub skin_mm: Range,
    /// Thickness of the subcutaneous fat, mm.
    pub fat_mm: Range,
    /// Thickness of the quadriceps tendon at the patella, mm.
    pub tendon_mm: Range,
    /// Thickness of the muscle below the tendon at the proximal edge of the picture, mm.
    pub muscle_mm: Range,
    /// Thickness of the suprapatellar fat pad at the patella, mm.
    pub suprapatellar_pad_mm: Range,
    /// Least thickness of the prefemoral fat pad, mm.
    pub prefemoral_pad_mm: Range,
    /// Length of the recess above the patella, mm.
    pub recess_mm: Range,
    /// Probability that the patella is in the picture.
    pub patella_share: f64,
    /// Distance from its upper pole to the edge of the picture, mm.
    pub patella_mm: Range,
    /// Probability of cartilage on the femur near the patella, a dark band that is no fluid.
    pub cartilage_share: f64,

    /// Echo of the subcutaneous fat, dB.
    pub fat_db: Range,
    /// Echo of the tendon where it lies across the beam, dB.
    pub tendon_db: Range,
    /// Loss of the tendon's echo where it lies 12 degrees off, dB.
    pub anisotropy_db: Range,
    /// Echo of the muscle, dB.
    pub muscle_db: Range,
    /// Echo of both fat pads, dB; each draws its own.
    pub pad_db: Range,
    /// Echo of clear fluid, dB.
    pub fluid_db: Range,
    /// Extra echo below much fluid, dB.
    pub enhancement_db: Range,
    /// Echo of the walls of the recess, dB.
    pub wall_db: Range,
    /// Echo of the bones' surfaces, dB.
    pub bone_db: Range,
    /// What is left below them, dB.
    pub shadow_db: Range,
    /// Slow change of the tissue's echo, largest deviation, dB.
    pub patchiness_db: Range,

    /// Probability of debris in much fluid.
    pub debris_share: f64,
    /// Its echo, dB.
    pub debris_db: Range,
    /// Septa in much fluid, number.
    pub septa: [usize; 2],
    /// Probability of a thickened synovium, which lines the recess.
    pub synovium_share: f64,
    /// Its thickness, mm.
    pub synovium_mm: Range,

    /// The machine.
    pub machine: MachineConfig,
}

impl Default for KneeSimConfig {
    fn default() -> Self {
        Self {
            effusion: None,
            effusion_weights: [0.3, 0.25, 0.45],
            trace_mm: [0.9, 2.4],
            much_mm: [3.0, 14.0],
            machine_fps: 15.0,
            sweep_mm: [4.0, 20.0],
            middle_mm: [-5.0, 5.0],
            slip_mm: [0.0, 1.5],
            pressure: [0.0, 0.12],
            width_mm: [36.0, 52.0],
            depth_mm: [28.0, 52.0],
            mhz: [7.0, 15.0],
            patella_left_share: 0.5,
            tilt_deg: [-5.0, 5.0],
            gel_share: 0.12,
            gel_mm: [0.8, 3.0],
            skin_mm: [1.0, 2.2],
            fat_mm: [2.0, 12.0],
            tendon_mm: [4.5, 8.5],
            muscle_mm: [1.0, 9.0],
            suprapatellar_pad_mm: [2.5, 8.0],
            prefemoral_pad_mm: [1.0, 7.0],
            recess_mm: [22.0, 65.0],
            patella_share: 0.85,
            patella_mm: [3.0, 15.0],
            cartilage_share: 0.2,
            fat_db: [-13.0, -4.0],
            tendon_db: [-1.0, 6.0],
            anisotropy_db: [4.0, 12.0],
            muscle_db: [-13.0, -5.0],
            pad_db: [-4.0, 5.0],
            fluid_db: [-60.0, -42.0],
            enhancement_db: [2.0, 7.0],
            wall_db: [6.0, 16.0],
            bone_db: [17.0, 31.0],
            shadow_db: [-52.0, -24.0],
            patchiness_db: [1.5, 6.0],
            debris_share: 0.3,
            debris_db: [-30.0, -14.0],
            septa: [0, 3],
            synovium_share: 0.35,
            synovium_mm: [0.6, 3.0],
            machine: MachineConfig::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_settings_are_refused_and_missing_ones_have_defaults() {
        let text = "effusion = \"trace\"\n[machine]\njpeg_share = 0.0";
        let config: KneeSimConfig = toml::from_str(text).unwrap();
        assert_eq!((config.effusion, config.machine.jpeg_share), (Some(Effusion::Trace), 0.0));
        let default = KneeSimConfig::default();
        assert_eq!((config.fat_mm, config.machine.crop), (default.fat_mm, default.machine.crop));
        assert!(toml::from_str::<KneeSimConfig>("fat = [1.0, 2.0]").is_err());
        assert!(toml::from_str::<KneeSimConfig>("[machine]\nprobe_weights = [1.0, 0.0, 0.0]").is_err());
        for effusion in Effusion::ALL {
            assert_eq!(serde_json::to_value(effusion).unwrap(), effusion.name());
        }
        let whole = toml::to_string(&default).unwrap();
        assert_eq!(toml::from_str::<KneeSimConfig>(&whole).unwrap(), default);
    }
}
