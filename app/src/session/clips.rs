//! Files: opening and showing them, checking the others, loading models. One after the other, in the order of the queue.

use leptos::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::Blob;

use super::queue::{Task, Why};
use super::start::{Inner, Session};
use crate::files::{Origin, Source};
use crate::keeping::ARCHIVE_ENDING;
use crate::link::PendingAnswer;
use crate::link::restart::Recovery;
use crate::listing::{self, FileLine, Readable};
use crate::messages::{Blame, CheckFile, ClipId, ClipInfo, Fault, FileNumber, LoadModel, ModelInfo, OpenFile};
use crate::viewer::Viewer;
use crate::viewer::notices::Stage;

impl Session {
    /// Open files: the first readable one is shown, the others are checked. A model file is loaded, a project brought back, a
    /// zip opened as its files.
    pub(crate) fn open(&self, files: Vec<web_sys::File>) {
        let ending = |end: &'static str| move |file: &web_sys::File| file.name().to_lowercase().ends_with(end);
        let (models, files): (Vec<_>, Vec<_>) = files.into_iter().partition(ending(".safetensors"));
        let (archives, files): (Vec<_>, Vec<_>) = files.into_iter().partition(ending(ARCHIVE_ENDING));
        let (zips, files): (Vec<_>, Vec<_>) = files.into_iter().partition(ending(".zip"));
        archives.into_iter().for_each(|archive| self.bring_back(archive));
        let files: Vec<_> = files.into_iter().map(|file| self.add_clip(Source::picked(file))).collect();
        let show = files.first().map(|&file| Task::Show { file, why: Why::Opened });
        let load = models.into_iter().map(|model| self.model_task(model));
        let unpack = zips.into_iter().map(|zip| Task::Unpack(self.add_source(Source::picked(zip))));
        let check = files.iter().skip(1).map(|&file| Task::Check(file));
        self.ask(&show.into_iter().chain(load).chain(unpack).chain(check).collect::<Vec<_>>());
    }

    /// Load a model file. The one in use stays when it is refused.
    pub(crate) fn open_model(&self, file: web_sys::File) {
        self.ask(&[self.model_task(file)]);
    }

    /// Load the model that comes with the app again.
    pub(crate) fn use_bundled_model(&self) {
        let bundled = self.inner.with_value(|inner| inner.bundled);
        let task = bundled.map(|file| Task::Model { file, keep: false });
        self.ask(task.as_slice());
    }

    /// Load a model in place of the one that is awaited, or else of the one in use.
    pub(super) fn load_model(&self, file: FileNumber) {
        let instead = self.inner.try_update_value(|inner| {
            let instead = inner.queue.replace_model(file);
            inner.model = if instead { Some(file) } else { inner.model };
            instead
        });
        if instead != Some(true) {
            self.ask(&[Task::Model { file, keep: false }]);
        }
    }

    /// Show a file of the list.
    pub(crate) fn show(&self, file: FileNumber) {
        self.inner.update_value(|inner| inner.queue.forget_check(file));
        self.ask(&[Task::Show { file, why: Why::Chosen }]);
    }

    /// Take a file off the list, with what was found in it. When it is on the screen, the next one is shown, or the one
    /// before it.
    pub(crate) fn take_off(&self, file: FileNumber) {
        let media = self.viewer.media;
        let next = media
            .files
            .with_untracked(|files| listing::neighbour(files, file, 1).or_else(|| listing::neighbour(files, file, -1)));
        let (wanted, clip) = (self.wanted() == Some(file), media.clip_of(file));
        media.files.update(|files| files.retain(|line| line.file != file));
        let in_the_way = self.inner.try_update_value(|inner| {
            inner.sources.remove(&file);
            inner.queue.forget(file).then_some(inner.request).flatten()
        });
        if let Some(request) = in_the_way.flatten() {
            self.link.cancel(request);
        }
        if let Some(clip) = clip {
            if media.shows(clip) {
                self.viewer.close_clip();
            }
            self.viewer.findings.forget_clip(clip);
        }
        if let Some(next) = next.filter(|_| wanted) {
            self.show(next);
        }
    }

    fn is_listed(&self, file: FileNumber) -> bool {
        self.inner.with_value(|inner| inner.sources.contains_key(&file))
    }

    /// The file that the user wants to see: the last one asked for, or else the one on the screen.
    pub(crate) fn wanted(&self) -> Option<FileNumber> {
        self.inner.with_value(|inner| inner.queue.wanted()).or_else(|| self.viewer.media.shown_file())
    }

    /// Whether another file than the one on the screen is wanted.
    pub(crate) fn is_changing(&self) -> bool {
        self.viewer.media.shown_file() != self.wanted()
    }

    pub(super) fn add_source(&self, source: Source) -> FileNumber {
        let add = |inner: &mut Inner| {
            inner.next_file += 1;
            inner.sources.insert(inner.next_file, source);
            inner.next_file
        };
        self.inner.try_update_value(add).unwrap_or_default()
    }

    pub(super) fn add_clip(&self, source: Source) -> FileNumber {
        let name = source.name.clone();
        let file = self.add_source(source);
        self.viewer.media.files.update(|files| files.push(FileLine { file, name, readable: Readable::Unknown }));
        file
    }

    fn model_task(&self, file: web_sys::File) -> Task {
        Task::Model { file: self.add_source(Source::picked(file)), keep: false }
    }

    pub(super) fn ask(&self, tasks: &[Task]) {
        let in_the_way = self.inner.try_update_value(|inner| inner.queue.add(tasks).then_some(inner.request).flatten());
        if let Some(request) = in_the_way.flatten() {
            self.link.cancel(request);
        }
        self.proceed();
    }

    /// Do the next task when the worker is free, and those after it.
    pub(super) fn proceed(&self) {
        let task = self.link.is_awake().then(|| self.inner.try_update_value(|inner| inner.queue.take_next()).flatten());
        self.settle();
        if let Some(task) = task.flatten() {
            let session = *self;
            spawn_local(async move {
                session.perform(task).await;
                session.inner.update_value(|inner| {
                    inner.request = None;
                    inner.queue.done();
                });
                session.proceed();
            });
        }
    }

    async fn perform(&self, task: Task) {
        let (file, fault) = match task {
            Task::Start => return self.start_device().await,
            Task::Model { file, keep } => {
                let name = |name| LoadModel { name };
                match self.answer(file, |session, source, blob| session.link.ask(name(source.name), Some(blob))).await {
                    Ok(model) => return self.loaded(file, model, keep),
                    Err(fault) => (file, fault),
                }
            }
            Task::Unpack(file) => match self.unpack(file).await {
                Ok(files) => return self.open(files),
                Err(fault) => (file, fault),
            },
            Task::Show { file, .. } => match self.answer(file, Self::open_file).await {
                Ok(clip) if !self.is_listed(file) => return self.opened_in_vain(clip.id),
                Ok(clip) => return self.opened(file, clip),
                Err(fault) => (file, fault),
            },
            Task::Check(file) => {
                let name = |name| CheckFile { name };
                match self.answer(file, |session, source, blob| session.link.ask(name(source.name), Some(blob))).await {
                    Ok(_) if !self.is_listed(file) => return,
                    Ok(clip) => return self.checked(file, clip),
                    Err(fault) => (file, fault),
                }
            }
        };
        match fault {
            // It was taken off the list.
            _ if !matches!(task, Task::Model { .. }) && !self.is_listed(file) => {}
            // It died of something else: the next worker is asked anew.
            Fault::Died { blame: Blame::No, .. } => self.inner.update_value(|inner| inner.queue.put_back(task)),
            Fault::Died { reason, .. } => {
                let what = if matches!(task, Task::Model { .. }) { "loading" } else { "reading" };
                let name = self.name(file);
                self.failed(task, format!("{name}: {what} it stopped the worker ({reason}); it is left out."));
            }
            Fault::Cancelled => self.inner.update_value(|inner| inner.queue.check_later(file)),
            fault => self.failed(task, fault.to_string()),
        }
    }

    /// The worker's answer about a file.
    pub(super) async fn answer<A: serde::de::DeserializeOwned>(
        &self,
        file: FileNumber,
        ask: impl Fn(&Self, Source, &Blob) -> PendingAnswer<A>,
    ) -> Result<A, Fault> {
        let generation = self.link.generation();
        let source = self.inner.with_value(|inner| inner.sources.get(&file).cloned());
        let Some(source) = source else { return Err(Fault::Cancelled) };
        let blob = source.blob().await.map_err(Fault::Refused)?;
        if self.link.generation() != generation {
            // The worker that it was read for is dead.
            return Err(Fault::Died { reason: String::new(), blame: Blame::No });
        }
        let asked = ask(self, source, &blob);
        self.inner.update_value(|inner| inner.request = Some(asked.id));
        asked.await.map(|(answer, _)| answer)
    }

    fn open_file(&self, source: Source, blob: &Blob) -> PendingAnswer<ClipInfo> {
        let (notices, name) = (self.viewer.notices, source.name.clone());
        self.link.stream(OpenFile { name: source.name }, Some(blob), move |reading, _| {
            notices.starting(format!("Reading {name}: {:.0} %", 100.0 * reading.0));
        })
    }

    fn opened(&self, file: FileNumber, clip: ClipInfo) {
        self.inner.update_value(|inner| inner.opened = Some(clip.id));
        if self.is_damaged(file, clip.id) {
            let reason = "its file in this browser is damaged: open it once more from where it comes from";
            self.leave_out(file, format!("{}: {reason}.", clip.name));
            return self.opened_in_vain(clip.id);
        }
        let name = self.found_out(file, clip.id);
        if let Some(note) = &clip.note {
            self.viewer.notices.info(note.clone());
        }
        // The clip on the screen keeps its results, whichever file it was read from.
        if !self.viewer.media.shows(clip.id) {
            self.link.recovery(Recovery::trust);
            let id = clip.id;
            self.viewer.show_clip(ClipInfo { name, ..clip }, motion_is_welcome());
            self.put_back(id);
        }
    }

    /// A file was opened that is damaged, or not in the list any more: the worker is given back the clip on the screen.
    fn opened_in_vain(&self, clip: ClipId) {
        let media = self.viewer.media;
        self.inner.update_value(|inner| {
            inner.opened = Some(clip);
            let again = media.shown_file().map(|file| Task::Show { file, why: Why::Kept });
            inner.queue.add(again.as_slice());
        });
    }

    fn checked(&self, file: FileNumber, clip: ClipId) {
        self.found_out(file, clip);
    }

    /// A file is this clip. When another one is, too, they are one line of the list, whose name is given.
    fn found_out(&self, file: FileNumber, clip: ClipId) -> String {
        let media = self.viewer.media;
        let name = self.name(file);
        let kept = self.kept_line(clip).filter(|&kept| kept != file);
        if let Some(kept) = kept {
            // The file that was asked for, or that the project has, is this one.
            self.inner.update_value(|inner| {
                if let Some(source) = inner.sources.remove(&file) {
                    let name = inner.sources.get(&kept).map_or_else(|| source.name.clone(), |old| old.name.clone());
                    inner.sources.insert(kept, Source { name, ..source });
                }
            });
            media.files.update(|files| files.retain(|line| line.file != file));
            media.mark(kept, Readable::Yes(clip));
            return self.name(kept);
        }
        match media.line_of(clip).filter(|line| line.file != file) {
            None => {
                media.mark(file, Readable::Yes(clip));
                name
            }
            Some(line) => {
                media.files.update(|files| files.retain(|other| other.file != file));
                let kept = self.inner.try_update_value(|inner| inner.sources.remove(&file));
                // Nobody opened a second one of a file that the project has.
                if !kept.flatten().is_some_and(|source| matches!(source.origin, Origin::Kept(_))) {
                    let text =
                        format!("{name} is in the list already, as {}: the same content is one clip.", line.name);
                    self.viewer.notices.info(text);
                }
                line.name
            }
        }
    }

    fn loaded(&self, file: FileNumber, model: ModelInfo, keep: bool) {
        let Viewer { findings, .. } = self.viewer;
        self.inner.update_value(|inner| {
            inner.loaded = true;
            inner.models += 1;
            inner.model = Some(file);
            inner.warm = 0;
            if keep && findings.measured.with_untracked(Option::is_some) {
                // What was measured on the worker before still holds.
                inner.measured = inner.models;
            }
        });
        findings.bundled.set(self.inner.with_value(|inner| inner.bundled == Some(file)));
        findings.finding.set(model.finding.clone());
        findings.model.set(Some(model));
        if keep {
            self.move_to_device();
        } else {
            self.link.recovery(Recovery::trust);
            self.viewer.forget_predictions();
            self.viewer.view.threshold.set(None);
            findings.measured.set(None);
        }
    }

    fn name(&self, file: FileNumber) -> String {
        let name = self.inner.with_value(|inner| inner.sources.get(&file).map(|source| source.name.clone()));
        name.unwrap_or_default()
    }

    /// A file cannot be used, for this reason.
    fn failed(&self, task: Task, reason: String) {
        let sentence = reason.trim_end_matches('.');
        match task {
            Task::Start => {}
            Task::Unpack(_) => self.viewer.notices.refused(reason),
            Task::Model { keep, .. } => {
                let rest = self.model_that_stays(keep);
                self.viewer.notices.problem(format!("{sentence}. {rest}"));
            }
            Task::Show { file, why: Why::Kept } => {
                self.leave_out(file, format!("{sentence}. It could not be read again and was closed: open it again."));
            }
            Task::Show { file, .. } | Task::Check(file) => {
                self.leave_out(file, reason);
                if matches!(task, Task::Show { why: Why::Opened, .. }) {
                    self.inner.update_value(|inner| inner.queue.show_another());
                }
            }
        }
    }

    /// A file cannot be read, for this reason. When it is the clip on the screen it is closed.
    pub(super) fn leave_out(&self, file: FileNumber, reason: String) {
        let clip = self.viewer.media.clip_of(file);
        self.viewer.media.mark(file, Readable::No(reason.clone()));
        self.viewer.notices.refused(reason);
        let lost = self.inner.with_value(|inner| inner.opened.is_none() || inner.opened != clip);
        if lost && clip.is_some_and(|clip| self.viewer.media.shows(clip)) {
            self.viewer.close_clip();
        }
    }

    /// A model was left out: say which one is in use now. The page's `own`, which a new worker was given, is not asked for
    /// again in vain.
    fn model_that_stays(&self, own: bool) -> String {
        let model = self.viewer.findings.model;
        if own {
            self.inner.update_value(|inner| inner.model = None);
            model.set(None);
        }
        match model.get_untracked() {
            Some(model) => format!("The model {} stays in use.", model.name),
            None => "No model is loaded now: choose a model file to see predictions.".to_owned(),
        }
    }

    fn settle(&self) {
        let idle = self.link.is_awake() && self.inner.with_value(|inner| inner.queue.is_settled());
        let starting = self.viewer.notices.stage.with_untracked(|stage| matches!(stage, Stage::Starting(_)));
        if idle && starting && self.viewer.findings.device.with_untracked(Option::is_some) {
            self.viewer.notices.stage.set(Stage::Ready);
        }
    }
}

/// False when the user asked the system for less motion: nothing then plays of its own accord.
fn motion_is_welcome() -> bool {
    let query = window().match_media("(prefers-reduced-motion: reduce)").ok().flatten();
    query.is_none_or(|query| !query.matches())
}
