//! Objects that people drew: outlines of LabelMe, COCO and YOLO, read from bytes and painted into masks.
//!
//! | kind | file |
//! |---|---|
//! | JSON of one picture (LabelMe), or of a whole data set (COCO); what other JSON files are | [`json`] |
//! | a text file of each picture (YOLO), with the names of its classes | [`yolo`] |
//! | run lengths of COCO | `runs` |
//! | from outlines to pixels | `fill` |
//!
//! One rule makes pixels of all outlines, that of LabelMe's and YOLO's own tools: a point names the pixel that it lies in
//! (the first one reaches from 0 to 1), the outline runs through the middles of these pixels, and what it passes or
//! encloses (even-odd) belongs to the object. So no object vanishes, however thin. pycocotools leaves about half of the
//! outline away. Where objects overlap, the later one lies on top.

mod fill;
pub mod json;
mod labelme;
mod runs;
pub mod yolo;

use std::collections::BTreeSet;

use crate::formats::MAX_PIXELS;
use crate::geometry::{Mask, Point};

/// What was drawn in one picture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Drawing {
    /// The picture as the file calls it: a name or a path; empty where the file's own name tells.
    pub picture: String,
    /// Height and width of the picture as the file says.
    pub size: Option<[usize; 2]>,
    /// The objects, later ones on top.
    pub objects: Vec<Object>,
    /// What is to be told about it.
    pub notes: Vec<String>,
    /// Why the objects are no label of the picture.
    pub refused: Option<String>,
}

/// An object with its class.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// The name of its class.
    pub class: String,
    /// Where it is.
    pub shape: Shape,
}

/// Where an object is. Points are in pixels from the upper left corner of the picture, `[x, y]`.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// Outlines of its parts.
    Parts(Vec<Vec<Point>>),
    /// Outlines in shares of the picture's width and height.
    Shares(Vec<Point>),
    /// A line, as wide as a pixel.
    Line(Vec<Point>),
    /// A circle: its centre and its radius.
    Circle(Point, f64),
    /// Background and object in turn, column by column, in a picture of this height and width.
    Runs([usize; 2], Vec<u32>),
}

/// A painted drawing.
#[derive(Clone, Debug, PartialEq)]
pub struct Painted {
    /// One class a pixel.
    pub mask: Mask,
    /// Objects that reach out of the picture and are cut at its edge.
    pub cut: usize,
    /// Objects of which nothing lies in the picture.
    pub outside: usize,
}

impl Drawing {
    /// The names of the classes that occur.
    pub fn classes(&self) -> BTreeSet<&str> {
        self.objects.iter().map(|object| object.class.as_str()).collect()
    }

    /// Paint the objects into a mask of `height` x `width` pixels. `class` gives the number of a class by its name; 0 where
    /// it is background.
    ///
    /// # Errors
    /// When the drawing was made on a picture of another size.
    pub fn paint(&self, height: usize, width: usize, class: impl Fn(&str) -> u8) -> Result<Painted, String> {
        let other = |size: [usize; 2]| {
            Err(format!(
                "the objects were drawn in a picture of {}x{}, and it is {width}x{height}: take the picture that was drawn in",
                size[1], size[0]
            ))
        };
        if let Some(size) = self.size.filter(|&size| size != [height, width]) {
            return other(size);
        }
        let mut painted = Painted { mask: Mask::empty(height, width), cut: 0, outside: 0 };
        for object in &self.objects {
            let class = class(&object.class);
            let mut inside = false;
            let mut paint = |row: usize, column: usize| {
                inside = true;
                painted.mask.classes[row * width + column] = class;
            };
            let cut = match &object.shape {
                Shape::Parts(parts) => {
                    // As COCO has it, parts never make a hole in each other.
                    let cut = parts.iter().filter(|part| fill::outline(part, height, width, &mut paint));
                    cut.count() > 0
                }
                Shape::Shares(ring) => {
                    let place = |p: &Point| Point { x: p.x * width as f64, y: p.y * height as f64 };
                    fill::outline(&ring.iter().map(place).collect::<Vec<_>>(), height, width, &mut paint)
                }
                Shape::Line(points) => fill::line(points, height, width, &mut paint),
                Shape::Circle(centre, radius) => fill::circle(*centre, *radius, height, width, &mut paint),
                Shape::Runs(size, _) if *size != [height, width] => return other(*size),
                Shape::Runs(_, runs) => {
                    runs::each(runs, height, width, &mut paint);
                    false
                }
            };
            // Run lengths may be of nothing; an outline never is.
            painted.outside += usize::from(cut && !inside);
            painted.cut += usize::from(cut && inside);
        }
        Ok(painted)
    }
}

/// A number that every coordinate must be: finite, and of a picture.
fn coordinate(value: f64) -> Result<f64, String> {
    let sound = value.is_finite() && value.abs() < 1e7;
    sound.then_some(value).ok_or_else(|| format!("{value} is no coordinate of a picture"))
}

/// Height and width that a picture can have.
fn extent(size: [f64; 2]) -> Result<[usize; 2], String> {
    let sound = size.iter().all(|&side| side.fract() == 0.0 && (1.0..=MAX_PIXELS as f64).contains(&side));
    if !sound || size[0] * size[1] > MAX_PIXELS as f64 {
        return Err(format!("it says that the picture is {} x {} pixels: correct the size", size[1], size[0]));
    }
    Ok(size.map(|side| side as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outline(points: &[(f64, f64)]) -> Shape {
        Shape::Parts(vec![points.iter().map(|&(x, y)| Point { x, y }).collect()])
    }

    fn paint(shapes: Vec<(&str, Shape)>) -> Painted {
        let objects = shapes.into_iter().map(|(class, shape)| Object { class: class.into(), shape }).collect();
        let drawing = Drawing { objects, ..Drawing::default() };
        drawing.paint(4, 6, |class| if class == "a" { 1 } else { 2 }).unwrap()
    }

    fn rows(mask: &Mask) -> Vec<String> {
        let row = |row: &[u8]| row.iter().map(|class| (b'0' + class) as char).collect();
        mask.classes.chunks(mask.width).map(row).collect()
    }

    #[test]
    fn the_outline_belongs_to_the_object_and_later_ones_lie_on_top() {
        let square = outline(&[(1.0, 1.0), (3.9, 1.0), (3.9, 2.2), (1.0, 2.2)]);
        let painted = paint(vec![("a", square), ("b", outline(&[(3.0, 0.0), (3.0, 3.0)]))]);
        assert_eq!(rows(&painted.mask), ["000200", "011200", "011200", "000200"]);
        assert_eq!((painted.cut, painted.outside), (0, 0));
        let shares =
            Shape::Shares([(0.5, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 1.0)].map(|(x, y)| Point { x, y }).into());
        assert_eq!(rows(&paint(vec![("a", shares)]).mask), ["000111"; 4], "the edge at 1 is that of the last pixel");
    }

    #[test]
    fn what_lies_outside_is_cut_and_told() {
        let beyond = outline(&[(4.0, -3.0), (90.0, -3.0), (90.0, 1.0), (4.0, 1.0)]);
        let painted = paint(vec![("a", beyond), ("a", outline(&[(9.0, 9.0), (12.0, 9.0), (12.0, 12.0)]))]);
        assert_eq!(rows(&painted.mask), ["000011", "000011", "000000", "000000"]);
        assert_eq!((painted.cut, painted.outside), (1, 1));
        let drawing = Drawing { size: Some([4, 7]), ..Drawing::default() };
        assert!(drawing.paint(4, 6, |_| 1).unwrap_err().contains("picture of 7x4, and it is 6x4"));
    }

    #[test]
    fn lines_circles_and_runs_are_painted() {
        let line = Shape::Line([(0.5, 0.5), (3.5, 3.5)].map(|(x, y)| Point { x, y }).into());
        assert_eq!(rows(&paint(vec![("a", line)]).mask), ["100000", "010000", "001000", "000100"]);
        let circle = Shape::Circle(Point { x: 3.0, y: 2.0 }, 1.6);
        assert_eq!(rows(&paint(vec![("a", circle)]).mask), ["001100", "011110", "011110", "001100"]);
        let runs = Shape::Runs([4, 6], vec![1, 2, 9, 1, 0, 99]);
        assert_eq!(rows(&paint(vec![("a", runs)]).mask), ["000111", "100111", "100111", "000111"]);
    }
}
