//! Projects in the browser's own file system: listed, made, opened, written to, renamed, deleted; and the files of clips.

use sonoseg_imaging::annotation::{Journal, Project};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Blob, DedicatedWorkerGlobalScope};

use super::{Services, files};
use crate::clock::date_ms;
use crate::keeping::{self, ABOUT, ANEW, About, DAMAGED, JOURNAL, MEDIA, PROJECTS};
use crate::messages::{AppendEntries, Fault, KeepMedia, OpenedProject, ProjectId, ProjectLine, ProjectList, TakenOut};
use crate::opfs::Folder;
use crate::worker::Step;
use crate::worker::storage::{self, Held};

/// The project that is written to now. While it is held no other tab can open it.
pub(super) struct Kept {
    id: ProjectId,
    journal: Held,
    /// Bytes of its journal.
    end: usize,
    /// Entries in it.
    entries: usize,
    about: About,
}

/// All projects, and the room for them.
pub(super) async fn list() -> Result<ProjectList, Fault> {
    let folder = projects().await.map_err(|error| refused("What you mark", &error))?;
    let names = folder.names().await.map_err(|error| refused("What you mark", &error))?;
    let mut projects = Vec::new();
    for name in names.into_iter().filter(|name| keeping::is_project_id(name)) {
        let Ok(project) = folder.existing(&name).await else { continue };
        let changed_ms = project.read(JOURNAL).await.map_or(0.0, |file| file.last_modified()) as u64;
        let name_of = read_about(&project).await.name;
        projects.push(ProjectLine { id: ProjectId(name), name: name_of, changed_ms });
    }
    projects.sort_by(|a, b| b.changed_ms.cmp(&a.changed_ms).then_with(|| a.id.cmp(&b.id)));
    let (used, quota) = storage::estimate().await;
    Ok(ProjectList { projects, used, quota })
}

/// Keep the file of a clip, where it fits.
pub(super) async fn keep_media(request: &KeepMedia, file: &JsValue, steps: &Step) -> Result<(), Fault> {
    let KeepMedia { name, clip } = request;
    let Some(file) = file.dyn_ref::<Blob>() else { return Ok(()) };
    let refused = |reason: &str| {
        let reason = reason.trim_end_matches('.');
        Fault::Refused(format!(
            "{name}: its file is not kept in this browser, and is asked for after a reload ({reason})."
        ))
    };
    let failed = |error: JsValue| refused(&storage::refused("It", &error));
    let clip = clip.to_string();
    let media = media().await.map_err(failed)?;
    if media.read(&clip).await.is_ok_and(|kept| kept.size() == file.size()) {
        return Ok(());
    }
    let (used, quota) = storage::estimate().await;
    keeping::fits(file.size(), used, quota).map_err(|reason| refused(&reason))?;
    match copy(&media, &clip, file, steps).await {
        Ok(()) => Ok(()),
        // Another tab is writing the same.
        Err(error) if storage::is_in_use(&error) => Ok(()),
        Err(error) => {
            // A part of a file is none; where it cannot be removed its hash tells.
            let _ = media.remove(&clip).await;
            Err(failed(error))
        }
    }
}

/// Copy a file into a folder, piece by piece, others having their turn in between.
async fn copy(folder: &Folder, name: &str, file: &Blob, steps: &Step) -> Result<(), JsValue> {
    let (held, mut written) = (Held::open(folder, name).await?, 0);
    while (written as f64) < file.size() {
        let piece = files::piece(file, written).await?.to_vec();
        held.write(written as f64, &piece)?;
        written += piece.len();
        steps.between().await.map_err(|fault| JsValue::from_str(&fault.to_string()))?;
    }
    Ok(())
}

/// The folder of the files of clips.
pub(super) async fn media() -> Result<Folder, JsValue> {
    Folder::root().await?.folder(MEDIA).await
}

/// Write a file anew.
pub(super) async fn write(folder: &Folder, name: &str, bytes: &[u8]) -> Result<(), JsValue> {
    Held::open(folder, name).await?.write(0.0, bytes)
}

impl Services {
    /// Keep a new project from now on, with these lines in its journal.
    pub(super) async fn make_project(&self, name: &str, lines: &[String]) -> Result<ProjectLine, Fault> {
        let taken: Vec<String> = list().await?.projects.into_iter().map(|project| project.name).collect();
        let name = keeping::free_name(name, &taken);
        let what = format!("The project {name}");
        let failed = |error: JsValue| refused(&what, &error);
        let scope: DedicatedWorkerGlobalScope = js_sys::global().unchecked_into();
        let id = scope.crypto().map_err(failed)?.random_uuid();
        let folder = projects().await.map_err(failed)?;
        let project = folder.folder(&id).await.map_err(failed)?;
        let text = [Journal::head(), &lines.concat()].concat();
        let about = About::new(&name);
        let written = async {
            let journal = Held::open(&project, JOURNAL).await?;
            journal.write(0.0, text.as_bytes())?;
            write(&project, ABOUT, &about.encode()).await?;
            Ok(journal)
        };
        let journal = match written.await {
            Ok(journal) => journal,
            Err(error) => {
                // What cannot be removed is an empty project in the list.
                let _ = folder.remove(&id).await;
                return Err(failed(error));
            }
        };
        let id = ProjectId(id);
        let kept = Kept { id: id.clone(), journal, end: text.len(), entries: lines.len(), about };
        self.project.replace(Some(kept));
        Ok(ProjectLine { id, name, changed_ms: date_ms() })
    }

    /// Open a project as far as it goes, and keep it from now on. The project is JSON.
    pub(super) async fn open_project(&self, id: ProjectId) -> Result<(OpenedProject, Vec<u8>), Fault> {
        if self.holds(&id) {
            self.project.replace(None);
        }
        let folder = async { projects().await?.existing(&id.0).await };
        let folder = folder.await.map_err(|error| refused("The project", &error))?;
        let mut about = read_about(&folder).await;
        let what = format!("The project {}", about.name);
        let journal = Held::open(&folder, JOURNAL).await.map_err(|error| refused(&what, &error))?;
        let bytes = whole(&folder, &journal).await.map_err(|error| refused(&what, &error))?;
        let read = Journal::read(&what, &bytes).map_err(|error| Fault::Refused(error.to_string()))?;
        if read.note.is_some() {
            // The next entry is written over what cannot be read today. Where there is no room, the project opens all the same.
            let _ = write(&folder, &format!("{DAMAGED}{}", date_ms()), &bytes).await;
        }
        let mut end = read.sound;
        if end == 0 {
            journal.write(0.0, Journal::head().as_bytes()).map_err(|error| refused(&what, &error))?;
            end = Journal::head().len();
        }
        let entries = about.before + keeping::entries(&bytes[..read.sound]);
        if let Some(text) = keeping::anew(read.sound, &read.project)
            && begin_anew(&folder, &journal, text.as_bytes()).await.map_err(|error| refused(&what, &error))?
        {
            (end, about.before) = (text.len(), entries - 1);
            // What cannot be written here costs how many changes there were since it was taken out.
            let _ = write(&folder, ABOUT, &about.encode()).await;
        }
        let opened = OpenedProject {
            id: id.clone(),
            name: about.name.clone(),
            entries,
            place: about.place,
            taken_out: about.taken_out,
            model: about.model.clone(),
            notes: read.note.into_iter().collect(),
        };
        let project = encoded(&read.project)?;
        self.project.replace(Some(Kept { id, journal, end, entries, about }));
        Ok((opened, project))
    }

    fn holds(&self, id: &ProjectId) -> bool {
        self.project.borrow().as_ref().is_some_and(|kept| kept.id == *id)
    }

    /// Write entries to the journal. Gives how many there are then.
    pub(super) fn append(&self, request: &AppendEntries) -> Result<usize, Fault> {
        let mut open = self.project.borrow_mut();
        let Some(kept) = open.as_mut().filter(|kept| kept.id == request.id) else { return Err(closed()) };
        let lines = keeping::missing(kept.entries, request.first, &request.lines).ok_or_else(closed)?;
        let text = lines.concat();
        let what = format!("The project {}", kept.about.name);
        kept.journal.write(kept.end as f64, text.as_bytes()).map_err(|error| refused(&what, &error))?;
        kept.end += text.len();
        kept.entries += lines.len();
        Ok(kept.entries)
    }

    /// Change what is known about a project beside its entries.
    pub(super) async fn change_about(&self, id: &ProjectId, change: impl FnOnce(&mut About)) -> Result<(), Fault> {
        let folder = async { projects().await?.existing(&id.0).await };
        let folder = folder.await.map_err(|error| refused("The project", &error))?;
        let open = self.project.borrow().as_ref().filter(|kept| kept.id == *id).map(|kept| kept.about.clone());
        let (mut about, lock) = match open {
            Some(about) => (about, None),
            None => {
                let about = read_about(&folder).await;
                let what = format!("The project {}", about.name);
                // A tab that has it open would write over the change.
                let lock = Held::open(&folder, JOURNAL).await.map_err(|error| refused(&what, &error))?;
                (about, Some(lock))
            }
        };
        change(&mut about);
        if let Some(kept) = self.project.borrow_mut().as_mut().filter(|kept| kept.id == *id) {
            kept.about = about.clone();
        }
        let what = format!("The project {}", about.name);
        let written = write(&folder, ABOUT, &about.encode()).await;
        drop(lock);
        written.map_err(|error| refused(&what, &error))
    }

    /// The open project was taken out as a file.
    pub(super) async fn was_taken_out(&self) -> Result<(), Fault> {
        let open = self.project.borrow().as_ref().map(|kept| (kept.id.clone(), kept.entries));
        let Some((id, entries)) = open else { return Ok(()) };
        let taken_out = Some(TakenOut { at_ms: date_ms(), entries });
        self.change_about(&id, |about| about.taken_out = taken_out).await
    }

    /// Delete a project, and the files of clips that no other one needs.
    pub(super) async fn delete_project(&self, id: &ProjectId) -> Result<(), Fault> {
        if self.holds(id) {
            self.project.replace(None);
        }
        let folder = projects().await.map_err(|error| refused("The project", &error))?;
        folder.remove(&id.0).await.map_err(|error| refused("The project", &error))?;
        // Files that stay for a reason that nobody knows do no harm.
        let _ = remove_unused(&folder).await;
        Ok(())
    }
}

/// All of a journal, which may have been cut off while it was to begin anew.
async fn whole(folder: &Folder, journal: &Held) -> Result<Vec<u8>, JsValue> {
    let bytes = journal.read()?;
    // Mostly there is none.
    let Ok(anew) = folder.read(ANEW).await else { return Ok(bytes) };
    let anew = storage::bytes(&anew).await?;
    let interrupted = keeping::interrupted(&anew, &bytes);
    if let Some(text) = interrupted {
        journal.write(0.0, text)?;
    }
    folder.remove(ANEW).await?;
    Ok(if interrupted.is_some() { anew } else { bytes })
}

/// Begin a journal anew with this text, which is written beside it first. False where there is no room for that, and all is
/// as before.
async fn begin_anew(folder: &Folder, journal: &Held, text: &[u8]) -> Result<bool, JsValue> {
    if write(folder, ANEW, text).await.is_err() {
        // A part of it is none.
        let _ = folder.remove(ANEW).await;
        return Ok(false);
    }
    journal.write(0.0, text)?;
    // One that stays is known by what the journal begins with.
    let _ = folder.remove(ANEW).await;
    Ok(true)
}

/// The project as JSON.
pub(super) fn encoded(project: &Project) -> Result<Vec<u8>, Fault> {
    serde_json::to_vec(project).map_err(|error| Fault::Refused(format!("The project cannot be written ({error}).")))
}

/// What to say when the browser refuses something.
pub(super) fn refused(what: &str, error: &JsValue) -> Fault {
    Fault::Refused(storage::refused(what, error))
}

fn closed() -> Fault {
    Fault::Refused("The project was closed in the meantime: open it again.".to_owned())
}

async fn projects() -> Result<Folder, JsValue> {
    Folder::root().await?.folder(PROJECTS).await
}

async fn read_about(project: &Folder) -> About {
    let read = async { storage::bytes(&project.read(ABOUT).await?).await };
    About::parse(&read.await.unwrap_or_default())
}

/// Remove the files of clips that no project needs. When one cannot be read, all stay.
async fn remove_unused(projects: &Folder) -> Result<(), JsValue> {
    let mut read = Vec::new();
    for name in projects.names().await?.into_iter().filter(|name| keeping::is_project_id(name)) {
        let folder = projects.existing(&name).await?;
        if folder.read(ANEW).await.is_ok() {
            return Err(JsValue::from_str("a journal may be half written"));
        }
        let journal = folder.read(JOURNAL).await?;
        let journal = Journal::read(&name, &storage::bytes(&journal).await?);
        let project = journal.map_err(|error| JsValue::from_str(&error.to_string()))?.project;
        read.push((project, read_about(&folder).await));
    }
    let media = media().await?;
    let names = media.names().await?;
    for file in keeping::unused(&names, &read) {
        media.remove(file).await?;
    }
    Ok(())
}
