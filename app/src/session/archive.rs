//! The project taken out as files, and brought back.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use js_sys::{Array, Uint8Array};
use leptos::prelude::*;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::spawn_local;
use web_sys::{Blob, HtmlAnchorElement, Url};

use super::start::Session;
use crate::clock::date_ms;
use crate::files::Source;
use crate::keeping::{ARCHIVE_ENDING, file_name};
use crate::messages::post::reason;
use crate::messages::{BringBack, ClipId, Fault, Output, Packing, TakeOut, TakenOut};
use crate::viewer::Viewer;

/// How long a file that was made stays at hand for the browser to save it.
const AT_HAND: Duration = Duration::from_secs(60);

impl Session {
    /// Take something out of the project: the browser saves it as a file.
    pub(crate) fn take_out(&self, output: Output) {
        let session = *self;
        let projects = self.viewer.projects;
        if projects.doing.with_untracked(Option::is_some) {
            return self.viewer.notices.info("A file is being made already: wait until it is done.");
        }
        projects.doing.set(Some("Reading the project".to_owned()));
        spawn_local(async move {
            let made = session.make_file(output).await;
            projects.doing.set(None);
            match made {
                Ok(told) => session.viewer.notices.info(told),
                Err(fault) => session.viewer.notices.problem(format!("Nothing was taken out. {fault}")),
            }
        });
    }

    /// Make a project of an archive, and show it.
    pub(crate) fn bring_back(&self, file: web_sys::File) {
        let projects = self.viewer.projects;
        self.change_project(move |session| async move {
            let tell = move |packing, _| {
                if let Packing::Doing(text) = packing {
                    projects.doing.set(Some(text));
                }
            };
            let blob: Blob = file.clone().into();
            let asked = session.link.stream(BringBack { name: file.name() }, Some(&blob), tell).await;
            projects.doing.set(None);
            match asked {
                Ok((opened, buffers)) => {
                    let text = format!("{} came back as the project {}.", file.name(), opened.name);
                    session.take_over(opened, buffers).await;
                    session.viewer.notices.info(text);
                }
                Err(fault) => session.viewer.notices.problem(fault.to_string()),
            }
        });
    }

    /// Have the file made and saved. Gives what to tell about it.
    async fn make_file(&self, output: Output) -> Result<String, Fault> {
        let Viewer { annotations, findings, projects, .. } = self.viewer;
        let project = annotations.project.get_untracked();
        let name = projects.open.with_untracked(|open| open.as_ref().map(|project| project.name.clone()));
        let name = name.unwrap_or_else(|| "Project".to_owned());
        let refused = |reason: String| Fault::Refused(format!("The project {name} cannot be written ({reason})."));
        let text = serde_json::to_vec(&project).map_err(|error| refused(error.to_string()))?;
        let mut beside = vec![blob(&text).map_err(|error| refused(reason(&error)))?];
        let mut clips = Vec::new();
        if output == Output::Project {
            for (key, record) in &project.document().clips {
                let Some(clip) = ClipId::parse(key).filter(|_| !record.answers.is_empty()) else { continue };
                // What is not here is left out by name.
                if let Ok(file) = self.source_of(clip, &record.name).blob().await {
                    clips.push(clip);
                    beside.push(file);
                }
            }
        }
        let finding = findings.finding.get_untracked();
        let model = if output == Output::Project { self.model_file().await } else { None };
        let model = model.map(|(name, file)| {
            beside.push(file);
            name
        });
        let request = TakeOut { output, name: name.clone(), finding, clips, model };
        let pieces: Rc<RefCell<Vec<Result<Blob, JsValue>>>> = Rc::default();
        let taken = pieces.clone();
        let asked = self.link.stream_files(request, &beside, move |packing, buffers| match packing {
            Packing::Doing(text) => projects.doing.set(Some(text)),
            Packing::Piece => taken.borrow_mut().extend(buffers.iter().map(|bytes| blob(bytes))),
        });
        let (left_out, _) = asked.await?;
        let ending = match output {
            Output::Project => ARCHIVE_ENDING,
            Output::Geometry => ".csv",
            Output::Masks => "-masks.zip",
        };
        let file = file_name(&name, ending);
        let pieces = pieces.take().into_iter().collect::<Result<Vec<Blob>, JsValue>>();
        pieces.and_then(|pieces| save(&pieces, &file)).map_err(|error| refused(reason(&error)))?;
        if output == Output::Project {
            let taken_out = TakenOut { at_ms: date_ms(), entries: projects.entries.get_untracked() };
            projects.taken_out.set(Some(taken_out));
        }
        Ok(match left_out.is_empty() {
            true => format!("{file} was made; nothing is left out."),
            false => format!("{file} was made. Left out: {}", told(&left_out)),
        })
    }

    /// The model in use, and its file.
    async fn model_file(&self) -> Option<(String, Blob)> {
        let name = self.viewer.findings.model.with_untracked(|model| model.as_ref().map(|model| model.name.clone()))?;
        let source = self.inner.with_value(|inner| inner.sources.get(&inner.model?).cloned())?;
        match source.blob().await {
            Ok(file) => Some((name, file)),
            Err(reason) => {
                self.viewer.notices.problem(reason);
                None
            }
        }
    }

    /// Where the file of a clip is: in the list, or kept.
    pub(super) fn source_of(&self, clip: ClipId, name: &str) -> Source {
        let line = self.viewer.media.line_of(clip);
        let listed = line.and_then(|line| self.inner.with_value(|inner| inner.sources.get(&line.file).cloned()));
        listed.unwrap_or_else(|| Source::kept(name, clip))
    }
}

/// What is left out, as long as that can be read at a glance; all of it stands in the file.
fn told(left_out: &[String]) -> String {
    match left_out {
        [first, second, rest @ ..] if !rest.is_empty() => {
            format!("{first} {second} And {} more, which left-out.txt in the file names.", rest.len())
        }
        few => few.join(" "),
    }
}

pub(super) fn blob(bytes: &[u8]) -> Result<Blob, JsValue> {
    Blob::new_with_u8_array_sequence(&Array::of1(&Uint8Array::from(bytes)))
}

/// Have the browser save these pieces as one file.
pub(super) fn save(pieces: &[Blob], name: &str) -> Result<(), JsValue> {
    let file = Blob::new_with_blob_sequence(&pieces.iter().collect::<Array>())?;
    let address = Url::create_object_url_with_blob(&file)?;
    let anchor: HtmlAnchorElement = document().create_element("a")?.unchecked_into();
    anchor.set_href(&address);
    anchor.set_download(name);
    anchor.click();
    // An address that is not known was revoked before.
    set_timeout(move || drop(Url::revoke_object_url(&address)), AT_HAND);
    Ok(())
}
