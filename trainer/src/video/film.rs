//! The frames of a video as they are shown, each with its number in the sound file: which of them are as they were
//! recorded, and which are lost.
//!
//! A decoder makes up what damage took: it repeats, mixes and guesses, and what it guessed is used for the frames after it.
//! So a damaged packet takes with it all that lean on it: everything up to the next frame that stands alone.

use std::collections::BTreeSet;

use super::log::{Decoded, Log, Said};
use super::packets::{Packet, Stream};

/// A frame that ffmpeg gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Shown {
    /// Its number in the sound file. None for one that is made up, or whose number nobody knows.
    pub(super) number: Option<usize>,
    /// Seconds from the first frame.
    pub(super) time_s: Option<f64>,
}

/// What tells the numbers of frames in a damaged file.
#[derive(Clone, Debug)]
pub(super) enum Places {
    /// Their times.
    Times,
    /// The index of an AVI file: where the chunks lay.
    Index(Vec<u64>),
    /// Nothing but that so many packets, from the first on, follow each other without a gap.
    InARow(usize),
}

/// All frames that ffmpeg gives, in its order.
#[derive(Clone, Debug, Default)]
pub(super) struct Film {
    pub(super) shown: Vec<Shown>,
    /// Frames of the sound file, as far as it is known.
    pub(super) total: usize,
    pub(super) codec: String,
    /// Frames are turned as the file asks.
    pub(super) upright: bool,
    pub(super) notes: Vec<String>,
    /// What is missing, as a part of a sentence.
    pub(super) damage: Option<String>,
}

impl Film {
    /// From what ffprobe and ffmpeg say.
    pub(super) fn of(stream: &Stream, log: &Log, places: &Places) -> Self {
        let mut film = Self { codec: stream.codec.clone(), upright: true, ..Self::default() };
        film.remark(stream);
        let times = film.times(log);
        let slots = Slots::of(stream, &log.decoded);
        let numbers = slots.numbers(stream, log, places);
        film.total = numbers.total;
        film.shown = numbers.of_shown.into_iter().zip(times).map(|(number, time_s)| Shown { number, time_s }).collect();
        film.notes.extend(numbers.note);
        if let (true, Places::Index(_), Some(seconds)) = (numbers.damaged, places, stream.frame_s) {
            // The times of AVI are numbers, counted on over what is lost.
            for shown in &mut film.shown {
                shown.time_s = shown.number.map(|number| number as f64 * seconds);
            }
        }
        if numbers.damaged {
            film.damage = Some(film.what_is_missing(log, numbers.open_end));
        }
        film
    }

    /// Give every frame the time that a header has for its number.
    pub(super) fn use_times(&mut self, times_us: &[u64]) {
        for shown in &mut self.shown {
            shown.time_s = shown.number.and_then(|number| times_us.get(number)).map(|&us| us as f64 / 1e6);
        }
    }

    fn remark(&mut self, stream: &Stream) {
        if let Some((width, height)) = stream.aspect {
            self.notes.push(format!(
                "its pixels are not square ({width} wide to {height} high), and its frames are read as recorded: lengths and \
                 angles are those of the recorded pixels"
            ));
        }
        if let Some(bits) = [10, 12, 14, 16].iter().find(|bits| {
            [format!("p{bits}le"), format!("p{bits}be"), format!("gray{bits}le"), format!("gray{bits}be")]
                .iter()
                .any(|end| stream.pixels.ends_with(end.as_str()))
        }) {
            self.notes.push(format!("its pixels have {bits} bits, of which the upper 8 are read"));
        }
        if stream.rotation.is_some_and(|angle| angle.rem_euclid(90.0).min(90.0 - angle.rem_euclid(90.0)) > 0.5) {
            self.upright = false;
            self.notes.push("it asks to be turned by an odd angle, and is read as it was recorded".to_owned());
        }
    }

    /// Seconds from the first frame. Where a file jumps back in time, what follows goes on at its mean rate.
    fn times(&mut self, log: &Log) -> Vec<Option<f64>> {
        let stored: Option<Vec<f64>> = log.decoded.iter().map(|frame| frame.time_s).collect();
        let Some(stored) = stored else { return vec![None; log.decoded.len()] };
        let steps: Vec<f64> = stored.windows(2).map(|pair| pair[1] - pair[0]).filter(|step| *step > 0.0).collect();
        let mean = if steps.is_empty() { 0.0 } else { steps.iter().sum::<f64>() / steps.len() as f64 };
        let (mut offset, mut last, mut jumps) = (-stored.first().copied().unwrap_or(0.0), 0.0, Vec::new());
        let mut times = Vec::with_capacity(stored.len());
        for (index, time) in stored.into_iter().enumerate() {
            if time + offset < last {
                jumps.push(index);
                offset = last + mean - time;
            }
            last = time + offset;
            times.push(Some(last));
        }
        if let Some(first) = jumps.first() {
            self.notes.push(format!(
                "its times jump back at frame {first}{}: from there they are counted on at its mean rate",
                if jumps.len() > 1 { format!(" and {} times more", jumps.len() - 1) } else { String::new() }
            ));
        }
        times
    }

    fn what_is_missing(&self, log: &Log, open_end: bool) -> String {
        let kept: BTreeSet<usize> = self.shown.iter().filter_map(|shown| shown.number).collect();
        let lost: Vec<usize> = (0..self.total).filter(|number| !kept.contains(number)).collect();
        let words = log.first_words.as_deref().map(|words| words.trim_end_matches('.'));
        let words = words.map_or(String::new(), |words| format!(" (ffmpeg: {words})"));
        let end = if open_end { "; how many more followed, nobody knows" } else { "" };
        if lost.is_empty() {
            return format!("ffmpeg cannot say which of its {} frames it is about{end}{words}", self.total);
        }
        format!(
            "{} of its {} frames are missing or made up by the decoder: {}{end}{words}",
            lost.len(),
            self.total,
            ranges(&lost)
        )
    }
}

/// Numbers in a row as `3 to 5, 9`, and no more than six such rows.
fn ranges(numbers: &[usize]) -> String {
    let mut rows: Vec<(usize, usize)> = Vec::new();
    for &number in numbers {
        match rows.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => rows.push((number, number)),
        }
    }
    let more = rows.len().saturating_sub(6);
    let rows = rows.iter().take(6).map(|&(a, b)| if a == b { a.to_string() } else { format!("{a} to {b}") });
    let rows = rows.collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{rows} and {more} more stretches") } else { rows }
}

/// The packets that are shown, and which decoded frame is which.
struct Slots<'a> {
    /// Packets that are shown, with their place in the order of decoding, in the order of their times.
    slots: Vec<(usize, &'a Packet)>,
    /// The slot of every decoded frame. Empty where packets have no times.
    slot_of: Vec<Option<usize>>,
}

/// The number of every decoded frame.
struct Numbers {
    of_shown: Vec<Option<usize>>,
    total: usize,
    damaged: bool,
    /// Frames beyond the last one may be lost, too.
    open_end: bool,
    note: Option<String>,
}

impl<'a> Slots<'a> {
    fn of(stream: &'a Stream, decoded: &[Decoded]) -> Self {
        let mut slots: Vec<(usize, &Packet)> = stream.packets.iter().enumerate().filter(|(_, p)| !p.hidden).collect();
        if slots.iter().any(|(_, packet)| packet.pts.is_none()) {
            return Self { slots, slot_of: Vec::new() };
        }
        slots.sort_by_key(|(place, packet)| (packet.pts, *place));
        let mut used = vec![false; slots.len()];
        let slot_of = decoded.iter().map(|frame| {
            let first = slots.partition_point(|(_, packet)| packet.pts < frame.ts);
            // Frames of equal times come one after the other.
            let same = (first..slots.len()).take_while(|&slot| slots[slot].1.pts == frame.ts);
            let slot = same.into_iter().find(|&slot| !used[slot])?;
            used[slot] = true;
            Some(slot)
        });
        let slot_of = slot_of.collect();
        Self { slots, slot_of }
    }

    fn numbers(&self, stream: &Stream, log: &Log, places: &Places) -> Numbers {
        let count = log.decoded.len();
        let said =
            log.container > 0 || log.first_words.is_some() || self.slots.iter().any(|(_, packet)| packet.corrupt);
        // AVI counts its chunks in the header; empty ones are counted, too, and only the index tells them apart.
        let promised = match places {
            Places::Index(index) => Some(index.len()),
            Places::InARow(_) => stream.frames,
            Places::Times => None,
        };
        let lost = promised.is_some_and(|promised| promised > self.slots.len());
        if !said
            && !lost
            && let Some(sound) = self.sound(stream, count)
        {
            return sound;
        }
        self.damaged(stream, log, places)
    }

    /// Numbers by the order of showing, where every packet gave its frame.
    fn sound(&self, stream: &Stream, count: usize) -> Option<Numbers> {
        let by_count = |note| Numbers {
            of_shown: (0..count).map(Some).collect(),
            total: count,
            damaged: false,
            open_end: false,
            note,
        };
        // Without times there is nothing to compare with; and two fields may be two packets of one frame.
        if self.slot_of.is_empty()
            || count >= self.slots.len()
            || count.abs_diff(self.slots.len() / 2) <= 1 && count > 2
        {
            return Some(by_count(self.uneven(stream)));
        }
        // Pictures before the first that can be decoded lean on ones that are cut off. No player shows them.
        let first = self.slot_of.first().copied().flatten()?;
        (first > 0 && self.slots.len() - first == count).then(|| {
            by_count(Some(format!(
                "{first} pictures before its first frame lean on ones that were cut away, and are not counted"
            )))
        })
    }

    /// A word about gaps in times that are even otherwise: nobody can tell a rate that varies from frames that are lost.
    fn uneven(&self, stream: &Stream) -> Option<String> {
        let grid = self.grid(stream).filter(|_| !self.slot_of.is_empty())?;
        let gap = |at: usize| grid[at] - grid[at - 1] - 1;
        let first = (1..grid.len()).find(|&at| gap(at) > 0)?;
        let all: usize = (1..grid.len()).map(gap).sum();
        Some(format!(
            "its frames are not evenly spaced: there is time for {all} more, first after frame {}; frames are numbered as they \
             are there",
            first - 1
        ))
    }

    fn damaged(&self, stream: &Stream, log: &Log, places: &Places) -> Numbers {
        let numbers = self.slot_numbers(stream, log, places);
        let tainted = self.tainted(stream, log, &numbers);
        // Where nothing tells how many are lost, numbers are known up to the first damage only.
        let first = tainted.iter().position(|tainted| *tainted).unwrap_or(tainted.len());
        let sure = match places {
            _ if numbers.iter().any(Option::is_some) => usize::MAX,
            Places::InARow(packets) => first.min(packets.saturating_sub(1 + stream.reorder)),
            Places::Times if log.container > 0 && first == tainted.len() => 0,
            _ => first.saturating_sub(stream.reorder),
        };
        let count = log.decoded.len();
        let of_shown: Vec<Option<usize>> = if self.slot_of.is_empty() {
            let first = log.decoded.iter().position(|frame| frame.said != Said::default()).unwrap_or(count);
            let sure = if log.container > 0 && first == count { 0 } else { first.saturating_sub(stream.reorder + 1) };
            (0..count).map(|number| (number < sure).then_some(number)).collect()
        } else {
            let number = |slot: usize| if sure == usize::MAX { numbers[slot] } else { (slot < sure).then_some(slot) };
            self.slot_of.iter().map(|slot| slot.filter(|&slot| !tainted[slot]).and_then(number)).collect()
        };
        let known = numbers.iter().flatten().max().map_or(0, |last| last + 1);
        let counted = match places {
            Places::Index(index) => Some(index.len()),
            _ => {
                let hidden = stream.packets.iter().filter(|packet| packet.hidden).count();
                stream.frames.map(|frames| frames.saturating_sub(hidden))
            }
        };
        let total = known.max(self.slots.len()).max(counted.unwrap_or(0));
        Numbers { of_shown, total, damaged: true, open_end: counted.is_none() && log.container > 0, note: None }
    }

    /// Slots whose frame is not there, is damaged, or leans on one that is.
    fn tainted(&self, stream: &Stream, log: &Log, numbers: &[Option<usize>]) -> Vec<bool> {
        let mut slot_at = vec![None; stream.packets.len()];
        self.slots.iter().enumerate().for_each(|(slot, (place, _))| slot_at[*place] = Some(slot));
        // Places, in the order of decoding, where damage begins, and how much later its packet may lie.
        let mut begins: BTreeSet<(usize, usize)> = BTreeSet::new();
        // The table of an MP4 says where every packet lies; in a stream, what was hit may be the packet before, too.
        let table = stream.has_table();
        let before = |place: usize| if table { place } else { place.saturating_sub(1) };
        for (place, packet) in stream.packets.iter().enumerate() {
            if packet.corrupt {
                begins.insert((before(place), place - before(place)));
            }
        }
        // What follows a gap leans on what was lost there.
        for (place, packet) in stream.packets.iter().enumerate().skip(1) {
            let number = |at: usize| slot_at[at].and_then(|slot: usize| numbers[slot]);
            let seen = |number: usize| numbers.contains(&Some(number));
            let gap = number(place).is_some_and(|number| number > 0 && !seen(number - 1));
            if gap && !table && packet.pts.is_some() {
                let from = place.saturating_sub(1 + stream.reorder);
                begins.insert((from, if packet.key { 0 } else { place - from }));
            }
        }
        let mut there = vec![false; self.slots.len()];
        self.slot_of.iter().flatten().for_each(|&slot| there[slot] = true);
        if !self.slot_of.is_empty() {
            let missing = self.slots.iter().zip(&there).filter(|(_, there)| !**there);
            begins.extend(missing.map(|((place, _), _)| (*place, 0)));
        }
        let late = if stream.reorder == 0 { 0 } else { stream.reorder + 1 };
        for (frame, slot) in log.decoded.iter().zip(&self.slot_of) {
            let Some(place) = slot.map(|slot| self.slots[slot].0) else { continue };
            // A packet that gave no frame is missing already, near this frame; of the frame itself nothing is said.
            let near = place.saturating_sub(late + 1)..=place + late + 1;
            let given_up = frame.said.gave_up && !begins.iter().any(|(begin, _)| near.contains(begin));
            if frame.said.doubt || given_up {
                // Decoders see damage late: where frames lean on others, the one before may be hit already.
                let from = place.saturating_sub(usize::from(place > 0 && !stream.packets[place - 1].key));
                begins.insert((from, late + place - from));
            } else if frame.said.corrupt {
                begins.insert((place, 0));
            }
        }
        let mut tainted = vec![false; self.slots.len()];
        for (begin, late) in begins {
            let next_key = (begin + 1..stream.packets.len()).find(|&at| at > begin + late && stream.packets[at].key);
            let end = next_key.unwrap_or(stream.packets.len());
            // Pictures after the key frame that are shown before it lean on what was before it, too.
            let leading = (end + 1..stream.packets.len())
                .take_while(|&at| stream.packets[at].pts < stream.packets[end].pts && stream.packets[at].pts.is_some());
            for at in (begin..end).chain(leading) {
                if let Some(slot) = slot_at[at] {
                    tainted[slot] = true;
                }
            }
        }
        tainted
    }

    /// The number of every slot in the sound file, as far as it is known; all unknown where only the order tells.
    fn slot_numbers(&self, stream: &Stream, log: &Log, places: &Places) -> Vec<Option<usize>> {
        match places {
            Places::Index(index) if stream.reorder == 0 => {
                let number = |packet: &Packet| index.iter().position(|&at| Some(at) == packet.pos);
                self.slots.iter().map(|(_, packet)| number(packet)).collect()
            }
            Places::Times if log.container == 0 || stream.keeps_times() => match self.grid(stream) {
                Some(grid) => grid.into_iter().map(Some).collect(),
                None => vec![None; self.slots.len()],
            },
            _ => vec![None; self.slots.len()],
        }
    }

    /// Numbers by the times of a constant rate, at which what is lost leaves gaps. None where the rate is not constant.
    fn grid(&self, stream: &Stream) -> Option<Vec<usize>> {
        let ticks = stream.frame_ticks.filter(|ticks| *ticks > 0.0)?;
        let times: Option<Vec<i64>> = self.slots.iter().map(|(_, packet)| packet.pts).collect();
        let times = times.filter(|times| !times.is_empty())?;
        let start = times[0];
        // These count from 0: what begins much later has lost its beginning, or not, and nobody knows.
        let from_zero = stream.format.contains("matroska") || stream.format.contains("mp4") && !stream.has_table();
        if from_zero && start as f64 > (1.5 + stream.reorder as f64) * ticks {
            return None;
        }
        let mut numbers = Vec::with_capacity(times.len());
        for time in times {
            let place = (time - start) as f64 / ticks;
            // Times in whole milliseconds are off by half of one.
            let near = (place - place.round()).abs() < 0.3;
            let number = place.round() as usize;
            if !near || numbers.last().is_some_and(|&last| number <= last) {
                return None;
            }
            numbers.push(number);
        }
        let gaps: Vec<usize> = (1..numbers.len()).filter(|&at| numbers[at] > numbers[at - 1] + 1).collect();
        // The table of an MP4 is whole or not there at all: what is lost is at the end, in the order of decoding.
        let constant = if stream.has_table() {
            gaps.iter().all(|&at| at + stream.reorder + 2 >= numbers.len())
        } else {
            gaps.len() <= 3 + numbers.len() / 10
        };
        constant.then_some(numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream of 25 frames a second in ticks of 40, its packets by time and whether they stand alone.
    fn stream(format: &str, packets: &[(i64, bool)]) -> Stream {
        Stream {
            format: format.to_owned(),
            frame_ticks: Some(40.0),
            packets: packets.iter().map(|&(pts, key)| Packet { pts: Some(pts), key, ..Packet::default() }).collect(),
            ..Stream::default()
        }
    }

    /// What ffmpeg gives for frames of these times, with something said before each that is listed.
    fn log(times: &[i64], said: &[i64], container: usize) -> Log {
        let said = |time| Said { doubt: said.contains(&time), ..Said::default() };
        let frame = |&ts: &i64| Decoded { ts: Some(ts), time_s: Some(ts as f64 / 1000.0), said: said(ts) };
        let decoded: Vec<Decoded> = times.iter().map(frame).collect();
        let words = container > 0 || decoded.iter().any(|frame| frame.said != Said::default());
        Log { decoded, container, first_words: words.then(|| "bad luck".to_owned()), ..Log::default() }
    }

    fn numbers(film: &Film) -> Vec<Option<usize>> {
        film.shown.iter().map(|shown| shown.number).collect()
    }

    #[test]
    fn frames_are_numbered_by_their_times_and_what_leans_on_lost_ones_is_left_out() {
        let times = [0, 40, 80, 200, 240, 280, 320];
        let packets = times.map(|time| (time, time % 240 == 0));
        let film = Film::of(&stream("matroska,webm", &packets), &log(&times, &[], 1), &Places::Times);
        let sound = [Some(0), Some(1), None, None, Some(6), Some(7), Some(8)];
        assert_eq!((numbers(&film), film.total), (sound.to_vec(), 9));
        let damage = film.damage.unwrap();
        assert!(
            damage.starts_with("4 of its 9 frames are missing or made up by the decoder: 2 to 5; how many"),
            "{damage}"
        );
        assert!(damage.ends_with("(ffmpeg: bad luck)"), "{damage}");
        // With nothing said of damage, the rate may vary: a note, and numbers as the frames come.
        let film = Film::of(&stream("matroska,webm", &packets), &log(&times, &[], 0), &Places::Times);
        assert!(film.damage.is_none() && numbers(&film) == (0..7).map(Some).collect::<Vec<_>>());
        assert!(film.notes[0].contains("time for 2 more, first after frame 2"), "{:?}", film.notes);
        // A beginning that is lost shifts all numbers, by nobody knows how many.
        let film = Film::of(&stream("matroska,webm", &packets[3..]), &log(&times[3..], &[], 1), &Places::Times);
        assert_eq!(numbers(&film), [None; 4]);
    }

    #[test]
    fn what_a_decoder_doubts_goes_up_to_the_next_frame_that_stands_alone() {
        let times = [0, 40, 80, 120, 160, 200, 240];
        let film = |packets: &[(i64, bool)], said: &[i64]| {
            let log = log(&times, said, 0);
            numbers(&Film::of(&stream("mov,mp4", packets), &log, &Places::Times))
        };
        let grouped = film(&times.map(|time| (time, time % 160 == 0)), &[120]);
        assert_eq!(grouped, [Some(0), Some(1), None, None, Some(4), Some(5), Some(6)]);
        let alone = film(&times.map(|time| (time, true)), &[120]);
        assert_eq!(alone, [Some(0), Some(1), Some(2), None, Some(4), Some(5), Some(6)]);
    }

    #[test]
    fn an_avi_is_numbered_by_its_index() {
        let mut stream = stream("avi", &[(0, true), (1, true), (2, true)]);
        (stream.frame_ticks, stream.frame_s) = (Some(1.0), Some(0.04));
        for (packet, pos) in stream.packets.iter_mut().zip([100, 200, 500]) {
            packet.pos = Some(pos);
        }
        let log = log(&[0, 1, 2], &[], 0);
        let film = Film::of(&stream, &log, &Places::Index(vec![100, 200, 300, 400, 500]));
        assert_eq!((numbers(&film), film.total), (vec![Some(0), None, Some(4)], 5));
        assert_eq!(film.shown[2].time_s, Some(0.16));
    }

    #[test]
    fn times_that_jump_back_are_counted_on() {
        let times = [0, 40, 80, 0, 40];
        let mut stream = stream("mpegts", &[]);
        stream.packets = vec![Packet::default(); 5];
        let film = Film::of(&stream, &log(&times, &[], 0), &Places::Times);
        let shown: Vec<f64> =
            film.shown.iter().filter_map(|shown| shown.time_s).map(|time| (time * 1e3).round()).collect();
        assert_eq!(shown, [0.0, 40.0, 80.0, 120.0, 160.0]);
        assert!(film.notes[0].contains("jump back at frame 3"), "{:?}", film.notes);
    }
}
