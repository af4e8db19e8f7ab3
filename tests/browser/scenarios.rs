//! What a person does, and what goes wrong for them.

use crate::chromium::{Graphics, Page, State, repository};
use crate::files::{Files, demo_tips};
use burn::tensor::Device;
use sonoseg_core::inference::Predictor;
use sonoseg_imaging::formats;
use std::path::{Path, PathBuf};

/// How far the tip may be from the truth, in pixels of the bundled clip, on most of the frames.
const TIP_TOLERANCE_PX: f64 = 5.0;

/// The same for a network of 64 pixels, one of which is four of the clip.
const COARSE_TIP_TOLERANCE_PX: f64 = 15.0;

/// How far it may be from where the same model finds it natively.
const NATIVE_TOLERANCE_PX: f64 = 1.5;

/// The model that comes with the app.
fn shipped() -> PathBuf {
    repository().join("app/assets/demo.safetensors")
}

/// Longest time to the first overlay on the CPU after a warm load, in seconds.
const FIRST_OVERLAY_S: f64 = 15.0;

/// Time for a first prediction on the software GPU, which compiles a hundred shaders on the CPU, in seconds.
const SOFTWARE_GPU_S: u64 = 300;

/// Once the copied model is there, predicting frame 31 or 47 stops the worker.
const STOPS_AT_FRAMES: &str = "let copied = false; addEventListener('message', ({ data }) => { const { LoadModel, Predict } = \
     data?.head?.Ask?.call ?? {}; if (LoadModel) copied = LoadModel.name === 'copied.safetensors'; if (copied && Predict && \
     Predict.frame % 16 === 15 && Predict.frame > 20) throw new Error('made to stop'); });";

/// Ready to work, on this device, with a model and a clip.
pub(crate) fn ready(page: &Page, device: &str) {
    page.wait(SOFTWARE_GPU_S, "ready page", |state| {
        assert_ne!(state.text("state"), "stopped", "{state:?}");
        (state.text("state") == "ready" && state.number("frames") > Some(0.0)).then_some(())
    });
    assert_eq!(page.state().text("device"), device, "the wrong device");
}

/// The answer of the model for the frame on the screen.
pub(crate) fn predicted(state: &State) -> Option<()> {
    matches!(state.text("predicted"), "seen" | "none").then_some(())
}

/// The notice that contains a text; notices appear when the worker has answered.
fn notice(page: &Page, text: &str) {
    page.wait(SOFTWARE_GPU_S, &format!("notice with '{text}'"), |_| {
        page.notices().iter().any(|notice| notice.contains(text)).then_some(())
    });
}

/// Go through frames of the bundled clip and compare what is drawn with what a model finds natively, and with the truth where a
/// tolerance to it is given.
fn overlay_is_on_the_needle(page: &Page, model: &Path, count: usize, truth_px: Option<f64>) {
    let asset = |name: &str| repository().join("app/assets").join(name);
    let model = Predictor::load("model", &std::fs::read(model).unwrap(), &Device::flex()).unwrap();
    let clip = formats::open("demo.dcm", std::fs::read(asset("demo.dcm")).unwrap()).unwrap();
    let tips = demo_tips(&asset("demo-labels.csv"));
    let step = clip.len() / count;
    page.press("Home");
    let (mut shown, mut near, mut seen, mut right) = (0, 0, 0, 0);
    let mut told = Vec::new();
    for frame in (step / 2..).step_by(step).take(count) {
        for _ in shown..frame {
            page.press("ArrowRight");
        }
        shown = frame;
        let found = page.wait(SOFTWARE_GPU_S, &format!("answer for frame {frame}"), |state| {
            predicted(state).filter(|()| state.number("frame") == Some(frame as f64))?;
            Some((state.number("tipX"), state.number("tipY"), state.number("overlayPixels")))
        });
        let image = clip.frame(frame).unwrap();
        let natively = pollster::block_on(model.predict(&[&image])).unwrap();
        let error = match (found, natively.needle()) {
            ((Some(x), Some(y), Some(pixels)), Some(needle)) => {
                assert!(pixels > 0.0, "frame {frame}: a needle without an overlay");
                seen += 1;
                (needle.needle.tip.x - x).hypot(needle.needle.tip.y - y)
            }
            ((None, None, _), None) => 0.0,
            _ => f64::INFINITY,
        };
        near += usize::from(error <= NATIVE_TOLERANCE_PX);
        if let ((Some(x), Some(y), _), Some(tip)) = (found, tips[frame]) {
            right += usize::from((tip.0 - x).hypot(tip.1 - y) <= truth_px.unwrap_or(f64::INFINITY));
        }
        told.push(format!("{frame}: {error:.1}"));
    }
    page.screenshot("overlay");
    assert!(seen > 0, "no needle is seen");
    assert!(truth_px.is_none() || 4 * right >= 3 * count, "the tip is right in {right} of {count} frames");
    assert!(
        4 * near >= 3 * count,
        "the overlay is where the needle is natively in {near} of {count} frames: {told:?} px"
    );
}

#[test]
fn on_webgpu_the_overlay_is_on_the_needle() {
    let page = Page::open("webgpu", Graphics::SoftwareWebGpu, "?device=webgpu");
    ready(&page, "webgpu");
    page.wait(SOFTWARE_GPU_S, "first overlay", predicted);
    page.pause();
    overlay_is_on_the_needle(&page, &shipped(), 6, None);
    page.close();
}

#[test]
fn reads_from_the_gpu_that_come_only_when_something_is_submitted_come() {
    // As in Firefox, whose answers would come every 100 ms otherwise; here they would never.
    const SLOW: &str = "if (!self.slow) { self.slow = true; Object.defineProperty(navigator, 'userAgent', { value: 'Firefox' }); \
         const { mapAsync } = GPUBuffer.prototype, { submit } = GPUQueue.prototype; let waiting = []; \
         GPUBuffer.prototype.mapAsync = async function (...range) { await mapAsync.apply(this, range); \
         await new Promise(done => waiting.push(done)); }; GPUQueue.prototype.submit = function (list) { \
         if (!list.length) { waiting.forEach(done => done()); waiting = []; } return submit.call(this, list); }; }";
    let page = Page::open_with("nudged", Graphics::SoftwareWebGpu, "?device=webgpu", SLOW);
    ready(&page, "webgpu");
    page.wait(SOFTWARE_GPU_S, "first overlay", predicted);
    page.close();
}

#[test]
fn on_the_cpu_it_plays_and_the_overlay_is_on_the_needle() {
    let mut page = Page::open("cpu", Graphics::Off, "?device=cpu");
    ready(&page, "cpu");
    page.reload();
    page.wait(SOFTWARE_GPU_S, "first overlay", predicted);
    let first = page.age().as_secs_f64();
    assert!(first <= FIRST_OVERLAY_S, "the first overlay took {first:.1} s, {FIRST_OVERLAY_S} are allowed");
    page.screenshot("first-overlay");
    page.pause();
    overlay_is_on_the_needle(&page, &shipped(), 10, Some(TIP_TOLERANCE_PX));
    page.press("Home");
    page.press(" ");
    page.wait(60, "playing clip", |state| (state.number("frame") >= Some(3.0)).then_some(()));
    page.pause();
    let shown = page.state().number("frame");
    page.press("F1");
    page.screenshot("keys");
    page.press("ArrowRight");
    page.press("F1");
    assert_eq!(page.state().number("frame"), shown, "the open sheet let a key through");
    page.press("ArrowRight");
    page.wait(10, "next frame after the sheet", |state| (state.number("frame") > shown).then_some(()));
    page.close();
}

#[test]
fn a_dicom_clip_and_a_video_open() {
    let files = Files::new();
    let page = Page::open("open", Graphics::Off, "?device=cpu");
    ready(&page, "cpu");
    for (file, frames) in [(files.dicom(8), 8.0), (files.mp4(8), 8.0)] {
        page.choose_files("#open-files", &[&file]);
        let name = file.file_name().unwrap().to_str().unwrap();
        page.wait(60, &format!("answer for {name}"), |state| {
            predicted(state).filter(|()| state.text("clip") == name && state.number("frames") == Some(frames))
        });
        page.screenshot(name);
    }
    let lying = page.state().text("size").to_owned();
    page.choose_files("#open-files", &[&files.turned_mp4(8)]);
    page.wait(60, "answer for a phone's clip", |state| {
        predicted(state).filter(|()| state.text("clip") == "turned.mp4")
    });
    let upright: Vec<_> = lying.split('x').rev().collect();
    assert_eq!(page.state().text("size"), upright.join("x"), "the clip lies on its side");
    page.screenshot("turned");
    page.choose_files("#open-files", &[&files.webm_of_two_sizes(8)]);
    notice(&page, "change their size");
    page.wait(60, "answer for the frames before the change", |state| {
        predicted(state).filter(|()| state.text("clip") == "two-sizes.webm" && state.number("frames") == Some(8.0))
    });
    page.close();
}

#[test]
fn a_unet_that_was_trained_natively_opens_and_finds_the_needle() {
    let files = Files::new();
    let page = Page::open("unet", Graphics::Off, "?device=cpu");
    ready(&page, "cpu");
    page.pause();
    let [needles, class, strange] = files.unets();
    page.choose_files("#open-model", &[&needles]);
    page.wait(60, "answer of the U-Net", |state| {
        predicted(state).filter(|()| page.text().contains("native-unet") && page.text().contains("unet 8"))
    });
    overlay_is_on_the_needle(&page, &needles, 6, Some(COARSE_TIP_TOLERANCE_PX));
    // What is unlike the training data is called so, instead of how sure the model is.
    page.choose_files("#open-model", &[&strange]);
    page.wait(60, "a strange picture", |state| {
        (state.text("predicted") == "unlike" && page.text().contains("native-unet-strange")).then_some(())
    });
    let text = page.text();
    assert!(text.contains("cannot be trusted") && !text.contains("Model confidence"), "{text}");
    page.screenshot("unlike");
    // A network that marks a class has no needle, no tip and no line, and says what it marked.
    page.choose_files("#open-model", &[&class]);
    let pixels = page.wait(60, "marked frame", |state| {
        let seen = state.text("predicted") == "seen" && page.text().contains("native-unet-class");
        seen.then(|| (state.number("tipX"), state.number("overlayPixels")))
    });
    assert!(pixels.0.is_none() && pixels.1 > Some(0.0), "tip and pixels {pixels:?}");
    let text = page.text();
    assert!(text.contains("Marked") && !text.to_lowercase().contains("needle"), "{text}");
    page.screenshot("marked");
    for overlay in ["outline", "hide", "mask"] {
        page.press("o");
        page.wait(10, &format!("overlay '{overlay}'"), |state| (state.text("overlay") == overlay).then_some(()));
    }
    page.close();
}

#[test]
fn without_webgpu_the_cpu_does_it_and_the_page_says_so() {
    let page = Page::open("no-webgpu", Graphics::NoWebGpu, "");
    ready(&page, "cpu");
    page.wait(SOFTWARE_GPU_S, "first overlay", predicted);
    assert!(page.text().contains("CPU"), "the page does not say that it uses the CPU");
    page.screenshot("ready");
    page.close();
}

#[test]
fn a_gpu_that_fails_the_self_test_is_not_used() {
    let page = Page::open("self-test", Graphics::SoftwareWebGpu, "?device=webgpu&selftest=fail");
    ready(&page, "cpu");
    page.wait(SOFTWARE_GPU_S, "first overlay", predicted);
    assert!(page.text().contains("failed the self-test"), "the page does not say why it uses the CPU");
    page.screenshot("ready");
    page.close();
}

#[test]
fn a_lost_device_is_replaced_and_the_work_goes_on() {
    let page = Page::open("lost", Graphics::SoftwareWebGpu, "?device=webgpu&lose=1");
    ready(&page, "webgpu");
    notice(&page, "lost");
    page.pause();
    page.press("End");
    page.wait(SOFTWARE_GPU_S, "answer after the loss", |state| {
        let last = state.number("frame") == state.number("frames").map(|count| count - 1.0);
        predicted(state).filter(|()| last && state.text("state") == "ready")
    });
    page.screenshot("again");
    page.close();
}

#[test]
fn a_frame_that_stops_the_worker_is_passed_over_and_what_is_gone_is_said() {
    let files = Files::new();
    let page = Page::open_with("stops", Graphics::Off, "?device=cpu", STOPS_AT_FRAMES);
    ready(&page, "cpu");
    page.pause();
    page.press("Home");
    let model = files.copied_model();
    page.choose_files("#open-model", &[&model]);
    page.wait(60, "copied model", |_| page.text().contains("copied.safetensors").then_some(()));
    std::fs::remove_file(&model).unwrap();
    notice(&page, "one of its frames stopped the worker");
    notice(&page, "No model is loaded now");
    page.wait(60, "page without a model", |state| {
        (state.text("state") == "no-model" && state.text("clip") == "demo.dcm").then_some(())
    });
    assert!(predicted(&page.state()).is_some(), "the results before it were lost");
    page.screenshot("no-model");
    page.choose_files("#open-model", &[&files.copied_model()]);
    notice(&page, "its frames stop the worker again and again");
    page.wait(60, "closed clip", |state| (state.text("clip").is_empty()).then_some(()));
    page.screenshot("closed");
    page.choose_files("#open-files", &[&files.dicom(4)]);
    page.wait(60, "answer for another clip", |state| {
        predicted(state).filter(|()| state.text("state") == "ready" && state.text("clip") == "insertion.dcm")
    });
    page.close();
}

#[test]
fn bad_files_are_named_with_the_reason_and_the_good_one_opens() {
    let files = Files::new();
    let page = Page::open("bad-files", Graphics::Off, "?device=cpu");
    ready(&page, "cpu");
    let bad = [files.truncated_png(), files.text_as_dicom(), files.mp4_of_old_codec()];
    for file in &bad {
        page.choose_files("#open-files", &[file]);
        notice(&page, file.file_name().unwrap().to_str().unwrap());
    }
    page.script(
        "{ const dropped = new DataTransfer(); dropped.items.add(new File(['?'], 'dropped.dcm')); \
         document.querySelector('#app').dispatchEvent(new DragEvent('drop', { dataTransfer: dropped, bubbles: true })); }",
    );
    notice(&page, "dropped.dcm");
    let model = files.foreign_model();
    page.choose_files("#open-model", &[&model]);
    notice(&page, "resnet.safetensors");
    page.screenshot("notices");
    page.wait(60, "answer for the clip that was open before", |state| {
        assert_ne!(state.text("predicted"), "failed", "a refused file took the open clip away");
        predicted(state).filter(|()| state.text("clip") == "demo.dcm")
    });
    let good = files.dicom(4);
    let mut all: Vec<&Path> = bad.iter().map(|file| file.as_path()).collect();
    all.push(&good);
    page.choose_files("#open-files", &all);
    page.wait(60, "answer for the good file of the batch", |state| {
        predicted(state).filter(|()| state.text("clip") == "insertion.dcm")
    });
    // The same content is one clip, whatever its file is called.
    let same = good.with_file_name("the same again.dcm");
    std::fs::copy(&good, &same).unwrap();
    page.choose_files("#open-files", &[&same]);
    notice(&page, "the same content is one clip");
    assert_eq!(page.state().text("clip"), "insertion.dcm");
    page.close();
}

#[test]
fn frames_are_answered_while_a_long_file_is_read() {
    let files = Files::new();
    let page = Page::open("long", Graphics::Off, "?device=cpu");
    ready(&page, "cpu");
    page.pause();
    page.choose_files("#open-files", &[&files.long()]);
    page.wait(60, "reading", |state| (state.text("state") == "starting").then_some(()));
    page.press("End");
    page.wait(60, "answer for the last frame before the file is read", |state| {
        assert_eq!(state.text("state"), "starting", "the file was read before the frame was answered");
        let last = state.number("frame") == state.number("frames").map(|count| count - 1.0);
        predicted(state).filter(|()| last)
    });
    page.screenshot("reading");
    notice(&page, "long.dcm");
    page.wait(60, "page that goes on", |state| {
        (state.text("state") == "ready" && state.text("clip") == "demo.dcm").then_some(())
    });
    page.close();
}
