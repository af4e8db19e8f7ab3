//! `sonoseg train`: the loop of core with files around it.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::json;
use sonoseg_core::checkpoint::Storage;
use sonoseg_core::data::DataError;
use sonoseg_core::models::unetr::Unetr;
use sonoseg_core::predict::{ModelHeader, Predictor};
use sonoseg_core::recipe::Recipe;
use sonoseg_core::tasks::Task;
use sonoseg_core::train::{Event, Flow, train};

use crate::args::Train;
use crate::device;
use crate::feed::ThreadFeed;
use crate::files;
use crate::folder::Folder;
use crate::terminal::{bar, say};

pub(crate) fn run(verb: &Train) -> Result<()> {
    let recipe = Recipe::parse(&files::absolute(&verb.recipe), &files::read_text(&verb.recipe)?, &verb.settings)?;
    if verb.out.exists() {
        let message = format!("{} exists already: choose another --out", files::absolute(&verb.out));
        return Err(DataError::Inconsistent(message).into());
    }
    let task = recipe.segment();
    let data = Folder::open(&verb.data, task.frames.window())?;
    let split = data.split(recipe.data.val_share, recipe.seed)?;
    let samples = |groups: &BTreeSet<String>| data.labelled_samples(groups, recipe.data.stride);
    let (learn, hold) = (samples(&split.train)?, samples(&split.val)?);
    let chosen = device::choose(verb.device)?;
    let header = ModelHeader::of(&recipe);

    // Burn's own randomness (initial weights) is seeded once per run.
    chosen.device.seed(recipe.seed);
    let model = match &verb.init {
        Some(path) => files::load_model(path, &chosen.device.clone().autodiff())?.into_network(&header)?,
        None => task.init(&chosen.device.clone().autodiff()),
    };
    files::write(&verb.out.join("recipe.toml"), recipe.to_toml().as_bytes())?;
    files::write(&verb.out.join("splits.json"), serde_json::to_string_pretty(&split)?.as_bytes())?;
    let environment = json!({
        "sonoseg": env!("CARGO_PKG_VERSION"), "device": chosen.name, "data": files::absolute(&verb.data),
        "init": verb.init, "train_samples": learn.len(), "val_samples": hold.len(),
    });
    files::write(&verb.out.join("environment.json"), serde_json::to_string_pretty(&environment)?.as_bytes())?;
    say(format!(
        "{}: {} samples of {} groups to learn from, {} of {} held out, on {}",
        recipe.name,
        learn.len(),
        split.train.len(),
        hold.len(),
        split.val.len(),
        chosen.name
    ));

    let mut report = Report::new(&verb.out, header, &chosen.device)?;
    let threads = thread::available_parallelism().map_or(1, usize::from).min(4);
    thread::scope(|scope| {
        let mut feed = ThreadFeed::new(scope, &data, &task, recipe.seed, threads);
        let observe = async |event: Event<'_, Unetr>| report.tell(event).await.map_err(|e| format!("{e:#}"));
        let samples = [learn.as_slice(), hold.as_slice()];
        let run = train(&task, model, &recipe.train, recipe.seed, samples, &mut feed, &chosen.device, observe);
        pollster::block_on(run).map(|_| ())
    })?;
    report.progress.finish_and_clear();
    say(format!("next: sonoseg evaluate {} --data {}", verb.out.display(), verb.data.display()));
    Ok(())
}

/// Events to a bar, a line per epoch, `metrics.jsonl` and model files.
struct Report<'a> {
    out: &'a Path,
    header: ModelHeader,
    device: &'a burn::tensor::Device,
    metrics: std::fs::File,
    progress: indicatif::ProgressBar,
    started: Instant,
}

impl<'a> Report<'a> {
    fn new(out: &'a Path, header: ModelHeader, device: &'a burn::tensor::Device) -> Result<Self> {
        let path = out.join("metrics.jsonl");
        let metrics = std::fs::File::create(&path).with_context(|| files::absolute(&path))?;
        Ok(Self { out, header, device, metrics, progress: bar(0, "training"), started: Instant::now() })
    }

    async fn tell(&mut self, event: Event<'_, Unetr>) -> Result<Flow> {
        let seconds = self.started.elapsed().as_secs_f64();
        match event {
            Event::Step { epoch, step, steps, loss, rate } => {
                self.progress.set_length(steps as u64);
                self.progress.set_position(step as u64 + 1);
                self.progress.set_message(format!("epoch {} loss {loss:.4}", epoch + 1));
                let line = json!({ "epoch": epoch, "step": step, "loss": loss, "rate": rate, "seconds": seconds });
                writeln!(self.metrics, "{line}")?;
            }
            Event::Epoch { epoch, train_loss, val, best_loss, best_iou, model } => {
                let (val_loss, iou) = (val.mean_loss(), val.counts.iou());
                let mark = if best_iou { " *" } else { "" };
                self.progress.suspend(|| {
                    say(format!(
                        "epoch {:>3}  train loss {train_loss:.4}  val loss {val_loss:.4}  val IoU {iou:.4}  {seconds:.0} s{mark}",
                        epoch + 1
                    ));
                });
                let line = json!({
                    "epoch": epoch, "train_loss": train_loss, "val_loss": val_loss, "val_iou": iou,
                    "val_precision": val.counts.precision(), "val_recall": val.counts.recall(), "seconds": seconds,
                });
                writeln!(self.metrics, "{line}")?;
                self.metrics.sync_data()?;
                let predictor = Predictor::new(model.clone(), self.header.clone(), self.device);
                let bytes = predictor.to_bytes(Storage::F32).await?;
                files::write(&self.out.join("last.safetensors"), &bytes)?;
                if best_loss {
                    files::write(&self.out.join("best-loss.safetensors"), &bytes)?;
                }
                if best_iou {
                    files::write(&self.out.join("best.safetensors"), &bytes)?;
                }
            }
        }
        Ok(Flow::Continue)
    }
}
