//! A zip as named files. Nothing of it is believed before it is checked: names, sizes, sums.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use zip::ZipArchive;
use zip::result::ZipError;

use crate::DataError;

/// Largest file that is taken out of a zip, in bytes.
const LARGEST: u64 = 512 << 20;

/// What file managers add of their own.
const FOREIGN: [&str; 3] = ["__MACOSX/", ".DS_Store", "Thumbs.db"];

/// A zip and the names of its files.
pub(super) struct Packed {
    name: String,
    zip: ZipArchive<Cursor<Vec<u8>>>,
    /// Names of its files below the folder that holds `project.json`, and their numbers in the zip.
    files: BTreeMap<String, usize>,
}

impl Packed {
    /// Open a zip whose files lie beside `marker`, in it or in its only folder.
    pub(super) fn open(name: &str, bytes: Vec<u8>, marker: &str) -> Result<Self, DataError> {
        let refused = |reason: String| DataError::unreadable(name, reason);
        let zip = ZipArchive::new(Cursor::new(bytes))
            .map_err(|error| refused(format!("it is no zip, or is cut short ({error}); copy it again")))?;
        if zip.has_duplicate_names() {
            return Err(refused("two files in it have the same name; pack it again".into()));
        }
        let mut all = BTreeMap::new();
        for number in 0..zip.len() {
            let file = match zip.name_for_index(number) {
                Some(Ok(file)) => file.into_owned(),
                _ => return Err(refused(format!("the name of its file {number} cannot be read; pack it again"))),
            };
            if climbs(&file) {
                return Err(refused(format!("its file {file} would lie outside of it, so that nothing of it is read")));
            }
            if !file.ends_with('/') && !FOREIGN.iter().any(|foreign| file.contains(foreign)) {
                all.insert(file, number);
            }
        }
        let inside = |file: &&String| file.strip_suffix(marker).is_some_and(|folder| folder.matches('/').count() < 2);
        let folder =
            match all.keys().filter(|file| *file == marker || file.ends_with(&format!("/{marker}"))).find(inside) {
                Some(file) => file[..file.len() - marker.len()].to_owned(),
                None => {
                    let reason = format!("it is no project of sonoseg: there is no {marker} in it");
                    return Err(DataError::unsupported(name, reason));
                }
            };
        let files =
            all.into_iter().filter_map(|(file, number)| Some((file.strip_prefix(&*folder)?.to_owned(), number)));
        Ok(Self { name: name.to_owned(), files: files.collect(), zip })
    }

    /// The name of the zip.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The names of all files.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// The names of the files of a folder, without it.
    pub(super) fn folder(&self, folder: &str) -> Vec<String> {
        let below = |name: &str| name.strip_prefix(folder)?.strip_prefix('/').map(str::to_owned);
        self.names().filter_map(below).filter(|name| !name.contains('/')).collect()
    }

    /// The bytes of a file; none where there is no such file.
    pub(super) fn read(&mut self, path: &str) -> Result<Option<Vec<u8>>, DataError> {
        let Some(&number) = self.files.get(path) else { return Ok(None) };
        let refused = |reason: String| DataError::unreadable(format!("{}, {path}", self.name), reason);
        let damaged = |error: &dyn std::fmt::Display| {
            refused(format!("it is damaged or cut short ({error}); copy the zip again"))
        };
        let file = self.zip.by_index(number).map_err(|error| match error {
            ZipError::InvalidPassword
            | ZipError::CompressionMethodNotSupported(_)
            | ZipError::UnsupportedArchive(_) => refused(format!(
                "it is packed in a way that is not read here ({error}); pack it without a password, by deflate"
            )),
            error => damaged(&error),
        })?;
        let mut bytes = Vec::new();
        file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| damaged(&error))?;
        if bytes.len() as u64 > LARGEST {
            return Err(refused(format!("it holds more than {} MB", LARGEST >> 20)));
        }
        Ok(Some(bytes))
    }
}

/// Whether a path leads out of the folder that it is put into.
fn climbs(path: &str) -> bool {
    path.starts_with(['/', '\\']) || path.contains(':') || path.split(['/', '\\']).any(|part| part == "..")
}
