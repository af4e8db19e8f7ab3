//! Learning from the answers of the project: plan, run, gate, and the models that are kept.

use std::cell::RefCell;
use std::rc::Rc;

use leptos::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::Blob;

use super::archive::{blob, save};
use super::learner::Learner;
use super::queue::Task;
use super::start::Session;
use crate::files::Source;
use crate::keeping::{ARCHIVE_ENDING, BEFORE, file_name};
use crate::learning;
use crate::messages::post::reason;
use crate::messages::{
    ClipId, DeleteRun, Ended, Fault, FinishLearning, JudgeRun, KeepRun, KeptModel, Learn, Learning, Lesson, ListRuns,
    LookAt, Looked, Packing, PlanLearning, RunId, RunState, TakeRunOut,
};
use crate::viewer::Viewer;
use crate::viewer::learning::{Look, Phase};

/// Workers that one and the same run may stop.
const DEATHS: u32 = 3;

impl Session {
    /// Find out what learning would do.
    pub(crate) fn plan_learning(&self) {
        let session = *self;
        let phase = self.viewer.learning.phase;
        phase.set(Phase::Planning("Looking at your frames".to_owned()));
        spawn_local(async move {
            let choice = session.choice();
            let planned = async {
                let (lesson, beside) = session.lesson().await?;
                session.link.stream_files(PlanLearning { lesson, choice }, &beside, |_, _| {}).await
            };
            phase.set(match planned.await {
                Ok((plan, _)) => Phase::Planned(Box::new(plan)),
                Err(fault) => Phase::Failed(fault.to_string()),
            });
        });
    }

    /// Begin a run, or go on with one.
    pub(crate) fn learn(&self, run: Option<RunId>) {
        if self.learner(|learner| learner.request.is_some()) {
            return;
        }
        let (session, learning) = (*self, self.viewer.learning);
        learning.phase.set(Phase::Learning(Some("Reading your frames".to_owned())));
        if run.is_none() {
            learning.run.set(None);
        }
        // Nobody else begins meanwhile.
        self.learner(|learner| learner.request = Some(0));
        spawn_local(async move {
            let crash_after = session.inner.with_value(|inner| inner.options.crash_after);
            let crash_after = crash_after.filter(|_| session.learner(|learner| learner.deaths == 0));
            let choice = session.choice();
            let learned = async {
                let (lesson, beside) = session.lesson().await?;
                let request = Learn { run: run.clone(), lesson, choice, crash_after };
                let asked = session.link.stream_files(request, &beside, move |news, buffers| {
                    session.learning_news(news, buffers);
                });
                session.learner(|learner| learner.request = Some(asked.id));
                asked.await
            };
            let ended = learned.await;
            session.learner(|learner| learner.request = None);
            match ended {
                Ok((Ended::Done, _)) => {
                    session.list_runs().await;
                    session.judge();
                }
                Ok((Ended::Paused, _)) => {
                    learning.phase.set(Phase::Paused);
                    session.list_runs().await;
                }
                Err(Fault::Cancelled) => {
                    learning.phase.set(if run.is_some() { Phase::Paused } else { Phase::Idle });
                }
                // The next worker goes on with it.
                Err(Fault::Died { reason, .. }) => session.stopped_by(&reason),
                Err(fault) => {
                    learning.phase.set(Phase::Failed(fault.to_string()));
                    session.list_runs().await;
                }
            }
        });
    }

    /// Stop learning for now; all of it is kept.
    pub(crate) fn pause_learning(&self) {
        if let Some(request) = self.learner(|learner| learner.request).filter(|request| *request > 0) {
            self.link.cancel(request);
        }
    }

    /// Stop learning, and keep the best model so far.
    pub(crate) fn finish_learning(&self) {
        let asked = self.link.ask(FinishLearning {}, None);
        spawn_local(async move { drop(asked.await) });
    }

    /// Compare the model of the run with the one before.
    pub(crate) fn judge(&self) {
        let (session, learning) = (*self, self.viewer.learning);
        let Some(run) = learning.run.get_untracked() else { return };
        learning.phase.set(Phase::Judging("Comparing both models".to_owned()));
        spawn_local(async move {
            let judged = async {
                let (lesson, beside) = session.lesson().await?;
                let tell = move |news, _| {
                    if let Learning::Doing(text) = news {
                        learning.phase.set(Phase::Judging(text));
                    }
                };
                session.link.stream_files(JudgeRun { run, lesson }, &beside, tell).await
            };
            learning.phase.set(match judged.await {
                Ok((judgement, _)) => Phase::Judged(Box::new(judgement)),
                Err(fault) => Phase::Failed(fault.to_string()),
            });
        });
    }

    /// Keep the model of the run, and use it.
    pub(crate) fn keep_run(&self, run: RunId, name: String) {
        let session = *self;
        spawn_local(async move {
            match session.link.ask(KeepRun { run: run.clone(), name }, None).await {
                Ok(_) => {
                    session.list_runs().await;
                    session.viewer.learning.phase.set(Phase::Idle);
                    session.use_run(&run);
                }
                Err(fault) => session.viewer.notices.problem(fault.to_string()),
            }
        });
    }

    /// Call a kept model otherwise.
    pub(crate) fn rename_run(&self, run: RunId, name: String) {
        let session = *self;
        spawn_local(async move {
            if let Err(fault) = session.link.ask(KeepRun { run, name }, None).await {
                session.viewer.notices.problem(fault.to_string());
            }
            session.list_runs().await;
        });
    }

    /// Throw a run away with its model. When the model is in use, that of the app is used instead.
    pub(crate) fn delete_run(&self, run: RunId) {
        let (session, learning) = (*self, self.viewer.learning);
        if untrack(|| self.viewer.used_run()).as_ref() == Some(&run) {
            self.use_bundled_model();
        }
        spawn_local(async move {
            if let Err(fault) = session.link.ask(DeleteRun { run: run.clone() }, None).await {
                session.viewer.notices.problem(fault.to_string());
            }
            if learning.run.get_untracked() == Some(run) {
                learning.run.set(None);
                learning.phase.set(Phase::Idle);
            }
            session.list_runs().await;
        });
    }

    /// Use the model of a run.
    pub(crate) fn use_run(&self, run: &RunId) {
        let Some(source) = self.model_of(run) else { return };
        if let Some(id) = self.viewer.learning.line(run).and_then(|line| line.about.hash) {
            self.keep_model(KeptModel { id, name: source.name.clone() });
        }
        self.use_model_of(source);
    }

    /// The model of a run that was kept, by its hash.
    pub(super) async fn made_here(&self, model: ClipId) -> Option<Source> {
        self.list_runs().await;
        self.model_of(&untrack(|| self.viewer.learning.run_of(model))?)
    }

    fn model_of(&self, run: &RunId) -> Option<Source> {
        let line = self.viewer.learning.line(run)?;
        Some(Source::of_run(&learning::name(&line.about), run, line.about.model.as_ref()?))
    }

    /// Use the model that a run began from.
    pub(crate) fn use_before(&self, run: &RunId) {
        let Some(line) = self.viewer.learning.line(run) else { return };
        let source = Source::of_run(&line.about.from, run, BEFORE);
        self.use_model_of(source);
    }

    fn use_model_of(&self, source: Source) {
        let file = self.add_source(source);
        self.ask(&[Task::Model { file, keep: false }]);
    }

    /// Have the browser save the model of a run as a file.
    pub(crate) fn export_model(&self, run: RunId) {
        let session = *self;
        spawn_local(async move {
            let Some(model) = session.model_of(&run) else { return };
            let saved = async {
                let file = model.blob().await?;
                save(&[file], &file_name(&model.name, ".safetensors")).map_err(|error| reason(&error))
            };
            if let Err(reason) = saved.await {
                session.viewer.notices.problem(reason);
            }
        });
    }

    /// Have the browser save a run with its data, to go on with natively.
    pub(crate) fn take_run_out(&self, run: RunId) {
        let session = *self;
        let Viewer { projects, notices, learning, .. } = self.viewer;
        if projects.doing.with_untracked(Option::is_some) {
            return notices.info("A file is being made already: wait until it is done.");
        }
        projects.doing.set(Some("Reading the run".to_owned()));
        spawn_local(async move {
            let name = learning.line(&run).map_or_else(|| "Run".to_owned(), |line| learning::name(&line.about));
            let taken = async {
                let (lesson, beside) = session.lesson().await?;
                let pieces: Rc<RefCell<Vec<Blob>>> = Rc::default();
                let given = pieces.clone();
                let tell = move |packing, buffers: Vec<Vec<u8>>| match packing {
                    Packing::Doing(text) => projects.doing.set(Some(text)),
                    Packing::Piece => given.borrow_mut().extend(buffers.iter().filter_map(|bytes| blob(bytes).ok())),
                };
                let (left_out, _) = session.link.stream_files(TakeRunOut { run, lesson }, &beside, tell).await?;
                let saved = save(&pieces.take(), &file_name(&name, ARCHIVE_ENDING));
                saved.map_err(|error| Fault::Refused(reason(&error)))?;
                Ok::<_, Fault>(left_out)
            };
            match taken.await {
                Ok(_) => {
                    notices
                        .info(format!("{name} was taken out with its data; run/README.txt in it says how to go on."));
                }
                Err(fault) => notices.problem(format!("Nothing was taken out. {fault}")),
            }
            projects.doing.set(None);
        });
    }

    /// Ask where the models look for a place in a pinned frame, from 0 to 1 from the left and from the top.
    pub(crate) fn look_at(&self, frame: usize, at: [f64; 2]) {
        let (session, learning) = (*self, self.viewer.learning);
        let Some(run) = learning.run.get_untracked() else { return };
        let picture = learning.pinned.with_untracked(|pinned| {
            pinned.frames.get(frame).and_then(|frame| Some((pinned.size, blob(&frame.grey).ok()?)))
        });
        let Some((size, picture)) = picture else { return };
        learning.look.set(Some(Look { frame, at, ..Look::default() }));
        spawn_local(async move {
            match session.link.ask(LookAt { run, size, at }, Some(&picture)).await {
                Ok((Looked { grid, maps }, mut buffers)) => {
                    let now = buffers.split_off(maps.min(buffers.len()));
                    // Another place may be wanted by now.
                    learning.look.update(|look| {
                        if let Some(look) = look.as_mut().filter(|look| (look.frame, look.at) == (frame, at)) {
                            (look.grid, look.maps) = (grid, [buffers, now]);
                        }
                    });
                }
                Err(Fault::Died { .. }) => learning.look.set(None),
                Err(fault) => session.viewer.notices.problem(fault.to_string()),
            }
        });
    }

    /// Once a second: go on with a run whose worker or page ended, and look at the runs of this browser once.
    pub(super) fn tend_learning(&self) {
        let ready = self.link.is_awake()
            && self.inner.with_value(|inner| inner.loaded && inner.learner.request.is_none())
            && self.keeper(|keeper| keeper.looked && !keeper.busy) == Some(true);
        if !ready {
            return;
        }
        let learning = self.viewer.learning;
        if let (Phase::Learning(_), Some(run)) = (learning.phase.get_untracked(), learning.run.get_untracked()) {
            return self.learn(Some(run));
        }
        if self.learner(|learner| std::mem::replace(&mut learner.looked, true)) {
            return;
        }
        let session = *self;
        spawn_local(async move {
            session.list_runs().await;
            let Some(open) = learning.open_run() else { return };
            learning.run.set(Some(open.id.clone()));
            learning.updates.set(open.about.updates);
            learning.measured.set(open.about.measured);
            match open.about.state {
                RunState::Running => session.learn(Some(open.id)),
                RunState::Paused => learning.phase.set(Phase::Paused),
                RunState::Done if open.about.model.is_some() => session.judge(),
                RunState::Done | RunState::Kept => {}
            }
        });
    }

    pub(super) async fn list_runs(&self) {
        if let Ok((runs, _)) = self.link.ask(ListRuns {}, None).await {
            self.viewer.learning.runs.set(runs);
        }
    }

    /// What is learned from, with the project and the files of its clips.
    async fn lesson(&self) -> Result<(Lesson, Vec<Blob>), Fault> {
        let Viewer { annotations, findings, .. } = self.viewer;
        let project = annotations.project.get_untracked();
        let refused = |reason: String| Fault::Refused(format!("The project cannot be read ({reason})."));
        let text = serde_json::to_vec(&project).map_err(|error| refused(error.to_string()))?;
        let mut beside = vec![blob(&text).map_err(|error| refused(reason(&error)))?];
        let mut clips = Vec::new();
        for (key, record) in &project.document().clips {
            let Some(clip) = ClipId::parse(key) else { continue };
            // What is not here is left out by name.
            if let Ok(file) = self.source_of(clip, &record.name).blob().await {
                clips.push(clip);
                beside.push(file);
            }
        }
        Ok((Lesson { finding: findings.finding.get_untracked(), clips }, beside))
    }

    /// What was chosen, with what the address asks for.
    fn choice(&self) -> crate::messages::Choice {
        let choice = self.viewer.learning.choice.get_untracked();
        let updates = self.inner.with_value(|inner| inner.options.updates);
        crate::messages::Choice { updates: updates.or(choice.updates), ..choice }
    }

    fn learning_news(&self, news: Learning, buffers: Vec<Vec<u8>>) {
        let learning = self.viewer.learning;
        match news {
            Learning::Doing(text) => learning.phase.set(Phase::Learning(Some(text))),
            Learning::Began { run, updates } => learning.begin(run, updates),
            Learning::Update { update, loss, seconds } => {
                self.learner(|learner| learner.deaths = 0);
                learning.losses.update(|losses| losses.push((update, loss)));
                learning.updates.update(|updates| updates[0] = update);
                learning.seconds.set(seconds);
            }
            Learning::Measured(measured) => learning.measured.update(|all| all.push(measured)),
            Learning::Pinned { names, size, update } => learning.pin(names, size, update, buffers),
        }
    }

    /// The worker died while it learned.
    fn stopped_by(&self, reason: &str) {
        let learning = self.viewer.learning;
        let deaths = self.learner(|learner| {
            learner.deaths += 1;
            learner.deaths
        });
        if learning.run.get_untracked().is_none() {
            learning.phase.set(Phase::Failed(format!("Learning stopped before its first update ({reason}).")));
        } else if deaths >= DEATHS {
            let sentence = format!(
                "Learning stops the worker again and again ({reason}). The run is kept: go on with it when other tabs are closed, \
                 or take it out and go on natively."
            );
            learning.phase.set(Phase::Failed(sentence));
        }
    }

    fn learner<T: Default>(&self, change: impl FnOnce(&mut Learner) -> T) -> T {
        self.inner.try_update_value(|inner| change(&mut inner.learner)).unwrap_or_default()
    }
}
