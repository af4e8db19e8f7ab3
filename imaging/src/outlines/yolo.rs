//! Text files of YOLO: a line for every object of one picture, its class and the points of its outline in shares of width
//! and height; and the names of the classes, in `data.yaml`, `classes.txt` or `obj.names`.

use super::{Drawing, Object, Shape, coordinate};
use crate::geometry::Point;

/// Whether a text file looks like one of YOLO: every line numbers only, the first of them whole. Empty ones may be, too.
pub fn is_labels(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    text.lines().filter(|line| !line.trim().is_empty()).all(|line| {
        let mut words = line.split_whitespace();
        let class = words.next().is_some_and(|word| word.parse::<u32>().is_ok());
        let rest = words.clone().count();
        class && rest >= 4 && words.all(|word| word.parse::<f64>().is_ok())
    })
}

/// Read the objects of a picture. A class is called as `names` says, or by its number.
///
/// # Errors
/// Names the line that is no outline: boxes are not read.
pub fn read(bytes: &[u8], names: &[String]) -> Result<Drawing, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8 text: save it as UTF-8")?;
    let mut drawing = Drawing::default();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let bad = |what: String| format!("line {}: {what}", index + 1);
        let numbers: Vec<f64> = line
            .split_whitespace()
            .map(|word| word.parse().map_err(|_| bad(format!("{word} is no number: export it again"))))
            .collect::<Result<_, _>>()?;
        let [class, shares @ ..] = &numbers[..] else { continue };
        if class.fract() != 0.0 || !(0.0..256.0).contains(class) {
            return Err(bad(format!("{class} is no number of a class: export it again")));
        }
        if shares.len() == 4 {
            return Err(bad("it is a box and no outline, and boxes are not read: export it for segmentation".into()));
        }
        if !shares.len().is_multiple_of(2) || shares.len() < 6 {
            let what = format!("{} numbers are no outline of at least three points: export it again", shares.len());
            return Err(bad(what));
        }
        if let Some(beyond) = shares.iter().find(|share| share.abs() > 2.0) {
            let what = format!("{beyond} is no share of the picture's width or height: divide the points by them");
            return Err(bad(what));
        }
        let point = |pair: &[f64; 2]| Ok(Point { x: coordinate(pair[0])?, y: coordinate(pair[1])? });
        let ring: Vec<Point> = shares.as_chunks::<2>().0.iter().map(point).collect::<Result<_, _>>().map_err(bad)?;
        let number = *class as usize;
        if !names.is_empty() && number >= names.len() {
            return Err(bad(format!("its class is {number}, and there are names of {} classes", names.len())));
        }
        let class = names.get(number).cloned().unwrap_or_else(|| format!("class {number}"));
        drawing.objects.push(Object { class, shape: Shape::Shares(ring) });
    }
    Ok(drawing)
}

/// The names of the classes in a list of one a line (`classes.txt`, `obj.names`).
pub fn listed(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)).into_owned();
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// The `names` of a `data.yaml`, in each of the ways that YOLO's tools write them: `[a, b]`, `{0: a, 1: b}`, a line each
/// with `- a`, or with `0: a`. None where there are none.
///
/// # Errors
/// When they are written in another way, or their numbers do not go on from 0.
pub fn names(bytes: &[u8]) -> Result<Option<Vec<String>>, String> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let mut lines = text.lines().map(without_comment);
    let Some(rest) = lines.find_map(|line| line.strip_prefix("names:").map(str::trim).map(str::to_owned)) else {
        return Ok(None);
    };
    let (mut plain, mut numbered) = (Vec::new(), Vec::new());
    let mut entry = |text: &str, listed: bool| -> Result<(), String> {
        match text.split_once(':').map(|(number, name)| (number.trim().parse::<usize>(), name)) {
            Some((Ok(number), name)) if !listed => numbered.push((number, bare(name))),
            _ if listed => plain.push(bare(text)),
            _ => return Err(format!("its names hold `{}`, which is not understood: write `0: name`", text.trim())),
        }
        Ok(())
    };
    if rest.is_empty() {
        for line in lines.take_while(|line| line.is_empty() || line.starts_with([' ', '-', '\t'])) {
            match line.trim() {
                "" => {}
                line => entry(line.strip_prefix('-').unwrap_or(line), line.starts_with('-'))?,
            }
        }
    } else {
        // A list in brackets may go on over several lines.
        let open = rest.chars().next().unwrap_or(' ');
        let close = if open == '[' { ']' } else { '}' };
        let mut whole = rest;
        while !whole.contains(close) {
            let Some(line) = lines.next() else { break };
            whole += line.trim();
        }
        let inner = whole.strip_prefix(['[', '{']).and_then(|inner| inner.split_once(close));
        let Some((inner, _)) = inner else {
            return Err("its names are not understood: write them as `names: [first, second]`".into());
        };
        for part in inner.split(',').filter(|part| !part.trim().is_empty()) {
            entry(part, open == '[')?;
        }
    }
    numbered.sort();
    if numbered.iter().enumerate().any(|(at, (number, _))| at != *number) {
        return Err("the numbers of its names do not go on from 0: correct them".into());
    }
    Ok(Some(if plain.is_empty() { numbered.into_iter().map(|(_, name)| name).collect() } else { plain }))
}

fn without_comment(line: &str) -> &str {
    line.split(" #").next().unwrap_or(line).trim_end()
}

/// A name without its quotes.
fn bare(text: &str) -> String {
    let text = text.trim();
    let quoted = |quote: char| text.strip_prefix(quote).and_then(|inner| inner.strip_suffix(quote));
    quoted('"').or_else(|| quoted('\'')).unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outlines_are_read_and_boxes_are_refused() {
        let names = ["nerve".to_owned(), "vessel".to_owned()];
        let drawing = read(b"1 0 0 0.5 0 0.5 1\n\n0 .1 .1 .2 .1 .2 .2 .1 .2\n", &names).unwrap();
        let classes: Vec<&str> = drawing.objects.iter().map(|object| object.class.as_str()).collect();
        assert_eq!(classes, ["vessel", "nerve"]);
        let mask = drawing.paint(4, 4, |class| if class == "vessel" { 2 } else { 1 }).unwrap().mask;
        assert_eq!(mask.classes[..4], [1, 2, 2, 0]);
        let error = |text: &str| read(text.as_bytes(), &names).unwrap_err();
        assert!(error("0 0.5 0.5 0.1 0.1").contains("line 1: it is a box"));
        assert!(error("\n2 0 0 1 0 1 1").contains("line 2: its class is 2"));
        assert!(error("0 0 0 1 0 1").contains("no outline"));
        assert!(error("0 10 20 30 40 50 60").contains("no share"));
        assert!(error("0 nan 0 1 0 1 1").contains("no coordinate"));
        assert_eq!(read(b"", &[]).unwrap(), Drawing::default());
        assert!(is_labels(b"0 0.1 0.2 0.3 0.4\n") && !is_labels(b"scan_0\n") && !is_labels(b"0 1\n"));
    }

    #[test]
    fn names_are_found_in_each_of_their_forms() {
        let expected = vec!["nerve".to_owned(), "blood vessel".to_owned()];
        for text in [
            "nc: 2\nnames: ['nerve', \"blood vessel\"]  # two\n",
            "names:\n  0: nerve\n  1: blood vessel\ntrain: images/train\n",
            "names:\n- nerve\n- blood vessel\nnc: 2",
            "names: {1: blood vessel, 0: nerve}",
            "names: [\n  nerve,\n  blood vessel\n]\n",
        ] {
            assert_eq!(names(text.as_bytes()).unwrap().as_ref(), Some(&expected), "{text}");
        }
        assert_eq!(names(b"path: x\n").unwrap(), None);
        assert!(names(b"names: nerve").is_err() && names(b"names:\n  2: a\n").is_err());
        assert_eq!(listed(b"nerve\r\nblood vessel\r\n\r\n"), expected);
    }
}
