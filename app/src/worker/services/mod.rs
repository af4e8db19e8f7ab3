//! What the worker does for the page, one file a group of requests.

mod archive;
mod device;
mod files;
mod learn;
mod predict;
mod project;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use burn::tensor::Device;
use sonoseg_core::inference::Predictor;
use wasm_bindgen::JsValue;
use web_sys::Blob;

use super::clip::OpenClip;
use super::pool::Pool;
use super::{Step, channel};
use crate::keeping::About;
use crate::messages::{
    AppendEntries, BringBack, Call, CheckFile, DeleteProject, DeleteRun, DeviceInfo, FinishLearning, Forward,
    Gradients, JudgeRun, KeepMedia, KeepPlace, KeepRun, Learn, ListProjects, ListRuns, LoadModel, LookAt, MakeProject,
    MeasureDevices, OpenFile, OpenProject, PlanLearning, Predict, ReadFrames, RenameProject, StartDevice, TakeOut,
    TakeRunOut, UnpackFile, UseDevice,
};
use learn::Learner;
use project::Kept;

/// What the worker holds. Nothing of it is borrowed while a request waits, so that others can go on.
#[derive(Default)]
pub(super) struct Services {
    device: RefCell<Option<Device>>,
    predictor: RefCell<Option<Rc<Predictor>>>,
    clip: RefCell<Option<Rc<OpenClip>>>,
    pool: Rc<Pool>,
    /// The graphics device that passed its test, whether the model runs on it or not.
    graphics: RefCell<Option<(Device, DeviceInfo)>>,
    /// The file of the model.
    model: RefCell<Option<(String, Blob)>>,
    /// Helpers are still to be started for it.
    alone: Cell<bool>,
    /// The open project.
    project: RefCell<Option<Kept>>,
    /// A run learns.
    learning: Cell<bool>,
    /// It is to end with the update of the moment.
    finish: Cell<bool>,
    /// What a helper computes gradients with.
    learner: RefCell<Option<Learner>>,
}

impl Services {
    /// Work on a request, whose file and buffers lie beside it, and answer it.
    pub(super) async fn answer(&self, call: Call, file: JsValue, buffers: Vec<Vec<u8>>, steps: &Step) {
        let id = steps.id;
        let alone = |buffer: Vec<u8>| vec![buffer];
        match call {
            Call::StartDevice(request) => {
                channel::answer::<StartDevice>(id, Ok((self.start_device(request, steps).await, vec![])));
            }
            Call::MeasureDevices(MeasureDevices) => {
                let measured = self.measure_devices(steps).await;
                channel::answer::<MeasureDevices>(id, measured.map(|measured| (measured, vec![])));
            }
            Call::UseDevice(request) => {
                let device = self.use_device(request, steps).await;
                channel::answer::<UseDevice>(id, device.map(|device| (device, vec![])));
            }
            Call::LoadModel(request) => {
                let model = self.load_model(&request.name, &file, steps).await;
                channel::answer::<LoadModel>(id, model.map(|model| (model, vec![])));
            }
            Call::OpenFile(request) => {
                let clip = self.open(&request.name, &file, steps).await;
                channel::answer::<OpenFile>(id, clip.map(|clip| (clip, vec![])));
            }
            Call::CheckFile(request) => {
                let clip = files::check(&request.name, &file, steps).await;
                channel::answer::<CheckFile>(id, clip.map(|clip| (clip, vec![])));
            }
            Call::UnpackFile(request) => {
                let unpacked = files::unpack(&request.name, &file, steps).await;
                channel::answer::<UnpackFile>(id, unpacked.map(|left_out| (left_out, vec![])));
            }
            Call::ReadFrames(request) => {
                let read = self.read_frames(request, steps).await;
                channel::answer::<ReadFrames>(id, read.map(|()| ((), vec![])));
            }
            Call::Predict(request) => {
                let predicted = self.predict(request, steps).await;
                channel::answer::<Predict>(id, predicted);
            }
            Call::Forward(request) => {
                let computed = self.forward(request, &buffers).await;
                channel::answer::<Forward>(id, computed.map(|numbers| ((), numbers)));
            }
            Call::ListProjects(_) => {
                let list = project::list().await;
                channel::answer::<ListProjects>(id, list.map(|list| (list, vec![])));
            }
            Call::MakeProject(request) => {
                let made = self.make_project(&request.name, &request.lines).await;
                channel::answer::<MakeProject>(id, made.map(|project| (project, vec![])));
            }
            Call::OpenProject(request) => {
                let opened = self.open_project(request.id).await;
                channel::answer::<OpenProject>(id, opened.map(|(opened, project)| (opened, alone(project))));
            }
            Call::AppendEntries(request) => {
                let entries = self.append(&request);
                channel::answer::<AppendEntries>(id, entries.map(|entries| (entries, vec![])));
            }
            Call::KeepPlace(request) => {
                let KeepPlace { id: project, place, model } = request;
                let change = |about: &mut About| (about.place, about.model) = (Some(place), model);
                let kept = self.change_about(&project, change).await;
                channel::answer::<KeepPlace>(id, kept.map(|()| ((), vec![])));
            }
            Call::RenameProject(request) => {
                let renamed = self.change_about(&request.id, |about| about.name.clone_from(&request.name)).await;
                channel::answer::<RenameProject>(id, renamed.map(|()| ((), vec![])));
            }
            Call::DeleteProject(request) => {
                let deleted = self.delete_project(&request.id).await;
                channel::answer::<DeleteProject>(id, deleted.map(|()| ((), vec![])));
            }
            Call::KeepMedia(request) => {
                let kept = project::keep_media(&request, &file, steps).await;
                channel::answer::<KeepMedia>(id, kept.map(|()| ((), vec![])));
            }
            Call::TakeOut(request) => {
                let left_out = self.take_out(request, &file, steps).await;
                channel::answer::<TakeOut>(id, left_out.map(|left_out| (left_out, vec![])));
            }
            Call::BringBack(request) => {
                let opened = self.bring_back(&request.name, &file, steps).await;
                channel::answer::<BringBack>(id, opened.map(|(opened, project)| (opened, alone(project))));
            }
            Call::PlanLearning(request) => {
                let plan = self.plan_learning(request, &file, steps).await;
                channel::answer::<PlanLearning>(id, plan.map(|plan| (plan, vec![])));
            }
            Call::Learn(request) => {
                let ended = self.learn(request, &file, steps).await;
                channel::answer::<Learn>(id, ended.map(|ended| (ended, vec![])));
            }
            Call::FinishLearning(FinishLearning {}) => {
                self.finish.set(self.learning.get());
                channel::answer::<FinishLearning>(id, Ok(((), vec![])));
            }
            Call::ListRuns(ListRuns {}) => {
                let runs = self.list_runs().await;
                channel::answer::<ListRuns>(id, runs.map(|runs| (runs, vec![])));
            }
            Call::JudgeRun(request) => {
                let judged = self.judge_run(request, &file, steps).await;
                channel::answer::<JudgeRun>(id, judged.map(|judged| (judged, vec![])));
            }
            Call::KeepRun(request) => {
                channel::answer::<KeepRun>(id, self.keep_run(&request).await.map(|()| ((), vec![])));
            }
            Call::DeleteRun(request) => {
                channel::answer::<DeleteRun>(id, self.delete_run(&request).await.map(|()| ((), vec![])));
            }
            Call::TakeRunOut(request) => {
                let left_out = self.take_run_out(request, &file, steps).await;
                channel::answer::<TakeRunOut>(id, left_out.map(|left_out| (left_out, vec![])));
            }
            Call::LookAt(request) => {
                let looked = self.look_at(&request, &file, steps).await;
                channel::answer::<LookAt>(id, looked);
            }
            Call::Gradients(request) => {
                let given = self.gradients(request, &buffers).await;
                channel::answer::<Gradients>(id, given.map(|given| ((), given)));
            }
        }
    }
}
