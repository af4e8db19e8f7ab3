//! What data say of frames and procedures beside their labels, by column: any key of a `meta.json`, any column of a table.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::table::Table;

/// Columns by name.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    columns: BTreeMap<String, Column>,
}

/// One column. What is said of a frame goes before what is said of its procedure.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Column {
    /// Its name as it was written first.
    pub name: String,
    procedures: BTreeMap<String, String>,
    frames: BTreeMap<(String, usize), String>,
}

/// Columns that say which frame a row is of, and the ends of a needle, which are a label.
const NO_FACTS: [&str; 6] = ["frame", "procedure", "x1", "y1", "x2", "y2"];

impl Columns {
    /// The names of all columns, as they were written first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.values().map(|column| column.name.as_str())
    }

    /// The column with this name. Capitals do not count, and `-`, `_` and the like are the same.
    pub fn get(&self, name: &str) -> Option<&Column> {
        self.columns.get(&plain(name))
    }

    /// Take in what a `meta.json` says of a procedure: texts, numbers and yes or no. What lies deeper is called by its keys,
    /// with points between.
    pub fn add_meta(&mut self, procedure: &str, meta: &Value) {
        let mut open = vec![(String::new(), meta)];
        while let Some((name, value)) = open.pop() {
            let said = match value {
                Value::Object(keys) => {
                    let point = if name.is_empty() { "" } else { "." };
                    open.extend(keys.iter().map(|(key, value)| (format!("{name}{point}{key}"), value)));
                    continue;
                }
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                Value::Bool(yes) => if *yes { "yes" } else { "no" }.into(),
                Value::Array(_) | Value::Null => continue,
            };
            self.column(&name).procedures.insert(procedure.to_owned(), said);
        }
    }

    /// Take in a table with a row for each frame of a procedure, or of several: then the frames are called like
    /// `p003/000017`, or a column `procedure` says whose they are. A row without a frame is about a whole procedure. Gives
    /// the procedures that the rows are about.
    ///
    /// # Errors
    /// What is wrong with the table, with the line.
    pub fn add_table(&mut self, procedure: Option<&str>, bytes: &[u8]) -> Result<BTreeSet<String>, String> {
        let table = Table::read(bytes).ok_or("it is empty: its first line must name its columns")?;
        let [whose, frame] = ["procedure", "frame"].map(|name| table.column(name));
        let (whose, frame) = (whose?, frame?);
        if frame.is_none() && whose.is_none() {
            return Err("it has neither a column frame nor a column procedure, which say what a row is about".into());
        }
        let mut about = BTreeSet::new();
        for (line, cells) in &table.rows {
            let at = |reason: String| format!("line {line}: {reason}");
            let cells = cells.as_ref().map_err(|reason| at(reason.clone()))?;
            let cell = |column: Option<usize>| column.map(|at| cells[at].as_str()).filter(|cell| !cell.is_empty());
            let (called, number) =
                match cell(frame).map(|cell| cell.rsplit_once('/').map_or((None, cell), |(p, n)| (Some(p), n))) {
                    Some((called, number)) => (called, table.frame(number).map_err(at)?),
                    None => (None, None),
                };
            let Some(owner) = called.or(cell(whose)).or(procedure) else {
                return Err(at(
                    "it does not say of which procedure it is: add a column procedure, or write frames as p003/17"
                        .into(),
                ));
            };
            about.insert(owner.to_owned());
            for (name, cell) in table.columns.iter().zip(cells) {
                if NO_FACTS.contains(&plain(name).as_str()) || name.is_empty() || cell.is_empty() {
                    continue;
                }
                let said = match table.number(cell) {
                    Ok(Some(number)) if number.is_nan() => continue,
                    Ok(Some(number)) => number.to_string(),
                    _ => cell.clone(),
                };
                let column = self.column(name);
                match number {
                    Some(number) => column.frames.insert((owner.to_owned(), number), said),
                    None => column.procedures.insert(owner.to_owned(), said),
                };
            }
        }
        Ok(about)
    }

    fn column(&mut self, name: &str) -> &mut Column {
        self.columns.entry(plain(name)).or_insert_with(|| Column { name: name.to_owned(), ..Column::default() })
    }
}

impl Column {
    /// What it says of a frame, by the number of that and the name of its procedure.
    pub fn cell(&self, procedure: &str, frame: usize) -> Option<&str> {
        let of_frame = self.frames.get(&(procedure.to_owned(), frame));
        of_frame.or_else(|| self.procedures.get(procedure)).map(String::as_str)
    }
}

/// A name without what people write in several ways.
fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell<'a>(columns: &'a Columns, name: &str, procedure: &str, frame: usize) -> Option<&'a str> {
        columns.get(name).and_then(|column| column.cell(procedure, frame))
    }

    #[test]
    fn what_a_meta_json_says_holds_for_all_frames_and_a_table_for_its_own() {
        let mut columns = Columns::default();
        let meta = r#"{"probe": "linear", "spacing": {"x_mm": 0.25}, "stills": true, "classes": ["a"], "group": null}"#;
        columns.add_meta("p0", &serde_json::from_str(meta).unwrap());
        let names: Vec<&str> = columns.names().collect();
        assert_eq!(names, ["probe", "spacing.x_mm", "stills"]);
        assert_eq!(cell(&columns, "Spacing-X-mm", "p0", 3), Some("0.25"));
        assert_eq!([cell(&columns, "stills", "p0", 1), cell(&columns, "probe", "p1", 1)], [Some("yes"), None]);
        let about =
            columns.add_table(Some("p0"), b"Frame;x1;Probe;gain;Operator\n0;1;convex;0,5;\n2;1;;nan;anna\n").unwrap();
        assert_eq!(about.into_iter().collect::<Vec<_>>(), ["p0"]);
        assert_eq!(
            ["probe", "gain", "operator", "x1"].map(|name| cell(&columns, name, "p0", 0)),
            [Some("convex"), Some("0.5"), None, None]
        );
        assert_eq!(
            ["probe", "gain", "operator"].map(|name| cell(&columns, name, "p0", 2)),
            [Some("linear"), None, Some("anna")]
        );
    }

    #[test]
    fn a_table_of_many_procedures_says_whose_a_row_is() {
        let mut columns = Columns::default();
        columns.add_table(None, b"frame,angle\np0/000003,7\np1/0,8\n").unwrap();
        columns.add_table(None, b"procedure,frame,age\np0,3,50\np1,,60\n").unwrap();
        assert_eq!([cell(&columns, "angle", "p0", 3), cell(&columns, "angle", "p1", 3)], [Some("7"), None]);
        assert_eq!([cell(&columns, "age", "p0", 3), cell(&columns, "age", "p1", 9)], [Some("50"), Some("60")]);
        let told = |bytes: &[u8]| Columns::default().add_table(None, bytes).unwrap_err();
        assert!(told(b"").contains("empty"));
        assert!(told(b"a,b\n1,2\n").contains("neither a column frame"));
        assert!(told(b"frame,b\n1,2\n").contains("line 2: it does not say of which procedure"));
        assert!(told(b"frame,b\np/x,2\n").contains("line 2: x is no frame number"));
        assert!(told(b"procedure,b\np,2,3\n").contains("line 2"));
    }
}
