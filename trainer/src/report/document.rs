//! A report as a list of blocks, which `markdown.rs` and `html.rs` write down.

/// A report.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) title: String,
    pub(crate) blocks: Vec<Block>,
}

/// A part of a report. Files that a block names lie beside the report.
#[derive(Debug)]
pub(crate) enum Block {
    Heading(String),
    Text(String),
    /// What nobody should overlook.
    Note(String),
    Table(Table),
    /// A long table under a line that opens it.
    Folded(String, Table),
    /// Commands to type, one a line.
    Commands(Vec<String>),
    /// A plot; HTML holds it, Markdown shows the file.
    Plot {
        file: String,
        alt: String,
        svg: String,
    },
    /// A picture; HTML holds it, Markdown shows the file.
    Picture {
        file: String,
        alt: String,
        png: Vec<u8>,
    },
    /// Pictures with captions; HTML holds them, Markdown shows the file with all of them, from left to right and from top
    /// to bottom.
    Gallery {
        file: String,
        alt: String,
        /// The PNG that holds all of them.
        sheet: Vec<u8>,
        pictures: Vec<Captioned>,
    },
}

/// A picture of a gallery.
#[derive(Clone, Debug)]
pub(crate) struct Captioned {
    pub(crate) png: Vec<u8>,
    pub(crate) caption: String,
}

/// A table. Every row has as many cells as there are columns.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    pub(crate) columns: Vec<String>,
    /// So many columns from the left hold words; the others hold numbers and stand at the right.
    pub(crate) words: usize,
    pub(crate) rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(columns: &[&str], words: usize) -> Self {
        Self { columns: columns.iter().map(|&name| name.to_owned()).collect(), words, rows: Vec::new() }
    }

    /// For the terminal: columns padded with spaces.
    pub(crate) fn to_text(&self) -> String {
        let cells = || std::iter::once(&self.columns).chain(&self.rows);
        let width = |column: usize| cells().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let line = |row: &Vec<String>| {
            let padded = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
                if column < self.words { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            });
            padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        cells().map(line).collect::<Vec<_>>().join("\n")
    }
}

/// A number for people: a dash where it is undefined.
pub(crate) fn number(value: f64, digits: usize) -> String {
    if value.is_nan() {
        "–".into()
    } else if value.is_infinite() {
        "∞".into()
    } else {
        format!("{value:.digits$}")
    }
}

/// A number with its noun.
pub(crate) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Seconds as people say them.
pub(crate) fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_durations_are_for_people() {
        assert_eq!([number(0.12345, 3), number(f64::NAN, 3), number(f64::INFINITY, 1)], ["0.123", "–", "∞"]);
        assert_eq!([count(1, "epoch"), count(2, "epoch")], ["1 epoch", "2 epochs"]);
        assert_eq!([duration(9.6), duration(61.0), duration(7_260.0)], ["10 s", "1 min 1 s", "2 h 1 min"]);
    }

    #[test]
    fn a_table_on_the_terminal_is_padded() {
        let mut table = Table::new(&["run", "IoU"], 1);
        table.rows = vec![vec!["long name".into(), "1.0".into()], vec!["é".into(), "–".into()]];
        assert_eq!(table.to_text(), "run        IoU\nlong name  1.0\né            –");
    }
}
