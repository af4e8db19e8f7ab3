//! Videos as they come from phones, scanners and broken disks: their frames' own times and numbers, and nothing in silence.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::workspace::{Workspace, command, fails, said, succeeds, text};

/// A file that went wrong for somebody, from `tests/reference/faults`.
fn fault(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/faults").join(name)
}

/// The columns of a table, as text.
fn columns<const N: usize>(path: &Path, names: [&str; N]) -> Vec<[String; N]> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    let header = reader.headers().unwrap().clone();
    let at = names.map(|name| header.iter().position(|column| column == name).unwrap_or_else(|| panic!("no {name}")));
    reader.records().map(Result::unwrap).map(|row| at.map(|column| row[column].to_owned())).collect()
}

fn meta(procedure: &Path) -> serde_json::Value {
    serde_json::from_str(&fs::read_to_string(procedure.join("meta.json")).unwrap()).unwrap()
}

fn ffmpeg(words: &[&str], file: &Path) {
    let made = Command::new("ffmpeg").args(["-nostdin", "-v", "error"]).args(words).arg(file).status();
    assert!(made.expect("ffmpeg is needed for this test: apt install ffmpeg").success(), "ffmpeg {words:?}");
}

/// A clip whose frames all differ.
fn clip(workspace: &Workspace, name: &str, more: &[&str]) -> PathBuf {
    let path = workspace.path(name);
    ffmpeg(
        &[&["-f", "lavfi", "-i", "testsrc2=size=64x48:rate=10:duration=2,noise=alls=30:allf=t"], more].concat(),
        &path,
    );
    path
}

/// Source numbers and times of the stored frames.
fn stored(out: &Path, id: &str) -> (Vec<usize>, Vec<f64>) {
    let rows = columns(&out.join("procedures").join(id).join("frames.csv"), ["source_frame", "time_s"]);
    rows.into_iter().map(|[number, time]| (number.parse::<usize>().unwrap(), time.parse::<f64>().unwrap())).unzip()
}

#[test]
fn frames_of_a_variable_rate_have_their_own_times_and_are_thinned_by_them() {
    let workspace = Workspace::new();
    let (video, out, thin) = (fault("14/vfr.mp4"), workspace.path("out"), workspace.path("thin"));
    succeeds(&["ingest", text(&video), "--out", text(&out), "--tolerance", "0"]);
    let (numbers, times) = stored(&out, "vfr");
    assert_eq!(numbers, (0..60).collect::<Vec<_>>());
    // What was asked of the encoder, which put it on a raster of 40 ms.
    let asked: Vec<f64> = serde_json::from_str(&fs::read_to_string(fault("14/times.json")).unwrap()).unwrap();
    for (time, asked) in times.iter().zip(&asked) {
        assert!((time - asked / 1000.0).abs() < 0.0201, "{time} s instead of {asked} ms");
    }
    assert_eq!(times[..5], [0.0, 0.12, 0.2, 0.32, 0.4]);
    assert_eq!((times[19], times[20], times[59]), (1.92, 4.96, 6.52));
    let fps = meta(&out.join("procedures/vfr"))["fps"].as_f64().unwrap();
    assert!((fps - 59.0 / 6.52).abs() < 1e-9, "{fps} frames per second");

    succeeds(&["ingest", text(&video), "--out", text(&thin), "--tolerance", "0", "--fps", "2"]);
    let (numbers, times) = stored(&thin, "vfr");
    assert_eq!(numbers, [0, 5, 10, 15, 20, 21, 34, 46, 59], "{times:?}");
    assert_eq!(times, [0.0, 0.52, 1.0, 1.52, 4.96, 5.0, 5.52, 6.0, 6.52]);
}

#[test]
fn times_are_right_with_b_frames_a_late_start_and_a_cut_of_an_edit_list() {
    let workspace = Workspace::new();
    let whole = clip(&workspace, "whole.mp4", &["-c:v", "libx264", "-g", "10", "-bf", "2", "-pix_fmt", "yuv420p"]);
    let (late, cut) = (workspace.path("late.mkv"), workspace.path("cut.mp4"));
    ffmpeg(&["-itsoffset", "3.3", "-i", text(&whole), "-c", "copy"], &late);
    ffmpeg(&["-ss", "0.5", "-i", text(&whole), "-c", "copy"], &cut);
    let out = workspace.path("out");
    succeeds(&["ingest", text(&whole), text(&late), text(&cut), "--out", text(&out), "--tolerance", "0"]);
    for (id, frames) in [("whole", 20), ("late", 20), ("cut", 15)] {
        let (numbers, times) = stored(&out, id);
        assert_eq!(numbers, (0..frames).collect::<Vec<_>>(), "{id}");
        assert_eq!(times, (0..frames).map(|number| number as f64 / 10.0).collect::<Vec<_>>(), "{id}");
    }
    let frame = |id: &str, number: usize| {
        fs::read(out.join("procedures").join(id).join(format!("frames/{number:06}.png"))).unwrap()
    };
    assert_eq!(frame("cut", 0), frame("whole", 5), "the first frame is the first that people see");
}

#[test]
fn a_damaged_clip_is_refused_and_kept_with_every_label_on_its_frame() {
    let workspace = Workspace::new();
    let (video, table) = (fault("15/clip.avi"), fault("15/clip.csv"));
    let out = workspace.path("out");
    let words = ["ingest", text(&video), "--labels", text(&table), "--out", text(&out), "--tolerance", "0"];
    let printed = fails(3, &words);
    assert!(printed.contains("3 of its 60 frames are missing or made up by the decoder: 35 to 37"), "{printed}");
    assert!(printed.contains("--damaged keep") && !out.join("procedures").exists(), "{printed}");

    let printed = succeeds(&[&words[..], &["--damaged", "keep"]].concat());
    assert!(printed.contains("3 of its 60 frames") && printed.contains("3 labels are of frames"), "{printed}");
    let (numbers, times) = stored(&out, "clip");
    assert_eq!(numbers, (0..35).chain(38..60).collect::<Vec<_>>());
    assert!(numbers.iter().zip(&times).all(|(&number, time)| (time - number as f64 / 25.0).abs() < 1e-6), "{times:?}");
    // The table says `x1 = 10 + frame` of the sound clip.
    let labels = columns(&out.join("procedures/clip/labels.csv"), ["frame", "x1"]);
    assert_eq!(labels.len(), 55, "58 rows, three of them of lost frames");
    for [frame, x1] in labels {
        let number = numbers[frame.parse::<usize>().unwrap()];
        assert_eq!(x1.parse::<f64>().unwrap(), 10.0 + number as f64, "the label of frame {number}");
    }
    // The pixels of the frames after the gap are those of the simulator's clip: they grow brighter, frame by frame.
    let means = [34, 38].map(|number: usize| {
        let at = numbers.iter().position(|&stored| stored == number).unwrap();
        let png = image::open(out.join(format!("procedures/clip/frames/{at:06}.png"))).unwrap().to_luma8();
        png.pixels().map(|pixel| f64::from(pixel[0])).sum::<f64>() / f64::from(png.width() * png.height())
    });
    assert!(means.iter().all(|mean| (50.0..90.0).contains(mean)), "{means:?}");
}

#[test]
fn predict_counts_the_frames_of_a_damaged_video_as_its_file_does() {
    let workspace = Workspace::new();
    let data = workspace.simulate("data", "5");
    let run = workspace.train(&data, "run", &["--set", "train.epochs=1"]);
    let (model, out) = (run.join("last.safetensors"), workspace.path("out"));
    let cut = fault("15/cut.mp4");
    let printed = fails(3, &["predict", text(&model), text(&cut), "--out", text(&out)]);
    assert!(
        printed.contains("32 of its 60 frames are missing or made up") && printed.contains("28 to 59"),
        "{printed}"
    );
    let gap = fault("15/clip.avi");
    let words = ["predict", text(&model), text(&gap), "--out", text(&out), "--damaged", "keep"];
    let printed = succeeds(&words);
    assert!(printed.contains("clip.avi: it is damaged: 3 of its 60 frames"), "{printed}");
    let rows = columns(&out.join("geometry.csv"), ["frame", "time_s"]);
    let expected: Vec<[String; 2]> =
        (0..35).chain(38..60).map(|n: u32| [n.to_string(), format!("{:?}", f64::from(n) / 25.0)]).collect();
    assert_eq!(rows, expected);
    assert!(out.join("masks/clip.avi/000059.png").exists() && !out.join("masks/clip.avi/000036.png").exists());
}

/// Run ingest with a script in place of ffmpeg, which ends by calling the real one.
fn with_ffmpeg(workspace: &Workspace, script: &str, words: &[&str]) -> Output {
    let path = std::env::var_os("PATH").unwrap();
    let mut real = std::env::split_paths(&path).map(|folder| folder.join("ffmpeg"));
    let real = real.find(|path| path.is_file()).expect("ffmpeg is needed for this test: apt install ffmpeg");
    let folder = workspace.path("bin");
    fs::create_dir_all(&folder).unwrap();
    let fake = folder.join("ffmpeg");
    fs::write(&fake, format!("#!/bin/sh\nreal='{}'\n{script}\nexec \"$real\" \"$@\"\n", real.display())).unwrap();
    let executable = Command::new("chmod").arg("+x").arg(&fake).status().unwrap();
    assert!(executable.success());
    let path = std::env::join_paths([folder].into_iter().chain(std::env::split_paths(&path)));
    // A program that waits for ever fails the test instead of stopping it.
    let ours = command(words);
    let mut limited = Command::new("timeout");
    limited.arg("60").arg(ours.get_program()).args(ours.get_args()).env("PATH", path.unwrap());
    limited.output().unwrap()
}

/// An ffmpeg that does not know an option.
fn unknown(option: &str) -> String {
    format!(
        "for word in \"$@\"; do if [ \"$word\" = {option} ]; then\n echo \"Unrecognized option '${{word#-}}'.\" >&2\n echo 'Error \
         splitting the argument list: Option not found' >&2\n exit 1\nfi; done"
    )
}

#[test]
fn ffmpeg_before_5_1_reads_videos_and_one_that_cannot_is_named() {
    let workspace = Workspace::new();
    let video = clip(&workspace, "clip.mp4", &["-c:v", "mpeg4"]);
    let (old, older) = (workspace.path("old"), workspace.path("older"));
    // Newer than 8, the real one does not know the name of old.
    let translate =
        "for word in \"$@\"; do shift; [ \"$word\" = -vsync ] && word=-fps_mode; set -- \"$@\" \"$word\"; done";
    let script = format!(
        "{}\n\"$real\" -hide_banner -h long 2>&1 | grep -q -- -fps_mode && {{ {translate}; }}",
        unknown("-fps_mode")
    );
    let output = with_ffmpeg(&workspace, &script, &["ingest", text(&video), "--out", text(&old), "--tolerance", "0"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(stored(&old, "clip").0, (0..20).collect::<Vec<_>>());

    let words = ["ingest", text(&video), "--out", text(&older)];
    let output = with_ffmpeg(&workspace, &unknown("-debug_ts"), &words);
    let said = said(&output);
    assert!(output.status.code() == Some(3) && said.contains("too old") && said.contains("version 4.2"), "{said}");
    assert!(!said.contains("no video track"), "{said}");
}

#[test]
fn a_flood_on_the_error_stream_and_a_wait_for_a_person_stop_nothing() {
    let workspace = Workspace::new();
    let video = clip(&workspace, "clip.mp4", &["-c:v", "mpeg4"]);
    let out = workspace.path("out");
    // Some 400 KB before the first frame, and a question that nobody answers.
    let script = "i=0; while [ $i -lt 4000 ]; do echo '[mov @ 0x1] [info] a word that nobody needs, a word that nobody \
                  needs, a word' >&2; i=$((i+1)); done; read answer";
    let output = with_ffmpeg(&workspace, script, &["ingest", text(&video), "--out", text(&out), "--tolerance", "0"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(stored(&out, "clip").0.len(), 20);
}

#[test]
fn what_is_doubtful_about_a_video_is_told_and_a_phones_clip_stands_upright() {
    let workspace = Workspace::new();
    let deep = clip(&workspace, "deep.mkv", &["-c:v", "ffv1", "-pix_fmt", "yuv420p10le", "-vf", "setsar=4/3"]);
    let lying = clip(&workspace, "lying.mp4", &["-c:v", "mpeg4"]);
    let mut bytes = fs::read(&lying).unwrap();
    let header = bytes.windows(4).position(|word| word == b"tkhd").unwrap();
    for (index, number) in [0_i32, 1, 0, -1, 0].into_iter().enumerate() {
        bytes[header + 44 + 4 * index..][..4].copy_from_slice(&(number << 16).to_be_bytes());
    }
    let turned = workspace.path("turned.mp4");
    fs::write(&turned, bytes).unwrap();
    let out = workspace.path("out");
    let printed = succeeds(&["ingest", text(&deep), text(&lying), text(&turned), "--out", text(&out)]);
    assert!(printed.contains("4 wide to 3 high") && printed.contains("10 bits"), "{printed}");
    assert!(printed.contains("lying: 64x48") && printed.contains("turned: 48x64"), "{printed}");
    let frame = |id: &str| image::open(out.join("procedures").join(id).join("frames/000000.png")).unwrap().to_luma8();
    let (lying, turned) = (frame("lying"), frame("turned"));
    // The matrix turns clockwise: the first row becomes the last column.
    assert!((0..64).all(|x| lying.get_pixel(x, 0) == turned.get_pixel(47, x)));
}

/// A DICOM object of ultrasound that wraps a video, with 8 frames a second.
fn wrapped(video: &[u8], syntax: &str, frames: &str) -> Vec<u8> {
    fn element(out: &mut Vec<u8>, tag: (u16, u16), vr: &[u8; 2], value: &[u8]) {
        let mut value = value.to_vec();
        if value.len() % 2 == 1 {
            value.push(if vr == b"UI" { 0 } else { b' ' });
        }
        out.extend([tag.0.to_le_bytes(), tag.1.to_le_bytes()].concat());
        out.extend(vr);
        out.extend((value.len() as u16).to_le_bytes());
        out.extend(value);
    }
    let (mut group, mut out) = (Vec::new(), vec![0; 128]);
    element(&mut group, (2, 2), b"UI", b"1.2.840.10008.5.1.4.1.1.3.1");
    element(&mut group, (2, 3), b"UI", b"1.2.3.4");
    element(&mut group, (2, 0x10), b"UI", syntax.as_bytes());
    out.extend(b"DICM");
    element(&mut out, (2, 0), b"UL", &(group.len() as u32).to_le_bytes());
    out.extend(group);
    element(&mut out, (8, 0x16), b"UI", b"1.2.840.10008.5.1.4.1.1.3.1");
    element(&mut out, (0x18, 0x1063), b"DS", b"125");
    element(&mut out, (0x28, 2), b"US", &3_u16.to_le_bytes());
    element(&mut out, (0x28, 4), b"CS", b"YBR_PARTIAL_420");
    element(&mut out, (0x28, 8), b"IS", frames.as_bytes());
    element(&mut out, (0x28, 0x10), b"US", &48_u16.to_le_bytes());
    element(&mut out, (0x28, 0x11), b"US", &64_u16.to_le_bytes());
    for (tag, number) in [(0x100, 8_u16), (0x101, 8), (0x102, 7), (0x103, 0)] {
        element(&mut out, (0x28, tag), b"US", &number.to_le_bytes());
    }
    out.extend(b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\0\0\0\0");
    let half = video.len() / 2 / 2 * 2;
    for piece in [&video[..half], &video[half..]] {
        let padded = piece.len().next_multiple_of(2);
        out.extend(b"\xfe\xff\x00\xe0");
        out.extend((padded as u32).to_le_bytes());
        out.extend(piece);
        out.extend(vec![0; padded - piece.len()]);
    }
    out.extend(b"\xfe\xff\xdd\xe0\0\0\0\0");
    out
}

#[test]
fn a_video_in_a_dicom_object_is_read_with_the_times_of_its_header() {
    let workspace = Workspace::new();
    let h264 = clip(&workspace, "a.mp4", &["-c:v", "libx264", "-bf", "2", "-pix_fmt", "yuv420p"]);
    let bare = clip(&workspace, "b.h264", &["-c:v", "libx264", "-pix_fmt", "yuv420p"]);
    let stream = clip(&workspace, "c.ts", &["-c:v", "mpeg2video", "-r", "25", "-bf", "2"]);
    let folder = workspace.path("dicom");
    fs::create_dir(&folder).unwrap();
    for (name, video, syntax, frames) in [
        ("mp4", &h264, "1.2.840.10008.1.2.4.102", "20"),
        ("bare", &bare, "1.2.840.10008.1.2.4.106", "20"),
        ("other", &stream, "1.2.840.10008.1.2.4.100", "19"),
    ] {
        fs::write(folder.join(format!("{name}.dcm")), wrapped(&fs::read(video).unwrap(), syntax, frames)).unwrap();
    }
    let out = workspace.path("out");
    let printed = succeeds(&[
        "ingest",
        text(&folder),
        text(&h264),
        "--out",
        text(&out),
        "--tolerance",
        "0",
        "--group-by",
        "file",
    ]);
    for id in ["mp4", "bare"] {
        let (numbers, times) = stored(&out, id);
        assert_eq!(numbers, (0..20).collect::<Vec<_>>(), "{id}");
        assert_eq!(times, (0..20).map(|number| f64::from(number) / 8.0).collect::<Vec<_>>(), "{id}");
    }
    let frame = |id: &str| fs::read(out.join("procedures").join(id).join("frames/000013.png")).unwrap();
    assert_eq!(frame("mp4"), frame("a"), "the same pixels as those of the video alone");
    // The stream has times of its own, and one frame more than the header says.
    assert_eq!(stored(&out, "other").1.last(), Some(&1.92), "a raster of 40 ms");
    assert!(printed.contains("its header speaks of 19 frames, and the video inside has 20"), "{printed}");
}
