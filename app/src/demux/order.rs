//! The frames of a track as they are shown, where each lies, and where decoding has to begin for it.

use super::track::Track;

/// A frame as it is shown.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Shown {
    /// When, in microseconds of the track.
    time_us: f64,
    /// The compressed frame; none where its bytes are not there.
    chunk: Option<usize>,
}

/// The frames of a track in the order in which they are shown.
#[derive(Clone, Debug)]
pub struct Order {
    frames: Vec<Shown>,
    /// What is doubtful about the file, though it is shown, a sentence each.
    pub notes: Vec<String>,
}

impl Order {
    /// Of a track.
    ///
    /// # Errors
    ///
    /// A sentence without the file's name where no frame can be shown.
    pub fn of(track: &Track) -> Result<Self, String> {
        // What comes before the first key frame cannot be decoded.
        let key =
            track.chunks.iter().position(|chunk| chunk.key).ok_or("Its video track has no key frame to begin with.")?;
        let there = track.chunks.iter().enumerate().filter(|(_, chunk)| chunk.shown);
        let there = there.map(|(at, chunk)| Shown { time_us: chunk.timestamp_us, chunk: (at >= key).then_some(at) });
        let missing = track.missing_us.iter().map(|&time_us| Shown { time_us, chunk: None });
        // Pictures that lean on ones before the first are no frames. No player shows them.
        let begin = track.chunks[key].timestamp_us;
        let mut frames: Vec<Shown> = there.chain(missing).filter(|frame| frame.time_us >= begin).collect();
        frames.sort_by(|a, b| a.time_us.total_cmp(&b.time_us));
        let end = frames.iter().rposition(|frame| frame.chunk.is_some());
        let end = end.ok_or("None of its frames is shown: what is there lies outside its edit list.")? + 1;
        let mut notes = track.notes.clone();
        notes.extend(lost(&frames));
        frames.truncate(end);
        Ok(Self { frames, notes })
    }

    /// Number of frames, at least 1.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Never true: a track without frames has no order.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// When each frame is shown, in microseconds from the first.
    pub fn times_us(&self) -> Vec<u64> {
        let first = self.frames.first().map_or(0.0, |frame| frame.time_us);
        self.frames.iter().map(|frame| (frame.time_us - first).max(0.0) as u64).collect()
    }

    /// The compressed frame of a frame, in decoding order; none where its bytes are not there.
    pub fn chunk(&self, frame: usize) -> Option<usize> {
        self.frames.get(frame)?.chunk
    }

    /// The compressed frame that decoding has to begin at for one of them: a key frame.
    pub fn start(&self, track: &Track, chunk: usize) -> usize {
        let key = |before: usize| track.chunks[..before].iter().rposition(|chunk| chunk.key);
        let Some(own) = key(chunk + 1) else { return 0 };
        // What is shown before its key frame leans on pictures before that, too.
        let leads = track.chunks[chunk].timestamp_us < track.chunks[own].timestamp_us;
        if leads { key(own).unwrap_or(own) } else { own }
    }

    /// The frame that a decoder gives for a time in whole microseconds, when it gave the frame `after` before.
    pub fn frame_at(&self, time_us: f64, after: Option<usize>) -> Option<usize> {
        let is_it = |frame: &usize| self.frames.get(*frame).is_some_and(|shown| (shown.time_us - time_us).abs() < 1.0);
        // Several frames may have one time.
        let next = after.map(|after| after + 1).filter(is_it);
        next.or_else(|| Some(self.frames.partition_point(|frame| frame.time_us <= time_us - 1.0)).filter(is_it))
    }

    /// The frames whose decoding failed with an error after the frame `last`, when it began at the key frame `start`: those up
    /// to the next key frame.
    pub fn lost_after(&self, track: &Track, start: usize, last: Option<usize>) -> Vec<usize> {
        let from = last.and_then(|last| self.chunk(last)).map_or(start, |chunk| chunk.max(start));
        let end = (from + 1..track.chunks.len()).find(|&at| track.chunks[at].key).unwrap_or(track.chunks.len());
        let begin = self.start(track, from).max(start);
        let group = |frame: &usize| self.chunk(*frame).is_some_and(|chunk| (begin..end).contains(&chunk));
        (last.map_or(0, |last| last + 1)..self.len()).filter(group).collect()
    }
}

/// A sentence about the frames whose bytes are not there.
fn lost(frames: &[Shown]) -> Option<String> {
    let lost: Vec<usize> = (0..frames.len()).filter(|&frame| frames[frame].chunk.is_none()).collect();
    let (first, last) = (lost.first()?, lost.last()?);
    let place = if first == last { format!("frame {first}") } else { format!("from frame {first} to frame {last}") };
    let all = frames.len();
    Some(format!("{} of {all} frames are lost: {place}, counted from 0. The others keep their numbers.", lost.len()))
}

#[cfg(test)]
mod tests {
    use super::super::track::Chunk;
    use super::*;
    use crate::rotation::QuarterTurns;

    /// Frames by their times in milliseconds, key frames with a star before, in decoding order.
    fn track(words: &str) -> Track {
        let chunk = |word: &str| {
            let time: f64 = word.trim_start_matches('*').parse().unwrap();
            Chunk { bytes: 0..0, timestamp_us: 1000.0 * time, key: word.starts_with('*'), shown: true }
        };
        Track {
            codec: "vp8".to_owned(),
            description: None,
            height: 2,
            width: 2,
            turns: QuarterTurns::default(),
            chunks: words.split(' ').map(chunk).collect(),
            missing_us: vec![],
            data: vec![],
            notes: vec![],
        }
    }

    #[test]
    fn frames_are_shown_in_the_order_of_their_times_and_decoded_from_a_key_frame() {
        let track = track("*0 40 20 *60 50 80");
        let order = Order::of(&track).unwrap();
        assert_eq!(order.times_us(), [0, 20_000, 40_000, 50_000, 60_000, 80_000]);
        let chunks: Vec<_> = (0..order.len()).map(|frame| order.chunk(frame).unwrap()).collect();
        assert_eq!(chunks, [0, 2, 1, 4, 3, 5]);
        let starts: Vec<_> = chunks.iter().map(|&chunk| order.start(&track, chunk)).collect();
        assert_eq!(starts, [0, 0, 0, 0, 3, 3], "the frame at 50 ms leans on what lies before its key frame");
        assert_eq!(order.frame_at(50_000.4, None), Some(3));
        assert_eq!(order.frame_at(51_000.0, None), None);
    }

    #[test]
    fn frames_of_one_time_are_told_apart_by_their_order() {
        let order = Order::of(&track("*0 40 40 40")).unwrap();
        assert_eq!(order.frame_at(40_000.0, Some(0)), Some(1));
        assert_eq!(order.frame_at(40_000.0, Some(1)), Some(2));
        assert_eq!(order.frame_at(40_000.0, Some(2)), Some(3));
        assert_eq!(order.frame_at(40_000.0, None), Some(1));
    }

    #[test]
    fn frames_before_the_first_key_frame_are_none_and_lost_ones_keep_their_numbers() {
        let mut track = track("0 20 *40 60 80");
        track.missing_us = vec![70_000.0, 100_000.0];
        let order = Order::of(&track).unwrap();
        assert_eq!(order.times_us(), [0, 20_000, 30_000, 40_000], "what is lost at the end is none any more");
        assert_eq!((order.chunk(1), order.chunk(2), order.chunk(3)), (Some(3), None, Some(4)));
        assert_eq!(order.notes.len(), 1);
        assert!(order.notes[0].starts_with("2 of 5 frames are lost: from frame 2 to frame 4"), "{:?}", order.notes);
        assert!(Order::of(&self::track("0 20")).is_err());
    }

    #[test]
    fn an_error_costs_the_frames_up_to_the_next_key_frame() {
        let track = track("*0 20 40 *60 80 *100");
        let order = Order::of(&track).unwrap();
        assert_eq!(order.lost_after(&track, 0, Some(0)), [1, 2]);
        assert_eq!(order.lost_after(&track, 3, None), [3, 4]);
        assert_eq!(order.lost_after(&track, 0, Some(3)), [4]);
        assert_eq!(order.lost_after(&track, 5, None), [5]);
    }
}
