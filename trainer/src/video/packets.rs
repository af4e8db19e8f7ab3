//! The compressed frames of a file, as ffprobe lists them.

/// A compressed frame, in the order of decoding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Packet {
    /// When it is shown, in ticks.
    pub(super) pts: Option<i64>,
    /// Where it lies in the file.
    pub(super) pos: Option<u64>,
    /// Its bytes.
    pub(super) size: u64,
    /// It can be decoded on its own.
    pub(super) key: bool,
    /// Decoded and not shown: what comes before the cut of an edit list.
    pub(super) hidden: bool,
    /// The container itself says that it is not whole.
    pub(super) corrupt: bool,
}

/// A video stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Stream {
    pub(super) found: bool,
    /// Number of the stream in its file.
    pub(super) index: usize,
    pub(super) codec: String,
    /// The container, by all names that ffmpeg has for it.
    pub(super) format: String,
    /// Frames by the container's word.
    pub(super) frames: Option<usize>,
    /// Ticks of a frame at the rate that most frames have.
    pub(super) frame_ticks: Option<f64>,
    /// Seconds of it.
    pub(super) frame_s: Option<f64>,
    /// Frames that may be decoded before one that is shown earlier.
    pub(super) reorder: usize,
    pub(super) pixels: String,
    /// Width and height of a pixel, where they differ.
    pub(super) aspect: Option<(u32, u32)>,
    /// Degrees by which frames are turned to be shown.
    pub(super) rotation: Option<f64>,
    pub(super) packets: Vec<Packet>,
}

impl Stream {
    /// Take a line of ffprobe's compact form.
    pub(super) fn line(&mut self, line: &str) {
        let mut fields = line.split('|');
        match fields.next() {
            Some("packet") => self.packet(fields),
            Some("stream") => self.stream(line),
            Some("format") => {
                self.format = value(line, "format_name").unwrap_or_default().to_owned();
            }
            _ => {}
        }
    }

    /// The file says in one place where all packets lie and when they are shown: damage elsewhere does not touch that.
    pub(super) fn has_table(&self) -> bool {
        self.format.contains("mp4") && self.frames.is_some_and(|frames| frames >= self.packets.len())
    }

    /// Every packet has its own time beside it, right also where others are lost.
    pub(super) fn keeps_times(&self) -> bool {
        ["mp4", "matroska", "mpegts", "flv"].iter().any(|name| self.format.contains(name))
    }

    fn packet<'a>(&mut self, fields: impl Iterator<Item = &'a str>) {
        let mut packet = Packet::default();
        for field in fields {
            match field.split_once('=') {
                Some(("pts", ticks)) => packet.pts = ticks.parse().ok(),
                Some(("pos", at)) => packet.pos = at.parse().ok(),
                Some(("size", bytes)) => packet.size = bytes.parse().unwrap_or(0),
                Some(("flags", flags)) => {
                    packet.key = flags.contains('K');
                    packet.hidden = flags.contains('D');
                    packet.corrupt = flags.contains('C');
                }
                // Side data follow on the same line.
                _ => {}
            }
        }
        self.packets.push(packet);
    }

    fn stream(&mut self, line: &str) {
        let ratio = |text: &str, by: char| -> Option<(f64, f64)> {
            let (a, b) = text.split_once(by)?;
            Some((a.parse().ok()?, b.parse().ok()?)).filter(|&(a, b): &(f64, f64)| a > 0.0 && b > 0.0)
        };
        self.found = true;
        self.index = value(line, "index").and_then(|index| index.parse().ok()).unwrap_or(0);
        self.codec = value(line, "codec_name").unwrap_or_default().to_owned();
        self.pixels = value(line, "pix_fmt").unwrap_or_default().to_owned();
        self.frames = value(line, "nb_frames").and_then(|frames| frames.parse().ok());
        self.reorder = value(line, "has_b_frames").and_then(|count| count.parse().ok()).unwrap_or(0);
        let rate = value(line, "r_frame_rate").and_then(|rate| ratio(rate, '/'));
        let base = value(line, "time_base").and_then(|base| ratio(base, '/'));
        self.frame_s = rate.map(|(frames, seconds)| seconds / frames);
        self.frame_ticks = rate.zip(base).map(|((frames, seconds), (n, d))| seconds / frames * d / n);
        let aspect = value(line, "sample_aspect_ratio").and_then(|aspect| ratio(aspect, ':'));
        self.aspect =
            aspect.filter(|(width, height)| width != height).map(|(width, height)| (width as u32, height as u32));
        self.rotation = line.rsplit_once("rotation=").and_then(|(_, rest)| rest.split('|').next()?.parse().ok());
    }
}

fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.split('|').find_map(|field| field.strip_prefix(key)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ffprobe_is_read_line_by_line() {
        let mut stream = Stream::default();
        for line in [
            "packet|pts=103680|dts=103040|size=52|pos=13275|flags=K_",
            "packet|pts=N/A|dts=7|size=52|pos=N/A|flags=_DC",
            "",
            "stream|index=1|codec_name=h264|has_b_frames=2|sample_aspect_ratio=4:3|pix_fmt=yuv420p|r_frame_rate=25/1|\
             time_base=1/16000|nb_frames=60|side_datum/display_matrix:rotation=-90",
            "format|format_name=mov,mp4,m4a,3gp,3g2,mj2",
        ] {
            stream.line(line);
        }
        let [first, second] = stream.packets[..] else { panic!("{stream:?}") };
        assert_eq!((first.pts, first.pos, first.key, first.hidden), (Some(103_680), Some(13_275), true, false));
        assert_eq!((second.pts, second.size, second.hidden, second.corrupt), (None, 52, true, true));
        assert_eq!((stream.index, stream.frames, stream.reorder, stream.frame_ticks), (1, Some(60), 2, Some(640.0)));
        assert_eq!((stream.aspect, stream.rotation), (Some((4, 3)), Some(-90.0)));
        assert!(stream.found && stream.format.starts_with("mov"));
    }
}
