//! Files to open, made on the spot: sound ones from simulated frames, and broken ones.

use crate::chromium::repository;
use crate::trained::unets;
use sonoseg_imaging::formats::dicom_write::{DicomClipOptions, write_dicom_clip};
use sonoseg_imaging::formats::encode::encode_png_grey;
use sonoseg_imaging::geometry::{Image, Needle, ScaleRegion};
use sonoseg_imaging::synthetic::{Difficulty, NeedleSimConfig, ProcedureSim};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use tempfile::TempDir;

/// A folder of files that is removed in the end.
pub(crate) struct Files {
    folder: TempDir,
}

impl Files {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// A simulated clip as DICOM, with a scale for the whole picture.
    pub(crate) fn dicom(&self, frames: usize) -> PathBuf {
        let images = simulated(frames);
        let (right, bottom) = (images[0].width as f64 - 1.0, images[0].height as f64 - 1.0);
        let spacing = images[0].scale.at(&[(0.0, 0.0)]).unwrap();
        let region = Some(ScaleRegion { left: 0.0, top: 0.0, right, bottom, spacing });
        let options = DicomClipOptions { fps: 15.0, region, quality: 85, seed: 1 };
        self.write("insertion.dcm", &write_dicom_clip(&images, &options).unwrap())
    }

    /// A simulated clip as MP4 with the codec that Chromium, phones and most machines use.
    pub(crate) fn mp4(&self, frames: usize) -> PathBuf {
        self.encode(&simulated(frames), "insertion.mp4", "libx264", EVEN)
    }

    /// The same from a phone held upright: recorded lying, with a matrix that turns it clockwise.
    pub(crate) fn turned_mp4(&self, frames: usize) -> PathBuf {
        let mut bytes = std::fs::read(self.mp4(frames)).unwrap();
        let header = bytes.windows(4).position(|word| word == b"tkhd").unwrap();
        for (index, number) in [0_i32, 1, 0, -1, 0].into_iter().enumerate() {
            let at = header + 44 + 4 * index;
            bytes[at..at + 4].copy_from_slice(&(number << 16).to_be_bytes());
        }
        self.write("turned.mp4", &bytes)
    }

    /// A WebM whose frames are smaller from the middle on.
    pub(crate) fn webm_of_two_sizes(&self, frames: usize) -> PathBuf {
        let images = simulated(frames);
        let halves = [("first.webm", EVEN), ("second.webm", "scale=320:240")];
        let halves = halves.map(|(name, filter)| self.encode(&images[..frames / 2], name, "libvpx", filter));
        let list = halves.map(|half| format!("file '{}'\n", half.display())).concat();
        let list = self.write("list", list.as_bytes());
        self.ffmpeg(&["-f", "concat", "-safe", "0", "-i", list.to_str().unwrap(), "-c", "copy"], "two-sizes.webm")
    }

    /// A long clip in colour, of 1280x960 pixels with 30 frames a second.
    pub(crate) fn long_mp4(&self, frames: usize) -> PathBuf {
        let (source, frames) = ("testsrc2=size=1280x960:rate=30", frames.to_string());
        let coded = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"];
        self.ffmpeg(&[&["-f", "lavfi", "-i", source, "-frames:v", &frames][..], &coded].concat(), "long.mp4")
    }

    /// An MP4 whose only track is of a codec that browsers do not decode.
    pub(crate) fn mp4_of_old_codec(&self) -> PathBuf {
        self.encode(&simulated(3), "old-codec.mp4", "mpeg4", EVEN)
    }

    /// A simulated clip with some codec at some rate, in the container of its name's ending. The clip has 15 frames a second.
    pub(crate) fn video(&self, frames: usize, name: &str, codec: &str, rate: &str) -> PathBuf {
        self.ffmpeg(&["-i", self.mp4(frames).to_str().unwrap(), "-r", rate, "-c:v", codec, "-q:v", "2"], name)
    }

    /// A zip of files.
    pub(crate) fn zip_of(&self, files: &[PathBuf]) -> PathBuf {
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for file in files {
            let name = file.file_name().unwrap().to_str().unwrap();
            zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
            zip.write_all(&std::fs::read(file).unwrap()).unwrap();
        }
        self.write("files.zip", &zip.finish().unwrap().into_inner())
    }

    /// A PNG that ends in the middle.
    pub(crate) fn truncated_png(&self) -> PathBuf {
        let image = &simulated(1)[0];
        let png = encode_png_grey(image.height, image.width, &image.to_bytes()).unwrap();
        self.write("cut-short.png", &png[..png.len() / 2])
    }

    /// Simulated stills as PNG, each of another frame.
    pub(crate) fn stills(&self, count: usize) -> Vec<PathBuf> {
        let still = |(at, image): (usize, &Image)| {
            let mut bytes = image.to_bytes();
            // Neighbours may be the same, and would be one clip.
            bytes[0] = at as u8;
            self.write(&format!("still-{at}.png"), &encode_png_grey(image.height, image.width, &bytes).unwrap())
        };
        simulated(count).iter().enumerate().map(still).collect()
    }

    /// A text file that calls itself DICOM.
    pub(crate) fn text_as_dicom(&self) -> PathBuf {
        self.write("letter.dcm", "Dear radiologist, the needle is in the vein.\n".repeat(20).as_bytes())
    }

    /// A file that takes seconds to read, and that is nothing in the end.
    pub(crate) fn long(&self) -> PathBuf {
        let path = self.write("long.dcm", &[]);
        std::fs::File::options().write(true).open(&path).unwrap().set_len(400 << 20).unwrap();
        path
    }

    /// A file in the right format for a model, with tensors of some other network.
    pub(crate) fn foreign_model(&self) -> PathBuf {
        let header = br#"{"fc.weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header);
        bytes.extend([0; 4]);
        self.write("resnet.safetensors", &bytes)
    }

    /// A U-Net that has learned a little; the same as a network that marks a class of masks, and as one that knows no picture.
    pub(crate) fn unets(&self) -> [PathBuf; 3] {
        static MODELS: OnceLock<[Vec<u8>; 3]> = OnceLock::new();
        let names = ["native-unet", "native-unet-class", "native-unet-strange"];
        let mut models = MODELS.get_or_init(unets).iter();
        names.map(|name| self.write(&format!("{name}.safetensors"), models.next().unwrap()))
    }

    /// The model that comes with the app, under a name of its own and with some space in its header: another file.
    pub(crate) fn copied_model(&self) -> PathBuf {
        const SPACE: &[u8; 8] = b"        ";
        let mut bytes = std::fs::read(repository().join("app/assets/demo.safetensors")).unwrap();
        let header = u64::from_le_bytes(bytes[..8].try_into().unwrap());
        bytes[..8].copy_from_slice(&(header + SPACE.len() as u64).to_le_bytes());
        let end = 8 + header as usize;
        bytes.splice(end..end, *SPACE);
        self.write("copied.safetensors", &bytes)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn encode(&self, images: &[Image], name: &str, codec: &str, filter: &str) -> PathBuf {
        let raw = self.write("raw", &images.iter().flat_map(Image::to_bytes).collect::<Vec<u8>>());
        let size = format!("{}x{}", images[0].width, images[0].height);
        let input = ["-f", "rawvideo", "-pix_fmt", "gray", "-video_size", &size, "-framerate", "15", "-i"];
        let output = ["-vf", filter, "-c:v", codec, "-pix_fmt", "yuv420p"];
        let words = [&input[..], &[raw.to_str().unwrap()], &output].concat();
        self.ffmpeg(&words, name)
    }

    fn ffmpeg(&self, words: &[&str], name: &str) -> PathBuf {
        let file = self.folder.path().join(name);
        let status = Command::new("ffmpeg")
            .arg("-y")
            .args(words)
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .expect("ffmpeg is installed: `cargo xtask test browser` sees to it");
        assert!(status.success(), "ffmpeg cannot make {name}");
        file
    }
}

/// Codecs take even sizes only.
const EVEN: &str = "pad=ceil(iw/2)*2:ceil(ih/2)*2";

/// Frames of one easy insertion that the model was never trained on.
fn simulated(frames: usize) -> Vec<Image> {
    let procedure = procedure(frames);
    (0..frames).map(|frame| procedure.frame(frame).image).collect()
}

/// The needle in each of them.
pub(crate) fn insertion(frames: usize) -> Vec<Option<Needle>> {
    let procedure = procedure(frames);
    (0..frames).map(|frame| procedure.frame(frame).needle).collect()
}

fn procedure(frames: usize) -> ProcedureSim {
    let first = toml::from_str(include_str!("../../recipes/simulator/first.toml")).unwrap();
    let config = NeedleSimConfig { difficulty: Some(Difficulty::Simple), ..first };
    ProcedureSim::new(&config, 9_300_001, 0, frames)
}

/// The needle of each frame of the bundled clip: the tip in pixels, or none.
pub(crate) fn demo_tips(labels: &Path) -> Vec<Option<(f64, f64)>> {
    let mut reader = csv::Reader::from_path(labels).unwrap_or_else(|error| panic!("{}: {error}", labels.display()));
    let columns: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    let column = |name: &str| columns.iter().position(|column| column == name).unwrap_or_else(|| panic!("no {name}"));
    let (x, y) = (column("x2"), column("y2"));
    let number = |row: &csv::StringRecord, at: usize| row.get(at).and_then(|text| text.trim().parse::<f64>().ok());
    reader.records().map(|row| row.unwrap()).map(|row| Some((number(&row, x)?, number(&row, y)?))).collect()
}
