//! Data on disk: `procedures/<id>/{meta.json, frames/%06d.png, labels.csv}`, and a split by procedure.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sonoseg_core::data::DataError;
use sonoseg_core::data::image::{Scale, Spacing};
use sonoseg_core::data::sample::{Sample, Source, Target};
use sonoseg_core::data::split::Split;
use sonoseg_core::formats;
use sonoseg_core::needle::{Needle, Point};

use crate::files;

/// `meta.json` of a procedure.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Meta {
    /// `simple`, `medium` or `hard`, where somebody said so.
    #[serde(default)]
    pub(crate) difficulty: Option<String>,
    /// Frames per second.
    #[serde(default)]
    pub(crate) fps: Option<f64>,
    /// Size of a pixel, where known.
    #[serde(default)]
    pub(crate) spacing: Option<Spacing>,
    /// What made it, for example the simulator with its seed.
    #[serde(default)]
    pub(crate) origin: Option<String>,
}

/// A row of `labels.csv`: the ends of the visible shaft in pixels of the stored frame; blank = no needle visible.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LabelRow {
    pub(crate) frame: usize,
    /// Entry.
    pub(crate) x1: Option<f64>,
    pub(crate) y1: Option<f64>,
    /// Tip.
    pub(crate) x2: Option<f64>,
    pub(crate) y2: Option<f64>,
}

impl LabelRow {
    pub(crate) fn new(frame: usize, needle: Option<&Needle>) -> Self {
        let ends = needle.map(|needle| (needle.entry, needle.tip));
        Self {
            frame,
            x1: ends.map(|e| e.0.x),
            y1: ends.map(|e| e.0.y),
            x2: ends.map(|e| e.1.x),
            y2: ends.map(|e| e.1.y),
        }
    }

    fn needle(&self) -> Result<Option<Needle>, String> {
        match (self.x1, self.y1, self.x2, self.y2) {
            (None, None, None, None) => Ok(None),
            (Some(x1), Some(y1), Some(x2), Some(y2)) if [x1, y1, x2, y2].iter().all(|v| v.is_finite()) => {
                Ok(Some(Needle { entry: Point { x: x1, y: y1 }, tip: Point { x: x2, y: y2 } }))
            }
            _ => Err("give all four coordinates as numbers, or leave all four blank".into()),
        }
    }
}

/// One procedure on disk.
#[derive(Clone, Debug)]
pub(crate) struct ProcedureFolder {
    pub(crate) id: String,
    pub(crate) meta: Meta,
    frames: Vec<PathBuf>,
    labels: BTreeMap<usize, Option<Needle>>,
}

/// A data set on disk, as windows of consecutive frames.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    pub(crate) procedures: Vec<ProcedureFolder>,
    root: PathBuf,
    /// Procedure and first frame of every sample.
    windows: Vec<(usize, usize)>,
    window: usize,
}

impl Folder {
    /// Open a data set; frames are read later, when asked for.
    pub(crate) fn open(root: &Path, window: usize) -> Result<Self> {
        let folder = root.join("procedures");
        let entries = fs::read_dir(&folder).map_err(|e| {
            DataError::unreadable(
                files::absolute(&folder),
                format!("{e}; --data needs a folder with procedures/<id>/{{meta.json, frames, labels.csv}}"),
            )
        })?;
        let mut paths: Vec<PathBuf> = entries.flatten().map(|e| e.path()).filter(|p| p.is_dir()).collect();
        paths.sort();
        let procedures = paths.iter().map(|path| ProcedureFolder::open(path)).collect::<Result<Vec<_>>>()?;
        let windows = procedures
            .iter()
            .enumerate()
            .flat_map(|(p, folder)| (0..(folder.frames.len() + 1).saturating_sub(window)).map(move |f| (p, f)))
            .collect::<Vec<_>>();
        if windows.is_empty() {
            return Err(DataError::unreadable(files::absolute(&folder), "holds no frames").into());
        }
        Ok(Self { procedures, root: root.to_owned(), windows, window })
    }

    /// The split stored with the data, or one drawn by procedure.
    pub(crate) fn split(&self, val_share: f64, seed: u64) -> Result<Split> {
        let path = self.root.join("splits.json");
        let groups: BTreeSet<String> = self.procedures.iter().map(|p| p.id.clone()).collect();
        let split = if path.exists() {
            serde_json::from_str(&files::read_text(&path)?)
                .map_err(|e| DataError::unreadable(files::absolute(&path), e))?
        } else {
            Split::draw(&groups, val_share, seed)?
        };
        split.check()?;
        if let Some(unknown) = split.train.union(&split.val).find(|name| !groups.contains(*name)) {
            let message = format!("the split names {unknown}, which {} does not have", files::absolute(&self.root));
            return Err(DataError::Inconsistent(message).into());
        }
        Ok(split)
    }

    /// Numbers of the samples of the given groups, every `stride`-th of each.
    pub(crate) fn samples(&self, groups: &BTreeSet<String>, stride: usize) -> Vec<usize> {
        let chosen = |&(p, first): &(usize, usize)| {
            groups.contains(&self.procedures[p].id) && first.is_multiple_of(stride.max(1))
        };
        self.windows.iter().enumerate().filter(|(_, window)| chosen(window)).map(|(index, _)| index).collect()
    }

    /// True when every frame of a sample has a label.
    pub(crate) fn labelled(&self, index: usize) -> bool {
        let (p, first) = self.windows[index];
        (first..first + self.window).all(|frame| self.procedures[p].labels.contains_key(&frame))
    }

    /// Name of a sample: its procedure and middle frame.
    pub(crate) fn id(&self, index: usize) -> String {
        let (p, first) = self.windows[index];
        format!("{}/{:06}", self.procedures[p].id, first + self.window / 2)
    }

    /// Procedure of a sample.
    pub(crate) fn procedure(&self, index: usize) -> &ProcedureFolder {
        &self.procedures[self.windows[index].0]
    }
}

impl ProcedureFolder {
    fn open(path: &Path) -> Result<Self> {
        let id = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let meta_path = path.join("meta.json");
        let meta = serde_json::from_str(&files::read_text(&meta_path)?)
            .map_err(|e| DataError::unreadable(files::absolute(&meta_path), e))?;
        let frame_folder = path.join("frames");
        let entries =
            fs::read_dir(&frame_folder).map_err(|e| DataError::unreadable(files::absolute(&frame_folder), e))?;
        let mut frames: Vec<PathBuf> =
            entries.flatten().map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "png")).collect();
        frames.sort();
        Ok(Self { labels: read_labels(&path.join("labels.csv"))?, id, meta, frames })
    }

    fn load(&self, index: usize) -> Result<(sonoseg_core::data::image::Image, Option<Target>), DataError> {
        let path = &self.frames[index];
        let name = files::absolute(path);
        let bytes = fs::read(path).map_err(|e| DataError::unreadable(name.clone(), e))?;
        let image = formats::open(&name, bytes)?.frame(0)?;
        let image = match self.meta.spacing {
            Some(spacing) => image.with_scale(Scale::Everywhere(spacing)),
            None => image,
        };
        Ok((image, self.labels.get(&index).map(|needle| Target::Needle(*needle))))
    }
}

fn read_labels(path: &Path) -> Result<BTreeMap<usize, Option<Needle>>> {
    let name = files::absolute(path);
    let mut reader =
        csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(std::io::Cursor::new(files::read(path)?));
    let mut labels = BTreeMap::new();
    for (line, row) in reader.deserialize::<LabelRow>().enumerate() {
        let bad = |e: String| DataError::unreadable(name.clone(), format!("line {}: {e}", line + 2));
        let row = row.map_err(|e| bad(e.to_string()))?;
        let needle = row.needle().map_err(bad)?;
        labels.insert(row.frame, needle);
    }
    Ok(labels)
}

impl Source for Folder {
    fn len(&self) -> usize {
        self.windows.len()
    }

    fn group(&self, index: usize) -> &str {
        &self.procedure(index).id
    }

    fn load(&self, index: usize) -> Result<Sample, DataError> {
        let (p, first) = self.windows[index];
        let procedure = &self.procedures[p];
        let mut frames = Vec::with_capacity(self.window);
        let mut targets = Vec::with_capacity(self.window);
        for frame in first..first + self.window {
            let (image, target) = procedure.load(frame)?;
            frames.push(image);
            targets.extend(target);
        }
        Ok(Sample { id: self.id(index), group: procedure.id.clone(), frames, targets })
    }
}

/// Write `labels.csv`.
pub(crate) fn write_labels(path: &Path, rows: impl IntoIterator<Item = LabelRow>) -> Result<()> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.serialize(row)?;
    }
    files::write(path, &writer.into_inner().context("writing labels")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_whole_or_blank() {
        let row = |x1, y2| LabelRow { frame: 0, x1, y1: Some(1.0), x2: Some(2.0), y2 };
        assert!(row(Some(0.0), Some(3.0)).needle().unwrap().is_some());
        assert!(row(None, Some(3.0)).needle().is_err());
        assert!(row(Some(f64::NAN), Some(3.0)).needle().is_err());
        assert!(LabelRow::new(4, None).needle().unwrap().is_none());
    }
}
