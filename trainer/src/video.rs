//! Video through the ffmpeg program, as a stream of grey frames.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use sonoseg_imaging::DataError;
use sonoseg_imaging::geometry::Image;

use crate::files;

/// File extensions that ffmpeg is asked to read.
const EXTENSIONS: [&str; 15] =
    ["mp4", "mov", "m4v", "avi", "mkv", "webm", "mpeg", "mpg", "wmv", "ts", "ogv", "3gp", "flv", "mts", "y4m"];

/// Codecs, by ffmpeg's names, that give back every pixel as it was.
const LOSSLESS: [&str; 10] =
    ["rawvideo", "wrapped_avframe", "ffv1", "huffyuv", "ffvhuff", "png", "apng", "qtrle", "utvideo", "magicyuv"];

/// Frames larger than this are refused before memory is reserved.
const MOST_PIXELS: usize = 100_000_000;

/// True when the file is to be read as a video.
pub(crate) fn is_video(path: &Path) -> bool {
    let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
    extension.is_some_and(|extension| EXTENSIONS.contains(&extension.as_str()))
}

/// Frames of a video, one after the other, each as it is stored: none is repeated or dropped.
pub(crate) struct Video {
    name: String,
    process: Child,
    output: BufReader<ChildStdout>,
    height: usize,
    width: usize,
    fps: Option<f64>,
}

/// True unless the program ffprobe, which comes with ffmpeg, names a codec that loses nothing.
pub(crate) fn is_lossy(path: &Path) -> bool {
    let probed = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v:0", "-show_entries", "stream=codec_name", "-of", "csv=p=0"])
        .arg(address(path))
        .stdin(Stdio::null())
        .output();
    let codec = probed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    !LOSSLESS.contains(&codec.trim().trim_end_matches(','))
}

/// The path as ffmpeg wants it: `10:30.mp4` would be a protocol.
fn address(path: &Path) -> OsString {
    let mut address = OsString::from("file:");
    address.push(path);
    address
}

impl Video {
    /// Start decoding. The stream is YUV4MPEG, whose header says how large the frames are.
    pub(crate) fn open(path: &Path) -> Result<Self, DataError> {
        let name = files::absolute(path);
        let missing = |e| {
            DataError::unsupported(
                name.clone(),
                format!(
                    "videos need the program ffmpeg, which cannot be run ({e}); install it (for example: apt install ffmpeg)"
                ),
            )
        };
        let mut process = Command::new("ffmpeg")
            .args(["-nostdin", "-v", "error", "-i"])
            .arg(address(path))
            .args([
                "-map",
                "0:v:0",
                "-fps_mode",
                "passthrough",
                "-pix_fmt",
                "gray",
                "-strict",
                "-1",
                "-f",
                "yuv4mpegpipe",
                "-",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(missing)?;
        let output =
            process.stdout.take().ok_or_else(|| DataError::unreadable(name.clone(), "ffmpeg gives no output"))?;
        let mut video = Self { name, process, output: BufReader::new(output), height: 0, width: 0, fps: None };
        let mut header = Vec::new();
        let read = video.output.by_ref().take(4096).read_until(b'\n', &mut header);
        let header = String::from_utf8_lossy(&header).into_owned();
        let number = |key: char| -> Option<usize> {
            header.split_whitespace().skip(1).find_map(|field| field.strip_prefix(key)).and_then(|n| n.parse().ok())
        };
        match (read, number('W'), number('H')) {
            (Ok(_), Some(width), Some(height)) if (1..=MOST_PIXELS).contains(&(width * height)) => {
                (video.width, video.height) = (width, height);
                let rate = header.split_whitespace().skip(1).find_map(|field| field.strip_prefix('F')?.split_once(':'));
                let rate =
                    rate.and_then(|(frames, seconds)| Some(frames.parse::<f64>().ok()? / seconds.parse::<f64>().ok()?));
                video.fps = rate.filter(|fps| fps.is_finite() && *fps > 0.0);
                Ok(video)
            }
            _ => Err(video.failure("holds no video track that ffmpeg can decode")),
        }
    }

    /// Frames per second, where the file tells.
    pub(crate) fn fps(&self) -> Option<f64> {
        self.fps
    }

    /// The next frame, or none at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Image>, DataError> {
        let mut header = Vec::new();
        let read = self.output.by_ref().take(4096).read_until(b'\n', &mut header);
        if read.is_err() || !header.starts_with(b"FRAME") {
            // The end of the stream, or ffmpeg gave up in the middle of the file.
            let finished = self.process.wait().is_ok_and(|status| status.success());
            return if finished && header.is_empty() { Ok(None) } else { Err(self.failure("is cut short")) };
        }
        let mut pixels = vec![0; self.height * self.width];
        self.output.read_exact(&mut pixels).map_err(|_| self.failure("is cut short"))?;
        Ok(Some(Image::from_grey8(self.height, self.width, &pixels)))
    }

    /// What ffmpeg says, as an error.
    fn failure(&mut self, what: &str) -> DataError {
        let _ = self.process.kill();
        let mut said = String::new();
        if let Some(stderr) = self.process.stderr.take() {
            let _ = stderr.take(2000).read_to_string(&mut said);
        }
        let last = said.lines().last().unwrap_or("no reason given").trim();
        DataError::unreadable(self.name.clone(), format!("{what} (ffmpeg: {last})"))
    }
}

impl Drop for Video {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
