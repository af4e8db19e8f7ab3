//! What a run is made of before its first step: recipe, data, split, device; new, or read back from its folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rayon::prelude::*;
use sonoseg_core::recipe::Recipe;
use sonoseg_core::train::Position;
pub(crate) use sonoseg_core::train::record::FINISHED;
use sonoseg_core::train::record::{ENVIRONMENT, Environment, RECIPE, RESUME, SPLIT};
use sonoseg_imaging::DataError;
use sonoseg_imaging::dataset::sample::Target;
use sonoseg_imaging::dataset::split::{Side, Split};
use sonoseg_imaging::evaluate::Traits;
use sonoseg_imaging::evaluate::balance::balanced;
use sonoseg_imaging::rng::Rng;

use crate::args::Train;
use crate::device::{self, Chosen};
use crate::failure::Usage;
use crate::files;
use crate::folder::contents::{CONTENTS, Contents};
use crate::folder::{Folder, split_config};
use crate::lock;
use crate::report::origins::{Origin, origins};
use crate::table::count;
use crate::terminal::{say, warn};

/// Whether a folder holds nothing but what a run writes before its first save, if anything: there is nothing to lose.
fn begun_in_vain(folder: &Path) -> Result<bool> {
    const EARLY: [&str; 6] = ["lock", ENVIRONMENT, CONTENTS, "origins.json", SPLIT, RECIPE];
    let mut early = true;
    for entry in fs::read_dir(folder).with_context(|| files::absolute(folder))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        early &= EARLY.contains(&name.strip_suffix(".part").unwrap_or(&name));
    }
    Ok(early && (folder.join(ENVIRONMENT).exists() || !folder.join(RECIPE).exists()))
}

/// Whether some label of the samples shows what is looked for. The first sample tells, as a rule.
fn any_shows_something(data: &Folder, samples: &[usize]) -> Result<bool> {
    for &index in samples {
        if data.sample(index)?.targets.iter().any(Target::shows_something) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A run that can begin.
pub(super) struct Setup {
    pub(super) folder: PathBuf,
    pub(super) recipe: Recipe,
    pub(super) data_path: PathBuf,
    pub(super) data: Folder,
    pub(super) split: Split,
    pub(super) train: Vec<usize>,
    pub(super) val: Vec<usize>,
    pub(super) device: Chosen,
    pub(super) resumed: bool,
    /// Held as long as the run lasts.
    _lock: File,
}

/// `environment.json` of a run.
fn environment(folder: &Path) -> Result<Environment> {
    let path = folder.join(ENVIRONMENT);
    let text = files::read_text(&path)?;
    Ok(serde_json::from_str(&text).map_err(|e| DataError::unreadable(files::absolute(&path), e))?)
}

impl Setup {
    /// A new run, or the one that `--resume` names.
    pub(super) fn of(verb: &Train) -> Result<Self> {
        if let Some(folder) = &verb.resume {
            if !folder.join(RESUME).exists() {
                let message = format!("{} is no run that can be resumed: it has no {RESUME}", files::absolute(folder));
                return Err(DataError::Inconsistent(message).into());
            }
            return Self::resume(verb, folder, lock::take(folder, false)?);
        }
        let (Some(data), Some(folder)) = (&verb.data, &verb.out) else {
            return Err(Usage("a new run needs RECIPE, --data and --out".into()).into());
        };
        // Before the lock, which makes the folder.
        let taken = folder.exists() && !begun_in_vain(folder)?;
        if taken && !verb.or_continue {
            let message = format!(
                "{} exists already: choose another --out, or go on with it by --resume {}",
                files::absolute(folder),
                folder.display()
            );
            return Err(DataError::Inconsistent(message).into());
        }
        let recipe = Self::new_recipe(verb)?;
        // With `--continue`, what another program does there decides whether this run begins, goes on or is finished.
        let lock = lock::take(folder, verb.or_continue)?;
        if folder.join(RESUME).exists() {
            Self::check_same(verb, folder, &recipe)?;
            return Self::resume(verb, folder, lock);
        }
        if taken && (!folder.join(ENVIRONMENT).exists() || folder.join(FINISHED).exists()) {
            let message = format!(
                "{} holds something that is no run to go on with: choose another --out",
                files::absolute(folder)
            );
            return Err(DataError::Inconsistent(message).into());
        }
        let setup = Self::open(verb, folder, recipe, data, None, lock)?;
        setup.write(verb)?;
        Ok(setup)
    }

    /// An error unless the run in the folder is the one that is asked for.
    fn check_same(verb: &Train, folder: &Path, recipe: &Recipe) -> Result<()> {
        let other = |what: String| {
            let message =
                format!("{} was begun with {what}: choose another --out, or remove it", files::absolute(folder));
            Err(DataError::Inconsistent(message).into())
        };
        let path = folder.join(RECIPE);
        // Read back and not compared as text: an older file does not name settings that are newer than it.
        if Recipe::parse(&files::absolute(&path), &files::read_text(&path)?, &[])? != *recipe {
            return other("other settings".into());
        }
        let begun = environment(folder)?;
        for (what, now, then) in [
            ("--data", verb.data.as_deref(), Some(begun.data.as_path())),
            ("--init", verb.init.as_deref(), begun.init.as_deref()),
        ] {
            let same = match (now, then) {
                (Some(now), Some(then)) => files::same(now, then),
                (now, then) => now == then,
            };
            if !same {
                let then = then.map_or_else(|| "none".into(), files::absolute);
                return other(format!("another {what} ({then})"));
            }
        }
        Ok(())
    }

    fn new_recipe(verb: &Train) -> Result<Recipe> {
        let path = verb.recipe.as_deref().unwrap_or(Path::new(""));
        Ok(Recipe::parse(&files::absolute(path), &files::read_text(path)?, &verb.all_settings())?)
    }

    fn resume(verb: &Train, folder: &Path, lock: File) -> Result<Self> {
        let path = folder.join(RECIPE);
        let (name, text) = (files::absolute(&path), files::read_text(&path)?);
        let (recipe, begun) = (Recipe::parse(&name, &text, &verb.all_settings())?, Recipe::parse(&name, &text, &[])?);
        let mut limited = begun.clone();
        limited.train.epochs = recipe.train.epochs;
        limited.train.steps = recipe.train.steps;
        limited.train.patience = recipe.train.patience;
        if limited != recipe {
            let message = "--resume goes on with the settings of the run, of which --epochs, --steps and --patience can be \
                           changed: for others begin a new run with --init";
            return Err(Usage(message.into()).into());
        }

        let environment = environment(folder)?;
        let path = folder.join(SPLIT);
        let split = serde_json::from_str(&files::read_text(&path)?)
            .map_err(|e| DataError::unreadable(files::absolute(&path), e))?;
        let data = verb.data.as_ref().unwrap_or(&environment.data);
        let setup = Self::open(verb, folder, recipe, data, Some(split), lock)?;
        if setup.train.len() != environment.train_samples || setup.val.len() != environment.val_samples {
            let message = format!(
                "the run began with {} samples to learn from and {} held out, and {} has {} and {}: give the same data, \
                 or begin a new run with --init",
                environment.train_samples,
                environment.val_samples,
                files::absolute(data),
                setup.train.len(),
                setup.val.len()
            );
            return Err(DataError::Inconsistent(message).into());
        }
        setup.check_contents(data)?;
        if setup.recipe != begun {
            setup.write_limits(&begun)?;
        }
        Ok(setup)
    }

    /// An error when the data are not those that the run began with, whatever their names.
    fn check_contents(&self, data: &Path) -> Result<()> {
        let Some(then) = Contents::of_run(&self.folder)? else {
            say(
                "the run began before sonoseg kept a hash of its data, so that it cannot tell whether they are the same",
            );
            return Ok(());
        };
        let now = Contents::of(&self.data, &self.groups())?;
        let Some(changed) = then.changed(&now, self.recipe.reads().labels) else { return Ok(()) };
        let message = format!(
            "{} is not what the run began with: {changed}. Give the data of then with --data, or begin a new run with these \
             by --init {}",
            files::absolute(data),
            self.folder.display()
        );
        Err(DataError::Inconsistent(message).into())
    }

    /// All groups that are learned from or measured on.
    fn groups(&self) -> BTreeSet<String> {
        self.split.train.union(&self.split.val).cloned().collect()
    }

    /// Note new limits of a run that goes on.
    fn write_limits(&self, begun: &Recipe) -> Result<()> {
        let finished = self.folder.join(FINISHED);
        if finished.exists() {
            fs::remove_file(&finished).with_context(|| files::absolute(&finished))?;
        }
        let path = self.folder.join("origins.json");
        let mut origins: BTreeMap<String, Origin> = if path.exists() {
            serde_json::from_str(&files::read_text(&path)?)
                .map_err(|e| DataError::unreadable(files::absolute(&path), e))?
        } else {
            BTreeMap::new()
        };
        let (now, then) = (&self.recipe.train, &begun.train);
        let limits = [
            ("train.epochs", now.epochs != then.epochs),
            ("train.steps", now.steps != then.steps),
            ("train.patience", now.patience != then.patience),
        ];
        origins.extend(limits.iter().filter(|(_, new)| *new).map(|(key, _)| ((*key).to_owned(), Origin::Setting)));
        files::write(&path, serde_json::to_string_pretty(&origins)?.as_bytes())?;
        files::write(&self.folder.join(RECIPE), self.recipe.to_toml().as_bytes())
    }

    fn open(
        verb: &Train,
        folder: &Path,
        recipe: Recipe,
        data_path: &Path,
        split: Option<Split>,
        lock: File,
    ) -> Result<Self> {
        let resumed = split.is_some();
        let data = Folder::for_recipe(data_path, &recipe)?;
        let split = match split {
            Some(split) => split,
            None => data.split(&recipe)?,
        };
        let share = recipe.data.val_share;
        let stored = !resumed && recipe.data.folds == 0 && data_path.join("splits.json").exists();
        let other = |drawn: Split| (drawn.val.len(), drawn.held_frames()) != (split.val.len(), split.held_frames());
        if stored && share == 0.0 {
            say("data.val_share = 0: splits.json of the data is not used, and nothing is held out");
        } else if stored && data.drawn(&split_config(&recipe)).is_ok_and(other) {
            let held = match split.stretches.len() {
                0 => format!("{} of {} groups", split.val.len(), data.groups().len()),
                stretches => count(stretches, "interval"),
            };
            say(format!("data.val_share = {share} is not used: splits.json of the data holds out {held}"));
        }
        let stride = recipe.data.stride;
        let samples = |side: Option<(&Split, Side)>| {
            if recipe.reads().labels { data.labelled_samples(side, stride) } else { data.samples(side, stride) }
        };
        let (mut train, val) = (samples(Some((&split, Side::Train))), samples(Some((&split, Side::Val))));
        if recipe.data.leaky_folds {
            warn(
                "data.leaky_folds: what is held out is learned, too, so that the figures say nothing about other patients",
            );
            train = samples(None);
        }
        let root = files::absolute(data.root());
        if let Some(few) = recipe.data.samples {
            if train.len() < few {
                return Err(DataError::Inconsistent(format!(
                    "{root}: data.samples = {few}, and only {} samples are there to learn from: set it lower or leave it out",
                    train.len()
                ))
                .into());
            }
            let mut drawn = Rng::stream(recipe.seed, "samples", [0, 0]).permutation(train.len());
            drawn.truncate(few);
            drawn.sort_unstable();
            train = drawn.into_iter().map(|at| train[at]).collect();
        }
        if split.val.is_empty() && !split.stretches.is_empty() && val.is_empty() {
            return Err(DataError::Inconsistent(format!(
                "{root}: the intervals that its splits.json holds out hold no sample, because they are too short or nothing \
                 there is labelled: label frames there, make them longer, or remove the file, and training draws its own"
            ))
            .into());
        }
        if train.is_empty() && !split.stretches.is_empty() {
            return Err(DataError::Inconsistent(format!(
                "{root}: the intervals that its splits.json holds out, with the gaps around them, leave nothing to learn \
                 from: make them shorter, label frames outside of them, or remove the file, and training draws its own"
            ))
            .into());
        }
        for (samples, groups) in [(&train, &split.train), (&val, &split.val)] {
            if samples.is_empty() && !groups.is_empty() {
                let groups = groups.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
                return Err(DataError::Inconsistent(format!(
                    "{root}: no frames of {groups} are labelled: write labels.csv or masks/, see `sonoseg check`"
                ))
                .into());
            }
        }
        if recipe.reads().labels {
            let finding = recipe.finding();
            let noun = finding.noun();
            if !train.is_empty() && !any_shows_something(&data, &train)? {
                return Err(DataError::Inconsistent(format!(
                    "{root}: none of the {} samples to learn from shows a pixel of any {noun}, which leaves nothing to learn \
                     from: look at the masks, see `sonoseg check`",
                    train.len()
                ))
                .into());
            }
            if !val.is_empty() && !any_shows_something(&data, &val)? {
                warn(format!(
                    "none of the {} samples that are held out shows a pixel of any {noun}: how well it is found cannot be \
                     measured on them",
                    val.len()
                ));
            }
        }
        let by = recipe.data.balanced_by();
        if !by.is_empty() {
            let traits = train.par_iter().map(|&index| Ok(Traits::new(&data.sample(index)?)));
            let traits: Vec<Option<Traits>> = traits.collect::<Result<_, DataError>>()?;
            let traits: Vec<Traits> = traits.into_iter().map(|traits| traits.unwrap_or(Traits::NoNeedle)).collect();
            let samples = balanced(&traits, &by, recipe.seed);
            if samples.len() == train.len() {
                warn(format!(
                    "data.balance = {:?} changes nothing: no bin of the samples to learn from is rarer than the others, or nothing \
                     there has what they are sorted by",
                    recipe.data.balance
                ));
            }
            train = samples.into_iter().map(|at| train[at]).collect();
        }
        Ok(Self {
            folder: folder.to_owned(),
            recipe,
            data_path: data_path.to_owned(),
            data,
            split,
            train,
            val,
            device: device::choose(verb.device)?,
            resumed,
            _lock: lock,
        })
    }

    fn write(&self, verb: &Train) -> Result<()> {
        let write = |name: &str, text: String| files::write(&self.folder.join(name), text.as_bytes());
        let environment = Environment {
            sonoseg: env!("CARGO_PKG_VERSION").into(),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            device: self.device.name.clone(),
            data: std::path::absolute(&self.data_path)?,
            init: verb.init.as_deref().map(std::path::absolute).transpose()?,
            train_samples: self.train.len(),
            val_samples: self.val.len(),
        };
        write(ENVIRONMENT, serde_json::to_string_pretty(&environment)?)?;
        write(CONTENTS, serde_json::to_string_pretty(&Contents::of(&self.data, &self.groups())?)?)?;
        let table = |text: &str| text.parse::<toml::Table>().unwrap_or_default();
        let file = verb.recipe.as_deref().map(files::read_text).transpose()?.unwrap_or_default();
        let origins = origins(&table(&self.recipe.to_toml()), &table(&file), &verb.all_settings());
        write("origins.json", serde_json::to_string_pretty(&origins)?)?;
        write(SPLIT, serde_json::to_string_pretty(&self.split)?)?;
        write(RECIPE, self.recipe.to_toml())
    }

    /// True when the run ended of its own accord.
    pub(super) fn finished(&self) -> bool {
        self.folder.join(FINISHED).exists()
    }

    /// Note that the run ended of its own accord, and where.
    pub(super) fn finish(&self, position: &Position) -> Result<()> {
        files::write(&self.folder.join(FINISHED), serde_json::to_string_pretty(position)?.as_bytes())
    }

    /// What is about to happen, in one line.
    pub(super) fn announce(&self) {
        let held_out = match (self.split.stretches.len(), self.split.val.len()) {
            (0, 0) => "none held out".into(),
            (0, groups) => format!("{} of {groups} held out", self.val.len()),
            (stretches, _) => format!("{} in {} held out", self.val.len(), count(stretches, "interval")),
        };
        say(format!(
            "{}: {} samples of {} to learn from, {held_out}, {} x {} samples an update, on {}",
            self.recipe.name,
            self.train.len(),
            count(self.split.train.len(), "group"),
            self.recipe.train.accumulate.max(1),
            self.recipe.train.batch,
            self.device.name
        ));
        if let Some(caveat) = self.split.caveat() {
            warn(caveat);
        }
    }

    /// The recipe as model files tell it: with what the split makes of its figures.
    pub(super) fn described(&self) -> Recipe {
        self.recipe.described(&self.split)
    }
}
