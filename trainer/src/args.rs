//! The command line.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Parser, Subcommand, ValueEnum};
use sonoseg_core::data::synthetic::Difficulty;
use sonoseg_core::import::Layout;

/// Ultrasound segmentation: simulate, train, evaluate, predict, export. Not for clinical use.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    after_help = "Exit codes: 0 done, 2 usage or recipe, 3 data, 4 out of memory, 5 training diverged."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make ultrasound with exact ground truth.
    #[command(subcommand)]
    Simulate(Simulate),
    /// Train the network of a recipe.
    Train(Train),
    /// Measure a model on labelled data, beside a classical baseline.
    Evaluate(Evaluate),
    /// Find needles in images, DICOM files, videos and folders of them.
    Predict(Predict),
    /// Write the model file of a run.
    Export(Export),
    /// Turn a public checkpoint into weights to start from, with an account of all its tensors.
    Import(Import),
    /// List the devices that networks can run on.
    Devices,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Simulate {
    /// Needle insertions.
    Needle(SimulateNeedle),
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
    /// Also write each procedure as a DICOM ultrasound clip.
    #[arg(long)]
    pub(crate) dicom: bool,
}

fn difficulty(text: &str) -> Result<Difficulty, String> {
    serde_json::from_value(text.into()).map_err(|_| "write simple, medium or hard".into())
}

/// Where networks run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DeviceName {
    /// A real GPU if there is one, else the CPU.
    Auto,
    /// The CPU.
    Flex,
    /// A GPU through Vulkan (Linux, Windows).
    Vulkan,
    /// A GPU through Metal (macOS).
    Metal,
    /// A GPU through WebGPU shaders, as the browser runs them.
    Wgpu,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Train {
    /// The recipe (TOML).
    pub(crate) recipe: PathBuf,
    /// Labelled data: a folder with `procedures/`.
    #[arg(long)]
    pub(crate) data: PathBuf,
    /// Run folder to write; it must not exist yet.
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Where to train.
    #[arg(long, value_enum, default_value_t = DeviceName::Auto)]
    pub(crate) device: DeviceName,
    /// Start from the weights of this model file.
    #[arg(long)]
    pub(crate) init: Option<PathBuf>,
    /// Override a setting of the recipe, for example `--set train.epochs=3`.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) settings: Vec<String>,
}

/// Part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Every procedure.
    All,
    /// Those that the run learned from.
    Train,
    /// Those that the run held out.
    Val,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Evaluate {
    /// A model file, or a run folder (its best weights).
    pub(crate) model: PathBuf,
    /// Labelled data: a folder with `procedures/`.
    #[arg(long)]
    pub(crate) data: PathBuf,
    /// Which procedures: `all` for a model file and `val` for a run folder, unless given.
    #[arg(long, value_enum)]
    pub(crate) split: Option<Part>,
    /// Folder for `metrics.json` and `per_frame.csv`.
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    /// Where to run.
    #[arg(long, value_enum, default_value_t = DeviceName::Auto)]
    pub(crate) device: DeviceName,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Predict {
    /// A model file, or a run folder (its best weights).
    pub(crate) model: PathBuf,
    /// Images, DICOM files, videos, or folders of them.
    #[arg(required = true)]
    pub(crate) inputs: Vec<PathBuf>,
    /// Folder for masks, overlays and `geometry.csv`.
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Of a clip, use every n-th frame.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) every: u64,
    /// Where to run.
    #[arg(long, value_enum, default_value_t = DeviceName::Auto)]
    pub(crate) device: DeviceName,
}

/// Numbers in a model file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dtype {
    /// 32 bits.
    F32,
    /// 16 bits: half the size; computation stays in 32.
    F16,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// A run folder (its best weights), or a model file.
    pub(crate) run: PathBuf,
    /// The model file to write.
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// How to store numbers.
    #[arg(long, value_enum, default_value_t = Dtype::F32)]
    pub(crate) dtype: Dtype,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    /// The checkpoint: .pth or .pt of PyTorch (any version since 0.1.10), or safetensors; f16 or f32.
    pub(crate) file: PathBuf,
    /// How the checkpoint names its tensors.
    #[arg(long = "as", value_name = "LAYOUT", value_parser = layouts())]
    pub(crate) layout: Layout,
    /// The safetensors file to write.
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Attention heads of the encoder, which no checkpoint says: one for each 64 of the width unless given.
    #[arg(long)]
    pub(crate) heads: Option<usize>,
    /// Attention heads of MAE's decoder: one for each 32 of the width unless given.
    #[arg(long)]
    pub(crate) decoder_heads: Option<usize>,
    /// Height and width of the images that the position table must be for; any unless given.
    #[arg(long)]
    pub(crate) image_size: Option<usize>,
    /// How to store numbers.
    #[arg(long, value_enum, default_value_t = Dtype::F32)]
    pub(crate) dtype: Dtype,
    /// Print all names.
    #[arg(long)]
    pub(crate) verbose: bool,
}

fn layouts() -> impl TypedValueParser<Value = Layout> {
    let names = PossibleValuesParser::new(Layout::ALL.map(Layout::name));
    names.try_map(|name| Layout::ALL.into_iter().find(|layout| layout.name() == name).ok_or("unknown layout"))
}
