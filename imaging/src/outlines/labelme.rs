//! A JSON file of LabelMe: the objects of one picture. X-AnyLabeling writes the same.

use serde::Deserialize;
use serde_json::Value;

use super::{Drawing, Object, Shape, coordinate, extent};
use crate::geometry::Point;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    shapes: Vec<Drawn>,
    image_path: Option<String>,
    image_height: Option<f64>,
    image_width: Option<f64>,
}

#[derive(Deserialize)]
struct Drawn {
    label: Value,
    #[serde(default)]
    points: Vec<[f64; 2]>,
    shape_type: Option<String>,
}

/// Read a file. The picture that it may hold as text is not looked at.
pub(super) fn read(text: &str) -> Result<Drawing, String> {
    let file: File =
        serde_json::from_str(text).map_err(|e| format!("its form is not that of LabelMe ({e}): save it again"))?;
    let mut drawing = Drawing {
        picture: file.image_path.unwrap_or_default(),
        size: match (file.image_height, file.image_width) {
            (Some(height), Some(width)) => Some(extent([height, width])?),
            _ => None,
        },
        ..Drawing::default()
    };
    let mut dots = 0;
    for drawn in file.shapes {
        let class = match drawn.label {
            Value::String(label) => label,
            Value::Number(number) => number.to_string(),
            _ => return Err("a shape has no label: give it one".into()),
        };
        let point = |[x, y]: &[f64; 2]| Ok(Point { x: coordinate(*x)?, y: coordinate(*y)? });
        let points: Vec<Point> = drawn.points.iter().map(point).collect::<Result<_, String>>()?;
        // The first versions of LabelMe knew polygons only.
        let kind = drawn.shape_type.as_deref().unwrap_or("polygon");
        let shape = match (kind, points.as_slice()) {
            ("polygon" | "rotation" | "oriented_rectangle", [_, ..]) => Shape::Parts(vec![points]),
            ("rectangle", [a, b]) => {
                let corners = [(a.x, a.y), (b.x, a.y), (b.x, b.y), (a.x, b.y)];
                Shape::Parts(vec![corners.map(|(x, y)| Point { x, y }).into()])
            }
            ("rectangle", [_, _, _, _]) => Shape::Parts(vec![points]),
            ("circle", [centre, edge]) => Shape::Circle(*centre, centre.distance_px(*edge)),
            ("line" | "linestrip", [_, _, ..]) => Shape::Line(points),
            ("point" | "points", _) => {
                dots += 1;
                continue;
            }
            ("polygon" | "rotation" | "oriented_rectangle" | "rectangle" | "circle" | "line" | "linestrip", points) => {
                return Err(format!("a {kind} of {class} has {} points: draw it again", points.len()));
            }
            ("mask", _) => {
                return Err(format!(
                    "a shape of {class} is of the kind mask, which is not read: in LabelMe turn it into a polygon, or write \
                     mask pictures with `labelme2voc`"
                ));
            }
            (other, _) => {
                return Err(format!(
                    "a shape of {class} is of the kind {other}, which is not read: draw it as a polygon"
                ));
            }
        };
        drawing.objects.push(Object { class, shape });
    }
    if dots > 0 {
        drawing.notes.push(format!("{dots} of its shapes are points, which have no area, and are left out"));
    }
    let lines = drawing.objects.iter().filter(|object| matches!(object.shape, Shape::Line(_))).count();
    if lines > 0 {
        let advice = "for needles, a table of their ends serves better (x1,y1,x2,y2)";
        drawing.notes.push(format!("{lines} of its shapes are lines, which are painted one pixel wide: {advice}"));
    }
    Ok(drawing)
}
