//! A recipe describes a run completely: one TOML file, every key known, every default written down.

use serde::{Deserialize, Serialize};

use crate::losses::overlap::DiceFocalConfig;
use crate::models::mae::MaeConfig;
use crate::models::unet::layer_set::LayerSet;
use crate::tasks::mae::{MaeTarget, MaskedAutoEncoding};
use crate::tasks::segment::{Frames, Segment};
use crate::train::TrainConfig;
use sonoseg_imaging::augment::AugmentConfig;
use sonoseg_imaging::geometry::FitConfig;
use sonoseg_imaging::prepare::Preparation;

mod network;

pub use network::{Architecture, NetworkRecipe};

/// What can be wrong with a recipe.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// The text is no recipe.
    #[error("{name}: {reason}")]
    Invalid {
        /// File name.
        name: String,
        /// What is wrong, with the line and the nearest known key.
        reason: String,
    },
}

/// What a run learns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskName {
    /// To mark the pixels of a class, the needle for example.
    #[default]
    Segment,
    /// To draw hidden patches: pre-training without labels.
    Mae,
}

/// Settings of masked auto-encoding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MaeRecipe {
    /// Share of the patches that is hidden.
    pub mask_ratio: f64,
    /// What the decoder learns to draw.
    pub target: MaeTarget,
    /// Decoder width; none = as the preset of the network has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoder_width: Option<usize>,
    /// Decoder blocks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoder_depth: Option<usize>,
    /// Decoder attention heads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoder_heads: Option<usize>,
}

impl Default for MaeRecipe {
    fn default() -> Self {
        Self {
            mask_ratio: 0.75,
            target: MaeTarget::default(),
            decoder_width: None,
            decoder_depth: None,
            decoder_heads: None,
        }
    }
}

/// How a run splits its data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataRecipe {
    /// Share of the procedures that is held out, where the data name no split of their own.
    pub val_share: f64,
    /// Train on every n-th sample of a procedure: neighbouring frames are near twins.
    pub stride: usize,
    /// The class of the masks that is to be found, by name or number, or `any`; such a network finds no needles. None =
    /// needles, or every class of the masks, or what the data choose.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "name_or_number")]
    pub class: Option<String>,
    /// Folds of a cross-validation by group, in place of `val_share` and of any split of the data; 0 = none.
    pub folds: usize,
    /// Which of the folds is held out, counted from 0.
    pub fold: usize,
    /// Learn from the held-out fold, too, as a paper does that splits what it has augmented already. The figures then
    /// say nothing about other patients.
    pub leaky_folds: bool,
}

fn name_or_number<'a, D: serde::Deserializer<'a>>(text: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Class {
        Name(String),
        Number(u8),
    }
    Ok(Some(match Class::deserialize(text)? {
        Class::Name(name) => name,
        Class::Number(number) => number.to_string(),
    }))
}

impl DataRecipe {
    /// The class that stands for all classes of the masks together.
    pub const ANY_CLASS: &str = "any";

    fn problem(&self) -> Option<String> {
        let Self { val_share, folds, fold, leaky_folds, .. } = *self;
        if !(0.0..1.0).contains(&val_share) {
            return Some("data.val_share must lie in [0, 1): 0 holds nothing out".into());
        }
        if folds == 1 {
            return Some("data.folds = 1 leaves nothing to learn from: write at least 2, or 0 for none".into());
        }
        if folds > 0 && fold >= folds {
            return Some(format!("data.fold counts from 0: of {folds} folds the last one is {}", folds - 1));
        }
        (folds == 0 && (fold > 0 || leaky_folds)).then(|| "data.fold and data.leaky_folds need data.folds".into())
    }
}

impl Default for DataRecipe {
    fn default() -> Self {
        Self { val_share: 0.2, stride: 1, class: None, folds: 0, fold: 0, leaky_folds: false }
    }
}

/// Everything that defines a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Short name for run folders and model files.
    pub name: String,
    /// One sentence for people.
    #[serde(default)]
    pub about: String,
    /// What the weights learned from, for the model file: for example "simulated ultrasound".
    #[serde(default)]
    pub trained_on: String,
    /// Seed of everything random.
    #[serde(default)]
    pub seed: u64,
    /// What to learn.
    #[serde(default)]
    pub task: TaskName,
    /// The network.
    pub network: NetworkRecipe,
    /// The data.
    #[serde(default)]
    pub data: DataRecipe,
    /// Image to network input.
    #[serde(default)]
    pub preparation: Preparation,
    /// Random changes of training samples.
    #[serde(default)]
    pub augment: AugmentConfig,
    /// The loss of segmentation.
    #[serde(default)]
    pub loss: DiceFocalConfig,
    /// Masked auto-encoding.
    #[serde(default)]
    pub mae: MaeRecipe,
    /// Mask to needle; its radius is also the one that targets are drawn with.
    #[serde(default)]
    pub needle: FitConfig,
    /// The loop.
    #[serde(default)]
    pub train: TrainConfig,
}

impl Recipe {
    /// Read a recipe. `settings` are `key=value` pairs (dotted keys, TOML values) that override the file.
    pub fn parse(name: &str, original: &str, settings: &[String]) -> Result<Self, RecipeError> {
        let invalid = |reason: String| RecipeError::Invalid { name: name.to_owned(), reason };
        let mut table: toml::Table = original.parse().map_err(|e: toml::de::Error| invalid(e.to_string()))?;
        for setting in settings {
            let (key, value) = setting
                .split_once('=')
                .ok_or_else(|| invalid(format!("--set {setting}: write key=value, for example train.epochs=3")))?;
            // A bare word is a string, as on any command line.
            let value = format!("v = {value}").parse::<toml::Table>().ok().and_then(|mut t| t.remove("v"));
            let text = setting[key.len() + 1..].to_owned();
            let value = value.unwrap_or(toml::Value::String(text));
            insert(&mut table, key.trim(), value)
                .map_err(|part| invalid(format!("--set {setting}: {part} is not a table")))?;
        }
        let text = toml::to_string(&table).map_err(|e| invalid(e.to_string()))?;
        let read = |text: &str| toml::from_str::<Self>(text).map_err(|e| invalid(explain(&e.to_string())));
        // Where the file is wrong by itself, its own lines are named.
        let recipe = read(&text).map_err(|error| read(original).err().unwrap_or(error))?;
        match recipe.problem() {
            Some(problem) => Err(invalid(problem)),
            None => Ok(recipe),
        }
    }

    /// The recipe with every default written out.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).unwrap_or_default()
    }

    /// The masked auto-encoding that the recipe asks for. Its encoder is the one of the recipe's network.
    pub fn masked_auto_encoding(&self) -> MaskedAutoEncoding {
        let encoder = self.network.unetr(self.preparation.size).encoder;
        let mut network = MaeConfig { encoder, ..MaeConfig::preset(self.network.named_size()) };
        network.mask_ratio = self.mae.mask_ratio;
        network.decoder_width = self.mae.decoder_width.unwrap_or(network.decoder_width);
        network.decoder_depth = self.mae.decoder_depth.unwrap_or(network.decoder_depth);
        network.decoder_heads = self.mae.decoder_heads.unwrap_or(network.decoder_heads);
        MaskedAutoEncoding {
            network,
            preparation: self.preparation.clone(),
            augment: self.augment.clone(),
            target: self.mae.target,
        }
    }

    /// The segmentation task that the recipe asks for.
    pub fn segment(&self) -> Segment {
        Segment {
            network: self.network.config(self.preparation.size),
            frames: self.network.frames,
            preparation: self.preparation.clone(),
            mask_radius_px: self.needle.radius_px,
            augment: self.augment.clone(),
            loss: self.loss.clone(),
            layers: self.train.layers,
        }
    }

    fn problem(&self) -> Option<String> {
        if let Some(problem) = self.network.problem(self.preparation.size) {
            return Some(format!("network: {problem}"));
        }
        if let Some(problem) = self.data.problem() {
            return Some(problem);
        }
        let layers = self.train.layers;
        if layers != LayerSet::All && self.network.architecture != Architecture::Unet {
            return Some(format!(
                "train.layers: the blocks of `{layers}` are those of a U-Net; this network learns `all`"
            ));
        }
        if self.task == TaskName::Mae {
            if self.network.architecture != Architecture::Unetr {
                return Some("task = \"mae\" pre-trains the encoder of a UNETR, and the network is none".into());
            }
            if let Some(problem) = self.masked_auto_encoding().network.problem() {
                return Some(format!("mae: {problem}"));
            }
            if self.network.frames != Frames::Single {
                return Some("task = \"mae\" reads one frame: leave network.frames out".into());
            }
        }
        if self.train.batch == 0 || self.train.epochs == 0 || self.data.stride == 0 {
            return Some("train.batch, train.epochs and data.stride must be at least 1".into());
        }
        if self.train.steps == Some(0) || self.train.updates_per_epoch == Some(0) {
            return Some(
                "train.steps and train.updates_per_epoch must be at least 1: leave them out for no limit".into(),
            );
        }
        if self.train.samples_per_epoch.is_some_and(|total| total < self.train.batch) {
            return Some("train.samples_per_epoch must be at least train.batch".into());
        }
        let rate = self.train.optimiser.learning_rate();
        if !(rate > 0.0 && rate <= 1.0) {
            return Some("train.optimiser.learning_rate must lie in (0, 1]".into());
        }
        self.augment.problem().map(|problem| format!("augment.{problem}"))
    }
}

fn insert(table: &mut toml::Table, key: &str, value: toml::Value) -> Result<(), String> {
    match key.split_once('.') {
        None => {
            table.insert(key.to_owned(), value);
            Ok(())
        }
        Some((first, rest)) => {
            let entry = table.entry(first.to_owned()).or_insert_with(|| toml::Table::new().into());
            insert(entry.as_table_mut().ok_or_else(|| first.to_owned())?, rest, value)
        }
    }
}

/// Add the nearest known key to serde's message about an unknown one.
fn explain(message: &str) -> String {
    let Some(start) = message.find("unknown field `") else { return message.trim().to_owned() };
    let quoted: Vec<&str> = message[start..].split('`').skip(1).step_by(2).collect();
    let nearest = quoted.split_first().and_then(|(wrong, known)| {
        known.iter().max_by(|a, b| strsim::jaro_winkler(wrong, a).total_cmp(&strsim::jaro_winkler(wrong, b)))
    });
    match nearest {
        Some(key) => format!("{}\ndid you mean `{key}`?", message.trim()),
        None => message.trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::NetworkConfig;
    use crate::models::unet::UnetVariant;

    const SHORT: &str = "name = \"t\"\n[network]\npreset = \"tiny\"\n";

    #[test]
    fn a_resolved_recipe_reads_back_as_itself() {
        let recipe = Recipe::parse("t.toml", SHORT, &["train.epochs=3".into(), "about=a word".into()]).unwrap();
        assert_eq!((recipe.train.epochs, recipe.about.as_str()), (3, "a word"));
        assert_eq!(Recipe::parse("t.toml", &recipe.to_toml(), &[]).unwrap(), recipe);
    }

    #[test]
    fn an_unknown_key_names_the_nearest_known_one() {
        let text = format!("{SHORT}[train]\nepoch = 3\n");
        let message = Recipe::parse("t.toml", &text, &[]).unwrap_err().to_string();
        assert!(message.contains("t.toml") && message.contains("did you mean `epochs`?"), "{message}");
        assert!(message.contains("line 5"), "of the file: {message}");
        let message = Recipe::parse("t.toml", SHORT, &["network.heads=5".into()]).unwrap_err().to_string();
        assert!(message.contains("heads 5 does not divide width 128"), "{message}");
    }

    #[test]
    fn a_unet_has_its_own_keys_and_the_sets_of_layers() {
        const UNET: &str = "name = \"u\"\n[network]\narchitecture = \"unet\"\n[preparation]\nsize = 64\n";
        let parse = |text: &str, settings: &[&str]| {
            let settings: Vec<String> = settings.iter().map(|&setting| setting.to_owned()).collect();
            Recipe::parse("u.toml", text, &settings)
        };
        let recipe = parse(UNET, &["network.width=8", "network.up=upconv2x2", "train.layers=shallow-3"]).unwrap();
        assert_eq!(Recipe::parse("u.toml", &recipe.to_toml(), &[]).unwrap(), recipe);
        let NetworkConfig::Unet(config) = recipe.network.config(64) else { panic!("{recipe:?}") };
        assert_eq!((config.base, config.in_channels, config.variant), (8, 1, UnetVariant::UpConv2x2));
        for (text, setting, said) in [
            (UNET, "network.preset=tiny", "a unet has no preset"),
            (UNET, "network.width=1152921504606846976", "larger than 65536"),
            (UNET, "preparation.size=40", "multiple of 16"),
            (UNET, "train.layers=shallow-0", "shallow-K"),
            (UNET, "train.layers=encoder", "is no set of layers"),
            (UNET, "task=mae", "UNETR"),
            (UNET, "data.fold=1", "need data.folds"),
            (UNET, "data.folds=1", "at least 2"),
            (UNET, "train.steps=0", "at least 1"),
            (SHORT, "network.dropout=0.5", "a unetr has no dropout"),
            (SHORT, "train.layers=deep-2", "those of a U-Net"),
            (SHORT, "network.width=1152921504606846976", "larger than 65536"),
            (SHORT, "network.depth=1152921504606846976", "larger than 65536"),
            (SHORT, "network.feature_size=1152921504606846976", "larger than 65536"),
            ("name = \"t\"\n[network]\n", "seed=1", "preset is missing"),
        ] {
            let message = parse(text, &[setting]).unwrap_err().to_string();
            assert!(message.contains(said), "{setting}: {message}");
        }
        let message = parse(UNET, &["data.folds=5", "data.fold=5"]).unwrap_err().to_string();
        assert!(message.contains("the last one is 4"), "{message}");
    }
}
