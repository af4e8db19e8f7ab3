//! Files that went wrong for people, opened by the page: each is shown with the trainer's pixels, or refused by name.

use crate::chromium::{Graphics, Page, State, repository};
use sonoseg_imaging::formats::{self, FileKind};
use sonoseg_imaging::geometry::Image;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The worker tells everyone who listens which pixels it gives to the page.
const TELLS_PIXELS: &str = "{ const line = new BroadcastChannel('frames'); const post = self.postMessage; self.postMessage = \
     function (message, moved) { if (message?.body?.pixels?.Ok && message.buffers?.length === 1) line.postMessage({ frame: \
     message.body.frame, bytes: message.buffers[0].slice(0) }); return post.call(self, message, moved); }; }";

/// Mean difference in grey levels between two decoders of the same video, by way of colours in one and of grey in the other.
const VIDEO_TOLERANCE: f64 = 3.0;

/// Every file below a folder, in the order of names.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// The bytes of a frame that the worker gave, once it has.
fn pixels(page: &Page, frame: usize) -> Vec<u8> {
    page.wait(60, &format!("pixels of frame {frame}"), |_| {
        let text =
            page.script(&format!("(frames => frames[{frame}] ? Array.from(frames[{frame}]).join() : '')(window.seen)"));
        let bytes: Option<Vec<u8>> = text.as_str()?.split(',').map(|number| number.parse().ok()).collect();
        bytes
    })
}

/// What the page says of a file: its number of frames, or that it does not read it.
fn open(page: &Page, path: &Path, name: &str) -> Option<usize> {
    page.script("window.seen = {}");
    page.choose_files("#open-files", &[path]);
    page.wait(120, &format!("word about {name}"), |state| {
        let shown = |state: &State| state.text("clip") == name;
        // A word about a file that is read may come before its first frame.
        let told = page.notices().iter().any(|notice| notice.contains(name));
        let later = (told && !shown(state)).then(|| {
            std::thread::sleep(std::time::Duration::from_millis(1000));
            page.state()
        });
        let state = later.as_ref().unwrap_or(state);
        if shown(state) { Some(state.number("frames").map(|frames| frames as usize)) } else { told.then_some(None) }
    })
}

/// Go to the last frame of the clip.
fn go_to_the_end(page: &Page) {
    page.pause();
    page.press("End");
}

/// Grey frames of a video by ffmpeg.
fn decoded(path: &Path, size: usize) -> Vec<Vec<u8>> {
    let words = ["-nostdin", "-v", "quiet", "-i", path.to_str().unwrap(), "-map", "0:v:0", "-f", "yuv4mpegpipe"];
    let mut command = Command::new("ffmpeg");
    command.args(words).args(["-vf", "setpts=N/25/TB", "-r", "25", "-pix_fmt", "gray", "-strict", "-1", "-"]);
    let bytes = command.output().expect("ffmpeg is installed: `cargo xtask test browser` sees to it").stdout;
    let header = bytes.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    bytes[header..].chunks_exact(size + 6).map(|frame| frame[6..].to_vec()).collect()
}

/// The luminance (ITU-R BT.601) of a frame of `count` pixels that may be in colour.
fn grey(bytes: Vec<u8>, count: usize) -> Vec<u8> {
    if bytes.len() == count {
        return bytes;
    }
    Image::from_rgb8(1, count, &bytes).to_grey().to_bytes()
}

fn difference(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len(), "pixels of a frame");
    a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / a.len() as f64
}

#[test]
fn files_that_went_wrong_are_shown_as_the_trainer_reads_them_or_refused() {
    let page = Page::open_with("faults", Graphics::Off, "?device=cpu", TELLS_PIXELS);
    page.wait(300, "ready page", |state| (state.text("state") == "ready").then_some(()));
    page.script(
        "{ window.seen = {}; window.frames = new BroadcastChannel('frames'); window.frames.onmessage = ({ data }) => { \
         window.seen[data.frame] = new Uint8Array(data.bytes); }; }",
    );
    let root = repository().join("tests/reference/faults");
    let folder = tempfile::tempdir().unwrap();
    let mut known = BTreeSet::new();
    for path in files(&root) {
        let bytes = std::fs::read(&path).unwrap();
        // A name that says from where, so that no two are alike.
        let name = path.strip_prefix(&root).unwrap().to_str().unwrap().replace(['/', '\\'], "-");
        // What cannot be told by its first bytes calls itself a picture, DICOM file or video all the same.
        let ours = !matches!(formats::kind(&name, &bytes), Ok(FileKind::Other));
        if !ours || !known.insert(bytes.clone()) {
            continue;
        }
        let copy = folder.path().join(&name);
        std::fs::write(&copy, &bytes).unwrap();
        let video = matches!(formats::kind(&name, &bytes), Ok(FileKind::Video));
        let shown = open(&page, &copy, &name);
        if video {
            let size = page.state().text("size").to_owned();
            let (width, height) = size.split_once('x').unwrap();
            let truth = decoded(&path, width.parse::<usize>().unwrap() * height.parse::<usize>().unwrap());
            // ffmpeg leaves out two frames in the gap of the AVI, and shows the half of a third.
            let skipped = if name.ends_with(".avi") { 2 } else { 0 };
            let count = shown.unwrap_or_else(|| panic!("{name}: {:?}", page.notices()));
            go_to_the_end(&page);
            for (frame, truth) in [(0, &truth[0]), (count - 1, &truth[count - 1 - skipped])] {
                let apart = difference(&grey(pixels(&page, frame), truth.len()), truth);
                assert!(apart <= VIDEO_TOLERANCE, "{name}: frame {frame} is {apart:.2} grey levels from ffmpeg's");
            }
            continue;
        }
        match (formats::open(&name, bytes), shown) {
            (Err(_), None) => {}
            (Ok(clip), Some(count)) => {
                assert_eq!(count, clip.len(), "{name}: frames");
                go_to_the_end(&page);
                for frame in [0, count - 1] {
                    let expected = clip.frame(frame).unwrap().to_bytes();
                    assert!(
                        pixels(&page, frame) == expected,
                        "{name}: frame {frame} has other pixels than in the trainer"
                    );
                }
                for note in clip.notes() {
                    page.wait(10, &format!("note of {name}: {note}"), |_| {
                        page.notices()
                            .iter()
                            .any(|notice| notice.contains(&name) && notice.contains(note))
                            .then_some(())
                    });
                }
            }
            (Ok(clip), None) if clip.frame(0).is_err() => {}
            (trainer, page_says) => {
                panic!("{name}: the trainer says {trainer:?}, the page {page_says:?}, with {:?}", page.notices())
            }
        }
    }
    assert!(known.len() >= 20, "the list of files is there: {}", known.len());
    page.close();
}

#[test]
fn a_video_that_is_cut_short_says_which_frames_are_lost_and_times_are_its_own() {
    let page = Page::open("lost-frames", Graphics::Off, "?device=cpu");
    page.wait(300, "ready page", |state| (state.text("state") == "ready").then_some(()));
    page.pause();
    let root = repository().join("tests/reference/faults");
    page.choose_files("#open-files", &[&root.join("15/cut.mp4")]);
    page.wait(60, "cut clip", |state| {
        (state.text("clip") == "cut.mp4" && state.number("frames") == Some(28.0)).then_some(())
    });
    page.wait(10, "notice about lost frames", |_| {
        let said = |notice: &String| {
            notice.contains("32 of 60 frames are lost") && notice.contains("from frame 28 to frame 59")
        };
        page.notices().iter().any(said).then_some(())
    });
    page.choose_files("#open-files", &[&root.join("14/vfr.mp4")]);
    page.wait(60, "clip of a variable rate", |state| {
        (state.text("clip") == "vfr.mp4" && state.number("frames") == Some(60.0)).then_some(())
    });
    page.pause();
    page.press("End");
    page.wait(30, "time of the last frame", |_| page.text().contains("6.52 s").then_some(()));
    page.close();
}

#[test]
fn a_video_that_claims_frames_without_end_is_refused_and_the_next_file_opens() {
    let page = Page::open("endless", Graphics::Off, "?device=cpu");
    page.wait(300, "ready page", |state| (state.text("state") == "ready").then_some(()));
    let sound = repository().join("tests/reference/faults/14/vfr.mp4");
    let mut bytes = std::fs::read(&sound).unwrap();
    // Frames of one size need no table, so that their number is only claimed.
    let sizes = bytes.windows(4).position(|word| word == b"stsz").unwrap() + 8;
    bytes[sizes..sizes + 4].copy_from_slice(&1_u32.to_be_bytes());
    bytes[sizes + 4..sizes + 8].copy_from_slice(&u32::MAX.to_be_bytes());
    let folder = tempfile::tempdir().unwrap();
    let endless = folder.path().join("endless.mp4");
    std::fs::write(&endless, bytes).unwrap();
    assert_eq!(open(&page, &endless, "endless.mp4"), None, "{:?}", page.notices());
    let said = page.notices().into_iter().find(|notice| notice.contains("endless.mp4")).unwrap();
    assert!(said.contains("speaks of 4294967295 frames") && said.contains("Copy it again"), "{said}");
    assert_eq!(open(&page, &sound, "vfr.mp4"), Some(60), "{:?}", page.notices());
    assert!(
        page.notices().iter().all(|notice| !notice.contains("stopped")),
        "the worker lives on: {:?}",
        page.notices()
    );
    page.close();
}
