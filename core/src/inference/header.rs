//! What a model file says of its network: one header for all of them, and how those of older versions are read.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Novelty;
use crate::checkpoint::{self, CheckpointError, State};
use crate::models::NetworkConfig;
use crate::models::frames::Frames;
use crate::recipe::{Recipe, TaskVisitor};
use crate::tasks::Task;
use sonoseg_imaging::evaluate::Calibration;
use sonoseg_imaging::geometry::FitConfig;
use sonoseg_imaging::prepare::Preparation;

/// How to use the network of a model file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelHeader {
    /// Version of this header.
    pub format: u32,
    /// Sizes of the network.
    pub network: NetworkConfig,
    /// The recipe that made the weights, which says how images become network input and what is read off the output.
    pub recipe: Recipe,
    /// What makes the confidence of its needles honest, where that was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// What tells pictures unlike those that the network learned from, where that was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub novelty: Option<Novelty>,
}

/// The first version: it repeats parts of the recipe, and the kind of network stands beside its sizes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct First {
    #[serde(rename = "format")]
    _format: u32,
    architecture: String,
    network: Map<String, Value>,
    /// Of networks that mark pixels.
    frames: Option<Frames>,
    preparation: Preparation,
    /// Of networks that mark pixels.
    needle: Option<FitConfig>,
    trained_on: String,
    recipe: Recipe,
}

impl First {
    /// The same as the current version; the error is what is wrong.
    fn current(self) -> Result<ModelHeader, String> {
        let Self { architecture, mut network, frames, preparation, needle, trained_on, mut recipe, .. } = self;
        network.insert("architecture".into(), architecture.into());
        let network = NetworkConfig::deserialize(network)
            .map_err(|e| format!("its header describes no network of this version: {e}"))?;
        if frames.is_some_and(|frames| frames != recipe.network.settings().frames()) {
            return Err("its header gives the network other frames than its recipe".into());
        }
        (recipe.preparation, recipe.trained_on) = (preparation, trained_on);
        recipe.needle = needle.unwrap_or(recipe.needle);
        Ok(ModelHeader { format: ModelHeader::FORMAT, network, recipe, calibration: None, novelty: None })
    }
}

impl ModelHeader {
    /// Version that this code writes. It reads all from 1 on.
    pub const FORMAT: u32 = 2;

    /// The header of a model that `recipe` trains.
    pub fn of(recipe: &Recipe) -> Self {
        struct Sizes;
        impl TaskVisitor for Sizes {
            type Output = NetworkConfig;
            fn visit<T: Task + 'static>(self, _: T, network: NetworkConfig) -> NetworkConfig {
                network
            }
        }
        let network = recipe.visit(Sizes);
        Self { format: Self::FORMAT, network, recipe: recipe.clone(), calibration: None, novelty: None }
    }

    /// Read a model file of any version: its header and its tensors.
    pub fn read(name: &str, bytes: &[u8]) -> Result<(Self, State), CheckpointError> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let foreign = |reason: String| CheckpointError::Foreign { name: name.to_owned(), reason };
        let header = match checkpoint::header::<Version>(name, bytes)?.format {
            1 => checkpoint::header::<First>(name, bytes)?.current().map_err(&foreign)?,
            Self::FORMAT => checkpoint::header(name, bytes)?,
            theirs => {
                let ours = Self::FORMAT;
                return Err(foreign(format!(
                    "written in format {theirs}, and this version of sonoseg reads formats up to {ours}"
                )));
            }
        };
        if let Some(problem) = header.calibration.as_ref().and_then(Calibration::problem) {
            return Err(foreign(format!("the calibration in its header is damaged: {problem}")));
        }
        if let Some(problem) = header.novelty.as_ref().and_then(Novelty::problem) {
            return Err(foreign(format!("the novelty in its header is damaged: {problem}")));
        }
        Ok((header, checkpoint::decode_tensors(name, bytes)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Storage;

    const UNETR: &str = "name = \"t\"\ntrained_on = \"x\"\n[network]\npreset = \"tiny\"\n";
    const UNET: &str = "name = \"u\"\n[network]\narchitecture = \"unet\"\n";

    #[test]
    fn what_makes_answers_honest_comes_back_as_it_is_written_and_is_refused_where_damaged() {
        let mut header = ModelHeader::of(&Recipe::parse("t.toml", UNETR, &[]).unwrap());
        let read = |header: &ModelHeader| {
            let bytes = checkpoint::encode(header, &State::new(), Storage::F32).unwrap();
            ModelHeader::read("m.safetensors", &bytes).map(|(header, _)| header).map_err(|e| e.to_string())
        };
        assert!(!serde_json::to_string(&header).unwrap().contains("calibration"), "files without one are as they were");
        header.calibration = Some(Calibration { said: vec![0.25, 0.5], right: vec![0.1, 0.7], calls: 40 });
        assert_eq!(read(&header), Ok(header.clone()));
        header.calibration = Some(Calibration { said: vec![0.5, 0.25], right: vec![0.1, 0.7], calls: 40 });
        assert!(read(&header).unwrap_err().contains("the calibration in its header is damaged"));
        header.calibration = None;
        assert!(!serde_json::to_string(&header).unwrap().contains("novelty"), "files without one are as they were");
        header.novelty = Some(Novelty { mean: vec![0.5], factor: vec![0.25], limit: 2.0, pictures: 3 });
        assert_eq!(read(&header), Ok(header.clone()));
        header.novelty = Some(Novelty { mean: vec![0.5], factor: vec![0.0], limit: 2.0, pictures: 3 });
        assert!(read(&header).unwrap_err().contains("the novelty in its header is damaged"));
    }

    #[test]
    fn headers_of_every_version_are_read_and_later_ones_refused() {
        for (text, task) in [(UNETR, "segment"), (UNETR, "mae"), (UNET, "segment")] {
            let header = ModelHeader::of(&Recipe::parse("t.toml", text, &[format!("task={task}")]).unwrap());
            let read = |header: &Value| {
                let bytes = checkpoint::encode(header, &State::new(), Storage::F32).unwrap();
                let kind = checkpoint::architecture("m.safetensors", &bytes).unwrap();
                (kind, ModelHeader::read("m.safetensors", &bytes).map(|(header, _)| header).map_err(|e| e.to_string()))
            };
            let kind = header.network.sizes().architecture().to_owned();
            let mut json = serde_json::to_value(&header).unwrap();
            assert_eq!(read(&json), (kind.clone(), Ok(header.clone())));
            json["format"] = 3.into();
            assert!(read(&json).1.unwrap_err().contains("written in format 3"));

            json["format"] = 1.into();
            json["architecture"] = json["network"].as_object_mut().unwrap().remove("architecture").unwrap();
            // The first version of a recipe has the tables of both tasks.
            for key in ["loss", "mae"] {
                json["recipe"].as_object_mut().unwrap().entry(key).or_insert_with(|| Map::new().into());
            }
            json["preparation"] = json["recipe"]["preparation"].clone();
            json["trained_on"] = json["recipe"]["trained_on"].clone();
            if kind != "mae" {
                json["frames"] = json["recipe"]["network"]["frames"].clone();
                json["needle"] = json["recipe"]["needle"].clone();
            }
            assert_eq!(read(&json), (kind.clone(), Ok(header)));
            json["frames"] = "video_all".into();
            assert!(read(&json).1.unwrap_err().contains("other frames"));
            json["frames"] = Value::Null;
            json["architecture"] = if kind == "unet" { "unetr" } else { "unet" }.into();
            assert!(read(&json).1.unwrap_err().contains("describes no network"));
        }
    }
}
