//! What the page says of its files and how it lies on the screen.

use crate::chromium::{Graphics, Page};
use crate::files::Files;

/// Ready to work on the CPU, with the clip that comes with the app standing still.
fn ready(name: &str) -> Page {
    let page = Page::open(name, Graphics::Off, "?device=cpu");
    page.wait(300, "ready page", |state| (state.text("state") == "ready").then_some(()));
    page.pause();
    page
}

/// Wait until the open file has a name and a place.
fn open(page: &Page, name: &str, place: &str) {
    page.wait(60, &format!("{name}, {place}"), |state| {
        (state.text("clip") == name && state.text("file") == place).then_some(())
    });
}

fn shown(page: &Page, selector: &str) -> String {
    page.script(&format!("document.querySelector('{selector}')?.innerText ?? ''"))
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn the_open_file_is_named_and_what_was_found_survives_another_file() {
    let files = Files::new();
    let page = ready("place");
    let dicom = files.dicom(4);
    page.choose_files("#open-files", &[&dicom, &files.mp4(4)]);
    open(&page, "insertion.dcm", "2 of 3");
    assert!(shown(&page, ".open-file").contains("insertion.dcm"));
    let results = ".file[aria-current] small";
    page.wait(120, "all frames of the clip", |_| shown(&page, results).contains("of 4 frames").then_some(()));
    page.wait(120, "all frames of the clip", |_| (!shown(&page, results).contains("so far")).then_some(()));
    let found = shown(&page, results);
    page.press("PageDown");
    open(&page, "insertion.mp4", "3 of 3");
    page.press("PageUp");
    open(&page, "insertion.dcm", "2 of 3");
    assert_eq!(shown(&page, results), found, "the results of the clip are gone");
    assert_ne!(page.state().text("predicted"), "waiting", "the frame is looked at again");
    // After a click on the strip the same key still means the next file.
    page.script("document.querySelector('.strip').focus()");
    page.press("PageDown");
    open(&page, "insertion.mp4", "3 of 3");
    page.script("document.querySelector('.off[aria-label*=\"insertion.mp4\"]').click()");
    open(&page, "insertion.dcm", "2 of 2");
    page.close();
}

#[test]
fn many_refused_files_are_one_notice_that_names_each() {
    let files = Files::new();
    let page = ready("refused");
    let bad = [files.truncated_png(), files.text_as_dicom(), files.mp4_of_old_codec()];
    page.choose_files("#open-files", &bad.each_ref().map(|path| path.as_path()));
    page.wait(60, "one notice about three files", |_| {
        let notices = page.notices();
        let one = notices.iter().find(|notice| notice.contains("3 files cannot be opened"))?;
        bad.iter().all(|file| one.contains(file.file_name().unwrap().to_str().unwrap())).then_some(())
    });
    page.close();
}

#[test]
fn the_model_of_the_app_comes_back_without_a_reload() {
    let files = Files::new();
    let page = ready("bundled");
    page.choose_files("#open-model", &[&files.copied_model()]);
    page.wait(60, "copied model", |_| shown(&page, ".model-name").contains("copied").then_some(()));
    page.script("document.querySelector('.bundled').click()");
    page.wait(60, "bundled model", |_| (shown(&page, ".model-name") == "demo.safetensors").then_some(()));
    assert_eq!(shown(&page, ".bundled"), "");
    page.close();
}

#[test]
fn a_frame_without_a_needle_has_no_mask_and_the_dashed_line_is_explained() {
    let page = ready("agree");
    let count = page.state().number("frames").unwrap() as usize;
    page.press("Home");
    for frame in 0..count {
        let (state, pixels) = page.wait(60, &format!("answer for frame {frame}"), |state| {
            let known =
                matches!(state.text("predicted"), "seen" | "none") && state.number("frame") == Some(frame as f64);
            known.then(|| (state.text("predicted").to_owned(), state.number("overlayPixels")))
        });
        assert_eq!(state == "seen", pixels > Some(0.0), "frame {frame}: {state} with {pixels:?} pixels");
        page.press("ArrowRight");
    }
    assert!(shown(&page, ".drawn").contains("where it would go on"));
    page.close();
}

#[test]
fn a_lower_threshold_shows_more_and_the_models_own_comes_back() {
    let page = ready("threshold");
    page.press("End");
    let own = page.wait(60, "needle", |state| {
        (state.text("predicted") == "seen").then(|| state.number("overlayPixels").unwrap())
    });
    let choose = |threshold: &str| {
        page.script(&format!(
            "{{ const slider = [...document.querySelectorAll('.slider')].find(e => e.innerText.startsWith('Threshold')).querySelector('input'); \
             slider.value = '{threshold}'; slider.dispatchEvent(new Event('input', {{ bubbles: true }})); }}"
        ));
    };
    choose("0.1");
    page.wait(10, "more pixels", |state| (state.number("overlayPixels") > Some(own)).then_some(()));
    page.screenshot("low");
    choose("0.9");
    page.wait(10, "fewer pixels", |state| (state.number("overlayPixels") < Some(own)).then_some(()));
    page.click(".reset button");
    page.wait(10, "as before", |state| (state.number("overlayPixels") == Some(own)).then_some(()));
    page.close();
}

#[test]
fn nothing_moves_while_the_clip_plays() {
    let page = ready("layout");
    page.press("Home");
    page.script(
        "{ window.shift = 0; new PerformanceObserver(list => list.getEntries().forEach(entry => { window.shift += entry.value; })) \
         .observe({ type: 'layout-shift' }); }",
    );
    page.press(" ");
    page.wait(60, "clip that played", |state| (state.number("frame") >= Some(12.0)).then_some(()));
    page.pause();
    let shift = page.script("window.shift").as_f64().unwrap();
    assert!(shift < 0.005, "the layout shifted by {shift}");
    page.close();
}

#[test]
fn a_long_clip_in_colour_opens_at_once_and_is_whole() {
    let files = Files::new();
    let page = ready("long-clip");
    let long = files.long_mp4(1800);
    page.choose_files("#open-files", &[&long]);
    page.wait(60, "long clip", |state| {
        (state.text("clip") == "long.mp4" && state.number("frames") == Some(1800.0)).then_some(())
    });
    page.pause();
    assert_eq!(page.script("document.querySelector('.wait input').checked"), false, "a long clip waits for nobody");
    for key in ["End", "Home"] {
        page.press(key);
        // The middle of the picture in colour: red, green and blue differ.
        page.wait(60, &format!("picture after {key}"), |_| {
            let colour = page.script(
                "(c => { const p = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; for (let i = 0; i < p.length; \
                 i += 4) if (Math.abs(p[i] - p[i + 1]) > 60) return true; return false; })(document.querySelector('.stage canvas'))",
            );
            colour.as_bool().filter(|colour| *colour).map(drop)
        });
    }
    page.close();
}

#[test]
fn a_zip_and_a_motion_jpeg_open_as_their_frames_and_other_videos_say_what_converts_them() {
    let files = Files::new();
    let page = ready("containers");
    page.choose_files("#open-files", &[&files.zip_of(&[files.dicom(4), files.mp4(4)])]);
    open(&page, "insertion.dcm", "2 of 3");
    page.press("PageDown");
    open(&page, "insertion.mp4", "3 of 3");
    page.choose_files("#open-files", &[&files.video(6, "motion.avi", "mjpeg", "15")]);
    open(&page, "motion.avi", "4 of 4");
    assert_eq!(page.state().number("frames"), Some(6.0));
    page.choose_files("#open-files", &[&files.video(6, "old.mpg", "mpeg1video", "25")]);
    page.wait(60, "notice about the old video", |_| {
        let said = |notice: &String| notice.contains("ffmpeg -i \"old.mpg\"") && !notice.contains("in the app");
        page.notices().iter().any(said).then_some(())
    });
    page.close();
}

#[test]
fn the_page_opens_again_without_a_network() {
    let mut page = ready("offline");
    let kept = "navigator.serviceWorker.ready.then(() => { document.body.dataset.kept = 'yes'; })";
    page.script(kept);
    page.wait(120, "kept app", |_| (page.script("document.body.dataset.kept") == "yes").then_some(()));
    page.offline();
    page.reload();
    page.wait(300, "page without a network", |state| {
        (state.text("state") == "ready" && state.text("clip") == "demo.dcm").then_some(())
    });
    assert!(!shown(&page, "header").contains("New version"));
    page.close();
}

#[test]
fn frames_that_are_predicted_side_by_side_give_the_same_answers() {
    let files = Files::new();
    let page = ready("side-by-side");
    let tips = || -> Vec<String> {
        page.press("Home");
        let frames = 0..page.state().number("frames").unwrap() as usize;
        let tip = |frame| {
            let known = page.wait(120, &format!("answer for frame {frame}"), |state| {
                let here = state.number("frame") == Some(frame as f64) && state.text("predicted") != "waiting";
                here.then(|| format!("{} {} {}", state.text("predicted"), state.text("tipX"), state.text("tipY")))
            });
            page.press("ArrowRight");
            known
        };
        frames.map(tip).collect()
    };
    let first = tips();
    // The same weights once more: helpers are at work by then, or are not where there is one core.
    page.choose_files("#open-model", &[&files.copied_model()]);
    page.wait(60, "copied model", |_| shown(&page, ".model-name").contains("copied").then_some(()));
    assert_eq!(tips(), first);
    page.close();
}

#[test]
fn a_page_without_a_gpu_offers_no_choice_of_devices_and_says_on_what_it_runs() {
    let page = ready("devices");
    assert_eq!(shown(&page, "[aria-label=\"Device of the model\"]"), "");
    assert!(shown(&page, "#device-reason").contains("CPU"));
    page.close();
}

#[test]
fn a_pinned_gpu_gives_way_to_the_cpu_when_the_user_says_so() {
    let page = Page::open("pinned", Graphics::SoftwareWebGpu, "?device=webgpu");
    page.wait(300, "answer of the GPU", |state| {
        (state.text("device") == "webgpu" && matches!(state.text("predicted"), "seen" | "none")).then_some(())
    });
    page.script(
        "[...document.querySelectorAll('[aria-label=\"Device of the model\"] button')].find(b => b.textContent === 'CPU').click()",
    );
    page.wait(300, "model on the CPU", |state| (state.text("device") == "cpu").then_some(()));
    assert!(shown(&page, "#device-reason").contains("Chosen by you"));
    page.close();
}

#[test]
fn phones_show_picture_time_and_name_in_both_directions() {
    let page = ready("phone");
    for (width, height) in [(390, 844), (844, 390)] {
        page.resize(width, height);
        page.wait(10, &format!("layout of {width}x{height}"), |_| {
            (page.script("innerWidth") == width
                && page.script("document.documentElement.scrollWidth <= innerWidth") == true)
                .then_some(())
        });
        for part in [".stage canvas", ".strip", ".open-file .name", ".play"] {
            let inside = page.script(&format!(
                "(r => r.width > 20 && r.height > 10 && r.left >= 0 && r.top >= 0 && r.right <= innerWidth && r.bottom <= innerHeight)\
                 (document.querySelector('{part}').getBoundingClientRect())"
            ));
            assert_eq!(inside, true, "{part} is not on the screen of {width}x{height}");
        }
        page.screenshot(&format!("{width}x{height}"));
    }
    page.close();
}

#[test]
fn forced_colours_tell_what_is_pressed_and_what_the_legend_means() {
    let page = ready("forced-colours");
    page.force_colours();
    let colour = |selector: &str| {
        let style = format!("getComputedStyle(document.querySelector('{selector}')).backgroundColor");
        page.script(&style).as_str().unwrap_or_default().to_owned()
    };
    page.wait(10, "forced colours", |_| {
        (page.script("matchMedia('(forced-colors: active)').matches") == true).then_some(())
    });
    let [pressed, other] = ["true", "false"].map(|state| colour(&format!(".choice button[aria-pressed=\"{state}\"]")));
    assert_ne!(pressed, other, "what is pressed looks like the rest");
    assert_ne!(colour(".legend .failed"), colour(".legend .seen"), "the legend has one colour");
    page.screenshot("forced-colours");
    page.close();
}
