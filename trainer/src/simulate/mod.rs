//! `sonoseg simulate`: labelled procedures from the simulators of imaging.

mod knee;
mod needle;
mod tissue;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::{Context, Result, anyhow};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sonoseg_imaging::DataError;
use sonoseg_imaging::formats::dicom_write::{DicomClipOptions, write_dicom_clip};
use sonoseg_imaging::formats::encode::encode_png_grey;
use sonoseg_imaging::geometry::{Image, ScaleRegion, Spacing};

use crate::args::Simulate;
use crate::failure::Usage;
use crate::files;
use crate::terminal::{bar, say};

pub(crate) fn run(verb: &Simulate) -> Result<()> {
    match verb {
        Simulate::Needle(verb) => needle::run(verb),
        Simulate::Knee(verb) => knee::run(verb),
    }
}

/// Settings of a simulator from a file; those that it leaves out, and all without one, are the usual ones.
fn settings<C: Default + DeserializeOwned>(path: Option<&Path>) -> Result<C> {
    let Some(path) = path else { return Ok(C::default()) };
    let read = toml::from_str(&files::read_text(path)?);
    Ok(read.map_err(|e| Usage(format!("{}: {e}", files::absolute(path))))?)
}

/// Procedures to make.
struct Batch<'a> {
    out: &'a Path,
    procedures: u64,
    frames: usize,
    seed: u64,
}

impl Batch<'_> {
    /// Whether they can be made there.
    fn check(&self) -> Result<()> {
        let folder = self.out.join("procedures");
        if folder.exists() {
            let message = format!("{} exists already: choose another --out", files::absolute(&folder));
            return Err(DataError::Inconsistent(message).into());
        }
        if self.frames == 0 || self.procedures == 0 {
            return Err(Usage("--procedures and --frames must be at least 1".into()).into());
        }
        Ok(())
    }

    /// Write down what makes them.
    fn describe<C: Serialize>(&self, more: &str, config: &C) -> Result<()> {
        let settings = toml::to_string_pretty(config).context("writing the simulator's settings")?;
        let text =
            format!("# seed {}, {} procedures of {} frames\n{more}{settings}", self.seed, self.procedures, self.frames);
        files::write(&self.out.join("simulation.toml"), text.as_bytes())
    }

    /// Make each by its number, on all cores.
    fn make(&self, one: impl Fn(u64) -> Result<()> + Sync) -> Result<()> {
        let progress = bar(self.procedures, "simulating");
        let next = AtomicU64::new(0);
        let threads = thread::available_parallelism().map_or(1, usize::from).min(self.procedures as usize);
        let work = || -> Result<()> {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= self.procedures {
                    return Ok(());
                }
                one(index)?;
                progress.inc(1);
            }
        };
        thread::scope(|scope| -> Result<()> {
            let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            for handle in handles {
                handle.join().map_err(|_| anyhow!("a simulator thread panicked"))??;
            }
            Ok(())
        })?;
        progress.finish_and_clear();
        Ok(())
    }

    fn tell(&self) {
        say(format!("{} procedures of {} frames in {}", self.procedures, self.frames, self.out.display()));
    }
}

/// The pictures of a procedure.
fn write_frames<'a>(folder: &Path, frames: impl Iterator<Item = &'a Image>) -> Result<()> {
    for (number, image) in frames.enumerate() {
        let png = encode_png_grey(image.height, image.width, &image.to_bytes())?;
        files::write(&folder.join(format!("frames/{number:06}.png")), &png)?;
    }
    Ok(())
}

/// They as a DICOM ultrasound clip.
fn write_clip(folder: &Path, frames: &[Image], fps: f64, spacing: Option<Spacing>, seed: u64) -> Result<()> {
    let (right, bottom) = (frames[0].width as f64 - 1.0, frames[0].height as f64 - 1.0);
    let region = spacing.map(|spacing| ScaleRegion { left: 0.0, top: 0.0, right, bottom, spacing });
    let options = DicomClipOptions { fps, region, quality: 85, seed };
    files::write(&folder.join("clip.dcm"), &write_dicom_clip(frames, &options)?)
}
