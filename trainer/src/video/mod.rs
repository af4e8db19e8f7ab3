//! Video through the programs ffmpeg and ffprobe: grey frames, each with its own number and time in the file.
//!
//! A file is gone through twice. First `survey` lists its frames: which there are, when each is shown, and what ffmpeg says
//! of damage. Then the pixels come through a pipe, in the same order. A frame's number is that of the sound file, whatever is
//! lost before it, so that labels stay with their frames.

mod avi;
mod ffmpeg;
mod film;
mod log;
mod packets;
mod survey;

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout};

use sonoseg_imaging::DataError;
use sonoseg_imaging::formats::DicomVideo;
use sonoseg_imaging::geometry::{Image, Scale};
use tempfile::NamedTempFile;

use crate::args::Damaged;
use crate::files;
use ffmpeg::Tail;
use film::Film;

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

/// A frame of a video.
pub(crate) struct VideoFrame {
    pub(crate) image: Image,
    /// Its number in the sound file, from 0.
    pub(crate) number: usize,
    /// Seconds from the first frame, where the file tells.
    pub(crate) time_s: Option<f64>,
}

/// Frames of a video, one after the other, each as it is stored: none is repeated, none dropped but those that are damaged.
pub(crate) struct Video {
    name: String,
    process: Child,
    output: BufReader<ChildStdout>,
    said: Tail,
    height: usize,
    width: usize,
    film: Film,
    scale: Scale,
    next: usize,
    /// A file of our own that ffmpeg reads from, as long as it is needed.
    _own: Option<NamedTempFile>,
}

impl Video {
    /// Look through a file and start decoding it. A damaged one is an error that says what is missing, unless what is sound
    /// is to be kept.
    pub(crate) fn open(path: &Path, damaged: Damaged) -> Result<Self, DataError> {
        let name = files::absolute(path);
        let film = survey::survey(&name, path, damaged)?;
        Self::start(name, path, &film)
    }

    /// The same for a video that a DICOM object wraps, with the header's times and scale.
    pub(crate) fn of_dicom(name: &str, video: &DicomVideo, damaged: Damaged) -> Result<Self, DataError> {
        let failed = |e: std::io::Error| DataError::unreadable(name, format!("its video cannot be laid aside ({e})"));
        let own = NamedTempFile::new().map_err(failed)?;
        std::fs::write(own.path(), &video.stream).map_err(failed)?;
        let mut film = survey::survey(name, own.path(), damaged)?;
        let headers = video.frame_times_us.as_ref().filter(|times| times.len() > 1);
        match headers {
            Some(times) if times.len() == film.total => film.use_times(times),
            _ if video.frames.is_some_and(|frames| frames != film.total) => film.notes.push(format!(
                "its header speaks of {} frames, and the video inside has {}; the video's own times are used",
                video.frames.unwrap_or(0),
                film.total
            )),
            _ => {}
        }
        let mut opened = Self::start(name.to_owned(), own.path(), &film)?;
        if (opened.height, opened.width) == (video.height, video.width) {
            opened.scale = video.scale.clone();
        } else {
            opened.film.notes.push(format!(
                "its header speaks of {}x{} pixels, and the video inside has {}x{}: no millimetres are known",
                video.width, video.height, opened.width, opened.height
            ));
        }
        opened._own = Some(own);
        Ok(opened)
    }

    /// The stream is YUV4MPEG, whose header says how large the frames are.
    fn start(name: String, path: &Path, film: &Film) -> Result<Self, DataError> {
        let mut refused = String::new();
        // Before 5.1 the option had another name, which 9 does not know.
        for passthrough in ["-fps_mode", "-vsync"] {
            let (process, output, said) = ffmpeg::pixels(&name, path, passthrough, film.upright)?;
            let scale = Scale::Unknown;
            let output = BufReader::new(output);
            let film = film.clone();
            let mut video = Self {
                name: name.clone(),
                process,
                output,
                said,
                height: 0,
                width: 0,
                film,
                scale,
                next: 0,
                _own: None,
            };
            let header = video.line();
            let number = |key: char| -> Option<usize> {
                header.split_whitespace().skip(1).find_map(|field| field.strip_prefix(key)).and_then(|n| n.parse().ok())
            };
            if let (Some(width), Some(height)) = (number('W'), number('H')) {
                if !width.checked_mul(height).is_some_and(|pixels| (1..=MOST_PIXELS).contains(&pixels)) {
                    let reason = format!("its frames are {width}x{height} pixels; at most 100 megapixels are read");
                    return Err(DataError::unsupported(name, reason));
                }
                (video.width, video.height) = (width, height);
                return Ok(video);
            }
            let said = video.said.finish(&mut video.process);
            let unknown = said.contains("fps_mode") && said.contains("Unrecognized option");
            if !unknown {
                return Err(ffmpeg::failure(&name, "holds no video track that ffmpeg can decode", &said));
            }
            refused = said;
        }
        Err(ffmpeg::failure(&name, "cannot be decoded", &refused))
    }

    /// True unless the codec is one that loses nothing.
    pub(crate) fn is_lossy(&self) -> bool {
        !LOSSLESS.contains(&self.film.codec.as_str())
    }

    /// What is doubtful, a sentence each.
    pub(crate) fn notes(&self) -> &[String] {
        &self.film.notes
    }

    /// Frames of the sound file, those included that are damaged or missing.
    pub(crate) fn total(&self) -> usize {
        self.film.total
    }

    /// The next sound frame, or none at the end.
    pub(crate) fn next(&mut self) -> Result<Option<VideoFrame>, DataError> {
        loop {
            let header = self.line();
            if !header.starts_with("FRAME") {
                let said = self.said.finish(&mut self.process);
                return if header.is_empty() && self.next == self.film.shown.len() {
                    Ok(None)
                } else {
                    let what = format!("gave {} frames at first and {} now", self.film.shown.len(), self.next);
                    Err(ffmpeg::failure(&self.name, &what, &said))
                };
            }
            let mut pixels = vec![0; self.height * self.width];
            if self.output.read_exact(&mut pixels).is_err() {
                let said = self.said.finish(&mut self.process);
                return Err(ffmpeg::failure(&self.name, "is cut short", &said));
            }
            let shown = self.film.shown.get(self.next).copied();
            self.next += 1;
            let Some(shown) = shown else {
                let what = format!("gave {} frames at first and more now", self.film.shown.len());
                let said = self.said.finish(&mut self.process);
                return Err(ffmpeg::failure(&self.name, &what, &said));
            };
            if let Some(number) = shown.number {
                let mut image = Image::from_grey8(self.height, self.width, &pixels);
                image.scale = self.scale.clone();
                return Ok(Some(VideoFrame { image, number, time_s: shown.time_s }));
            }
        }
    }

    /// A line of the stream's own headers, at most 4096 bytes of it; empty at the end.
    fn line(&mut self) -> String {
        let mut line = Vec::new();
        // A pipe that breaks is the end of the stream; what ffmpeg says tells why.
        let _ = self.output.by_ref().take(4096).read_until(b'\n', &mut line);
        String::from_utf8_lossy(&line).into_owned()
    }
}

impl Drop for Video {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The path as ffmpeg wants it: `10:30.mp4` would be a protocol.
fn address(path: &Path) -> PathBuf {
    let mut address = std::ffi::OsString::from("file:");
    address.push(path);
    address.into()
}
