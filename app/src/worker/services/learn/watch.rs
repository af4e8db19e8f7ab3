//! What happens in a run: written to its folder as the trainer does, told to the page, and where the page's wishes come in.

use burn::tensor::Device;
use sonoseg_core::checkpoint::{self, Storage};
use sonoseg_core::inference::{ModelHeader, Predictor, Prepared};
use sonoseg_core::models::Network;
use sonoseg_core::tasks::LOSS;
use sonoseg_core::train::record::{self, BEST, LAST, METRICS, RESUME};
use sonoseg_core::train::{Event, Flow, Position, Progress};
use sonoseg_imaging::archive::Marked;
use sonoseg_imaging::dataset::sample::Source;
use sonoseg_imaging::evaluate::{Figures, Reference, Score};
use sonoseg_imaging::geometry::Image;
use sonoseg_imaging::metrics::classes::MEAN_IOU;

use super::super::Services;
use super::folder::{RunFolder, refused};
use super::setup::Setup;
use super::tell;
use crate::clock::now;
use crate::messages::{Fault, Learn, Learning, Measurement, RunAbout, RunState};
use crate::worker::storage::Held;
use crate::worker::{Step, channel};

/// How long a run may be behind what is saved of it, in milliseconds.
const SAVE_EVERY_MS: f64 = 15_000.0;

/// Updates between two paintings of the pinned frames.
const PAINT_EVERY: u64 = 5;

/// Pinned frames.
const PINNED: usize = 3;

/// Held-out frames whose tips are looked at after an epoch, at most.
const TIPS: usize = 12;

/// Watches a run.
pub(super) struct Watch<'a> {
    services: &'a Services,
    steps: &'a Step,
    folder: &'a RunFolder,
    header: ModelHeader,
    about: RunAbout,
    device: Device,
    metrics: Held,
    end: usize,
    started: f64,
    /// Seconds that earlier parts of the run took.
    before: f64,
    saved: f64,
    pinned: Vec<(String, Prepared, Vec<u8>)>,
    tips: Vec<(String, Reference, Prepared)>,
    /// It ends because the page wants it to pause.
    pub(super) paused: bool,
    pub(super) crash_after: Option<u64>,
}

impl<'a> Watch<'a> {
    /// Watch a run that stands at `position`; the page is told what it has behind it.
    pub(super) async fn new(
        services: &'a Services,
        steps: &'a Step,
        folder: &'a RunFolder,
        setup: &Setup,
        marked: &Marked,
        device: &Device,
        position: &Position,
    ) -> Result<Self, Fault> {
        let metrics = folder.hold(METRICS).await?;
        let text = metrics.read().map_err(|error| refused(&error))?;
        let lines = record::behind(&String::from_utf8_lossy(&text), position);
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        metrics.write(0.0, text.as_bytes()).map_err(|error| refused(&error))?;
        let mut about = folder.about().await?;
        about.state = RunState::Running;
        about.updates[0] = position.updates;
        about.measured.retain(|measured| measured.update <= position.updates);
        folder.write_about(&about).await?;

        let header = setup.header();
        let base = Predictor::load("The model", &folder.before().await?, device);
        let base = base.map_err(|error| Fault::Refused(error.to_string()))?;
        let mut watch = Self {
            services,
            steps,
            folder,
            header,
            about,
            device: device.clone(),
            metrics,
            end: text.len(),
            started: now(),
            before: record::seconds(&lines),
            saved: now(),
            pinned: Vec::new(),
            tips: Vec::new(),
            paused: false,
            crash_after: None,
        };
        watch.look_at(setup, marked, &base).await?;
        tell(steps, &Learning::Began { run: folder.id.clone(), updates: watch.about.updates[1] });
        let updates = lines.iter().filter(|line| line["step"].is_u64());
        for (number, line) in updates.enumerate() {
            let (loss, seconds) = (line["loss"].as_f64().unwrap_or(0.0), line["seconds"].as_f64().unwrap_or(0.0));
            tell(steps, &Learning::Update { update: number as u64 + 1, loss, seconds });
        }
        for &measured in &watch.about.measured {
            tell(steps, &Learning::Measured(measured));
        }
        watch.paint(&base, 0).await?;
        Ok(watch)
    }

    /// Take up the frames that are pinned and those whose tips are looked at: held out, or else learned from.
    async fn look_at(&mut self, setup: &Setup, marked: &Marked, base: &Predictor) -> Result<(), Fault> {
        let shown = if setup.val.is_empty() { &setup.train } else { &setup.val };
        let recipe = &self.header.recipe;
        let spread = |most: usize| shown.iter().step_by(shown.len().div_ceil(most).max(1)).copied();
        let pinned: Vec<usize> = spread(PINNED).collect();
        for sample in spread(TIPS).chain(pinned.iter().copied()).collect::<std::collections::BTreeSet<usize>>() {
            let loaded = marked.load(sample).await.map_err(|error| Fault::Refused(error.to_string()))?;
            let frames: Vec<&Image> = loaded.frames.iter().collect();
            let prepared = base.prepare(&frames);
            if pinned.contains(&sample) {
                let grey = recipe.preparation.square(frames[frames.len() / 2]);
                self.pinned.push((loaded.id.clone(), prepared.clone(), levels(&grey)));
            }
            let reference =
                Reference::new(&loaded, recipe.preparation.size, recipe.needle.radius_px, &recipe.data.classes);
            if let Some(reference) = reference.filter(|_| !setup.val.is_empty()) {
                self.tips.push((loaded.group.clone(), reference, prepared));
            }
        }
        Ok(())
    }

    /// One event.
    pub(super) async fn tell(&mut self, event: Event<'_, Network>) -> Result<Flow, Fault> {
        let seconds = self.before + (now() - self.started) / 1e3;
        let line = format!("{}\n", record::line(&event, seconds));
        self.metrics.write(self.end as f64, line.as_bytes()).map_err(|error| refused(&error))?;
        self.end += line.len();
        match event {
            Event::Step { loss, progress, .. } => {
                let update = progress.position.updates;
                self.about.updates[0] = update;
                tell(self.steps, &Learning::Update { update, loss, seconds });
                if self.crash_after == Some(update) {
                    panic!("a crash was wanted after update {update}");
                }
                if self.stands_in_the_way().await {
                    self.paused = true;
                    return Ok(Flow::Stop);
                }
                if self.services.finish.take() {
                    return Ok(Flow::Finish);
                }
                if update.is_multiple_of(PAINT_EVERY) {
                    self.paint(&self.predictor(progress), update).await?;
                }
                if now() - self.saved >= SAVE_EVERY_MS {
                    self.save(progress).await?;
                }
            }
            Event::Epoch { val, improved, best, progress, .. } => {
                let state = checkpoint::read_state(&progress.model).await;
                let bytes = state.and_then(|state| checkpoint::encode(&self.header, &state, Storage::F32));
                let bytes = bytes.map_err(|error| Fault::Refused(error.to_string()))?;
                for file in record::models(&improved, best) {
                    self.folder.write(file, &bytes).await?;
                }
                let had_best = self.about.model.as_deref() == Some(BEST);
                self.about.model = Some(if best || had_best { BEST } else { LAST }.to_owned());
                let predictor = self.predictor(progress);
                let finite = |value: Option<f64>| value.filter(|value| value.is_finite());
                let measured = Measurement {
                    update: progress.position.updates,
                    loss: finite(val.value(LOSS)),
                    iou: finite(val.value("iou").or_else(|| val.value(&MEAN_IOU.name))),
                    tip_px: self.tip(&predictor).await?,
                    best,
                };
                self.about.measured.push(measured);
                tell(self.steps, &Learning::Measured(measured));
                self.paint(&predictor, progress.position.updates).await?;
                self.folder.write_about(&self.about).await?;
                // Last, so that a run that goes on from here finds everything that this epoch wrote.
                self.save(progress).await?;
                if self.stands_in_the_way().await {
                    self.paused = true;
                    return Ok(Flow::Stop);
                }
            }
        }
        Ok(Flow::Continue)
    }

    /// Let others have their turn. True when the page wants the run to pause.
    async fn stands_in_the_way(&self) -> bool {
        channel::pause(0).await;
        self.steps.check().is_err()
    }

    /// Write the file that the run goes on from.
    pub(super) async fn save(&mut self, progress: &Progress<Network>) -> Result<(), Fault> {
        let bytes = progress.to_bytes().await.map_err(|error| Fault::Refused(error.to_string()))?;
        self.folder.write(RESUME, &bytes).await?;
        self.saved = now();
        Ok(())
    }

    /// The run ends, for now.
    pub(super) async fn end(&mut self, state: RunState) -> Result<(), Fault> {
        self.about.state = state;
        self.folder.write_about(&self.about).await
    }

    /// The newest weights as a model.
    fn predictor(&self, progress: &Progress<Network>) -> Predictor {
        Predictor::new(progress.to_predict(), self.header.clone(), &self.device)
    }

    /// Tell what a model makes of the pinned frames.
    async fn paint(&self, predictor: &Predictor, update: u64) -> Result<(), Fault> {
        let (mut names, mut buffers) = (Vec::new(), Vec::new());
        for (name, prepared, grey) in &self.pinned {
            let Ok(output) = predictor.forward(prepared).await else { return Ok(()) };
            names.push(name.clone());
            buffers.extend([grey.clone(), levels(&predictor.objects(&output))]);
            channel::pause(0).await;
        }
        let size = self.header.recipe.preparation.size;
        channel::item::<Learn>(self.steps.id, &Learning::Pinned { names, size, update }, &buffers);
        Ok(())
    }

    /// The median distance of the tip on held-out frames, where it is found in any.
    async fn tip(&self, predictor: &Predictor) -> Result<Option<f64>, Fault> {
        let mut scores: Vec<(&str, Score)> = Vec::new();
        for (group, reference, prepared) in &self.tips {
            let Ok(output) = predictor.forward(prepared).await else { return Ok(None) };
            scores.push((group, reference.score(&predictor.read_off(output).answer())));
            channel::pause(0).await;
        }
        let scores: Vec<(&str, &Score)> = scores.iter().map(|(group, score)| (*group, score)).collect();
        let figures = Figures::new(&scores);
        Ok(figures.get("tip_px").map(|figure| figure.value).filter(|value| value.is_finite()))
    }
}

/// Numbers from 0 to 1 as levels of grey.
pub(super) fn levels(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().map(|number| (number.clamp(0.0, 1.0) * 255.0).round() as u8).collect()
}
