//! Tables of needle ends in the frame numbers of the source: which of their rows belongs to which frame.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::path::Path;

use anyhow::Result;
use sonoseg_imaging::DataError;
use sonoseg_imaging::geometry::Needle;

use super::plan::{Content, Plan, Planned};
use super::sources::{Found, Remark};
use crate::args::Ingest;
use crate::files;
use crate::folder::LabelRow;

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
        let Some(rows) = read(path)? else {
            let reason = "needs the columns frame,x1,y1,x2,y2, and file where it is about several clips";
            return Err(DataError::unreadable(files::absolute(path), reason).into());
        };
        let only = (plan.procedures.len() == 1).then_some(0);
        plan.failed.extend(spread(verb, path, rows, only, &names, &plan.procedures, &mut labels));
    }
    for table in std::mem::take(&mut plan.tables) {
        let given = verb.labels.as_ref().is_some_and(|path| *path == table.path);
        let rows = if verb.labels.is_some() { None } else { read(&table.path)? };
        match rows {
            Some(rows) => {
                let only = beside(&table, &plan.procedures);
                plan.failed.extend(spread(verb, &table.path, rows, only, &names, &plan.procedures, &mut labels));
            }
            None if given => {}
            None => {
                let reason = match verb.labels {
                    Some(_) => "not used, because --labels names another table",
                    None => "no table of end points (columns frame,x1,y1,x2,y2)",
                };
                plan.skipped.push(Remark::new(files::absolute(&table.path), reason));
            }
        }
    }
    Ok(labels)
}

/// The rows of a table, or none where it has not the columns of end points.
fn read(path: &Path) -> Result<Option<Vec<EndPointRow>>> {
    let name = files::absolute(path);
    let bad = |line: usize, reason: String| DataError::unreadable(name.clone(), format!("line {line}: {reason}"));
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(Cursor::new(files::read(path)?));
    // A file in another encoding may be any table, but none of ours.
    let Ok(header) = reader.headers().cloned() else { return Ok(None) };
    let find =
        |wanted: &str| header.iter().position(|name| name.trim_start_matches('\u{feff}').eq_ignore_ascii_case(wanted));
    let ends = ["x1", "y1", "x2", "y2"].map(find);
    let (frame, named) = (find("frame"), NAMES.iter().find_map(|name| find(name)));
    let [Some(x1), Some(y1), Some(x2), Some(y2)] = ends else { return Ok(None) };
    if frame.is_none() && named.is_none() {
        return Ok(None);
    }
    let mut rows = Vec::new();
    for (index, record) in reader.records().enumerate() {
        let line = index + 2;
        let record = record.map_err(|e| bad(line, e.to_string()))?;
        let cell = |column: usize| record.get(column).filter(|text| !text.is_empty());
        let number = |column: usize| -> Result<Option<f64>, DataError> {
            let parse = |text: &str| text.parse().map_err(|_| bad(line, format!("{text} is no number")));
            cell(column).map(parse).transpose()
        };
        let ends = LabelRow { frame: 0, x1: number(x1)?, y1: number(y1)?, x2: number(x2)?, y2: number(y2)? };
        let parse = |text: &str| text.parse().map_err(|_| bad(line, format!("{text} is no frame number")));
        rows.push(EndPointRow {
            line,
            name: named.and_then(cell).map(str::to_owned),
            frame: frame.and_then(cell).map(parse).transpose()?,
            needle: ends.needle().map_err(|reason| bad(line, reason))?,
        });
    }
    Ok(Some(rows))
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

    fn rows(text: &str) -> Result<Option<Vec<EndPointRow>>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        read(file.path())
    }

    #[test]
    fn tables_are_read_by_their_column_names() {
        let read = rows("\u{feff}File,Frame,X1,y1,x2,Y2,who\na.mp4,3,1,2,3,4,me\na.mp4,4,,,,,me\n").unwrap().unwrap();
        assert_eq!((read[0].name.as_deref(), read[0].frame), (Some("a.mp4"), Some(3)));
        assert_eq!((read[0].needle.unwrap().tip.y, read[1].needle), (4.0, None));
        assert!(rows("a,b\n1,2\n").unwrap().is_none(), "another table");
        assert!(rows("x1,y1,x2,y2\n1,2,3,4\n").unwrap().is_none(), "about no frame");
        let message = format!("{:#}", rows("frame,x1,y1,x2,y2\n0,1,2,3,4\n1,2,x,3,4\n").unwrap_err());
        assert!(message.contains("line 3: x is no number"), "{message}");
        assert!(format!("{:#}", rows("frame,x1,y1,x2,y2\n0,1,2,3,\n").unwrap_err()).contains("all four"));
    }
}
