//! The programs ffmpeg and ffprobe: started so that they never wait for a person, and their error stream read to its end.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;

use sonoseg_imaging::DataError;

use super::address;
use super::log::plain;

/// Bytes of a line of the error stream that are looked at; the rest of it is passed over.
const LONGEST_LINE: u64 = 4096;
/// Lines of the error stream that are kept for a sentence about what went wrong.
const TAIL: usize = 16;

/// Checks of the decoders beyond the ones that they always make: sums, and bits that no encoder writes.
const CHECKS: &str = "crccheck+bitstream+buffer+careful";

/// The last lines of a program's error stream, read on a thread of its own: a program whose error stream nobody reads
/// stops in the middle.
pub(super) struct Tail {
    thread: Option<JoinHandle<String>>,
}

impl Tail {
    fn of(stderr: impl Read + Send + 'static) -> Self {
        let thread = std::thread::spawn(move || {
            let mut last = VecDeque::new();
            lines(stderr, |line| {
                if last.len() == TAIL {
                    last.pop_front();
                }
                last.push_back(line.to_owned());
            });
            Vec::from(last).join("\n")
        });
        Self { thread: Some(thread) }
    }

    /// End the program, and give what it said last.
    pub(super) fn finish(&mut self, process: &mut Child) -> String {
        let _ = process.kill();
        let _ = process.wait();
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

/// Every line of a stream to its end, however long and however many there are.
fn lines(stream: impl Read, mut each: impl FnMut(&str)) {
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        match reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => each(String::from_utf8_lossy(&line).trim_end()),
        }
    }
}

fn missing<'a>(name: &'a str, program: &'a str) -> impl Fn(std::io::Error) -> DataError + 'a {
    move |e| {
        let why = format!(
            "videos need the programs ffmpeg and ffprobe, and {program} cannot be run ({e}); install them (for example: apt \
             install ffmpeg)"
        );
        DataError::unsupported(name, why)
    }
}

/// The frames of a file as a stream of YUV4MPEG, none repeated or dropped. `passthrough` is the name of the option that
/// says so; `upright`, whether frames are turned as the file asks.
pub(super) fn pixels(
    name: &str,
    path: &Path,
    passthrough: &str,
    upright: bool,
) -> Result<(Child, ChildStdout, Tail), DataError> {
    let mut command = Command::new("ffmpeg");
    // One thread, as in the survey: what a decoder makes of damage may hang on how the work is shared out.
    command.args(["-nostdin", "-hide_banner", "-nostats", "-v", "error", "-threads", "1", "-err_detect", CHECKS]);
    if !upright {
        command.arg("-noautorotate");
    }
    command.arg("-i").arg(address(path)).args(["-map", "0:v:0", passthrough, "passthrough"]);
    command.args(["-pix_fmt", "gray", "-strict", "-1", "-f", "yuv4mpegpipe", "-"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().map_err(missing(name, "ffmpeg"))?;
    let (Some(output), Some(stderr)) = (process.stdout.take(), process.stderr.take()) else {
        return Err(DataError::unreadable(name, "ffmpeg gives no output"));
    };
    Ok((process, output, Tail::of(stderr)))
}

/// Decode a file and give every line that ffmpeg says about it, each behind its level.
pub(super) fn decode(name: &str, path: &Path, each: impl FnMut(&str)) -> Result<ExitStatus, DataError> {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-hide_banner", "-nostats", "-v", "repeat+level+info"]);
    // With one thread the decoder's words stand before the frame they are about.
    command.args(["-debug_ts", "-copyts", "-threads", "1", "-err_detect", CHECKS, "-i"]).arg(address(path));
    command.args(["-map", "0:v:0", "-f", "null", "-"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut process = command.spawn().map_err(missing(name, "ffmpeg"))?;
    if let Some(stderr) = process.stderr.take() {
        lines(stderr, each);
    }
    process.wait().map_err(|e| DataError::unreadable(name, format!("ffmpeg does not end ({e})")))
}

/// What ffprobe says about the stream and every packet of it, line by line, and the last lines of its error stream.
pub(super) fn probe(name: &str, path: &Path, each: impl FnMut(&str)) -> Result<String, DataError> {
    const ENTRIES: &str = "format=format_name:stream=index,codec_name,nb_frames,r_frame_rate,time_base,has_b_frames,pix_fmt,\
                           sample_aspect_ratio:stream_side_data=rotation:packet=pts,pos,size,flags";
    let mut command = Command::new("ffprobe");
    command
        .args(["-v", "error", "-select_streams", "v:0", "-show_entries", ENTRIES, "-of", "compact"])
        .arg(address(path));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().map_err(missing(name, "ffprobe"))?;
    let (Some(output), Some(stderr)) = (process.stdout.take(), process.stderr.take()) else {
        return Err(DataError::unreadable(name, "ffprobe gives no output"));
    };
    let mut said = Tail::of(stderr);
    lines(output, each);
    Ok(said.finish(&mut process))
}

/// What ffmpeg said, as an error. One that knows too few options is too old, which is not the file's fault.
pub(super) fn failure(name: &str, what: &str, said: &str) -> DataError {
    let unknown = said.lines().find(|line| line.contains("Unrecognized option") || line.contains("Option not found"));
    if let Some(line) = unknown {
        let reason = format!(
            "the ffmpeg that comes first on the PATH is too old or too new for sonoseg ({}): install version 4.2 or later, such \
             as 5.1",
            line.trim()
        );
        return DataError::unsupported(name, reason);
    }
    let last = said.lines().rev().map(plain).find(|line| !line.is_empty()).unwrap_or("no reason given");
    DataError::unreadable(name, format!("{what} (ffmpeg: {last})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_error_stream_is_read_to_its_end_and_its_last_lines_are_kept() {
        let mut text = "x".repeat(100_000);
        (0..5000).for_each(|line| text += &format!("\n[h264 @ 0x1] [error] line {line}"));
        let mut tail = Tail::of(std::io::Cursor::new(text));
        let kept = tail.thread.take().unwrap().join().unwrap();
        assert_eq!(kept.lines().count(), TAIL);
        assert_eq!(kept.lines().last().map(plain), Some("line 4999"));
    }

    #[test]
    fn an_ffmpeg_that_lacks_an_option_is_blamed_and_not_the_file() {
        let old = failure("a.mp4", "holds no video track", "Unrecognized option 'debug_ts'.\nError splitting");
        assert!(old.to_string().contains("version 4.2") && !old.to_string().contains("no video track"), "{old}");
        let broken = failure("a.mp4", "holds no video track", "[mov @ 0x1] [error] moov atom not found");
        assert_eq!(broken.to_string(), "a.mp4: holds no video track (ffmpeg: moov atom not found)");
    }
}
