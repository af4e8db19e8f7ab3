//! What the values of all masks mean, decided once for the data set and told to the person.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rayon::prelude::*;
use sonoseg_imaging::DataError;
use sonoseg_imaging::formats::classes::{ClassMap, Reading, Survey};
use sonoseg_imaging::formats::mask::{StoredMask, read_mask};
use sonoseg_imaging::geometry::Mask;

use super::plan::{Content, Plan};
use crate::args::Ingest;
use crate::files;
use crate::terminal::{bar, say};

/// Masks whose area grows by this factor when holes are filled are drawn outlines.
const OUTLINE_GROWTH: f64 = 4.0;

/// The classes of the masks of a plan, or none without masks. `known` are those of the data set so far. A mask that
/// cannot be read is told when its picture is written.
pub(super) fn classes(verb: &Ingest, plan: &Plan, known: Option<ClassMap>) -> Result<Option<ClassMap>> {
    let stills = plan.procedures.iter().filter_map(|planned| match &planned.content {
        Content::Stills { stills, .. } => Some(stills),
        Content::Clip(_) => None,
    });
    let paths: Vec<&PathBuf> = stills.flatten().flat_map(|still| &still.masks).collect();
    if paths.is_empty() {
        return Ok(known);
    }
    let progress = bar(paths.len() as u64, "masks");
    let stored: Vec<(StoredMaskFacts, Survey)> = paths
        .par_iter()
        .filter_map(|path| {
            let mask = read(verb, path).ok()?;
            let mut survey = Survey::default();
            survey.add(&mask);
            progress.inc(1);
            Some((StoredMaskFacts::of(&mask, verb.fill), survey))
        })
        .collect();
    progress.finish_and_clear();
    let mut survey = Survey::default();
    stored.iter().for_each(|(_, one)| survey.merge(one));
    let first = known.is_none();
    let mut map = survey.class_map(known.as_ref()).map_err(DataError::Inconsistent)?;
    if !verb.classes.is_empty() {
        map = map.named(&verb.classes).map_err(|e| crate::failure::Usage(format!("--classes: {e}")))?;
    } else if first
        && map.reading == Reading::Numbers
        && let Some(names) = plan.class_names.as_deref().and_then(names_of)
        && let Ok(named) = map.clone().named(&names)
    {
        map = named;
    }
    let reading = match map.reading {
        Reading::Numbers => "masks hold class numbers",
        Reading::Levels => "every grey level but 0 is a class",
        Reading::Colours => "every colour but black is a class",
    };
    say(format!("  masks    {reading}: {}", map.describe()));
    let soft = stored.iter().filter(|(facts, _)| facts.thresholded).count();
    if soft > 0 {
        say(format!("  masks    {soft} have soft or lossy edges, which are cut at the middle level"));
    }
    let alpha = stored.iter().filter(|(facts, _)| facts.from_alpha).count();
    if alpha > 0 {
        say(format!("  masks    {alpha} have colours that show nothing and lie in the alpha channel, which is read"));
    }
    let mut growth: Vec<f64> = stored.iter().filter_map(|(facts, _)| facts.growth).collect();
    growth.sort_by(f64::total_cmp);
    if growth.get(growth.len() / 2).is_some_and(|&median| median > OUTLINE_GROWTH) {
        say("  masks    they look like drawn outlines: --fill turns them into areas");
    }
    Ok(Some(map))
}

/// A mask as its file stores it, with one object if the person says so.
pub(super) fn read(verb: &Ingest, path: &Path) -> Result<StoredMask, DataError> {
    let name = files::absolute(path);
    let bytes = fs::read(path).map_err(|e| DataError::unreadable(name.clone(), e))?;
    let mask = read_mask(&name, bytes)?;
    Ok(if verb.one_class { mask.one_object(&verb.background) } else { mask })
}

/// What is told about a mask.
struct StoredMaskFacts {
    thresholded: bool,
    from_alpha: bool,
    /// Area with filled holes over the area as drawn.
    growth: Option<f64>,
}

impl StoredMaskFacts {
    fn of(mask: &StoredMask, fill: bool) -> Self {
        let growth = (!fill).then(|| {
            let classes = mask.values.iter().map(|&value| u8::from(value != 0)).collect();
            let drawn = Mask { height: mask.height, width: mask.width, classes };
            let area = |mask: &Mask| mask.classes.iter().filter(|&&class| class > 0).count() as f64;
            (area(&drawn) > 0.0).then(|| area(&drawn.filled()) / area(&drawn))
        });
        Self { thresholded: mask.thresholded, from_alpha: mask.from_alpha, growth: growth.flatten() }
    }
}

/// Names of the classes from 1 on in a `dataset.json` of nnU-Net: `{"labels": {"background": 0, "nerve": 1}}`, or the
/// other way round as its first version had it.
fn names_of(path: &Path) -> Option<Vec<String>> {
    let json: serde_json::Value = serde_json::from_str(&files::read_text(path).ok()?).ok()?;
    let mut names: Vec<(u64, String)> = json
        .get("labels")?
        .as_object()?
        .iter()
        .filter_map(|(key, value)| match (value.as_u64(), value.as_str(), key.parse()) {
            (Some(number), _, _) => Some((number, key.clone())),
            (_, Some(name), Ok(number)) => Some((number, name.to_owned())),
            _ => None,
        })
        .collect();
    names.sort();
    Some(names.into_iter().filter(|(number, _)| *number > 0).map(|(_, name)| name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nn_unet_names_its_classes_either_way_round() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let names = |text: &str| {
            fs::write(file.path(), text).unwrap();
            names_of(file.path())
        };
        let expected = Some(vec!["nerve".to_owned(), "vessel".to_owned()]);
        assert_eq!(names(r#"{"labels": {"vessel": 2, "background": 0, "nerve": 1}}"#), expected);
        assert_eq!(names(r#"{"labels": {"0": "background", "1": "nerve", "2": "vessel"}}"#), expected);
        assert_eq!(names("{}"), None);
    }
}
