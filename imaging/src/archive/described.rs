//! A clip as the folder of a procedure, its frames aside: what is known about it, its end points, its masks.

use std::collections::{BTreeMap, BTreeSet};

use super::ClipFacts;
use super::label::Label;
use super::left_out::LeftOut;
use crate::DataError;
use crate::annotation::ClipRecord;
use crate::dataset::finding::Finding;
use crate::dataset::folder::{Listed, Numbered};
use crate::dataset::labels::{LabelRow, read_labels, write_labels};
use crate::dataset::meta::Meta;
use crate::dataset::procedure::Procedure;
use crate::formats::encode::encode_png_mask;
use crate::geometry::{Mask, Scale};

/// The files of a procedure, its frames aside.
#[derive(Clone, Debug)]
pub(super) struct Described {
    /// Name of its folder in `procedures`.
    pub(super) procedure: String,
    /// `meta.json`.
    pub(super) meta: Vec<u8>,
    /// `labels.csv`, where there are any end points.
    pub(super) table: Option<Vec<u8>>,
    /// PNG files of masks by the number of their frame.
    pub(super) masks: BTreeMap<usize, Vec<u8>>,
}

impl Described {
    /// Of the answers of a clip. `taken`: names of other procedures.
    pub(super) fn new(
        record: &ClipRecord,
        facts: &ClipFacts,
        finding: &Finding,
        taken: &BTreeSet<&str>,
        left_out: &mut LeftOut,
    ) -> Result<Self, DataError> {
        let procedure = folder_name(&record.name, taken);
        let (mut masks, mut rows, mut highest, mut ignored) = (BTreeMap::new(), Vec::new(), None, false);
        labels(record, &procedure, finding, left_out, |frame, label| {
            rows.extend(label.row.map(|needle| LabelRow::new(frame, needle.as_ref())));
            let Some(mask) = label.mask else { return Ok(()) };
            let classes = mask.classes.iter().copied().filter(|&class| Mask::shows(class));
            highest = highest.max(Some(classes.max().unwrap_or(0)));
            ignored |= mask.classes.contains(&Mask::IGNORE);
            masks.insert(frame, encode_png_mask(&mask)?);
            Ok(())
        })?;
        let meta = Meta {
            fps: facts.times_us.as_deref().and_then(fps),
            spacing: if let Scale::Everywhere(spacing) = facts.scale { Some(spacing) } else { None },
            origin: Some(format!("{}, marked in sonoseg", record.name)),
            group: facts.group.clone(),
            classes: highest.map_or_else(Vec::new, |highest| class_names(finding, highest)),
            ignore: ignored.then_some(Mask::IGNORE),
            ..Meta::default()
        };
        let unwritten =
            |error: &dyn std::fmt::Display| DataError::Inconsistent(format!("procedures/{procedure}: {error}."));
        let meta = serde_json::to_vec_pretty(&meta).map_err(|error| unwritten(&error))?;
        let table = if rows.is_empty() { None } else { Some(write_labels(rows).map_err(|error| unwritten(&error))?) };
        Ok(Self { procedure, meta, table, masks })
    }

    /// The procedure of so many frames that the trainer reads from these files. `place` names a file in messages.
    pub(super) fn read(&self, frames: usize, place: impl Fn(&str) -> String) -> Result<Procedure, DataError> {
        let text = std::str::from_utf8(&self.meta).map_err(|error| DataError::unreadable(place("meta.json"), error))?;
        let numbered = |number: usize| format!("{number:06}.png");
        let listed = Listed {
            meta: Meta::parse(&place("meta.json"), text)?,
            frames: Numbered::of((0..frames).map(numbered)),
            masks: Numbered::of(self.masks.keys().copied().map(numbered)),
            labels: self.table.as_deref().map(read_labels).unwrap_or_default(),
        };
        Procedure::new(self.procedure.clone(), listed, place)
    }
}

/// Names of all classes up to the highest that the masks hold.
fn class_names(finding: &Finding, highest: u8) -> Vec<String> {
    let mut names = vec!["background".to_owned()];
    match finding {
        Finding::Needles => names.push("needle".to_owned()),
        Finding::Classes(classes) => names.extend(classes.iter().cloned()),
    }
    for class in names.len()..=usize::from(highest) {
        names.push(format!("class {class}"));
    }
    names
}

/// Mean frames per second.
fn fps(times_us: &[u64]) -> Option<f64> {
    let span = times_us.last().copied().filter(|&last| last > 0)?;
    Some((times_us.len() - 1) as f64 * 1e6 / span as f64)
}

/// Give the label of every frame of a clip that has one. The others are left out by name, as those of this folder.
pub(super) fn labels(
    record: &ClipRecord,
    folder: &str,
    finding: &Finding,
    left_out: &mut LeftOut,
    mut give: impl FnMut(usize, Label) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let place = format!("{} ({folder})", record.name);
    for frame in 0..record.frames {
        let label = match record.answers.get(&frame) {
            None => Err("nobody answered for it"),
            Some(answer) => Label::of(answer, [record.height, record.width], finding),
        };
        match label {
            Ok(label) => give(frame, label)?,
            Err(reason) => left_out.frame(&place, frame, reason),
        }
    }
    Ok(())
}

/// A folder for the procedure of a file: its name in letters that every system takes, and a number where it is taken.
pub(super) fn folder_name(file: &str, taken: &BTreeSet<&str>) -> String {
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
    let words: String = stem.chars().take(60).map(plain).collect();
    let words: Vec<&str> = words.split('-').filter(|word| !word.is_empty()).collect();
    let name = if words.is_empty() { "clip".to_owned() } else { words.join("-") };
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    let free = |name: &String| !taken.contains(name.as_str());
    std::iter::once(name.clone()).chain(numbered).find(free).unwrap_or(name)
}
