//! The command line of `sonoseg ingest`.

use std::path::PathBuf;

use clap::ValueEnum;

use super::Damaged;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Ingest {
    /// Videos, DICOM files, pictures, or folders of them. Masks are found in `masks/` beside `images/`, in the usual folders
    /// of nnU-Net, VOC and CVAT, mmseg, Carvana and Kaggle, or by the ending `_mask` of the name; outlines in files of
    /// LabelMe, COCO and YOLO.
    #[arg(required = true)]
    pub(crate) sources: Vec<PathBuf>,
    /// Folder of the data set. What it holds already is kept, so that more can be added later.
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Table of needle ends: `frame,x1,y1,x2,y2` in the numbers and pixels of the source, and `file` or `procedure`
    /// where it is about several. Without it, CSV files beside the clips are used.
    #[arg(long)]
    pub(crate) labels: Option<PathBuf>,
    /// Number of a clip's first frame in the table.
    #[arg(long, default_value_t = 0)]
    pub(crate) first_frame: usize,
    /// What it means when a frame of a labelled clip is not in the table, or a picture in a COCO file has no object.
    #[arg(long, value_enum, default_value_t = Unlisted::Unlabelled)]
    pub(crate) unlisted: Unlisted,
    /// The points of the tables are shares of the picture's width and height, from 0 to 1.
    #[arg(long)]
    pub(crate) normalised: bool,
    /// Where masks are, if names do not tell: a folder, whose masks go by the names of the pictures, or an ending of names
    /// such as `_x`.
    #[arg(long, value_name = "DIR", allow_hyphen_values = true)]
    pub(crate) masks: Vec<PathBuf>,
    /// Pictures that look like masks of others are pictures all the same.
    #[arg(long)]
    pub(crate) no_masks: bool,
    /// Names of the classes of the masks in the order of their numbers, without the background.
    #[arg(long, value_delimiter = ',')]
    pub(crate) classes: Vec<String>,
    /// Everything that masks show is one object, whatever its value or colour: for trimaps, for colours from lossy files,
    /// and for classes of which only the whole is wanted.
    #[arg(long)]
    pub(crate) one_class: bool,
    /// Values of masks that are background besides 0, such as 2 in the trimaps of Oxford's pets.
    #[arg(long, value_delimiter = ',', requires = "one_class")]
    pub(crate) background: Vec<u32>,
    /// Value of mask pixels that nobody judged, which are neither learned nor counted: a grey level or palette entry, such
    /// as 255 in Pascal VOC, Cityscapes and mmsegmentation, or a colour such as #e0e0c0. The label `ignore` of nnU-Net's
    /// dataset.json is known without it.
    #[arg(long, value_delimiter = ',', value_name = "VALUE", value_parser = ignored)]
    pub(crate) ignore: Vec<Ignored>,
    /// Fill outlines: background that masks enclose becomes part of them.
    #[arg(long)]
    pub(crate) fill: bool,
    /// Mean difference, in grey levels of 255, up to which a frame repeats the last kept one and is dropped. 0 for
    /// lossless sources and 0.5 for others, unless given.
    #[arg(long, value_parser = tolerance)]
    pub(crate) tolerance: Option<f64>,
    /// Keep at most this many frames per second of a clip.
    #[arg(long, value_parser = rate)]
    pub(crate) fps: Option<f64>,
    /// What becomes of a video that is damaged.
    #[arg(long, value_enum, default_value_t = Damaged::Refuse)]
    pub(crate) damaged: Damaged,
    /// What is one patient or procedure: `auto` (what a DICOM file says of its patient or examination, or else a word
    /// such as `pid2` or `case_07` in the name or folder), `file`,
    /// `parent` (the folder), `prefix` (up to the first `_`), or a regular expression on the path.
    #[arg(long, default_value = "auto")]
    pub(crate) group_by: String,
    /// What is of one kind, benign or malignant for example, so that every fold gets its share: `parent` (the folder),
    /// `prefix` or a regular expression on the path. Without it, the classes of the masks.
    #[arg(long)]
    pub(crate) stratum_by: Option<String>,
    /// Share of the groups, or of the frames of the only one, to hold out in `splits.json`, which is written once.
    #[arg(long, default_value_t = 0.2, value_parser = share)]
    pub(crate) val_share: f64,
    /// Seed of the split.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Say what would be done, and stop.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// What marks pixels that nobody judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ignored {
    /// A grey level or the entry of a palette.
    Number(u32),
    /// `0xRRGGBB`
    Colour(u32),
}

fn ignored(text: &str) -> Result<Ignored, String> {
    let ignored = match text.strip_prefix('#') {
        Some(digits) if digits.len() == 6 => u32::from_str_radix(digits, 16).ok().map(Ignored::Colour),
        Some(_) => None,
        None => text.parse::<u16>().ok().map(|number| Ignored::Number(number.into())),
    };
    ignored.ok_or_else(|| "write a grey level or palette entry such as 255, or a colour such as #e0e0c0".into())
}

/// Frames of a labelled clip that its table leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Unlisted {
    /// Nobody has looked at them.
    Unlabelled,
    /// No needle, or no object, is visible in them.
    #[value(alias = "nothing")]
    NoNeedle,
}

fn number_in(text: &str, range: std::ops::RangeInclusive<f64>) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| format!("write a number from {} to {}", range.start(), range.end()))
}

fn tolerance(text: &str) -> Result<f64, String> {
    number_in(text, 0.0..=255.0)
}

fn rate(text: &str) -> Result<f64, String> {
    number_in(text, 0.001..=1000.0)
}

fn share(text: &str) -> Result<f64, String> {
    number_in(text, 0.0..=1.0)
}
