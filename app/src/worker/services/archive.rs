//! Projects taken out as files, and brought back.

use std::collections::BTreeMap;

use js_sys::Array;
use sha2::{Digest, Sha256};
use sonoseg_imaging::DataError;
use sonoseg_imaging::annotation::{ClipKey, ClipRecord, Entry, Project, encode};
use sonoseg_imaging::archive::{Archive, Export, geometry_csv, masks_zip};
use wasm_bindgen::JsValue;

use super::project::{media, write};
use super::{Services, files};
use crate::keeping;
use crate::messages::{BringBack, ClipId, Fault, KeptModel, OpenedProject, Output, Packing, TakeOut};
use crate::worker::clip::OpenClip;
use crate::worker::{Step, channel, storage};

impl Services {
    /// Take something out of a project. Beside it lie the project as JSON and the files of its clips.
    pub(super) async fn take_out(
        &self,
        request: TakeOut,
        beside: &JsValue,
        steps: &Step,
    ) -> Result<Vec<String>, Fault> {
        let beside = Array::from(beside);
        let (_, text) = files::read(&request.name, &beside.get(0), steps, |_| {}).await?;
        let project: Project = serde_json::from_slice(&text)
            .map_err(|error| Fault::Refused(format!("The project {} cannot be read ({error}).", request.name)))?;
        match request.output {
            Output::Geometry => finish(steps, geometry_csv(&project)),
            Output::Masks => finish(steps, masks_zip(&project, &request.finding)),
            Output::Project => {
                let mut left_out = archive(&request, project, &beside, &[], steps).await?;
                // The file is whole, whether or not the browser remembers when it was made.
                left_out.extend(self.was_taken_out().await.err().map(|fault| fault.to_string()));
                Ok(left_out)
            }
        }
    }

    /// Make a project of an archive, and keep it from now on. The project is JSON.
    pub(super) async fn bring_back(
        &self,
        name: &str,
        file: &JsValue,
        steps: &Step,
    ) -> Result<(OpenedProject, Vec<u8>), Fault> {
        let tell = |text: String| channel::item::<BringBack>(steps.id, &Packing::Doing(text), &[]);
        tell(format!("Reading {name}"));
        let (_, bytes) = files::read(name, file, steps, |_| {}).await?;
        let mut archive = Archive::open(name, bytes).map_err(|error| unreadable(&error))?;
        let (project, mut notes) = archive.project().map_err(|error| unreadable(&error))?;
        steps.check()?;
        let start = encode(&Entry::Start(Box::new(project.clone()))).map_err(|error| unreadable(&error))?;
        let made = self.make_project(archive.name(), &[start]).await?;
        for clip in archive.clips().to_vec() {
            let label = archive.record(&clip).map_or_else(|| clip.procedure.clone(), |record| record.name.clone());
            tell(format!("Keeping {label}"));
            let alone = archive.alone(&clip).map_err(|error| unreadable(&error))?;
            if let Err(reason) = keep(&clip.clip, &alone).await {
                let reason = reason.trim_end_matches('.');
                notes.push(format!(
                    "{label}: its frames are not kept in this browser: open its file to see them ({reason})."
                ));
            }
            steps.between().await?;
        }
        if let Some((name, bytes)) = archive.model().map_err(|error| unreadable(&error))? {
            tell(format!("Keeping {name}"));
            let model = KeptModel { id: ClipId(Sha256::digest(&bytes).into()), name };
            match keep(&model.id.to_string(), &bytes).await {
                Ok(()) => self.change_about(&made.id, |about| about.model = Some(model)).await?,
                Err(reason) => {
                    let (name, reason) = (model.name, reason.trim_end_matches('.').to_owned());
                    notes.push(format!("{name}: the model is not kept in this browser: open its file ({reason})."));
                }
            }
        }
        let (mut opened, project) = self.open_project(made.id).await?;
        opened.notes.extend(notes);
        Ok((opened, project))
    }
}

/// Keep a file that came back, where it is not here: a model, or the frames of a clip instead of the file that they were
/// decoded from.
async fn keep(clip: &str, alone: &[u8]) -> Result<(), String> {
    let failed = |error: JsValue| storage::refused("It", &error);
    let media = media().await.map_err(failed)?;
    if media.read(clip).await.is_ok_and(|kept| kept.size() > 0.0) {
        return Ok(());
    }
    let (used, quota) = storage::estimate().await;
    keeping::fits(alone.len() as f64, used, quota)?;
    write(&media, clip, alone).await.map_err(failed)
}

/// Send a file that was made at once.
fn finish(steps: &Step, made: Result<(Vec<u8>, Vec<String>), DataError>) -> Result<Vec<String>, Fault> {
    let (bytes, left_out) = made.map_err(|error| unreadable(&error))?;
    piece(steps, bytes);
    Ok(left_out)
}

/// Send the archive of a project piece by piece, with other files in it.
pub(super) async fn archive(
    request: &TakeOut,
    project: Project,
    beside: &Array,
    others: &[(String, Vec<u8>)],
    steps: &Step,
) -> Result<Vec<String>, Fault> {
    let bare = |record: &ClipRecord| ClipRecord {
        name: record.name.clone(),
        frames: record.frames,
        height: record.height,
        width: record.width,
        answers: BTreeMap::new(),
    };
    let clips = project.document().clips.iter();
    let records: BTreeMap<ClipKey, (ClipRecord, usize)> =
        clips.map(|(key, record)| (key.clone(), (bare(record), record.answers.len()))).collect();
    let mut export = Export::new(&request.name, &request.finding, project);
    for (key, (record, answers)) in &records {
        if *answers == 0 {
            export.without(format!("{}: nothing is marked in it, so that its frames are not taken out.", record.name));
            continue;
        }
        let here = ClipId::parse(key).and_then(|id| Some((id, request.clips.iter().position(|clip| *clip == id)?)));
        let Some((id, at)) = here else {
            let reason =
                "its file is not here, so that its frames are left out: open it, and take the project out again";
            export.without(format!("{}: {reason}.", record.name));
            continue;
        };
        match opened(id, record, &beside.get(at as u32 + 1), steps).await {
            Ok(clip) => frames(&mut export, key, record, &clip, steps).await?,
            Err(Fault::Cancelled) => return Err(Fault::Cancelled),
            Err(fault) => {
                let reason = fault.to_string();
                export.without(format!("{}; its frames are left out.", reason.trim_end_matches('.')));
            }
        }
    }
    for (path, bytes) in others {
        piece(steps, export.file(path, bytes).map_err(|error| unreadable(&error))?);
        steps.between().await?;
    }
    if let Some(name) = &request.model {
        match files::read(name, &beside.get(request.clips.len() as u32 + 1), steps, |_| {}).await {
            Ok((_, bytes)) => piece(steps, export.model(name, &bytes).map_err(|error| unreadable(&error))?),
            Err(Fault::Cancelled) => return Err(Fault::Cancelled),
            Err(fault) => export.without(format!("The model {name}: {fault}")),
        }
    }
    let (rest, left_out) = export.finish().map_err(|error| unreadable(&error))?;
    piece(steps, rest);
    Ok(left_out)
}

/// A clip of the project, opened for its frames alone.
pub(super) async fn opened(id: ClipId, record: &ClipRecord, file: &JsValue, steps: &Step) -> Result<OpenClip, Fault> {
    let name = &record.name;
    let (hash, bytes) = files::read(name, file, steps, |_| {}).await?;
    let clip = OpenClip::open(hash, name, bytes, &|| steps.check()).await;
    steps.check()?;
    let clip = clip.map_err(Fault::Refused)?;
    if clip.info.id != id || [clip.info.height, clip.info.width] != [record.height, record.width] {
        return Err(Fault::Refused(format!("{name}: the file that is here is another one or is damaged")));
    }
    Ok(clip)
}

/// Send labels and frames of a clip.
async fn frames(
    export: &mut Export,
    key: &str,
    record: &ClipRecord,
    clip: &OpenClip,
    steps: &Step,
) -> Result<(), Fault> {
    piece(steps, export.clip(key, clip.facts()).map_err(|error| unreadable(&error))?);
    for frame in 0..record.frames {
        let image = match clip.frame(frame, &|| steps.check()).await {
            Ok(image) => Some(image),
            Err(Fault::Cancelled) => return Err(Fault::Cancelled),
            // A frame that is lost is written as a black one, and named.
            Err(_) => None,
        };
        piece(steps, export.frame(frame, image.as_deref()).map_err(|error| unreadable(&error))?);
        if frame % 16 == 0 {
            doing(steps, format!("Writing {}: frame {} of {}", record.name, frame + 1, record.frames));
        }
        steps.between().await?;
    }
    Ok(())
}

fn piece(steps: &Step, bytes: Vec<u8>) {
    if !bytes.is_empty() {
        channel::item::<TakeOut>(steps.id, &Packing::Piece, &[bytes]);
    }
}

fn doing(steps: &Step, text: String) {
    channel::item::<TakeOut>(steps.id, &Packing::Doing(text), &[]);
}

fn unreadable(error: &DataError) -> Fault {
    Fault::Refused(error.to_string())
}
