//! A study: dependent runs described in one TOML file, laid out as commands that anything can execute.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Deserialize;
use sonoseg_core::recipe::{Recipe, RecipeError, TaskName};
use sonoseg_imaging::evaluate::metric;

use crate::failure::Usage;
use crate::files;
use crate::report::quoted;
use crate::train::FINISHED;

/// The file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Study {
    /// Short name.
    pub(crate) name: String,
    /// What it asks, for the report.
    pub(crate) about: String,
    /// What the reader should know before believing the numbers; by scale, `every` for all.
    #[serde(default)]
    pub(crate) remarks: BTreeMap<String, String>,
    /// Names of the scales, with what each one changes in every run.
    scales: BTreeMap<String, Scale>,
    /// How runs make the rows of a cross-validation; none = every run is a row of its own.
    #[serde(default)]
    pub(crate) folds: Option<Folds>,
    /// What the report shows.
    #[serde(default)]
    pub(crate) report: Shown,
    /// The runs. A run comes after the one that it starts from.
    runs: Vec<Run>,
}

/// What the report of a study shows.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Shown {
    /// Figures of the table, by name; none = those of masks. The first has its interval and orders the runs.
    pub(crate) figures: Vec<String>,
    /// Heading of the table of orderings, which is there where the paper gives figures of several runs.
    pub(crate) orderings: String,
    /// Learning curves.
    pub(crate) curves: Vec<Curves>,
    /// Answers of all networks on the same frames.
    pub(crate) answers: Picture,
}

impl Default for Shown {
    fn default() -> Self {
        let headings = [
            (TaskName::Mae, "Pre-training"),
            (TaskName::Contrast, "Contrastive pre-training"),
            (TaskName::Segment, "Fine-tuning"),
        ];
        let curves = headings.map(|(task, heading)| Curves {
            task,
            heading: heading.into(),
            file: format!("{}.svg", heading.to_lowercase().replace(' ', "-")),
        });
        Self {
            figures: Vec::new(),
            orderings: "Which of the published orderings hold here".into(),
            curves: curves.into(),
            answers: Picture { heading: "Answers".into(), file: "answers.png".into() },
        }
    }
}

/// Curves of the runs of one task over each other.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Curves {
    /// Runs of this task.
    pub(crate) task: TaskName,
    /// Above the picture.
    pub(crate) heading: String,
    /// File name of the picture.
    pub(crate) file: String,
}

/// A picture of the report.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Picture {
    /// Above the picture.
    pub(crate) heading: String,
    /// File name of the picture.
    pub(crate) file: String,
}

/// How the runs of a study make rows.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Folds {
    /// Runs that differ in this choice only are the folds of one row.
    pub(crate) over: String,
    /// The choice that says which layers learn: what rows are called.
    pub(crate) layers: String,
    /// The figure over the number of blocks that learn.
    #[serde(default = "blocks")]
    pub(crate) blocks: Picture,
    /// Rows whose answers are shown, in this order, behind those of the network that they start from.
    #[serde(default)]
    pub(crate) answers: Vec<String>,
    /// What the paper measured, by scale and row: every figure of the report and its spread in turn, `nan` where it gives none.
    #[serde(default)]
    pub(crate) published: BTreeMap<String, BTreeMap<String, Vec<f64>>>,
}

fn blocks() -> Picture {
    Picture { heading: "How many blocks learn".into(), file: "blocks.svg".into() }
}

/// Settings that fit a study to a machine.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Scale {
    /// For every run.
    every: Vec<String>,
    /// For pre-training by hidden patches.
    mae: Vec<String>,
    /// For contrastive pre-training.
    contrast: Vec<String>,
    /// For segmentation runs.
    segment: Vec<String>,
}

/// One run of a study.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Run {
    /// Folder name.
    pub(crate) name: String,
    /// What it is called in tables.
    pub(crate) label: String,
    /// Recipe file, from the study's folder.
    recipe: PathBuf,
    /// Settings by scale; `every` for all scales.
    #[serde(default)]
    settings: BTreeMap<String, Vec<String>>,
    /// The run, or the input, that it starts from.
    #[serde(default)]
    pub(crate) init: Option<String>,
    /// The input that it learns from; without it, the study's data.
    #[serde(default)]
    data: Option<String>,
    /// Scales that have this run; none = all. Elsewhere an input of this name takes its place.
    #[serde(default)]
    scales: Option<BTreeSet<String>>,
    /// What the paper measured: the study's figures as far as it has them, shares in percent.
    #[serde(default)]
    pub(crate) published: Vec<f64>,
    /// Which weights are measured.
    #[serde(default)]
    weights: Weights,
    /// Choices by name: one run for every combination, in which `{name}` stands for what is chosen.
    #[serde(default)]
    vary: BTreeMap<String, Vec<String>>,
    /// What is chosen in this run.
    #[serde(skip)]
    pub(crate) cell: BTreeMap<String, String>,
}

/// Weights of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Weights {
    /// Those that were best on what is held out.
    #[default]
    Best,
    /// Those of the end: nothing that is held out has chosen them.
    Last,
}

impl Run {
    /// A run for every combination of what varies, the first choice changing slowest.
    fn expanded(&self) -> Vec<Self> {
        let mut runs = vec![Self { vary: BTreeMap::new(), ..self.clone() }];
        for (name, values) in &self.vary {
            runs = runs.iter().flat_map(|run| values.iter().map(|value| run.with(name, value))).collect();
        }
        runs
    }

    fn with(&self, name: &str, value: &str) -> Self {
        let fill = |text: &str| text.replace(&format!("{{{name}}}"), value);
        let mut run = Self { name: fill(&self.name), label: fill(&self.label), ..self.clone() };
        run.settings.values_mut().flatten().for_each(|setting| *setting = fill(setting));
        run.init = self.init.as_deref().map(fill);
        run.cell.insert(name.to_owned(), value.to_owned());
        run
    }
}

impl Planned {
    /// Whether the training has come to its end.
    pub(crate) fn finished(&self) -> bool {
        self.folder.join(FINISHED).exists()
    }

    /// The model that is measured, and that other runs start from.
    pub(crate) fn model(&self) -> PathBuf {
        match self.run.weights {
            Weights::Best => self.folder.clone(),
            Weights::Last => self.folder.join("last.safetensors"),
        }
    }
}

/// A run with its commands.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub(crate) run: Run,
    pub(crate) task: TaskName,
    pub(crate) folder: PathBuf,
    /// Runs of an earlier stage must be done before this one starts.
    pub(crate) stage: usize,
    /// Arguments of `sonoseg`, to be executed one after the other. Training does nothing where it is done already; an
    /// evaluation measures again, and a study leaves it out where it is done.
    pub(crate) commands: Vec<Vec<String>>,
}

/// Where a study runs.
pub(crate) struct Place<'a> {
    pub(crate) file: &'a Path,
    pub(crate) data: &'a Path,
    pub(crate) out: &'a Path,
    pub(crate) scale: &'a str,
    pub(crate) device: &'a str,
    /// Data folders and model files by name.
    pub(crate) inputs: &'a BTreeMap<String, PathBuf>,
}

impl Study {
    /// Read a study.
    pub(crate) fn open(file: &Path) -> Result<Self> {
        let name = files::absolute(file);
        let mut study: Self = toml::from_str(&files::read_text(file)?)
            .map_err(|e| RecipeError::Invalid { name: name.clone(), reason: e.to_string() })?;
        study.runs = study.runs.iter().flat_map(Run::expanded).collect();
        let mut names = BTreeSet::new();
        if let Some(run) = study.runs.iter().find(|run| !names.insert(&run.name)) {
            let reason =
                format!("two runs are called {}: put {{..}} of everything that varies into the name", run.name);
            return Err(RecipeError::Invalid { name, reason }.into());
        }
        if study.report.figures.is_empty() {
            let figures = match &study.folds {
                Some(_) => ["mean_dice_one", "mean_pixel_error", "mean_adjusted_rand"],
                None => ["iou", "recall", "precision"],
            };
            study.report.figures = figures.map(str::to_owned).to_vec();
        }
        if let Some(unknown) = study.report.figures.iter().find(|name| metric(name).is_none()) {
            let reason = format!(
                "report.figures: no evaluation gives {unknown}: the names are those of `figures` in a metrics.json"
            );
            return Err(RecipeError::Invalid { name, reason }.into());
        }
        if let Some(reason) = study.misplaced() {
            return Err(RecipeError::Invalid { name, reason }.into());
        }
        Ok(study)
    }

    /// Published numbers that would stand under the wrong figure, if any.
    fn misplaced(&self) -> Option<String> {
        let (figures, count) = (&self.report.figures, self.report.figures.len());
        let many = self.runs.iter().find(|run| run.published.len() > count);
        let rows = self.folds.iter().flat_map(|folds| folds.published.values().flatten());
        let odd = rows.into_iter().find(|(_, numbers)| numbers.len() != 2 * count);
        let told = |name: &str, held: usize, wanted: String| {
            format!("`published` of {name} has {held} numbers, and report.figures {figures:?} take {wanted}")
        };
        many.map(|run| told(&run.name, run.published.len(), format!("{count} at most"))).or_else(|| {
            odd.map(|(row, numbers)| told(row, numbers.len(), format!("{}: each with its spread", 2 * count)))
        })
    }

    /// The runs of a scale in an order in which they can be executed.
    pub(crate) fn plan(&self, place: &Place<'_>) -> Result<Vec<Planned>> {
        let invalid = |reason: String| RecipeError::Invalid { name: files::absolute(place.file), reason };
        let Some(scale) = self.scales.get(place.scale) else {
            let known: Vec<&String> = self.scales.keys().collect();
            return Err(Usage(format!("--scale {}: the study has {known:?}", place.scale)).into());
        };
        let here = |run: &&Run| run.scales.as_ref().is_none_or(|scales| scales.contains(place.scale));
        let mut planned: Vec<Planned> = Vec::new();
        for run in self.runs.iter().filter(here) {
            let recipe = place.file.parent().unwrap_or(Path::new("")).join(&run.recipe);
            // A run's own settings say the task, where it uses a recipe for another one.
            let own: Vec<String> =
                ["every", place.scale].iter().filter_map(|key| run.settings.get(*key)).flatten().cloned().collect();
            let parsed = Recipe::parse(&files::absolute(&recipe), &files::read_text(&recipe)?, &own)?;
            let of_task = match parsed.task.name() {
                TaskName::Mae => &scale.mae,
                TaskName::Contrast => &scale.contrast,
                TaskName::Segment => &scale.segment,
            };
            let settings: Vec<&String> = scale.every.iter().chain(of_task).chain(&own).collect();
            let mut stage = 0;
            let init = match &run.init {
                None => None,
                Some(name) => match planned.iter().find(|other| other.run.name == *name) {
                    Some(other) => {
                        stage = other.stage + 1;
                        Some(other.model())
                    }
                    None => Some(input(place, name).map_err(|reason| invalid(format!("run {}: {reason}", run.name)))?),
                },
            };
            let data = match &run.data {
                None => place.data.to_owned(),
                Some(name) => input(place, name).map_err(|reason| invalid(format!("run {}: {reason}", run.name)))?,
            };
            let folder = place.out.join("runs").join(&run.name);
            let path = |path: &Path| path.display().to_string();
            let mut words = vec!["train".to_owned(), path(&recipe)];
            let options = [("--data", path(&data)), ("--out", path(&folder)), ("--device", place.device.to_owned())];
            words.extend(options.into_iter().flat_map(|(option, value)| [option.to_owned(), value]));
            words.push("--continue".into());
            words.extend(init.iter().flat_map(|init| ["--init".to_owned(), path(init)]));
            words.extend(settings.into_iter().flat_map(|setting| ["--set".to_owned(), setting.clone()]));
            let mut run = Planned { run: run.clone(), task: parsed.task.name(), folder, stage, commands: vec![words] };
            if !parsed.task.pretrains() {
                let (model, out) = (path(&run.model()), path(&run.folder.join(MEASURED)));
                let words = ["evaluate", &model, "--data", &path(&data), "--split", "val", "--out", &out];
                let device = ["--device", place.device];
                run.commands.push(words.into_iter().chain(device).map(str::to_owned).collect());
            }
            planned.push(run);
        }
        Ok(planned)
    }
}

/// Folder of a run with the study's measures: of the weights that the study names, where `sonoseg report` takes the best.
pub(crate) const MEASURED: &str = "measured";

fn input(place: &Place<'_>, name: &str) -> Result<PathBuf, String> {
    place.inputs.get(name).cloned().ok_or_else(|| {
        format!("`{name}` is neither an earlier run at this scale nor an input: give it with --input {name}=PATH")
    })
}

/// A command as a shell reads it.
pub(crate) fn shell(words: &[String]) -> String {
    let words = words.iter().map(|word| quoted(Path::new(word)));
    std::iter::once("sonoseg".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(scale: &str, input: &str) -> Result<Vec<Planned>> {
        plan_of("needle-table4", scale, input)
    }

    fn plan_of(name: &str, scale: &str, input: &str) -> Result<Vec<Planned>> {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../recipes/studies/{name}.toml"));
        let study = Study::open(&file)?;
        let inputs = BTreeMap::from([(input.to_owned(), PathBuf::from("given"))]);
        let (data, out) = (Path::new("my data"), Path::new("out"));
        study.plan(&Place { file: &file, data, out, scale, device: "flex", inputs: &inputs })
    }

    #[test]
    fn table_4_has_its_eight_rows_at_both_scales_and_every_recipe_of_it_can_be_run() {
        for (scale, input, pretraining) in [("tiny", "natural", 5), ("paper", "general", 4)] {
            let planned = plan(scale, input).unwrap();
            let count = |task| planned.iter().filter(|run| run.task == task).count();
            assert_eq!((count(TaskName::Mae), count(TaskName::Segment)), (pretraining, 8), "{scale}");
            planned.iter().for_each(|run| drop(recipe_of(run)));
        }
        let message = plan("paper", "natural").unwrap_err().to_string();
        assert!(message.contains("--input general=PATH"), "{message}");
        assert!(plan("huge", "natural").unwrap_err().to_string().contains("paper"));
    }

    fn recipe_of(run: &Planned) -> Recipe {
        let words = &run.commands[0];
        let settings: Vec<String> =
            words.windows(2).filter(|pair| pair[0] == "--set").map(|pair| pair[1].clone()).collect();
        Recipe::parse(&words[1], &files::read_text(Path::new(&words[1])).unwrap(), &settings).unwrap()
    }

    #[test]
    fn published_numbers_stand_under_their_figures_or_are_refused() {
        let text = |report: &str, numbers: &str| {
            format!(
                "name = \"s\"\nabout = \"\"\n{report}\n[scales.tiny]\n[folds]\nover = \"f\"\nlayers = \"l\"\n\
                 published.tiny.all = {numbers}\n[[runs]]\nname = \"r\"\nlabel = \"r\"\nrecipe = \"r.toml\"\n"
            )
        };
        let folder = tempfile::tempdir().unwrap();
        let open = |report: &str, numbers: &str| {
            let path = folder.path().join("s.toml");
            std::fs::write(&path, text(report, numbers)).unwrap();
            Study::open(&path)
        };
        let six = "[0.8, 0.1, 1.0, 0.1, 0.7, nan]";
        let figures = open("", six).unwrap().report.figures;
        assert_eq!(figures, ["mean_dice_one", "mean_pixel_error", "mean_adjusted_rand"], "as studies had it");
        let message = open("[report]\nfigures = [\"iou\"]", six).unwrap_err().to_string();
        assert!(message.contains("`published` of all has 6 numbers") && message.contains("take 2"), "{message}");
        assert!(open("[report]\nfigures = [\"iou\"]", "[0.8, nan]").is_ok());
        let message = open("[report]\nfigures = [\"iuo\"]", "[0.8, nan]").unwrap_err().to_string();
        assert!(message.contains("no evaluation gives iuo"), "{message}");
    }

    #[test]
    fn what_varies_makes_a_run_for_every_combination() {
        for scale in ["tiny", "paper", "xray"] {
            let planned = plan_of("unet-layers", scale, "natural").unwrap();
            assert_eq!(planned.len(), 1 + 5 * 19, "{scale}: 17 steps and 2 parts in 5 folds, and where they begin");
            let begin = planned[0].model().display().to_string();
            assert!(begin.ends_with("runs/natural/last.safetensors"));
            let mut cells = BTreeSet::new();
            for run in &planned[1..] {
                let recipe = recipe_of(run);
                assert_eq!((recipe.data.fold.to_string(), recipe.train.layers.to_string()), {
                    let cell = &run.run.cell;
                    (cell["fold"].clone(), cell["layers"].clone())
                });
                assert!(run.stage == 1 && run.commands[0].contains(&begin), "{}", run.run.name);
                cells.insert(run.run.cell.clone());
            }
            assert_eq!(cells.len(), 5 * 19, "{scale}: every combination once");
        }
    }

    #[test]
    fn a_run_comes_a_stage_after_the_one_that_it_starts_from() {
        let planned = plan("tiny", "natural").unwrap();
        let stage = |name: &str| planned.iter().find(|run| run.run.name == name).unwrap().stage;
        assert_eq!(["general", "mae-v2", "sf-v2", "sf-none"].map(stage), [0, 1, 2, 0]);
        let line = shell(&planned.last().unwrap().commands[0]);
        assert!(line.contains("--data 'my data'") && line.contains("--init out/runs/general"), "{line}");
    }
}
