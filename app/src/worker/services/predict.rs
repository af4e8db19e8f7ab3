//! The model: loading it, and what it finds in a frame.

use std::rc::Rc;

use burn::tensor::Device;
use sonoseg_core::inference::{PredictError, Prediction, Predictor, Prepared, window};
use sonoseg_imaging::dataset::finding::Finding;
use sonoseg_imaging::geometry::{Image, Mask};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::Blob;

use super::{Services, files};
use crate::clock::now;
use crate::messages::{Fault, Forward, Layer, ModelInfo, Predict, Predicted, Timings};
use crate::overlay::{pack, shrunk_mask};
use crate::worker::clip::OpenClip;
use crate::worker::{Step, pool};

impl Services {
    /// Load a model file. When it is refused, the model before it stays.
    pub(super) async fn load_model(&self, name: &str, file: &JsValue, steps: &Step) -> Result<ModelInfo, Fault> {
        let (id, bytes) = files::read(name, file, steps, |_| {}).await?;
        let device = self.device.borrow().clone().ok_or(Fault::NoDevice)?;
        let predictor = Predictor::load(name, &bytes, &device).map_err(|error| Fault::Refused(error.to_string()))?;
        let summary = predictor.summary();
        let info = ModelInfo {
            name: name.to_owned(),
            id,
            architecture: format!("{} {}", summary.architecture, summary.size),
            parameters: summary.parameters,
            trained_on: summary.trained_on,
            finding: summary.finding,
            input_size: summary.input_size,
            window: summary.window,
            threshold: predictor.header().recipe.needle.threshold,
        };
        self.model.replace(file.dyn_ref::<Blob>().map(|model| (name.to_owned(), model.clone())));
        self.use_predictor(predictor);
        Ok(info)
    }

    /// What the network computes of its input, as two buffers of numbers.
    pub(super) async fn forward(&self, request: Forward, buffers: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, Fault> {
        let predictor = self.predictor.borrow().clone().ok_or(Fault::NoModel)?;
        let Forward { channels, size } = request;
        let numbers = pool::numbers_of(buffers.first().map_or(&[], Vec::as_slice));
        let output = predictor.forward(&Prepared { numbers, channels, size }).await;
        let output = output.map_err(|error| Fault::Refused(format!("{error}.")))?;
        Ok(vec![pool::bytes(&output.probabilities), pool::bytes(&output.features)])
    }

    /// What the model finds in a frame, and the buffers of its layers.
    pub(super) async fn predict(&self, request: Predict, steps: &Step) -> Result<(Predicted, Vec<Vec<u8>>), Fault> {
        let Predict { clip, frame } = request;
        let predictor = self.predictor.borrow().clone().ok_or(Fault::NoModel)?;
        let clip = self.clip(clip)?;
        let (info, half) = (&clip.info, predictor.window() / 2);
        let frames = window_of(&clip, frame, half, steps).await?;
        let views: Vec<&Image> = frames.iter().map(Rc::as_ref).collect();
        let start = now();
        let prepared = predictor.prepare(&views);
        let prepared_at = now();
        let output = match self.pool.forward(&prepared).await {
            Some(output) => Ok(output),
            None => predictor.forward(&prepared).await,
        };
        let output = output.map_err(|error| Fault::Refused(refused(&error, &predictor, &info.name)))?;
        let answered = now();
        self.call_helpers();
        let image = views[half];
        let prediction = predictor.finish(&output, image);
        let mask = prediction.marked().map_or_else(|| Mask::empty(0, 0), |mask| shrunk_mask(&mask, info.shrink));
        let packed = pack(&mask, classes(&predictor.header().recipe.finding()));
        let sure = predictor.objects(&output).iter().map(|&p| (255.0 * p).round() as u8).collect();
        let predicted = Predicted {
            layers: layers(&prediction, image, prepared.size),
            unlike_training: prediction.is_unlike_training(),
            timings: Timings {
                prepare_ms: prepared_at - start,
                model_ms: answered - prepared_at,
                fit_ms: now() - answered,
            },
        };
        Ok((predicted, vec![packed, sure]))
    }
}

impl Services {
    pub(super) fn use_predictor(&self, predictor: Predictor) {
        self.predictor.replace(Some(Rc::new(predictor)));
        self.pool.clear();
        self.alone.set(true);
    }

    /// Helpers are started when the first answer is there, so that it does not wait for them.
    fn call_helpers(&self) {
        let on_cpu = self.device.borrow().as_ref().is_some_and(|device| *device == Device::flex());
        if let Some((name, model)) = self.model.borrow().as_ref().filter(|_| on_cpu && self.alone.take()) {
            self.pool.grow(name, model);
        }
    }
}

/// The frames of the window of a frame.
async fn window_of(clip: &OpenClip, frame: usize, half: usize, steps: &Step) -> Result<Vec<Rc<Image>>, Fault> {
    let there = |at: usize| at < clip.info.frames && !clip.is_lost(at);
    'again: loop {
        let mut frames = Vec::new();
        for at in window(frame, half, |at| there(at) && there(at + 1)) {
            match clip.frame(at, &|| steps.check()).await {
                Ok(image) => frames.push(image),
                // Only now it is known to be lost: the window ends before it.
                Err(Fault::Refused(_)) if at != frame && clip.is_lost(at) => continue 'again,
                Err(fault) => return Err(fault),
            }
        }
        return Ok(frames);
    }
}

/// Why there is no answer. The devices of the app were tested: where no numbers come out, the model is to blame.
fn refused(error: &PredictError, predictor: &Predictor, clip: &str) -> String {
    match error {
        PredictError::NotFinite { largest } => format!(
            "The model {} gives values that are no numbers (its largest weight is {largest:e}): its training went wrong, or its \
             file is damaged. Choose another model.",
            predictor.header().recipe.name
        ),
        PredictError::Device(_) => format!("{clip}: {error}."),
    }
}

/// Number of the classes of the mask, the background aside.
fn classes(finding: &Finding) -> u8 {
    match finding {
        Finding::Needles => 1,
        Finding::Classes(names) => names.len() as u8,
    }
}

/// What the page shows of a prediction: millimetres only where both ends lie in a region with a scale.
fn layers(prediction: &Prediction, image: &Image, size: usize) -> Vec<Layer> {
    let needle = prediction.seen().map(|&detection| {
        let (entry, tip) = (detection.needle.entry, detection.needle.tip);
        Layer::Needle { detection, spacing: image.scale.at(&[(entry.x, entry.y), (tip.x, tip.y)]) }
    });
    [Layer::Mask { buffer: 0 }, Layer::Probability { buffer: 1, size }].into_iter().chain(needle).collect()
}
