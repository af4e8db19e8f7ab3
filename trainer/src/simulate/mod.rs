//! `sonoseg simulate`: labelled procedures from the simulator of imaging, in simulated or in real tissue.

mod tissue;

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::{Context, Result, anyhow};
use sonoseg_imaging::DataError;
use sonoseg_imaging::evaluate::bins::NO_NEEDLE;
use sonoseg_imaging::formats::dicom_write::{DicomClipOptions, write_dicom_clip};
use sonoseg_imaging::formats::encode::encode_png_grey;
use sonoseg_imaging::geometry::{Image, Scale, ScaleRegion};
use sonoseg_imaging::synthetic::{NeedleSimConfig, Procedure, SimFrame, simulate_procedure};

use crate::args::{Simulate, SimulateNeedle};
use crate::failure::Usage;
use crate::files;
use crate::folder::{LabelRow, Meta, write_labels};
use crate::terminal::{bar, say};
use tissue::{Tissue, TissueFrom};

pub(crate) fn run(verb: &Simulate) -> Result<()> {
    let Simulate::Needle(verb) = verb;
    let mut config = match &verb.config {
        Some(path) => {
            toml::from_str(&files::read_text(path)?).map_err(|e| Usage(format!("{}: {e}", files::absolute(path))))?
        }
        None => NeedleSimConfig::default(),
    };
    if verb.difficulty.is_some() {
        config.difficulty = verb.difficulty;
    }
    let folder = verb.out.join("procedures");
    if folder.exists() {
        let message = format!("{} exists already: choose another --out", files::absolute(&folder));
        return Err(DataError::Inconsistent(message).into());
    }
    if verb.frames == 0 || verb.procedures == 0 {
        return Err(Usage("--procedures and --frames must be at least 1".into()).into());
    }
    let tissue = if verb.tissue.is_empty() { None } else { Some(Tissue::find(verb)?) };
    files::write(&verb.out.join("simulation.toml"), describe(verb, &config)?.as_bytes())?;

    let progress = bar(verb.procedures, "simulating");
    let next = AtomicU64::new(0);
    let threads = thread::available_parallelism().map_or(1, usize::from).min(verb.procedures as usize);
    let work = || -> Result<()> {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= verb.procedures {
                return Ok(());
            }
            match &tissue {
                Some(tissue) => {
                    let (procedure, from) = tissue.procedure(verb, &config, index)?;
                    write_procedure(verb, &procedure, index, Some(from))?;
                }
                None => {
                    let procedure = simulate_procedure(&config, verb.seed, index, verb.frames);
                    write_procedure(verb, &procedure, index, None)?;
                }
            }
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
    if let Some(tissue) = &tissue {
        tissue.tell_unusable();
    }
    say(format!("{} procedures of {} frames in {}", verb.procedures, verb.frames, verb.out.display()));
    say(format!("next: sonoseg train recipes/needle-demo.toml --data {} --out runs/needle", verb.out.display()));
    Ok(())
}

fn describe(verb: &SimulateNeedle, config: &NeedleSimConfig) -> Result<String> {
    let settings = toml::to_string_pretty(config).context("writing the simulator's settings")?;
    let tissue: String = verb.tissue.iter().map(|folder| format!("# tissue {}\n", files::absolute(folder))).collect();
    Ok(format!("# seed {}, {} procedures of {} frames\n{tissue}{settings}", verb.seed, verb.procedures, verb.frames))
}

/// A tip closer than this to the visible end of the shaft is that end, in pixels.
const SAME_PX: f64 = 2.0;

/// `frames.csv`: what else is true of every frame, for `sonoseg evaluate --by probe,tip-in-plane`. Nobody knows the probe of
/// real tissue.
fn facts(procedure: &Procedure, simulated: bool) -> Result<Vec<u8>> {
    let probe = if simulated { serde_json::to_value(procedure.probe)? } else { serde_json::Value::Null };
    let in_plane = |frame: &SimFrame| {
        let seen = frame.needle?.tip;
        Some(if frame.true_tip.is_some_and(|tip| tip.distance_px(seen) < SAME_PX) { "yes" } else { "no" })
    };
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["frame", "probe", "tip_in_plane"])?;
    for (number, frame) in procedure.frames.iter().enumerate() {
        let cells = [&number.to_string(), probe.as_str().unwrap_or_default(), in_plane(frame).unwrap_or(NO_NEEDLE)];
        writer.write_record(cells)?;
    }
    writer.into_inner().context("writing frames.csv")
}

fn write_procedure(verb: &SimulateNeedle, procedure: &Procedure, index: u64, tissue: Option<TissueFrom>) -> Result<()> {
    let folder = verb.out.join("procedures").join(&procedure.id);
    for (number, frame) in procedure.frames.iter().enumerate() {
        let png = encode_png_grey(frame.image.height, frame.image.width, &frame.image.to_bytes())?;
        files::write(&folder.join(format!("frames/{number:06}.png")), &png)?;
    }
    let rows = procedure.frames.iter().enumerate().map(|(number, frame)| LabelRow::new(number, frame.needle.as_ref()));
    write_labels(&folder.join("labels.csv"), rows)?;
    files::write(&folder.join("frames.csv"), &facts(procedure, tissue.is_none())?)?;
    let difficulty = serde_json::to_value(procedure.difficulty)?.as_str().map(str::to_owned);
    // A scale that was only assumed for the size of the needle is not told.
    let known = tissue.is_none() || procedure.frames.iter().all(|frame| frame.image.scale != Scale::Unknown);
    let spacing = known.then_some(procedure.spacing);
    let origin = format!("sonoseg simulate needle, seed {}, procedure {index}", verb.seed);
    let meta = Meta {
        difficulty,
        fps: Some(procedure.fps),
        spacing,
        origin: Some(tissue.as_ref().map_or(origin.clone(), |from| format!("{origin}, in {}", from.group()))),
        group: tissue.as_ref().map(TissueFrom::group),
        tissue: tissue.map(|from| from.folder),
        ..Meta::default()
    };
    files::write(&folder.join("meta.json"), serde_json::to_string_pretty(&meta)?.as_bytes())?;
    if verb.dicom {
        let frames: Vec<Image> = procedure.frames.iter().map(|frame| frame.image.clone()).collect();
        let (right, bottom) = (frames[0].width as f64 - 1.0, frames[0].height as f64 - 1.0);
        let region = spacing.map(|spacing| ScaleRegion { left: 0.0, top: 0.0, right, bottom, spacing });
        let options = DicomClipOptions { fps: procedure.fps, region, quality: 85, seed: verb.seed ^ index };
        files::write(&folder.join("clip.dcm"), &write_dicom_clip(&frames, &options)?)?;
    }
    Ok(())
}
