//! The command line.

mod ingest;
mod simulate;

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Parser, Subcommand, ValueEnum};
use sonoseg_core::import::Layout;

pub(crate) use ingest::{Ignored, Ingest, Unlisted};
pub(crate) use simulate::{Simulate, SimulateKnee, SimulateNeedle};

/// Ultrasound segmentation: simulate, ingest, check, train, evaluate, predict, export. Not for clinical use.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    after_help = "Exit codes: 0 done, 2 usage or recipe, 3 data, 4 out of memory, 5 training diverged, 130 stopped by Ctrl-C."
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
    /// Make a data set from videos, DICOM files, pictures with masks and tables of end points.
    Ingest(Ingest),
    /// Look for what is wrong with a data set.
    Check(Check),
    /// Train the network of a recipe.
    Train(Train),
    /// Measure a model on labelled data, beside a classical baseline.
    Evaluate(Evaluate),
    /// Make the confidence of a model's needles honest: fit it to how often they are right, on data that it did not learn from.
    Calibrate(Calibrate),
    /// Write the report of a run: curves, figures on held-out procedures, worst frames.
    Report(Report),
    /// Put several runs side by side: what differs, and what came of it.
    Compare(Compare),
    /// Do the runs of a study, and write its report.
    Study(Study),
    /// Find needles in images, DICOM files, videos and folders of them.
    Predict(Predict),
    /// Write the model file of a run.
    Export(Export),
    /// Turn a public checkpoint into weights to start from, with an account of all its tensors.
    Import(Import),
    /// Draw the images that maximise the activations of a U-Net's filters, and feature maps; or, with --embed, how networks see
    /// the frames of data sets.
    Inspect(Inspect),
    /// List the devices that networks can run on.
    Devices,
}

/// A video of which frames are missing, or such that the decoder made up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Damaged {
    /// It is refused, with what is missing.
    Refuse,
    /// Its sound frames are read, under the numbers that they have in the sound file.
    Keep,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// The data set: a folder with `procedures/`.
    pub(crate) data: PathBuf,
    /// Also write everything that was found to this file.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
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
    #[arg(required_unless_present = "resume", conflicts_with = "resume")]
    pub(crate) recipe: Option<PathBuf>,
    /// The data: a folder with `procedures/`.
    #[arg(long, required_unless_present = "resume")]
    pub(crate) data: Option<PathBuf>,
    /// Run folder to write; it must not exist yet.
    #[arg(long, required_unless_present = "resume", conflicts_with = "resume")]
    pub(crate) out: Option<PathBuf>,
    /// Go on with the run of this folder, from where it was last saved.
    #[arg(long, value_name = "RUN", conflicts_with = "init")]
    pub(crate) resume: Option<PathBuf>,
    /// When --out exists, go on with that run, or do nothing if it is finished, and wait while another sonoseg trains
    /// there: for scripts that may run twice.
    #[arg(long = "continue", conflicts_with = "resume")]
    pub(crate) or_continue: bool,
    /// Where to train.
    #[arg(long, value_enum, default_value_t = DeviceName::Auto)]
    pub(crate) device: DeviceName,
    /// Start from these weights: a model file, a run folder, or an imported encoder.
    #[arg(long)]
    pub(crate) init: Option<PathBuf>,
    /// Override a setting of the recipe, for example `--set train.epochs=3`.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Passes over the data, at most; the same as `--set train.epochs=N`.
    #[arg(long)]
    epochs: Option<u64>,
    /// Optimiser updates, at most; the same as `--set train.steps=N`.
    #[arg(long)]
    steps: Option<u64>,
    /// Epochs without a better validation loss before stopping; the same as `--set train.patience=N`.
    #[arg(long)]
    patience: Option<u64>,
    /// Stop after this time, measured and saved, for example `90m` or `8h`.
    #[arg(long, value_parser = humantime::parse_duration)]
    pub(crate) max_time: Option<Duration>,
    /// How often to save in the middle of an epoch.
    #[arg(long, value_parser = humantime::parse_duration, default_value = "5m")]
    pub(crate) save_every: Duration,
    /// Memory that training may use, for example `6GB`; without it, what is free.
    #[arg(long, value_parser = size)]
    pub(crate) memory: Option<u64>,
}

impl Train {
    /// The settings that override the recipe, short forms included.
    pub(crate) fn all_settings(&self) -> Vec<String> {
        let short = [("epochs", self.epochs), ("steps", self.steps), ("patience", self.patience)];
        let short = short.into_iter().filter_map(|(key, value)| Some(format!("train.{key}={}", value?)));
        self.settings.iter().cloned().chain(short).collect()
    }
}

/// Bytes from a number with a unit, of which a kilobyte has 1024.
fn size(text: &str) -> Result<u64, String> {
    let config = parse_size::Config::new().with_binary();
    config.parse_size(text).map_err(|error| format!("{error}: write a size as 500MB or 6GB"))
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

/// A model and the data that it is measured on.
#[derive(Debug, clap::Args)]
pub(crate) struct OnData {
    /// A model file, or a run folder (its best weights).
    pub(crate) model: PathBuf,
    /// Labelled data: a folder with `procedures/`.
    #[arg(long)]
    pub(crate) data: PathBuf,
    /// Which procedures: `all` for a model file and `val` for a run folder, unless given.
    #[arg(long, value_enum)]
    pub(crate) split: Option<Part>,
    /// Where to run.
    #[arg(long, value_enum, default_value_t = DeviceName::Auto)]
    pub(crate) device: DeviceName,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Evaluate {
    #[command(flatten)]
    pub(crate) on: OnData,
    /// Folder for `metrics.json`, `per_frame.csv` and pictures.
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    /// Also write the model's masks, as they were compared, at the size of its input, to `masks/` in --out.
    #[arg(long, requires = "out")]
    pub(crate) masks: bool,
    /// Also give the figures of frames in bins: by `angle`, `length`, `depth`, `contrast`, `entry` of the needle, `size` of a
    /// mask's object, or what meta.json, frames.csv or --table say of them; several with commas between.
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    pub(crate) by: Vec<String>,
    /// A table with more to sort by: a column `frame` (like `p003/000017`) or `procedure`, and columns of your own.
    #[arg(long, value_name = "FILE", requires = "by")]
    pub(crate) table: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Calibrate {
    #[command(flatten)]
    pub(crate) on: OnData,
    /// Data that the model learned from (repeatable), so that pictures unlike them are told from then on; up to 2000 of their
    /// frames are looked at.
    #[arg(long, value_name = "DATA")]
    pub(crate) learned_from: Vec<PathBuf>,
    /// The model file to write.
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// How to store numbers.
    #[arg(long, value_enum, default_value_t = Dtype::F32)]
    pub(crate) dtype: Dtype,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Report {
    /// The run folder; the report is written into it.
    pub(crate) run: PathBuf,
    /// Labelled data: a folder with `procedures/`; those that the run learned from, unless given.
    #[arg(long)]
    pub(crate) data: Option<PathBuf>,
    /// What the figures are also given by, as in `sonoseg evaluate`; what is true of the needles or objects, unless given.
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    pub(crate) by: Vec<String>,
    /// Where to run.
    #[arg(long, value_enum, default_value_t = DeviceName::Auto)]
    pub(crate) device: DeviceName,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Compare {
    /// Run folders.
    #[arg(required = true)]
    pub(crate) runs: Vec<PathBuf>,
    /// Folder for `compare.md`, `compare.csv` and `compare.svg`.
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Predict {
    /// A model file, or a run folder (its best weights).
    pub(crate) model: PathBuf,
    /// Images, DICOM files, videos, or folders of them.
    #[arg(required = true)]
    pub(crate) inputs: Vec<PathBuf>,
    /// Folder for masks, overlays and `geometry.csv`; where classes are told apart `classes.csv`, too.
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Of a clip, use every n-th frame.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) every: u64,
    /// What becomes of a video that is damaged.
    #[arg(long, value_enum, default_value_t = Damaged::Refuse)]
    pub(crate) damaged: Damaged,
    /// Where to run.
    #[arg(long, value_enum, default_value_t = DeviceName::Auto)]
    pub(crate) device: DeviceName,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Study {
    /// The study (TOML), for example `recipes/studies/needle-table4.toml`.
    pub(crate) file: PathBuf,
    /// The data that its runs learn from, where they do not name another input.
    #[arg(long)]
    pub(crate) data: PathBuf,
    /// Folder of the runs and of the report. What is done there already is not done again.
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// One of the study's scales.
    #[arg(long, default_value = "tiny")]
    pub(crate) scale: String,
    /// A data folder or a model file that the study names.
    #[arg(long = "input", value_name = "NAME=PATH")]
    pub(crate) inputs: Vec<String>,
    /// Where to train.
    #[arg(long, value_enum, default_value_t = DeviceName::Auto)]
    pub(crate) device: DeviceName,
    /// Print the runs as commands for a shell or a scheduler instead of doing them.
    #[arg(long, conflicts_with = "report")]
    pub(crate) plan: bool,
    /// With --plan: only the commands of this stage, which do not depend on each other.
    #[arg(long, requires = "plan")]
    pub(crate) stage: Option<usize>,
    /// Only write the report of what is done.
    #[arg(long)]
    pub(crate) report: bool,
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
    /// Average the weights with those of these runs or models, each counting the same: for runs that went on from each
    /// other by --init, the average is often better than any of them.
    #[arg(long, value_name = "RUN", num_args = 1..)]
    pub(crate) average: Vec<PathBuf>,
    /// Only the residual network inside, under the names that torchvision gives its tensors.
    #[arg(long)]
    pub(crate) backbone: bool,
    /// The model file to write.
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// How to store numbers.
    #[arg(long, value_enum, default_value_t = Dtype::F32)]
    pub(crate) dtype: Dtype,
}

/// What the colours of a map mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    /// What the frame's label says: the classes in its mask, a needle or none.
    Label,
    /// The data set.
    Data,
    /// The procedure or patient.
    Procedure,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Inspect {
    /// A model file, or a run folder (its best weights); for --layer with a U-Net or an FCN.
    pub(crate) model: PathBuf,
    /// The layer, for example `enc1.convb`, `dec9.conva`, or `backbone.layer4.1` of an FCN.
    #[arg(long, required_unless_present = "embed", conflicts_with = "embed")]
    pub(crate) layer: Option<String>,
    /// Draw a map (t-SNE) of the frames of these data sets by the network's features, and measure what a map cannot show.
    #[arg(long, value_name = "DATA", num_args = 1..)]
    pub(crate) embed: Vec<PathBuf>,
    /// With --embed: the same frames seen by these models or runs, too.
    #[arg(long, value_name = "MODEL", num_args = 1.., requires = "embed")]
    pub(crate) against: Vec<PathBuf>,
    /// With --embed: frames at most, evenly chosen.
    #[arg(long, default_value_t = 400, value_parser = counting)]
    pub(crate) frames: usize,
    /// With --embed: what the colours mean; `data` for several data sets, and else `label`, unless given.
    #[arg(long, value_enum, requires = "embed")]
    pub(crate) colour: Option<Colour>,
    /// Folder for the pictures.
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// The first so many filters of the layer.
    #[arg(long, default_value_t = 8, value_parser = counting)]
    pub(crate) filters: usize,
    /// Steps of the search for the image that a filter answers most to.
    #[arg(long, default_value_t = 200)]
    pub(crate) steps: usize,
    /// Height and width of the images that are sought, a multiple of 16; the network's input size unless given.
    #[arg(long, value_parser = sixteens)]
    pub(crate) size: Option<usize>,
    /// Also draw the activations of all filters of the layer on this picture.
    #[arg(long)]
    pub(crate) image: Option<PathBuf>,
    /// Where to run.
    #[arg(long, value_enum, default_value_t = DeviceName::Auto)]
    pub(crate) device: DeviceName,
}

fn counting(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&number| number > 0).ok_or_else(|| "write a number from 1 on".into())
}

fn sixteens(text: &str) -> Result<usize, String> {
    let size = text.parse().ok().filter(|&size: &usize| size > 0 && size.is_multiple_of(16));
    size.ok_or_else(|| "write a multiple of 16".into())
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
    /// Where in the file the weights are, when it holds several networks or puts something in front of their names: the key
    /// of a dictionary or the beginning of the names, for example `model_ema` or `teacher.backbone`.
    #[arg(long)]
    pub(crate) key: Option<String>,
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
