//! What ffmpeg says while it decodes: the frames that it gives, and what it says of damage before each.

/// A frame that the decoder gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Decoded {
    /// Its time in ticks of the stream.
    pub(super) ts: Option<i64>,
    /// Its time in seconds.
    pub(super) time_s: Option<f64>,
    /// What was said since the frame before.
    pub(super) said: Said,
}

/// What a decoder says between two frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// A packet gave no frame.
    pub(super) gave_up: bool,
    /// Something is wrong with a packet that was decoded after that.
    pub(super) doubt: bool,
    /// The frame that follows is not as it was recorded.
    pub(super) corrupt: bool,
}

/// All that was said.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) decoded: Vec<Decoded>,
    /// What the decoder said after its last frame.
    pub(super) at_the_end: Said,
    /// The first words about damage.
    pub(super) first_words: Option<String>,
    /// Lines about damage of the file around the frames, or of another part of ffmpeg.
    pub(super) container: usize,
    /// The last error, for a file that gives no frame at all.
    pub(super) last_error: String,
}

/// Words in warnings that mean lost or made up data; other warnings are about ffmpeg's own business.
const LOSS: [&str; 12] = [
    "corrupt",
    "missing",
    "conceal",
    "damaged",
    "truncat",
    "invalid",
    "overread",
    "lost",
    "partial",
    "incomplete",
    "discontinu",
    "broken",
];

impl Log {
    /// Take a line that begins with its context and level in brackets. `format` and `packet_format` are the names of the
    /// container, whose words are about no frame in particular.
    pub(super) fn line(&mut self, format: &str, line: &str) {
        let (mut level, mut contexts, mut rest) = ("", Vec::new(), line);
        while let Some((inside, after)) = rest.strip_prefix('[').and_then(|inside| inside.split_once("] ")) {
            rest = after;
            match inside {
                "info" | "warning" | "error" | "fatal" | "panic" | "verbose" | "debug" => {
                    level = inside;
                    break;
                }
                context => contexts.push(context.split(" @ ").next().unwrap_or(context)),
            }
        }
        let lower = rest.to_lowercase();
        match level {
            "info" if rest.starts_with("decoder -> ") => self.frame(rest),
            "error" | "fatal" | "panic" => self.damage(format, &contexts, &lower, rest),
            "warning" if LOSS.iter().any(|word| lower.contains(word)) => self.damage(format, &contexts, &lower, rest),
            // An option that is not known is told before levels are.
            "" if rest.contains("Unrecognized option") => self.last_error = rest.to_owned(),
            _ => {}
        }
    }

    fn frame(&mut self, line: &str) {
        if line.contains("type:audio") {
            return;
        }
        let after = |key: &str| line.split_once(key).and_then(|(_, rest)| rest.split_whitespace().next());
        let ts: Option<i64> = after(" best_effort_ts:").or_else(|| after(" pts:")).and_then(|ts| ts.parse().ok());
        let base = after(" time_base:").and_then(|base| base.split_once('/'));
        let base = base.and_then(|(n, d)| Some((n.parse::<f64>().ok()?, d.parse::<f64>().ok()?)));
        let time_s = ts.zip(base).map(|(ts, (n, d))| ts as f64 * n / d).filter(|time| time.is_finite());
        self.decoded.push(Decoded { ts, time_s, said: std::mem::take(&mut self.at_the_end) });
    }

    fn damage(&mut self, format: &str, contexts: &[&str], lower: &str, words: &str) {
        self.last_error = plain(words).to_owned();
        self.first_words.get_or_insert_with(|| plain(words).to_owned());
        let around = |context: &&str| {
            *context == "NULL"
                || context.starts_with("in#")
                || *context == format
                || format.split(',').any(|f| f == *context)
        };
        if contexts.iter().any(around) || lower.contains("corrupt input packet") {
            self.container += 1;
            return;
        }
        let said = &mut self.at_the_end;
        if lower.contains("corrupt decoded frame") {
            said.corrupt = true;
        } else if lower.contains("error while decoding stream") || lower.contains("error submitting") {
            *said = Said { gave_up: true, ..Said::default() };
        } else {
            said.doubt = true;
        }
    }
}

/// A line without the names and levels in brackets before it.
pub(super) fn plain(line: &str) -> &str {
    let mut rest = line.trim();
    while let Some((_, after)) = rest.strip_prefix('[').and_then(|inside| inside.split_once("] ")) {
        rest = after.trim_start();
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_and_what_is_said_of_them_are_read_from_old_and_new_versions() {
        let mut old = Log::default();
        for line in [
            "[info] Input #0, avi, from 'a.avi':",
            "[info] demuxer -> ist_index:0 type:video pkt_pts:0 corrupt",
            "[info] decoder -> ist_index:0 type:video frame_pts:7 frame_pts_time:0.28 best_effort_ts:8 \
             best_effort_ts_time:0.32 keyframe:1 frame_type:1 time_base:1/25",
            "[swscaler @ 0x5] [warning] deprecated pixel format used, make sure you did set range correctly",
            "[h264 @ 0x55ba] [error] cbp too large (3199971767) at 1 3",
            "[h264 @ 0x55ba] [info] concealing 48 DC, 48 AC, 48 MV errors in P frame",
            "[warning] a.avi: corrupt decoded frame in stream 0",
            "[info] decoder -> ist_index:0 type:video frame_pts:NOPTS frame_pts_time:NOPTS best_effort_ts:9 \
             best_effort_ts_time:0.36 keyframe:1 frame_type:1 time_base:1/25",
            "[avi @ 0x1] [warning] Packet corrupt (stream = 0, dts = 13312).",
            "[h264 @ 0x1] [error] Error splitting the input into NAL units.",
            "[error] Error while decoding stream #0:0: Invalid data found when processing input",
        ] {
            old.line("avi", line);
        }
        let said = [Said::default(), Said { doubt: true, corrupt: true, gave_up: false }];
        assert_eq!(
            old.decoded.iter().map(|frame| (frame.ts, frame.said)).collect::<Vec<_>>(),
            [(Some(8), said[0]), (Some(9), said[1])]
        );
        assert_eq!(old.decoded[0].time_s, Some(0.32));
        assert_eq!((old.container, old.at_the_end.gave_up), (1, true));
        assert_eq!(old.first_words.as_deref(), Some("cbp too large (3199971767) at 1 3"));

        let mut new = Log::default();
        for line in [
            "[mjpeg @ 0x55cb] [warning] EOI missing, emulating",
            "[vist#0:0/mjpeg @ 0x55] [dec:mjpeg @ 0x55] [info] decoder -> pts:35 pts_time:1.4 pkt_dts:35 pkt_dts_time:1.4 \
             duration:1 duration_time:0.04 keyframe:1 frame_type:1 time_base:1/25",
            "[in#0/mov,mp4,m4a,3gp,3g2,mj2 @ 0x55] [warning] Packet corrupt (stream = 0, dts = 13312).",
        ] {
            new.line("mov,mp4,m4a,3gp,3g2,mj2", line);
        }
        assert_eq!(new.decoded[0].ts, Some(35));
        assert!(new.decoded[0].said.doubt && new.container == 1 && new.at_the_end == Said::default());
    }
}
