//! A run folder as it lies on the disk, read with what is there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;
use sonoseg_core::recipe::{DataRecipe, TaskName};
use sonoseg_imaging::DataError;
use sonoseg_imaging::dataset::finding::Finding;
use sonoseg_imaging::dataset::split::Split;
use toml::Table;

use super::history::History;
use super::origins::Origin;
use crate::failure::Usage;
use crate::files;

/// A run.
pub(crate) struct RunFolder {
    pub(crate) path: PathBuf,
    /// The resolved recipe.
    pub(crate) recipe: Table,
    pub(crate) history: History,
    /// Where every value of the recipe comes from; empty for runs that did not write it down.
    pub(crate) origins: BTreeMap<String, Origin>,
    pub(crate) environment: serde_json::Map<String, Value>,
    pub(crate) split: Split,
}

impl RunFolder {
    /// Read a run folder. The recipe and the metrics must be there.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let recipe_path = path.join("recipe.toml");
        if !recipe_path.exists() {
            let reason = "is no run folder: it has no recipe.toml; give the folder that `sonoseg train --out` wrote";
            return Err(DataError::unreadable(files::absolute(path), reason).into());
        }
        let recipe = files::read_text(&recipe_path)?;
        let recipe = recipe.parse().map_err(|e| DataError::unreadable(files::absolute(&recipe_path), e))?;
        let history = History::read(path)?;
        Ok(Self {
            path: path.to_owned(),
            recipe,
            history,
            origins: json(&path.join("origins.json"))?,
            environment: json(&path.join("environment.json"))?,
            split: json(&path.join("splits.json"))?,
        })
    }

    /// The name of the recipe.
    pub(crate) fn name(&self) -> &str {
        self.recipe.get("name").and_then(toml::Value::as_str).unwrap_or("without a name")
    }

    /// True for a run that makes weights for others to start from, which have nothing to be measured by.
    pub(crate) fn pretrains(&self) -> bool {
        let task = self.recipe.get("task").cloned().and_then(|task| task.try_into::<TaskName>().ok());
        task.unwrap_or_default().pretrains()
    }

    /// What it looks for; none where it predicts nothing.
    pub(crate) fn finding(&self) -> Option<Finding> {
        (!self.pretrains()).then(|| self.data_recipe().finding())
    }

    /// The classes that it tells apart, numbered from 1; none where it does not.
    pub(crate) fn classes(&self) -> Vec<String> {
        self.data_recipe().classes
    }

    fn data_recipe(&self) -> DataRecipe {
        let data = self.recipe.get("data").cloned().and_then(|data| data.try_into().ok());
        data.unwrap_or_default()
    }

    /// The best weights that the run has written so far.
    pub(crate) fn weights(&self) -> Result<PathBuf> {
        files::model_file(&self.path)
    }

    /// What other commands take for the best weights: the folder, or the file where the folder does not name one.
    pub(crate) fn model(&self) -> PathBuf {
        match self.weights() {
            Ok(weights) if !weights.ends_with(files::WEIGHTS[0]) => weights,
            _ => self.path.clone(),
        }
    }

    /// The data given, or those that the run learned from.
    pub(crate) fn data(&self, given: Option<&Path>) -> Result<PathBuf> {
        let known = || self.environment.get("data").and_then(Value::as_str).map(PathBuf::from);
        given.map(Path::to_owned).or_else(known).ok_or_else(|| {
            let message = "the run does not say which data it learned from: give --data DIR";
            Usage(message.into()).into()
        })
    }
}

/// What a JSON file holds; nothing when there is none.
fn json<T: serde::de::DeserializeOwned + Default>(path: &Path) -> Result<T> {
    if !path.exists() {
        return Ok(T::default());
    }
    let text = files::read_text(path)?;
    Ok(serde_json::from_str(&text).map_err(|e| DataError::unreadable(files::absolute(path), e))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_read_with_what_is_there() {
        let folder = std::env::temp_dir().join(format!("sonoseg-run-{}", std::process::id()));
        let message = |error: anyhow::Error| format!("{error:#}");
        files::write(&folder.join("other"), b"").unwrap();
        assert!(message(RunFolder::open(&folder).err().unwrap()).contains("no recipe.toml"));
        files::write(&folder.join("recipe.toml"), b"name = \"demo\"\n").unwrap();
        files::write(&folder.join("metrics.jsonl"), b"").unwrap();
        let run = RunFolder::open(&folder).unwrap();
        assert_eq!((run.name(), run.pretrains(), run.origins.len()), ("demo", false, 0));
        assert!(message(run.weights().unwrap_err()).contains("no weights yet"));
        assert!(run.data(None).is_err() && run.data(Some(Path::new("d"))).unwrap() == Path::new("d"));

        files::write(&folder.join("recipe.toml"), b"task = \"mae\"\n").unwrap();
        files::write(&folder.join("environment.json"), b"{\"data\": \"e\"}").unwrap();
        files::write(&folder.join("last.safetensors"), b"w").unwrap();
        let run = RunFolder::open(&folder).unwrap();
        assert!(run.pretrains() && run.data(None).unwrap() == Path::new("e"));
        assert_eq!([run.weights().unwrap(), run.model()], [(); 2].map(|()| folder.join("last.safetensors")));
        files::write(&folder.join("best.safetensors"), b"w").unwrap();
        assert_eq!((run.weights().unwrap(), run.model()), (folder.join("best.safetensors"), folder.clone()));
        files::write(&folder.join("splits.json"), b"{").unwrap();
        assert!(message(RunFolder::open(&folder).err().unwrap()).contains("splits.json"));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
