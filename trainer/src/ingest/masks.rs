//! What the values of all masks mean, decided once for the data set and told to the person.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rayon::prelude::*;
use sonoseg_imaging::DataError;
use sonoseg_imaging::annotations::Drawing;
use sonoseg_imaging::formats::classes::{ClassMap, Reading, Survey};
use sonoseg_imaging::formats::mask::{MAX_CLASSES, StoredMask, read_mask};
use sonoseg_imaging::geometry::Mask;

use super::pairs::Still;
use super::plan::{Content, Plan};
use crate::args::Ingest;
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
    let stills: Vec<&Still> = stills.flatten().collect();
    let paths: Vec<&PathBuf> = stills.iter().flat_map(|still| &still.masks).collect();
    let drawn: Vec<&Drawing> = stills.iter().filter_map(|still| Some(&*still.drawn.as_ref()?.1)).collect();
    if paths.is_empty() && drawn.is_empty() {
        return Ok(known);
    }
    if !drawn.is_empty() && !verb.one_class {
        if !paths.is_empty() {
            let reason = "some pictures have masks in files, and others outlines with names of classes: give each kind a data \
                          set of its own, or take all as one object (--one-class)";
            return Err(DataError::Inconsistent(reason.into()).into());
        }
        return of_drawings(verb, plan, &drawn, known).map(Some);
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
    let colours =
        plan.colour_names.as_deref().filter(|_| first).and_then(colours_of).filter(|map| survey.is_within(map));
    let named = colours.is_some();
    let mut map = survey.class_map(known.as_ref().or(colours.as_ref())).map_err(DataError::Inconsistent)?;
    if !drawn.is_empty() {
        // All that is drawn is the one object.
        map.classes.insert(255, 1);
        map.names = vec!["background".into(), "foreground".into()];
    }
    if !verb.classes.is_empty() {
        map = map.named(&verb.classes).map_err(|e| crate::failure::Usage(format!("--classes: {e}")))?;
    } else if first
        && !named
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
        Reading::Names => "outlines with names of classes",
    };
    say(format!("  masks    {reading}: {}", map.describe()));
    if !stored.is_empty() && stored.iter().all(|(facts, _)| facts.empty) && drawn.is_empty() {
        warn(format!(
            "no mask shows any object: every pixel of all {} is background. Are they the right files, and is an alpha channel or \
             a class number lost?",
            stored.len()
        ));
    }
    let soft = stored.iter().filter(|(facts, _)| facts.thresholded).count();
    if soft > 0 {
        say(format!("  masks    {soft} have soft or lossy edges, which are cut at the middle level"));
    }
    let mut growth: Vec<f64> = stored.iter().filter_map(|(facts, _)| facts.growth).collect();
    growth.sort_by(f64::total_cmp);
    if growth.get(growth.len() / 2).is_some_and(|&median| median > OUTLINE_GROWTH) {
        say("  masks    they look like drawn outlines: --fill turns them into areas");
    }
    Ok(Some(map))
}

/// The classes of drawn objects: those that the files name, in their order, or in that of `--classes`.
fn of_drawings(verb: &Ingest, plan: &Plan, drawn: &[&Drawing], known: Option<ClassMap>) -> Result<ClassMap> {
    let is_new = known.is_none();
    let mut map = known.unwrap_or_else(|| ClassMap {
        reading: Reading::Names,
        classes: BTreeMap::new(),
        names: vec!["background".into()],
    });
    if map.reading != Reading::Names {
        let reason = "the data set has masks from files so far, and these pictures outlines with names of classes: give each \
                      kind a data set of its own";
        return Err(DataError::Inconsistent(reason.into()).into());
    }
    let mut names: Vec<&String> = plan.drawn_classes.iter().filter(|name| !is_background(name)).collect();
    if is_new && !verb.classes.is_empty() {
        let list = |names: &[&String]| names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
        let ordered: Vec<&String> = verb.classes.iter().collect();
        if let Some(missing) = names.iter().find(|name| !ordered.contains(name)) {
            let message = format!(
                "--classes: {missing} is drawn and not named: of outlines it says the order of the classes, which are {}",
                list(&names)
            );
            return Err(crate::failure::Usage(message).into());
        }
        names = ordered;
    }
    for name in names {
        if !map.names.contains(name) {
            map.names.push(name.clone());
        }
    }
    if map.names.len() > MAX_CLASSES {
        let reason = format!("{} classes are drawn, and {MAX_CLASSES} are read, background included", map.names.len());
        return Err(DataError::Inconsistent(reason).into());
    }
    let numbered = map.names.iter().enumerate().map(|(number, name)| format!("{number} {name}"));
    say(format!("  masks    outlines with names of classes: {}", numbered.collect::<Vec<_>>().join(", ")));
    if drawn.iter().all(|drawing| drawing.objects.iter().all(|object| is_background(&object.class))) {
        warn("nowhere is an object drawn: there is nothing to learn from the outlines");
    }
    Ok(map)
}

/// What labelling tools call what is no object.
fn is_background(name: &str) -> bool {
    name.trim_matches('_').eq_ignore_ascii_case("background")
}

/// The number of the class of a drawn object.
pub(super) fn class_of(verb: &Ingest, map: &ClassMap, name: &str) -> u8 {
    match map.names.iter().position(|known| known == name) {
        _ if is_background(name) => 0,
        _ if verb.one_class => 1,
        Some(number) => number as u8,
        None => 0,
    }
}

/// The classes that `labelmap.txt` of CVAT names: `lesion:250,50,83::` in every line.
fn colours_of(path: &Path) -> Option<ClassMap> {
    let text = files::read_text(path).ok()?;
    let mut map =
        ClassMap { reading: Reading::Colours, classes: BTreeMap::from([(0, 0)]), names: vec!["background".into()] };
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut parts = line.split(':');
        let (name, colour) = (parts.next()?, parts.next()?);
        let levels: Vec<u32> =
            colour.split(',').map(|level| level.trim().parse::<u8>().ok().map(u32::from)).collect::<Option<_>>()?;
        let [r, g, b] = levels[..] else { return None };
        let colour = r << 16 | g << 8 | b;
        if colour == 0 || is_background(name) {
            map.classes.insert(colour, 0);
        } else if map.classes.insert(colour, map.names.len() as u8).is_none() && map.names.len() < MAX_CLASSES {
            map.names.push(name.to_owned());
        } else {
            return None;
        }
    }
    Some(map)
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
    /// Nothing but background.
    empty: bool,
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
        let empty = mask.values.iter().all(|&value| value == 0);
        Self { thresholded: mask.thresholded, empty, growth: growth.flatten() }
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
    fn the_label_map_of_cvat_names_its_colours() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(
            file.path(),
            "# label:color_rgb:parts:actions\nbackground:0,0,0::\nvessel:1,2,3::\nlesion:250,50,83::\n",
        )
        .unwrap();
        let map = colours_of(file.path()).unwrap();
        assert_eq!(map.names, ["background", "vessel", "lesion"]);
        assert_eq!(map.classes, BTreeMap::from([(0, 0), (0x01_02_03, 1), (0xfa_32_53, 2)]));
        fs::write(file.path(), "something else").unwrap();
        assert_eq!(colours_of(file.path()), None);
    }

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
