//! What the worker does for the page, one file a group of requests.

mod device;
mod files;
mod predict;

use std::cell::RefCell;
use std::rc::Rc;

use burn::tensor::Device;
use sonoseg_core::inference::Predictor;
use wasm_bindgen::JsValue;
use web_sys::Blob;

use super::clip::OpenClip;
use super::pool::Pool;
use super::{Step, channel};
use crate::messages::{Call, CheckFile, Forward, LoadModel, OpenFile, Predict, ReadFrames, StartDevice, UnpackFile};

/// What the worker holds. Nothing of it is borrowed while a request waits, so that others can go on.
#[derive(Default)]
pub(super) struct Services {
    device: RefCell<Option<Device>>,
    predictor: RefCell<Option<Rc<Predictor>>>,
    clip: RefCell<Option<Rc<OpenClip>>>,
    pool: Rc<Pool>,
    /// The model that helpers are to be started for.
    helpers_wanted: RefCell<Option<(String, Blob)>>,
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
                channel::answer::<Predict>(id, predicted.map(|(predicted, mask)| (predicted, alone(mask))));
            }
            Call::Forward(request) => {
                let computed = self.forward(request, &buffers).await;
                channel::answer::<Forward>(id, computed.map(|numbers| ((), numbers)));
            }
        }
    }
}
