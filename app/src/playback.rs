//! When the next frame is due: by the clip's own time stamps, at a chosen speed, at the model's pace or not.

/// Speeds that can be chosen, as a multiple of the recorded speed.
pub const SPEEDS: [f64; 5] = [0.25, 0.5, 1.0, 2.0, 4.0];

/// How long a frame stays when the file does not tell, in microseconds: 15 frames per second.
pub const ASSUMED_FRAME_US: u64 = 66_667;

/// Frames of a clip that is long: the model is not waited for while it plays, unless the user says so.
const LONG: usize = 300;

/// Whether a clip of so many frames is long.
pub fn is_long(frames: usize) -> bool {
    frames > LONG
}

/// The next of [`SPEEDS`] after `speed`, round in a circle.
pub fn next_speed(speed: f64) -> f64 {
    SPEEDS.iter().copied().find(|&other| other > speed).unwrap_or(SPEEDS[0])
}

/// How long frame `index` stays on the screen at normal speed, in milliseconds. The last frame stays as long as the one
/// before it, and nothing stays longer than two seconds or shorter than a millisecond.
pub fn duration_ms(times_us: &[u64], index: usize) -> f64 {
    let span = |from: usize| Some(times_us.get(from + 1)?.saturating_sub(*times_us.get(from)?));
    let us = span(index).or_else(|| span(index.checked_sub(1)?)).unwrap_or(ASSUMED_FRAME_US);
    (us as f64 / 1000.0).clamp(1.0, 2000.0)
}

/// Remembers since when the frame on the screen is due to be replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Clock {
    shown_since_ms: Option<f64>,
}

impl Clock {
    /// Start anew with whatever frame is on the screen: after a pause, a jump, a change of speed.
    pub fn restart(&mut self) {
        self.shown_since_ms = None;
    }

    /// The frame to show now. `frame` is on the screen; `ready` says whether a frame may be shown. With `wait`, an unready
    /// frame holds the picture; without it, time goes on, and the last ready frame is shown.
    pub fn advance(
        &mut self,
        now_ms: f64,
        frame: usize,
        times_us: &[u64],
        speed: f64,
        wait: bool,
        ready: impl Fn(usize) -> bool,
    ) -> usize {
        let count = times_us.len();
        let Some(since) = self.shown_since_ms.filter(|_| count > 1) else {
            self.shown_since_ms = Some(now_ms);
            return frame;
        };
        let (mut due, mut at) = (since, frame);
        let mut shown = None;
        for _ in 0..count {
            let next_due = due + duration_ms(times_us, at) / speed;
            let next = (at + 1) % count;
            let next_ready = ready(next);
            if next_due > now_ms || (wait && !next_ready) {
                break;
            }
            (due, at) = (next_due, next);
            if next_ready {
                shown = Some((next, due));
            }
        }
        let Some((shown, due)) = shown else {
            if wait {
                // Time spent waiting is not caught up afterwards.
                self.shown_since_ms = Some(since.max(now_ms - duration_ms(times_us, frame) / speed));
            }
            return frame;
        };
        self.shown_since_ms = Some(if now_ms - due > 100.0 { now_ms } else { due });
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: [u64; 4] = [0, 40_000, 80_000, 200_000];

    #[test]
    fn durations_come_from_the_time_stamps() {
        assert_eq!(duration_ms(&TIMES, 0), 40.0);
        assert_eq!(duration_ms(&TIMES, 2), 120.0);
        assert_eq!(duration_ms(&TIMES, 3), 120.0, "the last frame stays as long as the one before");
        assert_eq!(duration_ms(&[0], 0), ASSUMED_FRAME_US as f64 / 1000.0);
    }

    #[test]
    fn frames_follow_at_their_time_and_round_in_a_circle() {
        let mut clock = Clock::default();
        assert_eq!(clock.advance(1000.0, 0, &TIMES, 1.0, true, |_| true), 0);
        assert_eq!(clock.advance(1039.0, 0, &TIMES, 1.0, true, |_| true), 0);
        assert_eq!(clock.advance(1041.0, 0, &TIMES, 1.0, true, |_| true), 1);
        assert_eq!(clock.advance(1079.0, 1, &TIMES, 1.0, true, |_| true), 1);
        assert_eq!(clock.advance(1081.0, 1, &TIMES, 1.0, true, |_| true), 2);
        assert_eq!(clock.advance(1201.0, 2, &TIMES, 1.0, true, |_| true), 3);
        assert_eq!(clock.advance(1321.0, 3, &TIMES, 1.0, true, |_| true), 0);
    }

    #[test]
    fn an_unready_frame_holds_the_picture_and_the_wait_is_not_caught_up() {
        let mut clock = Clock::default();
        clock.advance(0.0, 0, &TIMES, 1.0, true, |_| true);
        assert_eq!(clock.advance(500.0, 0, &TIMES, 1.0, true, |_| false), 0);
        assert_eq!(clock.advance(510.0, 0, &TIMES, 1.0, true, |_| true), 1);
        assert_eq!(clock.advance(520.0, 1, &TIMES, 1.0, true, |_| true), 1);
    }

    #[test]
    fn without_waiting_late_frames_are_passed_over() {
        let mut clock = Clock::default();
        clock.advance(0.0, 0, &TIMES, 1.0, false, |_| true);
        assert_eq!(clock.advance(90.0, 0, &TIMES, 1.0, false, |_| true), 2);
    }

    #[test]
    fn without_waiting_the_last_ready_frame_is_shown_when_later_ones_are_missing() {
        let mut clock = Clock::default();
        let even = [0, 40_000, 80_000, 120_000, 160_000, 200_000];
        clock.advance(0.0, 0, &even, 1.0, false, |_| true);
        assert_eq!(clock.advance(170.0, 0, &even, 1.0, false, |_| false), 0);
        assert_eq!(clock.advance(175.0, 0, &even, 1.0, false, |frame| frame == 2), 2, "frame 4 is due and missing");
        assert_eq!(clock.advance(201.0, 2, &even, 1.0, false, |frame| frame != 4), 5, "the time went on meanwhile");
    }

    #[test]
    fn several_frames_fit_between_two_repaints() {
        let mut clock = Clock::default();
        clock.advance(0.0, 0, &TIMES, 4.0, true, |_| true);
        assert_eq!(clock.advance(21.0, 0, &TIMES, 4.0, true, |_| true), 2);
        let mut clock = Clock::default();
        clock.advance(0.0, 0, &TIMES, 4.0, true, |_| true);
        assert_eq!(clock.advance(21.0, 0, &TIMES, 4.0, true, |frame| frame == 1), 1, "not beyond what is ready");
    }

    #[test]
    fn only_clips_of_many_frames_are_long() {
        assert_eq!([1, 48, 300, 301].map(is_long), [false, false, false, true]);
    }

    #[test]
    fn speeds_go_round() {
        assert_eq!(next_speed(1.0), 2.0);
        assert_eq!(next_speed(4.0), 0.25);
    }
}
