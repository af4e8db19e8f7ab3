//! JSON files: objects of LabelMe and COCO, and what the others are.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::{Drawing, Object, Shape, coordinate, extent, labelme, runs};
use crate::geometry::Point;

/// What a JSON file is.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// LabelMe: the objects of one picture.
    LabelMe(Drawing),
    /// COCO: the objects of many.
    Coco(Coco),
    /// Labels of another kind, in words, with what to do.
    Foreign(&'static str),
    /// No labels.
    Other,
}

/// A COCO file of objects.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Coco {
    /// The names of its classes in the order of their numbers.
    pub classes: Vec<String>,
    /// Every picture that it lists, in its order.
    pub drawings: Vec<Drawing>,
    /// What is to be told about it.
    pub notes: Vec<String>,
}

const AS_COCO: &str = "export it as COCO (instance segmentation), or as mask pictures";

/// Read a JSON file.
///
/// # Errors
/// When it is no JSON, or a file of LabelMe or COCO that is damaged or says what cannot be.
pub fn read(bytes: &[u8]) -> Result<Json, String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8 text: save it as UTF-8")?;
    if text.trim_start().starts_with('[') {
        return Ok(list(text));
    }
    let keys: BTreeMap<String, IgnoredAny> =
        serde_json::from_str(text).map_err(|e| format!("it is no sound JSON ({e}): export it again"))?;
    let has = |key: &str| keys.contains_key(key);
    if has("shapes") && (has("imagePath") || has("imageHeight") || has("version")) {
        return labelme::read(text).map(Json::LabelMe);
    }
    if has("images") && has("annotations") {
        return coco(text).map(Json::Coco);
    }
    Ok(match () {
        () if has("_via_img_metadata") || has("_via_settings") => {
            Json::Foreign("a project of VIA, which is not read: export its annotations as COCO")
        }
        () if has("images") && has("categories") => Json::Foreign(
            "a COCO file that lists pictures and no objects: take the file with annotations (instances_..json)",
        ),
        () if has("items") && has("categories") => Json::Foreign(
            "a file of Datumaro, which is not read: `datum convert -i DIR -if datumaro -f coco_instances -o OUT`",
        ),
        () if has("objects") && has("size") => {
            Json::Foreign("a file of Supervisely, which is not read: export the project as COCO, or as masks")
        }
        () if has("objects") && has("imgHeight") => {
            Json::Foreign("polygons of Cityscapes, which are not read: take its pictures `.._labelIds.png`")
        }
        () if keys.keys().any(|key| key.starts_with("_via")) => {
            Json::Foreign("a file of VIA, which is not read: export its annotations as COCO")
        }
        () if of_via(text) => Json::Foreign("regions of VIA, which are not read: export them as COCO"),
        () if has("features") && has("type") => {
            Json::Foreign("GeoJSON, which is not read: export the annotations as COCO, or as mask pictures")
        }
        () if has("annotations") || has("shapes") || has("labels") && has("data") => {
            Json::Foreign("annotations of a kind that is not read: export them as COCO (instance segmentation)")
        }
        () => Json::Other,
    })
}

/// Lists are of label-studio, of Labelbox, or results of a network in COCO's form.
fn list(text: &str) -> Json {
    let Ok(entries) = serde_json::from_str::<Vec<BTreeMap<String, IgnoredAny>>>(text) else { return Json::Other };
    let Some(first) = entries.first() else { return Json::Other };
    let has = |key: &str| first.contains_key(key);
    match () {
        () if has("data") && (has("annotations") || has("predictions")) || has("annotation_id") => Json::Foreign(
            "tasks of label-studio, which are not read: export the project as COCO, or as `Brush labels to PNG`",
        ),
        () if has("image_id") && has("category_id") => Json::Foreign(
            "a list of COCO results without their pictures: give the whole COCO file (images, annotations)",
        ),
        () if has("Label") || has("data_row") || has("regions") || has("annotations") => {
            Json::Foreign("annotations of a kind that is not read: export them as COCO (instance segmentation)")
        }
        () => Json::Other,
    }
}

/// VIA writes an entry a picture, with its regions.
fn of_via(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Entry {
        #[serde(rename = "regions")]
        _regions: IgnoredAny,
        #[serde(rename = "filename")]
        _filename: IgnoredAny,
    }
    serde_json::from_str::<BTreeMap<String, Entry>>(text).is_ok_and(|entries| !entries.is_empty())
}

#[derive(Deserialize)]
struct File {
    images: Vec<Picture>,
    annotations: Vec<Annotation>,
    #[serde(default)]
    categories: Vec<Category>,
}

#[derive(Deserialize)]
struct Picture {
    id: Value,
    file_name: Option<String>,
    height: Option<f64>,
    width: Option<f64>,
}

#[derive(Deserialize)]
struct Annotation {
    image_id: Value,
    category_id: Option<Value>,
    #[serde(default)]
    segmentation: Option<Segmentation>,
    segments_info: Option<IgnoredAny>,
    #[serde(default)]
    iscrowd: Option<Value>,
}

#[derive(Deserialize)]
struct Category {
    id: Value,
    name: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Segmentation {
    Rings(Vec<Vec<f64>>),
    Ring(Vec<f64>),
    Runs { size: [f64; 2], counts: Vec<f64> },
    Packed { size: [f64; 2], counts: String },
    Other(IgnoredAny),
}

fn coco(text: &str) -> Result<Coco, String> {
    let file: File =
        serde_json::from_str(text).map_err(|e| format!("its form is not that of COCO ({e}): export it again"))?;
    if file.annotations.iter().any(|one| one.segments_info.is_some()) {
        return Err(format!(
            "it is a panoptic file of COCO, whose objects are in pictures, which is not read: {AS_COCO}"
        ));
    }
    let mut categories = file.categories;
    // In the order of their numbers, whatever that of the file.
    categories.sort_by_key(|category| (category.id.as_i64(), category.id.to_string()));
    let names: BTreeMap<String, &str> =
        categories.iter().map(|category| (category.id.to_string(), category.name.as_str())).collect();
    if names.len() < categories.len() {
        return Err("it gives a number to two categories: export it again".into());
    }
    let mut found = Coco::default();
    for category in &categories {
        if !found.classes.contains(&category.name) {
            found.classes.push(category.name.clone());
        }
    }
    let mut by_id: BTreeMap<String, usize> = BTreeMap::new();
    for picture in file.images {
        let drawing = Drawing {
            picture: picture.file_name.ok_or("it lists a picture without file_name: export it again")?,
            size: match (picture.height, picture.width) {
                (Some(height), Some(width)) => Some(extent([height, width])?),
                _ => None,
            },
            ..Drawing::default()
        };
        if by_id.insert(picture.id.to_string(), found.drawings.len()).is_some() {
            return Err(format!("it lists two pictures with the id {}: export it again", picture.id));
        }
        found.drawings.push(drawing);
    }
    let (mut crowds, mut strays, mut boxes) = (0, 0, BTreeSet::new());
    for one in file.annotations {
        let Some(&at) = by_id.get(&one.image_id.to_string()) else {
            strays += 1;
            continue;
        };
        let id = one.category_id.map(|id| id.to_string()).unwrap_or_default();
        let class = names.get(&id).ok_or_else(|| {
            format!("an object of {} is of the category {id}, which it does not list", found.drawings[at].picture)
        })?;
        let shape = match one.segmentation {
            Some(segmentation) => shape(segmentation).map_err(|e| format!("{}: {e}", found.drawings[at].picture))?,
            None => None,
        };
        let drawing = &mut found.drawings[at];
        match shape {
            Some(shape) => drawing.objects.push(Object { class: (*class).to_owned(), shape }),
            None => {
                boxes.insert(at);
            }
        }
        crowds += usize::from(one.iscrowd.is_some_and(|crowd| crowd == 1 || crowd == true));
    }
    for at in boxes {
        found.drawings[at].refused =
            Some("some of its objects are boxes without an outline: draw the outlines, or take them out".into());
    }
    if crowds > 0 {
        found.notes.push(format!("{crowds} crowds (iscrowd) count as their class, like single objects"));
    }
    if strays > 0 {
        found.notes.push(format!("{strays} objects are of pictures that it does not list, and are left out"));
    }
    Ok(found)
}

/// None where nothing is drawn.
fn shape(segmentation: Segmentation) -> Result<Option<Shape>, String> {
    let ring = |numbers: &[f64]| -> Result<Vec<Point>, String> {
        if !numbers.len().is_multiple_of(2) {
            return Err(format!(
                "an outline has {} numbers, of which every two are a point: export it again",
                numbers.len()
            ));
        }
        let point = |pair: &[f64; 2]| Ok(Point { x: coordinate(pair[0])?, y: coordinate(pair[1])? });
        numbers.as_chunks::<2>().0.iter().map(point).collect()
    };
    let runs_of = |size: [f64; 2], runs: Vec<u32>| {
        let size = extent(size)?;
        runs::check(&runs, size)?;
        Ok(Some(Shape::Runs(size, runs)))
    };
    match segmentation {
        Segmentation::Rings(rings) => {
            let rings: Vec<Vec<Point>> =
                rings.iter().filter(|one| !one.is_empty()).map(|one| ring(one)).collect::<Result<_, _>>()?;
            Ok((!rings.is_empty()).then_some(Shape::Parts(rings)))
        }
        Segmentation::Ring(numbers) => {
            Ok((!numbers.is_empty()).then(|| ring(&numbers)).transpose()?.map(|ring| Shape::Parts(vec![ring])))
        }
        Segmentation::Runs { size, counts } => {
            let whole = |&run: &f64| run.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&run);
            if !counts.iter().all(whole) {
                return Err("its run lengths are no numbers of pixels: export it again".into());
            }
            runs_of(size, counts.into_iter().map(|run| run as u32).collect())
        }
        Segmentation::Packed { size, counts } => runs_of(size, runs::unpack(&counts)?),
        Segmentation::Other(_) => Err(format!("its segmentation is neither outlines nor run lengths: {AS_COCO}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coco_gives_outlines_and_runs_of_either_kind() {
        let text = r#"{"images": [{"id": 7, "file_name": "a/x.png", "height": 5, "width": 7}, {"id": 8, "file_name": "y.png"}],
            "categories": [{"id": 3, "name": "vessel"}, {"id": 1, "name": "nerve"}],
            "annotations": [
            {"image_id": 7, "category_id": 1, "segmentation": [[0, 0, 1.9, 0, 1.9, 1, 0, 1]], "iscrowd": 0},
            {"image_id": 7, "category_id": 3, "segmentation": {"size": [5, 7], "counts": ";32050O"}, "iscrowd": 1},
            {"image_id": 7, "category_id": 1, "segmentation": {"size": [5, 7], "counts": [34, 1]}},
            {"image_id": 9, "category_id": 1, "segmentation": [[0, 0, 1, 0, 1, 1]]}]}"#;
        let Json::Coco(coco) = read(text.as_bytes()).unwrap() else { panic!("it is COCO") };
        assert_eq!(coco.classes, ["nerve", "vessel"], "in the order of their numbers");
        assert_eq!((coco.drawings.len(), coco.drawings[1].objects.len(), coco.notes.len()), (2, 0, 2));
        let mask = coco.drawings[0].paint(5, 7, |class| if class == "nerve" { 1 } else { 2 }).unwrap().mask;
        let rows: Vec<&[u8]> = mask.classes.chunks(7).collect();
        assert_eq!(rows[0], [1, 1, 0, 0, 0, 0, 0]);
        assert_eq!(rows[1], [1, 1, 2, 2, 0, 2, 0]);
        assert_eq!(rows[4], [0, 0, 0, 0, 0, 0, 1]);
        for (from, to, reason) in [
            (r#""category_id": 3"#, r#""category_id": 4"#, "category 4"),
            ("[34, 1]", "[34, 2]", "36 pixels"),
            (";32050O", ";320", "run lengths are of"),
            ("0, 0, 1.9, 0", "0, 0, 1.9", "7 numbers"),
            (r#""height": 5"#, r#""height": 1e9"#, "correct the size"),
        ] {
            let error = read(text.replacen(from, to, 1).as_bytes()).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
        let boxes = text.replace("[[0, 0, 1.9, 0, 1.9, 1, 0, 1]]", "[]");
        let Json::Coco(coco) = read(boxes.as_bytes()).unwrap() else { panic!("it is COCO") };
        assert!(coco.drawings[0].refused.as_ref().unwrap().contains("boxes"));
    }

    #[test]
    fn label_me_gives_its_shapes() {
        let file = |shapes: &str| {
            format!(
                r#"{{"version": "5.0", "shapes": [{shapes}], "imagePath": "..\\x.png", "imageHeight": 4, "imageWidth": 6, "imageData": "AAAA"}}"#
            )
        };
        let shape =
            |kind: &str, points: &str| format!(r#"{{"label": "a", "points": {points}, "shape_type": "{kind}"}}"#);
        let all = [
            shape("rectangle", "[[3.5, 1.2], [1.5, 0.5]]"),
            shape("line", "[[0, 3], [5, 3]]"),
            shape("circle", "[[5.5, 0.5], [5.5, 0.9]]"),
            shape("point", "[[1, 1]]"),
        ];
        let Json::LabelMe(drawing) = read(file(&all.join(",")).as_bytes()).unwrap() else { panic!("it is LabelMe") };
        assert_eq!((drawing.picture.as_str(), drawing.objects.len(), drawing.notes.len()), ("..\\x.png", 3, 2));
        let mask = drawing.paint(4, 6, |_| 1).unwrap().mask;
        assert_eq!(
            mask.classes.chunks(6).map(|row| row.iter().map(|&c| c as usize).sum()).collect::<Vec<usize>>(),
            [4, 3, 0, 6]
        );
        for (kind, points, reason) in [
            ("mask", "[[0, 0], [3, 3]]", "of the kind mask"),
            ("spline", "[[0, 0]]", "spline"),
            ("circle", "[[0, 0]]", "1 points"),
        ] {
            let error = read(file(&shape(kind, points)).as_bytes()).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
        assert!(read(file(&shape("polygon", "[[1e300, 0], [1, 1]]")).as_bytes()).is_err());
    }

    #[test]
    fn other_files_are_called_by_their_names() {
        for (text, word) in [
            (r#"[{"id": 1, "data": {}, "annotations": []}]"#, "label-studio"),
            (r#"{"_via_settings": {}, "_via_img_metadata": {}}"#, "VIA"),
            (r#"{"x.png123": {"filename": "x.png", "regions": []}}"#, "VIA"),
            (r#"{"info": {}, "categories": {}, "items": []}"#, "Datumaro"),
            (r#"{"images": [], "categories": []}"#, "no objects"),
            (r#"[{"image_id": 1, "category_id": 1, "score": 1}]"#, "results"),
        ] {
            assert!(matches!(read(text.as_bytes()).unwrap(), Json::Foreign(what) if what.contains(word)), "{text}");
        }
        assert_eq!(read(b"{\"name\": 1}").unwrap(), Json::Other);
        assert_eq!(read(b"[1, 2]").unwrap(), Json::Other);
        assert!(read(b"{\"shapes\": [").unwrap_err().contains("no sound JSON"));
    }
}
