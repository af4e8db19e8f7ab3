//! What the values of all masks mean, decided once for the data set and told to the person.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rayon::prelude::*;
use sonoseg_imaging::DataError;
use sonoseg_imaging::formats::classes::{ClassMap, Reading, Survey, Told};
use sonoseg_imaging::formats::mask::{MAX_CLASSES, StoredMask, read_mask};
use sonoseg_imaging::geometry::Mask;
use sonoseg_imaging::outlines::Drawing;

use super::pairs::Still;
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
    let first = known.is_none();
    let colours =
        plan.colour_names.as_deref().filter(|_| first).and_then(colours_of).filter(|map| survey.is_within(map));
    let mut map = survey.class_map(known.as_ref().or(colours.as_ref()), &told).map_err(DataError::Inconsistent)?;
    if !drawn.is_empty() {
        // All that is drawn is the one object.
        map.classes.insert(255, 1);
        if plan.drawn_classes.iter().any(|name| is_ignored(name)) {
            map.classes.insert(StoredMask::ONE_OBJECT_IGNORED, Mask::IGNORE);
        }
        map.names = vec!["background".into(), "foreground".into()];
    }
    if !verb.classes.is_empty() {
        map = map.named(&verb.classes).map_err(|e| crate::failure::Usage(format!("--classes: {e}")))?;
    } else if map.reading == Reading::Levels && first {
        // As many grey levels as names: black and white for one class, most often.
        let names: Vec<String> = file.names.values().cloned().collect();
        map = map.clone().named(&names).unwrap_or(map);
    }
    doubts(verb, &file, &told, &survey, &map);
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
    let is_class = |name: &&String| !is_background(name) && !is_ignored(name);
    let mut names: Vec<&String> = plan.drawn_classes.iter().filter(is_class).collect();
    if plan.drawn_classes.iter().any(|name| is_ignored(name)) {
        map.classes.insert(StoredMask::ONE_OBJECT_IGNORED, Mask::IGNORE);
    }
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
    let mut numbered: Vec<String> =
        map.names.iter().enumerate().map(|(number, name)| format!("{number} {name}")).collect();
    numbered.extend(map.ignores().then(|| "and what is ignored, neither learned nor counted".to_owned()));
    say(format!("  masks    outlines with names of classes: {}", numbered.join(", ")));
    if !drawn.iter().flat_map(|drawing| &drawing.objects).any(|object| is_class(&&object.class)) {
        warn("nowhere is an object drawn: there is nothing to learn from the outlines");
    }
    Ok(map)
}

/// What labelling tools call what is no object.
fn is_background(name: &str) -> bool {
    name.trim_matches('_').eq_ignore_ascii_case("background")
}

/// What labelling tools call pixels that nobody judged.
fn is_ignored(name: &str) -> bool {
    ["ignore", "ignored"].iter().any(|word| name.trim_matches('_').eq_ignore_ascii_case(word))
}

/// The number of the class of a drawn object.
pub(super) fn class_of(verb: &Ingest, map: &ClassMap, name: &str) -> u8 {
    match map.names.iter().position(|known| known == name) {
        _ if is_background(name) => 0,
        _ if is_ignored(name) => Mask::IGNORE,
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
        } else if is_ignored(name) {
            map.classes.insert(colour, Mask::IGNORE);
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
    let told = ignored(verb);
    let one = |mask: StoredMask| mask.one_object(&verb.background, |mask, value| told.ignores(mask, value));
    Ok(if verb.one_class { one(mask) } else { mask })
}

/// What is told about a mask.
struct StoredMaskFacts {
    thresholded: bool,
    from_alpha: bool,
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
        Self { thresholded: mask.thresholded, from_alpha: mask.from_alpha, empty, growth: growth.flatten() }
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
    fn the_label_map_of_cvat_names_its_colours() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(
            file.path(),
            "# label:color_rgb:parts:actions\nbackground:0,0,0::\nvessel:1,2,3::\nlesion:250,50,83::\n\
             ignored:9,9,9::\n",
        )
        .unwrap();
        let map = colours_of(file.path()).unwrap();
        assert_eq!(map.names, ["background", "vessel", "lesion"]);
        assert_eq!(map.classes, BTreeMap::from([(0, 0), (0x01_02_03, 1), (0xfa_32_53, 2), (0x09_09_09, 255)]));
        fs::write(file.path(), "something else").unwrap();
        assert_eq!(colours_of(file.path()), None);
    }

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
