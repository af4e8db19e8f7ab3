//! The project: opened again at start, every entry written as it happens.

use std::time::Duration;

use js_sys::Date;
use leptos::ev;
use leptos::prelude::*;
use sonoseg_imaging::annotation::{Entry, Project, encode};
use wasm_bindgen_futures::{JsFuture, spawn_local};

use super::keeper::Keeper;
use super::start::Session;
use crate::clock::date_ms;
use crate::keeping::Outbox;
use crate::messages::{
    AppendEntries, ClipId, DeleteProject, Fault, KeepPlace, KeptModel, ListProjects, MakeProject, OpenProject,
    OpenedProject, Place, ProjectId, ProjectLine, RenameProject,
};
use crate::opfs;
use crate::transform::Transform;
use crate::viewer::Viewer;
use crate::viewer::projects::Saved;

/// How often it is looked for what is to be done meanwhile.
const EVERY_SECOND: Duration = Duration::from_secs(1);
/// How long what models find waits to be written together: every write waits for the disk, and so does the model.
const TOGETHER: Duration = Duration::from_millis(500);
/// When writing is tried again that the browser refused.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

impl Session {
    /// Keep what happens from now on.
    pub(super) fn start_keeping(&self) {
        let session = *self;
        self.viewer.annotations.keep_with(move |entry| session.keep(&entry));
        if let Ok(timer) = set_interval_with_handle(move || session.every_second(), EVERY_SECOND) {
            on_cleanup(move || timer.clear());
        }
        // The browser asks before it closes a page with something that a person said and that is not written.
        let leaving = window_event_listener(ev::beforeunload, move |event| {
            if session.keeper(|keeper| keeper.outbox.owes_words()) == Some(true) {
                event.prevent_default();
            }
        });
        on_cleanup(move || leaving.remove());
    }

    /// Give the worker the open project, which a new one has not; at first the last one that was changed.
    pub(super) fn open_kept(&self) {
        let session = *self;
        let busy = self.keeper(|keeper| std::mem::replace(&mut keeper.busy, true));
        if busy != Some(false) {
            return;
        }
        self.keeper(|keeper| keeper.outbox.failed());
        spawn_local(async move {
            match session.viewer.projects.open.get_untracked() {
                Some(project) => session.open_again(project.id).await,
                None if session.keeper(|keeper| keeper.looked) == Some(false) => session.open_last().await,
                None => {}
            }
            session.keeper(|keeper| keeper.busy = false);
            session.write_entries();
        });
    }

    /// Show another project, and keep what happens to it from now on.
    pub(crate) fn open_project(&self, id: ProjectId) {
        self.change_project(move |session| async move {
            match session.link.ask(OpenProject { id }, None).await {
                Ok((opened, buffers)) => session.take_over(opened, buffers).await,
                Err(fault) => session.viewer.notices.problem(fault.to_string()),
            }
        });
    }

    /// Begin a new project: it is made with the first word that is said.
    pub(crate) fn new_project(&self) {
        self.change_project(move |session| async move { session.forget_project() });
    }

    /// Call a project otherwise.
    pub(crate) fn rename_project(&self, id: ProjectId, name: String) {
        let session = *self;
        spawn_local(async move {
            let renamed = RenameProject { id: id.clone(), name: name.clone() };
            match session.link.ask(renamed, None).await {
                Ok(_) => session.viewer.projects.open.update(|open| {
                    if let Some(project) = open.as_mut().filter(|project| project.id == id) {
                        project.name = name;
                    }
                }),
                Err(fault) => session.viewer.notices.problem(fault.to_string()),
            }
            session.list_projects().await;
        });
    }

    /// Delete a project for good.
    pub(crate) fn delete_project(&self, id: ProjectId) {
        let session = *self;
        spawn_local(async move {
            match session.link.ask(DeleteProject { id: id.clone() }, None).await {
                Ok(_) => {
                    let open = session.viewer.projects.open.get_untracked();
                    if open.is_some_and(|project| project.id == id) {
                        session.forget_project();
                    }
                }
                Err(fault) => session.viewer.notices.problem(fault.to_string()),
            }
            session.list_projects().await;
        });
    }

    /// Write now what could not be written before.
    pub(crate) fn write_entries(&self) {
        let ready = self.link.is_awake() && self.keeper(|keeper| keeper.said && !keeper.busy) == Some(true);
        let sent = if ready { self.keeper(|keeper| keeper.outbox.send()).flatten() } else { None };
        let Some((first, lines)) = sent else { return };
        let session = *self;
        self.viewer.projects.saved.set(Saved::Writing);
        spawn_local(async move {
            let written = match session.viewer.projects.open.get_untracked() {
                Some(project) => {
                    let asked = session.link.ask(AppendEntries { id: project.id, first, lines }, None);
                    asked.await.map(|(entries, _)| entries)
                }
                None => session.make_project(lines).await,
            };
            match written {
                Ok(entries) => session.written(entries),
                // The next worker is given them.
                Err(Fault::Died { .. }) => {
                    session.keeper(|keeper| keeper.outbox.failed());
                    let reason = "The worker stopped before it was written.".to_owned();
                    session.viewer.projects.saved.set(Saved::Failed(reason));
                }
                Err(fault) => session.unwritten(fault.to_string()),
            }
        });
    }

    /// Do something that leaves the open project, once all of it is written.
    pub(super) fn change_project<F: Future<Output = ()>>(&self, change: impl FnOnce(Self) -> F + 'static) {
        let session = *self;
        let free = self.keeper(|keeper| {
            let free = !keeper.busy && !keeper.outbox.is_sending() && !keeper.outbox.owes_words();
            keeper.busy |= free;
            free
        });
        if free != Some(true) {
            let text = "What you marked is not written yet: wait a moment, or take the project out as a file first.";
            return self.viewer.notices.problem(text);
        }
        spawn_local(async move {
            change(session).await;
            session.keeper(|keeper| keeper.busy = false);
            session.list_projects().await;
            session.write_entries();
        });
    }

    /// The worker has another project open: show it. What was marked while it was being opened belongs to the one before,
    /// and is written there first.
    pub(super) async fn take_over(&self, opened: OpenedProject, buffers: Vec<Vec<u8>>) {
        let (mut opened, mut buffers) = (opened, buffers);
        while let Some((first, lines)) =
            self.keeper(|keeper| keeper.said.then(|| keeper.outbox.send()).flatten()).flatten()
        {
            let again = async {
                let entries = match self.viewer.projects.open.get_untracked() {
                    Some(before) => {
                        self.link.ask(OpenProject { id: before.id.clone() }, None).await?;
                        self.link.ask(AppendEntries { id: before.id, first, lines }, None).await?.0
                    }
                    None => self.make_project(lines).await?,
                };
                self.keeper(|keeper| keeper.outbox.kept(entries));
                self.link.ask(OpenProject { id: opened.id.clone() }, None).await
            };
            match again.await {
                Ok((again, project)) => {
                    (opened, buffers) = (OpenedProject { notes: opened.notes, ..again }, project);
                }
                Err(fault) => return self.unwritten(fault.to_string()),
            }
        }
        self.restore(opened, &buffers).await;
    }

    /// Show a project as it was kept: its answers, its clips, the place of its user.
    async fn restore(&self, opened: OpenedProject, buffers: &[Vec<u8>]) {
        let Viewer { projects, notices, .. } = self.viewer;
        let OpenedProject { id, name, entries, place, taken_out, model, notes } = opened;
        let read = buffers.first().map(|bytes| serde_json::from_slice::<Project>(bytes));
        let Some(Ok(project)) = read else {
            return notices.problem(format!("The project {name} cannot be shown: reload the page to try again."));
        };
        notes.into_iter().for_each(|note| notices.problem(note));
        self.keeper(|keeper| {
            keeper.outbox = Outbox::new(entries);
            keeper.said = true;
            keeper.tried.clear();
            keeper.written_place = place.map(|place| (place, model.clone()));
        });
        let listed =
            projects.list.with_untracked(|list| list.iter().find(|line| line.id == id).map(|line| line.changed_ms));
        let changed_ms = listed.unwrap_or_else(date_ms);
        projects.set_open(Some(ProjectLine { id, name, changed_ms }), entries, taken_out);
        self.viewer.open_project(project.clone());
        if let Some(model) = model {
            self.use_kept_model(model).await;
        }
        self.list_clips(&project).await;
        self.ask_to_last();
        // A clip whose file is asked for is shown where it is opened, from its first frame.
        let shown = place.and_then(|place| Some((place, self.viewer.media.line_of(place.clip)?.file)));
        let Some((place, file)) = shown else { return self.viewer.take_up() };
        self.keeper(|keeper| keeper.place = Some(place));
        if self.viewer.media.shows(place.clip) {
            self.viewer.take_up();
            self.put_back(place.clip);
        } else {
            self.show(file);
        }
    }

    /// The clip is on the screen: go to the frame and the zoom where the user was, when this is that clip.
    pub(super) fn put_back(&self, clip: ClipId) {
        let place = self.keeper(|keeper| keeper.place.take_if(|place| place.clip == clip)).flatten();
        let Some(place) = place else { return };
        self.viewer.view.playing.set(false);
        self.viewer.go_to(place.frame);
        if let Some([scale, left, top]) = place.zoom {
            self.viewer.move_view(|_| Transform { scale, left, top, fitted: false });
        }
    }

    /// Read or change what is known of the project.
    pub(super) fn keeper<T>(&self, change: impl FnOnce(&mut Keeper) -> T) -> Option<T> {
        self.inner.try_update_value(|inner| change(&mut inner.keeper))
    }

    /// Something happened: it is written at once, what a model found a moment later.
    fn keep(&self, entry: &Entry) {
        let line = match encode(entry) {
            Ok(line) => line,
            Err(error) => return self.viewer.notices.problem(error.to_string()),
        };
        let patient = matches!(entry, Entry::Predicted { .. });
        let word = matches!(entry, Entry::Do(_) | Entry::Undo | Entry::Redo);
        let kept = self.keeper(|keeper| {
            keeper.said |= word;
            keeper.outbox.push(line, word);
            (keeper.outbox.entries(), patient && std::mem::replace(&mut keeper.soon, true))
        });
        let Some((entries, waiting)) = kept else { return };
        self.viewer.projects.entries.set(entries);
        if !patient {
            self.write_entries();
        } else if !waiting {
            let session = *self;
            let write = move || {
                session.keeper(|keeper| keeper.soon = false);
                session.write_entries();
            };
            set_timeout(write, TOGETHER);
        }
    }

    async fn open_last(&self) {
        let list = match self.link.ask(ListProjects {}, None).await {
            Ok((list, _)) => list,
            // The next worker is asked anew.
            Err(Fault::Died { .. }) => return,
            Err(fault) => {
                self.keeper(|keeper| keeper.looked = true);
                return self.viewer.projects.saved.set(Saved::Failed(fault.to_string()));
            }
        };
        // A project that stops the worker is not opened again and again.
        self.keeper(|keeper| keeper.looked = true);
        let last = list.projects.first().map(|project| project.id.clone());
        self.viewer.projects.list.set(list.projects);
        self.viewer.projects.room.set((list.used, list.quota));
        let Some(id) = last else { return };
        let opened = self.link.ask(OpenProject { id }, None).await;
        // Who marked something meanwhile has begun a new one.
        let said = self.keeper(|keeper| keeper.said) != Some(false);
        match opened {
            Ok((opened, buffers)) if !said => self.restore(opened, &buffers).await,
            Ok(_) => {}
            Err(fault) => {
                let reason = fault.to_string();
                let reason = reason.trim_end_matches('.');
                self.viewer.notices.info(format!("{reason}. What you mark here is kept in a new project."));
            }
        }
    }

    async fn open_again(&self, id: ProjectId) {
        match self.link.ask(OpenProject { id }, None).await {
            Ok((opened, buffers)) if self.keeper(|keeper| opened.entries > keeper.outbox.entries()) == Some(true) => {
                let name = opened.name.clone();
                self.restore(opened, &buffers).await;
                let text =
                    format!("The project {name} was changed in another tab meanwhile, and is shown as it is there.");
                self.viewer.notices.problem(text);
            }
            Ok((opened, _)) => drop(self.keeper(|keeper| keeper.outbox.kept(opened.entries))),
            // The next worker is asked anew.
            Err(Fault::Died { .. }) => {}
            Err(fault) => self.unwritten(fault.to_string()),
        }
    }

    /// Make the project of what was said so far. Gives the number of its entries.
    async fn make_project(&self, lines: Vec<String>) -> Result<usize, Fault> {
        let entries = lines.len();
        let today: String = Date::new_0().to_iso_string().into();
        let name = format!("Project of {}", today.split('T').next().unwrap_or_default());
        let (project, _) = self.link.ask(MakeProject { name, lines }, None).await?;
        self.viewer.projects.set_open(Some(project), entries, None);
        self.list_projects().await;
        self.ask_to_last();
        Ok(entries)
    }

    fn written(&self, entries: usize) {
        let rest = self.keeper(|keeper| {
            keeper.outbox.kept(entries);
            keeper.told = None;
            keeper.outbox.entries()
        });
        let projects = self.viewer.projects;
        projects.entries.set(rest.unwrap_or_default());
        projects.saved.set(Saved::At(Date::now()));
        self.write_entries();
        self.keep_files();
    }

    /// Writing was refused. It is tried again; the user is told once.
    fn unwritten(&self, reason: String) {
        let state = self.keeper(|keeper| {
            keeper.outbox.failed();
            let news = keeper.told.replace(reason.clone()).as_ref() != Some(&reason);
            (news, std::mem::replace(&mut keeper.again, true))
        });
        let Some((news, waiting)) = state else { return };
        self.viewer.projects.saved.set(Saved::Failed(reason.clone()));
        if news {
            self.viewer.notices.problem(reason);
        }
        if !waiting {
            let session = *self;
            let again = move || {
                session.keeper(|keeper| keeper.again = false);
                // It may be that the worker has another one open.
                session.open_kept();
            };
            set_timeout(again, AGAIN_AFTER);
        }
    }

    /// No project is kept any more.
    fn forget_project(&self) {
        self.keeper(|keeper| {
            keeper.outbox = Outbox::default();
            keeper.said = false;
            keeper.tried.clear();
        });
        self.viewer.projects.set_open(None, 0, None);
        self.viewer.open_project(Project::default());
        self.viewer.take_up();
    }

    async fn list_projects(&self) {
        if let Ok((list, _)) = self.link.ask(ListProjects {}, None).await {
            self.viewer.projects.list.set(list.projects);
            self.viewer.projects.room.set((list.used, list.quota));
        }
    }

    fn every_second(&self) {
        self.keep_place();
        self.tend_learning();
    }

    /// Remember where the user is, when that has changed.
    fn keep_place(&self) {
        let Viewer { media, view, projects, .. } = self.viewer;
        let (Some(project), Some(clip)) = (projects.open.get_untracked(), media.with_clip(|clip| clip.id)) else {
            return;
        };
        if view.playing.get_untracked() || !self.link.is_awake() {
            return;
        }
        let Transform { scale, left, top, fitted } = view.transform.get_untracked();
        let place = Place { clip, frame: view.frame.get_untracked(), zoom: (!fitted).then_some([scale, left, top]) };
        let model = self.model_to_keep();
        let now = Some((place, model.clone()));
        let changed = self.keeper(|keeper| {
            keeper.place.is_none() && std::mem::replace(&mut keeper.written_place, now.clone()) != now
        });
        if changed == Some(true) {
            let asked = self.link.ask(KeepPlace { id: project.id, place, model }, None);
            // What cannot be written here costs a key press after a reload; entries say more of it.
            spawn_local(async move { drop(asked.await) });
        }
    }

    /// Remember a model that was chosen a moment ago, before it is loaded: whoever reloads now finds it in use.
    pub(super) fn keep_model(&self, model: KeptModel) {
        let place = self.keeper(|keeper| keeper.written_place.as_ref().map(|(place, _)| *place)).flatten();
        let (Some(project), Some(place)) = (self.viewer.projects.open.get_untracked(), place) else { return };
        let asked = self.link.ask(KeepPlace { id: project.id, place, model: Some(model) }, None);
        // What cannot be written here is written with the next change of the place.
        spawn_local(async move { drop(asked.await) });
    }

    /// Ask the browser once not to clear its storage of its own accord.
    fn ask_to_last(&self) {
        let lasting = self.viewer.projects.lasting;
        if lasting.get_untracked().is_none() {
            spawn_local(async move {
                let asked = async { JsFuture::from(opfs::storage()?.persist()?).await };
                // A browser that does not know the question promises nothing.
                lasting.set(Some(asked.await.is_ok_and(|answer| answer.is_truthy())));
            });
        }
    }
}
