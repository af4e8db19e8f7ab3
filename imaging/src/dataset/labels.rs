//! `labels.csv`: the ends of the visible shaft of every labelled frame.

use serde::{Deserialize, Serialize};

use super::table::Table;
use crate::geometry::{Needle, Point};

/// A row: the ends of the visible shaft in pixels of the stored frame; blank = no needle visible.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LabelRow {
    /// Number of the frame.
    pub frame: usize,
    /// Entry, from the left.
    pub x1: Option<f64>,
    /// Entry, from the top.
    pub y1: Option<f64>,
    /// Tip, from the left.
    pub x2: Option<f64>,
    /// Tip, from the top.
    pub y2: Option<f64>,
}

impl LabelRow {
    /// The row of a frame with this needle, or with none.
    pub fn new(frame: usize, needle: Option<&Needle>) -> Self {
        let ends = needle.map(|needle| (needle.entry, needle.tip));
        Self {
            frame,
            x1: ends.map(|e| e.0.x),
            y1: ends.map(|e| e.0.y),
            x2: ends.map(|e| e.1.x),
            y2: ends.map(|e| e.1.y),
        }
    }

    /// The needle of the row; an error says what is wrong with its coordinates.
    pub fn needle(&self) -> Result<Option<Needle>, String> {
        match (self.x1, self.y1, self.x2, self.y2) {
            (None, None, None, None) => Ok(None),
            (Some(x1), Some(y1), Some(x2), Some(y2)) if [x1, y1, x2, y2].iter().all(|v| v.is_finite()) => {
                Ok(Some(Needle { entry: Point { x: x1, y: y1 }, tip: Point { x: x2, y: y2 } }))
            }
            _ => Err("give all four coordinates as numbers, or leave all four blank".into()),
        }
    }
}

/// One row as read: its line in the file, and the frame with its label or what is wrong with it.
pub type ReadRow = (usize, Result<(usize, Option<Needle>), String>);

/// Columns of a `labels.csv`, in small or capital letters.
const COLUMNS: [&str; 5] = ["frame", "x1", "y1", "x2", "y2"];

/// Every row of a `labels.csv`, the wrong ones with their reason. Without the columns there is one row, which says so: a
/// column that is not there must not be taken for one that is blank.
pub fn read_labels(bytes: &[u8]) -> Vec<ReadRow> {
    let columns = COLUMNS.join(",");
    let Some(table) = Table::read(bytes) else {
        return vec![(1, Err(format!("there is no column, because it is empty: the first line must name {columns}")))];
    };
    let mut at = [0; 5];
    for (at, name) in at.iter_mut().zip(COLUMNS) {
        match table.column(name) {
            Ok(Some(found)) => *at = found,
            Ok(None) => {
                return vec![(1, Err(format!("there is no column {name}: the first line must name {columns}")))];
            }
            Err(reason) => return vec![(1, Err(reason))],
        }
    }
    let row = |cells: &[String]| -> Result<(usize, Option<Needle>), String> {
        let [frame, ends @ ..] = at.map(|at| cells[at].as_str());
        let frame = table.frame(frame)?.ok_or("it has no frame number")?;
        let [x1, y1, x2, y2] = ends.map(|end| table.number(end));
        Ok((frame, LabelRow { frame, x1: x1?, y1: y1?, x2: x2?, y2: y2? }.needle()?))
    };
    let read = |(line, cells): &(usize, Result<Vec<String>, String>)| {
        (*line, cells.as_ref().map_err(Clone::clone).and_then(|cells| row(cells)))
    };
    table.rows.iter().map(read).collect()
}

/// A `labels.csv` with these rows.
pub fn write_labels(rows: impl IntoIterator<Item = LabelRow>) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.serialize(row)?;
    }
    writer.into_inner().map_err(|e| e.into_error().into())
}

/// Whether the ends of all needles lie between 0 and 1: shares of the picture's width and height rather than pixels.
pub fn look_like_shares(needles: &[Needle]) -> bool {
    let share = |needle: &Needle| {
        [needle.entry, needle.tip].iter().all(|end| (0.0..=1.0).contains(&end.x) && (0.0..=1.0).contains(&end.y))
    };
    !needles.is_empty() && needles.iter().all(share)
}

/// A needle that is given in shares of a picture's width and height, in pixels: 0 and 1 are the edges of the picture.
pub fn from_shares(needle: &Needle, height: usize, width: usize) -> Needle {
    let place = |end: Point| Point { x: end.x * width as f64 - 0.5, y: end.y * height as f64 - 0.5 };
    Needle { entry: place(needle.entry), tip: place(needle.tip) }
}

/// What is to be said where entries (x1, y1) lie deeper than tips (x2, y2), by more than the 5 degrees in which a needle
/// counts as level. Needles come from the skin, which is above.
pub fn upward(needles: &[Needle]) -> Option<String> {
    let up = |needle: &&Needle| {
        let rise = needle.entry.y - needle.tip.y;
        rise > 5.0_f64.to_radians().tan() * (needle.entry.x - needle.tip.x).abs()
    };
    let count = needles.iter().filter(up).count();
    let most = if 2 * count > needles.len() { ": x1, y1 and x2, y2 seem to be swapped" } else { "" };
    (count > 0).then(|| {
        format!("in {count} of {} needles the entry (x1, y1) lies deeper than the tip (x2, y2){most}", needles.len())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_whole_or_blank() {
        let row = |x1, y2| LabelRow { frame: 0, x1, y1: Some(1.0), x2: Some(2.0), y2 };
        assert!(row(Some(0.0), Some(3.0)).needle().unwrap().is_some());
        assert!(row(None, Some(3.0)).needle().is_err());
        assert!(row(Some(f64::NAN), Some(3.0)).needle().is_err());
        assert!(LabelRow::new(4, None).needle().unwrap().is_none());
    }

    #[test]
    fn a_wrong_row_is_named_by_its_line_and_the_others_are_read() {
        let needle = Needle { entry: Point { x: 1.0, y: 2.5 }, tip: Point { x: 3.0, y: 4.0 } };
        let bytes = write_labels([LabelRow::new(0, Some(&needle)), LabelRow::new(1, None)]).unwrap();
        let mut rows = read_labels(&bytes);
        assert_eq!(rows, [(2, Ok((0, Some(needle)))), (3, Ok((1, None)))]);
        rows = read_labels(b"frame,x1,y1,x2,y2\n0,,,,\n1,a,,,\n2,1,,,\n-3,,,,\n4,,,,\n");
        assert_eq!(read_labels(b"\xef\xbb\xbfFrame, X1,Y1,X2,Y2\r\n0,1,2.5,3,4\r\n"), [(2, Ok((0, Some(needle))))]);
        for other in [&b""[..], b"frame,entry_x,entry_y,tip_x,tip_y\n0,1,2,3,4\n", b"0,1,2,3,4\n1,1,2,3,4\n"] {
            let read = read_labels(other);
            assert!(matches!(read.as_slice(), [(1, Err(reason))] if reason.contains("there is no column")), "{read:?}");
        }
        let lines: Vec<(usize, bool)> = rows.iter().map(|(line, row)| (*line, row.is_ok())).collect();
        assert_eq!(lines, [(2, true), (3, false), (4, false), (5, false), (6, true)]);
    }
}
