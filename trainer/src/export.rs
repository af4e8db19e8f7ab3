//! `sonoseg export`: a model file for the app and for Python.

use anyhow::Result;
use burn::tensor::Device;
use sonoseg_core::checkpoint::Storage;

use crate::args::{Dtype, Export};
use crate::files;
use crate::terminal::say;

pub(crate) fn run(verb: &Export) -> Result<()> {
    let predictor = files::load_model(&verb.run, &Device::flex())?;
    let storage = match verb.dtype {
        Dtype::F32 => Storage::F32,
        Dtype::F16 => Storage::F16,
    };
    let bytes = pollster::block_on(predictor.to_bytes(storage))?;
    files::write(&verb.out, &bytes)?;
    let summary = predictor.summary();
    say(format!(
        "{}: {} parameters, {:.1} MB, trained on {}",
        verb.out.display(),
        summary.parameters,
        bytes.len() as f64 / 1e6,
        summary.trained_on
    ));
    say(format!("next: sonoseg predict {} IMAGE_OR_VIDEO --out predictions", verb.out.display()));
    Ok(())
}
