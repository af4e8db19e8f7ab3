//! `sonoseg calibrate`: how often the needles that a model calls are right, written into its file, so that its confidence is
//! that from then on, on the page as here.

use anyhow::Result;
use sonoseg_core::checkpoint;
use sonoseg_imaging::DataError;
use sonoseg_imaging::evaluate::Calibration;
use sonoseg_imaging::evaluate::calibration::{Call, Reliability, cross_fitted};

use crate::args::{Calibrate, Part};
use crate::device;
use crate::evaluate::measure::Evaluation;
use crate::evaluate::{chosen, figures, part};
use crate::export;
use crate::failure::Usage;
use crate::files;
use crate::folder::Folder;
use crate::table::number;
use crate::terminal::{say, warn};

mod novelty;

pub(crate) fn run(verb: &Calibrate) -> Result<()> {
    let device = device::choose(verb.on.device)?;
    let (mut header, state) = export::open(&verb.on.model)?;
    // What is fitted is what the network itself says.
    let predictor = files::load_model(&verb.on.model, &device.device)?.with_calibration(None);
    if !header.recipe.finding().is_needles() {
        let message = "the model marks a class of masks and calls no needles: there is no confidence to calibrate";
        return Err(Usage(message.into()).into());
    }
    let data = Folder::for_recipe(&verb.on.data, &header.recipe)?;
    let part = part(&verb.on.model, verb.on.split);
    let chosen = chosen(&verb.on.model, &data, part)?;
    let evaluation = Evaluation::measure(&predictor, &data, &chosen, None)?;
    let called = evaluation.calls();
    let calls: Vec<Call> = called.iter().map(|(_, call)| *call).collect();
    let unfit = |reason: String| DataError::Inconsistent(format!("{}: {reason}", files::absolute(&verb.on.data)));
    let calibration = Calibration::fit(&calls).map_err(unfit)?;
    say(figures::honesty(&Reliability::new(&calls)));
    match cross_fitted(&called) {
        Ok(honest) => {
            let after = Reliability::new(&honest);
            say(format!(
                "calibrated, on procedures that it was not fitted on: expected calibration error {}, largest {}",
                number(after.expected_error, 3),
                number(after.maximum_error, 3)
            ));
        }
        Err(reason) => say(format!("how honest it is on other procedures cannot be told: {reason}")),
    }
    if let Some(caveat) = chosen.told() {
        warn(caveat);
    }
    if part == Part::Train {
        warn("These are the procedures that the run learned from, on which a network is surer than on others.");
    }
    header.calibration = Some(calibration);
    if !verb.learned_from.is_empty() {
        header.novelty = Some(novelty::measure(&predictor, &verb.learned_from)?);
    }
    let name = files::absolute(&verb.out);
    files::write(&verb.out, &checkpoint::encode_as(&name, &header, &state, export::storage(verb.dtype))?)?;
    say(format!("{}: the model with its calibration on {} needles", verb.out.display(), calls.len()));
    Ok(())
}
