//! The files of a zip, one after the other. Nothing of it is believed before it is checked.

use std::io::{Cursor, Read};

use zip::ZipArchive;

/// Bytes that are unpacked at most: a tab cannot hold more.
const MOST: u64 = 1_500_000_000;

/// What file managers add of their own.
const FOREIGN: [&str; 2] = ["__MACOSX/", "Thumbs.db"];

/// A zip whose files are taken out in the order of their names: each with its path, and its bytes or the reason why there are
/// none, a sentence without the name of the zip.
#[derive(Debug)]
pub struct Unzip {
    zip: ZipArchive<Cursor<Vec<u8>>>,
    /// Paths and numbers of those that are still in it, the next one last.
    files: Vec<(String, usize)>,
    left: u64,
}

impl Unzip {
    /// Open a zip. Folders, and what is hidden, are no files.
    ///
    /// # Errors
    ///
    /// A sentence without the file's name, which says what is wrong and what to do.
    pub fn open(bytes: Vec<u8>) -> Result<Self, String> {
        let zip = ZipArchive::new(Cursor::new(bytes))
            .map_err(|error| format!("It is no zip, or is cut short ({error}). Copy or download it again."))?;
        let named = |number| Some((zip.name_for_index(number)?.ok()?.into_owned(), number));
        let mut files: Vec<(String, usize)> =
            (0..zip.len()).filter_map(named).filter(|file| is_file(&file.0)).collect();
        if files.is_empty() {
            return Err("There is no file in it.".to_owned());
        }
        alphanumeric_sort::sort_slice_by_str_key(&mut files, |file| &file.0);
        files.reverse();
        Ok(Self { zip, files, left: MOST })
    }

    /// Whether a file of this path is in it.
    pub fn has(&self, path: &str) -> bool {
        self.files.iter().any(|file| file.0 == path)
    }

    fn read(&mut self, number: usize) -> Result<Vec<u8>, String> {
        let packed = "It is packed with a password, in a rare way, or is damaged";
        let file =
            self.zip.by_index(number).map_err(|error| format!("{packed} ({error}). Unzip it and drop the folder."))?;
        let mut bytes = Vec::new();
        let damaged = |error| format!("It is damaged in the zip ({error}). Copy the zip again.");
        file.take(self.left + 1).read_to_end(&mut bytes).map_err(damaged)?;
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or_else(|| {
            self.files.clear();
            format!("From here on the zip holds more than {:.1} GB. Unzip it and drop the folder.", MOST as f64 / 1e9)
        })?;
        Ok(bytes)
    }
}

impl Iterator for Unzip {
    type Item = (String, Result<Vec<u8>, String>);

    fn next(&mut self) -> Option<Self::Item> {
        let (path, number) = self.files.pop()?;
        let bytes = self.read(number);
        Some((path, bytes))
    }
}

fn is_file(path: &str) -> bool {
    let hidden = path.split('/').any(|part| part.starts_with('.'));
    !path.ends_with('/') && !hidden && !FOREIGN.iter().any(|foreign| path.contains(foreign))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    fn zip() -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        writer.add_directory("frames", SimpleFileOptions::default()).unwrap();
        for name in ["frames/10.png", "frames/2.png", "__MACOSX/frames/2.png", ".DS_Store", "clip.mp4"] {
            writer.start_file(name, SimpleFileOptions::default()).unwrap();
            writer.write_all(name.repeat(20).as_bytes()).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn files_come_in_the_order_of_their_names_without_what_is_hidden() {
        let unzip = Unzip::open(zip()).unwrap();
        assert!(unzip.has("frames/2.png") && !unzip.has("2.png"));
        let files: Vec<_> = unzip.collect();
        let names: Vec<&str> = files.iter().map(|file| file.0.as_str()).collect();
        assert_eq!(names, ["clip.mp4", "frames/2.png", "frames/10.png"]);
        assert!(files.iter().all(|(name, bytes)| bytes.as_deref() == Ok(name.repeat(20).as_bytes())));
    }

    #[test]
    fn zips_of_any_damage_give_sentences() {
        let sound = zip();
        for at in 0..sound.len() {
            let _ = Unzip::open(sound[..at].to_vec()).map_err(|said| assert!(said.ends_with('.'), "{said}"));
            let mut bytes = sound.clone();
            bytes[at] ^= 0xff;
            for (_, file) in Unzip::open(bytes).into_iter().flatten() {
                let _ = file.map_err(|said| assert!(said.ends_with('.'), "{said}"));
            }
        }
    }
}
