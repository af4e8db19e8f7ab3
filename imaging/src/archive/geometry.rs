//! All lines of a project as one table, and all masks as pictures: for those who need nothing else of it.

use std::collections::BTreeSet;

use serde::Serialize;

use super::described::{folder_name, labels};
use super::label::Label;
use super::left_out::{self, LeftOut};
use super::pack::Packer;
use crate::DataError;
use crate::annotation::{Project, Verdict, line_mask};
use crate::dataset::finding::Finding;
use crate::formats::encode::encode_png_mask;
use crate::geometry::{Mask, Needle};

/// A row of the table. Columns are named as in `geometry.csv` of `sonoseg predict`.
#[derive(Serialize)]
struct Row<'a> {
    input: &'a str,
    /// SHA-256 of the clip's file.
    clip: &'a str,
    frame: usize,
    /// `label` for what a person said, `prediction` for what a model did.
    source: &'static str,
    verdict: Option<Verdict>,
    /// Who said it.
    name: Option<&'a str>,
    /// Milliseconds since 1970, UTC.
    at_ms: Option<u64>,
    model: Option<&'a str>,
    needle: bool,
    confidence: Option<f64>,
    entry_x: Option<f64>,
    entry_y: Option<f64>,
    tip_x: Option<f64>,
    tip_y: Option<f64>,
    angle_deg: Option<f64>,
    length_px: Option<f64>,
}

impl<'a> Row<'a> {
    fn new(input: &'a str, clip: &'a str, frame: usize, source: &'static str, needle: Option<Needle>) -> Self {
        Self {
            input,
            clip,
            frame,
            source,
            verdict: None,
            name: None,
            at_ms: None,
            model: None,
            needle: needle.is_some(),
            confidence: None,
            entry_x: needle.map(|needle| needle.entry.x),
            entry_y: needle.map(|needle| needle.entry.y),
            tip_x: needle.map(|needle| needle.tip.x),
            tip_y: needle.map(|needle| needle.tip.y),
            angle_deg: needle.map(|needle| needle.angle_deg(None)),
            length_px: needle.map(|needle| needle.length_px()),
        }
    }
}

/// The table of all labels and predictions in pixels of the frames, and the frames that have no row, a sentence a reason.
///
/// # Errors
/// When it cannot be written.
pub fn geometry_csv(project: &Project) -> Result<(Vec<u8>, Vec<String>), DataError> {
    let unwritten =
        |error: &dyn std::fmt::Display| DataError::Inconsistent(format!("The table cannot be written: {error}."));
    let (mut writer, mut left_out) = (csv::Writer::from_writer(Vec::new()), LeftOut::default());
    for (clip, record) in &project.document().clips {
        for frame in 0..record.frames {
            let (answer, predicted) = (record.answers.get(&frame), project.predicted(clip, frame));
            if answer.is_none() && predicted.is_none() {
                left_out.frame(
                    &format!("{} ({clip})", record.name),
                    frame,
                    "neither a person nor a model answered for it",
                );
            }
            let label = answer.map(|answer| Row {
                verdict: Some(answer.verdict),
                name: Some(&answer.by.name),
                at_ms: Some(answer.by.at_ms),
                model: answer.by.model.as_deref(),
                ..Row::new(&record.name, clip, frame, "label", answer.needle)
            });
            let prediction = predicted.map(|predicted| Row {
                model: Some(&predicted.model),
                confidence: predicted.confidence,
                ..Row::new(&record.name, clip, frame, "prediction", predicted.needle)
            });
            for row in label.into_iter().chain(prediction) {
                writer.serialize(row).map_err(|error| unwritten(&error))?;
            }
        }
    }
    let table = writer.into_inner().map_err(|error| unwritten(&error))?;
    Ok((table, left_out.sentences()))
}

/// A zip of all masks, `<clip>/%06d.png` with the number of the class as a pixel's value, and the frames that have none, a
/// sentence a reason. A line without a painted mask is drawn as one.
///
/// # Errors
/// When it cannot be written.
pub fn masks_zip(project: &Project, finding: &Finding) -> Result<(Vec<u8>, Vec<String>), DataError> {
    let (mut packer, mut left_out) = (Packer::new(), LeftOut::default());
    let (mut bytes, mut folders) = (Vec::new(), BTreeSet::new());
    for record in project.document().clips.values() {
        let folder = folder_name(&record.name, &folders.iter().map(String::as_str).collect());
        let size = [record.height, record.width];
        labels(record, &folder, finding, &mut left_out, |frame, Label { row, mask }| {
            let line = || match row.flatten() {
                Some(needle) => line_mask(&needle, size),
                None => Mask::empty(size[0], size[1]),
            };
            let png = encode_png_mask(&mask.unwrap_or_else(line))?;
            bytes.extend(packer.add(&format!("{folder}/{frame:06}.png"), &png)?);
            Ok(())
        })?;
        folders.insert(folder);
    }
    let sentences = left_out.sentences();
    bytes.extend(packer.add("left-out.txt", left_out::text(&sentences).as_bytes())?);
    bytes.extend(packer.finish()?);
    Ok((bytes, sentences))
}
