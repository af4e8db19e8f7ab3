//! `sonoseg simulate needle`: insertions, in simulated or in real tissue.

use anyhow::{Context, Result};
use sonoseg_imaging::evaluate::bins::NO_NEEDLE;
use sonoseg_imaging::geometry::{Image, Scale};
use sonoseg_imaging::synthetic::{NeedleSimConfig, Procedure, SimFrame, simulate_procedure};

use super::tissue::{Tissue, TissueFrom};
use super::{Batch, settings, write_clip, write_frames};
use crate::args::SimulateNeedle;
use crate::files;
use crate::folder::{LabelRow, Meta, write_labels};
use crate::terminal::say;

pub(super) fn run(verb: &SimulateNeedle) -> Result<()> {
    let mut config: NeedleSimConfig = settings(verb.config.as_deref())?;
    if verb.difficulty.is_some() {
        config.difficulty = verb.difficulty;
    }
    let batch = Batch { out: &verb.out, procedures: verb.procedures, frames: verb.frames, seed: verb.seed };
    batch.check()?;
    let tissue = if verb.tissue.is_empty() { None } else { Some(Tissue::find(verb)?) };
    let folders: String = verb.tissue.iter().map(|folder| format!("# tissue {}\n", files::absolute(folder))).collect();
    batch.describe(&folders, &config)?;
    batch.make(|index| match &tissue {
        Some(tissue) => {
            let (procedure, from) = tissue.procedure(verb, &config, index)?;
            write_procedure(verb, &procedure, index, Some(from))
        }
        None => {
            let procedure = simulate_procedure(&config, verb.seed, index, verb.frames);
            write_procedure(verb, &procedure, index, None)
        }
    })?;
    if let Some(tissue) = &tissue {
        tissue.tell_unusable();
    }
    batch.tell();
    say(format!("next: sonoseg train recipes/needle-demo.toml --data {} --out runs/needle", verb.out.display()));
    Ok(())
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
    write_frames(&folder, procedure.frames.iter().map(|frame| &frame.image))?;
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
        write_clip(&folder, &frames, procedure.fps, spacing, verb.seed ^ index)?;
    }
    Ok(())
}
