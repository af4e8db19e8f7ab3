//! The command line of `sonoseg simulate`.

use std::path::PathBuf;

use clap::Subcommand;
use sonoseg_imaging::synthetic::{Difficulty, Effusion};

#[derive(Debug, Subcommand)]
pub(crate) enum Simulate {
    /// Needle insertions.
    Needle(SimulateNeedle),
    /// Sweeps over the suprapatellar recess of the knee, with and without effusion.
    Knee(SimulateKnee),
}

#[derive(Debug, clap::Args)]
pub(crate) struct SimulateNeedle {
    /// Folder to write; it must not hold procedures yet.
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Insertions.
    #[arg(long, default_value_t = 10)]
    pub(crate) procedures: u64,
    /// Frames of each.
    #[arg(long, default_value_t = 60)]
    pub(crate) frames: usize,
    /// Seed: the same seed gives the same pictures.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// How hard the needles are to see; mixed when not given.
    #[arg(long, value_parser = difficulty)]
    pub(crate) difficulty: Option<Difficulty>,
    /// Settings of the simulator as a TOML file; see `NeedleSimConfig`.
    #[arg(long)]
    pub(crate) config: Option<PathBuf>,
    /// Put the needles into the pictures and clips of this folder, which must show none, instead of simulated tissue. Its masks
    /// and labels are not used. Several folders take turns.
    #[arg(long, value_name = "DIR")]
    pub(crate) tissue: Vec<PathBuf>,
    /// Also write each procedure as a DICOM ultrasound clip.
    #[arg(long)]
    pub(crate) dicom: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SimulateKnee {
    /// Folder to write; it must not hold procedures yet.
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Sweeps, each over a knee of its own.
    #[arg(long, default_value_t = 10)]
    pub(crate) procedures: u64,
    /// Frames of each.
    #[arg(long, default_value_t = 20)]
    pub(crate) frames: usize,
    /// Seed: the same seed gives the same pictures.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// How much fluid the recess holds; mixed when not given.
    #[arg(long, value_parser = effusion)]
    pub(crate) effusion: Option<Effusion>,
    /// Mark every structure as a class of its own; without it the masks hold the recess alone, which is class 1 in both.
    #[arg(long)]
    pub(crate) structures: bool,
    /// Settings of the simulator as a TOML file; see `KneeSimConfig`.
    #[arg(long)]
    pub(crate) config: Option<PathBuf>,
    /// Also write each procedure as a DICOM ultrasound clip.
    #[arg(long)]
    pub(crate) dicom: bool,
}

fn effusion(text: &str) -> Result<Effusion, String> {
    serde_json::from_value(text.into()).map_err(|_| "write none, trace or much".into())
}

fn difficulty(text: &str) -> Result<Difficulty, String> {
    serde_json::from_value(text.into()).map_err(|_| "write simple, medium or hard".into())
}
