//! Tables as people's programs write them: separated by commas, semicolons, tabs, bars or spaces; with decimal points or
//! commas; in UTF-8, UTF-16 or Latin-1.

/// A table with a line of names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// The names of the columns as they are written.
    pub columns: Vec<String>,
    /// The rows with the number of their line in the file. A row that could not be taken apart says why.
    pub rows: Vec<(usize, Result<Vec<String>, String>)>,
    /// Numbers are written with a comma before their decimals.
    decimal_commas: bool,
}

/// What may stand between two cells.
const SEPARATORS: [u8; 4] = [b',', b';', b'\t', b'|'];

impl Table {
    /// Read a table. None where there is not even a line of names.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        // The lines of other systems end otherwise, and are counted by these.
        let text = decoded(bytes).replace("\r\n", "\n").replace('\r', "\n");
        let mut text = text.trim_start_matches('\u{feff}');
        let (mut above, mut said) = (0, None);
        // What Excel writes to tell itself.
        if let Some(rest) = text.strip_prefix("sep=") {
            said = rest.bytes().next().filter(|separator| SEPARATORS.contains(separator));
            let end = rest.find('\n')?;
            (text, above) = (&rest[end + 1..], 1);
        }
        let first = text.lines().find(|line| !line.trim().is_empty())?;
        let often = |separator: &u8| first.bytes().filter(|byte| byte == separator).count();
        let found = SEPARATORS.into_iter().rev().max_by_key(often).filter(|separator| often(separator) > 0);
        let spaced;
        let separator = match said.or(found) {
            Some(separator) => separator,
            None => {
                spaced =
                    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join("\t")).collect::<Vec<_>>();
                return Self::separated(&spaced.join("\n"), b'\t', above);
            }
        };
        Self::separated(text, separator, above)
    }

    fn separated(text: &str, separator: u8, above: usize) -> Option<Self> {
        let mut reader =
            csv::ReaderBuilder::new().trim(csv::Trim::All).delimiter(separator).from_reader(text.as_bytes());
        let columns: Vec<String> = reader.headers().ok()?.iter().map(str::to_owned).collect();
        // The position of a row is that of the blank lines before it.
        let line_of = |position: Option<&csv::Position>| {
            let position = position.map_or((0, 0), |at| (at.line() as usize, at.byte() as usize));
            let blank = text.as_bytes().get(position.1..).unwrap_or_default();
            position.0 + blank.iter().take_while(|byte| **byte == b'\n').count()
        };
        let mut rows = Vec::new();
        for record in reader.records() {
            let (line, cells) = match record {
                Ok(record) => {
                    let line = line_of(record.position());
                    (line, Ok(record.iter().map(str::to_owned).collect()))
                }
                Err(error) => {
                    let line = line_of(error.position());
                    let what = match error.kind() {
                        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => format!(
                            "it has {len} cells, and there are {expected_len} columns (are commas both between the cells and \
                             in the numbers? then save it with semicolons between them)"
                        ),
                        _ => error.to_string(),
                    };
                    (line, Err(what))
                }
            };
            rows.push((line + above, cells));
        }
        Some(Self { columns, rows, decimal_commas: separator != b',' })
    }

    /// The position of the column with this name, in small or capital letters.
    ///
    /// # Errors
    /// When there are several.
    pub fn column(&self, name: &str) -> Result<Option<usize>, String> {
        let mut found = (0..self.columns.len()).filter(|&at| self.columns[at].eq_ignore_ascii_case(name));
        match (found.next(), found.next()) {
            (Some(_), Some(_)) => Err(format!("there are two columns {name}: take one out")),
            (at, _) => Ok(at),
        }
    }

    /// The number in a cell; none in one that is blank.
    ///
    /// # Errors
    /// When it holds something else.
    pub fn number(&self, cell: &str) -> Result<Option<f64>, String> {
        if cell.is_empty() {
            return Ok(None);
        }
        // A comma in a table with commas between its cells may be one of thousands.
        let comma = self.decimal_commas && !cell.contains('.') && cell.matches(',').count() == 1;
        let text = if comma { cell.replace(',', ".") } else { cell.to_owned() };
        text.parse().map(Some).map_err(|_| format!("{cell} is no number"))
    }

    /// The frame number in a cell, which some programs write as `3.0`; none in one that is blank.
    ///
    /// # Errors
    /// When it holds something else.
    pub fn frame(&self, cell: &str) -> Result<Option<usize>, String> {
        let whole = |&number: &f64| number.fract() == 0.0 && (0.0..1e9).contains(&number);
        let number = self.number(cell).ok().flatten().filter(whole).map(|number| number as usize);
        if number.is_none() && !cell.is_empty() {
            return Err(format!("{cell} is no frame number"));
        }
        Ok(number)
    }
}

/// The text of a file: by its mark, else UTF-8, else Latin-1, which every file can be.
fn decoded(bytes: &[u8]) -> String {
    let pairs = |join: fn([u8; 2]) -> u16| {
        let units = bytes.as_chunks::<2>().0.iter().map(|&pair| join(pair));
        char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    };
    match bytes {
        [0xff, 0xfe, ..] | [1..=0xff, 0, 1..=0xff, 0, ..] => pairs(u16::from_le_bytes),
        [0xfe, 0xff, ..] | [0, 1..=0xff, 0, 1..=0xff, ..] => pairs(u16::from_be_bytes),
        _ => match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_separator_and_encoding_gives_the_same_table() {
        let plain = "frame,x1,name\n0,10.5,a\n\n1,,b\n";
        let wide = |bytes: fn(u16) -> [u8; 2], mark: &str| -> Vec<u8> {
            format!("{mark}{plain}").encode_utf16().flat_map(bytes).collect()
        };
        let files: [Vec<u8>; 11] = [
            plain.into(),
            format!("\u{feff}{plain}").into(),
            plain.replace(',', ";").replace('.', ",").into(),
            plain.replace(',', "\t").replace('\n', "\r\n").into(),
            plain.replace(',', " | ").into(),
            plain.replace(',', ";").replace("frame", "\"frame\"").into(),
            "frame  x1 name\n0  10.5 a\n\n1 \"\" b\n".into(),
            wide(u16::to_le_bytes, "\u{feff}"),
            wide(u16::to_be_bytes, "\u{feff}"),
            wide(u16::to_le_bytes, ""),
            plain.replace('\n', "\r").into(),
        ];
        for file in files {
            let shown = String::from_utf8_lossy(&file).into_owned();
            let table = Table::read(&file).unwrap();
            assert_eq!(table.columns, ["frame", "x1", "name"], "{shown}");
            let cells: Vec<Vec<String>> = table.rows.iter().map(|(_, cells)| cells.clone().unwrap()).collect();
            assert_eq!(
                (table.frame(&cells[0][0]), table.number(&cells[0][1])),
                (Ok(Some(0)), Ok(Some(10.5))),
                "{shown}"
            );
            assert_eq!((table.number(&cells[1][1]), cells[1][2].as_str()), (Ok(None), "b"), "{shown}");
        }
        let table = Table::read(b"sep=;\nframe;n\xe4me\n0;a\n").unwrap();
        assert_eq!(
            (table.columns[1].as_str(), table.rows[0].0),
            ("n\u{e4}me", 3),
            "Latin-1, and the lines of the file"
        );
    }

    #[test]
    fn what_is_doubtful_is_no_number() {
        let table = Table::read(b"frame,x1\n0,10,5\n\"1,234\",1.0\n2,\"x\n").unwrap();
        assert!(table.rows[0].1.as_ref().unwrap_err().contains("3 cells, and there are 2 columns"));
        assert!(table.number("1,234").is_err() && table.frame("1.5").is_err() && table.frame("-1").is_err());
        assert_eq!(table.frame("3.0"), Ok(Some(3)));
        assert!(Table::read(b"a,a\n").unwrap().column("A").is_err());
        assert_eq!((Table::read(b""), Table::read(b"sep=,")), (None, None));
        for end in ["\n", "\r\n", "\r"] {
            let table = Table::read(format!("a;b{end}{end}1;2{end}3;4{end}").as_bytes()).unwrap();
            assert_eq!(table.rows.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [3, 4], "{end:?}");
        }
    }
}
