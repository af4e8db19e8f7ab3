//! Simulated needle insertions in B-mode ultrasound, with exact ground truth.
//!
//! Scatterers and structures of a layered body (`tissue`) pass through the point-spread function of a probe
//! (`field`, `probe`); every frame moves them (`motion`), adds the needle (`shaft`), compresses the echoes (`render`)
//! and spoils the picture the way machines and files do (`marks`, `degrade`). Everything follows from the seed, the
//! number of the procedure and the [`NeedleSimConfig`].
//!
//! **Ground truth.** [`SimFrame::needle`] is the *visible* shaft as a straight line: from where the shaft enters the
//! scan area (or the imaging plane, when its first part lies outside the plane) to the visible tip, which is the true
//! tip unless that has left the plane or the picture. A bent shaft is labelled by the chord between its visible ends.
//! Drop-outs inside the shaft belong to it.

mod config;
mod degrade;
mod field;
mod marks;
mod motion;
mod probe;
mod render;
mod shaft;
mod structures;
mod tissue;

pub use config::{Difficulty, DifficultyConfig, NeedleSimConfig, Range};
pub use probe::ProbeKind;
pub use render::ProcedureSim;

use super::image::{Image, Mask, Spacing};
use crate::needle::{Needle, Point};

/// One frame and the truth about it.
#[derive(Clone, Debug, PartialEq)]
pub struct SimFrame {
    /// Grey picture with its scale.
    pub image: Image,
    /// Visible entry and visible tip in pixels, or that no needle is visible.
    pub needle: Option<Needle>,
    /// 1 on the visible shaft at its displayed width, `[1, height, width]`; empty when `needle` is none.
    pub mask: Mask,
    /// The true tip when it lies in the picture, also when it cannot be seen because it is out of the plane.
    pub true_tip: Option<Point>,
    /// True when the capture repeated the previous frame.
    pub duplicate: bool,
}

/// One simulated insertion.
#[derive(Clone, Debug, PartialEq)]
pub struct Procedure {
    /// `p` and the number of the procedure, for example `p0003`.
    pub id: String,
    /// How hard it is.
    pub difficulty: Difficulty,
    /// Frames per second of the capture.
    pub fps: f64,
    /// Size of a pixel.
    pub spacing: Spacing,
    /// Shape of the scan area.
    pub probe: ProbeKind,
    /// Frames in time order.
    pub frames: Vec<SimFrame>,
}

/// Procedure `index` of `seed`. For one frame at a time use [`ProcedureSim`].
pub fn simulate_procedure(config: &NeedleSimConfig, seed: u64, index: u64, frames: usize) -> Procedure {
    let sim = ProcedureSim::new(config, seed, index, frames);
    Procedure {
        id: format!("p{index:04}"),
        difficulty: sim.difficulty(),
        fps: sim.fps(),
        spacing: sim.spacing(),
        probe: sim.probe(),
        frames: (0..frames).map(|t| sim.frame(t)).collect(),
    }
}
