//! A recipe describes a run completely: one TOML file, every key known, every default written down.

use serde::de::{Error, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize};
use toml::de::DeTable;

use crate::models::layer_set::LayerSet;
use crate::train::TrainConfig;
use sonoseg_imaging::augment::AugmentConfig;
use sonoseg_imaging::dataset::finding::Finding;
use sonoseg_imaging::dataset::split::Split;
use sonoseg_imaging::geometry::FitConfig;
use sonoseg_imaging::prepare::Preparation;

mod data;
mod further;
mod network;
mod table;
mod task;
mod visit;

pub use data::{DataRecipe, SimulatedRecipe};
pub use further::Further;
pub use network::NetworkRecipe;
use table::Table;
pub use task::{TaskName, TaskRecipe};
pub use visit::TaskVisitor;

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

/// Everything that defines a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recipe {
    /// Short name for run folders and model files.
    pub name: String,
    /// One sentence for people.
    pub about: String,
    /// What the weights learned from, for the model file: for example "simulated ultrasound".
    pub trained_on: String,
    /// Seed of everything random.
    pub seed: u64,
    /// What to learn.
    #[serde(flatten)]
    pub task: TaskRecipe,
    /// The network.
    pub network: NetworkRecipe,
    /// The data.
    pub data: DataRecipe,
    /// Image to network input.
    pub preparation: Preparation,
    /// Random changes of training samples.
    pub augment: AugmentConfig,
    /// Mask to needle; its radius is also the one that targets are drawn with.
    pub needle: FitConfig,
    /// The loop.
    pub train: TrainConfig,
}

/// All keys of a recipe's text: what every recipe has is read from here, what only some have is passed over.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    name: String,
    #[serde(default)]
    about: String,
    #[serde(default)]
    trained_on: String,
    #[serde(default)]
    seed: u64,
    #[serde(default, rename = "task")]
    _task: IgnoredAny,
    #[serde(rename = "network")]
    _network: IgnoredAny,
    #[serde(default)]
    data: DataRecipe,
    #[serde(default)]
    preparation: Preparation,
    #[serde(default)]
    augment: AugmentConfig,
    #[serde(default, rename = "loss")]
    _loss: IgnoredAny,
    #[serde(default, rename = "mae")]
    _mae: IgnoredAny,
    #[serde(default, rename = "contrast")]
    _contrast: IgnoredAny,
    #[serde(default)]
    needle: FitConfig,
    #[serde(default)]
    train: TrainConfig,
}

impl<'de> Deserialize<'de> for Recipe {
    /// As it stands in the header of a model file.
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        Self::read(serde_json::Map::deserialize(json)?).map_err(D::Error::custom)
    }
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
        let read = |text: &str| {
            let recipe = DeTable::parse(text).and_then(Self::read);
            recipe.map_err(|mut error| {
                error.set_input(Some(text));
                invalid(explain(&error.to_string()))
            })
        };
        // Where the file is wrong by itself, its own lines are named.
        let recipe = read(&text).map_err(|error| read(original).err().unwrap_or(error))?;
        match recipe.problem() {
            Some(problem) => Err(invalid(problem)),
            None => Ok(recipe),
        }
    }

    fn read<'de, T: Table<'de>>(mut table: T) -> Result<Self, T::Error> {
        let Keys { name, about, trained_on, seed, data, preparation, augment, needle, train, .. } =
            table.clone().read()?;
        let task = TaskRecipe::take(&mut table)?;
        let network = table.take_table("network")?.ok_or_else(|| T::Error::missing_field("network"))?;
        let network = NetworkRecipe::read(network)?;
        Ok(Self { name, about, trained_on, seed, task, network, data, preparation, augment, needle, train })
    }

    /// The recipe with every default written out.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).unwrap_or_default()
    }

    /// The recipe as model files tell it: with what the split makes of its figures.
    pub fn described(&self, split: &Split) -> Self {
        let mut recipe = self.clone();
        if let Some(caveat) = split.caveat() {
            // It goes on a sentence that begins with "trained on".
            let from = match recipe.trained_on.trim_end_matches('.') {
                "" => "data without a name",
                named => named,
            };
            recipe.trained_on = format!("{from}. {caveat}");
        }
        recipe
    }

    /// What the network is to find.
    pub fn finding(&self) -> Finding {
        self.data.finding()
    }

    fn problem(&self) -> Option<String> {
        if let Some(problem) = self.network_config().sizes().problem() {
            return Some(format!("network: {problem}"));
        }
        if let Some(problem) = self.data.problem() {
            return Some(problem);
        }
        let layers = self.train.layers;
        let has = match (&self.network, &self.task) {
            (_, TaskRecipe::Mae { .. } | TaskRecipe::Contrast { .. }) => layers == LayerSet::All,
            (NetworkRecipe::Unet(_), _) => layers == LayerSet::All || !layers.is_of_encoder(),
            (NetworkRecipe::Unetr(_) | NetworkRecipe::Fcn(_), _) => layers.is_of_encoder(),
            (NetworkRecipe::Resnet(_), _) => layers == LayerSet::All,
        };
        if !has {
            let of = if layers.is_of_encoder() { "UNETR or an FCN" } else { "U-Net" };
            return Some(format!("train.layers: the layers of `{layers}` are those of a {of}; here `all` learns"));
        }
        if let Some(problem) = self.task_problem() {
            return Some(problem);
        }
        if !self.data.balance.is_empty() && !self.reads().labels {
            return Some("data.balance sorts by labels, and this task reads none: leave it out".into());
        }
        if self.augment.still > 0.0 && self.reads().frames == 1 {
            return Some("augment.still is for networks that read several frames, and this one reads one".into());
        }
        if self.train.batch == 0 || self.train.epochs == 0 || self.data.stride == 0 || self.train.passes_per_epoch == 0
        {
            return Some("train.batch, train.epochs, train.passes_per_epoch and data.stride must be at least 1".into());
        }
        if self.train.samples_per_epoch.is_some() && self.train.passes_per_epoch > 1 {
            return Some("train.samples_per_epoch says how long an epoch is: leave train.passes_per_epoch out".into());
        }
        if let (Some(_), false) = (&self.data.simulated, self.finding().is_needles()) {
            let noun = self.finding().noun().to_owned();
            return Some(format!("data.simulated shows needles, and what is looked for is a {noun}: leave it out"));
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
    use crate::losses::overlap::DiceFocalConfig;
    use crate::models::NetworkConfig;
    use crate::models::unet::UnetVariant;
    use crate::tasks::mae::MaeRecipe;

    const SHORT: &str = "name = \"t\"\n[network]\npreset = \"tiny\"\n";

    #[test]
    fn a_resolved_recipe_reads_back_as_itself() {
        let recipe = Recipe::parse("t.toml", SHORT, &["train.epochs=3".into(), "about=a word".into()]).unwrap();
        assert_eq!((recipe.train.epochs, recipe.about.as_str()), (3, "a word"));
        assert_eq!(Recipe::parse("t.toml", &recipe.to_toml(), &[]).unwrap(), recipe);
    }

    #[test]
    fn recipes_of_the_first_format_have_the_tables_of_both_tasks() {
        let text = format!("{SHORT}[loss]\ngamma = 1.0\n[mae]\nmask_ratio = 0.5\n");
        let parse = |settings: &[String]| Recipe::parse("t.toml", &text, settings).unwrap();
        let (segment, mae) = (parse(&[]), parse(&["task=mae".to_owned()]));
        let loss = DiceFocalConfig { gamma: 1.0, ..DiceFocalConfig::default() };
        assert_eq!(segment.task, TaskRecipe::Segment { loss });
        let settings = MaeRecipe { mask_ratio: 0.5, ..MaeRecipe::default() };
        assert_eq!(mae.task, TaskRecipe::Mae { mae: settings });
        for recipe in [segment, mae] {
            assert_eq!(Recipe::parse("t.toml", &recipe.to_toml(), &[]).unwrap(), recipe);
            let json = serde_json::to_string(&recipe).unwrap();
            assert_eq!(serde_json::from_str::<Recipe>(&json).unwrap(), recipe);
        }
    }

    #[test]
    fn an_error_shows_the_line_to_change() {
        for (text, settings, said) in [
            ("[loss]\ngama = 1.0\n", &[][..], ["line 5", "did you mean `gamma`?"]),
            ("[mae]\ntarget = \"pixel\"\n", &["task=mae"], ["target = \"pixel\"", "`pixels`"]),
            ("[netwrk]\n", &[], ["line 4", "did you mean `network`?"]),
            ("[network.up]\n", &[], ["line 4", "unknown field `up`"]),
        ] {
            let settings: Vec<String> = settings.iter().map(|&setting| setting.to_owned()).collect();
            let message = Recipe::parse("t.toml", &format!("{SHORT}{text}"), &settings).unwrap_err().to_string();
            assert!(said.iter().all(|said| message.contains(said)), "{said:?}: {message}");
        }
        let message = Recipe::parse("t.toml", "name = \"t\"\nnetwork = 3\n", &[]).unwrap_err().to_string();
        assert!(message.contains("line 2"), "{message}");
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
    fn an_fcn_has_the_usual_sizes_and_a_residual_network_marks_nothing() {
        const FCN: &str = "name = \"f\"\n[network]\narchitecture = \"fcn\"\npreset = \"resnet18\"\n";
        let parse = |settings: &[&str]| {
            let settings: Vec<String> = settings.iter().map(|&setting| setting.to_owned()).collect();
            Recipe::parse("f.toml", FCN, &settings)
        };
        let recipe = parse(&["network.width=8", "preparation.size=96", "train.layers=last-2"]).unwrap();
        assert_eq!(Recipe::parse("f.toml", &recipe.to_toml(), &[]).unwrap(), recipe);
        let NetworkConfig::Fcn(config) = recipe.network.settings().config(96, 1) else { panic!("{recipe:?}") };
        let backbone = config.backbone;
        assert_eq!((backbone.planes, backbone.output_stride, backbone.image_size), ([8, 16, 32, 64], 8, 96));
        assert_eq!((config.dropout, config.auxiliary_weight), (0.1, 0.4));
        for (setting, said) in [
            ("train.layers=deep-2", "those of a U-Net"),
            ("network.architecture=resnet", "marks none"),
            ("network.output_stride=4", "8, 16 or 32"),
            ("network.auxiliary_weight=-1", "auxiliary_weight must be at least 0"),
            ("network.frames=video_all", "unknown field `frames`"),
            ("task=mae", "UNETR"),
        ] {
            let message = parse(&[setting]).unwrap_err().to_string();
            assert!(message.contains(said), "{setting}: {message}");
        }
        // What the page learns of it, it learns in one part.
        let further = recipe.further(&Further::default(), 6);
        assert_eq!((further.train.batch, further.train.accumulate), (8, 1));
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
        let NetworkConfig::Unet(config) = recipe.network.settings().config(64, 1) else { panic!("{recipe:?}") };
        assert_eq!((config.base, config.in_channels, config.variant), (8, 1, UnetVariant::UpConv2x2));
        for (text, setting, said) in [
            (UNET, "network.preset=tiny", "unknown field `preset`, expected one of `frames`, `width`, `up`, `dropout`"),
            (UNET, "network.width=1152921504606846976", "larger than 65536"),
            (UNET, "preparation.size=40", "multiple of 16"),
            (UNET, "train.layers=shallow-0", "shallow-K"),
            (UNET, "train.layers=encoder", "is no set of layers"),
            (UNET, "task=mae", "UNETR"),
            (UNET, "data.fold=1", "need data.folds"),
            (UNET, "data.folds=1", "at least 2"),
            (UNET, "data.classes=[\"nerve\", \"nerve\"]", "names nerve twice"),
            (UNET, "data.classes=[\"background\"]", "background is no class of its own"),
            (SHORT, "loss.mean_over=pixels", "expected `judged` or `all`"),
            (UNET, "train.steps=0", "at least 1"),
            (SHORT, "network.dropout=0.5", "unknown field `dropout`"),
            (SHORT, "train.layers=deep-2", "those of a U-Net"),
            (UNET, "train.layers=decoder", "those of a UNETR"),
            (SHORT, "train.passes_per_epoch=0", "at least 1"),
            (SHORT, "data.simulated.share=1", "from 0 to below 1"),
            (SHORT, "data.simulated.samples=0", "data.simulated.samples"),
            (SHORT, "network.width=1152921504606846976", "larger than 65536"),
            (SHORT, "network.depth=1152921504606846976", "larger than 65536"),
            (SHORT, "network.feature_size=1152921504606846976", "larger than 65536"),
            ("name = \"t\"\n[network]\n", "seed=1", "missing field `preset`"),
        ] {
            let message = parse(text, &[setting]).unwrap_err().to_string();
            assert!(message.contains(said), "{setting}: {message}");
        }
        let message = parse(UNET, &["data.folds=5", "data.fold=5"]).unwrap_err().to_string();
        assert!(message.contains("the last one is 4"), "{message}");
    }
}
