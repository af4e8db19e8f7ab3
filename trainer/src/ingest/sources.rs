//! What the given sources hold: clips, pictures and tables, and what is left aside, each with its reason.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Result;
use sonoseg_imaging::DataError;
use sonoseg_imaging::formats::{self, FileKind};
use walkdir::WalkDir;

use crate::failure::Usage;
use crate::files;
use crate::video::is_video;

/// A file below one of the given sources.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    /// Names of the folders from the source on (its own name included) down to the file, without the file's name.
    pub(super) folders: Vec<String>,
}

impl Found {
    pub(super) fn name(&self) -> String {
        text(self.path.file_name().unwrap_or_default())
    }

    pub(super) fn stem(&self) -> String {
        text(self.path.file_stem().unwrap_or_default())
    }

    /// The path below its source, with `/` on every system.
    pub(super) fn below(&self) -> String {
        let inner = self.folders.iter().skip(1).cloned();
        inner.chain([self.name()]).collect::<Vec<_>>().join("/")
    }
}

/// A name as text. Bytes that are no UTF-8 stay apart: each is written as its number behind a sign that says so.
fn text(name: &OsStr) -> String {
    let mut text = String::new();
    for chunk in name.as_encoded_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\u{fffd}{byte:02x}")));
    }
    text
}

/// A file and what there is to say about it.
#[derive(Clone, Debug)]
pub(super) struct Remark {
    pub(super) path: String,
    pub(super) reason: String,
}

impl Remark {
    pub(super) fn new(path: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        Self { path: path.into(), reason: reason.to_string() }
    }

    /// The file's own error, which begins with its name.
    pub(super) fn of(path: &Path, error: &DataError) -> Self {
        let name = files::absolute(path);
        let text = error.to_string();
        let reason = text.strip_prefix(&format!("{name}: ")).unwrap_or(&text).to_owned();
        Self { path: name, reason }
    }
}

/// A clip: one file, one procedure.
#[derive(Clone, Debug)]
pub(super) struct ClipFile {
    pub(super) file: Found,
    pub(super) kind: ClipKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClipKind {
    Video,
    Dicom,
    /// A GIF or TIFF of several frames.
    Stack,
}

/// All that was found.
#[derive(Debug, Default)]
pub(super) struct Sources {
    pub(super) clips: Vec<ClipFile>,
    pub(super) pictures: Vec<Found>,
    /// CSV files, which may hold end points.
    pub(super) tables: Vec<Found>,
    /// Files that may hold outlines, or say how their classes are called.
    pub(super) drawings: Vec<Found>,
    /// `labelmap.txt` of CVAT, which names the colours of masks.
    pub(super) colour_names: Option<PathBuf>,
    /// `dataset.json` of nnU-Net, which names the classes.
    pub(super) class_names: Option<PathBuf>,
    pub(super) skipped: Vec<Remark>,
    pub(super) failed: Vec<Remark>,
}

impl Sources {
    /// Look through all sources. `out` is left aside, should it lie inside one of them.
    pub(super) fn find(sources: &[PathBuf], out: &Path) -> Result<Self> {
        let mut found = Self::default();
        let out = std::path::absolute(out).unwrap_or_else(|_| out.to_owned());
        for source in sources {
            std::fs::metadata(source).map_err(|e| DataError::unreadable(files::absolute(source), e))?;
            if source.join("procedures").is_dir() {
                let name = files::absolute(source);
                let message = format!("{name} is a data set of sonoseg already: `sonoseg check {}`", source.display());
                return Err(Usage(message).into());
            }
            found.walk(source, &out)?;
        }
        Ok(found)
    }

    fn walk(&mut self, source: &Path, out: &Path) -> Result<()> {
        // The name of `.` and `..` is that of the folder they stand for.
        let root = std::path::absolute(source)?;
        let root = root.canonicalize().unwrap_or(root);
        let top = text(root.file_name().unwrap_or_default());
        let shown = |path: &Path, depth: usize| {
            let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            (depth == 0 || !hidden) && !std::path::absolute(path).is_ok_and(|path| path == out)
        };
        let walk = WalkDir::new(source).sort_by_file_name().into_iter();
        for entry in walk.filter_entry(|entry| shown(entry.path(), entry.depth())) {
            let entry = match entry {
                Ok(entry) => entry,
                Err(e) => {
                    let path = e.path().map(files::absolute).unwrap_or_default();
                    self.failed.push(Remark::new(path, e));
                    continue;
                }
            };
            // A link to a file is followed, one to a folder is not.
            if entry.file_type().is_dir() || entry.path().is_dir() {
                continue;
            }
            let below = entry.path().strip_prefix(source).unwrap_or(Path::new(""));
            let folders = below.parent().map(Path::to_path_buf).unwrap_or_default();
            let inner = folders.components().map(|part| text(part.as_os_str()));
            let folders = match entry.depth() {
                0 => Vec::new(),
                _ => std::iter::once(top.clone()).chain(inner).collect(),
            };
            self.file(Found { path: entry.into_path(), folders });
        }
        Ok(())
    }

    fn file(&mut self, file: Found) {
        let name = file.name().to_lowercase();
        if name.ends_with(".csv") || name.ends_with(".tsv") {
            return self.tables.push(file);
        }
        if name == "labelmap.txt" {
            self.colour_names = Some(file.path);
            return;
        }
        if name == "dataset.json" {
            self.class_names = Some(file.path);
            return;
        }
        if [".json", ".txt", ".xml", ".yaml", ".yml", "obj.names"].iter().any(|end| name.ends_with(end)) {
            return self.drawings.push(file);
        }
        let kind = if is_video(&file.path) { Ok(FileKind::Video) } else { kind(&file.path) };
        match kind {
            Ok(FileKind::Video) => self.clips.push(ClipFile { file, kind: ClipKind::Video }),
            Ok(FileKind::Dicom) => self.clips.push(ClipFile { file, kind: ClipKind::Dicom }),
            Ok(FileKind::Picture) if [".gif", ".tif", ".tiff"].iter().any(|end| name.ends_with(end)) => {
                match frames_of(&file.path) {
                    Ok(1) => self.pictures.push(file),
                    Ok(_) => self.clips.push(ClipFile { file, kind: ClipKind::Stack }),
                    Err(error) => self.failed.push(Remark::of(&file.path, &error)),
                }
            }
            Ok(FileKind::Picture) => self.pictures.push(file),
            Ok(FileKind::Volume) => self.skipped.push(Remark::new(
                files::absolute(&file.path),
                "a volume, which is no training data yet: `sonoseg predict` and the app show its slices",
            )),
            Ok(FileKind::Other) => {
                self.skipped.push(Remark::new(files::absolute(&file.path), "no picture, DICOM file, video or table"));
            }
            Err(error) => self.failed.push(Remark::of(&file.path, &error)),
        }
    }
}

fn kind(path: &Path) -> Result<FileKind, DataError> {
    let name = files::absolute(path);
    let mut first = Vec::new();
    let read = File::open(path).and_then(|file| file.take(formats::TELLING_BYTES).read_to_end(&mut first));
    read.map_err(|e| DataError::unreadable(name.clone(), e))?;
    formats::kind(&name, &first)
}

fn frames_of(path: &Path) -> Result<usize, DataError> {
    let name = files::absolute(path);
    let bytes = std::fs::read(path).map_err(|e| DataError::unreadable(name.clone(), e))?;
    Ok(formats::open(&name, bytes)?.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sonoseg_imaging::formats::encode::encode_png_grey;

    #[test]
    fn files_are_told_apart_and_the_output_is_left_aside() {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| files::write(&root.path().join(name), bytes).unwrap();
        let png = encode_png_grey(1, 1, &[7]).unwrap();
        write("a/picture.png", &png);
        write("a/unnamed", &png);
        write("a/broken.png", b"no picture");
        write("clip.mp4", b"whatever");
        write("labels.csv", b"frame\n");
        write("README.md", b"about");
        write("volume.nii.gz", b"\x1f\x8b");
        write(".hidden/x.png", &png);
        write("out/frames/x.png", &png);
        let found = Sources::find(&[root.path().to_owned()], &root.path().join("out")).unwrap();
        let names = |files: &[Found]| files.iter().map(Found::below).collect::<Vec<_>>();
        assert_eq!(names(&found.pictures), ["a/picture.png", "a/unnamed"]);
        assert_eq!(names(&found.tables), ["labels.csv"]);
        assert_eq!((found.clips.len(), found.skipped.len()), (1, 1));
        let failed: Vec<&str> = found.failed.iter().map(|remark| remark.path.rsplit('/').next().unwrap()).collect();
        assert_eq!(failed, ["broken.png", "volume.nii.gz"]);
        assert!(!found.failed[0].reason.contains("broken.png"), "the name is told once: {}", found.failed[0].reason);
        #[cfg(unix)]
        {
            use std::os::unix::ffi::OsStrExt as _;
            let [one, two] = [0xe8, 0xe9].map(|byte| text(OsStr::from_bytes(&[b's', byte, b'.'])));
            assert_eq!((one.as_str(), two.as_str()), ("s\u{fffd}e8.", "s\u{fffd}e9."), "each name stays its own");
        }
        write("procedures/x", b"");
        assert!(Sources::find(&[root.path().to_owned()], Path::new("o")).is_err(), "a data set already");
    }
}
