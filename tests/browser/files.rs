//! Files to open, made on the spot: sound ones from simulated frames, and broken ones.

use crate::trained::unet;
use sonoseg_core::data::image::{Image, ScaleRegion};
use sonoseg_core::data::synthetic::{Difficulty, NeedleSimConfig, ProcedureSim};
use sonoseg_core::formats::dicom_write::{DicomClipOptions, write_dicom_clip};
use sonoseg_core::formats::encode::encode_png_grey;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
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
        self.encode(&simulated(frames), "insertion.mp4", "libx264")
    }

    /// An MP4 whose only track is of a codec that browsers do not decode.
    pub(crate) fn mp4_of_old_codec(&self) -> PathBuf {
        self.encode(&simulated(3), "old-codec.mp4", "mpeg4")
    }

    /// A PNG that ends in the middle.
    pub(crate) fn truncated_png(&self) -> PathBuf {
        let image = &simulated(1)[0];
        let png = encode_png_grey(image.height, image.width, &image.to_bytes()).unwrap();
        self.write("cut-short.png", &png[..png.len() / 2])
    }

    /// A text file that calls itself DICOM.
    pub(crate) fn text_as_dicom(&self) -> PathBuf {
        self.write("letter.dcm", "Dear radiologist, the needle is in the vein.\n".repeat(20).as_bytes())
    }

    /// A file in the right format for a model, with tensors of some other network.
    pub(crate) fn foreign_model(&self) -> PathBuf {
        let header = br#"{"fc.weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header);
        bytes.extend([0; 4]);
        self.write("resnet.safetensors", &bytes)
    }

    /// A U-Net that has learned a little.
    pub(crate) fn unet(&self) -> PathBuf {
        self.write("native-unet.safetensors", &unet())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn encode(&self, images: &[Image], name: &str, codec: &str) -> PathBuf {
        let raw = self.write("raw", &images.iter().flat_map(Image::to_bytes).collect::<Vec<u8>>());
        let size = format!("{}x{}", images[0].width, images[0].height);
        let file = self.folder.path().join(name);
        let even = "pad=ceil(iw/2)*2:ceil(ih/2)*2";
        let status = Command::new("ffmpeg")
            .args(["-y", "-f", "rawvideo", "-pix_fmt", "gray", "-video_size", &size, "-framerate", "15", "-i"])
            .arg(&raw)
            .args(["-vf", even, "-c:v", codec, "-pix_fmt", "yuv420p", "-movflags", "+faststart"])
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .expect("ffmpeg is installed: `cargo xtask test browser` sees to it");
        assert!(status.success(), "ffmpeg cannot make {name}");
        file
    }
}

/// Frames of one easy insertion that the model was never trained on.
fn simulated(frames: usize) -> Vec<Image> {
    let config = NeedleSimConfig { difficulty: Some(Difficulty::Simple), ..NeedleSimConfig::default() };
    let procedure = ProcedureSim::new(&config, 9_300_001, 0, frames);
    (0..frames).map(|frame| procedure.frame(frame).image).collect()
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
