//! Tables of needle ends in the frame numbers of the source: which of their rows belongs to which frame.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;
use sonoseg_imaging::DataError;
use sonoseg_imaging::dataset::labels;
use sonoseg_imaging::dataset::table::Table;
use sonoseg_imaging::geometry::Needle;

use super::plan::{Content, Plan, Planned};
use super::sources::{Found, Remark};
use crate::args::Ingest;
use crate::files;
use crate::folder::LabelRow;
use crate::terminal::warn;

/// Labels of a procedure: by the frame's number in a clip, or by the position of a picture.
pub(super) type Labels = BTreeMap<usize, Option<Needle>>;

/// Columns that name the clip or picture of a row.
const NAMES: [&str; 4] = ["file", "procedure", "clip", "video"];

#[derive(Debug)]
struct EndPointRow {
    line: usize,
    /// The clip, picture or procedure; none in a table about one clip.
    name: Option<String>,
    frame: Option<usize>,
    needle: Option<Needle>,
}

/// What a name in a table stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Named {
    Procedure(usize),
    Picture(usize, usize),
}

/// Read the tables and give every planned procedure its labels, in the same order. Rows that name nothing are told in the
/// plan's failures; a table that cannot be read is an error before any work is done.
pub(super) fn assign(verb: &Ingest, plan: &mut Plan) -> Result<Vec<Labels>> {
    let mut labels = vec![Labels::new(); plan.procedures.len()];
    let names = names(&plan.procedures);
    if let Some(path) = &verb.labels {
        let rows = match read(path, verb.normalised)? {
            Read::Rows(rows) => rows,
            Read::Other(what) => {
                let reason =
                    format!("needs the columns frame,x1,y1,x2,y2, and file where it is about several clips; {what}");
                return Err(DataError::unreadable(files::absolute(path), reason).into());
            }
        };
        let only = (plan.procedures.len() == 1).then_some(0);
        plan.failed.extend(spread(verb, path, rows, only, &names, &plan.procedures, &mut labels));
    }
    for table in std::mem::take(&mut plan.tables) {
        let given = verb.labels.as_ref().is_some_and(|path| *path == table.path);
        if verb.labels.is_some() {
            if !given {
                let reason = "not used, because --labels names another table";
                plan.skipped.push(Remark::new(files::absolute(&table.path), reason));
            }
            continue;
        }
        match read(&table.path, verb.normalised)? {
            Read::Rows(rows) => {
                let only = beside(&table, &plan.procedures);
                plan.failed.extend(spread(verb, &table.path, rows, only, &names, &plan.procedures, &mut labels));
            }
            Read::Other(what) => {
                let reason = format!("no table of end points (columns frame,x1,y1,x2,y2): {what}");
                plan.skipped.push(Remark::new(files::absolute(&table.path), reason));
            }
        }
    }
    Ok(labels)
}

/// What a file is that may be a table of end points.
#[derive(Debug)]
enum Read {
    Rows(Vec<EndPointRow>),
    /// Another table, in words.
    Other(String),
}

/// The rows of a table.
fn read(path: &Path, normalised: bool) -> Result<Read> {
    let name = files::absolute(path);
    let bad = |reason: String| DataError::unreadable(name.clone(), reason);
    let Some(table) = Table::read(&files::read(path)?) else { return Ok(Read::Other("it is empty".into())) };
    let find = |wanted: &str| table.column(wanted).map_err(bad);
    let [x1, y1, x2, y2] = ["x1", "y1", "x2", "y2"].map(find);
    let (frame, mut named) = (find("frame")?, None);
    for name in NAMES {
        named = named.or(find(name)?);
    }
    let ([Some(x1), Some(y1), Some(x2), Some(y2)], true) = ([x1?, y1?, x2?, y2?], frame.is_some() || named.is_some())
    else {
        let lower: Vec<String> = table.columns.iter().map(|column| column.to_lowercase()).collect();
        if lower.iter().any(|column| column == "encodedpixels" || column == "rle_mask") {
            let what = "it holds run lengths of masks, which are not read: write each as a picture in masks/";
            return Err(bad(what.into()).into());
        }
        let shown: Vec<&str> = table.columns.iter().map(String::as_str).take(8).collect();
        return Ok(Read::Other(format!("its columns are {}", shown.join(", "))));
    };
    let mut rows = Vec::new();
    for (line, cells) in &table.rows {
        let bad = |reason: String| bad(format!("line {line}: {reason}"));
        let cells = cells.as_ref().map_err(|reason| bad(reason.clone()))?;
        let number = |column: usize| table.number(&cells[column]).map_err(bad);
        let ends = LabelRow { frame: 0, x1: number(x1)?, y1: number(y1)?, x2: number(x2)?, y2: number(y2)? };
        rows.push(EndPointRow {
            line: *line,
            name: named.map(|at| cells[at].clone()).filter(|name| !name.is_empty()),
            frame: frame.map(|at| table.frame(&cells[at]).map_err(bad)).transpose()?.flatten(),
            needle: ends.needle().map_err(bad)?,
        });
    }
    let needles: Vec<Needle> = rows.iter().filter_map(|row| row.needle).collect();
    if !normalised && labels::look_like_shares(&needles) {
        let what = "all of its points lie between 0 and 1: if they are shares of the picture's width and height, say \
                    --normalised; if not, write them in pixels";
        return Err(bad(what.into()).into());
    }
    if normalised && !needles.is_empty() && !labels::look_like_shares(&needles) {
        let what = "some of its points do not lie between 0 and 1, and --normalised says that all are shares of the \
                    picture's width and height: leave --normalised out";
        return Err(bad(what.into()).into());
    }
    if let Some(what) = labels::upward(&needles) {
        warn(format!("{name}: {what}"));
    }
    Ok(Read::Rows(rows))
}

/// Every way to name a procedure or picture: its id, its file's name with and without the ending, its path below the
/// source.
fn names(procedures: &[Planned]) -> BTreeMap<String, BTreeSet<Named>> {
    let mut names: BTreeMap<String, BTreeSet<Named>> = BTreeMap::new();
    let mut add = |name: String, named: Named| {
        names.entry(name).or_default().insert(named);
    };
    let mut add_file = |file: &Found, named: Named| {
        for name in [file.name(), file.stem(), file.below()] {
            add(name, named);
        }
    };
    for (index, planned) in procedures.iter().enumerate() {
        match &planned.content {
            Content::Clip(clip) => add_file(&clip.file, Named::Procedure(index)),
            Content::Stills { stills, .. } => {
                for (position, still) in stills.iter().enumerate() {
                    add_file(&still.file, Named::Picture(index, position));
                }
            }
        }
    }
    for (index, planned) in procedures.iter().enumerate() {
        // A picture that is a procedure of its own goes by the picture's name.
        let known = names.entry(planned.id.clone()).or_default();
        if !known.iter().any(|named| matches!(named, Named::Picture(at, _) if *at == index)) {
            known.insert(Named::Procedure(index));
        }
    }
    names
}

/// The procedure of a table without names: the only one, or the clip beside it that has its name.
fn beside(table: &Found, procedures: &[Planned]) -> Option<usize> {
    let same = |planned: &Planned| match &planned.content {
        Content::Clip(clip) => clip.file.folders == table.folders && clip.file.stem() == table.stem(),
        Content::Stills { .. } => false,
    };
    procedures.iter().position(same).or((procedures.len() == 1).then_some(0))
}

/// Hand the rows of a table to the frames they name; what names none comes back.
fn spread(
    verb: &Ingest,
    path: &Path,
    rows: Vec<EndPointRow>,
    only: Option<usize>,
    names: &BTreeMap<String, BTreeSet<Named>>,
    procedures: &[Planned],
    labels: &mut [Labels],
) -> Vec<Remark> {
    // One remark for every reason, with the first line it is about.
    let mut problems: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for row in rows {
        let target = match &row.name {
            None => only
                .map(Named::Procedure)
                .ok_or_else(|| "does not say which clip it is about: name the clip in a column `file`".to_owned()),
            Some(name) => match names.get(name).map(|found| found.iter().copied().collect::<Vec<_>>()).as_deref() {
                Some([one]) => Ok(*one),
                Some([_, _, ..]) => Err(format!("names {name}, which several sources are called: write its path")),
                _ => Err(format!("names {name}, which is not among the sources")),
            },
        };
        let placed = target.and_then(|target| {
            let (procedure, frame) = place(verb, target, &row, procedures)?;
            match labels[procedure].entry(frame) {
                Entry::Occupied(first) if *first.get() != row.needle => {
                    Err("gives a frame a second, different label; the first one is kept".into())
                }
                Entry::Occupied(_) => Ok(()),
                Entry::Vacant(place) => {
                    place.insert(row.needle);
                    Ok(())
                }
            }
        });
        if let Err(reason) = placed {
            problems.entry(reason).or_insert((row.line, 0)).1 += 1;
        }
    }
    let name = files::absolute(path);
    let told = problems.into_iter().map(|(reason, (line, count))| {
        let more = if count > 1 { format!(" (and {} more rows)", count - 1) } else { String::new() };
        Remark::new(name.clone(), format!("line {line}{more} {reason}"))
    });
    told.collect()
}

/// The frame of a clip, or the position of a picture, that a row is about.
fn place(verb: &Ingest, target: Named, row: &EndPointRow, procedures: &[Planned]) -> Result<(usize, usize), String> {
    let procedure = match target {
        Named::Picture(procedure, position) => return Ok((procedure, position)),
        Named::Procedure(procedure) => procedure,
    };
    let frame = row.frame.ok_or("has no frame number")?;
    match &procedures[procedure].content {
        Content::Clip(_) => {
            let first = verb.first_frame;
            let frame = frame.checked_sub(first).ok_or(format!("counts from before --first-frame {first}"))?;
            Ok((procedure, frame))
        }
        Content::Stills { stills, in_a_row: true } => {
            let position = stills.iter().position(|still| still.number() == Some(frame));
            Ok((procedure, position.ok_or(format!("is about picture number {frame}, which is not there"))?))
        }
        Content::Stills { .. } => Err("is about single pictures: name them in a column `file`".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Result<Vec<EndPointRow>, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        match read(file.path(), false) {
            Ok(Read::Rows(rows)) => Ok(rows),
            Ok(Read::Other(what)) => Err(what),
            Err(error) => Err(format!("{error:#}")),
        }
    }

    #[test]
    fn tables_are_read_by_their_column_names() {
        let read = rows("\u{feff}File,Frame,X1,y1,x2,Y2,who\na.mp4,3,1,2,3,4,me\na.mp4,4,,,,,me\n").unwrap();
        assert_eq!((read[0].name.as_deref(), read[0].frame), (Some("a.mp4"), Some(3)));
        assert_eq!((read[0].needle.unwrap().tip.y, read[1].needle), (4.0, None));
        assert_eq!(rows("a,b\n1,2\n").unwrap_err(), "its columns are a, b");
        assert!(rows("x1,y1,x2,y2\n1,2,3,4\n").unwrap_err().contains("its columns"), "about no frame");
        let message = rows("frame,x1,y1,x2,y2\n0,1,2,3,4\n1,2,x,3,4\n").unwrap_err();
        assert!(message.contains("line 3: x is no number"), "{message}");
        assert!(rows("frame,x1,y1,x2,y2\n0,1,2,3,\n").unwrap_err().contains("all four"));
        let read = rows("frame;x1;y1;x2;y2\r\n0;10,5;20,25;60;70,5\r\n").unwrap();
        assert_eq!((read[0].needle.unwrap().entry.x, read[0].needle.unwrap().tip.y), (10.5, 70.5));
        assert!(rows("frame,x1,y1,x2,y2\n0,0.1,0.2,0.5,1\n1,,,,\n").unwrap_err().contains("--normalised"));
        assert!(rows("ImageId,EncodedPixels\na,1 3\n").unwrap_err().contains("run lengths"));
    }
}
