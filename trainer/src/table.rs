//! Tables of cells, and numbers as people read them.

use comfy_table::CellAlignment;

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
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        table.set_header(&self.columns).add_rows(&self.rows);
        for (index, column) in table.column_iter_mut().enumerate() {
            let left = index < self.words;
            column.set_cell_alignment(if left { CellAlignment::Left } else { CellAlignment::Right });
            column.set_padding((0, 2));
        }
        table.trim_fmt()
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
