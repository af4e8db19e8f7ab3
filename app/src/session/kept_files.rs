//! The files of a project's clips and its model: kept in this browser where they fit, found again after a reload, else asked
//! for once.

use leptos::prelude::*;
use sonoseg_imaging::annotation::Project;
use wasm_bindgen_futures::spawn_local;

use super::start::Session;
use crate::files::{Origin, Source};
use crate::listing::Readable;
use crate::messages::{ClipId, Fault, FileNumber, KeepMedia, KeptModel};
use crate::viewer::Viewer;

impl Session {
    /// Put the clips of a project into the list, and say which files are asked for.
    pub(super) async fn list_clips(&self, project: &Project) {
        let media = self.viewer.media;
        let mut missing = Vec::new();
        // They are known by their hashes, in whose order nobody would find them.
        let mut clips: Vec<_> = project.document().clips.iter().collect();
        alphanumeric_sort::sort_slice_by_str_key(&mut clips, |(_, record)| &record.name);
        for (key, record) in clips {
            let Some(clip) = ClipId::parse(key).filter(|&clip| media.line_of(clip).is_none()) else { continue };
            let source = Source::kept(&record.name, clip);
            let found = source.blob().await;
            // The file may have been opened while it was looked for.
            if media.line_of(clip).is_some() {
                continue;
            }
            let file = self.add_clip(source);
            match found {
                Ok(_) => media.mark(file, Readable::Yes(clip)),
                Err(reason) => {
                    media.mark(file, Readable::No(reason));
                    missing.push(record.name.clone());
                }
            }
        }
        if !missing.is_empty() {
            self.viewer.notices.info(format!(
                "Files of this project are not in this browser: {}. Open them once, under any name; their answers are here.",
                missing.join(", ")
            ));
        }
    }

    /// The model in use, where it is not the one that comes with the app. While none is loaded it is the one that is awaited.
    pub(super) fn model_to_keep(&self) -> Option<KeptModel> {
        let findings = self.viewer.findings;
        let known = findings
            .model
            .with_untracked(|model| model.as_ref().map(|model| KeptModel { id: model.id, name: model.name.clone() }));
        match known {
            Some(model) => Some(model).filter(|_| !findings.bundled.get_untracked()),
            None => self.keeper(|keeper| keeper.written_place.as_ref()?.1.clone()).flatten(),
        }
    }

    /// Look at the project with the model that it was looked at with before.
    pub(super) async fn use_kept_model(&self, model: KeptModel) {
        let KeptModel { id, name } = model;
        if self.viewer.findings.model.with_untracked(|used| used.as_ref().is_some_and(|used| used.id == id)) {
            return;
        }
        let kept = Source::kept(&name, id);
        // A model that was made here a moment ago may not be copied yet.
        let source = if kept.blob().await.is_ok() { Some(kept) } else { self.made_here(id).await };
        let Some(source) = source else {
            return self.viewer.notices.problem(format!(
                "The model {name} of this project is not in this browser: open its file once. Until then another one is used."
            ));
        };
        let file = self.add_source(source);
        self.load_model(file);
    }

    /// Keep the files of the project's clips, and of its model, that are not kept yet, one after the other.
    pub(super) fn keep_files(&self) {
        let Some((clip, source)) = self.next_to_keep() else { return };
        let session = *self;
        spawn_local(async move {
            // A file that cannot be read any more says so where it is opened.
            if let Ok(blob) = source.blob().await {
                match session.link.ask(KeepMedia { name: source.name, clip }, Some(&blob)).await {
                    Ok(_) | Err(Fault::Died { .. }) => {}
                    Err(fault) => session.viewer.notices.info(fault.to_string()),
                }
            }
            session.keeper(|keeper| keeper.keeping = false);
            session.keep_files();
        });
    }

    /// A clip of the project, or its model, whose file is here and was not kept yet.
    fn next_to_keep(&self) -> Option<(ClipId, Source)> {
        let Viewer { annotations, media, .. } = self.viewer;
        let clips = annotations.project.with_untracked(|project| {
            project.document().clips.keys().filter_map(|key| ClipId::parse(key)).collect::<Vec<_>>()
        });
        let files = clips.into_iter().filter_map(|clip| Some((clip, media.line_of(clip)?.file)));
        let model =
            self.model_to_keep().and_then(|model| Some((model.id, self.inner.with_value(|inner| inner.model)?)));
        let found = files.chain(model).find_map(|(clip, file)| {
            let source = self.inner.with_value(|inner| inner.sources.get(&file).cloned())?;
            let here = !matches!(source.origin, Origin::Kept(_));
            let new = self.keeper(|keeper| !keeper.keeping && !keeper.tried.contains(&clip))?;
            (here && new).then_some((clip, source))
        })?;
        self.keeper(|keeper| {
            keeper.keeping = true;
            keeper.tried.insert(found.0);
        });
        Some(found)
    }

    /// Whether this file was kept as that of another clip than it turned out to be: it is damaged.
    pub(super) fn is_damaged(&self, file: FileNumber, clip: ClipId) -> bool {
        let kept = |source: &Source| matches!(source.origin, Origin::Kept(kept) if kept != clip);
        self.inner.with_value(|inner| inner.sources.get(&file).is_some_and(kept))
    }

    /// The line of a clip whose file was kept, or is asked for.
    pub(super) fn kept_line(&self, clip: ClipId) -> Option<FileNumber> {
        let is_its = |source: &Source| matches!(source.origin, Origin::Kept(kept) if kept == clip);
        self.inner.with_value(|inner| inner.sources.iter().find(|(_, source)| is_its(source)).map(|(&file, _)| file))
    }
}
