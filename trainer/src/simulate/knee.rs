//! `sonoseg simulate knee`: sweeps over the suprapatellar recess.

use anyhow::{Context, Result};
use sonoseg_imaging::formats::encode::encode_png_mask;
use sonoseg_imaging::geometry::Image;
use sonoseg_imaging::synthetic::{KneeFrame, KneeSim, KneeSimConfig, Structure};

use super::{Batch, settings, write_clip, write_frames};
use crate::args::SimulateKnee;
use crate::files;
use crate::folder::Meta;
use crate::terminal::say;

pub(super) fn run(verb: &SimulateKnee) -> Result<()> {
    let mut config: KneeSimConfig = settings(verb.config.as_deref())?;
    if verb.effusion.is_some() {
        config.effusion = verb.effusion;
    }
    let batch = Batch { out: &verb.out, procedures: verb.procedures, frames: verb.frames, seed: verb.seed };
    batch.check()?;
    batch.describe("", &config)?;
    batch.make(|index| write_procedure(verb, &config, index))?;
    batch.tell();
    say(format!("next: sonoseg check {}", verb.out.display()));
    Ok(())
}

fn write_procedure(verb: &SimulateKnee, config: &KneeSimConfig, index: u64) -> Result<()> {
    let folder = verb.out.join("procedures").join(format!("k{index:04}"));
    let sim = KneeSim::new(config, verb.seed, index, verb.frames);
    let frames: Vec<KneeFrame> = (0..sim.len()).map(|t| sim.frame(t)).collect();
    write_frames(&folder, frames.iter().map(|frame| &frame.image))?;
    for (number, frame) in frames.iter().enumerate() {
        let mask =
            if verb.structures { encode_png_mask(&frame.structures)? } else { encode_png_mask(&frame.recess())? };
        files::write(&folder.join(format!("masks/{number:06}.png")), &mask)?;
    }
    files::write(&folder.join("frames.csv"), &facts(&sim, &frames)?)?;
    let classes = if verb.structures { &Structure::ALL[..] } else { &Structure::ALL[..2] };
    let meta = Meta {
        fps: Some(sim.fps()),
        spacing: Some(sim.spacing()),
        origin: Some(format!("sonoseg simulate knee, seed {}, procedure {index}", verb.seed)),
        classes: classes.iter().map(|structure| structure.name().to_owned()).collect(),
        stratum: Some(sim.effusion().name().to_owned()),
        ..Meta::default()
    };
    files::write(&folder.join("meta.json"), serde_json::to_string_pretty(&meta)?.as_bytes())?;
    if verb.dicom {
        let frames: Vec<Image> = frames.into_iter().map(|frame| frame.image).collect();
        write_clip(&folder, &frames, sim.fps(), Some(sim.spacing()), verb.seed ^ index)?;
    }
    Ok(())
}

/// `frames.csv`: what else is true of every frame, for `sonoseg evaluate --by effusion,patella`.
fn facts(sim: &KneeSim, frames: &[KneeFrame]) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["frame", "effusion", "patella"])?;
    for (number, frame) in frames.iter().enumerate() {
        let seen = frame.structures.classes.contains(&Structure::Patella.class());
        let patella = match (seen, sim.patella_left()) {
            (false, _) => "not in the picture",
            (true, true) => "left",
            (true, false) => "right",
        };
        writer.write_record([&number.to_string(), sim.effusion().name(), patella])?;
    }
    writer.into_inner().context("writing frames.csv")
}
