//! One command after the other: choose the device, load a model, open a clip, send frames, predict.

mod device;

use std::rc::Rc;

use burn::tensor::Device;
use js_sys::Uint8Array;
use sonoseg_app::messages::{Command, Millimetres, ModelReport, NeedleReport, PredictionReport, Report};
use sonoseg_app::overlay::{pack, shrunk, shrunk_mask};
use sonoseg_app::worker::clip::{self, OpenClip};
use sonoseg_app::worker::talk::{Commands, now, tell, tell_with};
use sonoseg_core::inference::Predictor;
use sonoseg_imaging::dataset::finding::Finding;
use sonoseg_imaging::geometry::Detection;
use sonoseg_imaging::geometry::Image;

/// What the worker holds.
#[derive(Default)]
struct Work {
    device: Option<Device>,
    predictor: Option<Predictor>,
    clip: Option<OpenClip>,
}

/// Start: listen, and say so.
pub(crate) fn start() {
    run_static_constructors();
    std::panic::set_hook(Box::new(|info| {
        console_error_panic_hook::hook(info);
        tell(&Report::Crashed { reason: info.to_string() });
    }));
    wasm_bindgen_futures::spawn_local(async {
        let commands = Commands::listen();
        tell(&Report::Awake);
        let mut work = Work::default();
        loop {
            let (command, buffers) = commands.next().await;
            work.handle(command, &buffers).await;
        }
    });
}

/// CubeCL registers things in static constructors. Unless they are called by hand, the linker wraps every export so
/// that all of them run on every call from JavaScript, which costs a factor of seventy.
#[expect(unsafe_code, reason = "the symbol is made by the linker; calling it once at start is what it is for")]
fn run_static_constructors() {
    unsafe extern "C" {
        fn __wasm_call_ctors();
    }
    unsafe { __wasm_call_ctors() }
}

impl Work {
    async fn handle(&mut self, command: Command, buffers: &[Uint8Array]) {
        let bytes = buffers.first().map(Uint8Array::to_vec).unwrap_or_default();
        match command {
            Command::Start { device, because, fail_selftest } => {
                let (device, report) = device::choose(device, because, fail_selftest).await;
                self.device = Some(device);
                tell(&Report::Device(report));
            }
            Command::LoadModel { name } => self.load_model(&name, &bytes),
            Command::Open { file, name } => {
                // The old clip stays until the new one is open: it is still on the screen.
                let progress = |frames| tell(&Report::Stage(format!("Decoding the video: {frames} frames")));
                match OpenClip::open(file, &name, bytes, progress).await {
                    Ok(clip) => {
                        tell(&Report::Opened(clip.report.clone()));
                        if let Some(note) = &clip.note {
                            tell(&Report::Note(note.clone()));
                        }
                        self.clip = Some(clip);
                    }
                    Err(reason) => tell(&Report::Refused { file, reason }),
                }
            }
            Command::Check { file, name } => match clip::check(&name, bytes).await {
                Ok(()) => tell(&Report::Checked { file }),
                Err(reason) => tell(&Report::Refused { file, reason }),
            },
            Command::Frames { file, first, count } => {
                (first..first + count).for_each(|frame| self.send_frame(file, frame));
            }
            Command::Predict { file, frame } => match self.predict(file, frame).await {
                Ok((report, mask)) => tell_with(&Report::Predicted(report), &mask),
                Err(reason) => tell(&Report::Failed { file, frame, predicting: true, reason }),
            },
        }
    }

    fn load_model(&mut self, name: &str, bytes: &[u8]) {
        let Some(device) = &self.device else {
            return tell(&Report::ModelRefused { reason: format!("{name}: no device is ready yet.") });
        };
        let start = now();
        match Predictor::load(name, bytes, device) {
            Ok(predictor) => {
                let summary = predictor.summary();
                tell(&Report::Model(ModelReport {
                    name: name.to_owned(),
                    architecture: format!("{} {}", summary.architecture, summary.size),
                    parameters: summary.parameters,
                    trained_on: summary.trained_on,
                    class: match summary.finding {
                        Finding::Needles => None,
                        Finding::Classes(names) => names.into_iter().next(),
                    },
                    input_size: summary.input_size,
                    window: summary.window,
                    load_ms: now() - start,
                }));
                self.predictor = Some(predictor);
            }
            Err(error) => tell(&Report::ModelRefused { reason: error.to_string() }),
        }
    }

    fn send_frame(&mut self, file: u32, frame: usize) {
        let start = now();
        let shrink = self.clip.as_ref().map_or(1, |clip| clip.report.shrink);
        match self.frame(file, frame) {
            Ok(image) => {
                let decode_ms = now() - start;
                let mut bytes = image.to_bytes();
                if shrink > 1 {
                    bytes = shrunk(&bytes, image.height, image.width, image.channels, shrink);
                }
                tell_with(&Report::Frame { file, frame, channels: image.channels, decode_ms }, &bytes);
            }
            Err(reason) => tell(&Report::Failed { file, frame, predicting: false, reason }),
        }
    }

    fn frame(&mut self, file: u32, frame: usize) -> Result<Rc<Image>, String> {
        let clip = self.clip.as_mut().filter(|clip| clip.report.file == file);
        clip.ok_or_else(|| "The clip was closed.".to_owned())?.frame(frame)
    }

    async fn predict(&mut self, file: u32, frame: usize) -> Result<(PredictionReport, Vec<u8>), String> {
        let window = self.predictor.as_ref().map_or(1, Predictor::window);
        let start = now();
        let last = self.clip.as_ref().map_or(0, |clip| clip.report.frames.saturating_sub(1));
        // At the ends of a clip, the first and the last frame stand in for those beyond.
        let frames: Vec<Rc<Image>> = (0..window)
            .map(|place| self.frame(file, (frame + place).saturating_sub(window / 2).min(last)))
            .collect::<Result<_, _>>()?;
        let (Some(predictor), Some(clip)) = (&self.predictor, &self.clip) else {
            return Err("No model is loaded.".to_owned());
        };
        let decoded = now();
        let views: Vec<&Image> = frames.iter().map(Rc::as_ref).collect();
        let prepared = predictor.prepare(&views);
        let prepared_at = now();
        let probabilities =
            predictor.forward(&prepared).await.map_err(|error| format!("{}: {error}.", clip.report.name))?;
        let answered = now();
        let image = views[window / 2];
        let prediction = predictor.finish(&probabilities, image);
        let classes = prediction.mask().map(|mask| mask.classes.clone()).unwrap_or_default();
        let mask = shrunk_mask(&classes, image.height, image.width, clip.report.shrink);
        let report = PredictionReport {
            file,
            frame,
            needle: prediction.needle().map(|detection| needle(detection, image)),
            decode_ms: decoded - start,
            prepare_ms: prepared_at - decoded,
            model_ms: answered - prepared_at,
            fit_ms: now() - answered,
        };
        Ok((report, pack(&mask)))
    }
}

/// What the page shows of a detection: millimetres only where both ends lie in a region with a scale.
fn needle(detection: &Detection, image: &Image) -> NeedleReport {
    let needle = &detection.needle;
    let (entry, tip) = ((needle.entry.x, needle.entry.y), (needle.tip.x, needle.tip.y));
    let spacing = image.scale.at(&[entry, tip]);
    NeedleReport {
        entry,
        tip,
        confidence: detection.confidence,
        tip_spread_px: detection.tip_spread_px,
        angle_deg: needle.angle_deg(spacing),
        length_px: needle.length_px(),
        millimetres: spacing.map(|spacing| Millimetres {
            length: needle.length_mm(spacing),
            tip_spread: detection.tip_spread_px * spacing.x_mm.max(spacing.y_mm),
        }),
    }
}
