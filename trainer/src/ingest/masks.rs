//! What the values of all masks mean, decided once for the data set and told to the person.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rayon::prelude::*;
use sonoseg_imaging::DataError;
use sonoseg_imaging::formats::classes::{ClassMap, Reading, Survey, Told};
use sonoseg_imaging::formats::mask::{StoredMask, read_mask};
use sonoseg_imaging::geometry::Mask;

use super::plan::{Content, Plan};
use crate::args::{Ignored, Ingest};
use crate::files;
use crate::terminal::{bar, say, warn};

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
    let file = if verb.classes.is_empty() && !verb.one_class {
        DatasetJson::of(plan).unwrap_or_default()
    } else {
        DatasetJson::default()
    };
    let numbered = (1..).zip(&verb.classes).map(|(class, name)| (class, name.clone()));
    let names = if verb.classes.is_empty() { file.names.clone() } else { numbered.collect() };
    let mut told = Told { names, ..ignored(verb) };
    if verb.one_class && !verb.ignore.is_empty() {
        (told.ignore, told.ignore_colours) = ([StoredMask::ONE_OBJECT_IGNORED].into(), [].into());
    }
    let mut map = survey.class_map(known.as_ref(), &told).map_err(DataError::Inconsistent)?;
    if !verb.classes.is_empty() {
        map = map.named(&verb.classes).map_err(|e| crate::failure::Usage(format!("--classes: {e}")))?;
    } else if map.reading == Reading::Levels && known.is_none() {
        // As many grey levels as names: black and white for one class, most often.
        let names: Vec<String> = file.names.values().cloned().collect();
        map = map.clone().named(&names).unwrap_or(map);
    }
    doubts(verb, &file, &told, &survey, &map);
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

/// Tell what of the masks and of what is told about them does not go together.
fn doubts(verb: &Ingest, file: &DatasetJson, told: &Told, survey: &Survey, map: &ClassMap) {
    if !verb.ignore.is_empty() && !survey.holds_ignored(told) {
        warn("no mask holds the value that is to be ignored: see --ignore, and `ignore` in dataset.json");
    }
    if survey.has_void() && !told.ignore.contains(&255) && !map.ignores() {
        warn(
            "255 beside class numbers is taken for background: if it marks pixels that nobody judged, such as the borders in \
             Pascal VOC, say --ignore 255",
        );
    }
    if file.regions {
        warn("dataset.json names regions of several classes: the numbers in the masks are the classes, see --classes");
    }
    if map.reading != Reading::Numbers {
        if file.names.values().any(|name| !map.names.contains(name)) {
            warn("dataset.json names class numbers, and the masks hold none: its names are not used, see --classes");
        }
        return;
    }
    let last = file.names.keys().next_back().map_or(0, |&last| usize::from(last));
    if let Some(more) = map.names.get(last + 1..).filter(|more| last > 0 && !more.is_empty()) {
        warn(format!("the masks hold {}, which dataset.json does not name: correct one of them", more.join(", ")));
    }
    if !told.names.is_empty() {
        for (class, name) in map.absent() {
            warn(format!("no mask holds class {class}, {name}: it keeps its number, and a network cannot learn it"));
        }
    }
}

/// A mask as its file stores it, with one object if the person says so.
pub(super) fn read(verb: &Ingest, path: &Path) -> Result<StoredMask, DataError> {
    let name = files::absolute(path);
    let bytes = fs::read(path).map_err(|e| DataError::unreadable(name.clone(), e))?;
    let mask = read_mask(&name, bytes)?;
    let told = ignored(verb);
    let one = |mask: StoredMask| mask.one_object(&verb.background, |mask, value| told.ignores(mask, value));
    Ok(if verb.one_class { one(mask) } else { mask })
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

/// What a `dataset.json` of nnU-Net says of the masks: `{"labels": {"background": 0, "nerve": 1, "ignore": 2}}`, or the
/// other way round as its first version had it.
#[derive(Debug, Default, PartialEq)]
struct DatasetJson {
    /// Names of the classes by number.
    names: BTreeMap<u8, String>,
    /// The label of pixels that nobody judged.
    ignore: Option<u32>,
    /// It names regions made of several numbers.
    regions: bool,
}

impl DatasetJson {
    fn read(path: &Path) -> Result<Self> {
        let json: serde_json::Value = serde_json::from_str(&files::read_text(path)?)
            .map_err(|e| DataError::unreadable(files::absolute(path), e))?;
        let mut read = Self::default();
        for (key, value) in json.get("labels").and_then(serde_json::Value::as_object).into_iter().flatten() {
            let (number, name) = match (value.as_u64(), value.as_str(), key.parse::<u64>()) {
                (Some(number), _, _) => (number, key.as_str()),
                (_, Some(name), Ok(number)) => (number, name),
                _ => {
                    read.regions |= value.is_array();
                    continue;
                }
            };
            match u8::try_from(number) {
                Ok(number) if name == "ignore" => read.ignore = Some(number.into()),
                Ok(number) if number > 0 => {
                    read.names.insert(number, name.to_owned());
                }
                _ => {}
            }
        }
        Ok(read)
    }

    /// That of a plan; nothing where it has none.
    fn of(plan: &Plan) -> Result<Self> {
        plan.class_names.as_deref().map_or_else(|| Ok(Self::default()), Self::read)
    }
}

/// The verb with what a `dataset.json` beside the masks says of pixels that nobody judged.
pub(super) fn with_ignored(verb: &Ingest, plan: &Plan) -> Ingest {
    let mut verb = verb.clone();
    let of_file = DatasetJson::of(plan).unwrap_or_else(|error| {
        warn(format!("{error:#}: what it says of the masks is not known"));
        DatasetJson::default()
    });
    let of_file = of_file.ignore.map(Ignored::Number);
    verb.ignore.extend(of_file.filter(|one| !verb.ignore.contains(one)));
    verb
}

/// What is told of pixels that nobody judged.
fn ignored(verb: &Ingest) -> Told {
    let mut told = Told::default();
    for &one in &verb.ignore {
        match one {
            Ignored::Number(number) => told.ignore.insert(number),
            Ignored::Colour(colour) => told.ignore_colours.insert(colour),
        };
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nn_unet_names_its_classes_either_way_round() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let read = |text: &str| {
            fs::write(file.path(), text).unwrap();
            DatasetJson::read(file.path())
        };
        let names: BTreeMap<u8, String> = [(1, "nerve".to_owned()), (2, "vessel".to_owned())].into();
        let expected = DatasetJson { names, ..DatasetJson::default() };
        assert_eq!(read(r#"{"labels": {"vessel": 2, "background": 0, "nerve": 1}}"#).unwrap(), expected);
        assert_eq!(read(r#"{"labels": {"0": "background", "1": "nerve", "2": "vessel"}}"#).unwrap(), expected);
        let ignoring = DatasetJson { ignore: Some(3), ..expected };
        assert_eq!(read(r#"{"labels": {"background": 0, "nerve": 1, "vessel": 2, "ignore": 3}}"#).unwrap(), ignoring);
        let regions = read(r#"{"labels": {"background": 0, "whole": [1, 2], "core": [2], "ignore": 3}}"#).unwrap();
        assert!(regions.regions && regions.names.is_empty() && regions.ignore == Some(3), "{regions:?}");
        assert_eq!(read("{}").unwrap(), DatasetJson::default());
        assert!(read("{").is_err());
    }
}
