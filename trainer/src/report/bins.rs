//! The parts of a report on figures by bin and on how honest the confidences are.

use anyhow::Result;

use super::document::Block;
use crate::evaluate::by::Sorted;
use crate::evaluate::measure::Evaluation;
use crate::evaluate::{figures, plots};

/// Figures by bin: a picture of all sortings, and a table of each.
pub(super) fn by_bin(sorted: &[Sorted], blocks: &mut Vec<Block>) -> Result<()> {
    let Some(svg) = plots::bins(sorted)? else { return Ok(()) };
    blocks.push(Block::Heading("Where it succeeds and fails".into()));
    blocks.push(Block::Text(
        "The same frames in bins, by what is true of them whatever the model says. Few frames of few procedures say little: \
         the number of frames stands beside every bin."
            .into(),
    ));
    let alt = "Figures by bin".into();
    blocks.push(Block::Plot { file: "bins.svg".into(), alt, svg });
    for one in sorted {
        blocks.push(Block::Folded(format!("By {}", one.label), figures::by_bin(one)));
    }
    Ok(())
}

/// Whether confidences are what they say; nothing where no needle was called.
pub(super) fn honesty(evaluation: &Evaluation, blocks: &mut Vec<Block>) -> Result<()> {
    let reliability = evaluation.reliability();
    let (Some(svg), Some(reliability)) = (plots::reliability(reliability.as_ref())?, reliability) else {
        return Ok(());
    };
    blocks.push(Block::Heading("Confidence".into()));
    blocks.push(Block::Text(format!(
        "{} The expected error is the mean distance between confidence and share of right ones, over 10 bins of confidence. \
         sonoseg calibrate makes confidences honest.",
        figures::honesty(&reliability)
    )));
    blocks.push(Block::Plot {
        file: "reliability.svg".into(),
        alt: "Share of right needles over confidence".into(),
        svg,
    });
    blocks.push(Block::Folded("By confidence".into(), figures::reliability(&reliability)));
    Ok(())
}
