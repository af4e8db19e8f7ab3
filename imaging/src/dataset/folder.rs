//! What the folder of a procedure holds: `procedures/<id>/{meta.json, frames/%06d.png, labels.csv or masks/%06d.png}`.

use std::collections::BTreeMap;

use super::labels::ReadRow;
use super::meta::Meta;

/// The PNG files of a folder: by the number that is their name, and those with another name or a number twice.
#[derive(Clone, Debug, Default)]
pub struct Numbered {
    /// File names by number.
    pub files: BTreeMap<usize, String>,
    /// File names.
    pub odd: Vec<String>,
}

impl Numbered {
    /// Sort out the names of all files of a folder.
    pub fn of(names: impl IntoIterator<Item = String>) -> Self {
        let mut names: Vec<String> = names.into_iter().filter(|name| name.ends_with(".png")).collect();
        names.sort();
        let mut numbered = Self::default();
        for name in names {
            match name.strip_suffix(".png").unwrap_or(&name).parse() {
                Ok(number) if !numbered.files.contains_key(&number) => drop(numbered.files.insert(number, name)),
                _ => numbered.odd.push(name),
            }
        }
        numbered
    }
}

/// What a procedure's folder holds.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    /// What `meta.json` says.
    pub meta: Meta,
    /// The files in `frames/`.
    pub frames: Numbered,
    /// The files in `masks/`.
    pub masks: Numbered,
    /// The rows of `labels.csv`.
    pub labels: Vec<ReadRow>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_one_file_and_a_name_that_is_none_is_odd() {
        let names = ["000003.png", "3.png", "000012.png.png", "notes.txt", "x.png", "000000.png"];
        let numbered = Numbered::of(names.map(str::to_owned));
        let files: Vec<_> = numbered.files.iter().map(|(&number, name)| (number, name.as_str())).collect();
        assert_eq!(files, [(0, "000000.png"), (3, "000003.png")]);
        assert_eq!(numbered.odd, ["000012.png.png", "3.png", "x.png"]);
    }
}
