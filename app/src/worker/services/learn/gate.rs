//! The model of a run against the one that it began from, on frames that neither learned from; and the run taken out as a file.

use sonoseg_core::inference::{Predictor, attention};
use sonoseg_core::train::record::{BEST, BEST_LOSS, ENVIRONMENT, FINISHED, LAST, METRICS, RECIPE, RESUME, SPLIT};
use sonoseg_imaging::archive::Marked;
use sonoseg_imaging::dataset::sample::{Sample, Source};
use sonoseg_imaging::evaluate::{Gate, Reference, Score};
use sonoseg_imaging::geometry::Image;
use wasm_bindgen::JsValue;

use super::super::{Services, archive, files};
use super::data::Given;
use super::folder::RunFolder;
use super::setup::Setup;
use super::watch::levels;
use crate::keeping::{ANSWERS, BEFORE, GATE};
use crate::messages::{
    ClipId, Fault, JudgeRun, Judgement, Learning, Lesson, LookAt, Looked, Output, TakeOut, TakeRunOut,
};
use crate::worker::{Step, channel};

/// Simulated frames that both models are measured on.
const SIMULATED: usize = 24;

/// What to do with a run that was taken out.
const README: &str = "A run of sonoseg that began in a browser, with the data that it learns from.\n\n\
    Go on with it, from the folder that holds this one:\n\n    sonoseg train --resume run --data .\n\n\
    Or evaluate its model:\n\n    sonoseg evaluate run --data .\n";

impl Services {
    /// Compare the model of a run with the one before.
    pub(in super::super) async fn judge_run(
        &self,
        request: JudgeRun,
        beside: &JsValue,
        steps: &Step,
    ) -> Result<Judgement, Fault> {
        let folder = RunFolder::open(&request.run).await?;
        if let Some(known) = folder.read(GATE).await.ok().and_then(|text| serde_json::from_slice(&text).ok()) {
            return Ok(known);
        }
        let given = self.of_run(&folder, &request.lesson, beside, steps).await?;
        let (setup, mut marked) = Setup::of_run(&folder, &given, self, steps).await?;
        given.fill(self, &mut marked, steps).await?;
        let about = folder.about().await?;
        let model =
            about.model.ok_or_else(|| Fault::Refused("The run has no model yet: let it learn on.".to_owned()))?;
        let device = self.device.borrow().clone().ok_or(Fault::NoDevice)?;
        let load = |bytes: &[u8]| {
            Predictor::load("The run", bytes, &device).map_err(|error| Fault::Refused(error.to_string()))
        };
        let models = [load(&folder.before().await?)?, load(&folder.whole(&model).await?)?];

        let (mut held, mut places) = (Vec::new(), Vec::new());
        for (number, &sample) in setup.val.iter().enumerate() {
            doing(steps, format!("Comparing on held-out frame {} of {}", number + 1, setup.val.len()));
            let loaded = marked.load(sample).await.map_err(|error| Fault::Refused(error.to_string()))?;
            if let Some(scores) = scores(&models, &loaded, steps).await? {
                places.push(place(&marked, sample));
                held.push((loaded.id, loaded.group, scores));
            }
        }
        let mut drawn = Vec::new();
        let simulator = setup.recipe.simulator();
        for (simulator, number) in simulator.iter().flat_map(|simulator| (0..SIMULATED).map(move |at| (simulator, at)))
        {
            doing(steps, format!("Comparing on simulated frame {} of {SIMULATED}", number + 1));
            // Behind those that are learned from.
            let sample = simulator.sample(simulator.len() + number);
            channel::pause(0).await;
            if let Some(scores) = scores(&models, &sample, steps).await? {
                // Every insertion is a group of its own.
                drawn.push((sample.id.clone(), sample.id, scores));
            }
        }
        let names: Vec<String> = held.iter().map(|(id, ..)| id.clone()).collect();
        let held_out = Gate::new(&held);
        let place_of = |id: &String| names.iter().position(|name| name == id).and_then(|at| places[at]);
        let places = held_out.pairs.iter().filter_map(|pair| place_of(&pair.id)).collect();
        let caveat = setup.split.caveat().map(str::to_owned);
        let judgement = Judgement { held_out, places, simulated: Gate::new(&drawn), caveat };
        let text = serde_json::to_vec(&judgement).map_err(|error| Fault::Refused(format!("{error}.")))?;
        folder.write(GATE, &text).await?;
        Ok(judgement)
    }

    /// Where the model of a run looks, before learning and now.
    pub(in super::super) async fn look_at(
        &self,
        request: &LookAt,
        picture: &JsValue,
        steps: &Step,
    ) -> Result<(Looked, Vec<Vec<u8>>), Fault> {
        let (_, grey) = files::read("The picture", picture, steps, |_| {}).await?;
        let size = request.size;
        if size == 0 || grey.len() != size * size {
            return Err(Fault::Refused("The picture has another size than it says.".to_owned()));
        }
        let image = Image::from_grey8(size, size, &grey);
        let folder = RunFolder::open(&request.run).await?;
        let device = self.device.borrow().clone().ok_or(Fault::NoDevice)?;
        let (mut buffers, mut grid) = (Vec::new(), 0);
        let model = folder.about().await?.model;
        for file in std::iter::once(BEFORE.to_owned()).chain(model) {
            let bytes = folder.whole(&file).await?;
            let predictor = Predictor::load("The run", &bytes, &device);
            let predictor = predictor.map_err(|error| Fault::Refused(error.to_string()))?;
            let prepared = predictor.prepare(&vec![&image; predictor.window()]);
            let maps = attention(&predictor, &prepared, request.at).await;
            let Some(maps) = maps.map_err(|error| Fault::Refused(format!("{error}.")))? else {
                return Ok((Looked { grid: 0, maps: 0 }, Vec::new()));
            };
            grid = maps.first().map_or(0, |map| map.len().isqrt());
            buffers.push(maps.iter().map(|map| levels(map)).collect::<Vec<_>>());
        }
        let maps = buffers.first().map_or(0, Vec::len);
        Ok((Looked { grid, maps }, buffers.concat()))
    }

    /// Take a run out with the data that it learned from.
    pub(in super::super) async fn take_run_out(
        &self,
        request: TakeRunOut,
        beside: &JsValue,
        steps: &Step,
    ) -> Result<Vec<String>, Fault> {
        let folder = RunFolder::open(&request.run).await?;
        let given = self.of_run(&folder, &request.lesson, beside, steps).await?;
        let mut files = vec![("run/README.txt".to_owned(), README.as_bytes().to_vec())];
        for name in [RECIPE, SPLIT, ENVIRONMENT, METRICS, FINISHED, BEFORE, LAST, BEST_LOSS, BEST, RESUME] {
            // Not every run has all of them.
            if let Ok(bytes) = folder.read(name).await {
                files.push((format!("run/{name}"), bytes.clone()));
                // Another run on the same data holds out the same.
                files.extend((name == SPLIT).then(|| (SPLIT.to_owned(), bytes)));
            }
        }
        let about = folder.about().await?;
        let name = if about.name.is_empty() { "Run".to_owned() } else { about.name };
        let Lesson { finding, clips } = request.lesson.clone();
        let taken = TakeOut { output: Output::Project, name, finding, clips, model: None };
        archive::archive(&taken, given.project.clone(), given.beside(), &files, steps).await
    }

    /// What a run learns from.
    async fn of_run<'a>(
        &self,
        folder: &RunFolder,
        lesson: &'a Lesson,
        beside: &JsValue,
        steps: &Step,
    ) -> Result<Given<'a>, Fault> {
        Given::read(lesson, beside, steps).await?.with_project(&folder.read(ANSWERS).await?)
    }
}

/// How both models do on a sample; none where it has no label.
async fn scores(models: &[Predictor; 2], sample: &Sample, steps: &Step) -> Result<Option<[Score; 2]>, Fault> {
    let recipe = &models[1].header().recipe;
    let (size, radius) = (recipe.preparation.size, recipe.needle.radius_px);
    let Some(reference) = Reference::new(sample, size, radius, &recipe.data.classes) else {
        return Ok(None);
    };
    let mut scores = Vec::new();
    for model in models {
        let answer = model.answer(sample).await.map_err(|error| Fault::Refused(format!("{error}.")))?;
        scores.push(reference.score(&answer));
        channel::pause(0).await;
        steps.check()?;
    }
    Ok(scores.try_into().ok())
}

fn place(marked: &Marked, sample: usize) -> Option<(ClipId, usize)> {
    let (clip, frame) = marked.place(sample);
    Some((ClipId::parse(clip)?, frame))
}

fn doing(steps: &Step, text: String) {
    channel::item::<JudgeRun>(steps.id, &Learning::Doing(text), &[]);
}
