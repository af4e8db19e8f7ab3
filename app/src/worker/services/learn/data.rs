//! What a run learns from: the answers of a project with the frames of its clips.

use std::collections::BTreeMap;

use js_sys::Array;
use sonoseg_core::recipe::Recipe;
use sonoseg_imaging::annotation::{ClipRecord, Project};
use sonoseg_imaging::archive::{ClipFacts, Marked};
use sonoseg_imaging::dataset::split::{Split, SplitConfig};
use wasm_bindgen::JsValue;

use super::super::{Services, archive, files};
use crate::messages::{ClipId, Fault, Lesson};
use crate::worker::Step;
use crate::worker::clip::OpenClip;

/// A project, and the files of its clips that are here.
pub(super) struct Given<'a> {
    lesson: &'a Lesson,
    beside: Array,
    pub(super) project: Project,
}

impl<'a> Given<'a> {
    /// From what travels beside a request.
    pub(super) async fn read(lesson: &'a Lesson, beside: &JsValue, steps: &Step) -> Result<Self, Fault> {
        let beside = Array::from(beside);
        let (_, text) = files::read("The project", &beside.get(0), steps, |_| {}).await?;
        Ok(Self { lesson, beside, project: parse(&text)? })
    }

    /// The same with the answers that a run began with.
    pub(super) fn with_project(self, text: &[u8]) -> Result<Self, Fault> {
        Ok(Self { project: parse(text)?, ..self })
    }

    /// The clips of the project whose files are here, and a sentence for each whose is not and whose answers count.
    fn clips(&self) -> (Vec<(String, ClipId, ClipRecord)>, Vec<String>) {
        let (mut here, mut notes) = (Vec::new(), Vec::new());
        for (key, record) in &self.project.document().clips {
            let id = ClipId::parse(key).filter(|id| self.lesson.clips.contains(id));
            let counts = record.answers.values().any(|answer| answer.verdict.counts());
            match id {
                Some(id) => here.push((key.clone(), id, record.clone())),
                None if counts => notes.push(format!(
                    "{}: its file is not here, so that its answers are not learned from: open it to use them.",
                    record.name
                )),
                None => {}
            }
        }
        (here, notes)
    }

    fn file(&self, id: ClipId) -> JsValue {
        let at = self.lesson.clips.iter().position(|clip| *clip == id);
        at.map_or(JsValue::UNDEFINED, |at| self.beside.get(at as u32 + 1))
    }

    /// The files of the clips, by their ids.
    pub(super) fn beside(&self) -> &Array {
        &self.beside
    }

    /// The labels as a data set, without any pictures yet, and what is left out.
    pub(super) async fn marked(
        &self,
        services: &Services,
        window: usize,
        steps: &Step,
    ) -> Result<(Marked, Vec<String>), Fault> {
        let (here, mut notes) = self.clips();
        let mut facts: BTreeMap<String, ClipFacts> = BTreeMap::new();
        for (key, id, record) in &here {
            match services.opened(*id, record, &self.file(*id), steps).await {
                Ok(clip) => drop(facts.insert(key.clone(), clip.facts())),
                Err(Fault::Cancelled) => return Err(Fault::Cancelled),
                Err(fault) => notes.push(fault.to_string()),
            }
        }
        let marked = Marked::new(&self.project, &facts, &self.lesson.finding, window);
        Ok((marked.map_err(|error| Fault::Refused(error.to_string()))?, notes))
    }

    /// Put in the pictures of all labelled frames.
    pub(super) async fn fill(&self, services: &Services, marked: &mut Marked, steps: &Step) -> Result<(), Fault> {
        let (here, _) = self.clips();
        for (key, frames) in marked.wanted() {
            let Some((_, id, record)) = here.iter().find(|(clip, ..)| *clip == key) else { continue };
            let clip = services.opened(*id, record, &self.file(*id), steps).await?;
            for frame in frames {
                let image = clip.frame(frame, &|| steps.check()).await?;
                marked.put(&key, frame, &image).map_err(|error| Fault::Refused(error.to_string()))?;
                steps.between().await?;
            }
        }
        Ok(())
    }
}

impl Services {
    /// A clip of a project: the one on the screen, or its file opened for its frames alone.
    async fn opened(
        &self,
        id: ClipId,
        record: &ClipRecord,
        file: &JsValue,
        steps: &Step,
    ) -> Result<std::rc::Rc<OpenClip>, Fault> {
        match self.clip(id) {
            Ok(clip) => Ok(clip),
            Err(_) => archive::opened(id, record, file, steps).await.map(std::rc::Rc::new),
        }
    }
}

/// How a recipe splits data: as the trainer does.
pub(super) fn split(marked: &Marked, recipe: &Recipe) -> Result<Split, Fault> {
    let data = &recipe.data;
    let config = SplitConfig {
        val_share: data.val_share,
        stride: data.stride,
        folds: data.folds,
        fold: data.fold,
        seed: recipe.seed,
        labels_count: true,
    };
    marked.split(&config).map_err(|error| Fault::Refused(error.to_string()))
}

fn parse(text: &[u8]) -> Result<Project, Fault> {
    serde_json::from_slice(text).map_err(|error| Fault::Refused(format!("The project cannot be read ({error}).")))
}
